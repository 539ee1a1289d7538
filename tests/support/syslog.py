"""A syslog receiver over TLS, as RFC 5425 has it, and what it was sent taken apart."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.tls_front import certificate_for


@dataclass
class Receiver:
    """A syslog receiver: what it read, frame by frame, and how it behaves."""

    ca: str = ""
    port: int = 0
    messages: list[bytes] = field(default_factory=list)
    hang_up_after: int | None = None


@contextlib.asynccontextmanager
async def receiver(folder: Path) -> AsyncIterator[Receiver]:
    """On loopback, over TLS, with a private authority's certificate."""
    made = Receiver()
    made.ca, pem = certificate_for(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                length = (await reader.readuntil(b" "))[:-1]
                made.messages.append(await reader.readexactly(int(length)))
                if made.hang_up_after is not None and len(made.messages) >= made.hang_up_after:
                    writer.transport.abort()
                    return
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


def parsed(message: bytes) -> tuple[list[str], str]:
    """RFC 5424 by a pattern of its own: the header, the element ``meta``, the text."""
    head, _, text = message.partition(b"\xef\xbb\xbf")
    found = re.fullmatch(
        rb"<(\d+)>1 (\S+) (\S+) (\S+) (\S+) (\S+) \[meta sequenceId=\"(\d+)\"\] ", head
    )
    assert found, head
    return [one.decode() for one in found.groups()], text.decode()
