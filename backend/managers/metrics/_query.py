"""Asking for series: from chunks to lines of at most two thousand points, in arrays throughout.

The window decides how long a point is, and that decides which windows are read: the longest that
still fit, of those that reach back so far.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import Any, Final, Generic, Literal, TypeVar, get_args

import numpy as np
import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.kit.turns import Turns
from backend.managers.metrics import _windows
from backend.managers.metrics._reading import MAX_SERIES, Grid, Read, read_many
from backend.managers.metrics._retention import keep_days_of
from backend.managers.metrics._windows import STEPS, Array, Chunk, Windows
from backend.managers.metrics.errors import InvalidQueryError
from backend.managers.metrics.models import MetricTenantRow, SeriesRow

_T = TypeVar("_T")

Aggregate = Literal["rate", "sum", "count", "avg", "min", "max", "last", "quantile"]
AGGREGATES: Final[tuple[Aggregate, ...]] = get_args(Aggregate)
MAX_POINTS: Final = 2000
MAX_LINES: Final = 100
_INLINE_BYTES: Final = 2**20
SETTLED_SECONDS: Final = 90
"""After so long an hour's window is as long as it will be: folded and rolled up."""
WEEK: Final = timedelta(days=7)

_CAN: Final[Mapping[str, frozenset[str]]] = {
    "counter": frozenset({"rate", "sum", "count"}),
    "gauge": frozenset({"avg", "min", "max", "last", "sum"}),
    "histogram": frozenset({"rate", "sum", "count", "avg", "min", "max", "quantile"}),
}
# What stands at 0, and not at nothing, where nothing was recorded.
_AMOUNTS: Final = frozenset({"rate", "sum", "count"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes:
        name: The metric's.
        aggregate: What becomes of several observations, and of several series.
        quantile: For that aggregate, from 0 to 1.
        since: The first moment.
        until: The first moment after it.
        labels: Values that the series have.
        by: A line for each set of values of these labels; else one for all series.
        top: At most so many lines, those with the greatest value over the whole window.
        points: At most so many a line.
        with_week_before: The same, a week before.
    """

    name: str
    aggregate: Aggregate
    since: datetime
    until: datetime
    quantile: float = 0.95
    labels: Mapping[str, str]
    by: Sequence[str] = ()
    top: int = 20
    points: int = 500
    with_week_before: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line, and its value over the whole of the window; None: nothing was recorded."""

    labels: Mapping[str, str]
    points: Sequence[float | None]
    value: float | None
    points_week_before: Sequence[float | None] | None
    value_week_before: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """An answer.

    Attributes:
        name: The metric's.
        kind: What it is; None: nothing matches.
        aggregate: As asked for.
        start_at: When the first point begins.
        step_seconds: From each point to the next.
        lines: The greatest first.
        lines_left_out: How many more there would be.
    """

    name: str
    kind: str | None
    aggregate: str
    start_at: datetime
    step_seconds: int
    lines: Sequence[Line]
    lines_left_out: int


@dataclass(frozen=True, slots=True)
class Hours:
    """Lines of whole hours.

    Attributes:
        name: The metric's.
        kind: What the metric is; None: nothing matches.
        aggregate: As asked for.
        start: The first second.
        size: How many hours.
        labels: Of each line, the greatest first.
        values: A row a line; NaN: not measured.
        observed: Where anything was recorded at all.
        is_amount: Whether a value is 0 where nothing was.
        lines_left_out: How many more there would be.
    """

    name: str
    kind: str | None
    aggregate: str
    start: int
    size: int
    labels: Sequence[Mapping[str, str]]
    values: Array
    observed: Array
    is_amount: bool
    lines_left_out: int

    def begins(self, number: int) -> datetime:
        """When the hour of this number begins."""
        return datetime.fromtimestamp(self.start + number * STEPS[-1], UTC)


@dataclass(frozen=True, slots=True)
class Unanswered(Generic[_T]):
    """What an answer is made of, read: a connection is not held while a tenant waits for its turn.

    Attributes:
        tenant_id: Whose turn it is.
        size: Bytes of windows.
        work: The arithmetic.
    """

    tenant_id: str
    size: int
    work: Callable[[], _T]

    async def answer(self, turns: Turns) -> _T:
        """Do the arithmetic: of much, beside the event loop, when it is the tenant's turn."""
        if self.size < _INLINE_BYTES:
            return self.work()
        return await turns.run(self.tenant_id, self.work)


async def query(tx: ReadTx, wanted: Wanted) -> Unanswered[Found]:
    """Read what answers; what was recorded in the last seconds may be missing.

    A metric that was never recorded, or no series with these labels, is no lines and no mistake:
    who draws it asks before the first of its workflows has run.

    Args:
        tx: The tenant's.
        wanted: What is asked.

    Raises:
        InvalidQueryError: Of this kind of metric, in this window or of so many series it cannot be
            asked for.
    """
    (asked,) = await query_many(tx, [wanted])
    if isinstance(asked, InvalidQueryError):
        raise asked
    return asked


async def query_many(
    tx: ReadTx, asked: Sequence[Wanted]
) -> Sequence[Unanswered[Found] | InvalidQueryError]:
    """The same of many questions, in their order, by a few statements for all of them.

    Which cannot be asked, and why, stands in its place.
    """
    if not asked:
        return []
    keep = keep_days_of(await _tenant(tx))
    named = await _named(tx, {one.name for one in asked})
    found: list[_Asked | Unanswered[Found] | InvalidQueryError] = []
    for wanted in asked:
        try:
            found.append(_asked(tx, wanted, _grid(tx, wanted, keep), named.get(wanted.name, ())))
        except InvalidQueryError as exc:
            found.append(exc)
    reads = [read for one in found if isinstance(one, _Asked) for read in one.reads]
    chunks = iter(await read_many(tx, reads))
    return [one.answered(tx, chunks) if isinstance(one, _Asked) else one for one in found]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question, and the series that it is about; ``groups`` says which line each is of."""

    wanted: Wanted
    kind: str
    grid: Grid
    lines: Sequence[tuple[str, ...]]
    ids: Array
    groups: Array

    @property
    def reads(self) -> Sequence[Read]:
        """What answers it."""
        with_buckets = self.wanted.aggregate == "quantile"
        grids = [self.grid, self.earlier] if self.wanted.with_week_before else [self.grid]
        return [Read(one, self.ids, with_buckets) for one in grids]

    @property
    def earlier(self) -> Grid:
        """A week before."""
        return self.grid.moved(-int(WEEK.total_seconds()))

    def answered(
        self, tx: ReadTx, chunks: Iterator[Sequence[Chunk] | InvalidQueryError]
    ) -> Unanswered[Found] | InvalidQueryError:
        """Of what was read, the next of which is its own."""
        mine: list[Sequence[Chunk]] = []
        refused: list[InvalidQueryError] = []
        for one in islice(chunks, len(self.reads)):
            if isinstance(one, InvalidQueryError):
                refused.append(one)
            else:
                mine.append(one)
        if refused:
            return refused[0]
        size = sum(map(_size_of, mine))
        return Unanswered(str(tx.tenant_id), size, lambda: self._found(*mine))

    def _found(
        self, chunks: Sequence[Chunk], chunks_before: Sequence[Chunk] | None = None
    ) -> Found:
        wanted, series = self.wanted, (self.ids, self.groups)
        values, overall = _computed(chunks, wanted, self.kind, self.grid, series)
        before = overall_before = None
        if chunks_before is not None:
            before, overall_before = _computed(
                chunks_before, wanted, self.kind, self.earlier, series
            )
        shown = _greatest(overall, wanted.top)
        return Found(
            name=wanted.name,
            kind=self.kind,
            aggregate=wanted.aggregate,
            start_at=self.grid.start_at,
            step_seconds=self.grid.step,
            lines=[
                Line(
                    dict(zip(wanted.by, self.lines[at], strict=True)),
                    _told(values[at]),
                    _told(overall[at : at + 1])[0],
                    None if before is None else _told(before[at]),
                    None if overall_before is None else _told(overall_before[at : at + 1])[0],
                )
                for at in shown
            ],
            lines_left_out=len(self.lines) - len(shown),
        )


def _asked(
    tx: ReadTx, wanted: Wanted, grid: Grid, named: Sequence[Any]
) -> _Asked | Unanswered[Found]:
    series = _matching(named, wanted)
    if not series:
        nothing = Found(wanted.name, None, wanted.aggregate, grid.start_at, grid.step, [], 0)
        return Unanswered(str(tx.tenant_id), 0, lambda: nothing)
    kind = _kind(series, wanted)
    return _Asked(wanted, kind, grid, *_lines(series, wanted))


def _kind(series: Sequence[Any], wanted: Wanted) -> str:
    kind: str = series[0].kind
    if wanted.aggregate not in _CAN[kind]:
        can = ", ".join(one for one in AGGREGATES if one in _CAN[kind])
        raise InvalidQueryError(f"A {kind} can be asked for {can}").at("aggregate")
    return kind


def _lines(series: Sequence[Any], wanted: Wanted) -> tuple[list[tuple[str, ...]], Array, Array]:
    """The values of labels that make a line each, and of each series its number and its line."""
    names = [tuple(one.labels.get(label, "") for label in wanted.by) for one in series]
    lines = sorted(set(names))
    place = {name: at for at, name in enumerate(lines)}
    ids = np.array([one.id for one in series], "<i8")
    return lines, ids, np.array([place[name] for name in names])


def _greatest(overall: Array, top: int) -> list[int]:
    ranks = np.argsort(-np.where(np.isnan(overall), -np.inf, overall), kind="stable")
    shown: list[int] = ranks[:top].tolist()
    return shown


async def read_hours(tx: ReadTx, wanted: Wanted) -> Unanswered[Hours]:
    """Read the lines of the whole hours from ``since`` to ``until`` that are over, for analysis.

    Where nothing was recorded of an amount it is 0, but not before its first series was there nor
    before what is kept: that was not measured.

    Args:
        tx: The tenant's.
        wanted: What is asked; of how many points is none of it.

    Raises:
        InvalidQueryError: As :func:`query`, or it is more than 2 000 hours.
    """
    settled = min(int(wanted.until.timestamp()), int(tx.now().timestamp()) - SETTLED_SECONDS)
    start, end = _hour(int(wanted.since.timestamp())), _hour(settled)
    if not 0 <= start < end:
        raise InvalidQueryError("There is no whole hour since 1970 in the window").at("until")
    grid = Grid(start, STEPS[-1], (end - start) // STEPS[-1], end, STEPS[-1])
    if grid.size > MAX_POINTS:
        raise InvalidQueryError(
            f"{grid.size} hours with those before them, but at most {MAX_POINTS}"
        ).at("since")
    series = _matching((await _named(tx, {wanted.name})).get(wanted.name, ()), wanted)
    if not series:
        empty = np.empty((0, grid.size))
        nothing = Hours(
            name=wanted.name,
            kind=None,
            aggregate=wanted.aggregate,
            start=grid.start,
            size=grid.size,
            labels=[],
            values=empty,
            observed=empty,
            is_amount=False,
            lines_left_out=0,
        )
        return Unanswered(str(tx.tenant_id), 0, lambda: nothing)
    kind = _kind(series, wanted)
    lines, ids, groups = _lines(series, wanted)
    (chunks,) = await read_many(tx, [Read(grid, ids, wanted.aggregate == "quantile")])
    if isinstance(chunks, InvalidQueryError):
        raise chunks

    is_amount = kind != "gauge" and wanted.aggregate in _AMOUNTS
    keep = keep_days_of(await _tenant(tx))[grid.level]
    known_from = (tx.now() - timedelta(days=keep)).timestamp()

    def work() -> Hours:
        values, overall = _computed(chunks, wanted, kind, grid, (ids, groups))
        observed = _part(_held(chunks, grid), grid, ids, groups).values("count", "counter") > 0
        if is_amount:
            made = np.full(len(lines), np.inf)
            np.minimum.at(made, groups, [one.created_at.timestamp() for one in series])
            begins = grid.start + np.arange(grid.size) * grid.step
            # An hour that had begun before its first series was there is not whole either.
            early = begins < np.maximum(made, known_from)[:, None]
            values[early & (np.cumsum(observed, axis=1) == 0)] = np.nan
        shown = _greatest(overall, wanted.top)
        return Hours(
            name=wanted.name,
            kind=kind,
            aggregate=wanted.aggregate,
            start=grid.start,
            size=grid.size,
            labels=[dict(zip(wanted.by, lines[at], strict=True)) for at in shown],
            values=values[shown],
            observed=observed[shown],
            is_amount=is_amount,
            lines_left_out=len(lines) - len(shown),
        )

    return Unanswered(str(tx.tenant_id), _size_of(chunks), work)


def _hour(second: int) -> int:
    return second - second % STEPS[-1]


def _told(values: Array) -> list[float | None]:
    return [None if one != one else one for one in values.tolist()]  # noqa: PLR0124 - NaN


async def _named(tx: ReadTx, names: Collection[str]) -> Mapping[str, Sequence[Any]]:
    """All series of these names, by name."""
    rows = await tx.execute(
        sa.select(
            *(SeriesRow.name, SeriesRow.id, SeriesRow.kind),
            *(SeriesRow.labels, SeriesRow.created_at),
        )
        .where(SeriesRow.tenant_id == tx.tenant_id, SeriesRow.name.in_(sorted(names)))
        .order_by(SeriesRow.name, SeriesRow.id)
    )
    return {name: list(some) for name, some in groupby(rows, lambda one: str(one.name))}


def _matching(named: Sequence[Any], wanted: Wanted) -> list[Any]:
    matching = [
        one
        for one in named
        if all(one.labels.get(name, "") == value for name, value in wanted.labels.items())
    ]
    if len(matching) > MAX_SERIES:
        raise InvalidQueryError(
            f"{len(matching)} series at once, but at most {MAX_SERIES}: ask for some labels' values"
        ).at("label")
    return matching


def _grid(tx: ReadTx, wanted: Wanted, keep: Mapping[int, int]) -> Grid:
    since, until = int(wanted.since.timestamp()), int(wanted.until.timestamp())
    if since >= until:
        raise InvalidQueryError("The window ends before it begins").at("until")
    first = wanted.since - WEEK if wanted.with_week_before else wanted.since
    fitting = (until - since) / wanted.points
    level = max((one for one in STEPS if one <= fitting), default=STEPS[0])
    for longer in STEPS[STEPS.index(level) :]:
        level = longer
        if first >= tx.now() - timedelta(days=keep[longer]):
            break
    start = since - since % level
    step = level * -(-(until - start) // (level * wanted.points))
    return Grid(start, step, -((start - until) // step), until, level)


async def _tenant(tx: ReadTx) -> MetricTenantRow | None:
    found: MetricTenantRow | None = await tx.scalar(
        sa.select(MetricTenantRow).where(MetricTenantRow.tenant_id == tx.tenant_id)
    )
    return found


def _size_of(chunks: Sequence[Chunk]) -> int:
    return sum(len(one.windows) + len(one.buckets) for one in chunks)


def _held(chunks: Sequence[Chunk], grid: Grid) -> Windows:
    windows, buckets = (
        one[(one["second"] >= grid.start) & (one["second"] < grid.end)]
        for one in _windows.unpack(chunks, grid.level)
    )
    return Windows(windows, buckets)


def _computed(
    chunks: Sequence[Chunk], wanted: Wanted, kind: str, grid: Grid, series: tuple[Array, Array]
) -> tuple[Array, Array]:
    """The points of each line, and the value of each over the whole window."""
    held = _held(chunks, grid)
    ids, groups = series
    if wanted.aggregate != "quantile":
        found, overall = (
            _part(held, one, ids, groups).values(wanted.aggregate, kind)
            for one in (grid, grid.whole())
        )
        return found, overall[:, 0]
    lines = int(groups.max()) + 1
    flat = groups[np.searchsorted(ids, held.buckets["series"])] * grid.size
    flat += (held.buckets["second"] - grid.start) // grid.step
    return _windows.quantiles(held.buckets, flat, (lines, grid.size), wanted.quantile)


def _part(held: Windows, grid: Grid, ids: Array, groups: Array) -> "_Part":
    places = (held.windows["second"] - grid.start) // grid.step
    whose = np.searchsorted(ids, held.windows["series"])
    return _Part(held, grid, places, whose, groups, int(groups.max()) + 1)


@dataclass(frozen=True, slots=True)
class _Part:
    """Windows on a grid; ``places`` and ``whose`` say for each which point and which series."""

    held: Windows
    grid: Grid
    places: Array
    whose: Array
    groups: Array
    lines: int

    def values(self, aggregate: str, kind: str) -> Array:
        """Of each line and point."""
        windows = self.held.windows
        if kind == "gauge" and aggregate in {"sum", "last"}:
            return self._of_series(aggregate)
        count = self._summed(windows["count"])
        if aggregate == "count":
            return count
        if aggregate == "rate":
            amount = count if kind == "histogram" else self._summed(windows["sum"])
            return amount / self.grid.seconds
        if aggregate == "sum":
            return self._summed(windows["sum"])
        if aggregate == "avg":
            with np.errstate(invalid="ignore"):
                return self._summed(windows["sum"]) / count
        least = aggregate == "min"
        out = np.full(self.lines * self.grid.size, np.inf if least else -np.inf)
        (np.minimum if least else np.maximum).at(out, self._flat(), windows[aggregate])
        return np.where(count > 0, out.reshape(count.shape), np.nan)

    def _flat(self) -> Array:
        flat: Array = self.groups[self.whose] * self.grid.size + self.places
        return flat

    def _summed(self, amounts: Array) -> Array:
        size = self.lines * self.grid.size
        # Of no windows at all, bincount forgets that amounts are no integers.
        summed = np.bincount(self._flat(), amounts, size).astype(float)
        return summed.reshape(self.lines, self.grid.size)

    def _of_series(self, aggregate: str) -> Array:
        """A gauge's: of each series one value a point, and then their sum."""
        windows = self.held.windows
        size = len(self.groups) * self.grid.size
        flat = self.whose * self.grid.size + self.places
        each: Array
        if aggregate == "last":
            each = np.full(size, np.nan)
            # They are in the order of time: of one point's the last one stays.
            each[flat] = windows["last"]
        else:
            with np.errstate(invalid="ignore"):
                each = np.bincount(flat, windows["sum"], size) / np.bincount(
                    flat, windows["count"], size
                )
        each = each.reshape(len(self.groups), self.grid.size)
        out = np.zeros((self.lines, self.grid.size))
        known = np.zeros((self.lines, self.grid.size), bool)
        np.add.at(out, self.groups, np.nan_to_num(each))
        np.logical_or.at(known, self.groups, ~np.isnan(each))
        return np.where(known, out, np.nan)
