"""Whether an alert fires: what was seen, and for how long.

An alert waits until its condition has held as long as its rule says, fires, and is over when the
condition has been gone as long as the rule says. What was not seen is neither: then the rule says
whether the alert stays as it is, fires, or is over.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal

NEVER: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""The end of time: when what is not due is due."""

NoData = Literal["keep", "fire", "resolve"]


class Seen(Enum):
    """What a look found."""

    HOLDS = "holds"
    GONE = "gone"
    NOTHING = "nothing"
    """It could not be measured."""


class Turn(Enum):
    """What became of an alert by a look."""

    NONE = "none"
    BEGAN = "began"
    """It waits now for having held long enough."""
    FIRED = "fired"
    ENDED = "ended"
    """It was over before it fired: nobody was told of it."""
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a condition has to hold before it fires, and to be gone before it is over."""

    hold: timedelta = timedelta(0)
    clear_hold: timedelta = timedelta(0)
    no_data: NoData = "keep"


@dataclass(frozen=True, slots=True)
class Standing:
    """An alert that is not over.

    Attributes:
        since: The first look at which the condition held.
        fired_at: When it fired; None: it waits.
        clear_since: The first look since it last held at which the condition was gone.
    """

    since: datetime
    fired_at: datetime | None = None
    clear_since: datetime | None = None


def look(
    before: Standing | None, seen: Seen, timing: Timing, now: datetime
) -> tuple[Standing | None, Turn]:
    """How an alert stands after a look; None: there is none, or not any more.

    A look that was late never lets anything fire early: only looks at which the condition held
    begin and end the time that it has to hold.
    """
    if seen is Seen.NOTHING and timing.no_data != "keep":
        seen = Seen.HOLDS if timing.no_data == "fire" else Seen.GONE
    if seen is Seen.NOTHING:
        return before, Turn.NONE
    if seen is Seen.HOLDS:
        return _held(before, timing, now)
    if before is None:
        return None, Turn.NONE
    if before.fired_at is None:
        return None, Turn.ENDED
    clear_since = before.clear_since or now
    if now - clear_since >= timing.clear_hold:
        return None, Turn.RESOLVED
    return replace(before, clear_since=clear_since), Turn.NONE


def _held(before: Standing | None, timing: Timing, now: datetime) -> tuple[Standing, Turn]:
    standing = Standing(now) if before is None else replace(before, clear_since=None)
    if standing.fired_at is not None:
        return standing, Turn.NONE
    if now - standing.since >= timing.hold:
        return replace(standing, fired_at=now), Turn.FIRED
    return standing, Turn.BEGAN if before is None else Turn.NONE
