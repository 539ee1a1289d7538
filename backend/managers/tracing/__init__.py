"""Tracing: which finished requests become OpenTelemetry spans, and where spans go."""

from backend.managers.tracing.manager import TracingManager, otlp_exporter

__all__ = ["TracingManager", "otlp_exporter"]
