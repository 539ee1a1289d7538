"""The guards that hold every statement of a session to its scope.

Whatever a session sends is looked at twice. When a statement is executed through the ORM, a loader
criterion adds ``tenant_id = <scope's>`` to every entity that it names. When it is about to leave,
however it was made, what the compiler saw of it is compared with the scope: a statement passes
when each use of a table with tenants is held to the scope's tenant, every parameter that does so
has that value, no table is named that has none, and nothing in it may hold any text
(:mod:`backend.core._compiled`). So where the criterion finds nothing to hold on to, the statement
is refused, and not run as it is.

Rows that the unit of work changes are named by key alone; what keeps them to the scope is that
they were read in this session, or are new and say whose they are.

Errands name the tables they may touch instead (:class:`backend.core.context.Errand`), and reach
all tenants' rows in them unless they are confined.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.orm import Session, with_loader_criteria
from sqlalchemy.util.concurrency import await_

from backend.core._compiled import Facts, watch
from backend.core.columns import Lease, TenantOwned
from backend.core.context import AnyScope, Scope, SystemScope

_JOURNALS: Final = frozenset({"audit_records", "events", "signals"})
"""What every errand may append to, and none may read or change without listing it."""

_EVERYBODYS: Final = frozenset({Lease.__tablename__})
_HOLD: Final = "held_to"


class TenantConfinementError(RuntimeError):
    """A statement tried to leave its scope: always a bug of ours, never a caller's fault."""


def confines(scope: AnyScope) -> bool:
    """Whether the scope reaches one tenant's rows alone."""
    return isinstance(scope, Scope) or scope.errand.confined


def refuse_foreign_rows(
    scope: AnyScope | None, model: type[Any], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Refuse an insert of rows that are not the scope's, or into a table it does not list."""
    if isinstance(scope, SystemScope):
        _refuse_unlisted(scope, {model.__tablename__})
    elif scope is None or not issubclass(model, TenantOwned | Lease):
        msg = f"{model.__name__} belongs to no tenant: use a system errand"
        raise TenantConfinementError(msg)
    if (
        confines(scope)
        and issubclass(model, TenantOwned)
        and any(row.get("tenant_id") != scope.tenant_id for row in rows)
    ):
        msg = f"{model.__name__} of another tenant in this transaction"
        raise TenantConfinementError(msg)


def _refuse_unlisted(scope: SystemScope, tables: Iterable[str]) -> None:
    strange = sorted(set(tables) - scope.tables - _EVERYBODYS)
    if strange:
        msg = f"the {scope.errand.name!r} errand may not touch {', '.join(strange)}"
        raise TenantConfinementError(msg)


# --- what is asked for: the criterion ---------------------------------------------------------


@lru_cache(maxsize=4096)
def _criterion(tenant_id: str) -> orm.LoaderCriteriaOption:
    return with_loader_criteria(
        TenantOwned, lambda cls: cls.tenant_id == tenant_id, include_aliases=True
    )


@event.listens_for(Session, "do_orm_execute")
def _confine(state: orm.ORMExecuteState) -> None:
    scope = state.session.info.get("scope")
    if scope is None:
        msg = "no scope on this session"
        raise TenantConfinementError(msg)
    if state.is_insert or not confines(scope):
        return
    if state.is_column_load:
        # A row that is read again: loader criteria leave these alone.
        model = cast("orm.Mapper[Any]", state.bind_mapper).class_
        if issubclass(model, TenantOwned):
            reading = cast("sa.Select[Any]", state.statement)
            state.statement = reading.where(model.tenant_id == scope.tenant_id)
        return
    state.statement = state.statement.options(_criterion(scope.tenant_id))


# --- what is sent: the allow-list -------------------------------------------------------------


def hold(engine: sa.Engine) -> None:
    """Hold every session of the engine to its scope."""
    watch(engine.dialect)
    event.listen(engine, "before_cursor_execute", _refuse_leaving)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "before_cursor_execute", _name_scope)
        event.listen(engine, "rollback_savepoint", _forget_named)
        event.listen(engine.pool, "checkin", _let_go)


def _refuse_leaving(connection: sa.Connection, *sent: Any) -> None:
    held: Mapping[str, Any] | None = connection.get_execution_options().get(_HOLD)
    if held is None:
        # Not a session's: the core's own looks at the server.
        return
    context = sent[3]
    facts: Facts | None = getattr(context.compiled, "facts", None)
    if facts is None:
        raise TenantConfinementError("raw SQL cannot be confined")
    if facts.raw:
        raise TenantConfinementError(f"{facts.raw} cannot be confined")
    if held.get("read_only") and facts.writes:
        raise TenantConfinementError("write attempted in a read transaction")
    scope: AnyScope = held["scope"]
    _refuse_strange_tables(scope, facts)
    if confines(scope):
        _refuse_other_tenants(scope.tenant_id, facts, context, keyed=bool(held.get("flushing")))


def _refuse_strange_tables(scope: AnyScope, facts: Facts) -> None:
    if isinstance(scope, SystemScope):
        # Nobody has to be allowed to leave a record of what they did.
        journal = _JOURNALS & facts.appended if facts.tables == facts.appended else frozenset()
        _refuse_unlisted(scope, facts.tables - journal)
    elif facts.without_tenant - _EVERYBODYS:
        strange = ", ".join(sorted(facts.without_tenant - _EVERYBODYS))
        raise TenantConfinementError(f"{strange} belongs to no tenant: use a system errand")


def _refuse_other_tenants(tenant_id: str, facts: Facts, context: Any, *, keyed: bool) -> None:
    if facts.moves:
        raise TenantConfinementError("a row cannot be given to a tenant")
    if loose := facts.loose - facts.keyed if keyed else facts.loose:
        strange = ", ".join(sorted(loose))
        raise TenantConfinementError(f"{strange}: not every use is held to the scope's tenant")
    for name in context.compiled.tenant_names:
        for values in context.compiled_parameters:
            if values[name] != tenant_id:
                raise TenantConfinementError("rows of another tenant in this transaction")


def _name_scope(connection: sa.Connection, *_: Any) -> None:
    """Tell PostgreSQL whose the next statement is, where BEGIN said something else."""
    driver = _driver(connection)
    if driver.misnamed:
        await_(driver.rename())


@event.listens_for(Session, "after_begin")
def _take_hold(session: Session, _: Any, connection: sa.Connection) -> None:
    if "scope" in session.info:
        hold_to(connection, session.info)


def hold_to(connection: sa.Connection, info: Mapping[str, Any]) -> None:
    """From now on what is sent is held to the scope in ``info``, a session's."""
    connection.execution_options(**{_HOLD: info})
    # One that broke would be opened anew to be told, and nothing more is sent on it.
    if connection.dialect.name == "postgresql" and not connection.invalidated:
        _driver(connection).scope = info["scope"]


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _let_go(dbapi_connection: Any, _: object) -> None:
    if dbapi_connection is not None:  # one that broke comes back as nothing
        dbapi_connection.driver_connection.scope = None


def _forget_named(connection: sa.Connection, _: str, __: object) -> None:
    # What was named inside the savepoint is undone with all else.
    _driver(connection).named = None


# --- the unit of work -------------------------------------------------------------------------


@event.listens_for(Session, "before_attach")
def _refuse_foreign_objects(session: Session, row: Any) -> None:
    state = orm.attributes.instance_state(row)
    if state.key is not None and state.session_id != session.hash_key:
        # Its key would be all that says whose row is changed, and anybody may have made it up.
        raise TenantConfinementError(f"{type(row).__name__} was not read in this transaction")


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
    session.info["flushing"] = True


@event.listens_for(Session, "after_flush")
def _end_flush(session: Session, _: object) -> None:
    session.info["flushing"] = False


@event.listens_for(Session, "after_soft_rollback")
def _end_failed_flush(session: Session, _: object) -> None:
    session.info["flushing"] = False
