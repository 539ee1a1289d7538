"""The worker process: its jobs, its ticks, its metrics, and how it ends."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from backend import worker
from backend.app import Platform, compose
from backend.core.audit import AuditRecord
from backend.core.context import Scope, SystemScope
from backend.core.database import DatabaseUnavailableError
from backend.core.ids import uuid7
from backend.core.room import House, Sweep
from backend.managers.email import Draft, EmailManager, EmailSettings
from backend.managers.gateway.models import IdempotencyRecord
from backend.managers.metrics.models import RollupRow
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.orchestrator.models import JobRow
from backend.settings import DatabaseSettings, Settings, TelemetrySettings
from backend.sink import SmtpSink


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[SmtpSink]:
    made = SmtpSink(tmp_path / "sink", "127.0.0.1", free_port())
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def platform(database_url: str, tmp_path: Path, sink: SmtpSink) -> AsyncIterator[Platform]:
    made = compose(
        Settings(
            data_dir=tmp_path / "data",
            database=DatabaseSettings(url=SecretStr(database_url), pool_size=4),
            telemetry=TelemetrySettings(worker_metrics_port=free_port()),
            email=EmailSettings(
                smtp_url=SecretStr(f"smtp://127.0.0.1:{sink.port}"),
                sink_directory=tmp_path / "sink",
            ),
        )
    )
    yield made
    await made.database.aclose()


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


class TestRunWorker:
    @pytest.mark.slow
    async def test_delivers_numbers_counts_and_leaves_on_sigterm(
        self, platform: Platform, tenant_id: str
    ) -> None:
        scope = Scope("user:ada", tenant_id)
        draft = Draft(to=["ada@example.test"], subject="Hello", text="There")
        prepared = await platform.of(EmailManager).prepare_emails(tenant_id, [draft], {})
        async with platform.database.transaction(scope) as tx:
            (email,) = await platform.of(EmailManager).queue_emails(tx, prepared)
        running = asyncio.create_task(worker.run_worker(platform))

        async def accepted() -> bool:
            async with platform.database.read(scope) as tx:
                return (await platform.of(EmailManager).get_email(tx, email.id)).state == "accepted"

        async def numbered() -> bool:
            async with platform.database.read(scope) as tx:
                return bool(
                    await tx.scalar(sa.select(AuditRecord.id).where(AuditRecord.seq.is_not(None)))
                )

        await until(accepted)
        await until(numbered)
        port = platform.settings.telemetry.worker_metrics_port
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        assert (
            'email_sender_orchestrator_events_total{event="job_finished",kind="email.send",'
            'outcome="done"} 1.0'
        ) in text
        # The fleet's gauges are the API's: here they would stand at zero for ever.
        assert "unsequenced" not in text
        assert tenant_id not in text
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 20)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


class TestSequence:
    async def test_one_worker_sweeps_for_all(self, platform: Platform) -> None:
        swept: list[str] = []

        async def count(*_: object) -> int:
            swept.append("")
            return 0

        (room, *_) = (room for room in platform.house.rooms if room.sweeps)
        house = House([replace(room, sweeps=(Sweep(room.sweeps[0].errand, count),))])
        watched = replace(platform, house=house)
        for holder in ("worker-1", "worker-2", "worker-1"):
            await worker.sweep(watched, holder)
        assert len(swept) == 2

    async def test_waits_for_a_database_that_is_away(
        self, platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def away(_: object) -> int:
            raise DatabaseUnavailableError

        monkeypatch.setattr(worker, "sequence", away)
        await worker._sequence(platform)
        assert "sequencer_waits_for_the_database" in caplog.messages


class TestSweep:
    async def test_forgets_what_has_expired_and_nothing_else(
        self, platform: Platform, tenant_id: str
    ) -> None:
        database = platform.database
        scope = Scope("user:ada", tenant_id)
        async with database.transaction(scope) as tx:
            now = tx.now()
            await tx.insert(
                IdempotencyRecord,
                [
                    {
                        "tenant_id": tenant_id,
                        "client": "client:c",
                        "key": key,
                        "fingerprint": b"f",
                        "status": 200,
                        "headers": {},
                        "sealed_by": uuid7(),
                        "sealed_body": b"s",
                        "created_at": now,
                        "expires_at": now + timedelta(seconds=seconds),
                    }
                    for key, seconds in (("old", -1), ("new", 60))
                ],
            )
            await tx.insert(
                RollupRow,
                [
                    {
                        "window_at": now - timedelta(days=days),
                        "tenant_id": tenant_id,
                        "process": "p",
                        "requests": 1,
                        "errors": 0,
                        "refusals": 0,
                        "seconds_sum": 1.0,
                        "buckets": [],
                    }
                    for days in (29, 31)
                ],
            )
            jobs = [
                await platform.of(OrchestratorManager).submit(
                    tx, "email.send", args={"email_id": uuid7()}
                )
                for _ in range(3)
            ]
            for job_id, days in zip(jobs, (31, 29), strict=False):
                await tx.execute(
                    sa.update(JobRow)
                    .where(JobRow.id == job_id)
                    .values(state="succeeded", finished_at=now - timedelta(days=days))
                )
        await worker.sweep(platform, "worker-1")
        async with database.read(scope) as tx:
            assert await tx.scalars(sa.select(IdempotencyRecord.key)) == ["new"]
            assert len(await tx.scalars(sa.select(RollupRow.window_at))) == 1
            assert set(await tx.scalars(sa.select(JobRow.id))) == set(jobs[1:])

    async def test_gathers_statistics_of_what_is_stored(
        self, platform: Platform, tenant_id: str
    ) -> None:
        """Without any, SQLite's planner takes a tenant's whole table for a handful of rows."""
        database = platform.database
        if database.dialect != "sqlite":
            pytest.skip("PostgreSQL's own autovacuum does this")
        async with database.transaction(Scope("user:ada", tenant_id)) as tx:
            await platform.of(OrchestratorManager).submit(
                tx, "email.send", args={"email_id": uuid7()}
            )

        async def known() -> set[str]:
            async with database.engine.connect() as connection:
                found = await connection.exec_driver_sql(
                    "SELECT name FROM sqlite_master WHERE name = 'sqlite_stat1'"
                )
                if found.first() is None:
                    return set()
                rows = await connection.exec_driver_sql("SELECT DISTINCT tbl FROM sqlite_stat1")
                return set(rows.scalars())

        assert "jobs" not in await known()
        await worker.sweep(platform, "worker-1")
        assert "jobs" in await known()

    async def test_waits_for_a_database_that_is_away(
        self, platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def away(_: object) -> None:
            raise DatabaseUnavailableError

        monkeypatch.setattr(platform.database, "transaction", away)
        await worker.sweep(platform, "worker-1")
        assert "retention_waits_for_the_database" in caplog.messages

    async def test_may_touch_nothing_that_does_not_expire(self, platform: Platform) -> None:
        kept = {"audit_records", "audit_heads", "tenants", "users", "data_keys"}
        sweeps = [sweep for room in platform.house.rooms for sweep in room.sweeps]
        assert len(sweeps) >= 3
        for sweep in sweeps:
            assert SystemScope(sweep.errand).tables.isdisjoint(kept), sweep

    async def test_a_room_that_fails_keeps_nobody_elses(
        self, platform: Platform, caplog: pytest.LogCaptureFixture
    ) -> None:
        swept = []

        async def fails(*_: object) -> int:
            raise RuntimeError("broken")

        async def works(*_: object) -> int:
            swept.append(1)
            return 0

        first, second, *_ = (room for room in platform.house.rooms if room.sweeps)
        broken = replace(first, sweeps=(Sweep(first.sweeps[0].errand, fails),))
        whole = replace(second, sweeps=(Sweep(second.sweeps[0].errand, works),))
        house = House([broken, whole])
        await worker.sweep(replace(platform, house=house), "worker-1")
        assert swept
        assert "retention_failed" in caplog.messages
