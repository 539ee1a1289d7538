"""One transaction per use case: opened at the edge or by a job, committed on leaving the block.

Managers receive a :class:`Tx` or :class:`ReadTx`; nobody outside this module commits or rolls
back. The transaction carries a scope, and three guards confine every statement to it:

* a loader criterion adds ``tenant_id = <scope's>`` to every ORM select, update and delete;
* a flush guard refuses rows of another tenant;
* bulk inserts must name the scope's tenant in every row.

Statements that none of the three could confine are refused: raw SQL, tables instead of entities,
updates of many rows by primary key, and values that would move a row to another tenant.

System errands instead name the tables they may touch (:data:`backend.core.context.SYSTEM_TABLES`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import (
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import (
    TimeoutError as PoolTimeout,
)
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, with_loader_criteria
from sqlalchemy.sql import util as sql_util
from sqlalchemy.sql.functions import FunctionElement

from backend.core import _sqlite
from backend.core.clock import Clock, system_clock
from backend.core.context import AnyScope, Scope, SystemScope
from backend.core.errors import UnavailableError
from backend.core.signals import Signals

logger = logging.getLogger(__name__)

Integrity: Final = IntegrityError
"""What a violated unique or foreign key raises; managers turn it into their own conflict."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer, or answered that it cannot serve now."""

    code, title = "database_unavailable", "The database is not available"


class Id(sa.types.TypeDecorator[str]):
    """A UUID kept as text in Python and in the database's best native form below."""

    impl = sa.Uuid(as_uuid=False)
    cache_ok = True


class UtcTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC datetimes: timestamptz on PostgreSQL, integer microseconds on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the column type that keeps microseconds on this database."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.BigInteger())
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse naive datetimes: silently assuming a zone is how due times drift."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "naive datetime"
            raise ValueError(msg)
        if dialect.name == "sqlite":
            return (value - _EPOCH) // timedelta(microseconds=1)
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give back an aware UTC datetime whatever the session's time zone is."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return _EPOCH + timedelta(microseconds=value)
        return cast("datetime", value).astimezone(UTC)


Json: Final = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)


class db_now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock, optionally ``seconds`` later: the time that decides leases and dues."""

    inherit_cache = True
    name = "db_now"

    def __init__(self, seconds: Any = None) -> None:
        super().__init__(*([] if seconds is None else [sa.cast(seconds, sa.Float)]))
        self.type = UtcTime()


@compiles(db_now, "postgresql")
def _now_postgresql(element: db_now, compiler: Any, **kw: Any) -> str:
    offset = compiler.process(element.clauses, **kw)
    return (
        f"(clock_timestamp() + make_interval(secs => {offset}))" if offset else "clock_timestamp()"
    )


@compiles(db_now, "sqlite")
def _now_sqlite(element: db_now, compiler: Any, **kw: Any) -> str:
    offset = compiler.process(element.clauses, **kw)
    now = "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"
    return f"({now} + CAST({offset} * 1000000 AS INTEGER))" if offset else now


class Base(DeclarativeBase):
    """Root of all tables; names constraints so that migrations can drop them by name."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcTime(),
        dict[str, Any]: Json,
        str: sa.Text(),
        bytes: sa.LargeBinary(),
        int: sa.BigInteger(),
    }


class TenantOwned:
    """Mixin of every table whose rows belong to one tenant."""

    tenant_id: Mapped[str] = mapped_column(Id)


class Lease(Base):
    """A named right that one holder has until a time of the database's clock."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime]


AfterCommit = Callable[[], Awaitable[None] | None]


class ReadTx:
    """A view of one moment inside one scope; any attempt to write through it raises."""

    __slots__ = ("_database", "scope", "session")

    def __init__(self, session: AsyncSession, scope: AnyScope, database: "Database") -> None:
        self.session = session
        self.scope = scope
        self._database = database

    @property
    def tenant_id(self) -> str:
        """The one tenant this transaction speaks for."""
        return self.scope.tenant_id

    @property
    def dialect(self) -> str:
        """``postgresql`` or ``sqlite``; for the few statements where the two must differ."""
        return self._database.dialect

    def now(self) -> datetime:
        """The injected clock: business time, not lease time."""
        return self._database.clock()

    async def execute(self, statement: Any, parameters: Any = None) -> sa.Result[*tuple[Any, ...]]:
        """Run one ORM-enabled statement inside the scope's confinement."""
        return await self.session.execute(statement, parameters)

    async def scalars(self, statement: Any) -> Sequence[Any]:
        """All first columns (or entities) of a select."""
        return (await self.session.scalars(statement)).all()

    async def scalar(self, statement: Any) -> Any:
        """The first column of the first row, or None."""
        return await self.session.scalar(statement)


class Tx(ReadTx):
    """A write transaction: rows, audit records and signals leave together or not at all."""

    __slots__ = ("_after", "_before", "_signals")

    def __init__(self, session: AsyncSession, scope: AnyScope, database: "Database") -> None:
        super().__init__(session, scope, database)
        self._after: list[AfterCommit] = []
        self._before: list[Callable[[Tx], Awaitable[None]]] = []
        self._signals: dict[tuple[str, str], None] = {}

    def audit(self, action: str, target: str, *, tenant_id: str | None = None, **data: Any) -> None:
        """Record the act in this transaction: no audit row, no change.

        Args:
            action: ``<noun>.<past>``, for example ``key.rotated``.
            target: ``<noun>:<id>``.
            tenant_id: Only for system errands that act for one tenant.
            data: JSON scalars, lists and maps; no floats, no secrets.
        """
        self.session.add(self._database.audit_row(self, action, target, tenant_id, data))

    def before_commit(self, step: Callable[["Tx"], Awaitable[None]]) -> None:
        """Run ``step`` last, still inside the transaction; it may raise and so undo everything."""
        self._before.append(step)

    def after_commit(self, callback: AfterCommit) -> None:
        """Run ``callback`` once the change is durable; may be lost in a crash, cannot fail it."""
        self._after.append(callback)

    def signal(self, topic: str, payload: str = "") -> None:
        """Tell every process of the fleet, after commit. A hint: receivers also poll."""
        self._signals[topic, payload] = None

    async def insert(self, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert many rows in one statement, each checked against the scope."""
        if rows:
            await self.session.execute(sa.insert(model), list(rows))

    async def insert_new(
        self, model: type[Base], row: Mapping[str, Any], *, conflict: Iterable[str]
    ) -> bool:
        """Insert unless a row with the same ``conflict`` columns exists; True when it was new."""
        _refuse_foreign_rows(self.scope, model, [row])
        # RETURNING, not the row count: PostgreSQL's driver reports none for this statement.
        statement = (
            self._insert(model)
            .values(**row)
            .on_conflict_do_nothing(index_elements=list(conflict))
            .returning(*sa.inspect(model).primary_key)
            .execution_options(scope_checked=True)
        )
        return (await self.session.execute(statement)).first() is not None

    async def upsert(
        self,
        model: type[Base],
        row: Mapping[str, Any],
        *,
        conflict: Iterable[str],
        update: Mapping[str, Any],
    ) -> None:
        """Insert, or set ``update`` on the row that has the same ``conflict`` columns."""
        _refuse_foreign_rows(self.scope, model, [row])
        _refuse_moving(self.scope, update)
        # The row in the way may be another tenant's, where the conflict is not by tenant.
        own = (
            model.tenant_id == self.scope.tenant_id
            if isinstance(self.scope, Scope) and issubclass(model, TenantOwned)
            else None
        )
        statement = (
            self._insert(model)
            .values(**row)
            .on_conflict_do_update(index_elements=list(conflict), set_=dict(update), where=own)
            .returning(*sa.inspect(model).primary_key)
            .execution_options(scope_checked=True)
        )
        if (await self.session.execute(statement)).first() is None:
            raise TenantConfinementError(f"{model.__name__} of another tenant has this key")

    def _insert(self, model: type[Base]) -> Any:
        maker: Any = postgresql.insert if self.dialect == "postgresql" else sqlite.insert
        return maker(model)

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew the named lease by the database's clock; False when another holds it."""
        if await self.insert_new(
            Lease,
            {"name": name, "holder": holder, "expires_at": db_now(seconds)},
            conflict=["name"],
        ):
            return True
        result = await self.session.execute(
            sa.update(Lease)
            .where(Lease.name == name, sa.or_(Lease.holder == holder, Lease.expires_at < db_now()))
            .values(holder=holder, expires_at=db_now(seconds))
        )
        return cast("sa.CursorResult[Any]", result).rowcount == 1


AuditRow = Callable[[Tx, str, str, str | None, dict[str, Any]], Base]


class Database:
    """Opens transactions. The only object that commits.

    On SQLite writers queue on an in-process lock first and take ``BEGIN IMMEDIATE`` second: the
    lock keeps one process fair, the statement keeps several processes from losing updates.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        audit_row: AuditRow,
        clock: Clock = system_clock,
        signals: Signals | None = None,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.audit_row = audit_row
        self.signals = signals or Signals()
        self.dialect = engine.dialect.name
        self._writer = asyncio.Lock() if self.dialect == "sqlite" else None
        self._write_sessions = async_sessionmaker(engine, expire_on_commit=False)
        reading: dict[str, Any] = {"read_only": True}
        if self.dialect == "postgresql":
            # One snapshot for all statements, as SQLite has anyway: who compares two tables, or
            # pages through one, must not see a commit that came in between.
            reading |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._read_sessions = async_sessionmaker(
            engine.execution_options(**reading), expire_on_commit=False, autoflush=False
        )

    @asynccontextmanager
    async def transaction(self, scope: AnyScope) -> AsyncIterator[Tx]:
        """Open a write transaction; leaving the block commits, an exception rolls back.

        Raises:
            DatabaseUnavailableError: The database is away, locked beyond its time, or restarted.
        """
        if self._writer is not None:
            async with self._writer:
                tx = Tx(self._write_sessions(info={"scope": scope}), scope, self)
                async with self._guarded(tx):
                    yield tx
        else:
            tx = Tx(self._write_sessions(info={"scope": scope}), scope, self)
            async with self._guarded(tx):
                yield tx
        for topic, payload in tx._signals:
            self.signals.publish(topic, payload)
        for callback in tx._after:
            # The change is durable: a failing listener must not look like a failed request.
            try:
                result = callback()
                if result is not None:
                    await result
            except Exception:
                logger.exception("after_commit_failed")

    @asynccontextmanager
    async def _guarded(self, tx: Tx) -> AsyncIterator[None]:
        try:
            async with tx.session, tx.session.begin():
                yield
                for step in tx._before:
                    await step(tx)
        except (OperationalError, InterfaceError, PoolTimeout, OSError) as exc:
            logger.warning("database_unavailable", extra={"cause": type(exc).__name__})
            raise DatabaseUnavailableError(headers={"Retry-After": "1"}) from exc

    @asynccontextmanager
    async def read(self, scope: AnyScope) -> AsyncIterator[ReadTx]:
        """Open a read transaction: one moment of the database, and never the write lock.

        Raises:
            DatabaseUnavailableError: As for :meth:`transaction`.
        """
        try:
            async with self._read_sessions(info={"scope": scope, "read_only": True}) as session:
                yield ReadTx(session, scope, self)
        except (OperationalError, InterfaceError, PoolTimeout, OSError) as exc:
            logger.warning("database_unavailable", extra={"cause": type(exc).__name__})
            raise DatabaseUnavailableError(headers={"Retry-After": "1"}) from exc

    async def ping(self) -> None:
        """One round trip; raises what the driver raises."""
        async with self.engine.connect() as connection:
            await connection.execute(sa.select(1))

    async def aclose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def make_engine(url: str, *, pool_size: int = 10, synchronous: str = "FULL") -> AsyncEngine:
    """An engine for ``postgresql+psycopg://`` or ``sqlite+aiosqlite://`` with our defaults.

    Plain ``postgresql://`` and ``sqlite://`` are accepted and given the right driver.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        engine = create_async_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            pool_recycle=1800,
            hide_parameters=True,
        )
        _bound_idle_transactions(engine)
        return engine
    engine = create_async_engine(
        parsed.set(drivername="sqlite+aiosqlite"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        connect_args={"timeout": 30, "async_creator_fn": _sqlite.connect},
        # Errors quote them into logs: hashes of passwords, addresses, subjects.
        hide_parameters=True,
    )
    _tame_sqlite(engine, synchronous)
    return engine


def _bound_idle_transactions(engine: AsyncEngine) -> None:
    """End sessions that sit in a transaction without asking anything.

    A process that is frozen in the middle of a claim keeps its tenants' row locks, and workers
    that skip locked rows would leave those tenants unserved for as long. Our transactions do no
    slow work, so half a minute of silence is a fault.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def _set(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("SET idle_in_transaction_session_timeout = '30s'")
        cursor.close()
        connection.commit()


def _tame_sqlite(engine: AsyncEngine, synchronous: str) -> None:
    """Open transactions ourselves, and at once for writers.

    The driver's default opens none before a SAVEPOINT (RELEASE then commits) and upgrades read
    locks late, which loses concurrent read-modify-write cycles without an error.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: Any, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            "busy_timeout=30000",
            "temp_store=MEMORY",
            "cache_size=-16000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        read_only = connection.get_execution_options().get("read_only")
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _refuse_foreign_rows(
    scope: AnyScope | None, model: type[Any], rows: Iterable[Mapping[str, Any]]
) -> None:
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


def _refuse_moving(scope: AnyScope, columns: Iterable[str]) -> None:
    if isinstance(scope, Scope) and "tenant_id" in set(columns):
        raise TenantConfinementError("a row cannot be given to a tenant")


def _refuse_unlisted(scope: SystemScope, tables: Iterable[str]) -> None:
    strange = sorted(set(tables) - scope.tables - {"leases"})
    if strange:
        msg = f"the {scope.errand!r} errand may not touch {', '.join(strange)}"
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
        _refuse_unlisted(scope, _tables_of(state.statement))
        return
    if state.is_insert:
        if state.execution_options.get("scope_checked"):
            return
        mapper = state.bind_mapper
        rows = state.parameters
        if mapper is None or rows is None:
            msg = "insert through tx.insert or tx.insert_new: a bare insert cannot be checked"
            raise TenantConfinementError(msg)
        _refuse_foreign_rows(scope, mapper.class_, [rows] if isinstance(rows, Mapping) else rows)
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
        _refuse_moving(scope, (column.key for column in state.statement._values or ()))  # type: ignore[attr-defined]
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
        _refuse_foreign_rows(scope, type(row), [owner])


__all__ = [
    "AnyScope",
    "Base",
    "Database",
    "DatabaseUnavailableError",
    "Id",
    "Integrity",
    "Json",
    "Lease",
    "ReadTx",
    "Scope",
    "SystemScope",
    "TenantConfinementError",
    "TenantOwned",
    "Tx",
    "UtcTime",
    "db_now",
    "make_engine",
]
