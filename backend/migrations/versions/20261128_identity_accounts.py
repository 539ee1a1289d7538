"""Where log-ins come from and when they were used, and links for new passwords."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine

revision = "20261128_identity_accounts"
down_revision = "20261128_identity_invitations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and columns; of log-ins that are there nobody knows where they came from."""
    op.create_table(
        "password_resets",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_password_resets")),
    )
    for name in ("user_id", "expires_at"):
        op.create_index(f"ix_password_resets_{name}", "password_resets", [name])
    confine("password_resets")
    op.add_column("sessions", sa.Column("last_seen_at", UtcTime(), nullable=True))
    for name in ("address", "agent"):
        op.add_column("sessions", sa.Column(name, sa.Text(), nullable=True))
    op.execute("UPDATE sessions SET last_seen_at = created_at, address = '', agent = ''")
    with op.batch_alter_table("sessions") as batch:
        batch.alter_column("last_seen_at", existing_type=UtcTime(), nullable=False)
        for name in ("address", "agent"):
            batch.alter_column(name, existing_type=sa.Text(), nullable=False)


def downgrade() -> None:
    """Drop them."""
    for name in ("agent", "address", "last_seen_at"):
        op.drop_column("sessions", name)
    op.drop_table("password_resets")
