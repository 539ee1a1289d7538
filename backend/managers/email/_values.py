"""What the e-mail manager is given and hands out: values without behaviour."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, NewType, Self

from backend.core.errors import AppError
from backend.kit.mime import Attachment, Calendar, Content, Mailbox
from backend.kit.smtp import Limits, Login, SmtpRelay
from backend.kit.templating import Rendered, TemplateSource
from backend.kit.turns import LARGE_BYTES


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
    reply_to: str | Sequence[str] | None = None
    sender: str | None = None
    message_id: str | None = None
    calendar: Calendar | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    template: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    business_key: str | None = None
    # What another message under the same key gets: the first one, instead of a refusal.
    returns_first: bool = False
    send_at: datetime | None = None
    relay: str | None = None
    place: tuple[int | str, ...] = ()


def refuse_odd(said: Any) -> None:
    """See that a message, as a request or a job says it, has one content, and is for somebody.

    Raises:
        ValueError: It does not, in words for its author.
    """
    given = said.text is not None or said.html is not None
    if said.template is not None and (given or said.subject is not None):
        raise ValueError("give either a template or subject, text and html")
    if said.template is None and not (given and said.subject is not None):
        raise ValueError("give subject and text or html, or a template")
    if said.variables and said.template is None:
        raise ValueError("variables need a template")
    if not (said.to or said.cc or said.bcc):
        raise ValueError("give at least one recipient")


def draft_of(said: Any) -> Draft:
    """A message, as a request or a job says it, as the manager takes it."""
    return Draft(
        to=said.to,
        cc=said.cc,
        bcc=said.bcc,
        subject=said.subject,
        text=said.text,
        html=said.html,
        reply_to=said.reply_to,
        sender=said.from_,
        message_id=said.message_id,
        calendar=None
        if said.calendar is None
        else Calendar(said.calendar.method, said.calendar.content),
        send_at=said.send_at,
        relay=said.relay,
        headers=said.headers,
        attachments=[
            Attachment(a.filename, a.content_type, a.content, a.content_id)
            for a in said.attachments
        ],
        template=said.template,
        variables=said.variables,
        business_key=said.business_key,
        returns_first=said.on_key_conflict == "return_first",
    )


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
    send_at: datetime | None
    created_by: str
    recipients: Sequence[Recipient]
    relay: str | None = None
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


@dataclass(frozen=True, slots=True)
class TemplatePreview:
    """A template filled in, unless some of its variables are ``missing``.

    ``variables`` maps each that it uses to whether it cannot do without.
    """

    variables: Mapping[str, bool]
    rendered: Rendered | None
    missing: Sequence[str]


CheckedTemplate = NewType("CheckedTemplate", TemplateSource)
"""A template's text that is known to compile in the sandbox."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long, and when, a message is tried again; all in seconds.

    The last of ``waits_seconds`` repeats until ``give_up_after_seconds`` are over.
    """

    waits_seconds: Sequence[float]
    give_up_after_seconds: float
    delay_notice_after_seconds: float

    def wait_after(self, elapsed_seconds: float) -> float:
        """How long to wait after a try that began so long after the first.

        The tries of a message lie on one grid, so that a pause of its relay makes no burst of them.
        """
        point = 0.0
        for wait in self.waits_seconds:
            point += wait
            if point > elapsed_seconds:
                return point - elapsed_seconds
        last = self.waits_seconds[-1]
        return last - (elapsed_seconds - point) % last


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """What a tenant may say of its mail server beside where it is; None leaves it to us."""

    ehlo_name: str | None = None
    ca_certificate: str | None = None
    login: Login = "password"
    connections: int | None = None
    rate_per_second: float | None = None
    messages_per_session: int | None = None
    recipients_per_transaction: int | None = None

    def within(self, most: Limits) -> Limits:
        """The limits that follow from what was set and the platform's."""
        own = Limits(
            self.connections or most.connections,
            self.rate_per_second,
            self.messages_per_session,
            self.recipients_per_transaction,
        )
        return own.within(most)


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
    smtp_options: RelayOptions
    retry: RetryPolicy
    own_retry: RetryPolicy | None = None
    senders: Sequence[str] = ()

    def may_send_from(self, address: str) -> bool:
        """Whether a message may be from this address, whatever the case of its letters."""
        wanted = address.lower()
        own = {self.from_address.lower(), *(one.lower() for one in self.senders)}
        return wanted in own or f"@{wanted.rpartition('@')[2]}" in own

    def sent_from(self, address: str) -> Self:
        """The same with another from address, and the usual one among the senders."""
        senders = (*self.senders, self.from_address)
        return replace(self, from_address=address, senders=senders)

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
            self.smtp_options,
        )

    @property
    def version(self) -> str:
        """Changes with every save."""
        return f"v{self.revision}"


class Kept(NamedTuple):
    """For how many days a tenant's mail is kept, how many are usual, and the most there may be."""

    content_days: int
    days: int
    usual_content_days: int
    usual_days: int
    most_days: int


class Route(NamedTuple):
    """The way out for a tenant's messages, read in one statement."""

    relay: SmtpRelay
    sender: Mailbox
    suppresses: bool
    retry: RetryPolicy


@dataclass(frozen=True, slots=True)
class RelayPause:
    """Why nothing is handed to a relay just now; ``sender`` None means nobody's mail."""

    sender: str | None
    kind: str
    code: int | None
    reason: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class RelayState:
    """What is known of the relay that a tenant's mail goes to.

    ``limits`` are those of now; ``usual`` those without what its answers taught. ``accepted_at``,
    when it last took a message of the tenant, is kept to the minute.
    """

    name: str
    provider: str | None
    state: str
    pauses: Sequence[RelayPause]
    limits: Limits
    usual: Limits
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True)
class NamedRelay:
    """A mail server that messages may name, and what is known of it.

    ``from_address`` None leaves who they are from to the tenant's settings.
    """

    name: str
    from_address: str | None
    smtp: "RelayChoice"
    relay: RelayState
    version: str
    updated_at: datetime


class RelayTest(NamedTuple):
    """Whether a mail server serves us, what was found out, and how long that took."""

    works: bool
    detail: str
    milliseconds: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Everything one attempt needs, read in one short transaction before any network work.

    But for a large ``content``: None is read when the message's turn has come.
    """

    email_id: str
    message_id: str
    content: Content | None
    sender: Mailbox
    to: Sequence[Mailbox]
    cc: Sequence[Mailbox]
    created_at: datetime
    pending: Mapping[int, str]
    # Whoever an earlier attempt left for good, as "address: what the server said".
    bounced: Sequence[str]
    relay: SmtpRelay
    retry: RetryPolicy
    # Patience counts from the one, the notice of a delay from the other, if none was given yet.
    tries_from: datetime
    due_at: datetime
    is_delayed: bool
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class RelayChoice:
    """A tenant's own mail server; ``password`` None keeps what is stored for the same one."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: str
    options: RelayOptions


class Sealed(NamedTuple):
    """A content that is sealed already, for the message of this id."""

    email_id: str
    content: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """Settings as somebody wants them, before anything of them is checked."""

    from_address: str
    from_name: str
    smtp: RelayChoice | None
    suppress_hard_bounces: bool
    keep_content_days: int | None
    keep_days: int | None
    retry: RetryPolicy | None
    senders: Sequence[str]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft that has been filled in and checked, or what it is refused for.

    Whoever is refused for what the message says still has ``recipients``.
    """

    draft: Draft
    content: Content
    recipients: Sequence[tuple[str, Mailbox]]
    refusal: AppError | None = None
    sender: Mailbox | None = None
    sealed: Sealed | None = None

    @property
    def size_bytes(self) -> int:
        """About what the content takes, at a byte a character."""
        attached = sum(len(one.data) for one in self.content.attachments)
        return len(self.content.text or "") + len(self.content.html or "") + attached

    @property
    def is_large(self) -> bool:
        """Whether what is done with the content is work for a thread."""
        return self.size_bytes > LARGE_BYTES
