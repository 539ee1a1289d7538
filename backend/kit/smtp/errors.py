"""What can go wrong with a mail server. The codes are those that version 1 promises."""

from typing import ClassVar

from backend.core.errors import UnavailableError


class RelayUnavailableError(UnavailableError):
    """The SMTP relay cannot be reached, trusted or logged in to."""

    code: ClassVar[str] = "email.relay_unavailable"
    title: ClassVar[str] = "The SMTP relay is not available"
