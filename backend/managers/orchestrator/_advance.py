"""Graphs go on: what waits for a job that ended starts, or is skipped, in the same transaction.

A blocked job knows for how many it waits. Whoever ends some of these counts them down, on rows that
are locked in one order, so of several that end at once exactly one finds that it was the last. Then
what became of all of them says whether it starts: what they were is read when nobody can change it
any more. One that is skipped has ended as well, and so it goes down the graph.

Everything here is done in the scope of the tenant whose graph it is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx, db_now
from backend.core.ids import uuid7
from backend.managers.orchestrator._drafts import MAX_TASKS
from backend.managers.orchestrator._rows import claim_of, insert_jobs
from backend.managers.orchestrator._wiring import (
    WiringError,
    elements,
    holds,
    read_wiring,
    resolve,
)
from backend.managers.orchestrator.kinds import Claim, storable, tell
from backend.managers.orchestrator.models import EdgeRow, GraphRow, JobRow

BY_ID: Final = "INDEXED BY sqlite_autoindex_jobs_1"
BY_GRAPH: Final = "INDEXED BY ix_jobs_graph"
"""SQLite takes an index that has all columns for one that has the rows, before it has counted."""

_COUNTED: Final[Mapping[str, str]] = {
    "succeeded": "succeeded",
    "dead": "failed",
    "cancelled": "cancelled",
    "skipped": "skipped",
}
"""Under which of a graph's counts a job's end stands."""
_FAILED: Final = ("dead", "cancelled")
_AT_ONCE: Final = 1000
SKIPPED_BY: Final = "A job that it waits for did not end as it needs"
UNMET: Final = "Its condition does not hold"


@dataclass(frozen=True, slots=True)
class Ended:
    """A job of a graph that has ended, and how."""

    graph_id: str
    job_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Free:
    """A blocked job that waits for nobody any more."""

    job_id: str
    graph_id: str
    runs_on: str
    wiring: Mapping[str, Any] | None = None

    @property
    def is_unfolded(self) -> bool:
        """Whether it stands for jobs that are there, and ends with them."""
        return self.wiring is not None and self.wiring.get("unfolded") is not None


@dataclass(frozen=True, slots=True)
class Growth:
    """What a job that ended has added to its graph.

    Attributes:
        tenant_id: Whose they are.
        graph_id: What they were added to.
        added: How many.
        free: Those that wait for nobody.
        ended: All of them, where they are not to run.
    """

    tenant_id: str
    graph_id: str
    added: int = 0
    free: Sequence[Free] = ()
    ended: Sequence[Ended] = ()


def ended_of(claims: Iterable[Claim], state: str) -> list[Ended]:
    """Those of them that are of a graph."""
    return [Ended(one.graph_id, one.id, state) for one in claims if one.graph_id is not None]


async def advance_all(
    tx: Tx, ended: Iterable[tuple[Claim, str]], growths: Iterable[Growth] = ()
) -> None:
    """Let the graphs of jobs of any tenants go on; needs the errand.

    Args:
        tx: The errand's.
        ended: Which jobs, and how each ended; those without a graph are passed over.
        growths: What these have added.
    """
    by_tenant: dict[str, list[Ended]] = {}
    for claim, state in ended:
        by_tenant.setdefault(claim.tenant_id, []).extend(ended_of([claim], state))
    grown: dict[str, list[Growth]] = {}
    for one in growths:
        by_tenant.setdefault(one.tenant_id, []).extend(one.ended)
        grown.setdefault(one.tenant_id, []).append(one)
    # In one order, or two that end jobs of the same tenants would wait for each other.
    for tenant_id, theirs in sorted(by_tenant.items()):
        if theirs:
            async with tx.within(tenant_id) as part:
                await advance(part, theirs, growths=grown.get(tenant_id, ()))


async def advance(
    tx: Tx,
    ended: Sequence[Ended] = (),
    free: Sequence[Free] = (),
    *,
    growths: Sequence[Growth] = (),
) -> None:
    """Let graphs go on after some of their jobs ended.

    Args:
        tx: In the scope of the tenant whose they are, where their states are written by now.
        ended: What ended in this transaction; nothing of it is looked at twice.
        free: What waited for nobody already, and was kept.
        growths: What those that ended have added.
    """
    counts: dict[str, Counter[str]] = {}
    for each in growths:
        counts.setdefault(each.graph_id, Counter())["total"] += each.added
    free = [*free, *(one for each in growths for one in each.free)]
    wave = [*ended, *await _decide(tx, free, counts)]
    while wave:
        for one in wave:
            counts.setdefault(one.graph_id, Counter())[_COUNTED[one.state]] += 1
        free = await _count_down(tx, [one.job_id for one in wave])
        wave = await _decide(tx, free, counts)
    await _add_up(tx, counts)


async def _count_down(tx: Tx, parents: Sequence[str]) -> list[Free]:
    """Tell those that wait for these; returns the ones that wait for nobody any more."""
    waits = Counter(await children_of(tx, parents))
    free: list[Free] = []
    # In one order, or two that end parents of the same jobs would wait for each other.
    for some in bites(sorted(waits)):
        locked = await tx.execute(
            sa.select(
                JobRow.id,
                JobRow.graph_id,
                JobRow.runs_on,
                JobRow.wiring,
                JobRow.waiting,
                JobRow.state,
            )
            .where(JobRow.tenant_id == tx.tenant_id, JobRow.id.in_(some))
            .order_by(JobRow.id)
            .with_for_update()
        )
        by_count: dict[int, list[str]] = {}
        for row in locked:
            by_count.setdefault(waits[row.id], []).append(row.id)
            if row.waiting <= waits[row.id] and row.state == "blocked":
                free.append(Free(row.id, row.graph_id, row.runs_on, row.wiring))
        for count, ids in by_count.items():
            await _change(tx, ids, waiting=JobRow.waiting - count)
    return free


async def _decide(tx: Tx, free: Sequence[Free], counts: dict[str, Counter[str]]) -> list[Ended]:
    """Start, unfold, skip or end jobs that wait for nobody any more; returns those that ended.

    Of a graph that is paused they stay blocked: they are decided when it goes on. So it is locked,
    which is in the order of all who change it: jobs first, then graphs by their ids. What becomes
    more jobs is therefore counted under ``total`` and added at the end.
    """
    if not free:
        return []
    paused = set(
        await tx.scalars(
            sa.select(GraphRow.id)
            .where(
                GraphRow.tenant_id == tx.tenant_id,
                GraphRow.id.in_(sorted({one.graph_id for one in free})),
                GraphRow.paused.is_(sa.true()),
            )
            .order_by(GraphRow.id)
            .with_for_update()
        )
    )
    free = [one for one in free if one.graph_id not in paused]
    over = await _gather(tx, [one for one in free if one.is_unfolded])
    free = [one for one in free if not one.is_unfolded]
    ends = await _ends_of_parents(tx, [one.job_id for one in free])
    ready: list[Free] = []
    skipped: list[Free] = []
    for one in free:
        (ready if _starts(one.runs_on, ends.get(one.job_id, Counter())) else skipped).append(one)
    for some in bites([one.job_id for one in ready if one.wiring is None]):
        await _change(tx, some, state="ready", due_at=db_now(JobRow.delay_seconds))
    over += await _wire(tx, [one.job_id for one in ready if one.wiring is not None], counts)
    over += await _skip(tx, skipped, SKIPPED_BY)
    if ready:
        tx.signal("jobs")
    return over


async def _skip(tx: Tx, free: Sequence[Free], why: str) -> list[Ended]:
    for some in bites([one.job_id for one in free]):
        await _change(tx, some, state="skipped", error=why, finished_at=tx.now())
    return [Ended(one.graph_id, one.job_id, "skipped") for one in free]


async def _wire(tx: Tx, job_ids: Sequence[str], counts: dict[str, Counter[str]]) -> list[Ended]:
    """Give jobs what they take from those they waited for; returns those that it ended."""
    over: list[Ended] = []
    for some in bites(job_ids):
        parents = await parents_of(tx, some)
        told = {
            row.id: row
            for row in await of_jobs(tx, parents, JobRow.key, JobRow.state, JobRow.result)
        }
        for row in await _rows(tx, some):
            before = [told[one] for one in parents.get(row.id, ())]
            results = {one.key: one.result for one in before if one.state == "succeeded"}
            over += await _wire_one(tx, row, results, counts)
    return over


async def _wire_one(
    tx: Tx, row: JobRow, results: Mapping[str, Any], counts: dict[str, Counter[str]]
) -> list[Ended]:
    free = Free(row.id, str(row.graph_id), row.runs_on)
    try:
        wiring = read_wiring(row.wiring or {})
        if not all(holds(one, results) for one in wiring.condition):
            return await _skip(tx, [free], UNMET)
        if wiring.foreach is None:
            args = resolve(row.args, results)
            soon = db_now(JobRow.delay_seconds)
            await _change(tx, [row.id], state="ready", args=args, due_at=soon)
            return []
        made = [resolve(row.args, results, one) for one in elements(wiring.foreach, results)]
        await _unfold(tx, row, made, counts)
    except WiringError as exc:
        return await _end(tx, row, "dead", storable(str(exc)))
    return [] if made else await _end(tx, row, "succeeded", None)


async def _unfold(
    tx: Tx,
    row: JobRow,
    made: Sequence[dict[str, Any]],
    counts: dict[str, Counter[str]],
) -> None:
    """Add the jobs that a task stands for; it waits for them.

    Raises:
        WiringError: The graph would have more than any may.
    """
    graph_id = str(row.graph_id)
    grown = counts.setdefault(graph_id, Counter())
    total = await tx.scalar(
        sa.select(GraphRow.total).where(GraphRow.tenant_id == tx.tenant_id, GraphRow.id == graph_id)
    )
    if int(total) + grown["total"] + len(made) > MAX_TASKS:
        raise WiringError(f"With {len(made)} more the graph would have more than {MAX_TASKS} jobs")
    grown["total"] += len(made)
    kept = {**(row.wiring or {}), "unfolded": len(made)}
    await _change(tx, [row.id], wiring=kept, waiting=len(made))
    parts = [
        {
            "id": uuid7(),
            "tenant_id": tx.tenant_id,
            "graph_id": graph_id,
            "part_of": row.id,
            "key": f"{row.key}[{at}]",
            "kind": row.kind,
            "args": args,
            "subject": row.subject,
            "state": "ready",
            "runs_on": "always",
            "priority": row.priority,
            "delay_seconds": row.delay_seconds,
            "due_in": row.delay_seconds,
            "max_attempts": row.max_attempts,
            "backoff_seconds": row.backoff_seconds,
            "timeout_seconds": row.timeout_seconds,
            "traceparent": row.traceparent,
            "actor": row.actor,
            "created_at": tx.now(),
        }
        for at, args in enumerate(made)
    ]
    if parts:
        await tx.execute(insert_jobs(), parts)
        await tx.insert(
            EdgeRow,
            [
                {"tenant_id": tx.tenant_id, "parent_id": one["id"], "child_id": row.id}
                for one in parts
            ],
        )


async def _gather(tx: Tx, free: Sequence[Free]) -> list[Ended]:
    """End those that stand for jobs which have all ended: as these did."""
    over: list[Ended] = []
    for some in bites([one.job_id for one in free]):
        ends: dict[str, Counter[str]] = {}
        for part_of, state, count in await tx.execute(
            sa.select(JobRow.part_of, JobRow.state, sa.func.count())
            .with_hint(JobRow, BY_GRAPH, "sqlite")
            .where(
                JobRow.tenant_id == tx.tenant_id,
                JobRow.graph_id.in_(sorted({one.graph_id for one in free})),
                JobRow.part_of.in_(some),
            )
            .group_by(JobRow.part_of, JobRow.state)
        ):
            ends.setdefault(part_of, Counter())[state] = int(count)
        for row in await _rows(tx, some):
            theirs = ends.get(row.id, Counter())
            failed = next((state for state in _FAILED if theirs[state]), None)
            said = None
            if failed is not None:
                count = theirs.total() - theirs["succeeded"]
                said = f"{count} of {theirs.total()} did not succeed"
            over += await _end(tx, row, failed or "succeeded", said)
    return over


async def _end(tx: Tx, row: JobRow, state: str, error: str | None) -> list[Ended]:
    await _change(tx, [row.id], state=state, error=error, finished_at=tx.now())
    if state == "dead":
        tell(tx, "job.dead", [claim_of(row)])
    return [Ended(str(row.graph_id), row.id, state)]


async def _rows(tx: Tx, job_ids: Sequence[str]) -> Sequence[JobRow]:
    return await tx.scalars(
        sa.select(JobRow)
        .with_hint(JobRow, BY_ID, "sqlite")
        .where(JobRow.tenant_id == tx.tenant_id, JobRow.id.in_(job_ids))
        .order_by(JobRow.id)
        .execution_options(populate_existing=True)
    )


async def _change(tx: Tx, job_ids: Sequence[str], **values: Any) -> None:
    await tx.execute(
        sa.update(JobRow)
        .where(JobRow.tenant_id == tx.tenant_id, JobRow.id.in_(job_ids))
        .values(values)
        .execution_options(synchronize_session=False)
    )


def bites(ids: Sequence[str], size: int = _AT_ONCE) -> Iterator[Sequence[str]]:
    """Parts of what is named one by one: no database takes any number of parameters."""
    return (ids[at : at + size] for at in range(0, len(ids), size))


def _starts(runs_on: str, ends: Mapping[str, int]) -> bool:
    """Whether a job starts after its parents ended so."""
    if runs_on == "always":
        return True
    if runs_on == "failure":
        return any(ends.get(state) for state in _FAILED)
    return not any(count for state, count in ends.items() if state != "succeeded")


async def _ends_of_parents(tx: Tx, children: Sequence[str]) -> dict[str, Counter[str]]:
    parents = await parents_of(tx, children)
    states = dict(await of_jobs(tx, parents, JobRow.state))
    return {child: Counter(states[one] for one in ids) for child, ids in parents.items()}


async def children_of(tx: ReadTx, parents: Sequence[str]) -> list[str]:
    """The ids of those that wait for these: each as often as it waits for one of them."""
    found: list[str] = []
    for some in bites(parents):
        found += await tx.scalars(
            sa.select(EdgeRow.child_id).where(
                EdgeRow.tenant_id == tx.tenant_id, EdgeRow.parent_id.in_(some)
            )
        )
    return found


async def parents_of(tx: ReadTx, children: Sequence[str]) -> dict[str, list[str]]:
    """The ids of whom each waits for; of who waits for nobody there is none."""
    found: dict[str, list[str]] = {}
    for some in bites(children):
        for child, parent in await tx.execute(
            sa.select(EdgeRow.child_id, EdgeRow.parent_id).where(
                EdgeRow.tenant_id == tx.tenant_id, EdgeRow.child_id.in_(some)
            )
        ):
            found.setdefault(child, []).append(parent)
    return found


async def of_jobs(
    tx: ReadTx, parents: Mapping[str, Sequence[str]], *columns: sa.orm.InstrumentedAttribute[Any]
) -> list[Any]:
    """Ids and some of their columns, of all of these parents."""
    ids = sorted({one for some in parents.values() for one in some})
    found: list[Any] = []
    for some in bites(ids):
        found += await tx.execute(
            sa.select(JobRow.id, *columns)
            .with_hint(JobRow, BY_ID, "sqlite")
            .where(JobRow.tenant_id == tx.tenant_id, JobRow.id.in_(some))
        )
    return found


async def _add_up(tx: Tx, counts: Mapping[str, Counter[str]]) -> None:
    """Count what ended to its graphs, and end those of which everything has."""
    for graph_id in sorted(counts):
        amounts: dict[str, Any] = {
            name: getattr(GraphRow, name) + count for name, count in counts[graph_id].items()
        }
        await tx.execute(
            sa.update(GraphRow)
            .where(GraphRow.tenant_id == tx.tenant_id, GraphRow.id == graph_id)
            .values(amounts)
            .execution_options(synchronize_session=False)
        )
        row = await tx.scalar(
            sa.select(GraphRow)
            .where(GraphRow.tenant_id == tx.tenant_id, GraphRow.id == graph_id)
            .execution_options(populate_existing=True)
        )
        if row is not None:
            end_if_over(tx, row)


def end_if_over(tx: Tx, row: GraphRow) -> None:
    """End a graph of which every job has ended: how it went is how its jobs did."""
    if row.finished_at is not None:
        return
    if row.succeeded + row.failed + row.cancelled + row.skipped < row.total:
        return
    row.state = "failed" if row.failed else "cancelled" if row.cancelled else "succeeded"
    row.finished_at = tx.now()
    tx.emit(
        f"job_graph.{row.state}",
        f"job_graph:{row.id}",
        name=row.name,
        total=row.total,
        succeeded=row.succeeded,
        failed=row.failed,
        cancelled=row.cancelled,
        skipped=row.skipped,
    )
