"""Asking for series: from chunks to lines of at most two thousand points, in arrays throughout.

The window decides how long a point is, and that decides which windows are read: the longest that
still fit, of those that reach back so far.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, Literal, TypeVar, get_args

import numpy as np
import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.kit.turns import Turns
from backend.managers.metrics import _windows
from backend.managers.metrics._retention import keep_days_of
from backend.managers.metrics._windows import STEPS, Array, Chunk, Windows
from backend.managers.metrics.errors import InvalidQueryError
from backend.managers.metrics.models import ChunkRow, MetricTenantRow, SeriesRow

_T = TypeVar("_T")

Aggregate = Literal["rate", "sum", "count", "avg", "min", "max", "last", "quantile"]
AGGREGATES: Final[tuple[Aggregate, ...]] = get_args(Aggregate)
MAX_POINTS: Final = 2000
MAX_LINES: Final = 100
MAX_SERIES: Final = 1000
MAX_BYTES: Final = 16 * 2**20
"""Of the windows that a question is about: some 350 000, or fewer with many buckets."""
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
class SeriesView:
    """One series, and what it came to since it is there."""

    id: str
    name: str
    kind: str
    labels: Mapping[str, str]
    created_at: datetime
    last_at: datetime
    observations: int
    total: float
    last_value: float | None


@dataclass(frozen=True, slots=True)
class MetricView:
    """A metric: all series of a name; labels and value are those of the one heard of last."""

    name: str
    kind: str
    series: int
    last_at: datetime
    last_labels: Mapping[str, str]
    last_value: float | None


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where points lie: ``size`` of them, ``step`` seconds each, from the second ``start`` on."""

    start: int
    step: int
    size: int
    end: int
    level: int

    @property
    def seconds(self) -> Array:
        """How long each point lasts: the last one may not be over."""
        begins = self.start + np.arange(self.size) * self.step
        return np.minimum(self.step, np.maximum(self.end - begins, 1)).astype(float)

    def whole(self) -> "_Grid":
        """The same time as one point."""
        return _Grid(self.start, self.end - self.start, 1, self.end, self.level)

    def moved(self, seconds: int) -> "_Grid":
        """The same points at another time."""
        return _Grid(self.start + seconds, self.step, self.size, self.end + seconds, self.level)


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
    grid = await _grid(tx, wanted)
    start_at = datetime.fromtimestamp(grid.start, UTC)
    series = await _matching(tx, wanted)
    if not series:
        nothing = Found(wanted.name, None, wanted.aggregate, start_at, grid.step, [], 0)
        return Unanswered(str(tx.tenant_id), 0, lambda: nothing)
    kind = _kind(series, wanted)
    lines, ids, groups = _lines(series, wanted)
    with_buckets = wanted.aggregate == "quantile"
    chunks = await _read(tx, grid, ids, with_buckets=with_buckets)
    earlier = grid.moved(-int(WEEK.total_seconds()))
    chunks_before: Sequence[Chunk] = ()
    if wanted.with_week_before:
        chunks_before = await _read(tx, earlier, ids, with_buckets=with_buckets)

    def work() -> Found:
        values, overall = _computed(chunks, wanted, kind, grid, (ids, groups))
        before = overall_before = None
        if wanted.with_week_before:
            of_before = _computed(chunks_before, wanted, kind, earlier, (ids, groups))
            before, overall_before = of_before
        shown = _greatest(overall, wanted.top)
        return Found(
            name=wanted.name,
            kind=kind,
            aggregate=wanted.aggregate,
            start_at=start_at,
            step_seconds=grid.step,
            lines=[
                Line(
                    dict(zip(wanted.by, lines[at], strict=True)),
                    _told(values[at]),
                    _told(overall[at : at + 1])[0],
                    None if before is None else _told(before[at]),
                    None if overall_before is None else _told(overall_before[at : at + 1])[0],
                )
                for at in shown
            ],
            lines_left_out=len(lines) - len(shown),
        )

    return Unanswered(str(tx.tenant_id), _size_of([*chunks, *chunks_before]), work)


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
    grid = _Grid(start, STEPS[-1], (end - start) // STEPS[-1], end, STEPS[-1])
    if grid.size > MAX_POINTS:
        raise InvalidQueryError(
            f"{grid.size} hours with those before them, but at most {MAX_POINTS}"
        ).at("since")
    series = await _matching(tx, wanted)
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
    chunks = await _read(tx, grid, ids, with_buckets=wanted.aggregate == "quantile")

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


async def _matching(tx: ReadTx, wanted: Wanted) -> list[Any]:
    rows = await tx.execute(
        sa.select(SeriesRow.id, SeriesRow.kind, SeriesRow.labels, SeriesRow.created_at)
        .where(SeriesRow.tenant_id == tx.tenant_id, SeriesRow.name == wanted.name)
        .order_by(SeriesRow.id)
    )
    matching = [
        one
        for one in rows
        if all(one.labels.get(name, "") == value for name, value in wanted.labels.items())
    ]
    if len(matching) > MAX_SERIES:
        raise InvalidQueryError(
            f"{len(matching)} series at once, but at most {MAX_SERIES}: ask for some labels' values"
        ).at("label")
    return matching


async def _grid(tx: ReadTx, wanted: Wanted) -> _Grid:
    since, until = int(wanted.since.timestamp()), int(wanted.until.timestamp())
    if since >= until:
        raise InvalidQueryError("The window ends before it begins").at("until")
    keep = keep_days_of(await _tenant(tx))
    first = wanted.since - WEEK if wanted.with_week_before else wanted.since
    fitting = (until - since) / wanted.points
    level = max((one for one in STEPS if one <= fitting), default=STEPS[0])
    for longer in STEPS[STEPS.index(level) :]:
        level = longer
        if first >= tx.now() - timedelta(days=keep[longer]):
            break
    start = since - since % level
    step = level * -(-(until - start) // (level * wanted.points))
    return _Grid(start, step, -((start - until) // step), until, level)


async def _tenant(tx: ReadTx) -> MetricTenantRow | None:
    found: MetricTenantRow | None = await tx.scalar(
        sa.select(MetricTenantRow).where(MetricTenantRow.tenant_id == tx.tenant_id)
    )
    return found


def _size_of(chunks: Sequence[Chunk]) -> int:
    return sum(len(one.windows) + len(one.buckets) for one in chunks)


def _held(chunks: Sequence[Chunk], grid: _Grid) -> Windows:
    windows, buckets = (
        one[(one["second"] >= grid.start) & (one["second"] < grid.end)]
        for one in _windows.unpack(chunks, grid.level)
    )
    return Windows(windows, buckets)


def _computed(
    chunks: Sequence[Chunk], wanted: Wanted, kind: str, grid: _Grid, series: tuple[Array, Array]
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


def _part(held: Windows, grid: _Grid, ids: Array, groups: Array) -> "_Part":
    places = (held.windows["second"] - grid.start) // grid.step
    whose = np.searchsorted(ids, held.windows["series"])
    return _Part(held, grid, places, whose, groups, int(groups.max()) + 1)


@dataclass(frozen=True, slots=True)
class _Part:
    """Windows on a grid; ``places`` and ``whose`` say for each which point and which series."""

    held: Windows
    grid: _Grid
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


async def _read(tx: ReadTx, grid: _Grid, ids: Array, *, with_buckets: bool) -> list[Chunk]:
    """The chunks of these series that the grid touches, by series and time.

    Raises:
        InvalidQueryError: They are more than anybody may have read at once.
    """
    span = _windows.span_of(grid.level)
    of_grid = (
        ChunkRow.tenant_id == tx.tenant_id,
        ChunkRow.step_seconds == grid.level,
        ChunkRow.series_id.in_(ids.tolist()),
        ChunkRow.start_seconds >= grid.start - grid.start % span,
        ChunkRow.start_seconds < grid.end,
    )
    size: sa.ColumnElement[int] = sa.func.length(ChunkRow.windows)
    if with_buckets:
        size += sa.func.length(ChunkRow.buckets)
    # Neither database reads what it is asked the length of.
    if (await tx.scalar(sa.select(sa.func.sum(size)).where(*of_grid)) or 0) > MAX_BYTES:
        raise InvalidQueryError(
            "So many series over so long a time are too much at once: ask for some labels' values, "
            "a shorter window or fewer points"
        ).at("since")
    rows = await tx.execute(
        sa.select(
            ChunkRow.series_id,
            ChunkRow.start_seconds,
            ChunkRow.windows,
            ChunkRow.buckets if with_buckets else sa.literal(b"", sa.LargeBinary),
        )
        .where(*of_grid)
        .order_by(ChunkRow.series_id, ChunkRow.start_seconds)
    )
    return [Chunk(*row) for row in rows]


async def list_metrics(
    tx: ReadTx, *, limit: int, after_name: str | None = None, prefix: str = ""
) -> Sequence[MetricView]:
    """The tenant's metrics by name, one more than ``limit``."""
    newest_first = sa.func.row_number().over(
        partition_by=SeriesRow.name, order_by=(SeriesRow.last_at.desc(), SeriesRow.id)
    )
    ranked = sa.select(
        SeriesRow.name,
        SeriesRow.kind,
        sa.func.count().over(partition_by=SeriesRow.name).label("series"),
        SeriesRow.last_at,
        SeriesRow.labels,
        SeriesRow.last_value,
        newest_first.label("place"),
    ).where(SeriesRow.tenant_id == tx.tenant_id)
    if after_name is not None:
        ranked = ranked.where(SeriesRow.name > after_name)
    if prefix:
        ranked = ranked.where(SeriesRow.name.startswith(prefix, autoescape=True))
    found = ranked.subquery()
    columns = (one for one in found.c if one.key != "place")
    rows = await tx.execute(
        sa.select(*columns).where(found.c.place == 1).order_by(found.c.name).limit(limit + 1)
    )
    return [MetricView(*row) for row in rows]


async def list_series(tx: ReadTx, name: str, *, limit: int) -> Sequence[SeriesView]:
    """The series of a metric, the one that was heard of last first."""
    rows = await tx.scalars(
        sa.select(SeriesRow)
        .where(SeriesRow.tenant_id == tx.tenant_id, SeriesRow.name == name)
        .order_by(SeriesRow.last_at.desc(), SeriesRow.id)
        .limit(limit)
    )
    return [_series_view(row) for row in rows]


def _series_view(row: SeriesRow) -> SeriesView:
    return SeriesView(
        str(row.id),
        row.name,
        row.kind,
        row.labels,
        row.created_at,
        row.last_at,
        row.observations,
        row.total,
        row.last_value,
    )


async def expose(tx: ReadTx) -> str:
    """What each series came to since it is there, in Prometheus' text format 0.0.4.

    Counters are their sums, gauges their newest values; a histogram is a summary without quantiles,
    whose `_sum` and `_count` lead to rates and means.
    """
    rows = await tx.scalars(
        sa.select(SeriesRow)
        .where(SeriesRow.tenant_id == tx.tenant_id)
        .order_by(SeriesRow.name, SeriesRow.id)
    )
    out: list[str] = []
    name = ""
    for row in rows:
        if row.name != name:
            name = row.name
            out.append(f"# TYPE {name} {'summary' if row.kind == 'histogram' else row.kind}")
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in row.labels.items())
        where = f"{{{labels}}}" if labels else ""
        if row.kind == "histogram":
            out += [f"{name}_sum{where} {row.total!r}", f"{name}_count{where} {row.observations}"]
        elif row.kind == "counter":
            out.append(f"{name}{where} {row.total!r}")
        elif row.last_value is not None:
            out.append(f"{name}{where} {row.last_value!r}")
    return "".join(f"{line}\n" for line in out)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
