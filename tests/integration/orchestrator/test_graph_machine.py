"""A graph's jobs under any order of ends, pauses, cancellations and retries: held to a plain model.

The model knows each job's parents and state and nothing of how the tables do it. After every step
the database has to say the same, and no job may wait for nobody in a graph that is not paused.
"""

import random
from typing import Any

import msgspec
import pytest

from backend.core.errors import AppError
from backend.managers.orchestrator import Claim, GraphDraft, JobKind, Outcome, TaskDraft
from tests.integration.orchestrator.conftest import Bench

STEPS = 400
ENDS = {"succeeded": Outcome.done(), "dead": Outcome.fail("told to")}
OVER = {"succeeded", "dead", "cancelled", "skipped"}


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No arguments."""


class Model:
    """What a graph should be."""

    def __init__(self, tasks: list[TaskDraft]) -> None:
        self.tasks = {task.name: task for task in tasks}
        self.state = dict.fromkeys(self.tasks, "blocked")
        self.paused = False
        self.settle()

    def settle(self) -> None:
        """Start or skip whoever waits for nobody any more, until nothing changes."""
        changed = not self.paused
        while changed:
            changed = False
            for name, task in self.tasks.items():
                ends = [self.state[parent] for parent in task.depends_on]
                if self.state[name] != "blocked" or not OVER.issuperset(ends):
                    continue
                starts = {
                    "success": all(end == "succeeded" for end in ends),
                    "failure": any(end in {"dead", "cancelled"} for end in ends),
                    "always": True,
                }[task.runs_on]
                self.state[name] = "ready" if starts else "skipped"
                changed = True

    def end(self, name: str, state: str) -> None:
        self.state[name] = state
        self.settle()

    def pause(self) -> None:
        self.paused = True
        for name, state in self.state.items():
            if state == "ready":
                self.state[name] = "blocked"

    def resume(self) -> None:
        self.paused = False
        self.settle()

    def retry(self) -> None:
        for name, state in self.state.items():
            if state in {"dead", "cancelled", "skipped"}:
                self.state[name] = "blocked"
        self.settle()

    def cancel(self) -> None:
        for name, state in self.state.items():
            if state in {"blocked", "ready"}:
                self.state[name] = "cancelled"
        self.paused = False

    @property
    def is_over(self) -> bool:
        return OVER.issuperset(self.state.values())


def drawn(rng: random.Random) -> list[TaskDraft]:
    count = rng.randrange(1, 14)
    made: list[TaskDraft] = []
    for number in range(count):
        parents = rng.sample([task.name for task in made], min(len(made), rng.randrange(4)))
        runs_on: Any = rng.choice(["success", "success", "success", "failure", "always"])
        made.append(
            TaskDraft(
                f"t{number}", "test.nothing", {}, parents, runs_on if parents else "success",
                max_attempts=1,
            )
        )  # fmt: skip
    rng.shuffle(made)
    return made


class Play:
    """One graph, its model, and what is claimed of it."""

    def __init__(self, bench: Bench, rng: random.Random) -> None:
        self.bench, self.rng = bench, rng
        self.claims: dict[str, Claim] = {}

    async def begin(self) -> None:
        tasks = drawn(self.rng)
        self.model = Model(tasks)
        self.claims.clear()
        async with self.bench.database.transaction(self.bench.scope) as tx:
            made, _ = await self.bench.manager.graphs.submit(tx, GraphDraft("drawn", tasks))
            self.id = made.id
            listed = await self.bench.manager.graphs.list_tasks(tx, made.id, limit=100)
        self.names = {one.id: one.name for one in listed}

    async def step(self) -> None:
        act = self.rng.choice(["claim", "claim", "end", "end", "end", "end", "pause", "resume"])
        if self.rng.random() < 0.04:
            act = self.rng.choice(["cancel", "retry", "cancel one"])
        await getattr(self, act.replace(" ", "_"))()

    async def claim(self) -> None:
        for one in await self.bench.claim(self.rng.randrange(1, 4)):
            if one.id in self.names:
                self.claims[one.id] = one
                self.model.state[self.names[one.id]] = "running"

    async def end(self) -> None:
        some = self.rng.sample(sorted(self.claims), min(len(self.claims), self.rng.randrange(1, 4)))
        ended = [(self.claims.pop(one), self.rng.choice(sorted(ENDS))) for one in some]
        await self.bench.finish(*((claim, ENDS[state]) for claim, state in ended))
        for claim, state in ended:
            self.model.state[self.names[claim.id]] = state
        self.model.settle()

    async def pause(self) -> None:
        if await self._do("pause"):
            self.model.pause()

    async def resume(self) -> None:
        if await self._do("resume"):
            self.model.resume()

    async def retry(self) -> None:
        if await self._do("retry"):
            self.model.retry()

    async def cancel(self) -> None:
        if self.claims or not await self._do("cancel"):
            return
        self.model.cancel()

    async def cancel_one(self) -> None:
        names = [n for n, state in self.model.state.items() if state in {"blocked", "ready"}]
        if not names:
            return
        name = self.rng.choice(names)
        (job_id,) = [one for one, known in self.names.items() if known == name]
        async with self.bench.database.transaction(self.bench.scope) as tx:
            await self.bench.manager.cancel_job(tx, job_id)
        self.model.end(name, "cancelled")

    async def _do(self, act: str) -> bool:
        try:
            async with self.bench.database.transaction(self.bench.scope) as tx:
                await getattr(self.bench.manager.graphs, act)(tx, self.id)
        except AppError:
            return False
        return True

    async def compare(self) -> None:
        async with self.bench.database.read(self.bench.scope) as tx:
            listed = await self.bench.manager.graphs.list_tasks(tx, self.id, limit=100)
            graph = await self.bench.manager.graphs.get(tx, self.id)
        assert {one.name: one.state for one in listed} == self.model.state
        assert (graph.finished_at is not None) == self.model.is_over
        ended = sum(graph.by_state.get(state, 0) for state in OVER)
        assert sum(graph.by_state.values()) == graph.total
        assert (ended == graph.total) == self.model.is_over


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_any_order_of_acts_leaves_what_a_plain_model_says(
    bench: Bench, record_property: Any
) -> None:
    seed = random.randrange(10**6)
    record_property("seed", seed)
    rng = random.Random(seed)
    nothing: Any = None
    bench.manager.register(JobKind.simple("test.nothing", nothing, takes=Nothing))
    play = Play(bench, rng)
    await play.begin()
    for _ in range(STEPS):
        if play.model.is_over and rng.random() < 0.5:
            await play.begin()
        await play.step()
        await play.compare()
