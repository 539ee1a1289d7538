"""Jobs are found by what they are about, and in their graph by their name."""

import sqlalchemy as sa
from alembic import op

from backend.migrations.tables import create_tenant_index

revision = "20261228_job_subjects"
down_revision = "20261226_job_rights"
branch_labels = None
depends_on = None

_ABOUT = sa.text("subject IS NOT NULL")
_OF_GRAPH = sa.text("graph_id IS NOT NULL")


def upgrade() -> None:
    """Add the indexes; those that are about nothing, or of no graph, are not in them."""
    create_tenant_index(
        "ix_jobs_subject",
        "jobs",
        ["subject", "state", "created_at", "id"],
        sqlite_where=_ABOUT,
        postgresql_where=_ABOUT,
    )
    create_tenant_index(
        "ix_jobs_key",
        "jobs",
        ["graph_id", "key"],
        sqlite_where=_OF_GRAPH,
        postgresql_where=_OF_GRAPH,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_jobs_key", table_name="jobs")
    op.drop_index("ix_jobs_subject", table_name="jobs")
