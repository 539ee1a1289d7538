"""Error budgets: arithmetic that holds for all figures, and burn rates with known answers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.monitoring._budget import (
    BURN_PAIRS,
    BURN_SECONDS,
    NOTHING,
    STALE_AFTER,
    WINDOW_DAYS,
    Counted,
    as_percent,
    budget_of,
    burn_rate,
    burns_of,
    is_chance,
    judge,
)

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
COUNTED = st.integers(0, 10**9).flatmap(
    lambda total: st.builds(Counted, st.integers(0, total), st.just(total))
)
OBJECTIVES = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999])


class TestCounted:
    def test_refuses_more_good_than_there_is(self) -> None:
        for good, total in ((2, 1), (-1, 1), (0, -1)):
            with pytest.raises(ValueError, match="part of the whole"):
                Counted(good, total)

    def test_of_nothing_there_is_no_share(self) -> None:
        assert NOTHING.share is None
        assert Counted(0, 7).share == 0.0


class TestBudgetOf:
    def test_knows_the_workbooks_example(self) -> None:
        # Three million requests in four weeks at 99.9 %: 3000 may fail.
        found = budget_of(Counted(3_000_000 - 1500, 3_000_000), 0.999)
        assert (found.allowed, found.spent, found.left) == (3000, 1500, 0.5)

    def test_what_is_exactly_spent_is_not_overspent(self) -> None:
        for objective, bad, total in ((0.999, 1, 1000), (0.9999, 3, 30_000), (0.95, 5, 100)):
            assert budget_of(Counted(total - bad, total), objective).left == 0.0, objective
            assert (budget_of(Counted(total - bad - 1, total), objective).left or 0) < 0, objective

    def test_refuses_objectives_without_a_budget(self) -> None:
        for objective in (0.0, 1.0, -0.1, 1.1):
            with pytest.raises(ValueError, match="between 0 and 1"):
                budget_of(Counted(1, 1), objective)

    @given(COUNTED, OBJECTIVES)
    def test_is_overspent_just_when_the_share_is_below_the_objective(
        self, counted: Counted, objective: float
    ) -> None:
        left = budget_of(counted, objective).left
        if left is None:
            assert counted.total == 0
            return
        # In whole numbers, so that no rounding of ours is compared with another one of ours.
        millionths = round((1 - objective) * 10**6)
        overspent = counted.bad * 10**6 - counted.total * millionths
        assert left <= 1
        if abs(overspent) > counted.total * millionths * 1e-8:
            assert (left < 0) == (overspent > 0)

    @given(COUNTED, COUNTED, OBJECTIVES)
    def test_budgets_of_two_times_add_up(
        self, one: Counted, other: Counted, objective: float
    ) -> None:
        parts = budget_of(one, objective), budget_of(other, objective)
        whole = budget_of(one + other, objective)
        assert whole.spent == parts[0].spent + parts[1].spent
        assert whole.allowed == pytest.approx(parts[0].allowed + parts[1].allowed)

    @given(COUNTED, OBJECTIVES)
    def test_a_further_failure_never_leaves_more(self, counted: Counted, objective: float) -> None:
        left = budget_of(counted, objective).left
        then = budget_of(counted + Counted(0, 1), objective).left
        assert then is not None
        assert left is None or then <= left

    @given(COUNTED.filter(lambda one: one.total > 0), OBJECTIVES)
    def test_burning_at_one_for_the_whole_window_spends_all_of_it(
        self, counted: Counted, objective: float
    ) -> None:
        rate, left = burn_rate(counted, objective), budget_of(counted, objective).left
        assert rate is not None
        assert left == pytest.approx(1 - rate, abs=1e-8)


class TestBurnPairs:
    def test_are_the_workbooks_over_thirty_days(self) -> None:
        assert [
            (one.severity, one.short_seconds, one.long_seconds, round(one.threshold(30), 9))
            for one in BURN_PAIRS
        ] == [
            ("page", 5 * 60, 3600, 14.4),
            ("page", 30 * 60, 6 * 3600, 6.0),
            ("ticket", 2 * 3600, 24 * 3600, 3.0),
            ("ticket", 6 * 3600, 72 * 3600, 1.0),
        ]

    def test_a_short_window_is_a_twelfth_of_the_long_one(self) -> None:
        assert {one.long_seconds // one.short_seconds for one in BURN_PAIRS} == {12}

    def test_what_could_go_on_for_ever_never_burns(self) -> None:
        for days in WINDOW_DAYS:
            for pair in BURN_PAIRS:
                assert pair.threshold(days) >= 1, (days, pair)
        assert [round(one.threshold(90), 9) for one in BURN_PAIRS] == [43.2, 18.0, 9.0, 3.0]
        assert [round(one.threshold(7), 9) for one in BURN_PAIRS] == [3.36, 1.4, 1.0, 1.0]


class TestBurnRate:
    @pytest.mark.parametrize(
        ("good", "total", "objective", "rate"),
        [
            (100_000, 100_000, 0.999, 0.0),
            (99_900, 100_000, 0.999, 1.0),  # what may fail, fails
            (98_560, 100_000, 0.999, 14.4),  # thirty days' budget in two
            (99_400, 100_000, 0.999, 6.0),
            (90_000, 100_000, 0.999, 100.0),
            (0, 100, 0.999, 1000.0),  # all of it fails
            (0, 100, 0.95, 20.0),
            (870, 1000, 0.99, 13.0),  # 13 % of the mail bounces
            (0, 0, 0.999, None),
        ],
    )
    def test_of_known_answers(
        self, good: int, total: int, objective: float, rate: float | None
    ) -> None:
        assert burn_rate(Counted(good, total), objective) == rate


class TestIsChance:
    def test_one_failure_of_a_few_is_chance(self) -> None:
        # 1 - 0.999 ** 50 is 4.9 %, 1 - 0.999 ** 10 just below 1 %.
        assert is_chance(Counted(49, 50), 0.001)
        assert not is_chance(Counted(9, 10), 0.001)
        assert not is_chance(Counted(48, 50), 0.001)

    def test_no_failure_proves_nothing(self) -> None:
        assert is_chance(NOTHING, 0.001)
        assert is_chance(Counted(10**6, 10**6), 0.001)

    def test_many_speak_for_themselves(self) -> None:
        assert not is_chance(Counted(10**9 - 1, 10**9), 0.001)


def windows(**other: Counted) -> dict[int, Counted]:
    return dict.fromkeys(BURN_SECONDS, Counted(10_000, 10_000)) | {
        int(name[1:]): counted for name, counted in other.items()
    }


BAD = Counted(9800, 10_000)  # a burn rate of 20 at 99.9 %


class TestBurnsOf:
    def test_takes_both_windows(self) -> None:
        for counted, burning in (
            (windows(), []),
            (windows(_300=BAD), []),  # a blip: the hour is well
            (windows(_3600=BAD), []),  # over: the last five minutes are well
            (windows(_300=BAD, _3600=BAD), [3600]),
            (windows(_1800=BAD, _21600=BAD), [21600]),
            (windows(_7200=BAD, _21600=BAD, _86400=BAD, _259200=BAD), [86400, 259200]),
        ):
            found = burns_of(counted, 0.999, 30)
            assert [one.long_seconds for one in found if one.burning] == burning, counted

    def test_without_traffic_nothing_burns(self) -> None:
        for burn in burns_of(dict.fromkeys(BURN_SECONDS, NOTHING), 0.999, 30):
            assert (burn.short_rate, burn.long_rate, burn.burning) == (None, None, False)

    def test_one_failure_of_forty_at_night_wakes_nobody(self) -> None:
        night = windows(_300=Counted(0, 1), _3600=Counted(39, 40))
        page = burns_of(night, 0.999, 30)[0]
        assert (page.short_rate, page.long_rate, page.burning) == (1000.0, 25.0, False)


class TestJudge:
    def said(
        self, counted: Counted, burning: dict[int, Counted] | None = None, minutes: float = 5
    ) -> tuple[str, str]:
        burns = burns_of(burning or windows(), 0.999, 30)
        until = NOW - timedelta(minutes=minutes)
        found = judge(counted, burns, 0.999, measured_until=until, now=NOW)
        return found.state, found.reason

    def test_met_without_words(self) -> None:
        assert self.said(Counted(9999, 10_000)) == ("met", "")

    def test_missed_with_the_figures(self) -> None:
        assert self.said(Counted(9980, 10_000)) == (
            "missed",
            "99.8 % of 10000 were good; 99.9 % is the target.",
        )

    def test_at_risk_by_speed(self) -> None:
        assert self.said(Counted(99_999, 100_000), windows(_300=BAD, _3600=BAD)) == (
            "at_risk",
            "The budget burns 20 times as fast as it may, over the last 60 min.",
        )

    def test_at_risk_by_what_is_left(self) -> None:
        assert self.said(Counted(99_905, 100_000)) == ("at_risk", "5 % of the budget is left.")

    def test_overspent_comes_before_speed(self) -> None:
        assert self.said(Counted(0, 10), windows(_300=BAD, _3600=BAD))[0] == "missed"

    def test_nothing_happened_is_not_met(self) -> None:
        assert self.said(NOTHING) == ("not_measured", "Nothing happened in the window.")

    def test_never_looked_is_not_met(self) -> None:
        found = judge(NOTHING, (), 0.999, measured_until=None, now=NOW)
        assert (found.state, found.since) == ("not_measured", None)

    def test_freezes_where_nobody_counts_any_more(self) -> None:
        for counted in (Counted(10_000, 10_000), Counted(0, 10_000)):
            until = NOW - STALE_AFTER - timedelta(seconds=1)
            found = judge(counted, burns_of(windows(), 0.999, 30), 0.999,
                          measured_until=until, now=NOW)  # fmt: skip
            assert (found.state, found.since) == ("not_measured", until)
            assert found.reason == "Nothing has been measured since 2026-12-01 11:44 UTC."


class TestAsPercent:
    def test_never_rounds_up_to_all(self) -> None:
        assert [as_percent(one) for one in (1.0, 0.999, 0.99999, 0.999999, 0.5, 0.0)] == [
            "100 %", "99.9 %", "99.999 %", "99.9999 %", "50 %", "0 %",
        ]  # fmt: skip
