"""The logging room's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.logging.models import (
    LogDeadLetter,
    LogExportRow,
    LogHead,
    LogRecord,
    LogSettingsRow,
)

RETENTION: Final = Errand(
    "logging.retention", tables_of(LogRecord, LogHead, LogSettingsRow, LogExportRow)
)
"""Forgetting lines that tenants keep no longer."""

COUNT: Final = Errand("logging.count", tables_of(LogHead))
"""Counting what came of all tenants, for whoever scrapes."""

EXPORT: Final = Errand("logging.export", tables_of(LogHead, LogExportRow))
"""Finding the tenants that have lines to export; each is exported in its own scope."""

WATCH_EXPORT: Final = Errand("logging.watch_export", tables_of(LogHead, LogExportRow, LogRecord))
"""Counting what the export is behind."""

FORGET_LETTERS: Final = Errand("logging.forget_letters", tables_of(LogExportRow, LogDeadLetter))
"""Forgetting dead letters that nobody has looked at for a long time."""
