"""Signals that must not be lost: read by every process, and forgotten after some minutes."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261128_core_signals"
down_revision = "20261127_email_relays"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    create_tenant_table(
        "signals",
        sa.Column("id", Id(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
    )
    op.create_index("ix_signals_at", "signals", ["at"])
    confine("signals")


def downgrade() -> None:
    """Drop it."""
    op.drop_table("signals")
