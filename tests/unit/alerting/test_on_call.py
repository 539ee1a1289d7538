"""Who is on call, held against a second computation that steps through two years by the clock."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest

from backend.kit.wall_clock import Stretch, WeeklyWindow
from backend.managers.alerting._on_call import Layer, Override, Schedule, Shift

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
YEARS = Stretch(FIRST, FIRST + timedelta(days=730))
STEP = timedelta(minutes=15)
PEOPLE = ("ada", "bob", "cyd")
PARIS = ZoneInfo("Europe/Paris")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def layer(start: str = "2025-12-01 09:00", every: int = 1, unit="weeks", **more) -> Layer:
    given = {"people": PEOPLE, "zone": PARIS, **more}
    return Layer(start=datetime.fromisoformat(start), every=every, unit=unit, **given)


def minutes_of(at: datetime, zone: ZoneInfo) -> int:
    """How many minutes the zone's clocks are ahead."""
    return (at.astimezone(zone).utcoffset() or timedelta(0)) // timedelta(minutes=1)


def kinds_of_zones() -> list[tuple[str, np.ndarray]]:
    """One zone of all that agree for two years, and its minutes before UTC at each step."""
    steps = [FIRST + number * STEP for number in range((YEARS.end - FIRST) // STEP)]
    days = steps[::96]
    found: dict[bytes, tuple[str, np.ndarray]] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        daily = np.array([minutes_of(at, zone) for at in days])
        offsets = np.repeat(daily, 96)
        for day in np.flatnonzero(np.diff(daily)):
            # Within a day before a change it is looked at step by step.
            for number in range(day * 96, (day + 1) * 96):
                offsets[number] = minutes_of(steps[number], zone)
        found.setdefault(offsets.tobytes(), (name, offsets))
    return list(found.values())


def by_the_clock(offsets: np.ndarray, one: Layer) -> list[str | None]:
    """The latest time that clocks have shown so far says how many turns have begun."""
    minutes = np.arange(len(offsets)) * 15 + offsets
    start = (one.start - FIRST.replace(tzinfo=None)) // timedelta(minutes=1)
    length = one.every * {"days": 1440, "weeks": 10_080}[one.unit]
    turns = (np.maximum.accumulate(minutes) - start) // length
    return [one.people[turn % len(one.people)] if turn >= 0 else None for turn in turns]


@pytest.mark.slow
def test_turns_agree_with_the_clock_in_all_zones() -> None:
    zones = kinds_of_zones()
    assert len(zones) > 50
    for name, offsets in zones:
        # None of these hours is skipped anywhere in these years, where both are read alike.
        for start, every, unit in (
            ("2025-12-01 09:00", 1, "days"),
            ("2026-01-05 17:30", 1, "weeks"),
            ("2026-02-01 12:00", 3, "days"),
        ):
            one = layer(start, every, unit, zone=ZoneInfo(name))
            shifts = Schedule([one]).shifts(YEARS)
            assert [shift.begin for shift in shifts[1:]] == [shift.end for shift in shifts[:-1]]
            assert (shifts[0].begin, shifts[-1].end) == (YEARS.begin, YEARS.end)
            said: list[str | None] = []
            for shift in shifts:
                said += [shift.person] * ((shift.end - shift.begin) // STEP)
            assert said == by_the_clock(offsets, one), (name, start)


def test_a_turn_changes_hands_at_the_same_time_of_day() -> None:
    shifts = Schedule([layer(unit="days")]).shifts(Stretch(utc("2026-03-28"), utc("2026-03-31")))
    assert [shift.begin for shift in shifts[1:]] == [
        utc("2026-03-28 08:00"), utc("2026-03-29 07:00"), utc("2026-03-30 07:00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("day", "change"),
    # Half past two is skipped, is there, and is there twice.
    [("2026-03-29", "01:30"), ("2026-06-01", "00:30"), ("2026-10-25", "00:30")],
)
def test_a_time_that_is_skipped_or_there_twice_is_one(day: str, change: str) -> None:
    at = utc(f"{day} {change}")
    one = layer("2026-01-01 02:30", unit="days")
    assert one.turn_at(at) == one.turn_at(at - timedelta(microseconds=1)) + 1
    assert one.turn_begins(one.turn_at(at)) == at


def test_turns_of_hours_are_as_long_as_they_say() -> None:
    one = layer("2026-01-01 00:00", every=6, unit="hours")
    over = Stretch(utc("2026-03-28 23:00"), utc("2026-03-30 23:00"))
    assert {shift.end - shift.begin for shift in Schedule([one]).shifts(over)} == {
        timedelta(hours=6)
    }


def test_nobody_is_there_before_the_first_turn_or_without_people() -> None:
    early = utc("2025-12-01 07:59:59.999999")
    assert layer().person_at(early) is None
    assert layer().person_at(early + timedelta(microseconds=1)) == "ada"
    assert layer(people=()).person_at(YEARS.begin) is None
    assert Schedule([]).shifts(YEARS) == [Shift(YEARS.begin, YEARS.end, None)]


def test_layers_lie_over_one_another_and_overrides_over_them() -> None:
    night = WeeklyWindow(frozenset(range(7)), time(22), time(6), PARIS)
    nights = layer(people=("nil",), windows=(night,))
    away = Override(Stretch(utc("2026-06-02 03:00"), utc("2026-06-02 05:00")), "eve")
    late = Override(Stretch(utc("2026-06-02 04:30"), utc("2026-06-02 04:45")), "fay")
    found = Schedule([layer(), nights], [away, late]).shifts(
        Stretch(utc("2026-06-01 19:00"), utc("2026-06-02 21:00"))
    )
    assert [(shift.person, f"{shift.begin:%d %H:%M}") for shift in found] == [
        ("cyd", "01 19:00"), ("nil", "01 20:00"), ("eve", "02 03:00"), ("fay", "02 04:30"),
        ("eve", "02 04:45"), ("cyd", "02 05:00"), ("nil", "02 20:00"),
    ]  # fmt: skip
    assert found[-1].end == utc("2026-06-02 21:00")
