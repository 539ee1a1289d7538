"""Bodies and answers that are files, read whole within the route's class, or sent in parts."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException, Request
from fastapi.responses import StreamingResponse

_CSV: Final = "text/csv"
_YAML: Final = "application/yaml"
_YAMLS: Final = (_YAML, "application/x-yaml", "text/yaml", "application/json")
_SCHEMA: Final = {"schema": {"type": "string"}}


def csv_body(example: str) -> dict[str, Any]:
    """``openapi_extra`` of a route that takes a :data:`CsvBody`."""
    return _body(_CSV, example)


def yaml_body(example: str) -> dict[str, Any]:
    """``openapi_extra`` of a route that takes a :data:`YamlBody`."""
    return _body(_YAML, example)


def _body(media_type: str, example: str) -> dict[str, Any]:
    content = {media_type: {**_SCHEMA, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


CSV_ANSWER: Final[dict[str, Any]] = {"content": {_CSV: _SCHEMA}, "description": "CSV, UTF-8"}
"""The 200 of a route that answers with :func:`csv_file`."""


def _called(*media_types: str) -> Any:
    async def read(request: Request) -> bytes:
        told = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if told not in media_types:
            raise HTTPException(415, headers={"Accept": ", ".join(media_types)})
        return await request.body()

    return Depends(read)


CsvBody = Annotated[bytes, _called(_CSV)]
"""The body's bytes, once it is called ``text/csv``."""

YamlBody = Annotated[bytes, _called(*_YAMLS)]
"""The same, once it is called YAML, or JSON, which is YAML."""


def csv_file(name: str, parts: AsyncIterator[bytes]) -> StreamingResponse:
    """A file of that name, sent as its parts are made."""
    return StreamingResponse(
        parts,
        media_type=_CSV,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
