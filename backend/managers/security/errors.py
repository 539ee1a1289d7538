"""What can go wrong with keys and sealed data, as a caller sees it."""

from backend.core.errors import ConflictError, UnavailableError


class SealBrokenError(ConflictError):
    """Sealed bytes do not open: another key, another place, or altered. Never says which."""

    code, title = "security.seal_broken", "Sealed data does not open"


class KeyUnavailableError(UnavailableError):
    """The tenant's data key cannot be unwrapped with the root key that is configured."""

    code, title = "security.key_unavailable", "The encryption key is not available"
