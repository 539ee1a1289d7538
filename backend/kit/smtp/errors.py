"""What can go wrong with a mail server. The codes are those that version 1 promises."""

from typing import ClassVar

from backend.core.errors import InvalidInputError, UnavailableError


class RelayUnavailableError(UnavailableError):
    """The SMTP relay cannot be reached, trusted or logged in to."""

    code: ClassVar[str] = "email.relay_unavailable"
    title: ClassVar[str] = "The SMTP relay is not available"


class RelayNotAllowedError(InvalidInputError):
    """A tenant may not make the platform connect to its inner network."""

    code: ClassVar[str] = "email.relay_not_allowed"
    title: ClassVar[str] = "This mail server is not allowed"
