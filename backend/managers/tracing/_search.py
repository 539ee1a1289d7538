"""Looking at what is kept: lists of traces, one as a tree, two beside each other, operations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.core.ids import uuid7_at
from backend.core.paging import Made, Side, hidden, in_calendar, newest_of
from backend.kit.histogram import empty, quantile_ms
from backend.managers.tracing.errors import AttributeInvalidError, TraceNotFoundError
from backend.managers.tracing.models import OperationRow, SpanRow, TraceRow

_DAY: Final = timedelta(days=1)
_LOOKED_AT: Final = 50_000
_MAX_SPANS: Final = 20_000


@dataclass(frozen=True, slots=True)
class WantedTraces:
    """What a trace has to be to be found; all that is given has to hold.

    Attributes:
        service: That has a span in it.
        operation: The name of a span in it.
        workflow_id: n8n's, of a span in it.
        execution_id: Likewise; such ids count from 1 in each n8n.
        request_id: Of one of our requests in it, as in the header ``X-Request-Id``.
        attribute: ``name=value`` of a span in it. Looked for among the traces of a day, or of the
            range that is given, and among fifty thousand spans of those at most.
        min_ms: How long it took at least, from its first span's begin to its last one's end.
        failed: Whether a span in it failed; None: either.
        after: First kept then, or later.
        before: First kept earlier.
    """

    service: str | None = None
    operation: str | None = None
    workflow_id: str | None = None
    execution_id: str | None = None
    request_id: str | None = None
    attribute: str | None = None
    min_ms: float | None = None
    failed: bool | None = None
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class SpanNode:
    """A span and its place in the tree; times in nanoseconds.

    ``depth`` counts from 0; ``offset_ns`` from the trace's begin; ``self_ns`` is what no child
    took; ``orphan`` says that its parent is not there.
    """

    span_id: str
    parent_id: str
    depth: int
    orphan: bool
    service: str
    name: str
    kind: int
    status: int
    message: str
    offset_ns: int
    duration_ns: int
    self_ns: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    links: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole trace: its spans depth first, children in the order of their begin."""

    trace: TraceRow
    spans: Sequence[SpanNode]


@dataclass(frozen=True, slots=True)
class Difference:
    """An operation in two traces: how often, and how long all of it took by itself."""

    service: str
    name: str
    count: int
    other_count: int
    self_ns: int
    other_self_ns: int


@dataclass(slots=True)
class Operation:
    """What came of an operation: of all its spans, whether they were kept or not."""

    service: str
    name: str
    spans: int = 0
    errors: int = 0
    seconds_sum: float = 0.0
    minutes: int = 1
    buckets: list[int] = field(default_factory=empty)

    @property
    def per_minute(self) -> float:
        """The rate."""
        return self.spans / self.minutes

    @property
    def error_rate(self) -> float:
        """From 0 to 1."""
        return self.errors / self.spans if self.spans else 0.0

    def add(self, other: "Operation | OperationRow | sa.Row[Any]") -> None:
        """Add what was counted elsewhere."""
        self.spans += other.spans
        self.errors += other.errors
        self.seconds_sum += other.seconds_sum
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]

    def quantile_ms(self, quantile: float) -> float | None:
        """So many of one took that many milliseconds at most; None: there was none."""
        return quantile_ms(self.buckets, quantile)

    @property
    def p50_ms(self) -> float | None:
        """The median."""
        return self.quantile_ms(0.5)

    @property
    def p95_ms(self) -> float | None:
        """Nineteen of twenty were faster."""
        return self.quantile_ms(0.95)

    @property
    def p99_ms(self) -> float | None:
        """All but one of a hundred were faster."""
        return self.quantile_ms(0.99)


class TraceSearch:
    """Reads one tenant's traces."""

    async def list(
        self, tx: ReadTx, wanted: WantedTraces, *, limit: int, before_id: str | None = None
    ) -> Sequence[TraceRow]:
        """Newest first, one more than ``limit``.

        Raises:
            AttributeInvalidError: Not written as ``name=value``.
        """
        sides = []
        for column, value in (
            (TraceRow.workflow_id, wanted.workflow_id),
            (TraceRow.execution_id, wanted.execution_id),
        ):
            if value is not None:
                own = sa.and_(TraceRow.tenant_id == tx.tenant_id, column == value)
                sides.append(Side(TraceRow.id, own, hidden(column) == value, column, in_order=True))
        for column, value in (
            (SpanRow.service, wanted.service),
            (SpanRow.name, wanted.operation),
            (SpanRow.request_id, wanted.request_id),
        ):
            if value is not None:
                own = sa.and_(SpanRow.tenant_id == tx.tenant_id, column == value)
                has = TraceRow.id.in_(sa.select(SpanRow.trace).where(own))
                sides.append(Side(SpanRow.trace, own, has, column, in_order=True))
        query = sa.select(TraceRow)
        if wanted.min_ms is not None:
            query = query.where(TraceRow.duration_ns >= int(wanted.min_ms * 1e6))
        if wanted.failed is not None:
            query = query.where(TraceRow.errors > 0 if wanted.failed else TraceRow.errors == 0)
        made = None
        if wanted.attribute is not None:
            query = query.where(TraceRow.id.in_(_with_attribute(tx, wanted)))
        if wanted.after is not None or wanted.before is not None:
            made = Made(TraceRow.created_at, wanted.after, wanted.before)
        rows: Sequence[TraceRow] = await tx.scalars(
            await newest_of(tx, query, TraceRow.id, sides, limit, before_id, made)
        )
        return rows

    async def get(self, tx: ReadTx, trace_id: str) -> Tree:
        """One trace as a tree.

        Raises:
            TraceNotFoundError: None of this id was kept.
        """
        trace = await tx.scalar(sa.select(TraceRow).where(TraceRow.trace_id == trace_id))
        if trace is None:
            raise TraceNotFoundError
        spans = await tx.scalars(
            sa.select(SpanRow)
            .where(SpanRow.trace == trace.id)
            .order_by(SpanRow.trace, SpanRow.span_id)
            .limit(_MAX_SPANS)
        )
        return Tree(trace, as_tree(trace.started_ns, spans))

    async def compare(
        self, tx: ReadTx, trace_id: str, other_id: str
    ) -> tuple[Tree, Tree, Sequence[Difference]]:
        """Two traces, and their operations beside each other: what differs most comes first.

        Raises:
            TraceNotFoundError: One of them was not kept.
        """
        one, other = await self.get(tx, trace_id), await self.get(tx, other_id)
        return one, other, differences(one.spans, other.spans)

    async def list_operations(
        self,
        tx: ReadTx,
        *,
        minutes: int,
        service: str | None = None,
        operation: str | None = None,
    ) -> Sequence[Operation]:
        """Rate, errors and duration by operation over the last ``minutes``; busiest first."""
        query = sa.select(OperationRow).where(
            OperationRow.tenant_id == tx.tenant_id,
            OperationRow.window_at >= tx.now() - timedelta(minutes=minutes),
        )
        if service is not None:
            query = query.where(OperationRow.service == service)
        if operation is not None:
            query = query.where(OperationRow.name == operation)
        found: dict[tuple[str, str], Operation] = {}
        for row in await tx.scalars(query):
            one = found.setdefault(
                (row.service, row.name), Operation(row.service, row.name, minutes=minutes)
            )
            one.add(row)
        return sorted(found.values(), key=lambda one: (-one.spans, one.service, one.name))

    async def sum_up(self, tx: ReadTx, service: str, since: datetime, until: datetime) -> Operation:
        """What came of a service's operations together; hour by hour, as a day's are many rows."""
        whole = Operation(service, "", minutes=int((until - since).total_seconds() // 60))
        while since < until:
            after = min(since + timedelta(hours=1), until)
            rows = await tx.execute(
                sa.select(
                    OperationRow.spans,
                    OperationRow.errors,
                    OperationRow.seconds_sum,
                    OperationRow.buckets,
                ).where(
                    OperationRow.tenant_id == tx.tenant_id,
                    OperationRow.window_at >= since,
                    OperationRow.window_at < after,
                    OperationRow.service == service,
                )
            )
            for row in rows:
                whole.add(row)
            since = after
        return whole


def add_up(operations: Iterable[Operation], service: str, minutes: int) -> Operation:
    """What came of several operations of a service together, over the same minutes."""
    whole = Operation(service, "", minutes=minutes)
    for one in operations:
        whole.add(one)
    return whole


def as_tree(started_ns: int, spans: Iterable[SpanRow]) -> list[SpanNode]:
    """Spans depth first. What lacks its parent is a root, and so is what a ring is entered by."""
    rows = sorted(spans, key=lambda row: (row.started_ns, row.span_id))
    by_id = {row.span_id: row for row in rows}
    children: dict[str, list[SpanRow]] = {}
    for row in rows:
        children.setdefault(row.parent_id if row.parent_id in by_id else "", []).append(row)
    placed: list[SpanNode] = []
    seen: set[str] = set()

    def walk(root: SpanRow) -> None:
        waiting = [(root, 0)]
        while waiting:
            row, depth = waiting.pop()
            if row.span_id in seen:
                continue
            seen.add(row.span_id)
            below = children.get(row.span_id, [])
            placed.append(_node(row, depth, started_ns, below, orphan=row.parent_id not in by_id))
            waiting += [(child, depth + 1) for child in reversed(below)]

    for row in (*children.get("", ()), *rows):
        walk(row)
    return placed


def _node(
    row: SpanRow, depth: int, started_ns: int, below: Sequence[SpanRow], *, orphan: bool
) -> SpanNode:
    end = row.started_ns + row.duration_ns
    busy, until = 0, row.started_ns
    for child in below:  # in the order of their begin
        begin = max(child.started_ns, until)
        child_end = min(child.started_ns + child.duration_ns, end)
        if child_end > begin:
            busy += child_end - begin
            until = child_end
    return SpanNode(
        span_id=row.span_id,
        parent_id=row.parent_id,
        depth=depth,
        orphan=orphan and bool(row.parent_id),
        service=row.service,
        name=row.name,
        kind=row.kind,
        status=row.status,
        message=row.message,
        offset_ns=row.started_ns - started_ns,
        duration_ns=row.duration_ns,
        self_ns=row.duration_ns - busy,
        attributes=row.attributes,
        resource=row.resource,
        events=row.events,
        links=row.links,
    )


def differences(one: Sequence[SpanNode], other: Sequence[SpanNode]) -> list[Difference]:
    """The operations of two traces, those first of which the time differs most."""
    sums: dict[tuple[str, str], list[int]] = {}
    for at, spans in enumerate((one, other)):
        for span in spans:
            found = sums.setdefault((span.service, span.name), [0, 0, 0, 0])
            found[at] += 1
            found[2 + at] += span.self_ns
    rows = [Difference(*key, *values) for key, values in sums.items()]
    return sorted(
        rows, key=lambda row: (-abs(row.self_ns - row.other_self_ns), row.service, row.name)
    )


def _with_attribute(tx: ReadTx, wanted: WantedTraces) -> Any:
    """Traces of the stretch with a span that says so: no index knows what attributes there are."""
    name, mark, value = (wanted.attribute or "").partition("=")
    if not (name and mark) or '"' in name:
        raise AttributeInvalidError("Write it as name=value")
    before = in_calendar(wanted.before or tx.now() + _DAY)
    after = wanted.after or min(before, tx.now()) - _DAY
    near = (
        sa.select(SpanRow.trace, SpanRow.attributes)
        .where(
            SpanRow.tenant_id == tx.tenant_id,
            SpanRow.trace >= uuid7_at(after),
            SpanRow.trace < uuid7_at(before),
        )
        .order_by(SpanRow.trace.desc())
        .limit(_LOOKED_AT)
        .subquery()
    )
    if tx.dialect == "postgresql":
        says = sa.func.jsonb_extract_path_text(near.c.attributes, name) == value
    else:
        path = f'$."{name}"'
        said = sa.cast(sa.func.json_extract(near.c.attributes, path), sa.Text)
        says = said == value
        if value in {"true", "false"}:
            says = sa.func.json_type(near.c.attributes, path) == value
    return sa.select(near.c.trace).where(says)
