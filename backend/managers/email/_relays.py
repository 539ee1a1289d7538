"""What is known of a tenant's relays, in the database: shared between workers, shown to people.

A worker learns in memory (``kit.smtp``). What it learned is written when it changes and read at
most every few seconds, so a pause that one worker met stops the others, and one that somebody ended
ends everywhere. Limits only ever follow a newer record, and the stricter of both: the rest they
settle with the relay itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from backend.core.clock import monotonic
from backend.core.database import ReadTx, Tx
from backend.kit.smtp import (
    ALL_SENDERS,
    Flow,
    Limits,
    Pause,
    PauseKind,
    SmtpRelay,
    provider_of,
)
from backend.managers.email._values import RelayPause, RelayState
from backend.managers.email.models import RelayRow

_READ_SECONDS: Final = 5.0
READ_BY_ALL_SECONDS: Final = _READ_SECONDS + 1
"""What is written now, every worker knows after so long."""
_ACCEPTED_SECONDS: Final = 60.0
_LIMITS: Final = (
    "connections",
    "rate_per_second",
    "messages_per_session",
    "recipients_per_transaction",
)


@dataclass(slots=True)
class _Known:
    """What this process last read or wrote for one tenant and relay.

    ``stored`` are the pauses, by sender: of which kind, and the how manieth in a row.
    """

    read_at: float = -_READ_SECONDS
    revision: int = 0
    limits_at: datetime | None = None
    stored: dict[str, tuple[str, int]] = field(default_factory=dict)
    # An acceptance that is to be recorded, and when one last was.
    accepted_at: float | None = None
    told_at: float = -_ACCEPTED_SECONDS


class RelayRecords:
    """The records of relays; one for each process."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        # Known for as long as the relay is in use.
        self._known: WeakKeyDictionary[Flow, dict[str, _Known]] = WeakKeyDictionary()

    def has_news(self, tenant_id: str, flow: Flow) -> bool:
        """Whether something was learned that this tenant's record does not say."""
        known = self._of(tenant_id, flow)
        return known.revision != flow.revision or known.accepted_at is not None

    def accepted(self, tenant_id: str, flow: Flow) -> None:
        """The relay took a message of this tenant; worth a record once a minute."""
        known, now = self._of(tenant_id, flow), self._clock()
        if now - known.told_at >= _ACCEPTED_SECONDS:
            known.accepted_at = now

    def unsettle(self, tenant_id: str, flow: Flow) -> None:
        """What was to be written is not."""
        self._of(tenant_id, flow).revision = -1

    async def refresh(self, tx: ReadTx, relay: SmtpRelay, flow: Flow) -> None:
        """Let the flow know what others wrote, at most every few seconds."""
        known = self._of(tx.tenant_id, flow)
        now = self._clock()
        if now - known.read_at < _READ_SECONDS:
            return
        known.read_at = now
        rows = await _rows(tx, relay.label)
        _drop_ended(flow, known, rows)
        known.stored = {row.sender: (row.kind, row.times) for row in rows if row.kind is not None}
        for row in rows:
            if row.kind is not None and row.until is not None:
                left = (row.until - tx.now()).total_seconds()
                kind = cast("PauseKind", row.kind)
                flow.adopt_pause(
                    Pause(row.sender, kind, row.code, row.reason or "", now + left, row.times)
                )
            if row.sender == ALL_SENDERS and row.updated_at != known.limits_at:
                known.limits_at = row.updated_at
                flow.adopt_limits(_learned(row))

    async def write(self, tx: Tx, relay: SmtpRelay, flow: Flow) -> None:
        """Record what the flow has learned, and tell of pauses that began or ended."""
        known = self._of(tx.tenant_id, flow)
        if known.accepted_at is not None:
            await self._write_acceptance(tx, relay.label, known)
        if known.revision == flow.revision:
            return
        known.revision = flow.revision
        before = {row.sender: row for row in await _rows(tx, relay.label)}
        # Somebody may have ended a pause since it was last read here: it is no news, and stays so.
        _drop_ended(flow, known, before.values())
        pauses = {pause.sender: pause for pause in flow.pauses}
        learned = flow.learned
        now, moment = tx.now(), self._clock()
        for sender in pauses.keys() | {s for s, row in before.items() if row.kind} | {ALL_SENDERS}:
            row, pause = before.get(sender), pauses.get(sender)
            was_paused = row is not None and row.kind is not None
            if pause is None and sender != ALL_SENDERS:
                await _delete(tx, relay.label, sender)
            else:
                since = row.since if row is not None and was_paused else now
                values = _values(pause, since, now + _span(pause, moment), now)
                if sender == ALL_SENDERS:
                    values |= {name: learned.get(name) for name in _LIMITS}
                await _upsert(tx, relay.label, sender, values)
            if pause is not None and not was_paused:
                tx.emit(
                    "relay.paused",
                    f"relay:{relay.label}",
                    sender=sender or None,
                    reason_kind=pause.kind,
                    code=pause.code,
                    reason=pause.reason,
                )
            elif pause is None and was_paused:
                tx.emit("relay.resumed", f"relay:{relay.label}", sender=sender or None)
        known.stored = {sender: (pause.kind, pause.times) for sender, pause in pauses.items()}
        known.limits_at = now
        known.read_at = moment

    async def resume(self, tx: Tx, relay: SmtpRelay, *, forgetting: bool = False) -> bool:
        """End all pauses of a relay: it is tried anew, by every worker. Returns if there was any.

        ``forgetting`` its limits too: somebody changed how it is used.
        """
        rows = await _rows(tx, relay.label)
        for row in rows:
            if row.kind is not None:
                tx.emit("relay.resumed", f"relay:{relay.label}", sender=row.sender or None)
            if row.sender != ALL_SENDERS:
                await _delete(tx, relay.label, row.sender)
                continue
            now = tx.now()
            limits = dict.fromkeys(_LIMITS) if forgetting else {}
            await _upsert(tx, relay.label, ALL_SENDERS, _values(None, None, now, now) | limits)
        return any(row.kind is not None for row in rows)

    async def forget(self, tx: Tx, relay: SmtpRelay) -> None:
        """Nothing is known of a relay that is not used any more."""
        for row in await _rows(tx, relay.label):
            await _delete(tx, relay.label, row.sender)

    async def show(self, tx: ReadTx, relays: Sequence[SmtpRelay]) -> list[RelayState]:
        """What people may see of them."""
        by_label: dict[str, list[RelayRow]] = {relay.label: [] for relay in relays}
        for row in await _rows(tx, *by_label):
            by_label[row.relay].append(row)
        return [_state(relay, by_label[relay.label]) for relay in relays]

    async def _write_acceptance(self, tx: Tx, label: str, known: _Known) -> None:
        # Its column alone: limits that another worker is just giving up must not come back.
        moment = self._clock()
        at = tx.now() - timedelta(seconds=moment - (known.accepted_at or moment))
        known.accepted_at, known.told_at = None, moment
        await _upsert(tx, label, ALL_SENDERS, {"accepted_at": at})

    def _of(self, tenant_id: str, flow: Flow) -> _Known:
        of_relay = self._known.get(flow)
        if of_relay is None:
            of_relay = self._known[flow] = {}
        known = of_relay.get(tenant_id)
        if known is None:
            known = of_relay[tenant_id] = _Known()
        return known


def _drop_ended(flow: Flow, known: _Known, rows: Iterable[RelayRow]) -> None:
    """Forget pauses that were recorded and are not any more, unless they were met anew since."""
    paused = {row.sender for row in rows if row.kind is not None}
    for pause in flow.pauses:
        kind, times = known.stored.get(pause.sender, ("", 0))
        if pause.sender not in paused and pause.kind == kind and pause.times <= times:
            flow.drop_pause(pause.sender)


async def _rows(tx: ReadTx, *labels: str) -> list[RelayRow]:
    return list(await tx.scalars(sa.select(RelayRow).where(RelayRow.relay.in_(labels))))


async def _upsert(tx: Tx, label: str, sender: str, values: dict[str, Any]) -> None:
    key = {"tenant_id": tx.tenant_id, "relay": label, "sender": sender}
    new = {"times": 0, "updated_at": tx.now(), "accepted_at": None} | dict.fromkeys(_LIMITS)
    pause = dict.fromkeys(("kind", "code", "reason", "since", "until"))
    await tx.upsert(
        RelayRow,
        key | pause | new | values,
        conflict=["tenant_id", "relay", "sender"],
        update=values,
    )


async def _delete(tx: Tx, label: str, sender: str) -> None:
    await tx.execute(
        sa.delete(RelayRow)
        .where(RelayRow.relay == label, RelayRow.sender == sender)
        .execution_options(synchronize_session=False)
    )


def _state(relay: SmtpRelay, rows: Sequence[RelayRow]) -> RelayState:
    pauses = [
        RelayPause(row.sender or None, row.kind, row.code, row.reason or "", row.since, row.until)
        for row in rows
        if row.kind is not None and row.since is not None and row.until is not None
    ]
    shared = next((row for row in rows if row.sender == ALL_SENDERS), None)
    learned = {} if shared is None else _learned(shared)
    usual = relay.limits
    taught = Limits(**({"connections": usual.connections} | learned))
    provider = provider_of(relay.host)
    return RelayState(
        name=relay.label,
        provider=None if provider is None else provider.name,
        state="paused" if pauses else "slowed" if learned else "ok",
        pauses=pauses,
        limits=taught.within(usual),
        usual=usual,
        accepted_at=None if shared is None else shared.accepted_at,
    )


def _learned(row: RelayRow) -> dict[str, Any]:
    given = {name: getattr(row, name) for name in _LIMITS}
    return {name: value for name, value in given.items() if value is not None}


def _span(pause: Pause | None, moment: float) -> timedelta:
    return timedelta(seconds=0.0 if pause is None else max(pause.until - moment, 0.0))


def _values(
    pause: Pause | None, since: datetime | None, until: datetime, now: datetime
) -> dict[str, Any]:
    if pause is None:
        told: dict[str, Any] = dict.fromkeys(("kind", "code", "reason", "since", "until"))
        return {**told, "times": 0, "updated_at": now}
    return {
        "kind": pause.kind,
        "code": pause.code,
        "reason": pause.reason,
        "since": since,
        "until": until,
        "times": pause.times,
        "updated_at": now,
    }
