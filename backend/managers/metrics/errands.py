"""The metrics room's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.metrics.models import RollupRow

ROLLUPS: Final = Errand("metrics.rollups", tables_of(RollupRow))
"""Writing what all tenants' requests came to, and forgetting it."""
