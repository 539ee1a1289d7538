"""How long trails are kept, and the one way in which records may go.

A record goes when the tenant's signed statement covers it and it is older than ninety days by the
database's clock, and never else: the triggers hold the tables' owner to that as well. The way down
is refused once records are gone, since the release before takes that for tampering.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

from backend.core.columns import UtcTime
from backend.migrations.row_security import confine, pass_as_owner
from backend.migrations.tables import create_tenant_table

revision = "20261201_audit_retention"
down_revision = "20261130_security_key_openings"
branch_labels = None
depends_on = None

_SAID: Final = "audit retention only goes forward"
_NEW: Final = "NEW.removed_seq = 0 AND NEW.statement IS NULL"
_ON: Final = (
    "NEW.tenant_id = OLD.tenant_id AND (NEW.removed_seq = OLD.removed_seq AND {same}"
    " OR NEW.removed_seq > OLD.removed_seq AND NEW.statement IS NOT NULL AND NEW.removed_seq <"
    " (SELECT seq FROM audit_heads WHERE tenant_id = NEW.tenant_id) AND NEW.removed_seq <="
    " (SELECT checkpoint_size FROM audit_heads WHERE tenant_id = NEW.tenant_id))"
)
_GONE: Final = (
    "OLD.seq >= 1 AND OLD.seq <= (SELECT removed_seq FROM audit_retentions"
    " WHERE tenant_id = OLD.tenant_id) AND OLD.at < {long_ago}"
)
_LONG_AGO: Final = {
    "postgresql": "now() - interval '90 days'",
    "sqlite": "(CAST(strftime('%s', 'now') AS INTEGER) - 90 * 86400) * 1000000",
}


def upgrade() -> None:
    """Create the table, guard it, and let go what it covers."""
    create_tenant_table(
        "audit_retentions",
        sa.Column("keep_days", sa.BigInteger(), nullable=True),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("checked_at", UtcTime(), nullable=False),
        sa.Column("removed_seq", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", UtcTime(), nullable=True),
        sa.Column("statement", sa.Text(), nullable=True),
        key=(),
    )
    op.create_index("ix_audit_retentions_checked_at", "audit_retentions", ["checked_at"])
    confine("audit_retentions")
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def downgrade() -> None:
    """Let nothing go any more; refused once something went."""
    bind = op.get_bind()
    postgresql = bind.dialect.name == "postgresql"
    if postgresql:
        pass_as_owner(bind)
    gone = bind.execute(sa.text("SELECT count(*) FROM audit_retentions WHERE removed_seq > 0"))
    if count := gone.scalar_one():
        raise RuntimeError(f"{count} trails begin after records that were let go")
    _guard_deletion(postgresql=postgresql, rule=None)
    op.drop_table("audit_retentions")
    if postgresql:
        op.execute("DROP FUNCTION guard_audit_retentions")
        op.execute("DROP FUNCTION guard_audit_records_delete")


def _guard_postgresql() -> None:
    on = _ON.format(same="NEW.statement IS NOT DISTINCT FROM OLD.statement")
    op.execute(
        "CREATE FUNCTION guard_audit_retentions() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f"  IF TG_OP = 'INSERT' THEN IF {_NEW} THEN RETURN NEW; END IF;"
        f"  ELSIF {on} THEN RETURN NEW; END IF;"
        f"  RAISE EXCEPTION '{_SAID}'; END $$"
    )
    op.execute(
        "CREATE FUNCTION guard_audit_records_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f"  IF {_GONE.format(long_ago=_LONG_AGO['postgresql'])} THEN RETURN OLD; END IF;"
        "  RAISE EXCEPTION 'audit records are append-only'; END $$"
    )
    for what in ("insert", "update"):
        op.execute(
            f"CREATE TRIGGER audit_retentions_guard_{what} BEFORE {what} ON audit_retentions"
            " FOR EACH ROW EXECUTE FUNCTION guard_audit_retentions()"
        )
    for what, each in (("delete", "ROW"), ("truncate", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER audit_retentions_guard_{what} BEFORE {what} ON audit_retentions"
            f" FOR EACH {each} EXECUTE FUNCTION guard_audit_delete()"
        )
    _guard_deletion(postgresql=True, rule="guard_audit_records_delete")


def _guard_sqlite() -> None:
    on = _ON.format(same="NEW.statement IS OLD.statement")
    for what, rule in (("insert", _NEW), ("update", on), ("delete", "0")):
        op.execute(
            f"CREATE TRIGGER audit_retentions_guard_{what} BEFORE {what} ON audit_retentions"
            f" WHEN ({rule}) IS NOT 1 BEGIN SELECT RAISE(ABORT, '{_SAID}'); END"
        )
    _guard_deletion(postgresql=False, rule=_GONE.format(long_ago=_LONG_AGO["sqlite"]))


def _guard_deletion(*, postgresql: bool, rule: str | None) -> None:
    """Have records deleted by the rule alone; without one, never."""
    if postgresql:
        op.execute("DROP TRIGGER audit_records_guard_delete ON audit_records")
        op.execute(
            "CREATE TRIGGER audit_records_guard_delete BEFORE DELETE ON audit_records"
            f" FOR EACH ROW EXECUTE FUNCTION {rule or 'guard_audit_delete'}()"
        )
        return
    op.execute("DROP TRIGGER audit_records_guard_delete")
    op.execute(
        "CREATE TRIGGER audit_records_guard_delete BEFORE delete ON audit_records"
        f" WHEN ({rule or '0'}) IS NOT 1"
        " BEGIN SELECT RAISE(ABORT, 'audit records are append-only'); END"
    )
