"""Requests against a tenant's day and month, counted in blocks: none of them writes a row.

A process draws a block of what is left, in a transaction of its own, and spends it in memory. No
two processes draw the same, so together they admit exactly the quota. A block is a sixteenth of
what is left: at most a thousand, and towards the end one. What is not spent is given back: when
the process ends, when the window does, when the quotas change, and half a minute after the last
request. A process that is killed, or cannot reach the database then, takes its block along: the
tenant is refused that much early. Nothing is ever admitted twice.

Who has no such quota is asked about once, and again when that changes; after that it is a look
into a dictionary.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from backend.core.context import Scope
from backend.core.database import Database
from backend.core.errors import UnavailableError
from backend.managers.tenant._quotas import Quotas, Window, bound

logger = logging.getLogger(__name__)

_WHAT: Final = "requests"
_QUOTAS: Final = frozenset({"requests_a_day", "requests_a_month"})
_PARTS: Final = 16
_MOST_OF_BLOCK: Final = 1000
_IDLE_FLUSHES: Final = 6


class _Block:
    """Requests that this process may admit yet, and the windows that they are counted in."""

    __slots__ = ("idle", "left", "until", "windows")

    def __init__(self, left: int, windows: Mapping[str, Window], until: float) -> None:
        self.left = left
        self.windows = windows
        self.until = until
        self.idle = 0


class RequestQuotas:
    """What this process has drawn of every tenant's requests, and spends.

    Args:
        quotas: Where they are counted.
        monotonic: Seconds that only pass.
    """

    def __init__(self, quotas: Quotas, monotonic: Callable[[], float]) -> None:
        self._quotas = quotas
        self._monotonic = monotonic
        self._free: dict[str, None] = {}
        self._blocks: dict[str, _Block] = {}
        self._unspent: dict[str, Counter[tuple[str, str]]] = {}
        self._drawing: dict[str, asyncio.Task[None]] = {}
        self._generation = 0

    def take(self, database: Database, tenant_id: str) -> Awaitable[None] | None:
        """Count one request: at once, or when a block has been drawn.

        Args:
            database: Where blocks come from.
            tenant_id: Whose request.

        Returns:
            None: it is counted, or the tenant has no such quota; else what to wait for, which
            raises as this does.

        Raises:
            QuotaReachedError: All is used; the request is not counted.
        """
        if tenant_id in self._free or self._spend(tenant_id):
            return None
        self._quotas.refuse_full(tenant_id, _WHAT)
        return self._take_drawn(database, tenant_id)

    def _spend(self, tenant_id: str) -> bool:
        block = self._blocks.get(tenant_id)
        if block is None or not block.left or self._monotonic() >= block.until:
            return False
        block.left -= 1
        block.idle = 0
        return True

    async def _take_drawn(self, database: Database, tenant_id: str) -> None:
        while not (tenant_id in self._free or self._spend(tenant_id)):
            drawing = self._drawing.get(tenant_id)
            if drawing is None:
                # A task of its own: whoever asked first may go, and the others wait for it too.
                drawing = database.background(self._draw(database, tenant_id))
                self._drawing[tenant_id] = drawing
                drawing.add_done_callback(partial(self._drawn, tenant_id))
            await asyncio.shield(drawing)

    def _drawn(self, tenant_id: str, drawing: asyncio.Task[None]) -> None:
        del self._drawing[tenant_id]
        if not drawing.cancelled():
            # Taken here because every request that waited for it may be gone.
            drawing.exception()

    async def _draw(self, database: Database, tenant_id: str) -> None:
        generation = self._generation
        self._put_down(tenant_id)
        # Apart from the draw: together they would lock rows of several windows out of order.
        await self._give_back(database, tenant_id)
        async with database.read(_scope(tenant_id)) as view:
            limits = await self._quotas.of(view, tenant_id)
        if not _QUOTAS & limits.keys():
            if generation == self._generation:
                self._free[tenant_id] = None
                bound(self._free)
            return
        async with database.transaction(_scope(tenant_id)) as tx:
            left = await self._quotas.lock_left(tx, _WHAT)
            size = max(1, min(_MOST_OF_BLOCK, left // _PARTS))
            windows = await self._quotas.charge(tx, _WHAT, size)
            resets_at = min((one.resets_at for one in windows.values()), default=tx.now())
            until = self._monotonic() + (resets_at - tx.now()).total_seconds()
        self._blocks[tenant_id] = _Block(size, windows, until)
        if generation != self._generation:
            # Drawn by limits that have changed meanwhile; whoever waits draws anew.
            self._put_down(tenant_id)

    def _put_down(self, tenant_id: str) -> None:
        """Spend no more of a tenant's block: it is to be given back."""
        block = self._blocks.pop(tenant_id, None)
        if block is not None and block.left:
            unspent = self._unspent.setdefault(tenant_id, Counter())
            for quota, window in block.windows.items():
                unspent[quota, window.name] += block.left

    def forget(self, tenant_id: str) -> None:
        """A tenant's quotas have changed; everybody's, if it is empty."""
        self._generation += 1
        if tenant_id:
            self._free.pop(tenant_id, None)
            self._put_down(tenant_id)
            return
        self._free.clear()
        for each in list(self._blocks):
            self._put_down(each)

    def unspent(self, tenant_id: str) -> Mapping[tuple[str, str], int]:
        """What is counted by quota and window, and not used: of this process alone."""
        found = Counter(self._unspent.get(tenant_id))
        block = self._blocks.get(tenant_id)
        if block is not None:
            for quota, window in block.windows.items():
                found[quota, window.name] += block.left
        return found

    def leave(self, tenant_id: str) -> None:
        """Give nothing back of a tenant whose data goes."""
        self._blocks.pop(tenant_id, None)
        self._unspent.pop(tenant_id, None)

    async def flush(self, database: Database, *, everything: bool = False) -> None:
        """Give back what nobody has asked for in half a minute, or (at the end) all there is."""
        now = self._monotonic()
        for tenant_id, block in list(self._blocks.items()):
            block.idle += 1
            if everything or block.idle > _IDLE_FLUSHES or now >= block.until:
                self._put_down(tenant_id)
        for tenant_id in list(self._unspent):
            try:
                await self._give_back(database, tenant_id)
            except UnavailableError:
                logger.warning("requests_not_given_back", extra={"tenant_id": tenant_id})

    async def _give_back(self, database: Database, tenant_id: str) -> None:
        unspent = self._unspent.pop(tenant_id, None)
        if unspent is None:
            return
        # Once, whatever comes of it: a commit that was not answered may have been one.
        async with database.transaction(_scope(tenant_id)) as tx:
            for (quota, window), amount in sorted(unspent.items()):
                await self._quotas.correct(tx, quota, -amount, window=window)


def _scope(tenant_id: str) -> Scope:
    return Scope(actor="system:tenant", tenant_id=tenant_id)
