"""Crashes of real processes: a killed worker, a frozen one, a job that kills, a lost server."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Base, Database, make_engine
from backend.core.events import event_maker
from backend.core.ids import uuid7
from backend.managers.orchestrator import JobKind, OrchestratorManager, Worker
from backend.managers.orchestrator.models import WorkerRow
from backend.rooms import HOUSE
from tests.support.postgres import MISSING, PostgresServer, find_programs
from tests.support.trail import audit_row

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("worker_process.py")
CONCURRENCY = 10


class Fleet:
    """Worker processes and the file of what their handlers did."""

    def __init__(self, url: str, effects: Path) -> None:
        self._url = url
        self._effects = effects
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(PROGRAM), self._url, str(self._effects)]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=sys.stderr
        )
        self.processes.append(process)
        return process

    async def start_both(self, bench) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
        """Two workers that both beat before there is anything to share."""
        both = self.start(), self.start()

        async def beating():
            async with bench.database.read(bench.system) as tx:
                return await tx.scalar(sa.select(sa.func.count()).select_from(WorkerRow)) == 2

        await bench.until(beating)
        return both

    async def freeze(self, pid: int) -> None:
        """Stop a process at a moment at which it holds no lock.

        Locks of a frozen process are the server's business (its limit on idle transactions), and
        on SQLite nobody's.
        """
        while True:
            os.kill(pid, signal.SIGSTOP)
            for _ in range(10):
                if await asyncio.to_thread(self._nobody_is_in_a_transaction):
                    return
                await asyncio.sleep(0.02)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.01)

    def _nobody_is_in_a_transaction(self) -> bool:
        url = sa.make_url(self._url)
        if url.get_backend_name() == "sqlite":
            assert url.database is not None
            with closing(sqlite3.connect(url.database, timeout=0.1)) as probe:
                try:
                    probe.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    return False
                return True
        address = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as probe:
            row = probe.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
            ).fetchone()
            return row == (0,)

    def effects(self) -> list[tuple[str, str, str, int]]:
        if not self._effects.exists():
            return []
        lines = [line.split() for line in self._effects.read_text().splitlines()]
        return [(kind, what, job_id, int(pid)) for kind, what, job_id, pid in lines]

    def held_by(self, pid: int) -> set[str]:
        """Jobs whose handler has begun and not ended in this process."""
        begun = {one[2] for one in self.effects() if one[1] == "begin" and one[3] == pid}
        return begun - {one[2] for one in self.effects() if one[1] == "end" and one[3] == pid}


@pytest.fixture
def fleet(database, tmp_path):
    with _fleet(database, tmp_path) as made:
        yield made


@contextmanager
def _fleet(database, folder):
    url = database.engine.url.render_as_string(hide_password=False)
    made = Fleet(url, folder / "effects")
    try:
        yield made
    finally:
        for process in made.processes:
            process.kill()
            process.wait()


@pytest.fixture(autouse=True)
def kinds(request):
    if "bench" in request.fixturenames:
        bench = request.getfixturevalue("bench")
        for name in ("brief", "suicide"):
            bench.simple(name, lambda _: None)


class TestKill:
    async def test_the_others_finish_a_killed_workers_jobs(self, bench, fleet):
        victim, _ = await fleet.start_both(bench)
        ids = await bench.submit_many(100, "brief")

        async def busy():
            return len(fleet.held_by(victim.pid)) >= CONCURRENCY // 2

        await bench.until(busy)
        victim.kill()
        victim.wait()
        await bench.until_all("succeeded", 180)
        begun = Counter(one[2] for one in fleet.effects() if one[1] == "begin")
        assert set(begun) == set(ids)
        # At least once: only what the victim held at its death, or had not yet recorded, may
        # have been done again.
        doubled = [job_id for job_id, times in begun.items() if times > 1]
        assert len(doubled) <= 2 * CONCURRENCY
        assert max(begun.values()) <= 2
        held = {one[2] for one in fleet.effects() if one[3] == victim.pid}
        assert set(doubled) <= held
        crashed = [row.id for row in (await bench.rows()).values() if row.crashes]
        assert set(doubled) <= set(crashed)

    async def test_a_frozen_worker_that_thaws_changes_nothing(self, bench, fleet):
        frozen, _ = await fleet.start_both(bench)
        await bench.submit_many(100, "brief")

        async def busy():
            return len(fleet.held_by(frozen.pid)) >= 2

        await bench.until(busy)
        await fleet.freeze(frozen.pid)
        await bench.until_all("succeeded", 180)
        before = {job_id: (row.worker, row.attempt) for job_id, row in (await bench.rows()).items()}
        os.kill(frozen.pid, signal.SIGCONT)
        last = await bench.submit("brief")
        frozen.terminate()
        await asyncio.to_thread(frozen.wait, 90)
        await bench.until_state(last, "succeeded")
        after = {
            job_id: (row.worker, row.attempt)
            for job_id, row in (await bench.rows()).items()
            if job_id != last
        }
        assert after == before
        assert frozen.returncode == 0

    async def test_a_job_that_kills_its_workers_is_buried(self, bench, fleet):
        job_id = await bench.submit("suicide")
        for _ in range(3):
            process = fleet.start()
            await asyncio.to_thread(process.wait, 90)
            assert process.returncode == -signal.SIGKILL
        fleet.start()
        row = await bench.until_state(job_id, "dead")
        assert row.crashes == 3
        assert len(fleet.effects()) == 3
        healthy = await bench.submit("brief")
        await bench.until_state(healthy, "succeeded")

    async def test_a_terminated_worker_leaves_nothing_behind(self, bench, fleet):
        await bench.submit_many(40, "brief")
        process = fleet.start()

        async def busy():
            return len(fleet.held_by(process.pid)) >= 2

        await bench.until(busy)
        process.terminate()
        await asyncio.to_thread(process.wait, 90)
        assert process.returncode == 0
        assert set(await bench.states()) <= {"ready", "succeeded"}
        begun = Counter(one[2] for one in fleet.effects())
        assert set(begun.values()) == {2}


@pytest.mark.postgresql
class TestServerRestart:
    async def test_the_worker_goes_on_where_it_was(self):
        if find_programs() is None:
            pytest.skip(MISSING)
        runs: Counter[str] = Counter()

        async def brief(claim):
            runs[claim.id] += 1
            await asyncio.sleep(0.02)

        manager = OrchestratorManager([JobKind.simple("brief", brief)])
        with PostgresServer() as server:
            url = server.create_database("restart").owner_url
            database = Database(
                make_engine(url), audit_row=audit_row, event_row=event_maker(HOUSE.events)
            )
            async with database.engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            scope = Scope("user:1", uuid7())
            async with database.transaction(scope) as tx:
                ids = await manager.submit_many(tx, "brief", [{"args": {}} for _ in range(300)])
            worker = Worker(
                database,
                manager,
                concurrency=10,
                ttl_seconds=4,
                beat_seconds=0.2,
                poll_seconds=0.05,
            )
            task = asyncio.create_task(worker.run())
            async with asyncio.timeout(180):
                while len(runs) < 50:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(server.stop)
                await asyncio.sleep(0.3)
                await asyncio.to_thread(server.start)
                while worker.running or len(runs) < 300:
                    await asyncio.sleep(0.01)
                counts: dict[str, int] = {}
                while counts.get("succeeded") != 300:
                    await asyncio.sleep(0.05)
                    async with database.read(scope) as tx:
                        counts = await manager.count_jobs(tx, tx.now().replace(year=2000))
            worker.stop()
            await task
            await database.aclose()
        assert set(runs) == set(ids)
        assert max(runs.values()) <= 2
