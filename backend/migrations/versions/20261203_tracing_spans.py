"""Traces that are kept: their spans, what all spans came to, and what each tenant wants of them."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261203_tracing_spans"
down_revision = "20261203_metrics_series"
branch_labels = None
depends_on = None

_TABLES = ("traces", "trace_spans", "trace_operations", "trace_counts", "trace_settings")


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _number(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def upgrade() -> None:
    """Create the five tables."""
    create_tenant_table(
        "traces",
        sa.Column("id", Id(), nullable=False),
        *_text("trace_id", "service", "name"),
        *_number("started_ns", "duration_ns", "spans", "errors", "size_bytes"),
        *_text("kept_for", "workflow_id", "execution_id", "request_id"),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.UniqueConstraint("tenant_id", "trace_id", name=op.f("uq_traces_tenant_id_trace_id")),
    )
    for name in ("workflow_id", "execution_id"):
        create_tenant_index(f"ix_traces_{name}", "traces", [name, "id"])
    create_tenant_table(
        "trace_spans",
        sa.Column("trace", Id(), nullable=False),
        *_text("span_id", "parent_id", "service", "name"),
        *_number("kind", "started_ns", "duration_ns", "status"),
        *_text("message", "request_id"),
        *(
            sa.Column(name, Json, nullable=False)
            for name in ("attributes", "resource", "events", "links")
        ),
        *_number("size_bytes"),
        key=("trace", "span_id"),
    )
    for name in ("service", "name", "request_id"):
        create_tenant_index(f"ix_trace_spans_{name}", "trace_spans", [name, "trace"])
    create_tenant_table(
        "trace_operations",
        sa.Column("window_at", UtcTime(), nullable=False),
        sa.Column("id", Id(), nullable=False),
        *_text("service", "name"),
        *_number("spans", "errors"),
        sa.Column("seconds_sum", sa.Double(), nullable=False),
        sa.Column("buckets", Json, nullable=False),
        key=("window_at", "id"),
    )
    create_tenant_table(
        "trace_counts",
        *_text("day"),
        *_number("kept", "kept_bytes", "dropped_by_policy", "dropped_by_overflow", "rejected"),
        key=("day",),
    )
    create_tenant_table(
        "trace_settings",
        sa.Column("share", sa.Double(), nullable=True),
        sa.Column("keep_days", sa.BigInteger(), nullable=True),
        sa.Column("keep_sampled", sa.Boolean(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        *_text("updated_by"),
        key=(),
    )
    for table in _TABLES:
        confine(table)


def downgrade() -> None:
    """Drop them; traces are nobody's record."""
    for table in reversed(_TABLES):
        op.drop_table(table)
