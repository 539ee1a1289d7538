"""The drill on who is served: four workers, tenants with limits, backlogs, and jobs that hang.

Three tenants may run 2, 3 and 5 jobs at once, which is counted in the database all the while. A
thousand tenants have a job each, due at one moment. One tenant has a backlog, and then jobs that
hang; another has ten jobs then, as it had when all was quiet.
"""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, db_now, make_engine
from backend.core.events import event_maker
from backend.core.ids import uuid7
from backend.managers.orchestrator import WORK, Claim, JobKind, OrchestratorManager, Worker
from backend.managers.orchestrator.models import JobRow, WorkerRow
from backend.rooms import HOUSE
from scripts.drills.rig import DrillError, Where
from tests.support.trail import audit_row

DELAY_SECONDS: Final = 2.0
"""By so much at most another tenant's work delays ten jobs."""
DRAIN_SECONDS: Final = 5.0
_LIMITS: Final = (2, 3, 5)
_WORKERS: Final = 4
_PLACES: Final = 20
_FEW: Final = 10
_CHUNK: Final = 1000
_LATER: Final = 86_400.0
_LIMIT_SECONDS: Final = 600.0
_ROOT: Final = Path(__file__).parents[2]


async def _brief(_: Claim) -> None:
    await asyncio.sleep(0.02)


async def _while_counted(_: Claim) -> None:
    await asyncio.sleep(0.2)


async def _hang(_: Claim) -> None:
    await asyncio.Event().wait()


def _manager() -> OrchestratorManager:
    handlers = {"brief": _brief, "counted": _while_counted, "hang": _hang}
    return OrchestratorManager([JobKind.simple(name, one) for name, one in handlers.items()])


@dataclass(frozen=True, slots=True)
class SharesReport:
    """What was counted, and how long who waited, in seconds."""

    most: Mapping[int, int]
    """For each limit, the most jobs that ran at once."""
    samples: int
    tenants: int
    drained: float
    """From the moment at which each tenant's job was due until all had ended."""
    backlog: int
    quiet: float
    """Ten jobs of a tenant, from their submission to the end of the last."""
    behind_backlog: float
    left: int
    """Of the backlog, when they had ended."""
    beside_hanging: float
    hanging: int
    """Jobs that hung then."""

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = [
            f"a tenant that may run {limit} ran {most}"
            for limit, most in self.most.items()
            if most != limit
        ]
        if self.drained > DRAIN_SECONDS:
            found.append(f"{self.tenants} tenants with a job each took {self.drained:.1f} s")
        if not self.left:
            found.append("the backlog was gone before it could delay anybody")
        if not self.hanging:
            found.append("nothing hung")
        for what, seconds in (
            (f"a backlog of {self.backlog}", self.behind_backlog),
            ("jobs that hang", self.beside_hanging),
        ):
            if seconds - self.quiet > DELAY_SECONDS:
                found.append(f"{what} delayed ten jobs by {seconds - self.quiet:.1f} s")
        return found

    def __str__(self) -> str:
        """One line for people."""
        ran = ", ".join(f"{most} of {limit}" for limit, most in self.most.items())
        return (
            f"at most {ran} ran in {self.samples} looks; {self.tenants} tenants with a job each "
            f"were done in {self.drained:.2f} s; ten jobs took {self.quiet:.2f} s when all was "
            f"quiet, {self.behind_backlog:.2f} s behind a backlog of {self.backlog} "
            f"({self.left} left then), {self.beside_hanging:.2f} s beside {self.hanging} that hung"
        )


async def shares(
    where: Where,
    rng: random.Random,
    folder: Path,
    *,
    backlog: int = 100_000,
    tenants: int = 1000,
) -> SharesReport:
    """Count, and have ten jobs wait behind a backlog and beside jobs that hang."""
    url = await asyncio.to_thread(where.migrated, folder, f"shares_{rng.randrange(10**9)}")
    async with _open(url) as queue:
        with _workers(url):
            await queue.until(queue.has_workers)
            most, samples = await queue.count_running(rounds=12)
            drained = await queue.drain(tenants)
            quiet = await queue.few()
            full = await queue.fill("brief", backlog)
            behind = await queue.few()
            left = await queue.waiting(full)
            await queue.put_off(full)
            hung = await queue.fill("hang", 2 * _WORKERS * _PLACES)
            await queue.until(lambda: queue.runs(hung))
            beside = await queue.few()
            hanging = (await queue.running()).get(hung, 0)
    return SharesReport(
        most, samples, tenants, drained, backlog, quiet, behind, left, beside, hanging
    )


class _Queue:
    """The queue as whoever submits to it and counts in it sees it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._manager = _manager()

    async def fill(self, kind: str, count: int, *, delay_seconds: float = 0.0) -> str:
        """Jobs of a new tenant, whose id it is."""
        tenant_id = uuid7()
        await self._submit(tenant_id, kind, count, delay_seconds)
        return tenant_id

    async def _submit(self, tenant_id: str, kind: str, count: int, delay_seconds: float) -> None:
        for start in range(0, count, _CHUNK):
            rows = [
                {"args": {}, "delay_seconds": delay_seconds, "timeout_seconds": 3600.0}
                for _ in range(min(_CHUNK, count - start))
            ]
            async with self.database.transaction(Scope("drill", tenant_id)) as tx:
                await self._manager.submit_many(tx, kind, rows)  # type: ignore[arg-type]

    async def few(self) -> float:
        """How long ten jobs of a new tenant take."""
        tenant_id, began = uuid7(), time.monotonic()
        await self._submit(tenant_id, "brief", _FEW, 0.0)
        await self.until(lambda: self._is_done(tenant_id))
        return time.monotonic() - began

    async def drain(self, tenants: int) -> float:
        """How long one job of each takes once all are due."""
        for _ in range(tenants):
            await self.fill("brief", 1, delay_seconds=_LATER)
        async with self.database.transaction(SystemScope(WORK)) as tx:
            await tx.execute(
                sa.update(JobRow)
                .where(JobRow.state == "ready")
                .values(due_at=db_now())
                .execution_options(synchronize_session=False)
            )
            tx.signal("jobs")
        began = time.monotonic()
        await self.until(self._is_empty)
        return time.monotonic() - began

    async def count_running(self, *, rounds: int) -> tuple[dict[int, int], int]:
        """The most that ran at once of tenants with limits, and how often that was looked at."""
        limits = {}
        for limit in _LIMITS:
            tenant_id = uuid7()
            async with self.database.transaction(Scope("drill", tenant_id)) as tx:
                await self._manager.set_limits(tx, max_running=limit)
            limits[tenant_id] = limit
            await self._submit(tenant_id, "counted", rounds * limit, 0.0)
        most: Counter[int] = Counter()
        samples = 0
        while not await self._is_empty():
            for tenant_id, count in (await self.running()).items():
                most[limits[tenant_id]] = max(most[limits[tenant_id]], count)
            samples += 1
            await asyncio.sleep(0.01)
        return {limit: most[limit] for limit in _LIMITS}, samples

    async def running(self) -> dict[str, int]:
        """How many jobs of each tenant run."""
        async with self.database.read(SystemScope(WORK)) as view:
            found = await view.execute(
                sa.select(JobRow.tenant_id, sa.func.count().label("jobs"))
                .where(JobRow.state == "running")
                .group_by(JobRow.tenant_id)
            )
            return {row.tenant_id: row.jobs for row in found}

    async def runs(self, tenant_id: str) -> bool:
        """Whether it has begun as many as it may: no more than a look before."""
        before = (await self.running()).get(tenant_id, 0)
        await asyncio.sleep(1.0)
        return 0 < before == (await self.running()).get(tenant_id, 0)

    async def waiting(self, tenant_id: str) -> int:
        """How many of its jobs have not begun."""
        return await self._count(JobRow.tenant_id == tenant_id, JobRow.state == "ready")

    async def put_off(self, tenant_id: str) -> None:
        """Have what waits be due tomorrow, so that nothing of it is served any more."""
        async with self.database.transaction(SystemScope(WORK)) as tx:
            await tx.execute(
                sa.update(JobRow)
                .where(JobRow.tenant_id == tenant_id, JobRow.state == "ready")
                .values(due_at=db_now(_LATER))
                .execution_options(synchronize_session=False)
            )

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for it.

        Raises:
            DrillError: For more than ten minutes.
        """
        end = time.monotonic() + _LIMIT_SECONDS
        while not await condition():
            if time.monotonic() > end:
                raise DrillError("the workers do not come to an end")
            await asyncio.sleep(0.02)

    async def has_workers(self) -> bool:
        """Whether all beat."""
        async with self.database.read(SystemScope(WORK)) as view:
            found = await view.scalar(sa.select(sa.func.count(WorkerRow.id)))
        return int(found or 0) == _WORKERS

    async def _is_done(self, tenant_id: str) -> bool:
        ended = JobRow.state == "succeeded"
        return await self._count(JobRow.tenant_id == tenant_id, ended) == _FEW

    async def _is_empty(self) -> bool:
        return await self._count(JobRow.state.in_(("ready", "running"))) == 0

    async def _count(self, *conditions: sa.ColumnElement[bool]) -> int:
        async with self.database.read(SystemScope(WORK)) as view:
            found = await view.scalar(
                sa.select(sa.func.count()).select_from(JobRow).where(*conditions)
            )
        return found or 0


def _database(url: str) -> Database:
    return Database(make_engine(url), audit_row=audit_row, event_row=event_maker(HOUSE.events))


@contextlib.asynccontextmanager
async def _open(url: str) -> AsyncIterator[_Queue]:
    database = _database(url)
    try:
        yield _Queue(database)
    finally:
        await database.aclose()


@contextlib.contextmanager
def _workers(url: str) -> Iterator[None]:
    """Four worker processes, which are killed in the end: what hangs does not let them stop."""
    command = [sys.executable, "-m", "scripts.drills.shares", url]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    workers = [subprocess.Popen(command, cwd=_ROOT, env=environment) for _ in range(_WORKERS)]
    try:
        yield
        if any(one.poll() is not None for one in workers):
            raise DrillError("a worker ended by itself")
    finally:
        for one in workers:
            one.kill()
            one.wait()


async def _work(url: str) -> None:
    await Worker(_database(url), _manager(), concurrency=_PLACES).run()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1]))
