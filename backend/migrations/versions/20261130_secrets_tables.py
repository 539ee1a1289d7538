"""Secrets in versions, rights to read one once, and folders that are open to roles."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261130_secrets_tables"
down_revision = "20261130_audit_tree"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    create_tenant_table(
        "secret_items",
        sa.Column("id", Id(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("max_versions", sa.BigInteger(), nullable=False),
        sa.Column("cas_required", sa.Boolean(), nullable=False),
        sa.Column("ttl_seconds", sa.BigInteger(), nullable=True),
        sa.Column("remind_seconds", sa.BigInteger(), nullable=False),
        sa.Column("revision", Id(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
    )
    create_tenant_index(
        "ix_secret_items_path",
        "secret_items",
        ["environment", "path"],
        unique=True,
        postgresql_ops={"path": "text_pattern_ops"},
    )
    create_tenant_table(
        "secret_versions",
        sa.Column("id", Id(), nullable=False),
        sa.Column("secret_id", Id(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("deleted_at", UtcTime(), nullable=True),
        sa.Column("destroyed_at", UtcTime(), nullable=True),
        sa.Column("due_at", UtcTime(), nullable=True),
        sa.UniqueConstraint(
            "tenant_id",
            "secret_id",
            "version",
            name=op.f("uq_secret_versions_tenant_id_secret_id_version"),
        ),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_secret_versions_due",
        "secret_versions",
        ["due_at"],
        sqlite_where=due,
        postgresql_where=due,
    )
    create_tenant_table(
        "secret_tokens",
        sa.Column("id", Id(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("secret_id", Id(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=True),
        sa.Column("issuer_role", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.Column("used_version", sa.BigInteger(), nullable=True),
        sa.UniqueConstraint("tenant_id", "digest", name=op.f("uq_secret_tokens_tenant_id_digest")),
    )
    create_tenant_index("ix_secret_tokens_secret", "secret_tokens", ["secret_id", "id"])
    op.create_index("ix_secret_tokens_expires_at", "secret_tokens", ["expires_at"])
    unused = sa.text("used_at IS NULL")
    op.create_index(
        "ix_secret_tokens_unused",
        "secret_tokens",
        ["expires_at"],
        sqlite_where=unused,
        postgresql_where=unused,
    )
    create_tenant_table(
        "secret_grants",
        sa.Column("id", Id(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("access", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.UniqueConstraint(
            "tenant_id",
            "folder",
            "environment",
            "role",
            name=op.f("uq_secret_grants_tenant_id_folder_environment_role"),
        ),
    )
    create_tenant_table(
        "secret_totals",
        sa.Column("secrets", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        key=(),
    )
    confine("secret_items", "secret_versions", "secret_tokens", "secret_grants", "secret_totals")


def downgrade() -> None:
    """Drop them."""
    for table in (
        "secret_totals",
        "secret_grants",
        "secret_tokens",
        "secret_versions",
        "secret_items",
    ):
        op.drop_table(table)
