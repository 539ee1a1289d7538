"""Graphs of jobs: handed in whole or not at all, looked at, stopped, and started again."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.managers.orchestrator._advance import (
    BY_GRAPH,
    Ended,
    Free,
    advance,
    bites,
    of_jobs,
    parents_of,
)
from backend.managers.orchestrator._attempts import cancel_waiting
from backend.managers.orchestrator._drafts import GraphDraft, check_kinds, job_of_task
from backend.managers.orchestrator._offers import Offers
from backend.managers.orchestrator._outline import Box, read_outline
from backend.managers.orchestrator._rows import claim_of, insert_jobs
from backend.managers.orchestrator.errors import (
    GraphNotFoundError,
    GraphNotRetryableError,
    GraphOverError,
)
from backend.managers.orchestrator.kinds import JobKind, State, by_owner
from backend.managers.orchestrator.models import EdgeRow, GraphRow, JobRow

GraphState = Literal["running", "succeeded", "failed", "cancelled"]
_ENDED: Final = frozenset({"succeeded", "dead", "cancelled", "skipped"})
_AGAIN: Final = frozenset({"dead", "cancelled", "skipped"})
_STOPPABLE: Final = ("blocked", "ready", "awaiting")
_OPEN: Final = (*_STOPPABLE, "running")
_SWEPT: Final = 50
_SWEPT_JOBS: Final = 1000


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph as its tenant may see it; ``by_state`` counts its jobs as they are now."""

    id: str
    name: str
    state: GraphState
    paused: bool
    total: int
    by_state: Mapping[str, int]
    created_at: datetime
    created_by: str
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class GraphTask:
    """A job of a graph, and the names of those it waits for."""

    id: str
    name: str
    kind: str
    state: State
    runs_on: str
    depends_on: Sequence[str]
    part_of: str | None
    grown_by: str | None
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


class Graphs:
    """A tenant's graphs.

    Args:
        kinds: That this process knows.
        prepare: Sees to the tenant's limits and its quota of waiting jobs before some are added.
    """

    def __init__(
        self,
        kinds: Mapping[str, JobKind],
        prepare: Callable[[Tx, int], Awaitable[None]],
    ) -> None:
        self._kinds = kinds
        self._prepare = prepare

    async def submit(
        self, tx: Tx, draft: GraphDraft, *, permissions: frozenset[str] = frozenset()
    ) -> tuple[Graph, bool]:
        """Add a graph, or find the one that has its key; and whether it is new.

        It exists, and its jobs start, only if the caller's transaction commits. ``permissions`` are
        the submitter's; what it grows is held to them.

        Raises:
            GraphInvalidError: It is none, and where.
            JobForbiddenError: A kind takes a permission that the submitter lacks.
            StockReachedError: The tenant would have more waiting jobs than its quota allows.
        """
        draft.check()
        rights = self.check_kinds(tx, draft, permissions)
        now = tx.now()
        row = {
            "id": uuid7(),
            "tenant_id": tx.tenant_id,
            "name": draft.name,
            "state": "running",
            "paused": False,
            "total": len(draft.tasks),
            **dict.fromkeys(("succeeded", "failed", "cancelled", "skipped"), 0),
            "dedup_key": draft.dedup_key,
            "actor": tx.scope.actor,
            "rights": rights,
            "created_at": now,
            "finished_at": None,
        }
        if draft.dedup_key is None:
            await tx.insert(GraphRow, [row])
        elif not await tx.insert_new(GraphRow, row, conflict=["tenant_id", "dedup_key"]):
            known = await tx.scalar(
                sa.select(GraphRow.id).where(
                    GraphRow.tenant_id == tx.tenant_id, GraphRow.dedup_key == draft.dedup_key
                )
            )
            return await self.get(tx, str(known)), False
        await self._prepare(tx, len(draft.tasks))
        ids = {task.name: uuid7() for task in draft.tasks}
        edges = list(draft.edges())
        waits = Counter(child for _, child in edges)
        await tx.execute(
            insert_jobs(),
            [
                job_of_task(
                    task,
                    id=ids[task.name],
                    tenant_id=tx.tenant_id,
                    graph_id=row["id"],
                    state="blocked" if waits[task.name] else "ready",
                    waiting=waits[task.name],
                    traceparent=tx.scope.traceparent,
                    actor=tx.scope.actor,
                    created_at=now,
                )
                for task in draft.tasks
            ],
        )
        await tx.insert(
            EdgeRow,
            [
                {"tenant_id": tx.tenant_id, "parent_id": ids[parent], "child_id": ids[child]}
                for parent, child in edges
            ],
        )
        tx.audit("job_graph.submitted", f"job_graph:{row['id']}", name=draft.name, total=len(ids))
        tx.signal("jobs", tx.tenant_id)
        return await self.get(tx, str(row["id"])), True

    def check_kinds(self, tx: Tx, draft: GraphDraft, permissions: frozenset[str]) -> Sequence[str]:
        """See that one with these permissions may submit all of its kinds, with such arguments.

        Returns those of them that are kept of whoever submits it.

        Raises:
            GraphInvalidError: One that no tenant may, or not so.
            JobForbiddenError: One takes a permission that is not among them.
        """
        check_kinds(tx, draft.tasks, self._kinds, permissions)
        return Offers(self._kinds).rights(permissions)

    async def get(self, tx: ReadTx, graph_id: str) -> Graph:
        """One graph.

        Raises:
            GraphNotFoundError: No such graph in this tenant.
        """
        row = await _load(tx, graph_id)
        counts = await _count(tx, [graph_id])
        return _view(row, counts.get(graph_id, {}))

    async def list(
        self,
        tx: ReadTx,
        *,
        state: GraphState | None = None,
        limit: int = 50,
        before_id: str | None = None,
    ) -> Sequence[Graph]:
        """Graphs, the newest first, one more than ``limit``."""
        query = sa.select(GraphRow).where(GraphRow.tenant_id == tx.tenant_id)
        if state is not None:
            query = query.where(GraphRow.state == state)
        rows = await tx.scalars(newest(query, GraphRow.id, limit, before_id))
        counts = await _count(tx, [row.id for row in rows])
        return [_view(row, counts.get(row.id, {})) for row in rows]

    async def list_tasks(
        self,
        tx: ReadTx,
        graph_id: str,
        *,
        state: State | None = None,
        limit: int = 50,
        after_id: str | None = None,
    ) -> Sequence[GraphTask]:
        """A graph's jobs, in the order in which they were handed in, one more than ``limit``.

        Raises:
            GraphNotFoundError: No such graph in this tenant.
        """
        await _load(tx, graph_id)
        query = (
            sa.select(JobRow)
            .with_hint(JobRow, BY_GRAPH, "sqlite")
            .where(JobRow.tenant_id == tx.tenant_id, JobRow.graph_id == graph_id)
        )
        if state is not None:
            query = query.where(JobRow.state == state)
        if after_id is not None:
            query = query.where(JobRow.id > after_id)
        rows = await tx.scalars(query.order_by(JobRow.id).limit(limit + 1))
        parents = await parents_of(tx, [row.id for row in rows])
        before = {one.id: one for one in await of_jobs(tx, parents, JobRow.key, JobRow.part_of)}
        wholes = {row.id: [row.part_of] for row in rows if row.part_of is not None}
        of = {one.id: one for one in await of_jobs(tx, wholes, JobRow.key, JobRow.wiring)}

        def shown(row: JobRow) -> Iterator[str]:
            theirs = parents.get(row.id, ())
            for one in map(before.__getitem__, theirs):
                # Its own parts it waits for as well, and for what a task before it handed in:
                # of both there may be thousands.
                if one.part_of in (None, row.part_of) or one.part_of not in (row.id, *theirs):
                    yield one.key

        return [
            GraphTask(
                id=row.id,
                name=row.key or "",
                kind=row.kind,
                state=row.state,
                runs_on=row.runs_on,
                depends_on=sorted(shown(row)),
                part_of=whole.key if whole is not None and not _grows(whole) else None,
                grown_by=whole.key if whole is not None and _grows(whole) else None,
                attempt=row.attempt,
                started_at=row.started_at,
                finished_at=row.finished_at,
                error=row.error,
            )
            for row in rows
            for whole in [of.get(row.part_of)]
        ]

    async def outline(self, tx: ReadTx, graph_id: str) -> Callable[[], Sequence[Box]]:
        """What draws a graph in so few boxes that somebody can look at it (:func:`outline`).

        Of ten thousand jobs that takes tenths of a second: work for a turn beside the event loop.

        Raises:
            GraphNotFoundError: No such graph in this tenant.
        """
        await _load(tx, graph_id)
        return await read_outline(tx, graph_id)

    async def pause(self, tx: Tx, graph_id: str) -> Graph:
        """Start no more of its jobs; those that run go on.

        Raises:
            GraphNotFoundError: No such graph in this tenant.
            GraphOverError: It has ended.
        """
        await _load_running(tx, graph_id)
        ready = await _locked(tx, graph_id, ("ready",))
        row = await _load_running(tx, graph_id, lock=True)
        row.paused = True
        await tx.session.flush()
        # Those that became ready before the graph was locked are among them now.
        for job in {*ready, *await _locked(tx, graph_id, ("ready",))}:
            if job.state == "ready":
                job.state = "blocked"
        tx.audit("job_graph.paused", f"job_graph:{graph_id}", name=row.name)
        await tx.session.flush()
        return await self.get(tx, graph_id)

    async def resume(self, tx: Tx, graph_id: str) -> Graph:
        """Go on with it.

        Raises:
            GraphNotFoundError: No such graph in this tenant.
            GraphOverError: It has ended.
        """
        blocked = await _locked(tx, graph_id, ("blocked",))
        row = await _load_running(tx, graph_id, lock=True)
        row.paused = False
        await tx.session.flush()
        await advance(tx, free=[_free(one) for one in blocked if one.waiting <= 0])
        tx.audit("job_graph.resumed", f"job_graph:{graph_id}", name=row.name)
        return await self.get(tx, graph_id)

    async def cancel(self, tx: Tx, graph_id: str) -> Graph:
        """Cancel what waits at once, and ask what runs to stop.

        Of jobs that wait nothing is told one by one: the graph's own event says how many.

        Raises:
            GraphNotFoundError: No such graph in this tenant.
            GraphOverError: It has ended.
        """
        row = await _load_running(tx, graph_id)
        cancelled: list[JobRow] = []
        # What became ready meanwhile is found by the second look: the first has locked the rest.
        while waiting := await _locked(tx, graph_id, _STOPPABLE):
            await cancel_waiting(tx, waiting)
            cancelled += waiting
        for job in await _locked(tx, graph_id, ("running",)):
            job.cancel_requested = True
        # Whoever retries it wants it to go on.
        (await _load(tx, graph_id, lock=True)).paused = False
        await tx.session.flush()
        for _, kind, claims in by_owner(map(claim_of, cancelled), lambda one: one):
            hook = self._kinds[kind].on_cancel if kind in self._kinds else None
            if hook is not None:
                await hook(tx, claims)
        tx.audit(
            "job_graph.cancelled", f"job_graph:{graph_id}", name=row.name, waiting=len(cancelled)
        )
        tx.signal("job_cancel")
        await advance(tx, [Ended(graph_id, job.id, "cancelled") for job in cancelled])
        return await self.get(tx, graph_id)

    async def retry(self, tx: Tx, graph_id: str, *, job_ids: Collection[str] = ()) -> Graph:
        """Start again what did not succeed: all of it, or some jobs and what waits for them.

        Raises:
            GraphNotFoundError: No such graph in this tenant.
            GraphNotRetryableError: There is nothing of the kind.
            JobNotRetryableError: A kind starts one of them not again.
        """
        await _load(tx, graph_id)
        ids = await tx.scalars(
            sa.select(JobRow.id)
            .with_hint(JobRow, BY_GRAPH, "sqlite")
            .where(JobRow.tenant_id == tx.tenant_id, JobRow.graph_id == graph_id)
        )
        parents = await parents_of(tx, ids)
        children: dict[str, list[str]] = {}
        for child, theirs in parents.items():
            for parent in theirs:
                children.setdefault(parent, []).append(child)
        open_ = await _locked(tx, graph_id, (*_OPEN, *_AGAIN))
        wanted = {*job_ids, *_below(job_ids, children)}
        # Who stands for others is started again by those of them that did not succeed.
        wanted |= {row.id for row in open_ if row.part_of in wanted}
        again = [row for row in open_ if row.state in _AGAIN and (not job_ids or row.id in wanted)]
        if not again or not {row.id for row in again}.issuperset(job_ids):
            raise GraphNotRetryableError
        await self._start_over(tx, again)
        states = dict(
            (await tx.execute(
                sa.select(JobRow.id, JobRow.state)
                .with_hint(JobRow, BY_GRAPH, "sqlite")
                .where(JobRow.tenant_id == tx.tenant_id, JobRow.graph_id == graph_id)
            )).all()
        )  # fmt: skip
        for row in open_:
            # A pause blocks again what is ready: then it waits for whom this starts.
            if row.state in _OPEN:
                row.waiting = sum(states[one] not in _ENDED for one in parents.get(row.id, ()))
        await tx.session.flush()
        graph = await _load(tx, graph_id, lock=True)
        counts = Counter(states.values())
        graph.succeeded, graph.failed = counts["succeeded"], counts["dead"]
        graph.cancelled, graph.skipped = counts["cancelled"], counts["skipped"]
        graph.state, graph.finished_at = "running", None
        await tx.session.flush()
        tx.audit("job_graph.retried", f"job_graph:{graph_id}", name=graph.name, jobs=len(again))
        free = [_free(row) for row in open_ if row.state == "blocked" and row.waiting <= 0]
        await advance(tx, free=free)
        return await self.get(tx, graph_id)

    async def _start_over(self, tx: Tx, again: Sequence[JobRow]) -> None:
        ran = [claim_of(row) for row in again if row.state != "skipped"]
        for row in again:
            row.state, row.forgiven, row.crashes = "blocked", row.attempt, 0
            row.cancel_requested, row.worker = False, None
            row.error = row.result = row.finished_at = None
        await tx.session.flush()
        for _, kind, claims in by_owner(ran, lambda one: one):
            hook = self._kinds[kind].on_retry if kind in self._kinds else None
            if hook is not None:
                await hook(tx, claims)


def _grows(whole: Any) -> bool:
    return whole.wiring is not None and "grows" in whole.wiring


def _free(row: JobRow) -> Free:
    return Free(row.id, str(row.graph_id), row.runs_on, row.wiring)


def _below(job_ids: Iterable[str], children: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(job_ids)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


async def _locked(tx: Tx, graph_id: str, states: Sequence[str]) -> Sequence[JobRow]:
    """A graph's jobs in some states, locked in one order, as they are now."""
    return await tx.scalars(
        sa.select(JobRow)
        .with_hint(JobRow, BY_GRAPH, "sqlite")
        .where(
            JobRow.tenant_id == tx.tenant_id,
            JobRow.graph_id == graph_id,
            JobRow.state.in_(states),
        )
        .order_by(JobRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


async def _load(tx: ReadTx, graph_id: str, *, lock: bool = False) -> GraphRow:
    query = sa.select(GraphRow).where(GraphRow.tenant_id == tx.tenant_id, GraphRow.id == graph_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row: GraphRow | None = await tx.scalar(query)
    if row is None:
        raise GraphNotFoundError
    return row


async def _load_running(tx: Tx, graph_id: str, *, lock: bool = False) -> GraphRow:
    row = await _load(tx, graph_id, lock=lock)
    if row.finished_at is not None:
        raise GraphOverError(f"The graph is {row.state}.")
    return row


async def _count(tx: ReadTx, graph_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    if not graph_ids:
        return found
    for graph_id, state, count in await tx.execute(
        sa.select(JobRow.graph_id, JobRow.state, sa.func.count())
        .with_hint(JobRow, BY_GRAPH, "sqlite")
        .where(JobRow.tenant_id == tx.tenant_id, JobRow.graph_id.in_(graph_ids))
        .group_by(JobRow.graph_id, JobRow.state)
    ):
        found.setdefault(graph_id, {})[state] = int(count)
    return found


def _view(row: GraphRow, by_state: Mapping[str, int]) -> Graph:
    return Graph(
        id=row.id,
        name=row.name,
        state=row.state,  # type: ignore[arg-type]
        paused=row.paused,
        total=row.total,
        by_state=by_state,
        created_at=row.created_at,
        created_by=row.actor,
        finished_at=row.finished_at,
    )


async def sweep_graphs(tx: Tx, before: datetime) -> int:
    """Forget some graphs that ended before then, or jobs of theirs; needs the errand."""
    found = (
        await tx.execute(
            sa.select(GraphRow.tenant_id, GraphRow.id)
            .where(GraphRow.finished_at < before)
            .order_by(GraphRow.finished_at, GraphRow.id)
            .limit(_SWEPT)
        )
    ).all()
    if not found:
        return 0
    tenant_id = found[0].tenant_id
    graph_ids = [one.id for one in found if one.tenant_id == tenant_id]
    async with tx.within(tenant_id) as part:
        job_ids = await part.scalars(
            sa.select(JobRow.id)
            .with_hint(JobRow, BY_GRAPH, "sqlite")
            .where(JobRow.tenant_id == tenant_id, JobRow.graph_id.in_(graph_ids))
            .limit(_SWEPT_JOBS)
        )
        for some in bites(job_ids, _SWEPT):
            await _delete(part, EdgeRow, EdgeRow.child_id.in_(some))
            await _delete(part, JobRow, JobRow.id.in_(some))
        if len(job_ids) < _SWEPT_JOBS:
            # Last what says that there is something to forget.
            await _delete(part, GraphRow, GraphRow.id.in_(graph_ids))
    return len(job_ids) + len(graph_ids)


async def _delete(tx: Tx, model: type[EdgeRow | JobRow | GraphRow], which: Any) -> None:
    await tx.execute(
        sa.delete(model)
        .where(model.tenant_id == tx.tenant_id, which)
        .execution_options(synchronize_session=False)
    )
