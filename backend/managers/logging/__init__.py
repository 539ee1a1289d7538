"""Logs: lines of tenants' programs, taken in, searched, and kept as long as their tenant says.

Owns ``log_records``, ``log_heads``, ``log_settings``, ``log_exports`` and ``log_dead_letters``.
Audits ``log_settings.changed``, ``log_dead_letters.retried`` and ``.discarded``. Signals
``log_settings`` (a tenant's settings are to be asked for again).
"""

from backend.core.room import (
    ADMIN,
    OPERATOR,
    VIEWER,
    WORKFLOW,
    FleetCheck,
    FleetGauge,
    Room,
    RouteClass,
    Sweep,
    Tick,
)
from backend.managers.logging._export import DeadLetter, ExportState, LogExport
from backend.managers.logging._index import LogIndex
from backend.managers.logging._lines import LEVELS, KeepRule
from backend.managers.logging._patterns import Pattern as FoundPattern
from backend.managers.logging._redaction import KINDS, Pattern
from backend.managers.logging._search import (
    Found,
    Line,
    Store,
    Summary,
    Wanted,
    find_around,
    find_lines,
    find_warned,
    follow,
    get_line,
    sum_up,
)
from backend.managers.logging.errands import (
    COUNT,
    EXPORT,
    FORGET_LETTERS,
    RETENTION,
    WATCH_EXPORT,
)
from backend.managers.logging.errors import (
    LogBatchDamagedError,
    LogBatchTooLargeError,
    LogBudgetError,
    LogExportBehindError,
    LogRecordNotFoundError,
    LogSearchError,
    LogSettingsChangedError,
    LogSettingsInvalidError,
)
from backend.managers.logging.manager import (
    OTLP_PATH,
    PATH,
    SETTINGS_CHANGED,
    LoggingManager,
    LogSettings,
)
from backend.managers.logging.models import (
    LogDeadLetter,
    LogExportRow,
    LogHead,
    LogRecord,
    LogSettingsRow,
)
from backend.managers.logging.settings import LoggingSettings

ROOM = Room(
    name="logging",
    manager=LoggingManager,
    models=(LogRecord, LogHead, LogSettingsRow, LogExportRow, LogDeadLetter),
    permissions={
        "log:read": VIEWER,
        "log:write": OPERATOR | WORKFLOW,
        "log_settings:write": ADMIN,
        "log_export:write": ADMIN,
    },
    errands=(RETENTION, COUNT, EXPORT, WATCH_EXPORT, FORGET_LETTERS),
    routers=(
        "backend.managers.logging.routes:router",
        "backend.managers.logging.export_routes:router",
    ),
    document="backend.managers.logging.data_plane:DOCUMENT",
    data_routes="backend.managers.logging.data_plane:DATA_ROUTES",
    route_classes=(
        RouteClass(
            "logs",
            PATH,
            body_bytes=lambda settings: settings.max_body_bytes,
            rate=lambda settings: (settings.requests_per_second, settings.burst_requests),
        ),
        RouteClass(
            "otlp_logs",
            OTLP_PATH,
            body_bytes=lambda settings: settings.max_body_bytes,
            rate=lambda settings: (settings.requests_per_second, settings.burst_requests),
        ),
    ),
    ticks=(Tick("logging.export", 1, lambda logs, database: logs.export.push_due(database)),),
    fleet_checks=(FleetCheck("log_export", WATCH_EXPORT, lambda logs, tx: logs.export.check(tx)),),
    sweeps=(
        Sweep(RETENTION, LoggingManager.sweep),
        Sweep(FORGET_LETTERS, lambda logs, tx: logs.export.sweep(tx)),
    ),
    erasures={
        LogRecord.__tablename__: LoggingManager.erase,
        LogDeadLetter.__tablename__: lambda logs, tx, who, after: logs.export.erase(tx, who, after),
    },
    pauses=(lambda logs, tx, at: logs.export.tell_running_since(tx, at),),
    gauges=(
        FleetGauge(
            "email_sender_logging_lines",
            "Log lines that came of all tenants, by what became of them.",
            COUNT,
            LoggingManager.count_taken,
            label="outcome",
            values=("kept", "refused"),
        ),
        FleetGauge(
            "email_sender_logging_export_lag_records",
            "Log lines that are not exported to Elasticsearch yet, while it is configured.",
            WATCH_EXPORT,
            lambda logs, tx: logs.export.count_behind(tx),
        ),
        FleetGauge(
            "email_sender_logging_export_lag_seconds",
            "How long the first of these has waited.",
            WATCH_EXPORT,
            lambda logs, tx: logs.export.count_seconds(tx),
        ),
        FleetGauge(
            "email_sender_logging_export_lines",
            "Log lines by what became of them on their way to Elasticsearch.",
            WATCH_EXPORT,
            lambda logs, tx: logs.export.count_lines(tx),
            label="outcome",
            values=("exported", "dead", "forgotten", "lost"),
        ),
    ),
)

__all__ = [
    "COUNT",
    "EXPORT",
    "FORGET_LETTERS",
    "KINDS",
    "LEVELS",
    "RETENTION",
    "ROOM",
    "SETTINGS_CHANGED",
    "WATCH_EXPORT",
    "DeadLetter",
    "ExportState",
    "Found",
    "FoundPattern",
    "KeepRule",
    "Line",
    "LogBatchDamagedError",
    "LogBatchTooLargeError",
    "LogBudgetError",
    "LogExport",
    "LogExportBehindError",
    "LogIndex",
    "LogRecordNotFoundError",
    "LogSearchError",
    "LogSettings",
    "LogSettingsChangedError",
    "LogSettingsInvalidError",
    "LoggingManager",
    "LoggingSettings",
    "Pattern",
    "Store",
    "Summary",
    "Wanted",
    "find_around",
    "find_lines",
    "find_warned",
    "follow",
    "get_line",
    "sum_up",
]
