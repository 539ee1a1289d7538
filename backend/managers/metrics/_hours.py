"""Hours of requests: what ninety days are drawn from, when ten seconds each would be too many rows.

An hour is not added to but made anew of the ten seconds that it is made of, so making it twice
changes nothing, and several workers may. It is made again when it counts another number of requests
than they do: a process whose database was away writes hours late.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx
from backend.kit.histogram import empty
from backend.managers.metrics.errands import ROLLUPS
from backend.managers.metrics.models import RequestHourRow, RollupRow

HOUR_SECONDS: Final = 3600
FOLD_HOURS_SECONDS: Final = 300
_HOUR: Final = timedelta(seconds=HOUR_SECONDS)
_LATE: Final = timedelta(hours=3)
"""Of hours that are made already so many are compared again."""
_AT_ONCE: Final = 500
_SUMMED: Final = ("requests", "errors", "refusals", "seconds_sum")


async def fold_hours(database: Database) -> int:
    """Make the hours that are over and not yet, or no longer, what was counted; returns how many.

    The first time it makes those of all that is kept, five hundred a call.
    """
    async with database.read(SystemScope(ROLLUPS)) as tx:
        due = [one async for one in _find_due(tx)]
    for tenant_id, hour in due:
        async with database.transaction(SystemScope(ROLLUPS)) as tx:
            rows = await tx.scalars(
                sa.select(RollupRow).where(
                    RollupRow.tenant_id == tenant_id,
                    RollupRow.window_at >= hour,
                    RollupRow.window_at < hour + _HOUR,
                )
            )
            made = _summed(rows)
            await tx.upsert(
                RequestHourRow,
                {"tenant_id": tenant_id, "hour_at": hour, **made},
                conflict=["tenant_id", "hour_at"],
                update=made,
            )
    return len(due)


async def _find_due(tx: ReadTx) -> AsyncIterator[tuple[str, datetime]]:
    newest = await tx.scalar(sa.select(sa.func.max(RequestHourRow.hour_at)))
    here = newest - _LATE if newest is not None else datetime.fromtimestamp(0, UTC)
    end = hour_of(tx.now())
    found = 0
    while found < _AT_ONCE:
        # From one hour with requests to the next: a night without any costs nothing.
        first = await tx.scalar(
            sa.select(sa.func.min(RollupRow.window_at)).where(
                RollupRow.window_at >= here, RollupRow.window_at < end
            )
        )
        if first is None:
            return
        hour = hour_of(first)
        counted = await tx.execute(
            sa.select(RollupRow.tenant_id, sa.func.sum(RollupRow.requests))
            .where(RollupRow.window_at >= hour, RollupRow.window_at < hour + _HOUR)
            .group_by(RollupRow.tenant_id)
        )
        made = await tx.execute(
            sa.select(RequestHourRow.tenant_id, RequestHourRow.requests).where(
                RequestHourRow.hour_at == hour
            )
        )
        kept = {tenant_id: requests for tenant_id, requests in made}  # noqa: C416 - rows are no pairs to mypy
        for tenant_id, requests in counted:
            if kept.get(tenant_id) != requests:
                found += 1
                yield tenant_id, hour
        here = hour + _HOUR


def hour_of(at: datetime) -> datetime:
    """When the hour of a time began."""
    return at.replace(minute=0, second=0, microsecond=0)


def _summed(rows: Iterable[RollupRow]) -> dict[str, Any]:
    made: dict[str, Any] = dict.fromkeys(_SUMMED, 0) | {"buckets": empty()}
    for row in rows:
        for name in _SUMMED:
            made[name] += getattr(row, name)
        made["buckets"] = [a + b for a, b in zip(made["buckets"], row.buckets, strict=True)]
    return made
