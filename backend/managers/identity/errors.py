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


class LogInExpiredError(UnauthenticatedError):
    """The password was given too long ago, elsewhere, or never: the log-in begins anew."""

    code, title = "identity.log_in_expired", "The log-in took too long"


class CodeRefusedError(InvalidInputError):
    """The code is wrong, out of date or used: the caller cannot tell which."""

    code, title = "identity.code_refused", "The code is not right"


class SecondFactorExistsError(ConflictError):
    """The person has a second factor already; whoever wants another removes it first."""

    code, title = "identity.second_factor_exists", "There is a second factor already"


class SecondFactorNotFoundError(NotFoundError):
    """The person has no second factor, or none that waits for its first code."""

    code, title = "identity.second_factor_not_found", "There is no second factor"


class SecondFactorMissingError(ConflictError):
    """Whoever asks everybody for a second factor has one first, or they would be shut out."""

    code, title = "identity.second_factor_missing", "Set up your own second factor first"


class ProviderNotFoundError(NotFoundError):
    """No such identity provider in this tenant."""

    code, title = "identity.provider_not_found", "No such identity provider"


class ProviderUnusableError(InvalidInputError):
    """What is said to be an identity provider cannot be used as one."""

    code, title = "identity.provider_unusable", "This identity provider cannot be used"


class OwnerByMappingError(InvalidInputError):
    """Owners are made by owners, one by one, and by no group of another system."""

    code, title = "identity.owner_by_mapping", "No group makes somebody owner"


class DomainNotProvenError(ConflictError):
    """Nothing in the DNS says yet that the domain is the tenant's, or no domain is claimed."""

    code, title = "identity.domain_not_proven", "The domain is not proven"


class DomainTakenError(ConflictError):
    """Another identity provider speaks for this domain already."""

    code, title = "identity.domain_taken", "The domain belongs to another identity provider"


class ExternalLogInError(UnauthenticatedError):
    """What came back from an identity provider does not hold; the person is told no more.

    Attributes:
        part: Which part does not hold, for the trail.
        provider_id: Of the provider, once it is known.
    """

    code, title = "identity.external_log_in_failed", "The sign-in there did not work"

    def __init__(self, part: str, provider_id: str = "") -> None:
        super().__init__()
        self.part = part
        self.provider_id = provider_id


class TooManyFailuresError(RateLimitedError):
    """Too many failed attempts from this address or for this account."""

    code, title = "gateway.too_many_failures", "Too many failed attempts"

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = max(1, int(retry_after_seconds + 0.999))
        super().__init__(
            f"Try again in {self.retry_after_seconds} s",
            headers={"Retry-After": str(self.retry_after_seconds)},
        )


class DomainEnforcedError(ConflictError):
    """People of this domain sign in with their organisation's provider, for its tenant alone."""

    code, title = "identity.domain_enforced", "This domain's people sign in elsewhere"


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


class ExpiryInvalidError(InvalidInputError):
    """The expiry lies in the past."""

    code, title = "identity.expiry_invalid", "The expiry must lie in the future"


class ScopeBeyondRoleError(InvalidInputError):
    """A credential is held to what its role has, never given more."""

    code, title = "identity.scope_beyond_role", "The role lacks this permission"
