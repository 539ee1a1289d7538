"""Requests by the hour: what ninety days are drawn from."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261207_metrics_request_hours"
down_revision = "20261206_logging_export"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; the worker makes its rows of the thirty days that are kept."""
    create_tenant_table(
        "metric_request_hours",
        sa.Column("hour_at", UtcTime(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("requests", "errors", "refusals")
        ),
        sa.Column("seconds_sum", sa.Float(), nullable=False),
        sa.Column("buckets", Json, nullable=False),
        key=("hour_at",),
    )
    # It spans tenants: whoever makes hours, and whoever forgets them, asks for those of all.
    op.create_index("ix_metric_request_hours_hour_at", "metric_request_hours", ["hour_at"])
    confine("metric_request_hours")


def downgrade() -> None:
    """Drop it: windows of more than thirty days go back to what ten seconds each remember."""
    op.drop_table("metric_request_hours")
