"""Schedules: graphs that are submitted when a timing says so, and what became of each time.

Rows decide, not clocks of processes: whoever finds a schedule due locks it, submits, writes down
what became of each time that has passed, and says when it is due next, in one transaction. So any
number of processes may look, and each time is accounted for once: ``ran``, ``late`` (it ran, but
more than a minute after it was due), ``missed`` (nobody looked then, and it is not caught up) or
``skipped`` (the one before it still ran, or it could not be submitted).
"""

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from time import monotonic
from typing import Any, Final, Literal

import sqlalchemy as sa

from backend.core.context import Errand, Scope, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.paging import newest
from backend.managers.orchestrator._drafts import GraphDraft, TaskDraft
from backend.managers.orchestrator._graphs import Graphs
from backend.managers.orchestrator._timing import Timing, next_of, read_timing
from backend.managers.orchestrator.errors import (
    JobScheduleChangedError,
    JobScheduleExistsError,
    JobScheduleInvalidError,
    JobScheduleNotFoundError,
    TooManyJobSchedulesError,
)
from backend.managers.orchestrator.models import GraphRow, JobFiringRow, JobScheduleRow

Overlap = Literal["allow", "skip"]
CatchUp = Literal["none", "last", "all"]
Outcome = Literal["ran", "late", "missed", "skipped"]

ACTOR: Final = "system:schedules"
MAX_SCHEDULES: Final = 1000
LATE: Final = timedelta(minutes=1)
MAX_CAUGHT_UP: Final = 100
"""Of the times that passed while nobody looked so many run at most, the newest."""
MAX_LOOKED: Final = 1000
"""So many are looked at in one go, which takes a fifth of a second at worst. Where there are more
those that nobody looked at have one row together, and newer ones are looked at next."""
logger = logging.getLogger(__name__)

_load: Final = Loader(JobScheduleRow, JobScheduleNotFoundError, JobScheduleChangedError)

_UNSEEN: Final = "Nobody looked when it was due"
_BACKFILLED: Final = "Backfilled"
_MOMENT: Final = timedelta(microseconds=1)
_TENANTS: Final = 500
_A_TURN: Final = 20
_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class ScheduleDraft:
    """What is submitted, and when.

    Attributes:
        timing: As JSON has it.
        graph: The same, of a graph: its name and tasks.
        overlap: Whether it is submitted while the one before still runs.
        catch_up: Which of the times that passed while nobody looked still run.
        jitter_seconds: Up to so much later than due, drawn each time.
    """

    name: str
    timing: Mapping[str, Any]
    graph: Mapping[str, Any]
    overlap: Overlap = "skip"
    catch_up: CatchUp = "last"
    jitter_seconds: int = 0
    enabled: bool = True

    def read(self) -> tuple[Timing, GraphDraft]:
        """See that it is one.

        Raises:
            JobScheduleInvalidError: Nothing can be due by it.
            GraphInvalidError: What it submits is no graph.
        """
        draft = graph_of(self.graph)
        draft.check()
        return read_timing(self.timing), draft


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as its tenant may see it."""

    id: str
    draft: ScheduleDraft
    due_at: datetime | None
    last_graph_id: str | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    revision: int


@dataclass(frozen=True, slots=True)
class Backfill:
    """What became of a stretch's times: how many were submitted, and how many had run before."""

    submitted: int
    ran_before: int


@dataclass(frozen=True, slots=True)
class Firing:
    """A time at which it was due, or several that were missed: ``times``, up to ``until``."""

    due_at: datetime
    outcome: Outcome
    why: str | None
    graph_id: str | None
    decided_at: datetime
    times: int
    until: datetime | None


class Schedules:
    """A tenant's schedules, and the tick that looks at those of all."""

    def __init__(self, graphs: Graphs, errand: Errand) -> None:
        self._graphs = graphs
        self._errand = errand

    async def create(
        self, tx: Tx, draft: ScheduleDraft, *, permissions: frozenset[str] = frozenset()
    ) -> Schedule:
        """Add one; what it submits is held to ``permissions``, those of who saved it last.

        Raises:
            JobScheduleInvalidError, GraphInvalidError: It is none, and why.
            JobForbiddenError: A kind takes a permission that is not among them.
            JobScheduleExistsError: Another one has its name.
            TooManyJobSchedulesError: There are a thousand.
        """
        timing, graph = draft.read()
        rights = self._graphs.check_kinds(tx, graph, permissions)
        count = await tx.scalar(
            sa.select(sa.func.count()).select_from(JobScheduleRow).where(
                JobScheduleRow.tenant_id == tx.tenant_id
            )
        )  # fmt: skip
        if int(count) >= MAX_SCHEDULES:
            raise TooManyJobSchedulesError
        due_at = _first(timing, tx.now()) if draft.enabled else None
        row = {
            "id": uuid7(),
            "tenant_id": tx.tenant_id,
            **_columns(draft),
            "rights": rights,
            "due_at": due_at,
            "next_at": _jittered(due_at, draft.jitter_seconds),
            "last_graph_id": None,
            "created_at": tx.now(),
            "created_by": tx.scope.actor,
            "updated_at": tx.now(),
            "updated_by": tx.scope.actor,
            "revision": 1,
        }
        if not await tx.insert_new(JobScheduleRow, row, conflict=["tenant_id", "name"]):
            raise JobScheduleExistsError
        tx.audit("job_schedule.created", f"job_schedule:{row['id']}", name=draft.name)
        return await self.get(tx, str(row["id"]))

    async def get(self, tx: ReadTx, schedule_id: str) -> Schedule:
        """One schedule.

        Raises:
            JobScheduleNotFoundError: No such one in this tenant.
        """
        return _view(await _load(tx, schedule_id))

    async def list(
        self, tx: ReadTx, *, limit: int = 50, before_id: str | None = None
    ) -> Sequence[Schedule]:
        """Schedules, the newest first, one more than ``limit``."""
        query = sa.select(JobScheduleRow).where(JobScheduleRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, JobScheduleRow.id, limit, before_id))
        return [_view(row) for row in rows]

    async def replace(
        self,
        tx: Tx,
        schedule_id: str,
        draft: ScheduleDraft,
        *,
        permissions: frozenset[str] = frozenset(),
        expected_version: str | None = None,
    ) -> Schedule:
        """Change one; it is due by what it says now, from now on, by ``permissions`` as new ones.

        Raises:
            JobScheduleNotFoundError: No such one in this tenant.
            JobScheduleInvalidError, GraphInvalidError: It is none, and why.
            JobForbiddenError: A kind takes a permission that is not among them.
            JobScheduleExistsError: Another one has its name.
            JobScheduleChangedError: It is not as it was when it was read.
        """
        timing, graph = draft.read()
        rights = self._graphs.check_kinds(tx, graph, permissions)
        row = await _load(tx, schedule_id, expected_version=expected_version, lock=True)
        taken = await tx.scalar(
            sa.select(JobScheduleRow.id).where(
                JobScheduleRow.tenant_id == tx.tenant_id,
                JobScheduleRow.name == draft.name,
                JobScheduleRow.id != schedule_id,
            )
        )
        if taken is not None:
            raise JobScheduleExistsError
        for name, value in {**_columns(draft), "rights": rights}.items():
            setattr(row, name, value)
        row.due_at = _first(timing, tx.now()) if draft.enabled else None
        row.next_at = _jittered(row.due_at, draft.jitter_seconds)
        row.updated_at, row.updated_by = tx.now(), tx.scope.actor
        row.revision += 1
        tx.audit("job_schedule.changed", f"job_schedule:{row.id}", name=draft.name)
        await tx.session.flush()
        return _view(row)

    async def switch(self, tx: Tx, schedule_id: str, *, enabled: bool) -> Schedule:
        """Pause one, or go on with it from now; what it has submitted goes on.

        Raises:
            JobScheduleNotFoundError: No such one in this tenant.
            JobScheduleInvalidError: Nothing can be due by it any more, and why.
        """
        row = await _load(tx, schedule_id, lock=True)
        if row.enabled == enabled:
            return _view(row)
        row.enabled = enabled
        row.due_at = _first(read_timing(row.timing), tx.now()) if enabled else None
        row.next_at = _jittered(row.due_at, row.jitter_seconds)
        row.updated_at, row.updated_by = tx.now(), tx.scope.actor
        row.revision += 1
        act = "resumed" if enabled else "paused"
        tx.audit(f"job_schedule.{act}", f"job_schedule:{row.id}", name=row.name)
        await tx.session.flush()
        return _view(row)

    async def remove(
        self, tx: Tx, schedule_id: str, *, expected_version: str | None = None
    ) -> None:
        """Remove one; what it has submitted goes on.

        Raises:
            JobScheduleNotFoundError: No such one in this tenant.
            JobScheduleChangedError: It is not as it was when it was read.
        """
        row = await _load(tx, schedule_id, expected_version=expected_version, lock=True)
        await tx.execute(
            sa.delete(JobFiringRow).where(
                JobFiringRow.tenant_id == tx.tenant_id, JobFiringRow.schedule_id == row.id
            )
        )
        await tx.session.delete(row)
        tx.audit("job_schedule.deleted", f"job_schedule:{row.id}", name=row.name)

    async def run_now(
        self, tx: Tx, schedule_id: str, *, permissions: frozenset[str] = frozenset()
    ) -> str:
        """Submit what it submits once more, whatever its timing says; returns the graph's id.

        Raises:
            JobScheduleNotFoundError: No such one in this tenant.
            JobForbiddenError: A kind takes a permission that is not among those of who asks.
        """
        row = await _load(tx, schedule_id, lock=True)
        made, _ = await self._graphs.submit(tx, graph_of(row.graph), permissions=permissions)
        row.last_graph_id = made.id
        tx.audit("job_schedule.submitted", f"job_schedule:{row.id}", name=row.name, graph=made.id)
        await tx.session.flush()
        return made.id

    async def backfill(
        self,
        tx: Tx,
        schedule_id: str,
        *,
        since: datetime,
        until: datetime,
        permissions: frozenset[str] = frozenset(),
    ) -> Backfill:
        """Submit what it submits for each of its times in a stretch that did not run.

        They run at the same time, whatever its overlap says, and are ``late``.

        Raises:
            JobScheduleNotFoundError: No such one in this tenant.
            JobScheduleInvalidError: The stretch ends before it begins or is not over, has more than
                a hundred times, or a timing by which nothing can be due any more.
            JobForbiddenError: A kind takes a permission that is not among those of who asks.
            StockReachedError: The tenant would have more waiting jobs than its quota allows.
        """
        row = await _load(tx, schedule_id, lock=True)
        if not since < until <= tx.now():
            raise JobScheduleInvalidError("The stretch is over, and begins before it ends").at(
                "until"
            )
        timing = read_timing(row.timing)
        passed = takewhile(lambda one: one < until, timing.after(since - _MOMENT))
        times = list(islice(passed, MAX_CAUGHT_UP + 1))
        if len(times) > MAX_CAUGHT_UP:
            raise JobScheduleInvalidError(
                f"It has more than {MAX_CAUGHT_UP} times there: ask for a part of it"
            ).at("since")
        known = {
            one.due_at: one
            for one in await tx.scalars(
                sa.select(JobFiringRow)
                .where(
                    JobFiringRow.tenant_id == tx.tenant_id,
                    JobFiringRow.schedule_id == row.id,
                    JobFiringRow.due_at < until,
                    sa.func.coalesce(JobFiringRow.until, JobFiringRow.due_at) >= since,
                )
                .order_by(JobFiringRow.due_at)
                .with_for_update()
            )
        }
        ran = [at for at in times if at in known and known[at].graph_id is not None]
        for at in times:
            if at in ran:
                continue
            draft = graph_of(row.graph, dedup_key=_key(row, at))
            made, _ = await self._graphs.submit(tx, draft, permissions=permissions)
            await self._take_out(tx, timing, known, at)
            firing = {**_firing(tx, row, at, "late", _BACKFILLED), "graph_id": made.id}
            await tx.insert(JobFiringRow, [firing])
        done = Backfill(len(times) - len(ran), len(ran))
        tx.audit(
            "job_schedule.backfilled",
            f"job_schedule:{row.id}",
            name=row.name,
            since=since.isoformat(),
            until=until.isoformat(),
            submitted=done.submitted,
        )
        return done

    @staticmethod
    async def _take_out(
        tx: Tx, timing: Timing, known: dict[datetime, JobFiringRow], at: datetime
    ) -> None:
        """Let no row say any more that this time did not run."""
        whole = next(
            (one for one in known.values() if one.due_at <= at <= (one.until or one.due_at)), None
        )
        if whole is None:
            return
        del known[whole.due_at]
        if whole.times == 1:
            await tx.session.delete(whole)
        else:
            whole.times -= 1
            if whole.due_at == at:
                whole.due_at = _first(timing, at) or at
            known[whole.due_at] = whole
        await tx.session.flush()

    async def list_firings(
        self, tx: ReadTx, schedule_id: str, *, since: datetime, until: datetime, limit: int
    ) -> Sequence[Firing]:
        """What became of the times of a stretch, the newest first.

        Raises:
            JobScheduleNotFoundError: No such one in this tenant.
        """
        await _load(tx, schedule_id)
        rows = await tx.scalars(
            sa.select(JobFiringRow)
            .where(
                JobFiringRow.tenant_id == tx.tenant_id,
                JobFiringRow.schedule_id == schedule_id,
                JobFiringRow.due_at >= since,
                JobFiringRow.due_at < until,
            )
            .order_by(JobFiringRow.due_at.desc())
            .limit(limit)
        )
        return [
            Firing(
                due_at=row.due_at,
                outcome=row.outcome,
                why=row.why,
                graph_id=row.graph_id,
                decided_at=row.decided_at,
                times=row.times,
                until=row.until,
            )
            for row in rows
        ]

    async def run(self, database: Database) -> int:
        """Look at the schedules that are due, tenants in turns; how many times were decided."""
        async with database.read(SystemScope(self._errand)) as view:
            now = view.now()
            waiting = await view.scalars(
                sa.select(JobScheduleRow.tenant_id)
                .where(JobScheduleRow.next_at <= now)
                .group_by(JobScheduleRow.tenant_id)
                .order_by(sa.func.min(JobScheduleRow.next_at))
                .limit(_TENANTS)
            )
        decided, end = 0, monotonic() + _SECONDS
        while waiting and monotonic() < end:
            more = []
            for tenant_id in waiting:
                try:
                    async with database.transaction(Scope(ACTOR, tenant_id)) as tx:
                        rows = await self._lock_due(tx)
                        decided += sum([await self._decide(tx, row) for row in rows])
                except Exception:
                    # Nobody else waits for it; what was to be decided is so the next time.
                    logger.exception("job_schedules_failed", extra={"tenant_id": tenant_id})
                    continue
                if len(rows) == _A_TURN or any(row.next_at and row.next_at <= now for row in rows):
                    more.append(tenant_id)
            waiting = more
        return decided

    @staticmethod
    async def _lock_due(tx: Tx) -> Sequence[JobScheduleRow]:
        return await tx.scalars(
            sa.select(JobScheduleRow)
            .where(JobScheduleRow.tenant_id == tx.tenant_id, JobScheduleRow.next_at <= tx.now())
            .order_by(JobScheduleRow.next_at, JobScheduleRow.id)
            .limit(_A_TURN)
            .with_for_update(skip_locked=True)
        )

    async def _decide(self, tx: Tx, row: JobScheduleRow) -> int:
        """Account for every time that has passed, and say when it is due next; how many."""
        now = tx.now()
        assert row.due_at is not None  # noqa: S101 - it would not be due
        try:
            timing = read_timing(row.timing)
        except JobScheduleInvalidError as exc:
            # A zone that the system knows no more. It is due again once somebody has changed it.
            found = [_firing(tx, row, row.due_at, "missed", exc.detail or exc.title)]
            row.due_at = row.next_at = None
            return await self._record(tx, row, found)
        passed = [row.due_at]
        passed += islice(
            takewhile(lambda one: one <= now, timing.after(row.due_at)), MAX_LOOKED - 1
        )
        if len(passed) == MAX_LOOKED:
            # Newer ones follow: which are the last of all is not known yet.
            row.due_at = row.next_at = passed[-MAX_CAUGHT_UP]
            old = passed[:-MAX_CAUGHT_UP]
            one = _firing(tx, row, old[0], "missed", _UNSEEN)
            found = [{**one, "times": len(old), "until": old[-1]}]
        else:
            fresh = now - passed[-1] <= LATE
            runs = {"none": int(fresh), "last": 1, "all": MAX_CAUGHT_UP}[row.catch_up]
            at = max(0, len(passed) - runs)
            row.due_at = _first(timing, passed[-1])
            row.next_at = _jittered(row.due_at, row.jitter_seconds)
            found = [_firing(tx, row, one, "missed", _UNSEEN) for one in passed[:at]]
            found += [await self._fire(tx, row, one, late=now - one > LATE) for one in passed[at:]]
        return await self._record(tx, row, found)

    @staticmethod
    async def _record(tx: Tx, row: JobScheduleRow, found: Sequence[dict[str, Any]]) -> int:
        await tx.insert_missing(
            JobFiringRow, found, conflict=["tenant_id", "schedule_id", "due_at"]
        )
        missed = [one for one in found if one["outcome"] == "missed"]
        if missed:
            tx.emit(
                "job_schedule.missed",
                f"job_schedule:{row.id}",
                name=row.name,
                due_at=missed[0]["due_at"].isoformat(),
                until=(missed[-1]["until"] or missed[-1]["due_at"]).isoformat(),
                times=sum(one["times"] for one in missed),
            )
        await tx.session.flush()
        return sum(one["times"] for one in found)

    async def _fire(
        self, tx: Tx, row: JobScheduleRow, at: datetime, *, late: bool
    ) -> dict[str, Any]:
        if row.overlap == "skip" and await _runs(tx, row.last_graph_id):
            return _firing(tx, row, at, "skipped", "The one before it still runs")
        draft = graph_of(row.graph, dedup_key=_key(row, at))
        try:
            async with tx.savepoint():
                rights = frozenset(row.rights or ())
                made, _ = await self._graphs.submit(tx, draft, permissions=rights)
        except AppError as exc:
            # Of the tenant's other schedules none waits for what this one may not do.
            return _firing(tx, row, at, "skipped", exc.detail or exc.title)
        row.last_graph_id = made.id
        return {**_firing(tx, row, at, "late" if late else "ran", None), "graph_id": made.id}


def graph_of(said: Mapping[str, Any], dedup_key: str | None = None) -> GraphDraft:
    """The graph that a schedule submits."""
    tasks = [TaskDraft(**one) for one in said["tasks"]]
    return GraphDraft(said["name"], tasks, dedup_key)


def _key(row: JobScheduleRow, at: datetime) -> str:
    return f"schedule:{row.id}@{at.isoformat()}"


def _first(timing: Timing, after: datetime) -> datetime | None:
    return next(iter(next_of(timing, after, 1)), None)


def _jittered(due_at: datetime | None, seconds: int) -> datetime | None:
    if due_at is None or not seconds:
        return due_at
    return due_at + timedelta(seconds=random.uniform(0, seconds))  # noqa: S311 - no secret


def _firing(
    tx: Tx, row: JobScheduleRow, at: datetime, outcome: Outcome, why: str | None
) -> dict[str, Any]:
    return {
        "tenant_id": tx.tenant_id,
        "schedule_id": row.id,
        "due_at": at,
        "outcome": outcome,
        "why": why,
        "graph_id": None,
        "decided_at": tx.now(),
        "times": 1,
        "until": None,
    }


async def _runs(tx: ReadTx, graph_id: str | None) -> bool:
    if graph_id is None:
        return False
    found = await tx.scalar(
        sa.select(GraphRow.id).where(
            GraphRow.tenant_id == tx.tenant_id,
            GraphRow.id == graph_id,
            GraphRow.finished_at.is_(None),
        )
    )
    return found is not None


def _columns(draft: ScheduleDraft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "timing": dict(draft.timing),
        "graph": dict(draft.graph),
        "overlap": draft.overlap,
        "catch_up": draft.catch_up,
        "jitter_seconds": draft.jitter_seconds,
        "enabled": draft.enabled,
    }


def _view(row: JobScheduleRow) -> Schedule:
    return Schedule(
        id=row.id,
        draft=ScheduleDraft(
            row.name,
            row.timing,
            row.graph,
            row.overlap,  # type: ignore[arg-type]
            row.catch_up,  # type: ignore[arg-type]
            row.jitter_seconds,
            row.enabled,
        ),
        due_at=row.due_at,
        last_graph_id=row.last_graph_id,
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        revision=row.revision,
    )
