"""When a data key begins to seal, walks that seal everything anew, and records of keys gone."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261130_security_rewraps"
down_revision = "20261130_email_sealed_subjects"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, which is empty for keys that seal since they were made, and the tables."""
    op.add_column("data_keys", sa.Column("seals_from", UtcTime(), nullable=True))
    create_tenant_table(
        "data_key_rewraps",
        sa.Column("id", Id(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("after", Json, nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("broken", sa.BigInteger(), nullable=False),
        sa.Column("counting", Json, nullable=False),
        sa.Column("left", Json, nullable=True),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("round_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("not_before", UtcTime(), nullable=False),
        sa.Column("verified_at", UtcTime(), nullable=True),
        sa.Column("finished_at", UtcTime(), nullable=True),
        key=(),
    )
    op.create_index(
        "ix_data_key_rewraps_running",
        "data_key_rewraps",
        ["state"],
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    create_tenant_table(
        "data_key_retirements",
        sa.Column("id", Id(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", UtcTime(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
    )
    confine("data_key_rewraps", "data_key_retirements")


def downgrade() -> None:
    """Drop them; every version that is there still opens, and the newest of them seals."""
    op.drop_table("data_key_retirements")
    op.drop_index("ix_data_key_rewraps_running", "data_key_rewraps")
    op.drop_table("data_key_rewraps")
    op.drop_column("data_keys", "seals_from")
