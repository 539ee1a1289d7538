"""How many spans were kept for a line of a log, and how many went on to a collector."""

import sqlalchemy as sa
from alembic import op

revision = "20261210_tracing_kept_by_log"
down_revision = "20261209_monitoring_queries"
branch_labels = None
depends_on = None

_COUNTS = ("kept_by_log", "forwarded", "not_forwarded")


def upgrade() -> None:
    """Add the counts; of the days before there was none."""
    for name in _COUNTS:
        op.add_column(
            "trace_counts", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        )


def downgrade() -> None:
    """Forget them."""
    for name in reversed(_COUNTS):
        op.drop_column("trace_counts", name)
