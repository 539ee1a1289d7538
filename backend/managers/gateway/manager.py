"""Rules of the gate: who a credential is, how much they may ask, and what they asked before."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from backend.core.clock import monotonic as system_monotonic
from backend.core.context import Principal, SystemScope
from backend.core.database import Database, Tx
from backend.core.errors import AppError
from backend.core.ids import PLATFORM_TENANT
from backend.core.telemetry import RequestRecord
from backend.kit import credentials
from backend.kit.limiter import FailoverLimiter, GcraLimiter, Level, Use, Verdict
from backend.kit.sources import source_of
from backend.managers.gateway._api_keys import ApiKeys
from backend.managers.gateway._cache import Concerns, CredentialCache, Known, concerns_of
from backend.managers.gateway._idempotency import Reply, ReplyStore
from backend.managers.gateway._limits import LIMITS_CHANGED, Bounds, LimitRows, LimitTable, Rate
from backend.managers.gateway._plans import OTHER, Plans
from backend.managers.gateway.errands import LIMITS
from backend.managers.gateway.models import IdempotencyRecord
from backend.managers.gateway.settings import GatewaySettings
from backend.managers.identity import (
    MAX_TOKEN_CHARACTERS,
    RECORDS_ITS_REFUSALS,
    SIGNING_KEYS_CHANGED,
    AccessClaims,
    CredentialExpiredError,
    CredentialInvalidError,
    Denial,
    Failure,
    IdentityManager,
    TokenExpiredError,
    TokenInvalidError,
    UnknownKeyError,
    stranger,
)
from backend.managers.security import SecurityManager
from backend.managers.tenant import PRINCIPALS, TenantManager, TenantSuspendedError

logger = logging.getLogger(__name__)

INTROSPECTION_PATH: Final = "/oauth/introspect"
_REFUSED: Final = frozenset({401, 403})
_SWEPT: Final = 1000
_FIRST_LIMITS_SECONDS: Final = 2.0
_MOST_SHOWN: Final = 200
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Introspection(msgspec.Struct, omit_defaults=True):
    """An active token, as RFC 7662 tells it; times are epoch seconds."""

    active: bool
    sub: str
    tenant: str
    iss: str
    aud: str
    token_type: str
    scope: str
    client_id: str = ""
    exp: int = 0
    iat: int = 0
    jti: str = ""


INACTIVE: Final = b'{"active":false}'
"""All that anybody learns about a token that does not hold, or is another tenant's."""


@dataclass(frozen=True, slots=True)
class LevelUse:
    """How much of one level somebody has used; ``refill`` is None where requests only end."""

    level: str
    subject: str
    unit: str
    burst: int
    refill: int | None
    seconds: int | None
    used: int
    remaining: int
    reset_seconds: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What holds for a tenant; ``shared`` when all processes count together."""

    shared: bool
    levels: Sequence[LevelUse]


class GatewayManager:
    """Verified credentials, limits, idempotent replies, and the API keys that tenants manage.

    It opens transactions of its own where a request has none yet: authentication comes before
    any use case.

    Attributes:
        api_keys: The keys that tenants manage.
        limits: What the platform and tenants limit at run time.
    """

    def __init__(
        self,
        database: Database,
        security: SecurityManager,
        tenants: TenantManager,
        identity: IdentityManager,
        settings: GatewaySettings,
        *,
        limiter: GcraLimiter,
        shared: FailoverLimiter | None = None,
        rates: Mapping[str, tuple[float, int]] = MappingProxyType({}),
        registry: CollectorRegistry | None = None,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        """Wire it up; no I/O.

        Args:
            database: Where rows are.
            security: Seals stored answers.
            tenants: Whose roles permit what.
            identity: Who a token stands for.
            settings: The defaults of limits, and how long is remembered.
            limiter: Counts in this process.
            shared: Counts for all processes together; None: each for itself.
            rates: Requests a second and the burst of each class of routes that has its own.
            registry: Where the gate's series are exposed.
            monotonic: Seconds that only pass.
        """
        self._database = database
        self._identity = identity
        self._settings = settings
        self._requests = tenants.requests
        self._shared = shared
        self._limiter: FailoverLimiter | GcraLimiter = shared or limiter
        self._coarse = Level(
            "address", settings.coarse_requests_per_second, settings.coarse_burst_requests
        )
        table, classes = LimitTable(_defaults(settings, rates)), frozenset({*rates, OTHER})
        self._table = table
        self._plans = Plans(table, classes, limiter)
        self.limits = LimitRows(tenants, classes, table)
        self._limited = Counter(
            "email_sender_gateway_limited_requests",
            "Requests refused by a limit, by its level.",
            ["level"],
            registry=registry,
        )
        if shared is not None:
            Gauge(
                "email_sender_gateway_shared_limits_up",
                "1 while limits are counted in Redis; 0: by shares, in each process.",
                registry=registry,
            ).set_function(lambda: not shared.away)
        self._stale = False
        self._refreshing: asyncio.Task[None] | None = None
        self._cache = CredentialCache(
            entries=settings.principal_cache_entries,
            refused_entries=settings.refused_cache_entries,
            refused_seconds=settings.refused_cache_seconds,
            monotonic=monotonic,
        )
        self._replies = ReplyStore(database, security, keep_seconds=settings.idempotency_seconds)
        self._noting: set[asyncio.Task[None]] = set()
        self._looking: dict[tuple[bytes, int], asyncio.Task[Known]] = {}
        self.api_keys = ApiKeys(database, tenants, monotonic)
        identity.invitations.ask_about("api_key", self.api_keys.find_permissions)
        # RFC 7662 leaves the caller's own authorization open; ours is a bearer token.
        identity.provider.advertise(
            {"introspection_endpoint": INTROSPECTION_PATH},
            introspection_endpoint_auth_methods_supported=["bearer"],
        )
        database.signals.subscribe(PRINCIPALS, self._cache.drop)
        database.signals.subscribe(SIGNING_KEYS_CHANGED, lambda _: self._cache.clear())
        database.signals.subscribe(LIMITS_CHANGED, lambda _: self._outdate_limits())

    @asynccontextmanager
    async def serving(self, _: Database) -> AsyncIterator[None]:
        """Know the limits from the beginning; write, at the end, what requests only noted."""
        async with AsyncExitStack() as stack:
            if self._shared is not None:
                await stack.enter_async_context(self._shared.watched())
            self._outdate_limits()
            if self._refreshing is not None:
                # A database that is away keeps nobody from starting: the settings hold meanwhile.
                await asyncio.wait([self._refreshing], timeout=_FIRST_LIMITS_SECONDS)
            try:
                yield
            finally:
                await asyncio.gather(*self._noting)
                await self.api_keys.uses.flush(everything=True)

    async def flush(self, _: Database) -> None:
        """Write what requests only noted."""
        try:
            await self.api_keys.uses.flush()
        except AppError as exc:
            logger.warning("key_use_not_written", extra={"cause": exc.code})

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Note the use of API keys and audit refused requests; a consumer of the telemetry queue.

        After the answer and coalesced: a refusal changes nothing, so its record need not share a
        transaction, and a flood of them must cost the database a row in ten seconds, not each.
        """
        for record in records:
            self.api_keys.uses.note(record)
        refused = [
            r for r in records if r.status in _REFUSED and not (r.expired or _is_recorded(r))
        ]
        if refused:
            task = self._database.background(self._note_refusals(refused))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    async def _note_refusals(self, refused: Sequence[RequestRecord]) -> None:
        for record in refused:
            try:
                await self._identity.failures.note(_denied(record), record.request_id)
            except AppError as exc:
                logger.warning("refusal_not_audited", extra={"cause": exc.code})

    # --- the gate: what the pipeline asks on every request ---------------------------------------

    def coarse_limit(self, key: str) -> Verdict | Awaitable[Verdict]:
        """Charge one request of an unknown caller to its address (its /64 network for IPv6)."""
        return self._limiter.decide(((self._coarse, source_of(key)),), self._coarse.policy)

    def quota(
        self, principal: Principal, route_class: str, cost: int = 1, size: int = 0
    ) -> Verdict | Awaitable[Verdict]:
        """Charge a request to the tenant, the caller and the caller's use of a class of routes.

        A class without levels of its own is charged to "other". A request counts for ``cost`` of
        them, times what a limit says that one of the class costs. What costs more than the tightest
        burst, or is larger, costs that burst: it could never pass otherwise. What was admitted is
        under way until its verdict's slot is released.
        """
        plan = self._plans.find(principal.tenant_id, principal.subject, route_class)
        return self._limiter.decide(
            plan.weighed if size else plan.charges,
            plan.policy,
            cost=min(cost * plan.cost, plan.most),
            size=min(size, plan.most_bytes) if size else 0,
            slots=plan.slots,
        )

    def count(self, principal: Principal) -> Awaitable[None] | None:
        """Count a request that is about to be served against its tenant's day and month.

        Returns:
            None: it is counted; else what to wait for, which raises as this does.

        Raises:
            QuotaReachedError: The tenant has no more of them.
        """
        return self._requests.take(self._database, principal.tenant_id)

    def note_limited(self, verdict: Verdict) -> None:
        """Count a refusal by a limit."""
        self._limited.labels(verdict.name).inc()

    async def usage_of(self, tenant_id: str) -> Usage:
        """What holds for a tenant and the callers that this process knows, and what is used."""
        plans = [
            (subject, name, self._plans.find(tenant_id, subject, name))
            for subject, name in [("", OTHER), *self._plans.callers_of(tenant_id)]
        ]
        rows: dict[tuple[str, str], tuple[Level, str]] = {}
        for subject, _, plan in plans:
            for level, key in plan.weighed:
                owner = "" if key == tenant_id else subject
                rows.setdefault((level.name, owner), (level, key))
        ordered = sorted(rows.items(), key=lambda item: (item[0][1], item[0][0] != "tenant"))
        ordered = ordered[:_MOST_SHOWN]
        bound, holder = plans[0][2].slots
        held = self._limiter.under_way((bound, holder))
        under_way = held if isinstance(held, int) else await held
        used = self._limiter.usage(tuple(charge for _, charge in ordered))
        uses: list[Use] = used if isinstance(used, list) else await used
        levels = [
            LevelUse(
                level=name,
                subject=subject,
                unit=level.unit,
                burst=level.limit,
                refill=int(level.refill[0]),
                seconds=level.refill[1],
                used=max(0, use.burst - use.remaining),
                remaining=use.remaining,
                reset_seconds=use.reset_seconds,
            )
            for ((name, subject), (level, _)), use in zip(ordered, uses, strict=True)
        ]
        slots = LevelUse(
            bound.name, "", "concurrent-requests", bound.most, None, None,
            under_way, max(0, bound.most - under_way), None,
        )  # fmt: skip
        shared = self._shared is not None and not self._shared.away
        return Usage(shared, [slots, *levels])

    async def check_shared_limits(self) -> str:
        """How limits are counted, in a line.

        Raises:
            SharedLimitsUnavailableError: Redis is away.
        """
        return "by each process" if self._shared is None else await self._shared.check()

    def _outdate_limits(self) -> None:
        self._stale = True
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self._database.background(self._refresh_limits())

    async def _refresh_limits(self) -> None:
        while self._stale:
            # Before the look: what changes while it reads is read again.
            self._stale = False
            try:
                async with self._database.read(SystemScope(LIMITS)) as view:
                    rows = await self.limits.read_all(view)
            except AppError as exc:
                logger.warning("limits_not_read", extra={"cause": exc.code})
                self._stale = True
                await asyncio.sleep(1.0)
                continue
            except Exception:
                # Those that are known hold on; the next change looks again.
                logger.exception("limits_not_read")
                return
            self._table.replace(rows)
            self._plans.forget()

    def cached_principal(self, credential: str) -> Principal | None:
        """Who a recently verified credential is, without any I/O."""
        known = self._cache.find(credential)
        return known.principal if known is not None else None

    async def authenticate(self, credential: str) -> Principal:
        """Who a credential is, by signature and database.

        Requests that arrive together with one credential share one look: after a change of its
        rights a busy token must not ask a hundred times.

        Raises:
            CredentialInvalidError: It does not hold, for whatever reason.
            TenantSuspendedError: It holds, and its tenant is not active.
        """
        return (await self._known(credential)).principal

    async def _known(self, credential: str) -> Known:
        known = self._cache.find(credential)
        if known is not None:
            return known
        if len(credential) > MAX_TOKEN_CHARACTERS:
            raise CredentialInvalidError
        digest = hashlib.sha256(credential.encode()).digest()
        if (refused := self._cache.refusal(digest)) is not None:
            raise refused()
        if credential.startswith("es_") and not credentials.is_well_formed(credential):
            raise CredentialInvalidError
        # By generation too: who asks after a change must not get an answer from before it.
        look = (digest, self._cache.generation)
        task = self._looking.get(look)
        if task is None:
            # A task of its own: the request that asked first may be cancelled, the others not.
            task = self._database.background(self._look(credential, digest, self._cache.generation))
            self._looking[look] = task
            task.add_done_callback(partial(self._looked, look))
        return await asyncio.shield(task)

    def _looked(self, look: tuple[bytes, int], task: asyncio.Task[Known]) -> None:
        del self._looking[look]
        if not task.cancelled():
            # Taken here because every request that waited for it may be gone.
            task.exception()

    async def _look(self, credential: str, digest: bytes, generation: int) -> Known:
        claims: AccessClaims | None = None
        concerns: Concerns | None = None
        try:
            if credential.startswith("es_"):
                principal = await self.api_keys.find_principal(digest)
            else:
                concerns = ()
                claims = self._cache.find_claims(digest)
                claims = claims or await self._identity.verify_token(credential)
                concerns = concerns_of(claims)
                principal = await self._identity.find_principal(claims)
        except UnknownKeyError:
            # Not remembered: the key may arrive in a moment, and no curve was computed.
            raise CredentialInvalidError from None
        except (TokenInvalidError, CredentialInvalidError) as exc:
            expired = isinstance(exc, (TokenExpiredError, CredentialExpiredError))
            refusal = CredentialExpiredError if expired else CredentialInvalidError
            self._cache.refuse(digest, generation, refusal, concerns)
            raise refusal from None
        except TenantSuspendedError as exc:
            self._cache.refuse(digest, generation, exc.again, concerns)
            raise
        seconds = float(self._settings.principal_cache_seconds)
        if principal.expires_at:
            seconds = min(seconds, principal.expires_at - self._database.clock().timestamp())
        return self._cache.keep(digest, principal, claims, seconds, generation)

    def missed_max_age(self, principal: Principal) -> int | None:
        """How recent, in seconds, a person's log-in must be for dangerous acts, if it is not."""
        return self._identity.missed_max_age(principal)

    async def replay(self, principal: Principal, key: str) -> Reply | None:
        """The first answer to an Idempotency-Key of this caller.

        Raises:
            ForbiddenError: The caller lacks a permission that the act needed.
        """
        return await self._replies.find(principal, key)

    def rememberer(
        self, principal: Principal, key: str, fingerprint: bytes
    ) -> Callable[[Tx, int, dict[str, str], bytes, frozenset[str]], Awaitable[bool]]:
        """A function that stores the answer within the transaction that did the act."""
        return partial(self._replies.remember, principal, key, fingerprint)

    # --- introspection ---------------------------------------------------------------------------

    def cached_introspection(self, caller: Principal, token: str) -> bytes | None:
        """The RFC 7662 answer about a recently verified token, without any I/O."""
        known = self._cache.find(token)
        return self._answer(caller, known) if known is not None else None

    async def introspect(self, caller: Principal, token: str) -> bytes:
        """The RFC 7662 answer about any token."""
        try:
            return self._answer(caller, await self._known(token))
        except (CredentialInvalidError, TenantSuspendedError):
            return INACTIVE

    def _answer(self, caller: Principal, known: Known) -> bytes:
        if known.principal.tenant_id != caller.tenant_id:
            return INACTIVE
        if known.answer is None:
            known.answer = self._introspection(known.principal, known.claims)
        return known.answer

    def _introspection(self, principal: Principal, claims: AccessClaims | None) -> bytes:
        answer = Introspection(
            active=True,
            sub=principal.subject,
            tenant=principal.tenant_id,
            iss=self._identity.settings.issuer,
            aud=self._identity.settings.audience,
            token_type="Bearer" if claims is not None else "api_key",
            scope=" ".join(sorted(principal.permissions)),
            exp=int(principal.expires_at),
        )
        if claims is not None:
            answer.client_id = claims.client_id
            answer.iat = claims.issued_at
            answer.jti = claims.token_id
        return msgspec.json.encode(answer)

    # --- upkeep ----------------------------------------------------------------------------------

    async def sweep_expired(self, tx: Tx) -> int:
        """Delete up to 1000 answers that have expired; needs the errand, returns how many went."""
        return await tx.delete_some(
            IdempotencyRecord, IdempotencyRecord.expires_at <= tx.now(), limit=_SWEPT
        )


def _defaults(
    settings: GatewaySettings, rates: Mapping[str, tuple[float, int]]
) -> dict[tuple[str, str], Bounds]:
    """What holds where no row says otherwise."""

    def rate(per_second: float, burst: int) -> Rate:
        # In whole numbers, as rows have it.
        seconds = 1 if per_second.is_integer() else 10_000
        return Rate(burst, max(1, round(per_second * seconds)), seconds)

    each = {
        name: (float(per_second), burst)
        for name, (per_second, burst) in {
            **rates,
            OTHER: (settings.other_requests_per_second, settings.other_burst_requests),
        }.items()
    }
    return {
        ("tenant", ""): Bounds(
            rate(float(settings.tenant_requests_per_second), settings.tenant_burst_requests),
            rate(float(settings.tenant_bytes_per_second), settings.tenant_burst_bytes),
            settings.tenant_concurrent_requests,
        ),
        ("caller", ""): Bounds(
            rate(float(settings.client_requests_per_second), settings.client_burst_requests)
        ),
        **{("route_class", name): Bounds(rate(*one)) for name, one in each.items()},
    }


def _is_recorded(record: RequestRecord) -> bool:
    """Whether the refusal has a record that says more: a failed log-in or client authentication.

    These endpoints refuse in OAuth's words or by a page. A problem there is the pipeline's, about
    a credential that came before they were asked, and nobody has recorded that one.
    """
    return record.route in RECORDS_ITS_REFUSALS and not record.problem


def _denied(record: RequestRecord) -> Failure:
    """The failure that a refused request is.

    It names the route's template and a method that HTTP knows: the path, the query and a method
    of one's own are texts of the caller.
    """
    method = record.method if record.method in _METHODS else "other"
    return Failure(
        "access.denied",
        record.actor or stranger(record.address),
        record.address,
        record.tenant_id or PLATFORM_TENANT,
        record.actor or "system",
        Denial(method, record.route, record.status, record.problem),
    )
