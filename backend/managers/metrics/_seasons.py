"""What is usual of a line of hours, where it goes and what comes next; arithmetic without I/O.

Everything is robust: medians and MAD for level and spread, medians of slopes for the trend, so a
spike or a week of outage in the past moves none of it. An hour that was not measured is NaN; it is
neither usual nor unusual, and nothing is put in its place.

Hours are told apart by the clock on the wall of a time zone: a Tuesday's 10:00 is that also after
the clocks were changed. An hour that a clock shows twice is known by its second.
"""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal, NamedTuple, get_args

import numpy as np

from backend.managers.metrics._windows import Array

Basis = Literal["hour_of_week", "hour_of_day", "all", "none"]
BASES: Final[tuple[Basis, ...]] = get_args(Basis)
HOUR: Final = 3600
DAY: Final = 24
WEEK: Final = 168
TOLERANCE: Final = 3.5
"""Spreads from the median that are still usual (Iglewicz and Hoaglin, "How to Detect and Handle
Outliers", 1993)."""
MAX_SCORE: Final = 100.0

# Which hours before are looked at: how far apart, how many at most, and how many there must be.
_LAGS: Final[tuple[tuple[Basis, int, int, int], ...]] = (
    ("hour_of_week", WEEK, 8, 3),
    ("hour_of_day", DAY, 14, 5),
    ("all", 1, WEEK, 12),
)
# Makes a MAD a standard deviation; a few values need more (Croux and Rousseeuw, "Time-efficient
# algorithms for two highly robust estimators of scale", 1992).
_NORMAL: Final = 1.4826
_FEW: Final = np.array([0, 0, 1.196, 1.495, 1.363, 1.206, 1.2, 1.14, 1.129, 1.107])
_MEAN_NORMAL: Final = 1.2533  # the same, of a mean absolute deviation
_SELDOM: Final = 0.98
_LEAST_SHARE: Final = 0.01  # of the level: less is a rounding
_PAIRED: Final = 400  # hours of a trend without seasons: their pairs grow by the square
_CYCLES: Final = 4  # cycles that a forecast is the median of
_FARTHEST: Final = 8  # cycles back that they are looked for in: some were not measured
_SHIFT_HOURS: Final = 12  # of a day that must be measured to tell a new level by it
_SURE: Final = 1.96  # standard deviations of 95 %


class Usual(NamedTuple):
    """What was usual of each hour, by the hours before it; NaN where those are too few.

    Attributes:
        level: The median of the hours it is compared with.
        spread: A standard deviation, by their MAD; 0 where all of them were the same zero.
        samples: How many they are.
        basis: Which they are, as an index into :data:`BASES`.
    """

    level: Array
    spread: Array
    samples: Array
    basis: Array

    @property
    def low(self) -> Array:
        """The least that is usual."""
        return np.asarray(self.level - TOLERANCE * self.spread)

    @property
    def high(self) -> Array:
        """The most that is usual."""
        return np.asarray(self.level + TOLERANCE * self.spread)

    def scores(self, values: Array) -> Array:
        """How unusual values are: 1 is the edge of what is usual, 0 its middle, 100 the most.

        NaN where a value or what is usual is not known.
        """
        off = np.abs(values - self.level)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = off / (TOLERANCE * self.spread)
        # Always the same so far: the same again is usual, and anything else is not.
        scores = np.where((self.spread == 0) & (off == 0), 0.0, scores)
        return np.minimum(scores, MAX_SCORE)


class Trend(NamedTuple):
    """Where a line goes, a day: NaN where it was measured too seldom.

    Attributes:
        per_day: The slope.
        low: With ``high``, where the slope is in 95 of 100 cases.
        high: See ``low``.
        season_hours: Hours were compared with those of so many hours earlier; 1: with all.
        measured: How many hours it is made of.
    """

    per_day: float
    low: float
    high: float
    season_hours: int
    measured: int

    @property
    def is_sure(self) -> bool:
        """Whether the slope is one: both bounds are on the same side of 0."""
        return self.low > 0 or self.high < 0


class Forecast(NamedTuple):
    """The hours to come, and between what they are in 95 of 100 cases; NaN: nobody can tell.

    ``shift`` is by how much they are above what the weeks before say, because the newest days were.
    """

    values: Array
    low: Array
    high: Array
    season_hours: int
    shift: float = 0.0


def clock_hours(start: int, size: int, zone: tzinfo) -> Array:
    """The number of each hour from the second ``start`` on, by the clock on the wall.

    Number 0 is Monday, 1970-01-05, 00:00, so the rest by 168 is an hour of the week.
    """
    seconds = start + np.arange(size) * HOUR
    if zone is UTC:
        offsets = np.zeros(size, "<i8")
    else:
        moved = (datetime.fromtimestamp(at, zone).utcoffset() for at in seconds.tolist())
        offsets = np.array([one.total_seconds() if one else 0 for one in moved], "<i8")
    return np.asarray((seconds + offsets) // HOUR - 4 * DAY)


def usual(values: Array, clock: Array) -> Usual:
    """What was usual of each hour: by the same hour of the week, else of the day, else by all.

    An hour is compared with earlier ones alone, so it makes nothing usual by itself.

    Args:
        values: One an hour, NaN where it was not measured.
        clock: Of each, by :func:`clock_hours`.
    """
    size = len(values)
    level, spread = np.full(size, np.nan), np.full(size, np.nan)
    samples, basis = np.zeros(size, int), np.full(size, BASES.index("none"))
    flat = np.zeros(size, bool)
    at = _placed(values, clock)
    for name, lag, most, least in _LAGS:
        open_ = np.flatnonzero(np.isnan(level))
        earlier = at(clock[open_][:, None] - lag * np.arange(1, most + 1))
        middle, known = _medians(earlier)
        enough = known >= least
        rows = open_[enough]
        level[rows], samples[rows] = middle[enough], known[enough]
        spread[rows], flat[rows] = _spreads(
            earlier[enough], middle[enough], known[enough], mixed=lag != WEEK
        )
        basis[rows] = BASES.index(name)
    # Four quiet Tuesdays by chance make a fifth no alarm: what is typical of the hour of the day is
    # usual, weekends are among it.
    typical, _ = _medians(_table(spread, clock, DAY).T)
    spread = np.maximum(spread, typical[clock % DAY])
    off = np.abs(values - level)
    off = off[~np.isnan(off)]
    if len(off) and flat.any():
        # Of what seldom happens most hours have seen nothing, and that it happens is usual still:
        # as far off as one hour in fifty of this line is.
        seldom = np.quantile(off, _SELDOM, method="lower") / TOLERANCE
        spread[flat] = np.maximum(spread[flat], seldom)
    return Usual(level, np.maximum(spread, _LEAST_SHARE * np.abs(level)), samples, basis)


def trend(values: Array, clock: Array) -> Trend:
    """The slope by Theil and Sen, within seasons, so that no season is taken for it.

    Hours are compared with the same hour of other weeks when three weeks were measured, of other
    days when three days were, else with all (Hirsch, Slack, Smith: "Techniques of trend analysis
    for monthly water quality data", 1982). The bounds are theirs, widened by how much an hour is
    like the one before (its autocorrelation): hours are not independent.
    """
    measured = np.flatnonzero(~np.isnan(values))
    nothing = Trend(np.nan, np.nan, np.nan, 1, len(measured))
    if len(measured) < 3:
        return nothing
    season = season_of(clock[measured], cycles=3)
    if season == 1:
        chosen = measured[:: -(-len(measured) // _PAIRED)]
        times, columns = clock[chosen], values[chosen][:, None]
        slopes = _slopes(columns, times[:, None])
    else:
        table = _table(values, clock, season)
        columns = table
        slopes = _slopes(table, np.arange(len(table))[:, None] * season)
    if not len(slopes):
        return nothing
    slopes.sort()
    middle = float(np.median(slopes))
    counts = np.sum(~np.isnan(columns), axis=0)
    variance = float(np.sum(counts * (counts - 1) * (2 * counts + 5)) / 18)
    rest = values - middle * (clock - clock[0])
    alike = _likeness(rest - _seasonal(rest, clock, season))
    half = _SURE * np.sqrt(variance * (1 + alike) / (1 - alike))
    last = len(slopes) - 1
    low = slopes[int(np.clip(np.floor((len(slopes) - half) / 2), 0, last))]
    high = slopes[int(np.clip(np.ceil((len(slopes) + half) / 2), 0, last))]
    return Trend(middle * DAY, float(low) * DAY, float(high) * DAY, season, len(measured))


def forecast(values: Array, clock: Array, ahead: Array, *, drift: float = 0.0) -> Forecast:
    """The hours to come as those a season before them were, and by how much lines move.

    A value is the median of the last four of the same hour, of the week when two weeks were
    measured, of the day when two days were, else of all; each moved by ``drift`` (Hyndman,
    Athanasopoulos: "Forecasting: Principles and Practice", 3rd ed., 5.2). Where both of the two
    newest days were off to one side it is a new level, which the weeks before learn of only when
    half of them have it, and what comes is moved to it. How far off it may be is
    told by how far off the same was in the past, at that hour of the day.

    Args:
        values: One an hour, NaN where it was not measured.
        clock: Of each.
        ahead: The hours to come, by the same clock.
        drift: What the line gains an hour.
    """
    measured = clock[~np.isnan(values)]
    nothing = np.full(len(ahead), np.nan)
    if not len(measured):
        return Forecast(nothing, nothing, nothing, 1)
    season = season_of(measured, cycles=2)
    at = _placed(values, clock)
    if season == 1:
        level = float(np.median(values[~np.isnan(values)]))
        off = values - level
        made, cycles = np.full(len(ahead), level), np.ones(len(ahead))
    else:
        cycles = (ahead - clock[-1] - 1) // season + 1
        made = _same_hours(at, ahead, season, cycles, drift)
        off = values - _same_hours(at, clock, season, np.ones(len(clock), int), drift)
    half = _SURE * _spread_ahead(off, clock, ahead) * np.sqrt(cycles)
    # By the hour of the day alone a weekend is none: the last four days are near enough.
    shift = _shift(off) if season == WEEK else 0.0
    made = made + shift
    return Forecast(made, made - half, made + half, season, shift)


def _shift(off: Array) -> float:
    """By how much the line is off for good: the less of what each of the two newest days was off.

    0 unless both were off to the same side by more than the line mostly is, of which the median of
    a day's noise is a quarter; one odd day is no new level.
    """
    earlier, days = off[: -2 * DAY], (off[-2 * DAY : -DAY], off[-DAY:])
    earlier = earlier[~np.isnan(earlier)]
    if not len(earlier) or any(np.sum(~np.isnan(one)) < _SHIFT_HOURS for one in days):
        return 0.0
    usual_off = _NORMAL * float(np.median(np.abs(earlier)))
    least, most = sorted((float(np.nanmedian(one)) for one in days), key=abs)
    return least if abs(least) > usual_off and least * most > 0 else 0.0


def season_of(clock: Array, *, cycles: int) -> int:
    """The longest season that hours span so many times: a week, a day, or 1 for none."""
    span = int(clock.max() - clock.min()) + 1 if len(clock) else 0
    return next((one for one in (WEEK, DAY) if span >= cycles * one), 1)


def _placed(values: Array, clock: Array) -> Callable[[Array], Array]:
    """Return what looks up hours by the clock; those that are not there are not measured."""
    first = int(clock[0])
    placed = np.full(int(clock.max()) - first + 1, np.nan)
    placed[clock - first] = values

    def at(wanted: Array) -> Array:
        places = wanted - first
        inside = (places >= 0) & (places < len(placed))
        return np.where(inside, placed[np.where(inside, places, 0)], np.nan)

    return at


def _medians(rows: Array) -> tuple[Array, Array]:
    """The median of what is known of each row, NaN where nothing is, and how many that are."""
    known = np.sum(~np.isnan(rows), axis=1)
    if not rows.size:
        return np.full(len(rows), np.nan), known
    ordered = np.sort(rows, axis=1)  # NaN goes last
    lines = np.arange(len(rows))
    # Added as halves: two great values may have no sum.
    middle = (
        ordered[lines, np.maximum(known - 1, 0) // 2] / 2
        + ordered[lines, np.minimum(known // 2, rows.shape[1] - 1)] / 2
    )
    return np.where(known > 0, middle, np.nan), known


def _spreads(
    rows: Array, middle: Array, known: Array, *, mixed: bool = False
) -> tuple[Array, Array]:
    """A standard deviation of each row by its MAD, and where that was 0.

    There it is by the mean deviation, and where hours of several kinds are ``mixed``, if that is
    greater: among ten working days a weekend is nothing to a MAD, and usual nevertheless.
    """
    off = np.abs(rows - middle[:, None])
    mads, _ = _medians(off)
    few = np.where(known < len(_FEW), _FEW[np.minimum(known, len(_FEW) - 1)], known / (known - 0.8))
    means = np.nansum(off, axis=1) / np.maximum(known, 1)
    spread, other = _NORMAL * few * mads, _MEAN_NORMAL * means
    if mixed:
        spread = np.maximum(spread, other)
    return np.where(mads > 0, spread, other), mads == 0


def _table(values: Array, clock: Array, season: int) -> Array:
    """A row a cycle, a column for each hour of the season."""
    first = int(clock[0]) // season
    table = np.full((int(clock.max()) // season - first + 1, season), np.nan)
    table[clock // season - first, clock % season] = values
    return table


def _slopes(columns: Array, times: Array) -> Array:
    """The slope of each pair within each column."""
    found = []
    for apart in range(1, len(columns)):
        steps = (columns[apart:] - columns[:-apart]) / (times[apart:] - times[:-apart])
        found.append(steps[~np.isnan(steps)])
    return np.concatenate(found) if found else np.empty(0)


def _seasonal(values: Array, clock: Array, season: int) -> Array:
    """The median of the hours at the same place in the season, for each."""
    middle, _ = _medians(_table(values, clock, season).T)
    return np.asarray(middle[clock % season])


def _likeness(rest: Array) -> float:
    """How much an hour is like the one before: a correlation by ranks' signs, from 0 to 0.95."""
    both = ~np.isnan(rest[1:]) & ~np.isnan(rest[:-1])
    signs = np.sign(rest[1:][both]) * np.sign(rest[:-1][both])
    if not len(signs):
        return 0.0
    # Of two normal variables: sin(pi / 2 * (share of like signs - share of unlike ones)).
    return float(np.clip(np.sin(np.pi / 2 * np.mean(signs)), 0.0, 0.95))


def _same_hours(
    at: Callable[[Array], Array], wanted: Array, season: int, cycles: Array, drift: float
) -> Array:
    """The median of the last four of the same hour, from so many cycles back on, each moved."""
    back = season * (cycles[:, None] + np.arange(_FARTHEST))
    found = at(wanted[:, None] - back) + drift * back
    made, _ = _medians(np.where(np.cumsum(~np.isnan(found), axis=1) <= _CYCLES, found, np.nan))
    return made


def _spread_ahead(off: Array, clock: Array, ahead: Array) -> Array:
    """How far off the past was at these hours of the day, and half of all at least."""
    known = off[~np.isnan(off)]
    if len(known) < 2:
        return np.full(len(ahead), np.nan)
    whole = float(_spreads(known[None, :], np.zeros(1), np.array([len(known)]))[0][0])
    days = _table(off, clock, DAY).T
    counts = np.sum(~np.isnan(days), axis=1)
    by_hour, _ = _spreads(days, np.zeros(DAY), counts)
    by_hour = np.where(counts >= len(_FEW) / 2, np.maximum(by_hour, whole / 2), whole)
    return np.asarray(by_hour[ahead % DAY])
