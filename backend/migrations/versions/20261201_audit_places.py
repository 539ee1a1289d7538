"""Which places outside have each checkpoint, and which looks at a trail ended when."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "20261201_audit_places"
down_revision = "20261201_audit_retention"
branch_labels = None
depends_on = None

_SAME: Final = (
    "NEW.tenant_id = OLD.tenant_id AND NEW.id = OLD.id AND NEW.size = OLD.size"
    " AND NEW.root = OLD.root AND NEW.note = OLD.note AND NEW.created_at = OLD.created_at"
    " AND OLD.published_at IS NULL AND "
)
_BEFORE: Final = f"{_SAME}NEW.published_at IS NOT NULL"
_AFTER: Final = (
    f"{_SAME}(NEW.published_at IS NOT NULL AND NEW.handed = OLD.handed"
    " OR NEW.published_at IS NULL AND NEW.handed > OLD.handed)"
)
_SAID: Final = "audit checkpoints are append-only"


def upgrade() -> None:
    """Add the column; no row is written. What was published stays so, whoever has it."""
    op.add_column(
        "audit_checkpoints",
        sa.Column("handed", sa.BigInteger(), nullable=False, server_default="0"),
    )
    _guard(_AFTER)
    op.create_index("ix_audit_verifications_finished_at", "audit_verifications", ["finished_at"])


def downgrade() -> None:
    """Drop it: what some places have and others lack, all of them get again."""
    op.drop_index("ix_audit_verifications_finished_at", table_name="audit_verifications")
    _guard(_BEFORE)
    op.drop_column("audit_checkpoints", "handed")


def _guard(rule: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE OR REPLACE FUNCTION guard_audit_checkpoints() RETURNS trigger"
            " LANGUAGE plpgsql AS $$ BEGIN"
            "  IF TG_OP = 'INSERT' THEN RETURN NEW;"
            f"  ELSIF {rule} THEN RETURN NEW; END IF;"
            f"  RAISE EXCEPTION '{_SAID}'; END $$"
        )
        return
    op.execute("DROP TRIGGER audit_checkpoints_guard_update")
    op.execute(
        "CREATE TRIGGER audit_checkpoints_guard_update BEFORE update ON audit_checkpoints"
        f" WHEN ({rule}) IS NOT 1 BEGIN SELECT RAISE(ABORT, '{_SAID}'); END"
    )
