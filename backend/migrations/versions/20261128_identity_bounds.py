"""What clients and keys are held to within their roles, and when clients were used last."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Json, UtcTime

revision = "20261128_identity_bounds"
down_revision = "20261128_tenant_disabled"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what is there already is bounded by nothing."""
    for table in ("api_keys", "oauth_clients"):
        op.add_column(table, sa.Column("scopes", Json, nullable=True))
        op.add_column(table, sa.Column("networks", Json, nullable=True))
    for name in ("expires_at", "last_used_at"):
        op.add_column("oauth_clients", sa.Column(name, UtcTime(), nullable=True))


def downgrade() -> None:
    """Delete what the code before would not hold to its bounds; then drop them."""
    for table in ("api_keys", "oauth_clients"):
        rows = sa.table(table, sa.column("scopes"), sa.column("networks"))
        bound = sa.or_(rows.c.scopes.is_not(None), rows.c.networks.is_not(None))
        op.execute(sa.delete(rows).where(bound))
    op.execute("DELETE FROM oauth_clients WHERE expires_at IS NOT NULL")
    for name in ("last_used_at", "expires_at"):
        op.drop_column("oauth_clients", name)
    for table in ("oauth_clients", "api_keys"):
        op.drop_column(table, "networks")
        op.drop_column(table, "scopes")
