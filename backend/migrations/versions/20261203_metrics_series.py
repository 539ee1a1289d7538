"""Series of the tenants' own: their names and labels, points that wait, and windows in chunks."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261203_metrics_series"
down_revision = "20261203_logging_records"
branch_labels = None
depends_on = None

_TABLES = ("metric_tenants", "metric_series", "metric_batches", "metric_chunks")


def upgrade() -> None:
    """Create the tables."""
    create_tenant_table(
        "metric_tenants",
        sa.Column("series", sa.BigInteger(), nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("keep_days", Json, nullable=True),
        sa.Column("swept_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=True),
        sa.Column("updated_by", sa.Text(), nullable=True),
        key=(),
    )
    op.create_index("ix_metric_tenants_swept_at", "metric_tenants", ["swept_at"])
    create_tenant_table(
        "metric_series",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("labels_key", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("last_at", UtcTime(), nullable=False),
        sa.Column("observations", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("last_value", sa.Float(), nullable=True),
        sa.UniqueConstraint(
            "tenant_id",
            "name",
            "labels_key",
            name=op.f("uq_metric_series_tenant_id_name_labels_key"),
        ),
    )
    create_tenant_table(
        "metric_batches",
        sa.Column("id", Id(), nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
    )
    create_tenant_table(
        "metric_chunks",
        sa.Column("step_seconds", sa.BigInteger(), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        sa.Column("start_seconds", sa.BigInteger(), nullable=False),
        sa.Column("windows", sa.LargeBinary(), nullable=False),
        sa.Column("buckets", sa.LargeBinary(), nullable=False),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        key=("step_seconds", "series_id", "start_seconds"),
    )
    create_tenant_index("ix_metric_chunks_age", "metric_chunks", ["step_seconds", "start_seconds"])
    create_tenant_index(
        "ix_metric_chunks_waiting",
        "metric_chunks",
        ["step_seconds"],
        sqlite_where=sa.text("waiting IS 1"),
        postgresql_where=sa.text("waiting IS true"),
    )
    confine(*_TABLES)


def downgrade() -> None:
    """Drop them, and what they hold."""
    for table in reversed(_TABLES):
        op.drop_table(table)
