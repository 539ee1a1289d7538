"""Subjects and templates sealed.

What is there stays readable in the clear and is sealed by the next walk that seals anew
(``rewrap``): a migration has no keys. The way down is refused while anything is sealed here.
"""

import sqlalchemy as sa
from alembic import op

from backend.migrations.row_security import pass_as_owner

revision = "20261130_email_sealed_subjects"
down_revision = "20261130_security_keys"
branch_labels = None
depends_on = None

_SEALED = (("email_messages", "sealed_subject"), ("email_templates", "sealed_source"))


def upgrade() -> None:
    """Add the columns; no row is written."""
    for table, column in _SEALED:
        op.add_column(table, sa.Column(column, sa.LargeBinary(), nullable=True))
    # In SQL, because a row of before counts by what stands in its other columns.
    op.add_column(
        "email_templates",
        sa.Column("characters", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )


def downgrade() -> None:
    """Drop them, unless that would lose what is sealed in them.

    Raises:
        RuntimeError: Something is: the release before could not read it.
    """
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        pass_as_owner(bind)
    for table, column in _SEALED:
        sealed = sa.table(table, sa.column(column))
        kept = bind.scalar(
            sa.select(sa.func.count()).select_from(sealed).where(sealed.c[column].is_not(None))
        )
        if kept:
            raise RuntimeError(
                f"{kept} rows of {table} are sealed, which the release before cannot read: "
                "nothing was changed"
            )
    op.drop_column("email_templates", "characters")
    for table, column in _SEALED:
        op.drop_column(table, column)
