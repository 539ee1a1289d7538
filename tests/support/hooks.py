"""A program on loopback that others call back: a real server, which does as its subclass says."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Self, cast


class HookServer(ABC):
    """Takes requests on a port of 127.0.0.1, each connection's one after the other."""

    def __init__(self) -> None:
        self.port = 0
        self.unheard: list[Mapping[str, str]] = []
        """Headers of requests whose sender was gone before they were answered."""
        self.more_headers: Mapping[str, str] = {}
        """What is answered beside the status."""
        self.said = b""
        """The body of the answer."""
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    @abstractmethod
    async def take(
        self, path: str, headers: Mapping[str, str], body: bytes
    ) -> int | tuple[int, bytes]:
        """Take a request; the status that it is answered with. Names of headers are small.

        With a body that is said to this one alone, where it matters.
        """

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen as long as the block runs."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        # Cancelled when nobody listens any more: there is nothing to tell of that.
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *rest = head.split("\r\n")
                lines = [line.partition(": ") for line in rest if line]
                headers = {name.lower(): value for name, _, value in lines}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                try:
                    answer = await self.take(first.split()[1], headers, body)
                    # What the socket knows by now: it may have ended while this loop was busy.
                    await asyncio.sleep(0)
                finally:
                    # Also where nobody listens any more before it was answered.
                    if reader.at_eof():
                        self.unheard.append(headers)
                status, said = answer if isinstance(answer, tuple) else (answer, self.said)
                more = "".join(f"{name}: {value}\r\n" for name, value in self.more_headers.items())
                head = f"HTTP/1.1 {status} X\r\n{more}content-length: {len(said)}\r\n\r\n"
                writer.write(head.encode() + said)
                await writer.drain()
        writer.close()
