"""Graphs of jobs: in order, once each, whatever fails; stopped, paused and started again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Tx
from backend.core.ids import uuid7
from backend.managers.orchestrator import Claim, GraphDraft, JobKind, TaskDraft
from backend.managers.orchestrator._drafts import MAX_DEPTH
from backend.managers.orchestrator._graphs import Graph, GraphTask
from backend.managers.orchestrator.errors import (
    GraphInvalidError,
    GraphNotFoundError,
    GraphNotRetryableError,
    GraphOverError,
    JobNotRetryableError,
)
from backend.managers.orchestrator.models import EdgeRow, GraphRow, JobRow
from tests.integration.orchestrator.conftest import Bench


class Args(msgspec.Struct, forbid_unknown_fields=True):
    """What the kind of these tests takes."""

    fails: int = 0
    seconds: float = 0.0
    gives: Any = None


class Works:
    """A kind that fails as often as it is told, and notes what it did."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.given: list[Mapping[str, Any]] = []
        self.left: dict[str, int] = {}
        self.kind = JobKind.simple("test.work", self._do, takes=Args)

    async def _do(self, claim: Claim) -> Any:
        left = self.left.setdefault(claim.id, claim.args.get("fails", 0))
        await asyncio.sleep(claim.args.get("seconds", 0))
        if left:
            self.left[claim.id] = left - 1
            raise ValueError("told to")
        self.ran.append(str(claim.subject))
        self.given.append(claim.args)
        return {"of": claim.subject, "gives": claim.args.get("gives")}


def task(name: str, *depends_on: str, **more: Any) -> TaskDraft:
    args: Mapping[str, Any] = more.pop("args", {})
    return TaskDraft(
        name=name,
        kind="test.work",
        args=args,
        depends_on=depends_on,
        subject=f"task:{name}",
        max_attempts=more.pop("max_attempts", 1),
        **more,
    )


async def submit(bench: Bench, tasks: list[TaskDraft]) -> Graph:
    async with bench.database.transaction(bench.scope) as tx:
        made, _ = await bench.manager.graphs.submit(tx, GraphDraft("A graph", tasks))
    return made


async def look(bench: Bench, graph_id: str) -> Graph:
    async with bench.database.read(bench.scope) as tx:
        return await bench.manager.graphs.get(tx, graph_id)


async def over(bench: Bench, graph_id: str) -> Graph:
    """The graph once it has ended."""

    async def is_over() -> bool:
        return (await look(bench, graph_id)).finished_at is not None

    await bench.until(is_over)
    return await look(bench, graph_id)


async def states(bench: Bench, graph_id: str) -> dict[str, str]:
    async with bench.database.read(bench.scope) as tx:
        tasks = await bench.manager.graphs.list_tasks(tx, graph_id)
    return {one.name: one.state for one in tasks}


def has_run(works: Works, name: str) -> Callable[[], Awaitable[bool]]:
    async def ran() -> bool:
        return f"task:{name}" in works.ran

    return ran


def has_begun(works: Works) -> Callable[[], Awaitable[bool]]:
    async def begun() -> bool:
        return bool(works.left)

    return begun


@pytest.fixture
def works(bench: Bench) -> Works:
    made = Works()
    bench.manager.register(made.kind)
    return made


class TestSubmit:
    @pytest.mark.parametrize(
        ("tasks", "said"),
        [
            ([], "1 to"),
            ([task("a"), task("a")], "several tasks are called a"),
            ([task("a", "b")], "no task b"),
            ([task("a", "a")], "a wait for each other"),
            ([task("a", "c"), task("b", "a"), task("c", "b"), task("d")], "a, b, c wait"),
            (
                [task("t0"), *(task(f"t{n}", f"t{n - 1}") for n in range(1, MAX_DEPTH + 1))],
                "in a row",
            ),
            ([TaskDraft("a", "email.send", {})], "The kind is one of test.work"),
            ([TaskDraft("a", "test.work", {"wrong": 1})], "unknown field"),
        ],
    )
    async def test_what_is_no_graph_is_refused_and_leaves_nothing(
        self, bench: Bench, works: Works, tasks: list[TaskDraft], said: str
    ) -> None:
        with pytest.raises(GraphInvalidError, match=f"(?i){said}"):
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.submit(tx, GraphDraft("no", tasks))
        async with bench.database.read(bench.scope) as tx:
            for model in (GraphRow, JobRow, EdgeRow):
                count = sa.select(sa.func.count()).select_from(model)
                assert await tx.scalar(count.where(model.tenant_id == tx.tenant_id)) == 0

    async def test_one_that_is_rolled_back_is_not_there(self, bench: Bench, works: Works) -> None:
        with pytest.raises(RuntimeError):
            async with bench.database.transaction(bench.scope) as tx:
                made, _ = await bench.manager.graphs.submit(tx, GraphDraft("no", [task("a")]))
                raise RuntimeError
        async with bench.database.read(bench.scope) as tx:
            with pytest.raises(GraphNotFoundError):
                await bench.manager.graphs.get(tx, made.id)

    async def test_its_key_is_had_once(self, bench: Bench, works: Works) -> None:
        draft = GraphDraft("twice", [task("a")], dedup_key="k")
        async with bench.database.transaction(bench.scope) as tx:
            first, new = await bench.manager.graphs.submit(tx, draft)
        async with bench.database.transaction(bench.scope) as tx:
            second, again = await bench.manager.graphs.submit(tx, draft)
        assert (new, again, second.id) == (True, False, first.id)

    async def test_anothers_is_not_there(self, bench: Bench, works: Works) -> None:
        async with bench.database.transaction(bench.scope) as tx:
            made, _ = await bench.manager.graphs.submit(tx, GraphDraft("mine", [task("a")]))
        async with bench.database.transaction(Scope("user:other", uuid7())) as tx:
            graphs = bench.manager.graphs
            for act in (graphs.get, graphs.pause, graphs.resume, graphs.cancel, graphs.retry):
                with pytest.raises(GraphNotFoundError):
                    await act(tx, made.id)


class TestRun:
    async def test_in_order_and_once_each(self, bench: Bench, works: Works) -> None:
        made = await submit(
            bench,
            [task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), task("e", "d", "a")],
        )
        async with bench.working():
            done = await over(bench, made.id)
        assert (done.state, done.by_state) == ("succeeded", {"succeeded": 5})
        assert sorted(works.ran) == [f"task:{name}" for name in "abcde"]
        at = {name[-1]: place for place, name in enumerate(works.ran)}
        assert at["a"] < min(at["b"], at["c"]) <= max(at["b"], at["c"]) < at["d"] < at["e"]

    async def test_a_failure_skips_what_needs_success_and_starts_what_needs_it(
        self, bench: Bench, works: Works
    ) -> None:
        made = await submit(
            bench,
            [
                task("a", args={"fails": 9}),
                task("b", "a"),
                task("c", "b"),
                task("mend", "a", runs_on="failure"),
                task("sweep", "c", "mend", runs_on="always"),
                task("quiet", "mend", runs_on="failure"),
            ],
        )
        async with bench.working():
            done = await over(bench, made.id)
        assert works.ran == ["task:mend", "task:sweep"]
        assert done.state == "failed"
        assert done.by_state == {"dead": 1, "skipped": 3, "succeeded": 2}

    async def test_a_delay_counts_from_when_nothing_is_waited_for(
        self, bench: Bench, works: Works
    ) -> None:
        made = await submit(bench, [task("a"), task("b", "a", delay_seconds=3600)])
        async with bench.working():
            await bench.until(has_run(works, "a"))
            await asyncio.sleep(0.2)
        assert await states(bench, made.id) == {"a": "succeeded", "b": "ready"}

    async def test_many_parents_that_end_at_once_start_their_child_once(
        self, bench: Bench, works: Works
    ) -> None:
        names = [f"p{number}" for number in range(60)]
        made = await submit(bench, [*(task(name) for name in names), task("join", *names)])
        async with bench.working(), bench.working():
            await over(bench, made.id)
        assert works.ran.count("task:join") == 1
        assert works.ran[-1] == "task:join"


async def errors(bench: Bench, graph_id: str) -> dict[str, str | None]:
    async with bench.database.read(bench.scope) as tx:
        tasks = await bench.manager.graphs.list_tasks(tx, graph_id)
    return {one.name: one.error for one in tasks if one.error}


class TestWiring:
    async def test_a_result_goes_to_who_waits_for_it(self, bench: Bench, works: Works) -> None:
        made = await submit(
            bench,
            [
                task("a", args={"gives": {"n": [1, 2]}}),
                task("b", "a", args={"gives": {"$result": "a", "path": "gives.n.1"}}),
            ],
        )
        async with bench.working():
            done = await over(bench, made.id)
        assert done.state == "succeeded"
        assert works.given[-1] == {"gives": 2}

    async def test_what_is_not_there_ends_it_and_says_so(self, bench: Bench, works: Works) -> None:
        made = await submit(
            bench,
            [
                task("a"),
                task("b", "a", args={"gives": {"$result": "a", "path": "lost"}}),
                task("c", "b", runs_on="failure"),
            ],
        )
        async with bench.working():
            done = await over(bench, made.id)
        assert (done.state, await states(bench, made.id)) == (
            "failed",
            {"a": "succeeded", "b": "dead", "c": "succeeded"},
        )
        assert await errors(bench, made.id) == {"b": "There is no lost in the result of a"}

    async def test_a_condition_chooses_the_branch(self, bench: Bench, works: Works) -> None:
        def check(test: str) -> list[dict[str, Any]]:
            return [{"task": "a", "path": "gives", "test": test, "value": 10}]

        made = await submit(
            bench,
            [
                task("a", args={"gives": 12}),
                task("much", "a", condition=check("above")),
                task("little", "a", condition=check("below")),
                task("after", "little"),
            ],
        )
        async with bench.working():
            done = await over(bench, made.id)
        assert done.state == "succeeded"
        assert works.ran == ["task:a", "task:much"]
        assert await errors(bench, made.id) == {
            "little": "Its condition does not hold",
            "after": "A job that it waits for did not end as it needs",
        }

    async def test_there_is_a_job_for_each_element(self, bench: Bench, works: Works) -> None:
        made = await submit(bench, [*each(range(5)), task("join", "each")])
        async with bench.working(), bench.working():
            done = await over(bench, made.id)
        assert (done.state, done.total, done.by_state) == ("succeeded", 8, {"succeeded": 8})
        assert works.ran[-1] == "task:join"
        assert sorted(one.get("seconds", -1) for one in works.given[1:-1]) == [0, 0, 0, 0, 0]
        async with bench.database.read(bench.scope) as tx:
            tasks = {one.name: one for one in await bench.manager.graphs.list_tasks(tx, made.id)}
        assert [tasks[f"each[{at}]"].part_of for at in range(5)] == ["each"] * 5
        assert (tasks["each"].depends_on, tasks["join"].depends_on) == (["a"], ["each"])

    async def test_for_nothing_it_ends_at_once(self, bench: Bench, works: Works) -> None:
        made = await submit(bench, [*each([]), task("join", "each")])
        async with bench.working():
            done = await over(bench, made.id)
        assert (done.state, done.total) == ("succeeded", 3)
        assert works.ran == ["task:a", "task:join"]

    async def test_some_that_fail_fail_it_and_are_started_again(
        self, bench: Bench, works: Works
    ) -> None:
        made = await submit(bench, [*each([0, 1, 0, 1], field="fails"), task("join", "each")])
        async with bench.working():
            done = await over(bench, made.id)
            assert (done.state, done.by_state) == (
                "failed",
                {"succeeded": 3, "dead": 3, "skipped": 1},
            )
            assert (await errors(bench, made.id))["each"] == "2 of 4 did not succeed"
            whole = next(one.id for one in await listed(bench, made.id) if one.name == "each")
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.retry(tx, made.id, job_ids=[whole])
            done = await over(bench, made.id)
        assert (done.state, done.by_state) == ("succeeded", {"succeeded": 7})
        assert works.ran.count("task:each") == 4

    async def test_paused_and_cancelled_in_the_middle(self, bench: Bench, works: Works) -> None:
        made = await submit(bench, [*each([60] * 10), task("join", "each")])
        async with bench.working():
            await bench.until(has_begun_all(works, 2))
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.pause(tx, made.id)
                await bench.manager.graphs.resume(tx, made.id)
                await bench.manager.graphs.cancel(tx, made.id)
            done = await over(bench, made.id)
        assert (done.state, done.total) == ("cancelled", 13)
        assert done.by_state == {"succeeded": 1, "cancelled": 12}

    async def test_more_than_a_graph_may_have_are_not_made(
        self, bench: Bench, works: Works, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.orchestrator._advance.MAX_TASKS", 6)
        made = await submit(bench, each(range(5)))
        async with bench.working():
            done = await over(bench, made.id)
        assert (done.state, done.total) == ("failed", 2)
        said = "With 5 more the graph would have more than 6 jobs"
        assert await errors(bench, made.id) == {"each": said}

    @pytest.mark.parametrize(
        ("of", "why"),
        [
            ({"args": {"gives": {"$result": "b"}}}, "It does not wait for b"),
            ({"args": {"gives": {"$item": ""}}}, "Only a task for each of a list has an element"),
            ({"foreach": {"task": "b"}}, "It does not wait for b"),
            ({"foreach": {"tusk": "a"}}, "unknown field `tusk`"),
            ({"condition": [{"task": "b", "test": "exists"}]}, "It does not wait for b"),
            ({"condition": [{"task": "a", "test": "is"}]}, "Invalid enum value 'is'"),
            ({"condition": [{"task": "a", "test": "above", "value": "9"}]}, "above takes a number"),
        ],
    )
    async def test_what_cannot_be_taken_is_refused(
        self, bench: Bench, works: Works, of: dict[str, Any], why: str
    ) -> None:
        with pytest.raises(GraphInvalidError, match=why):
            await submit(bench, [task("a"), task("b"), task("c", "a", **of)])


def each(items: Any, field: str = "seconds") -> list[TaskDraft]:
    """A list, and a task for each of it."""
    items = [{field: 0 if field == "seconds" and one < 60 else one} for one in items]
    return [
        task("a", args={"gives": items}),
        task("each", "a", args={field: {"$item": field}}, foreach={"task": "a", "path": "gives"}),
    ]


async def listed(bench: Bench, graph_id: str) -> Sequence[GraphTask]:
    async with bench.database.read(bench.scope) as tx:
        return await bench.manager.graphs.list_tasks(tx, graph_id)


def has_begun_all(works: Works, count: int) -> Callable[[], Awaitable[bool]]:
    async def begun() -> bool:
        return len(works.left) >= count

    return begun


class TestActs:
    async def test_paused_it_starts_nothing_and_resumed_it_goes_on(
        self, bench: Bench, works: Works
    ) -> None:
        made = await submit(bench, [task("a"), task("b", "a")])
        async with bench.database.transaction(bench.scope) as tx:
            assert (await bench.manager.graphs.pause(tx, made.id)).paused
        async with bench.working():
            await asyncio.sleep(0.3)
            assert works.ran == []
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.resume(tx, made.id)
            await over(bench, made.id)
        assert works.ran == ["task:a", "task:b"]

    async def test_cancelled_it_stops_what_runs_and_starts_nothing(
        self, bench: Bench, works: Works
    ) -> None:
        made = await submit(
            bench, [task("a", args={"seconds": 60}), task("b", "a"), task("c", "b")]
        )
        async with bench.working():
            await bench.until(has_begun(works))
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.graphs.cancel(tx, made.id)
            done = await over(bench, made.id)
        assert (done.state, done.by_state) == ("cancelled", {"cancelled": 3})
        async with bench.database.transaction(bench.scope) as tx:
            with pytest.raises(GraphOverError):
                await bench.manager.graphs.cancel(tx, made.id)

    @pytest.mark.parametrize("by", ["graph", "job", "list"])
    async def test_started_again_it_does_what_was_not_done(
        self, bench: Bench, works: Works, by: str
    ) -> None:
        made = await submit(
            bench, [task("a"), task("b", "a", args={"fails": 1}), task("c", "b"), task("d", "a")]
        )
        async with bench.working():
            failed = await over(bench, made.id)
            assert failed.by_state == {"succeeded": 2, "dead": 1, "skipped": 1}
            async with bench.database.transaction(bench.scope) as tx:
                if by == "list":
                    told = await bench.manager.retry_jobs(tx)
                    assert (told.retried, told.refused) == (1, 0)
                elif by == "job":
                    (dead,) = await bench.manager.list_jobs(tx, state="dead")
                    await bench.manager.retry_job(tx, dead.id)
                else:
                    await bench.manager.graphs.retry(tx, made.id)
            done = await over(bench, made.id)
        assert (done.state, done.by_state) == ("succeeded", {"succeeded": 4})
        assert sorted(works.ran) == [f"task:{name}" for name in "abcd"]
        async with bench.database.transaction(bench.scope) as tx:
            with pytest.raises(GraphNotRetryableError):
                await bench.manager.graphs.retry(tx, made.id)

    async def test_a_part_of_a_list_may_be_of_several_graphs(
        self, bench: Bench, works: Works
    ) -> None:
        tasks = [
            task("a", args={"fails": 1}),
            task("b", args={"fails": 1}),
            task("c", "a", "b", runs_on="failure", args={"fails": 1}),
        ]
        made = [await submit(bench, tasks) for _ in range(2)]
        async with bench.working():
            for one in made:
                assert (await over(bench, one.id)).by_state == {"dead": 3}
            async with bench.database.transaction(bench.scope) as tx:
                told = await bench.manager.retry_jobs(tx)
            assert (told.retried, told.refused) == (6, 0)
            for one in made:
                done = await over(bench, one.id)
                assert (done.state, done.by_state) == ("succeeded", {"succeeded": 2, "skipped": 1})

    async def test_what_a_kind_refuses_stays_and_the_rest_begins(
        self, bench: Bench, works: Works
    ) -> None:
        async def refuse(_: Tx, __: object) -> None:
            raise JobNotRetryableError

        nothing: Any = works.kind.run
        bench.manager.register(JobKind("test.stuck", nothing, takes=Args, on_retry=refuse))
        stuck = replace(task("b", args={"fails": 9}), kind="test.stuck")
        made = await submit(bench, [task("a", args={"fails": 1}), stuck])
        async with bench.working():
            await over(bench, made.id)
            async with bench.database.transaction(bench.scope) as tx:
                told = await bench.manager.retry_jobs(tx)
            assert (told.retried, told.refused) == (1, 1)
            assert (await over(bench, made.id)).by_state == {"succeeded": 1, "dead": 1}
