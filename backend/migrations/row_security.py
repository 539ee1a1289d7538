"""Row-level security of tables: the one helper that migrations use, and who may pass it.

A migration that creates a table calls :func:`confine` with its name, and one that drops it needs
nothing. SQLite has no such thing, and there they do nothing.

Each policy says two things: a row is its transaction's tenant's, or the transaction's errand may
touch the table. Which errands may is written by :func:`declare_errands` at the end of every
migration, from what this release declares: no row and no setting that the service can change says
so, only the owner's policies.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import sqlalchemy as sa
from alembic import op

from backend.core.context import Errand
from backend.core.row_security import ERRAND_SETTING, NO_TENANT, TENANT_SETTING, reach_of

MIGRATION: Final = "core.migration"
"""What a migration names; only the role that owns the tables may."""

_JOURNALS: Final = frozenset({"audit_records", "events", "signals"})
_POLICY: Final = "scope"
_APPENDING: Final = "journal"
_OWNERS: Final = "migration"


def confine(*tables: str) -> None:
    """Make PostgreSQL hold these tables' rows to the scope, whoever asks, their owner included.

    Before any errand is declared, rows are their tenant's alone; of a table without tenants
    nobody's.
    """
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    for table in tables:
        columns = {column["name"] for column in sa.inspect(bind).get_columns(table)}
        rule = _rule([], by_tenant="tenant_id" in columns)
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {_POLICY} ON {table} USING ({rule})")
        op.execute(
            f"CREATE POLICY {_OWNERS} ON {table} TO CURRENT_USER "
            f"USING (current_setting('{ERRAND_SETTING}', true) = '{MIGRATION}')"
        )
        if table in _JOURNALS:
            op.execute(
                f"CREATE POLICY {_APPENDING} ON {table} FOR INSERT WITH CHECK ({_named([])})"
            )


def release(*tables: str) -> None:
    """Undo :func:`confine`."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in tables:
        for policy in (_POLICY, _OWNERS, *([_APPENDING] if table in _JOURNALS else [])):
            op.execute(f"DROP POLICY {policy} ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")


def pass_as_owner(connection: sa.Connection) -> None:
    """Let this transaction of a migration read and change all rows; PostgreSQL only."""
    connection.execute(
        sa.select(
            sa.func.set_config(TENANT_SETTING, NO_TENANT, True),
            sa.func.set_config(ERRAND_SETTING, MIGRATION, True),
        )
    )


def declare_errands(
    connection: sa.Connection, errands: Iterable[Errand], along: frozenset[str] = frozenset()
) -> None:
    """Write into each table's policy the errands that may touch it; PostgreSQL only.

    A policy that says so already is left alone: changing one waits for all who use the table.

    Args:
        connection: Of the tables' owner.
        errands: All of this release.
        along: Tables that every request's transaction may touch.
    """
    reach = reach_of(errands, along)
    found = connection.execute(
        sa.text(
            "SELECT c.relname, p.polname, obj_description(p.oid, 'pg_policy'), EXISTS ("
            " SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id')"
            " FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid"
            " WHERE c.relnamespace = 'public'::regnamespace AND p.polname IN (:one, :other)"
        ),
        {"one": _POLICY, "other": _APPENDING},
    )
    for table, policy, told, by_tenant in found.all():
        if policy == _APPENDING:
            names = sorted(name for name, (_, confined) in reach.items() if not confined)
            rule = f"WITH CHECK ({_named(names)})"
        else:
            names = _passing(reach, table, by_tenant=by_tenant)
            rule = f"USING ({_rule(names, by_tenant=by_tenant)})"
        if told != (says := " ".join(names)):
            connection.exec_driver_sql(f"ALTER POLICY {policy} ON {table} {rule}")
            connection.exec_driver_sql(f"COMMENT ON POLICY {policy} ON {table} IS '{says}'")


def _passing(
    reach: Mapping[str, tuple[set[str], bool]], table: str, *, by_tenant: bool
) -> list[str]:
    return sorted(
        name
        for name, (tables, confined) in reach.items()
        if table in tables and not (confined and by_tenant)
    )


def _named(errands: Iterable[str]) -> str:
    # As a subquery it is asked once a statement, and not for each row.
    names = ", ".join(f"'{name}'" for name in errands)
    return f"(SELECT current_setting('{ERRAND_SETTING}') = ANY (ARRAY[{names}]::text[]))"


def _rule(errands: Iterable[str], *, by_tenant: bool) -> str:
    # Not `true` as the second argument: without a scope there is no such setting, or it is empty
    # and no UUID, and both are errors.
    tenant = f"(SELECT current_setting('{TENANT_SETTING}')::uuid)"
    if by_tenant:
        return f"tenant_id = {tenant} OR {_named(errands)}"
    return f"{tenant} IS NOT NULL AND {_named(errands)}"
