"""Tracing: which requests and job attempts become OpenTelemetry spans, and where spans go."""

from backend.core.room import ReadyCheck, Room
from backend.managers.tracing.manager import (
    Collector,
    TracingManager,
    can_export,
    otlp_exporter,
)

ROOM = Room(
    name="tracing",
    manager=TracingManager,
    checks=(
        # Spans may be lost, so the collector is not required; what sends them is, because neither
        # the API nor a worker starts without it.
        ReadyCheck(
            "trace_collector", TracingManager.check_collector, required=lambda _: not can_export()
        ),
    ),
    observe=TracingManager.observe,
    observe_work=TracingManager.observe_attempt,
    serving=TracingManager.serving,
)

__all__ = ["ROOM", "Collector", "TracingManager", "can_export", "otlp_exporter"]
