"""Shifts, worked out in one pass over what changes, and who is there at each instant, agree."""

import random
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from backend.kit.wall_clock import Stretch, WeeklyWindow
from backend.managers.alerting._on_call import Layer, Override, Schedule

ZONES = tuple(
    map(ZoneInfo, ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"))
)
LAST = timedelta(microseconds=1)


def window(rng: random.Random) -> WeeklyWindow:
    days = frozenset(rng.sample(range(7), rng.randint(1, 7)))
    start = time(rng.randrange(24), rng.choice([0, 30]))
    return WeeklyWindow(days, start, time(rng.randrange(24)), rng.choice(ZONES))


def layer(rng: random.Random) -> Layer:
    return Layer(
        people=("ada", "bob", "cyd")[: rng.randint(0, 3)],
        start=datetime.fromisoformat(f"2026-{rng.randint(1, 12):02}-03 {rng.randrange(24):02}:30"),
        zone=rng.choice(ZONES),
        every=rng.randint(1, 9),
        unit=rng.choice(["hours", "days", "weeks"]),
        windows=[window(rng) for _ in range(rng.randint(0, 2))],
    )


def override(rng: random.Random, around: datetime) -> Override:
    begin = around + timedelta(hours=rng.randint(-50, 500))
    return Override(Stretch(begin, begin + timedelta(hours=rng.randint(1, 60))), rng.choice("xyz"))


@pytest.mark.parametrize("seed", range(40))
def test_shifts_say_who_is_there_at_each_instant(seed: int) -> None:
    rng = random.Random(seed)
    begin = datetime(2026, rng.randint(1, 12), rng.randint(1, 28), rng.randrange(24), tzinfo=UTC)
    within = Stretch(begin, begin + timedelta(days=rng.randint(1, 20)))
    schedule = Schedule(
        [layer(rng) for _ in range(rng.randint(0, 3))],
        [override(rng, begin) for _ in range(rng.randint(0, 6))],
    )
    shifts = schedule.shifts(within)
    assert (shifts[0].begin, shifts[-1].end) == (within.begin, within.end)
    for one, following in pairwise(shifts):
        assert one.end == following.begin
        assert one.person != following.person
    for one in shifts:
        for instant in (
            one.begin,
            one.end - LAST,
            *(one.begin + (one.end - one.begin) * rng.random() for _ in range(5)),
        ):
            assert schedule.person_at(instant) == one.person
