"""Many rows in one bind parameter: the statement's text stays the same whatever the batch.

A VALUES list or an executemany would make the work of compiling, or the number of round trips,
grow with the batch; one JSON array does neither, and both databases can join against it.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from backend.core.database import Json

_POSTGRES_TYPES: dict[type[sa.types.TypeEngine[Any]], Any] = {
    sa.Uuid: postgresql.UUID(as_uuid=False)
}


def json_rows(
    dialect: str, columns: Mapping[str, sa.types.TypeEngine[Any]]
) -> dict[str, sa.ColumnElement[Any]]:
    """Columns of the JSON array bound as ``rows``, usable in UPDATE ... FROM.

    Supported types: ``Uuid`` (write values with :func:`json_id`), ``Text``, ``BigInteger``,
    ``Float``.
    """
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
