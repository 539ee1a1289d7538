"""Looking for lines: pages, what they sum up to, and what stood around one.

Pages go from the newest line on, by the lines' own times. An id of a trace, request or execution
is found by its index. Words are looked for twice: first each of the newest lines is looked at,
which fills a page when the words are common; then the words' index gives what is left, which is
little when they are not. SQLite's index goes by the order in which lines came, which mostly is that
of their times: where it is, the newest that it has are the page. What has no index is looked for in
a bounded stretch a request, and the answer says where it stopped.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import sqlalchemy as sa

from backend.core.columns import time_step
from backend.core.database import ReadTx
from backend.core.full_text import MOST_PLACES, NoWordsError, Words, found_by_words, has_words
from backend.core.ids import uuid7_at
from backend.core.paging import in_calendar
from backend.managers.logging._lines import LEVELS, level_of
from backend.managers.logging.errors import LogRecordNotFoundError, LogSearchError
from backend.managers.logging.models import LogRecord

_LOOKED_AT: Final = 500
_HITS: Final = 2000
_STRAYS: Final = 20_000
_STRETCH: Final = 200_000
_AMONG: Final = 20
READ: Final = 500
"""Characters of a message that patterns are made of."""
_SUMMED: Final = 200_000
_WARNED: Final = 20_000
_SHOWN: Final = 20
_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One line as readers see it."""

    id: str
    seq: int
    at: datetime
    received_at: datetime
    severity: int
    source: str
    message: str
    fields: Mapping[str, Any]
    trace_id: str | None
    span_id: str | None
    request_id: str | None
    workflow_id: str | None
    execution_id: str | None

    @property
    def level(self) -> str:
        """The level's name."""
        return level_of(self.severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What lines are looked for; what is None is not asked about.

    Attributes:
        level: This level or a higher one.
        source: Exactly.
        after: The first moment that counts, by the lines' own time.
        before: The first that does not any more.
        trace_id: Exactly; so are the next two.
        request_id: Of the request.
        execution_id: Of the execution of a workflow.
        words: As :class:`backend.core.full_text.Words` reads them.
    """

    level: str | None = None
    source: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    trace_id: str | None = None
    request_id: str | None = None
    execution_id: str | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """Where an answer comes from.

    Attributes:
        name: Who was asked.
        behind_records: Lines that Elasticsearch has not got yet; the answer has them all the same.
        behind_seconds: How long the first of these has waited.
        given_up_records: Lines that were given up as dead letters, which Elasticsearch never gets.
        reason: Why Elasticsearch was not asked although it is configured, or could not answer.
    """

    name: Literal["database", "elasticsearch"] = "database"
    behind_records: int = 0
    behind_seconds: float = 0.0
    given_up_records: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A page.

    Attributes:
        lines: Newest first, as many as were asked for at most.
        next_id: Where the next page begins behind; None: there is nothing more.
        store: Where they come from.
    """

    lines: Sequence[Line]
    next_id: str | None
    store: Store = field(default_factory=Store)


@dataclass(frozen=True, slots=True)
class Step:
    """How many lines of each level a step of time has."""

    at: datetime
    levels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Facet:
    """How often a value occurs."""

    value: str
    count: int


class Said(NamedTuple):
    """What patterns need of a line: of its message the beginning, and all its bytes."""

    id: str
    at: datetime
    severity: int
    source: str
    message: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What lines sum up to.

    Attributes:
        count: How many they are.
        step_seconds: How long a step is.
        steps: Those that have any, oldest first.
        levels: By level, highest first.
        sources: The most frequent ones.
        complete: Whether all were counted; else the newest 200 000.
        store: Who counted them.
    """

    count: int
    step_seconds: int
    steps: Sequence[Step]
    levels: Sequence[Facet]
    sources: Sequence[Facet]
    complete: bool
    store: Store = field(default_factory=Store)


@dataclass(slots=True)
class Counts:
    """Lines counted so far: by the number of a step and level, by level, and by source."""

    steps: dict[int, dict[str, int]] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)

    def add_step(self, number: int, severity: int, count: int) -> None:
        """Lines of a severity in a step."""
        level = level_of(severity)
        of_step = self.steps.setdefault(number, {})
        of_step[level] = of_step.get(level, 0) + count
        self.levels[level] = self.levels.get(level, 0) + count

    def add_source(self, source: str, count: int) -> None:
        """Lines of a source."""
        self.sources[source] = self.sources.get(source, 0) + count

    def summary(self, step: int, *, complete: bool, store: Store) -> Summary:
        """What they sum up to, by steps of so many seconds."""
        top = sorted(self.sources.items(), key=lambda one: (-one[1], one[0]))[:_SHOWN]
        return Summary(
            count=sum(self.levels.values()),
            step_seconds=step,
            steps=[
                Step(datetime.fromtimestamp(number * step, UTC), self.steps[number])
                for number in sorted(self.steps)
            ],
            levels=[
                Facet(name, self.levels[name])
                for name in reversed(list(LEVELS))
                if name in self.levels
            ],
            sources=[Facet(*one) for one in top],
            complete=complete,
            store=store,
        )


@dataclass(frozen=True, slots=True)
class _Conditions:
    """What is asked: of ids, of columns, and of words by a row or by their index."""

    within: tuple[sa.ColumnElement[bool], ...]
    columns: tuple[sa.ColumnElement[bool], ...]
    words: str | None
    has_index: bool
    tenant_id: str

    @property
    def indexed(self) -> tuple[sa.ColumnElement[bool], ...]:
        """The words, by their index."""
        return self._words(found_by_words)

    def checked(self, first: int, last: int) -> tuple[sa.ColumnElement[bool], ...]:
        """The words, of rows that something else finds among these numbers."""
        return self._words(has_words, places=(first, last))

    def newest(self, count: int) -> tuple[sa.ColumnElement[bool], ...]:
        """The words, by SQLite's index: so many of the highest numbers that have them."""
        return self._words(found_by_words, newest=count)

    def _words(self, element: Any, **which: Any) -> tuple[sa.ColumnElement[bool], ...]:
        if self.words is None:
            return ()
        row = (LogRecord.message, LogRecord.id, LogRecord.seq)
        return (element(*row, self.tenant_id, self.words, **which),)


def _conditions(tx: ReadTx, wanted: Wanted) -> _Conditions:
    within: list[sa.ColumnElement[bool]] = [LogRecord.tenant_id == tx.tenant_id]
    if wanted.after is not None:
        within.append(LogRecord.id >= uuid7_at(in_calendar(wanted.after)))
    if wanted.before is not None:
        within.append(LogRecord.id < uuid7_at(in_calendar(wanted.before)))
    columns: list[sa.ColumnElement[bool]] = []
    if wanted.level is not None:
        columns.append(LogRecord.severity >= LEVELS[wanted.level])
    if wanted.source is not None:
        columns.append(LogRecord.source == wanted.source)
    has_index = False
    for name in ("trace_id", "request_id", "execution_id"):
        value = getattr(wanted, name)
        if value is not None:
            columns.append(getattr(LogRecord, name) == value)
            has_index = True
    words = None
    if wanted.words is not None:
        try:
            words = Words.read(wanted.words).asked(tx.dialect)
        except NoWordsError as exc:
            raise LogSearchError(str(exc)) from None
    return _Conditions(tuple(within), tuple(columns), words, has_index, tx.tenant_id)


async def find_lines(tx: ReadTx, wanted: Wanted, *, limit: int, before_id: str | None) -> Found:
    """A page of what is wanted, from the newest line on or from after ``before_id`` on.

    It may have fewer lines than the limit, or none, and yet be not the last: what has no index is
    looked for among 200 000 lines a call.

    Raises:
        LogSearchError: There is no word to look for.
    """
    asked = _conditions(tx, wanted)
    within = asked.within if before_id is None else (*asked.within, LogRecord.id < before_id)
    if asked.has_index or not (asked.columns or asked.words):
        lines = await _newest_checked(tx, limit + 1, asked, *within, *asked.columns)
        return _page(lines, limit)
    if not asked.words:
        floor = await _id_at(tx, within, _STRETCH)
        lines = await _newest(tx, limit + 1, *_above(within, floor), *asked.columns)
        return _page(lines, limit, floor)
    ids = await _newest_as_they_came(tx, limit + 1, asked, within)
    if ids is not None:
        return _page(await _newest(tx, limit + 1, asked.within[0], LogRecord.id.in_(ids)), limit)
    floor = await _id_at(tx, within, _LOOKED_AT)
    lines = await _newest_checked(tx, limit + 1, asked, *_above(within, floor), *asked.columns)
    if floor is not None and len(lines) <= limit:
        rest = limit + 1 - len(lines)
        below = (*within, LogRecord.id < floor)
        lines = [*lines, *await _newest(tx, rest, *below, *asked.columns, *asked.indexed)]
    return _page(lines, limit)


def _above(
    within: tuple[sa.ColumnElement[bool], ...], floor: str | None
) -> tuple[sa.ColumnElement[bool], ...]:
    return within if floor is None else (*within, LogRecord.id >= floor)


async def _id_at(tx: ReadTx, within: tuple[sa.ColumnElement[bool], ...], place: int) -> str | None:
    """The id of so many-th line from the newest on; None: there are not so many."""
    query = sa.select(LogRecord.id).where(*within).order_by(LogRecord.id.desc())
    found: str | None = await tx.scalar(query.offset(place - 1).limit(1))
    return found


async def _newest_as_they_came(
    tx: ReadTx, limit: int, asked: _Conditions, within: tuple[sa.ColumnElement[bool], ...]
) -> list[str] | None:
    """The ids of the newest lines with the words, by SQLite's index alone.

    None: it cannot say, as too few of the newest that it has are wanted, or a line that came before
    all of these may be newer.
    """
    if tx.dialect != "sqlite":
        return None
    wanted = sa.and_(*within, *asked.columns)
    rows = await tx.execute(
        sa.select(LogRecord.id, LogRecord.seq, wanted).where(asked.within[0], *asked.newest(_HITS))
    )
    hits = rows.all()
    ids = sorted((record_id for record_id, _, is_wanted in hits if is_wanted), reverse=True)
    if len(hits) < _HITS:
        return ids[:limit]
    floor = await _id_at(tx, within, _STRAYS)
    if len(ids) < limit or (floor is not None and ids[limit - 1] < floor):
        return None
    # A sum, so that the planner does not go by the number, through all that came before.
    stray = (LogRecord.seq + 0) < min(seq for _, seq, _ in hits)
    found = await tx.scalar(
        sa.select(LogRecord.seq).where(*within, LogRecord.id >= ids[limit - 1], stray).limit(1)
    )
    return ids[:limit] if found is None else None


async def _newest_checked(
    tx: ReadTx, limit: int, asked: _Conditions, *conditions: sa.ColumnElement[bool]
) -> list[Line]:
    """The newest of these that have the words as well."""
    if asked.words is None:
        return await _newest(tx, limit, *conditions)
    places = (0, MOST_PLACES)
    if tx.dialect == "sqlite":
        ends = sa.select(sa.func.min(LogRecord.seq + 0), sa.func.max(LogRecord.seq + 0))
        ((first, last),) = await tx.execute(ends.where(*conditions))
        if first is None:
            return []
        places = (first, last)
    return await _newest(tx, limit, *conditions, *asked.checked(*places))


async def _newest(tx: ReadTx, limit: int, *conditions: sa.ColumnElement[bool]) -> list[Line]:
    query = sa.select(LogRecord).where(*conditions).order_by(LogRecord.id.desc()).limit(limit)
    return [line_of(row) for row in await tx.scalars(query)]


def _page(lines: list[Line], limit: int, floor: str | None = None) -> Found:
    if len(lines) > limit:
        return Found(lines[:limit], lines[limit - 1].id)
    return Found(lines, floor)


def line_of(row: Any) -> Line:
    """A row as a value."""
    return Line(
        row.id, row.seq, row.at, row.received_at, row.severity, row.source, row.message,
        row.fields, row.trace_id, row.span_id, row.request_id, row.workflow_id, row.execution_id,
    )  # fmt: skip


async def get_line(tx: ReadTx, record_id: str) -> Line:
    """One line.

    Raises:
        LogRecordNotFoundError: Not in this tenant, or not kept any more.
    """
    row = await tx.scalar(
        sa.select(LogRecord).where(LogRecord.tenant_id == tx.tenant_id, LogRecord.id == record_id)
    )
    if row is None:
        raise LogRecordNotFoundError
    return line_of(row)


async def find_around(tx: ReadTx, record_id: str, *, lines: int) -> Sequence[Line]:
    """What stood around a line: so many of its source before it and after it, and itself, in order.

    Raises:
        LogRecordNotFoundError: As for :func:`get_line`.
    """
    middle = await get_line(tx, record_id)
    own = (LogRecord.tenant_id == tx.tenant_id, LogRecord.source == middle.source)
    # A source that says little must not be looked for through all that others say.
    low = await _id_at(
        tx, (LogRecord.tenant_id == tx.tenant_id, LogRecord.id < middle.id), _LOOKED_AT
    )
    high = await tx.scalar(
        sa.select(LogRecord.id)
        .where(LogRecord.tenant_id == tx.tenant_id, LogRecord.id > middle.id)
        .order_by(LogRecord.id)
        .offset(_LOOKED_AT - 1)
        .limit(1)
    )
    below = _above((*own, LogRecord.id < middle.id), low)
    earlier = await _newest(tx, lines, *below)
    above = [*own, LogRecord.id > middle.id]
    if high is not None:
        above.append(LogRecord.id <= high)
    query = sa.select(LogRecord).where(*above).order_by(LogRecord.id).limit(lines)
    later = [line_of(row) for row in await tx.scalars(query)]
    return [*reversed(earlier), middle, *later]


@dataclass(frozen=True, slots=True)
class Tail:
    """What came, in the order of coming, and the number that all up to have been looked at."""

    lines: Sequence[Line]
    seq: int


async def follow(tx: ReadTx, wanted: Wanted, *, after_seq: int | None, limit: int) -> Tail:
    """What came after a number; without one the newest lines. Times are not asked about.

    Who is further behind than 200 000 lines goes on there.

    Raises:
        LogSearchError: As for :func:`find_lines`.
    """
    # By number alone: a range of ids as well would lead planners to the other index.
    asked = _conditions(tx, replace(wanted, after=None, before=None))
    newest = await tx.scalar(
        sa.select(LogRecord.seq)
        .where(LogRecord.tenant_id == tx.tenant_id)
        .order_by(LogRecord.seq.desc())
        .limit(1)
    )
    if newest is None:
        return Tail([], after_seq or 0)
    behind = newest - _LOOKED_AT if after_seq is None else max(after_seq, newest - _STRETCH)
    query = sa.select(LogRecord).where(
        *asked.within,
        LogRecord.seq > behind,
        LogRecord.seq <= newest,
        *asked.columns,
        *asked.checked(max(behind, 0), newest),
    )
    if after_seq is None:
        rows = await tx.scalars(query.order_by(LogRecord.seq.desc()).limit(limit))
        return Tail([line_of(row) for row in reversed(rows)], newest)
    rows = await tx.scalars(query.order_by(LogRecord.seq).limit(limit))
    last = rows[-1].seq if len(rows) == limit else max(newest, after_seq)
    return Tail([line_of(row) for row in rows], last)


def stretch_of(wanted: Wanted, now: datetime, steps: int = _STEPS) -> tuple[Wanted, int]:
    """What is summed up: a stretch with two ends, and the seconds of one of its steps.

    Raises:
        LogSearchError: It ends before it begins.
    """
    until = in_calendar(wanted.before or now)
    since = in_calendar(wanted.after or until - timedelta(hours=1))
    if since >= until:
        raise LogSearchError("The stretch of time is empty")
    step = max(1, -(-int((until - since).total_seconds()) // steps))
    return replace(wanted, after=since, before=until), step


async def sum_up(tx: ReadTx, wanted: Wanted, *, steps: int = _STEPS) -> Summary:
    """What is wanted, counted by time and level, and by source.

    Of a stretch of time: without a beginning of the last hour. Of more lines the newest 200 000.
    There are about so many ``steps``, and no more.

    Raises:
        LogSearchError: As for :func:`find_lines`, or the stretch ends before it begins.
    """
    wanted, step = stretch_of(wanted, tx.now(), steps)
    asked = _conditions(tx, wanted)
    floor = None if asked.has_index else await _id_at(tx, asked.within, _SUMMED)
    within = _above(asked.within, floor)
    counts = Counts()
    await _count(tx, counts, step, *within, *asked.columns, *asked.indexed)
    return counts.summary(step, complete=floor is None, store=Store())


async def read_said(tx: ReadTx, wanted: Wanted, *, limit: int) -> tuple[list[Said], bool]:
    """The newest of what is wanted, as far as patterns need it, and whether that is all.

    Looked for among twenty lines of the stretch for each that is wanted.

    Raises:
        LogSearchError: As for :func:`find_lines`.
    """
    asked = _conditions(tx, wanted)
    chosen = (*asked.columns, *asked.indexed)
    floor = None
    if chosen and not asked.has_index:
        floor = await _id_at(tx, asked.within, _AMONG * limit)
    # Whole messages of ten thousand lines may be hundreds of megabytes.
    message = LogRecord.message
    if tx.dialect == "postgresql":
        size: sa.ColumnElement[int] = sa.func.octet_length(message)
    else:
        size = sa.func.length(sa.cast(message, sa.LargeBinary()))
    said = sa.func.substr(message, 1, READ)
    query = (
        sa.select(LogRecord.id, LogRecord.at, LogRecord.severity, LogRecord.source, said, size)
        .where(*_above(asked.within, floor), *chosen)
        .order_by(LogRecord.id.desc())
        .limit(limit + 1)
    )
    found = [Said(*row) for row in await tx.execute(query)]
    return found[:limit], floor is None and len(found) <= limit


async def _count(
    tx: ReadTx, counts: Counts, step: int, *conditions: sa.ColumnElement[bool]
) -> None:
    at = time_step(LogRecord.at, step)
    counted = await tx.execute(
        sa.select(at, LogRecord.severity, LogRecord.source, sa.func.count())
        .where(*conditions)
        .group_by(at, LogRecord.severity, LogRecord.source)
    )
    for number, severity, source, count in counted:
        counts.add_step(int(number), severity, count)
        counts.add_source(source, count)


# --- beside a search elsewhere ------------------------------------------------------------------


def _not_there(
    asked: _Conditions, seq: int, dead: Sequence[int]
) -> Iterator[list[sa.ColumnElement[bool]]]:
    """One after the other: with "or" SQLite would go through all of a tenant's lines."""
    among = [number for number in dead if number <= seq]
    after = asked.checked(seq, MOST_PLACES)
    yield [*asked.within, LogRecord.seq > seq, *asked.columns, *after]
    if among:
        there = asked.checked(min(among), max(among))
        yield [*asked.within, LogRecord.seq.in_(among), *asked.columns, *there]


async def find_beyond(
    tx: ReadTx, wanted: Wanted, *, seq: int, dead: Sequence[int], before_id: str | None
) -> list[str]:
    """Ids of what is wanted among lines after a number and among some before it, newest first.

    All of them, so that the caller sees to it that they are few.

    Raises:
        LogSearchError: As for :func:`find_lines`.
    """
    found: list[str] = []
    for conditions in _not_there(_conditions(tx, wanted), seq, dead):
        found += await tx.scalars(sa.select(LogRecord.id).where(*conditions))
    # Sorted here: an order of ids would lead planners to the other index, and through all lines.
    return sorted((one for one in found if before_id is None or one < before_id), reverse=True)


async def count_beyond(
    tx: ReadTx, wanted: Wanted, step: int, *, seq: int, dead: Sequence[int]
) -> Counts:
    """The same lines, counted."""
    counts = Counts()
    for conditions in _not_there(_conditions(tx, wanted), seq, dead):
        await _count(tx, counts, step, *conditions)
    return counts


async def load_lines(tx: ReadTx, wanted: Wanted, ids: Sequence[str]) -> list[Line]:
    """Those of the named lines that are this tenant's and are what is wanted, newest first."""
    asked = _conditions(tx, wanted)
    named = (*asked.within, LogRecord.id.in_(ids), *asked.columns)
    return await _newest_checked(tx, len(ids), asked, *named)


async def find_warned(tx: ReadTx, trace_ids: Collection[str]) -> set[str]:
    """Which of these traces a line of level warn or higher names.

    Of twenty thousand lines at most: a trace that has more of them is no rarity by its warnings.
    """
    lines = (
        sa.select(LogRecord.trace_id, LogRecord.severity)
        .where(LogRecord.tenant_id == tx.tenant_id, LogRecord.trace_id.in_(sorted(trace_ids)))
        .limit(_WARNED)
        .subquery()
    )
    found = await tx.execute(
        sa.select(lines.c.trace_id).where(lines.c.severity >= LEVELS["warn"]).distinct()
    )
    return {trace_id for (trace_id,) in found.all()}
