"""Probes and exposition of the running application."""

import asyncio
import re
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from backend.core.context import Scope, SystemScope
from backend.core.cursors import EventConsumer, EventDispatcher
from backend.core.database import DatabaseUnavailableError, db_now
from backend.core.ids import uuid7
from backend.managers.monitoring import MonitoringManager
from backend.managers.orchestrator import WORK, OrchestratorManager, Worker
from backend.managers.orchestrator.models import JobRow, WorkerRow
from tests.support.platform import App

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
FULL: dict[str, Exception] = {
    "sqlite": sqlite3.OperationalError("database or disk is full"),
    "postgresql": psycopg.errors.DiskFull("could not extend file: No space left on device"),
}
FULL["sqlite"].sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[attr-defined]


class TestLivez:
    async def test_asks_nobody(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        async def away() -> None:
            raise OSError

        monkeypatch.setattr(app.platform.database, "check_writable", lambda _: away())
        async with app.client() as http:
            answer = await http.get("/livez")
        assert (answer.status_code, answer.json()) == (200, {"live": True})


class TestReadyz:
    async def test_is_ready_without_its_mail_server_and_says_so(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.monitoring.manager._TIMEOUT_SECONDS", 30)
        async with app.client() as http:
            answer = await http.get("/readyz")
        assert answer.status_code == 200
        checks = {check["name"]: check for check in answer.json()["checks"]}
        assert answer.json()["ready"] is True
        assert checks["database"]["ok"] is True
        assert checks["database"]["detail"].startswith(app.platform.database.dialect)
        assert checks["database"]["milliseconds"] > 0
        # Port 9 of this machine: nobody answers.
        assert checks["mail_server"]["ok"] is False
        assert checks["mail_server"]["required"] is False
        assert checks["mail_server"]["detail"]

    async def test_is_not_ready_without_its_database(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away() -> None:
            raise sa.exc.OperationalError("SELECT 1", {}, OSError("password=secret"))

        monkeypatch.setattr(app.platform.database, "check_writable", lambda _: away())
        async with app.client() as http:
            answer = await http.get("/readyz")
        assert answer.status_code == 503
        checks = {check["name"]: check for check in answer.json()["checks"]}
        assert (answer.json()["ready"], checks["database"]["ok"]) == (False, False)
        assert "secret" not in answer.text

    async def test_is_not_ready_when_nothing_can_be_written(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A disk that is full answers every SELECT."""
        full = FULL[app.platform.database.dialect]

        def refuse(_c: object, _cur: object, statement: str, *_: object) -> None:
            if statement.lstrip().startswith("INSERT"):
                raise sa.exc.OperationalError(statement, {}, full)

        engine = app.platform.database.engine.sync_engine
        sa.event.listen(engine, "before_cursor_execute", refuse)
        async with app.client() as http:
            answer = await http.get("/readyz")
        sa.event.remove(engine, "before_cursor_execute", refuse)
        checks = {check["name"]: check for check in answer.json()["checks"]}
        assert answer.status_code == 503
        assert (checks["database"]["ok"], checks["database"]["required"]) == (False, True)
        assert checks["database"]["detail"] == "its disk is full"

    async def test_says_what_was_refused_seconds_ago(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is written to see whether anything can be fits where it was; a message does not."""
        database, seconds = app.platform.database, [1000.0]
        monkeypatch.setattr("backend.core.database.monotonic", lambda: seconds[0])
        ada = await app.caller()

        def refuse(_c: object, _cur: object, statement: str, *_: object) -> None:
            if statement.lstrip().startswith("INSERT INTO audit_records"):
                raise sa.exc.OperationalError(statement, {}, FULL[database.dialect])

        engine = database.engine.sync_engine
        sa.event.listen(engine, "before_cursor_execute", refuse)
        answer = await ada.http.post("/api/v1/emails", json=EMAIL)
        sa.event.remove(engine, "before_cursor_execute", refuse)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        for later, ready in ((14.0, False), (2.0, True)):
            seconds[0] += later
            app.platform.of(MonitoringManager)._latest = None
            async with app.client() as http:
                found = (await http.get("/readyz")).json()
            (check,) = (one for one in found["checks"] if one["name"] == "database")
            assert (found["ready"], check["ok"]) == (ready, ready)
            assert ready or check["detail"] == "its disk is full"

    async def test_is_not_ready_with_little_space_left(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage("/")._replace(free=5 * 2**20)
        monkeypatch.setattr("backend.core.database.shutil.disk_usage", lambda _: usage)
        async with app.client() as http:
            answer = await http.get("/readyz")
        (found,) = (one for one in answer.json()["checks"] if one["name"] == "database")
        # How full the disk of a PostgreSQL is, only its own machine knows.
        assert found["ok"] is (app.platform.database.dialect == "postgresql")
        if not found["ok"]:
            assert found["detail"] == "5 MiB free on its disk, but 64 are needed"


class TestWorkers:
    async def look(self, app: App) -> tuple[int, str, dict[str, Any]]:
        """The answer's status and its word, and the check of the workers."""
        app.platform.of(MonitoringManager)._latest = None
        async with app.client() as http:
            answer = await http.get("/readyz")
        checks = {check["name"]: check for check in answer.json()["checks"]}
        assert checks["workers"]["required"] is False
        assert answer.json()["ready"] is True
        return answer.status_code, answer.json()["status"], checks["workers"]

    async def beat_at(self, app: App, at: Any) -> None:
        """Let the last heartbeat have been then."""
        async with app.platform.database.transaction(SystemScope(WORK)) as tx:
            await tx.execute(
                sa.update(WorkerRow).values(beat_at=at).execution_options(synchronize_session=False)
            )

    async def test_are_not_missed_while_nothing_is_due(self, app: App) -> None:
        _, _, check = await self.look(app)
        assert (check["ok"], check["detail"]) == (True, "no worker was ever seen; no job is due")

    async def test_that_never_came_degrade_as_soon_as_a_job_is_due(self, app: App) -> None:
        ada = await app.caller()
        await ada.http.post("/api/v1/emails", json=EMAIL)
        status, word, check = await self.look(app)
        assert (status, word, check["ok"]) == (200, "degraded", False)
        assert check["detail"] == "no worker was ever seen, and jobs are due"

    async def test_that_stop_degrade_after_their_bound_and_tell_since_when(self, app: App) -> None:
        platform = app.platform
        worker = Worker(platform.database, platform.of(OrchestratorManager), poll_seconds=0.05)
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(60):
            while not (check := (await self.look(app))[2])["detail"].startswith("1 at work"):
                await asyncio.sleep(0.02)
        assert check["ok"]
        worker.stop()
        await task
        ada = await app.caller()
        await ada.http.post("/api/v1/emails", json=EMAIL)
        # A worker that said goodbye and one that died leave the same: a heartbeat that runs out.
        jobs = platform.of(OrchestratorManager)
        jobs._settings = jobs._settings.model_copy(update={"ttl_seconds": 3600.0})
        await self.beat_at(app, db_now(-1800.0))
        assert (await self.look(app))[2]["ok"]
        await self.beat_at(app, datetime(2020, 2, 29, 9, 0, 5, tzinfo=UTC))
        status, word, check = await self.look(app)
        assert (status, word, check["ok"]) == (200, "degraded", False)
        assert check["detail"] == "no worker seen since 2020-02-29T09:00:05Z, and jobs are due"

    async def test_do_not_matter_to_jobs_that_are_due_later(self, app: App) -> None:
        ada = await app.caller()
        await ada.http.post("/api/v1/emails", json=EMAIL)
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            await tx.execute(sa.update(JobRow).values(due_at=tx.now() + timedelta(hours=1)))
        assert (await self.look(app))[2]["ok"]


class TestMetrics:
    async def test_is_what_prometheus_reads(self, app: App) -> None:
        ada = await app.caller()
        await ada.http.post("/api/v1/emails", json=EMAIL)
        await ada.http.get(f"/api/v1/emails/{uuid7()}")
        app.asgi._telemetry.drain()
        async with app.client() as http:
            answer = await http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        found = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        for method, endpoint, status in (
            ("POST", "/api/v1/emails", "202"),
            ("GET", "/api/v1/emails/{email_id}", "404"),
        ):
            labels = (("endpoint", endpoint), ("method", method), ("status", status))
            assert found["http_request_duration_seconds_count", *labels] == 1
        assert found["email_sender_orchestrator_jobs", ("state", "ready")] == 1
        assert found[("email_sender_audit_unsequenced_records",)] >= 2
        # No series tells a tenant, a person or an object.
        assert ada.tenant.id not in answer.text

    async def test_a_database_that_is_away_is_a_problem(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_: object) -> None:
            raise DatabaseUnavailableError(headers={"Retry-After": "1"})

        monkeypatch.setattr(app.platform.database, "read", away)
        async with app.client() as http:
            answer = await http.get("/metrics")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert answer.headers["retry-after"] == "1"


class TestEvents:
    async def test_a_consumer_that_fails_degrades_and_unreadies_nothing(self, app: App) -> None:
        async def fail(*_: object) -> None:
            raise ConnectionError("password=secret")

        async def take(*_: object) -> None:
            return None

        platform = app.platform
        dispatcher = EventDispatcher(
            platform.database,
            [
                EventConsumer("webhooks", fail, start="beginning", backoff_seconds=0.01),
                EventConsumer("alerts", take, start="beginning"),
            ],
            poll_seconds=0.02,
            on_failure=platform.of(MonitoringManager).event_series.count_failure,
        )
        await app.caller()
        await app.sequence()
        http = app.client()
        async with dispatcher.running(), asyncio.timeout(60):
            while True:
                platform.of(MonitoringManager)._latest = None
                answer = await http.get("/readyz")
                checks = {check["name"]: check for check in answer.json()["checks"]}
                if not checks["events"]["ok"]:
                    break
                await asyncio.sleep(0.02)
        assert answer.status_code == 200
        assert answer.json()["ready"] is True
        assert re.fullmatch(
            r"webhooks: \d+ events behind, \d+ s, ConnectionError for \d tenants",
            checks["events"]["detail"],
        )
        assert "secret" not in answer.text
        found = {
            (sample.name, sample.labels.get("cursor")): sample.value
            for family in text_string_to_metric_families((await http.get("/metrics")).text)
            for sample in family.samples
            if sample.name.startswith("email_sender_core_events")
        }
        assert found["email_sender_core_events_failures_total", "webhooks"] >= 3
        assert found["email_sender_core_events_lag_events", "webhooks"] >= 2
        assert found["email_sender_core_events_lag_events", "alerts"] == 0
        assert found["email_sender_core_events_lag_seconds", "alerts"] == 0
        assert found["email_sender_core_events_dropped_unread", None] == 0
