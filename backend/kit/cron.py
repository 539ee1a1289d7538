"""Crontab's times by the clocks of a zone, and the instants that they are.

Five fields as in crontab(5): minute, hour, day of the month, month, day of the week; six with
seconds before them. A field is ``*``, numbers, names of months and days, ranges, lists, and steps.
Sunday is 0 and 7. Where both the day of the month and the day of the week are given, either is
enough.

A clock skips times when summer begins and shows some twice when it ends. What becomes of a firing
at such a time is said by whoever asks: one that is skipped is left out, or comes as much later as
the clock was put forward, or when the clock goes on; of one that is shown twice the first, the
last, or both are meant.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final, Literal, Protocol
from zoneinfo import ZoneInfo

from backend.kit.wall_clock import wall_of

Skipped = Literal["skip", "shift", "gap_end"]
Repeated = Literal["first", "last", "both"]

_MONTHS: Final = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
]
_WEEKDAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_BOUNDS: Final = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES: Final = ("second", "minute", "hour", "day of the month", "month", "day of the week")
_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PART: Final = re.compile(r"(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:/(\d+))?")
_YEARS: Final = 9
"""The 29th of February comes after eight years at most: 2100 has none."""
_NEAR: Final = timedelta(hours=26)
_MARGIN: Final = timedelta(hours=3)
_WITHOUT_SECONDS: Final = 5
_SUNDAY: Final = 7


class Walls(Protocol):
    """What is at times that clocks show."""

    def walls(self, since: datetime) -> Iterator[datetime]:
        """The times from a naive one on, this included, in order; they may end."""


class CronInvalidError(ValueError):
    """It is no expression of crontab's, and which field is why."""


@dataclass(frozen=True, slots=True)
class Cron:
    """When something happens, as clocks show it."""

    times: tuple[time, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """Monday is 0, as :meth:`datetime.date.weekday` has it."""
    either: bool
    """Whether a day of the month and of the week are both given, so that either is enough."""

    def on(self, day: date) -> bool:
        """Whether anything happens on a day."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.weekday() in self.weekdays
        return of_month or of_week if self.either else of_month and of_week

    def walls(self, since: datetime) -> Iterator[datetime]:
        """The times from a naive one on, this included, in order; they end some years later."""
        day = since.date()
        first = since.time()
        for _ in range(366 * _YEARS):
            if self.on(day):
                yield from (datetime.combine(day, one) for one in self.times if one >= first)
            first = time.min
            try:
                day += timedelta(days=1)
            except OverflowError:
                return


@lru_cache(maxsize=4096)
def read_cron(text: str) -> Cron:
    """Read an expression.

    Raises:
        CronInvalidError: It is none.
    """
    fields = _MACROS.get(text.strip().lower(), text).lower().split()
    if len(fields) == _WITHOUT_SECONDS:
        fields = ["0", *fields]
    if len(fields) != len(_BOUNDS):
        raise CronInvalidError("It has five fields, or six with seconds")
    seconds, minutes, hours, days, months, weekdays = (
        _field(at, field) for at, field in enumerate(fields)
    )
    cron = Cron(
        times=tuple(
            time(hour, minute, second)
            for hour in sorted(hours)
            for minute in sorted(minutes)
            for second in sorted(seconds)
        ),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset((one - 1) % _SUNDAY for one in weekdays),
        either=not (fields[3].startswith("*") or fields[5].startswith("*")),
    )
    if next(cron.walls(datetime(2000, 1, 1)), None) is None:  # noqa: DTZ001 - as clocks show it
        raise CronInvalidError("No day is ever so")
    return cron


def _field(at: int, text: str) -> set[int]:
    low, high = _BOUNDS[at]
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise CronInvalidError(f"The {_NAMES[at]} cannot be {part!r}")
        begin, end, step = match.groups()
        if begin == "*":
            first, last = low, high
            if end is not None:
                raise CronInvalidError(f"The {_NAMES[at]} cannot be {part!r}")
        else:
            first = _number(at, begin)
            last = _number(at, end) if end is not None else (high if step else first)
        every = int(step or 1)
        if every < 1 or first > last:
            raise CronInvalidError(f"The {_NAMES[at]} cannot be {part!r}")
        found.update(range(first, last + 1, every))
    return found


def _number(at: int, text: str) -> int:
    low, high = _BOUNDS[at]
    names = {"month": _MONTHS, "day of the week": _WEEKDAYS}.get(_NAMES[at], [])
    if text in names:
        return names.index(text) + low
    if not text.isdecimal() or not low <= int(text) <= high:
        raise CronInvalidError(f"The {_NAMES[at]} is {low} to {high}, not {text}")
    return int(text)


def firings(
    cron: Walls, zone: ZoneInfo, after: datetime, *, skipped: Skipped, repeated: Repeated
) -> Iterator[datetime]:
    """The instants after one, in order and each once, in UTC; they may end after some years."""
    at: datetime | None = after
    while at is not None:
        at = _next(cron, zone, at, skipped, repeated)
        if at is not None:
            yield at


def preview(
    cron: Cron,
    zone: ZoneInfo,
    after: datetime,
    *,
    skipped: Skipped,
    repeated: Repeated,
    count: int,
) -> Sequence[datetime]:
    """The next so many."""
    return list(islice(firings(cron, zone, after, skipped=skipped, repeated=repeated), count))


def _next(
    cron: Walls, zone: ZoneInfo, after: datetime, skipped: Skipped, repeated: Repeated
) -> datetime | None:
    """Look at the times from this one on; near a change of the clocks also at those before.

    There the order of what clocks show is not that of the instants: a time that was skipped comes
    later than some that clocks show after it, and one that is shown twice comes again.
    """
    wall = wall_of(after, zone)
    since = wall - _MARGIN if _is_near_change(zone, after) else wall
    best: datetime | None = None
    last: datetime | None = None
    for shown in cron.walls(since):
        if last is not None and shown > last:
            break
        for instant in _instants(shown, zone, skipped, repeated):
            if instant > after and (best is None or instant < best):
                best = instant
                near = _is_near_change(zone, best)
                last = wall_of(best, zone) + (_MARGIN if near else timedelta())
    return best


def _instants(
    shown: datetime, zone: ZoneInfo, skipped: Skipped, repeated: Repeated
) -> Sequence[datetime]:
    first = shown.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if first == second:
        return (first,)
    if first < second:
        return {"first": (first,), "last": (second,), "both": (first, second)}[repeated]
    # By the offset before the gap it is after it, and by the one behind it is before.
    if skipped == "skip":
        return ()
    return (first,) if skipped == "shift" else (_end_of_gap(second, first, zone),)


def _end_of_gap(before: datetime, behind: datetime, zone: ZoneInfo) -> datetime:
    """The instant between these at which the zone's offset changes, to the second."""
    offset = before.astimezone(zone).utcoffset()
    low, high = int(before.timestamp()), int(behind.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _is_near_change(zone: ZoneInfo, at: datetime) -> bool:
    offsets = {(at + away).astimezone(zone).utcoffset() for away in (-_NEAR, timedelta(), _NEAR)}
    return len(offsets) > 1
