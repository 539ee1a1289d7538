"""Delivery: the job that hands messages to a mail server and records what it said.

A batch of claims of one tenant is read in one transaction, sent over a few kept connections, and
reported message by message: the record of a message follows its acceptance within milliseconds,
so a crash repeats at most what was in flight.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import Database, Tx
from backend.managers.email._compose import compose
from backend.managers.email._sending import check_relay_host
from backend.managers.email._smtp import SmtpPool, SmtpRelay
from backend.managers.email._values import Delivery
from backend.managers.email.errors import RelayNotAllowedError
from backend.managers.email.manager import JOB_KIND, OPEN_STATES, EmailManager, scope_of
from backend.managers.email.models import EmailRow, EventRow, RecipientRow, event_row
from backend.managers.orchestrator import Batch, Claim, JobKind, Outcome

logger = logging.getLogger(__name__)

_BATCH: Final = 32
# A machine that crashes all evening is likelier than a message that kills workers, and giving up
# means bouncing mail that the server may have had since the first crash.
_MAX_CRASHES: Final = 10
_MAX_REASON: Final = 500
_LARGE_BYTES: Final = 256 * 1024
_TOLD: Final = frozenset({"accepted", "deferred", "bounced", "partial", "cancelled"})
_UNANSWERED: Final = "stopped before the server answered: it may hold the message"


@dataclass(frozen=True, slots=True)
class _Answer:
    position: int
    address: str
    state: str
    code: int | None
    response: str


@dataclass(frozen=True, slots=True)
class _Effect:
    """What one attempt found out, per recipient."""

    answers: Sequence[_Answer]


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
            apply=self.apply,
            on_dead=self.on_dead,
            on_cancel=on_cancel,
            on_retry=on_retry,
            max_crashes=_MAX_CRASHES,
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
        if relay != self._emails.default_relay:
            try:
                await check_relay_host(relay.host, self._emails.settings)
            except RelayNotAllowedError:
                return None
        pool = self._pools.get(relay)
        if pool is None:
            pool = self._pools[relay] = SmtpPool(relay, size=self._emails.settings.connections)
        return pool

    async def _deliver(
        self, batch: Batch, claim: Claim, delivery: Delivery, pool: SmtpPool | None
    ) -> None:
        if batch.is_cancelled(claim):
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
                    _Answer(position, address, "deferred", None, _UNANSWERED)
                    for position, address in delivery.pending.items()
                ]
                batch.finish(claim, Outcome.retry(_UNANSWERED, effect=_Effect(answers)))
            raise
        if not found:
            return
        said = {outcome.address: outcome for outcome in found}
        answers = [
            _Answer(
                position,
                address,
                said[address].state,
                said[address].code,
                said[address].response,
            )
            for position, address in delivery.pending.items()
        ]
        batch.finish(claim, _outcome(answers, delivery.bounced))

    async def apply(self, tx: Tx, accepted: list[tuple[Claim, Outcome]]) -> None:
        """Record what the attempts found out, in the transaction that ends their jobs."""
        known = [(c, o) for c, o in accepted if isinstance(o.effect, _Effect)]
        unknown = [(c, o) for c, o in accepted if o.effect is None and o.resolution != "done"]
        if known:
            await self._record(tx, known)
        for claim, outcome in unknown:
            # The attempt broke before the server could answer (a timeout, a bug, a bad relay).
            final = outcome.resolution == "dead"
            await _settle_open(tx, [claim], "bounced" if final else "deferred", outcome.error or "")

    async def _record(self, tx: Tx, known: Sequence[tuple[Claim, Outcome]]) -> None:
        now = tx.now()
        rows: list[dict[str, Any]] = []
        events: list[dict[str, Any]] = []
        for claim, outcome in known:
            email_id = str(claim.args["email_id"])
            final = outcome.resolution == "dead"
            for one in outcome.effect.answers:
                gave_up = final and one.state == "deferred"
                rows.append(
                    {
                        "email_id": email_id,
                        "position": one.position,
                        "state": "bounced" if gave_up else one.state,
                        "response_code": one.code,
                        "response": (
                            f"gave up after {claim.attempt} attempts: {one.response}"
                            if gave_up
                            else one.response
                        ),
                        "updated_at": now,
                    }
                )
            events.extend(_events(claim, outcome, email_id, now, final=final))
        await tx.execute(sa.update(RecipientRow), rows)
        await tx.insert(EventRow, events)
        await _recount(tx, [str(claim.args["email_id"]) for claim, _ in known], now)

    async def on_dead(self, tx: Tx, claims: list[tuple[Claim, str]]) -> None:
        """Jobs that killed their workers too often: their messages bounce with that reason."""
        for claim, error in claims:
            await _settle_open(tx, [claim], "bounced", error)


async def on_cancel(tx: Tx, claims: list[Claim]) -> None:
    """A cancelled job cancels what its message had not yet handed over.

    What was last said about a recipient stays: after an attempt without an answer it is the only
    hint that the mail may have arrived.
    """
    await _settle_open(tx, claims, "cancelled", "cancelled", keep_words=True)


async def on_retry(tx: Tx, claims: list[Claim]) -> None:
    """An operator's retry sends again to everybody who has not accepted."""
    ids = [str(claim.args["email_id"]) for claim in claims]
    now = tx.now()
    await tx.execute(
        sa.update(RecipientRow)
        .where(RecipientRow.email_id.in_(ids), RecipientRow.state != "accepted")
        .values(state="queued", response_code=None, response=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    await tx.execute(
        sa.update(EmailRow)
        .where(EmailRow.id.in_(ids))
        .values(state="queued", updated_at=now)
        .execution_options(synchronize_session=False)
    )


def _outcome(answers: Sequence[_Answer], bounced_before: Sequence[str]) -> Outcome:
    """Retry while anybody is deferred; then fail if anybody bounced, in this attempt or before.

    Only a job that failed can be retried, and that is how those who bounced get their mail at last.
    """
    effect = _Effect(answers)
    said: dict[str, list[str]] = {"accepted": [], "deferred": [], "bounced": [*bounced_before]}
    for one in answers:
        said[one.state].append(f"{one.address}: {one.response}")
    if said["deferred"]:
        return Outcome.retry(said["deferred"][0], effect=effect)
    if said["bounced"]:
        return Outcome.fail(said["bounced"][0], effect=effect)
    return Outcome.done({state: len(group) for state, group in said.items()}, effect=effect)


def _events(
    claim: Claim, outcome: Outcome, email_id: str, now: datetime, *, final: bool
) -> list[dict[str, Any]]:
    """One event for each state the attempt led to, with the first server answer behind it."""
    by_state: dict[str, list[_Answer]] = {}
    for one in outcome.effect.answers:
        state = "bounced" if final and one.state == "deferred" else one.state
        by_state.setdefault(state, []).append(one)
    return [
        event_row(
            claim.tenant_id,
            email_id,
            at=now,
            event=state,
            attempt=claim.attempt,
            detail=f"{len(group)} recipient(s): {group[0].response}",
        )
        for state, group in by_state.items()
    ]


async def _settle_open(
    tx: Tx, claims: Sequence[Claim], state: str, reason: str, *, keep_words: bool = False
) -> None:
    """Give every recipient without a final answer of the server this state and reason."""
    if not claims:
        return
    ids = [str(claim.args["email_id"]) for claim in claims]
    now = tx.now()
    said: Any = reason[:_MAX_REASON]
    if keep_words:
        said = sa.func.coalesce(RecipientRow.response, said)
    await tx.execute(
        sa.update(RecipientRow)
        .where(RecipientRow.email_id.in_(ids), RecipientRow.state.in_(OPEN_STATES))
        .values(state=state, response=said, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    await tx.insert(
        EventRow,
        [
            event_row(
                claim.tenant_id,
                str(claim.args["email_id"]),
                at=now,
                event=state,
                attempt=claim.attempt,
                detail=reason[:_MAX_REASON],
            )
            for claim in claims
        ],
    )
    await _recount(tx, ids, now)


async def _recount(tx: Tx, ids: Sequence[str], now: datetime) -> None:
    """Derive each message's state from its recipients': one rule, whatever led here."""
    found = await tx.execute(
        sa.select(
            RecipientRow.tenant_id, RecipientRow.email_id, RecipientRow.state, sa.func.count()
        )
        .where(RecipientRow.email_id.in_(ids))
        .group_by(RecipientRow.tenant_id, RecipientRow.email_id, RecipientRow.state)
    )
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for tenant_id, email_id, state, count in found.all():
        counts.setdefault((tenant_id, email_id), {})[state] = count
    by_state: dict[str, list[str]] = {}
    for (tenant_id, email_id), states in counts.items():
        state = state_of(states)
        by_state.setdefault(state, []).append(email_id)
        if state in _TOLD:
            tx.emit(f"email.{state}", f"email:{email_id}", tenant_id=tenant_id, recipients=states)
    for state, group in by_state.items():
        values: dict[str, Any] = {"state": state, "updated_at": now}
        if state in {"accepted", "partial"}:
            values["accepted_at"] = now
        await tx.execute(
            sa.update(EmailRow)
            .where(EmailRow.id.in_(group))
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def state_of(states: Mapping[str, int]) -> str:
    """A message's state from the number of its recipients in each state.

    What is still open wins (somebody will act on it); of what is settled, a mixture is ``partial``.
    """
    for state in ("sending", "queued", "deferred"):
        if states.get(state):
            return state
    settled = [state for state, count in states.items() if count]
    return settled[0] if len(settled) == 1 else "partial"
