"""Times as a clock on the wall shows them, and the instants that they are.

Such a clock skips times when summer begins, and shows some twice when it ends. As RFC 5545, section
3.3.5, has it, a time that is skipped is read by the offset before the gap, so that what is to be at
half past two is at half past three; and of a time that is shown twice the first is meant. What
recurs therefore happens once on each of its days, and what it covers is covered once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_DAY: Final = timedelta(days=1)
_LONGEST_SKIP: Final = timedelta(days=2)
"""A country that changes sides of the date line skips a day, or has one twice."""


class ZoneUnknownError(ValueError):
    """There is no such zone."""


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo:
    """A zone of the IANA's database by its name, like ``Europe/Paris``.

    Raises:
        ZoneUnknownError: There is none, or what the name names is a file and no zone.
    """
    if name not in _names():
        raise ZoneUnknownError(name)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ZoneUnknownError(name) from exc


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which the zone's clocks show a naive time, in UTC."""
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def wall_of(instant: datetime, zone: ZoneInfo) -> datetime:
    """What the zone's clocks show at an instant: a naive time."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """From an instant on up to another, which is not in it any more."""

    begin: datetime
    end: datetime

    def holds(self, instant: datetime) -> bool:
        """Whether an instant lies in it."""
        return self.begin <= instant < self.end

    def within(self, other: "Stretch") -> "Stretch | None":
        """What of it lies in another one; None: nothing."""
        begin, end = max(self.begin, other.begin), min(self.end, other.end)
        return Stretch(begin, end) if begin < end else None


@dataclass(frozen=True, slots=True)
class WeeklyWindow:
    """A stretch of time on some days of each week, by the clocks of a zone.

    Attributes:
        weekdays: On which it begins; 0 is Monday.
        start: When.
        end: When it is over: the day after, if this is not later than ``start``; the same times are
            a whole day.
        zone: Whose clocks.
    """

    weekdays: frozenset[int]
    start: time
    end: time
    zone: ZoneInfo

    def on(self, day: date) -> Stretch | None:
        """The window that begins on a day; None: there is none."""
        if day.weekday() not in self.weekdays:
            return None
        wall = datetime.combine(day, self.start)
        until = datetime.combine(day if self.start < self.end else day + _DAY, self.end)
        begin, end = instant_of(wall, self.zone), instant_of(until, self.zone)
        # It begins at a time that was skipped and ends soon after: it is as long as ever.
        return Stretch(begin, end if begin < end else begin + (until - wall))

    def stretches(self, within: Stretch) -> Iterator[Stretch]:
        """Its windows, as far as they lie in a stretch of time, in order."""
        day = wall_of(within.begin, self.zone).date() - _LONGEST_SKIP
        last = wall_of(within.end, self.zone).date() + _LONGEST_SKIP
        while day <= last:
            found = self.on(day)
            part = None if found is None else found.within(within)
            if part is not None:
                yield part
            day += _DAY

    def holds(self, instant: datetime) -> bool:
        """Whether an instant lies in one of its windows."""
        around = Stretch(instant, instant + timedelta(microseconds=1))
        return next(self.stretches(around), None) is not None
