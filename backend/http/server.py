"""The HTTP/1.1 protocol of the server, with the bounds that uvicorn leaves out.

uvicorn's fast parser keeps whatever a head holds until it ends, and waits for the end as long as it
takes: one connection could fill the memory, and idle ones all file descriptors, before the first
line of an application runs.
"""

import asyncio
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 65_536
# Longer than clients and proxies keep an idle connection (nginx and Kong: 60 s). The side that
# sends must be the one to give it up, or what is sent at that moment is lost.
_KEEP_ALIVE_SECONDS: Final = 75
_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol; a request's head has a greatest size and a time to arrive in.

    The size is checked between reads, so what one read brings (256 KiB) comes on top. Bodies are
    bounded by the pipeline, which knows the route and the caller.
    """

    head_seconds: ClassVar[float] = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect a head within its time; a connection that says nothing is closed as well."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._forget_deadline()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End streams at once: they never end by themselves, and their clients come back."""
        super().shutdown()
        cycle: Any = self.cycle
        if cycle is not None and "streaming_since" in cycle.scope:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse, and cut a head that grows too large."""
        began_before = self._in_head
        super().data_received(data)
        # A head that began within this read may stand behind a long body: it counts from the next.
        if began_before and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_REFUSAL)
                self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self._deadline is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is whole: from here on the application decides."""
        self._in_head = False
        self._forget_deadline()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(self.head_seconds, self._give_up)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


# How the API is served, in uvicorn's words.
OPTIONS: Final[dict[str, Any]] = {
    "http": BoundedProtocol,
    "ws": "none",
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "proxy_headers": False,
    "timeout_keep_alive": _KEEP_ALIVE_SECONDS,
}
