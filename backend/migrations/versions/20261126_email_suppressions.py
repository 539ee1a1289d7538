"""Suppressions, and whether hard bounces become some."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime

revision = "20261126_email_suppressions"
down_revision = "20261126_core_events"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; nobody asked for the switch yet."""
    op.create_table(
        "email_suppressions",
        sa.Column("tenant_id", Id(), nullable=False),
        sa.Column("id", Id(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_email_suppressions")),
    )
    op.create_index(
        "ix_email_suppressions_address",
        "email_suppressions",
        ["tenant_id", "address_key"],
        unique=True,
        postgresql_ops={"address_key": "text_pattern_ops"},
    )
    op.create_index(
        "ix_email_suppressions_expires_at",
        "email_suppressions",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.add_column(
        "email_settings",
        sa.Column("suppress_hard_bounces", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    """Drop both: what was suppressed would be mailed again."""
    op.drop_column("email_settings", "suppress_hard_bounces")
    op.drop_table("email_suppressions")
