"""Small graphs for mail."""

import io
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from backend.kit.graph_picture import HEIGHT, WIDTH, Graph, draw, short

START = datetime(2026, 11, 29, 9, tzinfo=UTC)
RED = (200, 50, 47)
BLUE = (37, 99, 200)


def graph(points: Sequence[float | None], **more: object) -> Graph:
    said = {"title": "cpu", "start_at": START, "step_seconds": 60, "points": points, **more}
    return Graph(**said)  # type: ignore[arg-type]


def pixels(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture))
    assert image.size == (2 * WIDTH, 2 * HEIGHT)
    return image.convert("RGB")


def near(image: Image.Image, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Where a colour is, as far as a palette keeps it."""
    away = np.abs(np.asarray(image, dtype=int) - np.array(colour)).sum(axis=2)
    return [(int(x), int(y)) for y, x in zip(*np.nonzero(away < 24), strict=True)]


def test_the_same_is_drawn_the_same_and_is_small() -> None:
    one = graph([math.sin(at / 9) for at in range(180)], threshold=0.9, marked_at=START, mark="x")
    picture = draw(one)
    assert picture is not None
    assert picture == draw(one)
    assert len(picture) < 40_000


def test_a_line_is_above_the_threshold_when_it_was() -> None:
    picture = draw(graph([1.0] * 30 + [9.0] * 30, threshold=5.0))
    assert picture is not None
    image = pixels(picture)
    # The dashes, and not the number that stands above their beginning.
    level = {y for x, y in near(image, RED) if x > 300}
    line = near(image, BLUE)
    early = [y for x, y in line if x < 500]
    late = [y for x, y in line if x > 900]
    assert min(early) > max(level)
    assert min(level) > max(late)


@pytest.mark.parametrize("points", [[], [None] * 9, [math.nan, None, math.inf]])
def test_nothing_that_was_measured_is_no_picture(points: list[float | None]) -> None:
    assert draw(graph(points)) is None


@pytest.mark.parametrize(
    "points",
    [
        [5.0],
        [None, 5.0, None],
        [3.0] * 30,
        [0.0] * 30,
        [-5.0, -3.0, -8.0],
        [1e308, -1e308, 1.0],
        [1e-300, 2e-300],
        [1.0, math.inf, math.nan, None, 2.0],
        [1e15 + at for at in range(9)],
    ],
)
@pytest.mark.parametrize("threshold", [None, 0.0, 1e300, math.nan])
def test_whatever_was_measured_is_drawn(
    points: list[float | None], threshold: float | None
) -> None:
    moment = START - timedelta(days=9)
    picture = draw(graph(points, threshold=threshold, marked_at=moment, mark="fired"))
    assert picture is not None
    assert near(pixels(picture), BLUE)


@pytest.mark.parametrize("step", [1, 60, 3600, 86_400, 7 * 86_400])
def test_a_step_may_last_a_second_or_a_week(step: int) -> None:
    assert draw(graph([1.0, 2.0, 3.0] * 12, step_seconds=step)) is not None


def test_a_moment_before_the_graph_is_told_in_words_alone() -> None:
    before = graph([1.0, 2.0], marked_at=START - timedelta(days=9), mark="fired")
    assert draw(before) == draw(graph([1.0, 2.0]))
    assert before.words.endswith("; fired 20 Nov 09:00")


def test_a_title_that_does_not_fit_is_cut() -> None:
    assert draw(graph([1.0, 2.0], title="a\nlong " * 500)) is not None


def test_says_the_same_in_words() -> None:
    said = graph(
        [0.5, None, 0.75, 0.25], threshold=0.9, marked_at=START + timedelta(minutes=2), mark="fired"
    ).words
    assert said == (
        "cpu, 09:00 to 09:04 UTC: between 0.25 and 0.75, at last 0.25; the threshold is 0.9; "
        "fired 09:02"
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0"), (-0.125, "-0.125"), (999.0, "999"), (1500.0, "1.5 k"), (-2e6, "-2 M"),
     (3.25e9, "3.25 G"), (1e12, "1 T"), (1e18, "1e+18")],
)  # fmt: skip
def test_numbers_are_short(value: float, said: str) -> None:
    assert short(value) == said


def test_a_title_without_letters_in_the_font_is_left_to_the_words() -> None:
    title = "Загрузка процессора"
    one = graph([1.0, 2.0], title=title)
    assert draw(one) == draw(graph([1.0, 2.0], title=""))
    assert draw(graph([1.0, 2.0], title="Größe")) != draw(one)
    assert one.words.startswith(title)
