"""Identity's work across tenants: who somebody is has to be known before their tenant is."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.identity.models import (
    AuthorizationCode,
    BrowserSession,
    LoginPolicyRow,
    OauthClient,
    PendingLogIn,
    RecoveryCode,
    RevokedToken,
    SigningKey,
    TotpSecret,
)
from backend.managers.security import SEALING
from backend.managers.tenant import PEOPLE

_SECOND_FACTORS: Final = tables_of(TotpSecret, RecoveryCode, PendingLogIn, BrowserSession)

AUTHENTICATE: Final = Errand(
    "identity.authenticate",
    tables_of(OauthClient, SigningKey, BrowserSession, AuthorizationCode, RevokedToken)
    | tables_of(LoginPolicyRow)
    | _SECOND_FACTORS
    | PEOPLE
    | SEALING,
)
"""Log-ins, tokens and everything that decides whom a token stands for."""

SIGNING_KEYS: Final = Errand(
    "identity.signing_keys", tables_of(SigningKey) | SEALING, of_platform=True
)
"""Making another signing key."""

SECOND_FACTOR: Final = Errand(
    "identity.second_factor",
    _SECOND_FACTORS | tables_of(LoginPolicyRow) | PEOPLE | SEALING,
    of_platform=True,
)
"""What people do to their own second factor, and the platform's administrators to others'."""

RETENTION: Final = Errand(
    "identity.retention",
    tables_of(AuthorizationCode, BrowserSession, PendingLogIn, RevokedToken),
)
"""Forgetting what has expired."""
