"""Events as a stream of server-sent events: live, resumable, and only what the caller may read.

Stands in the edge's toolkit because it has no rules of its own: what an event is, core says; who
may read which, the rooms that declare them. A stream holds no database connection while it waits,
reads on only when the client has taken what was sent, and ends when its credential does.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import Field
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from backend.core.clock import monotonic, perf_counter
from backend.core.context import Principal, Scope, SystemScope
from backend.core.database import Database
from backend.core.errors import (
    AppError,
    InvalidInputError,
    RateLimitedError,
    UnavailableError,
)
from backend.core.events import EVENTS, PLATFORM_EVENTS, Event, read_events, read_span
from backend.core.room import PLATFORM_READ
from backend.http.deps import Caller, lacks, requires
from backend.http.pipeline import credential_of, end_slot
from backend.http.reply import problems

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 15.0
CHECK_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 5.0
_STALL_SECONDS: Final = 30.0
_BATCH: Final = 100
_RETRY_AFTER: Final = {"Retry-After": "5"}
_GREETING: Final = b"retry: 3000\n: connected\n\n"
_MOST: Final = 2**53 - 1

Authenticate = Callable[[str], Awaitable[Principal]]


class StreamsExhaustedError(UnavailableError):
    """This process keeps as many streams open as it may."""

    code, title = "streams_exhausted", "Too many streams are open"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams one process keeps open, and how long each may last."""

    most: int = 200
    most_of_tenant: int = 20
    longest_seconds: float = 3600


class EventStreams:
    """The open streams of this process.

    Args:
        kinds: Every event of the house and the permission that reading it takes.
        authenticate: Who a credential is now; raises :class:`UnauthenticatedError`.
    """

    def __init__(
        self,
        database: Database,
        kinds: Mapping[str, str],
        authenticate: Authenticate,
        limits: StreamLimits | None = None,
    ) -> None:
        self.database = database
        self.kinds = kinds
        self.authenticate = authenticate
        self.limits = limits or StreamLimits()
        self._open: dict[str, set[asyncio.Event]] = {}
        database.signals.subscribe(EVENTS, self._wake)

    def _wake(self, tenant_id: str) -> None:
        woken = [self._open.get(tenant_id, set())] if tenant_id else self._open.values()
        for wakes in woken:
            for wake in wakes:
                wake.set()

    @contextlib.contextmanager
    def opened(self, tenant_id: str) -> Iterator[asyncio.Event]:
        """Count a stream while the block lasts; what it gives is set when there may be events.

        Raises:
            RateLimitedError: The tenant has as many open as it may.
            StreamsExhaustedError: The process has.
        """
        mine = self._open.get(tenant_id, set())
        if len(mine) >= self.limits.most_of_tenant:
            detail = f"A tenant may keep {self.limits.most_of_tenant} streams open"
            raise RateLimitedError(detail, headers=_RETRY_AFTER)
        if sum(map(len, self._open.values())) >= self.limits.most:
            raise StreamsExhaustedError(headers=_RETRY_AFTER)
        wake = asyncio.Event()
        self._open.setdefault(tenant_id, mine).add(wake)
        try:
            yield wake
        finally:
            mine.discard(wake)
            if not mine:
                self._open.pop(tenant_id, None)

    def select(self, patterns: Collection[str], caller: Principal) -> frozenset[str]:
        """The kinds that match any pattern (all, without one) and that the caller may read.

        Raises:
            InvalidInputError: A pattern matches no event of the house.
            ForbiddenError: There are some, but the caller may read none of them.
        """
        wanted: set[str] = set()
        for pattern in patterns or ("*",):
            if pattern.endswith("*"):
                found = {kind for kind in self.kinds if kind.startswith(pattern[:-1])}
            else:
                found = {pattern} & self.kinds.keys()
            if not found:
                raise InvalidInputError(f"There is no event {pattern!r}")
            wanted |= found
        readable = frozenset(kind for kind in wanted if self.kinds[kind] in caller.permissions)
        if not readable:
            raise lacks(min(self.kinds[kind] for kind in wanted))
        return readable


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asks a stream for."""

    patterns: tuple[str, ...]
    after: int | None


class EventStreamResponse(Response):
    """One stream, from the caller's last event on."""

    media_type = "text/event-stream"

    def __init__(
        self,
        streams: EventStreams,
        asked: Wanted,
        caller: Principal,
        *,
        credential: str,
        tenant_id: str,
        needs: str | None,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._asked = asked
        self._credential = credential
        self._scope = Scope("system:events", tenant_id)
        self._needs = needs
        self._kinds = streams.select(asked.patterns, caller)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send until the client leaves, the credential ends, or time is up."""
        with self._streams.opened(self._scope.tenant_id) as wake:
            async with self._streams.database.read(self._scope) as view:
                oldest, newest = await read_span(view)
            # From here on it is a stream: neither slow, nor to be waited for when the server ends.
            scope["streaming_since"] = perf_counter()
            # Streams have a bound of their own.
            end_slot(scope)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            gone = asyncio.create_task(_left(receive))
            gone.add_done_callback(lambda _: wake.set())
            try:
                async for chunk in self._chunks(wake, gone, oldest, newest):
                    async with asyncio.timeout(_STALL_SECONDS):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except AppError as exc:
                # The client comes back where it was; there is no status left to tell it more.
                logger.info("event_stream_ended", extra={"cause": exc.code})
            except TimeoutError:
                # It takes nothing: what it has not read waits for it in the outbox, not here.
                logger.info("event_stream_ended", extra={"cause": "stalled"})
                return
            finally:
                gone.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(
        self, wake: asyncio.Event, gone: asyncio.Task[None], oldest: int, newest: int
    ) -> AsyncIterator[bytes]:
        yield _GREETING
        position = newest if self._asked.after is None else self._asked.after
        if position > newest or position + 1 < oldest:
            gap = _gap(position, oldest, newest)
            position = newest if position > newest else oldest - 1
            yield _frame("gap", position, gap)
        told = position
        now = monotonic()
        ends = now + self._streams.limits.longest_seconds
        beat, check, poll = now + HEARTBEAT_SECONDS, now + CHECK_SECONDS, now
        while not gone.done() and (now := monotonic()) < ends:
            if now >= check:
                check = now + CHECK_SECONDS
                await self._check()
            events: list[Event] = []
            if wake.is_set() or now >= poll:
                wake.clear()
                poll = now + _POLL_SECONDS
                async with self._streams.database.read(self._scope) as view:
                    events = await read_events(view, after=position, limit=_BATCH)
            if events:
                position = events[-1].seq
                wake.set()
                frames = [_frame(e.kind, e.seq, _view(e)) for e in events if e.kind in self._kinds]
                if frames:
                    told = position
                    beat = now + HEARTBEAT_SECONDS
                    frames.append(_place(position, events[-1].kind in self._kinds))
                    yield b"".join(frames)
            elif now >= beat:
                beat = now + HEARTBEAT_SECONDS
                yield b": heartbeat\n" + (_place(position, position == told) or b"\n")
                told = position
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(beat, check, poll, ends) - now):
                        await wake.wait()

    async def _check(self) -> None:
        """Take what the caller may read now.

        Raises:
            UnauthenticatedError, ForbiddenError: Nothing any more.
        """
        principal = await self._streams.authenticate(self._credential)
        if self._needs is not None and self._needs not in principal.permissions:
            raise lacks(self._needs)
        self._kinds = self._streams.select(self._asked.patterns, principal)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _view(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "id": event.id,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "subject": event.subject,
        "actor": event.actor,
        "data": event.data,
    }


def _gap(after: int, oldest: int, newest: int) -> dict[str, Any]:
    """What stands between the client's last event and the next one that it will see."""
    if after > newest:
        return {"reason": "unknown", "after": after, "newest": newest}
    return {"reason": "forgotten", "after": after, "oldest": oldest, "missing": oldest - after - 1}


def _frame(kind: str, seq: int, data: Any) -> bytes:
    text = json.dumps(data, separators=(",", ":"))
    return f"id: {seq}\nevent: {kind}\ndata: {text}\n\n".encode()


def _place(seq: int, told: bool) -> bytes:  # noqa: FBT001 - one caller's word
    """An id alone: dispatched to nobody, but a client that comes back begins after it.

    Else who reads a rare kind would ask for what is long forgotten, and be told of a gap.
    """
    return b"" if told else b"id: %d\n\n" % seq


async def _wanted(
    kind: Annotated[
        list[Annotated[str, Field(max_length=100)]] | None,
        Query(max_length=20, description="Exact, or a prefix with `*`; several may be given"),
    ] = None,
    after: Annotated[
        int | None,
        Query(ge=0, le=_MOST, description="Begin after this number; without: with what comes"),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            pattern="^[0-9]{1,15}$",
            description="As a client that comes back sends it; goes before `after`",
        ),
    ] = None,
) -> Wanted:
    return Wanted(tuple(kind or ()), after if last_event_id is None else int(last_event_id))


Asked = Annotated[Wanted, Depends(_wanted)]
router = APIRouter(prefix="/api/v1", tags=["events"])
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "One message an event: `id` is its number in the tenant, `event` its kind, "
        "`data` the event as JSON. `gap` comes first when events after the given number are no "
        "longer kept (`reason` `forgotten`) or never were (`unknown`). Comments every 15 s.",
        "content": {
            EventStreamResponse.media_type: {
                "schema": {
                    "type": "object",
                    "description": "One message of the stream",
                    "required": ["id", "event", "data"],
                    "properties": {
                        "id": {"type": "string", "pattern": "^[0-9]+$"},
                        "event": {"type": "string", "examples": ["email.bounced"]},
                        "data": {"type": "string", "contentMediaType": "application/json"},
                    },
                }
            }
        },
    },
    **problems(RateLimitedError, StreamsExhaustedError),
}


def _open(
    request: Request, caller: Principal, asked: Wanted, *, tenant_id: str, needs: str | None = None
) -> EventStreamResponse:
    return EventStreamResponse(
        cast("EventStreams", request.app.state.event_streams),
        asked,
        caller,
        credential=credential_of(dict(request.headers.raw)) or "",
        tenant_id=tenant_id,
        needs=needs,
    )


@router.get("/events", status_code=200, response_class=EventStreamResponse, responses=_ANSWERS)
async def stream_events(request: Request, caller: Caller, asked: Asked) -> Response:
    """Follow what happens in the tenant, as far as the caller's role may read it."""
    return _open(request, caller, asked, tenant_id=caller.tenant_id)


@router.get(
    "/platform/events",
    tags=["platform"],
    status_code=200,
    response_class=EventStreamResponse,
    responses=_ANSWERS,
)
async def stream_platform_events(
    request: Request,
    caller: Caller,
    asked: Asked,
    scope: Annotated[SystemScope, requires(PLATFORM_READ, errand=PLATFORM_EVENTS)],
) -> Response:
    """Follow the platform's own events: tenants, log-ins."""
    return _open(request, caller, asked, tenant_id=scope.tenant_id, needs=PLATFORM_READ)
