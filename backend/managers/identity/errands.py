"""Identity's work across tenants: who somebody is has to be known before their tenant is."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
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
from backend.managers.security import REWRAPPING, SEALING
from backend.managers.tenant import PEOPLE

_SECOND_FACTORS: Final = tables_of(TotpSecret, RecoveryCode, PendingLogIn, BrowserSession)

AUTHENTICATE: Final = Errand(
    "identity.authenticate",
    tables_of(OauthClient, SigningKey, BrowserSession, AuthorizationCode, RevokedToken)
    | tables_of(LoginPolicyRow, IdentityProviderRow, ExternalLogInRow)
    | _SECOND_FACTORS
    | PEOPLE
    | SEALING,
)
"""Log-ins, tokens and everything that decides whom a token stands for."""

SIGNING_KEYS: Final = Errand(
    "identity.signing_keys", tables_of(SigningKey) | SEALING, of_platform=True
)
"""Looking at the signing keys, and making another."""

PLATFORM_CLIENTS: Final = Errand(
    "identity.platform_clients",
    tables_of(OauthClient) | PEOPLE,
    of_platform=True,
)
"""The clients of the platform itself; each statement names its tenant by hand."""

SECOND_FACTOR: Final = Errand(
    "identity.second_factor",
    _SECOND_FACTORS | tables_of(LoginPolicyRow) | PEOPLE | SEALING,
    of_platform=True,
)
"""What people do to their own second factor, and the platform's administrators to others'."""

_PROVIDERS: Final = tables_of(IdentityProviderRow, ExternalLogInRow, PendingLogIn, BrowserSession)

PROVIDERS: Final = Errand("identity.providers", _PROVIDERS | PEOPLE | SEALING, confined=True)
"""One tenant's identity providers, and the log-ins that end with them."""

DOMAINS: Final = Errand(
    "identity.domains",
    tables_of(IdentityProviderRow, PendingLogIn, BrowserSession) | PEOPLE,
    of_platform=True,
)
"""Confirming that a provider speaks for a mail domain, and the log-ins that end with it."""

RETENTION: Final = Errand(
    "identity.retention",
    tables_of(
        AuthorizationCode,
        BrowserSession,
        ExternalLogInRow,
        PasswordReset,
        PendingLogIn,
        RevokedToken,
    ),
)
"""Forgetting what has expired."""

ACCOUNT: Final = Errand(
    "identity.account", tables_of(PasswordReset) | _SECOND_FACTORS | PEOPLE | SEALING
)
"""What people do with their own account: it belongs to no tenant."""

USERS: Final = Errand(
    "identity.users",
    tables_of(BrowserSession, PasswordReset, PendingLogIn) | PEOPLE,
    of_platform=True,
)
"""People as the platform's administrators see them."""

INVITE: Final = Errand("identity.invite", tables_of(InvitationRow) | PEOPLE, confined=True)
"""One tenant's invitations; each statement is confined by hand."""

JOIN: Final = Errand(
    "identity.join",
    tables_of(InvitationRow, OauthClient, BrowserSession, IdentityProviderRow) | PEOPLE,
)
"""Accepting one: whose link it is has to be known before its tenant is."""

REWRAP: Final = Errand(
    "identity.rewrap",
    tables_of(SigningKey, PendingLogIn, TotpSecret) | REWRAPPING,
    of_platform=True,
)
"""Sealing anew what is sealed with the platform's keys: these rows belong to no tenant."""

INVITATIONS: Final = Errand("identity.invitations", tables_of(InvitationRow))
"""Forgetting those that ended."""
