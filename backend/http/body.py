"""Reading bodies: never more than was allowed for, and nothing that would grow when parsed.

Whoever calls this has decided from the head alone that the body may come at all.
"""

import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from backend.core.errors import TooLargeError

# Each becomes an object of some hundred bytes: thirty megabytes of "{}," would become a gigabyte.
_MAX_VALUES: Final = 500_000
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class BodyTooLargeError(TooLargeError):
    """The body is over the limit of this route."""

    code, title = "too_large", "The request is too large"


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLargeError: It has more than ``limit`` bytes; the rest was not taken.
        ClientDisconnect: It never came whole, and half of one must not be acted on.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def bounded(
    headers: Mapping[bytes, bytes], receive: Receive, *, limit: int, harmless: int
) -> Receive:
    """What the body may be received from, once it is known to keep to ``limit`` bytes.

    One that is announced and ``harmless`` is left to whoever parses it: the server lets no more
    through than was announced. Any other is read here, because the parsers behind know no bound.

    Raises:
        BodyTooLargeError: It is announced as larger, turns out to be, or holds more JSON values
            than any sensible request.
        ClientDisconnect: It never came whole.
    """
    length = headers.get(b"content-length")
    if length is None:
        if b"transfer-encoding" not in headers:
            return receive
    elif not length.isdigit() or int(length) > limit:
        raise _too_large(limit)
    elif int(length) <= harmless:
        return receive
    body = await read_body(receive, limit)
    if _count_values(body) > _MAX_VALUES and _count_values(_STRING.sub(b"", body)) > _MAX_VALUES:
        raise BodyTooLargeError(f"The body may hold {_MAX_VALUES} JSON values at most")
    return replayed(body)


def replayed(body: bytes) -> Receive:
    """A body that was read already, to be received once more."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body may have {limit} bytes at most", limit_bytes=limit)


def _count_values(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")
