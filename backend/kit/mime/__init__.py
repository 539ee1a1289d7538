"""Messages as bytes: mailboxes that are safe on the wire, and a composer without surprises."""

from backend.kit.mime._address import Mailbox, parse_address, parse_addresses
from backend.kit.mime._compose import (
    MAX_HEADERS,
    Attachment,
    Calendar,
    CalendarMethod,
    Content,
    check_content,
    check_message_id,
    compose,
    make_message_id,
)
from backend.kit.mime._identity import email_identity
from backend.kit.mime.errors import (
    AttachmentsTooLargeError,
    InvalidAddressError,
    InvalidHeaderError,
)

__all__ = [
    "MAX_HEADERS",
    "Attachment",
    "AttachmentsTooLargeError",
    "Calendar",
    "CalendarMethod",
    "Content",
    "InvalidAddressError",
    "InvalidHeaderError",
    "Mailbox",
    "check_content",
    "check_message_id",
    "compose",
    "email_identity",
    "make_message_id",
    "parse_address",
    "parse_addresses",
]
