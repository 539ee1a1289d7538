"""Sealed tenants: whose keys nobody uses, in any process, within a second of being sealed.

The row is the seal. Whoever uses a named key asks for it in the transaction that records the use,
so that is exact. The data keys are asked for too often for that: a process looks at all seals twice
a second and believes what it saw for less than one; who cannot look asks in its own transaction. A
signal makes it look sooner; a lost one costs nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from backend.core.clock import monotonic as system_monotonic
from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import UnavailableError
from backend.managers.security.errands import SEALS
from backend.managers.security.errors import SealedError
from backend.managers.security.models import SealRow

logger = logging.getLogger(__name__)

SEAL_CHANGED: Final = "security_seal"
"""The signal that a tenant was sealed or unsealed; its payload is the tenant's id."""
LOOK_SECONDS: Final = 0.4
_BELIEVED_SECONDS: Final = 0.8
_NEVER: Final = float("-inf")


async def pause(stopping: asyncio.Event, seconds: float = LOOK_SECONDS) -> None:
    """Wait for the next look, or for the end."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


@dataclass(frozen=True, slots=True)
class Seal:
    """Why, since when and by whom a tenant is sealed."""

    reason: str
    sealed_at: datetime
    sealed_by: str


class Seals:
    """Which tenants are sealed, as this process knows it.

    Args:
        forget: Called with the ids of tenants whose keys must leave memory.
        monotonic: Seconds that only pass.
    """

    def __init__(
        self,
        forget: Callable[[Collection[str]], None],
        *,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._forget = forget
        self._monotonic = monotonic
        self._sealed: frozenset[str] = frozenset()
        self._looked_at = _NEVER

    async def find(self, tx: ReadTx) -> Seal | None:
        """The seal of the transaction's tenant; asks the database."""
        row = await tx.scalar(sa.select(SealRow).where(SealRow.tenant_id == tx.tenant_id))
        return None if row is None else Seal(row.reason, row.sealed_at, row.sealed_by)

    async def put(self, tx: Tx, reason: str) -> bool:
        """Seal the transaction's tenant; whether it was not. All processes are told."""
        row = {
            "tenant_id": tx.tenant_id,
            "reason": reason,
            "sealed_at": tx.now(),
            "sealed_by": tx.scope.actor,
        }
        new = await tx.insert_new(SealRow, row, conflict=["tenant_id"])
        tx.signal(SEAL_CHANGED, tx.tenant_id)
        return new

    async def lift(self, tx: Tx) -> bool:
        """Unseal the transaction's tenant; whether it was sealed."""
        gone = await tx.delete_some(SealRow, SealRow.tenant_id == tx.tenant_id, limit=1)
        tx.signal(SEAL_CHANGED, tx.tenant_id)
        return gone > 0

    async def refuse(self, tx: ReadTx) -> None:
        """Refuse what would use a sealed tenant's keys.

        Raises:
            SealedError: The transaction's tenant is sealed.
        """
        if self._monotonic() - self._looked_at < _BELIEVED_SECONDS:
            sealed = tx.tenant_id in self._sealed
        else:
            sealed = await self.find(tx) is not None
        if sealed:
            self._forget((tx.tenant_id,))
            raise SealedError

    def hear(self, tenant_id: str) -> None:
        """Take the signal: nothing is believed before the next look."""
        self._looked_at = _NEVER
        self._forget((tenant_id,))

    async def look(self, database: Database) -> None:
        """Read all seals, and drop the keys of whoever has one.

        Raises:
            DatabaseUnavailableError: What was seen before is believed for its time and no longer.
        """
        # Before the look: what is committed while it lasts may not be in it.
        began = self._monotonic()
        async with database.read(SystemScope(SEALS)) as view:
            sealed = frozenset(await view.scalars(sa.select(SealRow.tenant_id)))
        # Each time, not of new seals alone: who had asked before the seal was there may only now
        # have put into memory what it was given.
        if sealed:
            self._forget(sealed)
        self._sealed, self._looked_at = sealed, began

    async def watch(self, database: Database, stopping: asyncio.Event) -> None:
        """Look twice a second until ``stopping`` is set; a look that has begun is ended."""
        while not stopping.is_set():
            try:
                await self.look(database)
            except UnavailableError:
                logger.warning("seals_wait_for_the_database")
            except Exception:
                logger.exception("seals_not_read")
            await pause(stopping)
