"""What comes in goes on to a collector as well: bounded, counted, and nobody waits for it.

A tenant's exports stand in a line of its own and take turns with the others', so that one that
sends much, or whose spans the collector does not like, holds up nobody else's. What finds no room
is dropped as it comes: the older ones belong to traces that are further on their way.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from backend.core.clock import monotonic
from backend.kit.otlp import PROTOBUF
from backend.kit.outbound import NotAllowedError, Outbound, UnreachableError

logger = logging.getLogger(__name__)

_BATCH_BYTES: Final = 2**20
_TENANT_SHARE: Final = 0.25
_TIMEOUT_SECONDS: Final = 5.0
_FIRST_WAIT_SECONDS: Final = 0.5
_GIVE_UP_SECONDS: Final = 30.0
_MOST_WAIT_SECONDS: Final = 10.0
_LAST_SECONDS: Final = 2.0
_TOLD_SECONDS: Final = 60.0
# OTLP/HTTP 1.x, retryable response codes.
_LATER: Final = frozenset({429, 502, 503, 504})


class _Export(NamedTuple):
    body: bytes
    spans: int


class Forwarder:
    """The way of one process's exports to the collector.

    Args:
        endpoint: Where it takes traces by OTLP/HTTP, with its path.
        outbound: The way out.
        capacity_bytes: What waits at most, of one tenant a quarter of that.
        count: Told ``(tenant_id, forwarded=..., not_forwarded=...)`` of what became of spans.
    """

    def __init__(
        self,
        endpoint: str,
        outbound: Outbound,
        *,
        capacity_bytes: int,
        count: Callable[..., None],
    ) -> None:
        self._endpoint = endpoint
        self._outbound = outbound
        self._capacity = capacity_bytes
        self._count = count
        self._lines: OrderedDict[str, deque[_Export]] = OrderedDict()
        self._held: dict[str, int] = {}
        self._held_bytes = 0
        self._come = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._told_at: float | None = None

    def add(self, tenant_id: str, body: bytes, spans: int) -> None:
        """Let an export wait for its turn, if there is room; returns at once."""
        held = self._held.get(tenant_id, 0) + len(body)
        if self._held_bytes + len(body) > self._capacity or held > self._capacity * _TENANT_SHARE:
            self._count(tenant_id, not_forwarded=spans)
            return
        self._held[tenant_id] = held
        self._held_bytes += len(body)
        self._lines.setdefault(tenant_id, deque()).append(_Export(body, spans))
        self._come.set()
        self._idle.clear()

    def leave(self, tenant_id: str) -> None:
        """Hold nothing of a tenant whose data goes."""
        self._lines.pop(tenant_id, None)
        self._release(tenant_id, self._held.get(tenant_id, 0))

    def _release(self, tenant_id: str, size: int) -> None:
        """Give room back; of who has left meanwhile nothing is held any more."""
        if tenant_id not in self._held:
            return
        self._held[tenant_id] -= size
        self._held_bytes -= size
        if not self._held[tenant_id]:
            del self._held[tenant_id]
        if not self._held:
            self._idle.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hand on while the block lasts, and for two seconds more what is left at its end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self._idle.wait()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for tenant_id, line in self._lines.items():
                self._count(tenant_id, not_forwarded=sum(one.spans for one in line))
            self._lines.clear()

    async def _run(self) -> None:
        while True:
            while not self._lines:
                self._come.clear()
                await self._come.wait()
            tenant_id, line = self._lines.popitem(last=False)
            bite, size = self._bite(line)
            if line:
                self._lines[tenant_id] = line
            spans = sum(one.spans for one in bite)
            taken = 0
            try:
                # Messages of protobuf one after the other are one message with all of it.
                taken = max(0, spans - await self._send(b"".join(one.body for one in bite)))
            except _LostError as exc:
                self._warn(str(exc))
            except Exception:
                # A fault of ours costs this bite, and not everybody's spans from then on.
                logger.exception("spans_not_forwarded")
            finally:
                self._count(tenant_id, forwarded=taken, not_forwarded=spans - taken)
                self._release(tenant_id, size)

    @staticmethod
    def _bite(line: deque[_Export]) -> tuple[list[_Export], int]:
        bite = [line.popleft()]
        size = len(bite[0].body)
        while line and size + len(line[0].body) <= _BATCH_BYTES:
            bite.append(line.popleft())
            size += len(bite[-1].body)
        return bite, size

    async def _send(self, body: bytes) -> int:
        """Hand it over; returns how many of its spans the collector rejected.

        Raises:
            _LostError: It refused all, or was not to be reached for half a minute.
        """
        began, wait = monotonic(), _FIRST_WAIT_SECONDS
        while True:
            try:
                answer = await self._outbound.request(
                    "POST",
                    self._endpoint,
                    tenant_id=None,
                    public_only=False,
                    headers={"Content-Type": PROTOBUF},
                    content=body,
                    timeout_seconds=_TIMEOUT_SECONDS,
                )
            except (UnreachableError, NotAllowedError) as exc:
                reason, asked = exc.detail or exc.title, ""
            else:
                if answer.is_success:
                    return _rejected(answer.body)
                reason, asked = f"answered {answer.status}", answer.headers.get("retry-after", "")
                if answer.status not in _LATER:
                    raise _LostError(reason)
            if asked.isdigit():
                wait = max(wait, float(asked))
            wait = min(wait, _MOST_WAIT_SECONDS)
            if monotonic() - began + wait > _GIVE_UP_SECONDS:
                raise _LostError(reason)
            await asyncio.sleep(wait)
            wait *= 2

    def _warn(self, reason: str) -> None:
        """Once a minute: what it costs is counted."""
        now = monotonic()
        if self._told_at is None or now - self._told_at >= _TOLD_SECONDS:
            self._told_at = now
            logger.warning("spans_not_forwarded", extra={"reason": reason})


class _LostError(Exception):
    """Says why a bite was not taken."""


def _rejected(body: bytes) -> int:
    try:
        said = ExportTraceServiceResponse.FromString(body)
    except DecodeError:
        return 0  # a success that is told in another form
    return int(said.partial_success.rejected_spans)
