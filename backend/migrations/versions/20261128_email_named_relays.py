"""Mail servers that messages may name."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261128_email_named_relays"
down_revision = "20261128_gateway_limits"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and the column of messages with the index of those that use it."""
    create_tenant_table(
        "email_named_relays",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("from_address", sa.Text(), nullable=True),
        sa.Column("smtp_host", sa.Text(), nullable=False),
        sa.Column("smtp_port", sa.Integer(), nullable=False),
        sa.Column("smtp_username", sa.Text(), nullable=True),
        sa.Column("sealed_password", sa.LargeBinary(), nullable=True),
        sa.Column("smtp_tls", sa.Text(), nullable=False),
        sa.Column("smtp_options", Json, nullable=True),
        sa.Column("version", Id(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        key=("name",),
    )
    confine("email_named_relays")
    op.add_column("email_messages", sa.Column("relay", sa.Text(), nullable=True))
    create_tenant_index(
        "ix_email_messages_relay",
        "email_messages",
        ["relay", "state", "id"],
        sqlite_where=sa.column("relay").is_not(None),
        postgresql_where=sa.column("relay").is_not(None),
    )


def downgrade() -> None:
    """Drop them; what named a relay would go by the tenant's settings."""
    op.drop_index("ix_email_messages_relay", "email_messages")
    op.drop_column("email_messages", "relay")
    op.drop_table("email_named_relays")
