"""A proxy in front of PostgreSQL that can lose the answer to a COMMIT.

The server has the COMMIT and did it; whoever asked finds the connection gone and knows nothing.
Only of transactions that have changed jobs: an answer about anything else is no loss to the queue.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

from scripts.installation import HOST

_STARTUP: Final = 3 << 16
_HEAD: Final = struct.Struct("!I")
_COMMITTED: Final = b"C\x00\x00\x00\x0bCOMMIT\x00"
_CHANGES: Final = b"UPDATE jobs SET"


class _Session:
    """One connection: what it has prepared, and whether its transaction has changed jobs."""

    def __init__(self) -> None:
        self.loses = False
        self._changing: set[bytes] = set()
        self._changed = False

    def commits(self, kind: bytes, body: bytes) -> bool:
        """Look at a message; whether it is the COMMIT of a transaction that has changed jobs."""
        if kind == b"P":
            name, query, _ = body.split(b"\0", 2)
            self._changing.discard(name)
            if _CHANGES in query:
                self._changing.add(name)
        elif kind == b"B":
            self._changed = self._changed or body.split(b"\0", 2)[1] in self._changing
        elif kind == b"Q" and body.startswith((b"COMMIT", b"ROLLBACK")):
            changed, self._changed = self._changed, False
            return changed and body.startswith(b"COMMIT")
        return False


class LostReplies:
    """Listens on a port of its own as long as it runs.

    Args:
        port: Of the server.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.left = 0
        """How many answers are still to be lost."""
        self.lost = 0
        self._server_port = port
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Forward as long as the block runs."""
        server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers, halves = [writer], []
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                answers, server = await asyncio.open_connection(HOST, self._server_port)
                writers.append(server)
                session = _Session()
                halves = [
                    asyncio.create_task(self._forward(reader, server, session)),
                    asyncio.create_task(self._answer(answers, writer, session)),
                ]
                await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)
            for one in writers:
                # What is unread is of nobody's interest any more.
                one.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, session: _Session
    ) -> None:
        started = False
        while True:
            # Until it has said who it is, its messages have no kind.
            kind = await reader.readexactly(1) if started else b""
            head = await reader.readexactly(_HEAD.size)
            body = await reader.readexactly(_HEAD.unpack(head)[0] - _HEAD.size)
            if not started:
                started = _HEAD.unpack(body[: _HEAD.size])[0] == _STARTUP
            elif session.commits(kind, body) and self.left:
                self.left -= 1
                session.loses = True
            server.write(kind + head + body)
            await server.drain()

    async def _answer(
        self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter, session: _Session
    ) -> None:
        while said := await answers.read(65536):
            if session.loses:
                if _COMMITTED in said:
                    self.lost += 1
                return
            writer.write(said)
            await writer.drain()
