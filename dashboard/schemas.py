"""Wire types: what the platform says, as far as this console looks at it.

A field that the contract may leave out has a default, one that it may set to null says so, and
fields that are not here are ignored: the API is allowed to grow under a console that was not
restarted. What goes wrong is not here but in ``dashboard.api``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[_T]):
    """A part of a list, and the cursor of the next part or None at the end."""

    items: list[_T]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An access token for one tenant, good for ``expires_in`` seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    tenant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRef:
    """A tenant as seen by one of its members; ``role`` is theirs there."""

    id: str
    slug: str
    name: str
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who the token speaks for, where, and what they may do."""

    subject: str
    kind: str
    name: str
    tenant: TenantRef
    role: str
    permissions: frozenset[str]
    platform_admin: bool = False
    tenants: list[TenantRef] = field(default_factory=list)


# Not a dataclass like the others: only a Struct can read a field whose wire name Python reserves.
class Email(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A message and where it stands."""

    id: str
    message_id: str
    job_id: str | None
    state: str
    subject: str
    to: list[str]
    created_at: datetime
    updated_at: datetime
    sender: str = ""
    cc: list[str] = []
    bcc: list[str] = []
    business_key: str | None = None
    attempts: int = 0
    size_bytes: int | None = None
    accepted_at: datetime | None = None
    created_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One address of a message and the answer of its mail server."""

    address: str
    kind: str
    state: str
    response_code: int | None = None
    response: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """Something that happened to a message."""

    at: datetime
    event: str
    attempt: int | None = None
    detail: str | None = None


class EmailDetail(Email, frozen=True, kw_only=True):
    """A message with its recipients and its history."""

    recipients: list[Recipient] = []
    timeline: list[TimelineEntry] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An attachment by name; its bytes are not shown in the console."""

    filename: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailContent:
    """What a message says. ``html`` is hostile until it is sandboxed."""

    text: str | None = None
    html: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkCopy:
    """What the local mail sink received over SMTP: proof of what left the platform."""

    received_at: datetime | None
    envelope_from: str
    envelope_to: list[str]
    headers: list[tuple[str, str]] = field(default_factory=list)
    text: str | None = None
    html: str | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkCopies:
    """The sink's copies of one message."""

    copies: list[SinkCopy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A durable piece of work."""

    id: str
    kind: str
    state: str
    attempt: int
    max_attempts: int
    created_at: datetime
    priority: int = 0
    due_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str | None = None
    error: str | None = None
    result: Any = None
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One entry of the audit trail; ``seq`` and ``hash`` come within a second of the act."""

    id: str
    at: datetime
    actor: str
    action: str
    target: str | None = None
    seq: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """The outcome of recomputing the whole chain."""

    valid: bool
    records: int
    head_seq: int | None = None
    head_hash: str | None = None
    first_invalid_seq: int | None = None
    unsequenced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFigures:
    """Traffic over the window: a rate per second, milliseconds, and a share from 0 to 1."""

    per_second: float
    p95_ms: float | None = None
    error_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPoint:
    """One step of the traffic series; a gap is None, never a zero."""

    at: datetime
    requests_per_second: float | None = None
    p95_ms: float | None = None
    error_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A message or a job that failed lately."""

    at: datetime
    kind: str
    id: str
    title: str
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The figures of the first page."""

    window_seconds: int
    requests: RequestFigures
    series: list[SeriesPoint] = field(default_factory=list)
    jobs: dict[str, int] = field(default_factory=dict)
    emails: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant as the platform's administrators see it."""

    id: str
    slug: str
    name: str
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role and the permissions it carries."""

    name: str
    permissions: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person in the tenant; ``id`` is the user's, ``created_at`` the membership's."""

    id: str
    email: str
    name: str
    role: str
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A machine's credentials; ``client_secret`` is present once, right after it was made."""

    id: str
    client_id: str
    name: str
    role: str
    created_at: datetime | None = None
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A long-lived credential; ``key`` is present once, right after it was made.

    ``last_used_at`` is exact to about a minute.
    """

    id: str
    name: str
    role: str
    prefix: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    key: str | None = field(default=None, repr=False)
