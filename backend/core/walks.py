"""Long walks over what tenants keep: a step at a time, in turns, at a bounded rate.

A walk is a row of a room's own, which says whose it is and how far. Here is only who takes which
step when: no tenant waits for the end of another's walk, one worker at a time walks, and whatever
kills it, the next one goes on from the last commit.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from backend.core.context import Errand, Scope, SystemScope
from backend.core.database import Database, DatabaseUnavailableError, ReadTx, Tx
from backend.core.errors import AppError
from backend.core.ids import uuid7

logger = logging.getLogger(__name__)

_LEASE_SECONDS: Final = 10.0
_TURN_SECONDS: Final = 20.0


class Walks(Protocol):
    """The walks of one kind, of any tenants."""

    async def due(self, view: ReadTx) -> Sequence[str]:
        """The tenants whose walks are due, in turn; a bounded number."""

    async def step(self, database: Database, tenant_id: str) -> int:
        """Take a tenant's walk a step further; how many rows were looked at."""

    async def put_off(self, tx: Tx) -> None:
        """Have the tenant's walk wait, whose step has failed.

        Else the first ones that fail would be all that is ever due.
        """


class Walker:
    """Takes every walk of one kind that is due a step further, again and again.

    Args:
        walks: Which.
        errand: Under which it is looked up whose are due; its name is the lease's.
        actor: Whose acts the steps are.
        rows_per_second: Looked at by all of them together.
    """

    def __init__(self, walks: Walks, errand: Errand, *, actor: str, rows_per_second: float) -> None:
        self._walks = walks
        self._scope = SystemScope(errand, actor=actor)
        self._rows_per_second = rows_per_second
        self._holder = f"{errand.name}:{uuid7()}"

    async def run_due(self, database: Database) -> None:
        """Take all that are due a step further, in turns, for some seconds.

        One worker at a time, by a lease that ends by itself; two would undo nothing, and only look
        at the same rows.

        Raises:
            DatabaseUnavailableError: The walks go on when it is back.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + _TURN_SECONDS
        while loop.time() < ends:
            async with database.read(self._scope) as view:
                tenants = await self._walks.due(view)
            if not tenants or not await self.has_turn(database):
                return
            for tenant_id in tenants:
                seen = await self._step_safely(database, tenant_id)
                await asyncio.sleep(max(seen, 1) / self._rows_per_second)

    async def has_turn(self, database: Database) -> bool:
        """Whether it is this worker's, for some seconds from now."""
        async with database.transaction(self._scope) as tx:
            return await tx.take_lease(self._scope.errand.name, self._holder, _LEASE_SECONDS)

    async def _step_safely(self, database: Database, tenant_id: str) -> int:
        """A step; one that fails is tried again later, and is no other tenant's failure."""
        told = {"errand": self._scope.errand.name, "tenant_id": tenant_id}
        try:
            return await self._walks.step(database, tenant_id)
        except DatabaseUnavailableError:
            raise
        except AppError as exc:
            logger.warning("walk_step_failed", extra={**told, "code": exc.code})
        except Exception:
            logger.exception("walk_step_failed", extra=told)
        async with database.transaction(Scope(self._scope.actor, tenant_id)) as tx:
            await self._walks.put_off(tx)
        return 0
