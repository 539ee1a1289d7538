"""Analysis: is an hour usual, where does a line go, what comes next; each said in a sentence.

Hours are read in a transaction (:func:`backend.managers.metrics._query.read_hours`) and worked on
after it, in a thread: :func:`score`, :func:`find_trends` and :func:`foresee` are pure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np

from backend.core.errors import InvalidInputError
from backend.managers.metrics import _seasons, _smoothing
from backend.managers.metrics._query import Hours
from backend.managers.metrics._seasons import BASES, DAY, HOUR, Basis
from backend.managers.metrics._windows import Array

State = Literal["usual", "unusual", "not_measured", "unknown"]
Direction = Literal["rises", "falls", "steady", "not_measured"]
Method = Literal["holt_winters", "seasonal_naive_drift", "none"]
MAX_TOLD: Final = 50
"""Unusual hours of a line that are told, the most unusual ones."""

_TIMES: Final = ("", "", "twice", "three times", "four times", "five times", "six times",
                 "seven times", "eight times", "nine times", "ten times")  # fmt: skip
_PARTS: Final = {2: "half", 3: "a third of", 4: "a quarter of", 5: "a fifth of", 10: "a tenth of"}
_OF_SEASON: Final[Mapping[int, Basis]] = {
    _seasons.WEEK: "hour_of_week",
    DAY: "hour_of_day",
    1: "all",
}
_NEAR: Final = 0.07  # of a whole number: it is told as one
_ALIKE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one hour is, and why.

    Attributes:
        at: When it begins.
        state: ``unknown`` where too few hours before it were measured.
        value: What it came to; None: not measured.
        usual: What is usual; None: not known.
        low: The least that is usual.
        high: The most.
        score: How unusual it is: above 1 it is, 100 at most.
        basis: Which hours it is compared with.
        samples: How many they are.
        sentence: All of that, to be read.
    """

    at: datetime
    state: State
    value: float | None
    usual: float | None
    low: float | None
    high: float | None
    score: float | None
    basis: Basis
    samples: int
    sentence: str


@dataclass(frozen=True, slots=True)
class ScoredLine:
    """A line of hours with what is usual of each; None where it is not known.

    Attributes:
        labels: Of the line.
        points: What was measured.
        usual: The middle of what is usual.
        low: Its lower edge.
        high: Its upper edge.
        scores: How unusual each is.
        latest: The newest hour.
        unusual: The hours that are, the newest first.
        unusual_left_out: How many more there are.
    """

    labels: Mapping[str, str]
    points: Sequence[float | None]
    usual: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    scores: Sequence[float | None]
    latest: Verdict
    unusual: Sequence[Verdict]
    unusual_left_out: int


@dataclass(frozen=True, slots=True)
class TrendLine:
    """Where a line goes.

    Attributes:
        labels: Of the line.
        direction: ``steady``: neither up nor down for sure.
        per_day: What it gains a day; None: not measured often enough.
        per_day_low: With ``per_day_high``, what that is between in 95 of 100 cases.
        per_day_high: See ``per_day_low``.
        basis: Which hours were compared with each other.
        measured_hours: How many they are.
        sentence: All of that, to be read.
    """

    labels: Mapping[str, str]
    direction: Direction
    per_day: float | None
    per_day_low: float | None
    per_day_high: float | None
    basis: Basis
    measured_hours: int
    sentence: str


@dataclass(frozen=True, slots=True)
class ForeseenLine:
    """The hours to come of a line, between what they are in 95 of 100 cases, and how it is known.

    ``season_hours`` is None where hours follow no season.
    """

    labels: Mapping[str, str]
    points: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    method: Method
    season_hours: int | None
    sentence: str


def zone_of(name: str) -> tzinfo:
    """The time zone of this name.

    Raises:
        InvalidInputError: There is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise InvalidInputError(f"There is no time zone {name}").at("time_zone") from exc


def score(hours: Hours, first: int, zone: tzinfo) -> Sequence[ScoredLine]:
    """Score the hours from number ``first`` on; those before are what they are compared with."""
    clock = _seasons.clock_hours(hours.start, hours.size, zone)
    return [_scored(hours, line, clock, first, zone) for line in range(len(hours.labels))]


def _scored(hours: Hours, line: int, clock: Array, first: int, zone: tzinfo) -> ScoredLine:
    values, observed = hours.values[line], hours.observed[line]
    known = _seasons.usual(values, clock)
    low, high = known.low, known.high
    if not np.any(values < 0):
        low = np.maximum(low, 0.0)
    scores = known.scores(values)

    def verdict(at: int) -> Verdict:
        state = _state(values[at], scores[at], observed=bool(observed[at]))
        basis = BASES[known.basis[at]]
        moment = datetime.fromtimestamp(hours.start + at * HOUR, zone)
        return Verdict(
            moment.astimezone(UTC),
            state,
            told(values[at]),
            told(known.level[at]),
            told(low[at]),
            told(high[at]),
            told(scores[at]),
            basis,
            int(known.samples[at]),
            _sentence(state, values[at], known.level[at], (basis, int(known.samples[at])), moment),
        )

    odd = first + np.flatnonzero(scores[first:] > 1)
    most = np.sort(odd[np.argsort(-scores[odd], kind="stable")][:MAX_TOLD])[::-1]
    return ScoredLine(
        hours.labels[line],
        all_told(values[first:]),
        all_told(known.level[first:]),
        all_told(low[first:]),
        all_told(high[first:]),
        all_told(scores[first:]),
        verdict(hours.size - 1),
        [verdict(at) for at in most.tolist()],
        len(odd) - len(most),
    )


def _state(value: float, score: float, *, observed: bool) -> State:
    if math.isnan(value):
        return "not_measured"
    if math.isnan(score):
        return "unknown" if observed else "not_measured"
    if score > 1:
        return "unusual"
    # Nobody can tell a counter that nothing happened to from one that nobody reports any more.
    return "usual" if observed else "not_measured"


def _sentence(
    state: State, value: float, level: float, compared: tuple[Basis, int], at: datetime
) -> str:
    basis, samples = compared
    place, before = {
        "hour_of_week": (f"{at:%A %H:%M}", f"that hour in the {samples} weeks before"),
        "hour_of_day": (f"{at:%H:%M}", f"that hour on the {samples} days before"),
        "all": ("hour", f"the {samples} hours before"),
        "none": (f"{at:%A %H:%M}", ""),
    }[basis]
    before = f"the median of {before}"
    known = not math.isnan(level)
    if state == "not_measured":
        usual = f" Usual is {number(level)}, {before}." if known else ""
        return f"Not measured: nothing was recorded in the hour of {at:%A %H:%M}.{usual}"
    if not known:
        return f"{number(value)}: too few hours before it were measured to say what is usual."
    share = _compared(value, level)
    if share:
        said = f"{share} its usual {place}: {number(value)} against {number(level)}, {before}."
        return said[0].upper() + said[1:]
    when = "in an hour" if basis == "all" else f"at {place}" if basis == "hour_of_day" else place
    joined = "as is" if value == level else f"where {number(level)} is"
    return f"{number(value)}, {joined} usual {when}: {before}."


def _compared(value: float, level: float) -> str:
    """A value in words, by what is usual; empty where no share can be told."""
    if level <= 0 or value <= 0:
        return ""
    share = value / level
    if abs(share - 1) <= _ALIKE:
        return "about"
    whole = round(share)
    if 2 <= whole < len(_TIMES) and abs(share - whole) <= _NEAR * whole:
        return _TIMES[whole]
    part = round(1 / share)
    if part in _PARTS and abs(1 / share - part) <= _NEAR * part:
        return _PARTS[part]
    if share >= 2:
        return f"{share:,.0f} times" if share >= len(_TIMES) else f"{share:.1f} times"
    if share > 1:
        return f"{share - 1:.0%} above"
    return f"{1 - share:.0%} below"


def find_trends(hours: Hours, zone: tzinfo) -> Sequence[TrendLine]:
    """Where each line goes."""
    clock = _seasons.clock_hours(hours.start, hours.size, zone)
    return [
        _trend_line(labels, values, _seasons.trend(values, clock), hours)
        for labels, values in zip(hours.labels, hours.values, strict=True)
    ]


def _trend_line(
    labels: Mapping[str, str], values: Array, found: _seasons.Trend, hours: Hours
) -> TrendLine:
    basis = _OF_SEASON[found.season_hours]
    if math.isnan(found.per_day):
        sentence = (
            f"Not measured: {found.measured} hours are too few to say where it goes."
            if found.measured
            else "Not measured: nothing was recorded."
        )
        return TrendLine(labels, "not_measured", None, None, None, "none", found.measured, sentence)
    between = f"between {number(found.low)} and {number(found.high)}"
    unit = unit_of(hours)
    level = float(np.median(np.abs(values[~np.isnan(values)])))
    direction: Direction = "steady"
    if found.is_sure:
        direction = "rises" if found.per_day > 0 else "falls"
        share = f", {abs(found.per_day) / level:.1%} of its level" if level else ""
        sentence = (
            f"{direction.capitalize()} by {number(abs(found.per_day))} {unit}{share}: "
            f"{between} in 95 of 100 cases."
        )
    else:
        sentence = (
            f"Neither rises nor falls for sure: {number(found.per_day)} {unit}, {between} in 95 of "
            "100 cases."
        )
    return TrendLine(
        labels, direction, found.per_day, found.low, found.high, basis, found.measured, sentence
    )


def unit_of(hours: Hours) -> str:
    """What a slope is told in."""
    if hours.aggregate == "rate":
        return "per second, a day"
    return "per hour, a day" if hours.is_amount else "a day"


def foresee(hours: Hours, ahead: int, zone: tzinfo) -> Sequence[ForeseenLine]:
    """The ``ahead`` hours that follow."""
    clock = _seasons.clock_hours(hours.start, hours.size + ahead, zone)
    return [
        _foreseen(labels, values, clock)
        for labels, values in zip(hours.labels, hours.values, strict=True)
    ]


def _foreseen(labels: Mapping[str, str], values: Array, clock: Array) -> ForeseenLine:
    past, ahead = clock[: len(values)], clock[len(values) :]
    known = values[~np.isnan(values)]
    if not len(known):
        nothing: list[float | None] = [None] * len(ahead)
        said = "Not measured: nothing was recorded, and nothing can be foreseen."
        return ForeseenLine(labels, nothing, nothing, nothing, "none", None, said)
    found_trend = _seasons.trend(values, past)
    drift = found_trend.per_day / DAY if found_trend.is_sure else 0.0
    found = _seasons.forecast(values, past, ahead, drift=drift)
    smooth = _smoothing.better(values, past, len(ahead), found.season_hours, drift)
    method: Method = "seasonal_naive_drift" if smooth is None else "holt_winters"
    points, half = (found.values if smooth is None else smooth), found.high - found.values
    low, high = points - half, points + half
    if not np.any(known < 0):
        points, low, high = (np.maximum(one, 0.0) for one in (points, low, high))
    of = {_seasons.WEEK: "weeks", DAY: "days"}.get(found.season_hours)
    if smooth is not None:
        said = f"By exponential smoothing with a season of {found.season_hours} hours."
    elif of is None:
        said = "The median of all hours: too few were measured to know a season."
    else:
        moved = f", moved by {number(drift * DAY)} a day" if drift else ""
        if found.shift:
            moved += f", and by {number(found.shift)} as the last two days were"
        said = f"The median of the same hour in the last four {of}{moved}."
    return ForeseenLine(
        labels,
        all_told(points),
        all_told(low),
        all_told(high),
        method,
        found.season_hours if of else None,
        said,
    )


def number(value: float) -> str:
    """A number to be read: three digits that matter, thousands in full."""
    if value and not 1e-4 <= abs(value) < 1e15:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def told(value: float) -> float | None:
    """A value; None where it is not known."""
    return None if math.isnan(value) else float(value)


def all_told(values: Array) -> list[float | None]:
    """The values; None for those that are not known."""
    return [None if math.isnan(one) else one for one in values.tolist()]
