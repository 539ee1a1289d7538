"""What can go wrong with secrets, as a caller sees it; never with a word of a value."""

from backend.core.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    TooLargeError,
)


class SecretNotFoundError(NotFoundError):
    """The tenant has no such secret in this environment."""

    code, title = "secrets.not_found", "No such secret"


class SecretVersionNotFoundError(NotFoundError):
    """The secret has no version of this number, or keeps it no longer."""

    code, title = "secrets.version_not_found", "No such version of the secret"


class SecretVersionGoneError(GoneError):
    """The version is known and its value is not to be had: deleted, destroyed or expired."""

    code, title = "secrets.version_gone", "This version cannot be read any more"


class SecretVersionLostError(ConflictError):
    """The value was destroyed, so that nothing is left to bring back."""

    code, title = "secrets.version_lost", "The value of this version was destroyed"


class SecretChangedError(PreconditionError):
    """Check-and-set: somebody wrote a version since, or the ETag is of other settings."""

    code, title = "secrets.changed", "The secret has changed meanwhile"


class CasMissingError(InvalidInputError):
    """This secret takes no write that does not say what it replaces."""

    code, title = "secrets.cas_missing", "Say which version this replaces"


class NotAnObjectError(ConflictError):
    """A text alone has no keys to merge, and nothing is merged into one."""

    code, title = "secrets.not_an_object", "The secret is one text, and has no keys"


class SecretValueError(InvalidInputError):
    """A value, a path or a key that no secret has."""

    code, title = "secrets.value_invalid", "This cannot be kept as a secret"


class SecretTooLargeError(TooLargeError):
    """One value has a bound, and so has what its references make of it."""

    code, title = "secrets.too_large", "The value is too large"


class ReferenceBrokenError(ConflictError):
    """A reference leads nowhere, in a circle or too deep. Says which, by paths and keys."""

    code, title = "secrets.reference_broken", "A reference cannot be resolved"


class FolderClosedError(ForbiddenError):
    """The folder is open to some roles, and the caller's is none of them."""

    code, title = "secrets.folder_closed", "The folder is not open to this role"


class SecretTokenNotFoundError(NotFoundError):
    """No such token in this tenant."""

    code, title = "secrets.token_not_found", "No such token"


class SecretTokenForeignError(ForbiddenError):
    """The token is for another workflow, or for another execution of it."""

    code, title = "secrets.token_foreign", "The token is for another execution"


class IssuerCannotReadError(ForbiddenError):
    """A token gives what its issuer may read; theirs is no right to, or is none any more."""

    code, title = "secrets.issuer_cannot_read", "Whoever makes a token must be able to read"


class SecretTokenSpentError(GoneError):
    """The token was used, or its time is over."""

    code, title = "secrets.token_spent", "The token cannot be used any more"


class GrantNotFoundError(NotFoundError):
    """No such grant in this tenant."""

    code, title = "secrets.grant_not_found", "No such grant"


class TooManyGrantsError(ConflictError):
    """All grants of a tenant are looked at by every list, so there is a bound."""

    code, title = "secrets.too_many_grants", "Too many grants"
