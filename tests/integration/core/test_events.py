"""The outbox: emitting, numbering, cursors that deliver at least once, and forgetting."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy import event as sa_event

from backend.core.audit import sequence
from backend.core.context import Scope, SystemScope
from backend.core.cursors import (
    CursorsDegradedError,
    EventConsumer,
    EventDispatcher,
    check_cursors,
    read_cursors,
)
from backend.core.database import Database, TenantConfinementError, make_engine
from backend.core.events import (
    OUTBOX,
    Event,
    EventCursor,
    EventHead,
    EventRecord,
    Retention,
    UnknownEventError,
    count_dropped_unread,
    event_maker,
    read_events,
    read_span,
    sweep_events,
)
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.managers.orchestrator import WORK
from tests.support.trail import audit_row

MADE, BROKEN = "thing.made", "thing.broken"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 26, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def database(database_url: str, clock: Clock) -> AsyncIterator[Database]:
    """A migrated, empty database that knows two events."""
    made = open_database(database_url, clock)
    yield made
    await made.aclose()


def open_database(url: str, clock: Clock) -> Database:
    return Database(
        make_engine(url, pool_size=4),
        audit_row=audit_row,
        event_row=event_maker([MADE, BROKEN]),
        clock=clock,
    )


def scope(tenant_id: str) -> Scope:
    return Scope("user:ada", tenant_id)


async def emit(database: Database, tenant_id: str, count: int = 1) -> None:
    async with database.transaction(scope(tenant_id)) as tx:
        for number in range(count):
            tx.emit(MADE, f"thing:{number}", number=number)


async def number_all(database: Database) -> None:
    while await sequence(database):
        pass


async def happened(database: Database, tenant_id: str, after: int = 0) -> list[Event]:
    async with database.read(scope(tenant_id)) as tx:
        return await read_events(tx, after=after, limit=10_000)


async def until(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


class Seen:
    """A consumer that keeps what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []

    async def __call__(self, tenant_id: str, events: Sequence[Event]) -> None:
        self.calls.append((tenant_id, [event.seq for event in events]))

    def of(self, tenant_id: str) -> list[int]:
        return [seq for tenant, seqs in self.calls if tenant == tenant_id for seq in seqs]


class Broken(Seen):
    """A consumer that raises for some tenants, or for all."""

    def __init__(self, *tenants: str, error: Exception | None = None) -> None:
        super().__init__()
        self.tenants = tenants
        self.error = error or ValueError("no")

    async def __call__(self, tenant_id: str, events: Sequence[Event]) -> None:
        await super().__call__(tenant_id, events)
        if not self.tenants or tenant_id in self.tenants:
            raise self.error


def consumer(name: str, consume: Any, **options: Any) -> EventConsumer:
    quick: dict[str, Any] = {"backoff_seconds": 0.01, "max_backoff_seconds": 0.05}
    return EventConsumer(name, consume, **{"start": "beginning", **quick, **options})


async def cursor(database: Database, name: str, tenant_id: str) -> EventCursor | None:
    async with database.read(scope(tenant_id)) as tx:
        found: EventCursor | None = await tx.scalar(
            sa.select(EventCursor).where(EventCursor.name == name)
        )
        return found


class TestEmit:
    async def test_commits_with_its_change(self, database: Database, tenant_id: str) -> None:
        async with database.transaction(scope(tenant_id)) as tx:
            tx.emit(MADE, "thing:1", kind="a", subject="b", tags=["c", None], size=1.5)
        await number_all(database)
        (event,) = await happened(database, tenant_id)
        assert (event.seq, event.kind, event.subject, event.actor) == (
            1,
            MADE,
            "thing:1",
            "user:ada",
        )
        assert event.data == {"kind": "a", "subject": "b", "tags": ["c", None], "size": 1.5}
        assert event.at == database.clock()

    async def test_is_undone_with_its_change(self, database: Database, tenant_id: str) -> None:
        with pytest.raises(ZeroDivisionError):
            async with database.transaction(scope(tenant_id)) as tx:
                tx.emit(MADE, "thing:1")
                raise ZeroDivisionError
        assert await sequence(database) == 0

    async def test_refuses_what_no_room_declares(self, database: Database, tenant_id: str) -> None:
        with pytest.raises(UnknownEventError, match=r"thing\.mode"):
            async with database.transaction(scope(tenant_id)) as tx:
                tx.emit("thing.mode", "thing:1")

    async def test_refuses_everything_where_nothing_is_declared(
        self, database: Database, tenant_id: str
    ) -> None:
        bare = Database(database.engine, audit_row=audit_row)
        with pytest.raises(RuntimeError, match=r"thing\.made"):
            async with bare.transaction(scope(tenant_id)) as tx:
                tx.emit(MADE, "thing:1")

    async def test_refuses_data_that_is_not_small_json(
        self, database: Database, tenant_id: str
    ) -> None:
        for bad in ("x" * 8192, "a\0b", float("nan"), {1, 2}):
            with pytest.raises((TypeError, ValueError)):
                async with database.transaction(scope(tenant_id)) as tx:
                    tx.emit(MADE, "thing:1", bad=bad)

    async def test_speaks_for_a_tenant_only_as_an_errand(
        self, database: Database, tenant_id: str
    ) -> None:
        async with database.transaction(SystemScope(WORK)) as tx:
            tx.emit(MADE, "thing:1", tenant_id=tenant_id)
            tx.emit(MADE, "thing:2")
        with pytest.raises(TenantConfinementError):
            async with database.transaction(scope(uuid7())) as tx:
                tx.emit(MADE, "thing:3", tenant_id=tenant_id)
        await number_all(database)
        assert [event.subject for event in await happened(database, tenant_id)] == ["thing:1"]
        assert [event.subject for event in await happened(database, PLATFORM_TENANT)] == ["thing:2"]

    async def test_goes_in_one_statement_also_with_others_of_the_commit(
        self, database: Database, tenant_id: str
    ) -> None:
        statements: list[str] = []

        def note(_c: object, _u: object, statement: str, *_: object) -> None:
            statements.append(statement)

        async def act(tx: Any) -> None:
            for number in range(5):
                tx.emit(MADE, f"thing:{number}")

        sa_event.listen(database.engine.sync_engine, "before_cursor_execute", note)
        await asyncio.gather(*(database.together(scope(tenant_id), act) for _ in range(4)))
        sa_event.remove(database.engine.sync_engine, "before_cursor_execute", note)
        assert sum(each.startswith("INSERT INTO events") for each in statements) == 1
        assert await sequence(database) == 20


class TestSequence:
    async def test_is_gap_free_and_in_order_for_each_tenant(
        self, database: Database, tenant_id: str
    ) -> None:
        other = uuid7()
        for count in (3, 1, 4):
            await emit(database, tenant_id, count)
            await emit(database, other, 2)
            await number_all(database)
        for tenant, total in ((tenant_id, 8), (other, 6)):
            events = await happened(database, tenant)
            assert [event.seq for event in events] == list(range(1, total + 1))
            assert [event.id for event in events] == sorted(event.id for event in events)

    async def test_serves_the_audit_trail_in_the_same_pass(
        self, database: Database, tenant_id: str
    ) -> None:
        async with database.transaction(scope(tenant_id)) as tx:
            tx.audit("thing.made", "thing:1")
            tx.emit(MADE, "thing:1")
        assert await sequence(database) == 2
        assert await sequence(database) == 0

    async def test_takes_bites_in_the_order_of_emitting(
        self, database: Database, tenant_id: str
    ) -> None:
        other = uuid7()
        await emit(database, tenant_id, 5)
        await emit(database, other, 5)
        assert await sequence(database, events=4) == 4
        assert [len(await happened(database, each)) for each in (tenant_id, other)] == [4, 0]
        assert await sequence(database, events=4) == 4
        assert [len(await happened(database, each)) for each in (tenant_id, other)] == [5, 3]

    @pytest.mark.slow
    async def test_by_several_processes_numbers_each_event_once(
        self, database_url: str, database: Database, clock: Clock
    ) -> None:
        others = [open_database(database_url, clock) for _ in range(2)]
        tenants = [uuid7() for _ in range(3)]

        async def write(tenant: str) -> None:
            for _ in range(10):
                await emit(database, tenant, 3)

        async def run(each: Database) -> int:
            return sum([await sequence(each, events=7) for _ in range(12)])

        done = await asyncio.gather(*(run(each) for each in others), *map(write, tenants))
        await number_all(database)
        for tenant in tenants:
            found = await happened(database, tenant)
            assert [event.seq for event in found] == list(range(1, 31))
        assert sum(each or 0 for each in done) <= 90
        for each in others:
            await each.aclose()

    @pytest.mark.slow
    async def test_looks_at_no_row_that_has_its_number(
        self, database: Database, tenant_id: str
    ) -> None:
        for tenant in (tenant_id, uuid7()):
            await emit(database, tenant, 3000)
        await number_all(database)
        await emit(database, tenant_id, 3)
        statements: list[tuple[str, Any]] = []

        def note(_c: object, _u: object, statement: str, parameters: Any, *_: object) -> None:
            if statement.startswith(("UPDATE", "SELECT DISTINCT")):
                statements.append((statement, parameters))

        sa_event.listen(database.engine.sync_engine, "before_cursor_execute", note)
        await number_all(database)
        sa_event.remove(database.engine.sync_engine, "before_cursor_execute", note)
        async with database.engine.connect() as connection:
            if database.dialect == "postgresql":
                await connection.exec_driver_sql("ANALYZE events")
            explain = "EXPLAIN " if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN "
            for statement, parameters in statements:
                found = await connection.exec_driver_sql(explain + statement, parameters)
                plan = "\n".join(str(row) for row in found.all())
                # The whole table, or all that a tenant ever told.
                for slow in ("Seq Scan on events", "Scan on pk_events", "(tenant_id=?)"):
                    used = [line for line in plan.splitlines() if "event_heads" not in line]
                    assert not any(slow in line for line in used), plan
                assert "ix_events_unsequenced" in plan or "event_heads" in statement, plan
        assert len(statements) >= 3


class TestSpan:
    async def test_of_nothing_begins_with_what_comes(
        self, database: Database, tenant_id: str
    ) -> None:
        async with database.read(scope(tenant_id)) as tx:
            assert await read_span(tx) == (1, 0)

    async def test_tells_what_is_kept(self, database: Database, tenant_id: str) -> None:
        await emit(database, tenant_id, 5)
        await number_all(database)
        async with database.transaction(SystemScope(OUTBOX)) as tx:
            await sweep_events(tx, Retention(rows=2))
        async with database.read(scope(tenant_id)) as tx:
            assert await read_span(tx) == (4, 5)


class TestSweep:
    async def sweep(self, database: Database, retention: Retention) -> int:
        total, gone = 0, 1
        while gone:
            async with database.transaction(SystemScope(OUTBOX)) as tx:
                gone = await sweep_events(tx, retention, limit=3)
            total += gone
        return total

    async def test_keeps_what_a_stream_may_come_back_for(
        self, database: Database, tenant_id: str, clock: Clock
    ) -> None:
        await emit(database, tenant_id, 4)
        await number_all(database)
        clock.now += timedelta(hours=23)
        assert await self.sweep(database, Retention(read_hours=24)) == 0
        clock.now += timedelta(hours=2)
        await emit(database, tenant_id, 1)
        await number_all(database)
        assert await self.sweep(database, Retention(read_hours=24)) == 4
        assert [event.seq for event in await happened(database, tenant_id)] == [5]
        # The numbers go on where they were, also when nothing is left.
        clock.now += timedelta(days=2)
        assert await self.sweep(database, Retention(read_hours=24)) == 1
        await emit(database, tenant_id, 1)
        await number_all(database)
        assert [event.seq for event in await happened(database, tenant_id)] == [6]

    async def test_waits_for_the_slowest_cursor_up_to_its_bound(
        self,
        database: Database,
        tenant_id: str,
        clock: Clock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        other = uuid7()
        for tenant in (tenant_id, other):
            await emit(database, tenant, 4)
        await number_all(database)
        fast, slow = Seen(), Broken(tenant_id)
        dispatcher = EventDispatcher(
            database, [consumer("fast", fast), consumer("slow", slow)], poll_seconds=0.02
        )
        async with dispatcher.running():
            await until(lambda: fast.of(tenant_id) == [1, 2, 3, 4] and slow.of(other) != [])
        clock.now += timedelta(days=2)
        assert await self.sweep(database, Retention(read_hours=24)) == 4
        assert [len(await happened(database, each)) for each in (tenant_id, other)] == [4, 0]
        assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
        clock.now += timedelta(days=Retention().unread_days)
        assert await self.sweep(database, Retention(read_hours=24)) == 4
        assert [r.message for r in caplog.records if r.levelno >= logging.ERROR] == [
            "events_dropped_unread"
        ] * 2
        async with database.read(SystemScope(OUTBOX)) as tx:
            assert await count_dropped_unread(tx) == 4

    async def test_keeps_no_more_than_so_many_rows(
        self, database: Database, tenant_id: str
    ) -> None:
        await emit(database, tenant_id, 10)
        await number_all(database)
        assert await self.sweep(database, Retention(rows=4)) == 6
        assert [event.seq for event in await happened(database, tenant_id)] == [7, 8, 9, 10]

    async def test_of_a_forgotten_cursor_waits_for_nobody(
        self, database: Database, tenant_id: str, clock: Clock
    ) -> None:
        broken = Broken()
        async with EventDispatcher(database, [consumer("gone", broken)]).running():
            await emit(database, tenant_id, 2)
            await number_all(database)
            await until(lambda: bool(broken.calls))
        clock.now += timedelta(days=2)
        assert await self.sweep(database, Retention(read_hours=24)) == 0
        async with database.transaction(SystemScope(OUTBOX)) as tx:
            # As a migration does when a consumer leaves the house.
            await tx.execute(sa.delete(EventCursor).where(EventCursor.name == "gone"))
        assert await self.sweep(database, Retention(read_hours=24)) == 2


class TestDispatcher:
    @pytest.mark.slow
    async def test_delivers_in_order_and_once_while_nothing_fails(
        self, database: Database, tenant_id: str
    ) -> None:
        tenants = [tenant_id, *(uuid7() for _ in range(4))]
        seen = Seen()
        dispatchers = [
            EventDispatcher(
                database, [consumer("c", seen, batch=7, tenants_at_once=2)], poll_seconds=0.02
            )
            for _ in range(3)
        ]
        async with AsyncExitStack() as stack:
            for each in dispatchers:
                await stack.enter_async_context(each.running())
            for _ in range(5):
                for tenant in tenants:
                    await emit(database, tenant, 10)
                await number_all(database)
            await until(lambda: sum(len(seqs) for _, seqs in seen.calls) >= 250)
        for tenant in tenants:
            assert seen.of(tenant) == list(range(1, 51))
            assert max(len(seqs) for _, seqs in seen.calls) == 7

    async def test_is_woken_by_the_sequencer(self, database: Database, tenant_id: str) -> None:
        seen = Seen()
        dispatcher = EventDispatcher(database, [consumer("c", seen)], poll_seconds=3600)
        async with dispatcher.running():
            await until(lambda: _known(database, "c"))
            await asyncio.sleep(0)
            await emit(database, tenant_id)
            await number_all(database)
            await until(lambda: seen.of(tenant_id) == [1])

    async def test_begins_now_or_at_the_beginning(self, database: Database, tenant_id: str) -> None:
        await emit(database, tenant_id, 3)
        await number_all(database)
        late, early = Seen(), Seen()
        newcomer = uuid7()
        dispatcher = EventDispatcher(
            database,
            [consumer("late", late, start="now"), consumer("early", early)],
            poll_seconds=0.02,
        )
        async with dispatcher.running():
            await until(lambda: _known(database, "late"))
            await emit(database, tenant_id, 1)
            await emit(database, newcomer, 2)
            await number_all(database)
            await until(lambda: early.of(tenant_id) == [1, 2, 3, 4])
            await until(lambda: late.of(newcomer) == [1, 2])
            await until(lambda: late.of(tenant_id) == [4])

    async def test_goes_on_where_it_was(self, database: Database, tenant_id: str) -> None:
        first, second = Seen(), Seen()
        for seen, start in ((first, "beginning"), (second, "now")):
            await emit(database, tenant_id, 2)
            await number_all(database)
            async with EventDispatcher(database, [consumer("c", seen, start=start)]).running():
                await until(partial(_has, seen, tenant_id, 2))
        assert (first.of(tenant_id), second.of(tenant_id)) == ([1, 2], [3, 4])

    @pytest.mark.slow
    async def test_holds_up_neither_other_cursors_nor_other_tenants(
        self, database: Database, tenant_id: str
    ) -> None:
        other = uuid7()
        broken, well = Broken(tenant_id), Seen()
        failures: list[str] = []
        dispatcher = EventDispatcher(
            database,
            [consumer("broken", broken), consumer("well", well)],
            poll_seconds=0.02,
            on_failure=failures.append,
        )
        async with dispatcher.running():
            for _ in range(3):
                await emit(database, tenant_id, 2)
                await emit(database, other, 2)
                await number_all(database)
            await until(lambda: well.of(tenant_id) == well.of(other) == [1, 2, 3, 4, 5, 6])
            await until(lambda: broken.of(other) == [1, 2, 3, 4, 5, 6])
            await until(lambda: len(failures) >= 4)
        assert set(failures) == {"broken"}
        # Again and again the same, from the first that failed on.
        assert {seqs[0] for tenant, seqs in broken.calls if tenant == tenant_id} == {1}
        async with database.read(SystemScope(OUTBOX)) as tx:
            states = {state.name: state for state in await read_cursors(tx)}
        assert (states["broken"].failing, states["broken"].error) == (1, "ValueError")
        assert (states["broken"].behind, states["well"].behind) == (6, 0)
        with pytest.raises(CursorsDegradedError, match=r"broken: 6 events .*ValueError for 1"):
            await check_cursors(database)

    @pytest.mark.slow
    async def test_recovers_when_the_consumer_does(
        self, database: Database, tenant_id: str
    ) -> None:
        flaky = Broken()
        async with EventDispatcher(
            database, [consumer("flaky", flaky)], poll_seconds=0.02
        ).running():
            await emit(database, tenant_id, 2)
            await number_all(database)
            await until(lambda: len(flaky.calls) >= 4)
            with pytest.raises(CursorsDegradedError):
                await check_cursors(database)
            flaky.tenants = (uuid7(),)

            async def caught_up() -> bool:
                found = await cursor(database, "flaky", tenant_id)
                return found is not None and found.seq == 2

            await until(caught_up)
        found = await cursor(database, "flaky", tenant_id)
        assert found is not None
        assert (found.failures, found.error) == (0, "")
        assert await check_cursors(database) == "1 cursors, 0 events behind"

    async def test_gives_up_a_call_that_takes_too_long(
        self, database: Database, tenant_id: str
    ) -> None:
        other = uuid7()
        seen = Seen()

        async def hang(tenant: str, events: Sequence[Event]) -> None:
            if tenant == tenant_id:
                await asyncio.Event().wait()
            await seen(tenant, events)

        slow = consumer("slow", hang, timeout_seconds=0.05, tenants_at_once=1)
        async with EventDispatcher(database, [slow], poll_seconds=0.02).running():
            await emit(database, tenant_id)
            await emit(database, other)
            await number_all(database)
            await until(lambda: seen.of(other) == [1])

            async def failed() -> bool:
                found = await cursor(database, "slow", tenant_id)
                return found is not None and found.error == "TimeoutError"

            await until(failed)

    async def test_whose_lease_ran_out_cannot_advance(
        self, database: Database, tenant_id: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        reached, release = asyncio.Event(), asyncio.Event()
        second = Seen()

        async def first(_: str, __: Sequence[Event]) -> None:
            reached.set()
            await release.wait()

        frozen = consumer("c", first, timeout_seconds=30, lease_margin_seconds=-30)
        await emit(database, tenant_id, 3)
        await number_all(database)
        async with EventDispatcher(database, [frozen], poll_seconds=3600).running():
            await reached.wait()
            async with EventDispatcher(
                database, [consumer("c", second, batch=2)], poll_seconds=0.02
            ).running():
                await until(lambda: second.of(tenant_id) == [1, 2, 3])
                await emit(database, tenant_id)
                await number_all(database)
                await until(lambda: second.of(tenant_id) == [1, 2, 3, 4])
                release.set()
                await until(lambda: "event_lease_lost" in caplog.messages)
        found = await cursor(database, "c", tenant_id)
        assert found is not None
        assert found.seq == 4

    async def test_lets_a_call_end_before_it_stops(
        self, database: Database, tenant_id: str
    ) -> None:
        reached = asyncio.Event()
        done: list[int] = []

        async def work(_: str, events: Sequence[Event]) -> None:
            reached.set()
            await asyncio.sleep(0.05)
            done.append(len(events))

        await emit(database, tenant_id, 2)
        await number_all(database)
        async with EventDispatcher(database, [consumer("c", work)]).running():
            await reached.wait()
        assert done == [2]
        found = await cursor(database, "c", tenant_id)
        assert found is not None
        assert found.seq == 2


def _has(seen: Seen, tenant_id: str, count: int) -> bool:
    return len(seen.of(tenant_id)) == count


async def _known(database: Database, name: str) -> bool:
    return await cursor(database, name, PLATFORM_TENANT) is not None


class TestConfinement:
    async def test_a_tenant_reads_its_own(self, database: Database, tenant_id: str) -> None:
        other = uuid7()
        await emit(database, tenant_id, 2)
        await emit(database, other, 3)
        await number_all(database)
        async with database.read(scope(tenant_id)) as tx:
            for model, count in ((EventRecord, 2), (EventHead, 1)):
                found = await tx.scalar(sa.select(sa.func.count()).select_from(model))
                assert found == count
