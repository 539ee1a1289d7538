"""Workers say what they are, and can be drained."""

import sqlalchemy as sa
from alembic import op

revision = "20261223_job_workers"
down_revision = "20261222_job_wiring"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a worker says of itself; one that began before says nothing, and heeds nothing."""
    op.add_column("job_workers", sa.Column("version", sa.Text(), nullable=True))
    op.add_column("job_workers", sa.Column("slots", sa.BigInteger(), nullable=True))
    for name in ("draining", "heeded"):
        op.add_column(
            "job_workers",
            sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()),
        )


def downgrade() -> None:
    """Drop it: who was drained claims again."""
    for name in ("heeded", "draining", "slots", "version"):
        op.drop_column("job_workers", name)
