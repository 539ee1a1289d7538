"""Records under a MAC, the tree over them, its signed states, and what refuses to undo any of it.

What waits for a number is numbered here: from now on nothing gets one without a MAC, and it has
none. On SQLite no table is copied; on PostgreSQL one check reads the records once.
"""

from types import SimpleNamespace
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from backend.core.audit import GENESIS, link
from backend.core.columns import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261130_audit_tree"
down_revision = "20261130_security_rewraps"
branch_labels = None
depends_on = None

_GROWING: Final = sa.text("tree_size < seq")
_UNSIGNED: Final = sa.text("checkpoint_size < tree_size")
_UNPUBLISHED: Final = sa.text("published_at IS NULL")
_ORDER: Final = "0 <= checkpoint_size AND checkpoint_size <= tree_size AND tree_size <= seq"

_CONTENT: Final = ("id", "tenant_id", "at", "actor", "action", "target", "data", "request_id")
_TABLES: Final = ("audit_records", "audit_heads", "audit_tiles", "audit_checkpoints")

# What each table lets happen to its rows, in the words of both databases; {same} is IS on SQLite.
_RECORD_NUMBERED: Final = "OLD.seq IS NULL AND NEW.seq >= 1 AND NEW.chain_hash IS NOT NULL"
_RECORD_NEW: Final = (
    "NEW.seq IS NULL AND NEW.chain_hash IS NULL AND NEW.mac IS NOT NULL AND length(NEW.mac) = 32"
)
_HEAD_NEW: Final = "NEW.seq = 0 AND NEW.tree_size = 0 AND NEW.checkpoint_size = 0"
_HEAD_ON: Final = (
    "NEW.tenant_id = OLD.tenant_id AND NEW.seq >= OLD.seq"
    " AND (NEW.seq > OLD.seq OR NEW.chain_hash = OLD.chain_hash)"
    " AND NEW.tree_size >= OLD.tree_size AND NEW.checkpoint_size >= OLD.checkpoint_size"
    " AND (OLD.mac IS NULL OR NEW.mac IS NOT NULL AND NEW.unsealed_seq = OLD.unsealed_seq)"
)
_TILE_ON: Final = (
    "NEW.tenant_id = OLD.tenant_id AND NEW.level = OLD.level AND NEW.number = OLD.number"
    " AND length(NEW.hashes) >= length(OLD.hashes)"
    " AND substr(NEW.hashes, 1, length(OLD.hashes)) = OLD.hashes"
)
_CHECKPOINT_ON: Final = (
    "NEW.tenant_id = OLD.tenant_id AND NEW.id = OLD.id AND NEW.size = OLD.size"
    " AND NEW.root = OLD.root AND NEW.note = OLD.note AND NEW.created_at = OLD.created_at"
    " AND OLD.published_at IS NULL AND NEW.published_at IS NOT NULL"
)
_SAID: Final = "audit records are append-only"
_CHANGES: Final = {
    "audit_heads": (_HEAD_NEW, _HEAD_ON, "audit heads only go forward"),
    "audit_tiles": (None, _TILE_ON, "audit tiles are append-only"),
    "audit_checkpoints": (None, _CHECKPOINT_ON, "audit checkpoints are append-only"),
}


def upgrade() -> None:
    """Number what waits; then add the columns, the tables, and what guards them."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    _number_waiting()
    if postgresql:
        op.execute("DROP TRIGGER audit_records_append_only ON audit_records")
        op.execute("DROP TRIGGER audit_records_no_truncate ON audit_records")
        op.execute("DROP FUNCTION refuse_audit_change")
        op.add_column("audit_records", sa.Column("mac", sa.LargeBinary(), nullable=True))
        op.create_check_constraint(op.f("ck_audit_records_seq"), "audit_records", "seq >= 1")
    else:
        op.execute("DROP TRIGGER audit_records_no_update")
        op.execute("DROP TRIGGER audit_records_no_delete")
        # A column's constraint may speak of others, and adding a column copies no table.
        op.execute(
            "ALTER TABLE audit_records ADD COLUMN mac BLOB"
            " CONSTRAINT ck_audit_records_seq CHECK (seq >= 1)"
        )
    op.add_column("audit_heads", sa.Column("unsealed_seq", sa.BigInteger(), nullable=True))
    op.add_column("audit_heads", sa.Column("mac", sa.LargeBinary(), nullable=True))
    none_yet = sa.Column("tree_size", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("audit_heads", none_yet)
    if postgresql:
        op.add_column(
            "audit_heads",
            sa.Column("checkpoint_size", sa.BigInteger(), nullable=False, server_default="0"),
        )
        op.create_check_constraint(op.f("ck_audit_heads_order"), "audit_heads", _ORDER)
    else:
        op.execute(
            "ALTER TABLE audit_heads ADD COLUMN checkpoint_size BIGINT DEFAULT '0' NOT NULL"
            f" CONSTRAINT ck_audit_heads_order CHECK ({_ORDER})"
        )
    for name, condition in (
        ("ix_audit_heads_growing", _GROWING),
        ("ix_audit_heads_unsigned", _UNSIGNED),
    ):
        op.create_index(
            name,
            "audit_heads",
            ["tenant_id"],
            sqlite_where=condition,
            postgresql_where=condition,
        )
    create_tenant_table(
        "audit_tiles",
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        key=("level", "number"),
    )
    create_tenant_table(
        "audit_checkpoints",
        sa.Column("id", Id(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("published_at", UtcTime(), nullable=True),
        sa.UniqueConstraint("tenant_id", "size", name=op.f("uq_audit_checkpoints_tenant_id_size")),
        sa.CheckConstraint("size >= 1", name=op.f("ck_audit_checkpoints_size")),
    )
    op.create_index(
        "ix_audit_checkpoints_unpublished",
        "audit_checkpoints",
        ["created_at"],
        sqlite_where=_UNPUBLISHED,
        postgresql_where=_UNPUBLISHED,
    )
    create_tenant_table(
        "audit_verifications",
        sa.Column("id", Id(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("from_size", sa.BigInteger(), nullable=False),
        sa.Column("target_size", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("findings", Json, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("finished_at", UtcTime(), nullable=True),
    )
    confine("audit_tiles", "audit_checkpoints", "audit_verifications")
    _guard_postgresql() if postgresql else _guard_sqlite()


def downgrade() -> None:
    """Drop all of it, and guard the records as before."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    for table in _TABLES:
        for what in ("insert", "update", "delete", *(("truncate",) if postgresql else ())):
            on = f" ON {table}" if postgresql else ""
            op.execute(f"DROP TRIGGER IF EXISTS {table}_guard_{what}{on}")
    if postgresql:
        for table in _TABLES:
            op.execute(f"DROP FUNCTION guard_{table}")
        op.execute("DROP FUNCTION guard_audit_delete")
    for name in ("ix_audit_heads_growing", "ix_audit_heads_unsigned"):
        op.drop_index(name, table_name="audit_heads")
    if postgresql:
        op.drop_constraint(op.f("ck_audit_heads_order"), "audit_heads")
        op.drop_constraint(op.f("ck_audit_records_seq"), "audit_records")
    for column in ("checkpoint_size", "tree_size", "mac", "unsealed_seq"):
        op.drop_column("audit_heads", column)
    op.drop_column("audit_records", "mac")
    for table in ("audit_verifications", "audit_checkpoints", "audit_tiles"):
        op.drop_table(table)
    for statement in _BEFORE_POSTGRESQL if postgresql else _BEFORE_SQLITE:
        op.execute(statement)


def _number_waiting() -> None:
    """Give what has no number its place, as the sequencer before would have."""
    bind = op.get_bind()
    records = sa.table(
        "audit_records",
        *(sa.column(name, sa.Text()) for name in ("actor", "action", "target", "request_id")),
        sa.column("id", Id()),
        sa.column("tenant_id", Id()),
        sa.column("at", UtcTime()),
        sa.column("data", Json),
        sa.column("seq", sa.BigInteger()),
        sa.column("chain_hash", sa.LargeBinary()),
    )
    heads = sa.table(
        "audit_heads",
        sa.column("tenant_id", Id()),
        sa.column("seq", sa.BigInteger()),
        sa.column("chain_hash", sa.LargeBinary()),
    )
    waiting = sa.select(*(records.c[name] for name in _CONTENT)).where(records.c.seq.is_(None))
    at: dict[str, tuple[int, bytes]] = {}
    for row in bind.execute(waiting.order_by(records.c.id)).mappings().all():
        record: Any = SimpleNamespace(**row)
        tenant_id = record.tenant_id
        of_tenant = heads.c.tenant_id == tenant_id
        if tenant_id not in at:
            head = bind.execute(sa.select(heads.c.seq, heads.c.chain_hash).where(of_tenant)).first()
            if head is None:
                new = {"tenant_id": tenant_id, "seq": 0, "chain_hash": GENESIS}
                bind.execute(sa.insert(heads).values(new))
            at[tenant_id] = (head.seq, head.chain_hash) if head else (0, GENESIS)
        seq, previous = at[tenant_id]
        chain_hash = link(previous, seq + 1, record)
        place = {"seq": seq + 1, "chain_hash": chain_hash}
        at[tenant_id] = (seq + 1, chain_hash)
        bind.execute(
            sa.update(records)
            .where(records.c.tenant_id == tenant_id, records.c.id == record.id)
            .values(place)
        )
        bind.execute(sa.update(heads).where(of_tenant).values(place))


def _guard_postgresql() -> None:
    same = " AND ".join(
        f"NEW.{name} IS NOT DISTINCT FROM OLD.{name}" for name in (*_CONTENT, "mac")
    )
    rules = {"audit_records": (_RECORD_NEW, f"{_RECORD_NUMBERED} AND {same}", _SAID)} | _CHANGES
    op.execute(
        "CREATE FUNCTION guard_audit_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table, (new, on, said) in rules.items():
        op.execute(
            f"CREATE FUNCTION guard_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f"  IF TG_OP = 'INSERT' THEN IF {new or 'true'} THEN RETURN NEW; END IF;"
            f"  ELSIF {on} THEN RETURN NEW; END IF;"
            f"  RAISE EXCEPTION '{said}'; END $$"
        )
        for what in ("insert", "update") if new else ("update",):
            op.execute(
                f"CREATE TRIGGER {table}_guard_{what} BEFORE {what} ON {table}"
                f" FOR EACH ROW EXECUTE FUNCTION guard_{table}()"
            )
        op.execute(
            f"CREATE TRIGGER {table}_guard_delete BEFORE DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION guard_audit_delete()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_guard_truncate BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION guard_audit_delete()"
        )


def _guard_sqlite() -> None:
    same = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in (*_CONTENT, "mac"))
    rules = {"audit_records": (_RECORD_NEW, f"{_RECORD_NUMBERED} AND {same}", _SAID)} | _CHANGES
    for table, (new, on, said) in rules.items():
        for what, rule in (("insert", new), ("update", on), ("delete", "0")):
            if rule is not None:
                # What is neither true nor false is refused as well.
                op.execute(
                    f"CREATE TRIGGER {table}_guard_{what} BEFORE {what} ON {table}"
                    f" WHEN ({rule}) IS NOT 1 BEGIN SELECT RAISE(ABORT, '{said}'); END"
                )


_BEFORE_POSTGRESQL: Final = (
    """
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.seq IS NULL AND NEW.seq IS NOT NULL
     AND (NEW.id, NEW.tenant_id, NEW.at, NEW.actor, NEW.action, NEW.target, NEW.data,
          NEW.request_id)
       IS NOT DISTINCT FROM
         (OLD.id, OLD.tenant_id, OLD.at, OLD.actor, OLD.action, OLD.target, OLD.data,
          OLD.request_id)
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'audit records are append-only';
END $$
""",
    """
CREATE TRIGGER audit_records_append_only BEFORE UPDATE OR DELETE ON audit_records
  FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()
""",
    """
CREATE TRIGGER audit_records_no_truncate BEFORE TRUNCATE ON audit_records
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
""",
)
_BEFORE_SQLITE: Final = (
    """
CREATE TRIGGER audit_records_no_update BEFORE UPDATE ON audit_records
WHEN NOT (OLD.seq IS NULL AND NEW.seq IS NOT NULL
  AND NEW.id IS OLD.id AND NEW.tenant_id IS OLD.tenant_id AND NEW.at IS OLD.at
  AND NEW.actor IS OLD.actor AND NEW.action IS OLD.action AND NEW.target IS OLD.target
  AND NEW.data IS OLD.data AND NEW.request_id IS OLD.request_id)
BEGIN
  SELECT RAISE(ABORT, 'audit records are append-only');
END
""",
    """
CREATE TRIGGER audit_records_no_delete BEFORE DELETE ON audit_records
BEGIN
  SELECT RAISE(ABORT, 'audit records are append-only');
END
""",
)
