"""Mail servers: sessions that are kept, and what a server said about each recipient."""

from backend.kit.smtp._client import (
    RecipientOutcome,
    SmtpPool,
    SmtpRelay,
    is_public,
    resolve_public,
    verify,
)
from backend.kit.smtp.errors import RelayNotAllowedError, RelayUnavailableError

__all__ = [
    "RecipientOutcome",
    "RelayNotAllowedError",
    "RelayUnavailableError",
    "SmtpPool",
    "SmtpRelay",
    "is_public",
    "resolve_public",
    "verify",
]
