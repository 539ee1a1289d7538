"""Pages of rows whose ids are UUIDv7 and so in the order of their making (RFC 9562, 5.7)."""

from typing import TypeVarTuple

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

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
