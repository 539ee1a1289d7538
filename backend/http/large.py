"""Large JSON bodies, parsed and validated beside the event loop, one of a tenant at a time.

The framework does both where everybody waits: thirty megabytes are half a second.
"""

import json
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic_core import from_json

from backend.core.context import Principal
from backend.http.body import read_body
from backend.kit.turns import LARGE_BYTES, Turns


class LargeBodyRoute(APIRoute):
    """A route of an ``APIRouter`` with one JSON body, which may be large."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's own handler, which finds a large body validated."""
        handle = super().get_route_handler()
        field = self.body_field
        if field is None:
            return handle

        async def handle_large(request: Request) -> Response:
            if not _says_json(request):
                return await handle(request)
            # Where the request would keep it, having copied it. How much may come is known.
            body = await read_body(request.receive, sys.maxsize)
            request._body = body  # type: ignore[assignment]  # noqa: SLF001 - as below
            if len(body) > LARGE_BYTES:
                principal: Principal = request.scope["principal"]
                turns: Turns = request.app.state.turns
                # What the framework would keep there after parsing. It takes a value that is
                # of the body's type as it is.
                request._json = await turns.run(  # noqa: SLF001 - it has no public name
                    principal.tenant_id, partial(_read, field.validate, body)
                )
            return await handle(request)

        return handle_large


def _read(validate: Callable[..., tuple[Any, list[Any]]], body: bytes | bytearray) -> Any:
    """The body as its type, refused as the framework would."""
    try:
        value = _parse(body)
    except json.JSONDecodeError as exc:
        found = {"type": "json_invalid", "loc": ("body", exc.pos), "ctx": {"error": exc.msg}}
        raise RequestValidationError([found]) from exc
    except (ValueError, RecursionError) as exc:
        raise HTTPException(400, "There was an error parsing the body") from exc
    read, errors = validate(value, {}, loc=("body",))
    if errors:
        raise RequestValidationError(errors)
    return read


def _parse(body: bytes | bytearray) -> Any:
    try:
        # One call that nothing interrupts, whoever waits: this one takes a quarter of the time.
        return from_json(body)
    except ValueError:
        # It takes less than the framework's parser, and says less of what it does not take.
        return json.loads(body)


def _says_json(request: Request) -> bool:
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return said.startswith("application/") and said.endswith(("/json", "+json"))
