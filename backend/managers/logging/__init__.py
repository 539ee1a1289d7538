"""Logs: lines of tenants' programs, taken in, searched, and kept as long as their tenant says.

Owns ``log_records``, ``log_heads`` and ``log_settings``. Audits ``log_settings.changed``. Signals
``log_settings`` (a tenant's settings are to be asked for again).
"""

from backend.core.room import ADMIN, OPERATOR, VIEWER, WORKFLOW, FleetGauge, Room, RouteClass, Sweep
from backend.managers.logging._lines import LEVELS
from backend.managers.logging._redaction import KINDS, Pattern
from backend.managers.logging._search import (
    Found,
    Line,
    Summary,
    Wanted,
    find_around,
    find_lines,
    follow,
    get_line,
    sum_up,
)
from backend.managers.logging.data_plane import DATA_ROUTES, PATH
from backend.managers.logging.errands import COUNT, RETENTION
from backend.managers.logging.errors import (
    LogBatchDamagedError,
    LogBatchTooLargeError,
    LogBudgetError,
    LogRecordNotFoundError,
    LogSearchError,
    LogSettingsChangedError,
    LogSettingsInvalidError,
)
from backend.managers.logging.manager import (
    SETTINGS_CHANGED,
    KeepRule,
    LoggingManager,
    LogSettings,
)
from backend.managers.logging.models import LogHead, LogRecord, LogSettingsRow
from backend.managers.logging.routes import router
from backend.managers.logging.settings import LoggingSettings

ROOM = Room(
    name="logging",
    manager=LoggingManager,
    models=(LogRecord, LogHead, LogSettingsRow),
    permissions={
        "log:read": VIEWER,
        "log:write": OPERATOR | WORKFLOW,
        "log_settings:write": ADMIN,
    },
    errands=(RETENTION, COUNT),
    routers=(router,),
    data_routes=DATA_ROUTES,
    route_classes=(
        RouteClass(
            "logs",
            PATH,
            body_bytes=lambda settings: settings.max_body_bytes,
            rate=lambda settings: (settings.requests_per_second, settings.burst_requests),
        ),
    ),
    sweeps=(Sweep(RETENTION, LoggingManager.sweep),),
    erasures={LogRecord.__tablename__: LoggingManager.erase},
    gauges=(
        FleetGauge(
            "email_sender_logging_lines",
            "Log lines that came of all tenants, by what became of them.",
            COUNT,
            LoggingManager.count_taken,
            label="outcome",
            values=("kept", "refused"),
        ),
    ),
)

__all__ = [
    "COUNT",
    "KINDS",
    "LEVELS",
    "RETENTION",
    "ROOM",
    "SETTINGS_CHANGED",
    "Found",
    "KeepRule",
    "Line",
    "LogBatchDamagedError",
    "LogBatchTooLargeError",
    "LogBudgetError",
    "LogRecordNotFoundError",
    "LogSearchError",
    "LogSettings",
    "LogSettingsChangedError",
    "LogSettingsInvalidError",
    "LoggingManager",
    "LoggingSettings",
    "Pattern",
    "Summary",
    "Wanted",
    "find_around",
    "find_lines",
    "follow",
    "get_line",
    "sum_up",
]
