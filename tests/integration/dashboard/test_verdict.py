"""The overview's sentence, of situations that are really made: it names the cause of each."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.core.clock import system_clock
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, db_now
from backend.core.ids import uuid7
from backend.kit.histogram import bucket_of, empty
from backend.managers.email import EmailManager
from backend.managers.email.models import EmailRow, RecipientRow
from backend.managers.gateway.models import ApiKey
from backend.managers.logging import LoggingManager, LoggingSettings
from backend.managers.metrics.models import RollupRow
from backend.managers.monitoring import MonitoringManager
from backend.managers.monitoring import _outcomes as outcomes
from backend.managers.monitoring._budget import Counted
from backend.managers.monitoring.models import SloRow
from backend.managers.orchestrator import WORK, OrchestratorSettings
from backend.managers.orchestrator._liveness import beat
from backend.managers.orchestrator.models import JobRow, WorkerRow
from backend.settings import Settings
from tests.integration.tenant.test_lifecycle import people, root
from tests.support.platform import App, TenantClient

__all__ = ["people", "root"]

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}


async def _takes_mail() -> str:
    return "250 ready"


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    """With a cluster that logs are exported to, where nobody listens."""
    there = LoggingSettings(elasticsearch_url="http://127.0.0.1:9")
    # A heartbeat of a test is sent once; on a busy machine the rest takes longer than it lasts.
    patient = OrchestratorSettings(ttl_seconds=600)
    return app_settings.model_copy(update={"logging": there, "orchestrator": patient})


@pytest_asyncio.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller()


@pytest_asyncio.fixture
async def working(
    app: App, ada: TenantClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TenantClient]:
    """A platform that works and has something to do: what the situations are made of."""
    # On a busy machine an answer is late, and a late one is a situation of its own.
    monkeypatch.setattr("backend.managers.monitoring.manager._TIMEOUT_SECONDS", 60.0)
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


@asynccontextmanager
async def read_only(database: Database) -> AsyncIterator[None]:
    """Have all connections read and not write, as those to a standby do."""
    command = {
        "sqlite": "PRAGMA query_only = ON",
        "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    }[database.dialect]

    def hold(connection: Any, *_: object) -> None:
        cursor = connection.cursor()
        cursor.execute(command)
        cursor.close()
        if database.dialect == "postgresql":
            connection.commit()

    engine = database.engine.sync_engine
    await database.engine.dispose()
    sa.event.listen(engine, "connect", hold)
    try:
        yield
    finally:
        sa.event.remove(engine, "connect", hold)
        await database.engine.dispose()


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
            await tx.execute(sa.update(WorkerRow).values(beat_at=db_now(-3600.0)))
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("critical", "workers")
        assert found["sentence"].endswith("and work waits: no mail goes out and no job runs.")

    async def test_the_relay_is_down(self, app: App, working: TenantClient) -> None:
        emails = app.platform.of(EmailManager)
        app.platform.of(MonitoringManager).add_check(
            "mail_server", emails.check_default_relay, required=False
        )
        await look(app)
        await send(app, working, 3)
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("critical", "relay")
        assert "3 messages wait" in found["sentence"]
        # A tenant does not learn what our machines are called.
        assert "127.0.0.1" not in found["sentence"]

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

    async def test_the_database_is_read_only(self, app: App, working: TenantClient) -> None:
        async with read_only(app.platform.database):
            # It is kept when the database is back: the look itself is what counts here.
            await look(app)
            found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("critical", "database")
        assert found["sentence"] in {
            "Nothing can be written: it can only be read.",
            "Nothing can be written: its file cannot be written.",
        }

    async def test_one_tenant_is_slow_and_the_other_is_not(
        self, app: App, working: TenantClient
    ) -> None:
        other = await app.caller()
        await serve(app, other, requests=100, seconds=3.0)
        assert (await verdict(other))["cause"] == "slow"
        assert (await verdict(working))["cause"] == "well"

    async def test_the_platform_names_the_tenant_that_is_slow(
        self, app: App, working: TenantClient, root: httpx.AsyncClient
    ) -> None:
        other = await app.caller()
        await serve(app, other, requests=100, seconds=3.0)
        found = (await root.get("/api/v1/platform/overview")).raise_for_status().json()
        told = found["verdict"]
        assert (told["severity"], told["cause"]) == ("warning", "slow_tenant")
        assert told["sentence"].startswith(f"Requests of {other.tenant.name} are slow: 95 % within")
        assert told["address"] == f"/tenants?id={other.tenant.id}"
        assert [one["id"] for one in found["tenants"]] == [other.tenant.id, working.tenant.id]
        assert (found["requests"], found["asking"], found["error_rate"]) == (1100, 2, 0)
        assert (await working.http.get("/api/v1/platform/overview")).status_code == 403

    async def test_the_platform_is_told_in_the_words_of_the_checks(
        self, app: App, working: TenantClient, root: httpx.AsyncClient
    ) -> None:
        emails = app.platform.of(EmailManager)
        app.platform.of(MonitoringManager).add_check(
            "mail_server", emails.check_default_relay, required=False
        )
        await look(app)
        found = (await root.get("/api/v1/platform/overview")).raise_for_status().json()["verdict"]
        assert found["cause"] == "relay"
        assert "127.0.0.1" in found["sentence"]

    async def test_elasticsearch_is_down(self, app: App, working: TenantClient) -> None:
        answer = await working.http.post("/api/v1/logs", content=b'{"message": "hello"}\n')
        assert answer.json()["accepted"] == 1, answer.text
        export = app.platform.of(LoggingManager).export
        await export.push_due(app.platform.database)
        await export.settle()
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("warning", "export")
        assert found["address"] == "/logs"

    async def test_the_sequencer_stands_still(
        self, app: App, working: TenantClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await app.sequence()
        # Committed ten minutes ago, and nobody has numbered it since.
        with monkeypatch.context() as then:
            ago = timedelta(minutes=10)
            then.setattr(app.platform.database, "clock", lambda: system_clock() - ago)
            async with app.platform.database.transaction(Scope("test", working.tenant.id)) as tx:
                tx.emit("email.bounced", "email:1")
        await look(app)
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("warning", "sequencer")
        assert found["sentence"].startswith("Records have had no number for 10 minutes")
        # Numbered, it is well again.
        await app.sequence()
        await look(app)
        assert (await verdict(working))["cause"] == "well"

    @pytest.mark.parametrize(("free", "severity"), [(2, "critical"), (7, "warning"), (50, "ok")])
    async def test_the_disk_fills(
        self,
        app: App,
        working: TenantClient,
        monkeypatch: pytest.MonkeyPatch,
        free: int,
        severity: str,
    ) -> None:
        many = 10**12
        usage = shutil.disk_usage("/")._replace(total=100 * many, free=free * many)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        found = await verdict(working)
        assert (found["severity"], found["cause"] == "disk") == (severity, severity != "ok")

    async def test_a_key_ends(self, app: App, working: TenantClient) -> None:
        answer = await working.http.post("/api/v1/api-keys", json={"name": "n8n", "role": "viewer"})
        assert answer.is_success, answer.text
        for days, severity, said in (
            (3.5, "warning", "An API key ends in 3 days."),
            (-0.5, "critical", "An API key has ended."),
        ):
            async with app.platform.database.transaction(Scope("test", working.tenant.id)) as tx:
                ends = tx.now() + timedelta(days=days)
                await tx.execute(sa.update(ApiKey).values(expires_at=ends))
            found = await verdict(working)
            assert (found["severity"], found["sentence"]) == (severity, said)
            assert found["address"] == "/api_keys"

    async def test_an_objective_is_missed(self, app: App, working: TenantClient) -> None:
        body = {"name": "Served", "kind": "availability", "objective": 0.999}
        made = (await working.http.post("/api/v1/slos", json=body)).json()
        async with app.platform.database.transaction(Scope("test", working.tenant.id)) as tx:
            then = int((tx.now() - timedelta(hours=2)).timestamp())
            await outcomes.add(tx, made["id"], then, Counted(900, 1000))
            await tx.execute(sa.update(SloRow).values(measured_until=tx.now()))
        found = await verdict(working)
        assert (found["severity"], found["cause"]) == ("warning", "slo")
        assert found["address"] == f"/slos?id={made['id']}"
        assert found["sentence"].startswith("Served is missed")

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
