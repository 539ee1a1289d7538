"""Tasks that hand in tasks: they become jobs of the graph, or the task has failed."""

import asyncio
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from backend.managers.orchestrator import Batch, Claim, GraphDraft, JobKind, Outcome, TaskDraft
from backend.managers.orchestrator._graphs import Graph
from backend.managers.orchestrator.models import EdgeRow, GraphRow, JobRow
from tests.integration.orchestrator.conftest import Bench
from tests.integration.orchestrator.test_graphs import (
    Works,
    errors,
    has_begun,
    listed,
    look,
    over,
    states,
    submit,
    task,
)


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """What a kind takes that takes nothing."""


@pytest.fixture
def works(bench: Bench) -> Works:
    made = Works()
    bench.manager.register(made.kind)
    return made


def more(name: str, *depends_on: str, **said: Any) -> dict[str, Any]:
    """A task as JSON has it."""
    args = {"gives": said.pop("gives", None), **said.pop("args", {})}
    return {
        "name": name,
        "kind": "test.work",
        "args": args,
        "depends_on": list(depends_on),
        "max_attempts": 1,
        **said,
    }


def growing(tasks: Any, name: str = "grow", *depends_on: str, **said: Any) -> TaskDraft:
    args = {"gives": tasks, **said.pop("args", {})}
    return task(name, *depends_on, args=args, grows="gives", **said)


async def run(bench: Bench, *tasks: TaskDraft) -> Graph:
    made = await submit(bench, list(tasks))
    async with bench.working():
        return await over(bench, made.id)


async def by_name(bench: Bench) -> dict[str | None, Any]:
    return {row.key: row for row in (await bench.rows()).values()}


class TestGrowth:
    async def test_who_waited_for_the_task_waits_for_what_it_handed_in(
        self, bench: Bench, works: Works
    ) -> None:
        tasks = [
            more("x", gives={"n": 1}),
            more("y", "x", args={"gives": {"$result": "x", "path": "gives.n"}}),
            more("z", "grow", args={"gives": {"$result": "grow", "path": "of"}}),
        ]

        async def hand_in(_: Claim) -> dict[str, Any]:
            return {"of": "whoever", "tasks": tasks}

        bench.manager.register(JobKind.simple("test.hands", hand_in, takes=Nothing))
        grow = TaskDraft("grow", "test.hands", {}, grows="tasks")
        done = await run(bench, grow, task("after", "grow"), task("last", "after"))
        assert (done.state, done.total, done.by_state) == ("succeeded", 6, {"succeeded": 6})
        found = {one.name: one for one in await listed(bench, done.id)}
        shown = {name: (one.depends_on, one.grown_by, one.part_of) for name, one in found.items()}
        assert shown == {
            "grow": ([], None, None),
            "after": (["grow"], None, None),
            "last": (["after"], None, None),
            "x": (["grow"], "grow", None),
            "y": (["x"], "grow", None),
            "z": (["grow"], "grow", None),
        }
        rows = await by_name(bench)
        assert rows["y"].result["gives"] == 1
        assert rows["z"].result["gives"] == "whoever"
        grown = [rows[name] for name in "xyz"]
        assert max(row.finished_at for row in grown) <= rows["after"].started_at
        assert {(row.traceparent, row.actor) for row in grown} == {
            (rows["grow"].traceparent, "user:1")
        }

    async def test_what_grew_grows_and_what_comes_after_waits_for_all(
        self, bench: Bench, works: Works
    ) -> None:
        inner = more("inner", gives=[more("leaf")], grows="gives")
        done = await run(bench, growing([inner]), task("after", "grow"))
        assert (done.state, done.total) == ("succeeded", 4)
        rows = await by_name(bench)
        assert rows["leaf"].finished_at <= rows["after"].started_at

    async def test_of_one_that_failed_what_comes_after_is_skipped_until_it_is_retried(
        self, bench: Bench, works: Works
    ) -> None:
        tasks = [more("x", args={"fails": 1}), more("y")]
        made = await submit(bench, [growing(tasks), task("after", "grow")])
        async with bench.working():
            failed = await over(bench, made.id)
            assert failed.by_state == {"succeeded": 2, "dead": 1, "skipped": 1}
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.retry(tx, made.id)
            done = await over(bench, made.id)
        assert (done.state, done.by_state) == ("succeeded", {"succeeded": 4})
        assert done.total == 4

    async def test_nothing_handed_in_is_nothing_more_to_wait_for(
        self, bench: Bench, works: Works
    ) -> None:
        done = await run(bench, growing([]), task("after", "grow"))
        assert (done.state, done.total) == ("succeeded", 2)

    @pytest.mark.parametrize(
        ("tasks", "why"),
        [
            (None, "What is at gives of grow is no list"),
            ([1], "tasks.0: Expected `object`, got `int`"),
            ([more("x", subject="user:1")], "tasks.0: A task has no subject"),
            ([more("x", priority=101)], "tasks.0: Expected `int` <= 100 - at `$.priority`"),
            ([more("x"), more("x")], "tasks: Several tasks are called x"),
            ([more("after")], "tasks: Several tasks are called after"),
            ([more("x", "after")], "tasks: There is no task after to wait for"),
            ([more("x", "y"), more("y", "x")], "tasks: x, y wait for each other"),
            ([more("x", kind="email.send")], "tasks.0.kind: The kind is one of test.work"),
            (
                [more("x", args={"wrong": 1})],
                "tasks.0.args: Object contains unknown field `wrong`",
            ),
        ],
    )
    async def test_what_is_no_task_ends_it_and_adds_nothing(
        self, bench: Bench, works: Works, tasks: Any, why: str
    ) -> None:
        done = await run(bench, growing(tasks), task("after", "grow"))
        assert (done.state, done.total) == ("failed", 2)
        assert done.by_state == {"dead": 1, "skipped": 1}
        assert (await errors(bench, done.id))["grow"] == why
        async with bench.database.read(bench.scope) as tx:
            assert await tx.scalar(sa.select(sa.func.count()).select_from(EdgeRow)) == 1
            (dead,) = await bench.manager.list_jobs(tx, state="dead")
        assert dead.result == {"of": "task:grow", "gives": tasks}

    async def test_no_graph_has_more_jobs_than_any_may(
        self, bench: Bench, works: Works, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.orchestrator._growth.MAX_TASKS", 4)
        done = await run(bench, growing([more("x"), more("y"), more("z")]), task("after", "grow"))
        said = "With 3 more the graph would have more than 4 jobs"
        assert (done.total, (await errors(bench, done.id))["grow"]) == (2, said)

    async def test_no_graph_has_more_edges_at_once_than_any_may(
        self, bench: Bench, works: Works, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.orchestrator._growth.MAX_EDGES", 3)
        done = await run(bench, growing([more("x"), more("y")]), task("after", "grow"))
        said = "With those that wait for grow, more than 3 wait for others"
        assert (await errors(bench, done.id))["grow"] == said

    async def test_of_two_that_hand_in_the_same_name_at_once_one_fails(
        self, bench: Bench, works: Works
    ) -> None:
        done = await run(bench, *(growing([more("x")], name) for name in "ab"))
        assert (done.total, done.by_state) == (3, {"succeeded": 2, "dead": 1})

    async def test_a_task_for_each_of_a_list_hands_in_nothing(
        self, bench: Bench, works: Works
    ) -> None:
        with pytest.raises(Exception, match="has no result to grow by"):
            await submit(
                bench,
                [task("a"), task("b", "a", foreach={"task": "a", "path": "gives"}, grows="gives")],
            )


class TestTogether:
    async def test_who_ends_others_of_the_graph_meanwhile_is_not_in_the_way(
        self, bench: Bench, works: Works
    ) -> None:
        """Jobs are locked before their graph: in another order one would be refused."""
        tasks = [growing([], "g"), task("p"), task("q"), task("x", "p", "q")]
        made = await submit(bench, tasks)
        claims = {claim.subject: claim for claim in await bench.claim()}
        x = (await by_name(bench))["x"]
        grown = Outcome.done({"gives": [more("n")]})
        both = [(claims["task:g"], grown), (claims["task:p"], Outcome.done())]
        async with bench.database.transaction(bench.system) as tx:
            # As whoever ends q: x first, and then the graph.
            locked = sa.select(JobRow.id).where(JobRow.tenant_id == x.tenant_id, JobRow.id == x.id)
            await tx.execute(locked.with_for_update())
            ends = asyncio.create_task(bench.finish(*both))
            await asyncio.sleep(0.5)
            await tx.execute(
                sa.update(GraphRow)
                .where(GraphRow.tenant_id == x.tenant_id, GraphRow.id == made.id)
                .values(name="B")
            )
            assert not ends.done()
        assert len(await ends) == 2
        assert (await look(bench, made.id)).total == 5


class TestActs:
    async def test_of_a_graph_that_is_paused_nothing_that_grew_starts(
        self, bench: Bench, works: Works
    ) -> None:
        made = await submit(bench, [growing([more("x")], args={"seconds": 0.3})])
        async with bench.working():
            await bench.until(has_begun(works))
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.pause(tx, made.id)

            async def grown() -> bool:
                return (await look(bench, made.id)).total == 2

            await bench.until(grown)
            await asyncio.sleep(0.2)
            assert await states(bench, made.id) == {"grow": "succeeded", "x": "blocked"}
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.resume(tx, made.id)
            assert (await over(bench, made.id)).state == "succeeded"

    async def test_of_a_graph_that_is_cancelled_it_is_there_and_does_not_run(
        self, bench: Bench
    ) -> None:
        said = {"tasks": [{"name": "x", "kind": "test.sent"}, {"name": "y", "kind": "test.sent"}]}
        ran: list[Claim] = []
        begun, go = asyncio.Event(), asyncio.Event()

        async def sends(batch: Batch) -> None:
            (claim,) = batch.claims
            ran.append(claim)
            batch.begin(claim)
            begun.set()
            await go.wait()
            batch.finish(claim, Outcome.done(said))

        bench.manager.register(JobKind("test.sent", sends, takes=Nothing))
        made = await submit(bench, [TaskDraft("grow", "test.sent", {}, grows="tasks")])
        async with bench.working():
            async with asyncio.timeout(30):
                await begun.wait()
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.cancel(tx, made.id)
            go.set()
            done = await over(bench, made.id)
            assert (done.state, done.by_state) == ("cancelled", {"succeeded": 1, "cancelled": 2})
            assert len(ran) == 1
            said = {}
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.retry(tx, made.id)
            assert (await over(bench, made.id)).by_state == {"succeeded": 3}


class TestRights:
    """What grows is held to what whoever submitted the graph may."""

    @pytest.fixture(autouse=True)
    def guarded(self, bench: Bench) -> None:
        async def nothing(_: Claim) -> None:
            return None

        kind = JobKind.simple(
            "test.guarded", nothing, takes=Nothing, needs=lambda _: frozenset({"thing:do"})
        )
        bench.manager.register(kind)

    async def submitted(self, bench: Bench, *permissions: str) -> Graph:
        inner = {"name": "leaf", "kind": "test.guarded"}
        draft = GraphDraft("g", [growing([more("inner", gives=[inner], grows="gives")])])
        async with bench.database.transaction(bench.scope) as tx:
            made, _ = await bench.manager.graphs.submit(
                tx, draft, permissions=frozenset(permissions)
            )
        async with bench.working():
            return await over(bench, made.id)

    async def test_it_grows_what_its_submitter_may_submit(self, bench: Bench, works: Works) -> None:
        done = await self.submitted(bench, "thing:do", "thing:else")
        assert (done.state, done.by_state) == ("succeeded", {"succeeded": 3})
        async with bench.database.read(bench.scope) as tx:
            assert await tx.scalar(sa.select(GraphRow.rights)) == ["thing:do"]

    async def test_it_grows_nothing_else(self, bench: Bench, works: Works) -> None:
        done = await self.submitted(bench, "thing:else")
        assert (done.state, done.total) == ("failed", 2)
        assert (await by_name(bench))["inner"].error == (
            "tasks.0: A job of the kind test.guarded takes the permission thing:do"
        )
