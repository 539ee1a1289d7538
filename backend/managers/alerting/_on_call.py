"""Who is on call: people take turns, layers lie over one another, and overrides over them.

Turns of days and weeks change hands by the clocks of a zone, so that nine o'clock stays nine
o'clock when they change; turns of hours are as long as they say. Each begins where the one before
ends: whatever clocks do, every instant is somebody's once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from backend.kit.wall_clock import Stretch, WeeklyWindow, instant_of, wall_of

Unit = Literal["hours", "days", "weeks"]
_LENGTHS: Final = {"days": timedelta(days=1), "weeks": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class Shift:
    """Somebody's time; ``person`` is None where nobody is there."""

    begin: datetime
    end: datetime
    person: str | None


@dataclass(frozen=True, slots=True)
class Layer:
    """People who take turns.

    Attributes:
        people: In their order.
        start: When the first one's first turn begins, as clocks show it; nobody is there before.
        zone: Whose clocks.
        every: How many units a turn lasts.
        unit: Of these.
        windows: When of the week anybody is there at all; none: always.
    """

    people: Sequence[str]
    start: datetime
    zone: ZoneInfo
    every: int
    unit: Unit
    windows: Sequence[WeeklyWindow] = ()

    def turn_begins(self, number: int) -> datetime:
        """When a turn begins, counted from 0."""
        if self.unit == "hours":
            return instant_of(self.start, self.zone) + number * timedelta(hours=self.every)
        return instant_of(self.start + number * self.every * _LENGTHS[self.unit], self.zone)

    def turn_at(self, instant: datetime) -> int:
        """The turn that an instant lies in; below 0 before the first."""
        if self.unit == "hours":
            gone = instant - instant_of(self.start, self.zone)
            return gone // timedelta(hours=self.every)
        gone = wall_of(instant, self.zone) - self.start
        number = gone // (self.every * _LENGTHS[self.unit])
        # Clocks that were set back or forth show another time than has gone by.
        while self.turn_begins(number) > instant:
            number -= 1
        while self.turn_begins(number + 1) <= instant:
            number += 1
        return number

    def person_at(self, instant: datetime) -> str | None:
        """Who is there at an instant."""
        number = self.turn_at(instant)
        if number < 0 or not self.people:
            return None
        if self.windows and not any(window.holds(instant) for window in self.windows):
            return None
        return self.people[number % len(self.people)]

    def changes(self, within: Stretch) -> Iterator[datetime]:
        """Instants in a stretch at which somebody else may be there than before."""
        number = max(self.turn_at(within.begin) + 1, 0)
        while (begins := self.turn_begins(number)) < within.end:
            yield begins
            number += 1
        for window in self.windows:
            for part in window.stretches(within):
                yield part.begin
                yield part.end


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody stands in for whoever it would be."""

    stretch: Stretch
    person: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """Who is on call.

    Attributes:
        layers: The last one that has somebody counts.
        overrides: Before any layer; of two the one that was made later.
    """

    layers: Sequence[Layer]
    overrides: Sequence[Override] = ()

    def person_at(self, instant: datetime) -> str | None:
        """Who is on call at an instant; None: nobody."""
        for override in reversed(self.overrides):
            if override.stretch.holds(instant):
                return override.person
        for layer in reversed(self.layers):
            person = layer.person_at(instant)
            if person is not None:
                return person
        return None

    def shifts(self, within: Stretch) -> Sequence[Shift]:
        """Whose time it is in all of a stretch, without a gap: nobody's is told as well."""
        points = {within.begin}
        for layer in self.layers:
            points.update(layer.changes(within))
        for override in self.overrides:
            points.update((override.stretch.begin, override.stretch.end))
        begins = sorted(point for point in points if within.begin <= point < within.end)
        shifts: list[Shift] = []
        for begin, end in zip(begins, [*begins[1:], within.end], strict=True):
            person = self.person_at(begin)
            if shifts and shifts[-1].person == person:
                shifts[-1] = Shift(shifts[-1].begin, end, person)
            else:
                shifts.append(Shift(begin, end, person))
        return shifts
