"""Tables of the alerting manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.columns import Base, Id, Json, TenantOwned


class AlertRuleRow(TenantOwned, Base):
    """What a tenant wants to be told of, and when it is looked at next.

    Whoever takes it to look puts ``next_at`` off by a lease and counts ``fence`` up: what the last
    one found counts, and nobody else's. One that is not enabled is due at the end of time.
    ``problem`` is why the last look could measure nothing, since ``problem_since``.
    """

    __tablename__ = "alert_rules"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    condition: Mapped[dict[str, Any]]
    severity: Mapped[str]
    hold_seconds: Mapped[int]
    clear_seconds: Mapped[int]
    every_seconds: Mapped[int]
    no_data: Mapped[str]
    labels: Mapped[dict[str, Any]]
    summary: Mapped[str]
    runbook_url: Mapped[str]
    enabled: Mapped[bool]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
    next_at: Mapped[datetime]
    fence: Mapped[int]
    looked_at: Mapped[datetime | None]
    problem: Mapped[str | None]
    problem_since: Mapped[datetime | None]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "name"),
        sa.Index("ix_alert_rules_next_at", "tenant_id", "next_at"),
    )


def _of_what_is_open(name: str, column: str, *, unique: bool = False) -> sa.Index:
    given = sa.true() if column != "rule_id" else sa.column("rule_id", Id()).is_not(None)
    return sa.Index(
        name,
        "tenant_id",
        column,
        unique=unique,
        sqlite_where=sa.and_(sa.column("ended_at", sa.BigInteger()).is_(None), given),
        postgresql_where=sa.and_(
            sa.column("ended_at", sa.DateTime(timezone=True)).is_(None), given
        ),
    )


class AlertRow(TenantOwned, Base):
    """One time that something was wrong, from the first look that found it on.

    While it is not over no other one has its ``fingerprint``. It fires when ``fired_at`` is there;
    what was over before that is not kept. What nobody looks at is over at ``expires_at``, unless
    it is said again; all else expires at the end of time.
    """

    __tablename__ = "alert_records"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    rule_id: Mapped[str | None] = mapped_column(Id)
    source: Mapped[str]
    fingerprint: Mapped[str]
    name: Mapped[str]
    severity: Mapped[str]
    labels: Mapped[dict[str, Any]]
    summary: Mapped[str]
    runbook_url: Mapped[str]
    value: Mapped[float | None] = mapped_column(sa.Float)
    since: Mapped[datetime]
    expires_at: Mapped[datetime]
    fired_at: Mapped[datetime | None]
    clear_since: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    snoozed_until: Mapped[datetime | None]
    assignee: Mapped[str | None]

    __table_args__ = (
        _of_what_is_open("uq_alert_records_live", "fingerprint", unique=True),
        sa.Index("ix_alert_records_rule_id", "tenant_id", "rule_id", "id"),
        sa.Index("ix_alert_records_ended_at", "tenant_id", "ended_at"),
        sa.Index("ix_alert_records_expires_at", "tenant_id", "expires_at"),
        sa.Index("ix_alert_records_severity", "tenant_id", "severity", "id"),
        _of_what_is_open("ix_alert_records_open", "id"),
        _of_what_is_open("ix_alert_records_open_rule_id", "rule_id"),
    )


class AlertNoteRow(TenantOwned, Base):
    """What happened to an alert, in order."""

    __tablename__ = "alert_notes"
    alert_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    actor: Mapped[str]
    text: Mapped[str]
    value: Mapped[float | None] = mapped_column(sa.Float)


class HeartbeatRow(TenantOwned, Base):
    """When a signal that has to come last came."""

    __tablename__ = "alert_heartbeats"
    name: Mapped[str] = mapped_column(primary_key=True)
    last_at: Mapped[datetime]
    last_by: Mapped[str]
    beats: Mapped[int]


class SilenceRow(TenantOwned, Base):
    """Alerts that nobody is told of for a while, or a maintenance window that was announced.

    ``due_at`` is when the clock has to do with it next: to announce it, or to tell that it is over;
    the end of time, when both is done.
    """

    __tablename__ = "alert_silences"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str]
    matchers: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    windows: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    reason: Mapped[str]
    announce_hours: Mapped[int]
    announced_at: Mapped[datetime | None]
    due_at: Mapped[datetime]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
    ended_by: Mapped[str | None]

    __table_args__ = (
        sa.Index("ix_alert_silences_ends_at", "tenant_id", "ends_at"),
        sa.Index("ix_alert_silences_due_at", "tenant_id", "due_at"),
    )


class ScheduleRow(TenantOwned, Base):
    """People who take turns at being on call."""

    __tablename__ = "on_call_schedules"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    layers: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)


class OverrideRow(TenantOwned, Base):
    """Somebody stands in for whoever it would be."""

    __tablename__ = "on_call_overrides"
    schedule_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    person: Mapped[str]
    begins_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    reason: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]

    __table_args__ = (
        sa.Index("ix_on_call_overrides_ends_at", "tenant_id", "schedule_id", "ends_at"),
    )
