"""Graphs grow: a task hands in more tasks with its result, which become jobs of its own graph.

They are held to what a graph is held to when it is submitted. Who waited for the task waits for all
of them as well, so nothing that follows starts before what it brought about is over.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from backend.core.database import Tx
from backend.core.errors import AppError
from backend.core.ids import uuid7
from backend.managers.orchestrator._advance import Ended, Free, Growth, bites, children_of
from backend.managers.orchestrator._drafts import (
    MAX_EDGES,
    MAX_TASKS,
    GraphDraft,
    TaskDraft,
    check_kinds,
    job_of_task,
    read_tasks,
    refuse_twice,
)
from backend.managers.orchestrator._rows import insert_jobs, load
from backend.managers.orchestrator._wiring import Each, WiringError, elements
from backend.managers.orchestrator.errors import GraphInvalidError, JobForbiddenError
from backend.managers.orchestrator.kinds import Claim, JobKind
from backend.managers.orchestrator.models import EdgeRow, GraphRow, JobRow

_CANCELLED = "The task that handed it in was to be cancelled"


async def grow(
    tx: Tx,
    claim: Claim,
    path: str,
    result: Any,
    kinds: Mapping[str, JobKind],
    *,
    before: int,
    cancelled: bool,
) -> Growth | str:
    """Add the tasks that a job handed in; or say why they are none, and add nothing.

    Args:
        tx: In the scope of the tenant whose it is, where its end is written by now; it holds the
            graph (:func:`hold`).
        claim: The job.
        path: Where in its result the list of them is.
        result: Its result.
        kinds: What there is to be done.
        before: How many this transaction has added to the graph, and not counted yet.
        cancelled: Whether it was to be cancelled, and ended before it was: then they are too.
    """
    grower = await load(tx, claim.id)
    name, graph_id = str(grower.key), str(grower.graph_id)
    try:
        said = elements(Each(name, path), {name: result})
        if not said:
            return Growth(tx.tenant_id, graph_id)
        draft = GraphDraft(name, read_tasks(said))
        draft.check(after=name)
        graph = await _load_graph(tx, graph_id)
        check_kinds(tx, draft.tasks, kinds, frozenset(graph.rights or ()))
        followers = sorted(await children_of(tx, [claim.id]))
        edges = list(draft.edges())
        if len(edges) + len(said) * (len(followers) + 1) > MAX_EDGES:
            raise GraphInvalidError(
                f"With those that wait for {name}, more than {MAX_EDGES} wait for others"
            )
        await _check_room(tx, graph_id, draft, graph.total + before)
    except WiringError as exc:
        return str(exc)
    except (GraphInvalidError, JobForbiddenError) as exc:
        return _told(exc)
    rows = _rows(draft.tasks, edges, grower, tx, cancelled=cancelled)
    ids = {row["key"]: row["id"] for row in rows}
    await tx.execute(insert_jobs(), rows)
    pairs = [({**ids, name: claim.id}[parent], ids[child]) for parent, child in edges]
    # Who waits for nobody else waits for the task: that is whom it comes after.
    waiting = {child for _, child in edges}
    pairs += [(claim.id, id_) for key, id_ in ids.items() if key not in waiting]
    pairs += [(id_, follower) for id_ in ids.values() for follower in followers]
    await tx.insert(
        EdgeRow,
        [{"tenant_id": tx.tenant_id, "parent_id": one, "child_id": two} for one, two in pairs],
    )
    for some in bites(followers):
        await tx.execute(
            sa.update(JobRow)
            .where(JobRow.tenant_id == tx.tenant_id, JobRow.id.in_(some))
            .values(waiting=JobRow.waiting + len(rows))
            .execution_options(synchronize_session=False)
        )
    if cancelled:
        ended = [Ended(graph_id, str(row["id"]), "cancelled") for row in rows]
        return Growth(tx.tenant_id, graph_id, len(rows), ended=ended)
    free = [
        Free(row["id"], graph_id, row["runs_on"], row["wiring"])
        for row in rows
        if not row["waiting"]
    ]
    return Growth(tx.tenant_id, graph_id, len(rows), free)


async def hold(tx: Tx, graph_ids: Iterable[str], ended: Sequence[str]) -> None:
    """Have nobody else grow these graphs, and lock who waits for jobs that ended.

    Their rows are what everybody locks last, so what grows takes turns by a lock of its own: of two
    tasks that hand in the same name at once the second one finds the first one's. And it holds all
    that its jobs let go on at once, in the order of everybody, before it adds to some of them.

    Args:
        tx: In the scope of their tenant.
        graph_ids: Which grow in this transaction.
        ended: The jobs that end in it, of whatever graph.
    """
    if tx.dialect == "postgresql":
        for graph_id in sorted(graph_ids):
            turn = sa.func.hashtextextended(f"job_graph:{graph_id}", 0)
            await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(turn)))
    for some in bites(sorted(set(await children_of(tx, ended)))):
        await tx.execute(
            sa.select(JobRow.id)
            .where(JobRow.tenant_id == tx.tenant_id, JobRow.id.in_(some))
            .order_by(JobRow.id)
            .with_for_update()
        )


async def _load_graph(tx: Tx, graph_id: str) -> Any:
    """How many jobs it has, and what its submitter held that kinds take."""
    found = await tx.execute(
        sa.select(GraphRow.total, GraphRow.rights).where(
            GraphRow.tenant_id == tx.tenant_id, GraphRow.id == graph_id
        )
    )
    return found.one()


async def _check_room(tx: Tx, graph_id: str, draft: GraphDraft, total: int) -> None:
    """See that the graph, of so many jobs, has place for them, and none of their names.

    Raises:
        GraphInvalidError: It has not.
    """
    if total + len(draft.tasks) > MAX_TASKS:
        raise GraphInvalidError(
            f"With {len(draft.tasks)} more the graph would have more than {MAX_TASKS} jobs"
        )
    names = [one.name for one in draft.tasks]
    known: set[str | None] = set()
    for some in bites(names):
        known |= set(
            await tx.scalars(
                # Each name is looked for: a graph that grows again and again is not read each time.
                sa.select(JobRow.key)
                .with_hint(JobRow, "INDEXED BY ix_jobs_key", "sqlite")
                .where(
                    JobRow.tenant_id == tx.tenant_id,
                    JobRow.graph_id == graph_id,
                    JobRow.key.in_(some),
                )
            )
        )
    refuse_twice([name for name in names if name in known])


def _rows(
    tasks: Sequence[TaskDraft],
    edges: Sequence[tuple[str, str]],
    grower: JobRow,
    tx: Tx,
    *,
    cancelled: bool,
) -> list[dict[str, Any]]:
    waits = Counter(child for parent, child in edges if parent != grower.key)
    return [
        job_of_task(
            task,
            id=uuid7(),
            tenant_id=tx.tenant_id,
            graph_id=grower.graph_id,
            part_of=grower.id,
            state="cancelled" if cancelled else "blocked",
            waiting=waits[task.name],
            error=_CANCELLED if cancelled else None,
            traceparent=grower.traceparent,
            actor=grower.actor,
            created_at=tx.now(),
            finished_at=tx.now() if cancelled else None,
        )
        for task in tasks
    ]


def _told(exc: AppError) -> str:
    """What is wrong, and where in the list."""
    place = ".".join(map(str, exc.place))
    return f"{place}: {exc}" if place else str(exc)
