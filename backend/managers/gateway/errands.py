"""The gate's work across tenants: who somebody is has to be known before their tenant is."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.gateway.models import (
    ApiKey,
    AuthorizationCode,
    BrowserSession,
    IdempotencyRecord,
    OauthClient,
    RevokedToken,
    SigningKey,
)
from backend.managers.security import SEALING
from backend.managers.tenant import PEOPLE

AUTHENTICATE: Final = Errand(
    "gateway.authenticate",
    tables_of(OauthClient, ApiKey, SigningKey, BrowserSession, AuthorizationCode, RevokedToken)
    | PEOPLE
    | SEALING,
)
"""Log-ins, tokens and everything that decides who a credential is."""

SIGNING_KEYS: Final = Errand(
    "gateway.signing_keys", tables_of(SigningKey) | SEALING, of_platform=True
)
"""Making another signing key."""

RETENTION: Final = Errand(
    "gateway.retention",
    tables_of(IdempotencyRecord, AuthorizationCode, BrowserSession, RevokedToken),
)
"""Forgetting what has expired."""

ANSWERS: Final = tables_of(IdempotencyRecord) | SEALING
"""What keeping an answer under its Idempotency-Key touches, whatever the act's own errand."""
