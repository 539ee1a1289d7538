"""Turns of costly work beside the event loop, so that no tenant gets all threads or all time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from backend.core.clock import monotonic

LARGE_BYTES: Final = 256 * 1024
"""Work on more than this is done in a thread; below, a thread costs more than it saves."""
# Threads over all tenants. More would only fight for the interpreter.
_THREADS: Final = 4
# A thread that computes takes the interpreter from the event loop for as long as a call into C
# lasts, again and again. Whoever always has the next piece of work ready gets a quarter of the
# time; so much of it may be had at once.
_SHARE: Final = 1 / 4
_BURST_SECONDS: Final = 0.5
_MOST_REST_SECONDS: Final = 2.0
# Of work in small steps on the event loop itself: what each step of a request may have to wait.
_SLICE_SECONDS: Final = 0.002
_FORGET_AT: Final = 256

_T = TypeVar("_T")


class _Turn:
    """One tenant's place: who is at work, and the moment up to which the share is used."""

    __slots__ = ("lock", "used_until", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.used_until = 0.0
        self.waiting = 0


class Turns:
    """Runs costly work off the event loop: a tenant's one at a time, for a quarter of the time.

    What is over that delays the tenant's own next work, by two seconds at most. Belongs to one
    event loop.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._turns: dict[str, _Turn] = {}
        self._threads = asyncio.Semaphore(_THREADS)
        self._slice = asyncio.Lock()

    async def run(self, tenant_id: str, work: Callable[[], _T]) -> _T:
        """Return what ``work`` returns, once it is this tenant's turn and a thread is free."""
        async with self._turn_of(tenant_id) as turn:
            rest = turn.used_until - _BURST_SECONDS - self._clock()
            if rest > 0:
                await asyncio.sleep(rest)
            async with self._threads:
                began = self._clock()
                try:
                    return await asyncio.to_thread(work)
                finally:
                    now = self._clock()
                    turn.used_until = min(
                        max(turn.used_until, began) + (now - began) / _SHARE,
                        now + _MOST_REST_SECONDS + _BURST_SECONDS,
                    )

    async def slices(self, tenant_id: str, work: Generator[None, None, _T]) -> _T:
        """Return what ``work`` returns, done on the event loop a few milliseconds at a time.

        For work that gives way after each short step. Between two slices everybody else's requests
        come to their turn, and then other tenants' slices: so nobody need rest, and who works while
        nobody else does has all of the time.
        """
        async with self._turn_of(tenant_id):
            while True:
                async with self._slice:
                    until = self._clock() + _SLICE_SECONDS
                    try:
                        while self._clock() < until:
                            next(work)
                    except StopIteration as done:
                        result: _T = done.value
                        return result
                await asyncio.sleep(0)

    @asynccontextmanager
    async def _turn_of(self, tenant_id: str) -> AsyncIterator[_Turn]:
        """This tenant's turn, for as long as the block lasts."""
        turn = self._turns.setdefault(tenant_id, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                yield turn
        finally:
            turn.waiting -= 1
            if len(self._turns) > _FORGET_AT:
                self._forget()

    def _forget(self) -> None:
        now = self._clock()
        self._turns = {
            tenant_id: turn
            for tenant_id, turn in self._turns.items()
            if turn.waiting or turn.used_until > now
        }
