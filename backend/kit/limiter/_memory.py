"""Decisions within one process: no ``await`` between looking and charging, so no lock."""

import time
from collections.abc import Callable

from backend.kit.limiter._levels import SECOND, UNIT_BYTES, Charges, Slot, Slots, Use, Verdict


class GcraLimiter:
    """Decides over levels by one monotonic clock, in nanoseconds.

    Times are integers, so that thousands of additions lose nothing.
    """

    __slots__ = ("_now",)

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now = monotonic_ns

    def decide(  # noqa: C901, PLR0912 - as one loop: calls would cost as much as what they do
        self,
        charges: Charges,
        policy: bytes,
        *,
        charge: bool = True,
        cost: int = 1,
        size: int = 0,
        slots: tuple[Slots, str] | None = None,
    ) -> Verdict:
        """As :meth:`Limiter.decide`, at once."""
        held = 0
        if slots is not None:
            bound, holder = slots
            held = bound.held.get(holder, 0)
            if held >= bound.most:
                return Verdict(False, bound.name, 0, 1, 1.0, policy)
        now = self._now()
        # Every request of a known caller runs this for three levels: locals instead of lookups,
        # no max(), and a capacity check only where a key is new.
        tightest = refusing = charges[0][0]
        least, tightest_tat, deficit = -1, now, 0
        arrivals = []
        for level, key in charges:
            if now >= level.rotate_at:
                level.rotate(now)
            interval = level.interval
            tat = level.fresh.get(key)
            if tat is None:
                tat = level.stale.get(key, now)
                if len(level.fresh) >= level.capacity:
                    level.rotate(now)
            if tat < now:  # noqa: PLR1730 - see above
                tat = now
            if level.weighs:
                tat += interval * -(-size // UNIT_BYTES)
            else:
                tat += interval * cost
            arrivals.append((level.fresh, key, tat))
            spare = level.tolerance + now - tat
            if spare < 0:
                if -spare > deficit:
                    refusing, deficit = level, -spare
            elif not level.weighs:  # what is left in bytes compares with no number of requests
                remaining = spare // interval
                if remaining < least or least < 0:
                    least, tightest, tightest_tat = remaining, level, tat
        if deficit:
            wait = -(-deficit // SECOND)
            return Verdict(False, refusing.name, 0, wait, deficit / SECOND, policy)
        slot = None
        if charge:
            for fresh, key, tat in arrivals:
                fresh[key] = tat
            if slots is not None:
                bound, holder = slots
                bound.held[holder] = held + 1
                slot = Slot(self._release, bound, holder, "")
        reset = -((now - tightest_tat) // SECOND)
        return Verdict(True, tightest.name, least, reset, 0.0, policy, slot)

    @staticmethod
    def _release(slot: Slot) -> None:
        held = slot.slots.held
        if held[slot.key] == 1:
            del held[slot.key]
        else:
            held[slot.key] -= 1

    def refund(self, charges: Charges) -> None:
        """Give back one request to every level: the attempt turned out to be welcome."""
        for level, key in charges:
            tat = level.fresh.get(key)
            if tat is None:
                tat = level.stale.get(key)
            if tat is not None:
                level.fresh[key] = tat - level.interval

    def usage(self, charges: Charges) -> list[Use]:
        """How much of each level is used; charges nothing."""
        now, found = self._now(), []
        for level, key in charges:
            tat = max(now, level.fresh.get(key, level.stale.get(key, now)))
            spare = max(0, level.tolerance + now - tat)
            found.append(level.used(spare // level.interval, (tat - now) / SECOND))
        return found

    def now(self) -> int:
        """The clock, in nanoseconds."""
        return self._now()

    def under_way(self, slots: tuple[Slots, str]) -> int:
        """How many requests somebody has under way."""
        return slots[0].held.get(slots[1], 0)
