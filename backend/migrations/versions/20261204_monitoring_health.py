"""How the platform was: looks at its health, by the minute and by the hour."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261204_monitoring_health"
down_revision = "20261203_tracing_spans"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; nothing is known of the time before."""
    create_tenant_table(
        "health_samples",
        sa.Column("step_seconds", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("looked", sa.BigInteger(), nullable=False),
        sa.Column("impaired", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        key=("step_seconds", "at", "name"),
    )
    confine("health_samples")


def downgrade() -> None:
    """Drop it, and with it how the platform was."""
    op.drop_table("health_samples")
