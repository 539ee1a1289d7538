"""Liveness: heartbeats, and what happens to the jobs of workers that no longer send any.

Two clocks are trusted, and no third: a worker knows by its own how long its heartbeat holds
(:class:`Lease`), and whoever watches knows by theirs how long it saw the same one (:class:`Watch`).
What time a heartbeat carries decides nothing: the database's clock may jump, and one from the
future would keep the dead alive until it has come.
"""

import math
import os
import random
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx, UtcTime, db_now
from backend.core.json_rows import json_id, json_rows
from backend.managers.orchestrator._advance import advance_all
from backend.managers.orchestrator._attempts import as_ended, note
from backend.managers.orchestrator._claim import CLAIM_COLUMNS
from backend.managers.orchestrator.kinds import Claim, Fleet, JobKind, by_owner, tell
from backend.managers.orchestrator.models import READY, RUNNING, JobRow, WorkerRow

_CRASHED: Final = "Its worker died, or was not heard of for too long, while it ran"
_TOGETHER_CRASHES: Final = 1
_MAX_APART_SECONDS: Final = 60.0
_AMBIGUOUS_CRASHES: Final = 3
"""So many more it may see beside others that saw as many: several may kill, always together."""
_REAP_LIMIT: Final = 1000
LOST_SECONDS: Final = 3600.0
"""For so long a worker that fell silent is missed, unless another begins in its place."""
_LOST_LEASES: Final = 2
"""A worker that beats again within so many was busy, and nobody needs to be woken for it."""


class Lease:
    """How long a worker's own heartbeat holds, by the worker's clock.

    A heartbeat holds for ``ttl_seconds`` from when it was asked for: nobody can have seen it
    earlier, and who saw it waits for as long. A *term* is a time in which the lease never ran out:
    in it nobody can have taken the worker's jobs. What was claimed in an earlier term may be
    somebody else's by now, whatever the database said in between.
    """

    __slots__ = ("_ttl", "_until", "term")

    def __init__(self, ttl_seconds: float) -> None:
        self._ttl = ttl_seconds
        self._until = -math.inf
        self.term = 0

    def renewed(self, asked_at: float, now: float) -> None:
        """The heartbeat that was asked for at ``asked_at`` is committed at ``now``."""
        if now >= self._until:
            self.term += 1
        self._until = asked_at + self._ttl

    def holds(self, now: float, seconds: float = 0.0) -> bool:
        """Whether it holds, and for longer than ``seconds``."""
        return now + seconds < self._until

    def age(self, now: float) -> float:
        """Seconds since the heartbeat that holds, or held, was asked for."""
        return now - (self._until - self._ttl)


class Watch:
    """Who has fallen silent, by what this process saw itself.

    A worker is silent when its heartbeat has not changed for ``ttl_seconds`` in which it was looked
    at. A time in which nobody could look (an outage, a frozen process) counts as one heartbeat's at
    most: the others could not beat then either, and get as long as ever to do so now. Only at the
    first look the heartbeat's own age counts, so that a fresh fleet does not wait for the long
    dead; but two heartbeats' time remains for those that live.

    Who looks more often than others beat knows sooner: silence begins with the look that saw the
    last heartbeat, and ends with the one after its time.
    """

    def __init__(self, ttl_seconds: float, beat_seconds: float) -> None:
        self._ttl = ttl_seconds
        self._interval = beat_seconds
        self._credit = max(ttl_seconds - 2 * beat_seconds, 0.0)
        self._looked_at: float | None = None
        self._seen: dict[str, tuple[datetime, float]] = {}

    async def look(self, tx: ReadTx, now: float) -> dict[str, datetime]:
        """The silent workers, each with the heartbeat it stopped at; ``now`` is monotonic."""
        found = await tx.execute(sa.select(WorkerRow.id, WorkerRow.beat_at, db_now()))
        first = self._looked_at is None
        passed = 0.0 if self._looked_at is None else min(now - self._looked_at, self._interval)
        seen = {}
        for worker, beat_at, at in found:
            known_beat, silence = self._seen.get(worker, (None, 0.0))
            if known_beat == beat_at:
                silence += passed
            else:
                age = (at - beat_at).total_seconds() if first else 0.0
                silence = min(max(age, 0.0), self._credit)
            seen[worker] = (beat_at, silence)
        self._seen, self._looked_at = seen, now
        return {
            worker: beat_at for worker, (beat_at, silence) in seen.items() if silence >= self._ttl
        }


@dataclass(frozen=True, slots=True)
class Heard:
    """What a worker learns when it says that it lives.

    Attributes:
        jobs: ``{job id: (attempt, cancel_requested)}`` of all that are its own.
        draining: It is to claim nothing more.
    """

    jobs: dict[str, tuple[int, bool]]
    draining: bool


async def beat(
    tx: Tx,
    worker: str,
    *,
    version: str | None = None,
    slots: int | None = None,
    draining: bool = False,
    heeds: bool = False,
) -> Heard:
    """Say that ``worker`` lives, and hear what is asked of it.

    Args:
        tx: Of the errand of work.
        worker: Its id.
        version: Of the program.
        slots: How many jobs it runs at once.
        draining: What it heard last: a row that is gone is made anew, and forgets no drain.
        heeds: It claims nothing, and no claim of its own is on its way.
    """
    (asked,) = await tx.upsert(
        WorkerRow,
        {
            "id": worker,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "beat_at": db_now(),
            "started_at": tx.now(),
            "version": version,
            "slots": slots,
            "draining": draining,
            "heeded": heeds,
        },
        conflict=["id"],
        # Only of a drain that stands: what was heeded of one that is over would be taken for the
        # answer to the next.
        update={"beat_at": db_now(), "heeded": sa.and_(WorkerRow.draining, sa.literal(heeds))},
        returning=(WorkerRow.draining,),
    )
    mine = await tx.execute(
        sa.select(JobRow.id, JobRow.attempt, JobRow.cancel_requested).where(
            JobRow.worker == worker, JobRow.state == RUNNING
        )
    )
    return Heard({job_id: (attempt, cancel) for job_id, attempt, cancel in mine}, asked)


async def give_back(
    tx: Tx, worker: str, kinds: Mapping[str, JobKind], job_ids: Collection[str] | None = None
) -> int:
    """Make running jobs of ``worker`` ready again as if they had not been claimed.

    Only for jobs that this worker certainly does not run (any more): the attempt is taken back,
    so the same pair of worker and attempt may be given out again. ``None`` means all its jobs.
    Those whose cancellation was requested end cancelled. Returns how many were given back.
    """
    statement = sa.update(JobRow).where(JobRow.worker == worker, JobRow.state == RUNNING)
    if job_ids is not None:
        statement = statement.where(JobRow.id.in_(list(job_ids)))
    changed = await tx.execute(
        statement.values(
            state=_ready_or_cancelled(),
            attempt=JobRow.attempt - 1,
            worker=None,
            finished_at=_ended_if_cancelled(tx),
        )
        .returning(*CLAIM_COLUMNS, JobRow.state)
        .execution_options(synchronize_session=False)
    )
    return len(await _after_release(tx, changed, kinds))


def _ready_or_cancelled() -> sa.Case[str]:
    return sa.case(
        (JobRow.cancel_requested.is_(sa.true()), sa.literal_column("'cancelled'", sa.Text())),
        else_=READY,
    )


def _ended_if_cancelled(tx: Tx) -> sa.Case[Any]:
    return sa.case((JobRow.cancel_requested.is_(sa.true()), sa.literal(tx.now(), UtcTime())))


async def _after_release(
    tx: Tx, changed: Iterable[Any], kinds: Mapping[str, JobKind]
) -> list[Claim]:
    """Wake the fleet for what is ready, run the hooks of what is cancelled."""
    back = []
    cancelled = []
    for *columns, state in changed:
        claim = Claim(*columns)
        if state == "ready":
            back.append(claim)
        else:
            cancelled.append(claim)
    tell(tx, "job.cancelled", cancelled)
    for tenant_id, name, claims in by_owner(cancelled, lambda each: each):
        hook = kinds[name].on_cancel
        if hook is not None:
            async with tx.within(tenant_id) as part:
                await hook(part, claims)
    await advance_all(tx, [(one, "cancelled") for one in cancelled])
    if back:
        tx.signal("jobs")
    return back


async def say_goodbye(tx: Tx, worker: str, ttl_seconds: float) -> None:
    """Remove the heartbeat of ``worker``, which ends in order, while others still beat.

    So what has run out is of those that fell silent. When nobody is left it tells since when.
    """
    other = sa.select(WorkerRow.id).where(WorkerRow.id != worker, is_fresh(ttl_seconds))
    if await tx.scalar(other.limit(1)) is not None:
        await _forget(tx, WorkerRow.id == worker)


async def forget_lost(tx: Tx) -> None:
    """Remove the heartbeats that ran out so long ago that nobody needs to be told any more."""
    await _forget(tx, WorkerRow.beat_at < db_now(-LOST_SECONDS))


async def _forget(tx: Tx, gone: sa.ColumnElement[bool]) -> None:
    """Remove those of them that hold no job: who holds one is still to be reaped."""
    await tx.execute(
        sa.delete(WorkerRow)
        .where(
            gone,
            ~sa.select(JobRow.id)
            .where(JobRow.worker == WorkerRow.id, JobRow.state == RUNNING)
            .exists(),
        )
        .execution_options(synchronize_session=False)
    )


def is_fresh(ttl_seconds: float) -> sa.ColumnElement[bool]:
    """Whether a worker beat within the lease, by the database's clock."""
    # One from the future is of a clock that was set back since, and says nothing.
    return WorkerRow.beat_at.between(db_now(-ttl_seconds), db_now(ttl_seconds))


async def read_fleet(tx: ReadTx, ttl_seconds: float) -> Fleet:
    """Say who works, who fell silent, and whether anything waits; all by the database's clock."""
    fresh = is_fresh(ttl_seconds)
    claims = WorkerRow.draining.is_(sa.false())
    alive, draining, seen_at, lost_at = (
        await tx.execute(
            sa.select(
                sa.func.count(sa.case((sa.and_(fresh, claims), WorkerRow.id))),
                sa.func.count(sa.case((sa.and_(fresh, ~claims), WorkerRow.id))),
                sa.func.max(WorkerRow.beat_at),
                sa.func.min(sa.case((_is_lost(ttl_seconds), WorkerRow.beat_at))),
            )
        )
    ).one()
    due = sa.select(JobRow.id).where(JobRow.state == READY, JobRow.due_at <= db_now()).limit(1)
    return Fleet(
        alive,
        seen_at,
        # Only asked when nobody works: a backlog that is due much later would be walked through.
        due=not alive and await tx.scalar(due) is not None,
        lost=0 if lost_at is None else await _count_missing(tx, lost_at, ttl_seconds),
        draining=draining,
    )


def _is_lost(ttl_seconds: float) -> sa.ColumnElement[bool]:
    return WorkerRow.beat_at.between(db_now(-LOST_SECONDS), db_now(-_LOST_LEASES * ttl_seconds))


async def _count_missing(tx: ReadTx, lost_at: datetime, ttl_seconds: float) -> int:
    """How many fell silent for whom none began since: each that begins stands in for one."""
    lost, begun = (
        await tx.execute(
            sa.select(
                sa.func.count(sa.case((_is_lost(ttl_seconds), WorkerRow.id))),
                sa.func.count(sa.case((WorkerRow.started_at >= lost_at, WorkerRow.id))),
            )
        )
    ).one()
    return max(0, int(lost) - int(begun))


@cache
def _stranded() -> sa.Select[Any]:
    """Running jobs without a live worker: it is silent, or was never there.

    Asking from the job's side also finds jobs of workers whose row is already gone.
    """
    alive = (
        sa.select(WorkerRow.id)
        .where(
            WorkerRow.id == JobRow.worker,
            WorkerRow.id.not_in(sa.bindparam("silent", expanding=True)),
        )
        .exists()
    )
    return sa.select(*CLAIM_COLUMNS, JobRow.worker).where(
        JobRow.state == RUNNING,
        JobRow.kind.in_(sa.bindparam("kinds", expanding=True)),
        ~alive,
    )


async def has_stranded(tx: ReadTx, silent: Collection[str], kinds: Mapping[str, JobKind]) -> bool:
    """Whether :func:`reap` would find anything. Takes no lock."""
    found = await tx.execute(_stranded().limit(1), {"silent": list(silent), "kinds": list(kinds)})
    return found.first() is not None


async def reap(
    tx: Tx, silent: Mapping[str, datetime], kinds: Mapping[str, JobKind]
) -> tuple[list[Claim], list[Claim]]:
    """Give the jobs of dead workers to the living; returns (given back, dead).

    ``silent`` are the workers that somebody watched, each with the heartbeat it stopped at; one
    that has beaten since keeps its jobs.

    A job whose workers died as often as its kind allows is dead, if no other job of the last one
    has seen as many die: it probably kills them. While another has, either may be the cause, and
    they come back apart. Only kinds this process knows are touched, because only for those it can
    run the owner's hook. A worker that was merely frozen loses its jobs too; the fence refuses what
    it reports later.
    """
    # Locked: a heartbeat on its way now waits, and learns what has become of its jobs.
    beats = await tx.execute(
        sa.select(WorkerRow.id, WorkerRow.beat_at)
        .where(WorkerRow.id.in_(list(silent)))
        .order_by(WorkerRow.id)
        .with_for_update()
    )
    gone = [worker for worker, beat_at in beats if silent[worker] == beat_at]
    found = await tx.execute(
        # Who crashed most first: of more than fit, all that are suspect are judged together.
        _stranded()
        .order_by(JobRow.crashes.desc(), JobRow.id)
        .limit(_REAP_LIMIT)
        .with_for_update(skip_locked=True, of=JobRow),
        {"silent": gone, "kinds": list(kinds)},
    )
    stranded = [(Claim(*columns), worker) for *columns, worker in found]
    await note(
        tx,
        [as_ended(tx, each, "crashed", worker=worker, error=_CRASHED) for each, worker in stranded],
    )
    suspects = await _suspects(tx, {worker for _, worker in stranded})
    poison: list[Claim] = []
    others: list[Claim] = []
    for each, worker in stranded:
        beyond = each.crashes + 1 - kinds[each.kind].max_crashes
        alone = suspects.get(worker) == each.id
        guilty = beyond >= (0 if alone else _AMBIGUOUS_CRASHES)
        (poison if guilty else others).append(each)
    back: list[Claim] = []
    if others:
        rows = json_rows(tx.dialect, {"tenant_id": sa.Uuid(), "id": sa.Uuid(), "delay": sa.Float()})
        changed = await tx.execute(
            sa.update(JobRow)
            .where(JobRow.tenant_id == rows["tenant_id"], JobRow.id == rows["id"])
            .values(
                state=_ready_or_cancelled(),
                crashes=JobRow.crashes + 1,
                worker=None,
                due_at=sa.case(
                    (rows["delay"].is_not(None), db_now(rows["delay"])), else_=JobRow.due_at
                ),
                finished_at=_ended_if_cancelled(tx),
            )
            .returning(*CLAIM_COLUMNS, JobRow.state)
            .execution_options(synchronize_session=False),
            {
                "rows": [
                    {
                        "tenant_id": json_id(tx.dialect, each.tenant_id),
                        "id": json_id(tx.dialect, each.id),
                        "delay": _apart(each.crashes + 1),
                    }
                    for each in others
                ]
            },
        )
        back = await _after_release(tx, changed, kinds)
    if poison:
        await _bury(tx, poison, kinds)
    return back, poison


async def _suspects(tx: Tx, workers: Collection[str]) -> dict[str, str | None]:
    """Of each dead worker the job that saw more others die than any beside it; None: several did.

    Whatever it is that kills was there each time, so one that saw fewer die did not kill those.
    """
    if not workers:
        return {}
    seen = await tx.execute(
        # Of whatever kind, and locked or not: any may have been the cause.
        sa.select(JobRow.worker, JobRow.id, JobRow.crashes)
        .where(JobRow.state == RUNNING, JobRow.worker.in_(list(workers)))
        .order_by(JobRow.crashes.desc())
    )
    found: dict[str, str | None] = {}
    most: dict[str, int] = {}
    for worker, job_id, crashes in seen:
        if worker not in most:
            found[worker], most[worker] = job_id, crashes
        elif crashes == most[worker]:
            found[worker] = None
    return found


def _apart(crashes: int) -> float | None:
    """Seconds until a job starts again after its n-th crash; None is at once.

    A worker dies with all it holds, so whatever is claimed beside the job that kills it shares
    its crashes. Coming back one by one, the innocent get done, and the killer dies alone. The first
    time it is likelier that somebody ended the worker.
    """
    if crashes <= _TOGETHER_CRASHES:
        return None
    return random.uniform(0.0, min(2.0 ** (crashes - 1), _MAX_APART_SECONDS))  # noqa: S311 - no secret


async def _bury(tx: Tx, poison: list[Claim], kinds: Mapping[str, JobKind]) -> None:
    for tenant_id, name, dead in by_owner(poison, lambda each: each):
        error = f"its worker died {max(one.crashes for one in dead) + 1} times while running it"
        await tx.execute(
            sa.update(JobRow)
            .where(
                JobRow.tenant_id.in_({each.tenant_id for each in dead}),
                JobRow.id.in_([each.id for each in dead]),
            )
            .values(state="dead", error=error, crashes=JobRow.crashes + 1, finished_at=tx.now())
            .execution_options(synchronize_session=False)
        )
        tell(tx, "job.dead", dead)
        hook = kinds[name].on_dead
        if hook is not None:
            async with tx.within(tenant_id) as part:
                await hook(part, [(each, error) for each in dead])
    await advance_all(tx, [(each, "dead") for each in poison])
