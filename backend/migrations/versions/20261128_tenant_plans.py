"""Plans, what tenants may by them, and what they have used of it."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from backend.core.database import Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261128_tenant_plans"
down_revision = "20261128_access_reviews"
branch_labels = None
depends_on = None

_UNLIMITED = "unlimited"
# The same each time, and over for whoever looks at the plan.
_MADE_AT = datetime(2026, 11, 26, tzinfo=UTC)


def upgrade() -> None:
    """Create the tables; every tenant has the plan without limits."""
    plans = op.create_table(
        "plans",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("quotas", Json, nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_plans")),
    )
    op.bulk_insert(
        plans,
        [{"name": _UNLIMITED, "quotas": {}, "updated_at": _MADE_AT}],
    )
    confine("plans")
    create_tenant_table("tenant_quotas", sa.Column("limits", Json, nullable=False), key=())
    create_tenant_table(
        "tenant_counts",
        sa.Column("quota", sa.Text(), nullable=False),
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.BigInteger(), nullable=False),
        key=("quota", "window"),
        postgresql_with={"fillfactor": "50"},
    )
    confine("tenant_quotas", "tenant_counts")
    unlimited = sa.text(f"'{_UNLIMITED}'")
    op.add_column("tenants", sa.Column("plan", sa.Text(), nullable=False, server_default=unlimited))
    op.add_column(
        "tenants",
        sa.Column("overrides", Json, nullable=False, server_default=sa.text("'{}'")),
    )
    op.add_column("job_tenants", sa.Column("quota_running", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop them: nobody has a quota any more."""
    op.drop_column("job_tenants", "quota_running")
    op.drop_column("tenants", "overrides")
    op.drop_column("tenants", "plan")
    for table in ("tenant_counts", "tenant_quotas", "plans"):
        op.drop_table(table)
