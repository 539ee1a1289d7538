"""Second factors, log-ins that wait for one, and which tenants ask for one."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261128_identity_second_factor"
down_revision = "20261128_tenant_platform_roles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; log-ins of before began with a password."""
    op.create_table(
        "totp_secrets",
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("confirmed_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_totp_secrets")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name=op.f("pk_recovery_codes")),
    )
    op.create_table(
        "pending_log_ins",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("methods", Json, nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_pending_log_ins")),
    )
    op.create_index("ix_pending_log_ins_user_id", "pending_log_ins", ["user_id"])
    op.create_index("ix_pending_log_ins_expires_at", "pending_log_ins", ["expires_at"])
    create_tenant_table(
        "login_policies",
        sa.Column("require_second_factor", sa.Boolean(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        key=(),
    )
    confine("totp_secrets", "recovery_codes", "pending_log_ins", "login_policies")
    op.add_column("sessions", sa.Column("methods", Json, nullable=True))
    op.execute("""UPDATE sessions SET methods = '["pwd"]'""")
    with op.batch_alter_table("sessions") as batch:
        batch.alter_column("methods", existing_type=Json, nullable=False)


def downgrade() -> None:
    """Drop them: whoever has a second factor logs in without."""
    op.drop_column("sessions", "methods")
    for table in ("login_policies", "pending_log_ins", "recovery_codes", "totp_secrets"):
        op.drop_table(table)
