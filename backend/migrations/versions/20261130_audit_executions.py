"""What the audit trail is searched by beside the request: workflow and execution.

By columns that the database makes of the data: what a record is proved by stays as it is, and so
do the records that there are.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

from backend.migrations.tables import create_tenant_index

revision = "20261130_audit_executions"
down_revision = "20261130_audit_streams"
branch_labels = None
depends_on = None

_NAMES: Final = ("workflow_id", "execution_id")


def upgrade() -> None:
    """Add and index them.

    PostgreSQL writes the table anew, some seconds a million records, and keeps it locked meanwhile;
    SQLite makes the value when it is asked for, and reads the table for the index alone.
    """
    stored = op.get_bind().dialect.name == "postgresql"
    for name in _NAMES:
        expression = f"coalesce(data -> 'run' ->> '{name}', data ->> '{name}')"
        made = sa.Computed(expression, persisted=stored)
        op.add_column("audit_records", sa.Column(name, sa.Text(), made, nullable=True))
        said = sa.text(f"{name} IS NOT NULL")
        create_tenant_index(
            f"ix_audit_records_{name}",
            "audit_records",
            [name, "id"],
            postgresql_ops={name: "text_pattern_ops"},
            postgresql_where=said,
            sqlite_where=said,
        )


def downgrade() -> None:
    """Drop both."""
    for name in _NAMES:
        op.drop_index(f"ix_audit_records_{name}", table_name="audit_records")
        op.drop_column("audit_records", name)
