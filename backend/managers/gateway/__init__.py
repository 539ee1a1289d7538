"""The gate: OAuth 2 and OpenID Connect, API keys, rate limits, idempotent replies.

Owns ``oauth_clients``, ``api_keys``, ``signing_keys``, ``sessions``, ``authorization_codes``,
``revoked_tokens`` and ``idempotency_records``. Listens to the signal ``principals`` and sends it
for clients, keys, sessions and revocations; sends and listens to ``signing_keys``.
"""

from typing import Final

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

EVENTS: Final = {
    "login.succeeded": "platform:read",
    "login.failed": "platform:read",
    "client.created": "client:read",
    "client.rotated": "client:read",
    "client.deleted": "client:read",
    "api_key.created": "api_key:read",
    "api_key.revoked": "api_key:read",
}
"""What it tells, and the permission that reading it takes. Log-ins are the platform's own."""

__all__ = [
    "CONSOLE",
    "EVENTS",
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
