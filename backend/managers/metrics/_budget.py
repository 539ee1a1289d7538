"""The budget of a tenant's day: how many observations it may record, whoever records them.

A process takes some out of the tenant's row and spends them from memory, so that recording one
value costs no statement more. What it has not spent when it ends, or the day does, is gone: a
tenant gets a hundredth less than its budget for each process at most, and never more than it.
"""

import asyncio
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, ReadTx, Tx
from backend.managers.metrics.errors import MetricBudgetError
from backend.managers.metrics.models import MetricHeadRow

_DAY_SECONDS: Final = 86_400
_MOST_TAKEN: Final = 10_000
_TAKEN_SHARE: Final = 100


class Allowance:
    """What this process has taken for one tenant and not spent."""

    __slots__ = ("_day", "_left", "_lock")

    def __init__(self) -> None:
        """Nothing is taken yet."""
        self._day = -1
        self._left = 0
        self._lock = asyncio.Lock()

    async def charge(self, database: Database, scope: Scope, points: int, most: int) -> None:
        """Spend so many observations of today's, which are taken first where none is left.

        Args:
            database: For a transaction of its own.
            scope: Of the tenant.
            points: How many.
            most: The tenant's budget of a day.

        Raises:
            MetricBudgetError: The tenant has not so many left today.
        """
        async with self._lock:
            day = _day(database.clock())
            if day != self._day:
                self._day, self._left = day, 0
            if self._left < points:
                async with database.transaction(scope) as tx:
                    taken = await _take(tx, day, points - self._left, most)
                # Only now: what is not committed is nobody's.
                self._left += taken
            self._left -= points


async def find_head(tx: ReadTx) -> MetricHeadRow | None:
    """What came of the tenant; None: nothing yet."""
    found: MetricHeadRow | None = await tx.scalar(
        sa.select(MetricHeadRow).where(MetricHeadRow.tenant_id == tx.tenant_id)
    )
    return found


def used_of(head: MetricHeadRow | None, now: datetime) -> int:
    """How many of today's observations are taken."""
    return head.day_points if head is not None and head.day == _day(now) else 0


async def lock_head(tx: Tx) -> MetricHeadRow:
    """The same, made when there is none, and locked until the transaction ends."""
    row = {"tenant_id": tx.tenant_id, "day": 0, "day_points": 0, "event_seq": 0}
    await tx.insert_missing(MetricHeadRow, [row], conflict=("tenant_id",))
    found: Any = await tx.scalar(
        sa.select(MetricHeadRow).where(MetricHeadRow.tenant_id == tx.tenant_id).with_for_update()
    )
    head: MetricHeadRow = found
    return head


async def _take(tx: Tx, day: int, needed: int, most: int) -> int:
    """Take as many as are needed, and some more if there are; returns how many."""
    head = await lock_head(tx)
    # A clock that is behind does not give a day that has ended back.
    if head.day < day:
        head.day, head.day_points = day, 0
    left = most - head.day_points
    if left < needed:
        wait = _DAY_SECONDS - int(tx.now().timestamp()) % _DAY_SECONDS
        raise MetricBudgetError(
            f"A tenant records at most {most} observations a day",
            headers={"Retry-After": str(wait)},
        )
    taken = min(left, max(needed, min(_MOST_TAKEN, most // _TAKEN_SHARE)))
    head.day_points += taken
    return taken


def _day(at: datetime) -> int:
    return int(at.timestamp()) // _DAY_SECONDS
