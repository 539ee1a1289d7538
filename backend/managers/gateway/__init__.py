"""The gate: OAuth 2 and OpenID Connect, API keys, rate limits, idempotent replies.

Owns ``oauth_clients``, ``api_keys``, ``signing_keys``, ``sessions``, ``authorization_codes``,
``revoked_tokens`` and ``idempotency_records``. Listens to the signal ``principals`` and sends it
for clients, keys, sessions and revocations; sends and listens to ``signing_keys``.
"""

from backend.core.room import ADMIN, OPERATOR, WORKFLOW, Room, RouteClass, Sweep
from backend.managers.gateway._credentials import CONSOLE, Client, Key
from backend.managers.gateway.data_plane import DATA_ROUTES
from backend.managers.gateway.errands import ANSWERS, AUTHENTICATE, RETENTION, SIGNING_KEYS
from backend.managers.gateway.errors import (
    ApiKeyNotFoundError,
    ClientNotFoundError,
    CredentialInvalidError,
    ExpiryInvalidError,
    LoginRefusedError,
    TenantlessTokenError,
    TooManyFailuresError,
)
from backend.managers.gateway.manager import CallerView, GatewayManager
from backend.managers.gateway.models import (
    ApiKey,
    AuthorizationCode,
    BrowserSession,
    IdempotencyRecord,
    OauthClient,
    RevokedToken,
    SigningKey,
)
from backend.managers.gateway.oauth_routes import OPENAPI, oauth_routes
from backend.managers.gateway.routes import router
from backend.managers.gateway.settings import GatewaySettings

ROOM = Room(
    name="gateway",
    manager=GatewayManager,
    models=(
        OauthClient,
        ApiKey,
        SigningKey,
        BrowserSession,
        AuthorizationCode,
        RevokedToken,
        IdempotencyRecord,
    ),
    permissions={
        "client:read": OPERATOR,
        "client:write": ADMIN,
        "api_key:read": OPERATOR,
        "api_key:write": ADMIN,
        "token:introspect": ADMIN | WORKFLOW,
    },
    errands=(AUTHENTICATE, SIGNING_KEYS, RETENTION),
    along=ANSWERS,
    routers=(router,),
    mounts=oauth_routes,
    document=OPENAPI,
    data_routes=DATA_ROUTES,
    route_classes=(
        RouteClass(
            "introspect",
            "/oauth/introspect",
            rate=lambda settings: (
                settings.introspect_requests_per_second,
                settings.introspect_burst_requests,
            ),
        ),
    ),
    sweeps=(Sweep(RETENTION, GatewayManager.sweep_expired),),
    observe=GatewayManager.observe,
    serving=GatewayManager.serving,
)

__all__ = [
    "AUTHENTICATE",
    "CONSOLE",
    "RETENTION",
    "ROOM",
    "SIGNING_KEYS",
    "ApiKeyNotFoundError",
    "CallerView",
    "Client",
    "ClientNotFoundError",
    "CredentialInvalidError",
    "ExpiryInvalidError",
    "GatewayManager",
    "GatewaySettings",
    "Key",
    "LoginRefusedError",
    "TenantlessTokenError",
    "TooManyFailuresError",
]
