"""Files of audit records, and the pieces that they are made of."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261130_audit_exports"
down_revision = "20261130_audit_requests"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them."""
    create_tenant_table(
        "audit_exports",
        sa.Column("id", Id(), nullable=False),
        sa.Column("job_id", Id(), nullable=True),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("wanted", Json, nullable=False),
        sa.Column("until_id", Id(), nullable=False),
        sa.Column("done_id", Id(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("expires_at", UtcTime(), nullable=False),
    )
    op.create_index("ix_audit_exports_expires_at", "audit_exports", ["expires_at"])
    create_tenant_table(
        "audit_export_parts",
        sa.Column("export_id", Id(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        key=("export_id", "position"),
    )
    confine("audit_exports", "audit_export_parts")


def downgrade() -> None:
    """Drop them; the records stay where they are."""
    op.drop_table("audit_export_parts")
    op.drop_table("audit_exports")
