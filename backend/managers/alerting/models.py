"""Tables of the alerting manager. Private: other managers ask the manager."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

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


_NULLABLE: Final[Mapping[str, Any]] = {"rule_id": Id(), "key": sa.Text()}


def _of_what_is_open(name: str, column: str, *, unique: bool = False) -> sa.Index:
    kind = _NULLABLE.get(column)
    given = sa.true() if kind is None else sa.column(column, kind).is_not(None)
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
    silenced_at: Mapped[datetime | None]
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
    """People who take turns at being on call.

    Where people are told when they begin and end, ``handover_due_at`` is when it is looked next
    whether somebody else is on call than ``handed_to``; and ``handovers`` is how often it was so.
    """

    __tablename__ = "on_call_schedules"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    layers: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    announce_handover: Mapped[bool]
    handover_due_at: Mapped[datetime | None]
    handed_to: Mapped[str | None]
    handovers: Mapped[int]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "name"),
        sa.Index("ix_on_call_schedules_handover_due_at", "tenant_id", "handover_due_at"),
    )


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


class ChannelRow(TenantOwned, Base):
    """A way to somebody. Where it leads, and what it is signed with, is sealed."""

    __tablename__ = "alert_channels"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    host: Mapped[str]
    sealed_target: Mapped[bytes]
    per_minute: Mapped[int]
    send_resolved: Mapped[bool]
    fallback_id: Mapped[str | None] = mapped_column(Id)
    schedule_id: Mapped[str | None] = mapped_column(Id)
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)


class PolicyRow(TenantOwned, Base):
    """Who is told first, and who next, until somebody sees to it."""

    __tablename__ = "alert_policies"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    steps: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    repeats: Mapped[int]
    repeat_seconds: Mapped[int]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)


class RoutingRow(TenantOwned, Base):
    """A tenant's tree of routes, and which alerts keep which others quiet."""

    __tablename__ = "alert_routings"
    tree: Mapped[dict[str, Any]] = mapped_column(Json)
    inhibitions: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    incidents: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    revision: Mapped[int]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]


class NotificationRow(TenantOwned, Base):
    """That somebody is told of an alert: by its key once for each step, channel and kind.

    It waits until ``due_at``, is part of a message then, and was sent, failed, or dropped, because
    somebody saw to the alert before. What does not wait is due at the end of time.
    """

    __tablename__ = "alert_notifications"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    alert_id: Mapped[str] = mapped_column(Id)
    step: Mapped[int]
    channel_id: Mapped[str] = mapped_column(Id)
    kind: Mapped[str]
    group_key: Mapped[str]
    group_labels: Mapped[dict[str, Any]] = mapped_column(Json)
    due_at: Mapped[datetime]
    state: Mapped[str]
    held_by: Mapped[str | None]
    message_id: Mapped[str | None] = mapped_column(Id)

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "alert_id", "step", "channel_id", "kind"),
        sa.Index("ix_alert_notifications_due_at", "tenant_id", "due_at"),
        sa.Index("ix_alert_notifications_message_id", "tenant_id", "message_id"),
        sa.Index("ix_alert_notifications_group", "tenant_id", "channel_id", "group_key", "due_at"),
    )


class MessageRow(TenantOwned, Base):
    """One message about the alerts of a group; its id is its idempotency key at the receiver."""

    __tablename__ = "alert_messages"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    channel_id: Mapped[str] = mapped_column(Id)
    group_key: Mapped[str]
    kind: Mapped[str]
    content: Mapped[dict[str, Any]] = mapped_column(Json)
    made_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]

    __table_args__ = (
        sa.Index("ix_alert_messages_group", "tenant_id", "channel_id", "group_key", "made_at"),
        sa.Index("ix_alert_messages_made_at", "tenant_id", "channel_id", "made_at"),
    )


class IncidentRow(TenantOwned, Base):
    """Alerts that belong together, and what people say of them.

    While one that gathers alerts is open no other one has its ``key``; until ``joins_until`` what
    comes later opens it again. One that was made by hand has none. ``alerts`` and ``firing`` are
    counted whenever one joins, or is over.
    """

    __tablename__ = "alert_incidents"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    title: Mapped[str]
    severity: Mapped[str]
    lead: Mapped[str | None]
    summary: Mapped[str]
    cause: Mapped[str]
    follow_up: Mapped[str]
    key: Mapped[str | None]
    started_at: Mapped[datetime]
    joins_until: Mapped[datetime]
    alerts: Mapped[int]
    firing: Mapped[int]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]
    revision: Mapped[int]
    created_by: Mapped[str]

    __table_args__ = (
        _of_what_is_open("uq_alert_incidents_open", "key", unique=True),
        sa.Index("ix_alert_incidents_key", "tenant_id", "key", "id"),
        sa.Index("ix_alert_incidents_ended_at", "tenant_id", "ended_at"),
    )


class IncidentAlertRow(TenantOwned, Base):
    """That an alert is part of an incident; of one at most."""

    __tablename__ = "alert_incident_alerts"
    alert_id: Mapped[str] = mapped_column(Id, primary_key=True)
    incident_id: Mapped[str] = mapped_column(Id)

    __table_args__ = (
        sa.Index("ix_alert_incident_alerts_incident_id", "tenant_id", "incident_id", "alert_id"),
    )
