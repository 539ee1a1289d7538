"""Days that come again and again, counted from a first one: each second week, the last of a month.

What crontab cannot say: it knows how days are called, and neither where they began nor where a
month ends. Times are those that clocks show; the instants are :func:`backend.kit.cron.firings`'.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal

Unit = Literal["day", "week", "month", "year"]
Pick = Callable[[Sequence[date]], Sequence[date]]
"""Which of the days of a period, which are in order."""

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WORKDAYS: Final = 5
_MONTHS: Final = 12
_YEARS: Final = 41
"""How far is looked for a day that a period rarely has."""
_OF_MONTH: Final = re.compile(r"-?(?:[1-9]|[12][0-9]|3[01])")
_NTH: Final = re.compile(r"(-?[1-9][0-9]?)?(mon|tue|wed|thu|fri|sat|sun|workday)")
_OF_YEAR: Final = re.compile(r"(\d\d)-(\d\d)")
_FOR: Final[Mapping[Unit, str]] = {
    "day": "Each day is the one that is meant: it takes none",
    "week": "Of a week it is mon to sun or workday",
    "month": "Of a month it is 1 to 31, from its end -1 to -31, a weekday or workday as fri, or "
    "which of them as 1mon or -1workday",
    "year": "Of a year it is a month and a day as 02-29",
}


class RecurrenceInvalidError(ValueError):
    """Its days are none, and why."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Some days of each so many periods, and times of these days.

    Attributes:
        since: The first period is the one that this day is in; nothing comes before this day.
        unit: What a period is; a week begins on Monday.
        every: Of so many periods the first.
        picks: What of a period's days; a day that a period does not have does not come then.
        times: Of each of these days, in order.
    """

    since: date
    unit: Unit
    every: int
    picks: tuple[Pick, ...]
    times: tuple[time, ...]

    def walls(self, since: datetime) -> Iterator[datetime]:
        """The times from a naive one on, this included, in order; they end some years later."""
        begin = max(since.date(), self.since)
        for period in self._periods(begin):
            days = _days(self.unit, period)
            for day in sorted({day for pick in self.picks for day in pick(days)}):
                if day >= begin:
                    walls = (datetime.combine(day, one) for one in self.times)
                    yield from (wall for wall in walls if wall >= since)

    def _periods(self, begin: date) -> Iterator[date]:
        """The first days of the periods that count, from the one that a day is in on."""
        at = _passed(self.unit, self.since, begin) // self.every * self.every
        while True:
            try:
                first = _first(self.unit, self.since, at)
            except (OverflowError, ValueError):
                return  # the calendar of this language ends
            if first.year > begin.year + _YEARS:
                return
            yield first
            at += self.every


def read_recurrence(
    since: date, unit: Unit, every: int, days: Sequence[str], times: Sequence[str]
) -> Recurrence:
    """Read what days are meant; none: the one that ``since`` is of its period.

    Args:
        since: The first day.
        unit: What a period is.
        every: Of so many periods the first; positive.
        days: As :data:`_FOR` says, in small letters.
        times: As ``HH:MM`` or ``HH:MM:SS``.

    Raises:
        RecurrenceInvalidError: Those are no days of such a period, or there never is such a day.
    """
    found = Recurrence(
        since,
        unit,
        every,
        tuple(_read(unit, one) for one in days) or (_like(unit, since),),
        tuple(sorted({time.fromisoformat(one) for one in times})),
    )
    if next(found.walls(datetime.combine(since, time.min)), None) is None:
        raise RecurrenceInvalidError(f"Within {_YEARS} years there is no such day")
    return found


def _read(unit: Unit, text: str) -> Pick:
    if unit == "week" and (text in _WEEKDAYS or text == "workday"):
        return _nth(text, None)
    if unit == "month":
        if _OF_MONTH.fullmatch(text):
            return _at(int(text))
        match = _NTH.fullmatch(text)
        if match is not None:
            return _nth(match[2], None if match[1] is None else int(match[1]))
    if unit == "year":
        match = _OF_YEAR.fullmatch(text)
        # In a leap year, which has all days that any year has.
        if match is not None and _is_day(int(match[1]), int(match[2])):
            return _on(int(match[1]), int(match[2]))
    raise RecurrenceInvalidError(f"{_FOR[unit]}, not {text}")


def _like(unit: Unit, since: date) -> Pick:
    if unit == "day":
        return list
    if unit == "week":
        return _nth(_WEEKDAYS[since.weekday()], None)
    return _at(since.day) if unit == "month" else _on(since.month, since.day)


def _at(place: int) -> Pick:
    """The so-many-th day, from the end if negative."""

    def pick(days: Sequence[date]) -> Sequence[date]:
        return _place(days, place)

    return pick


def _nth(name: str, place: int | None) -> Pick:
    """The days of a name, or the so-many-th of them."""
    wanted = range(_WORKDAYS) if name == "workday" else (_WEEKDAYS.index(name),)

    def pick(days: Sequence[date]) -> Sequence[date]:
        some = [day for day in days if day.weekday() in wanted]
        return some if place is None else _place(some, place)

    return pick


def _on(month: int, day: int) -> Pick:
    def pick(days: Sequence[date]) -> Sequence[date]:
        return [one for one in days if (one.month, one.day) == (month, day)]

    return pick


def _place(days: Sequence[date], place: int) -> Sequence[date]:
    at = place - 1 if place > 0 else len(days) + place
    return days[at : at + 1] if at >= 0 else ()


def _is_day(month: int, day: int) -> bool:
    leap = 2000
    return 1 <= month <= _MONTHS and 1 <= day <= monthrange(leap, month)[1]


def _passed(unit: Unit, since: date, day: date) -> int:
    """How many periods lie between those that two days are in."""
    if unit == "day":
        return (day - since).days
    if unit == "week":
        return (day - timedelta(days=day.weekday()) - _first(unit, since, 0)).days // 7
    years = day.year - since.year
    return years if unit == "year" else years * _MONTHS + day.month - since.month


def _first(unit: Unit, since: date, passed: int) -> date:
    """The first day of the period that is so many after the one that a day is in."""
    if unit == "day":
        return since + timedelta(days=passed)
    if unit == "week":
        return since + timedelta(days=7 * passed - since.weekday())
    if unit == "year":
        return date(since.year + passed, 1, 1)
    months = since.year * _MONTHS + since.month - 1 + passed
    return date(months // _MONTHS, months % _MONTHS + 1, 1)


def _days(unit: Unit, first: date) -> Sequence[date]:
    """All days of a period."""
    if unit == "month":
        count = monthrange(first.year, first.month)[1]
    elif unit == "year":
        count = (date(first.year, 12, 31) - first).days + 1
    else:
        count = 7 if unit == "week" else 1
    return [first + timedelta(days=at) for at in range(count)]
