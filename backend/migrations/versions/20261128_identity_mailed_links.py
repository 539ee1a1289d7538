"""The link of an invitation that is mailed is another than the one that is shown."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_identity_mailed_links"
down_revision = "20261128_tenant_email_proven"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the column: what was mailed before works as the one that is shown."""
    op.add_column("invitations", sa.Column("mailed_hash", sa.LargeBinary(), nullable=True))
    op.create_index("uq_invitations_mailed_hash", "invitations", ["mailed_hash"], unique=True)


def downgrade() -> None:
    """Drop it; links that were mailed are void."""
    op.drop_index("uq_invitations_mailed_hash", "invitations")
    op.drop_column("invitations", "mailed_hash")
