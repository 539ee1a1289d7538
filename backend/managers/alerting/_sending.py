"""Sending: the job that brings a message to a channel, and what the record says of it.

A message is the same at every attempt, and has one key: a receiver that honours ``webhook-id``, or
``Idempotency-Key``, takes it once, and mail is a message of ours under that business key, which is
there once. What refuses a message for good fails at once; what cannot be reached is tried for some
hours, and then the channel that stands in is told.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec
import sqlalchemy as sa

from backend.core.clock import system_clock
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, Tx
from backend.core.errors import AppError, RateLimitedError, UnavailableError, UpstreamError
from backend.core.ids import uuid7
from backend.kit import signing
from backend.kit.mime import Attachment
from backend.kit.outbound import Outbound
from backend.managers.alerting._channels import Channel, Channels, Target
from backend.managers.alerting._messages import (
    Message,
    as_html,
    as_mail,
    as_slack,
    as_syslog,
    as_teams,
    as_webhook,
    content_id,
)
from backend.managers.alerting._notes import note
from backend.managers.alerting._picturing import Picture, Picturing
from backend.managers.alerting._schedules import Schedules
from backend.managers.alerting._telling import (
    FAILED,
    FIRED,
    QUEUED,
    SENT,
    TELL_JOB,
    bring_forward,
    plan,
    waits,
)
from backend.managers.alerting.errands import ACTOR
from backend.managers.alerting.errors import ChannelNotFoundError
from backend.managers.alerting.models import ChannelRow, MessageRow, NotificationRow
from backend.managers.email import Draft, EmailManager
from backend.managers.orchestrator import Batch, Claim, JobKind, Outcome
from backend.managers.security import SealedError
from backend.managers.tenant import MEMBERS, TenantManager

_SECONDS: Final = 20.0
_ANSWER_BYTES: Final = 65_536
_SEALED_SECONDS: Final = 60.0
# Of refusals those that may pass: too early, a limit, or something between.
_AGAIN: Final = frozenset({404, 408, 409, 423, 425, 429})
_SHAPES: Final = {"webhook": as_webhook, "n8n": as_webhook, "slack": as_slack, "teams": as_teams}
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500

logger = logging.getLogger(__name__)


class RefusedError(Exception):
    """Nobody will have the message, now or later."""


class Sending:
    """Brings messages to channels."""

    def __init__(
        self,
        channels: Channels,
        schedules: Schedules,
        tenants: TenantManager,
        mail: EmailManager,
        outbound: Outbound,
        *,
        picturing: Picturing,
        public_only: bool,
        console_url: str,
    ) -> None:
        self._console_url = console_url.rstrip("/")
        self._channels = channels
        self._schedules = schedules
        self._tenants = tenants
        self._mail = mail
        self._outbound = outbound
        self._picturing = picturing
        self._public_only = public_only

    def kind(self, database: Database) -> JobKind:
        """The job kind of this room."""

        async def run(batch: Batch) -> None:
            (claim,) = batch.claims
            batch.finish(claim, await self._attempt(database, claim))

        return JobKind(TELL_JOB, run, apply=_apply, on_dead=_give_up, on_cancel=_give_up_cancelled)

    async def test(self, database: Database, scope: Scope, channel_id: str) -> None:
        """Send a message that says it is a test.

        Raises:
            ChannelNotFoundError: No such one in this tenant.
            AppError: It cannot be reached, or refuses it.
        """
        async with database.read(scope) as view:
            found = await self._channels.open(view, channel_id)
        if found is None:
            raise ChannelNotFoundError
        said = {"name": "A test of this channel", "severity": "info", "labels": {}}
        message = Message(uuid7(), "fired", {}, [{**said, "summary": "Somebody is trying it out."}])
        try:
            await self._send(database, scope, *found, message)
        except RefusedError as exc:
            raise UpstreamError(str(exc)) from None

    async def _attempt(self, database: Database, claim: Claim) -> Outcome:
        scope = Scope(ACTOR, claim.tenant_id)
        message_id = str(claim.args["message_id"])
        try:
            async with database.read(scope) as view:
                row: MessageRow | None = await view.scalar(
                    sa.select(MessageRow).where(
                        MessageRow.tenant_id == claim.tenant_id, MessageRow.id == message_id
                    )
                )
                if row is None or row.sent_at is not None:
                    return Outcome.done({"already": "told"})
                found = await self._channels.open(view, row.channel_id)
        except SealedError:
            return Outcome.retry("the tenant's keys are sealed", _SEALED_SECONDS)
        if found is None:
            return Outcome.fail("The channel does not exist any more")
        message = Message(
            row.id,
            row.kind,
            row.content["group"],
            row.content["alerts"],
            await self.page(database, claim.tenant_id),
        )
        try:
            await self._send(database, scope, *found, message)
        except RefusedError as exc:
            return Outcome.fail(str(exc))
        except (RateLimitedError, UnavailableError, UpstreamError) as exc:
            # A receiver that asks for it, or one that is left alone just now.
            asked = exc.extra.get("retry_after_seconds", 0.0)
            return Outcome.retry(exc.detail or exc.title, asked_seconds=asked)
        except TimeoutError:
            return Outcome.retry("It did not answer in time")
        except AppError as exc:
            return Outcome.fail(exc.detail or exc.title)
        return Outcome.done({"channel": found[0].name, "kind": found[0].kind})

    async def _send(
        self, database: Database, scope: Scope, channel: Channel, target: Target, message: Message
    ) -> None:
        if channel.kind in {"email", "on_call"}:
            to = target.to
            if channel.schedule_id is not None:
                to = (await self._on_call(database, scope, channel.schedule_id),)
            if not to:
                raise RefusedError("It leads to nobody any more")
            pictures: Mapping[str, Picture] = {}
            if message.kind == FIRED:
                pictures = await self._picturing.of(database, scope, message.alerts)
            try:
                await self._mail_to(database, scope, to, message, pictures)
            except AppError as exc:
                if not pictures:
                    raise
                # Whoever refuses the pictures (their size, the tenant's quota) may take the words.
                logger.warning("alert_picture_left_out", extra={"cause": exc.code})
                await self._mail_to(database, scope, to, message, {})
            return
        if channel.kind == "syslog":
            await self._outbound.send_syslog(
                target.host,
                target.port,
                as_syslog(message, scope.tenant_id, system_clock()),
                tenant_id=scope.tenant_id,
                public_only=self._public_only,
                ca_certificate=target.ca_certificate,
            )
            return
        content = msgspec.json.encode(_SHAPES[channel.kind](message))
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id}
        if target.token:
            headers["Authorization"] = f"Bearer {target.token}"
        if target.secret:
            headers |= signing.signed(target.secret, message.id, system_clock(), content)
        answer = await self._outbound.request(
            "POST",
            target.url,
            tenant_id=scope.tenant_id,
            public_only=self._public_only,
            headers=headers,
            content=content,
            timeout_seconds=_SECONDS,
            max_bytes=_ANSWER_BYTES,
        )
        if answer.is_success:
            return
        if _CLIENT_ERROR <= answer.status < _SERVER_ERROR and answer.status not in _AGAIN:
            raise RefusedError(f"It answered {answer.status}")
        after = answer.retry_after(system_clock())
        raise UpstreamError(f"It answered {answer.status}", retry_after_seconds=after or 0.0)

    async def _mail_to(
        self,
        database: Database,
        scope: Scope,
        to: Sequence[str],
        message: Message,
        pictures: Mapping[str, Picture],
    ) -> None:
        words = {alert_id: one.words for alert_id, one in pictures.items()}
        subject, text = as_mail(message, words)
        draft = Draft(
            to=to,
            subject=subject,
            text=text,
            html=as_html(message, words) if words else None,
            attachments=[
                Attachment("graph.png", "image/png", one.data, content_id(alert_id))
                for alert_id, one in pictures.items()
            ],
            business_key=f"alert-message:{message.id}",
            returns_first=True,
        )
        prepared = await self._mail.prepare_emails(scope.tenant_id, [draft], {})
        async with database.transaction(scope) as tx:
            await self._mail.queue_emails(tx, prepared)

    async def page(self, database: Database, tenant_id: str) -> str:
        """The address of an alert's page, but for its id; empty where there is no console."""
        if not self._console_url:
            return ""
        async with database.read(SystemScope(MEMBERS, ACTOR, tenant_id=tenant_id)) as view:
            tenant = await self._tenants.get_tenant(view, tenant_id)
        return f"{self._console_url}/alerts?{urlencode({'tenant': tenant.slug})}&id="

    async def _on_call(self, database: Database, scope: Scope, schedule_id: str) -> str:
        """The address of who is on call at this moment."""
        async with database.read(scope) as view:
            person = await self._schedules.who(view, schedule_id, view.now())
            if person is None:
                raise RefusedError("Nobody is on call")
        return await self.address(database, scope, person)

    async def address(self, database: Database, scope: Scope, person: str) -> str:
        """The address of somebody who takes turns.

        Raises:
            RefusedError: They are no member of the tenant any more.
        """
        if not person.startswith("user:"):
            return person
        members = SystemScope(MEMBERS, ACTOR, tenant_id=scope.tenant_id)
        async with database.read(members) as view:
            member = await self._tenants.find_member(view, person.removeprefix("user:"))
        if member is None or not member.active:
            raise RefusedError("Who is on call is no member of the tenant any more")
        return str(member.email)


async def _apply(tx: Tx, ended: list[tuple[Claim, Outcome]]) -> None:
    for claim, outcome in ended:
        if outcome.resolution == "done":
            await _settle(tx, claim, SENT, None)
        elif outcome.resolution == "retrying":
            row = await _message(tx, claim)
            if row is not None:
                row.error = outcome.error
        else:
            await _settle(tx, claim, FAILED, outcome.error or "cancelled")


async def _give_up(tx: Tx, dead: list[tuple[Claim, str]]) -> None:
    for claim, error in dead:
        await _settle(tx, claim, FAILED, error)


async def _give_up_cancelled(tx: Tx, claims: list[Claim]) -> None:
    for claim in claims:
        await _settle(tx, claim, FAILED, "Somebody cancelled it")


async def _message(tx: Tx, claim: Claim) -> MessageRow | None:
    found: MessageRow | None = await tx.scalar(
        sa.select(MessageRow)
        .where(MessageRow.tenant_id == tx.tenant_id, MessageRow.id == str(claim.args["message_id"]))
        .with_for_update()
    )
    return found


async def _settle(tx: Tx, claim: Claim, state: str, error: str | None) -> None:
    """Write down what became of a message, with each of its alerts; and who is told instead."""
    row = await _message(tx, claim)
    if row is None or row.sent_at is not None:
        return
    row.error = error
    if state == SENT:
        row.sent_at = tx.now()
    rows: Sequence[NotificationRow] = await tx.scalars(
        sa.select(NotificationRow).where(
            NotificationRow.tenant_id == tx.tenant_id,
            NotificationRow.message_id == row.id,
            NotificationRow.state == QUEUED,
        )
    )
    channel: ChannelRow | None = await tx.scalar(
        sa.select(ChannelRow).where(
            ChannelRow.tenant_id == tx.tenant_id, ChannelRow.id == row.channel_id
        )
    )
    said_by = "a channel that is gone" if channel is None else channel.name
    for one in rows:
        one.state = state
        said = f"{said_by}: {error}" if error else said_by
        note(tx, one.alert_id, "told" if state == SENT else "not_told", text=said)
    if state != FAILED:
        return
    if channel is not None and channel.fallback_id is not None:
        by = channel.fallback_id
        await plan(
            tx,
            [
                waits(tx, one.alert_id, one.step, by, one.kind, one.group_key, one.group_labels)
                for one in rows
            ],
        )
    await tx.session.flush()
    for one in rows:
        if one.kind == FIRED:
            await bring_forward(tx, one.alert_id, one.step)
