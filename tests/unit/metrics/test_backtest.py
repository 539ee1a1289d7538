"""Forecast and anomaly score back-tested: five seeded lines, of which it is known what is in them.

**Forecasts** roll over the last two weeks: from each midnight on the next day is told by what was
before it, and compared with what came. The measure is the mean absolute error over that of the
seasonal-naive forecast (the same hour of the day or week before), a MASE over the hours that are
told (Hyndman, Koehler: "Another look at measures of forecast accuracy", 2006): below 1 is nearer
than that. **Scores** roll by themselves, as each hour is judged by those before it alone. What was
put in must be found, and all else is a false alarm, counted by the thousand hours.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
import pytest

from backend.managers.metrics import _analysis, _seasons, _smoothing
from backend.managers.metrics._query import Hours
from backend.managers.metrics._seasons import DAY, WEEK

# A Monday, 00:00.
START: Final = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp())
HOURS: Final = 12 * WEEK
ORIGINS: Final = 14
LEARNT: Final = 4 * WEEK
"""Scores count from here on: with less to compare with nobody would act by them."""


class Case(NamedTuple):
    """A line, the hours of it that are wrong, and how much is asked."""

    values: Any
    wrong: Any
    season: int
    mase: float
    found: float
    """The least share of the wrong hours that scores above 1."""


def _noise(seed: int, spread: float) -> Any:
    return np.random.default_rng(seed).normal(0, spread, HOURS)


def _daily(level: float = 200.0, swing: float = 80.0) -> Any:
    return level + swing * np.sin(2 * np.pi * np.arange(HOURS) / DAY)


def _weekly() -> Any:
    """Business hours: weekends at a third."""
    return _daily() * np.where(np.arange(HOURS) % WEEK >= 5 * DAY, 1 / 3, 1)


def _none() -> Any:
    return np.zeros(HOURS, bool)


def daily_season() -> Case:
    """The same every day: nothing is wrong."""
    return Case(_daily() + _noise(1, 8), _none(), DAY, 0.9, 1)


def weekly_season_with_trend() -> Case:
    """Weekends are low and it grows by half in twelve weeks: nothing is wrong."""
    values = _weekly() + 0.05 * np.arange(HOURS) + _noise(2, 6)
    return Case(values, _none(), WEEK, 0.85, 1)


def spike() -> Case:
    """Six single hours at three times what they would be, in the last month."""
    values, wrong = _weekly() + _noise(3, 6), _none()
    for place in np.random.default_rng(30).choice(np.arange(HOURS - 4 * WEEK, HOURS), 6, False):
        values[place] *= 3
        wrong[place] = True
    return Case(values, wrong, WEEK, 0.85, 1)


def level_shift() -> Case:
    """From one day to the next a half more, three weeks before the end; it is unusual a week.

    The day before knows the new level at once, the median of four weeks by the newest days alone.
    """
    values, wrong = _daily() + _noise(4, 8), _none()
    shift = HOURS - 3 * WEEK
    values[shift:] += 100
    # Later on it is for whoever looks to say what is usual: neither right nor wrong.
    wrong[shift : shift + WEEK] = True
    return Case(values, wrong, DAY, 1.2, 0.95)


def silence() -> Case:
    """A tenth of the hours is missing, so are three days, and one night it stands at nothing."""
    values, wrong = _weekly() + _noise(5, 6), _none()
    rng = np.random.default_rng(50)
    values[rng.random(HOURS) < 0.1] = np.nan
    values[HOURS - 4 * WEEK : HOURS - 4 * WEEK + 3 * DAY] = np.nan
    night = HOURS - 2 * WEEK + DAY
    values[night : night + 8] = 0
    wrong[night : night + 8] = True
    return Case(values, wrong, WEEK, 0.9, 1)


CASES: Final = (daily_season, weekly_season_with_trend, spike, level_shift, silence)
JUDGED_UNTIL: Final[Mapping[str, int]] = {"level_shift": HOURS - 2 * WEEK}
MOST_FALSE_ALARMS: Final = 13.0
"""In a thousand hours: what docs/managers/metrics.md says of lines without anomalies."""


def _hours(values: Any) -> Hours:
    return Hours(
        name="line", kind="gauge", aggregate="avg", start=START, size=len(values), labels=[{}],
        values=values[None], observed=~np.isnan(values)[None], is_amount=False, lines_left_out=0,
    )  # fmt: skip


def mase(case: Case) -> float:
    """The forecasts' mean absolute error over that of the hours a season before them."""
    ours, naive = [], []
    for origin in range(HOURS - ORIGINS * DAY, HOURS, DAY):
        (line,) = _analysis.foresee(_hours(case.values[:origin]), DAY, UTC)
        came = case.values[origin : origin + DAY]
        # Nobody can be asked to foresee what is wrong.
        fair = ~(np.isnan(came) | case.wrong[origin : origin + DAY])
        before = case.values[origin - case.season : origin - case.season + DAY]
        known = fair & ~np.isnan(before)
        told = np.array(line.points, float)
        assert not np.isnan(told).any()
        ours.append(np.abs(told - came)[known])
        naive.append(np.abs(before - came)[known])
    return float(np.mean(np.concatenate(ours)) / np.mean(np.concatenate(naive)))


def judged(name: str, case: Case) -> tuple[float, float]:
    """Which share of the wrong hours was found, and false alarms in a thousand others."""
    clock = _seasons.clock_hours(START, HOURS, UTC)
    scores = _seasons.usual(case.values, clock).scores(case.values)
    looked_at = np.arange(HOURS) >= LEARNT
    looked_at &= np.arange(HOURS) < JUDGED_UNTIL.get(name, HOURS)
    looked_at &= ~np.isnan(scores)
    right = looked_at & ~case.wrong
    found = scores[looked_at & case.wrong] > 1
    alarms = 1000 * float(np.mean(scores[right] > 1))
    return (float(np.mean(found)) if len(found) else 1.0), alarms


@pytest.fixture(autouse=True)
def _without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    # What everybody has; the extra is taken only where it was nearer on the newest day.
    monkeypatch.setattr(_smoothing, "IS_INSTALLED", False)


@pytest.mark.parametrize("make", CASES, ids=lambda one: one.__name__)
class TestBackTest:
    def test_forecasts_are_nearer_than_the_season_before(self, make: Any) -> None:
        case = make()
        assert mase(case) <= case.mase

    def test_what_is_wrong_is_found_and_hardly_anything_else(self, make: Any) -> None:
        found, alarms = judged(make.__name__, make())
        assert found >= make().found
        assert alarms <= MOST_FALSE_ALARMS
