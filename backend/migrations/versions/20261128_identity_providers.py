"""Tenants' own identity providers, and log-ins that come by them."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261128_identity_providers"
down_revision = "20261128_identity_second_factor"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; log-ins of before were by password, when they began."""
    create_tenant_table(
        "identity_providers",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("groups_claim", sa.Text(), nullable=False),
        sa.Column("roles_by_group", Json, nullable=False),
        sa.Column("default_role", sa.Text(), nullable=True),
        sa.Column("second_factor", sa.Boolean(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=True),
        sa.Column("domain_state", sa.Text(), nullable=False),
        sa.Column("domain_token", sa.Text(), nullable=False),
        sa.Column("enforced", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
    )
    op.create_index(
        "uq_identity_providers_domain",
        "identity_providers",
        ["domain"],
        unique=True,
        sqlite_where=sa.text("domain_state != 'claimed'"),
        postgresql_where=sa.text("domain_state != 'claimed'"),
    )
    op.create_index("ix_identity_providers_id", "identity_providers", ["id"])
    op.create_table(
        "external_log_ins",
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("provider_id", Id(), nullable=False),
        sa.Column("return_to", sa.Text(), nullable=False),
        sa.Column("max_age", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_external_log_ins")),
    )
    op.create_index("ix_external_log_ins_provider_id", "external_log_ins", ["provider_id"])
    op.create_index("ix_external_log_ins_expires_at", "external_log_ins", ["expires_at"])
    confine("identity_providers", "external_log_ins")
    for table in ("sessions", "pending_log_ins"):
        op.add_column(table, sa.Column("authenticated_at", UtcTime(), nullable=True))
        op.add_column(table, sa.Column("provider_id", Id(), nullable=True))
        op.add_column(table, sa.Column("bound_to", Id(), nullable=True))
    op.execute("UPDATE sessions SET authenticated_at = created_at")
    with op.batch_alter_table("sessions") as batch:
        batch.alter_column("authenticated_at", existing_type=UtcTime(), nullable=False)
    op.create_index("ix_sessions_provider_id", "sessions", ["provider_id"])


def downgrade() -> None:
    """Drop them: nobody signs in at another provider, and who did is logged out."""
    op.execute("DELETE FROM sessions WHERE provider_id IS NOT NULL")
    op.drop_index("ix_sessions_provider_id", table_name="sessions")
    for table in ("pending_log_ins", "sessions"):
        for name in ("bound_to", "provider_id", "authenticated_at"):
            op.drop_column(table, name)
    op.drop_table("external_log_ins")
    op.drop_table("identity_providers")
