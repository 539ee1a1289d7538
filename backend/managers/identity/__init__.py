"""Who somebody is: OAuth 2 and OpenID Connect, log-ins, tokens, the clients that ask for them.

Owns ``oauth_clients``, ``signing_keys``, ``sessions``, ``authorization_codes`` and
``revoked_tokens``. Sends the signal ``principals`` for clients, sessions and revocations; sends and
listens to ``signing_keys``.
"""

from backend.core.room import ADMIN, OPERATOR, PLATFORM_READ, Room, Sweep, Tick
from backend.managers.identity._clients import CONSOLE, Client
from backend.managers.identity._failures import Denial, Failure, stranger
from backend.managers.identity._password import verify_password
from backend.managers.identity._provider import RECORDS_ITS_REFUSALS
from backend.managers.identity._tokens import (
    MAX_TOKEN_CHARACTERS,
    SIGNING_KEYS_CHANGED,
    AccessClaims,
    TokenExpiredError,
    TokenInvalidError,
    UnknownKeyError,
)
from backend.managers.identity.errands import AUTHENTICATE, RETENTION, SIGNING_KEYS
from backend.managers.identity.errors import (
    ClientNotFoundError,
    CredentialExpiredError,
    CredentialInvalidError,
    LoginRefusedError,
    TenantlessTokenError,
    TooManyFailuresError,
)
from backend.managers.identity.manager import CallerView, IdentityManager
from backend.managers.identity.models import (
    AuthorizationCode,
    BrowserSession,
    OauthClient,
    RevokedToken,
    SigningKey,
)
from backend.managers.identity.oauth_routes import OPENAPI, oauth_routes
from backend.managers.identity.routes import router
from backend.managers.identity.settings import IdentitySettings

ROOM = Room(
    name="identity",
    manager=IdentityManager,
    models=(OauthClient, SigningKey, BrowserSession, AuthorizationCode, RevokedToken),
    permissions={"client:read": OPERATOR, "client:write": ADMIN},
    errands=(AUTHENTICATE, SIGNING_KEYS, RETENTION),
    routers=(router,),
    mounts=oauth_routes,
    document=OPENAPI,
    # Log-ins are the platform's own.
    events={
        "login.succeeded": PLATFORM_READ,
        "login.failed": PLATFORM_READ,
        "client.created": "client:read",
        "client.rotated": "client:read",
        "client.deleted": "client:read",
    },
    ticks=(Tick("identity.flush", 10, IdentityManager.flush, process="api"),),
    stocks={"clients": lambda identity, tx: identity.clients.count(tx)},
    sweeps=(Sweep(RETENTION, IdentityManager.sweep_expired),),
    serving=IdentityManager.serving,
)

__all__ = [
    "AUTHENTICATE",
    "CONSOLE",
    "MAX_TOKEN_CHARACTERS",
    "RECORDS_ITS_REFUSALS",
    "RETENTION",
    "ROOM",
    "SIGNING_KEYS",
    "SIGNING_KEYS_CHANGED",
    "AccessClaims",
    "CallerView",
    "Client",
    "ClientNotFoundError",
    "CredentialExpiredError",
    "CredentialInvalidError",
    "Denial",
    "Failure",
    "IdentityManager",
    "IdentitySettings",
    "LoginRefusedError",
    "TenantlessTokenError",
    "TokenExpiredError",
    "TokenInvalidError",
    "TooManyFailuresError",
    "UnknownKeyError",
    "stranger",
    "verify_password",
]
