"""The rate limiter: GCRA, exact, and all levels of a decision in one step.

The generic cell rate algorithm (ITU-T I.371) keeps one number a key, the theoretical arrival time
(TAT) of the next request. It admits exactly ``burst`` requests at once and ``rate`` a second after
that; fixed windows would admit twice the burst across a boundary. Times are integer nanoseconds,
so that thousands of additions lose nothing.

A decision names several levels (tenant, client, route class). Either all of them are charged or
none: a request that its route class refuses must not eat from its tenant's share. There is no
``await`` between looking and charging, so one event loop needs no lock.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

_SECOND: Final = 1_000_000_000


class Verdict(NamedTuple):
    """Allowed or not, and the numbers of the level that is tightest (or that refused)."""

    allowed: bool
    name: str
    remaining: int
    reset_seconds: int
    retry_after: float
    policy: bytes


class Level:
    """One policy and the state of all its keys.

    State lives in two generations. A key idle for the time its burst takes to drain is as good as
    new, so every so often the older generation is dropped whole: eviction without ever scanning,
    and exact as long as fewer than ``capacity`` keys are busy within one such time. Beyond that
    the older generation goes early, and its keys start afresh: memory is bounded first.
    """

    __slots__ = (
        "burst",
        "capacity",
        "fresh",
        "interval",
        "name",
        "policy",
        "rotate_at",
        "stale",
        "tolerance",
    )

    def __init__(self, name: str, per_second: float, burst: int, capacity: int = 100_000) -> None:
        self.name = name
        self.burst = burst
        self.interval = max(1, round(_SECOND / per_second))
        self.tolerance = self.interval * burst
        window = max(1, -(-self.tolerance // _SECOND))
        self.policy = f'"{name}";q={burst};w={window}'.encode()
        self.capacity = capacity
        self.rotate_at = 0
        self.fresh: dict[str, int] = {}
        self.stale: dict[str, int] = {}

    def rotate(self, now: int) -> None:
        """Start a new generation and forget the one before the last."""
        # After two drain times without a single request even the newer one holds nothing busy.
        self.stale = self.fresh if now < self.rotate_at + self.tolerance else {}
        self.fresh = {}
        self.rotate_at = now + self.tolerance

    def __len__(self) -> int:
        return len(self.fresh) + len(self.stale)


Charges = tuple[tuple[Level, str], ...]


class GcraLimiter:
    """Decides over levels by one monotonic clock, in nanoseconds."""

    __slots__ = ("_now",)

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now = monotonic_ns

    def decide(
        self, charges: Charges, policy: bytes, *, charge: bool = True, cost: int = 1
    ) -> Verdict:
        """Charge a request to every level, or to none.

        Args:
            charges: Level and key, outermost first.
            policy: The RateLimit-Policy value that lists these levels, made once by the caller.
            charge: False only looks: whether the request would be admitted now.
            cost: How many requests it counts for; over a level's burst it is never admitted.
        """
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
            tat += interval * cost
            arrivals.append((level.fresh, key, tat))
            spare = level.tolerance + now - tat
            if spare < 0:
                if -spare > deficit:
                    refusing, deficit = level, -spare
            else:
                remaining = spare // interval
                if remaining < least or least < 0:
                    least, tightest, tightest_tat = remaining, level, tat
        if deficit:
            wait = -(-deficit // _SECOND)
            return Verdict(False, refusing.name, 0, wait, deficit / _SECOND, policy)
        if charge:
            for fresh, key, tat in arrivals:
                fresh[key] = tat
        reset = -((now - tightest_tat) // _SECOND)
        return Verdict(True, tightest.name, least, reset, 0.0, policy)

    def refund(self, charges: Charges) -> None:
        """Give back one request to every level: the attempt turned out to be welcome."""
        for level, key in charges:
            tat = level.fresh.get(key)
            if tat is None:
                tat = level.stale.get(key)
            if tat is not None:
                level.fresh[key] = tat - level.interval


def policy_of(*levels: Level) -> bytes:
    """The RateLimit-Policy value (draft-ietf-httpapi-ratelimit-headers) for these levels."""
    return b", ".join(level.policy for level in levels)
