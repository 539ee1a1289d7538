"""Keys of people, certificates of their erasure, and signatures of tenants' certificates."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine, pass_as_owner
from backend.migrations.tables import create_tenant_table

revision = "20261201_compliance_subjects"
down_revision = "20261201_audit_places"
branch_labels = None
depends_on = None

_SIGNED = ("statement", "signature", "key_id")


def upgrade() -> None:
    """Make them. Records of before stay as they are: they were hashed so."""
    create_tenant_table(
        "subject_keys",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("id", Id(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        key=("subject",),
    )
    create_tenant_table(
        "erasures",
        sa.Column("id", Id(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("also", sa.Text(), nullable=True),
        sa.Column("erased_at", UtcTime(), nullable=False),
        sa.Column("erased_by", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
    )
    confine("subject_keys", "erasures")
    op.add_column("tenant_certificates", sa.Column("keys", Json, nullable=True))
    for name in _SIGNED:
        op.add_column("tenant_certificates", sa.Column(name, sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop them, unless a person has a key: what is under it could not be read any more.

    Raises:
        RuntimeError: Somebody has.
    """
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        pass_as_owner(bind)
    kept = bind.scalar(sa.select(sa.func.count()).select_from(sa.table("subject_keys")))
    if kept:
        raise RuntimeError(
            f"{kept} people have keys, and the release before cannot read what is under them: "
            "nothing was changed"
        )
    for name in (*_SIGNED, "keys"):
        op.drop_column("tenant_certificates", name)
    op.drop_table("erasures")
    op.drop_table("subject_keys")
