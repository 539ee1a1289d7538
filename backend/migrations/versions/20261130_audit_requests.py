"""What the audit trail is searched by beside act, actor and target: the request."""

from alembic import op

from backend.migrations.tables import create_tenant_index

revision = "20261130_audit_requests"
down_revision = "20261130_secrets_tables"
branch_labels = None
depends_on = None

_INDEX = "ix_audit_records_request_id"


def upgrade() -> None:
    """Build it: about a second for each 200 000 records."""
    create_tenant_index(
        _INDEX,
        "audit_records",
        ["request_id", "id"],
        postgresql_ops={"request_id": "text_pattern_ops"},
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index(_INDEX, table_name="audit_records")
