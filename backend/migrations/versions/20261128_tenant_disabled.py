"""Members who are kept out of a tenant."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_tenant_disabled"
down_revision = "20261128_identity_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the column: nobody is."""
    op.add_column(
        "memberships",
        sa.Column("disabled", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    """Drop it; whoever was kept out may act again."""
    op.drop_column("memberships", "disabled")
