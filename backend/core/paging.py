"""Pages of rows whose ids are UUIDv7 and so in the order of their making (RFC 9562, 5.7)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from backend.core.context import Scope
from backend.core.database import Database

_PART: Final = 2000
_Columns = TypeVarTuple("_Columns")


def newest(
    query: sa.Select[*_Columns],
    row_id: InstrumentedAttribute[str],
    limit: int,
    before_id: str | None,
) -> sa.Select[*_Columns]:
    """The query's rows from the newest on, or from after ``before_id`` on.

    One row more than ``limit`` is asked for: it says whether there is a next page.
    """
    if before_id is not None:
        query = query.where(row_id < before_id)
    return query.order_by(row_id.desc()).limit(limit + 1)


async def in_parts(
    db: Database, scope: Scope, read: Callable[..., Awaitable[Sequence[Any]]]
) -> AsyncIterator[Sequence[Any]]:
    """A whole list in the order of ``read``, at most 2000 rows at a time; no row comes twice.

    ``read(tx, limit=, before_id=)`` gives one row more than the limit if there are more. Each part
    is read in a transaction of its own, so that a slow reader of the file holds no connection.
    """
    before, more = None, True
    while more:
        async with db.read(scope) as tx:
            rows = await read(tx, limit=_PART, before_id=before)
        more = len(rows) > _PART
        before = rows[_PART - 1].id if more else None
        yield rows[:_PART]
