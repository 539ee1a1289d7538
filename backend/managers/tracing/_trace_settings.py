"""What a tenant wants of its traces, and what became of its spans."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.managers.tracing._store import Counts, policy
from backend.managers.tracing.errors import KeptTooLongError
from backend.managers.tracing.models import CountRow, TraceSettingsRow
from backend.managers.tracing.settings import TracingSettings

CHANGED: Final = "trace_settings.changed"
SETTINGS_CHANGED: Final = "trace_settings"
"""The signal that a tenant has changed its settings; the payload is the tenant."""


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What holds, the tenant's own words, and today's counts."""

    share: float
    keep_days: int
    keep_sampled: bool
    own_share: float | None
    own_keep_days: int | None
    max_keep_days: int
    updated_at: datetime | None
    updated_by: str | None
    today: Counts | CountRow


class TenantTraceSettings:
    """One row a tenant; without it the operator's settings hold."""

    def __init__(self, settings: TracingSettings) -> None:
        self._settings = settings

    async def get(self, tx: ReadTx) -> TraceSettings:
        """What holds for the transaction's tenant."""
        row = await tx.scalar(sa.select(TraceSettingsRow))
        return await self._view(tx, row)

    async def put(
        self, tx: Tx, *, share: float | None, keep_days: int | None, keep_sampled: bool
    ) -> TraceSettings:
        """Say what is kept from now on, and for how long; every process knows within seconds.

        Raises:
            KeptTooLongError: For longer than the operator allows.
        """
        row = await tx.scalar(sa.select(TraceSettingsRow).with_for_update())
        most = self._settings.max_keep_days
        if keep_days is not None and keep_days > most:
            raise KeptTooLongError(f"At most {most} days").at("keep_days")
        if row is None:
            row = TraceSettingsRow(tenant_id=tx.tenant_id)
            tx.session.add(row)
        row.share, row.keep_days, row.keep_sampled = share, keep_days, keep_sampled
        row.updated_at, row.updated_by = tx.now(), tx.scope.actor
        tx.audit(
            CHANGED,
            f"tenant:{tx.tenant_id}",
            share=None if share is None else str(share),
            keep_days=keep_days,
            keep_sampled=keep_sampled,
        )
        tx.signal(SETTINGS_CHANGED, str(tx.tenant_id))
        return await self._view(tx, row)

    async def _view(self, tx: ReadTx, row: TraceSettingsRow | None) -> TraceSettings:
        day = tx.now().date().isoformat()
        today = await tx.scalar(sa.select(CountRow).where(CountRow.day == day))
        held = policy(row or TraceSettingsRow(keep_sampled=True), self._settings)
        return TraceSettings(
            share=held.share,
            keep_days=held.keep_days,
            keep_sampled=held.keep_sampled,
            own_share=row.share if row else None,
            own_keep_days=row.keep_days if row else None,
            max_keep_days=self._settings.max_keep_days,
            updated_at=row.updated_at if row else None,
            updated_by=row.updated_by if row else None,
            today=today or Counts(),
        )
