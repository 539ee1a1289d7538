"""The guards that confine every statement of a session to its scope.

* a loader criterion adds ``tenant_id = <scope's>`` to every ORM select, update and delete;
* a flush guard refuses rows of another tenant;
* bulk inserts must name the scope's tenant in every row.

Statements that none of the three could confine are refused: raw SQL, tables instead of entities,
updates of many rows by primary key, and values that would move a row to another tenant.

System errands instead name the tables they may touch (:class:`backend.core.context.Errand`).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.orm import Session, with_loader_criteria
from sqlalchemy.sql import util as sql_util
from sqlalchemy.sql import visitors

from backend.core.columns import Lease, TenantOwned
from backend.core.context import AnyScope, Scope, SystemScope

_JOURNALS: Final = frozenset({"audit_records", "events"})
"""What every errand may append to, and none may read or change without listing it."""


def refuse_foreign_rows(
    scope: AnyScope | None, model: type[Any], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Refuse an insert of rows that are not the scope's, or into a table it does not list."""
    if isinstance(scope, SystemScope):
        _refuse_unlisted(scope, {model.__tablename__})
    elif scope is None or not issubclass(model, TenantOwned | Lease):
        msg = f"{model.__name__} belongs to no tenant: use a system errand"
        raise TenantConfinementError(msg)
    elif issubclass(model, TenantOwned) and any(
        row.get("tenant_id") != scope.tenant_id for row in rows
    ):
        msg = f"{model.__name__} of another tenant in this transaction"
        raise TenantConfinementError(msg)


def refuse_moving(scope: AnyScope, columns: Iterable[str]) -> None:
    """Refuse a tenant's update that would give a row to another."""
    if isinstance(scope, Scope) and "tenant_id" in set(columns):
        raise TenantConfinementError("a row cannot be given to a tenant")


def _refuse_unlisted(scope: SystemScope, tables: Iterable[str]) -> None:
    strange = sorted(set(tables) - scope.tables - {"leases"})
    if strange:
        msg = f"the {scope.errand.name!r} errand may not touch {', '.join(strange)}"
        raise TenantConfinementError(msg)


class TenantConfinementError(RuntimeError):
    """A statement tried to leave its scope: always a bug of ours, never a caller's fault."""


_known_tables: WeakKeyDictionary[Any, frozenset[str]] = WeakKeyDictionary()


def _tables_of(statement: Any) -> frozenset[str]:
    """Every table a statement names, subqueries included; remembered while the statement lives.

    Errands build their statements once and run them thousands of times, and looking through one
    costs a tenth of running it.
    """
    known = _known_tables.get(statement)
    if known is None:
        found = sql_util.find_tables(
            statement,
            include_joins=True,
            include_selects=True,
            include_crud=True,
            check_columns=True,
        )
        known = frozenset(
            table.name for table in cast("list[Any]", found) if isinstance(table, sa.TableClause)
        )
        _known_tables[statement] = known
    return known


_known_readers: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def _reads(statement: Any) -> bool:
    """Whether an insert takes values from rows; remembered like :func:`_tables_of`."""
    known = _known_readers.get(statement)
    if known is None:
        known = any(isinstance(part, sa.SelectBase) for part in visitors.iterate(statement))
        _known_readers[statement] = known
    return known


@event.listens_for(Session, "do_orm_execute")
def _confine(state: orm.ORMExecuteState) -> None:
    scope = state.session.info.get("scope")
    if scope is None:
        msg = "no scope on this session"
        raise TenantConfinementError(msg)
    if state.session.info.get("read_only") and not state.is_select:
        msg = "write attempted in a read transaction"
        raise TenantConfinementError(msg)
    if state.is_column_load or state.is_relationship_load:
        return
    if isinstance(state.statement, sa.TextClause | sa.TextualSelect):
        raise TenantConfinementError("raw SQL cannot be confined")
    if isinstance(scope, SystemScope):
        tables = _tables_of(state.statement)
        # Nobody has to be allowed to leave a record of what they did.
        journal = _JOURNALS if state.is_insert and not _reads(state.statement) else frozenset()
        _refuse_unlisted(scope, tables - journal)
        return
    if state.is_insert:
        if state.execution_options.get("scope_checked"):
            return
        mapper = state.bind_mapper
        rows = state.parameters
        if mapper is None or rows is None:
            msg = "insert through tx.insert or tx.insert_new: a bare insert cannot be checked"
            raise TenantConfinementError(msg)
        if _reads(state.statement):
            raise TenantConfinementError("an insert that reads other rows cannot be confined")
        refuse_foreign_rows(scope, mapper.class_, [rows] if isinstance(rows, Mapping) else rows)
        return
    _refuse_unconfinable(state, scope)
    tenant_id = scope.tenant_id
    state.statement = state.statement.options(
        with_loader_criteria(
            TenantOwned, lambda cls: cls.tenant_id == tenant_id, include_aliases=True
        )
    )


def _refuse_unconfinable(state: orm.ORMExecuteState, scope: Scope) -> None:
    """Refuse what would run as it is, because a loader criterion finds nothing to hold on to."""
    if not state.is_orm_statement and _tables_of(state.statement):
        raise TenantConfinementError("name entities: a bare table takes no criterion")
    if state.is_update:
        if isinstance(state.parameters, list):
            raise TenantConfinementError("rows updated by primary key cannot be confined")
        refuse_moving(scope, (column.key for column in state.statement._values or ()))  # type: ignore[attr-defined]
    for mapper in state.all_mappers:
        if not issubclass(mapper.class_, TenantOwned | Lease):
            msg = f"{mapper.class_.__name__} belongs to no tenant: use a system errand"
            raise TenantConfinementError(msg)


@event.listens_for(Session, "before_flush")
def _guard_flush(session: Session, *_: object) -> None:
    scope = session.info.get("scope")
    touched = [*session.new, *session.dirty, *session.deleted]
    if session.info.get("read_only") and touched:
        msg = "write attempted in a read transaction"
        raise TenantConfinementError(msg)
    for row in touched:
        owner = {"tenant_id": getattr(row, "tenant_id", None)}
        refuse_foreign_rows(scope, type(row), [owner])
