"""Silences, on-call schedules, and overrides of them."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261215_alerting_silences"
down_revision = "20261213_alerting_rules"
branch_labels = None
depends_on = None

TABLES = ("alert_silences", "on_call_schedules", "on_call_overrides")


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _times(*names: str, nullable: bool = False) -> list[sa.Column[object]]:
    return [sa.Column(name, UtcTime(), nullable=nullable) for name in names]


def upgrade() -> None:
    """Create the tables."""
    create_tenant_table(
        "alert_silences",
        sa.Column("id", Id(), nullable=False),
        *_texts("kind", "matchers", "reason", "created_by", "updated_by"),
        *_texts("ended_by", nullable=True),
        sa.Column("windows", Json, nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("announce_hours", "revision")
        ),
        *_times("starts_at", "ends_at", "due_at", "created_at", "updated_at"),
        *_times("announced_at", nullable=True),
    )
    create_tenant_index("ix_alert_silences_ends_at", "alert_silences", ["ends_at"])
    create_tenant_index("ix_alert_silences_due_at", "alert_silences", ["due_at"])
    create_tenant_table(
        "on_call_schedules",
        sa.Column("id", Id(), nullable=False),
        *_texts("name", "created_by", "updated_by"),
        sa.Column("layers", Json, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        *_times("created_at", "updated_at"),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_on_call_schedules_tenant_id_name")),
    )
    create_tenant_table(
        "on_call_overrides",
        sa.Column("schedule_id", Id(), nullable=False),
        sa.Column("id", Id(), nullable=False),
        *_texts("person", "reason", "created_by"),
        *_times("begins_at", "ends_at", "created_at"),
        key=("schedule_id", "id"),
    )
    create_tenant_index(
        "ix_on_call_overrides_ends_at", "on_call_overrides", ["schedule_id", "ends_at"]
    )
    confine(*TABLES)


def downgrade() -> None:
    """Drop them, and with them who was ever on call."""
    for table in reversed(TABLES):
        op.drop_table(table)
