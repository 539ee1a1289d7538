"""When a schedule is due: by crontab or by a calendar in a zone, each so many seconds, or once.

A timing is a value that is kept as JSON. It knows the first instant after another one, and nothing
of what becomes of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from backend.kit.cron import Repeated, Skipped, firings, read_cron
from backend.kit.recurrence import Recurrence, Unit, read_recurrence
from backend.kit.wall_clock import zone_named
from backend.managers.orchestrator.errors import JobScheduleInvalidError

MOST_SHOWN: Final = 100
LAST_YEAR: Final = 2999
"""Far from where the calendar of this language ends: what comes after it could not be counted."""

WallTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$")]
Day = Annotated[str, Meta(min_length=1, max_length=12)]


class CronTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cron"):
    """Crontab's times by the clocks of a zone."""

    expression: Annotated[str, Meta(min_length=1, max_length=200)]
    zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    skipped: Skipped = "shift"
    repeated: Repeated = "first"

    def __post_init__(self) -> None:
        """Refuse what is no expression, and what is no zone.

        Raises:
            ValueError: It is none.
        """
        read_cron(self.expression)
        zone_named(self.zone)

    def after(self, instant: datetime) -> Iterator[datetime]:
        """The instants after one."""
        return firings(
            read_cron(self.expression),
            zone_named(self.zone),
            instant,
            skipped=self.skipped,
            repeated=self.repeated,
        )


class CalendarTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="calendar"):
    """Times of some days of each so many days, weeks, months or years, by the clocks of a zone."""

    since: date
    times: Annotated[Sequence[WallTime], Meta(min_length=1, max_length=24)]
    unit: Unit = "day"
    every: Annotated[int, Meta(ge=1, le=1000)] = 1
    days: Annotated[Sequence[Day], Meta(max_length=31)] = ()
    zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    skipped: Skipped = "shift"
    repeated: Repeated = "first"

    def __post_init__(self) -> None:
        """Refuse what are no days of such a period, and what is no zone.

        Raises:
            ValueError: They are none.
        """
        self._read()
        zone_named(self.zone)

    def after(self, instant: datetime) -> Iterator[datetime]:
        """The instants after one."""
        zone = zone_named(self.zone)
        return firings(self._read(), zone, instant, skipped=self.skipped, repeated=self.repeated)

    def _read(self) -> Recurrence:
        return read_recurrence(self.since, self.unit, self.every, self.days, self.times)


class IntervalTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="interval"):
    """Each so many seconds, counted from ``since``, whatever clocks do."""

    seconds: Annotated[int, Meta(ge=10, le=366 * 86_400)]
    since: datetime

    def after(self, instant: datetime) -> Iterator[datetime]:
        """The instants after one."""
        step = timedelta(seconds=self.seconds)
        at = self.since.astimezone(UTC)
        if at <= instant:
            at += step * ((instant - at) // step + 1)
        while True:
            yield at
            at += step


class OnceTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="once"):
    """At one instant."""

    at: datetime

    def after(self, instant: datetime) -> Iterator[datetime]:
        """It, if it is after that one."""
        at = self.at.astimezone(UTC)
        if at > instant:
            yield at


Timing = CronTiming | CalendarTiming | IntervalTiming | OnceTiming


def read_timing(said: Mapping[str, Any]) -> Timing:
    """A timing as JSON has it.

    Raises:
        JobScheduleInvalidError: It is none; where and why.
    """
    try:
        found: Timing = msgspec.convert(said, Timing, strict=False)
    except msgspec.ValidationError as exc:
        raise JobScheduleInvalidError(str(exc)).at("timing") from None
    for name in ("since", "at"):
        moment = getattr(found, name, None)
        if isinstance(moment, date) and moment.year > LAST_YEAR:
            raise JobScheduleInvalidError(f"It is in the year {LAST_YEAR} at the latest").at(
                "timing", name
            )
        if isinstance(moment, datetime) and moment.tzinfo is None:
            raise JobScheduleInvalidError("A time without an offset is none").at("timing", name)
    return found


def next_of(timing: Timing, after: datetime, count: int) -> Sequence[datetime]:
    """The next so many instants."""
    return list(islice(timing.after(after), count))


def changes_of_clocks(zone: ZoneInfo, after: datetime, count: int) -> Sequence[datetime]:
    """When the zone's clocks are next put forward or back, to the minute; within three years."""
    found: list[datetime] = []
    at, step = after, timedelta(hours=12)
    offset = at.astimezone(zone).utcoffset()
    for _ in range(3 * 366 * 2):
        following = at + step
        if following.astimezone(zone).utcoffset() != offset:
            low, high = at, following
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                same = middle.astimezone(zone).utcoffset() == offset
                low, high = (middle, high) if same else (low, middle)
            moment = high.replace(second=0, microsecond=0)
            found.append(moment)
            offset = following.astimezone(zone).utcoffset()
            if len(found) == count:
                break
        at = following
    return found
