"""Two walls between tenants, each shown alone: every model, by every shape of statement.

What a careless manager could write is run in one tenant's scope with one of the walls down. It may
be refused or find nothing; a value of the other tenant in its answer, or any change of the other's
rows, is a leak. With both walls down every shape leaks, so none of them is harmless by itself.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.core import _confinement
from backend.core.columns import Base, Id, Lease, TenantOwned, UtcTime
from backend.core.context import Scope
from backend.core.database import Database, Tx, make_engine
from backend.core.ids import uuid7
from backend.migrations import runner
from tests.support.growth import AUDIT, unguarded
from tests.support.postgres import SUPERUSER
from tests.support.trail import audit_row

pytestmark = [
    pytest.mark.attack,
    # Some of the shapes are careless on purpose.
    pytest.mark.filterwarnings("ignore:.*cartesian product:sqlalchemy.exc.SAWarning"),
]

MODELS = sorted(
    (
        mapper.class_
        for mapper in Base.registry.mappers
        if mapper.class_.__module__[:8] == "backend."
    ),
    key=lambda model: model.__tablename__,
)
WALKED = [model for model in MODELS if model is not Lease]
ADA, EVE = uuid7(), uuid7()
CAREFUL = "kept"


@dataclass(frozen=True)
class Target:
    """A model, a column of it worth stealing, and a row of hers and of theirs."""

    model: Any
    mine: dict[str, Any]
    theirs: dict[str, Any]

    @property
    def table(self) -> Any:
        return self.model.__table__

    @property
    def owner(self) -> Any:
        """The column that says whose a row is; of what is nobody's, its key."""
        column = (
            "tenant_id" if "tenant_id" in self.table.c else next(iter(self.table.primary_key)).key
        )
        return getattr(self.model, column)

    @property
    def prize(self) -> Any:
        """A column that is theirs alone."""
        return getattr(self.model, self.name)

    @property
    def name(self) -> str:
        """Its name: text if there is any, and nothing that decides whose the row is."""
        free = [c for c in self.table.c if c.key != self.owner.key]
        texts = [c for c in free if isinstance(c.type, sa.Text) and not c.primary_key]
        keys = [c for c in free if isinstance(c.type, Id | sa.Text)]
        return str([*texts, *keys, *free][0].key)

    @property
    def key_of_theirs(self) -> tuple[Any, ...]:
        return tuple(self.theirs[column.key] for column in self.table.primary_key)

    @property
    def marks(self) -> set[str]:
        """What only their row holds."""
        return {
            str(value)
            for key, value in self.theirs.items()
            if not isinstance(value, bool | datetime | dict) and value != self.mine.get(key)
        }


def target(model: Any, number: int) -> Target:
    def row(tenant: str, who: str, offset: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for place, column in enumerate(model.__table__.c):
            if column.computed is not None:
                continue
            if column.key == "tenant_id":
                made[column.key] = tenant
            elif column.key == "user_id" and column.foreign_keys:
                made[column.key] = USERS[who]
            elif isinstance(column.type, Id):
                made[column.key] = uuid7()
            elif isinstance(column.type, UtcTime):
                made[column.key] = datetime(2030, 1, 1 + offset, tzinfo=UTC)
            elif isinstance(column.type, sa.LargeBinary):
                made[column.key] = f"{who} {column.key}".encode()
            elif isinstance(column.type, sa.JSON):
                made[column.key] = {"whose": who}
            elif isinstance(column.type, sa.Boolean):
                made[column.key] = False
            elif isinstance(column.type, sa.Text):
                made[column.key] = f"{who} {column.key}"
            else:
                # Falling, as a chain is no shorter than its tree, nor that than what was signed.
                made[column.key] = (number * 100 - place) * 10 + 7_000_000 + offset
        if model.__tablename__ in ("tenants", "users"):
            made["id"] = {"tenants": {"ada": ADA, "eve": EVE}, "users": USERS}[model.__tablename__][
                who
            ]
        return made

    if issubclass(model, TenantOwned) or model.__tablename__ in ("tenants", "users"):
        return Target(model, row(ADA, "ada", 1), row(EVE, "eve", 2))
    return Target(model, {}, row(EVE, "eve", 2))


USERS = {"ada": uuid7(), "eve": uuid7()}
TARGETS = [target(model, number) for number, model in enumerate(WALKED)]


# --- the shapes -----------------------------------------------------------------------------


def _bare(t: Target) -> Any:
    return sa.table(t.table.name, *(sa.column(c.key, c.type) for c in t.table.c))


def _other(t: Target) -> Any:
    return orm.aliased(t.model)


def _loose(t: Target) -> Any:
    return t.table.alias()


def _text(t: Target) -> Any:
    return sa.text(f"SELECT {t.name} FROM {t.table.name}")  # noqa: S608 - that is the attack


READS: dict[str, Callable[[Target], Any]] = {
    "entity": lambda t: sa.select(t.model),
    "column": lambda t: sa.select(t.prize),
    "alias": lambda t: sa.select(_other(t)),
    "table": lambda t: sa.select(t.table.c[t.name]),
    "alias of a table": lambda t: sa.select(_loose(t).c[t.name]),
    "entity and a table": lambda t: sa.select(t.model, _loose(t).c[t.name]),
    "join of a table": lambda t: sa.select(t.model, (o := _loose(t)).c[t.name]).join(o, sa.true()),
    "outer join": lambda t: sa.select(t.prize, (o := _other(t))).join(o, sa.true(), isouter=True),
    "full join": lambda t: sa.select(_other(t)).join(t.model, sa.false(), full=True),
    "full join of a table": lambda t: sa.select((o := _loose(t)).c[t.name]).select_from(
        sa.join(t.table, o, sa.false(), full=True)
    ),
    "scalar subquery": lambda t: sa.select(
        sa.select(t.prize).where(t.owner == t.theirs[t.owner.key]).limit(1).scalar_subquery()
    ),
    "scalar subquery of a table": lambda t: sa.select(
        sa.select((o := _loose(t)).c[t.name])
        .where(o.c[t.owner.key] == t.theirs[t.owner.key])
        .limit(1)
        .scalar_subquery()
    ),
    "subquery": lambda t: sa.select(sa.select(t.prize).subquery()),
    "cte": lambda t: sa.select(sa.select(t.prize).cte()),
    "cte of a table": lambda t: sa.select(t.prize, sa.select(_loose(t)).cte().c[t.name]),
    "union": lambda t: sa.union_all(sa.select(t.prize), sa.select(getattr(_other(t), t.name))),
    "union's arm": lambda t: sa.union_all(sa.select(t.prize), sa.select(_loose(t).c[t.name])),
    "union within": lambda t: sa.select(
        sa.union_all(sa.select(t.prize), sa.select(_loose(t).c[t.name])).subquery()
    ),
    "lateral": lambda t: sa.select(t.prize, sa.select(_loose(t).c[t.name]).subquery()),
    "function's argument": lambda t: sa.select(sa.func.max(sa.cast(_loose(t).c[t.name], sa.Text))),
    "function of another": lambda t: sa.select(
        t.prize, sa.func.coalesce(_loose(t).c[t.name], sa.null())
    ),
    "window": lambda t: sa.select(
        sa.func.max(sa.cast((o := _loose(t)).c[t.name], sa.Text)).over(order_by=o.c[t.name])
    ),
    "sa.table": lambda t: sa.select(_bare(t).c[t.name]),
    "text": _text,
    "text with columns": lambda t: _text(t).columns(sa.column(t.name, t.table.c[t.name].type)),
    "text as condition": lambda t: sa.select(t.model).where(sa.text("1=1 OR 1=1")),
    "text as column": lambda t: (
        sa.select(t.prize, sa.text(f"({_text(t)} LIMIT 1 OFFSET 1)"))
        if t.mine
        else sa.select(t.prize, sa.text(f"({_text(t)} LIMIT 1)"))
    ),
    "text in from": lambda t: sa.select(sa.text(t.name)).select_from(sa.text(t.table.name)),
    "literal column": lambda t: sa.select(
        sa.literal_column(t.name, t.table.c[t.name].type)
    ).select_from(_loose(t)),
    "literal column with a query": lambda t: sa.select(
        t.model, sa.literal_column(f"({_text(t)} ORDER BY 1 DESC LIMIT 1)", t.table.c[t.name].type)
    ),
    "own operator": lambda t: sa.select(t.model).where(
        t.owner.op("IS NOT NULL OR 1 <>", is_comparison=True)(sa.literal(1))
    ),
    "hint": lambda t: sa.select(t.prize).with_statement_hint(
        f"UNION ALL SELECT {t.name} FROM {t.table.name}"  # noqa: S608 - that is the attack
    ),
    "suffix": lambda t: sa.select(t.prize).suffix_with(
        f"UNION ALL SELECT {t.name} FROM {t.table.name}"  # noqa: S608 - that is the attack
    ),
    "theirs": lambda t: sa.select(t.model).where(t.owner == t.theirs[t.owner.key]),
    "theirs or true": lambda t: sa.select(t.model).where(
        sa.or_(t.owner == t.theirs[t.owner.key], sa.true())
    ),
    "not mine": lambda t: sa.select(t.model).where(t.owner != t.mine.get(t.owner.key, ADA)),
    "update returning a table": lambda t: (
        sa.update(t.model)
        .values({t.name: t.prize})
        .returning(
            sa.select(_loose(t).c[t.name]).order_by(sa.desc(t.name)).limit(1).scalar_subquery()
        )
        .execution_options(synchronize_session=False)
    ),
}


def _stolen(t: Target) -> Any:
    source = _loose(t)
    return (
        sa.select(source.c[t.name])
        .where(source.c[t.owner.key] == t.theirs[t.owner.key])
        .limit(1)
        .scalar_subquery()
    )


def _changed(t: Target) -> dict[str, Any]:
    old = t.theirs[t.name]
    value: Any = old
    if isinstance(t.table.c[t.name].type, Id):
        value = uuid7()
    elif isinstance(old, str):
        value = f"changed {t.name}"
    elif isinstance(old, bytes):
        value = b"changed"
    elif isinstance(old, datetime):
        value = datetime(2031, 1, 1, tzinfo=UTC)
    elif isinstance(old, int):
        value = old + 5
    return {t.name: value}


def _fresh(t: Target) -> dict[str, Any]:
    """Another row of theirs, with a key of its own."""
    made = dict(t.theirs)
    for column in t.table.c:
        unique = column.primary_key or column.unique or column.key in ("seq", "version", "key_hash")
        if column.key == "tenant_id" or column.foreign_keys or column.computed is not None:
            continue
        if isinstance(column.type, Id):
            made[column.key] = uuid7()
        elif unique or isinstance(column.type, sa.Text | sa.LargeBinary):
            old = made[column.key]
            made[column.key] = (
                f"new {old}"
                if isinstance(old, str)
                else b"new " + old
                if isinstance(old, bytes)
                else datetime(2032, 1, 1, tzinfo=UTC)
                if isinstance(old, datetime)
                else old + 11
                if isinstance(old, int)
                else old
            )
    return made


def _unsynchronised(statement: Any) -> Any:
    return statement.execution_options(synchronize_session=False)


async def _by_key(tx: Tx, t: Target) -> None:
    key = {column.key: t.theirs[column.key] for column in t.table.primary_key}
    await tx.execute(sa.update(t.model), [{**key, **_changed(t)}])


async def _named(tx: Tx, t: Target) -> None:
    statement = sa.insert(t.model).values(
        {t.owner.key: sa.bindparam("whose", type_=t.table.c[t.owner.key].type)}
    )
    rows = {k: v for k, v in _fresh(t).items() if k != t.owner.key}
    whose = EVE if t.owner.key == "tenant_id" else _fresh(t)[t.owner.key]
    await tx.execute(statement, [{**rows, "whose": whose}])


async def _detached_update(tx: Tx, t: Target) -> None:
    row = t.model(**t.theirs)
    orm.make_transient_to_detached(row)
    tx.session.add(row)
    for name, value in _changed(t).items():
        setattr(row, name, value)
    await tx.session.flush()


async def _detached_delete(tx: Tx, t: Target) -> None:
    row = t.model(**t.theirs)
    orm.make_transient_to_detached(row)
    await tx.session.delete(row)
    await tx.session.flush()


async def _mine_by_their_key(tx: Tx, t: Target) -> None:
    """A detached object that says it is mine: only its key is theirs."""
    row = t.model(**{**t.theirs, **({"tenant_id": ADA} if "tenant_id" in t.theirs else {})})
    orm.make_transient_to_detached(row)
    tx.session.add(row)
    for name, value in _changed(t).items():
        setattr(row, name, value)
    await tx.session.flush()


async def _got(tx: Tx, t: Target) -> Any:
    return await tx.session.get(t.model, t.key_of_theirs)


async def _overwritten(tx: Tx, t: Target) -> None:
    maker: Any = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
    row = {**t.theirs, **({"tenant_id": ADA} if "tenant_id" in t.theirs else {})}
    if t.owner.key in [c.key for c in t.table.primary_key]:
        row = t.theirs
    await tx.execute(
        maker(t.model)
        .values(row)
        .on_conflict_do_update(
            index_elements=[c.key for c in t.table.primary_key], set_=_changed(t)
        )
    )


WRITES: dict[str, Callable[[Target], Any]] = {
    "update all": lambda t: sa.update(t.model).values(_changed(t)),
    "update theirs": lambda t: (
        sa.update(t.model).where(t.owner == t.theirs[t.owner.key]).values(_changed(t))
    ),
    "update a table": lambda t: sa.update(t.table).values(_changed(t)),
    "update sa.table": lambda t: sa.update(_bare(t)).values(_changed(t)),
    "update by text": lambda t: sa.update(t.model).where(sa.text("1=1 OR 1=1")).values(_changed(t)),
    "update from a table": lambda t: (
        sa.update(t.model).where(t.owner != t.theirs[t.owner.key]).values({t.name: _stolen(t)})
    ),
    "update of a cte": lambda t: sa.select(
        sa.update(t.table).values(_changed(t)).returning(t.table.c[t.name]).cte()
    ),
    "give away": lambda t: (
        sa.update(t.model)
        .where(t.owner != t.theirs[t.owner.key])
        .values({t.owner.key: EVE if t.owner.key == "tenant_id" else _fresh(t)[t.owner.key]})
    ),
    "delete all": lambda t: sa.delete(t.model),
    "delete theirs": lambda t: sa.delete(t.model).where(t.owner == t.theirs[t.owner.key]),
    "delete by text": lambda t: sa.delete(t.model).where(sa.text("1=1 OR 1=1")),
    "delete from a table": lambda t: sa.delete(t.table),
    "delete by text alone": lambda t: sa.text(
        f"DELETE FROM {t.table.name}"  # noqa: S608 - that is the attack
    ),
    "insert for them": lambda t: sa.insert(t.model).values(_fresh(t)),
    "insert many for them": lambda t: sa.insert(t.model).values([_fresh(t)]),
    "insert into a table": lambda t: sa.insert(t.table).values(_fresh(t)),
}
ACTS: dict[str, Callable[[Tx, Target], Any]] = {
    "update by key": _by_key,
    "insert with a named tenant": _named,
    "detached update": _detached_update,
    "detached delete": _detached_delete,
    "detached with their key": _mine_by_their_key,
    "get": _got,
    "upsert": _overwritten,
}


async def _attempt(tx: Tx, t: Target, shape: str) -> list[Any]:
    if shape in ACTS:
        found = await ACTS[shape](tx, t)
        return [] if found is None else [found]
    if shape in WRITES:
        await tx.execute(_unsynchronised(WRITES[shape](t)))
        return []
    return [value for row in await tx.execute(READS[shape](t)) for value in row]


SHAPES = [*READS, *WRITES, *ACTS]


# --- walls that can be taken down -----------------------------------------------------------


@contextmanager
def without_criterion(database: Database) -> Iterator[None]:
    """The session's own wall down: nothing is added, looked at or refused."""
    engine = database.engine.sync_engine
    listeners = [
        (Session, "do_orm_execute", _confinement._confine),
        (Session, "before_flush", _confinement._guard_flush),
        (Session, "before_attach", _confinement._refuse_foreign_objects),
        (engine, "before_cursor_execute", _confinement._refuse_leaving),
    ]
    for where, name, listener in listeners:
        event.remove(where, name, listener)
    try:
        yield
    finally:
        for where, name, listener in listeners:
            event.listen(where, name, listener)


class Walk:
    """A filled database, and somebody who sees all of it."""

    def __init__(self, database: Database, everything: sa.Engine) -> None:
        self.database = database
        self._everything = everything
        self.tried: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def drop_row_security(self) -> None:
        with self._everything.begin() as connection:
            for table in Base.metadata.tables:
                connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")

    def fill(self) -> None:
        tables = ("tenants", "users")
        first = [t for t in TARGETS if t.table.name in tables]
        with self._everything.begin() as connection, unguarded(connection, AUDIT):
            for t in [*first, *(t for t in TARGETS if t not in first)]:
                for row in (t.mine, t.theirs):
                    if row:
                        connection.execute(sa.insert(t.table).values(row))

    def rows(self, t: Target) -> list[dict[str, Any]]:
        with self._everything.connect() as connection:
            given = [column for column in t.table.c if column.computed is None]
            return [dict(row) for row in connection.execute(sa.select(*given)).mappings()]

    def restore(self, t: Target, rows: list[dict[str, Any]]) -> None:
        with self._everything.begin() as connection:
            if self._everything.dialect.name == "postgresql":
                connection.exec_driver_sql("SET session_replication_role = 'replica'")
            else:
                connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
                for table in AUDIT:
                    for name in ("insert", "update", "delete"):
                        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_guard_{name}")
            connection.execute(sa.delete(t.table))
            for row in rows:
                connection.execute(sa.insert(t.table).values(row))
            if self._everything.dialect.name == "postgresql":
                connection.exec_driver_sql("SET session_replication_role = 'origin'")

    async def leak(self, t: Target, shape: str) -> str:
        """What came through, if anything did."""
        before = self.rows(t)
        found: list[Any] = []
        self.tried[shape] += 1
        try:
            async with self.database.transaction(Scope("careless", ADA)) as tx:
                found = await _attempt(tx, t, shape)
        except Exception:  # noqa: BLE001 - refused, by whomever
            self.refused[shape] += 1
        after = self.rows(t)
        if after != before:
            self.restore(t, before)
        seen = {text for value in found for text in _texts(value)}
        if theirs := seen & t.marks:
            return f"read {min(theirs)}"
        hers = [row for row in after if not _is_mine(row)]
        if hers != [row for row in before if not _is_mine(row)]:
            return "changed"
        if any(t.marks & {str(value) for value in row.values()} for row in after if _is_mine(row)):
            return "copied"
        return ""


def _is_mine(row: dict[str, Any]) -> bool:
    return str(row.get("tenant_id", "")) == ADA


def _texts(value: Any) -> set[str]:
    if isinstance(value, Base):
        return {str(loaded) for name, loaded in vars(value).items() if name[0] != "_"}
    if isinstance(value, dict):
        return {json.dumps(value)}
    return {str(value)}


@pytest.fixture
def walk(database_url: str, request: pytest.FixtureRequest) -> Iterator[Walk]:
    url = sa.make_url(database_url)
    if url.get_backend_name() == "postgresql":
        server = request.getfixturevalue("postgres_server")
        everything = sa.create_engine(runner.sync_url(server.url(SUPERUSER, str(url.database))))
    else:
        everything = sa.create_engine(runner.sync_url(database_url))
    database = Database(make_engine(database_url, pool_size=2), audit_row=audit_row)
    made = Walk(database, everything)
    made.fill()
    yield made
    everything.dispose()


async def _leaks(walk: Walk, *, once: bool = False) -> dict[tuple[str, str], str]:
    """What comes through, by table and shape; ``once``: of each shape no more than the first."""
    found: dict[tuple[str, str], str] = {}
    try:
        for t in TARGETS:
            for shape in SHAPES:
                if once and any(shape == leaky for _, leaky in found):
                    continue
                if leaked := await walk.leak(t, shape):
                    found[t.table.name, shape] = leaked
    finally:
        await walk.database.aclose()
    return found


def _report(walk: Walk, walls: str, leaks: dict[tuple[str, str], str]) -> None:
    print(  # noqa: T201 - the count is asked for
        f"{walk.database.dialect}, {walls}: {walk.tried.total()} statements over {len(TARGETS)} "
        f"models in {len(SHAPES)} shapes, {walk.refused.total()} refused, {len(leaks)} leaks"
    )


async def test_the_sessions_wall_alone_leaks_nothing(walk: Walk) -> None:
    if walk.database.dialect == "postgresql":
        walk.drop_row_security()
    leaks = await _leaks(walk)
    _report(walk, "criterion alone", leaks)
    assert leaks == {}
    # It lets through what a manager needs.
    assert walk.refused["entity"] == len([t for t in TARGETS if not _belongs_to_a_tenant(t)])


async def test_row_level_security_alone_leaks_nothing(walk: Walk) -> None:
    if walk.database.dialect != "postgresql":
        pytest.skip("SQLite has no row-level security")
    with without_criterion(walk.database):
        leaks = await _leaks(walk)
    _report(walk, "row-level security alone", leaks)
    assert leaks == {}
    assert walk.refused["entity"] == 0


async def test_without_both_every_shape_leaks(walk: Walk) -> None:
    if walk.database.dialect == "postgresql":
        walk.drop_row_security()
    with without_criterion(walk.database):
        leaks = await _leaks(walk, once=True)
    _report(walk, "no wall", leaks)
    assert {shape for _, shape in leaks} >= set(SHAPES) - (
        {"update of a cte"} if walk.database.dialect == "sqlite" else set()
    )


def _belongs_to_a_tenant(t: Target) -> bool:
    return issubclass(t.model, TenantOwned)
