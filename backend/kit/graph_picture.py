"""A small graph as a picture, for mail: what was measured, a threshold, and when it was crossed."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from PIL import Image, ImageDraw, ImageFont

WIDTH: Final = 640
HEIGHT: Final = 250
"""Pixels as they are shown: half of those that are drawn, for screens that have twice as many."""

_SCALE: Final = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 18, 42, 34
_PAPER, _INK, _FAINT, _GRID = (255, 255, 255), (31, 41, 51), (107, 119, 133), (229, 232, 236)
_LINE, _AREA, _THRESHOLD = (37, 99, 200), (226, 236, 250), (200, 50, 47)
_COLOURS: Final = 64
_MOST: Final = 1e300
_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_STEPS: Final = tuple(
    60 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080)
)
_DAY: Final = 86_400
_TICKS: Final = 6
_UNITS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_NAMELESS: Final = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What is to be seen.

    Attributes:
        title: Above it; what does not fit is left out, or all of it if the font lacks a letter.
        start_at: When the first point's step begins.
        step_seconds: How long each is.
        points: A value for each step; None: nothing was measured then.
        threshold: A level that matters.
        marked_at: A moment that matters, and ``mark`` what it is called.
    """

    title: str
    start_at: datetime
    step_seconds: int
    points: Sequence[float | None]
    threshold: float | None = None
    marked_at: datetime | None = None
    mark: str = ""

    @property
    def end_at(self) -> datetime:
        """When the last step is over."""
        return self.start_at + timedelta(seconds=self.step_seconds * len(self.points))

    @property
    def measured(self) -> Sequence[float]:
        """The values that can be drawn."""
        return [one for one in self.points if one is not None and math.isfinite(one)]

    @property
    def words(self) -> str:
        """The same for who sees no picture."""
        values = self.measured
        begin, end = (one.astimezone(UTC) for one in (self.start_at, self.end_at))
        first = min(begin, self.marked_at or begin)
        day = "%d %b %H:%M" if end - first > timedelta(days=1) else "%H:%M"
        said = (
            f"{self.title}, {begin.strftime(day)} to {end.strftime(day)} UTC: between "
            f"{short(min(values))} and {short(max(values))}, at last {short(values[-1])}"
        )
        if self.threshold is not None:
            said += f"; the threshold is {short(self.threshold)}"
        if self.marked_at is not None:
            said += f"; {self.mark} {self.marked_at.astimezone(UTC).strftime(day)}"
        return said


def draw(graph: Graph) -> bytes | None:
    """A PNG of 1280 by 500 pixels, the same bytes for the same graph; None: nothing was measured.

    It has no transparency, as mail programs with a dark scheme would put black behind the text.
    """
    if not graph.measured:
        return None
    image = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), _PAPER)
    _Canvas(ImageDraw.Draw(image), graph).draw()
    out = io.BytesIO()
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(out, "PNG")
    return out.getvalue()


def short(value: float) -> str:
    """A number as people say it, in four digits."""
    if abs(value) < _NAMELESS:
        for size, unit in _UNITS:
            if abs(value) >= size:
                return f"{value / size:.4g} {unit}"
    return f"{value:.4g}"


class _Canvas:
    def __init__(self, pen: ImageDraw.ImageDraw, graph: Graph) -> None:
        self._pen = pen
        self._graph = graph
        values = [max(-_MOST, min(_MOST, one)) for one in graph.measured]
        if graph.threshold is not None and math.isfinite(graph.threshold):
            values.append(graph.threshold)
        low, high = min(values), max(values)
        # From nothing on, unless all of it lies close together far from there.
        low = min(low, 0.0) if low < (high - low) * 2 else low
        room = (high - low) / 12 or abs(high) / 10 or 1.0
        self._low, self._high = (low - room if low else low), high + room
        self._begin = graph.start_at.timestamp()
        self._seconds = max(1, graph.step_seconds * len(graph.points))

    def draw(self) -> None:
        self._scales()
        self._values()
        self._level()
        self._moment()
        # The mail has the title in letters: in boxes nobody can read it.
        if _has_letters(self._graph.title):
            title = self._fitting(self._graph.title, WIDTH - _LEFT - _RIGHT, 15)
            self._text(_LEFT, 10, title, 15, _INK)

    def _scales(self) -> None:
        for level in _levels(self._low, self._high):
            y = self._y(level)
            self._stroke([(_LEFT, y), (WIDTH - _RIGHT, y)], _GRID, 1)
            self._text(_LEFT - 8, y - 7, short(level), 11, _FAINT, right=True)
        step = next((one for one in _STEPS if self._seconds / one <= _TICKS), 7 * _DAY)
        at = math.ceil(self._begin / step) * step
        while at <= self._begin + self._seconds:
            moment = datetime.fromtimestamp(at, UTC)
            x = self._x(at)
            self._stroke([(x, HEIGHT - _BOTTOM), (x, HEIGHT - _BOTTOM + 4)], _FAINT, 1)
            text = moment.strftime("%d %b" if step >= _DAY else "%H:%M")
            self._text(x, HEIGHT - _BOTTOM + 8, text, 11, _FAINT, middle=True)
            at += step
        self._text(8, HEIGHT - _BOTTOM + 8, "UTC", 11, _FAINT)

    def _values(self) -> None:
        floor = self._y(max(self._low, 0.0) if self._high > 0 else self._low)
        for run in _runs(self._graph.points):
            line = [
                (self._x(self._begin + (at + 0.5) * self._graph.step_seconds), self._y(value))
                for at, value in run
            ]
            if len(line) == 1:
                ((x, y),) = line
                self._pen.ellipse([_SCALE * one for one in (x - 2, y - 2, x + 2, y + 2)], _LINE)
                continue
            area = [(line[0][0], floor), *line, (line[-1][0], floor)]
            self._pen.polygon([(_SCALE * x, _SCALE * y) for x, y in area], fill=_AREA)
            self._stroke(line, _LINE, 2)

    def _level(self) -> None:
        level = self._graph.threshold
        if level is None or not math.isfinite(level):
            return
        y = self._y(level)
        for x in range(_LEFT, WIDTH - _RIGHT, 9):
            self._stroke([(x, y), (min(x + 5, WIDTH - _RIGHT), y)], _THRESHOLD, 1.5)
        font = ImageFont.load_default(11 * _SCALE)
        wide = self._pen.textlength(short(level), font) / _SCALE
        corners = (_LEFT + 4, y - 17, _LEFT + 10 + wide, y - 3)
        self._pen.rectangle([_SCALE * one for one in corners], _PAPER)
        self._text(_LEFT + 7, y - 16, short(level), 11, _THRESHOLD)

    def _moment(self) -> None:
        moment = self._graph.marked_at
        # What was before the first point is told in words: here it would be at another time.
        if moment is None or moment < self._graph.start_at:
            return
        x = min(max(self._x(moment.timestamp()), _LEFT), WIDTH - _RIGHT)
        for y in range(_TOP, HEIGHT - _BOTTOM, 6):
            self._stroke([(x, y), (x, min(y + 3, HEIGHT - _BOTTOM))], _INK, 1)
        text = f"{self._graph.mark} {moment.astimezone(UTC):%H:%M}"
        # On the side where there is room for it.
        left = x > WIDTH / 2
        self._text(x - 5 if left else x + 5, _TOP - 2, text, 11, _INK, right=left)

    def _x(self, at: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (at - self._begin) / self._seconds

    def _y(self, value: float) -> float:
        share = (min(max(value, self._low), self._high) - self._low) / (self._high - self._low)
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share

    def _stroke(
        self, line: Sequence[tuple[float, float]], colour: tuple[int, int, int], width: float
    ) -> None:
        self._pen.line(
            [(_SCALE * x, _SCALE * y) for x, y in line],
            fill=colour,
            width=round(_SCALE * width),
            joint="curve",
        )

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: int,
        colour: tuple[int, int, int],
        *,
        right: bool = False,
        middle: bool = False,
    ) -> None:
        anchor = "ra" if right else "ma" if middle else "la"
        font = ImageFont.load_default(size * _SCALE)
        self._pen.text((_SCALE * x, _SCALE * y), text, fill=colour, font=font, anchor=anchor)

    def _fitting(self, text: str, width: float, size: int) -> str:
        font = ImageFont.load_default(size * _SCALE)
        text = " ".join(text.split())[:200]
        if self._pen.textlength(text, font) <= width * _SCALE:
            return text
        while text and self._pen.textlength(text + "...", font) > width * _SCALE:
            text = text[:-1]
        return text + "..."


def _has_letters(text: str) -> bool:
    """Whether the font that Pillow brings can write it: it knows Western European letters."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _levels(low: float, high: float) -> Iterator[float]:
    """Round numbers between the two, some four of them."""
    raw = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(one * size for one in _NICE if one * size >= raw * 0.999)
    first, last = math.ceil(low / step), math.floor(high / step)
    for number in range(first, last + 1):
        yield number * step


def _runs(points: Sequence[float | None]) -> Iterator[Sequence[tuple[int, float]]]:
    """What was measured without a gap, with its places."""
    run: list[tuple[int, float]] = []
    for at, value in enumerate(points):
        if value is not None and math.isfinite(value):
            run.append((at, value))
        elif run:
            yield run
            run = []
    if run:
        yield run
