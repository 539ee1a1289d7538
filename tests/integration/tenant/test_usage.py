"""Usage by day: what feeds it, that nothing counts twice, and what is forgotten."""

import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.cursors import EventDispatcher
from backend.core.events import read_events
from backend.managers.tenant import RETENTION, TenantManager
from backend.managers.tenant._usage import UsageBook
from backend.managers.tenant.models import CountRow, UsageRow
from tests.integration.tenant.test_lifecycle import MAIL, at, people, root
from tests.support.errands import EVERYTHING

__all__ = ["people", "root"]


@pytest.fixture
async def ada(app):
    return await app.caller()


@pytest.fixture
def tenants(app):
    return app.platform.of(TenantManager)


async def today(http, path="/api/v1/usage"):
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    days = answer.json()["days"]
    return days[-1] if days else None


async def happen(app, tenant, *kinds):
    """Let events of these kinds be there, numbered."""
    async with app.platform.database.transaction(Scope("t", tenant.id)) as tx:
        for kind in kinds:
            tx.emit(kind, "email:1")
    await app.sequence()
    async with app.platform.database.read(Scope("t", tenant.id)) as tx:
        return await read_events(tx, after=0, limit=100)


class TestRequests:
    async def test_count_after_their_answers(self, app, ada, tenants):
        for _ in range(3):
            await ada.http.get("/api/v1/members")
        app.asgi._telemetry.drain()
        await tenants.flush(app.platform.database)
        before = (await today(ada.http))["requests"]
        assert before >= 3
        app.asgi._telemetry.drain()
        await tenants.flush(app.platform.database)
        assert (await today(ada.http))["requests"] == before + 1


class TestTake:
    async def test_counts_each_event_once_however_often_it_comes(self, app, ada, tenants):
        events = await happen(
            app, ada.tenant, "email.accepted", "email.bounced", "job.dead", "member.removed"
        )
        for part in (events, events, events[1:]):
            await tenants.usage.take(app.platform.database, ada.tenant.id, part)
        shown = await today(ada.http)
        assert (shown["emails_accepted"], shown["emails_bounced"], shown["jobs_ended"]) == (1, 1, 3)

    async def test_is_fed_by_the_dispatcher(self, app, ada):
        consumer = next(one for one in app.platform.event_consumers if one.name == "tenant.usage")
        dispatcher = EventDispatcher(app.platform.database, [consumer], poll_seconds=0.01)
        async with dispatcher.running():
            await happen(app, ada.tenant, "email.accepted")
            until = time.monotonic() + 300
            while not await today(ada.http):
                assert time.monotonic() < until
        assert (await today(ada.http))["emails_accepted"] == 1


class TestMeasure:
    async def test_looks_up_what_there_is(self, app, root, ada, tenants):
        await ada.http.post("/api/v1/emails", json=MAIL)
        await tenants.usage.measure(app.platform.database)
        path = at(ada.tenant, "/usage")
        shown = await today(root, path)
        assert shown["storage_bytes"] > 0
        assert (await today(root, at(root.home, "/usage")))["members"] == 1
        now = (await root.get(path)).json()["now"]
        assert now["clients"] == 1
        assert {"api_keys", "jobs_running", "jobs_waiting", "members", "storage_bytes"} < set(now)

    async def test_one_process_at_a_time(self, app, ada, tenants):
        await tenants.usage.measure(app.platform.database)
        await ada.http.post("/api/v1/emails", json=MAIL)
        await UsageBook(tenants.quotas).measure(app.platform.database)
        assert (await today(ada.http))["storage_bytes"] == 0
        await tenants.usage.measure(app.platform.database)
        assert (await today(ada.http))["storage_bytes"] > 0


class TestDescribe:
    @pytest.mark.parametrize(
        "query",
        ["from=2026-02-30", "from=x", "from=2026-02-02&to=2026-02-01", "from=2020-01-01"],
    )
    async def test_refuses_what_is_no_span_that_is_kept(self, ada, query):
        assert (await ada.http.get(f"/api/v1/usage?{query}")).status_code == 422

    async def test_is_the_tenants_own(self, app, root, ada):
        other = await app.caller()
        assert (await ada.http.get(at(other.tenant, "/usage"))).status_code == 403
        absent = at(type("T", (), {"id": "00000000-0000-7000-8000-000000000000"}), "/usage")
        assert (await root.get(absent)).status_code == 404


class TestSweep:
    async def test_forgets_what_is_older_than_400_days(self, app, ada, tenants):
        now = datetime.now(UTC)
        old, kept = (now - timedelta(days=n) for n in (402, 398))
        figures = dict.fromkeys(
            (
                "requests",
                "emails_accepted",
                "emails_bounced",
                "jobs_ended",
                "members",
                "storage_bytes",
            ),
            1,
        )
        async with app.platform.database.transaction(Scope("t", ada.tenant.id)) as tx:
            for day in (old, kept):
                await tx.insert(
                    UsageRow,
                    [{"tenant_id": ada.tenant.id, "day": f"{day:%Y-%m-%d}", **figures}],
                )
                await tx.insert(
                    CountRow,
                    [
                        {
                            "tenant_id": ada.tenant.id,
                            "quota": "emails_a_day",
                            "window": f"{day - timedelta(days=31 * (day is old)):%Y-%m-%d}",
                            "used": 1,
                            "most": 1,
                            "told": 0,
                        }
                    ],
                )
        async with app.platform.database.transaction(SystemScope(RETENTION)) as tx:
            assert await tenants.usage.sweep(tx) == 2
        async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
            assert await tx.scalars(sa.select(UsageRow.day)) == [f"{kept:%Y-%m-%d}"]
