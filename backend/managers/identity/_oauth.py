"""Authlib's grants on snapshots: what the protocol demands, decided without any I/O.

Authlib's hooks are synchronous. So a request loads what its grant may ask for, runs the grant on
that snapshot (a signature and some hashes, about 0.2 ms, on the event loop), and stores what the
grant left behind. One small server object a request: it holds that request's snapshot and nothing
is shared.
"""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    OAuth2Request,
    grants,
)
from authlib.oauth2.rfc6749.errors import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc6749.grants.base import BaseGrant, TokenEndpointMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750.token import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import AuthorizationCodeMixin, OpenIDCode, UserInfo

from backend.core.ids import PLATFORM_TENANT
from backend.kit import credentials
from backend.managers.identity._tokens import KeySet
from backend.managers.identity.settings import IdentitySettings
from backend.managers.tenant import TenantSuspendedError, User

CLIENT_CREDENTIALS: Final = "client_credentials"
AUTHORIZATION_CODE: Final = "authorization_code"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:id_token"
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"
ONE_FACTOR: Final = "1"
TWO_FACTORS: Final = "2"
IDENTITY_SCOPES: Final = ("openid", "profile", "email")
AUTH_METHODS: Final = ["client_secret_basic", "client_secret_post"]

_MAX_STATE: Final = 2048


class Answer(NamedTuple):
    """What a grant made: status, JSON members, headers."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class InvalidTargetError(OAuth2Error):  # type: ignore[misc]
    """RFC 8693, section 2.2.2: the tenant asked for is not one the person may act in."""

    error = "invalid_target"


class SecondFactorMissingError(OAuth2Error):  # type: ignore[misc]
    """The tenant requires a second factor, and the log-in was without one (RFC 9470's word)."""

    error = "insufficient_user_authentication"


class ClientSnapshot(ClientMixin):  # type: ignore[misc]
    """A client as the database had it when the request came."""

    def __init__(
        self,
        client_id: str,
        *,
        tenant_id: str,
        name: str,
        permissions: frozenset[str],
        networks: tuple[str, ...] = (),
        secret_hash: bytes,
        redirect_uris: Sequence[str],
        grant_types: Sequence[str],
        suspended: TenantSuspendedError | None = None,
    ) -> None:
        self.suspended = suspended
        self.client_id = client_id
        self.tenant_id = tenant_id
        self.name = name
        self._permissions = permissions
        self.networks = networks
        self.redirect_uris = tuple(redirect_uris)
        self._secret_hash = secret_hash
        self._grant_types = frozenset(grant_types)

    def get_client_id(self) -> str:
        """Authlib's hook."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """None: a request names its redirect URI, always."""
        return

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """The scope to grant, or None when a part of what was asked for is beyond the client."""
        own = set(self._permissions)
        if AUTHORIZATION_CODE in self._grant_types:
            own |= set(IDENTITY_SCOPES)
        wanted = (scope or "").split() or sorted(own)
        return " ".join(dict.fromkeys(wanted)) if own.issuperset(wanted) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether it is registered, byte for byte."""
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare hashes in constant time."""
        return hmac.compare_digest(self._secret_hash, credentials.digest_of(client_secret))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Secrets at every endpoint; a client without one does not exist here."""
        del endpoint
        return method in AUTH_METHODS

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether the client was registered for it."""
        return grant_type in self._grant_types

    def check_response_type(self, response_type: str) -> bool:
        """Only codes, and only for clients that may redeem them."""
        return response_type == "code" and AUTHORIZATION_CODE in self._grant_types


_NOBODYS_SECRET: Final = secrets.token_bytes(32)


def phantom(client_id: str) -> ClientSnapshot:
    """A client that is not there: its secret fails as another's does, at the same cost."""
    return ClientSnapshot(
        client_id,
        tenant_id=PLATFORM_TENANT,
        name="",
        permissions=frozenset(),
        secret_hash=_NOBODYS_SECRET,
        redirect_uris=(),
        grant_types=(),
    )


class Person:
    """The resource owner in Authlib's eyes."""

    __slots__ = ("session_id", "user")

    def __init__(self, user: User, session_id: str) -> None:
        self.user = user
        self.session_id = session_id

    def get_user_id(self) -> str:
        """Authlib's hook."""
        return self.user.id


class CodeSnapshot(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code: one to be stored, or one that this request has claimed."""

    def __init__(
        self,
        *,
        redirect_uri: str,
        scope: str,
        nonce: str,
        code_challenge: str,
        auth_time: datetime,
        methods: Sequence[str] = (),
    ) -> None:
        self.redirect_uri = redirect_uri
        self.scope = scope
        self.nonce = nonce
        self.code_challenge = code_challenge
        self.code_challenge_method = "S256"
        self.auth_time = auth_time
        self.methods = tuple(methods)

    def get_redirect_uri(self) -> str:
        """Authlib's hook."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Authlib's hook."""
        return self.scope

    def get_nonce(self) -> str:
        """Authlib's hook."""
        return self.nonce

    def get_auth_time(self) -> int:
        """Authlib's hook: when the person proved who they are, in epoch seconds."""
        return int(self.auth_time.timestamp())

    def get_acr(self) -> str:
        """The authentication context: one factor, or two."""
        return TWO_FACTORS if "mfa" in self.methods else ONE_FACTOR

    def get_amr(self) -> list[str]:
        """How the person proved who they are (RFC 8176)."""
        return list(self.methods)


@dataclass(frozen=True, slots=True)
class ExchangeSubject:
    """What a token exchange found out: the person, the tenant, and the role there."""

    tenant_id: str
    role: str
    permissions: frozenset[str]


@dataclass(slots=True)
class Snapshot:
    """All that one request's grant may ask for, and what it leaves to be stored."""

    settings: IdentitySettings
    now: datetime
    token_id: str
    client: ClientSnapshot | None = None
    keys: KeySet | None = None
    person: Person | None = None
    auth_time: datetime | None = None
    session_expires_at: datetime | None = None
    code: CodeSnapshot | None = None
    exchange: ExchangeSubject | None = None
    methods: Sequence[str] = ()
    lacks_second_factor: bool = False
    bound_to: str | None = None
    new_code: tuple[str, CodeSnapshot] | None = None

    def access_token(
        self, client: ClientSnapshot, grant_type: str, user: Person | None, scope: str
    ) -> str:
        """Sign an RFC 9068 access token for the grant that just succeeded."""
        if self.keys is None:
            raise RuntimeError("a snapshot without keys signs nothing")
        issued = int(self.now.timestamp())
        if grant_type == TOKEN_EXCHANGE and self.exchange is not None:
            tenant_id = self.exchange.tenant_id
        elif grant_type == AUTHORIZATION_CODE:
            # It only says who somebody is: no tenant, and so nothing to act upon.
            tenant_id = PLATFORM_TENANT
        else:
            tenant_id = client.tenant_id
        claims: dict[str, Any] = {
            "iss": self.settings.issuer,
            "sub": f"user:{user.user.id}" if user else f"client:{client.client_id}",
            "aud": self.settings.audience,
            "exp": issued + self.lifetime(client, grant_type),
            "iat": issued,
            "jti": self.token_id,
            "client_id": client.client_id,
            "tenant": tenant_id,
            "scope": scope,
        }
        if user is not None:
            claims["sid"] = user.session_id
        return self.keys.sign_access(claims)

    def lifetime(self, client: ClientSnapshot, grant_type: str) -> int:
        """Seconds the access token lives."""
        del client
        if grant_type == CLIENT_CREDENTIALS:
            return self.settings.client_token_seconds
        return self.settings.user_token_seconds


class Request(OAuth2Request):  # type: ignore[misc]
    """A parsed request: the parameters, each given once, and a Basic header if it was sound."""

    def __init__(
        self, method: str, path: str, parameters: Mapping[str, str], basic: str | None, issuer: str
    ) -> None:
        # The URI only serves Authlib's check for TLS. The issuer is what browsers see, also when
        # a proxy ends TLS in front of us.
        headers = {} if basic is None else {"Authorization": basic}
        super().__init__(method, issuer + path, headers=headers)
        self._parameters = dict(parameters)
        self.payload = BasicOAuth2Payload(self._parameters)

    @property
    def args(self) -> dict[str, str]:
        """Authlib's name for query parameters."""
        return self._parameters

    @property
    def form(self) -> dict[str, str]:
        """Authlib's name for body parameters."""
        return self._parameters


class _ClientCredentials(grants.ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = AUTH_METHODS


class _S256Only(CodeChallenge):  # type: ignore[misc]
    """PKCE for everybody: Authlib asks it of public clients only, and knows ``plain``."""

    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        """Refuse an authorization request without an S256 challenge."""
        given = grant.request.payload.data
        if not given.get("code_challenge") or given.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with code_challenge_method=S256 is required")
        super().validate_code_challenge(grant, redirect_uri)


class _AuthorizationCode(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = AUTH_METHODS

    def save_authorization_code(self, code: str, request: Any) -> None:
        snapshot: Snapshot = self.server.snapshot
        given = request.payload.data
        snapshot.new_code = (
            code,
            CodeSnapshot(
                redirect_uri=given["redirect_uri"],
                scope=request.scope,
                nonce=given["nonce"],
                code_challenge=given["code_challenge"],
                auth_time=snapshot.auth_time or snapshot.now,
            ),
        )

    def query_authorization_code(self, code: str, client: ClientSnapshot) -> CodeSnapshot | None:
        del code, client
        claimed: CodeSnapshot | None = self.server.snapshot.code
        return claimed

    def delete_authorization_code(self, authorization_code: CodeSnapshot) -> None:
        """Nothing left to do: the code was claimed before the grant began."""

    def authenticate_user(self, authorization_code: CodeSnapshot) -> Person | None:
        del authorization_code
        person: Person | None = self.server.snapshot.person
        return person


class _OpenId(OpenIDCode):  # type: ignore[misc]
    """Id tokens, signed with the same keys; ``sid`` ties them to the browser's session."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(require_nonce=True)
        self._snapshot = snapshot

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        """Never: the nonce protects the client, who compares it with its own session.

        Refusing one that was seen would only break the browser's Back button.
        """
        del nonce, request
        return False

    def encode_id_token(self, token: Mapping[str, Any], request: Any) -> str:
        """Our own signing instead of Authlib's: injected clock, and a ``kid`` in the header."""
        snapshot, person = self._snapshot, self._snapshot.person
        if snapshot.keys is None or person is None or snapshot.session_expires_at is None:
            raise InvalidGrantError("the log-in is gone")
        claims = {
            "iss": snapshot.settings.issuer,
            "sub": person.user.id,
            "aud": request.client.client_id,
            "iat": int(snapshot.now.timestamp()),
            # As long as the session it can be exchanged in: its end is what ends the console's
            # log-in, and log-out ends the session.
            "exp": int(snapshot.session_expires_at.timestamp()),
            "sid": person.session_id,
        }
        claims |= self.get_authorization_code_claims(request.authorization_code)
        claims |= self.generate_user_info(person, token["scope"])
        return snapshot.keys.sign_id(claims)

    def generate_user_info(self, user: Person, scope: str) -> UserInfo:
        """The claims that the scopes ``profile`` and ``email`` stand for."""
        return UserInfo(user_claims(user.user, scope.split()))


def user_claims(user: User, scopes: Sequence[str]) -> dict[str, Any]:
    """What the scopes let a client know about a person."""
    claims: dict[str, Any] = {"sub": user.id}
    if "profile" in scopes:
        claims["name"] = user.name
    if "email" in scopes:
        claims["email"] = user.email
    return claims


class _TokenExchange(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """RFC 8693 for one case: an id token of ours for an access token bound to one tenant.

    Authlib names the RFC but implements nothing of it.
    """

    GRANT_TYPE = TOKEN_EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = AUTH_METHODS

    def validate_token_request(self) -> None:
        """Client, types, and that the subject token held when the snapshot was made."""
        client = self.authenticate_token_endpoint_client()
        refuse_unregistered(client, TOKEN_EXCHANGE)
        refuse_foreign_exchange(self.request.payload.data)
        self.request.client = client
        if self.server.snapshot.person is None:
            raise InvalidRequestError("The subject token does not hold: log in again")
        if self.server.snapshot.lacks_second_factor:
            raise SecondFactorMissingError("This tenant requires a second factor: log in again")
        if self.server.snapshot.exchange is None:
            raise InvalidTargetError("The person has no access to such a tenant")

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """Sign the access token with the permissions of the person's role in the tenant."""
        snapshot: Snapshot = self.server.snapshot
        person, target = snapshot.person, snapshot.exchange
        if person is None or target is None:
            raise RuntimeError("validate_token_request comes first")
        allowed = target.permissions
        wanted = (self.request.payload.scope or "").split() or sorted(allowed)
        if not allowed.issuperset(wanted):
            raise InvalidScopeError
        token = snapshot.access_token(self.request.client, TOKEN_EXCHANGE, person, " ".join(wanted))
        body = {
            "access_token": token,
            "issued_token_type": ACCESS_TOKEN_TYPE,
            "token_type": "Bearer",
            "expires_in": snapshot.settings.user_token_seconds,
            "scope": " ".join(wanted),
            "tenant": target.tenant_id,
        }
        return 200, body, self.TOKEN_RESPONSE_HEADER


def refuse_unregistered(client: ClientSnapshot, grant_type: str) -> None:
    """Refuse a client that was not registered for the grant."""
    if not client.check_grant_type(grant_type):
        raise UnauthorizedClientError("The client is not registered for this grant type")


def refuse_foreign_exchange(given: Mapping[str, str]) -> None:
    """Refuse the parts of RFC 8693 that are not offered here."""
    if given.get("subject_token_type") != ID_TOKEN_TYPE:
        raise InvalidRequestError(f"subject_token_type must be {ID_TOKEN_TYPE}")
    if not given.get("subject_token"):
        raise InvalidRequestError("Missing 'subject_token' in request.")
    if given.get("requested_token_type", ACCESS_TOKEN_TYPE) != ACCESS_TOKEN_TYPE:
        raise InvalidRequestError(f"requested_token_type must be {ACCESS_TOKEN_TYPE}")
    if "actor_token" in given:
        raise InvalidRequestError("actor_token is not supported")
    if "resource" in given or "audience" in given:
        raise InvalidTargetError("Tokens are for this API only: name a tenant instead")


class Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server over one request's snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.register_grant(_ClientCredentials)
        self.register_grant(_AuthorizationCode, [_S256Only(), _OpenId(snapshot)])
        self.register_grant(_TokenExchange)
        self.register_token_generator(
            "default",
            BearerTokenGenerator(snapshot.access_token, expires_generator=snapshot.lifetime),
        )

    def query_client(self, client_id: str) -> ClientSnapshot | None:
        """The snapshot's client if it is the one asked for."""
        client = self.snapshot.client
        return client if client is not None and client.client_id == client_id else None

    def save_token(self, token: Mapping[str, Any], request: Any) -> None:
        """Access tokens are not stored: they carry their own proof, and revocation names them."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens to Authlib's signals here."""

    def create_oauth2_request(self, request: Any) -> OAuth2Request:
        """Requests arrive parsed."""
        return request

    def handle_response(self, status: int, body: Any, headers: Sequence[tuple[str, str]]) -> Answer:
        """Keep the parts: the edge makes bytes of them."""
        return Answer(status, body if isinstance(body, dict) else {}, dict(headers))


def suspended(error: TenantSuspendedError) -> Answer:
    """403 to whoever has authenticated: in OAuth's words, and in a problem's for the reason.

    RFC 6749 allows an ``error_description`` some ASCII alone, and reasons are free text.
    """
    body = {
        "error": "access_denied",
        "error_description": error.title,
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        **error.extra,
    }
    return Answer(error.status, body, {"Cache-Control": "no-store", "Pragma": "no-cache"})


def refusal(error: OAuth2Error) -> Answer:
    """The RFC 6749 answer to an error, or the redirect that carries it."""
    status, body, headers = error()
    return Answer(status, body if isinstance(body, dict) else {}, dict(headers))


def single_valued(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters by name; empty ones count as absent (RFC 6749, section 3.1).

    Raises:
        InvalidRequestError: One is given twice, or holds what no parameter of ours can.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequestError("A parameter is given more than once")
        if value:
            found[name] = value
    # Authlib quotes these into its error texts, which refuse such characters with a ValueError.
    for name in ("redirect_uri", "response_type", "grant_type", "client_id"):
        value = found.get(name, "")
        if not (value.isascii() and value.isprintable()) or '"' in value or "\\" in value:
            raise InvalidRequestError(f"The parameter {name} holds characters it cannot")
    if len(found.get("state", "")) > _MAX_STATE:
        raise InvalidRequestError(f"The state has more than {_MAX_STATE} characters")
    return found


def refuse_unknown_grant(grant_type: str | None) -> None:
    """Refuse before any work what no client may use here."""
    if grant_type is None:
        raise InvalidRequestError("Missing 'grant_type' in request.")
    if grant_type not in {CLIENT_CREDENTIALS, AUTHORIZATION_CODE, TOKEN_EXCHANGE}:
        raise UnsupportedGrantTypeError(grant_type)
