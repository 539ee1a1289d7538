"""Turns of costly work, so that no tenant gets all threads."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar
from weakref import WeakValueDictionary

# Threads that prepare messages and templates, over all tenants. More would only fight for the
# interpreter.
_PREPARING: Final = 4

_T = TypeVar("_T")


class Turns:
    """Runs costly work off the event loop, one at a time a tenant."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._threads = asyncio.Semaphore(_PREPARING)

    async def run(self, tenant_id: str, work: Callable[[], _T]) -> _T:
        """Return what ``work`` returns, once it is this tenant's turn and a thread is free."""
        turn = self._turns.setdefault(tenant_id, asyncio.Lock())
        async with turn, self._threads:
            return await asyncio.to_thread(work)
