"""Windows of series: how points become windows, and windows longer ones; arithmetic without I/O.

A window keeps count, sum, least, greatest and last value of what was observed in it, and for a
histogram how many observations fell into each bucket. All of that adds up: windows of several
batches, processes, series or neighbouring times are merged without a loss, in whatever order.

Buckets are DDSketch's (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019): bounds are powers of ``gamma``, so a quantile is off by
:data:`RELATIVE_ERROR` of its value at most, whatever the values are. Negative values are mirrored.

Windows lie in chunks, one row for some dozens: a row a window would make half of all bytes keys,
and a query would spend its time on rows.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STEPS: Final = (10, 60, 600, 3600)
"""Lengths of windows in seconds, each made of the one before."""
SLOTS: Final = {10: 60, 60: 60, 600: 72, 3600: 120}
"""Windows in a chunk: those of one length fill whole windows of the next."""
RELATIVE_ERROR: Final = 0.02
MAX_BUCKETS: Final = 1024
"""Of one window: values that lie 18 powers of ten apart. Of more the lowest become one, as DDSketch
has it: values all over a double's range would fill a megabyte with each window."""

# Eight megabytes.
_MOST_CELLS: Final = 1_000_000
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA: Final = math.log(_GAMMA)
# Makes the number of the bucket of the least positive double 1: zero has a bucket of its own.
_SHIFT: Final = 1 - math.ceil(math.log(5e-324) / _LOG_GAMMA)

POINT: Final = np.dtype([("series", "<i8"), ("at_ms", "<i8"), ("value", "<f8")])
"""One observation, as it waits."""
WINDOW: Final = np.dtype(
    [
        ("series", "<i8"),
        ("second", "<i8"),
        ("last_ms", "<i8"),
        ("count", "<i8"),
        ("sum", "<f8"),
        ("min", "<f8"),
        ("max", "<f8"),
        ("last", "<f8"),
    ]
)
"""One window in memory; ``second`` is its first, since 1970, and ``last_ms`` when ``last`` was."""
BUCKET: Final = np.dtype([("series", "<i8"), ("second", "<i8"), ("key", "<i4"), ("count", "<i8")])
"""Observations of one window that are about as great; a greater ``key`` is a greater value."""

_KEPT: Final = np.dtype(
    [
        ("slot", "<u2"),
        ("last_ms", "<u4"),
        ("count", "<i8"),
        ("sum", "<f8"),
        ("min", "<f8"),
        ("max", "<f8"),
        ("last", "<f8"),
    ]
)
_KEPT_BUCKET: Final = np.dtype([("slot", "<u2"), ("key", "<i4"), ("count", "<i8")])


class Windows(NamedTuple):
    """Some windows, and the buckets of those that are histograms'."""

    windows: Array
    buckets: Array


class Chunk(NamedTuple):
    """A row: the windows of one series from ``start`` on, packed."""

    series: int
    start: int
    windows: bytes
    buckets: bytes


NOTHING: Final = Windows(np.empty(0, WINDOW), np.empty(0, BUCKET))


def span_of(step: int) -> int:
    """Seconds that a chunk of such windows lasts."""
    return step * SLOTS[step]


def keys_of(values: Array) -> Array:
    """The bucket of each value."""
    sizes = np.abs(values)
    with np.errstate(divide="ignore"):
        places = np.ceil(np.log(sizes) / _LOG_GAMMA)
    places[sizes == 0] = -_SHIFT
    keys: Array = (np.sign(values) * (places + _SHIFT)).astype("<i4")
    return keys


def value_of(keys: Array) -> Array:
    """A value within :data:`RELATIVE_ERROR` of all in the bucket."""
    sizes = np.exp((np.abs(keys) - _SHIFT) * _LOG_GAMMA) * (2 / (1 + _GAMMA))
    return np.where(keys == 0, 0.0, np.sign(keys) * sizes)


def of_points(points: Array, histograms: Array, step: int = STEPS[0]) -> Windows:
    """What points come to.

    Args:
        points: Of :data:`POINT`.
        histograms: For each, whether its series is one.
        step: Of the windows, in seconds.
    """
    seconds = points["at_ms"] // 1000
    windows = np.empty(len(points), WINDOW)
    windows["series"], windows["second"] = points["series"], seconds - seconds % step
    windows["last_ms"], windows["count"] = points["at_ms"], 1
    for name in ("sum", "min", "max", "last"):
        windows[name] = points["value"]
    buckets = np.empty(int(histograms.sum()), BUCKET)
    for name in ("series", "second"):
        buckets[name] = windows[name][histograms]
    buckets["key"], buckets["count"] = keys_of(points["value"][histograms]), 1
    return add_up([Windows(windows, buckets)])


def add_up(parts: Iterable[Windows], step: int = 0) -> Windows:
    """Merge windows of the same series and time, sorted by both; with ``step``, into longer ones.

    Of values that were last at the same moment the one of the later part counts.
    """
    given = list(parts)
    windows = np.concatenate([one.windows for one in given]) if given else NOTHING.windows
    buckets = np.concatenate([one.buckets for one in given]) if given else NOTHING.buckets
    if step:
        windows["second"] -= windows["second"] % step
        buckets["second"] -= buckets["second"] % step
    return Windows(_merged(windows), _merged_buckets(buckets))


def _merged(windows: Array) -> Array:
    if not len(windows):
        return windows
    windows = windows[np.lexsort((windows["last_ms"], windows["second"], windows["series"]))]
    firsts = _firsts(windows["series"], windows["second"])
    # The last of each group is the one with the last value.
    out: Array = windows[np.append(firsts[1:], len(windows)) - 1]
    out["count"] = np.add.reduceat(windows["count"], firsts)
    out["sum"] = np.add.reduceat(windows["sum"], firsts)
    out["min"] = np.minimum.reduceat(windows["min"], firsts)
    out["max"] = np.maximum.reduceat(windows["max"], firsts)
    return out


def _merged_buckets(buckets: Array) -> Array:
    if not len(buckets):
        return buckets
    buckets = buckets[np.lexsort((buckets["key"], buckets["second"], buckets["series"]))]
    firsts = _firsts(buckets["series"], buckets["second"], buckets["key"])
    out: Array = buckets[firsts]
    out["count"] = np.add.reduceat(buckets["count"], firsts)
    begins = _firsts(out["series"], out["second"])
    sizes = np.diff(np.append(begins, len(out)))
    over = np.maximum(sizes - MAX_BUCKETS, 0)
    if not over.any():
        return out
    out["key"] = np.maximum(out["key"], np.repeat(out["key"][begins + over], sizes))
    return _merged_buckets(out)


def _firsts(*columns: Array) -> Array:
    """Where something else begins, in columns that are sorted together."""
    begins = np.zeros(len(columns[0]), bool)
    begins[0] = True
    for column in columns:
        begins[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(begins)


def pack(found: Windows, step: int) -> list[Chunk]:
    """Windows in chunks; they are sorted, as :func:`add_up` gives them."""
    if not len(found.windows):
        return []
    windows, where = _packed(found.windows, step, _KEPT)
    windows["last_ms"] = found.windows["last_ms"] - found.windows["second"] * 1000
    buckets, whose = _packed(found.buckets, step, _KEPT_BUCKET)
    firsts = _firsts(*where)
    held = dict(_parts(buckets, whose)) if len(buckets) else {}
    return [Chunk(*key, part, held.get(key, b"")) for key, part in _parts(windows, where, firsts)]


def _packed(rows: Array, step: int, kept: np.dtype[Any]) -> tuple[Array, tuple[Array, Array]]:
    span = span_of(step)
    packed = np.empty(len(rows), kept)
    starts = rows["second"] - rows["second"] % span
    packed["slot"] = (rows["second"] - starts) // step
    for name in kept.names or ():
        if name not in {"slot", "last_ms"}:
            packed[name] = rows[name]
    return packed, (rows["series"], starts)


def _parts(
    packed: Array, where: tuple[Array, Array], firsts: Array | None = None
) -> list[tuple[tuple[int, int], bytes]]:
    firsts = _firsts(*where) if firsts is None else firsts
    ends = [*firsts[1:].tolist(), len(packed)]
    keys = zip(where[0][firsts].tolist(), where[1][firsts].tolist(), strict=True)
    return [
        (key, packed[first:end].tobytes())
        for key, first, end in zip(keys, firsts.tolist(), ends, strict=True)
    ]


def unpack(chunks: Sequence[Chunk], step: int) -> Windows:
    """The windows of chunks, all at once: a chunk at a time would cost more than its windows."""
    if not chunks:
        return NOTHING
    windows, packed, second = _unpacked(
        [one.windows for one in chunks], chunks, step, _KEPT, WINDOW
    )
    windows["last_ms"] = packed["last_ms"] + second * 1000
    held = [one.buckets for one in chunks]
    buckets, _, _ = _unpacked(held, chunks, step, _KEPT_BUCKET, BUCKET)
    return Windows(windows, buckets)


def _unpacked(
    held: Sequence[bytes],
    chunks: Sequence[Chunk],
    step: int,
    kept: np.dtype[Any],
    made: np.dtype[Any],
) -> tuple[Array, Array, Array]:
    packed = np.frombuffer(b"".join(held), kept)
    lengths = [len(one) // kept.itemsize for one in held]
    out = np.empty(len(packed), made)
    out["series"] = np.repeat(np.array([one.series for one in chunks], "<i8"), lengths)
    starts = np.repeat(np.array([one.start for one in chunks], "<i8"), lengths)
    second = starts + packed["slot"].astype("<i8") * step
    out["second"] = second
    for name in kept.names or ():
        if name not in {"slot", "last_ms"}:
            out[name] = packed[name]
    return out, packed, second


def covered(found: Array, starts: Iterable[tuple[int, int]], span: int) -> Array:
    """For each row, whether its time lies in a chunk: one of these series and first seconds."""
    known = np.array([series << 32 | start // span for series, start in starts], "<i8")
    return np.isin(found["series"] << 32 | found["second"] // span, known)


def quantiles(
    buckets: Array, groups: Array, shape: tuple[int, int], wanted: float
) -> tuple[Array, Array]:
    """The quantile of each point of each line, and that of each whole line; NaN where none is.

    Within :data:`RELATIVE_ERROR`.

    Args:
        buckets: Of :data:`BUCKET`.
        groups: The point of each: its line times the points of a line, and its place in it.
        shape: Lines, and points of a line.
        wanted: From 0 to 1.
    """
    lines, size = shape
    of_points, of_lines = (
        _quantiles(buckets["key"].astype("<i8"), buckets["count"], where, how_many, wanted)
        for where, how_many in ((groups, lines * size), (groups // size, lines))
    )
    return of_points.reshape(shape), of_lines


def _quantiles(keys: Array, counts: Array, groups: Array, how_many: int, wanted: float) -> Array:
    out = np.full(how_many, np.nan)
    if not len(keys):
        return out
    least = int(keys.min())
    width = int(keys.max()) - least + 1
    places = groups * width + (keys - least)
    if how_many * width <= _MOST_CELLS:
        cells = np.bincount(places, counts, how_many * width)
        there = np.flatnonzero(cells)
        places, counts = there, cells[there]
    else:
        # Buckets come by series and time, and so these are in order but for a few places.
        order = np.argsort(places, kind="stable")
        places, counts = places[order], counts[order]
    groups = places // width
    until = np.cumsum(counts)
    firsts = _firsts(groups)
    ends = np.append(firsts[1:], len(groups)) - 1
    before = np.where(firsts > 0, until[firsts - 1], 0)
    totals = until[ends] - before
    # The observation of this rank, counted from one within its group, decides.
    ranks = before + np.maximum(np.ceil(wanted * totals), 1)
    out[groups[firsts]] = value_of(places[np.searchsorted(until, ranks)] % width + least)
    return out
