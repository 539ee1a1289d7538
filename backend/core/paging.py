"""Pages of rows whose ids are UUIDv7 and so in the order of their making (RFC 9562, 5.7)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from backend.core.context import AnyScope
from backend.core.database import Database, ReadTx
from backend.core.ids import uuid7_at

_PART: Final = 500
_Columns = TypeVarTuple("_Columns")
_FEW: Final = 10_000
"""What is looked through, to find a page of it, rather than all rows looked at: either takes some
ten milliseconds at a million rows and no longer at more."""
_LAST: Final = "\U0010ffff"
_APART: Final = timedelta(minutes=5)
"""How far a row's id and its own time may be from each other: a long transaction, a clock set."""
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC) + _APART
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)


def in_calendar(at: datetime) -> datetime:
    """The time, or the nearest that an id can have and that may be reckoned with."""
    return min(max(at, _EARLIEST), _LATEST)


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


def named(
    tx: ReadTx,
    query: sa.Select[*_Columns],
    name: InstrumentedAttribute[str],
    limit: int,
    after: str | None,
) -> sa.Select[*_Columns]:
    """The query's rows in the order of a name's bytes, from after ``after`` on.

    By an index with ``text_pattern_ops``: a collation's order is another on every machine. One row
    more than ``limit`` is asked for.
    """
    if after is not None:
        if tx.dialect == "postgresql":
            query = query.where(name.bool_op("~>=~")(after), name != after)
        else:
            query = query.where(name > after)
    return query.order_by(_in_bytes(tx, name)).limit(limit + 1)


async def in_parts(
    db: Database, scope: AnyScope, read: Callable[..., Awaitable[Sequence[Any]]]
) -> AsyncIterator[Sequence[Any]]:
    """A whole list in the order of ``read``, at most 500 rows at a time; no row comes twice.

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


@dataclass(frozen=True, slots=True)
class Side:
    """One condition of a list, and the index that finds what meets it.

    Attributes:
        row_id: The id of the list's rows, in the table that has the index.
        condition: What the index is searched by, the tenant included.
        check: The same of a row of the list, for rows that another side found; by no index.
        column: What the index is searched by.
        in_order: Whether the index gives ids in their order: an equality does, a range does not.
        index: Its name, where SQLite has to be told: it takes none of a generated column's for one
            that covers, and so rather walks through all that the tenant has.
    """

    row_id: InstrumentedAttribute[str]
    condition: sa.ColumnElement[bool]
    check: sa.ColumnElement[bool]
    column: InstrumentedAttribute[Any]
    in_order: bool
    index: str = ""

    def along(self, query: sa.Select[*_Columns]) -> sa.Select[*_Columns]:
        """The query, told which index it is to walk."""
        if not self.index:
            return query
        return query.with_hint(self.row_id.class_, f"INDEXED BY {self.index}", "sqlite")


@dataclass(frozen=True, slots=True)
class Made:
    """When a list's rows were made: at ``after`` or later, and earlier than ``before``.

    The rows' own time decides. Their ids, which are made with them, say what stretch of any index
    that has ids in their order is looked at.
    """

    at: InstrumentedAttribute[datetime]
    after: datetime | None = None
    before: datetime | None = None

    def exactly(self) -> list[sa.ColumnElement[bool]]:
        """By the rows' own time; by no index, which would give them in an order of its own."""
        at = hidden(self.at)
        wanted = []
        if self.after is not None:
            wanted.append(at >= self.after)
        if self.before is not None:
            wanted.append(at < self.before)
        return wanted

    def about(self, row_id: InstrumentedAttribute[str]) -> list[sa.ColumnElement[bool]]:
        """By their ids: all that :meth:`exactly` asks for, and some of before and after."""
        wanted = []
        if self.after is not None:
            wanted.append(row_id >= uuid7_at(in_calendar(self.after) - _APART))
        if self.before is not None:
            wanted.append(row_id < uuid7_at(in_calendar(self.before) + _APART))
        return wanted


def matches(tx: ReadTx, column: Any, wanted: str) -> tuple[sa.ColumnElement[bool], bool]:
    """What the text of a filter asks of a column, and whether that is an equality.

    A trailing ``*`` makes it a prefix, which the column's index serves.
    """
    if not wanted.endswith("*"):
        return column == wanted, True
    prefix = wanted.removesuffix("*")
    if tx.dialect == "postgresql":
        # By text_pattern_ops: its collation may sort otherwise. Not LIKE, which is not leakproof:
        # behind row-level security no index serves it.
        begins, ends = column.bool_op("~>=~"), column.bool_op("~<~")
        return sa.and_(begins(prefix), ends(prefix + _LAST)), False
    return sa.and_(column >= prefix, column < prefix + _LAST), False


def hidden(column: Any) -> Any:
    """The column as planners do not know it: of no index."""
    return sa.func.coalesce(column, column)


def counted_between(
    query: sa.Select[*tuple[Any, ...]], at: Any, bounds: Sequence[datetime]
) -> sa.Select[*tuple[Any, ...]]:
    """How many rows of ``query`` are between each two of ``bounds``, by their time ``at``.

    Its rows are the place of the first of the two, the columns of ``query`` and the count, in this
    order; there is none where there are none.
    """
    last = sa.literal(len(bounds) - 2)
    spans = [(at < bound, place) for place, bound in enumerate(bounds[1:-1])]
    span = (sa.case(*spans, else_=last) if spans else last).label("span")
    # Grouped from outside: with bounds that are bound anew it is another expression to PostgreSQL.
    within = query.add_columns(span).where(at >= bounds[0], at < bounds[-1]).subquery()
    columns = [within.c.span, *(column for column in within.c if column.key != "span")]
    return sa.select(*columns, sa.func.count()).group_by(*columns).order_by(*columns)


async def newest_of(  # noqa: PLR0917 - newest() and two
    tx: ReadTx,
    query: sa.Select[*_Columns],
    row_id: InstrumentedAttribute[str],
    sides: Sequence[Side],
    limit: int,
    before_id: str | None,
    made: Made | None = None,
) -> sa.Select[*_Columns]:
    """As :func:`newest`, of the rows that meet all sides, beginning at the most selective one.

    No planner can be trusted with that choice: SQLite knows averages only, and PostgreSQL the
    most common values. So each side is counted, up to some ten thousand, and the fewest are looked
    through; where all have more, a page of them is near whatever the rest.
    """
    exactly = made.exactly() if made is not None else []
    if made is not None:
        # Also beside the ids that a side finds: joined with those, a walk begins where they may be.
        query = query.where(*made.about(row_id))
    first = await _most_selective(tx, sides, made)
    if first is None:
        checks = [side.check for side in sides]
        return newest(query.where(*checks, *exactly), row_id, limit, before_id)
    ids = first.along(sa.select(first.row_id).where(*_conditions(first, made)))
    if first.row_id is row_id:
        # In the list's own table, which has the time.
        ids, exactly = ids.where(*exactly), []
    row_id_of: Any = first.row_id
    if not first.in_order:
        # They are few: all of them by the index, which no planner then takes for a detour.
        few = _few(tx, first, made).subquery()
        row_id_of = few.c[first.row_id.key]
        ids = sa.select(row_id_of)
    others = [*(side.check for side in sides if side is not first), *exactly]
    # One that stands alone gives the page itself, else all that others may leave of it. The limit
    # is also what keeps planners from making one search of both again.
    page = newest(ids.distinct(), row_id_of, limit if not others else _FEW, before_id)
    return newest(query.where(row_id.in_(page), *others), row_id, limit, None)


async def _most_selective(
    tx: ReadTx, sides: Sequence[Side], made: Made | None = None
) -> Side | None:
    """The side with the fewest rows, if it has few, or if it is alone and in order."""
    if len(sides) == 1 and sides[0].in_order:
        return sides[0]
    fewest: tuple[int, Side | None] = (_FEW, None)
    for side in sides:
        some = _few(tx, side, made).subquery()
        count = int(await tx.scalar(sa.select(sa.func.count()).select_from(some)))
        if count < fewest[0]:
            fewest = (count, side)
    return fewest[1]


def _conditions(side: Side, made: Made | None) -> list[sa.ColumnElement[bool]]:
    return [side.condition, *(made.about(side.row_id) if made is not None else ())]


def _few(tx: ReadTx, side: Side, made: Made | None) -> Any:
    """What meets a side, up to some ten thousand.

    In the order of the index: without one a planner may hope for enough rows anywhere.
    """
    order = side.row_id if side.in_order else _in_bytes(tx, side.column)
    some = side.along(sa.select(side.row_id).where(*_conditions(side, made)))
    return some.order_by(order).limit(_FEW)


def _in_bytes(tx: ReadTx, column: Any) -> Any:
    """The order of an index by ``text_pattern_ops``, and SQLite's own."""
    if tx.dialect != "postgresql":
        return column
    return UnaryExpression(column, modifier=custom_op("USING ~<~"))
