"""What a message is refused for. The codes are those that version 1 of the API promises."""

from typing import ClassVar

from backend.core.errors import InvalidInputError, TooLargeError


class InvalidAddressError(InvalidInputError):
    """A mailbox we would not dare to put on the wire."""

    code: ClassVar[str] = "email.invalid_address"
    title: ClassVar[str] = "The e-mail address is not valid"


class InvalidHeaderError(InvalidInputError):
    """A header, subject or attachment name that could change the meaning of the message."""

    code: ClassVar[str] = "email.invalid_header"
    title: ClassVar[str] = "A header of the message is not valid"


class AttachmentsTooLargeError(TooLargeError):
    """The attachments together exceed the limit, counted before encoding."""

    code: ClassVar[str] = "email.attachments_too_large"
    title: ClassVar[str] = "The attachments are too large"
