"""Keyset pagination: opaque cursors over time-ordered ids or names, no totals."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar, cast

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from backend.core.errors import InvalidInputError
from backend.http.schemas import Time, view
from backend.kit import base64url

_Out = TypeVar("_Out", bound=BaseModel)

# 16 bytes in 22 characters: of the last one only two bits carry anything.
_CURSOR: Final = "^[A-Za-z0-9_-]{21}[AQgw]$"
# Every string of this form is a cursor: schemas and programs agree about what is valid.
_NAMED_CURSOR: Final = "^(?:[2-7][0-9a-f]){1,128}$"


class CursorInvalidError(InvalidInputError):
    """The cursor was not made by this list."""

    code, title = "invalid_cursor", "The cursor is not valid"


@dataclass(frozen=True, slots=True)
class Slice:
    """How much to read and where to go on; ``before_id`` is None on the first page."""

    limit: int
    before_id: str | None


@dataclass(frozen=True, slots=True)
class NamedSlice:
    """The same for lists that are sorted by unique names."""

    limit: int
    after_name: str | None


class Page(BaseModel, Generic[_Out]):
    """A part of a list; `next_cursor` asks for the part after it, and is null on the last."""

    items: list[_Out]
    next_cursor: str | None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """``EmailPage`` for a page of ``EmailOut``."""
        return f"{params[0].__name__.removesuffix('Out')}Page"


def _cursor(pattern: str, max_length: int) -> Any:
    return Query(
        max_length=max_length,
        description="`next_cursor` of the page before",
        json_schema_extra={"pattern": pattern},
    )


_Limit = Annotated[int, Query(ge=1, le=200, description="Items a page")]
_Cursor = Annotated[str | None, _cursor(_CURSOR, 64)]
_NamedCursor = Annotated[str | None, _cursor(_NAMED_CURSOR, 256)]


CursorText = Annotated[str, Field(max_length=64, pattern=_CURSOR)]
"""A cursor in a body, for what acts on a list."""


async def _page(limit: _Limit = 50, cursor: _Cursor = None) -> Slice:
    return Slice(limit, None if cursor is None else decode_cursor(cursor))


async def _named_page(limit: _Limit = 50, cursor: _NamedCursor = None) -> NamedSlice:
    return NamedSlice(limit, None if cursor is None else decode_named_cursor(cursor))


CreatedAfter = Annotated[
    Time | None,
    Query(description="RFC 3339; made then or later", examples=["2026-01-31T08:00:00Z"]),
]
CreatedBefore = Annotated[
    Time | None, Query(description="RFC 3339; made earlier", examples=["2026-02-01T08:00:00Z"])
]
PageQuery = Annotated[Slice, Depends(_page)]
NamedPageQuery = Annotated[NamedSlice, Depends(_named_page)]


def encode_cursor(row_id: str) -> str:
    """An opaque cursor that continues after the row with this id."""
    return base64url.encode(uuid.UUID(row_id).bytes)


def decode_cursor(cursor: str) -> str:
    """The id inside a cursor.

    Raises:
        CursorInvalidError: It is not one of ours.
    """
    if not re.fullmatch(_CURSOR, cursor):
        raise CursorInvalidError
    return str(uuid.UUID(bytes=base64url.decode(cursor)))


def encode_named_cursor(name: str) -> str:
    """An opaque cursor that continues after this name: ASCII, at most 128 characters."""
    return name.encode("ascii").hex()


def decode_named_cursor(cursor: str) -> str:
    """The name inside a cursor.

    Raises:
        CursorInvalidError: It is not one of ours.
    """
    if not re.fullmatch(_NAMED_CURSOR, cursor):
        raise CursorInvalidError
    return bytes.fromhex(cursor).decode("ascii")


def page_of(out: type[_Out], rows: Sequence[Any], wanted: Slice | NamedSlice) -> Page[_Out]:
    """The rows as they go over the wire, and the cursor after them.

    Callers read one row more than the limit: that is how it is known whether there are more.
    """
    after = None
    if len(rows) > wanted.limit:
        last = rows[wanted.limit - 1]
        by_id = isinstance(wanted, Slice)
        after = encode_cursor(last.id) if by_id else encode_named_cursor(last.name)
    # The parametrised class, so that its schema is the one that the document names.
    made = cast("type[Page[_Out]]", Page.__class_getitem__(out))
    return made(items=[view(out, row) for row in rows[: wanted.limit]], next_cursor=after)
