"""What recurs by a zone's clocks happens once on each of its days."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from backend.kit.wall_clock import (
    Stretch,
    WeeklyWindow,
    ZoneUnknownError,
    instant_of,
    wall_of,
    zone_named,
)

PARIS = ZoneInfo("Europe/Paris")
EVERY_DAY = frozenset(range(7))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(start: str, end: str, days=EVERY_DAY, zone=PARIS) -> WeeklyWindow:
    return WeeklyWindow(frozenset(days), time.fromisoformat(start), time.fromisoformat(end), zone)


@pytest.mark.parametrize(
    ("zone", "wall", "instant"),
    [
        ("Europe/Paris", "2026-07-01 09:00", "2026-07-01 07:00"),
        # Skipped: by the offset before.
        ("Europe/Paris", "2026-03-29 02:30", "2026-03-29 01:30"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:45"),
        # Twice: the first.
        ("Europe/Paris", "2026-10-25 02:30", "2026-10-25 00:30"),
        # A whole day that was skipped.
        ("Pacific/Apia", "2011-12-30 09:00", "2011-12-30 19:00"),
    ],
)
def test_a_wall_time_is_one_instant(zone: str, wall: str, instant: str) -> None:
    assert instant_of(datetime.fromisoformat(wall), ZoneInfo(zone)) == utc(instant)


def test_the_second_time_is_shown_as_the_first() -> None:
    shown = {wall_of(utc(f"2026-10-25 0{hour}:30"), PARIS) for hour in (0, 1)}
    assert shown == {datetime.fromisoformat("2026-10-25 02:30")}


@pytest.mark.parametrize("name", ["Mars/Base", "", "../etc/passwd", "Europe", "Europe/Paris\x00"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ZoneUnknownError):
        zone_named(name)


@pytest.mark.parametrize(
    ("which", "day", "begin", "end"),
    [
        # Over midnight, and over a change of clocks: an hour less, an hour more.
        (window("22:00", "06:00"), "2026-06-01", "2026-06-01 20:00", "2026-06-02 04:00"),
        (window("22:00", "06:00"), "2026-03-28", "2026-03-28 21:00", "2026-03-29 04:00"),
        (window("22:00", "06:00"), "2026-10-24", "2026-10-24 20:00", "2026-10-25 05:00"),
        # In the hour that is skipped, and from there on.
        (window("02:15", "02:45"), "2026-03-29", "2026-03-29 01:15", "2026-03-29 01:45"),
        (window("02:45", "03:10"), "2026-03-29", "2026-03-29 01:45", "2026-03-29 02:10"),
        # In the hour that is there twice: once.
        (window("02:15", "02:45"), "2026-10-25", "2026-10-25 00:15", "2026-10-25 00:45"),
        # A whole day of 23 hours.
        (window("00:00", "00:00"), "2026-03-29", "2026-03-28 23:00", "2026-03-29 22:00"),
    ],
)
def test_a_window_is_there_once_a_day(which: WeeklyWindow, day: str, begin: str, end: str) -> None:
    assert which.on(date.fromisoformat(day)) == Stretch(utc(begin), utc(end))


def test_a_window_keeps_to_its_days() -> None:
    weekend = window("22:00", "06:00", days=[5])
    assert weekend.on(date(2026, 6, 5)) is None
    assert weekend.holds(utc("2026-06-07 03:59")), "begun on Saturday"
    assert not weekend.holds(utc("2026-06-07 04:00")), "the end is not in it"
    assert not weekend.holds(utc("2026-06-06 03:00"))
    some = Stretch(utc("2026-06-06 23:00"), utc("2026-06-20 21:00"))
    assert list(weekend.stretches(some)) == [
        Stretch(utc("2026-06-06 23:00"), utc("2026-06-07 04:00")),
        Stretch(utc("2026-06-13 20:00"), utc("2026-06-14 04:00")),
        Stretch(utc("2026-06-20 20:00"), utc("2026-06-20 21:00")),
    ]
    assert list(weekend.stretches(Stretch(some.begin, some.begin))) == []
