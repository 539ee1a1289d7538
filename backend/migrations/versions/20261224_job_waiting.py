"""Jobs wait for an answer from elsewhere, and hold no worker meanwhile."""

import sqlalchemy as sa
from alembic import op

revision = "20261224_job_waiting"
down_revision = "20261223_job_workers"
branch_labels = None
depends_on = None

AWAITING = "state = 'awaiting'"


def upgrade() -> None:
    """Add which attempt was answered, none of those there are, and whose time has passed."""
    op.add_column("jobs", sa.Column("answered", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_jobs_awaiting",
        "jobs",
        ["due_at"],
        sqlite_where=sa.text(AWAITING),
        postgresql_where=sa.text(AWAITING),
    )


def downgrade() -> None:
    """Drop them; what waits for an answer is tried again."""
    op.execute(
        sa.update(sa.table("jobs", sa.column("state", sa.Text())))
        .where(sa.column("state", sa.Text()) == "awaiting")
        .values(state="ready")
    )
    op.drop_index("ix_jobs_awaiting", table_name="jobs")
    op.drop_column("jobs", "answered")
