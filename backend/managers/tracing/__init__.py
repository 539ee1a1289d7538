"""Tracing: which requests and job attempts become OpenTelemetry spans, and where spans go."""

from backend.managers.tracing.manager import (
    Collector,
    TracingManager,
    can_export,
    otlp_exporter,
)

__all__ = ["Collector", "TracingManager", "can_export", "otlp_exporter"]
