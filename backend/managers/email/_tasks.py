"""The kind ``email``: a message that a job sends, alone, in a graph or by a schedule.

It goes in by the door that requests use, so templates, quotas, suppressions and relays hold for it
as for any other. The job has done its work when the message is durable: how it fares from there the
message says, which has a job of its own.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from backend.core.context import Scope
from backend.core.database import Database
from backend.core.errors import AppError, RateLimitedError, UnavailableError
from backend.kit.mime import MAX_HEADERS, CalendarMethod
from backend.managers.email._preparing import prepare
from backend.managers.email._values import Email, draft_of, refuse_odd
from backend.managers.email.manager import READ_CONTENT, SEND, EmailManager
from backend.managers.orchestrator import Batch, Claim, JobKind, Outcome
from backend.managers.tenant import StockReachedError

TASK: Final = "email"

Address = Annotated[str, Meta(max_length=1000)]
Addresses = Annotated[list[Address], Meta(max_length=1000)]
Replies = Annotated[list[Address], Meta(min_length=1, max_length=50)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class CalendarArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An invitation."""

    content: Annotated[str, Meta(max_length=500_000)]
    method: CalendarMethod = "REQUEST"


class AttachmentArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attached file; its bytes in base64."""

    filename: Annotated[str, Meta(min_length=1, max_length=255)]
    content: bytes
    content_type: Annotated[str, Meta(max_length=255)] = "application/octet-stream"
    content_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._@+=-]{1,200}$")] | None = None


class EmailArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A message, as ``POST /api/v1/emails`` takes it."""

    to: Addresses = []
    cc: Addresses = []
    bcc: Addresses = []
    subject: Annotated[str, Meta(max_length=998)] | None = None
    text: str | None = None
    html: str | None = None
    reply_to: Address | Replies | None = None
    from_: Address | None = None
    message_id: Annotated[str, Meta(max_length=998)] | None = None
    calendar: CalendarArgs | None = None
    send_at: Annotated[datetime, Meta(tz=True)] | None = None
    relay: Name | None = None
    headers: Annotated[dict[str, str], Meta(max_length=MAX_HEADERS)] = {}
    attachments: Annotated[list[AttachmentArgs], Meta(max_length=100)] = []
    template: Name | None = None
    variables: dict[str, Any] = {}
    business_key: (
        Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")] | None
    ) = None
    on_key_conflict: Literal["refuse", "return_first"] = "refuse"

    def __post_init__(self) -> None:
        """Refuse what says no content, or two, or is for nobody.

        Raises:
            ValueError: It is such a one.
        """
        refuse_odd(self)


class EmailTasks:
    """Sends what jobs say."""

    def __init__(self, emails: EmailManager, database: Database) -> None:
        self._emails = emails
        self._database = database

    def kind(self) -> JobKind:
        """The job kind to register."""
        return JobKind(
            TASK,
            self.run,
            announce=True,
            takes=EmailArgs,
            needs=lambda _: frozenset({SEND}),
            shown_to=READ_CONTENT,
        )

    async def run(self, batch: Batch) -> None:
        """Make the message of one claim durable."""
        (claim,) = batch.claims
        if not batch.begin(claim):
            return
        try:
            said = msgspec.convert(claim.args, EmailArgs)
        except msgspec.ValidationError as exc:
            # Of what another job answered: no other try would find anything else.
            batch.finish(claim, Outcome.fail(f"args: {exc}"))
            return
        try:
            email = await self._send(claim, said)
        except (RateLimitedError, UnavailableError, StockReachedError) as exc:
            asked = float((exc.headers or {}).get("Retry-After", 0))
            batch.finish(claim, Outcome.retry(_words(exc), asked_seconds=asked))
        except AppError as exc:
            batch.finish(claim, Outcome.fail(_words(exc)))
        else:
            batch.finish(claim, Outcome.done(_result(email)))

    async def _send(self, claim: Claim, said: EmailArgs) -> Email:
        draft = draft_of(said)
        if draft.business_key is None:
            # What a crash has done again finds what was done, even if a template is another by now.
            draft = replace(draft, business_key=f"job:{claim.id}", returns_first=True)
        scope = Scope(claim.actor, claim.tenant_id, traceparent=claim.traceparent)
        prepared = await prepare(self._emails, self._database, scope, [draft])
        async with self._database.transaction(scope) as tx:
            (email,) = await self._emails.queue_emails(tx, prepared)
            return email


def task_kind(emails: EmailManager, database: Database) -> JobKind:
    """The kind of jobs that tenants send by."""
    return EmailTasks(emails, database).kind()


def _result(email: Email) -> dict[str, Any]:
    return {
        "email_id": email.id,
        "message_id": email.message_id,
        "job_id": email.job_id,
        "state": email.state,
        "recipients": dict(Counter(one.state for one in email.recipients)),
        "deduplicated": email.deduplicated,
    }


def _words(exc: AppError) -> str:
    said = exc.detail or exc.title
    place = ".".join(map(str, exc.place))
    return f"{place}: {said}" if place else said
