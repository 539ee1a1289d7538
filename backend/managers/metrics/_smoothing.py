"""Forecasts by Holt and Winters, where the extra ``forecast`` is installed: statsmodels fits them.

Its import takes seconds and its fits parts of one, so both are done in a thread, when first asked
for. A fit knows no missing hours, and a spike pulls it along; so it is taken only for lines without
gaps, and only where it came nearer to the newest day than the seasonal-naive forecast did.
"""

import importlib
import importlib.util
from typing import Any, Final

import numpy as np

from backend.managers.metrics import _seasons
from backend.managers.metrics._windows import Array

IS_INSTALLED: Final = importlib.util.find_spec("statsmodels") is not None
_CYCLES: Final = 2  # of a season, or there is nothing to fit


def better(values: Array, clock: Array, hours: int, season: int, drift: float) -> Array | None:
    """The next ``hours``, or None: not installed, a gap, no season, or no better than the naive.

    Args:
        values: One an hour.
        clock: Of each, by :func:`backend.managers.metrics._seasons.clock_hours`.
        hours: How many to tell.
        season: How long a season is, in hours.
        drift: What the naive forecast gains an hour.
    """
    known = np.flatnonzero(~np.isnan(values))
    if not IS_INSTALLED or season == 1 or not len(known):
        return None
    line, times = values[known[0] :], clock[known[0] :]
    kept = line[: -_seasons.DAY]
    if np.isnan(line).any() or len(kept) < _CYCLES * season or np.ptp(kept) == 0:
        return None
    newest = line[-_seasons.DAY :]
    naive = _seasons.forecast(
        kept, times[: -_seasons.DAY], times[-_seasons.DAY :], drift=drift
    ).values
    tried = _fit(kept, season, _seasons.DAY)
    if tried is None or _off(tried, newest) >= _off(naive, newest):
        return None
    return _fit(line, season, hours)


def _off(made: Array, seen: Array) -> float:
    """How far off a forecast is by the median: one odd hour decides nothing."""
    return float(np.nanmedian(np.abs(made - seen)))


def _fit(values: Array, season: int, hours: int) -> Array | None:
    holt_winters: Any = importlib.import_module("statsmodels.tsa.holtwinters")
    # Taken to a common size: the search for the parameters steps by absolute amounts.
    size = float(np.ptp(values))
    model = holt_winters.ExponentialSmoothing(
        values / size,
        trend="add",
        damped_trend=True,
        seasonal="add",
        seasonal_periods=season,
        initialization_method="heuristic",
    )
    fitted = model.fit()
    if not fitted.mle_retvals.success:
        return None
    made = np.asarray(fitted.forecast(hours)) * size
    return made if np.isfinite(made).all() else None
