"""The sessions that a worker keeps with mail servers, for as long as they are of use."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from backend.core.clock import monotonic
from backend.kit.outbound import Outbound
from backend.kit.smtp import Pacing, SmtpPool, SmtpRelay

_UNUSED_SECONDS: Final = 900.0
_LOOK_SECONDS: Final = 60.0

_Owner = tuple[str | None, str | None]
"""Of which tenant, under which name: who has one relay at a time."""


class _Kept:
    """A pool, how many batches use it, and when the last one ended."""

    __slots__ = ("batches", "pool", "used_at")

    def __init__(self, pool: SmtpPool) -> None:
        self.pool = pool
        self.batches = 0
        self.used_at = 0.0


class RelayPools:
    """A pool for each relay, made at first use.

    Closed once nobody uses it any more: at once when its owner has put another relay in its place,
    else after a quarter of an hour. What a relay has taught is then read from its record.
    """

    def __init__(
        self, outbound: Outbound, pacing: Pacing, clock: Callable[[], float] = monotonic
    ) -> None:
        self._outbound = outbound
        self._pacing = pacing
        self._clock = clock
        self._kept: dict[SmtpRelay, _Kept] = {}
        self._present: dict[_Owner, SmtpRelay] = {}
        self._looked_at = clock()
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many pools are kept."""
        return len(self._kept)

    @contextmanager
    def use(self, relay: SmtpRelay) -> Iterator[SmtpPool]:
        """The pool of this relay, which stays open at least as long as the block."""
        kept = self._kept.get(relay)
        if kept is None:
            pool = SmtpPool(relay, self._outbound, pacing=self._pacing)
            kept = self._kept[relay] = _Kept(pool)
        kept.batches += 1
        before = self._present.get(_owner(relay))
        if before != relay:
            self._present[_owner(relay)] = relay
            if before is not None:
                self._drop_replaced(before)
        try:
            yield kept.pool
        finally:
            kept.batches -= 1
            kept.used_at = self._clock()
            self._drop_replaced(relay)
            if kept.used_at - self._looked_at >= _LOOK_SECONDS:
                self._looked_at = kept.used_at
                self._drop_unused(kept.used_at - _UNUSED_SECONDS)

    async def aclose(self) -> None:
        """Close all of them."""
        for kept in self._kept.values():
            await kept.pool.aclose()
        while self._closing:
            await asyncio.wait(self._closing)

    def _drop_replaced(self, relay: SmtpRelay) -> None:
        kept = self._kept.get(relay)
        if kept is not None and not kept.batches and self._present.get(_owner(relay)) != relay:
            self._drop(relay)

    def _drop_unused(self, since: float) -> None:
        old = [one for one, kept in self._kept.items() if not kept.batches and kept.used_at < since]
        for relay in old:
            if self._present.get(_owner(relay)) == relay:
                del self._present[_owner(relay)]
            self._drop(relay)

    def _drop(self, relay: SmtpRelay) -> None:
        task = asyncio.get_running_loop().create_task(self._kept.pop(relay).pool.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _owner(relay: SmtpRelay) -> _Owner:
    return relay.tenant_id, relay.name
