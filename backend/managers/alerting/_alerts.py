"""Alerts as people meet them: listed, told in order, acknowledged, and ended by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.loading import Loader
from backend.core.loose_scan import read_least
from backend.core.paging import newest
from backend.managers.alerting._matching import Matcher, match_all
from backend.managers.alerting._notes import end, forget, note, tell
from backend.managers.alerting._standing import NEVER
from backend.managers.alerting.errors import AlertNotFoundError, AlertOverError
from backend.managers.alerting.models import AlertNoteRow, AlertRow, NotificationRow

_load: Final = Loader(AlertRow, AlertNotFoundError)

State = Literal["waiting", "firing", "over"]
_MAX_NOTES = 1000
_LOOKED_AT = 2000
_PART = 100
_MOST_FIRING = 20_000
_SWEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One time that something was wrong.

    Attributes:
        state: It waits until it has held long enough, fires, or is over.
        rule_id: What found it; None: somebody raised it.
        source: ``rule``, or who raised it.
        since: The first look that found it.
        expires_at: When it is over unless it is said again.
        value: As of when it fired.
        ended_by: Who ended it: a look, or a person.
    """

    id: str
    rule_id: str | None
    source: str
    fingerprint: str
    name: str
    severity: str
    state: State
    labels: Mapping[str, str]
    summary: str
    runbook_url: str
    value: float | None
    since: datetime
    expires_at: datetime | None
    fired_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    snoozed_until: datetime | None
    assignee: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """What was done to a part of many alerts; ``last_id`` is where it ended, None: at the end."""

    acknowledged: int
    last_id: str | None


@dataclass(frozen=True, slots=True)
class Firing:
    """How many alerts fire now, by severity, and how many of them nobody sees to."""

    critical: int
    warning: int
    info: int
    unseen: int


@dataclass(frozen=True, slots=True)
class Note:
    """What happened to an alert."""

    id: str
    at: datetime
    kind: str
    actor: str
    text: str
    value: float | None


class Alerts:
    """A tenant's alerts."""

    async def list(
        self,
        tx: ReadTx,
        *,
        state: State | None = None,
        severity: str | None = None,
        rule_id: str | None = None,
        matchers: Sequence[Matcher] = (),
        limit: int,
        before_id: str | None = None,
    ) -> Sequence[Alert]:
        """The newest first, one more than ``limit``; by labels of the newest two thousand alone."""
        query = sa.select(AlertRow).where(AlertRow.tenant_id == tx.tenant_id)
        if state == "over":
            query = query.where(AlertRow.ended_at.is_not(None))
        elif state is not None:
            query = query.where(AlertRow.ended_at.is_(None))
            is_waiting = AlertRow.fired_at.is_(None)
            query = query.where(is_waiting if state == "waiting" else sa.not_(is_waiting))
        if severity is not None:
            query = query.where(AlertRow.severity == severity)
        if rule_id is not None:
            query = query.where(AlertRow.rule_id == rule_id)
        most = _LOOKED_AT if matchers else limit
        rows = await tx.scalars(newest(query, AlertRow.id, most, before_id))
        return [value_of(row) for row in rows if match_all(matchers, row.labels)][: limit + 1]

    async def count_firing(self, tx: ReadTx) -> Firing:
        """How many alerts fire now."""
        firing = (
            sa.select(AlertRow.severity, AlertRow.acknowledged_at)
            .where(
                AlertRow.tenant_id == tx.tenant_id,
                AlertRow.ended_at.is_(None),
                AlertRow.fired_at.is_not(None),
            )
            # By the index of what is open: by severity all that ever were would be read.
            .order_by(AlertRow.id)
            .limit(_MOST_FIRING)
            .subquery()
        )
        unseen = sa.case((firing.c.acknowledged_at.is_(None), 1), else_=0)
        found = await tx.execute(
            sa.select(
                firing.c.severity,
                sa.func.count().label("firing"),
                sa.func.sum(unseen).label("unseen"),
            ).group_by(firing.c.severity)
        )
        rows = {one.severity: one for one in found}
        counts = {name: int(rows[name].firing) for name in rows}
        return Firing(
            critical=counts.get("critical", 0),
            warning=counts.get("warning", 0),
            info=counts.get("info", 0),
            unseen=sum(int(one.unseen) for one in rows.values()),
        )

    async def get(self, tx: ReadTx, alert_id: str) -> tuple[Alert, Sequence[Note]]:
        """One of them, and what happened to it, in order.

        Raises:
            AlertNotFoundError: No such one in this tenant.
        """
        row = await _load(tx, alert_id)
        notes = await tx.scalars(
            sa.select(AlertNoteRow)
            .where(AlertNoteRow.tenant_id == tx.tenant_id, AlertNoteRow.alert_id == alert_id)
            .order_by(AlertNoteRow.id)
            .limit(_MAX_NOTES)
        )
        return value_of(row), [
            Note(one.id, one.at, one.kind, one.actor, one.text, one.value) for one in notes
        ]

    async def acknowledge(self, tx: Tx, alert_id: str, *, text: str = "") -> Alert:
        """Say that somebody sees to it; once more changes nothing.

        Raises:
            AlertNotFoundError: No such one in this tenant.
            AlertOverError: It is over.
        """
        row = await _load(tx, alert_id, lock=True)
        _refuse_over(row)
        if row.acknowledged_at is None:
            row.acknowledged_at, row.acknowledged_by = tx.now(), tx.scope.actor
            note(tx, alert_id, "acknowledged", text=text)
            tx.audit("alert.acknowledged", f"alert:{alert_id}", name=row.name)
            tell(tx, row, "acknowledged")
        return value_of(row)

    async def acknowledge_some(
        self,
        tx: Tx,
        *,
        severity: str | None = None,
        rule_id: str | None = None,
        matchers: Sequence[Matcher] = (),
        before_id: str | None = None,
    ) -> Part:
        """Say of a part of what fires, the newest first, that somebody sees to it."""
        found = await self.list(
            tx,
            state="firing",
            severity=severity,
            rule_id=rule_id,
            matchers=matchers,
            limit=_PART,
            before_id=before_id,
        )
        part, more = found[:_PART], len(found) > _PART
        unseen = [one for one in part if one.acknowledged_at is None]
        for one in unseen:
            await self.acknowledge(tx, one.id)
        return Part(len(unseen), part[-1].id if more else None)

    async def resolve(self, tx: Tx, alert_id: str, *, text: str = "") -> Alert:
        """End it by hand; a look that finds it again begins another.

        Raises:
            AlertNotFoundError: No such one in this tenant.
            AlertOverError: It is over.
        """
        row = await _load(tx, alert_id, lock=True)
        _refuse_over(row)
        end(tx, row, tx.now(), text=text)
        tx.audit("alert.resolved", f"alert:{alert_id}", name=row.name)
        return value_of(row)

    async def snooze(self, tx: Tx, alert_id: str, *, lasts: timedelta, text: str = "") -> Alert:
        """Have nobody told of it for a while.

        Args:
            tx: The tenant's.
            alert_id: Of an alert that fires.
            lasts: From now on; nothing: no longer.
            text: What is written down.

        Raises:
            AlertNotFoundError: No such one in this tenant.
            AlertOverError: It is over.
        """
        row = await _load(tx, alert_id, lock=True)
        _refuse_over(row)
        row.snoozed_until = tx.now() + lasts if lasts else None
        note(tx, alert_id, "snoozed" if lasts else "woken", text=text)
        until = row.snoozed_until and row.snoozed_until.isoformat()
        tx.audit("alert.snoozed", f"alert:{alert_id}", name=row.name, until=until)
        return value_of(row)

    async def assign(self, tx: Tx, alert_id: str, *, assignee: str | None) -> Alert:
        """Say who sees to it; None: nobody any more.

        Raises:
            AlertNotFoundError: No such one in this tenant.
            AlertOverError: It is over.
        """
        row = await _load(tx, alert_id, lock=True)
        _refuse_over(row)
        if row.assignee != assignee:
            row.assignee = assignee
            note(tx, alert_id, "assigned", text=assignee or "")
            # To whom is in the notes: the trail could not forget a name that somebody typed.
            tx.audit("alert.assigned", f"alert:{alert_id}", name=row.name)
        return value_of(row)

    async def sweep(self, tx: Tx, *, keep: timedelta) -> int:
        """Forget a bite of what was over long ago, and its notes; returns how many rows."""
        gone = 0
        for tenant_id, oldest in await read_least(tx, AlertRow, AlertRow.ended_at):
            if oldest is None or oldest >= tx.now() - keep:
                continue
            ids = await tx.scalars(
                sa.select(AlertRow.id)
                .where(AlertRow.tenant_id == tenant_id, AlertRow.ended_at < tx.now() - keep)
                .order_by(AlertRow.ended_at)
                .limit(_SWEPT)
            )
            if not ids:
                # Another worker's sweep was faster.
                continue
            await forget(
                tx, tenant_id, ids, (AlertNoteRow.alert_id, NotificationRow.alert_id, AlertRow.id)
            )
            gone += len(ids)
        return gone

    async def comment(self, tx: Tx, alert_id: str, *, text: str) -> None:
        """Write something down.

        Raises:
            AlertNotFoundError: No such one in this tenant.
        """
        await _load(tx, alert_id)
        note(tx, alert_id, "commented", text=text)
        tx.audit("alert.commented", f"alert:{alert_id}")


def _refuse_over(row: AlertRow) -> None:
    if row.ended_at is not None:
        raise AlertOverError


def value_of(row: AlertRow) -> Alert:
    """A row as a value."""
    state: State = "firing" if row.fired_at is not None else "waiting"
    return Alert(
        id=row.id,
        rule_id=row.rule_id,
        source=row.source,
        fingerprint=row.fingerprint,
        name=row.name,
        severity=row.severity,
        state=state if row.ended_at is None else "over",
        labels=row.labels,
        summary=row.summary,
        runbook_url=row.runbook_url,
        value=row.value,
        since=row.since,
        expires_at=row.expires_at if row.expires_at < NEVER else None,
        fired_at=row.fired_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        snoozed_until=row.snoozed_until,
        assignee=row.assignee,
    )
