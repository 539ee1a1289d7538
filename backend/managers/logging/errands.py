"""The logging room's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.logging.models import LogHead, LogRecord, LogSettingsRow

RETENTION: Final = Errand("logging.retention", tables_of(LogRecord, LogHead, LogSettingsRow))
"""Forgetting lines that tenants keep no longer."""

COUNT: Final = Errand("logging.count", tables_of(LogHead))
"""Counting what came of all tenants, for whoever scrapes."""
