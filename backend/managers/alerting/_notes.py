"""What happened to alerts, written down; how they end, and how they are forgotten."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from backend.core.database import Tx
from backend.core.ids import uuid7
from backend.managers.alerting._standing import NEVER
from backend.managers.alerting.models import AlertNoteRow, AlertRow


def note(tx: Tx, alert_id: str, kind: str, *, text: str = "", value: float | None = None) -> None:
    """Write down what happened to an alert, and who did it."""
    row = {
        "tenant_id": tx.tenant_id,
        "alert_id": alert_id,
        "id": uuid7(),
        "at": tx.now(),
        "kind": kind,
        "actor": tx.scope.actor,
        "text": text,
        "value": value,
    }
    tx.append(AlertNoteRow, [row])


def end(tx: Tx, row: AlertRow, now: datetime, *, text: str, value: float | None = None) -> None:
    """End an alert that fires, and let others know."""
    row.ended_at, row.ended_by, row.expires_at = now, tx.scope.actor, NEVER
    note(tx, row.id, "resolved", text=text, value=value)
    tell(tx, row, "resolved")


def tell(tx: Tx, row: AlertRow, what: str) -> None:
    """Let others know what became of an alert."""
    tx.emit(
        f"alert.{what}",
        f"alert:{row.id}",
        rule=row.rule_id,
        name=row.name,
        severity=row.severity,
        labels=row.labels,
    )


async def forget(tx: Tx, tenant_id: str, ids: Sequence[str], keys: Sequence[Any]) -> None:
    """Delete what is kept under these ids, by each of these columns in turn."""
    for key in keys:
        model = key.class_
        await tx.execute(
            sa.delete(model)
            # They lie side by side, more or less: a range is found at once.
            .where(model.tenant_id == tenant_id, key.between(min(ids), max(ids)), key.in_(ids))
            .execution_options(synchronize_session=False)
        )


async def end_all(tx: Tx, rule_id: str, *, text: str) -> None:
    """End what fires of a rule; what waits goes."""
    rows = await tx.scalars(
        sa.select(AlertRow).where(
            AlertRow.tenant_id == tx.tenant_id,
            AlertRow.rule_id == rule_id,
            AlertRow.ended_at.is_(None),
        )
    )
    for row in rows:
        if row.fired_at is None:
            await tx.session.delete(row)
        else:
            end(tx, row, tx.now(), text=text)
