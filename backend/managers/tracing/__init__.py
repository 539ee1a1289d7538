"""Tracing: spans in by OTLP, which of them and of our own are kept, and where they are found.

Owns ``traces``, ``trace_spans``, ``trace_operations``, ``trace_counts`` and ``trace_settings``.
Signals ``trace_settings`` (a tenant's settings are to be asked for again).
"""

from backend.core.room import (
    ADMIN,
    OPERATOR,
    VIEWER,
    WORKFLOW,
    ReadyCheck,
    Room,
    RouteClass,
    Sweep,
    Tick,
)
from backend.managers.tracing._search import Operation, WantedTraces, add_up
from backend.managers.tracing._trace_settings import SETTINGS_CHANGED
from backend.managers.tracing.errands import TRACES
from backend.managers.tracing.manager import (
    OTLP_PATH,
    Collector,
    TracingManager,
    can_export,
    otlp_exporter,
)
from backend.managers.tracing.models import (
    CountRow,
    OperationRow,
    SpanRow,
    TraceRow,
    TraceSettingsRow,
)
from backend.managers.tracing.settings import TracingSettings

ROOM = Room(
    name="tracing",
    manager=TracingManager,
    models=(TraceRow, SpanRow, OperationRow, CountRow, TraceSettingsRow),
    permissions={
        "trace:read": VIEWER | WORKFLOW,
        "trace:write": OPERATOR | WORKFLOW,
        "trace_settings:write": ADMIN,
    },
    errands=(TRACES,),
    routers=("backend.managers.tracing.routes:router",),
    document="backend.managers.tracing.data_plane:DOCUMENT",
    data_routes="backend.managers.tracing.data_plane:DATA_ROUTES",
    route_classes=(
        RouteClass(
            "otlp",
            OTLP_PATH,
            body_bytes=lambda settings: settings.body_limit_bytes,
            rate=lambda settings: (settings.requests_per_second, settings.burst_requests),
        ),
    ),
    ticks=(
        Tick("tracing.flush_api", 1, lambda one, database: one.store.flush(database), "api"),
        Tick("tracing.flush_worker", 1, lambda one, database: one.store.flush(database)),
    ),
    sweeps=(Sweep(TRACES, lambda tracing, tx: tracing.store.sweep(tx)),),
    checks=(
        # Spans may be lost, so the collector is not required; what sends them is, because neither
        # the API nor a worker starts without it.
        ReadyCheck(
            "trace_collector",
            TracingManager.check_collector,
            required=lambda _: not can_export(),
            applies=lambda tracing: tracing.has_collector,
        ),
    ),
    observe=TracingManager.observe,
    observe_work=TracingManager.observe_attempt,
    serving=TracingManager.serving,
)

__all__ = [
    "OTLP_PATH",
    "ROOM",
    "SETTINGS_CHANGED",
    "Collector",
    "Operation",
    "TracingManager",
    "TracingSettings",
    "WantedTraces",
    "add_up",
    "can_export",
    "otlp_exporter",
]
