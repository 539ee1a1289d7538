"""Group commit: acts of one tenant that share a transaction, and what they never share."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from backend.core.audit import AuditRecord
from backend.core.context import Scope, SystemScope
from backend.core.database import (
    Database,
    DatabaseUnavailableError,
    Integrity,
    TenantConfinementError,
    Tx,
    make_engine,
)
from backend.core.ids import uuid7
from backend.managers.email.models import TemplateRow
from backend.managers.tenant import PLATFORM
from tests.support.trail import audit_row

ME, OTHER = uuid7(), uuid7()


def scope(actor: str = "user:test", tenant: str = ME) -> Scope:
    return Scope(actor=actor, tenant_id=tenant)


def row(name: str, tenant: str = ME) -> dict[str, object]:
    now = datetime.now(UTC)
    return {
        "tenant_id": tenant,
        "name": name,
        "subject": "s",
        "text": "t",
        "html": None,
        "updated_at": now,
    }


def append(name: str, tenant: str = ME) -> Callable[[Tx], Awaitable[str]]:
    async def act(tx: Tx) -> str:
        tx.append(TemplateRow, [row(name, tenant)])
        tx.audit("email_template.saved", f"email_template:{name}")
        return name

    return act


async def names(database: Database, tenant: str = ME) -> set[str]:
    async with database.read(scope(tenant=tenant)) as tx:
        return set(await tx.scalars(sa.select(TemplateRow.name)))


async def actors(database: Database) -> dict[str, str]:
    async with database.read(scope()) as tx:
        found = await tx.execute(sa.select(AuditRecord.target, AuditRecord.actor))
        return dict(found.all())


@pytest.fixture
def commits(database: Database) -> Iterator[list[None]]:
    """Grows by one with every commit."""
    seen: list[None] = []

    def count(_: object) -> None:
        seen.append(None)

    event.listen(database.engine.sync_engine, "commit", count)
    yield seen
    event.remove(database.engine.sync_engine, "commit", count)


class TestGroup:
    async def test_what_arrives_together_shares_one_commit(
        self, database: Database, commits: list[None]
    ) -> None:
        wanted = [f"t{number}" for number in range(20)]
        given = await asyncio.gather(
            *(database.together(scope(f"user:{name}"), append(name)) for name in wanted)
        )
        assert given == wanted
        assert await names(database) == set(wanted)
        assert len(commits) == 1
        # One commit, but every act is its own caller's.
        assert await actors(database) == {
            f"email_template:{name}": f"user:{name}" for name in wanted
        }

    async def test_what_arrives_during_a_commit_goes_with_the_next(
        self, database: Database, commits: list[None]
    ) -> None:
        late: list[asyncio.Task[str]] = []

        async def first(tx: Tx) -> None:
            late.extend(
                asyncio.create_task(database.together(scope(), append(name))) for name in "abc"
            )
            await asyncio.sleep(0)
            tx.append(TemplateRow, [row("first")])

        await database.together(scope(), first)
        assert await asyncio.gather(*late) == ["a", "b", "c"]
        assert len(commits) == 2
        assert await names(database) == {"first", "a", "b", "c"}

    async def test_tenants_share_nothing(self, database: Database, commits: list[None]) -> None:
        await asyncio.gather(
            database.together(scope(tenant=ME), append("mine", ME)),
            database.together(scope(tenant=OTHER), append("theirs", OTHER)),
        )
        assert len(commits) == 2
        assert await names(database, ME) == {"mine"}
        assert await names(database, OTHER) == {"theirs"}

    async def test_another_tenants_row_is_refused_and_the_others_kept(
        self, database: Database
    ) -> None:
        kept, refused = await asyncio.gather(
            database.together(scope(), append("kept")),
            database.together(scope(), append("smuggled", OTHER)),
            return_exceptions=True,
        )
        assert kept == "kept"
        assert isinstance(refused, TenantConfinementError)
        assert await names(database) == {"kept"}
        assert await names(database, OTHER) == set()

    async def test_acts_see_what_earlier_ones_wrote(self, database: Database) -> None:
        async def look(tx: Tx) -> set[str]:
            return set(await tx.scalars(sa.select(TemplateRow.name)))

        _, seen = await asyncio.gather(
            database.together(scope(), append("early")), database.together(scope(), look)
        )
        assert seen == {"early"}

    async def test_loads_once_what_none_of_them_changes(self, database: Database) -> None:
        loads: list[None] = []

        async def load() -> int:
            loads.append(None)
            return 7

        async def act(tx: Tx) -> int:
            return await tx.once("seven", load)

        assert await asyncio.gather(*(database.together(scope(), act) for _ in range(5))) == [7] * 5
        assert len(loads) == 1
        assert await database.together(scope(), act) == 7
        assert len(loads) == 2

    async def test_a_large_crowd_takes_several_commits(
        self, database: Database, commits: list[None]
    ) -> None:
        await asyncio.gather(
            *(database.together(scope(), append(f"t{number}")) for number in range(600))
        )
        assert len(await names(database)) == 600
        assert len(commits) == 3


class TestFailure:
    async def test_stays_with_the_act_that_failed(self, database: Database) -> None:
        async def fail(tx: Tx) -> None:
            tx.append(TemplateRow, [row("half done")])
            tx.audit("email_template.saved", "email_template:half")
            raise ValueError("no")

        outcomes = await asyncio.gather(
            database.together(scope(), append("one")),
            database.together(scope(), fail),
            database.together(scope(), append("two")),
            return_exceptions=True,
        )
        assert outcomes[0] == "one"
        assert isinstance(outcomes[1], ValueError)
        assert outcomes[2] == "two"
        assert await names(database) == {"one", "two"}
        assert set(await actors(database)) == {"email_template:one", "email_template:two"}

    async def test_of_a_row_that_is_there_already_is_its_own(self, database: Database) -> None:
        outcomes = await asyncio.gather(
            *(database.together(scope(), append(name)) for name in ("same", "other", "same")),
            return_exceptions=True,
        )
        assert outcomes[:2] == ["same", "other"]
        assert isinstance(outcomes[2], Integrity)
        assert await names(database) == {"same", "other"}

    async def test_of_the_last_step_undoes_the_act(self, database: Database) -> None:
        async def refuse(_: Tx) -> None:
            raise ValueError("no")

        async def act(tx: Tx) -> None:
            tx.append(TemplateRow, [row("doomed")])
            tx.before_commit(refuse)

        with pytest.raises(ValueError, match="no"):
            await database.together(scope(), act)
        assert await names(database) == set()

    async def test_callbacks_of_an_undone_group_never_run(self, database: Database) -> None:
        called: list[str] = []

        async def good(tx: Tx) -> None:
            tx.append(TemplateRow, [row("good")])
            tx.after_commit(lambda: called.append("good"))

        async def bad(tx: Tx) -> None:
            tx.after_commit(lambda: called.append("bad"))
            raise ValueError("no")

        await asyncio.gather(
            database.together(scope(), good),
            database.together(scope(), bad),
            return_exceptions=True,
        )
        assert called == ["good"]

    async def test_of_the_database_reaches_everybody(self, tmp_path: Path) -> None:
        away = Database(make_engine(f"sqlite:///{tmp_path}/no/such.db"), audit_row=audit_row)
        ran: list[str] = []

        def act(name: str) -> Callable[[Tx], Awaitable[None]]:
            async def run(tx: Tx) -> None:
                ran.append(name)
                await tx.scalars(sa.select(TemplateRow))

            return run

        outcomes = await asyncio.gather(
            *(away.together(scope(), act(name)) for name in "abc"), return_exceptions=True
        )
        assert [type(each) for each in outcomes] == [DatabaseUnavailableError] * 3
        # Whether a lost commit happened is unknown, so nothing is tried again.
        assert ran == ["a"]
        await away.aclose()

    async def test_costs_the_others_one_commit_and_no_more(
        self, database: Database, commits: list[None]
    ) -> None:
        async def refuse(_: Tx) -> None:
            raise ValueError("no")

        acts = [append(f"t{number}") for number in range(30)]
        outcomes = await asyncio.gather(
            *(database.together(scope(), act) for act in [*acts[:15], refuse, *acts[15:]]),
            return_exceptions=True,
        )
        assert isinstance(outcomes.pop(15), ValueError)
        assert outcomes == [f"t{number}" for number in range(30)]
        assert len(commits) == 1

    async def test_of_several_stays_with_each(self, database: Database) -> None:
        def act(number: int) -> Callable[[Tx], Awaitable[int]]:
            async def run(tx: Tx) -> int:
                tx.append(TemplateRow, [row(f"t{number}")])
                return 1 // (number % 3)

            return run

        outcomes = await asyncio.gather(
            *(database.together(scope(), act(number)) for number in range(9)),
            return_exceptions=True,
        )
        assert [type(each) for each in outcomes] == [ZeroDivisionError, int, int] * 3
        assert await names(database) == {"t1", "t2", "t4", "t5", "t7", "t8"}

    async def test_that_is_a_cancellation_from_within_is_the_acts_own(
        self, database: Database
    ) -> None:
        async def cancelled(_: Tx) -> None:
            raise asyncio.CancelledError

        one, two, three = await asyncio.gather(
            database.together(scope(), append("one")),
            database.together(scope(), cancelled),
            database.together(scope(), append("three")),
            return_exceptions=True,
        )
        assert (one, three) == ("one", "three")
        assert isinstance(two, RuntimeError)

    async def test_passed_over_is_never_taken_for_a_commit(self, database: Database) -> None:
        await database.together(scope(), append("there"))

        async def careless(tx: Tx) -> None:
            with suppress(Integrity):
                await tx.insert(TemplateRow, [row("there")])

        one, two = await asyncio.gather(
            database.together(scope(), append("one")),
            database.together(scope(), careless),
            return_exceptions=True,
        )
        assert one == "one"
        assert await names(database) == {"there", "one"}
        # SQLite undoes the statement alone; PostgreSQL would undo everything and say nothing.
        assert isinstance(two, RuntimeError) is (database.dialect == "postgresql")

    async def test_of_the_process_tells_the_callers(self, database: Database) -> None:
        entered = asyncio.Event()

        async def slow(_: Tx) -> None:
            entered.set()
            await asyncio.Event().wait()

        first = asyncio.create_task(database.together(scope(), slow))
        await entered.wait()
        second = asyncio.create_task(database.together(scope(), append("second")))
        await asyncio.sleep(0)
        for task in list(database._groups._tasks):
            task.cancel()
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(each) for each in outcomes] == [DatabaseUnavailableError] * 2
        assert await names(database) == set()


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
class TestContention:
    """SQLite has one writer: nobody waits for a key, and there are no deadlocks."""

    async def test_that_waits_for_a_key_keeps_nobody_waiting(self, database: Database) -> None:
        async with database.transaction(scope()) as held:
            await held.insert(TemplateRow, [row("contended")])
            waiting = asyncio.create_task(
                database.together(scope(), append("contended"), contends=True)
            )
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
            assert await asyncio.wait_for(database.together(scope(), append("free")), 30) == "free"
        with pytest.raises(Integrity):
            await waiting

    async def test_a_deadlock_is_not_the_end_of_the_group(self, database: Database) -> None:
        other = Database(database.engine, audit_row=audit_row)

        def keyed(name: str) -> Callable[[Tx], Awaitable[bool]]:
            async def act(tx: Tx) -> bool:
                new = await tx.insert_new(TemplateRow, row(name), conflict=["tenant_id", "name"])
                await asyncio.sleep(0.1)
                return new

            return act

        outcomes = await asyncio.gather(
            *(database.together(scope(), act) for act in (keyed("a"), keyed("b"), append("c"))),
            *(other.together(scope(), act) for act in (keyed("b"), keyed("a"), append("d"))),
        )
        assert outcomes[0] is not outcomes[4]
        assert outcomes[1] is not outcomes[3]
        assert await names(database) == {"a", "b", "c", "d"}


class TestSize:
    async def test_bounds_a_group(self, database: Database, commits: list[None]) -> None:
        await asyncio.gather(
            *(
                database.together(scope(), append(f"t{number}"), size_bytes=400_000)
                for number in range(6)
            )
        )
        assert len(commits) == 3

    async def test_of_one_act_may_be_any(self, database: Database) -> None:
        assert await database.together(scope(), append("big"), size_bytes=1 << 40) == "big"


class TestCaller:
    async def test_that_leaves_takes_nobody_along(self, database: Database) -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        async def slow(tx: Tx) -> None:
            entered.set()
            await go.wait()
            tx.append(TemplateRow, [row("slow")])

        first = asyncio.create_task(database.together(scope(), slow))
        await entered.wait()
        waiting = asyncio.create_task(database.together(scope(), append("waiting")))
        gone = asyncio.create_task(database.together(scope(), append("gone")))
        await asyncio.sleep(0)
        first.cancel()
        gone.cancel()
        await asyncio.gather(first, gone, return_exceptions=True)
        go.set()
        assert await waiting == "waiting"
        # Who left before the commit began did nothing; who left during it had begun.
        assert await names(database) == {"slow", "waiting"}

    async def test_may_write_from_its_callback(self, database: Database) -> None:
        async def again() -> None:
            await database.together(scope(), append("second"))

        async def act(tx: Tx) -> None:
            tx.append(TemplateRow, [row("first")])
            tx.after_commit(again)

        await asyncio.wait_for(database.together(scope(), act), 30)
        assert await names(database) == {"first", "second"}

    async def test_is_answered_before_the_database_closes(self, database: Database) -> None:
        task = asyncio.create_task(database.together(scope(), append("last")))
        await asyncio.sleep(0)
        await database.aclose()
        assert await task == "last"

    async def test_that_left_before_another_attempt_is_not_served(self, database: Database) -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        async def fail(_: Tx) -> None:
            entered.set()
            await go.wait()
            raise ValueError("no")

        gone = asyncio.create_task(database.together(scope(), append("gone")))
        failing = asyncio.create_task(database.together(scope(), fail))
        kept = asyncio.create_task(database.together(scope(), append("kept")))
        await entered.wait()
        gone.cancel()
        go.set()
        await asyncio.gather(gone, failing, kept, return_exceptions=True)
        assert await names(database) == {"kept"}

    async def test_is_of_one_tenant(self, database: Database) -> None:
        with pytest.raises(TypeError, match="one tenant"):
            await database.together(SystemScope(PLATFORM), append("x"))  # type: ignore[arg-type]


class TestSavepoint:
    async def test_undoes_what_came_after_it_and_no_more(self, database: Database) -> None:
        async with database.transaction(scope()) as tx:
            tx.append(TemplateRow, [row("before")])
            with suppress(ZeroDivisionError):
                async with tx.savepoint():
                    tx.append(TemplateRow, [row("inside")])
                    assert await tx.scalar(sa.select(sa.func.count()).select_from(TemplateRow)) == 2
                    raise ZeroDivisionError
            tx.append(TemplateRow, [row("after")])
        assert await names(database) == {"before", "after"}

    async def test_undoes_what_was_put_off_and_never_written(self, database: Database) -> None:
        async with database.transaction(scope()) as tx:
            tx.append(TemplateRow, [row("before")])
            with suppress(ZeroDivisionError):
                async with tx.savepoint():
                    tx.append(TemplateRow, [row("inside")])
                    tx.audit("email_template.saved", "email_template:inside")
                    raise ZeroDivisionError
        assert await names(database) == {"before"}
        assert await actors(database) == {}

    async def test_undoes_what_was_to_follow_the_commit(self, database: Database) -> None:
        followed: list[str] = []
        async with database.transaction(scope()) as tx:
            tx.after_commit(lambda: followed.append("before"))
            with suppress(ZeroDivisionError):
                async with tx.savepoint():
                    tx.after_commit(lambda: followed.append("inside"))
                    raise ZeroDivisionError
            async with tx.savepoint():
                tx.after_commit(lambda: followed.append("kept"))
        assert followed == ["before", "kept"]


class TestAppend:
    async def test_is_written_before_an_insert_that_could_meet_it(self, database: Database) -> None:
        async with database.transaction(scope()) as tx:
            tx.append(TemplateRow, [row("there")])
            key = ["tenant_id", "name"]
            assert not await tx.insert_new(TemplateRow, row("there"), conflict=key)
        assert await names(database) == {"there"}

    async def test_that_failed_is_not_forgotten(self, database: Database) -> None:
        await database.together(scope(), append("there"))
        with pytest.raises((Integrity, sa.exc.DBAPIError, RuntimeError)):
            async with database.transaction(scope()) as tx:
                tx.append(TemplateRow, [row("new")])
                tx.append(TemplateRow, [row("there")])
                with suppress(Integrity):
                    await tx.scalar(sa.select(sa.func.count()).select_from(TemplateRow))
        assert await names(database) == {"there"}

    async def test_reads_nobody_elses_rows(self, database: Database) -> None:
        await database.together(scope(tenant=OTHER), append("secret", OTHER))
        stolen = sa.select(TemplateRow.name).scalar_subquery()
        with pytest.raises(TenantConfinementError, match="not every use"):
            async with database.transaction(scope()) as tx:
                values = row("x")
                del values["text"]
                tx.append(sa.insert(TemplateRow).values(text=stolen), [values])
        assert await names(database) == set()

    async def test_keeps_the_order_of_the_targets(self, database: Database) -> None:
        statements: list[str] = []

        def note(_c: object, _u: object, statement: str, *_: object) -> None:
            statements.append(statement)

        event.listen(database.engine.sync_engine, "before_cursor_execute", note)
        async with database.transaction(scope()) as tx:
            for number in range(3):
                tx.append(TemplateRow, [row(f"t{number}")])
                tx.audit("email_template.saved", f"email_template:t{number}")
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
        inserts = [each.split()[2] for each in statements if each.startswith("INSERT")]
        assert inserts == ["email_templates", "audit_records"]

    async def test_of_nothing_asks_nothing(self, database: Database) -> None:
        async with database.transaction(scope()) as tx:
            tx.append(TemplateRow, [])
        assert await names(database) == set()
