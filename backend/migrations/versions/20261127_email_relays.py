"""How long mail is tried, when it is sent, and what is known of relays."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261127_email_relays"
down_revision = "20261127_core_row_security"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and columns; mail that is under way is tried from when it was made."""
    create_tenant_table(
        "email_relays",
        sa.Column("relay", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("since", UtcTime(), nullable=True),
        sa.Column("until", UtcTime(), nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("connections", sa.Integer(), nullable=True),
        sa.Column("rate_per_second", sa.Double(), nullable=True),
        sa.Column("messages_per_session", sa.Integer(), nullable=True),
        sa.Column("recipients_per_transaction", sa.Integer(), nullable=True),
        sa.Column("accepted_at", UtcTime(), nullable=True),
        sa.Column("updated_at", UtcTime(), nullable=False),
        key=("relay", "sender"),
    )
    confine("email_relays")
    op.add_column("email_messages", sa.Column("tries_from", UtcTime(), nullable=True))
    op.execute("UPDATE email_messages SET tries_from = created_at")
    with op.batch_alter_table("email_messages") as batch:
        batch.alter_column("tries_from", existing_type=UtcTime(), nullable=False)
    op.add_column("email_messages", sa.Column("delayed_at", UtcTime(), nullable=True))
    op.add_column("email_messages", sa.Column("send_at", UtcTime(), nullable=True))
    for name in ("smtp_options", "retry", "senders"):
        op.add_column("email_settings", sa.Column(name, Json, nullable=True))


def downgrade() -> None:
    """Drop them; what waits for its time would be sent at once."""
    for name in ("senders", "retry", "smtp_options"):
        op.drop_column("email_settings", name)
    for name in ("send_at", "delayed_at", "tries_from"):
        op.drop_column("email_messages", name)
    op.drop_table("email_relays")
