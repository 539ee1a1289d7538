"""Alert rules, what they found, what happened to it, and signals that have to come."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261213_alerting_rules"
down_revision = "20261212_dashboard_boards"
branch_labels = None
depends_on = None

TABLES = ("alert_rules", "alert_records", "alert_notes", "alert_heartbeats")


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _times(*names: str, nullable: bool = False) -> list[sa.Column[object]]:
    return [sa.Column(name, UtcTime(), nullable=nullable) for name in names]


def upgrade() -> None:
    """Create the tables."""
    create_tenant_table(
        "alert_rules",
        sa.Column("id", Id(), nullable=False),
        *_texts(
            "name", "severity", "no_data", "summary", "runbook_url", "created_by", "updated_by"
        ),
        *(sa.Column(name, Json, nullable=False) for name in ("condition", "labels")),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("hold_seconds", "clear_seconds", "every_seconds", "revision", "fence")
        ),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        *_times("created_at", "updated_at", "next_at"),
        *_times("looked_at", "problem_since", nullable=True),
        *_texts("problem", nullable=True),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_alert_rules_tenant_id_name")),
    )
    create_tenant_index("ix_alert_rules_next_at", "alert_rules", ["next_at"])
    create_tenant_table(
        "alert_records",
        sa.Column("id", Id(), nullable=False),
        sa.Column("rule_id", Id(), nullable=True),
        *_texts("source", "fingerprint", "name", "severity", "summary", "runbook_url"),
        sa.Column("labels", Json, nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        *_times("since", "expires_at"),
        *_times(
            "fired_at", "clear_since", "ended_at", "acknowledged_at", "snoozed_until", nullable=True
        ),
        *_texts("ended_by", "acknowledged_by", "assignee", nullable=True),
    )
    is_open = "ended_at IS NULL"
    for name, column, which in (
        ("uq_alert_records_live", "fingerprint", is_open),
        ("ix_alert_records_open", "id", is_open),
        # What is raised by hand is no rule's: whoever looks for all that is open reads the other.
        ("ix_alert_records_open_rule_id", "rule_id", f"{is_open} AND rule_id IS NOT NULL"),
    ):
        create_tenant_index(
            name,
            "alert_records",
            [column],
            unique=name.startswith("uq"),
            sqlite_where=sa.text(which),
            postgresql_where=sa.text(which),
        )
    for name, columns in (
        ("ix_alert_records_rule_id", ["rule_id", "id"]),
        ("ix_alert_records_severity", ["severity", "id"]),
        ("ix_alert_records_ended_at", ["ended_at"]),
        ("ix_alert_records_expires_at", ["expires_at"]),
    ):
        create_tenant_index(name, "alert_records", columns)
    create_tenant_table(
        "alert_notes",
        sa.Column("alert_id", Id(), nullable=False),
        sa.Column("id", Id(), nullable=False),
        *_times("at"),
        *_texts("kind", "actor", "text"),
        sa.Column("value", sa.Float(), nullable=True),
        key=("alert_id", "id"),
    )
    create_tenant_table(
        "alert_heartbeats",
        *_texts("name"),
        *_times("last_at"),
        *_texts("last_by"),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        key=("name",),
    )
    confine(*TABLES)


def downgrade() -> None:
    """Drop them, and with them what was ever told."""
    for table in reversed(TABLES):
        op.drop_table(table)
