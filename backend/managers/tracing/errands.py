"""The tracing room's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.tracing.models import (
    CountRow,
    OperationRow,
    SpanRow,
    TraceRow,
    TraceSettingsRow,
)

TRACES: Final = Errand(
    "tracing.traces", tables_of(TraceRow, SpanRow, OperationRow, CountRow, TraceSettingsRow)
)
"""Knowing what each tenant wants kept, counting its spans, and forgetting them in time."""
