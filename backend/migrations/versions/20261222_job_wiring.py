"""Jobs of a graph take from those they wait for, and stand for many."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json

revision = "20261222_job_wiring"
down_revision = "20261221_job_schedules"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a job takes, and which one it is a part of: nothing and none, for what there is."""
    op.add_column("jobs", sa.Column("wiring", Json, nullable=True))
    op.add_column("jobs", sa.Column("part_of", Id(), nullable=True))


def downgrade() -> None:
    """Drop them: what was to be taken is taken by nobody."""
    op.drop_column("jobs", "part_of")
    op.drop_column("jobs", "wiring")
