"""Rules of the gate: who a credential is, how much they may ask, and what they asked before."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Final

import msgspec

from backend.core.clock import monotonic as system_monotonic
from backend.core.context import Principal
from backend.core.database import Database, Tx
from backend.core.errors import AppError
from backend.core.ids import PLATFORM_TENANT
from backend.core.telemetry import RequestRecord
from backend.kit import credentials
from backend.kit.limiter import GcraLimiter, Level, Verdict, policy_of
from backend.kit.sources import source_of
from backend.managers.gateway._api_keys import ApiKeys
from backend.managers.gateway._cache import CredentialCache, Known
from backend.managers.gateway._idempotency import Reply, ReplyStore
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
from backend.managers.tenant import PRINCIPALS, TenantManager

logger = logging.getLogger(__name__)

INTROSPECTION_PATH: Final = "/oauth/introspect"
_REFUSED: Final = frozenset({401, 403})
_SWEPT: Final = 1000
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


class _RouteClass:
    """The levels a request to one class of routes is charged to."""

    __slots__ = ("level", "most", "policy")

    def __init__(self, tenant: Level, client: Level, level: Level) -> None:
        self.level = level
        self.most = min(tenant.burst, client.burst, level.burst)
        self.policy = policy_of(tenant, client, level)


class GatewayManager:
    """Verified credentials, limits, idempotent replies, and the API keys that tenants manage.

    It opens transactions of its own where a request has none yet: authentication comes before
    any use case.

    Attributes:
        api_keys: The keys that tenants manage.
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
        rates: Mapping[str, tuple[float, int]] = MappingProxyType({}),
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._database = database
        self._identity = identity
        self._settings = settings
        self._limiter = limiter
        self._make_levels(settings, rates)
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
        # RFC 7662 leaves the caller's own authorization open; ours is a bearer token.
        identity.provider.advertise(
            {"introspection_endpoint": INTROSPECTION_PATH},
            introspection_endpoint_auth_methods_supported=["bearer"],
        )
        database.signals.subscribe(PRINCIPALS, lambda _: self._cache.drop())
        database.signals.subscribe(SIGNING_KEYS_CHANGED, lambda _: self._cache.clear())

    def _make_levels(
        self, settings: GatewaySettings, rates: Mapping[str, tuple[float, int]]
    ) -> None:
        self._coarse = Level(
            "address", settings.coarse_requests_per_second, settings.coarse_burst_requests
        )
        self._tenant = Level(
            "tenant", settings.tenant_requests_per_second, settings.tenant_burst_requests
        )
        self._client = Level(
            "client", settings.client_requests_per_second, settings.client_burst_requests
        )
        self._other = _RouteClass(
            self._tenant,
            self._client,
            Level("other", settings.other_requests_per_second, settings.other_burst_requests),
        )
        self._classes = {
            name: _RouteClass(self._tenant, self._client, Level(name, rate, burst))
            for name, (rate, burst) in rates.items()
        }

    @asynccontextmanager
    async def serving(self, _: Database) -> AsyncIterator[None]:
        """Write, at the end, what requests only noted."""
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
            task = asyncio.create_task(self._note_refusals(refused))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    async def _note_refusals(self, refused: Sequence[RequestRecord]) -> None:
        for record in refused:
            try:
                await self._identity.failures.note(_denied(record), record.request_id)
            except AppError as exc:
                logger.warning("refusal_not_audited", extra={"cause": exc.code})

    # --- the gate: what the pipeline asks on every request ---------------------------------------

    def coarse_limit(self, key: str) -> Verdict:
        """Charge one request of an unknown caller to its address (its /64 network for IPv6)."""
        return self._limiter.decide(((self._coarse, source_of(key)),), self._coarse.policy)

    def quota(self, principal: Principal, route_class: str, cost: int = 1) -> Verdict:
        """Charge a request to the tenant, the caller and the caller's use of a class of routes.

        A class without levels of its own is charged to "other". What costs more than the tightest
        burst costs that burst: it could never pass otherwise.
        """
        kind = self._classes.get(route_class, self._other)
        cost = min(cost, kind.most)
        subject = principal.subject
        return self._limiter.decide(
            (
                (self._tenant, principal.tenant_id),
                (self._client, subject),
                (kind.level, subject),
            ),
            kind.policy,
            cost=cost,
        )

    def cached_principal(self, credential: str) -> Principal | None:
        """Who a recently verified credential is, without any I/O."""
        known = self._cache.find(credential)
        return known.principal if known is not None else None

    async def authenticate(self, credential: str) -> Principal:
        """Who a credential is, by signature and database.

        Requests that arrive together with one credential share one look: a change of rights
        drops everybody's entry at once, and a busy token must not ask a hundred times then.

        Raises:
            CredentialInvalidError: It does not hold, for whatever reason.
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
            raise refused
        if credential.startswith("es_") and not credentials.is_well_formed(credential):
            raise CredentialInvalidError
        # By generation too: who asks after a change must not get an answer from before it.
        look = (digest, self._cache.generation)
        task = self._looking.get(look)
        if task is None:
            # A task of its own: the request that asked first may be cancelled, the others not.
            task = asyncio.create_task(self._look(credential, digest, self._cache.generation))
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
        try:
            if credential.startswith("es_"):
                principal = await self.api_keys.find_principal(digest)
            else:
                claims = self._cache.find_claims(digest)
                claims = claims or await self._identity.verify_token(credential)
                principal = await self._identity.find_principal(claims)
        except UnknownKeyError:
            # Not remembered: the key may arrive in a moment, and no curve was computed.
            raise CredentialInvalidError from None
        except (TokenInvalidError, CredentialInvalidError) as exc:
            expired = isinstance(exc, (TokenExpiredError, CredentialExpiredError))
            refusal = CredentialExpiredError if expired else CredentialInvalidError
            self._cache.refuse(digest, generation, refusal)
            raise refusal from None
        seconds = float(self._settings.principal_cache_seconds)
        if principal.expires_at:
            seconds = min(seconds, principal.expires_at - self._database.clock().timestamp())
        return self._cache.keep(digest, principal, claims, seconds, generation)

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
        except CredentialInvalidError:
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


def _is_recorded(record: RequestRecord) -> bool:
    """Whether the refusal has a record that says more: a failed log-in or client authentication.

    These endpoints refuse in OAuth's words or by a page. A problem there is the pipeline's, about
    a credential that came before they were asked, and nobody has recorded that one.
    """
    return record.path in RECORDS_ITS_REFUSALS and not record.problem


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
