"""Access reviews and their lines."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261128_access_reviews"
down_revision = "20261128_identity_bounds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them."""
    create_tenant_table(
        "access_reviews",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("due_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("closed_at", UtcTime(), nullable=True),
        sa.Column("overdue_told_at", UtcTime(), nullable=True),
    )
    still_open = sa.text("closed_at IS NULL AND overdue_told_at IS NULL")
    op.create_index(
        "ix_access_reviews_open",
        "access_reviews",
        ["due_at"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    create_tenant_table(
        "access_review_lines",
        sa.Column("review_id", Id(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("holder_id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("permissions", Json, nullable=False),
        sa.Column("last_used_at", UtcTime(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", UtcTime(), nullable=True),
        key=("review_id", "subject"),
    )
    confine("access_reviews", "access_review_lines")


def downgrade() -> None:
    """Drop them."""
    op.drop_table("access_review_lines")
    op.drop_table("access_reviews")
