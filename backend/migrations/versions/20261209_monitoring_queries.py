"""Queries to a Prometheus that people keep under a name."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261209_monitoring_queries"
down_revision = "20261207_metrics_request_hours"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    create_tenant_table(
        "prometheus_queries",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_prometheus_queries_tenant_id_name")),
    )
    confine("prometheus_queries")


def downgrade() -> None:
    """Drop it, and with it what people kept."""
    op.drop_table("prometheus_queries")
