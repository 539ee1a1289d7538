"""What can go wrong with keys and sealed data, as a caller sees it."""

from backend.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)


class SealBrokenError(ConflictError):
    """Sealed bytes do not open: another key, another place, or altered. Never says which."""

    code, title = "security.seal_broken", "Sealed data does not open"


class KeyUnavailableError(UnavailableError):
    """The tenant's data key cannot be unwrapped with the root key that is configured."""

    code, title = "security.key_unavailable", "The encryption key is not available"


class RootKeysHeldError(ConflictError):
    """Another command is changing the file of the root keys on this machine."""

    code, title = "security.root_keys_held", "The root keys are being changed"


class SealedError(UnavailableError):
    """The tenant is sealed: nobody uses its keys before it is unsealed."""

    code, title = "security.sealed", "The tenant's keys are sealed"


class KeyNotFoundError(NotFoundError):
    """No key of this name in this tenant, or no such version of it."""

    code, title = "security.key_not_found", "No such key"


class KeyNameTakenError(ConflictError):
    """The tenant has a key of this name, perhaps one that is being deleted."""

    code, title = "security.key_name_taken", "There is a key of this name"


class KeyDisabledError(ConflictError):
    """The key is disabled, or waits for its deletion: nothing is done with it."""

    code, title = "security.key_disabled", "The key is not in use"


class KeyTypeError(ConflictError):
    """A key of this type cannot do this."""

    code, title = "security.key_type_mismatch", "The key is of another type"


class KeyExhaustedError(ConflictError):
    """The newest version has done all that it safely may, and the key may not rotate by itself."""

    code, title = "security.key_exhausted", "The key has to be rotated"


class KeyPolicyError(InvalidInputError):
    """The policy contradicts what the key is, or takes back what cannot be taken back."""

    code, title = "security.key_policy_invalid", "The key cannot have this policy"


class VersionInUseError(ConflictError):
    """Somebody opened lately what would not open any more; ``callers`` says how many do."""

    code, title = "security.version_in_use", "Earlier versions are still in use"


class KeyNotExportableError(ConflictError):
    """The key does not leave the platform."""

    code, title = "security.key_not_exportable", "The key cannot be exported"


class KeyChangedError(PreconditionError):
    """If-Match names a version of the key's policy that is no longer current."""

    code, title = "security.key_changed", "The key has changed meanwhile"


class TooManyKeysError(ConflictError):
    """A tenant may not have so many keys."""

    code, title = "security.too_many_keys", "The tenant has as many keys as it may have"


class KeyBusyError(UnavailableError):
    """The key was changed again and again while it was to be used."""

    code, title = "security.key_busy", "The key is being changed"


class RewrapNotFoundError(NotFoundError):
    """No such walk, or one that another has followed."""

    code, title = "security.rewrap_not_found", "Rewrap not found"


class RewrapStateError(ConflictError):
    """The walk is not in a state for this: only a running one pauses, only a paused one goes on."""

    code, title = "security.rewrap_state", "The rewrap is not in a state for this"
