"""Deferred telemetry: a request appends one small record and goes.

A recorded span plus a structured log line inside the request leave about a third of the bare
rate; appending a tuple leaves nearly all of it. A background task turns records into metrics, log
lines, rollups and, for the traces worth keeping, spans. Nothing is sampled out of metrics.
"""

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import getrandbits
from typing import Final, NamedTuple

logger = logging.getLogger(__name__)

_CAPACITY: Final = 100_000
# Later versions may append fields; none may use capitals.
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class RequestRecord(NamedTuple):
    """What one finished request leaves behind. Times: epoch nanoseconds and seconds.

    ``expired``: refused because its token had run out. ``looks_on``: the console read it to show
    it, which is nobody's traffic.
    """

    started_ns: int
    seconds: float
    method: str
    route: str
    path: str
    status: int
    tenant_id: str
    actor: str
    address: str
    request_id: str
    trace_id: str
    span_id: str
    parent_id: str
    forced: bool
    problem: str
    expired: bool = False
    looks_on: bool = False


class Step(NamedTuple):
    """What a piece of work asked of another service, and how that went.

    Times: epoch nanoseconds and seconds. ``attributes`` are kept where the tenant's traces are:
    whom it was about does not belong into them.
    """

    name: str
    started_ns: int
    seconds: float
    failed: bool
    attributes: Mapping[str, str | int]


Consumer = Callable[[Sequence[RequestRecord]], None]


class Telemetry:
    """The queue between requests and everything that wants to know about them."""

    def __init__(self, consumers: Sequence[Consumer], *, interval_seconds: float = 0.25) -> None:
        self._consumers = list(consumers)
        self._interval = interval_seconds
        self._records: deque[RequestRecord] = deque(maxlen=_CAPACITY)
        self.append: Callable[[RequestRecord], None] = self._records.append

    def drain(self) -> int:
        """Hand all waiting records to every consumer; one that fails does not starve the rest."""
        records = [self._records.popleft() for _ in range(len(self._records))]
        if records:
            for consume in self._consumers:
                try:
                    consume(records)
                except Exception:
                    logger.exception("telemetry_consumer_failed")
        return len(records)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Drain regularly while the block lasts, and once more at its end."""
        task = asyncio.create_task(self._drain_forever())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.drain()

    async def _drain_forever(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            self.drain()


def parse_traceparent(header: str) -> tuple[str, str, bool] | None:
    """(trace id, parent span id, sampled) of a W3C ``traceparent``, or None when it is invalid."""
    found = _TRACEPARENT.fullmatch(header.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more):
        return None
    if not (int(trace_id, 16) and int(span_id, 16)):
        return None
    return trace_id, span_id, bool(int(flags, 16) & 1)


def new_trace_id() -> str:
    """32 random hex digits, never all zero (W3C Trace Context, level 2): chance, and no secret."""
    return f"{getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    """16 random hex digits, never all zero."""
    return f"{getrandbits(64) or 1:016x}"
