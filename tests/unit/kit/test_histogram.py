"""Quantiles out of histograms whose bounds grow by a quarter."""

import bisect
import random

import pytest

from backend.kit.histogram import BOUNDS, count_within, quantile_ms


def histogram(seconds):
    buckets = [0] * (len(BOUNDS) + 1)
    for one in seconds:
        buckets[bisect.bisect_left(BOUNDS, one)] += 1
    return buckets


class TestQuantileMs:
    def test_of_nothing_is_nothing(self):
        assert quantile_ms(histogram([]), 0.95) is None

    @pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
    def test_is_off_by_a_bucket_at_most(self, quantile):
        random.seed(7)
        seconds = sorted(random.lognormvariate(-4, 1.5) for _ in range(5000))
        exact = 1000 * seconds[int(quantile * len(seconds))]
        assert quantile_ms(histogram(seconds), quantile) == pytest.approx(exact, rel=0.25)

    def test_of_equal_values_stays_in_their_bucket(self):
        found = quantile_ms(histogram([0.1] * 100), 0.95)
        assert found == pytest.approx(100, rel=0.25)

    def test_beyond_the_last_bound_is_the_last_bound(self):
        assert quantile_ms(histogram([3600.0]), 0.95) == pytest.approx(1000 * BOUNDS[-1])

    def test_histograms_of_two_processes_add_up(self):
        one, two = [0.01] * 95, [2.0] * 5
        together = [a + b for a, b in zip(histogram(one), histogram(two), strict=True)]
        assert together == histogram(one + two)
        assert quantile_ms(together, 0.95) == pytest.approx(10, rel=0.25)
        assert quantile_ms(together, 0.96) == pytest.approx(2000, rel=0.25)


class TestCountWithin:
    def test_counts_whole_buckets_and_a_part_of_one(self):
        found = histogram([0.01] * 50 + [0.09] * 30 + [0.5] * 20)
        assert count_within(found, 0.05) == 50
        assert count_within(found, 0.2) == 80
        assert count_within(found, 1.0) == 100

    def test_of_the_bucket_of_the_limit_is_off_by_that_bucket_at_most(self):
        random.seed(8)
        seconds = [random.lognormvariate(-3, 1) for _ in range(5000)]
        for limit in (0.005, 0.1, 0.3):
            exact = sum(one <= limit for one in seconds)
            assert count_within(histogram(seconds), limit) == pytest.approx(exact, rel=0.05, abs=20)

    def test_grows_with_the_limit_and_ends_with_all_but_the_endless(self):
        found = histogram([0.0001, 0.1, 10.0, 3600.0])
        counts = [count_within(found, limit) for limit in (0.0, 0.01, 1.0, 44.0, 100.0)]
        assert counts == [0, 1, 2, 3, 3]
