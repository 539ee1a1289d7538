"""What can go wrong with log-ins, tokens and clients, as a caller sees it.

The codes begin with ``gateway``, where these rules once stood: a published code stays what it is.
"""

from backend.core.errors import (
    ExpiredError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
)


class CredentialInvalidError(UnauthenticatedError):
    """The token or key does not hold; one error for every reason, since telling helps guessing."""

    def __init__(self) -> None:
        super().__init__(
            "The credential is unknown, expired or revoked",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )


class CredentialExpiredError(CredentialInvalidError, ExpiredError):
    """An access token of ours that ran out; it answers as the others do."""


class TenantlessTokenError(ForbiddenError):
    """The token proves who somebody is but names no tenant."""

    code, title = "gateway.token_without_tenant", "This token names no tenant: exchange it first"


class ClientNotFoundError(NotFoundError):
    """No such client in this tenant."""

    code, title = "gateway.client_not_found", "No such client"


class LoginRefusedError(UnauthenticatedError):
    """Unknown person, wrong password or disabled: the caller cannot tell which."""

    code, title = "gateway.login_refused", "The e-mail or the password is not right"


class TooManyFailuresError(RateLimitedError):
    """Too many failed attempts from this address or for this account."""

    code, title = "gateway.too_many_failures", "Too many failed attempts"

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = max(1, int(retry_after_seconds + 0.999))
        super().__init__(
            f"Try again in {self.retry_after_seconds} s",
            headers={"Retry-After": str(self.retry_after_seconds)},
        )


class ExpiryInvalidError(InvalidInputError):
    """The expiry lies in the past."""

    code, title = "gateway.expiry_invalid", "The expiry must lie in the future"


class ScopeBeyondRoleError(InvalidInputError):
    """A credential is held to what its role has, never given more."""

    code, title = "identity.scope_beyond_role", "The role lacks this permission"
