"""What every orchestrator test stands on: a bench to run jobs on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, db_now
from backend.managers.orchestrator import WORK, Claim, Job, JobKind, OrchestratorManager, Worker
from backend.managers.orchestrator._claim import Places, claim
from backend.managers.orchestrator._finish import finish
from backend.managers.orchestrator._liveness import beat
from backend.managers.orchestrator.errands import CLAIM
from backend.managers.orchestrator.models import JobRow, WorkerRow


class Bench:
    """Submits, claims, finishes and looks, each in its own transaction."""

    system = SystemScope(WORK)
    claiming = SystemScope(CLAIM)

    def __init__(self, database: Database, tenant_id: str) -> None:
        self.database = database
        self.tenant_id = tenant_id
        self.scope = Scope("user:1", tenant_id)
        self.manager = OrchestratorManager()

    def simple(self, name: str, handle: Callable[[Claim], Awaitable[Any]], **hooks: Any) -> None:
        self.manager.register(JobKind.simple(name, handle, **hooks))

    def scope_of(self, tenant_id: str | None) -> Scope:
        return self.scope if tenant_id is None else Scope("user:1", tenant_id)

    async def submit(self, kind: str = "noop", *, tenant: str | None = None, **fields: Any) -> str:
        fields.setdefault("args", {})
        async with self.database.transaction(self.scope_of(tenant)) as tx:
            return await self.manager.submit(tx, kind, **fields)

    async def submit_many(
        self, count: int, kind: str = "noop", *, tenant: str | None = None, **fields: Any
    ) -> list[str]:
        rows: Any = [{"args": {"n": n}, **fields} for n in range(count)]
        async with self.database.transaction(self.scope_of(tenant)) as tx:
            return await self.manager.submit_many(tx, kind, rows)

    async def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        async with self.database.read(self.scope_of(tenant)) as tx:
            return await self.manager.get_job(tx, job_id)

    async def limit(self, *, tenant: str | None = None, **limits: Any) -> None:
        async with self.database.transaction(self.scope_of(tenant)) as tx:
            await self.manager.set_limits(tx, **limits)

    async def beat(self, worker: str = "w") -> dict[str, tuple[int, bool]]:
        async with self.database.transaction(self.system) as tx:
            return (await beat(tx, worker)).jobs

    async def claim(
        self, most: int = 100, *, worker: str = "w", places: Places | None = None
    ) -> list[Claim]:
        """Claim as a worker with a heartbeat would; with so many places free, or these."""
        await self.beat(worker)
        places = places or Places(most)
        async with self.database.transaction(self.claiming) as tx:
            return (await claim(tx, worker, places, list(self.manager.kinds))).claims

    async def finish(self, *outcomes: tuple[Claim, Any], worker: str = "w") -> Sequence[Any]:
        async with self.database.transaction(self.system) as tx:
            return await finish(tx, worker, outcomes, self.manager.kinds)

    async def rows(self) -> dict[str, JobRow]:
        async with self.database.read(self.system) as tx:
            return {row.id: row for row in await tx.scalars(sa.select(JobRow))}

    async def row(self, job_id: str) -> JobRow:
        return (await self.rows())[job_id]

    async def states(self) -> list[str]:
        return sorted(row.state for row in (await self.rows()).values())

    async def change(self, job_id: str, **values: Any) -> None:
        """Put a job where only time or an accident would bring it."""
        await self._execute(sa.update(JobRow).where(JobRow.id == job_id).values(**values))

    async def make_due(self, job_id: str) -> None:
        await self.change(job_id, due_at=db_now(-1.0))

    async def silence(self, worker: str, seconds: float = 60.0) -> None:
        """Let the worker's last heartbeat have been ``seconds`` ago."""
        await self._execute(
            sa.update(WorkerRow)
            .where(WorkerRow.id == worker)
            .values(beat_at=db_now(-seconds), started_at=db_now(-seconds - 1))
        )

    async def silent(self, *workers: str) -> dict[str, datetime]:
        """These workers as somebody sees them who has watched them beat no more."""
        async with self.database.read(self.system) as tx:
            found = await tx.execute(
                sa.select(WorkerRow.id, WorkerRow.beat_at).where(WorkerRow.id.in_(workers))
            )
            return {row.id: row.beat_at for row in found}

    async def _execute(self, statement: Any) -> None:
        async with self.database.transaction(self.system) as tx:
            await tx.execute(statement.execution_options(synchronize_session=False))

    @asynccontextmanager
    async def working(self, **options: Any) -> AsyncIterator[Worker]:
        """A worker that runs while the block lasts."""
        worker = Worker(
            self.database,
            self.manager,
            **{"beat_seconds": 0.1, "ttl_seconds": 30.0, "poll_seconds": 0.05, **options},
        )
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await task

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float = 90.0) -> None:
        """Wait for what another task or process is about to do."""
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.01)

    async def until_state(self, job_id: str, *states: str) -> JobRow:
        async def reached() -> bool:
            return (await self.row(job_id)).state in states

        await self.until(reached)
        return await self.row(job_id)

    async def until_all(self, state: str, seconds: float = 90.0) -> None:
        async def reached() -> bool:
            return set(await self.states()) == {state}

        await self.until(reached, seconds)


@pytest.fixture
def bench(database: Database, tenant_id: str) -> Bench:
    made = Bench(database, tenant_id)

    async def noop(_: Claim) -> None:
        return None

    made.simple("noop", noop)
    return made
