"""Graphs that are submitted again and again, and what became of each time."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261221_job_schedules"
down_revision = "20261220_job_graphs"
branch_labels = None
depends_on = None

TABLES = ("job_schedules", "job_firings")


def upgrade() -> None:
    """Create the tables."""
    create_tenant_table(
        "job_schedules",
        sa.Column("id", Id(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("name", "overlap", "catch_up", "created_by", "updated_by")
        ),
        *(sa.Column(name, Json, nullable=False) for name in ("timing", "graph")),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("jitter_seconds", "revision")
        ),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        *(sa.Column(name, UtcTime(), nullable=True) for name in ("due_at", "next_at")),
        sa.Column("last_graph_id", Id(), nullable=True),
        *(sa.Column(name, UtcTime(), nullable=False) for name in ("created_at", "updated_at")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_job_schedules_tenant_id_name")),
    )
    create_tenant_table(
        "job_firings",
        sa.Column("schedule_id", Id(), nullable=False),
        *(sa.Column(name, UtcTime(), nullable=False) for name in ("due_at", "decided_at")),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("graph_id", Id(), nullable=True),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("until", UtcTime(), nullable=True),
        key=("schedule_id", "due_at"),
    )
    waiting = sa.text("next_at IS NOT NULL")
    create_tenant_index(
        "ix_job_schedules_next_at",
        "job_schedules",
        ["next_at"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index(
        "ix_job_schedules_due",
        "job_schedules",
        ["next_at"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index("ix_job_firings_decided_at", "job_firings", ["decided_at"])
    confine(*TABLES)


def downgrade() -> None:
    """Remove them."""
    for table in reversed(TABLES):
        op.drop_table(table)
