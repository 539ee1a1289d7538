"""The metrics room's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.metrics.models import (
    BatchRow,
    ChunkRow,
    MetricTenantRow,
    RequestHourRow,
    RollupRow,
)

ROLLUPS: Final = Errand("metrics.rollups", tables_of(RollupRow, RequestHourRow))
"""Writing what all tenants' requests came to, telling whose are slow, and forgetting it."""
WAITING: Final = Errand("metrics.waiting", tables_of(BatchRow, ChunkRow))
"""Finding tenants whose points or windows wait, and counting them; the work is each tenant's."""
FORGETTING: Final = Errand("metrics.forgetting", tables_of(MetricTenantRow))
"""Finding the tenant whose windows were not looked at for longest."""
