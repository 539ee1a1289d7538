"""A server on loopback that answers in JSON, for what must be reached past a proxy."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable


@contextlib.asynccontextmanager
async def answering(body: Callable[[str], object]) -> AsyncIterator[str]:
    """The server's address; ``body`` gives its answer to what stands between verb and version.

    That is a path. A proxy would be asked for the whole address.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        content = json.dumps(body(asked)).encode()
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
