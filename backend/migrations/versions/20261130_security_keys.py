"""Named keys of tenants with their versions, and the seals of tenants."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261130_security_keys"
down_revision = "20261128_gateway_sustained"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and say of data keys which root key has wrapped them."""
    op.add_column("data_keys", sa.Column("root_id", sa.Text(), nullable=True))
    create_tenant_table(
        "security_keys",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("latest_version", sa.BigInteger(), nullable=False),
        sa.Column("min_decrypt_version", sa.BigInteger(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("exportable", sa.Boolean(), nullable=False),
        sa.Column("rotate_after_seconds", sa.BigInteger(), nullable=True),
        sa.Column("rotate_after_operations", sa.BigInteger(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("rotated_at", UtcTime(), nullable=False),
        sa.Column("rotates_at", UtcTime(), nullable=True),
        sa.Column("delete_at", UtcTime(), nullable=True),
        sa.Column("revision", Id(), nullable=False),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_security_keys_tenant_id_name")),
    )
    op.create_index("ix_security_keys_rotates_at", "security_keys", ["rotates_at"])
    op.create_index("ix_security_keys_delete_at", "security_keys", ["delete_at"])
    create_tenant_table(
        "security_key_versions",
        sa.Column("key_id", Id(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.Column("operations", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        key=("key_id", "number"),
    )
    create_tenant_table(
        "security_seals",
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sealed_at", UtcTime(), nullable=False),
        sa.Column("sealed_by", sa.Text(), nullable=False),
        key=(),
    )
    for table in ("security_keys", "security_key_versions", "security_seals"):
        confine(table)


def downgrade() -> None:
    """Drop them: what the keys have encrypted does not open any more."""
    for table in ("security_seals", "security_key_versions", "security_keys"):
        op.drop_table(table)
    op.drop_column("data_keys", "root_id")
