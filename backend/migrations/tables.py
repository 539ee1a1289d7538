"""What migrations do to whole tables: tenants' tables are made, and made over, in one form.

The tenant stands first in the primary key and in every index of its table (record 0016). Indexes
that an errand needs across tenants are made with ``op.create_index``, and argued in the model.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id

_TENANT: Final = "tenant_id"


def create_tenant_table(
    name: str, *parts: sa.Column[Any] | sa.Constraint, key: Sequence[str] = ("id",), **more: Any
) -> None:
    """Create a table whose rows belong to one tenant each.

    Args:
        name: Of the table.
        parts: Its columns and constraints, but for the tenant and the primary key.
        key: What tells rows of one tenant apart; none for one row a tenant.
        more: As for :class:`sqlalchemy.Table`.
    """
    op.create_table(
        name,
        sa.Column(_TENANT, Id(), nullable=False),
        *parts,
        sa.PrimaryKeyConstraint(_TENANT, *key, name=op.f(f"pk_{name}")),
        **more,
    )


def create_tenant_index(name: str, table: str, columns: Sequence[str], **more: Any) -> None:
    """Create an index that serves one tenant: the tenant, then these columns."""
    op.create_index(name, table, [_TENANT, *columns], **more)


def rekey(table: str, key: Sequence[str], *, added: Mapping[str, str] | None = None) -> None:
    """Give a table another primary key, and perhaps columns that follow from others.

    PostgreSQL builds the key's index and, for added columns, writes the table anew; SQLite copies
    the table in the order of the key and makes its indexes and triggers again, in the words in
    which they were made. Either takes some seconds a million rows, and space for a second copy.

    Args:
        table: Which.
        key: All columns of the new one.
        added: Text columns without NULL, by the expression that fills them.
    """
    if op.get_bind().dialect.name == "postgresql":
        _rekey_postgresql(table, key, added or {})
    else:
        _rekey_sqlite(table, key, added or {})


def _rekey_postgresql(table: str, key: Sequence[str], added: Mapping[str, str]) -> None:
    columns = ", ".join(key)
    op.execute(
        f"ALTER TABLE {table} DROP CONSTRAINT pk_{table}, "
        f"ADD CONSTRAINT pk_{table} PRIMARY KEY ({columns})"
    )
    for name, expression in added.items():
        # Generated while the table is written anew, once; an UPDATE would leave it twice as large.
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN {name} text NOT NULL "
            f"GENERATED ALWAYS AS ({expression}) STORED"
        )
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {name} DROP EXPRESSION")


def _rekey_sqlite(table: str, key: Sequence[str], added: Mapping[str, str]) -> None:
    more = "".join(f"{name} TEXT NOT NULL, " for name in added)
    _remake_sqlite(
        table,
        rf"CONSTRAINT pk_{table} PRIMARY KEY \([^)]*\)",
        f"{more}CONSTRAINT pk_{table} PRIMARY KEY ({', '.join(key)})",
        key,
        added,
    )


def unique_where(table: str, name: str, columns: Sequence[str]) -> None:
    """Hold only rows with the last of these columns to a unique constraint, by a partial index.

    Those without it were as many entries under one key, which each change of a row adds to.

    Args:
        table: Whose.
        name: Of the constraint, and then of the index.
        columns: After the tenant.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(name, table)
    else:
        _remake_sqlite(table, rf",\s*CONSTRAINT {name} UNIQUE \([^)]*\)", "")
    given = sa.text(f"{columns[-1]} IS NOT NULL")
    create_tenant_index(
        name, table, columns, unique=True, sqlite_where=given, postgresql_where=given
    )


def unique_always(table: str, name: str, columns: Sequence[str]) -> None:
    """Undo :func:`unique_where`."""
    op.drop_index(name, table)
    if op.get_bind().dialect.name == "postgresql":
        op.create_unique_constraint(name, table, [_TENANT, *columns])
        return
    held = ", ".join([_TENANT, *columns])
    # After the primary key: SQLite numbers their indexes, and statements name the first as its.
    _remake_sqlite(
        table,
        rf"(CONSTRAINT pk_{table} PRIMARY KEY \([^)]*\))",
        rf"\1, CONSTRAINT {name} UNIQUE ({held})",
    )


def _remake_sqlite(
    table: str,
    pattern: str,
    instead: str,
    key: Sequence[str] | None = None,
    added: Mapping[str, str] | None = None,
) -> None:
    """The procedure of https://sqlite.org/lang_altertable.html, section 7; by its key, or this."""
    bind, added = op.get_bind(), added or {}
    key = key or sa.inspect(bind).get_pk_constraint(table)["constrained_columns"]
    known = bind.exec_driver_sql(
        "SELECT type, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL", (table,)
    ).all()
    made = next(sql for kind, sql in known if kind == "table")
    columns = [row[1] for row in bind.exec_driver_sql(f"PRAGMA table_info({table})").all()]
    head, body = re.fullmatch(rf"(CREATE TABLE )\W?{table}\W? ?(\(.*)", made, re.DOTALL).groups()  # type: ignore[union-attr]
    body, found = re.subn(pattern, instead, body)
    if found != 1:
        raise RuntimeError(f"{table} was not made in the usual words: {pattern}")
    bind.exec_driver_sql(f"{head}{table}_new {body}")
    into = ", ".join([*columns, *added])
    source = ", ".join([*columns, *added.values()])
    bind.exec_driver_sql(
        f"INSERT INTO {table}_new ({into}) SELECT {source} FROM {table} ORDER BY {', '.join(key)}"
    )
    bind.exec_driver_sql(f"DROP TABLE {table}")
    bind.exec_driver_sql(f"ALTER TABLE {table}_new RENAME TO {table}")
    for kind, sql in known:
        if kind != "table":
            bind.exec_driver_sql(sql)
