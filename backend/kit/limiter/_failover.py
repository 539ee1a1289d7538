"""Shared limits, and a share of them while Redis is away: never open, and nobody waits."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from backend.kit.limiter._levels import Charges, Slots, Use, Verdict
from backend.kit.limiter._memory import GcraLimiter
from backend.kit.limiter._redis import BEAT_SECONDS, RedisLimiter, SharedLimitsUnavailableError

logger = logging.getLogger(__name__)

_PROBE_SECONDS: Final = 0.5
_UNKNOWN_FLEET: Final = 8


class _Asked(NamedTuple):
    charges: Charges
    policy: bytes
    charge: bool
    cost: int
    size: int
    slots: tuple[Slots, str] | None


class FailoverLimiter:
    """Decides by Redis; while it is away, within this process by its share of every limit.

    The first question that Redis does not answer in time opens the breaker: from then on nobody
    asks it but a probe, twice a second, and what the probe hears closes it again. A share is the
    limit divided by the processes that were last seen, at least one request; it begins unused, so
    an outage may admit a burst on top of what Redis had admitted, once, and never the rate twice.

    Args:
        shared: Asked while it answers.
        local: Decides by shares.
        processes: How many to divide by; None: as many as were last seen.
    """

    def __init__(
        self, shared: RedisLimiter, local: GcraLimiter, *, processes: int | None = None
    ) -> None:
        self._shared = shared
        self._local = local
        self._fixed = processes
        self._seen: int | None = None
        self._away = False
        self._wake = asyncio.Event()
        self.outages = 0

    @property
    def away(self) -> bool:
        """Whether the breaker is open."""
        return self._away

    @property
    def parts(self) -> int:
        """Into how many shares the limits are divided."""
        return self._fixed or self._seen or _UNKNOWN_FLEET

    def decide(
        self,
        charges: Charges,
        policy: bytes,
        *,
        charge: bool = True,
        cost: int = 1,
        size: int = 0,
        slots: tuple[Slots, str] | None = None,
    ) -> Verdict | Awaitable[Verdict]:
        """As :meth:`Limiter.decide`; never fails."""
        asked = _Asked(charges, policy, charge, cost, size, slots)
        return self._decide_alone(asked) if self._away else self._decide_together(asked)

    async def _decide_together(self, asked: _Asked) -> Verdict:
        try:
            return await self._shared.decide(
                asked.charges,
                asked.policy,
                charge=asked.charge,
                cost=asked.cost,
                size=asked.size,
                slots=asked.slots,
            )
        except SharedLimitsUnavailableError as exc:
            self._open(exc)
            return self._decide_alone(asked)

    def _decide_alone(self, asked: _Asked) -> Verdict:
        parts, slots = self.parts, asked.slots
        mine = tuple((level.share(parts), key) for level, key in asked.charges)
        # What costs more than a share would never pass.
        return self._local.decide(
            mine,
            asked.policy,
            charge=asked.charge,
            cost=min([asked.cost, *(level.most for level, _ in mine if not level.weighs)]),
            size=min([asked.size, *(level.most for level, _ in mine if level.weighs)]),
            slots=None if slots is None else (slots[0].share(parts), slots[1]),
        )

    def refund(self, charges: Charges) -> None:
        """As :meth:`Limiter.refund`, where requests are counted now."""
        if self._away:
            self._local.refund(tuple((level.share(self.parts), key) for level, key in charges))
        else:
            self._shared.refund(charges)

    async def usage(self, charges: Charges) -> list[Use]:
        """How much of each level is used, of this process's shares while Redis is away."""
        if not self._away:
            try:
                return await self._shared.usage(charges)
            except SharedLimitsUnavailableError as exc:
                self._open(exc)
        return self._local.usage(tuple((level.share(self.parts), key) for level, key in charges))

    async def under_way(self, slots: tuple[Slots, str]) -> int:
        """How many requests somebody has under way; at this process while Redis is away."""
        if not self._away:
            try:
                return await self._shared.under_way(slots)
            except SharedLimitsUnavailableError as exc:
                self._open(exc)
        return self._local.under_way((slots[0].share(self.parts), slots[1]))

    async def check(self) -> str:
        """How limits are counted, in a line.

        Raises:
            SharedLimitsUnavailableError: By shares: Redis is away.
        """
        if self._away:
            detail = f"Redis is away: this process has 1/{self.parts} of every limit"
            raise SharedLimitsUnavailableError(detail)
        return f"counted in Redis for {await self._shared.count_processes()} process(es)"

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Say that this process is there, and notice Redis going and coming, while it lasts."""
        await self._beat()
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self._shared.aclose()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_SECONDS if self._away else BEAT_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            if self._away:
                await asyncio.sleep(_PROBE_SECONDS)
            await self._beat()

    async def _beat(self) -> None:
        try:
            self._seen = await self._shared.beat()
        except SharedLimitsUnavailableError as exc:
            self._open(exc)
        else:
            if self._away:
                self._away = False
                logger.warning("shared_limits_are_back", extra={"processes": self._seen})

    def _open(self, exc: SharedLimitsUnavailableError) -> None:
        if not self._away:
            self._away = True
            self.outages += 1
            self._wake.set()
            cause = type(exc.__cause__).__name__
            logger.warning("shared_limits_away", extra={"cause": cause, "parts": self.parts})
