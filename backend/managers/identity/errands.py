"""Identity's work across tenants: who somebody is has to be known before their tenant is."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.identity.models import (
    AuthorizationCode,
    BrowserSession,
    OauthClient,
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
    "identity.retention", tables_of(AuthorizationCode, BrowserSession, RevokedToken)
)
"""Forgetting what has expired."""
