"""Objectives: promised, measured, judged by what was counted, and frozen where nothing counts."""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.events import EventCursor, EventRecord, read_events
from backend.kit.histogram import empty
from backend.managers.metrics import MetricsManager
from backend.managers.metrics.models import RollupRow, SeriesRow
from backend.managers.monitoring import OUTCOMES, PLATFORM_SLOS, Health, MonitoringManager
from backend.managers.monitoring import _outcomes as outcomes
from backend.managers.monitoring._budget import Counted
from backend.managers.monitoring.models import OutcomeRow, SloRow
from tests.integration.tenant.test_lifecycle import people, root
from tests.support.platform import App, TenantClient

__all__ = ["people", "root"]

MAIL = {"name": "Mail is taken", "kind": "success", "objective": 0.99, "of": "emails"}
SERVED = {"name": "Served", "kind": "availability", "objective": 0.999}
WELL = Health("database", ok=True, required=True, milliseconds=1.0, detail="")
GONE = Health("database", ok=False, required=True, milliseconds=1.0, detail="")


@pytest_asyncio.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller()


@pytest.fixture
def monitoring(app: App) -> MonitoringManager:
    return app.platform.of(MonitoringManager)


async def promise(who: TenantClient, body: Mapping[str, Any] = MAIL) -> Any:
    answer = await who.http.post("/api/v1/slos", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def ask(who: TenantClient, slo: Mapping[str, Any]) -> Any:
    answer = await who.http.get(f"/api/v1/slos/{slo['id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def count(app: App, tenant_id: str, counted: str, minutes: float, amount: Counted) -> None:
    """Let so much have ended so long ago."""
    async with app.platform.database.transaction(Scope("test", tenant_id)) as tx:
        then = int((tx.now() - timedelta(minutes=minutes)).timestamp())
        await outcomes.add(tx, counted, then, amount)


async def happen(app: App, who: TenantClient, **kinds: int) -> None:
    """Let so many events be there, numbered."""
    async with app.platform.database.transaction(Scope("test", who.tenant.id)) as tx:
        for kind, times in kinds.items():
            for _ in range(times):
                tx.emit(kind.replace("_", "."), "email:1")
    await app.sequence()


async def take(app: App, who: TenantClient, monitoring: MonitoringManager) -> None:
    """Count them, twice: a consumer may be called again."""
    async with app.platform.database.read(Scope("test", who.tenant.id)) as tx:
        events = await read_events(tx, after=0, limit=1000)
    for _ in range(2):
        await monitoring.outcomes.take(app.platform.database, who.tenant.id, events)
    async with app.platform.database.transaction(Scope("test", who.tenant.id)) as tx:
        row = {"tenant_id": who.tenant.id, "name": outcomes.CURSOR, "seq": events[-1].seq}
        row |= {"fence": 0, "holder": "", "free_at": tx.now(), "failures": 0, "error": ""}
        moved = {"seq": row["seq"]}
        await tx.upsert(EventCursor, row, conflict=["tenant_id", "name"], update=moved)


class TestPromise:
    async def test_is_listed_got_changed_and_taken_back(self, app: App, ada: TenantClient) -> None:
        made = await promise(ada)
        assert (made["state"], made["window_days"], made["value"]) == ("not_measured", 30, None)
        assert made["reason"] == "Nothing happened in the window."
        page = (await ada.http.get("/api/v1/slos")).json()
        assert [one["id"] for one in page["items"]] == [made["id"]]
        changed = {**MAIL, "objective": 0.5, "window_days": 7}
        answer = await ada.http.put(f"/api/v1/slos/{made['id']}", json=changed)
        assert (answer.status_code, answer.json()["objective"]) == (200, 0.5)
        assert (await ada.http.delete(f"/api/v1/slos/{made['id']}")).status_code == 204
        assert (await ada.http.get(f"/api/v1/slos/{made['id']}")).status_code == 404
        await app.sequence()
        acts = [one.action for one in await ada.audit(app.platform) if "slo." in one.action]
        assert acts == ["slo.deleted", "slo.changed", "slo.created"]

    async def test_refuses_what_the_kind_cannot_be_measured_by(self, ada: TenantClient) -> None:
        for more, pointer, words in (
            ({"of": None}, "/body/of", "success needs of"),
            ({"of": "pigeons"}, "/body/of", "There is success of emails, jobs"),
            ({"of": "metric"}, "/body/good_metric", "success needs good_metric"),
            ({"within_ms": 5}, "/body/within_ms", "success has no within_ms"),
            ({"kind": "latency", "of": None}, "/body/within_ms", "latency needs within_ms"),
            ({"kind": "freshness", "of": None}, "/body/metric", "freshness needs metric"),
            ({"kind": "availability"}, "/body/of", "availability has no of"),
        ):
            answer = await ada.http.post("/api/v1/slos", json={**MAIL, **more})
            found = answer.json()
            assert (answer.status_code, found["code"]) == (422, "monitoring.slo_invalid"), more
            assert found["errors"][0]["pointer"] == pointer, found
            assert words in found["detail"], found

    async def test_a_budget_is_needed(self, ada: TenantClient) -> None:
        for objective in (0, 1, 1.5, -1):
            answer = await ada.http.post("/api/v1/slos", json={**MAIL, "objective": objective})
            assert answer.status_code == 422, objective

    async def test_a_name_is_taken_once(self, ada: TenantClient) -> None:
        await promise(ada)
        other = await promise(ada, SERVED)
        for answer in (
            await ada.http.post("/api/v1/slos", json=MAIL),
            await ada.http.put(f"/api/v1/slos/{other['id']}", json=MAIL),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "monitoring.slo_exists")

    async def test_nobody_overwrites_what_they_have_not_seen(self, ada: TenantClient) -> None:
        made = await promise(ada)
        path = f"/api/v1/slos/{made['id']}"
        seen = (await ada.http.get(path)).headers["ETag"]
        assert seen == f'"{made["version"]}"'
        headers = {"If-Match": seen}
        first = await ada.http.put(path, json={**MAIL, "objective": 0.9}, headers=headers)
        assert first.status_code == 200, first.text
        late = await ada.http.put(path, json={**MAIL, "objective": 0.5}, headers=headers)
        assert (late.status_code, late.json()["code"]) == (412, "monitoring.slo_changed")
        assert (await ada.http.get(path)).json()["objective"] == 0.9
        headers = {"If-Match": first.headers["ETag"]}
        again = await ada.http.put(path, json={**MAIL, "objective": 0.5}, headers=headers)
        assert again.status_code == 200, again.text

    async def test_fifty_are_all(self, ada: TenantClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("backend.managers.monitoring._slos.MAX_SLOS", 1)
        await promise(ada)
        answer = await ada.http.post("/api/v1/slos", json=SERVED)
        assert (answer.status_code, answer.json()["code"]) == (409, "monitoring.too_many_slos")

    async def test_another_tenants_is_not_there(self, app: App, ada: TenantClient) -> None:
        made, eve = await promise(ada), await app.caller()
        path = f"/api/v1/slos/{made['id']}"
        for answer in (
            await eve.http.get(path),
            await eve.http.put(path, json=MAIL),
            await eve.http.delete(path),
        ):
            assert answer.json()["code"] == "monitoring.slo_not_found"
        assert (await eve.http.get("/api/v1/slos")).json()["items"] == []
        assert (await ask(ada, made))["name"] == MAIL["name"]


class TestOfEvents:
    async def test_counts_each_once_and_judges(
        self, app: App, ada: TenantClient, monitoring: MonitoringManager
    ) -> None:
        made = await promise(ada)
        await happen(app, ada, email_accepted=87, email_bounced=12, email_partial=1, job_dead=3)
        await take(app, ada, monitoring)
        found = await ask(ada, made)
        assert (found["good"], found["total"], found["value"]) == (87, 100, 0.87)
        assert (found["state"], found["budget_left"]) == ("missed", -12.0)
        assert found["budget"] == {"allowed": 1.0, "spent": 13, "left": -12.0}
        assert found["reason"] == "87 % of 100 were good; 99 % is the target."
        assert (len(found["days"]), found["days"][-1]["total"]) == (30, 100)

    async def test_freezes_while_events_wait(
        self, app: App, ada: TenantClient, monitoring: MonitoringManager
    ) -> None:
        made = await promise(ada)
        await happen(app, ada, email_accepted=5)
        await take(app, ada, monitoring)
        assert (await ask(ada, made))["state"] == "met"
        # The consumer stands still: what bounces now is not counted.
        await happen(app, ada, email_bounced=5)
        assert (await ask(ada, made))["state"] == "met"
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            await tx.execute(
                sa.update(EventRecord)
                .where(EventRecord.kind == "email.bounced")
                .values(at=tx.now() - timedelta(hours=1))
            )
        found = await ask(ada, made)
        assert (found["state"], found["good"], found["total"]) == ("not_measured", 5, 5)
        assert found["since"] is not None
        assert "Nothing has been measured since" in found["reason"]

    async def test_what_fails_now_puts_a_whole_month_at_risk(
        self, app: App, ada: TenantClient
    ) -> None:
        made = await promise(ada, {**MAIL, "objective": 0.95})
        await count(app, ada.tenant.id, "emails", 20 * 1440, Counted(1_000_000, 1_000_000))
        # Wherever the clock stands, one of the two is in the last five minutes that are settled.
        for minutes in (5, 10):
            await count(app, ada.tenant.id, "emails", minutes, Counted(100, 500))
        found = await ask(ada, made)
        assert (found["total"], found["budget_left"] > 0.98) == (1_001_000, True)
        assert found["state"] == "at_risk"
        assert found["reason"] == (
            "The budget burns 16 times as fast as it may, over the last 60 min."
        )
        assert [
            (one["severity"], one["long_seconds"], one["long_rate"], one["burning"])
            for one in found["burns"]
        ] == [
            ("page", 3600, 16.0, True),
            ("page", 6 * 3600, 16.0, True),
            ("ticket", 86_400, 16.0, True),
            ("ticket", 3 * 86_400, 16.0, True),
        ]

    async def test_knows_its_window_and_the_one_before(self, app: App, ada: TenantClient) -> None:
        made = await promise(ada, {**MAIL, "window_days": 7})
        for days, good in ((1, 100), (10, 50), (20, 0)):
            await count(app, ada.tenant.id, "emails", days * 1440, Counted(good, 100))
        found = await ask(ada, made)
        assert (found["value"], found["value_before"], found["state"]) == (1.0, 0.5, "met")
        assert len(found["days"]) == 7


class TestByClock:
    async def measure(self, app: App, monitoring: MonitoringManager) -> int:
        """As often as it is asked: who has the lease has it on."""
        return await monitoring.measure(app.platform.database)

    async def test_requests_are_counted_late_and_twice_and_once(
        self, app: App, ada: TenantClient, monitoring: MonitoringManager
    ) -> None:
        made, fast = (
            await promise(ada, SERVED),
            await promise(ada, {"name": "Fast", "kind": "latency", "within_ms": 100,
                                "objective": 0.95}),
        )  # fmt: skip
        await self.age(app, ada)
        await self.rollup(app, ada, minutes=10, requests=100, errors=2, bucket=5)
        for _ in range(2):
            assert await self.measure(app, monitoring) == 2
        found = await ask(ada, made)
        assert (found["good"], found["total"], found["state"]) == (98, 100, "missed")
        assert (await ask(ada, fast))["value"] == 1.0
        # What another process wrote late is counted, and what was counted is not counted anew.
        await self.rollup(app, ada, minutes=10, requests=100, errors=0, bucket=40)
        await self.measure(app, monitoring)
        found = await ask(ada, made)
        assert (found["good"], found["total"]) == (198, 200)
        assert (await ask(ada, fast))["value"] == 0.5

    async def test_a_change_of_what_is_counted_begins_anew(
        self, app: App, ada: TenantClient, monitoring: MonitoringManager
    ) -> None:
        made = await promise(ada, SERVED)
        await self.age(app, ada)
        await self.rollup(app, ada, minutes=10, requests=100, errors=2, bucket=5)
        await self.measure(app, monitoring)
        path = f"/api/v1/slos/{made['id']}"
        kept = (await ada.http.put(path, json={**SERVED, "objective": 0.9})).json()
        assert (kept["total"], kept["state"]) == (100, "met")
        latency = {"name": "Served", "kind": "latency", "objective": 0.9, "within_ms": 5}
        fresh = (await ada.http.put(path, json=latency)).json()
        assert (fresh["total"], fresh["state"]) == (0, "not_measured")
        assert fresh["reason"] == "Nothing has been measured yet."

    async def test_two_counters_of_the_tenants_own(
        self, app: App, ada: TenantClient, monitoring: MonitoringManager
    ) -> None:
        body = {"name": "Orders", "kind": "success", "objective": 0.9, "of": "metric",
                "metric": "orders_total", "good_metric": "orders_paid_total"}  # fmt: skip
        made = await promise(ada, body)
        await self.age(app, ada)
        await self.measure(app, monitoring)
        found = await ask(ada, made)
        assert (found["state"], found["reason"]) == (
            "not_measured",
            "The metric orders_total has not been recorded yet.",
        )
        await self.record(app, ada, {"orders_total": 20.0, "orders_paid_total": 19.0}, minutes=10)
        await self.measure(app, monitoring)
        found = await ask(ada, made)
        assert (found["good"], found["total"], found["state"]) == (19, 20, "met")

    async def test_fresh_data_is_looked_at(
        self, app: App, ada: TenantClient, monitoring: MonitoringManager
    ) -> None:
        body = {"name": "Stock", "kind": "freshness", "objective": 0.5,
                "metric": "stock_level", "within_seconds": 3600}  # fmt: skip
        made = await promise(ada, body)
        await self.record(app, ada, {"stock_level": 5.0}, minutes=30)
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            await tx.execute(sa.update(SeriesRow).values(last_at=tx.now() - timedelta(minutes=30)))
        await self.measure(app, monitoring)
        found = await ask(ada, made)
        assert (found["good"], found["total"], found["state"]) == (1, 1, "met")
        stale = (await ada.http.put(
            f"/api/v1/slos/{made['id']}", json={**body, "within_seconds": 60}
        )).json()  # fmt: skip
        assert stale["total"] == 0
        await self.measure(app, monitoring)
        assert (await ask(ada, made))["good"] == 0

    async def age(self, app: App, who: TenantClient) -> None:
        """Let the tenant's objectives have been there for two hours."""
        async with app.platform.database.transaction(Scope("test", who.tenant.id)) as tx:
            then = tx.now() - timedelta(hours=2)
            await tx.execute(sa.update(SloRow).values(created_at=then))

    async def rollup(
        self, app: App, who: TenantClient, *, minutes: int, requests: int, errors: int, bucket: int
    ) -> None:
        buckets = empty()
        buckets[bucket] = requests
        async with app.platform.database.transaction(Scope("test", who.tenant.id)) as tx:
            row = {"tenant_id": who.tenant.id, "process": secrets.token_hex(4), "refusals": 0}
            row |= {"window_at": tx.now() - timedelta(minutes=minutes), "seconds_sum": 1.0}
            row |= {"requests": requests, "errors": errors, "buckets": buckets}
            await tx.insert(RollupRow, [row])

    async def record(
        self, app: App, who: TenantClient, values: Mapping[str, float], *, minutes: int
    ) -> None:
        async with app.platform.database.read(Scope("test", who.tenant.id)) as tx:
            at = (tx.now() - timedelta(minutes=minutes)).isoformat()
        items = [
            {"name": name, "kind": "counter" if name.endswith("_total") else "gauge",
             "value": value, "at": at}
            for name, value in values.items()
        ]  # fmt: skip
        answer = await who.http.post("/api/v1/metrics", json={"items": items})
        assert answer.status_code in {200, 202}, answer.text
        metrics = app.platform.of(MetricsManager)
        await metrics.fold(app.platform.database)
        await metrics.roll_up(app.platform.database)


class TestOfThePlatform:
    async def read(self, root: httpx.AsyncClient) -> dict[str, Any]:
        answer = await root.get("/api/v1/platform/slos")
        assert answer.status_code == 200, answer.text
        return {one["id"]: one for one in answer.json()["items"]}

    async def test_ships_the_targets_and_none_is_green_unmeasured(
        self, root: httpx.AsyncClient
    ) -> None:
        found = await self.read(root)
        assert {name: one["target"] for name, one in found.items()} == {
            "latency": "95 % within 100 ms",
            "errors": "99.9 %",
            "uptime": "99.9 %",
            "sign_ins": "99.99 %",
            "workflows": "99 %",
            "throughput": "at least 1000 requests/s",
            "failover": "at most 30 s",
            "recovery": "at most 120 s",
            "security_incidents": "at most 0 incidents",
        }
        by_count = {"sign_ins"}  # whoever asks has just signed in
        for name in found.keys() - by_count:
            assert found[name]["state"] == "not_measured", name
            assert found[name]["reason"], name
        assert found["workflows"]["reason"] == "Nothing tells yet how they end."
        assert found["failover"]["reason"] == "No drill has been recorded."

    async def test_counts_what_this_process_sees(
        self, app: App, root: httpx.AsyncClient, monitoring: MonitoringManager
    ) -> None:
        database = app.platform.database
        app.asgi._telemetry.drain()
        monitoring._book.note(database.clock(), [WELL])
        monitoring._book.note(database.clock(), [GONE])
        await monitoring._book.flush(database, everything=True)
        found = await self.read(root)
        assert (found["uptime"]["good"], found["uptime"]["total"]) == (1, 2)
        assert found["uptime"]["state"] == "missed"
        assert found["errors"]["total"] >= 1
        assert found["errors"]["state"] == "met"
        assert found["latency"]["total"] == found["errors"]["total"]
        detail = (await root.get("/api/v1/platform/slos/uptime")).json()
        assert (len(detail["burns"]), len(detail["days"])) == (4, 30)

    async def test_old_counts_are_frozen(self, app: App, root: httpx.AsyncClient) -> None:
        async with app.platform.database.transaction(SystemScope(PLATFORM_SLOS)) as tx:
            for counted in (outcomes.LOOKS, outcomes.SERVED_REQUESTS):
                then = int((tx.now() - timedelta(hours=3)).timestamp())
                await outcomes.add(tx, counted, then, Counted(100, 100))
        found = await self.read(root)
        for name in ("uptime", "errors"):
            assert (found[name]["state"], found[name]["value"]) == ("not_measured", 1.0)
            assert found[name]["since"] is not None

    async def test_evidence_decides_by_its_day(self, app: App, root: httpx.AsyncClient) -> None:
        async def record(value: float, days: float, kind: str = "failover") -> httpx.Response:
            at = (app.platform.database.clock() - timedelta(days=days)).isoformat()
            body = {"kind": kind, "value": value, "at": at, "source": "scripts/drill failover"}
            return await root.post("/api/v1/platform/evidence", json=body)

        assert (await record(12.0, 100)).status_code == 201
        found = (await self.read(root))["failover"]
        assert (found["state"], found["value"]) == ("not_measured", 12.0)
        assert found["reason"].endswith("it is to be repeated.")
        assert (await record(31.0, 10)).status_code == 201
        found = (await self.read(root))["failover"]
        assert (found["state"], found["value"], found["value_before"]) == ("missed", 31.0, 12.0)
        assert found["evidence"]["source"] == "scripts/drill failover"
        assert (await record(30.0, 1)).status_code == 201
        assert (await self.read(root))["failover"]["state"] == "met"
        assert (await record(999.0, 1, "throughput")).status_code == 201
        assert (await self.read(root))["throughput"]["state"] == "missed"
        late = await record(1.0, -1)
        assert (late.status_code, late.json()["code"]) == (422, "monitoring.evidence_time")
        listed = (await root.get("/api/v1/platform/evidence?kind=failover")).json()["items"]
        assert [one["value"] for one in listed] == [30.0, 31.0, 12.0]

    async def test_is_not_for_tenants(self, ada: TenantClient) -> None:
        for path in ("slos", "slos/uptime", "evidence"):
            assert (await ada.http.get(f"/api/v1/platform/{path}")).status_code == 403


class TestSweep:
    async def test_forgets_five_minutes_after_four_days_and_hours_after_half_a_year(
        self, app: App, ada: TenantClient, monitoring: MonitoringManager
    ) -> None:
        for days in (1, 5, 191):
            await count(app, ada.tenant.id, "emails", days * 1440, Counted(1, 1))
        async with app.platform.database.transaction(SystemScope(OUTCOMES)) as tx:
            assert await monitoring.sweep_outcomes(tx) == 3
            left = await tx.scalars(sa.select(OutcomeRow).order_by(OutcomeRow.step_seconds))
            assert [row.step_seconds for row in left] == [300, 3600, 3600]
