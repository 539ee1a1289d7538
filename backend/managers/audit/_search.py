"""Searching the trail: each filter starts from an index, and what has none is bounded.

Act, actor, target, request, workflow and execution have indexes of their own; a range of time is a
stretch of the primary key, because ids are UUIDv7 (RFC 9562, 5.7). Words are looked for in what
those leave, in a stretch of time that the caller names, and in a bounded number of records a call:
a search says where it stopped, and goes on from there.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from backend.core.audit import AuditRecord, named_in
from backend.core.database import ReadTx
from backend.core.paging import Made, Side, hidden, matches, newest_of
from backend.managers.audit.errors import RangeNeededError

LONGEST: Final = timedelta(days=92)
"""The longest stretch that is searched for words or counted: a quarter of a year."""
_LOOKED_AT: Final = 5000
_PART: Final = 1000
COUNTED: Final = 10_000
"""So many records are counted at most, the newest ones; it takes some ten milliseconds."""
_SHOWN: Final = 20
_NAMED: Final = frozenset({"workflow_id", "execution_id"})
"""Columns that the database makes of the data."""
_BUCKETS: Final = 50
_STEPS: Final = tuple(60 * n for n in (1, 5, 15, 30, 60, 180, 360, 720, 1440, 2880))


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One audit record as readers see it; ``seq`` and ``hash`` follow within a second.

    ``workflow`` and ``execution`` are which run of which workflow asked for the act, or else which
    it was about, as its data says.
    """

    id: str
    seq: int | None
    at: datetime
    actor: str
    action: str
    target: str
    data: Mapping[str, Any]
    request_id: str
    hash: str | None
    workflow: str | None = None
    execution: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a search is for; what is None is not asked about.

    Attributes:
        action: Exactly, or as a prefix when it ends in ``*``; so are the next five.
        actor: As the records have it: ``user:<id>``, ``client:<client id>``, ``api_key:<id>``.
        target: ``<noun>:<id>``.
        request_id: Of the request, as in the header ``X-Request-Id`` of its answer.
        workflow: That the record names, by the id that it has where it runs.
        execution: Of a workflow, likewise; such ids count from 1 in each n8n.
        after: The first moment that counts.
        before: The first that does not any more.
        words: Each occurs somewhere in the record, in whatever case; needs a range.
    """

    action: str | None = None
    actor: str | None = None
    target: str | None = None
    request_id: str | None = None
    workflow: str | None = None
    execution: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    words: str | None = None

    def made(self) -> Made | None:
        """The range of time, if there is one."""
        if self.after is None and self.before is None:
            return None
        return Made(AuditRecord.at, self.after, self.before)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        entries: Newest first, one more than was asked for when there are more.
        looked_until: Where a search for words stopped to look, if there is more to look at.
    """

    entries: Sequence[AuditEntry]
    looked_until: str | None = None


@dataclass(frozen=True, slots=True)
class Facet:
    """How often a value occurs."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """How many records begin with a moment, until the next stretch."""

    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts over a stretch of time.

    Attributes:
        after: The first moment that was asked about.
        before: The first that was not any more.
        counted: How many records these are of.
        complete: Whether that is all; else only the newest ten thousand were looked at.
        actions: The most frequent acts, at most twenty.
        actors: The most frequent actors, at most twenty.
        step_seconds: How long each of ``stretches`` is.
        stretches: In order; empty ones are left out.
    """

    after: datetime
    before: datetime
    counted: int
    complete: bool
    actions: Sequence[Facet]
    actors: Sequence[Facet]
    step_seconds: int
    stretches: Sequence[Stretch]


_Told = Sequence[tuple[str, Mapping[str, Any]]]
Reveal = Callable[[ReadTx, _Told], Awaitable[list[Mapping[str, Any]]]]
"""Gives records' data, told with their ids, with what is personal in the clear."""


async def search(
    tx: ReadTx, wanted: Wanted, reveal: Reveal, *, limit: int, before_id: str | None
) -> Found:
    """Newest first, at most ``limit + 1`` so that the caller sees whether there is more.

    With words at most five thousand records are looked at: fewer may then come than there are,
    even none, and :attr:`Found.looked_until` is where to go on.

    Raises:
        RangeNeededError: There are words and no range of time, or one of more than 92 days.
    """
    words = (wanted.words or "").casefold().split()
    if not words:
        return Found(
            await _entries(
                tx, reveal, await _records(tx, wanted, _sides(tx, wanted), limit, before_id)
            )
        )
    bounded(wanted.after, wanted.before, tx.now())
    side = _walked(tx, wanted)
    found: list[AuditEntry] = []
    for _ in range(_LOOKED_AT // _PART):
        entries = await _entries(tx, reveal, await _records(tx, wanted, side, _PART - 1, before_id))
        for entry in entries:
            if meets(entry, wanted) and all(word in _text(entry) for word in words):
                found.append(entry)
                if len(found) > limit:
                    return Found(found)
        if len(entries) < _PART:
            return Found(found)
        before_id = entries[-1].id
    return Found(found, before_id)


def bounded(
    after: datetime | None, before: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """The range, until ``now`` if it has no end.

    Raises:
        RangeNeededError: It has no beginning, or is longer than 92 days.
    """
    before = before or now
    if after is None or before - after > LONGEST:
        raise RangeNeededError(f"From when on? At most {LONGEST.days} days are looked through")
    return after, before


async def count(tx: ReadTx, wanted: Wanted) -> Facets:
    """Count acts, actors and times of what the filters leave; of a day if no range is given.

    The newest ten thousand records are looked at, whatever the range holds; of a filter that is
    exact, the newest that it leaves.

    Raises:
        RangeNeededError: The range is longer than 92 days.
    """
    before = wanted.before or tx.now()
    after, before = bounded(wanted.after or before - timedelta(days=1), before, tx.now())
    columns = sa.select(
        AuditRecord.action,
        AuditRecord.actor,
        AuditRecord.target,
        AuditRecord.request_id,
        AuditRecord.workflow_id,
        AuditRecord.execution_id,
        AuditRecord.at,
    ).where(AuditRecord.tenant_id == tx.tenant_id)
    made, side = Made(AuditRecord.at, after, before), _walked(tx, wanted)
    walk = await newest_of(tx, columns, AuditRecord.id, side, COUNTED - 1, None, made)
    newest = walk.subquery()
    looked_at = await tx.scalar(sa.select(sa.func.count()).select_from(newest))
    conditions = [matches(tx, newest.c[column.key], text)[0] for column, text in _filters(wanted)]
    rows = sa.select(newest.c.action, newest.c.actor, newest.c.at).where(*conditions).subquery()
    step = _step(before - after)
    bucket = _bucket(tx, rows.c.at, step, (after, before)).label("bucket")
    counts = await tx.execute(
        sa.select(bucket, sa.func.count()).select_from(rows).group_by(bucket).order_by(bucket)
    )
    stretches = [
        Stretch(datetime.fromtimestamp(int(number) * step, UTC), int(found))
        for number, found in counts
    ]
    return Facets(
        after=after,
        before=before,
        counted=sum(one.count for one in stretches),
        complete=int(looked_at) < COUNTED,
        actions=await _most(tx, rows, rows.c.action),
        actors=await _most(tx, rows, rows.c.actor),
        step_seconds=step,
        stretches=stretches,
    )


async def _most(tx: ReadTx, rows: sa.Subquery, column: sa.ColumnElement[str]) -> list[Facet]:
    often = sa.func.count()
    query = sa.select(column, often).select_from(rows).group_by(column)
    found = await tx.execute(query.order_by(often.desc(), column).limit(_SHOWN))
    return [Facet(str(value), int(number)) for value, number in found]


def _step(span: timedelta) -> int:
    """The shortest step that cuts the span into at most fifty."""
    return next((one for one in _STEPS if span.total_seconds() / one <= _BUCKETS), _STEPS[-1])


def _bucket(tx: ReadTx, at: Any, step: int, span: tuple[datetime, datetime]) -> Any:
    """The number of the stretch since 1970.

    By comparisons on PostgreSQL: taking a timestamp apart is spelled with a text of one's own,
    which no confined statement may have.
    """
    if tx.dialect != "postgresql":
        return sa.type_coerce(at, sa.BigInteger) // (step * 1_000_000)
    first, last = (int(edge.timestamp() // step) for edge in span)
    edges = [
        (at < datetime.fromtimestamp((number + 1) * step, UTC), number)
        for number in range(first, last)
    ]
    return sa.case(*edges, else_=last) if edges else sa.literal(last)


async def oldest(
    tx: ReadTx, wanted: Wanted, *, after_id: str | None, until_id: str, limit: int
) -> Sequence[AuditRecord]:
    """Records oldest first, after one and until another, for who reads the trail to its end.

    Along the one index of :func:`_walked`, or the range of time: of what comes, :func:`meets` says
    what is wanted.
    """
    side, made = _walked(tx, wanted), wanted.made()
    conditions = [side[0].condition] if side else [AuditRecord.tenant_id == tx.tenant_id]
    if after_id is not None:
        conditions.append(AuditRecord.id > after_id)
    if made is not None:
        conditions += made.about(AuditRecord.id)
    query = sa.select(AuditRecord).where(*conditions, AuditRecord.id <= until_id)
    query = side[0].along(query) if side else query
    rows: Sequence[AuditRecord] = await tx.scalars(query.order_by(AuditRecord.id).limit(limit))
    return rows


async def _records(
    tx: ReadTx, wanted: Wanted, sides: Sequence[Side], limit: int, before_id: str | None
) -> Sequence[AuditRecord]:
    query = sa.select(AuditRecord).where(AuditRecord.tenant_id == tx.tenant_id)
    rows: Sequence[AuditRecord] = await tx.scalars(
        await newest_of(tx, query, AuditRecord.id, sides, limit, before_id, wanted.made())
    )
    return rows


async def _entries(
    tx: ReadTx, reveal: Reveal, records: Sequence[AuditRecord]
) -> Sequence[AuditEntry]:
    return [entry_of(one) for one in await revealed(tx, records, reveal)]


async def revealed(
    tx: ReadTx, records: Sequence[AuditRecord], reveal: Reveal
) -> Sequence[AuditRecord]:
    """The records, each with what it tells of people in the clear as well."""
    shown = await reveal(tx, [(row.id, row.data) for row in records])
    for record, data in zip(records, shown, strict=True):
        record.revealed = data  # type: ignore[misc] # of this one, not of the class
    return records


def _filters(wanted: Wanted) -> list[tuple[InstrumentedAttribute[Any], str]]:
    """What is asked of which column; the one that mostly leaves the fewest records first."""
    asked = (
        (AuditRecord.execution_id, wanted.execution),
        (AuditRecord.request_id, wanted.request_id),
        (AuditRecord.target, wanted.target),
        (AuditRecord.workflow_id, wanted.workflow),
        (AuditRecord.actor, wanted.actor),
        (AuditRecord.action, wanted.action),
    )
    return [(column, text) for column, text in asked if text is not None and text != "*"]


def _sides(tx: ReadTx, wanted: Wanted) -> list[Side]:
    own = AuditRecord.tenant_id == tx.tenant_id
    sides = []
    for column, text in _filters(wanted):
        condition, exact = matches(tx, column, text)
        check, _ = matches(tx, hidden(column), text)
        index = f"ix_audit_records_{column.key}" if column.key in _NAMED else ""
        sides.append(Side(AuditRecord.id, sa.and_(own, condition), check, column, exact, index))
    return sides


def _walked(tx: ReadTx, wanted: Wanted) -> list[Side]:
    """The one filter whose index is walked, newest first; none: the range of time is.

    An exact one, which has ids in their order: a walk along it can stop anywhere, and no planner
    takes a sort of everything for cheaper. The others are asked of what the walk passes.
    """
    return [side for side in _sides(tx, wanted) if side.in_order][:1]


def meets(entry: AuditEntry | AuditRecord, wanted: Wanted) -> bool:
    """Whether a record is what is wanted, by all but words."""
    if wanted.after is not None and entry.at < wanted.after:
        return False
    if wanted.before is not None and entry.at >= wanted.before:
        return False
    for column, text in _filters(wanted):
        value = _value(entry, column.key)
        if value is None or not (
            value.startswith(text[:-1]) if text.endswith("*") else value == text
        ):
            return False
    return True


def _value(entry: AuditEntry | AuditRecord, name: str) -> str | None:
    if name in _NAMED:
        return named_in(entry.data, name)
    return str(getattr(entry, name))


def _text(entry: AuditEntry) -> str:
    data = json.dumps(entry.data, ensure_ascii=False)
    parts = (entry.action, entry.actor, entry.target, entry.request_id)
    return "\n".join([*parts, data]).casefold()


def entry_of(row: AuditRecord) -> AuditEntry:
    """A record as readers see it."""
    return AuditEntry(
        id=row.id,
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        action=row.action,
        target=row.target,
        data=row.shown,
        request_id=row.request_id,
        hash=row.chain_hash.hex() if row.chain_hash else None,
        workflow=named_in(row.data, "workflow_id"),
        execution=named_in(row.data, "execution_id"),
    )
