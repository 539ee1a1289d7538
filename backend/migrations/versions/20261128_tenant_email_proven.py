"""When it was last shown that whoever has a log-in reads the mail of its address."""

import sqlalchemy as sa
from alembic import op

from backend.core.columns import UtcTime

revision = "20261128_tenant_email_proven"
down_revision = "20261128_tenant_usage"
branch_labels = None
depends_on = None

_USERS = sa.table(
    "users", sa.column("platform_role"), sa.column("created_at"), sa.column("email_proven_at")
)


def upgrade() -> None:
    """Create the column: it was shown of nobody but those whom the operator made."""
    op.add_column("users", sa.Column("email_proven_at", UtcTime(), nullable=True))
    op.get_bind().execute(
        sa.update(_USERS)
        .where(_USERS.c.platform_role.is_not(None))
        .values(email_proven_at=_USERS.c.created_at)
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("users", "email_proven_at")
