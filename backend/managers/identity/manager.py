"""Rules of identity: who somebody is, by a log-in or a token, and how clients are known."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa

from backend.core.clock import monotonic as system_monotonic
from backend.core.context import Principal, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError, NotFoundError
from backend.core.ids import PLATFORM_TENANT
from backend.core.telemetry import RequestRecord
from backend.kit.limiter import Limiter
from backend.kit.outbound import Outbound
from backend.managers.identity._accounts import Accounts
from backend.managers.identity._bounds import earlier, held_to, is_over
from backend.managers.identity._clients import CONSOLE, Clients
from backend.managers.identity._external import ExternalProviders
from backend.managers.identity._external_log_ins import ExternalLogIns
from backend.managers.identity._failures import FailureAudit, FailureLimits
from backend.managers.identity._invitations import Invitations
from backend.managers.identity._mail import SendMail
from backend.managers.identity._policies import LoginPolicies, has_second_factor
from backend.managers.identity._provider import OpenIdProvider
from backend.managers.identity._providers import IdentityProviders
from backend.managers.identity._tokens import (
    SIGNING_KEYS_CHANGED,
    AccessClaims,
    KeyStore,
    SigningKeyState,
    read_access,
)
from backend.managers.identity._totp import Enrolment, SecondFactor, SecondFactors
from backend.managers.identity._uses import LastUses
from backend.managers.identity.errands import AUTHENTICATE, SIGNING_KEYS
from backend.managers.identity.errors import (
    CredentialExpiredError,
    CredentialInvalidError,
    TenantlessTokenError,
)
from backend.managers.identity.models import (
    AuthorizationCode,
    BrowserSession,
    ExternalLogInRow,
    OauthClient,
    PasswordReset,
    PendingLogIn,
    RevokedToken,
)
from backend.managers.identity.settings import IdentitySettings
from backend.managers.orchestrator import OrchestratorManager
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
        second_factors: What people have beside their password.
        policies: What tenants ask of log-ins.
        providers: Tenants' own identity providers.
        external_log_ins: Log-ins that come by them.
        invitations: How people become members.
        accounts: What people do with their own.
    """

    def __init__(
        self,
        database: Database,
        security: SecurityManager,
        tenants: TenantManager,
        settings: IdentitySettings,
        *,
        limiter: Limiter,
        outbound: Outbound,
        jobs: OrchestratorManager | None = None,
        send_mail: SendMail | None = None,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        """Stand on the managers below.

        Args:
            database: What it opens its own transactions on.
            security: Seals the signing keys.
            tenants: Knows people and roles.
            settings: Issuer, lifetimes, limits.
            limiter: Counts failures; for all processes, where they share one.
            outbound: Asks tenants' own providers.
            jobs: Mails what strangers ask for, so that asking costs the same for everybody.
            send_mail: Queues mail of the platform's own; None: the installation has no mail server.
            monotonic: What time has passed.
        """
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
        limits = FailureLimits(settings, limiter)
        self.second_factors = SecondFactors(security, limits)
        self.policies = LoginPolicies(tenants, settings)
        self._uses = LastUses(
            database,
            AUTHENTICATE,
            monotonic,
            kind="client",
            model=OauthClient,
            named_by=OauthClient.client_id,
        )
        external = ExternalProviders(
            outbound,
            issuer=settings.issuer,
            allow_private=settings.allow_private_providers,
            monotonic=monotonic,
        )
        self.providers = IdentityProviders(security, tenants, outbound, external)
        self.provider = OpenIdProvider(
            database,
            tenants,
            settings,
            keys=self._keys,
            security=security,
            second_factors=self.second_factors,
            policies=self.policies,
            providers=self.providers,
            limits=limits,
            failures=self.failures,
        )
        self.external_log_ins = ExternalLogIns(
            database,
            tenants,
            self.providers,
            external,
            self.provider.log_ins,
            limits=limits,
            failures=self.failures,
        )
        self.accounts = Accounts(
            database,
            tenants,
            settings,
            log_ins=self.provider.log_ins,
            second_factors=self.second_factors,
            limits=limits,
            failures=self.failures,
            jobs=jobs,
            send_mail=send_mail,
        )
        self.invitations = Invitations(
            database,
            tenants,
            settings,
            limits=limits,
            failures=self.failures,
            providers=self.providers,
            send_mail=send_mail,
        )
        database.signals.subscribe(SIGNING_KEYS_CHANGED, lambda _: self._keys.forget())

    @asynccontextmanager
    async def serving(self, _: Database) -> AsyncIterator[None]:
        """Write, at the end, all that was only counted or noted."""
        try:
            yield
        finally:
            await self.failures.flush(everything=True)
            await self.provider.log_ins.flush()
            await self._uses.flush(everything=True)

    async def flush(self, _: Database) -> None:
        """Write the counts of failures whose window has closed, and when clients were used."""
        try:
            await self.failures.flush()
            await self.provider.log_ins.flush()
            await self._uses.flush()
        except AppError as exc:
            logger.warning("failures_not_audited", extra={"cause": exc.code})

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Note the use of clients; a consumer of the telemetry queue."""
        for record in records:
            self._uses.note(record)

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
        expires_at, networks = float(claims.expires_at), tuple[str, ...]()
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            if await view.scalar(
                sa.select(RevokedToken.jti).where(RevokedToken.jti == claims.token_id)
            ):
                raise CredentialInvalidError
            client = await view.scalar(
                sa.select(OauthClient).where(OauthClient.client_id == claims.client_id)
            )
            if client is None or client.disabled or is_over(client.expires_at, view.now()):
                raise CredentialInvalidError
            session: BrowserSession | None = None
            if kind == "user":
                name, role, platform_role, session = await self._person(view, claims, identity)
            elif kind == "client" and client.tenant_id == claims.tenant_id:
                name, role = client.name, client.role
                expires_at = earlier(expires_at, client.expires_at)
                networks = tuple(client.networks or ())
                # The platform's own clients hold a role of the platform and no other.
                platform_role = role if client.tenant_id == PLATFORM_TENANT else ""
            else:
                raise CredentialInvalidError
            permissions = await self._tenants.roles.permissions_of(
                view, role, tenant_id=claims.tenant_id, platform_role=platform_role
            )
            if kind == "client":
                permissions = held_to(client.scopes, permissions)
            # Last: only whoever could act now if it were active learns why it is not.
            if not await self._tenants.lifecycle.admits(view, claims.tenant_id):
                raise CredentialInvalidError
        # The role as it is now, within what the token was given: a role that lost a permission
        # takes it from running tokens, one that gained a permission does not widen them.
        granted = permissions & set(claims.scope.split())
        return Principal(
            subject=claims.subject,
            kind=kind,
            tenant_id=claims.tenant_id,
            permissions=granted,
            name=name,
            role=role,
            platform_role=platform_role,
            expires_at=expires_at,
            console=claims.client_id == CONSOLE,
            session_id=claims.session_id,
            logged_in_at=session.authenticated_at.timestamp() if session else 0.0,
            second_factor=session is not None and has_second_factor(session.methods),
            networks=networks,
        )

    async def _person(
        self, view: ReadTx, claims: AccessClaims, user_id: str
    ) -> tuple[str, str, str, BrowserSession]:
        try:
            user = await self._tenants.get_user(view, user_id)
        except NotFoundError:
            raise CredentialInvalidError from None
        session: BrowserSession | None = await view.scalar(
            sa.select(BrowserSession).where(
                BrowserSession.id == claims.session_id,
                BrowserSession.user_id == user_id,
                BrowserSession.expires_at > view.now(),
            )
        )
        if user.disabled or session is None:
            raise CredentialInvalidError
        if session.bound_to not in {None, claims.tenant_id} and (
            claims.tenant_id != PLATFORM_TENANT
        ):
            raise CredentialInvalidError
        if claims.tenant_id == PLATFORM_TENANT:
            return user.name, "", "", session
        membership = await self._tenants.find_membership(view, claims.tenant_id, user_id)
        if membership is None:
            raise CredentialInvalidError
        if not has_second_factor(session.methods) and (
            await self.policies.needs_second_factor(view, user, claims.tenant_id)
        ):
            raise CredentialInvalidError
        return user.name, membership.role, user.platform_role or "", session

    def missed_max_age(self, principal: Principal) -> int | None:
        """How recent, in seconds, a log-in must be that this person's is not; None: it is.

        Programs have no log-in, and are not asked for one.
        """
        if principal.kind != "user":
            return None
        age = self._database.clock().timestamp() - principal.logged_in_at
        return self.settings.step_up_seconds if age > self.settings.step_up_seconds else None

    # --- what a caller may know about itself -----------------------------------------------------

    async def describe_caller(self, tx: ReadTx, principal: Principal) -> CallerView:
        """The caller's name, tenant and, for people, the tenants they may switch to.

        The platform's own programs are at home in the platform, which is no tenant of anybody's.

        Raises:
            TenantlessTokenError: The token came from a log-in and was not exchanged yet.
        """
        if principal.tenant_id == PLATFORM_TENANT:
            if principal.kind == "user":
                raise TenantlessTokenError
            here = TenantRole(PLATFORM_TENANT, "platform", "Platform", principal.role, "active")
            return CallerView(principal, principal.name, here, [here])
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

    # --- second factors --------------------------------------------------------------------------

    async def describe_second_factor(self, tx: ReadTx, user_id: str) -> tuple[SecondFactor, bool]:
        """What a person has beside their password, and whether it is required of them.

        Raises:
            MemberNotFoundError: There is no such person.
        """
        user = await self._tenants.get_user(tx, user_id)
        required = await self.policies.needs_second_factor(tx, user)
        return await self.second_factors.find(tx, user_id), required

    async def begin_second_factor(self, tx: Tx, user_id: str) -> Enrolment:
        """A new secret for a person, which counts from its first code on.

        Raises:
            MemberNotFoundError: There is no such person.
            SecondFactorExistsError: They have one that counts.
        """
        user = await self._tenants.get_user(tx, user_id)
        return await self.second_factors.begin(tx, user_id, user.email)

    async def reset_second_factor(self, tx: Tx, user_id: str) -> bool:
        """Take a person's second factor away, and end their log-ins; whether there was one.

        Raises:
            MemberNotFoundError: There is no such person.
        """
        user = await self._tenants.get_user(tx, user_id)
        return await self.second_factors.reset(tx, user.id)

    # --- upkeep ----------------------------------------------------------------------------------

    async def list_signing_keys(self, tx: ReadTx) -> Sequence[SigningKeyState]:
        """The keys that sign or verify tokens, newest first; nothing of them but their state."""
        return await self._keys.show(tx)

    async def rotate_signing_key(self, tx: Tx) -> tuple[str, datetime]:
        """Sign with a new key from now on; returns its id and until when the old ones verify."""
        return await self._keys.rotate(tx)

    async def rotate_when_due(self, database: Database) -> None:
        """Sign with a new key once the current one is ``signing_key_days`` old; idempotent."""
        age = timedelta(days=self.settings.signing_key_days)
        try:
            async with database.transaction(SystemScope(SIGNING_KEYS)) as tx:
                kid = await self._keys.rotate_older_than(tx, age)
        except AppError as exc:
            logger.warning("signing_key_not_rotated", extra={"cause": exc.code})
            return
        if kid is not None:
            logger.info("signing_key_rotated", extra={"kid": kid})

    async def sweep_expired(self, tx: Tx) -> int:
        """Delete what has expired: codes, sessions, log-ins half done, revocations, links.

        Needs the retention errand; returns how many rows went.
        """
        now, gone = tx.now(), 0
        for model in (
            AuthorizationCode,
            BrowserSession,
            PendingLogIn,
            ExternalLogInRow,
            RevokedToken,
            PasswordReset,
        ):
            result = await tx.execute(
                sa.delete(model)
                .where(model.expires_at <= now)
                .execution_options(synchronize_session=False)
            )
            gone += result.rowcount  # type: ignore[attr-defined]
        return gone
