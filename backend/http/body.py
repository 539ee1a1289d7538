"""Reading bodies: never more than was allowed for, and nothing that would grow when parsed.

Whoever calls this has decided from the head alone that the body may come at all. What takes time is
done beside the event loop, in pieces that let it have the interpreter.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from backend.core.errors import TooLargeError
from backend.kit.turns import Turns

# Each becomes an object of some hundred bytes: thirty megabytes of "{}," would become a gigabyte.
_MAX_VALUES: Final = 500_000
_IN_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_PIECE: Final = 2**20
_QUOTE: Final = ord('"')


class BodyTooLargeError(TooLargeError):
    """The body is over the limit of this route."""

    code, title = "too_large", "The request is too large"


async def read_body(receive: Receive, limit: int) -> bytes | bytearray:
    """The whole body; what came in one piece is returned as it is.

    Raises:
        BodyTooLargeError: It has more than ``limit`` bytes; the rest was not taken.
        ClientDisconnect: It never came whole, and half of one must not be acted on.
    """
    # Grown and not joined: to put megabytes together at once keeps everybody waiting.
    body: bytes | bytearray = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        if isinstance(body, bytearray):
            body += chunk
        else:
            body = bytearray(body + chunk) if body else chunk
        if not message.get("more_body"):
            return body


async def bounded(
    headers: Mapping[bytes, bytes],
    receive: Receive,
    *,
    limit: int,
    harmless: int,
    turns: Turns,
    tenant_id: str,
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
    if len(body) > _MAX_VALUES and await turns.run(tenant_id, partial(_holds_too_much, body)):
        raise BodyTooLargeError(f"The body may hold {_MAX_VALUES} JSON values at most")
    return replayed(body)


def replayed(body: bytes | bytearray) -> Receive:
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


def _holds_too_much(body: bytes | bytearray) -> bool:
    pieces = range(0, len(body), _PIECE)
    if sum(_count_values(body, at, at + _PIECE) for at in pieces) <= _MAX_VALUES:
        return False
    values = 0
    for start, end in _between_strings(body):
        values += _count_values(body, start, end)
        if values > _MAX_VALUES:
            return True
    return False


def _count_values(body: bytes | bytearray, start: int, end: int) -> int:
    return sum(body.count(sign, start, end) for sign in (b",", b"[", b"{"))


def _between_strings(body: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Where JSON is structure. An unfinished string goes on to the end: each byte is read once."""
    at = 0
    while (quote := body.find(b'"', at)) >= 0:
        yield at, quote
        at = _end_of_string(body, quote + 1)
    yield at, len(body)


def _end_of_string(body: bytes | bytearray, at: int) -> int:
    while found := _IN_STRING.match(body, at, at + _PIECE):
        end = found.end()
        if end < len(body) and body[end] == _QUOTE:
            return end + 1
        if end == at:  # nothing is left, or half an escape
            break
        at = end
    return len(body)
