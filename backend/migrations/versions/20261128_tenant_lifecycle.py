"""Tenants that are suspended, or leave, and what went of those that left."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine

revision = "20261128_tenant_lifecycle"
down_revision = "20261128_core_signals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add why and since when, the certificates, and the mark that keeps jobs from starting."""
    op.add_column("tenants", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("tenants", sa.Column("state_since", UtcTime(), nullable=True))
    op.add_column("tenants", sa.Column("purge_at", UtcTime(), nullable=True))
    op.create_table(
        "tenant_certificates",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Id(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant_created_at", UtcTime(), nullable=False),
        sa.Column("deleted_by", sa.Text(), nullable=False),
        sa.Column("deleted_at", UtcTime(), nullable=False),
        sa.Column("begun_at", UtcTime(), nullable=True),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("counts", Json, nullable=False),
        sa.Column("audit_seq", sa.BigInteger(), nullable=False),
        sa.Column("audit_root", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant_certificates")),
        sa.UniqueConstraint("tenant", name=op.f("uq_tenant_certificates_tenant")),
    )
    confine("tenant_certificates")
    op.add_column(
        "job_tenants",
        sa.Column("held", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    """Drop them: who was suspended stays inactive, as the older release understands it."""
    op.drop_column("job_tenants", "held")
    op.drop_table("tenant_certificates")
    for name in ("purge_at", "state_since", "reason"):
        op.drop_column("tenants", name)
