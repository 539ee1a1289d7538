"""Erasing people is a walk: how far it is, and what it still looks for."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Json, UtcTime
from backend.migrations.row_security import pass_as_owner

revision = "20261202_compliance_walks"
down_revision = "20261201_compliance_subjects"
branch_labels = None
depends_on = None

_TIMES = ("started_at", "known_until", "round_at", "updated_at", "not_before")
_NUMBERS = ("round", "looked_at", "rewritten", "found", "waiting")
_AT_THE_END = ("statement", "signature", "key_id")


def upgrade() -> None:
    """Add them; who was erased before was so in one transaction, and is complete."""
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        pass_as_owner(bind)
    for name in ("state", "place", "after"):
        op.add_column("erasures", sa.Column(name, sa.Text(), nullable=True))
    for name in ("open_key", "waits_for"):
        op.add_column("erasures", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("erasures", sa.Column("sealed_address", sa.LargeBinary(), nullable=True))
    for name in ("keys", "counts"):
        op.add_column("erasures", sa.Column(name, Json, nullable=True))
    for name in _NUMBERS:
        op.add_column("erasures", sa.Column(name, sa.BigInteger(), nullable=True))
    for name in _TIMES:
        op.add_column("erasures", sa.Column(name, UtcTime(), nullable=True))
    op.execute("""
        UPDATE erasures SET state = 'complete', place = '', after = '', keys = '[]', counts = '{}',
            round = 0, looked_at = 0, rewritten = 0, found = 0, waiting = 0,
            started_at = erased_at, known_until = erased_at, round_at = erased_at,
            updated_at = erased_at, not_before = erased_at
    """)
    with op.batch_alter_table("erasures") as batch:
        for name in ("state", "place", "after"):
            batch.alter_column(name, existing_type=sa.Text(), nullable=False)
        for name in ("keys", "counts"):
            batch.alter_column(name, existing_type=Json, nullable=False)
        for name in _NUMBERS:
            batch.alter_column(name, existing_type=sa.BigInteger(), nullable=False)
        for name in _TIMES:
            batch.alter_column(name, existing_type=UtcTime(), nullable=False)
        for name in _AT_THE_END:
            batch.alter_column(name, existing_type=sa.Text(), nullable=True)
        batch.alter_column("erased_at", existing_type=UtcTime(), nullable=True)
        batch.create_unique_constraint(
            op.f("uq_erasures_tenant_id_open_key"), ["tenant_id", "open_key"]
        )
    op.create_index(
        "ix_erasures_running",
        "erasures",
        ["state"],
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )


def downgrade() -> None:
    """Drop them, unless somebody is being erased: nobody would go on.

    Raises:
        RuntimeError: Somebody is.
    """
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        pass_as_owner(bind)
    running = bind.scalar(
        sa.select(sa.func.count())
        .select_from(sa.table("erasures", sa.column("state")))
        .where(sa.column("state") == "running")
    )
    if running:
        raise RuntimeError(
            f"{running} people are being erased, and the release before would not go on with it: "
            "nothing was changed"
        )
    op.drop_index("ix_erasures_running", "erasures")
    with op.batch_alter_table("erasures") as batch:
        batch.drop_constraint(op.f("uq_erasures_tenant_id_open_key"), type_="unique")
        for name in _AT_THE_END:
            batch.alter_column(name, existing_type=sa.Text(), nullable=False)
        batch.alter_column("erased_at", existing_type=UtcTime(), nullable=False)
    for name in (
        "state",
        "place",
        "after",
        "open_key",
        "waits_for",
        "sealed_address",
        "keys",
        "counts",
        *_NUMBERS,
        *_TIMES,
    ):
        op.drop_column("erasures", name)
