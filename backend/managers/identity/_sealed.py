"""What identity keeps sealed, and the place that each value is sealed for.

Here and not beside their uses: whoever seals them anew needs the same places from the rows alone.
"""

from typing import Final

from backend.core.room import SealedColumn
from backend.managers.identity.errands import REWRAP
from backend.managers.identity.models import (
    IdentityProviderRow,
    PendingLogIn,
    SigningKey,
    TotpSecret,
)


def signing_key_place(kid: str) -> str:
    """A private key that signs tokens."""
    return f"signing_key:{kid}"


def log_in_place(token_hash: bytes) -> str:
    """The second factor that somebody gets in the middle of a log-in."""
    return f"pending_log_in:{token_hash.hex()}"


def totp_place(user_id: str) -> str:
    """A person's second factor."""
    return f"totp_secret:{user_id}"


def provider_place(provider_id: str) -> str:
    """What we show a tenant's provider."""
    return f"identity_provider.secret:{provider_id}"


SEALED: Final = (
    SealedColumn(
        SigningKey,
        "sealed_private_jwk",
        lambda row: signing_key_place(row["kid"]),
        errand=REWRAP,
    ),
    SealedColumn(
        PendingLogIn,
        "sealed_secret",
        lambda row: log_in_place(row["token_hash"]),
        errand=REWRAP,
    ),
    SealedColumn(
        TotpSecret, "sealed_secret", lambda row: totp_place(row["user_id"]), errand=REWRAP
    ),
    SealedColumn(IdentityProviderRow, "sealed_secret", lambda row: provider_place(row["id"])),
)
