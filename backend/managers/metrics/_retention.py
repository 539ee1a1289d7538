"""How long windows of each length stay: the platform's days, unless a tenant says others."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.managers.metrics._budget import find_head, used_of
from backend.managers.metrics._recording import make_tenant
from backend.managers.metrics._windows import STEPS
from backend.managers.metrics.errors import RetentionOrderError
from backend.managers.metrics.models import MetricTenantRow
from backend.managers.metrics.settings import MetricsSettings

KEEP_DAYS: Final[Mapping[int, int]] = {10: 2, 60: 14, 600: 90, 3600: 400}
"""Unless a tenant says otherwise, by length in seconds."""
CHANGED: Final = "metric_settings.changed"


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """What holds for a tenant's series.

    Attributes:
        keep_days: By length of a window in seconds.
        series: How many it has.
        max_series: How many it may have.
        points_today: Observations of today, UTC, that processes have taken out of its budget.
        max_points_a_day: How many there may be.
        updated_at: When somebody changed what is kept.
        updated_by: Who did.
    """

    keep_days: Mapping[int, int]
    series: int
    max_series: int
    points_today: int
    max_points_a_day: int
    updated_at: datetime | None
    updated_by: str | None


def keep_days_of(row: MetricTenantRow | None) -> dict[int, int]:
    """Days by length of a window in seconds."""
    if row is None or row.keep_days is None:
        return dict(KEEP_DAYS)
    return {step: int(row.keep_days[str(step)]) for step in STEPS}


class Retention:
    """How long each tenant's windows are kept."""

    def __init__(self, settings: MetricsSettings) -> None:
        self._settings = settings

    async def get(self, tx: ReadTx) -> MetricSettings:
        """What holds for the tenant."""
        row = await tx.scalar(
            sa.select(MetricTenantRow).where(MetricTenantRow.tenant_id == tx.tenant_id)
        )
        return await self._view(tx, row)

    async def put(self, tx: Tx, keep_days: Mapping[int, int]) -> MetricSettings:
        """Keep windows of each length for so many days; what is older goes within the hour.

        Raises:
            RetentionOrderError: Windows of some length would go before those they are made of.
        """
        row = await make_tenant(tx)
        for shorter, longer in pairwise(STEPS):
            if keep_days[longer] < keep_days[shorter]:
                raise RetentionOrderError(
                    f"Windows of {longer} s stay at least as long as those of {shorter} s"
                )
        before = keep_days_of(row)
        row.keep_days = {str(step): keep_days[step] for step in STEPS}
        row.updated_at, row.updated_by = tx.now(), tx.scope.actor
        tx.audit(
            CHANGED,
            f"tenant:{tx.tenant_id}",
            keep_days=row.keep_days,
            before={str(step): days for step, days in before.items()},
        )
        return await self._view(tx, row)

    async def _view(self, tx: ReadTx, row: MetricTenantRow | None) -> MetricSettings:
        return MetricSettings(
            keep_days_of(row),
            row.series if row else 0,
            self._settings.series_per_tenant,
            used_of(await find_head(tx), tx.now()),
            self._settings.day_points,
            row.updated_at if row else None,
            row.updated_by if row else None,
        )
