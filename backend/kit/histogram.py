"""Histograms that add up: of several processes and windows, where a p95 of p95s means nothing.

Bounds grow by a quarter, so a quantile is off by 12 % at most.
"""

import bisect
from collections.abc import Sequence
from typing import Final

BOUNDS: Final = tuple(0.0005 * 1.25**step for step in range(52))
"""Upper bounds in seconds, from 0.5 ms to about 44 s; one bucket more holds what is longer."""


def empty() -> list[int]:
    """The counts of no observation."""
    return [0] * (len(BOUNDS) + 1)


def bucket_of(seconds: float) -> int:
    """Which count an observation belongs to."""
    return bisect.bisect_left(BOUNDS, seconds)


def quantile_ms(buckets: Sequence[int], quantile: float) -> float | None:
    """The quantile in milliseconds, interpolated within its bucket; None for no observations."""
    total = sum(buckets)
    if not total:
        return None
    rank, seen = quantile * total, 0
    for index, count in enumerate(buckets):
        if count and seen + count >= rank:
            low = BOUNDS[index - 1] if index else 0.0
            high = BOUNDS[index] if index < len(BOUNDS) else low
            return 1000 * (low + (high - low) * (rank - seen) / count)
        seen += count
    return 1000 * BOUNDS[-1]


def count_within(buckets: Sequence[int], seconds: float) -> int:
    """How many observations lasted ``seconds`` at most.

    Of the bucket that the limit lies in a part is counted, as if its observations lay evenly.
    """
    at = bucket_of(seconds)
    below = sum(buckets[:at])
    if at == len(BOUNDS):
        return below
    low = BOUNDS[at - 1] if at else 0.0
    return below + round(buckets[at] * (seconds - low) / (BOUNDS[at] - low))
