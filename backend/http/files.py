"""Bodies and answers that are files: CSV, read whole within the route's class, sent in parts."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException, Request
from fastapi.responses import StreamingResponse

_CSV: Final = "text/csv"
_SCHEMA: Final = {"schema": {"type": "string"}}


def csv_body(example: str) -> dict[str, Any]:
    """``openapi_extra`` of a route that takes a :data:`CsvBody`."""
    content = {_CSV: {**_SCHEMA, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


CSV_ANSWER: Final[dict[str, Any]] = {"content": {_CSV: _SCHEMA}, "description": "CSV, UTF-8"}
"""The 200 of a route that answers with :func:`csv_file`."""


async def _csv(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _CSV:
        raise HTTPException(415, headers={"Accept": _CSV})
    return await request.body()


CsvBody = Annotated[bytes, Depends(_csv)]
"""The body's bytes, once it is called ``text/csv``."""


def csv_file(name: str, parts: AsyncIterator[bytes]) -> StreamingResponse:
    """A file of that name, sent as its parts are made."""
    return StreamingResponse(
        parts,
        media_type=_CSV,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
