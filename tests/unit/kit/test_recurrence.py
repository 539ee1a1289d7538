"""Days counted from a first one, against dateutil's reading of RFC 5545."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule

from backend.kit.cron import firings
from backend.kit.recurrence import RecurrenceInvalidError, Unit, read_recurrence

NOON = ["12:00"]
FREQUENCIES = {"day": rrule.DAILY, "week": rrule.WEEKLY, "month": rrule.MONTHLY}
DAYS = {
    "mon": rrule.MO,
    "tue": rrule.TU,
    "wed": rrule.WE,
    "thu": rrule.TH,
    "fri": rrule.FR,
    "sat": rrule.SA,
    "sun": rrule.SU,
}
WORKDAYS = [rrule.MO, rrule.TU, rrule.WE, rrule.TH, rrule.FR]


def some(since: date, unit: Unit, days: Sequence[str] = (), every: int = 1) -> list[date]:
    """The first of its days."""
    found = read_recurrence(since, unit, every, days, NOON)
    return [wall.date() for wall in islice(found.walls(datetime.combine(since, time.min)), 40)]


def as_the_rfc_has_it(days: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A rule for each of the days: they are taken together, and not what all of them allow."""
    for one in days:
        nth = one.rstrip("abcdefghijklmnopqrstuvwxyz")
        name = one[len(nth) :]
        if name == "workday":
            yield {"byweekday": WORKDAYS, **({"bysetpos": int(nth)} if nth else {})}
        elif name:
            yield {"byweekday": DAYS[name](int(nth)) if nth else DAYS[name]}
        else:
            yield {"bymonthday": int(one)}


@pytest.mark.parametrize("since", [date(2026, 11, 29), date(2027, 12, 31), date(2024, 2, 29)])
@pytest.mark.parametrize("every", [1, 2, 3, 7, 12])
@pytest.mark.parametrize(
    ("unit", "days"),
    [
        ("day", ()),
        ("week", ("mon",)),
        ("week", ("mon", "sun", "wed")),
        ("week", ("workday",)),
        ("month", ("1",)),
        ("month", ("-1",)),
        ("month", ("30",)),
        ("month", ("-30", "1")),
        ("month", ("fri",)),
        ("month", ("1mon",)),
        ("month", ("-1fri", "2tue")),
        ("month", ("5sat",)),
        ("month", ("1workday",)),
        ("month", ("-1workday", "15")),
        ("month", ("workday",)),
    ],
)
def test_is_what_the_standards_rules_say(
    unit: Unit, days: Sequence[str], every: int, since: date
) -> None:
    rules = rrule.rruleset()
    for one in as_the_rfc_has_it(days) if days else [{}]:
        begin = datetime.combine(since, time(12))
        rules.rrule(rrule.rrule(FREQUENCIES[unit], begin, interval=every, count=40, **one))
    near = since.replace(year=since.year + 40, day=1)
    expected = [at.date() for at in islice(rules, 40) if at.date() < near]
    if expected:
        assert [day for day in some(since, unit, days, every) if day < near] == expected
    else:
        with pytest.raises(RecurrenceInvalidError, match="there is no such day"):
            some(since, unit, days, every)


def test_of_a_year_it_is_a_day_that_has_a_name() -> None:
    found = some(date(2026, 6, 1), "year", ["12-24", "02-29"])
    assert found[:4] == [
        date(2026, 12, 24),
        date(2027, 12, 24),
        date(2028, 2, 29),
        date(2028, 12, 24),
    ]


@pytest.mark.parametrize(
    ("unit", "second"),
    [
        ("day", date(2027, 2, 1)),
        ("week", date(2027, 2, 7)),
        ("month", date(2027, 3, 31)),
        ("year", date(2028, 1, 31)),
    ],
)
def test_without_days_it_is_the_one_that_the_first_is(unit: Unit, second: date) -> None:
    assert some(date(2027, 1, 31), unit)[:2] == [date(2027, 1, 31), second]


def test_begins_wherever_one_asks() -> None:
    """As if all before had been gone through."""
    found = read_recurrence(date(2020, 1, 15), "week", 3, ["tue", "sat"], ["06:30", "22:00"])
    all_of_them = list(islice(found.walls(datetime.combine(date(2020, 1, 1), time.min)), 400))
    for at in range(0, 390, 7):
        middle = all_of_them[at] + timedelta(seconds=1)
        assert next(found.walls(middle)) == all_of_them[at + 1]
        assert next(found.walls(all_of_them[at])) == all_of_them[at]


def test_its_instants_follow_the_clocks_of_a_zone() -> None:
    found = read_recurrence(date(2027, 3, 27), "day", 1, [], ["02:30"])
    paris = ZoneInfo("Europe/Paris")
    after = datetime(2027, 3, 26, tzinfo=UTC)
    shown = firings(found, paris, after, skipped="shift", repeated="first")
    assert [at.astimezone(paris).isoformat() for at in islice(shown, 3)] == [
        "2027-03-27T02:30:00+01:00",
        "2027-03-28T03:30:00+02:00",
        "2027-03-29T02:30:00+02:00",
    ]


@pytest.mark.parametrize(
    ("unit", "day"),
    [
        ("day", "mon"),
        ("week", "1"),
        ("week", "1mon"),
        ("month", "0"),
        ("month", "32"),
        ("month", "-0"),
        ("month", "0mon"),
        ("month", "monday"),
        ("month", "12-24"),
        ("year", "13-01"),
        ("year", "04-31"),
        ("year", "1"),
        ("year", "00-00"),
    ],
)
def test_what_is_no_day_of_such_a_period_is_refused(unit: Unit, day: str) -> None:
    with pytest.raises(RecurrenceInvalidError, match=f"not {day}$"):
        read_recurrence(date(2027, 1, 1), unit, 1, [day], NOON)


@pytest.mark.parametrize(
    ("since", "unit", "every", "day"),
    [
        (date(2027, 2, 1), "month", 12, "30"),
        (date(2027, 1, 1), "month", 1, "6mon"),
        (date(2027, 1, 1), "year", 2, "02-29"),
        (date(9999, 12, 31), "month", 1, "1"),
    ],
)
def test_what_never_is_is_refused(since: date, unit: Unit, every: int, day: str) -> None:
    with pytest.raises(RecurrenceInvalidError, match="there is no such day"):
        read_recurrence(since, unit, every, [day], NOON)


def test_ends_with_the_calendar() -> None:
    found = read_recurrence(date(9999, 12, 30), "day", 1, [], NOON)
    assert len(list(found.walls(datetime.combine(date(9999, 12, 1), time.min)))) == 2
