"""Crontab's times: as written, and held to a second computation that only looks at instants."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from backend.kit.cron import (
    CronInvalidError,
    Repeated,
    Skipped,
    firings,
    preview,
    read_cron,
)

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


def counted_by_instants(
    text: str, zone: ZoneInfo, begin: datetime, end: datetime
) -> Iterator[datetime]:
    """Each minute's instant whose clock shows a time of the expression: the second computation.

    It knows no gap and no fold: so it is of ``skip`` and ``both``.
    """
    minute, hour, day, month, weekday = text.split()

    def fits(field: str, value: int) -> bool:
        return field == "*" or value in {int(one) for one in field.split(",")}

    at = begin
    while at < end:
        local = at.astimezone(zone)
        of_week = fits(weekday, local.isoweekday() % 7)
        of_month = fits(day, local.day)
        on = of_month or of_week if "*" not in {day, weekday} else of_month and of_week
        if (
            on
            and fits(minute, local.minute)
            and fits(hour, local.hour)
            and fits(month, local.month)
        ):
            yield at
        at += timedelta(minutes=1)


@pytest.mark.slow
def test_agrees_with_a_second_computation_in_zones_all_over() -> None:
    rng = random.Random(7)
    zones = rng.sample(sorted(available_timezones()), 25)
    for name in zones:
        zone = ZoneInfo(name)
        begin = datetime(2026, rng.choice([3, 4, 9, 10, 11]), 1, tzinfo=UTC)
        end = begin + timedelta(days=32)
        for text in ("30 2 * * *", "0,30 1,2,3 * * *", "15 0 13 * 5", "59 23 1,31 * *"):
            found = firings(
                read_cron(text), zone, begin - timedelta(minutes=1), skipped="skip", repeated="both"
            )
            ours = []
            for one in found:
                if one >= end:
                    break
                ours.append(one)
            assert ours == list(counted_by_instants(text, zone, begin, end)), (name, text)
