"""A graph as large as any may be: in order, once each, and stopped in the middle."""

import logging
from collections import Counter
from time import monotonic
from typing import Any

import msgspec
import pytest

from backend.core.ids import uuid7
from backend.managers.orchestrator import Claim, GraphDraft, JobKind, TaskDraft
from backend.managers.orchestrator._drafts import MAX_TASKS
from backend.managers.orchestrator._graphs import Graph
from backend.managers.orchestrator._outline import MOST
from backend.managers.orchestrator.errors import GraphNotFoundError
from tests.integration.orchestrator.conftest import Bench
from tests.support.asking import ASK_ALL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

logger = logging.getLogger(__name__)
SIZE = MAX_TASKS if ASK_ALL else 1500
WIDE = SIZE // 3
STEPS = 40


class Args(msgspec.Struct, forbid_unknown_fields=True):
    """What the kind of these tests takes."""

    count: int = 0
    n: Any = None


class Counts:
    """A kind that notes what ran, in its order."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.kind = JobKind.simple("test.count", self._do, takes=Args)

    async def _do(self, claim: Claim) -> Any:
        self.ran.append(str(claim.subject))
        return {"n": list(range(claim.args.get("count", 0)))}


def tasks() -> list[TaskDraft]:
    """A list, a job for each of it, rows of jobs that wait for each other, and one for all."""

    def task(name: str, *depends_on: str, **more: Any) -> TaskDraft:
        args = more.pop("args", {})
        return TaskDraft(name, "test.count", args, depends_on, subject=name, **more)

    made = [
        task("list", args={"count": WIDE}),
        task("each", "list", args={"n": {"$item": ""}}, foreach={"task": "list", "path": "n"}),
    ]
    rows = (SIZE - WIDE - 3) // STEPS
    for row in range(rows):
        made += [
            task(f"{row}.{step}", f"{row}.{step - 1}" if step else "each") for step in range(STEPS)
        ]
    return [*made, task("end", *(f"{row}.{STEPS - 1}" for row in range(rows)))]


async def submit(bench: Bench) -> tuple[Graph, Counts]:
    counts = Counts()
    bench.manager.register(counts.kind)
    async with bench.database.transaction(bench.scope) as tx:
        made, _ = await bench.manager.graphs.submit(tx, GraphDraft("Large", tasks()))
    return made, counts


async def until_over(bench: Bench, graph_id: str) -> Graph:
    async def is_over() -> bool:
        return (await look()).finished_at is not None

    async def look() -> Graph:
        async with bench.database.read(bench.scope) as tx:
            return await bench.manager.graphs.get(tx, graph_id)

    await bench.until(is_over, seconds=300)
    return await look()


async def test_runs_in_order_and_each_once(bench: Bench) -> None:
    began = monotonic()
    made, counts = await submit(bench)
    async with bench.working(concurrency=50), bench.working(concurrency=50):
        done = await until_over(bench, made.id)
    logger.warning("%s jobs in %.1f s", done.total, monotonic() - began)
    assert (done.state, done.by_state) == ("succeeded", {"succeeded": done.total})
    assert done.total == made.total + WIDE
    # What stands for others runs nothing.
    assert len(counts.ran) == done.total - 1
    assert Counter(counts.ran)["each"] == WIDE
    at = {name: place for place, name in enumerate(counts.ran)}
    assert counts.ran[0] == "list"
    assert counts.ran[-1] == "end"
    for name, place in at.items():
        row, _, step = name.partition(".")
        if step and step != "0":
            assert at[f"{row}.{int(step) - 1}"] < place
        elif step:
            assert at["each"] < place


async def test_stops_in_the_middle(bench: Bench) -> None:
    made, counts = await submit(bench)

    async def is_half_way() -> bool:
        return len(counts.ran) > SIZE // 2

    async with bench.working(concurrency=50), bench.working(concurrency=50):
        await bench.until(is_half_way, seconds=300)
        began = monotonic()
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.graphs.cancel(tx, made.id)
        done = await until_over(bench, made.id)
        logger.warning("stopped in %.1f s", monotonic() - began)
    assert done.state == "cancelled"
    assert done.by_state["succeeded"] + done.by_state["cancelled"] == done.total
    # What stands for others runs nothing, and had ended by then; who is asked to stop may have run.
    assert SIZE // 2 < done.by_state["succeeded"] <= len(counts.ran) + 1
    assert "end" not in counts.ran


async def test_is_drawn_in_few_boxes(bench: Bench) -> None:
    made, _ = await submit(bench)
    began = monotonic()
    async with bench.database.read(bench.scope) as tx:
        draw = await bench.manager.graphs.outline(tx, made.id)
    found = monotonic()
    boxes = draw()
    logger.warning("read in %.2f s, drawn in %.2f s", found - began, monotonic() - found)
    assert sum(one.size for one in boxes) == made.total
    assert len(boxes) <= MOST
    assert [one.name for one in boxes[:2]] == ["list", "each"]
    assert (boxes[0].by_state, boxes[0].after) == ({"ready": 1}, [])
    assert all(before < place for place, one in enumerate(boxes) for before in one.after)


async def test_nobody_draws_one_that_is_not_theirs(bench: Bench) -> None:
    async with bench.database.read(bench.scope) as tx:
        with pytest.raises(GraphNotFoundError):
            await bench.manager.graphs.outline(tx, uuid7())
