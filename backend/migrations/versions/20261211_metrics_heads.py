"""Metrics: what a tenant has used of a day's budget, and up to where its events are in series."""

import sqlalchemy as sa
from alembic import op

from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261211_metrics_heads"
down_revision = "20261210_tracing_kept_by_log"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    create_tenant_table(
        "metric_heads",
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("day", "day_points", "event_seq")
        ),
        key=(),
    )
    confine("metric_heads")


def downgrade() -> None:
    """Drop it: a day's budget begins anew."""
    op.drop_table("metric_heads")
