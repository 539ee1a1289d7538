"""Who is on call: people take turns, layers lie over one another, and overrides over them.

Turns of days and weeks change hands by the clocks of a zone, so that nine o'clock stays nine
o'clock when they change; turns of hours are as long as they say. Each begins where the one before
ends: whatever clocks do, every instant is somebody's once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from backend.kit.wall_clock import Stretch, WeeklyWindow, instant_of, wall_of

Unit = Literal["hours", "days", "weeks"]
Line = Sequence[tuple[datetime, str | None]]
"""Who is there from which instant on."""
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
        if self.windows and not any(window.holds(instant) for window in self.windows):
            return None
        return self._person_of(self.turn_at(instant))

    def line(self, within: Stretch) -> "Line":
        """Who is there from which instant on, in all of a stretch."""
        number = self.turn_at(within.begin)
        turns = [(within.begin, self._person_of(number))]
        number = max(number + 1, 0)
        while (begins := self.turn_begins(number)) < within.end:
            turns.append((begins, self._person_of(number)))
            number += 1
        if not self.windows:
            return turns
        covered = [part for window in self.windows for part in window.stretches(within)]
        is_open = _places(within, [(part, number) for number, part in enumerate(covered)])
        return [
            (begin, None if place is None else person)
            for begin, (person, place) in _together([turns, is_open])
        ]

    def _person_of(self, number: int) -> str | None:
        if number < 0 or not self.people:
            return None
        return self.people[number % len(self.people)]


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
        over = _places(within, [(one.stretch, place) for place, one in enumerate(self.overrides)])
        lines: list[Sequence[tuple[datetime, Any]]] = [over]
        lines += [layer.line(within) for layer in reversed(self.layers)]
        shifts: list[Shift] = []
        for begin, (place, *people) in _together(lines):
            person = next((one for one in people if one is not None), None)
            if place is not None:
                person = self.overrides[place].person
            if shifts and shifts[-1].person == person:
                continue
            if shifts:
                shifts[-1] = replace(shifts[-1], end=begin)
            shifts.append(Shift(begin, within.end, person))
        return shifts


def _places(
    within: Stretch, parts: Sequence[tuple[Stretch, int]]
) -> Sequence[tuple[datetime, Any]]:
    """The highest number of those that an instant lies in, from which instant on; None: of none."""
    events = [(within.begin, 0, False)]
    for stretch, number in parts:
        part = stretch.within(within)
        if part is not None:
            events += [(part.begin, number, True), (part.end, number, False)]
    events.sort(key=itemgetter(0))
    there: set[int] = set()
    line: list[tuple[datetime, int | None]] = []
    for begin, together in groupby(events, key=itemgetter(0)):
        for _, number, begins in together:
            if begins:
                there.add(number)
            else:
                there.discard(number)
        if begin < within.end:
            line.append((begin, max(there, default=None)))
    return line


def _together(
    lines: Sequence[Sequence[tuple[datetime, Any]]],
) -> Iterator[tuple[datetime, Sequence[Any]]]:
    """What several lines hold from each instant on at which one of them changes.

    All begin at the same instant, and hold what they say until they say something else.
    """
    places = [0] * len(lines)
    for begin in sorted({begin for line in lines for begin, _ in line}):
        for number, line in enumerate(lines):
            while places[number] + 1 < len(line) and line[places[number] + 1][0] <= begin:
                places[number] += 1
        yield begin, [line[place][1] for line, place in zip(lines, places, strict=True)]
