"""Dashboards that people make, and what they were before."""

import sqlalchemy as sa
from alembic import op

from backend.core.columns import Json
from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261212_dashboard_boards"
down_revision = "20261211_metrics_heads"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    create_tenant_table(
        "dashboards",
        sa.Column("id", Id(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("content", Json, nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.UniqueConstraint(
            "tenant_id", "owner", "name", name=op.f("uq_dashboards_tenant_id_owner_name")
        ),
    )
    create_tenant_table(
        "dashboard_versions",
        sa.Column("dashboard_id", Id(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", Json, nullable=False),
        sa.Column("saved_at", UtcTime(), nullable=False),
        sa.Column("saved_by", sa.Text(), nullable=False),
        key=("dashboard_id", "version"),
    )
    for table in ("dashboards", "dashboard_versions"):
        confine(table)


def downgrade() -> None:
    """Drop them, and with them what people put together."""
    op.drop_table("dashboard_versions")
    op.drop_table("dashboards")
