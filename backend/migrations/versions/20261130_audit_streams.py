"""Where tenants' trails are pushed to."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261130_audit_streams"
down_revision = "20261130_audit_exports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create it."""
    create_tenant_table(
        "audit_streams",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("ca_certificate", sa.Text(), nullable=True),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("held_until", UtcTime(), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("next_try_at", UtcTime(), nullable=False),
        sa.Column("delivered_at", UtcTime(), nullable=True),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        key=(),
    )
    op.create_index("ix_audit_streams_next_try_at", "audit_streams", ["next_try_at"])
    confine("audit_streams")


def downgrade() -> None:
    """Drop it; where each was is forgotten."""
    op.drop_table("audit_streams")
