"""Named cursors: every event to every consumer, at least once and in order within a tenant.

A cursor stands at one place for each tenant, so neither a slow tenant nor one whose events make a
consumer fail holds another up; each cursor is served by tasks of its own. Any number of processes
may serve one: who takes a tenant gets a lease by the database's clock and a fence, and only who
still has the fence may advance. Between a consumer's success and the advance a crash delivers
again: ``tenant_id`` and ``seq`` tell what was there before.
"""

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, cast

import sqlalchemy as sa

from backend.core.clock import monotonic
from backend.core.database import (
    Database,
    DatabaseUnavailableError,
    ReadTx,
    Scope,
    SystemScope,
    Tx,
    UtcTime,
    db_now,
)
from backend.core.errors import UnavailableError
from backend.core.events import (
    EVENTS,
    OUTBOX,
    Event,
    EventCursor,
    EventHead,
    EventRecord,
    read_events,
    read_unnumbered_seconds,
)
from backend.core.ids import PLATFORM_TENANT, uuid7

logger = logging.getLogger(__name__)

Consume = Callable[[str, Sequence[Event]], Awaitable[None]]
"""Takes a tenant's next events; returns once it needs none of them again, or raises."""

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEASE_MARGIN_SECONDS: Final = 10.0
_TURN_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 1.0
_MAX_DOUBLINGS: Final = 30
_DEGRADED_FAILURES: Final = 3
LAG_SECONDS: Final = 60.0
"""An event that has waited so long, for its number or for a consumer, waits for somebody to look.
"""


@dataclass(frozen=True, slots=True)
class EventConsumer:
    """One cursor and what its events are handed to.

    Attributes:
        name: The cursor's, for ever: under another one it begins anew.
        consume: Called with at most ``batch`` events of one tenant; for one tenant never twice at
            a time, unless a lease ran out meanwhile.
        start: Where the cursor begins when its name is new. With ``now`` what happened before the
            first process served it is nobody's: in a new installation that is what the API took
            until its first worker was there. A tenant that comes later is read from its beginning
            in any case.
        batch: Most events a call.
        tenants_at_once: Tenants that one process serves at a time. With more of them waiting, each
            has a turn of a second.
        gather_seconds: For how long nobody takes a tenant's events after somebody has. A call costs
            three commits however few it is handed: who only counts lets a second's gather.
        timeout_seconds: A call that takes longer has failed. Work that may take long is a job.
        backoff_seconds: Until a tenant is tried again after a failure; doubles with each further
            one, 20 % jitter.
        max_backoff_seconds: No wait is longer.
        lease_margin_seconds: The lease outlasts a call by so much; a crash delays its tenants by
            that and ``timeout_seconds`` at most.
    """

    name: str
    consume: Consume
    start: Literal["now", "beginning"] = "beginning"
    batch: int = 200
    tenants_at_once: int = 16
    gather_seconds: float = 0.0
    timeout_seconds: float = 10.0
    backoff_seconds: float = 1.0
    max_backoff_seconds: float = 300.0
    lease_margin_seconds: float = _LEASE_MARGIN_SECONDS

    @property
    def lease_seconds(self) -> float:
        """How long a tenant is ours without another word."""
        return self.timeout_seconds + self.lease_margin_seconds

    def backoff(self, failures: int) -> float:
        """Seconds until the next try after so many failures in a row."""
        doubled = self.backoff_seconds * 2.0 ** min(failures - 1, _MAX_DOUBLINGS)
        jitter = random.uniform(0.8, 1.2)  # noqa: S311 - not a secret
        return min(doubled, self.max_backoff_seconds) * jitter


class _Lease(NamedTuple):
    tenant_id: str
    seq: int
    fence: int
    failures: int


class EventDispatcher:
    """Serves cursors in this process.

    Args:
        consumers: One for each cursor; names are unique.
        poll_seconds: How often to look without a signal.
        on_failure: Told the cursor's name for each call that failed.
    """

    def __init__(
        self,
        database: Database,
        consumers: Sequence[EventConsumer],
        *,
        poll_seconds: float = 1.0,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._consumers = tuple(consumers)
        self._poll = poll_seconds
        self._on_failure = on_failure
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid7()[-6:]}"
        self._wakes = {consumer.name: asyncio.Event() for consumer in consumers}
        self._stopping = False
        self._scope = SystemScope(OUTBOX)
        database.signals.subscribe(EVENTS, self._wake)

    def _wake(self, _: str) -> None:
        for wake in self._wakes.values():
            wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the block lasts; at its end calls have five seconds to return."""
        tasks = [asyncio.create_task(self._serve(each)) for each in self._consumers]
        try:
            yield
        finally:
            self._stopping = True
            self._wake("")
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self, consumer: EventConsumer) -> None:
        """Hand out one cursor's tenants to tasks, whatever happens to any of them."""
        wake = self._wakes[consumer.name]
        known = False
        async with asyncio.TaskGroup() as group:
            busy: set[asyncio.Task[None]] = set()

            def ended(task: asyncio.Task[None]) -> None:
                busy.discard(task)
                wake.set()

            while not self._stopping:
                wake.clear()
                leases: list[_Lease] = []
                room = consumer.tenants_at_once - len(busy)
                try:
                    known = known or await self._register(consumer)
                    if room:
                        leases = await self._lease(consumer, room)
                except DatabaseUnavailableError:
                    await asyncio.sleep(_PAUSE_SECONDS)
                except Exception:
                    logger.exception("event_cursor_failed", extra={"cursor": consumer.name})
                    await asyncio.sleep(_PAUSE_SECONDS)
                for lease in leases:
                    task = group.create_task(self._follow(consumer, lease))
                    busy.add(task)
                    task.add_done_callback(ended)
                if not leases:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._poll):
                            await wake.wait()

    async def _register(self, consumer: EventConsumer) -> bool:
        """Make the cursor known. From then on events wait for it."""
        async with self._database.transaction(self._scope) as tx:
            at_head = consumer.start == "now"
            seq = await tx.scalar(
                sa.select(EventHead.seq).where(EventHead.tenant_id == PLATFORM_TENANT)
            )
            row = _new_row(PLATFORM_TENANT, consumer.name, (seq or 0) if at_head else 0)
            if await tx.insert_new(EventCursor, row, conflict=["tenant_id", "name"]) and at_head:
                columns = {
                    "tenant_id": EventHead.tenant_id,
                    "name": sa.literal(consumer.name, sa.Text()),
                    "seq": EventHead.seq,
                    "fence": sa.literal(0, sa.BigInteger()),
                    "holder": sa.literal("", sa.Text()),
                    "free_at": sa.literal(_LONG_AGO, UtcTime()),
                    "failures": sa.literal(0, sa.BigInteger()),
                    "error": sa.literal("", sa.Text()),
                }
                heads = sa.select(*columns.values()).where(EventHead.tenant_id != PLATFORM_TENANT)
                await tx.execute(sa.insert(EventCursor).from_select(list(columns), heads))
        return True

    async def _lease(self, consumer: EventConsumer, most: int) -> list[_Lease]:
        """Take up to ``most`` tenants with unread events that nobody else has."""
        async with self._database.read(self._scope) as view:
            found = (
                await view.execute(
                    sa.select(EventHead.tenant_id, EventCursor.name)
                    .outerjoin(EventCursor, _of_head(consumer.name))
                    .where(
                        EventHead.seq > sa.func.coalesce(EventCursor.seq, 0),
                        sa.or_(EventCursor.free_at.is_(None), EventCursor.free_at <= db_now()),
                    )
                    # Who has waited longest comes first.
                    .order_by(EventCursor.free_at.nulls_first())
                    .limit(most)
                )
            ).all()
        if not found:
            # Idle costs a look, never the write lock.
            return []
        async with self._database.transaction(self._scope) as tx:
            for tenant in (tenant for tenant, name in found if name is None):
                await tx.insert_new(
                    EventCursor,
                    _new_row(tenant, consumer.name, 0),
                    conflict=["tenant_id", "name"],
                )
            free = (
                sa.select(EventCursor.tenant_id)
                .where(
                    EventCursor.name == consumer.name,
                    EventCursor.tenant_id.in_([tenant for tenant, _ in found]),
                    EventCursor.free_at <= db_now(),
                )
                .order_by(EventCursor.tenant_id)
                .with_for_update(skip_locked=True)
                .cte("free")
                .prefix_with("MATERIALIZED", dialect="postgresql")
            )
            taken = await tx.execute(
                sa.update(EventCursor)
                .where(
                    EventCursor.name == consumer.name,
                    EventCursor.tenant_id.in_(sa.select(free.c.tenant_id)),
                )
                .values(
                    holder=self._holder,
                    fence=EventCursor.fence + 1,
                    free_at=db_now(consumer.lease_seconds),
                )
                .returning(
                    EventCursor.tenant_id,
                    EventCursor.seq,
                    EventCursor.fence,
                    EventCursor.failures,
                )
                .execution_options(synchronize_session=False)
            )
            return [_Lease(*row) for row in taken]

    async def _follow(self, consumer: EventConsumer, lease: _Lease) -> None:
        """Deliver one tenant's events for a turn, or until there are none, or a call fails."""
        scope = Scope(actor="system:events", tenant_id=lease.tenant_id)
        turn_ends = monotonic() + _TURN_SECONDS
        failures = lease.failures
        try:
            async with self._database.read(scope) as view:
                events = await read_events(view, after=lease.seq, limit=consumer.batch)
            if not events:
                await self._advance(consumer, lease, scope, lease.seq, on=False)
            while events:
                try:
                    async with asyncio.timeout(consumer.timeout_seconds):
                        await consumer.consume(lease.tenant_id, events)
                except Exception as exc:  # noqa: BLE001 - a consumer fails as it likes
                    await self._fail(consumer, lease, scope, exc, failures=failures + 1)
                    return
                failures = 0
                on = monotonic() < turn_ends and not self._stopping
                if consumer.gather_seconds and len(events) < consumer.batch:
                    on = False
                events = await self._advance(consumer, lease, scope, events[-1].seq, on=on)
        except DatabaseUnavailableError:
            # The lease runs out by itself, and somebody delivers again.
            logger.warning("event_cursor_waits_for_the_database", extra={"cursor": consumer.name})
        except Exception:
            logger.exception("event_cursor_failed", extra={"cursor": consumer.name})

    async def _advance(
        self, consumer: EventConsumer, lease: _Lease, scope: Scope, seq: int, *, on: bool
    ) -> list[Event]:
        """Move the cursor, in the transaction that reads what comes next; nothing when all is done.

        ``on``: whether to go on if there is more. Otherwise the tenant is free for anybody.
        """
        async with self._database.transaction(scope) as tx:
            events = await read_events(tx, after=seq, limit=consumer.batch) if on else []
            held = await _update(
                tx,
                consumer,
                lease,
                seq=seq,
                failures=0,
                error="",
                free_at=db_now(consumer.lease_seconds if events else consumer.gather_seconds),
            )
        if not held:
            logger.warning(
                "event_lease_lost", extra={"cursor": consumer.name, "tenant_id": lease.tenant_id}
            )
            return []
        return events

    async def _fail(
        self,
        consumer: EventConsumer,
        lease: _Lease,
        scope: Scope,
        error: Exception,
        *,
        failures: int,
    ) -> None:
        name = type(error).__name__
        self._on_failure(consumer.name)
        logger.warning(
            "event_consumer_failed",
            extra={"cursor": consumer.name, "tenant_id": lease.tenant_id, "cause": name},
        )
        async with self._database.transaction(scope) as tx:
            await _update(
                tx,
                consumer,
                lease,
                failures=failures,
                error=name,
                free_at=db_now(consumer.backoff(failures)),
            )


def _new_row(tenant_id: str, name: str, seq: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "name": name,
        "seq": seq,
        "fence": 0,
        "holder": "",
        "free_at": _LONG_AGO,
        "failures": 0,
        "error": "",
    }


def _of_head(name: Any) -> Any:
    return sa.and_(EventCursor.tenant_id == EventHead.tenant_id, EventCursor.name == name)


async def _update(tx: Tx, consumer: EventConsumer, lease: _Lease, **values: Any) -> bool:
    """Change the cursor if the lease's fence still stands; whether it did."""
    result = await tx.execute(
        sa.update(EventCursor)
        .where(
            EventCursor.tenant_id == lease.tenant_id,
            EventCursor.name == consumer.name,
            EventCursor.fence == lease.fence,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return cast("sa.CursorResult[Any]", result).rowcount == 1


# --- what is seen of them ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CursorState:
    """How one cursor does, all tenants together.

    Attributes:
        behind: Numbered events it has not read.
        lag_seconds: The age of the oldest of them; 0 when there is none.
        failing: Tenants whose last calls failed, three or more in a row.
        error: The type of the error that the worst of them saw last.
    """

    name: str
    behind: int
    lag_seconds: float
    failing: int
    error: str

    @property
    def degraded(self) -> bool:
        """Whether somebody should look."""
        return self.failing > 0 or self.lag_seconds > LAG_SECONDS

    def __str__(self) -> str:
        """For people: what it is behind, and why."""
        text = f"{self.name}: {self.behind} events behind, {self.lag_seconds:.0f} s"
        return f"{text}, {self.error} for {self.failing} tenants" if self.failing else text


class CursorsDegradedError(UnavailableError):
    """A consumer of events fails or does not keep up; nobody else is held up by that."""

    code, title = "events_degraded", "A consumer of events is behind"


async def read_cursors(view: ReadTx) -> list[CursorState]:
    """The state of every cursor by name; needs a system errand."""
    named = sa.orm.aliased(EventCursor, name="named")
    first = (
        sa.select(EventRecord.at)
        .where(
            EventRecord.tenant_id == EventHead.tenant_id,
            EventRecord.seq > sa.func.coalesce(EventCursor.seq, 0),
        )
        .order_by(EventRecord.seq)
        .limit(1)
        .correlate(EventHead, EventCursor)
        .scalar_subquery()
    )
    behind = await view.execute(
        sa.select(
            named.name,
            sa.func.sum(EventHead.seq - sa.func.coalesce(EventCursor.seq, 0)),
            sa.func.min(first, type_=UtcTime()),
        )
        .select_from(EventHead)
        .join(named, named.tenant_id == PLATFORM_TENANT)
        .outerjoin(EventCursor, _of_head(named.name))
        .where(EventHead.seq > sa.func.coalesce(EventCursor.seq, 0))
        .group_by(named.name)
    )
    lags = {name: (int(count), oldest) for name, count, oldest in behind}
    failing: dict[str, list[str]] = {}
    for name, error in await view.execute(
        sa.select(EventCursor.name, EventCursor.error)
        .where(EventCursor.failures >= _DEGRADED_FAILURES)
        .order_by(EventCursor.failures.desc())
    ):
        failing.setdefault(name, []).append(error)
    names = await view.scalars(
        sa.select(EventCursor.name)
        .where(EventCursor.tenant_id == PLATFORM_TENANT)
        .order_by(EventCursor.name)
    )
    states = []
    for name in names:
        count, oldest = lags.get(name, (0, None))
        age = (view.now() - oldest).total_seconds() if oldest else 0.0
        errors = failing.get(name, [])
        states.append(CursorState(name, count, max(age, 0.0), len(errors), (errors or [""])[0]))
    return states


async def check_cursors(database: Database) -> str:
    """A line for the readiness check.

    Raises:
        CursorsDegradedError: A cursor fails, or is a minute behind; says which and why.
    """
    async with database.read(SystemScope(OUTBOX)) as view:
        states = await read_cursors(view)
    if degraded := [str(state) for state in states if state.degraded]:
        raise CursorsDegradedError("; ".join(degraded))
    return f"{len(states)} cursors, {sum(state.behind for state in states)} events behind"


class SequencerBehindError(UnavailableError):
    """Events have no number yet: no consumer, export or stream is told of them."""

    code, title = "sequencer_behind", "Committed records wait for their number"


async def check_sequencer(database: Database) -> str:
    """A line for the readiness check.

    Raises:
        SequencerBehindError: The oldest event has waited a minute for its number.
    """
    async with database.read(SystemScope(OUTBOX)) as view:
        waited = await read_unnumbered_seconds(view)
    said = f"the oldest event without a number has waited {waited:.0f} s"
    if waited > LAG_SECONDS:
        raise SequencerBehindError(said)
    return said
