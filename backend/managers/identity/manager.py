"""Rules of identity: who somebody is, by a log-in or a token, and how clients are known."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from backend.core.clock import monotonic as system_monotonic
from backend.core.context import Principal, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError, NotFoundError
from backend.core.ids import PLATFORM_TENANT
from backend.kit.limiter import GcraLimiter
from backend.managers.identity._clients import CONSOLE, Clients
from backend.managers.identity._failures import FailureAudit, FailureLimits
from backend.managers.identity._provider import OpenIdProvider
from backend.managers.identity._tokens import (
    SIGNING_KEYS_CHANGED,
    AccessClaims,
    KeyStore,
    read_access,
)
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.identity.errors import (
    CredentialExpiredError,
    CredentialInvalidError,
    TenantlessTokenError,
)
from backend.managers.identity.models import (
    AuthorizationCode,
    BrowserSession,
    OauthClient,
    RevokedToken,
)
from backend.managers.identity.settings import IdentitySettings
from backend.managers.security import SecurityManager
from backend.managers.tenant import TenantManager

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TenantRole:
    """A tenant, and what the caller may be in it."""

    id: str
    slug: str
    name: str
    role: str
    state: str


@dataclass(frozen=True, slots=True)
class CallerView:
    """Everything a caller may know about itself."""

    principal: Principal
    name: str
    tenant: TenantRole
    tenants: Sequence[TenantRole]


class IdentityManager:
    """The issuer of tokens, whom they stand for, and what is known of callers.

    It opens transactions of its own where a request has none yet: who somebody is comes before any
    use case.

    Attributes:
        settings: Issuer, lifetimes, limits.
        clients: The OAuth clients that tenants manage.
        failures: The trail of what was tried in vain, coalesced.
        provider: Speaks OAuth and OpenID Connect.
    """

    def __init__(
        self,
        database: Database,
        security: SecurityManager,
        tenants: TenantManager,
        settings: IdentitySettings,
        *,
        limiter: GcraLimiter,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._keys = KeyStore(
            database,
            security,
            retire_after_seconds=settings.longest_token_seconds,
            monotonic=monotonic,
        )
        self.settings = settings
        self.clients = Clients(tenants.roles)
        self.failures = FailureAudit(database, monotonic)
        self.provider = OpenIdProvider(
            database,
            tenants,
            settings,
            keys=self._keys,
            limits=FailureLimits(settings, limiter),
            failures=self.failures,
        )
        database.signals.subscribe(SIGNING_KEYS_CHANGED, lambda _: self._keys.forget())

    @asynccontextmanager
    async def serving(self, _: Database) -> AsyncIterator[None]:
        """Write, at the end, all failures that were only counted."""
        try:
            yield
        finally:
            await self.failures.flush(everything=True)

    async def flush(self, _: Database) -> None:
        """Write the counts of failures whose window has closed."""
        try:
            await self.failures.flush()
        except AppError as exc:
            logger.warning("failures_not_audited", extra={"cause": exc.code})

    # --- whom a token stands for -----------------------------------------------------------------

    async def verify_token(self, token: str) -> AccessClaims:
        """What an access token of ours says, by its signature; it may have been revoked since.

        Raises:
            UnknownKeyError: Signed, perhaps, with a key that another process is just making.
            TokenExpiredError: It held.
            TokenInvalidError: It does not hold.
        """
        read = partial(
            read_access,
            token=token,
            issuer=self.settings.issuer,
            audience=self.settings.audience,
            now=self._database.clock().timestamp(),
        )
        return await self._keys.apply(read)

    async def find_principal(self, claims: AccessClaims) -> Principal:
        """Whom a verified token stands for, as the database has it now.

        Raises:
            CredentialExpiredError: It has expired.
            CredentialInvalidError: It was revoked, or its client, tenant, membership or log-in is
                gone.
            TenantSuspendedError: It holds, and its tenant is not active.
        """
        if claims.expires_at <= self._database.clock().timestamp():
            raise CredentialExpiredError
        kind, _, identity = claims.subject.partition(":")
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            if await view.scalar(
                sa.select(RevokedToken.jti).where(RevokedToken.jti == claims.token_id)
            ):
                raise CredentialInvalidError
            client = await view.scalar(
                sa.select(OauthClient).where(OauthClient.client_id == claims.client_id)
            )
            if client is None or client.disabled:
                raise CredentialInvalidError
            if kind == "user":
                name, role, admin = await self._person(view, claims, identity)
            elif kind == "client" and client.tenant_id == claims.tenant_id:
                name, role, admin = client.name, client.role, False
            else:
                raise CredentialInvalidError
            # Last: only whoever could act now if it were active learns why it is not.
            if not await self._tenants.lifecycle.admits(view, claims.tenant_id):
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
            console=claims.client_id == CONSOLE,
        )

    async def _person(
        self, view: ReadTx, claims: AccessClaims, user_id: str
    ) -> tuple[str, str, bool]:
        try:
            user = await self._tenants.get_user(view, user_id)
        except NotFoundError:
            raise CredentialInvalidError from None
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

    # --- what a caller may know about itself -----------------------------------------------------

    async def describe_caller(self, tx: ReadTx, principal: Principal) -> CallerView:
        """The caller's name, tenant and, for people, the tenants they may switch to.

        Raises:
            TenantlessTokenError: The token came from a log-in and was not exchanged yet.
        """
        if principal.tenant_id == PLATFORM_TENANT:
            raise TenantlessTokenError
        tenant = await self._tenants.get_tenant(tx, principal.tenant_id)
        here = TenantRole(tenant.id, tenant.slug, tenant.name, principal.role, tenant.state)
        tenants = [here]
        if principal.kind == "user":
            user_id = principal.subject.partition(":")[2]
            tenants = [
                TenantRole(found.id, found.slug, found.name, role, found.state)
                for found, role in await self._tenants.list_tenants_of(tx, user_id, active=False)
            ]
        return CallerView(principal, principal.name, here, tenants)

    # --- upkeep ----------------------------------------------------------------------------------

    async def rotate_signing_key(self, tx: Tx) -> tuple[str, datetime]:
        """Sign with a new key from now on; returns its id and until when the old ones verify."""
        return await self._keys.rotate(tx)

    async def sweep_expired(self, tx: Tx) -> int:
        """Delete what has expired: codes, sessions, revocations.

        Needs the retention errand; returns how many rows went.
        """
        now, gone = tx.now(), 0
        for model in (AuthorizationCode, BrowserSession, RevokedToken):
            result = await tx.execute(
                sa.delete(model)
                .where(model.expires_at <= now)
                .execution_options(synchronize_session=False)
            )
            gone += result.rowcount  # type: ignore[attr-defined]
        return gone
