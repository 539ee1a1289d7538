"""Crontab's times: as written, and held to a second computation that only looks at instants."""

import calendar
import logging
import random
import sys
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import get_args
from zoneinfo import ZoneInfo, available_timezones

import pytest
from croniter import croniter

from backend.kit.cron import (
    CronInvalidError,
    Repeated,
    Skipped,
    firings,
    preview,
    read_cron,
)
from tests.support.asking import ASK_ALL

logger = logging.getLogger(__name__)
BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)


def shown(
    text: str,
    after: datetime,
    count: int = 3,
    *,
    skipped: Skipped = "shift",
    repeated: Repeated = "first",
    zone: ZoneInfo = BERLIN,
) -> list[str]:
    found = preview(read_cron(text), zone, after, skipped=skipped, repeated=repeated, count=count)
    return [one.astimezone(zone).strftime("%a %d.%m. %H:%M:%S %z") for one in found]


class TestRead:
    @pytest.mark.parametrize(
        ("text", "first"),
        [
            ("0 9 * * 1", "Mon 30.03. 09:00:00 +0200"),
            ("0 9 * * 0", "Sun 29.03. 09:00:00 +0200"),
            ("0 9 * * 7", "Sun 29.03. 09:00:00 +0200"),
            ("0 9 * * mon-fri", "Mon 30.03. 09:00:00 +0200"),
            ("0 9 * * FRI", "Fri 03.04. 09:00:00 +0200"),
            ("0 9 * * 5-7", "Sun 29.03. 09:00:00 +0200"),
            ("*/20 * * * *", "Sat 28.03. 13:20:00 +0100"),
            ("5/20 * * * *", "Sat 28.03. 13:05:00 +0100"),
            ("0 0 13 * fri", "Fri 03.04. 00:00:00 +0200"),
            ("0 0 1 * mon", "Mon 30.03. 00:00:00 +0200"),
            ("0 0 */10 * mon", "Mon 11.05. 00:00:00 +0200"),
            ("30 0 9 * * *", "Sun 29.03. 09:00:30 +0200"),
            ("@daily", "Sun 29.03. 00:00:00 +0100"),
            ("@hourly", "Sat 28.03. 14:00:00 +0100"),
            ("0 12 1,15 jan,jul *", "Wed 01.07. 12:00:00 +0200"),
        ],
    )
    def test_as_crontab_means_it(self, text: str, first: str) -> None:
        assert shown(text, SPRING, 1) == [first]

    def test_the_29th_of_february_comes(self) -> None:
        cron = read_cron("0 0 29 2 *")
        after = datetime(2097, 1, 1, tzinfo=UTC)
        (found,) = preview(cron, BERLIN, after, skipped="skip", repeated="first", count=1)
        assert found.astimezone(BERLIN).date().isoformat() == "2104-02-29"

    @pytest.mark.parametrize(
        "text",
        [
            *("", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *"),
            *("* * 32 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *"),
            *("*-5 * * * *", "1,,2 * * * *", "-1 * * * *", "0 0 30 2 *", "0 0 31 4,6 *", "@often"),
            *("1.5 * * * *", "\u0661 * * * *", "* * * mon *"),
        ],
    )
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(CronInvalidError):
            read_cron(text)


class TestChangesOfClocks:
    @pytest.mark.parametrize(
        ("skipped", "expected"),
        [
            ("skip", ["Mon 30.03. 02:30:00 +0200"]),
            ("shift", ["Sun 29.03. 03:30:00 +0200"]),
            ("gap_end", ["Sun 29.03. 03:00:00 +0200"]),
        ],
    )
    def test_a_time_that_is_skipped(self, skipped: Skipped, expected: list[str]) -> None:
        assert shown("30 2 * * *", SPRING, 1, skipped=skipped) == expected

    @pytest.mark.parametrize(
        ("repeated", "expected"),
        [
            ("first", ["Sun 25.10. 02:30:00 +0200", "Mon 26.10. 02:30:00 +0100"]),
            ("last", ["Sun 25.10. 02:30:00 +0100", "Mon 26.10. 02:30:00 +0100"]),
            ("both", ["Sun 25.10. 02:30:00 +0200", "Sun 25.10. 02:30:00 +0100"]),
        ],
    )
    def test_a_time_that_is_shown_twice(self, repeated: Repeated, expected: list[str]) -> None:
        assert shown("30 2 * * *", AUTUMN, 2, repeated=repeated) == expected

    def test_what_is_shifted_meets_what_is_there_once(self) -> None:
        after = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
        found = shown("0,45 2,3 * * *", after, 3)
        assert found == [
            "Sun 29.03. 03:00:00 +0200",
            "Sun 29.03. 03:45:00 +0200",
            "Mon 30.03. 02:00:00 +0200",
        ]

    def test_every_quarter_goes_on_through_both(self) -> None:
        for day in (SPRING, AUTUMN):
            found = list(
                islice(
                    firings(
                        read_cron("*/15 * * * *"), BERLIN, day, skipped="shift", repeated="both"
                    ),
                    96,
                )
            )
            steps = {later - first for first, later in pairwise(found)}
            assert steps == {timedelta(minutes=15)}


NAMES_OF_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LEAP = "0 3 29 2 *"
EXPRESSIONS = (
    # Whoever meets a change of the clocks, at the times of the day at which there are any.
    "30 2 * * *",
    "0,30 0-4,23 * * *",
    "*/30 * * 3,9-11 *",
    "7/25 */3 * 3,4,9-11 *",
    "0 0 * * *",
    "59 23 1,31 * *",
    LEAP,
    # Both days are given: either is enough. One begins with a star: both have to fit.
    "15 0 13 * 5",
    "45 1 1-7 * sun",
    "30 2 */2 * 6-7",
    "0 1 20-31/5 * */3",
    "0 9 * * mon-fri",
    # With seconds.
    "30 0 2 * * *",
    "*/15 59 1,2 * * *",
    "59 59 23 * * sun",
    "1,31 30 2 25-31 mar,oct sat",
)
SPANS = (2026, 2010, 2022)
"""Two years from each: those to come; those in which Samoa left a day out and Russia, Egypt and
Morocco changed their minds; and those in which Casey Station went three hours back."""
DAY = 86_400


@dataclass(frozen=True)
class Clock:
    """A zone as stretches in each of which its clocks are as far ahead, all in seconds."""

    begins: tuple[int, ...]
    ahead: tuple[int, ...]

    @classmethod
    def of(cls, zone: ZoneInfo, begin: int, end: int) -> "Clock":
        """Look at it once a day, and between two that differ where it changes."""

        def ahead_at(at: int) -> int:
            offset = datetime.fromtimestamp(at, zone).utcoffset()
            assert offset is not None
            return offset // timedelta(seconds=1)

        begins, ahead = [begin], [ahead_at(begin)]
        for day in range(begin, end, DAY):
            if ahead_at(day + DAY) != ahead[-1]:
                instants = range(day, day + DAY)
                later = bisect_left(instants, True, key=lambda at: ahead_at(at) != ahead[-1])
                begins.append(day + later)
                ahead.append(ahead_at(day + later))
        return cls(tuple(begins), tuple(ahead))

    def shown(self, wall: int, skipped: Skipped, repeated: Repeated) -> list[int]:
        """The instants that are meant by what the clock shows."""
        ends = (*self.begins[1:], sys.maxsize)
        stretches = list(zip(self.begins, ends, self.ahead, strict=True))
        at = [wall - ahead for begin, end, ahead in stretches if begin <= wall - ahead < end]
        if at:
            return {"first": at[:1], "last": at[-1:], "both": at}[repeated]
        for (_, end, before), (_, _, behind) in pairwise(stretches):
            if wall - before >= end > wall - behind:
                return {"skip": [], "shift": [wall - before], "gap_end": [end]}[skipped]
        raise AssertionError(wall)


def values(field: str, low: int, high: int, names: Sequence[str] = ()) -> set[int]:
    """Those of a field: each number is asked of each part."""

    def number(text: str) -> int:
        return names.index(text) + low if text in names else int(text)

    def fits(part: str, value: int) -> bool:
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin = low if first == "*" else number(first)
        end = number(last) if last else high if step or first == "*" else begin
        return begin <= value <= end and (value - begin) % int(step or 1) == 0

    return {n for n in range(low, high + 1) if any(fits(one, n) for one in field.split(","))}


@dataclass(frozen=True)
class Second:
    """The second computation: what clocks show day by day, and each read by :class:`Clock`."""

    text: str
    clock: Clock

    def instants(self, begin: int, end: int, skipped: Skipped, repeated: Repeated) -> list[int]:
        """All from one up to another, sorted."""
        fields = self.text.split()
        second, minute, hour, day, month, weekday = ["0"] * (6 - len(fields)) + fields
        seconds, minutes, hours = values(second, 0, 59), values(minute, 0, 59), values(hour, 0, 23)
        days, weekdays = values(day, 1, 31), values(weekday, 0, 7, NAMES_OF_DAYS)
        names = [calendar.month_abbr[n].lower() for n in range(1, 13)]
        months = values(month, 1, 12, names)
        one_is_enough = day[0] != "*" and weekday[0] != "*"
        times = [3600 * h + 60 * m + s for h in hours for m in minutes for s in seconds]
        found: set[int] = set()
        for midnight in range(begin - 3 * DAY, end + 3 * DAY, DAY):
            date = datetime.fromtimestamp(midnight, UTC)
            fit = (date.day in days, bool({date.isoweekday(), date.isoweekday() % 7} & weekdays))
            if date.month in months and (any(fit) if one_is_enough else all(fit)):
                for time in times:
                    found.update(self.clock.shown(midnight + time, skipped, repeated))
        return sorted(at for at in found if begin <= at < end)


def clocks(year: int) -> tuple[int, int, dict[Clock, list[str]]]:
    """From when, until when, and the zones of each clock in two years: most are as another."""
    begin, end = (int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) for y in (year, year + 2))
    found: dict[Clock, list[str]] = {}
    for name in sorted(available_timezones()):
        clock = Clock.of(ZoneInfo(name), begin - 9 * DAY, end + 9 * DAY)
        found.setdefault(clock, []).append(name)
    return begin, end, found


def ours(
    text: str, zone: ZoneInfo, begin: int, end: int, skipped: Skipped, repeated: Repeated
) -> list[int]:
    after = datetime.fromtimestamp(begin - 1, UTC)
    found = firings(read_cron(text), zone, after, skipped=skipped, repeated=repeated)
    until = datetime.fromtimestamp(end, UTC)
    return [int(at.timestamp()) for at in takewhile(lambda at: at < until, found)]


@pytest.mark.slow
@pytest.mark.timeout(7200 if ASK_ALL else 300)
@pytest.mark.parametrize("year", SPANS)
def test_agrees_with_a_second_computation_in_all_zones(year: int) -> None:
    """Two years of every zone there is: each policy and expression, or some of them of each."""
    begin, end, found = clocks(year)
    assert {name for names in found.values() for name in names} == available_timezones()
    rng = random.Random(year)
    policies = [(one, other) for one in get_args(Skipped) for other in get_args(Repeated)]
    cases = [(text, policy) for text in EXPRESSIONS for policy in policies]
    compared = tried = 0
    for clock, names in found.items():
        zone = ZoneInfo(rng.choice(names))
        if len(clock.begins) == 1:
            # No policy has anything to say.
            asked = [(text, rng.choice(policies)) for text in EXPRESSIONS]
            asked = asked if ASK_ALL else rng.sample(asked, 1)
        else:
            asked = cases if ASK_ALL else rng.sample(cases, 2 if year == SPANS[0] else 1)
        for text, (skipped, repeated) in asked:
            expected = Second(text, clock).instants(begin, end, skipped, repeated)
            got = ours(text, zone, begin, end, skipped, repeated)
            if got != expected:
                odd = min(set(got) ^ set(expected))
                at = datetime.fromtimestamp(odd, zone).isoformat()
                pytest.fail(f"{zone} {text!r} {skipped} {repeated}: {at}, {odd in got=}")
            tried += 1
            compared += len(got)
    logger.info("%d: %d clocks, %d cases, %d instants", year, len(found), tried, compared)
    assert compared > 10_000


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_agrees_with_a_third_one_where_no_clock_changes(text: str) -> None:
    """With croniter, whose way with changes of clocks is another one."""
    begin = datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
    seconds_first = len(text.split()) == 6
    # What it calls a bug is what crontab does: a day that begins with a star has to fit, too.
    third = croniter(text, begin, second_at_beginning=seconds_first, implement_cron_bug=True)
    count = 4 if text == LEAP else 200
    expected = [third.get_next(datetime) for _ in range(count)]
    found = firings(read_cron(text), ZoneInfo("UTC"), begin, skipped="skip", repeated="both")
    assert list(islice(found, count)) == expected
