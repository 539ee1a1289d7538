"""Quotas of requests: counted in blocks, exact over processes, and free for who has none."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.events import EventRecord
from backend.managers.gateway import GatewayManager
from backend.managers.tenant import QuotaReachedError, TenantManager
from backend.managers.tenant._quotas import Quotas, window_of
from backend.managers.tenant._requests import RequestQuotas
from backend.managers.tenant.models import CountRow
from tests.support.errands import EVERYTHING

DAY = 86_400


class Process:
    """What one process has of the quotas."""

    def __init__(self, gate):
        self.database, clock = gate.database, gate.clock
        self.quotas = Quotas(clock.monotonic)
        self.requests = RequestQuotas(self.quotas, clock.monotonic)

    async def take(self, tenant, times=1):
        """How many of so many requests are admitted."""
        admitted = 0
        for _ in range(times):
            try:
                waiting = self.requests.take(self.database, tenant.id)
                if waiting is not None:
                    await waiting
            except QuotaReachedError:
                break
            admitted += 1
        return admitted

    def forget(self, tenant_id):
        self.quotas.forget(tenant_id)
        self.requests.forget(tenant_id)


@pytest.fixture
def process(gate):
    return Process(gate)


async def limit(gate, tenant, *processes, **overrides):
    async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
        await gate.tenants.plans.set_quotas(tx, tenant.id, overrides=overrides)
    for each in processes:
        each.forget(tenant.id)


async def counted(gate, tenant):
    async with gate.database.read(Scope("t", tenant.id)) as tx:
        rows = await tx.execute(
            sa.select(CountRow.quota, CountRow.window, CountRow.used).where(
                CountRow.tenant_id == tenant.id
            )
        )
        return {(row.quota, row.window): row.used for row in rows}


class TestTake:
    @pytest.mark.slow
    async def test_five_processes_admit_exactly_the_quota_together(self, gate):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=300, requests_a_month=1000)
        processes = [Process(gate) for _ in range(5)]
        admitted = await asyncio.gather(*(one.take(tenant, 300) for one in processes))
        assert sum(admitted) == 300
        assert min(admitted) > 0
        assert set((await counted(gate, tenant)).values()) == {300}

    async def test_one_process_asked_many_times_at_once(self, gate, process):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=40)
        admitted = await asyncio.gather(*(process.take(tenant) for _ in range(60)))
        assert sum(admitted) == 40

    async def test_the_narrower_of_day_and_month_holds(self, gate, process):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=50, requests_a_month=30)
        assert await process.take(tenant, 100) == 30
        with pytest.raises(QuotaReachedError, match="30 of 30 requests_a_month"):
            process.requests.take(gate.database, tenant.id)  # from memory

    async def test_nothing_is_allowed_of_nothing(self, gate, process):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=0)
        assert await process.take(tenant) == 0

    async def test_a_block_costs_one_transaction(self, gate, process):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=100_000)
        assert await process.take(tenant, 1) == 1
        # Nothing is waited for until the block is spent.
        for _ in range(999):
            assert process.requests.take(gate.database, tenant.id) is None
        assert set((await counted(gate, tenant)).values()) == {1000}
        waiting = process.requests.take(gate.database, tenant.id)
        assert waiting is not None
        await waiting
        assert set((await counted(gate, tenant)).values()) == {2000}

    async def test_who_has_none_is_asked_about_once_and_writes_nothing(self, gate, process):
        tenant = await gate.tenant()
        await limit(gate, tenant, emails_a_day=5)
        assert await process.take(tenant) == 1
        gate.clock.advance(30 * DAY)
        for _ in range(100):
            assert process.requests.take(None, tenant.id) is None  # no database is at hand
        assert await counted(gate, tenant) == {}

    @pytest.mark.slow
    async def test_a_killed_process_takes_its_block_along_and_no_more_is_admitted(self, gate):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=160)
        killed, other = Process(gate), Process(gate)
        assert await killed.take(tenant, 4) == 4  # of a block of ten
        assert await other.take(tenant, 1000) == 150

    @pytest.mark.slow
    async def test_a_new_day_begins_anew_and_the_month_goes_on(self, gate, process):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=160, requests_a_month=200)
        assert await process.take(tenant, 12) == 12  # two of ten, eight are left of the second
        gate.clock.advance(DAY)
        assert await process.take(tenant, 1000) == 160
        gate.clock.advance(DAY)
        assert await process.take(tenant, 1000) == 200 - 172
        first = gate.clock.now - timedelta(days=2)
        found = await counted(gate, tenant)
        assert found["requests_a_day", window_of("requests_a_day", first).name] == 12
        assert found["requests_a_month", window_of("requests_a_month", first).name] == 200


class TestGivingBack:
    async def test_at_the_end(self, gate):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=160)
        ends, other = Process(gate), Process(gate)
        assert await ends.take(tenant, 4) == 4
        await ends.requests.flush(gate.database, everything=True)
        assert set((await counted(gate, tenant)).values()) == {4}
        assert await other.take(tenant, 1000) == 156

    async def test_after_a_while_without_requests(self, gate, process):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=160)
        assert await process.take(tenant, 4) == 4
        for _ in range(6):
            await process.requests.flush(gate.database)
            assert set((await counted(gate, tenant)).values()) == {10}
        await process.requests.flush(gate.database)
        assert set((await counted(gate, tenant)).values()) == {4}

    async def test_a_refused_process_finds_it_within_seconds(self, gate):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=160)
        idle, busy = Process(gate), Process(gate)
        assert await idle.take(tenant, 1) == 1
        assert await busy.take(tenant, 1000) == 150
        await idle.requests.flush(gate.database, everything=True)
        assert await busy.take(tenant) == 0  # remembered as full
        gate.clock.advance(5.1)
        assert await busy.take(tenant, 1000) == 9


class TestChanges:
    async def test_more_and_less_hold_at_once(self, gate, process):
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=5)
        assert await process.take(tenant, 10) == 5
        await limit(gate, tenant, process, requests_a_day=7)
        assert await process.take(tenant, 10) == 2
        await limit(gate, tenant, process, requests_a_day=1000)
        assert await process.take(tenant, 3) == 3  # of 62
        await limit(gate, tenant, process, requests_a_day=11)
        assert await process.take(tenant, 10) == 1
        await limit(gate, tenant, process)
        assert await process.take(tenant, 100) == 100
        await limit(gate, tenant, process, requests_a_day=12)
        assert await process.take(tenant, 10) == 1

    async def test_a_change_while_a_block_is_drawn_is_not_missed(self, gate, process):
        """By limits from before it nothing is spent, whichever came first."""
        tenant = await gate.tenant()
        await limit(gate, tenant, requests_a_day=10_000)
        waiting = asyncio.ensure_future(process.take(tenant))
        for _ in range(200):
            await asyncio.sleep(0)
            process.forget("")
            if waiting.done():
                break
        assert await waiting == 1
        await process.requests.flush(gate.database, everything=True)
        assert set((await counted(gate, tenant)).values()) == {1}

    async def test_a_tenant_that_had_none_gets_one(self, gate, process):
        tenant = await gate.tenant()
        assert await process.take(tenant, 50) == 50
        await limit(gate, tenant, process, requests_a_day=3)
        assert await process.take(tenant, 50) == 3


@pytest.fixture
async def ada(app):
    return await app.caller()


async def allow(app, tenant, **overrides):
    async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
        plans = app.platform.of(TenantManager).plans
        await plans.set_quotas(tx, tenant.id, overrides=overrides)


async def used(caller):
    items = (await caller.http.get("/api/v1/quotas")).json()["items"]
    return {one["quota"]: one["used"] for one in items}


class TestRequests:
    async def test_says_what_is_reached_and_until_when(self, app, ada):
        await allow(app, ada.tenant, requests_a_day=3)
        statuses = [(await ada.http.get("/api/v1/me")).status_code for _ in range(3)]
        assert statuses == [200] * 3
        for _ in range(2):  # the second from memory
            refused = await ada.http.get("/api/v1/me")
            body = refused.json()
            assert (refused.status_code, body["code"]) == (429, "tenant.quota_reached")
            assert (body["quota"], body["limit"], body["used"]) == ("requests_a_day", 3, 3)
            wait = timedelta(seconds=int(refused.headers["Retry-After"]))
            assert timedelta(0) < wait <= timedelta(days=1)
            resets = window_of("requests_a_day", datetime.now(UTC)).resets_at
            assert datetime.fromisoformat(body["resets_at"]) == resets

    async def test_is_refused_before_the_body(self, app, ada):
        await allow(app, ada.tenant, requests_a_day=0)
        answer = await ada.http.post("/api/v1/emails", content=b"{")
        assert answer.json()["code"] == "tenant.quota_reached"

    async def test_looking_at_the_quotas_is_free_and_always_allowed(self, app, ada):
        await allow(app, ada.tenant, requests_a_day=1)
        for path in ("/api/v1/quotas", "/api/v1/usage"):
            assert (await ada.http.get(path)).status_code == 200
        assert (await used(ada))["requests_a_day"] == 0
        assert (await ada.http.get("/api/v1/me")).status_code == 200
        assert (await ada.http.get("/api/v1/me")).status_code == 429
        assert (await used(ada))["requests_a_day"] == 1
        assert (await ada.http.get("/api/v1/usage")).status_code == 200

    async def test_what_is_refused_by_its_head_is_not_counted(self, app, ada):
        viewer = await app.caller("viewer", ada.tenant)
        await allow(app, ada.tenant, requests_a_day=100)
        refused = [
            await viewer.http.post("/api/v1/emails", json={}),
            await ada.http.get("/api/v1/nothing"),
            await ada.http.delete("/api/v1/me"),
            await ada.http.get("/api/v1/me?no=1"),
            await app.client(Authorization="Bearer no").get("/api/v1/me"),
        ]
        assert [one.status_code for one in refused] == [403, 404, 405, 422, 401]
        assert (await used(ada))["requests_a_day"] == 0
        # One that was admitted counts, whatever is then answered.
        assert (await ada.http.post("/api/v1/emails", json={})).status_code == 422
        assert (await used(ada))["requests_a_day"] == 1

    async def test_the_console_is_neither_counted_nor_refused(self, app, ada, monkeypatch):
        gateway = app.platform.of(GatewayManager)
        known = gateway.cached_principal

        def of_console(credential):
            found = known(credential)
            return found and replace(found, console=True)

        assert (await ada.http.get("/api/v1/me")).status_code == 200
        await allow(app, ada.tenant, requests_a_day=0)
        assert (await ada.http.get("/api/v1/me")).status_code == 429
        monkeypatch.setattr(gateway, "cached_principal", of_console)
        assert (await ada.http.get("/api/v1/me")).status_code == 200
        body = {"name": "k", "role": "viewer"}
        assert (await ada.http.post("/api/v1/api-keys", json=body)).status_code == 201

    async def test_an_answer_given_again_counts_as_well(self, app, ada):
        await allow(app, ada.tenant, requests_a_day=2)
        once = {"Idempotency-Key": "k-1"}
        body = {"name": "k", "role": "viewer"}
        answers = [
            await ada.http.post("/api/v1/api-keys", json=body, headers=once) for _ in range(3)
        ]
        assert [one.status_code for one in answers] == [201, 201, 429]

    async def test_is_lifted_at_once_and_another_tenant_has_its_own(self, app, ada):
        other = await app.caller()
        await allow(app, ada.tenant, requests_a_day=0)
        assert (await ada.http.get("/api/v1/me")).status_code == 429
        assert (await other.http.get("/api/v1/me")).status_code == 200
        await allow(app, ada.tenant)
        assert (await ada.http.get("/api/v1/me")).status_code == 200

    async def test_tells_at_80_per_cent_and_at_the_end_once(self, app, ada):
        await allow(app, ada.tenant, requests_a_day=5)
        for _ in range(7):
            await ada.http.get("/api/v1/me")
        await app.platform.of(TenantManager).flush(app.platform.database)
        async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
            rows = await tx.scalars(
                sa.select(EventRecord)
                .where(
                    EventRecord.tenant_id == ada.tenant.id, EventRecord.kind.startswith("quota.")
                )
                .order_by(EventRecord.id)
            )
            told = [(row.kind, row.subject, row.data["used"]) for row in rows]
        assert told == [
            ("quota.nearing", "quota:requests_a_day", 4),
            ("quota.reached", "quota:requests_a_day", 5),
        ]

    async def test_the_data_plane_counts_too(self, app, ada):
        await allow(app, ada.tenant, requests_a_day=1)
        token = {"token": "x"}
        answers = [await ada.http.post("/oauth/introspect", data=token) for _ in range(2)]
        assert [one.status_code for one in answers] == [200, 429]
