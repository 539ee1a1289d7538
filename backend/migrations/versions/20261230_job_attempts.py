"""What became of attempts at jobs that did not succeed is kept."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261230_job_attempts"
down_revision = "20261230_unique_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; of attempts made so far only the latest is known, by its job."""
    create_tenant_table(
        "job_attempts",
        sa.Column("job_id", Id(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("started_at", UtcTime(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        key=("job_id", "attempt"),
    )
    op.create_index("ix_job_attempts_ended_at", "job_attempts", ["ended_at"])
    confine("job_attempts")


def downgrade() -> None:
    """Forget it."""
    op.drop_table("job_attempts")
