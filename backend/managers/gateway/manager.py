"""Rules of the gate: who a credential is, how much they may ask, and what they asked before."""

import asyncio
import contextlib
import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType
from typing import Final

import msgspec
import sqlalchemy as sa

from backend.core.clock import monotonic as system_monotonic
from backend.core.context import Principal, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError, NotFoundError
from backend.core.ids import PLATFORM_TENANT
from backend.core.telemetry import RequestRecord
from backend.kit import credentials
from backend.kit.limiter import GcraLimiter, Level, Verdict, policy_of
from backend.managers.gateway._credentials import CredentialOperations
from backend.managers.gateway._failures import FailureAudit, FailureLimits, denied
from backend.managers.gateway._idempotency import Reply, ReplyStore
from backend.managers.gateway._provider import TOKEN_PATH, OpenIdProvider
from backend.managers.gateway._tokens import (
    MAX_TOKEN_CHARACTERS,
    SIGNING_KEYS,
    AccessClaims,
    CredentialCache,
    KeyStore,
    Known,
    TokenInvalidError,
    UnknownKeyError,
    read_access,
)
from backend.managers.gateway.errands import AUTHENTICATE
from backend.managers.gateway.errors import (
    CredentialInvalidError,
    TenantlessTokenError,
)
from backend.managers.gateway.models import (
    ApiKey,
    AuthorizationCode,
    BrowserSession,
    IdempotencyRecord,
    OauthClient,
    RevokedToken,
)
from backend.managers.gateway.settings import GatewaySettings
from backend.managers.security import SecurityManager
from backend.managers.tenant import PRINCIPALS, TenantManager

logger = logging.getLogger(__name__)

_FLUSH_SECONDS: Final = 10.0
_USED_SECONDS: Final = 60.0
_REFUSED: Final = frozenset({401, 403})
_SELF_RECORDING: Final = frozenset({TOKEN_PATH, "/oauth/revoke", "/oauth/login"})


@dataclass(frozen=True, slots=True)
class TenantRole:
    """A tenant, and what the caller may be in it."""

    id: str
    slug: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class CallerView:
    """Everything a caller may know about itself."""

    principal: Principal
    name: str
    tenant: TenantRole
    tenants: Sequence[TenantRole]


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


class GatewayManager(CredentialOperations):
    """Credentials, limits, idempotent replies, and the clients and keys that tenants manage.

    It opens transactions of its own where a request has none yet: authentication comes before
    any use case. ``provider`` speaks OAuth and OpenID Connect.
    """

    def __init__(
        self,
        database: Database,
        security: SecurityManager,
        tenants: TenantManager,
        settings: GatewaySettings,
        *,
        rates: Mapping[str, tuple[float, int]] = MappingProxyType({}),
        monotonic: Callable[[], float] = system_monotonic,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._settings = settings
        self._monotonic = monotonic
        self._limiter = GcraLimiter(monotonic_ns)
        self._make_levels(settings, rates)
        self._cache = CredentialCache(
            entries=settings.principal_cache_entries,
            refused_entries=settings.refused_cache_entries,
            refused_seconds=settings.refused_cache_seconds,
            monotonic=monotonic,
        )
        self._keys = KeyStore(
            database,
            security,
            retire_after_seconds=settings.longest_token_seconds,
            monotonic=monotonic,
        )
        self._replies = ReplyStore(database, security, keep_seconds=settings.idempotency_seconds)
        self._failures = FailureAudit(database, monotonic)
        self._noting: set[asyncio.Task[None]] = set()
        self._looking: dict[tuple[bytes, int], asyncio.Task[Known]] = {}
        self._used: dict[str, int] = {}
        self._used_written_at = -math.inf
        self.provider = OpenIdProvider(
            database,
            tenants,
            settings,
            keys=self._keys,
            limits=FailureLimits(settings, self._limiter),
            failures=self._failures,
        )
        database.signals.subscribe(PRINCIPALS, lambda _: self._cache.drop())
        database.signals.subscribe(SIGNING_KEYS, self._forget_signing_keys)

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

    def _forget_signing_keys(self, _: str) -> None:
        self._keys.forget()
        self._cache.clear()

    @asynccontextmanager
    async def serving(self, _: Database) -> AsyncIterator[None]:
        """Write, every ten seconds and once at the end, what requests only noted."""
        task = asyncio.create_task(self._flush_forever())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await asyncio.gather(*self._noting)
            await self.flush(everything=True)

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                await self.flush()
            except AppError as exc:
                logger.warning("gateway_flush_failed", extra={"cause": exc.code})

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Note the use of API keys and audit refused requests; a consumer of the telemetry queue.

        After the answer and coalesced: a refusal changes nothing, so its record need not share a
        transaction, and a flood of them must cost the database a row in ten seconds, not each.
        """
        for record in records:
            if record.actor.startswith("api_key:"):
                self._used[record.actor.removeprefix("api_key:")] = record.started_ns
        refused = [r for r in records if r.status in _REFUSED and not _is_recorded(r)]
        if refused:
            task = asyncio.create_task(self._note_refusals(refused))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    async def _note_refusals(self, refused: Sequence[RequestRecord]) -> None:
        for record in refused:
            try:
                await self._failures.note(denied(record), record.request_id)
            except AppError as exc:
                logger.warning("refusal_not_audited", extra={"cause": exc.code})

    async def flush(self, *, everything: bool = False) -> None:
        """Write counts of failed attempts and, once a minute, when API keys were last used."""
        await self._failures.flush(everything=everything)
        now = self._monotonic()
        if not self._used or (now < self._used_written_at + _USED_SECONDS and not everything):
            return
        self._used_written_at = now
        used, self._used = self._used, {}
        async with self._database.transaction(SystemScope(AUTHENTICATE)) as tx:
            for key_id, started_ns in sorted(used.items()):
                at = datetime.fromtimestamp(started_ns / 1e9, UTC)
                await tx.execute(
                    sa.update(ApiKey)
                    .where(
                        ApiKey.id == key_id,
                        sa.or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < at),
                    )
                    .values(last_used_at=at)
                    .execution_options(synchronize_session=False)
                )

    # --- the gate: what the pipeline asks on every request ---------------------------------------

    def coarse_limit(self, key: str) -> Verdict:
        """Charge one request of an unknown caller to its address (its /64 network for IPv6)."""
        if ":" in key:
            key = _network_of(key)
        return self._limiter.decide(((self._coarse, key),), self._coarse.policy)

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
        if self._cache.is_refused(digest):
            raise CredentialInvalidError
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
                principal = await self._principal_of_key(digest)
            else:
                claims = await self._claims_of(credential, digest)
                principal = await self._principal_of_token(claims)
        except UnknownKeyError:
            # Not remembered: the key may arrive in a moment, and no curve was computed.
            raise CredentialInvalidError from None
        except (TokenInvalidError, CredentialInvalidError, NotFoundError):
            self._cache.refuse(digest, generation)
            raise CredentialInvalidError from None
        seconds = float(self._settings.principal_cache_seconds)
        if principal.expires_at:
            seconds = min(seconds, principal.expires_at - self._database.clock().timestamp())
        return self._cache.keep(digest, principal, claims, seconds, generation)

    async def _claims_of(self, token: str, digest: bytes) -> AccessClaims:
        known = self._cache.find_claims(digest)
        now = self._database.clock().timestamp()
        if known is not None:
            if known.expires_at <= now:
                raise TokenInvalidError("expired")
            return known
        read = partial(
            read_access,
            token=token,
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            now=now,
        )
        try:
            return read(await self._keys.current())
        except UnknownKeyError:
            return read(await self._keys.reload())

    async def _principal_of_key(self, digest: bytes) -> Principal:
        scope = SystemScope(AUTHENTICATE)
        async with self._database.read(scope) as view:
            row = await view.scalar(sa.select(ApiKey).where(ApiKey.key_hash == digest))
            now = view.now()
            if row is None or (row.expires_at is not None and row.expires_at <= now):
                raise CredentialInvalidError
            if not await self._tenants.is_active(view, row.tenant_id):
                raise CredentialInvalidError
        return Principal(
            subject=f"api_key:{row.id}",
            kind="api_key",
            tenant_id=row.tenant_id,
            permissions=self._tenants.roles.permissions_of(row.role),
            name=row.name,
            role=row.role,
            expires_at=row.expires_at.timestamp() if row.expires_at is not None else 0.0,
        )

    async def _principal_of_token(self, claims: AccessClaims) -> Principal:
        kind, _, identity = claims.subject.partition(":")
        scope = SystemScope(AUTHENTICATE)
        async with self._database.read(scope) as view:
            if await view.scalar(
                sa.select(RevokedToken.jti).where(RevokedToken.jti == claims.token_id)
            ):
                raise CredentialInvalidError
            client = await view.scalar(
                sa.select(OauthClient).where(OauthClient.client_id == claims.client_id)
            )
            if client is None or client.disabled:
                raise CredentialInvalidError
            if not await self._tenants.is_active(view, claims.tenant_id):
                raise CredentialInvalidError
            if kind == "user":
                name, role, admin = await self._person(view, claims, identity)
            elif kind == "client" and client.tenant_id == claims.tenant_id:
                name, role, admin = client.name, client.role, False
            else:
                raise CredentialInvalidError
        # The role as it is now, within what the token was given: a role that lost a permission
        # takes it from running tokens, one that gained a permission does not widen them.
        granted = self._tenants.roles.permissions_of(role, platform_admin=admin) & set(
            claims.scope.split()
        )
        return Principal(
            subject=claims.subject,
            kind=kind,
            tenant_id=claims.tenant_id,
            permissions=granted,
            name=name,
            role=role,
            platform_admin=admin,
            expires_at=float(claims.expires_at),
        )

    async def _person(
        self, view: ReadTx, claims: AccessClaims, user_id: str
    ) -> tuple[str, str, bool]:
        user = await self._tenants.get_user(view, user_id)
        session = await view.scalar(
            sa.select(BrowserSession.id).where(
                BrowserSession.id == claims.session_id,
                BrowserSession.user_id == user_id,
                BrowserSession.expires_at > view.now(),
            )
        )
        if user.disabled or session is None:
            raise CredentialInvalidError
        if claims.tenant_id == PLATFORM_TENANT:
            return user.name, "", False
        membership = await self._tenants.find_membership(view, claims.tenant_id, user_id)
        if membership is None:
            raise CredentialInvalidError
        return user.name, membership.role, user.platform_admin

    async def replay(self, principal: Principal, key: str) -> Reply | None:
        """The first answer to an Idempotency-Key of this caller.

        Raises:
            ForbiddenError: The caller has lost the permission that the act needed.
        """
        return await self._replies.find(principal, key)

    def rememberer(
        self, principal: Principal, key: str, fingerprint: bytes
    ) -> Callable[[Tx, int, dict[str, str], bytes, str], Awaitable[bool]]:
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
            iss=self._settings.issuer,
            aud=self._settings.audience,
            token_type="Bearer" if claims is not None else "api_key",
            scope=" ".join(sorted(principal.permissions)),
            exp=int(principal.expires_at),
        )
        if claims is not None:
            answer.client_id = claims.client_id
            answer.iat = claims.issued_at
            answer.jti = claims.token_id
        return msgspec.json.encode(answer)

    # --- what a caller may know about itself -----------------------------------------------------

    async def describe_caller(self, tx: ReadTx, principal: Principal) -> CallerView:
        """The caller's name, tenant and, for people, the tenants they may switch to.

        Raises:
            TenantlessTokenError: The token came from a log-in and was not exchanged yet.
        """
        if principal.tenant_id == PLATFORM_TENANT:
            raise TenantlessTokenError
        tenant = await self._tenants.get_tenant(tx, principal.tenant_id)
        here = TenantRole(tenant.id, tenant.slug, tenant.name, principal.role)
        tenants = [here]
        if principal.kind == "user":
            user_id = principal.subject.partition(":")[2]
            tenants = [
                TenantRole(found.id, found.slug, found.name, role)
                for found, role in await self._tenants.list_tenants_of(tx, user_id)
            ]
        return CallerView(principal, principal.name, here, tenants)

    # --- people ----------------------------------------------------------------------------------

    async def end_sessions(self, tx: Tx, user_id: str) -> int:
        """End all of a person's log-ins, and with them every token made from one; returns how many.

        Needs the authenticate errand. For whoever resets a password: it may be reset because
        somebody else knows it, and may be logged in with it.
        """
        ended = await tx.execute(
            sa.delete(BrowserSession)
            .where(BrowserSession.user_id == user_id)
            .returning(BrowserSession.id)
            .execution_options(synchronize_session=False)
        )
        sessions = ended.scalars().all()
        for session_id in sessions:
            tx.audit("session.ended", f"user:{user_id}", session=session_id)
        tx.signal(PRINCIPALS)
        return len(sessions)

    # --- upkeep ----------------------------------------------------------------------------------

    async def rotate_signing_key(self, tx: Tx) -> tuple[str, datetime]:
        """Sign with a new key from now on; returns its id and until when the old ones verify."""
        return await self._keys.rotate(tx)

    async def sweep_expired(self, tx: Tx) -> int:
        """Delete what has expired: idempotent replies, codes, sessions, revocations.

        Needs the retention errand; returns how many rows went.
        """
        now, gone = tx.now(), 0
        for model in (IdempotencyRecord, AuthorizationCode, BrowserSession, RevokedToken):
            result = await tx.execute(
                sa.delete(model)
                .where(model.expires_at <= now)
                .execution_options(synchronize_session=False)
            )
            gone += result.rowcount  # type: ignore[attr-defined]
        return gone


def _is_recorded(record: RequestRecord) -> bool:
    """Whether the refusal has a record that says more: a failed log-in or client authentication.

    These endpoints refuse in OAuth's words or by a page. A problem there is the pipeline's, about
    a credential that came before they were asked, and nobody has recorded that one.
    """
    return record.path in _SELF_RECORDING and not record.problem


@lru_cache(maxsize=4096)
def _network_of(address: str) -> str:
    """Whom an IPv6 address stands for: one host owns a whole /64, and could change every time."""
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), 64), strict=False))
