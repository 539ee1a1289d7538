"""OAuth 2 and OpenID Connect: load a snapshot, let the grant decide, store what it left.

Every flow has one shape. Errors leave as :class:`Answer` in the words of RFC 6749, because that is
what clients of these endpoints parse; only the login page speaks to people.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import sqlalchemy as sa
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
)

from backend.core.audit import Personal
from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx
from backend.core.errors import NotFoundError
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.kit.sources import lies_in
from backend.managers.identity import _oauth
from backend.managers.identity._accounts import RESET_PATH
from backend.managers.identity._bounds import held_to, is_over
from backend.managers.identity._clients import CONSOLE
from backend.managers.identity._external import EXTERNAL_PATH
from backend.managers.identity._failures import Failure, FailureAudit, FailureLimits, stranger
from backend.managers.identity._invitations import INVITATION_PATH
from backend.managers.identity._logins import LogIn, LogIns, Peer
from backend.managers.identity._oauth import Answer, ClientSnapshot, Person, Server, Snapshot
from backend.managers.identity._policies import LoginPolicies, has_second_factor
from backend.managers.identity._providers import IdentityProviders
from backend.managers.identity._tokens import (
    IdClaims,
    KeyStore,
    TokenInvalidError,
    read_access,
    read_id,
)
from backend.managers.identity._totp import SecondFactors
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.identity.errors import TooManyFailuresError
from backend.managers.identity.models import (
    AuthorizationCode,
    BrowserSession,
    OauthClient,
    RevokedToken,
)
from backend.managers.identity.settings import IdentitySettings
from backend.managers.security import SecurityManager
from backend.managers.tenant import PRINCIPALS, TenantManager, TenantSuspendedError

AUTHORIZE_PATH: Final = "/oauth/authorize"
TOKEN_PATH: Final = "/oauth/token"
REVOKE_PATH: Final = "/oauth/revoke"
LOGIN_PATH: Final = "/oauth/login"
SECOND_FACTOR_PATH: Final = "/oauth/second-factor"
CALLBACK_ROUTE: Final = f"{EXTERNAL_PATH}/{{provider_id}}/callback"
RECORDS_ITS_REFUSALS: Final = frozenset(
    {
        TOKEN_PATH,
        REVOKE_PATH,
        LOGIN_PATH,
        SECOND_FACTOR_PATH,
        CALLBACK_ROUTE,
        INVITATION_PATH,
        RESET_PATH,
    }
)
"""Endpoints that audit what they refuse, and say more of it than its status does."""
_MAX_ENTRIES: Final = 10_000
_INTERACTIVE: Final = frozenset({"login", "select_account"})

Pairs = Sequence[tuple[str, str]]


class Redirect(NamedTuple):
    """Send the browser there."""

    location: str


class AskLogIn(NamedTuple):
    """Show the login page, which then returns to this local address."""

    return_to: str


class Refused(NamedTuple):
    """Nothing may be sent to the client: its identity or its redirect URI does not hold."""

    error: str
    description: str


class LogInContext(NamedTuple):
    """What the login page shows and allows: the client waiting, and the origin it redirects to."""

    client_name: str
    redirect_origin: str


class OpenIdProvider:
    """The endpoints' rules. Opens its own transactions under the authenticate errand."""

    def __init__(
        self,
        database: Database,
        tenants: TenantManager,
        settings: IdentitySettings,
        *,
        keys: KeyStore,
        security: SecurityManager,
        second_factors: SecondFactors,
        policies: LoginPolicies,
        providers: IdentityProviders,
        limits: FailureLimits,
        failures: FailureAudit,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._settings = settings
        self._keys = keys
        self._limits = limits
        self._failures = failures
        self._entered: dict[tuple[str, str, str], None] = {}
        self._advertised: dict[str, Any] = {}
        self._policies = policies
        self._stand_in = CONSOLE
        self.log_ins = LogIns(
            database,
            tenants,
            settings,
            security=security,
            second_factors=second_factors,
            policies=policies,
            providers=providers,
            limits=limits,
            failures=failures,
        )

    @property
    def settings(self) -> IdentitySettings:
        """Issuer and lifetimes, for metadata and cookies."""
        return self._settings

    def advertise(self, endpoints: Mapping[str, str], **abilities: Any) -> None:
        """Have the metadata tell of what an upper room serves for this issuer.

        Args:
            endpoints: Their names by RFC 8414, with the path of each.
            abilities: What else the metadata says of them.
        """
        issuer = self._settings.issuer
        self._advertised |= {name: f"{issuer}{path}" for name, path in endpoints.items()}
        self._advertised |= abilities

    @property
    def advertised(self) -> Mapping[str, Any]:
        """Members of the metadata that upper rooms added."""
        return self._advertised

    async def public_keys(self) -> bytes:
        """The JWKS document (RFC 7517): every key that still verifies."""
        return (await self._keys.current()).jwks

    # --- the token endpoint ----------------------------------------------------------------------

    @property
    def permissions(self) -> frozenset[str]:
        """All that a token may be for."""
        return self._tenants.roles.grantable

    async def issue_token(self, form: Pairs, authorization: str | None, peer: Peer) -> Answer:
        """Answer a token request.

        Success of client credentials is not audited: a workflow asks every few minutes, each row
        would be a durable write on a path that needs none, and what is done with the token is
        audited under the client's name. Exchanges are: they are the moment a person enters a
        tenant. Failures always are.
        """
        try:
            given = _oauth.single_valued(form)
            _oauth.refuse_unknown_grant(given.get("grant_type"))
            snapshot, request = await self._authenticated(given, authorization, TOKEN_PATH, peer)
            grant_type = given["grant_type"]
            if snapshot.client is not None:
                _oauth.refuse_unregistered(snapshot.client, grant_type)
            snapshot.keys = await self._keys.current()
            if grant_type == _oauth.AUTHORIZATION_CODE:
                await self._claim_code(snapshot, given, peer)
            elif grant_type == _oauth.TOKEN_EXCHANGE:
                _oauth.refuse_foreign_exchange(given)
                await self._load_exchange(snapshot, given)
            answer: Answer = Server(snapshot).create_token_response(request)
            if grant_type == _oauth.TOKEN_EXCHANGE and answer.status == 200:
                await self._audit_exchange(snapshot, peer)
                if snapshot.person is not None:
                    self.log_ins.note_use(snapshot.person.session_id)
            return answer
        except TooManyFailuresError as exc:
            return _slow_down(exc)
        except TenantSuspendedError as exc:
            return _oauth.suspended(exc)
        except OAuth2Error as exc:
            return _oauth.refusal(exc)

    async def _authenticated(
        self, given: dict[str, str], authorization: str | None, path: str, peer: Peer
    ) -> tuple[Snapshot, _oauth.Request]:
        """A snapshot with the client, once its secret has been checked.

        Raises:
            TenantSuspendedError: It holds, and its tenant is not active.
        """
        basic_id = _basic_user(authorization)
        if basic_id is not None and "client_secret" in given:
            raise InvalidRequestError("Use one way of client authentication, not two")
        client_id = basic_id or given.get("client_id", "")
        await self._limits.refuse_exhausted(peer.address)
        known = await self._find_client(client_id)
        snapshot = Snapshot(
            self._settings,
            now=self._database.clock(),
            token_id=secrets.token_urlsafe(16),
            # Whoever is unknown is asked for a secret too, which nobody has: the same work.
            client=known or _oauth.phantom(client_id),
        )
        request = _oauth.Request(
            "POST",
            path,
            given,
            authorization if basic_id is not None else None,
            self._settings.issuer,
        )
        try:
            Server(snapshot).authenticate_client(request, _oauth.AUTH_METHODS)
            client = snapshot.client
            if client and client.networks and not lies_in(peer.address, client.networks):
                raise InvalidClientError(status_code=401)
        except InvalidClientError:
            await self._client_failed(known, client_id, peer)
            # One text for unknown, disabled, wrong and elsewhere: Authlib's own tells them apart.
            raise InvalidClientError(
                description="Client authentication failed", status_code=401
            ) from None
        if snapshot.client is not None and snapshot.client.suspended is not None:
            raise snapshot.client.suspended
        return snapshot, request

    async def _find_client(self, client_id: str) -> ClientSnapshot | None:
        """The client, unless it is disabled or its tenant gone.

        Whoever is unknown costs the same: another client's row stands in, which is read and made
        use of to the end. The rows alone took so long that they told who is known.
        """
        if not client_id:
            return None
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            row: OauthClient | None = await view.scalar(
                sa.select(OauthClient)
                .where(OauthClient.client_id.in_([client_id, self._stand_in]))
                .order_by((OauthClient.client_id == client_id).desc())
                .limit(1)
            )
            suspended: TenantSuspendedError | None = None
            try:
                admitted = await self._tenants.lifecycle.admits(
                    view, row.tenant_id if row else uuid7()
                )
            except TenantSuspendedError as exc:
                # For whoever shows its secret; till then it is a client as any other.
                suspended, admitted = exc, True
            if row is None:
                return None
            permissions = await self._tenants.roles.permissions_of(
                view, row.role, tenant_id=row.tenant_id
            )
            is_open = not row.disabled and not is_over(row.expires_at, view.now()) and admitted
        found = ClientSnapshot(
            row.client_id,
            tenant_id=row.tenant_id,
            name=row.name,
            permissions=held_to(row.scopes, permissions),
            networks=tuple(row.networks or ()),
            secret_hash=row.secret_hash,
            redirect_uris=row.redirect_uris,
            grant_types=row.grant_types,
            suspended=suspended,
        )
        if row.client_id != client_id:
            return None
        self._stand_in = client_id
        return found if is_open else None

    async def _client_failed(
        self, client: ClientSnapshot | None, client_id: str, peer: Peer
    ) -> None:
        """Audit the failure and count it against the address and the client.

        An exhausted client only changes what failing attempts are told: the right secret passes.
        It has 256 random bits, so nobody guesses it, and a lock that strangers can close would
        let them shut the console out.

        Raises:
            TooManyFailuresError: One too many.
        """
        await self._failures.note(
            Failure(
                "client.authentication_failed",
                f"client:{client.client_id}" if client else stranger(peer.address),
                peer.address,
                client.tenant_id if client else PLATFORM_TENANT,
                guessed=True,
            ),
            peer.request_id,
        )
        await self._limits.charge(peer.address, f"client:{client_id}")

    async def _claim_code(self, snapshot: Snapshot, given: Mapping[str, str], peer: Peer) -> None:
        """Claim the code for this request, atomically, before the grant looks at anything else.

        Whatever the grant then finds wrong (redirect URI, verifier), the code stays spent. The
        claim stores the id of the token it is about to make, so that a second use can revoke it
        (RFC 6749, section 4.1.2).
        """
        client = snapshot.client
        code_hash = hashlib.sha256(given.get("code", "").encode()).digest()
        if client is None:
            raise RuntimeError("the client is authenticated first")
        scope = SystemScope(
            AUTHENTICATE, actor=f"client:{client.client_id}", request_id=peer.request_id
        )
        async with self._database.transaction(scope) as tx:
            row = await tx.scalar(
                sa.update(AuthorizationCode)
                .where(
                    AuthorizationCode.code_hash == code_hash,
                    AuthorizationCode.client_id == client.client_id,
                    AuthorizationCode.jti.is_(None),
                    AuthorizationCode.expires_at > snapshot.now,
                )
                .values(jti=snapshot.token_id)
                .returning(AuthorizationCode)
                .execution_options(synchronize_session=False)
            )
            if row is None:
                spent = await tx.scalar(
                    sa.select(AuthorizationCode).where(
                        AuthorizationCode.code_hash == code_hash,
                        AuthorizationCode.jti.is_not(None),
                    )
                )
                if spent is not None:
                    await tx.insert_new(
                        RevokedToken,
                        {
                            "jti": spent.jti,
                            "expires_at": snapshot.now
                            + timedelta(seconds=self._settings.user_token_seconds),
                        },
                        conflict=["jti"],
                    )
                    tx.audit(
                        "authorization_code.reused",
                        f"user:{spent.user_id}",
                        address=Personal(f"user:{spent.user_id}", peer.address),
                    )
                    tx.signal(PRINCIPALS, f"user:{spent.user_id}")
                return
            snapshot.code = _oauth.CodeSnapshot(
                redirect_uri=row.redirect_uri,
                scope=row.scope,
                nonce=row.nonce,
                code_challenge=row.code_challenge,
                auth_time=row.auth_time,
            )
            await self._load_person(tx, snapshot, row.user_id, row.session_id)

    async def _load_person(
        self, view: ReadTx, snapshot: Snapshot, user_id: str, session_id: str
    ) -> None:
        """Put the person into the snapshot if they may act and their session lives."""
        session: BrowserSession | None = await view.scalar(
            sa.select(BrowserSession).where(
                BrowserSession.id == session_id,
                BrowserSession.user_id == user_id,
                BrowserSession.expires_at > snapshot.now,
            )
        )
        if session is None:
            return
        try:
            user = await self._tenants.get_user(view, user_id)
        except NotFoundError:
            return
        if not user.disabled:
            snapshot.person = Person(user, session.id)
            snapshot.session_expires_at = session.expires_at
            snapshot.bound_to = session.bound_to
            snapshot.methods = session.methods
            if snapshot.code is not None:
                snapshot.code.methods = tuple(session.methods)

    async def _load_exchange(self, snapshot: Snapshot, given: Mapping[str, str]) -> None:
        """Find out whom the subject token names and what they may be in the tenant."""
        if snapshot.client is None:
            raise RuntimeError("the client is authenticated first")
        try:
            claims = await self._read_id(given["subject_token"], snapshot.now)
        except TokenInvalidError:
            return
        if claims.client_id != snapshot.client.client_id:
            return
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            await self._load_person(view, snapshot, claims.user_id, claims.session_id)
            if snapshot.person is None:
                return
            # Only tenants of membership, for platform administrators too: administering the
            # platform is not a right to read its customers' mail.
            wanted = given.get("tenant")
            for tenant, role in await self._tenants.list_tenants_of(view, claims.user_id):
                if snapshot.bound_to not in {None, tenant.id}:
                    continue
                if wanted is None or tenant.id == wanted:
                    snapshot.lacks_second_factor = not has_second_factor(
                        snapshot.methods
                    ) and await self._policies.needs_second_factor(
                        view, snapshot.person.user, tenant.id
                    )
                    snapshot.exchange = _oauth.ExchangeSubject(
                        tenant.id,
                        role,
                        await self._tenants.roles.permissions_of(
                            view,
                            role,
                            tenant_id=tenant.id,
                            platform_role=snapshot.person.user.platform_role or "",
                        ),
                    )
                    return
            await self._tenants.lifecycle.refuse_member(view, claims.user_id, wanted)

    async def _read_id(self, token: str, now: datetime, *, expired_too: bool = False) -> IdClaims:
        read = partial(
            read_id,
            token=token,
            issuer=self._settings.issuer,
            now=now.timestamp(),
            expired_too=expired_too,
        )
        return await self._keys.apply(read)

    def _remember_entry(self, entered: tuple[str, str, str]) -> None:
        self._entered[entered] = None
        while len(self._entered) > _MAX_ENTRIES:
            del self._entered[next(iter(self._entered))]

    async def _audit_exchange(self, snapshot: Snapshot, peer: Peer) -> None:
        """Record that a person entered a tenant, once a log-in and role.

        Tokens last five minutes: a record of each renewal would bury the acts that matter under
        one line every few minutes for every open tab.
        """
        person, target, client = snapshot.person, snapshot.exchange, snapshot.client
        if person is None or target is None or client is None:
            raise RuntimeError("only a successful exchange is audited")
        entered = (person.session_id, target.tenant_id, target.role)
        if entered in self._entered:
            return
        actor = f"user:{person.user.id}"
        scope = SystemScope(AUTHENTICATE, actor=actor, request_id=peer.request_id)
        async with self._database.transaction(scope) as tx:
            tx.after_commit(partial(self._remember_entry, entered))
            tx.audit(
                "token.issued",
                f"token:{snapshot.token_id}",
                tenant_id=target.tenant_id,
                client=client.client_id,
                role=target.role,
                address=Personal(actor, peer.address),
            )

    async def revoke_token(self, form: Pairs, authorization: str | None, peer: Peer) -> Answer:
        """RFC 7009: make one access token void at once. A token that does not hold is no error."""
        try:
            given = _oauth.single_valued(form)
            snapshot, _ = await self._authenticated(given, authorization, REVOKE_PATH, peer)
            if "token" not in given:
                raise InvalidRequestError("Missing 'token' in request.")
            try:
                claims = read_access(
                    await self._keys.current(),
                    given["token"],
                    issuer=self._settings.issuer,
                    audience=self._settings.audience,
                    now=snapshot.now.timestamp(),
                )
            except TokenInvalidError:
                return Answer(200, {}, {})
            client = snapshot.client
            if client is None or claims.client_id != client.client_id:
                raise InvalidGrantError("The token was issued to another client")
            scope = SystemScope(
                AUTHENTICATE, actor=f"client:{client.client_id}", request_id=peer.request_id
            )
            async with self._database.transaction(scope) as tx:
                revoked = await tx.insert_new(
                    RevokedToken,
                    {
                        "jti": claims.token_id,
                        "expires_at": snapshot.now
                        + timedelta(seconds=claims.expires_at - snapshot.now.timestamp() + 1),
                    },
                    conflict=["jti"],
                )
                if revoked:
                    tx.audit(
                        "token.revoked",
                        f"token:{claims.token_id}",
                        tenant_id=claims.tenant_id,
                        subject=claims.subject,
                    )
                    tx.signal(PRINCIPALS, claims.subject)
            return Answer(200, {}, {})
        except TooManyFailuresError as exc:
            return _slow_down(exc)
        except TenantSuspendedError as exc:
            return _oauth.suspended(exc)
        except OAuth2Error as exc:
            return _oauth.refusal(exc)

    # --- the authorization endpoint --------------------------------------------------------------

    async def authorize(
        self, parameters: Pairs, log_in: LogIn | None, peer: Peer
    ) -> Redirect | AskLogIn | Refused:
        """Answer an authorization request of a browser that is, or is not, logged in.

        There is no consent page: clients that log people in are registered by the operator.
        """
        try:
            given = _oauth.single_valued(parameters)
            client = await self._find_client(given.get("client_id", ""))
            redirect_uri = given.get("redirect_uri", "")
            if log_in is not None and not log_in.enough:
                # Where a second factor is required, a log-in without one is none.
                log_in = None
            if client is None or not client.check_redirect_uri(redirect_uri):
                return Refused(
                    "invalid_request", "The client or its redirect URI is not registered"
                )
            snapshot = Snapshot(
                self._settings,
                now=self._database.clock(),
                token_id="",
                client=client,
                person=Person(log_in.user, log_in.session_id) if log_in else None,
                auth_time=log_in.started_at if log_in else None,
            )
            server = Server(snapshot)
            request = _oauth.Request("GET", AUTHORIZE_PATH, given, None, self._settings.issuer)
            if "openid" not in given.get("scope", "").split():
                raise InvalidScopeError("The scope must contain openid", redirect_uri=redirect_uri)
            grant = server.get_consent_grant(request, snapshot.person)
            if log_in is None or grant.prompt in _INTERACTIVE or _too_old(log_in, given, snapshot):
                return AskLogIn(f"{AUTHORIZE_PATH}?{urlencode(given)}")
            answer: Answer = server.create_authorization_response(request, snapshot.person, grant)
        except OAuth2Error as exc:
            return self._authorization_refused(exc, parameters)
        if snapshot.new_code is not None:
            await self._save_code(snapshot, client, log_in, peer)
        return Redirect(self._identified(answer.headers["Location"]))

    def _authorization_refused(self, error: OAuth2Error, parameters: Pairs) -> Redirect | Refused:
        """Tell the client by redirect when its redirect URI held, else the person by a page."""
        if not error.redirect_uri:
            return Refused(str(error.error), str(error.get_error_description()))
        error.state = dict(parameters).get("state")
        _, _, headers = error()
        return Redirect(self._identified(dict(headers)["Location"]))

    def _identified(self, location: str) -> str:
        """Say who answers (RFC 9207): a client of several servers must not be mixed up."""
        return str(add_params_to_uri(location, [("iss", self._settings.issuer)]))

    async def _save_code(
        self, snapshot: Snapshot, client: ClientSnapshot, log_in: LogIn, peer: Peer
    ) -> None:
        if snapshot.new_code is None:
            raise RuntimeError("the grant made no code")
        code, facts = snapshot.new_code
        scope = SystemScope(
            AUTHENTICATE, actor=f"user:{log_in.user.id}", request_id=peer.request_id
        )
        async with self._database.transaction(scope) as tx:
            tx.session.add(
                AuthorizationCode(
                    code_hash=hashlib.sha256(code.encode()).digest(),
                    client_id=client.client_id,
                    user_id=log_in.user.id,
                    session_id=log_in.session_id,
                    redirect_uri=facts.redirect_uri,
                    scope=facts.scope,
                    nonce=facts.nonce,
                    code_challenge=facts.code_challenge,
                    auth_time=log_in.started_at,
                    expires_at=snapshot.now + timedelta(seconds=self._settings.code_seconds),
                    jti=None,
                )
            )

    # --- people ----------------------------------------------------------------------------------

    async def log_in_context(self, return_to: str) -> LogInContext | None:
        """Who waits behind the login page; None when ``return_to`` is not one of our requests."""
        if is_own_invitation(return_to):
            return LogInContext("your invitation", "")
        if not is_own_authorization(return_to):
            return None
        given = dict(parse_qsl(urlsplit(return_to).query))
        client = await self._find_client(given.get("client_id", ""))
        redirect_uri = given.get("redirect_uri", "")
        if client is None or not client.check_redirect_uri(redirect_uri):
            return None
        target = urlsplit(redirect_uri)
        return LogInContext(client.name, f"{target.scheme}://{target.netloc}")

    async def read_log_out_hint(self, hint: str, redirect_uri: str) -> tuple[IdClaims, bool] | None:
        """Whom an id token given to log-out names, and whether it may redirect there.

        Expired ones count too: people log out late. None when it is not one of ours.
        """
        try:
            claims = await self._read_id(hint, self._database.clock(), expired_too=True)
        except TokenInvalidError:
            return None
        client = await self._find_client(claims.client_id)
        return claims, client is not None and client.check_redirect_uri(redirect_uri)

    async def user_info(self, subject: str) -> dict[str, Any]:
        """OpenID's claims about the person a token speaks for."""
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            user = await self._tenants.get_user(view, subject.partition(":")[2])
        return _oauth.user_claims(user, _oauth.IDENTITY_SCOPES)


def is_own_authorization(address: str) -> bool:
    """Whether a ``return_to`` leads to our own authorization endpoint and nowhere else."""
    return _leads_to(AUTHORIZE_PATH, address)


def is_own_invitation(address: str) -> bool:
    """Whether a ``return_to`` leads to an invitation, which asks for a log-in of its own."""
    return _leads_to(INVITATION_PATH, address)


def _leads_to(path: str, address: str) -> bool:
    return (
        address.startswith(f"{path}?")
        and address.isascii()
        and address.isprintable()
        and "\\" not in address
    )


def without_prompt(return_to: str) -> str:
    """The same request without ``prompt`` and ``max_age``: the person has just logged in.

    Kept, they would ask for another log-in, forever.
    """
    path, _, query = return_to.partition("?")
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name not in {"prompt", "max_age"}
    ]
    return f"{path}?{urlencode(kept)}"


def _too_old(log_in: LogIn, given: Mapping[str, str], snapshot: Snapshot) -> bool:
    max_age = given.get("max_age", "")
    if not (max_age.isascii() and max_age.isdigit()):
        return False
    return snapshot.now - log_in.started_at > timedelta(seconds=min(int(max_age), 2**31))


def _basic_user(authorization: str | None) -> str | None:
    """The user of a sound Basic header; Authlib fails on one that is not UTF-8, SQL on NUL."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, _ = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    user = unquote_plus(user)
    return user if colon and "\x00" not in user else None


def _slow_down(error: TooManyFailuresError) -> Answer:
    """429 in the words of RFC 6749, with Retry-After."""
    body = {"error": "temporarily_unavailable", "error_description": f"{error.title}: {error}"}
    return Answer(429, body, {**error.headers, "Cache-Control": "no-store", "Pragma": "no-cache"})
