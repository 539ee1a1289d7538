"""Alerts that somebody else raises: a workflow, a program, another system's alerts.

Nobody looks at them. Whoever raised one says so again as long as it fires, or ends it; what nobody
says again is over when its time is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, Integrity, Tx
from backend.core.ids import uuid7
from backend.managers.alerting._alerts import Alert, value_of
from backend.managers.alerting._matching import fingerprint
from backend.managers.alerting._notes import end, note, tell
from backend.managers.alerting._rounds import Rounds
from backend.managers.alerting._standing import NEVER
from backend.managers.alerting.errands import LOOKING
from backend.managers.alerting.errors import TooManyAlertsError
from backend.managers.alerting.models import AlertRow

MAX_RAISED: Final = 10_000
"""Alerts of a tenant that are not over, however they began."""
_EXPIRED: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """What somebody says that is wrong.

    Attributes:
        lasts: How long it fires unless it is said again; None: until somebody ends it.
        source: Who says so: ``api``, ``prometheus``, ``grafana``.
        since: When it began, as whoever says it knows; None: now.
        told_severity: What its label calls it, where that is none of our words.
    """

    name: str
    severity: str
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    runbook_url: str = ""
    value: float | None = None
    lasts: timedelta | None = None
    source: str = "api"
    since: datetime | None = None
    told_severity: str = ""

    @property
    def identity(self) -> str:
        """Which alert it is."""
        return fingerprint("", {**self.labels, "alertname": self.name})


async def raise_alert(tx: Tx, said: Raised) -> tuple[Alert, bool]:
    """Have an alert fire, or say again that it does; and whether it began by that.

    One name and one set of labels are one alert as long as it is not over: what is said anew about
    it takes the place of what was.

    Raises:
        TooManyAlertsError: So many of the tenant are not over.
    """
    key = said.identity
    row = await _open(tx, key)
    if row is None:
        if await _count(tx) >= MAX_RAISED:
            raise TooManyAlertsError(f"{MAX_RAISED} alerts are not over")
        try:
            async with tx.savepoint():
                row = _row(tx, key, said)
                tx.session.add(row)
        except Integrity:
            # Somebody else has just said the same.
            row = await _open(tx, key)
            if row is None:
                raise
        else:
            note(tx, row.id, "fired", text=said.summary, value=said.value)
            tx.audit("alert.raised", f"alert:{row.id}", name=said.name)
            tell(tx, row, "fired")
            return value_of(row), True
    told = row.severity, row.summary, row.runbook_url
    # Where others' rules write the value into it, a summary is another each minute.
    summary = said.summary if said.source == "api" else row.summary
    if told != (said.severity, summary, said.runbook_url):
        # That it is said again is no act of its own; that it is told otherwise from now on is.
        tx.audit("alert.raised", f"alert:{row.id}", name=said.name)
    row.severity, row.summary, row.value = said.severity, said.summary, said.value
    row.runbook_url, row.labels = said.runbook_url, _labels(said)
    row.expires_at = _ends(tx, said)
    return value_of(row), False


async def end_raised(tx: Tx, said: Raised) -> Alert | None:
    """End an alert that whoever raised it says is over; None: nobody knows it, or it is."""
    row = await _open(tx, said.identity)
    if row is None:
        return None
    end(tx, row, tx.now(), text=f"Over, says {said.source}")
    tx.audit("alert.resolved", f"alert:{row.id}", name=row.name)
    return value_of(row)


class Expiring:
    """Ends what nobody has said again in its time."""

    def __init__(self) -> None:
        self._rounds = Rounds(LOOKING, AlertRow.expires_at)

    async def run(self, database: Database) -> int:
        """End some of up to twenty tenants; returns how many alerts."""

        async def one(scope: Scope) -> int:
            async with database.transaction(scope) as tx:
                return await _end_expired(tx)

        return sum(await self._rounds.run(database, one))


async def _end_expired(tx: Tx) -> int:
    rows = await tx.scalars(
        sa.select(AlertRow)
        .where(AlertRow.tenant_id == tx.tenant_id, AlertRow.expires_at <= tx.now())
        .order_by(AlertRow.expires_at)
        .limit(_EXPIRED)
        .with_for_update(skip_locked=True)
    )
    for row in rows:
        end(tx, row, tx.now(), text="Nobody said again that it fires")
    return len(rows)


async def _open(tx: Tx, key: str) -> AlertRow | None:
    row: AlertRow | None = await tx.scalar(
        sa.select(AlertRow)
        .where(
            AlertRow.tenant_id == tx.tenant_id,
            AlertRow.fingerprint == key,
            AlertRow.ended_at.is_(None),
        )
        .with_for_update()
    )
    return row


async def _count(tx: Tx) -> int:
    some = (
        sa.select(AlertRow.id)
        .where(AlertRow.tenant_id == tx.tenant_id, AlertRow.ended_at.is_(None))
        .limit(MAX_RAISED)
        .subquery()
    )
    return int(await tx.scalar(sa.select(sa.func.count()).select_from(some)))


def _labels(said: Raised) -> dict[str, str]:
    severity = said.told_severity or said.severity
    return {**said.labels, "alertname": said.name, "severity": severity}


def _ends(tx: Tx, said: Raised) -> datetime:
    return NEVER if said.lasts is None else tx.now() + said.lasts


def _row(tx: Tx, key: str, said: Raised) -> AlertRow:
    return AlertRow(
        tenant_id=tx.tenant_id,
        id=uuid7(),
        rule_id=None,
        source=said.source,
        fingerprint=key,
        name=said.name,
        severity=said.severity,
        labels=_labels(said),
        summary=said.summary,
        runbook_url=said.runbook_url,
        value=said.value,
        since=min(said.since or tx.now(), tx.now()),
        expires_at=_ends(tx, said),
        fired_at=tx.now(),
        clear_since=None,
        ended_at=None,
        ended_by=None,
        acknowledged_at=None,
        acknowledged_by=None,
        snoozed_until=None,
        silenced_at=None,
        assignee=None,
    )
