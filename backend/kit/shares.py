"""Shares of what all tenants use together."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Shares:
    """At most ``each`` at a time for one holder, and ``total`` for all of them."""

    def __init__(self, each: int, total: int | None = None) -> None:
        self._each = each
        self._total = None if total is None else asyncio.Semaphore(total)
        self._held: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, holder: Hashable) -> AsyncIterator[None]:
        """Wait for a place. Who waits for its own share stands in nobody else's way."""
        share = self._held.get(holder)
        if share is None:
            share = self._held[holder] = asyncio.Semaphore(self._each)
        async with share:
            if self._total is None:
                yield
            else:
                async with self._total:
                    yield
