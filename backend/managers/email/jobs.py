"""Delivery: the job that hands messages to a mail server and records what it said.

A batch of claims of one tenant is read in one transaction, sent over a few kept connections, and
reported message by message: the record of a message follows its acceptance within milliseconds,
so a crash repeats at most what was in flight.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from backend.core.database import Database
from backend.kit.mime import compose
from backend.kit.smtp import SmtpPool, SmtpRelay
from backend.managers.email import _states
from backend.managers.email._states import Answer, Effect
from backend.managers.email._values import Delivery
from backend.managers.email.errors import RelayNotAllowedError
from backend.managers.email.manager import JOB_KIND, EmailManager, scope_of
from backend.managers.orchestrator import Batch, Claim, JobKind, Outcome

logger = logging.getLogger(__name__)

_BATCH: Final = 32
# A machine that crashes all evening is likelier than a message that kills workers, and giving up
# means bouncing mail that the server may have had since the first crash.
_MAX_CRASHES: Final = 10
_MAX_REASON: Final = 500
_LARGE_BYTES: Final = 256 * 1024
_UNANSWERED: Final = "stopped before the server answered: it may hold the message"


class EmailDelivery:
    """The e-mail job kind and the connections it keeps."""

    def __init__(self, database: Database, emails: EmailManager) -> None:
        self._database = database
        self._emails = emails
        self._pools: dict[SmtpRelay, SmtpPool] = {}

    def kind(self) -> JobKind:
        """The job kind to register with the worker."""
        return JobKind(
            JOB_KIND,
            self.run,
            batch_size=_BATCH,
            apply=_states.record_attempts,
            on_dead=_states.bounce_open,
            on_cancel=_states.cancel_open,
            on_retry=_states.requeue,
            max_crashes=_MAX_CRASHES,
            aclose=self.aclose,
        )

    async def aclose(self) -> None:
        """Close all kept connections."""
        for pool in self._pools.values():
            await pool.aclose()

    async def run(self, batch: Batch) -> None:
        """Deliver a batch; each claim is reported the moment its message is settled."""
        by_email = {str(claim.args["email_id"]): claim for claim in batch.claims}
        tenant_id = batch.claims[0].tenant_id
        async with self._database.transaction(scope_of(tenant_id)) as tx:
            deliveries = await self._emails.begin_delivery(tx, list(by_email))
        for email_id in by_email.keys() - {delivery.email_id for delivery in deliveries}:
            # Settled before: a crash came between our record and the end of the job.
            batch.finish(by_email[email_id], Outcome.done({"already": "settled"}))
        if not deliveries:
            return
        pool = await self._pool(deliveries[0].relay)
        async with asyncio.TaskGroup() as group:
            for delivery in deliveries:
                claim = by_email[delivery.email_id]
                group.create_task(self._deliver(batch, claim, delivery, pool))

    async def _pool(self, relay: SmtpRelay) -> SmtpPool | None:
        """The kept connections to this server; None when tenants may not reach it."""
        if relay.tenant_id is not None:
            try:
                await self._emails.email_settings.check_relay(relay.tenant_id, relay.host)
            except RelayNotAllowedError:
                return None
        pool = self._pools.get(relay)
        if pool is None:
            pool = self._pools[relay] = SmtpPool(relay, self._emails.outbound)
        return pool

    async def _deliver(
        self, batch: Batch, claim: Claim, delivery: Delivery, pool: SmtpPool | None
    ) -> None:
        if batch.is_cancelled(claim):
            return
        if not delivery.pending:  # all of them are suppressed by now
            batch.finish(claim, _outcome([], delivery.bounced))
            return
        if pool is None:
            batch.finish(claim, Outcome.fail("the mail server is not allowed"))
            return
        write = partial(
            compose,
            delivery.content,
            message_id=delivery.message_id,
            from_mailbox=delivery.sender,
            to=delivery.to,
            cc=delivery.cc,
            date=delivery.created_at,
        )
        # Ten megabytes take a tenth of a second: a worker that is deaf for longer than its lease
        # looks dead to the others.
        large = sum(len(one.data) for one in delivery.content.attachments) > _LARGE_BYTES
        message = await asyncio.to_thread(write) if large else write()
        begun = False

        def begin() -> bool:
            nonlocal begun
            begun = batch.begin(claim)
            return begun

        try:
            found = await pool.send(
                delivery.sender.address,
                list(delivery.pending.values()),
                message,
                # Most of a batch waits for a connection. A worker that ends must not send all of
                # that first: it would be killed in the middle, and what is in the middle arrives
                # twice. And what was cancelled while it waited must not be sent at all.
                still_wanted=begin,
            )
        except asyncio.CancelledError:
            if begun and batch.is_cancelled(claim):
                # Out of time: the job ends cancelled, but the server may hold the message.
                answers = [
                    Answer(position, address, "deferred", None, _UNANSWERED)
                    for position, address in delivery.pending.items()
                ]
                batch.finish(claim, Outcome.retry(_UNANSWERED, effect=Effect(answers)))
            raise
        if not found:
            return
        said = {outcome.address: outcome for outcome in found}
        answers = [
            Answer(
                position,
                address,
                said[address].state,
                said[address].code,
                said[address].response,
                said[address].unknown,
            )
            for position, address in delivery.pending.items()
        ]
        batch.finish(claim, _outcome(answers, delivery.bounced))


def _outcome(answers: Sequence[Answer], bounced_before: Sequence[str]) -> Outcome:
    """Retry while anybody is deferred; then fail if anybody bounced, in this attempt or before.

    Only a job that failed can be retried, and that is how those who bounced get their mail at last.
    """
    effect = Effect(answers)
    said: dict[str, list[str]] = {"accepted": [], "deferred": [], "bounced": [*bounced_before]}
    for one in answers:
        said[one.state].append(f"{one.address}: {one.response}")
    if said["deferred"]:
        return Outcome.retry(said["deferred"][0], effect=effect)
    if said["bounced"]:
        return Outcome.fail(said["bounced"][0], effect=effect)
    return Outcome.done({state: len(group) for state, group in said.items()}, effect=effect)


def delivery_kind(emails: EmailManager, database: Database) -> JobKind:
    """The job kind of this room, for a process of its own connections."""
    return EmailDelivery(database, emails).kind()
