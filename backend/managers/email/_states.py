"""The states of messages and recipients, and every way from one to the next.

A recipient begins ``queued`` and is ``sending`` while it is handed over. The server's answer makes
it ``accepted`` (2xx), ``deferred`` (4xx, or none: tried again) or ``bounced`` (5xx, or given up);
who is on the tenant's list of suppressions is ``suppressed`` instead, and not handed over. A
cancelled job makes what is open ``cancelled``; an operator's retry queues again whoever has not
accepted. A message has no state of its own: it is always derived from its recipients.

Each function here is one transition of many messages, in the transaction that begins or ends their
jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import Tx, UtcTime
from backend.core.ids import uuid7
from backend.managers.email._suppressions import suppress_bounced
from backend.managers.email.models import (
    ContentRow,
    EmailRow,
    EventRow,
    NamedRelayRow,
    RecipientRow,
)
from backend.managers.orchestrator import Claim, JobNotRetryableError, Outcome

QUEUED: Final = "queued"
DEFERRED: Final = "deferred"
SUPPRESSED: Final = "suppressed"
OPEN_STATES: Final = (QUEUED, "sending", DEFERRED)
_MAX_REASON: Final = 500
_TOLD: Final = frozenset({"accepted", "deferred", "bounced", "partial", "cancelled", SUPPRESSED})


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt found out about one recipient."""

    position: int
    address: str
    state: str
    code: int | None
    response: str
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """What one attempt found out, per recipient.

    ``starts_over``: the relay refused us, so the time that passed does not count against the
    message. ``delayed``: it has waited so long that somebody is to know.
    """

    answers: Sequence[Answer]
    starts_over: bool = False
    delayed: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """No attempt was made: its relay is paused or busy, for a reason."""

    reason: str
    code: int | None
    starts_over: bool


async def begin_sending(tx: Tx, emails: Sequence[EmailRow], where: str) -> None:
    """Open messages are about to be handed to the server at ``where``."""
    ids = [email.id for email in emails]
    now = tx.now()
    await tx.execute(
        sa.update(RecipientRow)
        .where(RecipientRow.email_id.in_(ids), RecipientRow.state.in_(OPEN_STATES))
        .values(state="sending", updated_at=now)
        .execution_options(synchronize_session=False)
    )
    await tx.execute(
        sa.update(EmailRow)
        .where(EmailRow.id.in_(ids))
        .values(
            state="sending",
            attempts=EmailRow.attempts + 1,
            updated_at=now,
            # A backlog, or a worker that was away, is no patience that its server has used up.
            tries_from=sa.case(
                (EmailRow.attempts == 0, sa.literal(now, UtcTime())), else_=EmailRow.tries_from
            ),
        )
        .execution_options(synchronize_session=False)
    )
    await tx.insert(
        EventRow,
        [
            _event_row(
                tx.tenant_id,
                email.id,
                at=now,
                event="sending",
                attempt=email.attempts + 1,
                detail=where,
            )
            for email in emails
        ],
    )


async def suppress(tx: Tx, emails: Sequence[EmailRow], held: Mapping[str, str]) -> None:
    """Of open messages, settle recipients whose address in lower case is ``held``, for a reason.

    Their messages' states are derived when their jobs end.
    """
    now = tx.now()
    ids = [email.id for email in emails]
    for reason in set(held.values()):
        of_reason = [address for address, why in held.items() if why == reason]
        await tx.execute(
            sa.update(RecipientRow)
            .where(
                RecipientRow.email_id.in_(ids),
                RecipientRow.state.in_(OPEN_STATES),
                sa.func.lower(RecipientRow.address).in_(of_reason),
            )
            .values(state=SUPPRESSED, response_code=None, response=words_of(reason), updated_at=now)
            .execution_options(synchronize_session=False)
        )


def words_of(reason: str) -> str:
    """What stands in place of a mail server's answer."""
    return f"not sent: on the list of suppressions ({reason})"


def suppressed_event(
    tx: Tx, email_id: str, responses: Sequence[str], *, attempt: int = 0
) -> dict[str, Any]:
    """The step of recipients that were suppressed, with what is said of each of them."""
    detail = f"{len(responses)} recipient(s): {responses[0]}"
    return _event_row(
        tx.tenant_id, email_id, at=tx.now(), event=SUPPRESSED, attempt=attempt, detail=detail
    )


async def record_attempts(tx: Tx, accepted: list[tuple[Claim, Outcome]]) -> None:
    """Record what the attempts found out, in the transaction that ends their jobs."""
    known = [(c, o) for c, o in accepted if isinstance(o.effect, Effect)]
    await _hold(tx, [(c, o.effect) for c, o in accepted if isinstance(o.effect, Held)])
    unknown = [(c, o) for c, o in accepted if o.effect is None and o.resolution != "done"]
    if known:
        await _record(tx, known)
    for claim, outcome in unknown:
        # The attempt broke before the server could answer (a timeout, a bug, a bad relay).
        final = outcome.resolution == "dead"
        await _settle_open(tx, [claim], "bounced" if final else "deferred", outcome.error or "")


async def bounce_open(tx: Tx, claims: list[tuple[Claim, str]]) -> None:
    """Jobs that killed their workers too often: their messages bounce with that reason."""
    for claim, error in claims:
        await _settle_open(tx, [claim], "bounced", error)


async def cancel_open(tx: Tx, claims: list[Claim]) -> None:
    """A cancelled job cancels what its message had not yet handed over.

    What was last said about a recipient stays: after an attempt without an answer it is the only
    hint that the mail may have arrived.
    """
    await _settle_open(tx, claims, "cancelled", "cancelled", keep_words=True)


async def requeue(tx: Tx, claims: list[Claim]) -> None:
    """An operator's retry sends again to everybody who has not accepted.

    Raises:
        JobNotRetryableError: What a message says is no longer kept, or its relay is not.
    """
    now = tx.now()
    await tx.execute(
        sa.update(RecipientRow)
        .where(*_recipients_of(claims), RecipientRow.state != "accepted")
        .values(state=QUEUED, response_code=None, response=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    await tx.execute(
        sa.update(EmailRow)
        .where(*_emails_of(claims))
        .values(state=QUEUED, updated_at=now, tries_from=now, delayed_at=None)
        .execution_options(synchronize_session=False)
    )
    # Last: the messages are locked now, so retention takes none of these contents any more.
    kept = await tx.scalar(
        sa.select(sa.func.count(ContentRow.email_id)).where(
            ContentRow.tenant_id.in_({claim.tenant_id for claim in claims}),
            ContentRow.email_id.in_([str(claim.args["email_id"]) for claim in claims]),
        )
    )
    if kept < len(claims):
        raise JobNotRetryableError("What the message said is no longer kept.")
    names = {name for claim in claims if (name := claim.args.get("relay")) is not None}
    if names:
        found = await tx.scalars(
            sa.select(NamedRelayRow.name)
            .where(
                NamedRelayRow.tenant_id.in_({claim.tenant_id for claim in claims}),
                NamedRelayRow.name.in_(names),
            )
            .with_for_update(read=True, key_share=True)
        )
        if gone := names.difference(found):
            raise JobNotRetryableError(f"There is no relay {min(gone)!r} any more.")


async def _hold(tx: Tx, held: Sequence[tuple[Claim, Held]]) -> None:
    """Say of messages why they wait; once, however often they are looked at meanwhile."""
    now = tx.now()
    groups: dict[Held, list[Claim]] = {}
    for claim, why in held:
        groups.setdefault(why, []).append(claim)
    for why, claims in groups.items():
        if why.starts_over:
            await _start_over(tx, claims, now)
        changed = await tx.execute(
            sa.update(RecipientRow)
            .where(
                *_recipients_of(claims),
                RecipientRow.state.in_(OPEN_STATES),
                sa.or_(RecipientRow.state != "deferred", RecipientRow.response != why.reason),
            )
            .values(state="deferred", response_code=why.code, response=why.reason, updated_at=now)
            .returning(RecipientRow.email_id)
            .execution_options(synchronize_session=False)
        )
        ids = {row.email_id for row in changed}
        told = [claim for claim in claims if str(claim.args["email_id"]) in ids]
        if not told:
            continue
        events = [
            _event_row(
                claim.tenant_id,
                str(claim.args["email_id"]),
                at=now,
                event="deferred",
                attempt=claim.attempt,
                detail=why.reason,
            )
            for claim in told
        ]
        await tx.insert(EventRow, events)
        await _recount(tx, told, now)


async def _start_over(tx: Tx, claims: Sequence[Claim], now: datetime) -> None:
    await tx.execute(
        sa.update(EmailRow)
        .where(*_emails_of(claims))
        .values(tries_from=now)
        .execution_options(synchronize_session=False)
    )


async def _tell_of_delay(tx: Tx, claims: Sequence[Claim], now: datetime) -> None:
    """Once a message: it waits longer than somebody would think."""
    ids = {str(claim.args["email_id"]): claim for claim in claims}
    await tx.execute(
        sa.update(EmailRow)
        .where(*_emails_of(claims))
        .values(delayed_at=now)
        .execution_options(synchronize_session=False)
    )
    for email_id, claim in ids.items():
        tx.emit("email.delayed", f"email:{email_id}", tenant_id=claim.tenant_id)
    await tx.insert(
        EventRow,
        [
            _event_row(
                claim.tenant_id,
                email_id,
                at=now,
                event="delayed",
                attempt=claim.attempt,
                detail="not delivered yet; it is tried again",
            )
            for email_id, claim in ids.items()
        ],
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


@cache
def _settle_one() -> Any:
    """One recipient's answer; run for many at once, so the tenant has to be in it."""
    return (
        sa.update(RecipientRow)
        .where(
            RecipientRow.tenant_id == sa.bindparam("of_tenant"),
            RecipientRow.email_id == sa.bindparam("of_email"),
            RecipientRow.position == sa.bindparam("at_position"),
        )
        .execution_options(dml_strategy="core_only", synchronize_session=False)
    )


async def _record(tx: Tx, known: Sequence[tuple[Claim, Outcome]]) -> None:
    now = tx.now()
    rows: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for claim, outcome in known:
        email_id = str(claim.args["email_id"])
        rows.extend(
            {
                "of_tenant": claim.tenant_id,
                "of_email": email_id,
                "at_position": one.position,
                "state": _final(one, outcome),
                "response_code": one.code,
                "response": one.response,
                "updated_at": now,
            }
            for one in outcome.effect.answers
        )
        events.extend(_attempt_events(claim, outcome, email_id, now))
    if rows:
        await tx.execute(_settle_one(), rows)
    await tx.insert(EventRow, events)
    over = [claim for claim, one in known if one.effect.starts_over]
    if over:
        await _start_over(tx, over, now)
    late = [claim for claim, one in known if one.effect.delayed and one.resolution == "retrying"]
    if late:
        await _tell_of_delay(tx, late, now)
    unknown = [
        (claim.tenant_id, one.address, one.response)
        for claim, outcome in known
        for one in outcome.effect.answers
        if one.unknown
    ]
    if unknown:
        await suppress_bounced(tx, unknown)
    await _recount(tx, [claim for claim, _ in known], now)


def _final(one: Answer, outcome: Outcome) -> str:
    """A job that is dead is not tried again, whatever ended it: nobody stays deferred."""
    gave_up = outcome.resolution == "dead" and one.state == "deferred"
    return "bounced" if gave_up else one.state


def _attempt_events(
    claim: Claim, outcome: Outcome, email_id: str, now: datetime
) -> list[dict[str, Any]]:
    """One event for each state the attempt led to, with the first server answer behind it."""
    by_state: dict[str, list[Answer]] = {}
    for one in outcome.effect.answers:
        by_state.setdefault(_final(one, outcome), []).append(one)
    return [
        _event_row(
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
    now = tx.now()
    said: Any = reason[:_MAX_REASON]
    if keep_words:
        said = sa.func.coalesce(RecipientRow.response, said)
    await tx.execute(
        sa.update(RecipientRow)
        .where(*_recipients_of(claims), RecipientRow.state.in_(OPEN_STATES))
        .values(state=state, response=said, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    await tx.insert(
        EventRow,
        [
            _event_row(
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
    await _recount(tx, claims, now)


def _recipients_of(claims: Sequence[Claim]) -> tuple[sa.ColumnElement[bool], ...]:
    """By tenant too: the key begins with it, and the claims are perhaps those of several."""
    return (
        RecipientRow.tenant_id.in_({claim.tenant_id for claim in claims}),
        RecipientRow.email_id.in_([str(claim.args["email_id"]) for claim in claims]),
    )


def _emails_of(claims: Sequence[Claim]) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        EmailRow.tenant_id.in_({claim.tenant_id for claim in claims}),
        EmailRow.id.in_([str(claim.args["email_id"]) for claim in claims]),
    )


async def _recount(tx: Tx, claims: Sequence[Claim], now: datetime) -> None:
    """Derive each message's state from its recipients': one rule, whatever led here."""
    found = await tx.execute(
        sa.select(
            RecipientRow.tenant_id, RecipientRow.email_id, RecipientRow.state, sa.func.count()
        )
        .where(*_recipients_of(claims))
        .group_by(RecipientRow.tenant_id, RecipientRow.email_id, RecipientRow.state)
    )
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for tenant_id, email_id, state, count in found.all():
        counts.setdefault((tenant_id, email_id), {})[state] = count
    by_state: dict[str, list[tuple[str, str]]] = {}
    for (tenant_id, email_id), states in counts.items():
        state = state_of(states)
        by_state.setdefault(state, []).append((tenant_id, email_id))
        if state in _TOLD:
            tx.emit(f"email.{state}", f"email:{email_id}", tenant_id=tenant_id, recipients=states)
    for state, group in by_state.items():
        values: dict[str, Any] = {"state": state, "updated_at": now}
        if state in {"accepted", "partial"}:
            values["accepted_at"] = now
        await tx.execute(
            sa.update(EmailRow)
            .where(
                EmailRow.tenant_id.in_({tenant_id for tenant_id, _ in group}),
                EmailRow.id.in_([email_id for _, email_id in group]),
            )
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def _event_row(
    tenant_id: str, email_id: str, *, at: datetime, event: str, attempt: int, detail: str
) -> dict[str, Any]:
    """One step, ready to be inserted."""
    return {
        "id": uuid7(),
        "tenant_id": tenant_id,
        "email_id": email_id,
        "at": at,
        "event": event,
        "attempt": attempt,
        "detail": detail,
    }
