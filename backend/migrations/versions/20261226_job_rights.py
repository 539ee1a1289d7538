"""Graphs and schedules keep what their submitters may, of what kinds of jobs take."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Json

revision = "20261226_job_rights"
down_revision = "20261224_job_waiting"
branch_labels = None
depends_on = None

TABLES = ("job_graphs", "job_schedules")


def upgrade() -> None:
    """Add it; of those there are nothing is known, so what they grow takes no permission."""
    for table in TABLES:
        op.add_column(table, sa.Column("rights", Json, nullable=True))


def downgrade() -> None:
    """Drop it."""
    for table in TABLES:
        op.drop_column(table, "rights")
