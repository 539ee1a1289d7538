"""The series of event cursors: how far each is behind, and how often its consumer failed."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.core.cursors import CursorState


class EventSeries(Collector):
    """Gauges of the fleet, once somebody has asked the database, and this process's failures.

    A process that never asks shows no lag, rather than a reassuring zero.
    """

    def __init__(self, fleet: CollectorRegistry, process: CollectorRegistry) -> None:
        self._states: Sequence[CursorState] | None = None
        self._dropped = 0
        self._failures = Counter(
            "email_sender_core_events_failures",
            "Calls of this process's event consumers that failed.",
            ["cursor"],
            registry=process,
        )
        fleet.register(self)

    def count_failure(self, cursor: str) -> None:
        """A consumer raised, or took too long."""
        self._failures.labels(cursor).inc()

    def update(self, states: Sequence[CursorState], dropped_unread: int) -> None:
        """What the database says now."""
        self._states, self._dropped = states, dropped_unread

    def collect(self) -> Iterable[Metric]:
        """The gauges, for the registry."""
        if self._states is None:
            return
        seconds = GaugeMetricFamily(
            "email_sender_core_events_lag_seconds",
            "Age of the oldest event that a cursor has not read.",
            labels=["cursor"],
        )
        count = GaugeMetricFamily(
            "email_sender_core_events_lag_events",
            "Events that a cursor has not read.",
            labels=["cursor"],
        )
        for state in self._states:
            seconds.add_metric([state.name], state.lag_seconds)
            count.add_metric([state.name], state.behind)
        yield seconds
        yield count
        yield GaugeMetricFamily(
            "email_sender_core_events_dropped_unread",
            "Events that went before every cursor had read them.",
            value=self._dropped,
        )
