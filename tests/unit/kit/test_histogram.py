"""Quantiles out of histograms whose bounds grow by a quarter."""

import bisect
import random

import pytest

from backend.kit.histogram import BOUNDS, quantile_ms


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
