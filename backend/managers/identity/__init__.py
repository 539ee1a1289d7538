"""Who somebody is: OAuth 2 and OpenID Connect, log-ins, tokens, the clients that ask for them.

Owns ``oauth_clients``, ``signing_keys``, ``sessions``, ``authorization_codes`` and
``revoked_tokens``. Sends the signal ``principals`` for clients, sessions and revocations; sends and
listens to ``signing_keys``.
"""

from backend.core.columns import tables_of
from backend.core.room import (
    ADMIN,
    OPERATOR,
    PLATFORM_ADMIN,
    PLATFORM_AUDITOR,
    PLATFORM_READ,
    Room,
    Sweep,
    Tick,
)
from backend.managers.identity._bounds import (
    NETWORKS_TEXT,
    SCOPES_TEXT,
    Bounds,
    Networks,
    Scopes,
    held_to,
    is_over,
)
from backend.managers.identity._clients import CONSOLE, NO_BOUNDS, Client
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
from backend.managers.identity._uses import LastUses
from backend.managers.identity.errands import (
    AUTHENTICATE,
    PLATFORM_CLIENTS,
    RETENTION,
    SIGNING_KEYS,
)
from backend.managers.identity.errors import (
    ClientNotFoundError,
    CredentialExpiredError,
    CredentialInvalidError,
    ExpiryInvalidError,
    LoginRefusedError,
    ScopeBeyondRoleError,
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

CLIENT_TABLES = tables_of(OauthClient)
"""What looking at clients reads: for the errands of upper rooms."""

ROOM = Room(
    name="identity",
    manager=IdentityManager,
    models=(OauthClient, SigningKey, BrowserSession, AuthorizationCode, RevokedToken),
    role_holders=(OauthClient,),
    permissions={
        "client:read": OPERATOR,
        "client:write": ADMIN,
        "platform_client:read": PLATFORM_AUDITOR,
        "platform_client:write": PLATFORM_ADMIN,
    },
    errands=(AUTHENTICATE, PLATFORM_CLIENTS, SIGNING_KEYS, RETENTION),
    routers=(router,),
    mounts=oauth_routes,
    document=OPENAPI,
    # Log-ins are the platform's own.
    events={
        "login.succeeded": PLATFORM_READ,
        "login.failed": PLATFORM_READ,
        "client.created": "client:read",
        "client.changed": "client:read",
        "client.rotated": "client:read",
        "client.deleted": "client:read",
    },
    ticks=(Tick("identity.flush", 10, IdentityManager.flush, process="api"),),
    sweeps=(Sweep(RETENTION, IdentityManager.sweep_expired),),
    observe=IdentityManager.observe,
    serving=IdentityManager.serving,
)

__all__ = [
    "AUTHENTICATE",
    "CLIENT_TABLES",
    "CONSOLE",
    "MAX_TOKEN_CHARACTERS",
    "NETWORKS_TEXT",
    "NO_BOUNDS",
    "RECORDS_ITS_REFUSALS",
    "RETENTION",
    "ROOM",
    "SCOPES_TEXT",
    "SIGNING_KEYS",
    "SIGNING_KEYS_CHANGED",
    "AccessClaims",
    "Bounds",
    "CallerView",
    "Client",
    "ClientNotFoundError",
    "CredentialExpiredError",
    "CredentialInvalidError",
    "Denial",
    "ExpiryInvalidError",
    "Failure",
    "IdentityManager",
    "IdentitySettings",
    "LastUses",
    "LoginRefusedError",
    "Networks",
    "ScopeBeyondRoleError",
    "Scopes",
    "TenantlessTokenError",
    "TokenExpiredError",
    "TokenInvalidError",
    "TooManyFailuresError",
    "UnknownKeyError",
    "held_to",
    "is_over",
    "stranger",
    "verify_password",
]
