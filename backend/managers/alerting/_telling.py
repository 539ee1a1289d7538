"""Who is to be told of what, and when: rows that wait, and messages that are made of them.

What became of alerts is heard of by their events, each in its order; so whoever raised one waits
for nobody here. A row says that one channel is told of one alert at one step, and by its key there
is one of them, however often an event is handed over and by however many processes. What waits is
dropped when somebody sees to the alert. A message is made of rows of a group that are due, and is
sent by a job that commits with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, ReadTx, Tx
from backend.core.events import Event
from backend.core.ids import uuid7, uuid7_at
from backend.core.loose_scan import read_least
from backend.managers.alerting._conditions import read_condition
from backend.managers.alerting._incidents import Incidents
from backend.managers.alerting._notes import forget, note
from backend.managers.alerting._policies import Policies
from backend.managers.alerting._rounds import Rounds
from backend.managers.alerting._routing import Keepers, Silence, Way, ways
from backend.managers.alerting._silences import Silences
from backend.managers.alerting._standing import NEVER
from backend.managers.alerting._tree import Routing, Routings, group_key
from backend.managers.alerting.errands import ACTOR, TELLING
from backend.managers.alerting.models import (
    AlertRow,
    AlertRuleRow,
    ChannelRow,
    MessageRow,
    NotificationRow,
)
from backend.managers.orchestrator import JobRequest, OrchestratorManager

CURSOR: Final = "alerting.telling"
TELL_SECONDS: Final = 2.0
TELL_JOB: Final = "alert.tell"
FIRED: Final = "fired"
RESOLVED: Final = "resolved"
WAITING: Final = "waiting"
QUEUED: Final = "queued"
SENT: Final = "sent"
FAILED: Final = "failed"
DROPPED: Final = "dropped"
_EVENTS: Final = frozenset({"alert.fired", "alert.acknowledged", "alert.resolved"})
_SHARE: Final = 500
_IN_ONE: Final = 100
_HELD: Final = timedelta(seconds=30)
_LATER: Final = timedelta(seconds=15)
_SILENCE: Final = "silence:"
_MINUTE: Final = timedelta(minutes=1)
_MOST_FIRING: Final = 10_000
_ATTEMPTS: Final = 12
_BACKOFF_SECONDS: Final = 5.0
_KEPT: Final = timedelta(days=90)
_SWEPT: Final = 500
_SHOWN: Final = 2000


@dataclass(frozen=True, slots=True)
class Told:
    """How many messages were made, of how many notifications."""

    messages: int = 0
    notifications: int = 0

    def __add__(self, other: "Told") -> "Told":
        return Told(self.messages + other.messages, self.notifications + other.notifications)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """That a channel is told of an alert, or was.

    Attributes:
        channel: Its name; None: it is gone.
        due_at: When it goes, while it waits.
        held_by: What keeps it: ``snoozed``, ``silence:<id>``, ``alert:<id>``, ``rate limit``.
    """

    id: str
    step: int
    channel_id: str
    channel: str | None
    kind: str
    state: str
    due_at: datetime | None
    held_by: str | None
    sent_at: datetime | None
    error: str | None


class Telling:
    """Makes what waits of what happened, and messages of what is due."""

    def __init__(
        self,
        jobs: OrchestratorManager,
        silences: Silences,
        policies: Policies,
        routings: Routings,
        incidents: Incidents,
    ) -> None:
        self._jobs = jobs
        self._silences = silences
        self._policies = policies
        self._routings = routings
        self._incidents = incidents
        self._rounds = Rounds(TELLING, NotificationRow.due_at)

    # --- what is to be told ----------------------------------------------------------------------

    async def take(self, database: Database, tenant_id: str, events: Sequence[Event]) -> None:
        """Have people told of what events tell, or no longer; twice changes nothing."""
        subjects = {
            event.subject.removeprefix("alert:") for event in events if event.kind in _EVENTS
        }
        if not subjects:
            return
        async with database.transaction(Scope(ACTOR, tenant_id)) as tx:
            rows = await tx.scalars(
                sa.select(AlertRow)
                .where(AlertRow.tenant_id == tenant_id, AlertRow.id.in_(sorted(subjects)))
                .order_by(AlertRow.id)
            )
            over = [row for row in rows if row.ended_at is not None]
            seen_to = [row for row in rows if row.ended_at is None and row.acknowledged_at]
            fired = [row for row in rows if row.fired_at is not None]
            routing = await self._routings.get(tx)
            await self._begin(tx, routing, fired)
            await self._incidents.gather(tx, routing.incidents, fired)
            await self._incidents.settle(tx, [row.id for row in over])
            await _drop(tx, [row.id for row in (*over, *seen_to)])
            await _tell_the_end(tx, over)

    async def _begin(self, tx: Tx, routing: Routing, alerts: Sequence[AlertRow]) -> None:
        """Plan every step of alerts that fired; whose rows are not wanted are dropped next."""
        if not (alerts and routing.tree):
            return
        tree, policies = routing.route(), await self._policies.all(tx)
        turns: list[tuple[timedelta, dict[str, Any], Way, AlertRow]] = []
        for alert in alerts:
            for way in ways(tree, alert.labels):
                policy = policies.get(way.policy or "")
                if policy is None:
                    continue
                key, group = group_key(way, alert.labels)
                turns += [
                    (after, waits(tx, alert.id, number, channel_id, FIRED, key, group), way, alert)
                    for number, after, channels in policy.turns()
                    for channel_id in channels
                ]
        starts = await _starts(
            tx, {(row["channel_id"], row["group_key"]): way for _, row, way, _ in turns}
        )
        planned = []
        for after, row, _, alert in turns:
            begin = starts[row["channel_id"], row["group_key"]]
            planned.append(row | {"due_at": max(begin, (alert.fired_at or begin) + after)})
        await plan(tx, planned)

    # --- messages --------------------------------------------------------------------------------

    async def run(self, database: Database) -> Told:
        """Make messages of some of what is due, of up to twenty tenants."""

        async def one(scope: Scope) -> Told:
            async with database.transaction(scope) as tx:
                return await self._make(tx)

        return sum(await self._rounds.run(database, one), Told())

    async def _make(self, tx: Tx) -> Told:
        rows: Sequence[NotificationRow] = await tx.scalars(
            sa.select(NotificationRow)
            .where(NotificationRow.tenant_id == tx.tenant_id, NotificationRow.due_at <= tx.now())
            # Those of a group side by side: what is due together goes in as few messages as it can.
            .order_by(NotificationRow.due_at, NotificationRow.channel_id, NotificationRow.group_key)
            .limit(_SHARE)
            .with_for_update(skip_locked=True)
        )
        if not rows:
            return Told()
        alerts = {
            one.id: one
            for one in await tx.scalars(
                sa.select(AlertRow).where(
                    AlertRow.tenant_id == tx.tenant_id,
                    AlertRow.id.in_(sorted({row.alert_id for row in rows})),
                )
            )
        }
        groups = await self._groups(tx, rows, alerts)
        room = await _room(tx, {channel_id for channel_id, _, _ in groups})
        messages: list[dict[str, Any]] = []
        told = 0
        for group, members in groups.items():
            for at in range(0, len(members), _IN_ONE):
                part = members[at : at + _IN_ONE]
                if room.get(group[0], 0) < 1:
                    _put_off(part, tx.now() + _LATER, "rate limit")
                    continue
                room[group[0]] -= 1
                messages.append(_message(tx, group, part, alerts))
                told += len(part)
        await self._queue(tx, messages)
        return Told(len(messages), told)

    async def _groups(
        self, tx: Tx, rows: Sequence[NotificationRow], alerts: Mapping[str, AlertRow]
    ) -> Mapping[tuple[str, str, str], list[NotificationRow]]:
        """What may go now, by the messages that it goes in; what may not waits or is dropped."""
        silences = await self._silences.active(tx)
        keepers = (await self._routings.get(tx)).keepers()
        keeping = Keepers(keepers, await _firing(tx) if keepers else ())
        groups: dict[tuple[str, str, str], list[NotificationRow]] = {}
        for row in rows:
            alert = alerts.get(row.alert_id)
            # Its event may be on its way yet: somebody sees to it all the same.
            if alert is None or (row.kind == FIRED and (alert.ended_at or alert.acknowledged_at)):
                _end(row, DROPPED)
                continue
            held = row.kind == FIRED and _holder(alert, silences, keeping, tx.now())
            if held:
                if held.startswith(_SILENCE) and alert.silenced_at is None:
                    alert.silenced_at = tx.now()
                    note(tx, alert.id, "silenced", text=held.removeprefix(_SILENCE))
                _put_off([row], tx.now() + _HELD, held)
            else:
                groups.setdefault((row.channel_id, row.group_key, row.kind), []).append(row)
        return groups

    async def _queue(self, tx: Tx, messages: Sequence[Mapping[str, Any]]) -> None:
        await tx.insert(MessageRow, messages)
        jobs: list[JobRequest] = [
            {
                "args": {"message_id": one["id"]},
                "subject": f"alert_message:{one['id']}",
                "priority": 50,
                "max_attempts": _ATTEMPTS,
                "backoff_seconds": _BACKOFF_SECONDS,
                "timeout_seconds": 60.0,
            }
            for one in messages
        ]
        await self._jobs.submit_many(tx, TELL_JOB, jobs)

    async def of_alert(self, tx: ReadTx, alert_id: str) -> Sequence[Notification]:
        """Who is told of an alert and who was, in order, up to two thousand."""
        rows = await tx.execute(
            sa.select(NotificationRow, ChannelRow.name, MessageRow.sent_at, MessageRow.error)
            .outerjoin(
                ChannelRow,
                sa.and_(
                    ChannelRow.tenant_id == NotificationRow.tenant_id,
                    ChannelRow.id == NotificationRow.channel_id,
                ),
            )
            .outerjoin(
                MessageRow,
                sa.and_(
                    MessageRow.tenant_id == NotificationRow.tenant_id,
                    MessageRow.id == NotificationRow.message_id,
                ),
            )
            .where(NotificationRow.tenant_id == tx.tenant_id, NotificationRow.alert_id == alert_id)
            .order_by(NotificationRow.kind, NotificationRow.step, NotificationRow.id)
            .limit(_SHOWN)
        )
        return [
            Notification(
                id=row.id,
                step=row.step,
                channel_id=row.channel_id,
                channel=name,
                kind=row.kind,
                state=row.state,
                due_at=row.due_at if row.due_at < NEVER else None,
                held_by=row.held_by,
                sent_at=sent_at,
                error=error,
            )
            for row, name, sent_at, error in rows
        ]

    async def sweep(self, tx: Tx) -> int:
        """Forget messages of long ago and who was told by them; returns how many rows."""
        gone = 0
        before = tx.now() - _KEPT
        for tenant_id, oldest in await read_least(tx, MessageRow, MessageRow.id):
            ids = await tx.scalars(
                sa.select(MessageRow.id)
                .where(MessageRow.tenant_id == tenant_id, MessageRow.id >= oldest)
                .where(MessageRow.id < uuid7_at(before))
                .order_by(MessageRow.id)
                .limit(_SWEPT)
            )
            if not ids:
                continue
            await forget(tx, tenant_id, ids, (NotificationRow.message_id, MessageRow.id))
            gone += len(ids)
        return gone


def waits(  # noqa: PLR0917 - a row's columns, in their order
    tx: Tx,
    alert_id: str,
    step: int,
    channel_id: str,
    kind: str,
    group_key: str,
    group_labels: Mapping[str, Any],
) -> dict[str, Any]:
    """That a channel is to be told of an alert, now."""
    return {
        "tenant_id": tx.tenant_id,
        "id": uuid7(),
        "alert_id": alert_id,
        "step": step,
        "channel_id": channel_id,
        "kind": kind,
        "group_key": group_key,
        "group_labels": group_labels,
        "due_at": tx.now(),
        "state": WAITING,
        "held_by": None,
        "message_id": None,
    }


async def plan(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep what waits; what is planned already stays as it is."""
    await tx.insert_missing(
        NotificationRow,
        rows,
        conflict=["tenant_id", "alert_id", "step", "channel_id", "kind"],
    )


async def _starts(
    tx: Tx, groups: Mapping[tuple[str, str], Way]
) -> Mapping[tuple[str, str], datetime]:
    """When groups of channels are told of another alert: with those that wait, or after a while."""
    if not groups:
        return {}
    channels = sorted({channel_id for channel_id, _ in groups})
    keys = sorted({key for _, key in groups})
    waiting = await tx.execute(
        sa.select(
            NotificationRow.channel_id,
            NotificationRow.group_key,
            sa.func.min(NotificationRow.due_at).label("at"),
        )
        .where(
            NotificationRow.tenant_id == tx.tenant_id,
            NotificationRow.channel_id.in_(channels),
            NotificationRow.group_key.in_(keys),
            NotificationRow.due_at < NEVER,
        )
        .where(NotificationRow.step == 0, NotificationRow.kind == FIRED)
        # What a silence holds is due when it is looked at again: nobody else waits for that.
        .where(NotificationRow.held_by.is_(None))
        .group_by(NotificationRow.channel_id, NotificationRow.group_key)
    )
    starts = {(row.channel_id, row.group_key): row.at for row in waiting}
    # An older one keeps nobody waiting.
    since = tx.now() - max(way.group_interval for way in groups.values())
    made = await tx.execute(
        sa.select(
            MessageRow.channel_id,
            MessageRow.group_key,
            sa.func.max(MessageRow.made_at).label("at"),
        )
        .where(
            MessageRow.tenant_id == tx.tenant_id,
            MessageRow.channel_id.in_(channels),
            MessageRow.group_key.in_(keys),
            MessageRow.made_at > since,
        )
        .group_by(MessageRow.channel_id, MessageRow.group_key)
    )
    last = {(row.channel_id, row.group_key): row.at for row in made}
    for group, way in groups.items():
        if group not in starts:
            soonest = tx.now() + way.group_wait
            before = last.get(group)
            starts[group] = soonest if before is None else max(soonest, before + way.group_interval)
    return starts


async def _drop(tx: Tx, alert_ids: Sequence[str]) -> None:
    """Have nobody else told that these fire: somebody sees to them, or they are over."""
    if alert_ids:
        await tx.execute(
            sa.update(NotificationRow)
            .where(
                NotificationRow.tenant_id == tx.tenant_id,
                NotificationRow.alert_id.in_(alert_ids),
                NotificationRow.kind == FIRED,
                NotificationRow.state == WAITING,
            )
            .values(state=DROPPED, due_at=NEVER)
            .execution_options(synchronize_session=False)
        )


async def bring_forward(tx: Tx, alert_id: str, step: int) -> None:
    """Have who comes next told now, and all after that sooner: by this step nobody was."""
    of_alert = (
        NotificationRow.tenant_id == tx.tenant_id,
        NotificationRow.alert_id == alert_id,
        NotificationRow.kind == FIRED,
    )
    reached = await tx.scalar(
        sa.select(NotificationRow.id)
        .where(*of_alert, NotificationRow.step == step, NotificationRow.state != FAILED)
        .limit(1)
    )
    if reached is not None:
        return
    rows: Sequence[NotificationRow] = await tx.scalars(
        sa.select(NotificationRow)
        .where(*of_alert, NotificationRow.step > step, NotificationRow.state == WAITING)
        .with_for_update()
    )
    sooner = min((row.due_at for row in rows), default=tx.now()) - tx.now()
    if sooner > timedelta(0):
        for row in rows:
            row.due_at -= sooner


async def _tell_the_end(tx: Tx, alerts: Sequence[AlertRow]) -> None:
    """Have whoever was told that these fire, and wants to know, told that they are over."""
    if not alerts:
        return
    rules = await tx.execute(
        sa.select(AlertRuleRow.id, AlertRuleRow.condition).where(
            AlertRuleRow.tenant_id == tx.tenant_id,
            AlertRuleRow.id.in_(sorted({one.rule_id for one in alerts if one.rule_id})),
        )
    )
    # A report was true when it was told: that its half hour is over is no news.
    reports = {row.id for row in rules if not read_condition(row.condition).tells_end}
    told = await tx.execute(
        sa.select(
            NotificationRow.alert_id,
            NotificationRow.channel_id,
            NotificationRow.group_key,
            NotificationRow.group_labels,
        )
        .join(
            ChannelRow,
            sa.and_(
                ChannelRow.tenant_id == NotificationRow.tenant_id,
                ChannelRow.id == NotificationRow.channel_id,
            ),
        )
        .where(
            NotificationRow.tenant_id == tx.tenant_id,
            NotificationRow.alert_id.in_([one.id for one in alerts if one.rule_id not in reports]),
            NotificationRow.kind == FIRED,
            NotificationRow.state.in_([QUEUED, SENT]),
            ChannelRow.send_resolved.is_(sa.true()),
        )
    )
    wanted = {(row.alert_id, row.channel_id): row for row in told}
    await plan(
        tx,
        [
            waits(tx, row.alert_id, 0, row.channel_id, RESOLVED, row.group_key, row.group_labels)
            for row in wanted.values()
        ],
    )


async def _firing(tx: ReadTx) -> Sequence[tuple[str, Mapping[str, str]]]:
    rows = await tx.execute(
        sa.select(AlertRow.id, AlertRow.labels)
        .where(
            AlertRow.tenant_id == tx.tenant_id,
            AlertRow.ended_at.is_(None),
            AlertRow.fired_at.is_not(None),
        )
        .order_by(AlertRow.id)
        .limit(_MOST_FIRING)
    )
    return [(row.id, row.labels) for row in rows]


async def _room(tx: Tx, channel_ids: Iterable[str]) -> dict[str, int]:
    """How many messages each channel still takes in this minute; of one that is gone as many."""
    wanted = sorted(channel_ids)
    allowed = {
        row.id: row.per_minute
        # Locked: of two processes that make messages the second counts those of the first.
        for row in await tx.execute(
            sa.select(ChannelRow.id, ChannelRow.per_minute)
            .where(ChannelRow.tenant_id == tx.tenant_id, ChannelRow.id.in_(wanted))
            .order_by(ChannelRow.id)
            .with_for_update()
        )
    }
    made = await tx.execute(
        sa.select(MessageRow.channel_id, sa.func.count().label("made"))
        .where(
            MessageRow.tenant_id == tx.tenant_id,
            MessageRow.channel_id.in_(wanted),
            MessageRow.made_at > tx.now() - _MINUTE,
        )
        .group_by(MessageRow.channel_id)
    )
    used = {row.channel_id: row.made for row in made}
    return {one: allowed.get(one, _IN_ONE) - used.get(one, 0) for one in wanted}


def _holder(
    alert: AlertRow,
    silences: Sequence[Silence],
    keeping: Keepers,
    now: datetime,
) -> str | None:
    """What keeps people from being told of an alert now."""
    if alert.snoozed_until is not None and alert.snoozed_until > now:
        return "snoozed"
    for silence in silences:
        if silence.silences(alert.labels, now):
            return _SILENCE + silence.id
    keeper = keeping.keeper_of(alert.labels, itself=alert.id)
    return None if keeper is None else f"alert:{keeper}"


def _message(
    tx: Tx,
    group: tuple[str, str, str],
    rows: Sequence[NotificationRow],
    alerts: Mapping[str, AlertRow],
) -> dict[str, Any]:
    """A message that tells of these; from now on they are part of it."""
    message_id = uuid7()
    told = {row.alert_id: alerts[row.alert_id] for row in rows}
    for row in rows:
        _end(row, QUEUED)
        row.message_id = message_id
    channel_id, key, kind = group
    return {
        "tenant_id": tx.tenant_id,
        "id": message_id,
        "channel_id": channel_id,
        "group_key": key,
        "kind": kind,
        "content": {
            "group": rows[0].group_labels,
            "alerts": [_told(one) for one in told.values()],
        },
        "made_at": tx.now(),
        "sent_at": None,
        "error": None,
    }


def _put_off(rows: Iterable[NotificationRow], until: datetime, why: str) -> None:
    for row in rows:
        row.due_at, row.held_by = until, why


def _end(row: NotificationRow, state: str) -> None:
    row.state, row.due_at, row.held_by = state, NEVER, None


def _told(alert: AlertRow) -> dict[str, Any]:
    """An alert as a message tells it, for ever: what is sent again is the same."""
    return {
        "id": alert.id,
        "fingerprint": alert.fingerprint,
        "name": alert.name,
        "severity": alert.severity,
        "labels": alert.labels,
        "summary": alert.summary,
        "runbook_url": alert.runbook_url,
        "value": alert.value,
        "fired_at": alert.fired_at.isoformat() if alert.fired_at else None,
        "ended_at": alert.ended_at.isoformat() if alert.ended_at else None,
    }
