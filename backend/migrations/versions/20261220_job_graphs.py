"""Jobs of a graph wait for others, and start by what became of those."""

import sqlalchemy as sa
from alembic import op

from backend.migrations.tables import create_tenant_index

revision = "20261220_job_graphs"
down_revision = "20261219_alerting_send_resolved"
branch_labels = None
depends_on = None

_OF_GRAPH = sa.text("graph_id IS NOT NULL")
_OVER = sa.text("finished_at IS NOT NULL")


def upgrade() -> None:
    """Add what a job of a graph says, and what a graph counts."""
    op.add_column("jobs", sa.Column("runs_on", sa.Text(), nullable=False, server_default="success"))
    op.add_column(
        "jobs", sa.Column("delay_seconds", sa.Double(), nullable=False, server_default="0")
    )
    for name in ("cancelled", "skipped"):
        op.add_column(
            "job_graphs", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        )
    op.create_index(
        "ix_jobs_graph",
        "jobs",
        ["tenant_id", "graph_id", "state", "id"],
        sqlite_where=_OF_GRAPH,
        postgresql_where=_OF_GRAPH,
    )
    op.create_index(
        "ix_job_graphs_finished_at",
        "job_graphs",
        ["finished_at"],
        sqlite_where=_OVER,
        postgresql_where=_OVER,
    )
    create_tenant_index("ix_job_graphs_state", "job_graphs", ["state", "id"])
    op.drop_index("ix_job_edges_child_id", table_name="job_edges")
    create_tenant_index("ix_job_edges_child_id", "job_edges", ["child_id", "parent_id"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_job_edges_child_id", table_name="job_edges")
    create_tenant_index("ix_job_edges_child_id", "job_edges", ["child_id"])
    op.drop_index("ix_job_graphs_state", table_name="job_graphs")
    op.drop_index("ix_job_graphs_finished_at", table_name="job_graphs")
    op.drop_index("ix_jobs_graph", table_name="jobs")
    for name in ("skipped", "cancelled"):
        op.drop_column("job_graphs", name)
    for name in ("delay_seconds", "runs_on"):
        op.drop_column("jobs", name)
