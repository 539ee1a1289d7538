"""Rules for sending e-mail and accounting for every recipient of it.

What SMTP can promise: a 2xx answer to DATA means the server has taken responsibility. Between that
answer and our record of it lies a window in which a crash makes us send the message again: at
least once, always under the same Message-ID, so that receivers and people can tell the copies.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Scope, Tx
from backend.core.errors import AppError, InvalidInputError, placed
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import Made, Side, counted_between, hidden, matches, newest, newest_of
from backend.kit.mime import (
    Content,
    Mailbox,
    check_content,
    check_message_id,
    make_message_id,
    parse_address,
    parse_addresses,
)
from backend.kit.outbound import Outbound
from backend.kit.smtp import Limits, SmtpRelay, limits_for, verify
from backend.kit.templating import (
    Purse,
    TemplateSource,
    TemplatesTooCostlyError,
    TemplateVariablesError,
    render,
)
from backend.kit.turns import LARGE_BYTES, Turns
from backend.managers.email import _states
from backend.managers.email._business_key import hold_to_first, refuse
from backend.managers.email._email_settings import EmailSettingsStore
from backend.managers.email._named_relays import NamedRelays
from backend.managers.email._recipients import dedupe
from backend.managers.email._relays import RelayRecords
from backend.managers.email._retention import MailRetention
from backend.managers.email._sealed import content_place, seal_subject, subject_of
from backend.managers.email._servers import MESSAGES_PER_SESSION, MailServers
from backend.managers.email._states import OPEN_STATES, QUEUED, SUPPRESSED
from backend.managers.email._suppressions import SuppressionList
from backend.managers.email._templates import TemplateStore
from backend.managers.email._trials import Trials
from backend.managers.email._values import (
    Delivery,
    Draft,
    Email,
    Event,
    Prepared,
    Recipient,
    Route,
    Sealed,
    TenantEmailSettings,
)
from backend.managers.email.errors import (
    ContentForgottenError,
    EmailNotFoundError,
    RelayUnknownError,
    SenderNotAllowedError,
    TemplateNotFoundError,
    TooManyRecipientsError,
)
from backend.managers.email.models import ContentRow, EmailRow, EventRow, RecipientRow
from backend.managers.email.settings import EmailSettings
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.security import Keyring, SecurityManager
from backend.managers.tenant import Quotas

JOB_KIND: Final = "email.send"
READ: Final = "email:read"
SEND: Final = "email:send"
"""The permission to send, whoever hands the message in."""
READ_CONTENT: Final = "email:read_content"
"""The permission to read what messages say, wherever a copy of it lies."""
# A conversation ends when a step of it does not come to its end, and by nothing else: a slow server
# that goes on answering is heard out. This only ends what no server can mean.
_ADDRESS: Final = re.compile(r"<?[^\s<>@]+@[^\s<>@]+>?")
_CONVERSATION_SECONDS: Final = 86_400.0
# Patience is in time and not in tries: only what breaks before a message is looked at counts them.
_MAX_ATTEMPTS: Final = 1_000_000
_MOST_AHEAD_SECONDS: Final = 366 * 86_400.0
# Up to so many addresses a plain message is prepared where it is: a thread costs more.
_FEW_ADDRESSES: Final = 10
_ROWS_AT_ONCE: Final = 32
# So few that planners follow the key in its order, and do not gather and sort what a tenant has.
_MEASURED_AT_ONCE: Final = 500


class EmailManager:
    """Messages; ``templates`` and ``email_settings`` are what a tenant sends them with.

    ``suppressions`` says to whom it does not, ``trials`` whether it can at all.
    """

    def __init__(
        self,
        security: SecurityManager,
        orchestrator: OrchestratorManager,
        settings: EmailSettings,
        outbound: Outbound,
        turns: Turns,
        *,
        quotas: Quotas | None = None,
    ) -> None:
        self._quotas = quotas
        self._security = security
        self._jobs = orchestrator
        self._settings = settings
        self._default_relay = _default_relay(settings)
        self.outbound = outbound
        self._turns = turns
        self.templates = TemplateStore(security, settings.max_templates_characters, turns)
        self.suppressions = SuppressionList(turns, partial(_alias, security))
        self.retention = MailRetention(settings)
        self.relays = RelayRecords()
        self.servers = MailServers(security, settings, outbound)
        self.email_settings = EmailSettingsStore(
            settings,
            self._default_relay,
            servers=self.servers,
            relays=self.relays,
            orchestrator=orchestrator,
        )
        self.named_relays = NamedRelays(self.servers, self.relays, orchestrator)
        self.trials = Trials(
            security, self.email_settings, self.suppressions, self.named_relays, outbound
        )

    @property
    def settings(self) -> EmailSettings:
        """The limits that hold for every tenant."""
        return self._settings

    async def check_default_relay(self) -> str:
        """Greet the platform's mail server; a line for people.

        Raises:
            AppError: It does not answer as a mail server does.
        """
        return f"greeting in {await verify(self._default_relay, self.outbound):.0f} ms"

    @property
    def default_relay(self) -> SmtpRelay:
        """The platform's own mail server."""
        return self._default_relay

    async def prepare_emails(
        self, tenant_id: str, drafts: Sequence[Draft], templates: Mapping[str, TemplateSource]
    ) -> list[Prepared]:
        """Do what a message costs before it is written: fill in, parse, check.

        Not in a transaction: a thousand hostile addresses or a large template take seconds. What a
        draft with a business key is refused for waits until :meth:`queue_emails` has seen whether
        the key is known.

        Raises:
            InvalidInputError: An address, header, attachment or template is not acceptable.
            TooManyRecipientsError: More than all messages of a request may have together.
            TemplateNotFoundError: No such template.
            QuotaReachedError: The tenant has none left for this day or month.
        """
        addresses = sum(len(one.to) + len(one.cc) + len(one.bcc) for one in drafts)
        if addresses > self._settings.max_batch_recipients:
            raise TooManyRecipientsError(
                f"{addresses} addresses, but one request may have "
                f"{self._settings.max_batch_recipients}.",
                limit=self._settings.max_batch_recipients,
            )
        if self._quotas is not None and any(one.business_key is None for one in drafts):
            # A known business key makes no message, and is answered whatever is used.
            self._quotas.refuse_full(tenant_id, "emails")
        if len(drafts) == 1 and addresses <= _FEW_ADDRESSES and _is_plain(drafts[0]):
            return [self._prepare(drafts[0], templates, None)]

        def prepare() -> list[Prepared]:
            purse = Purse()
            return [self._prepare(draft, templates, purse) for draft in drafts]

        return await self._turns.run(tenant_id, prepare)

    async def seal_large(
        self, tenant_id: str, prepared: Sequence[Prepared], keyring: Keyring
    ) -> list[Prepared]:
        """Seal what is large; not in a transaction, for whose end all others who write wait."""

        def seal() -> list[Prepared]:
            return [
                replace(one, sealed=_seal(one.content, keyring)) if one.is_large else one
                for one in prepared
            ]

        return await self._turns.run(tenant_id, seal)

    async def keyring(self, tx: Tx) -> Keyring:
        """What :meth:`seal_large` seals with."""
        return await self._security.keyring(tx)

    async def queue_emails(self, tx: Tx, prepared: Sequence[Prepared]) -> list[Email]:
        """Make each message durable and submit its job, all in the caller's transaction.

        A draft whose business key the tenant has used before is answered with the first message
        under that key, if it is for the same people and has the same subject or its author wants
        the first in any case. What else it says does not matter: the key names the act, not the
        bytes.

        Raises:
            BusinessKeyConflictError: A known key, other people or another subject.
            InvalidInputError, TemplateNotFoundError: What :meth:`prepare_emails` put off.
            SenderNotAllowedError: A draft is from an address that the settings do not name.
            RelayUnknownError: A draft names a relay that the tenant does not have.
            QuotaReachedError: The tenant has none left for this day or month.
            StockReachedError: It keeps as many bytes, or waiting jobs, as it may.
        """
        drafts = [one.draft for one in prepared]
        settings, suppresses = await tx.once(
            "email.settings", lambda: self.email_settings.get_for_sending(tx)
        )
        known = await self._find_by_keys(tx, [d.business_key for d in drafts if d.business_key])
        # Everything refusable is refused before the first row is written.
        refuse(prepared, known)
        ways = await self._ways(
            tx, [one for one in prepared if one.draft.business_key not in known], settings
        )
        held: Mapping[str, str] = {}
        if suppresses:
            held = await self.suppressions.find(
                tx, (box.address for one in prepared for _, box in one.recipients)
            )
        keyring = await self._security.keyring(tx)
        emails: list[Email] = []
        rows: list[dict[str, Any]] = []
        contents: list[dict[str, Any]] = []
        fresh: list[Email] = []
        for index, draft in enumerate(drafts):
            earlier = known.get(draft.business_key) if draft.business_key else None
            if earlier is not None:
                emails.append(earlier)
                continue
            email, row, content = self._row(
                tx, prepared[index], keyring, settings=ways[draft.relay], held=held
            )
            if draft.business_key is not None:
                if not await tx.insert_new(EmailRow, row, conflict=["tenant_id", "business_key"]):
                    # Somebody committed this key between our look and our insert.
                    email = (await self._find_by_keys(tx, [draft.business_key]))[draft.business_key]
                    hold_to_first(prepared[index], email)
                    emails.append(email)
                    continue
                known[draft.business_key] = _again(email)
            else:
                rows.append(row)
                if not len(rows) % _ROWS_AT_ONCE:
                    await asyncio.sleep(0)
            fresh.append(email)
            emails.append(email)
            contents.append(content)
        tx.append(EmailRow, rows)
        tx.append(ContentRow, contents)
        tx.append(RecipientRow, [row for e in fresh for row in _recipient_rows(tx, e)])
        await self._jobs.submit_many(
            tx,
            JOB_KIND,
            [
                {
                    "id": email.job_id,
                    # The relay as well, so that a worker need not read messages to learn that
                    # theirs is paused.
                    "args": {"email_id": email.id}
                    | ({} if email.relay is None else {"relay": email.relay}),
                    "subject": f"email:{email.id}",
                    "delay_seconds": _seconds_until(email.send_at, email.created_at),
                    "max_attempts": _MAX_ATTEMPTS,
                    "backoff_seconds": self._settings.backoff_seconds,
                    "timeout_seconds": _CONVERSATION_SECONDS,
                }
                for email in fresh
            ],
        )
        await self._charge(tx, contents)
        # One record a message, also of a batch: whoever asks the trail asks about one message. They
        # go in one insert, whatever their number.
        for email in fresh:
            tx.audit(
                "email.submitted",
                f"email:{email.id}",
                message_id=email.message_id,
                recipients=len(email.recipients),
                business_key=email.business_key,
            )
            tx.emit("email.queued", f"email:{email.id}", business_key=email.business_key)
            said = [r.response or "" for r in email.recipients if r.state == SUPPRESSED]
            if said:
                tx.append(EventRow, [_states.suppressed_event(tx, email.id, said)])
            if email.state == SUPPRESSED:
                counts = {SUPPRESSED: len(said)}
                tx.emit("email.suppressed", f"email:{email.id}", recipients=counts)
        return emails

    async def _ways(
        self, tx: Tx, prepared: Sequence[Prepared], settings: TenantEmailSettings
    ) -> dict[str | None, TenantEmailSettings]:
        """The settings by the relay that a message names; refuses what they do not allow."""
        ways: dict[str | None, TenantEmailSettings] = {None: settings}
        if names := {one.draft.relay for one in prepared if one.draft.relay is not None}:
            for name, address in (await self.named_relays.hold(tx, names)).items():
                ways[name] = settings if address is None else settings.sent_from(address)
        for one in prepared:
            with placed(*one.draft.place):
                if one.draft.relay not in ways:
                    raise RelayUnknownError(f"There is no relay {one.draft.relay!r}").at("relay")
                _refuse_by_settings(one, ways[one.draft.relay], tx.now())
        return ways

    async def send_for_platform(self, tx: Tx, to: str, subject: str, text: str) -> None:
        """Queue a message of the platform's own in a transaction of any errand.

        It commits with the rest of the transaction, and goes by the platform's mail server.

        Raises:
            InvalidInputError: The address is none that mail goes to.
        """
        prepared = self._prepare(Draft(to=[to], subject=subject, text=text), {}, None)
        async with tx.within(PLATFORM_TENANT) as part:
            await self.queue_emails(part, [prepared])

    async def _charge(self, tx: Tx, contents: Sequence[Mapping[str, Any]]) -> None:
        """Count these messages. Last of what is written: others of the tenant wait for the rows.

        Raises:
            QuotaReachedError: The tenant has none left for this day or month.
            StockReachedError: It keeps as many bytes as it may.
        """
        if self._quotas is None:
            return
        size = sum(len(content["sealed_content"]) for content in contents)
        await self._quotas.store(tx, "storage_bytes", size, partial(self.count_bytes, tx))
        await self._quotas.charge(tx, "emails", len(contents))

    def _prepare(
        self,
        draft: Draft,
        templates: Mapping[str, TemplateSource],
        purse: Purse | None,
    ) -> Prepared:
        recipients: Sequence[tuple[str, Mailbox]] = ()
        try:
            with placed(*draft.place):
                recipients = self._addressed(draft)
                content = self._content(draft, templates, purse)
                return Prepared(draft, content, recipients, sender=_sender(draft))
        except TemplatesTooCostlyError:
            # Of the request and not of this draft: no other one is worked on, whatever its key.
            raise
        except AppError as exc:
            if draft.business_key is None:
                raise
            return Prepared(draft, Content(subject=""), recipients, exc)

    def _addressed(self, draft: Draft) -> list[tuple[str, Mailbox]]:
        groups = []
        for kind, texts in (("to", draft.to), ("cc", draft.cc), ("bcc", draft.bcc)):
            with placed(kind):
                groups.append(parse_addresses(texts))
        recipients = dedupe(*groups, max_recipients=self._settings.max_recipients)
        return [
            (kind, mailbox)
            for kind, group in zip(("to", "cc", "bcc"), recipients, strict=True)
            for mailbox in group
        ]

    def _content(
        self,
        draft: Draft,
        templates: Mapping[str, TemplateSource],
        purse: Purse | None,
    ) -> Content:
        subject, text, html = draft.subject or "", draft.text, draft.html
        if draft.template is not None:
            template = templates.get(draft.template)
            if template is None:
                detail = f"There is no template {draft.template!r}"
                raise TemplateNotFoundError(detail).at("template")
            try:
                rendered = render(template, draft.variables, purse)
            except AppError as exc:
                exc.at("variables" if isinstance(exc, TemplateVariablesError) else "template")
                raise
            subject, text, html = rendered.subject, rendered.text, rendered.html
        content = Content(
            subject=subject,
            text=text,
            html=html,
            reply_to=draft.reply_to
            if draft.reply_to is None or isinstance(draft.reply_to, str)
            else list(draft.reply_to),
            calendar=draft.calendar,
            headers=dict(draft.headers),
            attachments=list(draft.attachments),
        )
        check_content(content, max_attachments_bytes=self._settings.max_attachments_bytes)
        return content

    def _row(
        self,
        tx: Tx,
        ready: Prepared,
        keyring: Keyring,
        *,
        settings: TenantEmailSettings,
        held: Mapping[str, str],
    ) -> tuple[Email, dict[str, Any], dict[str, Any]]:
        now = tx.now()
        before = ready.sealed
        if before is not None and not keyring.is_by_newest(before.content):
            before = None
        email_id, sealed, size_bytes = before or _seal(ready.content, keyring)
        sender = ready.sender or Mailbox(settings.from_name, settings.from_address)
        if not sender.display_name and sender.address == settings.from_address:
            sender = Mailbox(settings.from_name, sender.address)
        recipients = [_first_state(kind, box, held, now) for kind, box in ready.recipients]
        email = Email(
            id=email_id,
            message_id=ready.draft.message_id or make_message_id(email_id, sender.domain),
            job_id=uuid7(),
            state=QUEUED if any(r.state == QUEUED for r in recipients) else SUPPRESSED,
            subject=ready.content.subject,
            sender=str(sender),
            business_key=ready.draft.business_key,
            attempts=0,
            size_bytes=size_bytes,
            created_at=now,
            updated_at=now,
            accepted_at=None,
            send_at=ready.draft.send_at,
            created_by=tx.scope.actor,
            recipients=recipients,
            relay=ready.draft.relay,
        )
        row = {
            "id": email.id,
            "tenant_id": tx.tenant_id,
            "message_id": email.message_id,
            "state": email.state,
            "subject": "",
            "sealed_subject": seal_subject(keyring, email.id, email.subject),
            "sender": email.sender,
            "business_key": email.business_key,
            "size_bytes": email.size_bytes,
            "job_id": email.job_id,
            "attempts": 0,
            "created_by": email.created_by,
            "created_at": now,
            "updated_at": now,
            "accepted_at": None,
            "tries_from": max(now, email.send_at or now),
            "delayed_at": None,
            "send_at": email.send_at,
            "relay": email.relay,
        }
        return (
            email,
            row,
            {"tenant_id": tx.tenant_id, "email_id": email_id, "sealed_content": sealed},
        )

    async def count_bytes(self, tx: ReadTx) -> int:
        """How much the contents of the transaction's tenant take, sealed; 500 at a time.

        Lengths alone are read: what is stored beside the row stays there.
        """
        total: int = 0
        after = ""
        while True:
            query = sa.select(ContentRow.email_id, sa.func.length(ContentRow.sealed_content)).where(
                ContentRow.tenant_id == tx.tenant_id
            )
            if after:
                query = query.where(ContentRow.email_id > after)
            rows = (
                await tx.execute(query.order_by(ContentRow.email_id).limit(_MEASURED_AT_ONCE))
            ).all()
            total += sum(int(size) for _, size in rows)
            if len(rows) < _MEASURED_AT_ONCE:
                return total
            after = rows[-1][0]

    async def _find_by_keys(self, tx: ReadTx, keys: Iterable[str]) -> dict[str | None, Email]:
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            return {}
        rows = await tx.scalars(sa.select(EmailRow).where(EmailRow.business_key.in_(wanted)))
        emails = await self._with_recipients(tx, rows)
        return {email.business_key: _again(email) for email in emails}

    async def _with_recipients(self, tx: ReadTx, rows: Sequence[EmailRow]) -> list[Email]:
        if not rows:
            return []
        by_email = await self._recipients(tx, rows)
        keyring = None
        if any(row.sealed_subject is not None for row in rows):
            keyring = await self._security.keyring(tx)
        return [
            _email(row, subject_of(keyring, row), [_recipient(one) for one in by_email[row.id]])
            for row in rows
        ]

    async def _recipients(
        self, tx: ReadTx, rows: Sequence[EmailRow]
    ) -> dict[str, list[RecipientRow]]:
        """The recipients of each message in the order of its author."""
        by_email: dict[str, list[RecipientRow]] = {row.id: [] for row in rows}
        found = await tx.scalars(
            sa.select(RecipientRow)
            .where(RecipientRow.email_id.in_(list(by_email)))
            .order_by(RecipientRow.email_id, RecipientRow.position)
        )
        for one in found:
            by_email[one.email_id].append(one)
        return by_email

    async def get_email(self, tx: ReadTx, email_id: str) -> Email:
        """One message with its recipients.

        Raises:
            EmailNotFoundError: No such message in this tenant.
        """
        return (await self._with_recipients(tx, [await self._load(tx, email_id)]))[0]

    async def _load(self, tx: ReadTx, email_id: str) -> EmailRow:
        row: EmailRow | None = await tx.scalar(sa.select(EmailRow).where(EmailRow.id == email_id))
        if row is None:
            raise EmailNotFoundError
        return row

    async def list_events(self, tx: ReadTx, email: Email) -> list[Event]:
        """The message's way so far, oldest first; it begins with being queued."""
        rows = await tx.scalars(
            sa.select(EventRow).where(EventRow.email_id == email.id).order_by(EventRow.id)
        )
        first = Event(email.created_at, QUEUED, 0, f"{len(email.recipients)} recipient(s)")
        return [first, *(Event(row.at, row.event, row.attempt, row.detail) for row in rows)]

    async def list_emails(
        self,
        tx: ReadTx,
        *,
        limit: int,
        before_id: str | None = None,
        state: str | None = None,
        recipient: str | None = None,
        business_key: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> list[Email]:
        """Newest first, one more than ``limit``.

        ``recipient`` is an address, or with a trailing ``*`` how one begins; the letters' case
        does not matter. ``business_key`` is a whole one, which one message has at most.
        ``created_after`` is the first moment that counts, ``created_before`` the first that
        does not any more.

        Raises:
            InvalidAddressError: ``recipient`` is neither.
        """
        sides = []
        if state is not None:
            own = sa.and_(EmailRow.tenant_id == tx.tenant_id, EmailRow.state == state)
            check = hidden(EmailRow.state) == state
            sides.append(Side(EmailRow.id, own, check, EmailRow.state, in_order=True))
        if recipient is not None and recipient.strip() != "*":
            sides.append(_sent_to(tx, recipient.strip()))
        if business_key is not None:
            own = sa.and_(EmailRow.tenant_id == tx.tenant_id, EmailRow.business_key == business_key)
            check = hidden(EmailRow.business_key) == business_key
            sides.append(Side(EmailRow.id, own, check, EmailRow.business_key, in_order=True))
        made = None
        if created_after is not None or created_before is not None:
            made = Made(EmailRow.created_at, created_after, created_before)
        query = sa.select(EmailRow)
        rows = await tx.scalars(
            await newest_of(tx, query, EmailRow.id, sides, limit, before_id, made)
        )
        return await self._with_recipients(tx, rows)

    async def read_content(self, tx: Tx, email_id: str) -> Content:
        """Open a message's content; reading it is itself an audited act.

        Raises:
            EmailNotFoundError: No such message in this tenant.
            ContentForgottenError: Its content is no longer kept.
        """
        await self._load(tx, email_id)
        open_content = await self.find_content(tx, email_id)
        tx.audit("email.content_read", f"email:{email_id}")
        return open_content()

    async def audit_reading(self, tx: Tx, email_id: str, *, source: str) -> str:
        """Record that a message's content is read from ``source``; returns its Message-ID.

        For whoever keeps copies of what was sent: to read one is to read the content.

        Raises:
            EmailNotFoundError: No such message in this tenant.
        """
        row = await self._load(tx, email_id)
        tx.audit("email.content_read", f"email:{email_id}", source=source)
        return row.message_id

    async def count_emails(self, tx: ReadTx, since: datetime) -> dict[str, int]:
        """Messages by state: settled ones made since then, open ones whatever their age."""
        settled = hidden(EmailRow.state).label("settled")
        found = await tx.execute(
            # Each open state is a range of one index, (tenant, state, id), and a day one of
            # another, (tenant, created_at, state); an OR, or an IN, would read one of them to its
            # end. So would grouping by the bare column, which the first has in order.
            sa.union_all(
                *(
                    sa.select(sa.literal(state), sa.func.count(EmailRow.id)).where(
                        EmailRow.state == state
                    )
                    for state in OPEN_STATES
                ),
                sa.select(settled, sa.func.count())
                .where(settled.not_in(OPEN_STATES), EmailRow.created_at >= since)
                .group_by(settled),
            )
        )
        return {state: count for state, count in found.all() if count}

    async def count_spans(
        self, tx: ReadTx, bounds: Sequence[datetime]
    ) -> list[tuple[int, str, int]]:
        """How many messages were made from each bound to the next, as ``(place, state, count)``."""
        of = sa.select(EmailRow.state).where(EmailRow.tenant_id == tx.tenant_id)
        found = await tx.execute(counted_between(of, EmailRow.created_at, bounds))
        return [(int(place), state, int(count)) for place, state, count in found]

    async def list_failures(self, tx: ReadTx, limit: int) -> list[tuple[Email, str]]:
        """The last messages that bounced or wait after a deferral, with the server's words."""
        # The newest of each state: of all three together no index has an order.
        each = [
            newest(
                sa.select(EmailRow.id).where(
                    EmailRow.tenant_id == tx.tenant_id, EmailRow.state == state
                ),
                EmailRow.id,
                limit,
                None,
            ).subquery(state)
            for state in ("bounced", "deferred", "partial")
        ]
        found = sa.union_all(*(sa.select(one) for one in each))
        rows = await tx.scalars(
            sa.select(EmailRow)
            .where(EmailRow.id.in_(found))
            .order_by(EmailRow.id.desc())
            .limit(limit)
        )
        emails = await self._with_recipients(tx, rows)
        return [
            (
                email,
                next(
                    (
                        f"{r.address}: {r.response}"
                        for r in email.recipients
                        if r.state in {"bounced", "deferred", SUPPRESSED} and r.response
                    ),
                    "",
                ),
            )
            for email in emails
        ]

    async def read_waits(self, tx: ReadTx, since: datetime, limit: int = 1000) -> Sequence[float]:
        """Seconds from submission to acceptance, of the newest accepted messages made since then.

        One that was to be sent later is submitted when it is due.
        """
        rows = await tx.execute(
            sa.select(EmailRow.created_at, EmailRow.send_at, EmailRow.accepted_at)
            .where(
                EmailRow.tenant_id == tx.tenant_id,
                EmailRow.created_at >= since,
                EmailRow.state == "accepted",
                EmailRow.accepted_at.is_not(None),
            )
            .order_by(EmailRow.created_at.desc())
            .limit(limit)
        )
        return [
            max((accepted - max(made, due or made)).total_seconds(), 0.0)
            for made, due, accepted in rows
        ]

    async def count_reasons(
        self, tx: ReadTx, since: datetime, limit: int = 1000
    ) -> Mapping[str, int]:
        """Why messages made since then bounced, in whole or in part: what servers said, how often.

        Of the newest ``limit`` of them, each by the first of its recipients that was refused. What
        names one message alone (an address) is left out, or each would be a reason of its own.
        """
        failed = (
            sa.select(EmailRow.id)
            .where(
                EmailRow.tenant_id == tx.tenant_id,
                EmailRow.created_at >= since,
                EmailRow.state.in_(["bounced", "partial"]),
            )
            .order_by(EmailRow.created_at.desc())
            .limit(limit)
        )
        rows = await tx.execute(
            sa.select(RecipientRow.email_id, RecipientRow.response)
            .where(
                RecipientRow.tenant_id == tx.tenant_id,
                RecipientRow.email_id.in_(failed),
                RecipientRow.state == "bounced",
            )
            .order_by(RecipientRow.email_id, RecipientRow.position)
        )
        first: dict[str, str] = {}
        for email_id, said in rows:
            first.setdefault(email_id, _ADDRESS.sub("<address>", said or "") or "No reason given")
        return Counter(first.values())

    # --- delivery, used by the worker ---------------------------------------------------------

    async def open_routes(
        self, tx: ReadTx, names: Iterable[str | None] = (None,)
    ) -> Mapping[str | None, Route]:
        """Where messages that name these relays are handed over, and how patiently.

        None is where all others go. What does not exist any more has no route.
        """
        keyring = await self._security.keyring(tx)
        usual = await self.email_settings.open_relay(tx, keyring)
        routes: dict[str | None, Route] = {None: usual}
        if named := {name for name in names if name is not None}:
            routes.update(await self.named_relays.routes(tx, named, usual, keyring))
        return routes

    async def begin_delivery(
        self, tx: Tx, email_ids: Sequence[str], route: Route
    ) -> list[Delivery]:
        """Read what the attempts need and mark the messages as sending.

        Messages that are already settled (a crash came after the server's answer was recorded)
        are left out, so their jobs end without sending anything. Who was suppressed since the
        message was accepted, or since the last attempt, is so now and not pending any more.
        """
        found = await tx.execute(
            sa.select(EmailRow, ContentRow.sealed_content)
            # Large ones are waited for by everybody else who writes, and would be held while they
            # wait for a session.
            .outerjoin(
                ContentRow,
                sa.and_(ContentRow.email_id == EmailRow.id, EmailRow.size_bytes <= LARGE_BYTES),
            )
            .where(EmailRow.id.in_(email_ids), EmailRow.state.in_(OPEN_STATES))
        )
        sealed: dict[EmailRow, bytes | None] = dict(found.all())
        rows = list(sealed)
        if not rows:
            return []
        keyring = await self._security.keyring(tx)
        by_email = await self._recipients(tx, rows)
        pending = {
            row.id: {r.position: r.address for r in by_email[row.id] if r.state in OPEN_STATES}
            for row in rows
        }
        if route.suppresses:
            await self._suppress(tx, rows, pending)
        wanted = [row for row in rows if pending[row.id]]
        if wanted:
            await _states.begin_sending(tx, wanted, route.relay.label)
        return [
            Delivery(
                email_id=row.id,
                message_id=row.message_id,
                content=None if content is None else _open(keyring, row.id, content),
                sender=parse_address(row.sender) if row.sender else route.sender,
                to=[Mailbox(r.display_name, r.address) for r in by_email[row.id] if r.kind == "to"],
                cc=[Mailbox(r.display_name, r.address) for r in by_email[row.id] if r.kind == "cc"],
                created_at=row.created_at,
                pending=pending[row.id],
                bounced=[
                    f"{r.address}: {r.response}" for r in by_email[row.id] if r.state == "bounced"
                ],
                relay=route.relay,
                retry=route.retry,
                tries_from=row.tries_from if row.attempts else tx.now(),
                due_at=row.send_at or row.created_at,
                is_delayed=row.delayed_at is not None,
                begun_at=tx.now(),
            )
            for row, content in sealed.items()
        ]

    async def find_content(self, tx: ReadTx, email_id: str) -> Callable[[], Content]:
        """What opens a content that :meth:`begin_delivery` left out: work for another thread.

        Raises:
            ContentForgottenError: It is no longer kept.
        """
        sealed = (await _sealed(tx, [email_id])).get(email_id)
        if sealed is None:
            raise ContentForgottenError
        return partial(_open, await self._security.keyring(tx), email_id, sealed)

    async def _suppress(
        self, tx: Tx, rows: Sequence[EmailRow], pending: Mapping[str, dict[int, str]]
    ) -> None:
        """Take out of ``pending`` who is suppressed, and record that they are."""
        held = await self.suppressions.find(
            tx, (address for group in pending.values() for address in group.values())
        )
        if not held:
            return
        await _states.suppress(tx, rows, held)
        for row in rows:
            group = pending[row.id]
            gone = {at: address for at, address in group.items() if address.lower() in held}
            for at in gone:
                del group[at]
            if gone:
                said = [_states.words_of(held[address.lower()]) for address in gone.values()]
                event = _states.suppressed_event(tx, row.id, said, attempt=row.attempts)
                tx.append(EventRow, [event])


async def _sealed(tx: ReadTx, email_ids: Sequence[str]) -> dict[str, bytes]:
    """What these messages say, of those of which it is kept."""
    found = await tx.execute(
        sa.select(ContentRow.email_id, ContentRow.sealed_content).where(
            ContentRow.email_id.in_(email_ids)
        )
    )
    return dict(found.all())


def _seal(content: Content, keyring: Keyring) -> Sealed:
    email_id, written = uuid7(), content.to_bytes()
    return Sealed(email_id, keyring.seal(content_place(email_id), written), len(written))


def _open(keyring: Keyring, email_id: str, sealed: bytes) -> Content:
    return Content.from_bytes(keyring.open(content_place(email_id), sealed))


def _sent_to(tx: ReadTx, recipient: str) -> Side:
    """Messages to an address, or to those that begin like it."""
    wanted = recipient if recipient.endswith("*") else parse_address(recipient).identity
    found, exact = matches(tx, RecipientRow.address_key, wanted.lower())
    own = sa.and_(RecipientRow.tenant_id == tx.tenant_id, found)
    check = sa.exists().where(RecipientRow.email_id == EmailRow.id, own)
    return Side(RecipientRow.email_id, own, check, RecipientRow.address_key, exact)


def _sender(draft: Draft) -> Mailbox | None:
    """Who the message says it is from; its own id is looked at with it."""
    if draft.message_id is not None:
        with placed("message_id"):
            check_message_id(draft.message_id)
    if draft.sender is None:
        return None
    with placed("from"):
        return parse_address(draft.sender)


def _refuse_by_settings(one: Prepared, settings: TenantEmailSettings, now: datetime) -> None:
    if _seconds_until(one.draft.send_at, now) > _MOST_AHEAD_SECONDS:
        raise InvalidInputError("A message may be sent at most a year later.").at("send_at")
    if one.sender is not None and not settings.may_send_from(one.sender.address):
        raise SenderNotAllowedError(
            f"{one.sender.address} is neither the tenant's from address nor among its senders."
        ).at("from")


def _is_plain(draft: Draft) -> bool:
    said = len(draft.text or "") + len(draft.html or "")
    attached = sum(len(one.data) for one in draft.attachments)
    return draft.template is None and said + attached <= LARGE_BYTES


def _seconds_until(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max((moment - now).total_seconds(), 0.0)


def _default_relay(settings: EmailSettings) -> SmtpRelay:
    relay = SmtpRelay.from_url(
        settings.smtp_url.get_secret_value(),
        timeouts=settings.smtp_timeouts,
        limits=Limits(settings.connections, messages_per_session=MESSAGES_PER_SESSION),
    )
    return replace(
        relay,
        local_hostname=relay.local_hostname or settings.ehlo_name,
        limits=limits_for(relay.host, relay.limits),
    )


def scope_of(tenant_id: str) -> Scope:
    """The worker's own scope inside one tenant."""
    return Scope(actor="system:email", tenant_id=tenant_id)


def _recipient_rows(tx: Tx, email: Email) -> list[dict[str, Any]]:
    return [
        {
            "email_id": email.id,
            "tenant_id": tx.tenant_id,
            "position": position,
            "kind": one.kind,
            "address": one.address,
            "address_key": one.address.lower(),
            "display_name": one.display_name,
            "state": one.state,
            "response_code": None,
            "response": one.response,
            "updated_at": one.updated_at,
        }
        for position, one in enumerate(email.recipients)
    ]


def _first_state(kind: str, box: Mailbox, held: Mapping[str, str], now: datetime) -> Recipient:
    reason = held.get(box.identity)
    if reason is None:
        return Recipient(box.address, kind, QUEUED, None, None, now, box.display_name)
    words = _states.words_of(reason)
    return Recipient(box.address, kind, SUPPRESSED, None, words, now, box.display_name)


def _recipient(row: RecipientRow) -> Recipient:
    return Recipient(
        row.address,
        row.kind,
        row.state,
        row.response_code,
        row.response,
        row.updated_at,
        row.display_name,
    )


def _email(row: EmailRow, subject: str, recipients: Sequence[Recipient]) -> Email:
    return Email(
        id=row.id,
        message_id=row.message_id,
        job_id=row.job_id,
        state=row.state,
        subject=subject,
        sender=row.sender,
        business_key=row.business_key,
        attempts=row.attempts,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        updated_at=row.updated_at,
        accepted_at=row.accepted_at,
        send_at=row.send_at,
        created_by=row.created_by,
        recipients=recipients,
        relay=row.relay,
    )


def _again(email: Email) -> Email:
    return Email(
        **{name: getattr(email, name) for name in email.__slots__ if name != "first"}, first=False
    )


def _alias(security: SecurityManager, tenant_id: str, address: str) -> str:
    return security.subjects.name(tenant_id, f"email:{address.removeprefix('email:')}")
