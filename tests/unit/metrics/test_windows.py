"""Windows add up without a loss, and quantiles keep the error that is promised."""

from itertools import pairwise

import numpy as np
import pytest

from backend.managers.metrics import _windows
from backend.managers.metrics._windows import RELATIVE_ERROR, STEPS

T = 1_795_000_200  # a whole ten minutes


def points(values, *, series=1, at=T):
    made = np.empty(len(values), _windows.POINT)
    made["series"], made["at_ms"], made["value"] = series, np.asarray(at) * 1000, values
    return made


def of(given, *, histogram=True):
    return _windows.of_points(given, np.full(len(given), histogram))


class TestQuantiles:
    @pytest.mark.parametrize("wanted", [0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0])
    @pytest.mark.parametrize(
        "values",
        [
            np.random.default_rng(1).lognormal(0, 3, 5000),
            np.random.default_rng(2).uniform(-50, 50, 5000),
            np.random.default_rng(3).choice([0.0, 1e-12, 3e40, -7e-3], 999),
            np.array([42.0]),
        ],
        ids=["lognormal", "both-signs", "far-apart", "one"],
    )
    def test_are_within_the_stated_error(self, values, wanted):
        held = of(points(values)).buckets
        ((found,),), (whole,) = _windows.quantiles(held, np.zeros(len(held), int), (1, 1), wanted)
        exact = np.quantile(values, wanted, method="inverted_cdf")
        assert abs(found - exact) <= RELATIVE_ERROR * abs(exact) * (1 + 1e-9)
        assert whole == found

    @pytest.mark.parametrize("most_cells", [0, 10**9], ids=["sorted", "in cells"])
    def test_are_of_each_point_and_of_each_line(self, monkeypatch, most_cells):
        monkeypatch.setattr(_windows, "_MOST_CELLS", most_cells)
        rng = np.random.default_rng(4)
        values = rng.lognormal(0, 1, (2, 3, 200)) * [[[1], [10], [100]], [[7], [7], [0]]]
        parts = [
            of(points(values[line, point], series=line, at=np.full(200, T + 10 * point))).buckets
            for point in range(3)
            for line in range(2)
        ]
        held = np.concatenate(parts)
        places = held["series"] * 3 + (held["second"] - T) // 10
        found, whole = _windows.quantiles(held, places, (2, 3), 0.9)
        exact = np.quantile(values, 0.9, axis=2, method="inverted_cdf")
        assert found == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)
        together = np.quantile(values.reshape(2, 600), 0.9, axis=1, method="inverted_cdf")
        assert whole == pytest.approx(together, rel=RELATIVE_ERROR + 1e-9)

    def test_are_of_each_group_and_none_where_nothing_is(self):
        held = of(points([1.0, 1.0, 100.0, 100.0], at=[T, T, T + 10, T + 10])).buckets
        (found,), _ = _windows.quantiles(held, np.where(held["second"] == T, 0, 2), (1, 3), 0.5)
        assert found[0] == pytest.approx(1, rel=RELATIVE_ERROR + 1e-9)
        assert np.isnan(found[1])
        assert found[2] == pytest.approx(100, rel=RELATIVE_ERROR + 1e-9)


class TestBuckets:
    def test_are_so_many_and_no_more_whatever_the_values(self):
        wild = 10.0 ** np.linspace(-90, 90, 5000)
        halves = [of(points(wild[::2])), of(points(wild[1::2]))]
        held = _windows.add_up(halves).buckets
        assert len(held) == _windows.MAX_BUCKETS
        assert held["count"].sum() == 5000
        # Those that stay are the greatest, and as exact as any.
        _, (found,) = _windows.quantiles(held, np.zeros(len(held), int), (1, 1), 0.99)
        exact = np.quantile(wild, 0.99, method="inverted_cdf")
        assert abs(found - exact) <= RELATIVE_ERROR * exact * (1 + 1e-9)

    def test_of_one_window_leave_those_of_others_alone(self):
        wild = 10.0 ** np.linspace(-90, 90, 5000)
        tame = of(points([1e-300, 1.0], at=T + 10))
        both = _windows.add_up([of(points(wild)), tame]).buckets
        assert np.array_equal(both[both["second"] == T + 10], tame.buckets)


class TestAddUp:
    def test_in_parts_or_at_once_is_the_same(self):
        rng = np.random.default_rng(4)
        given = points(rng.exponential(2, 3000), at=T + rng.uniform(0, 7200, 3000))
        given["series"] = rng.integers(1, 4, 3000)
        whole = of(given)
        parts = _windows.add_up([of(given[:700]), of(given[700:900]), of(given[900:])])
        for name in ("series", "second", "count", "min", "max", "last", "last_ms"):
            assert np.array_equal(parts.windows[name], whole.windows[name])
        assert np.allclose(parts.windows["sum"], whole.windows["sum"])
        assert np.array_equal(parts.buckets, whole.buckets)

    def test_into_longer_windows_counts_everything(self):
        rng = np.random.default_rng(5)
        given = points(rng.normal(5, 2, 4000), at=T + rng.uniform(0, 86_400, 4000))
        found = of(given)
        for step in STEPS[1:]:
            found = _windows.add_up([found], step)
            assert np.array_equal(found.windows["second"] % step, np.zeros(len(found.windows)))
            assert found.windows["count"].sum() == found.buckets["count"].sum() == 4000
            assert found.windows["sum"].sum() == pytest.approx(given["value"].sum())
            assert found.windows["max"].max() == given["value"].max()
        newest = given["value"][given["at_ms"].argmax()]
        assert found.windows["last"][-1] == newest

    def test_of_nothing_is_nothing(self):
        assert len(_windows.add_up([]).windows) == 0
        assert _windows.pack(_windows.NOTHING, 10) == []
        assert len(_windows.unpack([], 10).windows) == 0


class TestPack:
    @pytest.mark.parametrize("step", STEPS)
    def test_comes_back_as_it_was(self, step):
        rng = np.random.default_rng(6)
        given = points(rng.normal(0, 1, 2000), at=T + rng.uniform(0, 20 * 86_400, 2000))
        given["series"] = rng.integers(1, 9, 2000)
        # Half of the series are no histograms.
        made = _windows.add_up([_windows.of_points(given, given["series"] % 2 == 0)], step)
        chunks = _windows.pack(made, step)
        assert all(one.start % _windows.span_of(step) == 0 for one in chunks)
        back = _windows.unpack(chunks, step)
        assert np.array_equal(back.windows, made.windows)
        assert np.array_equal(back.buckets, made.buckets)

    def test_chunks_fill_whole_windows_of_the_next_length(self):
        for step, longer in pairwise(STEPS):
            assert _windows.span_of(step) % longer == 0


class TestCovered:
    def test_is_by_series_and_chunk(self):
        made = of(points([1.0, 1.0, 1.0], series=[1, 1, 2], at=[T, T + 600, T]))
        found = _windows.covered(made.windows, [(1, T)], 600)
        assert found.tolist() == [True, False, False]
