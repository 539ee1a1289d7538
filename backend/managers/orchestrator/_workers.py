"""Workers as operators see them: who runs how much of what, and who is to take nothing more.

A worker is told by its row, which each heartbeat returns: to ask costs a claim nothing. So it may
claim until it has heard, and a look at what runs says nothing of what is about to. It therefore
answers, by a heartbeat that is written when it knows and no claim of its own is on its way; from
there on what it runs only gets less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.managers.orchestrator._liveness import is_fresh
from backend.managers.orchestrator.errors import WorkerNotFoundError, WorkerSilentError
from backend.managers.orchestrator.models import RUNNING, JobRow, WorkerRow

DRAIN_SIGNAL: Final = "job_drain"
"""Tells the worker whose id it carries to ask at once what it is to do."""

WorkerState = Literal["working", "draining", "silent"]
WORKER_STATES: Final[tuple[WorkerState, ...]] = ("working", "draining", "silent")


@dataclass(frozen=True, slots=True)
class TenantLoad:
    """How many jobs of a tenant a worker runs."""

    tenant_id: str
    running: int


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """A worker, by what the database has of it.

    Attributes:
        id: ``<name>:<pid>:<random>``, another one for each start.
        host: Where it runs, as that machine calls itself.
        pid: Its process there.
        version: Of its program; None: one that does not say, and cannot be drained either.
        slots: How many jobs it runs at once; None, too.
        started_at: Its first heartbeat.
        beat_at: Its last one.
        state: ``silent`` when that is older than a lease, whatever it was told.
        running: How many jobs it holds.
        drained: It has heard that it drains, and runs nothing: it can be stopped.
        tenants: Whose jobs they are, the most first.
    """

    id: str
    host: str
    pid: int
    version: str | None
    slots: int | None
    started_at: datetime
    beat_at: datetime
    state: WorkerState
    running: int
    drained: bool
    tenants: Sequence[TenantLoad]

    @property
    def name(self) -> str:
        """What lists are sorted by."""
        return self.id


class Workers:
    """The fleet. Every method needs the errand: workers belong to no tenant."""

    def __init__(self, ttl_seconds: float) -> None:
        """Look at nobody yet."""
        self._ttl = ttl_seconds

    async def list(
        self, tx: ReadTx, *, limit: int = 50, after_name: str | None = None
    ) -> Sequence[SeenWorker]:
        """Those after ``after_name`` by their ids: one more than ``limit``, if there is one.

        Who fell silent stays in it for an hour at least, and for as long as it holds jobs.
        """
        after = () if after_name is None else (WorkerRow.id > after_name,)
        rows = await tx.execute(
            sa.select(WorkerRow, is_fresh(self._ttl))
            .where(*after)
            .order_by(WorkerRow.id)
            .limit(limit + 1)
        )
        return await self._see(tx, [(row, fresh) for row, fresh in rows])

    async def drain(self, tx: Tx, worker_id: str) -> SeenWorker:
        """Have a worker take nothing more, and end what it runs; audited ``worker.drained``.

        It hears within a heartbeat. One that drains already is left as it is.

        Raises:
            WorkerNotFoundError: There is none.
            WorkerSilentError: It is dead, or will be taken for dead.
        """
        return await self._switch(tx, worker_id, draining=True)

    async def resume(self, tx: Tx, worker_id: str) -> SeenWorker:
        """Have a worker take work again; audited ``worker.resumed``.

        Raises:
            WorkerNotFoundError, WorkerSilentError: As :meth:`drain`.
        """
        return await self._switch(tx, worker_id, draining=False)

    async def count(self, tx: ReadTx) -> dict[str, int]:
        """How many there are of each state."""
        rows = await tx.execute(sa.select(WorkerRow.draining, is_fresh(self._ttl)))
        counts: dict[str, int] = dict.fromkeys(WORKER_STATES, 0)
        for draining, fresh in rows:
            counts[_state(draining=draining, fresh=fresh)] += 1
        return counts

    async def _switch(self, tx: Tx, worker_id: str, *, draining: bool) -> SeenWorker:
        found = await tx.execute(
            sa.select(WorkerRow, is_fresh(self._ttl))
            .where(WorkerRow.id == worker_id)
            .with_for_update()
        )
        row, fresh = found.one_or_none() or (None, False)
        if row is None:
            raise WorkerNotFoundError
        if not fresh:
            detail = f"It was heard last at {row.beat_at:%Y-%m-%d %H:%M:%S} UTC and claims nothing."
            raise WorkerSilentError(detail)
        if row.draining is not draining:
            row.draining, row.heeded = draining, False
            await tx.session.flush()
            tx.signal(DRAIN_SIGNAL, row.id)
            action = "worker.drained" if draining else "worker.resumed"
            tx.audit(action, f"worker:{row.id}", host=row.host, pid=row.pid, version=row.version)
        (seen,) = await self._see(tx, [(row, fresh)])
        return seen

    async def _see(
        self, tx: ReadTx, rows: Sequence[tuple[WorkerRow, bool]]
    ) -> Sequence[SeenWorker]:
        # After the rows: what one that has heeded runs by now is all that it will run.
        # A column that only the partial index of the state has beside the tenant.
        count = sa.func.count(JobRow.worker)
        held = await tx.execute(
            sa.select(JobRow.worker, JobRow.tenant_id, count)
            .where(JobRow.state == RUNNING, JobRow.worker.in_([row.id for row, _ in rows]))
            .group_by(JobRow.worker, JobRow.tenant_id)
            .order_by(count.desc(), JobRow.tenant_id)
        )
        loads: dict[str, list[TenantLoad]] = {}
        for worker, tenant_id, running in held:
            loads.setdefault(worker, []).append(TenantLoad(tenant_id, running))
        return [_seen(row, fresh=fresh, loads=loads.get(row.id, ())) for row, fresh in rows]


def _state(*, draining: bool, fresh: bool) -> WorkerState:
    if not fresh:
        return "silent"
    return "draining" if draining else "working"


def _seen(row: WorkerRow, *, fresh: bool, loads: Sequence[TenantLoad]) -> SeenWorker:
    state = _state(draining=row.draining, fresh=fresh)
    running = sum(load.running for load in loads)
    return SeenWorker(
        id=row.id,
        host=row.host,
        pid=row.pid,
        version=row.version,
        slots=row.slots,
        started_at=row.started_at,
        beat_at=row.beat_at,
        state=state,
        running=running,
        drained=state == "draining" and row.heeded and not running,
        tenants=loads,
    )
