"""A collector of traces on a real socket: it takes exports, or does to them what a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class FakeCollector:
    """What it was sent and how it answers.

    Attributes:
        url: Where it takes traces.
        exports: What it has taken, one message a request.
        statuses: Answers to come, the first one next; 200 when there is none.
        answer: The body of a success.
        hangs: Whether it takes requests and says nothing.
    """

    url: str
    exports: list[ExportTraceServiceRequest] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answer: bytes = b""
    hangs: bool = False
    asked: int = 0

    @property
    def spans(self) -> list[tuple[str, Span]]:
        """All spans that it has taken, each with the tenant that its resource names."""
        return [
            (attribute.value.string_value, span)
            for export in self.exports
            for resource in export.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "email_sender.tenant"
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@asynccontextmanager
async def collector(port: int = 0) -> AsyncIterator[FakeCollector]:
    """One that is there while the block lasts."""
    made = FakeCollector("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
                length = next(int(value) for name, _, value in lines if name == b"content-length")
                body = await reader.readexactly(length)
                made.asked += 1
                if made.hangs:
                    await asyncio.Event().wait()
                status = made.statuses.pop(0) if made.statuses else 200
                said = made.answer if status == 200 else b""
                if status == 200:
                    made.exports.append(ExportTraceServiceRequest.FromString(body))
                writer.write(
                    b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n" % (status, len(said)) + said
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever asked has gone
        finally:
            writer.close()

    handlers: set[asyncio.Task[None]] = set()

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        handlers.add(task)
        task.add_done_callback(handlers.discard)

    server = await asyncio.start_server(take, "127.0.0.1", port)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces"
    try:
        yield made
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()
