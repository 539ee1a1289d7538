"""Limits that are edited at run time."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261128_gateway_limits"
down_revision = "20261128_identity_providers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table: without a row the settings hold."""
    create_tenant_table(
        "limits",
        sa.Column("id", Id(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        *(
            sa.Column(f"{counted}_{part}", sa.BigInteger(), nullable=True)
            for counted in ("requests", "bytes")
            for part in ("burst", "refill", "seconds")
        ),
        sa.Column("concurrency", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.UniqueConstraint(
            "tenant_id", "owner", "kind", "name", name=op.f("uq_limits_tenant_id_owner_kind_name")
        ),
    )
    confine("limits")


def downgrade() -> None:
    """Drop it; the settings hold."""
    op.drop_table("limits")
