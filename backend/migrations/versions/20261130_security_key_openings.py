"""Who opens what versions of named keys made, and when last."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261130_security_key_openings"
down_revision = "20261130_audit_executions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create it."""
    create_tenant_table(
        "security_key_openings",
        sa.Column("id", Id(), nullable=False),
        sa.Column("key_id", Id(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("last_at", UtcTime(), nullable=False),
        sa.UniqueConstraint(
            "tenant_id",
            "key_id",
            "version",
            "actor",
            name=op.f("uq_security_key_openings_tenant_id_key_id_version_actor"),
        ),
    )
    confine("security_key_openings")


def downgrade() -> None:
    """Drop it; who opened what is learned anew."""
    op.drop_table("security_key_openings")
