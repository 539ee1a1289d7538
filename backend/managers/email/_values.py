"""What the e-mail manager is given and hands out: values without behaviour."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NewType

from backend.core.errors import AppError
from backend.kit.mime import Attachment, Content, Mailbox
from backend.kit.smtp import SmtpRelay
from backend.kit.templating import TemplateSource


@dataclass(frozen=True, slots=True)
class Draft:
    """One message as its author asks for it; addresses as text, attachments decoded.

    ``place`` is where it stands in the request, for what it is refused for.
    """

    to: Sequence[str]
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    reply_to: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    template: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    business_key: str | None = None
    # What another message under the same key gets: the first one, instead of a refusal.
    returns_first: bool = False
    place: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address and what the mail server said about it."""

    address: str
    kind: str
    state: str
    response_code: int | None
    response: str | None
    updated_at: datetime
    display_name: str = ""

    def __str__(self) -> str:
        """The form people read."""
        return str(Mailbox(self.display_name, self.address))


@dataclass(frozen=True, slots=True)
class Event:
    """One step on a message's way."""

    at: datetime
    event: str
    attempt: int
    detail: str


@dataclass(frozen=True, slots=True)
class Email:
    """A message as readers see it; ``first`` is False when a business key found an earlier one."""

    id: str
    message_id: str
    job_id: str
    state: str
    subject: str
    sender: str
    business_key: str | None
    attempts: int
    size_bytes: int
    created_at: datetime
    updated_at: datetime
    accepted_at: datetime | None
    created_by: str
    recipients: Sequence[Recipient]
    first: bool = True

    @property
    def deduplicated(self) -> bool:
        """Whether this is the first message under a business key that was used again."""
        return not self.first

    @property
    def to(self) -> list[str]:
        """Who it is for, as people write addresses."""
        return self._addressed("to")

    @property
    def cc(self) -> list[str]:
        """Who gets a copy."""
        return self._addressed("cc")

    @property
    def bcc(self) -> list[str]:
        """Who gets one without the others' knowing."""
        return self._addressed("bcc")

    def _addressed(self, kind: str) -> list[str]:
        return [str(one) for one in self.recipients if one.kind == kind]


@dataclass(frozen=True, slots=True)
class Template:
    """A named template."""

    name: str
    subject: str
    text: str | None
    html: str | None
    updated_at: datetime

    @property
    def version(self) -> str:
        """Changes with the content, and comes back only with it: a deleted name may be reused."""
        content = json.dumps([self.subject, self.text, self.html])
        return hashlib.sha256(content.encode()).hexdigest()[:32]


CheckedTemplate = NewType("CheckedTemplate", TemplateSource)
"""A template's text that is known to compile in the sandbox."""


@dataclass(frozen=True, slots=True)
class TenantEmailSettings:
    """How a tenant sends. ``revision`` 0 means the platform's defaults."""

    from_address: str
    from_name: str
    smtp_host: str | None
    smtp_port: int | None
    smtp_username: str | None
    smtp_tls: str | None
    suppress_hard_bounces: bool
    keep_content_days: int | None
    keep_days: int | None
    revision: int

    @property
    def smtp(self) -> "RelayChoice | None":
        """Its own mail server, without the password."""
        if self.smtp_host is None:
            return None
        return RelayChoice(
            self.smtp_host,
            self.smtp_port or 0,
            self.smtp_username,
            None,
            self.smtp_tls or "none",
        )

    @property
    def version(self) -> str:
        """Changes with every save."""
        return f"v{self.revision}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Everything one attempt needs, read in one short transaction before any network work."""

    email_id: str
    message_id: str
    content: Content
    sender: Mailbox
    to: Sequence[Mailbox]
    cc: Sequence[Mailbox]
    created_at: datetime
    pending: Mapping[int, str]
    # Whoever an earlier attempt left for good, as "address: what the server said".
    bounced: Sequence[str]
    relay: SmtpRelay


@dataclass(frozen=True, slots=True)
class RelayChoice:
    """A tenant's own mail server; ``password`` None keeps what is stored for the same one."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft that has been filled in and checked, or what it is refused for.

    Whoever is refused for what the message says still has ``recipients``.
    """

    draft: Draft
    content: Content
    recipients: Sequence[tuple[str, Mailbox]]
    refusal: AppError | None = None

    @property
    def size_bytes(self) -> int:
        """About what the content takes, at a byte a character."""
        attached = sum(len(one.data) for one in self.content.attachments)
        return len(self.content.text or "") + len(self.content.html or "") + attached
