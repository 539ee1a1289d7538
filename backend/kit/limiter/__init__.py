"""The rate limiter: GCRA, exact, and all levels of a decision in one step.

The generic cell rate algorithm (ITU-T I.371) keeps one number a key, the theoretical arrival time
(TAT) of the next request. It admits exactly ``burst`` at once and ``rate`` a second after that;
fixed windows would admit twice the burst across a boundary.

A decision names several levels (tenant, client, route class; requests, bytes) and perhaps a bound
of requests under way. Either all of them are charged or none: a request that its route class
refuses must not eat from its tenant's share. :class:`GcraLimiter` decides within this process,
:class:`RedisLimiter` for all processes of a fleet by one script in Redis, and
:class:`FailoverLimiter` goes on with a share of the limits when Redis is away.
"""

from backend.kit.limiter._failover import FailoverLimiter
from backend.kit.limiter._levels import (
    Charges,
    Level,
    Limiter,
    Slot,
    Slots,
    Use,
    Verdict,
    policy_of,
)
from backend.kit.limiter._memory import GcraLimiter
from backend.kit.limiter._redis import RedisLimiter, SharedLimitsUnavailableError

__all__ = [
    "Charges",
    "FailoverLimiter",
    "GcraLimiter",
    "Level",
    "Limiter",
    "RedisLimiter",
    "SharedLimitsUnavailableError",
    "Slot",
    "Slots",
    "Use",
    "Verdict",
    "policy_of",
]
