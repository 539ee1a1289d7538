"""Who somebody is: OAuth 2 and OpenID Connect, log-ins, tokens, the clients that ask for them.

Owns ``oauth_clients``, ``signing_keys``, ``sessions``, ``authorization_codes``,
``revoked_tokens``, ``invitations`` and ``password_resets``. Sends the signal ``principals`` for
clients, sessions and revocations; sends and listens to ``signing_keys``.
"""

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
from backend.managers.identity.errands import (
    ACCOUNT,
    AUTHENTICATE,
    INVITATIONS,
    INVITE,
    JOIN,
    PLATFORM_CLIENTS,
    RETENTION,
    SIGNING_KEYS,
    USERS,
)
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
    InvitationRow,
    OauthClient,
    PasswordReset,
    RevokedToken,
    SigningKey,
)
from backend.managers.identity.oauth_routes import OPENAPI, oauth_routes
from backend.managers.identity.people_routes import PATHS, people
from backend.managers.identity.routes import router
from backend.managers.identity.settings import IdentitySettings
from backend.managers.tenant import MEMBER_READ

ROOM = Room(
    name="identity",
    manager=IdentityManager,
    models=(
        OauthClient,
        SigningKey,
        BrowserSession,
        AuthorizationCode,
        RevokedToken,
        InvitationRow,
        PasswordReset,
    ),
    role_holders=(OauthClient,),
    permissions={
        "client:read": OPERATOR,
        "client:write": ADMIN,
        "platform_client:read": PLATFORM_AUDITOR,
        "platform_client:write": PLATFORM_ADMIN,
    },
    errands=(
        AUTHENTICATE,
        PLATFORM_CLIENTS,
        SIGNING_KEYS,
        RETENTION,
        INVITE,
        JOIN,
        INVITATIONS,
        ACCOUNT,
        USERS,
    ),
    routers=(router, people),
    mounts=oauth_routes,
    document={**OPENAPI, "paths": OPENAPI["paths"] | PATHS},
    # Log-ins are the platform's own.
    events={
        "login.succeeded": PLATFORM_READ,
        "login.failed": PLATFORM_READ,
        "client.created": "client:read",
        "client.rotated": "client:read",
        "client.deleted": "client:read",
        "invitation.created": MEMBER_READ,
        "invitation.renewed": MEMBER_READ,
        "invitation.revoked": MEMBER_READ,
        "invitation.accepted": MEMBER_READ,
    },
    ticks=(Tick("identity.flush", 10, IdentityManager.flush, process="api"),),
    sweeps=(
        Sweep(RETENTION, IdentityManager.sweep_expired),
        Sweep(INVITATIONS, lambda identity, tx: identity.invitations.sweep(tx)),
    ),
    job_kinds=(lambda identity, _: identity.accounts.reset_kind(),),
    serving=IdentityManager.serving,
    durable_topics=(SIGNING_KEYS_CHANGED,),
)

__all__ = [
    "ACCOUNT",
    "AUTHENTICATE",
    "CONSOLE",
    "INVITE",
    "MAX_TOKEN_CHARACTERS",
    "RECORDS_ITS_REFUSALS",
    "RETENTION",
    "ROOM",
    "SIGNING_KEYS",
    "SIGNING_KEYS_CHANGED",
    "USERS",
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
