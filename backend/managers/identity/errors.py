"""What can go wrong with log-ins, tokens and clients, as a caller sees it.

The first codes begin with ``gateway``, where these rules once stood: a published code stays what it
is.
"""

from backend.core.errors import (
    ConflictError,
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


class InvitationNotFoundError(NotFoundError):
    """No such invitation in this tenant."""

    code, title = "identity.invitation_not_found", "No such invitation"


class InvitationUnknownError(NotFoundError):
    """No invitation has this link, or no longer."""

    code, title = "identity.invitation_unknown", "This invitation is not known"


class InvitationExistsError(ConflictError):
    """The e-mail has an invitation to this tenant that waits."""

    code, title = "identity.invitation_exists", "There is an invitation for this e-mail already"


class InvitationClosedError(ConflictError):
    """It was accepted or revoked, or its time is over."""

    code, title = "identity.invitation_closed", "This invitation has ended"


class LogInFirstError(ForbiddenError):
    """An invitation for somebody with a log-in, opened by somebody who is not logged in with it."""

    code, title = "identity.log_in_first", "Log in as whom the invitation is for"


class PasswordWrongError(InvalidInputError):
    """The old password is not right: the caller is known, only this does not fit."""

    code, title = "identity.password_wrong", "The old password is not right"


class ResetUnknownError(NotFoundError):
    """No link for a new password is this one, any more."""

    code, title = "identity.reset_unknown", "This link does not work"


class SessionNotFoundError(NotFoundError):
    """The person is not logged in there."""

    code, title = "identity.session_not_found", "No such session"


class PersonOnlyError(ForbiddenError):
    """A program asks for what only people have."""

    code, title = "identity.person_only", "Only a person has this"


class WeakPasswordError(InvalidInputError):
    """Too short, too common, or made of the e-mail address."""

    code, title = "identity.weak_password", "Choose another password"
