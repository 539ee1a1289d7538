"""Attempts before a retry, which count on."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_orchestrator_forgiven"
down_revision = "20261126_core_tenant_first"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the count; jobs retried before began at zero again, and are as they are."""
    op.add_column(
        "jobs", sa.Column("forgiven", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    )


def downgrade() -> None:
    """Drop it: what was retried has fewer attempts left."""
    op.drop_column("jobs", "forgiven")
