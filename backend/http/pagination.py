"""Keyset pagination: opaque cursors over time-ordered ids or names, no totals."""

import base64
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, Query

from backend.core.errors import InvalidInputError

# 16 bytes in 22 characters: of the last one only two bits carry anything.
_CURSOR: Final = "^[A-Za-z0-9_-]{21}[AQgw]$"
# Every string of this form is a cursor: schemas and programs agree about what is valid.
_NAMED_CURSOR: Final = "^(?:[2-7][0-9a-f]){1,128}$"


class CursorInvalidError(InvalidInputError):
    """The cursor was not made by this list."""

    code, title = "invalid_cursor", "The cursor is not valid"


@dataclass(frozen=True, slots=True)
class Page:
    """How much to read and where to go on; ``before_id`` is None on the first page."""

    limit: int
    before_id: str | None


@dataclass(frozen=True, slots=True)
class NamedPage:
    """The same for lists that are sorted by unique names."""

    limit: int
    after_name: str | None


class _HasId(Protocol):
    @property
    def id(self) -> Any: ...


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


def _cursor(pattern: str, max_length: int) -> Any:
    return Query(
        max_length=max_length,
        description="`next_cursor` of the page before",
        json_schema_extra={"pattern": pattern},
    )


_Limit = Annotated[int, Query(ge=1, le=200, description="Items a page")]
_Cursor = Annotated[str | None, _cursor(_CURSOR, 64)]
_NamedCursor = Annotated[str | None, _cursor(_NAMED_CURSOR, 256)]


async def _page(limit: _Limit = 50, cursor: _Cursor = None) -> Page:
    return Page(limit, None if cursor is None else decode_cursor(cursor))


async def _named_page(limit: _Limit = 50, cursor: _NamedCursor = None) -> NamedPage:
    return NamedPage(limit, None if cursor is None else decode_named_cursor(cursor))


PageQuery = Annotated[Page, Depends(_page)]
NamedPageQuery = Annotated[NamedPage, Depends(_named_page)]


def encode_cursor(row_id: str) -> str:
    """An opaque cursor that continues after the row with this id."""
    return base64.urlsafe_b64encode(uuid.UUID(row_id).bytes).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The id inside a cursor.

    Raises:
        CursorInvalidError: It is not one of ours.
    """
    # The decoder would skip what is not of its alphabet.
    if not re.fullmatch(_CURSOR, cursor):
        raise CursorInvalidError
    return str(uuid.UUID(bytes=base64.urlsafe_b64decode(cursor + "==")))


def next_cursor(rows: Sequence[_HasId], page: Page) -> str | None:
    """The cursor after ``rows``; callers read one row more than the limit to know if there is."""
    if len(rows) <= page.limit:
        return None
    return encode_cursor(str(rows[page.limit - 1].id))


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


def next_named_cursor(rows: Sequence[_HasName], page: NamedPage) -> str | None:
    """As :func:`next_cursor`, for lists by name."""
    return encode_named_cursor(rows[page.limit - 1].name) if len(rows) > page.limit else None
