"""The gate: OAuth 2 and OpenID Connect, API keys, rate limits, idempotent replies.

Owns ``oauth_clients``, ``api_keys``, ``signing_keys``, ``sessions``, ``authorization_codes``,
``revoked_tokens`` and ``idempotency_records``. Listens to the signal ``principals`` and sends it
for clients, keys, sessions and revocations; sends and listens to ``signing_keys``.
"""

from backend.managers.gateway._credentials import CONSOLE, Client, Key
from backend.managers.gateway.errors import (
    ApiKeyNotFoundError,
    ClientNotFoundError,
    CredentialInvalidError,
    ExpiryInvalidError,
    IdempotencyKeyReusedError,
    LoginRefusedError,
    TenantlessTokenError,
    TooManyFailuresError,
)
from backend.managers.gateway.manager import CallerView, GatewayManager
from backend.managers.gateway.settings import GatewaySettings

__all__ = [
    "CONSOLE",
    "ApiKeyNotFoundError",
    "CallerView",
    "Client",
    "ClientNotFoundError",
    "CredentialInvalidError",
    "ExpiryInvalidError",
    "GatewayManager",
    "GatewaySettings",
    "IdempotencyKeyReusedError",
    "Key",
    "LoginRefusedError",
    "TenantlessTokenError",
    "TooManyFailuresError",
]
