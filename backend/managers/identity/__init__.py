"""Who somebody is: OAuth 2 and OpenID Connect, log-ins, tokens, the clients that ask for them.

Owns ``oauth_clients``, ``signing_keys``, ``sessions``, ``pending_log_ins``, ``totp_secrets``,
``recovery_codes``, ``login_policies``, ``identity_providers``, ``external_log_ins``,
``authorization_codes``, ``revoked_tokens``, ``invitations`` and ``password_resets``. Sends the
signal ``principals`` for clients, sessions, policies and revocations; sends and listens to
``signing_keys``.
"""

from backend.core.columns import tables_of
from backend.core.room import (
    ADMIN,
    OPERATOR,
    PLATFORM_ADMIN,
    PLATFORM_AUDITOR,
    PLATFORM_READ,
    VIEWER,
    Ending,
    Room,
    Sweep,
    Tick,
)
from backend.managers.identity._bounds import (
    NETWORKS_TEXT,
    SCOPES_TEXT,
    CredentialBounds,
    Networks,
    Scopes,
    held_to,
    is_over,
)
from backend.managers.identity._clients import CONSOLE, NO_BOUNDS, Client
from backend.managers.identity._devices import DEVICE_SECONDS
from backend.managers.identity._failures import Denial, Failure, stranger
from backend.managers.identity._password import verify_password
from backend.managers.identity._provider import RECORDS_ITS_REFUSALS, TOKEN_PATH
from backend.managers.identity._sealed import SEALED
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
    ACCOUNT,
    AUTHENTICATE,
    DOMAINS,
    INVITATIONS,
    INVITE,
    JOIN,
    PLATFORM_CLIENTS,
    PROVIDERS,
    RETENTION,
    REWRAP,
    SECOND_FACTOR,
    SIGNING_KEYS,
    USERS,
)
from backend.managers.identity.errors import (
    ClientNotFoundError,
    CodeRefusedError,
    CredentialExpiredError,
    CredentialInvalidError,
    ExpiryInvalidError,
    LogInExpiredError,
    LoginRefusedError,
    ScopeBeyondRoleError,
    SecondFactorExistsError,
    SecondFactorMissingError,
    SecondFactorNotFoundError,
    TenantlessTokenError,
    TooManyFailuresError,
)
from backend.managers.identity.manager import CallerView, IdentityManager
from backend.managers.identity.models import (
    AuthorizationCode,
    BrowserSession,
    ExternalLogInRow,
    IdentityProviderRow,
    InvitationRow,
    LoginPolicyRow,
    OauthClient,
    PasswordReset,
    PendingLogIn,
    RecoveryCode,
    RevokedToken,
    SigningKey,
    TotpSecret,
)
from backend.managers.identity.settings import IdentitySettings
from backend.managers.tenant import MEMBER_READ

CLIENT_TABLES = tables_of(OauthClient)
"""What looking at clients reads: for the errands of upper rooms."""

ROOM = Room(
    name="identity",
    manager=IdentityManager,
    models=(
        OauthClient,
        SigningKey,
        BrowserSession,
        PendingLogIn,
        TotpSecret,
        RecoveryCode,
        LoginPolicyRow,
        IdentityProviderRow,
        ExternalLogInRow,
        AuthorizationCode,
        RevokedToken,
        InvitationRow,
        PasswordReset,
    ),
    erasures={
        InvitationRow.__tablename__: lambda one, tx, who, after: one.invitations.erase(
            tx, who, after
        ),
    },
    role_holders=(OauthClient, InvitationRow, IdentityProviderRow),
    permissions={
        "client:read": OPERATOR,
        "client:write": ADMIN,
        "login_policy:read": VIEWER,
        "login_policy:write": ADMIN,
        "identity_provider:read": ADMIN,
        "identity_provider:write": ADMIN,
        "platform_client:read": PLATFORM_AUDITOR,
        "platform_client:write": PLATFORM_ADMIN,
    },
    errands=(
        AUTHENTICATE,
        PLATFORM_CLIENTS,
        SIGNING_KEYS,
        SECOND_FACTOR,
        PROVIDERS,
        DOMAINS,
        RETENTION,
        INVITE,
        JOIN,
        INVITATIONS,
        ACCOUNT,
        USERS,
        REWRAP,
    ),
    sealed=SEALED,
    # Cookies of browsers in which somebody has logged in.
    sealed_elsewhere={"known_devices": DEVICE_SECONDS},
    routers=(
        "backend.managers.identity.routes:router",
        "backend.managers.identity.second_factor_routes:router",
        "backend.managers.identity.provider_routes:router",
        "backend.managers.identity.people_routes:people",
    ),
    mounts="backend.managers.identity.oauth_routes:oauth_routes",
    document="backend.managers.identity.oauth_routes:DOCUMENT",
    endings={
        "login.succeeded": Ending("sign_ins", well=True),
        "login.failed": Ending("sign_ins", well=False),
        "second_factor.failed": Ending("sign_ins", well=False),
        "external_login.failed": Ending("sign_ins", well=False),
    },
    # Log-ins are the platform's own.
    events={
        "login.succeeded": PLATFORM_READ,
        "login.failed": PLATFORM_READ,
        "second_factor.enrolled": PLATFORM_READ,
        "second_factor.failed": PLATFORM_READ,
        "second_factor.removed": PLATFORM_READ,
        "second_factor.cleared": PLATFORM_READ,
        "recovery_code.used": PLATFORM_READ,
        "external_login.failed": PLATFORM_READ,
        "identity_provider.created": "identity_provider:read",
        "identity_provider.changed": "identity_provider:read",
        "identity_provider.deleted": "identity_provider:read",
        "domain.taken": "identity_provider:read",
        "login_policy.changed": "login_policy:read",
        "client.created": "client:read",
        "client.changed": "client:read",
        "client.rotated": "client:read",
        "client.deleted": "client:read",
        "invitation.created": MEMBER_READ,
        "invitation.renewed": MEMBER_READ,
        "invitation.revoked": MEMBER_READ,
        "invitation.accepted": MEMBER_READ,
    },
    ticks=(
        Tick("identity.flush", 10, IdentityManager.flush, process="api"),
        Tick("identity.rotate_signing_key", 600, IdentityManager.rotate_when_due),
    ),
    sweeps=(
        Sweep(RETENTION, IdentityManager.sweep_expired),
        Sweep(INVITATIONS, lambda identity, tx: identity.invitations.sweep(tx)),
    ),
    job_kinds=(lambda identity, _: identity.accounts.reset_kind(),),
    stocks={"clients": lambda identity, tx: identity.clients.count(tx)},
    observe=IdentityManager.observe,
    serving=IdentityManager.serving,
    durable_topics=(SIGNING_KEYS_CHANGED,),
)

__all__ = [
    "ACCOUNT",
    "AUTHENTICATE",
    "CLIENT_TABLES",
    "CONSOLE",
    "INVITE",
    "MAX_TOKEN_CHARACTERS",
    "NETWORKS_TEXT",
    "NO_BOUNDS",
    "PROVIDERS",
    "RECORDS_ITS_REFUSALS",
    "RETENTION",
    "ROOM",
    "SCOPES_TEXT",
    "SECOND_FACTOR",
    "SIGNING_KEYS",
    "SIGNING_KEYS_CHANGED",
    "TOKEN_PATH",
    "USERS",
    "AccessClaims",
    "CallerView",
    "Client",
    "ClientNotFoundError",
    "CodeRefusedError",
    "CredentialBounds",
    "CredentialExpiredError",
    "CredentialInvalidError",
    "Denial",
    "ExpiryInvalidError",
    "Failure",
    "IdentityManager",
    "IdentitySettings",
    "LastUses",
    "LogInExpiredError",
    "LoginRefusedError",
    "Networks",
    "ScopeBeyondRoleError",
    "Scopes",
    "SecondFactorExistsError",
    "SecondFactorMissingError",
    "SecondFactorNotFoundError",
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
