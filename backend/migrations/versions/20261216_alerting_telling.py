"""Channels, policies, routes, and that somebody was told of alerts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261216_alerting_telling"
down_revision = "20261215_alerting_silences"
branch_labels = None
depends_on = None

TABLES = (
    "alert_channels",
    "alert_policies",
    "alert_routings",
    "alert_notifications",
    "alert_messages",
)


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _times(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, UtcTime(), nullable=nullable) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _of(name: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, Id(), nullable=False)]


def upgrade() -> None:
    """Create the tables."""
    create_tenant_table(
        "alert_channels",
        *_of("id"),
        *_texts("name", "kind", "host"),
        sa.Column("sealed_target", sa.LargeBinary(), nullable=False),
        sa.Column("fallback_id", Id(), nullable=True),
        sa.Column("schedule_id", Id(), nullable=True),
        *_numbers("per_minute", "revision"),
        *_texts("created_by", "updated_by"),
        *_times("created_at", "updated_at"),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_alert_channels_tenant_id_name")),
    )
    create_tenant_table(
        "alert_policies",
        *_of("id"),
        *_texts("name"),
        sa.Column("steps", Json, nullable=False),
        *_numbers("repeats", "repeat_seconds", "revision"),
        *_texts("created_by", "updated_by"),
        *_times("created_at", "updated_at"),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_alert_policies_tenant_id_name")),
    )
    create_tenant_table(
        "alert_routings",
        sa.Column("tree", Json, nullable=False),
        sa.Column("inhibitions", Json, nullable=False),
        sa.Column("incidents", Json, nullable=False),
        *_numbers("revision"),
        *_times("updated_at"),
        *_texts("updated_by"),
        key=(),
    )
    create_tenant_table(
        "alert_notifications",
        *_of("id"),
        *_of("alert_id"),
        *_numbers("step"),
        *_of("channel_id"),
        *_texts("kind", "group_key", "state"),
        sa.Column("group_labels", Json, nullable=False),
        *_times("due_at"),
        *_texts("held_by", nullable=True),
        sa.Column("message_id", Id(), nullable=True),
        sa.UniqueConstraint(
            "tenant_id",
            "alert_id",
            "step",
            "channel_id",
            "kind",
            name=op.f("uq_alert_notifications_tenant_id_alert_id_step_channel_id_kind"),
        ),
    )
    create_tenant_table(
        "alert_messages",
        *_of("id"),
        *_of("channel_id"),
        *_texts("group_key", "kind"),
        sa.Column("content", Json, nullable=False),
        *_times("made_at"),
        *_times("sent_at", nullable=True),
        *_texts("error", nullable=True),
    )
    for name, table, columns in (
        ("due_at", "alert_notifications", ["due_at"]),
        ("message_id", "alert_notifications", ["message_id"]),
        ("group", "alert_notifications", ["channel_id", "group_key", "due_at"]),
        ("group", "alert_messages", ["channel_id", "group_key", "made_at"]),
        ("made_at", "alert_messages", ["channel_id", "made_at"]),
    ):
        create_tenant_index(f"ix_{table}_{name}", table, columns)
    confine(*TABLES)


def downgrade() -> None:
    """Drop them, and with them who was ever told."""
    for table in reversed(TABLES):
        op.drop_table(table)
