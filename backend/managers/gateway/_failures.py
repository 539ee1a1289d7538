"""Failed log-ins and client authentications: limited, and audited without filling the table."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from backend.core.context import SystemScope
from backend.core.database import Database, Tx
from backend.core.ids import PLATFORM_TENANT
from backend.managers.gateway._limiter import GcraLimiter, Level, policy_of
from backend.managers.gateway.errors import TooManyFailuresError
from backend.managers.gateway.settings import GatewaySettings

_WINDOW_SECONDS = 10.0
_MAX_OPEN = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed: the audit action, and whom or what it concerns.

    ``target`` is the client or user when they exist, else the address: what a stranger typed is
    never recorded, because people type passwords into the wrong field.
    """

    action: str
    target: str
    address: str
    tenant_id: str = PLATFORM_TENANT


@dataclass(slots=True)
class _Window:
    until: float
    unwritten: int
    failure: Failure


class FailureLimits:
    """How many failed attempts an address and an account have before they are turned away."""

    def __init__(self, settings: GatewaySettings, limiter: GcraLimiter) -> None:
        self._limiter = limiter
        self._address = Level(
            "failures_by_address",
            settings.address_failures_per_minute / 60,
            settings.address_burst_failures,
        )
        self._account = Level(
            "failures_by_account",
            settings.account_failures_per_minute / 60,
            settings.account_burst_failures,
        )
        self._policy = policy_of(self._address, self._account)

    def refuse_exhausted(self, address: str) -> None:
        """Turn away an address that has failed too often, before any work; charges nothing.

        Raises:
            TooManyFailuresError: Whatever the credential would have been.
        """
        charges = ((self._address, address),)
        verdict = self._limiter.decide(charges, self._policy, charge=False)
        if not verdict.allowed:
            raise TooManyFailuresError(verdict.retry_after)

    def charge(self, address: str, account: str) -> None:
        """Count one failure, or one attempt that :meth:`refund` takes back if it succeeds.

        Raises:
            TooManyFailuresError: One too many.
        """
        verdict = self._limiter.decide(self._charges(address, account), self._policy)
        if not verdict.allowed:
            raise TooManyFailuresError(verdict.retry_after)

    def refund(self, address: str, account: str) -> None:
        """The attempt succeeded."""
        self._limiter.refund(self._charges(address, account))

    def _charges(self, address: str, account: str) -> tuple[tuple[Level, str], ...]:
        # The digest of what a stranger typed, not the text: it may have as much as a form holds,
        # and a hundred thousand of them are remembered.
        digest = hashlib.sha256(account.encode()).hexdigest()
        return (self._address, address), (self._account, digest)


class FailureAudit:
    """At most one row for the same target in ten seconds, carrying a count.

    The first failure is written at once, so that an attack shows while it runs; the rest of its
    window is counted and written by :meth:`flush`. A crash loses at most the counts of one window.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._monotonic = monotonic
        self._open: dict[tuple[str, str], _Window] = {}

    async def note(self, failure: Failure, request_id: str) -> None:
        """Record one failure, now or with its window."""
        now = self._monotonic()
        key = (failure.action, failure.target)
        window = self._open.get(key)
        if window is None and len(self._open) >= _MAX_OPEN:
            # A thousand targets within ten seconds: one line for all the others together.
            failure = Failure(failure.action, "address:*", "*")
            key = (failure.action, failure.target)
            window = self._open.get(key)
        if window is not None and now < window.until:
            window.unwritten += 1
            return
        count = 1 + (window.unwritten if window is not None else 0)
        # Opened before the first await: concurrent failures must find it.
        self._open[key] = _Window(now + _WINDOW_SECONDS, 0, failure)
        scope = SystemScope("authenticate", request_id=request_id)
        async with self._database.transaction(scope) as tx:
            _write(tx, failure, count)

    async def flush(self, *, everything: bool = False) -> None:
        """Write what closed windows have counted (all windows, when the process ends)."""
        now = self._monotonic()
        closed = [key for key, w in self._open.items() if everything or w.until <= now]
        windows = [self._open.pop(key) for key in closed]
        counted = [window for window in windows if window.unwritten]
        if counted:
            async with self._database.transaction(SystemScope("authenticate")) as tx:
                for window in counted:
                    _write(tx, window.failure, window.unwritten)


def _write(tx: Tx, failure: Failure, count: int) -> None:
    tx.audit(
        failure.action,
        failure.target,
        tenant_id=failure.tenant_id,
        address=failure.address,
        count=count,
    )
