"""What is limited: levels with a burst and a rate, bounds of what is under way, and verdicts."""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

SECOND: Final = 1_000_000_000
TICKS: Final = 16_000_000
"""Of Redis in a second: scripts count in doubles, which are exact up to 2**53 of them."""

UNIT_BYTES: Final = 1024
"""Levels of bytes count in these, begun ones whole: a nanosecond a byte would be too coarse."""


class Verdict(NamedTuple):
    """Allowed or not, and the numbers of the level that is tightest (or that refused).

    Attributes:
        allowed: Whether all levels had room.
        name: Of that level.
        remaining: Requests, or bytes, that it has left right now.
        reset_seconds: Until it is whole again; when refused, until it would admit.
        retry_after: The same, exactly; 0 when allowed.
        policy: The RateLimit-Policy header's value, made once by the caller.
        slot: What :meth:`Limiter.release` takes when the request has ended.
    """

    allowed: bool
    name: str
    remaining: int
    reset_seconds: int
    retry_after: float
    policy: bytes
    slot: "Slot | None" = None


class Use(NamedTuple):
    """How much of a level somebody has used: of ``burst``, ``remaining`` are left."""

    burst: int
    remaining: int
    reset_seconds: int


class Level:
    """One policy and, for decisions within the process, the state of all its keys.

    State lives in two generations. A key idle for the time its burst takes to drain is as good as
    new, so every so often the older generation is dropped whole: eviction without ever scanning,
    and exact as long as fewer than ``capacity`` keys are busy within one such time. Beyond that
    the older generation goes early, and its keys start afresh: memory is bounded first.

    Args:
        name: As callers are told it.
        refill: Requests, or bytes, that come free again...
        seconds: ...in this time.
        burst: How many are admitted at once.
        unit: What is counted: ``requests`` or ``content-bytes``, as the RateLimit headers say.
        capacity: Keys of a generation.
    """

    __slots__ = (
        "_shares",
        "burst",
        "capacity",
        "fresh",
        "interval",
        "limit",
        "most",
        "name",
        "per_second",
        "policy",
        "refill",
        "rotate_at",
        "stale",
        "tolerance",
        "unit",
        "weighs",
        "wire",
    )

    def __init__(
        self,
        name: str,
        refill: float,
        burst: int,
        *,
        seconds: int = 1,
        unit: str = "requests",
        capacity: int = 100_000,
    ) -> None:
        self.name = name
        self.limit = burst
        self.unit = unit
        self.weighs = unit == "content-bytes"
        scale = UNIT_BYTES if self.weighs else 1
        self.refill = (refill, seconds)
        self.per_second = refill / seconds / scale
        self.burst = max(1, burst // scale)
        self.most = self.burst * scale
        self.interval = max(1, round(SECOND / self.per_second))
        self.tolerance = self.interval * self.burst
        window = max(1, -(-self.tolerance // SECOND))
        kind = f';qu="{unit}"' if self.weighs else ""
        self.policy = f'"{name}";q={burst};w={window}{kind}'.encode()
        self.capacity = capacity
        ticks = max(1, round(TICKS / self.per_second))
        self.wire = (str(ticks), str(ticks * self.burst))
        self.rotate_at = 0
        self.fresh: dict[str, int] = {}
        self.stale: dict[str, int] = {}
        self._shares: dict[int, Level] = {}

    def rotate(self, now: int) -> None:
        """Start a new generation and forget the one before the last."""
        # After two drain times without a single request even the newer one holds nothing busy.
        self.stale = self.fresh if now < self.rotate_at + self.tolerance else {}
        self.fresh = {}
        self.rotate_at = now + self.tolerance

    def adopt(self, other: "Level", key: str, now: int) -> None:
        """Take over how much a key has used of another level, as far as this one can hold it."""
        debt = other.fresh.get(key, other.stale.get(key, 0)) - now
        if debt > 0:
            here = self.fresh.get(key, self.stale.get(key, 0))
            debt = min(-(-debt // other.interval) * self.interval, self.tolerance)
            self.fresh[key] = max(here, now + debt)

    def is_idle(self, now: int) -> bool:
        """Whether nothing of any key is in use."""
        return now >= self.rotate_at + self.tolerance

    def share(self, parts: int) -> "Level":
        """This level for one of so many processes that cannot ask each other; never nothing."""
        made = self._shares.get(parts)
        if made is None:
            unit = UNIT_BYTES if self.weighs else 1
            made = self._shares[parts] = Level(
                self.name,
                self.refill[0] / parts,
                max(unit, self.limit // parts),
                seconds=self.refill[1],
                unit=self.unit,
                capacity=self.capacity,
            )
        return made

    def used(self, spare: int, seconds: float) -> Use:
        """What is told of a key that has so much left, and is whole again after ``seconds``."""
        return Use(self.limit, spare * UNIT_BYTES if self.weighs else spare, math.ceil(seconds))

    def __len__(self) -> int:
        return len(self.fresh) + len(self.stale)


class Slots:
    """How many requests of one key may be under way at once.

    Args:
        name: As callers are told it.
        most: That many.
        before: The bound that this one replaces, or stands beside: they count together.
    """

    __slots__ = ("_shares", "held", "most", "name", "policy")

    def __init__(self, name: str, most: int, *, before: "Slots | None" = None) -> None:
        self.name = name
        self.most = most
        self.policy = f'"{name}";q={most};qu="concurrent-requests"'.encode()
        self.held: dict[str, int] = {} if before is None else before.held
        self._shares: dict[int, Slots] = {}

    def share(self, parts: int) -> "Slots":
        """This bound for one of so many processes that cannot ask each other; never nothing."""
        made = self._shares.get(parts)
        if made is None:
            made = self._shares[parts] = Slots(self.name, max(1, self.most // parts))
        return made


class Slot(NamedTuple):
    """One request under way: whose it is, and where that is counted."""

    release: Callable[["Slot"], None]
    slots: Slots
    key: str
    member: str


Charges = tuple[tuple[Level, str], ...]


class Limiter(Protocol):
    """Decides at once, or when somebody else has answered."""

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
        """Charge a request to every level, or to none.

        Args:
            charges: Level and key, outermost first; at least one that counts requests.
            policy: The RateLimit-Policy value that lists these levels, made once by the caller.
            charge: False only looks: whether the request would be admitted now.
            cost: How many requests it counts for; over a level's burst it is never admitted.
            size: Bytes that it counts for at levels of bytes, likewise.
            slots: What bounds the requests under way, and for whom; the verdict's slot is to be
                released when the request has ended.
        """

    def refund(self, charges: Charges) -> None:
        """Give back one request to every level: the attempt turned out to be welcome."""

    def usage(self, charges: Charges) -> list[Use] | Awaitable[list[Use]]:
        """How much of each level is used; charges nothing."""

    def under_way(self, slots: tuple[Slots, str]) -> int | Awaitable[int]:
        """How many requests somebody has under way."""


def policy_of(*levels: Any) -> bytes:
    """The RateLimit-Policy value (draft-ietf-httpapi-ratelimit-headers-10) for these."""
    return b", ".join(level.policy for level in levels)
