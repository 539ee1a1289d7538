"""One transaction per use case: opened at the edge or by a job, committed on leaving the block.

Managers receive a :class:`Tx` or :class:`ReadTx`; nobody outside this module commits or rolls
back. The transaction carries a scope, and :mod:`backend.core._confinement` holds every statement
to it.
"""

import asyncio
import logging
import shutil
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import IntegrityError, PendingRollbackError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import InstrumentedAttribute

from backend.core import _sqlite, row_security
from backend.core._confinement import (
    TenantConfinementError,
    confines,
    hold,
    hold_to,
    refuse_foreign_rows,
)
from backend.core._grouping import Act, Attempt, Groups
from backend.core._outages import DISK_FULL, OUTAGES, is_outage, reason_of
from backend.core.clock import Clock, monotonic, system_clock
from backend.core.columns import Base, Id, Json, Lease, TenantOwned, UtcTime, db_now
from backend.core.context import AnyScope, Scope, SystemScope
from backend.core.errors import UnavailableError
from backend.core.ids import uuid7
from backend.core.json_rows import BulkInsert
from backend.core.signals import SignalRecord, Signals

logger = logging.getLogger(__name__)

Integrity: Final = IntegrityError
"""What a violated unique or foreign key raises; managers turn it into their own conflict."""
_BEFORE_ALL: Final = "00000000-0000-0000-0000-000000000000"


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer, or answered that it cannot serve now."""

    code, title = "database_unavailable", "The database is not available"


T = TypeVar("T")
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


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of a table that were looked at, one after the other.

    Attributes:
        looked_at: How many.
        changed: How many of them were changed.
        after: The id of the last one; None: the table ends here.
        within: What they have in common, for another look at the same ones.
    """

    looked_at: int
    changed: int
    after: str | None
    within: Sequence[sa.ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class LateRow:
    """A row that needs a look into the database before it can be written.

    Attributes:
        tenant_id: Whose it is.
        row: As far as it is known.
        subjects: What is to be looked up, by name.
        complete: Makes the rows of one tenant whole, in a transaction of that tenant.
    """

    tenant_id: str
    row: Mapping[str, Any]
    subjects: frozenset[str]
    complete: Callable[["Tx", Sequence["LateRow"]], Awaitable[Sequence[Mapping[str, Any]]]]


class _Shared:
    """What all acts of one commit have in common."""

    __slots__ = ("appended", "known", "late")

    def __init__(self) -> None:
        self.late: list[tuple[Any, LateRow]] = []
        self.appended: dict[Any, list[Mapping[str, Any]]] = {}
        self.known: dict[str, Any] = {}


class Tx(ReadTx):
    """A write transaction: rows, audit records, events and signals leave together or not at all."""

    __slots__ = ("_after", "_before", "_shared", "_signals", "demanded")

    def __init__(
        self,
        session: AsyncSession,
        scope: AnyScope,
        database: "Database",
        shared: _Shared | None = None,
    ) -> None:
        super().__init__(session, scope, database)
        self._shared = shared or _Shared()
        self._after: list[AfterCommit] = []
        self._before: list[Callable[[Tx], Awaitable[None]]] = []
        self._signals: dict[tuple[str, str], str] = {}
        self.demanded: frozenset[str] = frozenset()

    def demand(self, permissions: frozenset[str]) -> None:
        """Note that this act was refused to whoever lacks one of these permissions.

        For what a rule asks beyond the permission of the route: a kept answer is given to nobody
        whom the act would be refused to.
        """
        self.demanded |= permissions

    def audit(self, action: str, target: str, *, tenant_id: str | None = None, **data: Any) -> None:
        """Record the act in this transaction: no audit row, no change.

        Args:
            action: ``<noun>.<past>``, for example ``key.rotated``.
            target: ``<noun>:<id>``.
            tenant_id: Only for system errands that act for one tenant.
            data: JSON scalars, lists and maps; no floats, no secrets. What tells of a person is a
                :class:`backend.core.audit.Personal`.
        """
        model, row = self._database.audit_row(self, action, target, tenant_id, data)
        if isinstance(row, LateRow):
            self._shared.late.append((model, row))
        else:
            self.append(model, [row])

    def emit(
        self, kind: str, subject: str, /, *, tenant_id: str | None = None, **data: Any
    ) -> None:
        """Tell whoever consumes events; the row commits with the change that it tells of.

        Args:
            kind: ``<noun>.<past>``, as a room declares it: ``email.bounced``.
            subject: ``<noun>:<id>``.
            tenant_id: Only for system errands that act for one tenant.
            data: JSON of at most 8 KiB, no secrets.

        Raises:
            UnknownEventError: No room declares the kind.
        """
        model, row = self._database.event_row(self, kind, subject, tenant_id, data)
        self.append(model, [cast("Mapping[str, Any]", row)])

    def append(self, target: Any, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert rows before the transaction's next statement that could see them, or its end.

        Rows for the same target go in one statement, also those of other acts that share the
        commit; targets are served in the order of their first row.

        Args:
            target: A model, or an insert made once and kept: a statement, or for what is appended
                by hundreds a :class:`backend.core.json_rows.BulkInsert`.
            rows: Each checked against the scope, as for :meth:`insert`.
        """
        if waiting := list(rows):
            self._shared.appended.setdefault(target, []).extend(waiting)

    async def once(self, name: str, load: Callable[[], Awaitable[T]]) -> T:
        """What ``load`` gives, asked for once however many acts share the commit.

        Only for what none of them changes.
        """
        known = self._shared.known
        if name not in known:
            known[name] = await load()
        return cast("T", known[name])

    async def execute(self, statement: Any, parameters: Any = None) -> sa.Result[*tuple[Any, ...]]:
        """Run one ORM-enabled statement inside the scope's confinement."""
        await self._write_appended()
        return await super().execute(statement, parameters)

    async def scalars(self, statement: Any) -> Sequence[Any]:
        """All first columns (or entities) of a select."""
        await self._write_appended()
        return await super().scalars(statement)

    async def scalar(self, statement: Any) -> Any:
        """The first column of the first row, or None."""
        await self._write_appended()
        return await super().scalar(statement)

    async def _write_appended(self, model: type[Base] | None = None) -> None:
        """Write what was put off; given a model, only if some of it goes to that table."""
        if self._shared.late:
            await self._complete_late()
        appended = self._shared.appended
        if model is not None and not any(_table(each) is model.__table__ for each in appended):
            return
        while appended:
            target = next(iter(appended))
            rows = appended.pop(target)
            try:
                if isinstance(target, BulkInsert):
                    for statement, given in target.statements(self._database.engine.dialect, rows):
                        await self.session.execute(statement, given)
                else:
                    statement = _insert_into(target) if isinstance(target, type) else target
                    await self.session.execute(statement, rows)
            except BaseException:
                # Whoever survives this must not commit without them.
                later = dict(appended)
                appended.clear()
                appended.update({target: rows, **later})
                raise

    async def _complete_late(self) -> None:
        """Make whole what was put off, each tenant's rows together."""
        # Taken off first: looking something up writes what waits, and these must not be among it.
        late, self._shared.late = self._shared.late, []
        try:
            by_tenant: dict[tuple[str, Any], list[tuple[Any, LateRow]]] = {}
            for each in late:
                by_tenant.setdefault((each[1].tenant_id, each[1].complete), []).append(each)
            made = []
            for (tenant_id, complete), rows in by_tenant.items():
                given = [row for _, row in rows]
                if isinstance(self.scope, Scope) and self.scope.tenant_id == tenant_id:
                    whole = await complete(self, given)
                else:
                    async with self.within(tenant_id) as part:
                        whole = await complete(part, given)
                made += [(model, row) for (model, _), row in zip(rows, whole, strict=True)]
        except BaseException:
            # Whoever survives this must not commit without them.
            self._shared.late = late + self._shared.late
            raise
        for model, row in made:
            self.append(model, [row])

    async def _end(self) -> None:
        """What is left to do inside the transaction."""
        for step in self._before:
            await step(self)
        # Last, so that little time lies between a record's time and the commit that shows it.
        for (topic, payload), record in self._signals.items():
            if topic in self._database.durable_topics and not record:
                row = {"id": uuid7(), "tenant_id": self.tenant_id}
                self._signals[topic, payload] = row["id"]
                self.append(SignalRecord, [row | {"topic": topic, "payload": payload}])

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What fails inside is undone to here, and no further."""
        await self._write_appended()
        before, after, signals = len(self._before), len(self._after), dict(self._signals)
        try:
            async with self.session.begin_nested():
                yield
                await self._write_appended()
        except BaseException:
            # All that waits was put off since, and is undone as what was written is.
            self._shared.appended.clear()
            self._shared.late.clear()
            del self._before[before:], self._after[after:]
            self._signals = signals
            raise

    @asynccontextmanager
    async def within(self, tenant_id: str) -> AsyncIterator["Tx"]:
        """A part of this transaction that reaches one tenant's rows alone, as its Scope would.

        For errands that hand over to what works for a tenant. What the part does commits with the
        rest; it knows no object that the errand has read.
        """
        await self._write_appended()
        whole = self.scope
        scope = Scope(whole.actor, tenant_id, whole.request_id, whole.traceparent, whole.run)
        connection = await self.session.connection()
        session = AsyncSession(
            connection,
            info={"scope": scope},
            expire_on_commit=False,
            join_transaction_mode="rollback_only",
        )
        part = Tx(session, scope, self._database)
        try:
            async with session:
                yield part
                await part._end()
                await part._write_appended()
                await session.flush()
        finally:
            hold_to(cast("Any", connection.sync_connection), self.session.info)
        self._after += part._after
        self._signals |= part._signals

    async def _notify(self) -> None:
        """Tell whoever asked to know of the commit."""
        for callback in self._after:
            # The change is durable: a failing listener must not look like a failed request.
            try:
                result = callback()
                if result is not None:
                    await result
            except Exception:
                logger.exception("after_commit_failed")

    def before_commit(self, step: Callable[["Tx"], Awaitable[None]]) -> None:
        """Run ``step`` last, still inside the transaction; it may raise and so undo everything."""
        self._before.append(step)

    def after_commit(self, callback: AfterCommit) -> None:
        """Run ``callback`` once the change is durable; it cannot fail it.

        Lost when the process dies or the caller leaves between the commit and the callback.
        """
        self._after.append(callback)

    def signal(self, topic: str, payload: str = "") -> None:
        """Tell every process of the fleet, after commit.

        A hint: receivers also poll. Of a durable topic they need not: it is kept with the change,
        and reaches every process that serves within seconds, whatever was lost.
        """
        self._signals.setdefault((topic, payload), "")

    async def insert(self, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert many rows in one statement, each checked against the scope."""
        if rows:
            await self._write_appended(model)
            await self.session.execute(_insert_into(model), list(rows))

    async def insert_new(
        self, model: type[Base], row: Mapping[str, Any], *, conflict: Iterable[str]
    ) -> bool:
        """Insert unless a row with the same ``conflict`` columns exists; True when it was new."""
        refuse_foreign_rows(self.scope, model, [row])
        await self._write_appended(model)
        # RETURNING, not the row count: PostgreSQL's driver reports none for this statement.
        statement = (
            self._insert(model)
            .values(**row)
            .on_conflict_do_nothing(**_of_key(model, tuple(conflict)))
            .returning(*sa.inspect(model).primary_key)
        )
        return (await self.session.execute(statement)).first() is not None

    async def insert_missing(
        self, model: type[Base], rows: Sequence[Mapping[str, Any]], *, conflict: Iterable[str]
    ) -> None:
        """Insert those rows whose ``conflict`` columns no other row has, and leave the others."""
        if not rows:
            return
        await self._write_appended(model)
        statement = self._insert(model).on_conflict_do_nothing(**_of_key(model, tuple(conflict)))
        await self.session.execute(statement, list(rows))

    async def upsert(
        self,
        model: type[Base],
        row: Mapping[str, Any],
        *,
        conflict: Iterable[str],
        update: Mapping[str, Any],
        returning: Sequence[Any] = (),
    ) -> Any:
        """Insert, or set ``update`` on the row that has the same ``conflict`` columns.

        Returns the columns of ``returning``, by default its key, as the row has them then.
        """
        refuse_foreign_rows(self.scope, model, [row])
        await self._write_appended(model)
        # The row in the way may be another tenant's, where the conflict is not by tenant.
        own = (
            model.tenant_id == self.scope.tenant_id
            if confines(self.scope) and issubclass(model, TenantOwned)
            else None
        )
        statement = (
            self._insert(model)
            .values(**row)
            .on_conflict_do_update(**_of_key(model, tuple(conflict)), set_=dict(update), where=own)
            .returning(*(returning or sa.inspect(model).primary_key))
        )
        found = (await self.session.execute(statement)).first()
        if found is None:
            raise TenantConfinementError(f"{model.__name__} of another tenant has this key")
        return found

    async def add_up(
        self,
        model: type[Base],
        row: Mapping[str, Any],
        *,
        amounts: Sequence[str],
        most: str | None = None,
    ) -> Any:
        """Insert a counter, or add to the one that is there, as far as its limit allows.

        In one statement, so that of several at once none passes a limit together with another:
        on PostgreSQL they wait for each other's rows until their transactions end. Whoever adds
        to several takes them in one order.

        Args:
            model: A table of tenants whose rows count something.
            row: A whole one: what to add, and the limit as it is now.
            amounts: The columns that count.
            most: The column of the first amount's limit, which it is set to; None: there is none.

        Returns:
            The counter after it; None, and it is as it was, when it would have passed its limit.
        """
        if most is not None and row[amounts[0]] > row[most]:
            return None
        refuse_foreign_rows(self.scope, model, [row])
        await self._write_appended(model)
        table: Any = model.__table__
        insert = self._insert(model).values(**row)
        update = {name: table.c[name] + insert.excluded[name] for name in amounts}
        within = None
        if most is not None:
            within = update[amounts[0]] <= insert.excluded[most]
            update[most] = insert.excluded[most]
        statement = insert.on_conflict_do_update(
            index_elements=[column.name for column in table.primary_key],
            set_=update,
            where=within,
        ).returning(*table.c)
        return (await self.session.execute(statement)).first()

    async def update_each(
        self,
        model: type[Base],
        rows: Sequence[Mapping[str, Any]],
        *,
        unchanged: Callable[[Any], Iterable[sa.ColumnElement[bool]]],
    ) -> int:
        """Give many rows values of their own in one statement; how many met their condition.

        The unit of work would send a statement for each, at fifty times the price.

        Args:
            model: The table.
            rows: All of the same names: ``key_<column>`` for each column of the primary key, whose
                row it is; ``was_...`` for what ``unchanged`` compares; and the columns to set.
            unchanged: Given the table's columns, what has to hold for a row to be changed.
        """
        if not rows:
            return 0
        await self._write_appended(model)
        table: Any = model.__table__
        given = [name for name in rows[0] if not name.startswith(("key_", "was_"))]
        key = [one == sa.bindparam(f"key_{one.name}", type_=one.type) for one in table.primary_key]
        statement = (
            sa.update(table)
            .where(*key, *unchanged(table.c))
            .values({name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in given})
        )
        connection = await self.session.connection()
        done = await connection.execute(
            statement,
            [{f"new_{name}" if name in given else name: row[name] for name in row} for row in rows],
        )
        return done.rowcount

    async def delete_some(
        self,
        model: type[Base],
        *conditions: sa.ColumnElement[bool],
        limit: int,
        by: InstrumentedAttribute[Any] | None = None,
    ) -> int:
        """Delete up to ``limit`` rows that meet all conditions; returns how many went.

        For sweeps: a bite of what has expired, however much there is, and a short transaction.

        Args:
            model: The table.
            conditions: Which rows may go.
            limit: How many at most.
            by: What has an index and says who goes first. It is looked up between which values the
                bite lies: where rows of another kind are older, PostgreSQL believes that many may
                go when none may, and reads the table for each.
        """
        mapper = sa.inspect(model)
        key = [mapper.get_property_by_column(one).class_attribute for one in mapper.primary_key]
        some = sa.select(*key).where(*conditions).limit(limit)
        within: list[sa.ColumnElement[bool]] = []
        if by is not None:
            ordered = sa.select(by).where(*conditions).order_by(by).limit(1)
            first = await self.scalar(ordered)
            if first is None:
                return 0
            last = await self.scalar(ordered.offset(limit - 1))
            within = [*conditions, by >= first, *([] if last is None else [by <= last])]
            some = some.where(*within[len(conditions) :]).order_by(by)
        gone = await self.execute(
            sa.delete(model)
            .where(*within, sa.tuple_(*key).in_(some))
            .execution_options(synchronize_session=False)
        )
        return cast("sa.CursorResult[*tuple[Any, ...]]", gone).rowcount

    async def rewrite_some(
        self,
        model: type[TenantOwned],
        condition: sa.ColumnElement[bool],
        values: Mapping[str, Any],
        *,
        after: str,
        limit: int,
        by: InstrumentedAttribute[str] | None = None,
    ) -> Stretch:
        """Set ``values`` on rows of the tenant that meet a condition without an index.

        Of the next ``limit`` rows, in the order of their ids, which are all read: so that a walk
        over a whole table is made of short transactions. The table has a tenant's rows by ``id``,
        or by another id, of which it may have some rows each: those of the last all belong to it.

        Args:
            model: The table.
            condition: Which of those rows are changed.
            values: What is set.
            after: The id that the stretch begins behind; empty: the first row.
            limit: Rows.
            by: The other id.
        """
        key: Any = model.id if by is None else by  # type: ignore[attr-defined]
        own = (model.tenant_id == self.tenant_id, key > (after or _BEFORE_ALL))
        last = await self.scalar(
            sa.select(key).where(*own).order_by(key).offset(limit - 1).limit(1)
        )
        within = own if last is None else (*own, key <= last)
        looked_at = limit
        if last is None:
            looked_at = await self.scalar(sa.select(sa.func.count(key)).where(*own))
        done = await self.execute(
            sa.update(model)
            .where(*within, condition)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
        changed = cast("sa.CursorResult[*tuple[Any, ...]]", done).rowcount
        return Stretch(looked_at, changed, last, within)

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


@cache
def _of_key(model: type[Base], columns: tuple[str, ...]) -> Mapping[str, Any]:
    """What an ON CONFLICT names: these columns, and of which rows their index has them alone."""
    table: Any = model.__table__
    conditions = (
        index.dialect_options["postgresql"]["where"]
        for index in table.indexes
        if index.unique and tuple(index.columns.keys()) == columns
    )
    return {"index_elements": columns, "index_where": next(conditions, None)}


@cache
def _insert_into(model: type[Base]) -> Any:
    """The statement that inserts into a model; made once, so that its checks are remembered."""
    return sa.insert(model)


def _table(target: Any) -> Any:
    return getattr(target, "__table__", None) if isinstance(target, type) else target.table


RowMaker = Callable[
    [Tx, str, str, str | None, dict[str, Any]], tuple[Any, Mapping[str, Any] | LateRow]
]
"""Makes what :meth:`Tx.audit` or :meth:`Tx.emit` appends, of the same arguments: the target, and
the row."""


def _no_event(_: Tx, kind: str, *__: object) -> Any:
    raise RuntimeError(f"this database was given no events, so not {kind!r} either")


# SQLSTATEs after which the server has certainly rolled back, and trying again may help:
# serialization failure, deadlock, lock not available, statement cancelled.
_ROLLED_BACK: Final = frozenset({"40001", "40P01", "55P03", "57014"})

# The connection broke in the middle of the transaction, and somebody asked it for more: on the way
# out, as a rule, which hides the first error.
_CONNECTION_GONE: Final = "8s2b"
# Who looks whether we are ready comes every few seconds, and must hear of what was refused since.
_FULL_SECONDS: Final = 15.0


class Database:
    """Opens transactions. The only object that commits.

    On SQLite writers queue on an in-process lock first and take ``BEGIN IMMEDIATE`` second: the
    lock keeps one process fair, the statement keeps several processes from losing updates.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        audit_row: RowMaker,
        event_row: RowMaker = _no_event,
        clock: Clock = system_clock,
        signals: Signals | None = None,
        durable_topics: Collection[str] = (),
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.audit_row = audit_row
        self.event_row = event_row
        self.signals = signals or Signals()
        self.durable_topics = frozenset(durable_topics)
        self.dialect = engine.dialect.name
        self._turn: AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self.dialect == "sqlite" else nullcontext()
        )
        self._background: set[asyncio.Task[Any]] = set()
        self._full_at: float | None = None
        self._groups = Groups(self._turn, self._attempt, self._publish, DatabaseUnavailableError)
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
        async with self._turn, self._guarded(scope) as tx:
            yield tx
            await tx._end()
        self._publish([(tx, None)])
        await tx._notify()

    async def together(
        self,
        scope: Scope,
        act: Callable[[Tx], Awaitable[T]],
        *,
        contends: bool = False,
        size_bytes: int = 0,
    ) -> T:
        """Run ``act`` in a transaction that it may share with other acts of its tenant.

        Group commit: what arrives while one commit is on its way goes with the next, and each
        caller is answered once its own rows are durable. Acts run one after another and see what
        the earlier ones wrote. When one of them fails, nothing of the group is kept and all run
        again without it: so ``act`` may run twice, and must do all it does through its
        transaction.

        Worth it for short acts that many callers do at once and that mostly append.

        Args:
            scope: The caller's.
            act: What to do; its result is returned after the commit.
            contends: It may wait for another transaction, as an insert under a unique key does.
                Where there are several writers at once (PostgreSQL) it gets a transaction of its
                own: its group would wait with it, and two groups could wait for each other.
            size_bytes: About what it writes; a group is bounded by the sum.

        Raises:
            DatabaseUnavailableError: As for :meth:`transaction`, and whatever ``act`` raises.
        """
        if not isinstance(scope, Scope):
            raise TypeError("only acts of one tenant share a commit")
        if contends and self.dialect == "postgresql":
            async with self.transaction(scope) as tx:
                return await act(tx)
        part, result = await self._groups.join(scope.tenant_id, Act(scope, act, size_bytes))
        # By its own caller: a callback that writes would wait for whoever serves the group.
        await part._notify()
        return cast("T", result)

    async def _attempt(self, group: Sequence[Act]) -> Attempt:
        """Commit a group; a result is the act's transaction and what it returned."""
        results: list[tuple[Tx, Any]] = []
        culprit: Act | None = None
        if not group:
            return Attempt()
        try:
            # Any scope of the tenant confines the statements alike; each act has its own.
            async with self._guarded(group[0].scope) as tx:
                for culprit in group:
                    part = Tx(tx.session, culprit.scope, self, tx._shared)
                    results.append((part, await culprit.run(part)))
                    await part._end()
                culprit = None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if culprit is None or (task is not None and task.cancelling()):
                raise
            # Not we were cancelled, but something that this act awaited.
            return Attempt(error=RuntimeError("cancelled from within"), culprit=culprit)
        except Exception as exc:  # noqa: BLE001 - belongs to whoever asked
            return Attempt(error=exc, culprit=culprit, final=_is_final(exc))
        return Attempt(results)

    @asynccontextmanager
    async def _guarded(self, scope: AnyScope) -> AsyncIterator[Tx]:
        tx = Tx(self._write_sessions(info={"scope": scope}), scope, self)
        with _outages_told(self._note_outage):
            async with tx.session, tx.session.begin():
                yield tx
                await tx._write_appended()

    def _note_outage(self, reason: str) -> None:
        if reason == DISK_FULL:
            self._full_at = monotonic()

    def _publish(self, committed: Iterable[tuple[Tx, Any]]) -> None:
        signals = (each for tx, _ in committed for each in tx._signals.items())
        for (topic, payload), record in dict.fromkeys(signals):
            self.signals.publish(topic, payload, record)

    @asynccontextmanager
    async def read(self, scope: AnyScope) -> AsyncIterator[ReadTx]:
        """Open a read transaction: one moment of the database, and never the write lock.

        Raises:
            DatabaseUnavailableError: As for :meth:`transaction`.
        """
        with _outages_told():
            async with self._read_sessions(info={"scope": scope, "read_only": True}) as session:
                yield ReadTx(session, scope, self)

    async def check_writable(self, min_free_bytes: int) -> None:
        """Write a row and commit it, as every change must.

        Reading works on a full disk, on a standby and behind a lock that nobody lets go of. On
        SQLite the file's disk must have ``min_free_bytes`` left as well: what grows the log by a
        page still succeeds when what grows it by a message no longer does. Of PostgreSQL's disk
        only the refused know: the row that is written here fits where it was.

        Raises:
            DatabaseUnavailableError: Says why: the disk is nearly full, or was too full for
                somebody seconds ago, or as for :meth:`transaction`.
        """
        if self._full_at is not None and monotonic() - self._full_at < _FULL_SECONDS:
            raise DatabaseUnavailableError(DISK_FULL)
        path = self.engine.url.database
        if self.dialect == "sqlite" and path:
            free = (await asyncio.to_thread(shutil.disk_usage, Path(path).parent)).free
            if free < min_free_bytes:
                mib = 1024 * 1024
                raise DatabaseUnavailableError(
                    f"{free // mib} MiB free on its disk, but {min_free_bytes // mib} are needed"
                )
        values = {"name": "core.writable", "holder": "", "expires_at": db_now()}
        insert = sqlite.insert if self.dialect == "sqlite" else postgresql.insert
        try:
            async with self._turn, self.engine.begin() as connection:
                await connection.execute(
                    insert(Lease)
                    .values(values)
                    .on_conflict_do_update(index_elements=["name"], set_={"expires_at": db_now()})
                )
        except (*OUTAGES, sa.exc.InternalError) as exc:
            if isinstance(exc, sa.exc.InternalError) and not is_outage(exc):
                raise
            raise DatabaseUnavailableError(reason_of(exc)) from exc

    async def gather_statistics(self) -> None:
        """Let SQLite's planner know what is stored; PostgreSQL's autovacuum does so by itself.

        A look at a thousand rows of each index, however many there are: it takes the write lock
        for some milliseconds.
        """
        if self.dialect != "sqlite":
            return
        async with self._turn, self.engine.begin() as connection:
            await connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
            # Not PRAGMA optimize: that looks only at what its own connection has asked for.
            await connection.exec_driver_sql("ANALYZE")

    async def check_wall(self) -> str:
        """What keeps tenants apart below our own criterion, in a line.

        Raises:
            WeakRoleError: PostgreSQL would not.
        """
        if self.dialect != "postgresql":
            return self.dialect
        return await row_security.check_role(self.engine, Base.metadata.tables)

    def background(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run ``work``, which outlives whoever asked for it, but not the connections it uses.

        A task that nobody waits for would have one in use when all are closed, and leave it open.
        """
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def aclose(self) -> None:
        """Close all connections, once nobody shares a commit and nothing in the background runs."""
        await self._groups.drain()
        while self._background:
            running = list(self._background)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        await self.engine.dispose()


@contextmanager
def _outages_told(note: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """What drivers and pools raise when the database does not answer becomes our own error."""
    try:
        yield
    except (*OUTAGES, sa.exc.InternalError) as exc:
        if isinstance(exc, PendingRollbackError) and exc.code != _CONNECTION_GONE:
            raise
        if isinstance(exc, sa.exc.InternalError) and not is_outage(exc):
            raise
        reason = reason_of(exc)
        logger.warning(
            "database_unavailable", extra={"cause": type(exc).__name__, "reason": reason}
        )
        note(reason)
        raise DatabaseUnavailableError(headers={"Retry-After": "1"}) from exc


def _is_final(error: Exception) -> bool:
    """Whether an act must not run again: its commit may have happened, or the database is away."""
    if not isinstance(error, DatabaseUnavailableError):
        return False
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) not in _ROLLED_BACK


def make_engine(url: str, *, pool_size: int = 10, prepared: bool = True) -> AsyncEngine:
    """An engine for ``postgresql+psycopg://`` or ``sqlite+aiosqlite://`` with our defaults.

    Plain ``postgresql://`` and ``sqlite://`` are accepted and given the right driver. Statements
    must not be ``prepared`` where a pooler hands out another connection for each transaction.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        engine = create_async_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            pool_recycle=1800,
            # The one used last, which has the statements prepared: taken in turns, each of many
            # would plan the long ones of a claim anew for its first five.
            pool_use_lifo=True,
            hide_parameters=True,
            connect_args={
                "async_creator_fn": row_security.Connection.connect,
                **({} if prepared else {"prepare_threshold": None}),
            },
        )
        hold(engine.sync_engine)
        _bound_idle_transactions(engine)
        _refuse_aborted_commits(engine)
        return engine
    engine = create_async_engine(
        parsed.set(drivername="sqlite+aiosqlite"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        # A connection reads the planner's statistics once.
        pool_recycle=1800,
        connect_args={"timeout": 30, "async_creator_fn": _sqlite.connect},
        # Errors quote them into logs: hashes of passwords, addresses, subjects.
        hide_parameters=True,
    )
    engine.dialect.statement_compiler = _Compiler
    hold(engine.sync_engine)
    _tame_sqlite(engine)
    return engine


class _Compiler(SQLiteCompiler):
    """Writes the hints of a statement: ``INDEXED BY``, where no statistics lead to an index."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:  # noqa: ARG002
        return text


def _bound_idle_transactions(engine: AsyncEngine) -> None:
    """End sessions that sit in a transaction without asking anything.

    A process that is frozen in the middle of a claim keeps its tenants' row locks, and workers
    that skip locked rows would leave those tenants unserved for as long. Our transactions do no
    slow work, so half a minute of silence is a fault.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def _set(connection: Any, _: object) -> None:
        try:
            cursor = connection.cursor()
            cursor.execute("SET idle_in_transaction_session_timeout = '30s'")
            cursor.close()
            connection.commit()
        except BaseException:
            # Who waited has left (a deadline, a closed request): the pool does not know of the
            # connection yet, and nobody else would close it.
            connection.driver_connection.pgconn.finish()
            raise


def _refuse_aborted_commits(engine: AsyncEngine) -> None:
    """Never take a rollback for a commit.

    A transaction in which a statement failed is over, and PostgreSQL answers its COMMIT with a
    ROLLBACK and no error: code that caught the failure and went on would be told that all is kept.
    """

    @event.listens_for(engine.sync_engine, "commit")
    def _look(connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if driver.info.transaction_status.name == "INERROR":
            raise RuntimeError("a failed statement was passed over: nothing of this was kept")


def _tame_sqlite(engine: AsyncEngine) -> None:
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
            "synchronous=FULL",
            # What is deleted is written over: the default of a build may leave it in the file.
            "secure_delete=ON",
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


__all__ = [
    "AnyScope",
    "Base",
    "Database",
    "DatabaseUnavailableError",
    "Id",
    "Integrity",
    "Json",
    "LateRow",
    "Lease",
    "ReadTx",
    "RowMaker",
    "Scope",
    "Stretch",
    "SystemScope",
    "TenantConfinementError",
    "TenantOwned",
    "Tx",
    "UtcTime",
    "db_now",
    "make_engine",
]
