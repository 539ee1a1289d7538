"""The HTTP/1.1 protocol of the server, with the bounds that uvicorn leaves out.

uvicorn's fast parser keeps whatever a head holds until it ends, and waits for the end as long as it
takes: one connection could fill the memory, and idle ones all file descriptors, before the first
line of an application runs.
"""

import asyncio
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES: Final = 65_536
MAX_UNWANTED_BYTES: Final = 1_048_576
"""What a request may still send once it has its answer; then its connection is closed."""
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
    bounded by the pipeline, which knows the route and the caller. What it does not read because
    it has refused the request already is thrown away here for a while: closing at once could lose
    the refusal on its way (RFC 9112, section 9.6), and taking all of it would let who may send
    nothing send for ever.
    """

    head_seconds: ClassVar[float] = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_bytes = 0
        self._unwanted_bytes = 0
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
        """Parse, and cut a head that grows too large or a body that nobody wants."""
        began_before = self._in_head
        super().data_received(data)
        if self._in_unwanted_body():
            self._unwanted_bytes += len(data)
            # Whatever arrives stops the clock of idle connections; here nothing else starts it.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
            if self._unwanted_bytes > MAX_UNWANTED_BYTES and not self.transport.is_closing():
                self.transport.close()
        # A head that began within this read may stand behind a long body: it counts from the next.
        if began_before and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_REFUSAL)
                self.transport.close()

    def _in_unwanted_body(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # none before the first head
        # The parser tells an answered request nothing more, so that its body never seems to end.
        return not self._in_head and cycle is not None and cycle.response_complete

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._unwanted_bytes = True, 0, 0
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
