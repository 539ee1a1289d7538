"""Weekly windows as they go over the wire."""

from collections.abc import Sequence
from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from backend.core.errors import placed
from backend.http.schemas import Input
from backend.kit.wall_clock import WeeklyWindow, ZoneUnknownError, zone_named
from backend.managers.alerting._windows import DAYS, MAX_WINDOWS
from backend.managers.alerting.errors import TimesInvalidError

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
TimeOfDay = Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]


Zone = Annotated[
    str,
    Field(
        max_length=64,
        pattern="^[A-Za-z0-9_+/-]+$",
        examples=["Europe/Paris"],
        description="Of the IANA's database",
    ),
]


def zone_of(name: str) -> ZoneInfo:
    """A zone by its name.

    Raises:
        TimesInvalidError: There is none.
    """
    try:
        return zone_named(name)
    except ZoneUnknownError:
        raise TimesInvalidError("There is no such time zone").at("zone") from None


class WeeklyWindowModel(Input):
    """A stretch of time on some days of each week, by the clocks of a zone."""

    days: Annotated[list[Day], Field(min_length=1, max_length=7)] = Field(
        examples=[["saturday"]], description="On which it begins"
    )
    from_: TimeOfDay = Field(alias="from")
    until: TimeOfDay = Field(
        description="The day after, if it is not later than `from`; the same time is a whole day"
    )
    zone: Zone

    def window(self) -> WeeklyWindow:
        """As the rules have it.

        Raises:
            TimesInvalidError: There is no such zone.
        """
        return WeeklyWindow(
            frozenset(map(DAYS.index, self.days)),
            time.fromisoformat(self.from_),
            time.fromisoformat(self.until),
            zone_of(self.zone),
        )


Windows = Annotated[list[WeeklyWindowModel], Field(max_length=MAX_WINDOWS)]


def windows_of(given: Sequence[WeeklyWindowModel]) -> Sequence[WeeklyWindow]:
    """The field ``windows`` as the rules have it.

    Raises:
        TimesInvalidError: One has no zone that there is.
    """
    found: list[WeeklyWindow] = []
    for number, one in enumerate(given):
        with placed("windows", number):
            found.append(one.window())
    return found
