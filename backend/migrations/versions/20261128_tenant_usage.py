"""Usage by day."""

import sqlalchemy as sa
from alembic import op

from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261128_tenant_usage"
down_revision = "20261128_tenant_plans"
branch_labels = None
depends_on = None

_FIGURES = (
    "requests",
    "emails_accepted",
    "emails_bounced",
    "jobs_ended",
    "members",
    "storage_bytes",
)


def upgrade() -> None:
    """Create the tables; what was before is not told."""
    create_tenant_table(
        "tenant_usage",
        sa.Column("day", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _FIGURES),
        key=("day",),
    )
    create_tenant_table(
        "tenant_usage_heads", sa.Column("seq", sa.BigInteger(), nullable=False), key=()
    )
    confine("tenant_usage", "tenant_usage_heads")


def downgrade() -> None:
    """Drop them."""
    op.drop_table("tenant_usage_heads")
    op.drop_table("tenant_usage")
