"""Failed log-ins, client authentications and denied requests: limited, audited, never a flood."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from backend.core.audit import Personal
from backend.core.context import SystemScope
from backend.core.database import Database, Tx
from backend.core.ids import PLATFORM_TENANT
from backend.kit.limiter import Charges, Level, Limiter, Verdict, policy_of
from backend.kit.sources import source_of
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.identity.errors import TooManyFailuresError
from backend.managers.identity.settings import IdentitySettings

_WINDOW_SECONDS = 10.0
_MAX_OPEN = 1000
_MAX_OF_TARGET = 10
_ANY: Final = "*"


class Denial(NamedTuple):
    """What a request asked for in vain: the operation, and the status and problem it got."""

    method: str
    route: str
    status: int
    problem: str


_Key = tuple[str, str, str, Denial | None]


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed: the audit action, whom or what it concerns, and who did it.

    ``target`` is the client or user when they exist, else the :func:`stranger`: what one typed is
    never recorded, because people type passwords into the wrong field. ``guessed`` says that it is
    a name that somebody typed. ``actor`` is a caller whose credential held; whoever only says who
    they are has not acted under that name.
    """

    action: str
    target: str
    address: str
    tenant_id: str = PLATFORM_TENANT
    actor: str = "system"
    denial: Denial | None = None
    guessed: bool = False

    @property
    def key(self) -> _Key:
        """Failures with the same key share a record; the address they come from may differ."""
        return self.action, self.target, self.tenant_id, self.denial


def stranger(address: str) -> str:
    """The target of a failure that concerns nobody we know: where it came from.

    By network where one party has the whole of it, so that its addresses share a record; the
    record's data has the address of its first failure.
    """
    return f"address:{source_of(address)}"


def digest_of(account: str) -> bytes:
    """What is remembered of what a stranger typed: it may have as much as a form holds."""
    return hashlib.sha256(account.encode()).digest()


@dataclass(slots=True)
class _Window:
    until: float
    unwritten: int
    failure: Failure


class FailureLimits:
    """How many failed attempts an address and an account have before they are turned away.

    By the limiter of all processes where there is one, so never within a transaction.
    """

    def __init__(self, settings: IdentitySettings, limiter: Limiter) -> None:
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

    async def refuse_exhausted(self, address: str) -> None:
        """Turn away an address that has failed too often, before any work; charges nothing.

        Raises:
            TooManyFailuresError: Whatever the credential would have been.
        """
        await self._decide(((self._address, source_of(address)),), charge=False)

    async def charge(self, address: str, account: str) -> None:
        """Count one failure, or one attempt that :meth:`refund` takes back if it succeeds.

        Raises:
            TooManyFailuresError: One too many.
        """
        await self._decide(self._charges(address, account), charge=True)

    @asynccontextmanager
    async def attempt(self, address: str, account: str) -> AsyncIterator[None]:
        """Count an attempt before any of it is looked at, and take it back if the block succeeds.

        Raises:
            TooManyFailuresError: One too many.
        """
        await self.charge(address, account)
        yield
        self.refund(address, account)

    def refund(self, address: str, account: str) -> None:
        """The attempt succeeded."""
        self._limiter.refund(self._charges(address, account))

    async def _decide(self, charges: Charges, *, charge: bool) -> None:
        verdict = self._limiter.decide(charges, self._policy, charge=charge)
        if not isinstance(verdict, Verdict):
            verdict = await verdict
        if not verdict.allowed:
            raise TooManyFailuresError(verdict.retry_after)

    def _charges(self, address: str, account: str) -> Charges:
        return (self._address, source_of(address)), (self._account, digest_of(account).hex())


class FailureAudit:
    """At most one row for the same failure in ten seconds, carrying a count.

    The first failure is written at once, so that an attack shows while it runs; the rest of its
    window is counted and written by :meth:`flush`. A crash loses at most the counts of one window.

    Whatever is tried, a thousand windows are open at most. Operations are told apart for ten of
    a target and while half of the windows are free; beyond that a target has one for each problem,
    so that whoever walks through all routes does not use up what shows the others.

    Of guessed names the first from an address is written at once, and whatever else comes from
    there within ten seconds when its window is closed: would a name have a row at once for being
    somebody's, the time that the row takes would tell.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._monotonic = monotonic
        self._open: dict[_Key, _Window] = {}
        self._shown: dict[tuple[str, str], float] = {}
        self._of_target: Counter[str] = Counter()

    async def note(self, failure: Failure, request_id: str) -> None:
        """Record one failure, now or with its window."""
        now = self._monotonic()
        window = self._open.get(failure.key)
        if window is None:
            failure = self._within_bounds(failure)
            window = self._open.get(failure.key)
        if failure.guessed:
            later = not self._shows(failure, now)
        else:
            later = window is not None and now < window.until
        if later and window is not None:
            window.unwritten += 1
            return
        count = 1
        if window is None:
            self._of_target[failure.target] += 1
        else:
            count += window.unwritten
        # Opened before the first await: concurrent failures must find it.
        self._open[failure.key] = _Window(now + _WINDOW_SECONDS, int(later), failure)
        if later:
            return
        scope = SystemScope(AUTHENTICATE, actor=failure.actor, request_id=request_id)
        async with self._database.transaction(scope) as tx:
            _write(tx, failure, count)

    def _shows(self, failure: Failure, now: float) -> bool:
        """Whether it is the first guess from there, for ten seconds; whatever the name."""
        guesser = failure.action, source_of(failure.address)
        if now < self._shown.get(guesser, now):
            return False
        if len(self._shown) >= _MAX_OPEN:
            return False
        self._shown[guesser] = now + _WINDOW_SECONDS
        return True

    def _within_bounds(self, failure: Failure) -> Failure:
        """The same failure, or one that says less where there are too many to tell apart."""
        crowded = (
            self._of_target[failure.target] >= _MAX_OF_TARGET or len(self._open) >= _MAX_OPEN // 2
        )
        if crowded and failure.denial is not None:
            failure = replace(failure, denial=failure.denial._replace(method=_ANY, route=_ANY))
        if failure.key not in self._open and len(self._open) >= _MAX_OPEN:
            # A thousand within ten seconds: one line for all the others together.
            failure = Failure(failure.action, f"address:{_ANY}", _ANY)
        return failure

    async def flush(self, *, everything: bool = False) -> None:
        """Write what closed windows have counted (all windows, when the process ends)."""
        now = self._monotonic()
        closed = [key for key, w in self._open.items() if everything or w.until <= now]
        # A scope speaks for one actor. Strangers are all "system", and callers who are known are
        # bounded by their quotas, so these are few.
        counted: dict[str, list[_Window]] = {}
        for key in closed:
            window = self._open.pop(key)
            self._of_target[window.failure.target] -= 1
            if window.unwritten:
                counted.setdefault(window.failure.actor, []).append(window)
        self._of_target = +self._of_target
        self._shown = {guesser: until for guesser, until in self._shown.items() if until > now}
        for actor, windows in counted.items():
            scope = SystemScope(AUTHENTICATE, actor=actor)
            async with self._database.transaction(scope) as tx:
                for window in windows:
                    _write(tx, window.failure, window.unwritten)


def _write(tx: Tx, failure: Failure, count: int) -> None:
    tx.audit(
        failure.action,
        failure.target,
        tenant_id=failure.tenant_id,
        address=Personal.about(failure.target, failure.address),
        count=count,
        **(failure.denial._asdict() if failure.denial is not None else {}),
    )
    if failure.action in {"login.failed", "second_factor.failed", "external_login.failed"}:
        tx.emit(failure.action, failure.target, address=failure.address, count=count)
