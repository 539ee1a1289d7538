"""Mail servers: sessions that are kept, and what a server said about each recipient."""

from backend.kit.smtp._client import (
    RecipientOutcome,
    SmtpPool,
    SmtpRelay,
    verify,
)
from backend.kit.smtp.errors import RelayUnavailableError

__all__ = [
    "RecipientOutcome",
    "RelayUnavailableError",
    "SmtpPool",
    "SmtpRelay",
    "verify",
]
