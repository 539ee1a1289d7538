"""Incidents: alerts that belong together, what was done about them, and what is learned of it.

A tenant says which alerts are gathered: those that agree in some labels and come soon after each
other. An alert is part of one incident at most; what happened to it is part of the incident's
timeline, without being written twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa

from backend.core.database import Integrity, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.loose_scan import read_least
from backend.core.paging import newest
from backend.managers.alerting._alerts import Alert, Alerts, Note, value_of
from backend.managers.alerting._matching import match_all, read_matchers
from backend.managers.alerting._notes import forget, note
from backend.managers.alerting.errors import (
    AlertNotFoundError,
    IncidentChangedError,
    IncidentNotFoundError,
    IncidentOverError,
)
from backend.managers.alerting.models import AlertNoteRow, AlertRow, IncidentAlertRow, IncidentRow

_load: Final = Loader(IncidentRow, IncidentNotFoundError, IncidentChangedError)

MAX_SHOWN: Final = 500
"""Alerts of an incident that are shown, and acknowledged at once."""
_MAX_NOTES: Final = 1000
_SWEPT: Final = 200
_WORST: Final = {"critical": 0, "warning": 1, "info": 2}
State = Literal["open", "over"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentDraft:
    """What people say of an incident.

    Attributes:
        lead: Who leads, as ``user:<id>``; None: nobody yet.
        summary: What happened, and whom it met.
        cause: Why.
        follow_up: What is done so that it does not happen again.
    """

    title: str
    severity: str
    lead: str | None = None
    summary: str = ""
    cause: str = ""
    follow_up: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident(IncidentDraft):
    """An incident, as it is kept.

    Attributes:
        gathered: Whether alerts join it by themselves, and it is over when they are.
        alerts: How many are part of it.
        firing: How many of these are not over.
        version: Changes with every change of what people say; for ``If-Match``.
    """

    id: str
    state: State
    gathered: bool
    alerts: int
    firing: int
    started_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    version: str
    created_by: str


@dataclass(frozen=True, slots=True)
class Event:
    """What happened in an incident; ``alert_id`` and ``alert``, its name, of what is an alert's."""

    note: Note
    alert_id: str | None
    alert: str | None


class Incidents:
    """A tenant's incidents."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    async def create(self, tx: Tx, draft: IncidentDraft, alert_ids: Sequence[str]) -> Incident:
        """Open one by hand; it is over when somebody says so.

        Raises:
            AlertNotFoundError: One of the alerts is not in this tenant.
        """
        row = _row(tx, draft, key=None, started_at=tx.now(), joins_until=tx.now())
        tx.session.add(row)
        await tx.session.flush()
        _open(tx, row)
        tx.audit("incident.created", f"incident:{row.id}")
        if alert_ids:
            await self._join(tx, row, alert_ids)
        return await self.get(tx, row.id)

    async def get(self, tx: ReadTx, incident_id: str) -> Incident:
        """One of them.

        Raises:
            IncidentNotFoundError: No such one in this tenant.
        """
        return _value(await _load(tx, incident_id))

    async def list(
        self, tx: ReadTx, *, state: State | None, limit: int, before_id: str | None = None
    ) -> Sequence[Incident]:
        """The newest first, one more than ``limit``."""
        query = sa.select(IncidentRow).where(IncidentRow.tenant_id == tx.tenant_id)
        if state is not None:
            over = IncidentRow.ended_at.is_not(None)
            query = query.where(over if state == "over" else sa.not_(over))
        rows = await tx.scalars(newest(query, IncidentRow.id, limit, before_id))
        return [_value(row) for row in rows]

    async def alerts(self, tx: ReadTx, incident_id: str) -> Sequence[Alert]:
        """Its alerts in the order in which they joined, up to five hundred."""
        rows = await tx.scalars(
            sa.select(AlertRow)
            .join(
                IncidentAlertRow,
                sa.and_(
                    IncidentAlertRow.tenant_id == AlertRow.tenant_id,
                    IncidentAlertRow.alert_id == AlertRow.id,
                ),
            )
            .where(
                IncidentAlertRow.tenant_id == tx.tenant_id,
                IncidentAlertRow.incident_id == incident_id,
            )
            .order_by(IncidentAlertRow.alert_id)
            .limit(MAX_SHOWN)
        )
        return [value_of(row) for row in rows]

    async def of_alert(self, tx: ReadTx, alert_id: str) -> str | None:
        """The incident that an alert is part of; None: of none."""
        found: str | None = await tx.scalar(
            sa.select(IncidentAlertRow.incident_id).where(
                IncidentAlertRow.tenant_id == tx.tenant_id, IncidentAlertRow.alert_id == alert_id
            )
        )
        return found

    async def timeline(
        self, tx: ReadTx, incident_id: str, alerts: Sequence[Alert]
    ) -> Sequence[Event]:
        """What happened to it and to these alerts of it, in order, the first thousand things."""
        names = {one.id: one.name for one in alerts}
        rows = await tx.scalars(
            sa.select(AlertNoteRow)
            .where(
                AlertNoteRow.tenant_id == tx.tenant_id,
                AlertNoteRow.alert_id.in_([incident_id, *sorted(names)]),
            )
            .order_by(AlertNoteRow.id)
            .limit(_MAX_NOTES)
        )
        return [
            Event(
                Note(one.id, one.at, one.kind, one.actor, one.text, one.value),
                one.alert_id if one.alert_id in names else None,
                names.get(one.alert_id),
            )
            for one in rows
        ]

    async def replace(
        self, tx: Tx, incident_id: str, draft: IncidentDraft, *, expected_version: str | None
    ) -> Incident:
        """Say something else of it, also when it is over: what was learned is written then.

        Raises:
            IncidentNotFoundError: No such one in this tenant.
            IncidentChangedError: Somebody changed it meanwhile.
        """
        row = await _load(tx, incident_id, expected_version=expected_version, lock=True)
        for name, value in _said(draft).items():
            setattr(row, name, value)
        row.revision += 1
        note(tx, incident_id, "changed")
        tx.audit("incident.changed", f"incident:{incident_id}")
        return await self.get(tx, incident_id)

    async def add(self, tx: Tx, incident_id: str, alert_ids: Sequence[str]) -> Incident:
        """Make alerts part of it that are part of none, or of another one.

        Raises:
            IncidentNotFoundError: No such one in this tenant.
            IncidentOverError: It is over.
            AlertNotFoundError: One of the alerts is not in this tenant.
        """
        row = await _load(tx, incident_id, lock=True)
        _refuse_over(row)
        await self._join(tx, row, alert_ids)
        tx.audit("incident.joined", f"incident:{incident_id}", alerts=len(alert_ids))
        return await self.get(tx, incident_id)

    async def acknowledge(self, tx: Tx, incident_id: str) -> Incident:
        """Say of all its alerts that fire that somebody sees to them.

        Raises:
            IncidentNotFoundError: No such one in this tenant.
            IncidentOverError: It is over.
        """
        row = await _load(tx, incident_id, lock=True)
        _refuse_over(row)
        for one in await self.alerts(tx, incident_id):
            if one.ended_at is None and one.acknowledged_at is None:
                await self._alerts.acknowledge(tx, one.id)
        note(tx, incident_id, "acknowledged")
        tx.audit("incident.acknowledged", f"incident:{incident_id}")
        return await self.get(tx, incident_id)

    async def resolve(self, tx: Tx, incident_id: str, *, text: str = "") -> Incident:
        """End it. Its alerts go on, and join no other one.

        Raises:
            IncidentNotFoundError: No such one in this tenant.
            IncidentOverError: It is over.
        """
        row = await _load(tx, incident_id, lock=True)
        _refuse_over(row)
        _end(tx, row, text=text)
        tx.audit("incident.resolved", f"incident:{incident_id}")
        return await self.get(tx, incident_id)

    async def comment(self, tx: Tx, incident_id: str, *, text: str) -> None:
        """Write something down.

        Raises:
            IncidentNotFoundError: No such one in this tenant.
        """
        await _load(tx, incident_id)
        note(tx, incident_id, "commented", text=text)
        tx.audit("incident.commented", f"incident:{incident_id}")

    async def gather(
        self, tx: Tx, gatherings: Sequence[Mapping[str, Any]], alerts: Sequence[AlertRow]
    ) -> None:
        """Have alerts that fire join what they belong to; twice changes nothing.

        Args:
            tx: The tenant's.
            gatherings: The first of these that an alert matches says what it belongs to.
            alerts: In the order in which they came.
        """
        read = [(read_matchers(one["matchers"]), one) for one in gatherings]
        if not read:
            return
        known = await _known(tx, [one.id for one in alerts])
        found: dict[str, IncidentRow] = {}
        for alert in alerts:
            if alert.id in known or alert.ended_at is not None:
                continue
            for place, (matchers, said) in enumerate(read):
                if match_all(matchers, alert.labels):
                    await _gather(tx, place, said, alert, found)
                    break
        for row in found.values():
            await _count(tx, row)

    async def settle(self, tx: Tx, alert_ids: Sequence[str]) -> None:
        """Count what is over, and end what was gathered and of which nothing fires any more."""
        incident_ids = await tx.scalars(_of_alerts(tx, alert_ids))
        if not incident_ids:
            return
        rows: Sequence[IncidentRow] = await tx.scalars(
            sa.select(IncidentRow)
            .where(IncidentRow.tenant_id == tx.tenant_id, IncidentRow.id.in_(incident_ids))
            .order_by(IncidentRow.id)
            .with_for_update()
        )
        for row in rows:
            await _count(tx, row)
            if not row.firing and row.key is not None and row.ended_at is None:
                _end(tx, row, text="All of its alerts are over")

    async def sweep(self, tx: Tx, *, keep: timedelta) -> int:
        """Forget a bite of what was over long ago; returns how many incidents."""
        gone = 0
        for tenant_id, oldest in await read_least(tx, IncidentRow, IncidentRow.ended_at):
            if oldest is None or oldest >= tx.now() - keep:
                continue
            ids = await tx.scalars(
                sa.select(IncidentRow.id)
                .where(IncidentRow.tenant_id == tenant_id, IncidentRow.ended_at < tx.now() - keep)
                .order_by(IncidentRow.ended_at)
                .limit(_SWEPT)
            )
            if not ids:
                continue
            await forget(
                tx,
                tenant_id,
                ids,
                (AlertNoteRow.alert_id, IncidentAlertRow.incident_id, IncidentRow.id),
            )
            gone += len(ids)
        return gone

    async def _join(self, tx: Tx, row: IncidentRow, alert_ids: Sequence[str]) -> None:
        wanted = sorted(set(alert_ids))
        found: Sequence[AlertRow] = await tx.scalars(
            sa.select(AlertRow).where(AlertRow.tenant_id == tx.tenant_id, AlertRow.id.in_(wanted))
        )
        if missing := sorted(set(wanted) - {one.id for one in found}):
            raise AlertNotFoundError(f"There is no alert {missing[0]}").at("alert_ids")
        left = await tx.scalars(_of_alerts(tx, wanted))
        await tx.execute(
            sa.delete(IncidentAlertRow)
            .where(
                IncidentAlertRow.tenant_id == tx.tenant_id, IncidentAlertRow.alert_id.in_(wanted)
            )
            .execution_options(synchronize_session=False)
        )
        for alert in found:
            await _add(tx, row, alert)
        await _count(tx, row)
        for other in await tx.scalars(
            sa.select(IncidentRow).where(
                IncidentRow.tenant_id == tx.tenant_id, IncidentRow.id.in_(left)
            )
        ):
            await _count(tx, other)


async def _gather(
    tx: Tx, place: int, said: Mapping[str, Any], alert: AlertRow, found: dict[str, IncidentRow]
) -> None:
    """Have an alert join the incident of its key; ``found`` has those of alerts before it."""
    within = timedelta(seconds=said["within_seconds"])
    group = {name: alert.labels[name] for name in sorted(said["by"]) if name in alert.labels}
    key = f"{place}{sorted(group.items())}"
    row = found.get(key) or await _of_key(tx, key)
    if row is None:
        told = ", ".join(f"{name}={value}" for name, value in group.items())
        draft = IncidentDraft(
            title=f"{alert.name} ({told})" if told else alert.name, severity=alert.severity
        )
        began = alert.fired_at or tx.now()
        try:
            async with tx.savepoint():
                row = _row(tx, draft, key=key, started_at=began, joins_until=tx.now() + within)
                tx.session.add(row)
        except Integrity:
            # Another process has just opened it.
            row = await _of_key(tx, key)
            if row is None:
                raise
        else:
            _open(tx, row)
    elif row.ended_at is not None:
        row.ended_at = row.ended_by = None
        note(tx, row.id, "reopened")
        _tell(tx, row, "opened")
    found[key] = row
    row.joins_until = tx.now() + within
    if _WORST.get(alert.severity, 3) < _WORST.get(row.severity, 3):
        row.severity = alert.severity
    await _add(tx, row, alert)


async def _of_key(tx: Tx, key: str) -> IncidentRow | None:
    """The newest that alerts of this key join: it is open, or they come soon after it."""
    row: IncidentRow | None = await tx.scalar(
        sa.select(IncidentRow)
        .where(
            IncidentRow.tenant_id == tx.tenant_id,
            IncidentRow.key == key,
            sa.or_(IncidentRow.ended_at.is_(None), IncidentRow.joins_until >= tx.now()),
        )
        .order_by(IncidentRow.id.desc())
        .limit(1)
        .with_for_update()
    )
    return row


def _of_alerts(tx: ReadTx, alert_ids: Sequence[str]) -> sa.Select[Any]:
    """The incidents that alerts are part of."""
    return (
        sa.select(IncidentAlertRow.incident_id)
        .where(IncidentAlertRow.tenant_id == tx.tenant_id, IncidentAlertRow.alert_id.in_(alert_ids))
        .distinct()
    )


async def _known(tx: ReadTx, alert_ids: Sequence[str]) -> set[str]:
    return set(
        await tx.scalars(
            sa.select(IncidentAlertRow.alert_id).where(
                IncidentAlertRow.tenant_id == tx.tenant_id,
                IncidentAlertRow.alert_id.in_(alert_ids),
            )
        )
    )


async def _add(tx: Tx, row: IncidentRow, alert: AlertRow) -> None:
    joins = {"tenant_id": tx.tenant_id, "alert_id": alert.id, "incident_id": row.id}
    await tx.insert_missing(IncidentAlertRow, [joins], conflict=["tenant_id", "alert_id"])
    note(tx, row.id, "joined", text=alert.name)


async def _count(tx: Tx, row: IncidentRow) -> None:
    """Say how many alerts it has, and how many of them are not over.

    Of one incident at a time: of a page of them a plan reads all alerts that there are.
    """
    found = await tx.execute(
        sa.select(
            sa.func.count().label("alerts"),
            sa.func.sum(sa.case((AlertRow.ended_at.is_(None), 1), else_=0)).label("firing"),
        )
        .select_from(IncidentAlertRow)
        .join(
            AlertRow,
            sa.and_(
                AlertRow.tenant_id == IncidentAlertRow.tenant_id,
                AlertRow.id == IncidentAlertRow.alert_id,
            ),
        )
        .where(IncidentAlertRow.tenant_id == tx.tenant_id, IncidentAlertRow.incident_id == row.id)
    )
    counts = found.one()
    row.alerts, row.firing = int(counts.alerts), int(counts.firing or 0)


def _open(tx: Tx, row: IncidentRow) -> None:
    note(tx, row.id, "opened", text=row.title)
    _tell(tx, row, "opened")


def _end(tx: Tx, row: IncidentRow, *, text: str) -> None:
    row.ended_at, row.ended_by = tx.now(), tx.scope.actor
    note(tx, row.id, "resolved", text=text)
    _tell(tx, row, "resolved")


def _tell(tx: Tx, row: IncidentRow, what: str) -> None:
    tx.emit(f"incident.{what}", f"incident:{row.id}", title=row.title, severity=row.severity)


def _refuse_over(row: IncidentRow) -> None:
    if row.ended_at is not None:
        raise IncidentOverError


def _said(draft: IncidentDraft) -> dict[str, Any]:
    return {
        "title": draft.title,
        "severity": draft.severity,
        "lead": draft.lead,
        "summary": draft.summary,
        "cause": draft.cause,
        "follow_up": draft.follow_up,
    }


def _row(
    tx: Tx, draft: IncidentDraft, *, key: str | None, started_at: datetime, joins_until: datetime
) -> IncidentRow:
    return IncidentRow(
        **_said(draft),
        tenant_id=tx.tenant_id,
        id=uuid7(),
        key=key,
        started_at=started_at,
        joins_until=joins_until,
        alerts=0,
        firing=0,
        ended_at=None,
        ended_by=None,
        revision=1,
        created_by=tx.scope.actor,
    )


def _value(row: IncidentRow) -> Incident:
    return Incident(
        id=row.id,
        title=row.title,
        severity=row.severity,
        lead=row.lead,
        summary=row.summary,
        cause=row.cause,
        follow_up=row.follow_up,
        state="open" if row.ended_at is None else "over",
        gathered=row.key is not None,
        alerts=row.alerts,
        firing=row.firing,
        started_at=row.started_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        version=str(row.revision),
        created_by=row.created_by,
    )
