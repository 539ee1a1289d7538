"""Identity's work across tenants: who somebody is has to be known before their tenant is."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.identity.models import (
    AuthorizationCode,
    BrowserSession,
    InvitationRow,
    OauthClient,
    PasswordReset,
    RevokedToken,
    SigningKey,
)
from backend.managers.security import SEALING
from backend.managers.tenant import PEOPLE

AUTHENTICATE: Final = Errand(
    "identity.authenticate",
    tables_of(OauthClient, SigningKey, BrowserSession, AuthorizationCode, RevokedToken)
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

RETENTION: Final = Errand(
    "identity.retention",
    tables_of(AuthorizationCode, BrowserSession, RevokedToken, PasswordReset),
)
"""Forgetting what has expired."""

ACCOUNT: Final = Errand("identity.account", tables_of(BrowserSession, PasswordReset) | PEOPLE)
"""What people do with their own account: it belongs to no tenant."""

USERS: Final = Errand(
    "identity.users", tables_of(BrowserSession, PasswordReset) | PEOPLE, of_platform=True
)
"""People as the platform's administrators see them."""

INVITE: Final = Errand("identity.invite", tables_of(InvitationRow) | PEOPLE, confined=True)
"""One tenant's invitations; each statement is confined by hand."""

JOIN: Final = Errand(
    "identity.join", tables_of(InvitationRow, OauthClient, BrowserSession) | PEOPLE
)
"""Accepting one: whose link it is has to be known before its tenant is."""

INVITATIONS: Final = Errand("identity.invitations", tables_of(InvitationRow))
"""Forgetting those that ended."""
