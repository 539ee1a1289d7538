"""The monitoring room's work for the platform."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.monitoring.models import HealthSampleRow

HISTORY: Final = Errand(
    "monitoring.history", tables_of(HealthSampleRow), of_platform=True, confined=True
)
"""Keeping, reading and forgetting how the platform was."""
