"""What a person is to the platform: a role, in place of yes or no."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_tenant_platform_roles"
down_revision = "20261128_tenant_roles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Administrators stay what they are."""
    op.add_column("users", sa.Column("platform_role", sa.Text(), nullable=True))
    op.execute("UPDATE users SET platform_role = 'administrator' WHERE platform_admin")
    op.drop_column("users", "platform_admin")


def downgrade() -> None:
    """Administrators stay what they are, auditors and support become nothing."""
    op.add_column(
        "users",
        sa.Column("platform_admin", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.execute("UPDATE users SET platform_admin = true WHERE platform_role = 'administrator'")
    op.drop_column("users", "platform_role")
