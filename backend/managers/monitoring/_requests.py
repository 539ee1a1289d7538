"""How long requests took, by route: a histogram in the form that Prometheus reads.

The client library's own takes a lock and walks the bounds for each of them, and they come by the
ten thousand a second.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from backend.core.telemetry import RequestRecord

_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LABELS: Final = (*(str(bound) for bound in _BOUNDS), "+Inf")
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class RequestSeries(Collector):
    """What this process served: counts and seconds by method, route and status."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], list[int]] = {}
        self._seconds: dict[tuple[str, str, int], float] = {}

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Count finished requests."""
        counts, seconds = self._counts, self._seconds
        for record in records:
            # Callers choose methods, and every new one would stay a series for each route.
            method = record.method if record.method in _METHODS else "other"
            key = method, record.route, record.status
            found = counts.get(key)
            if found is None:
                found = counts[key] = [0] * len(_LABELS)
                seconds[key] = 0.0
            found[bisect_left(_BOUNDS, record.seconds)] += 1
            seconds[key] += record.seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The series, each bucket with what is below it."""
        family = HistogramMetricFamily(
            "http_request_duration_seconds",
            "Time to serve a request, by route template.",
            labels=["method", "endpoint", "status"],
        )
        for (method, route, status), counts in self._counts.items():
            family.add_metric(
                [method, route, str(status)],
                list(zip(_LABELS, accumulate(counts), strict=True)),
                self._seconds[method, route, status],
            )
        yield family
