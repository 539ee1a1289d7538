"""Jobs are found by what they are about."""

import sqlalchemy as sa
from alembic import op

from backend.migrations.tables import create_tenant_index

revision = "20261228_job_subjects"
down_revision = "20261224_job_waiting"
branch_labels = None
depends_on = None

_ABOUT = sa.text("subject IS NOT NULL")


def upgrade() -> None:
    """Add the index; those that are about nothing are not in it."""
    create_tenant_index(
        "ix_jobs_subject",
        "jobs",
        ["subject", "state", "created_at", "id"],
        sqlite_where=_ABOUT,
        postgresql_where=_ABOUT,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_jobs_subject", table_name="jobs")
