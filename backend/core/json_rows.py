"""Many rows in one bind parameter: the statement's text stays the same whatever the batch.

A VALUES list or an executemany would make the work of compiling, or the number of messages, grow
with the batch; one JSON array does neither, and both databases can join against it and insert from
it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from backend.core.columns import Base, Json

_POSTGRES_TYPES: dict[type[sa.types.TypeEngine[Any]], Any] = {
    sa.Uuid: postgresql.UUID(as_uuid=False)
}


def json_rows(
    dialect: str, columns: Mapping[str, sa.types.TypeEngine[Any]], rows: Any = None
) -> dict[str, sa.ColumnElement[Any]]:
    """Columns of the JSON array bound as ``rows``, usable in UPDATE ... FROM.

    On PostgreSQL of any type that reads JSON or its text; on SQLite of what JSON has itself, and
    ids as :func:`json_id` writes them.
    """
    if rows is None:
        rows = sa.bindparam("rows", type_=Json)
    if dialect == "postgresql":
        typed = [
            sa.column(name, _POSTGRES_TYPES.get(type(kind), kind)) for name, kind in columns.items()
        ]
        record = sa.func.jsonb_to_recordset(rows).table_valued(*typed)
        values = record.render_derived(name="v", with_types=True)
        return {name: values.c[name] for name in columns}
    each = sa.func.json_each(rows).table_valued("value", name="v")
    return {
        name: sa.func.json_extract(each.c.value, f"$.{name}", type_=kind)
        for name, kind in columns.items()
    }


def json_id(dialect: str, value: str) -> str:
    """An id as the database below keeps it: SQLite holds UUIDs as 32 hex digits."""
    return value if dialect == "postgresql" else value.replace("-", "")


def base_value(value: object) -> str | int:
    """What an instance of a subclass of text or of a whole number is in JSON: a hook of msgspec.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)


_encode: Final = msgspec.json.Encoder(enc_hook=base_value).encode
_BYTES: Final = "bytes"


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A bulk insert as one database takes it."""

    statement: sa.Insert
    parameters: Callable[[str, Sequence[Mapping[str, Any]]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class BulkInsert:
    """Inserts any number of a tenant's rows by one statement that has one parameter for them all.

    Against an executemany it costs the client a third, PostgreSQL half, and SQLite's thread never
    waits between two rows for whoever holds the interpreter.

    Attributes:
        model: Whose table; it has a tenant.
        columns: What each row gives, besides the tenant; what it does not name is the database's.
        known: Columns of a key; a row whose key is there already is left out. Empty: it is an
            error.
    """

    model: type[Base]
    columns: tuple[str, ...]
    known: tuple[str, ...] = ()
    _prepared: dict[str, _Prepared] = field(default_factory=dict, init=False, compare=False)

    def __hash__(self) -> int:
        return hash((self.model, self.columns, self.known))

    @property
    def table(self) -> sa.Table:
        """The table."""
        return self.model.__table__  # type: ignore[return-value]

    def statements(
        self, dialect: Dialect, rows: Iterable[Mapping[str, Any]]
    ) -> list[tuple[sa.Insert, dict[str, Any]]]:
        """What inserts the rows: a statement with its parameters for each tenant among them."""
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            make = _for_postgresql if dialect.name == "postgresql" else _for_sqlite
            prepared = self._prepared[dialect.name] = make(self, dialect)
        by_tenant: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            by_tenant.setdefault(row["tenant_id"], []).append(row)
        return [
            (prepared.statement, prepared.parameters(tenant_id, each))
            for tenant_id, each in by_tenant.items()
        ]


def _insert(
    bulk: BulkInsert, dialect: str, values: Mapping[str, sa.ColumnElement[Any]]
) -> sa.Insert:
    table, columns = bulk.table, bulk.columns
    tenant = sa.bindparam("tenant_id", type_=table.c.tenant_id.type)
    rows = sa.select(tenant, *(values[name] for name in columns))
    if not bulk.known:
        return sa.insert(table).from_select(["tenant_id", *columns], rows, include_defaults=False)
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    # SQLite takes ON CONFLICT for a join's condition where the SELECT has no WHERE of its own.
    rows = rows.where(sa.literal(1) == sa.literal(1))
    made = insert(table).from_select(["tenant_id", *columns], rows, include_defaults=False)
    return made.on_conflict_do_nothing(index_elements=list(bulk.known))


def _for_postgresql(bulk: BulkInsert, _: Dialect) -> _Prepared:
    table, columns = bulk.table, bulk.columns
    given = sa.cast(sa.bindparam("rows", type_=sa.Text), postgresql.JSONB)
    values = json_rows("postgresql", {name: table.c[name].type for name in columns}, given)

    def parameters(tenant_id: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        said = [{name: _told(row[name]) for name in columns} for row in rows]
        return {"tenant_id": tenant_id, "rows": _encode(said).decode()}

    return _Prepared(_insert(bulk, "postgresql", values), parameters)


def _told(value: Any) -> Any:
    return f"\\x{value.hex()}" if value.__class__ is bytes else value


def _for_sqlite(bulk: BulkInsert, dialect: Dialect) -> _Prepared:
    """Bytes are no JSON: all rows' are one parameter more, and each row says where its are."""
    table, columns = bulk.table, bulk.columns
    blobs = {name for name in columns if isinstance(table.c[name].type, sa.LargeBinary)}
    write = {
        name: table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in columns
    }
    places = {f"{name}_{what}": sa.BigInteger() for name in blobs for what in ("at", "size")}
    plain = {name: table.c[name].type for name in columns if name not in blobs}
    given = sa.bindparam("rows", type_=sa.Text)
    values: dict[str, Any] = json_rows("sqlite", {**plain, **places}, given)
    for name in blobs:
        held = sa.bindparam(_BYTES, type_=sa.LargeBinary)
        values[name] = sa.func.substr(held, values[f"{name}_at"], values[f"{name}_size"])

    def parameters(tenant_id: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        held, said = bytearray(), []
        for row in rows:
            one = {}
            for name in columns:
                value, processor = row[name], write[name]
                if name not in blobs:
                    one[name] = value if processor is None else processor(value)
                elif value is not None:
                    one[f"{name}_at"], one[f"{name}_size"] = len(held) + 1, len(value)
                    held += value
            said.append(one)
        found = {"tenant_id": tenant_id, "rows": _encode(said).decode()}
        return {**found, _BYTES: bytes(held)} if blobs else found

    return _Prepared(_insert(bulk, "sqlite", values), parameters)
