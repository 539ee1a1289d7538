"""What is usual, where a line goes and what comes next: five seeded lines with known answers."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.metrics import _seasons, _smoothing
from backend.managers.metrics._seasons import BASES, DAY, HOUR, MAX_SCORE, WEEK

# A Monday, 00:00.
START = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp())


def clock(hours, zone=UTC):
    return _seasons.clock_hours(START, hours, zone)


def noise(hours, spread, seed=7):
    return np.random.default_rng(seed).normal(0, spread, hours)


def daily(hours, level=100.0, swing=40.0):
    return level + swing * np.sin(2 * np.pi * np.arange(hours) / DAY)


def weekly(hours):
    """Business hours: weekends at a third."""
    return daily(hours) * np.where(np.arange(hours) % WEEK >= 5 * DAY, 1 / 3, 1)


def scored(values, zone=UTC):
    known = _seasons.usual(values, clock(len(values), zone))
    return known, known.scores(values)


class TestBackTest:
    """Each line is the only one of its kind: what was put in must come out, and nothing else."""

    def test_a_level_shift(self):
        hours, shift = 10 * WEEK, 9 * WEEK
        values = daily(hours) + noise(hours, 4)
        values[shift:] += 80
        _, scores = scored(values)
        assert np.mean(scores[shift : shift + WEEK] > 1) > 0.95
        assert np.mean(scores[5 * WEEK : shift] > 1) < 0.02
        # It is a step and no slope: seven of eight weeks know nothing of it.
        found = _seasons.trend(values, clock(hours))
        assert abs(found.per_day) < 80 / (hours / DAY) / 4

    def test_a_spike(self):
        hours, spike = 9 * WEEK, 8 * WEEK + DAY + 10
        values = weekly(hours) + noise(hours, 3)
        values[spike] *= 4
        known, scores = scored(values)
        assert int(np.nanargmax(scores)) == spike
        assert scores[spike] > 3
        assert BASES[known.basis[spike]] == "hour_of_week"
        assert known.samples[spike] == 8
        assert known.level[spike] == pytest.approx(weekly(hours)[spike], rel=0.1)
        # What was unusual makes nothing usual: a week later the same is so again.
        later = np.append(values, values[-WEEK:])
        later[spike + WEEK] = values[spike]
        _, scores = scored(later)
        assert scores[spike + WEEK] > 3

    def test_a_daily_season(self):
        hours = 3 * WEEK
        values = daily(hours) + noise(hours, 2)
        known, scores = scored(values)
        assert np.nanmean(scores[WEEK:] > 1) < 0.02
        # The same level at another hour of the day is unusual.
        values[-1 - DAY + 6] = daily(hours)[-1 - DAY + 18]
        _, scores = scored(values)
        assert scores[-1 - DAY + 6] > 1
        assert {BASES[one] for one in known.basis[-DAY:]} == {"hour_of_day"}
        found = _seasons.trend(values, clock(hours))
        assert not found.is_sure
        ahead = clock(hours + 2 * DAY)[hours:]
        made = _seasons.forecast(values, clock(hours), ahead)
        assert np.max(np.abs(made.values - daily(hours + 2 * DAY)[hours:])) < 6

    def test_a_weekly_season_with_a_trend(self):
        hours, more = 8 * WEEK, WEEK
        truth = weekly(hours + more) + 0.05 * np.arange(hours + more)
        values = truth[:hours] + noise(hours, 3, seed=11)
        found = _seasons.trend(values, clock(hours))
        assert found.low <= 0.05 * DAY <= found.high
        assert found.per_day == pytest.approx(0.05 * DAY, rel=0.03)
        assert (found.season_hours, found.is_sure) == (WEEK, True)
        ahead = clock(hours + more)[hours:]
        made = _seasons.forecast(values, clock(hours), ahead, drift=found.per_day / DAY)
        off = np.abs(made.values - truth[hours:])
        assert (np.median(off), np.max(off)) < (2, 8)
        inside = (truth[hours:] >= made.low) & (truth[hours:] <= made.high)
        assert np.mean(inside) > 0.9
        # Without the drift it lags: by that of two and a half weeks, the middle of four.
        late = _seasons.forecast(values, clock(hours), ahead)
        assert np.median(truth[hours:] - late.values) == pytest.approx(0.05 * 2.5 * WEEK, rel=0.15)

    def test_gaps(self):
        hours = 9 * WEEK
        whole = weekly(hours) + noise(hours, 3)
        values = whole.copy()
        rng = np.random.default_rng(5)
        values[rng.random(hours) < 0.2] = np.nan
        values[6 * WEEK : 6 * WEEK + 3 * DAY] = np.nan  # an outage
        values[-5:] = np.nan
        known, scores = scored(values)
        assert np.isnan(scores[-5:]).all()
        assert not np.isnan(known.level[-5:]).any()
        assert np.array_equal(np.isnan(scores), np.isnan(values) | np.isnan(known.level))
        assert np.nanmean(scores[5 * WEEK :] > 1) < 0.02
        found = _seasons.trend(values, clock(hours))
        assert not found.is_sure
        assert found.measured == int(np.sum(~np.isnan(values)))
        ahead = clock(hours + WEEK)[hours:]
        made = _seasons.forecast(values, clock(hours), ahead)
        assert np.median(np.abs(made.values - weekly(hours + WEEK)[hours:])) < 3


class TestUsual:
    def test_falls_back_as_history_is_short(self):
        values = weekly(6 * WEEK) + noise(6 * WEEK, 3)
        known, _ = scored(values)
        bases = [BASES[one] for one in known.basis]
        assert bases[:12] == ["none"] * 12
        assert bases[12] == "all"
        assert bases[5 * DAY] == "hour_of_day"
        assert bases[3 * WEEK - 1] == "hour_of_day"
        assert set(bases[3 * WEEK :]) == {"hour_of_week"}

    def test_a_first_weekend_is_no_alarm(self):
        values = weekly(3 * WEEK) + noise(3 * WEEK, 3)
        _, scores = scored(values)
        assert np.nanmean(scores[2 * WEEK :] > 1) < 0.02

    def test_constants_have_no_spread_and_know_what_is_off(self):
        values = np.full(5 * WEEK, 100.0)
        values[-1] = 101.0
        values[-2] = 104.0
        _, scores = scored(values)
        assert scores[-3] == 0
        assert scores[-1] < 1 < scores[-2]

    def test_what_was_always_nothing(self):
        values = np.zeros(5 * WEEK)
        values[-1] = 1.0
        _, scores = scored(values)
        assert (scores[-2], scores[-1]) == (0, MAX_SCORE)

    def test_what_seldom_happens_is_usual(self):
        values = np.random.default_rng(3).poisson(0.05, 9 * WEEK).astype(float)
        _, scores = scored(values)
        assert np.nanmean(scores[5 * WEEK :] > 1) < 0.01
        values[-1] = 9
        assert scored(values)[1][-1] > 1

    def test_goes_by_the_clock_on_the_wall(self):
        berlin = ZoneInfo("Europe/Berlin")
        hours = 12 * WEEK
        start = int(datetime(2026, 9, 1, tzinfo=UTC).timestamp())
        wall = _seasons.clock_hours(start, hours, berlin)
        values = np.where(wall % DAY == 9, 500.0, 10.0) + noise(hours, 1)
        changed = int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp() - start) // HOUR
        after = slice(changed + DAY, changed + WEEK)
        told = _seasons.usual(values, wall).scores(values)[after]
        assert np.mean(told > 1) < 0.03
        utc = _seasons.clock_hours(start, hours, UTC)
        assert np.sum(_seasons.usual(values, utc).scores(values)[after] > 1) >= 6

    def test_an_hour_of_the_week_is_the_calendars(self):
        at = datetime(2026, 11, 24, 10, tzinfo=UTC)  # a Tuesday
        (number,) = _seasons.clock_hours(int(at.timestamp()), 1, UTC).tolist()
        assert number % WEEK == DAY + 10

    @given(
        st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=1, max_size=400),
        st.floats(0.25, 64),
    )
    def test_holds_for_any_line(self, given_values, factor):
        values = np.array([np.nan if one is None else one for one in given_values])
        known, scores = scored(values)
        assert np.array_equal(np.isnan(scores), np.isnan(values) | np.isnan(known.level))
        there = ~np.isnan(scores)
        assert ((scores[there] >= 0) & (scores[there] <= MAX_SCORE)).all()
        inside = (values >= known.low) & (values <= known.high)
        clear = there & (np.abs(scores - 1) > 1e-6)
        assert np.array_equal(inside[clear], scores[clear] < 1)
        # The future is not known: what comes later changes no score's level.
        half = len(values) // 2
        if half:
            before = _seasons.usual(values[:half], clock(half))
            assert np.array_equal(before.level, known.level[:half], equal_nan=True)
        # Nor does it matter what one counts in.
        other = scored(values * factor)[1]
        clear = there & (np.abs(scores - 1) > 1e-3)
        assert np.array_equal(scores[clear] > 1, other[clear] > 1)


class TestTrend:
    def test_needs_three_hours(self):
        values = np.full(10, np.nan)
        values[[2, 7]] = 1.0
        found = _seasons.trend(values, clock(10))
        assert np.isnan(found.per_day)
        assert (found.is_sure, found.measured) == (False, 2)

    def test_is_not_moved_by_a_third_of_nonsense(self):
        hours = 70
        values = 5 + 0.5 * np.arange(hours)
        values[::4] = 1e6
        assert _seasons.trend(values, clock(hours)).per_day == pytest.approx(12, rel=0.05)

    def test_hours_that_are_alike_prove_little(self):
        # A walk at random goes nowhere: bounds for independent hours would call most of them sure.
        sure = 0
        for seed in range(20):
            values = np.cumsum(noise(60, 1, seed))
            sure += _seasons.trend(values, clock(60)).is_sure
        assert sure <= 8

    @given(
        st.integers(3, 300),
        st.floats(-100, 100).filter(lambda one: one == 0 or abs(one) > 1e-3),
        st.floats(-1e4, 1e4),
    )
    def test_a_straight_line_is_its_own(self, hours, slope, level):
        values = level + slope * np.arange(hours)
        found = _seasons.trend(values, clock(hours))
        assert found.per_day == pytest.approx(slope * DAY, rel=1e-6, abs=1e-6)
        assert found.low <= found.per_day <= found.high


class TestForecast:
    def test_of_nothing_is_nothing(self):
        made = _seasons.forecast(np.full(30, np.nan), clock(30), clock(40)[30:])
        assert np.isnan([made.values, made.low, made.high]).all()

    def test_without_a_season_is_the_median(self):
        made = _seasons.forecast(np.array([1.0, 9.0, 2.0]), clock(3), clock(6)[3:])
        assert made.values.tolist() == [2, 2, 2]
        assert made.season_hours == 1

    def test_is_less_sure_of_later_weeks(self):
        hours = 6 * WEEK
        values = weekly(hours) + noise(hours, 3)
        made = _seasons.forecast(values, clock(hours), clock(hours + 2 * WEEK)[hours:])
        width = made.high - made.low
        assert (width[WEEK:] > width[:WEEK]).all()

    @given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=300))
    def test_lies_between_its_bounds_and_within_what_was(self, given_values):
        values = np.array([np.nan if one is None else one for one in given_values])
        size = len(values)
        made = _seasons.forecast(values, clock(size), clock(size + 30)[size:])
        there = ~np.isnan(made.values)
        known = values[~np.isnan(values)]
        assert there.any() <= bool(len(known))
        if there.any():
            assert (made.values[there] >= known.min()).all()
            assert (made.values[there] <= known.max()).all()
        both = there & ~np.isnan(made.low)
        assert (made.low[both] <= made.values[both]).all()
        assert (made.values[both] <= made.high[both]).all()


class TestSmoothing:
    def test_is_taken_where_it_is_nearer(self):
        hours = 4 * WEEK
        # A level that has been rising for four days: a median of weeks knows no slope.
        rise = np.concatenate([np.zeros(hours - 4 * DAY), np.arange(5.0 * DAY)])
        values = daily(hours) + noise(hours, 1) + rise[:hours]
        times = clock(hours)
        made = _smoothing.better(values, times, DAY, DAY, 0.0)
        assert made is not None
        naive = _seasons.forecast(values, times, clock(hours + DAY)[hours:]).values
        truth = (daily(hours + DAY) + rise)[hours:]
        assert np.median(np.abs(made - truth)) < np.median(np.abs(naive - truth)) / 3

    @pytest.mark.parametrize("why", ["gap", "no season", "too short", "constant", "absent"])
    def test_is_left_where_it_cannot_be(self, monkeypatch, why):
        hours = WEEK
        values, season = daily(hours) + noise(hours, 1), DAY
        if why == "gap":
            values[50] = np.nan
        elif why == "no season":
            season = 1
        elif why == "too short":
            values[: -DAY - 40] = np.nan
        elif why == "constant":
            values[:] = 7.0
        else:
            monkeypatch.setattr(_smoothing, "IS_INSTALLED", False)
        assert _smoothing.better(values, clock(hours), DAY, season, 0.0) is None
