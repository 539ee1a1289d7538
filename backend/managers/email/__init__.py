"""E-mail: composing, sending and accounting for every recipient.

Owns ``email_messages``, ``email_recipients``, ``email_events``, ``email_templates`` and
``email_settings``. Its job kind ``email.send`` reaches the orchestrator through ``app``.
"""

from typing import Final

from backend.managers.email._compose import Attachment
from backend.managers.email._sink import SmtpSink, count_copies, read_copies
from backend.managers.email._smtp import SmtpRelay, verify
from backend.managers.email._values import Draft, Email
from backend.managers.email.errors import EmailNotFoundError, TemplateNotFoundError
from backend.managers.email.jobs import EmailDelivery
from backend.managers.email.manager import JOB_KIND, EmailManager, scope_of
from backend.managers.email.settings import EmailSettings

EVENTS: Final = dict.fromkeys(
    (
        "email.queued",
        "email.accepted",
        "email.deferred",
        "email.bounced",
        "email.partial",
        "email.cancelled",
    ),
    "email:read",
)
"""What it tells of a message, and the permission that reading it takes."""

__all__ = [
    "EVENTS",
    "JOB_KIND",
    "Attachment",
    "Draft",
    "Email",
    "EmailDelivery",
    "EmailManager",
    "EmailNotFoundError",
    "EmailSettings",
    "SmtpRelay",
    "SmtpSink",
    "TemplateNotFoundError",
    "count_copies",
    "read_copies",
    "scope_of",
    "verify",
]
