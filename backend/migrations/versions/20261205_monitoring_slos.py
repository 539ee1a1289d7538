"""Objectives, what is counted for them, and what drills and benchmarks measured."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261205_monitoring_slos"
down_revision = "20261204_monitoring_health"
branch_labels = None
depends_on = None

_TABLES = ("slo_objectives", "slo_outcomes", "slo_outcome_heads", "slo_evidence")


def upgrade() -> None:
    """Create the tables; what ended before is not counted."""
    create_tenant_table(
        "slo_objectives",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=True),
        sa.Column("good_metric", sa.Text(), nullable=True),
        sa.Column("within_ms", sa.Float(), nullable=True),
        sa.Column("within_seconds", sa.Float(), nullable=True),
        sa.Column("objective", sa.Float(), nullable=False),
        sa.Column("window_days", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("measured_until", UtcTime(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_slo_objectives_tenant_id_name")),
    )
    create_tenant_table(
        "slo_outcomes",
        sa.Column("step_seconds", sa.BigInteger(), nullable=False),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("good", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        key=("step_seconds", "counted", "at"),
    )
    op.create_index("ix_slo_outcomes_at", "slo_outcomes", ["step_seconds", "at"])
    create_tenant_table(
        "slo_outcome_heads", sa.Column("seq", sa.BigInteger(), nullable=False), key=()
    )
    create_tenant_table(
        "slo_evidence",
        sa.Column("id", Id(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
    )
    create_tenant_index("ix_slo_evidence_kind", "slo_evidence", ["kind", "at", "id"])
    for table in _TABLES:
        confine(table)


def downgrade() -> None:
    """Drop them, and with them what was promised and how it was kept."""
    for table in reversed(_TABLES):
        op.drop_table(table)
