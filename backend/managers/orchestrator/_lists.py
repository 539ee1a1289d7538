"""Lists of a tenant's jobs: a page of one, a part of one to act on, and how long they are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Unpack, cast, get_args

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.errors import InvalidInputError
from backend.core.paging import counted_between
from backend.managers.orchestrator._advance import BY_GRAPH
from backend.managers.orchestrator._rows import is_id
from backend.managers.orchestrator.kinds import (
    MAX_LINE_CHARS,
    Count,
    Failure,
    Listed,
    State,
    Totals,
    Which,
    first_line,
)
from backend.managers.orchestrator.models import JobRow

STATES: Final[tuple[State, ...]] = get_args(State)
MOST_COUNTED: Final = 10_000
"""Of a kind and a state; a count that stops there says so."""
MOST_COUNTS: Final = 200
"""Kinds and their states: each is a statement or two."""
MOST_FAILURES: Final = 10
LOOKED_AT: Final = 1000
"""Dead jobs, the newest, of which it is read why."""
USUAL: Final = 50
_BY_KIND: Final = "INDEXED BY ix_jobs_kind"
_INDEX: Final[Mapping[Any, str]] = {
    JobRow.subject: "INDEXED BY ix_jobs_subject",
    JobRow.graph_id: BY_GRAPH,
    JobRow.kind: _BY_KIND,
}
_NEWEST_FIRST: Final = (JobRow.created_at.desc(), JobRow.id.desc())


@dataclass(frozen=True, slots=True)
class Part:
    """Jobs of a list that are locked; the next part is after ``last_id``, None: there is none."""

    jobs: Sequence[JobRow]
    last_id: str | None


async def newest(
    tx: ReadTx, *, state: str | None = None, **which: Unpack[Listed]
) -> Sequence[JobRow]:
    """Jobs of a list: one more than its ``limit``, if there is one.

    Raises:
        InvalidInputError: ``before_id`` is not an id.
    """
    limit = which.get("limit", USUAL)
    narrowed = {
        column: value
        for column, value in (
            (JobRow.subject, which.get("subject")),
            (JobRow.graph_id, which.get("graph_id")),
            (JobRow.kind, which.get("kind")),
        )
        if value is not None
    }
    place = [column == value for column, value in narrowed.items()]
    before_id = which.get("before_id")
    if before_id is not None:
        if not is_id(before_id):
            detail = "The cursor is not one of ours."
            raise InvalidInputError(detail)
        anchor = await tx.scalar(sa.select(JobRow.created_at).where(JobRow.id == before_id))
        if anchor is None:
            return []
        place += [
            JobRow.created_at <= anchor,
            sa.or_(JobRow.created_at < anchor, JobRow.id < before_id),
        ]
    if (after := which.get("created_after")) is not None:
        place.append(JobRow.created_at >= after)
    if (before := which.get("created_before")) is not None:
        place.append(JobRow.created_at < before)
    # A list for each state, then the newest of them all: every one ends where its page is
    # full, along an index that has the state, and perhaps what narrows it, before the time.
    lists = [
        sa.select(JobRow.id)
        # Statistics of averages say that all kinds are alike, and no index better than another.
        .with_hint(JobRow, _INDEX[next(iter(narrowed))] if narrowed else "", "sqlite")
        .where(JobRow.tenant_id == tx.tenant_id, JobRow.state == each, *place)
        .order_by(*_NEWEST_FIRST)
        .limit(limit + 1)
        .subquery(each)
        for each in ([state] if state is not None else STATES)
    ]
    found = sa.union_all(*(sa.select(each.c.id) for each in lists))
    rows: Sequence[JobRow] = await tx.scalars(
        sa.select(JobRow).where(JobRow.id.in_(found)).order_by(*_NEWEST_FIRST).limit(limit + 1)
    )
    return rows


async def lock_part(tx: Tx, state: State, which: Which) -> Part:
    """The jobs of a part of a list, those of them that are still in that state.

    Raises:
        InvalidInputError: ``before_id`` is not an id.
    """
    filters: dict[str, Any] = {"limit": 100, **which}
    error, limit = filters.pop("error", None), filters["limit"]
    found = await newest(tx, state=state, **filters)
    part = found[:limit]
    last_id = part[-1].id if len(found) > limit else None
    # Of a part that is bounded: no index has the error.
    ids = [one.id for one in part if error is None or first_line(one.error) == first_line(error)]
    statement = (
        sa.select(JobRow)
        # Another may have changed some of them meanwhile.
        .where(JobRow.id.in_(ids), JobRow.state == state)
        # In one order: two who act on the same part wait for each other.
        .order_by(JobRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    # For nobody, planners would look at all there are.
    return Part(await tx.scalars(statement) if ids else [], last_id)


async def total(tx: ReadTx) -> Totals:
    """How many jobs there are by kind and state, and why the newest of the dead died.

    However many there are: of each kind and state so many entries of an index are counted at most,
    and of dead jobs so many rows are read.
    """
    counts: list[Count] = []
    there = await _first(tx)
    while there is not None and len(counts) < MOST_COUNTS:
        some = (
            # In an order that an index has, or PostgreSQL takes the table for so many.
            _of(tx, JobRow.created_at, kind=there.kind, state=there.state)
            .with_hint(JobRow, _BY_KIND, "sqlite")
            .limit(MOST_COUNTED + 1)
            .subquery()
        )
        count = int(await tx.scalar(sa.select(sa.func.count()).select_from(some)))
        state = cast("State", there.state)
        counts.append(
            Count(there.kind, state, min(count, MOST_COUNTED), at_least=count > MOST_COUNTED)
        )
        # Two steps, and not one over both columns: SQLite would walk through the rest of the kind.
        there = await _first(tx, JobRow.kind == there.kind, JobRow.state > state) or await _first(
            tx, JobRow.kind > there.kind
        )
    failures, looked_at = await _failures(tx)
    return Totals(counts, there is None, failures, looked_at)


async def count_spans(tx: ReadTx, bounds: Sequence[datetime]) -> list[tuple[int, str, str, int]]:
    """How many jobs were made from each bound to the next, by kind and present state.

    Returns ``(place, kind, state, count)``, in that order; of what there are none there is no row.
    """
    of = (
        sa.select(JobRow.kind, JobRow.state)
        .with_hint(JobRow, _BY_KIND, "sqlite")
        .where(JobRow.tenant_id == tx.tenant_id)
    )
    found = await tx.execute(counted_between(of, JobRow.created_at, bounds))
    return [(int(place), kind, state, int(count)) for place, kind, state, count in found]


async def _first(tx: ReadTx, *where: sa.ColumnElement[bool]) -> sa.Row[tuple[str, str]] | None:
    """The first kind and state, of those that there are: the index is stepped through."""
    found = await tx.execute(
        sa.select(JobRow.kind, JobRow.state)
        .with_hint(JobRow, _BY_KIND, "sqlite")
        .where(JobRow.tenant_id == tx.tenant_id, *where)
        .order_by(JobRow.kind, JobRow.state)
        .limit(1)
    )
    return found.first()


async def _failures(tx: ReadTx) -> tuple[Sequence[Failure], int]:
    # Twice as much as is shown: a message may begin with blanks.
    said = sa.func.substr(JobRow.error, 1, 2 * MAX_LINE_CHARS)
    dead = (
        await tx.execute(_of(tx, JobRow.id, JobRow.kind, said, state="dead").limit(LOOKED_AT))
    ).all()
    alike: Counter[tuple[str, str]] = Counter()
    newest_of: dict[tuple[str, str], str] = {}
    for job_id, kind, error in dead:
        which = kind, first_line(error)
        alike[which] += 1
        newest_of.setdefault(which, job_id)
    return [
        Failure(kind, error, count, newest_of[kind, error])
        for (kind, error), count in alike.most_common(MOST_FAILURES)
    ], len(dead)


def _of(tx: ReadTx, *columns: Any, state: str, kind: str | None = None) -> sa.Select[Any]:
    """Columns of the jobs in a state, perhaps of one kind, the newest first."""
    return (
        sa.select(*columns)
        .where(
            JobRow.tenant_id == tx.tenant_id,
            JobRow.state == state,
            *((JobRow.kind == kind,) if kind is not None else ()),
        )
        .order_by(*_NEWEST_FIRST)
    )
