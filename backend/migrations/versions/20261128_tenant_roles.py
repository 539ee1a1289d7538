"""Roles of tenants' own, and how often a tenant's have changed."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261128_tenant_roles"
down_revision = "20261128_tenant_lifecycle"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them."""
    create_tenant_table(
        "roles",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("permissions", Json, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        key=("name",),
    )
    create_tenant_table(
        "role_matrices", sa.Column("version", sa.BigInteger(), nullable=False), key=()
    )
    confine("roles", "role_matrices")


def downgrade() -> None:
    """Drop them; who holds such a role is permitted nothing."""
    op.drop_table("role_matrices")
    op.drop_table("roles")
