"""Weekly windows as they are kept: days by their names, times of day, and the zone's name."""

from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any, Final

from backend.kit.wall_clock import WeeklyWindow, zone_named

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_WINDOWS: Final = 7


def read_windows(written: Sequence[Mapping[str, Any]]) -> Sequence[WeeklyWindow]:
    """Windows of what :func:`write_windows` wrote."""
    return [
        WeeklyWindow(
            frozenset(map(DAYS.index, one["days"])),
            time.fromisoformat(one["from"]),
            time.fromisoformat(one["until"]),
            zone_named(one["zone"]),
        )
        for one in written
    ]


def write_windows(windows: Sequence[WeeklyWindow]) -> list[dict[str, Any]]:
    """Windows as the API and the tables have them."""
    return [
        {
            "days": [DAYS[day] for day in sorted(one.weekdays)],
            "from": f"{one.start:%H:%M}",
            "until": f"{one.end:%H:%M}",
            "zone": one.zone.key,
        }
        for one in windows
    ]
