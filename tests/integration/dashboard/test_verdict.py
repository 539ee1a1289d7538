"""The overview's sentence, of situations that are really made: it names the cause of each."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.core.clock import system_clock
from backend.core.context import Scope, SystemScope
from backend.core.database import db_now
from backend.core.errors import UnavailableError
from backend.core.ids import uuid7
from backend.kit.histogram import bucket_of, empty
from backend.managers.email.models import EmailRow, RecipientRow
from backend.managers.metrics.models import RollupRow
from backend.managers.monitoring import MonitoringManager
from backend.managers.orchestrator import WORK
from backend.managers.orchestrator._liveness import beat
from backend.managers.orchestrator.models import JobRow, WorkerRow
from tests.support.platform import App, TenantClient

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}


async def _takes_mail() -> str:
    return "250 ready"


@pytest_asyncio.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller()


@pytest_asyncio.fixture
async def working(app: App, ada: TenantClient) -> AsyncIterator[TenantClient]:
    """A platform that works and has something to do: what the situations are made of."""
    monitoring = app.platform.of(MonitoringManager)
    # Nothing listens on the port of the tests' mail server.
    monitoring.add_check("mail_server", _takes_mail, required=False)
    await look(app)
    async with app.platform.database.transaction(SystemScope(WORK)) as tx:
        await beat(tx, "w1")
    await serve(app, ada, requests=1000, seconds=0.02)
    yield ada


async def look(app: App) -> None:
    """Have this process look at the platform's health, now."""
    monitoring = app.platform.of(MonitoringManager)
    monitoring._latest = None
    await monitoring.probe(app.platform.database)


async def serve(
    app: App, who: TenantClient, *, requests: int, seconds: float, errors: int = 0
) -> None:
    buckets = empty()
    buckets[bucket_of(seconds)] = requests
    async with app.platform.database.transaction(Scope("test", who.tenant.id)) as tx:
        row = {"tenant_id": who.tenant.id, "process": uuid7(), "refusals": 0, "seconds_sum": 1.0}
        row |= {"window_at": tx.now() - timedelta(minutes=5)}
        row |= {"requests": requests, "errors": errors, "buckets": buckets}
        await tx.insert(RollupRow, [row])


async def send(app: App, who: TenantClient, count: int) -> list[dict[str, Any]]:
    body = {"messages": [EMAIL] * count}
    answer = await who.http.post("/api/v1/emails/batch", json=body)
    assert answer.status_code in {201, 202}, answer.text
    return list(answer.json()["items"])


async def settle(app: App, who: TenantClient, bounced: int, accepted: int, said: str) -> None:
    """Let so many messages have bounced, as delivery records it."""
    made = [one["id"] for one in await send(app, who, bounced + accepted)]
    async with app.platform.database.transaction(Scope("test", who.tenant.id)) as tx:
        for state, ids in (("bounced", made[:bounced]), ("accepted", made[bounced:])):
            await tx.execute(sa.update(EmailRow).where(EmailRow.id.in_(ids)).values(state=state))
            words = said if state == "bounced" else "250 ok"
            await tx.execute(
                sa.update(RecipientRow)
                .where(RecipientRow.email_id.in_(ids))
                .values(state=state, response=words)
            )
        await tx.execute(sa.update(JobRow).values(state="succeeded", finished_at=tx.now()))


async def verdict(who: TenantClient) -> Any:
    answer = await who.http.get("/api/v1/overview")
    assert answer.status_code == 200, answer.text
    return answer.json()["verdict"]


class TestSituations:
    async def test_all_good(self, working: TenantClient) -> None:
        found = await verdict(working)
        assert (found["severity"], found["cause"], found["others"]) == ("ok", "well", [])
        assert found["sentence"].startswith("All works: 1000 requests in the last 15 minutes")

    async def test_nobody_has_looked(self, ada: TenantClient) -> None:
        found = await verdict(ada)
        assert (found["severity"], found["cause"]) == ("unknown", "not_measured")

    async def test_no_traffic_is_not_no_errors(self, app: App, working: TenantClient) -> None:
        other = await app.caller()
        found = await verdict(other)
        assert (found["severity"], found["cause"]) == ("idle", "no_traffic")
        assert "0 %" not in found["sentence"]

    async def test_the_workers_stopped(self, app: App, working: TenantClient) -> None:
        await send(app, working, 2)
        async with app.platform.database.transaction(SystemScope(WORK)) as tx:
            await tx.execute(sa.update(WorkerRow).values(beat_at=db_now(-60.0)))
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("critical", "workers")
        assert found["sentence"].endswith("and work waits: no mail goes out and no job runs.")

    async def test_the_relay_is_down(self, app: App, working: TenantClient) -> None:
        async def refused() -> str:
            raise UnavailableError("mail.example.test: connection refused")

        app.platform.of(MonitoringManager).add_check("mail_server", refused, required=False)
        await look(app)
        await send(app, working, 3)
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("critical", "relay")
        assert "3 messages wait" in found["sentence"]
        # A tenant does not learn what our machines are called.
        assert "example.test" not in found["sentence"]

    async def test_thirteen_percent_bounce(self, app: App, working: TenantClient) -> None:
        await settle(app, working, 13, 87, "550 no such user")
        found = await verdict(working)
        assert (found["severity"], found["cause"], found["address"]) == (
            "critical",
            "bounces",
            "/emails?state=bounced",
        )
        assert found["sentence"] == (
            "13 % of the mail bounced in the last 15 minutes (13 of 100), "
            "most often: 550 no such user."
        )

    async def test_the_database_takes_nothing(self, app: App, working: TenantClient) -> None:
        async def read_only() -> str:
            raise UnavailableError("The database is read-only")

        app.platform.of(MonitoringManager).add_check("database", read_only)
        await look(app)
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("critical", "database")

    async def test_one_tenant_is_slow_and_the_other_is_not(
        self, app: App, working: TenantClient
    ) -> None:
        other = await app.caller()
        await serve(app, other, requests=100, seconds=3.0)
        assert (await verdict(other))["cause"] == "slow"
        assert (await verdict(working))["cause"] == "well"

    async def test_requests_fail(self, app: App, working: TenantClient) -> None:
        await serve(app, working, requests=1000, seconds=0.02, errors=200)
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("critical", "errors")
        assert found["sentence"] == "10 % of 2000 requests failed in the last 15 minutes."

    async def test_the_clocks_differ(
        self, app: App, working: TenantClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ahead = timedelta(seconds=90)
        monkeypatch.setattr(app.platform.database, "clock", lambda: system_clock() + ahead)
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("warning", "clock")
        assert "ahead of the database's" in found["sentence"]

    async def test_work_waits_although_somebody_works(
        self, app: App, working: TenantClient
    ) -> None:
        await send(app, working, 1)
        async with app.platform.database.transaction(Scope("test", working.tenant.id)) as tx:
            then = tx.now() - timedelta(minutes=20)
            await tx.execute(sa.update(JobRow).values(due_at=then))
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("warning", "queue")
