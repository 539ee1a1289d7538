"""E-mail: composing, sending and accounting for every recipient.

Owns ``email_messages``, ``email_recipients``, ``email_events``, ``email_templates`` and
``email_settings``. Its job kind ``email.send`` reaches the orchestrator through ``app``.
"""

from backend.managers.email._values import Draft, Email
from backend.managers.email.errors import EmailNotFoundError, TemplateNotFoundError
from backend.managers.email.jobs import EmailDelivery
from backend.managers.email.manager import JOB_KIND, READ_CONTENT, EmailManager, scope_of
from backend.managers.email.settings import EmailSettings

__all__ = [
    "JOB_KIND",
    "READ_CONTENT",
    "Draft",
    "Email",
    "EmailDelivery",
    "EmailManager",
    "EmailNotFoundError",
    "EmailSettings",
    "TemplateNotFoundError",
    "scope_of",
]
