"""What is kept: spans wait until their part of a trace has come, are decided on, and written.

What waits is in memory: a process that is killed loses up to half a minute of spans, and nothing
else. What is counted (spans by operation, what was kept, dropped, rejected) is counted of all.
"""

import asyncio
import logging
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.clock import monotonic
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, DatabaseUnavailableError, ReadTx, Tx
from backend.core.ids import uuid7, uuid7_at
from backend.core.json_rows import BulkInsert
from backend.core.loose_scan import read_least
from backend.kit.histogram import bucket_of, empty
from backend.managers.tracing._sampling import Sampler
from backend.managers.tracing._spans import (
    ERROR,
    EXECUTION_ID,
    REQUEST_ID,
    WORKFLOW_ID,
    Span,
    local_roots,
)
from backend.managers.tracing.errands import TRACES
from backend.managers.tracing.models import (
    CountRow,
    OperationRow,
    SpanRow,
    TraceRow,
    TraceSettingsRow,
)
from backend.managers.tracing.settings import TracingSettings

logger = logging.getLogger(__name__)

STEP_SECONDS: Final = 60
"""How long a window of the counts by operation is."""
OTHER: Final = "(other)"
_MAX_OPERATIONS: Final = 300
_AT_ONCE: Final = 1000
_MOST_AT_ONCE: Final = 2000
_MAX_GONE: Final = 100
_SWEPT: Final = 200
_TENANTS_A_SWEEP: Final = 20
_KEEP_COUNTS: Final = timedelta(days=90)
_ACTOR: Final = "system:tracing"
_LEARNED_SECONDS: Final = 60.0
_CHANGED_AT_ONCE: Final = 500
_INSERT_TRACES: Final = BulkInsert(
    TraceRow,
    (
        "id",
        "trace_id",
        "service",
        "name",
        "started_ns",
        "duration_ns",
        "spans",
        "errors",
        "size_bytes",
        "kept_for",
        "workflow_id",
        "execution_id",
        "request_id",
        "created_at",
    ),
    known=("tenant_id", "trace_id"),
)
_INSERT: Final = BulkInsert(
    SpanRow,
    (
        "trace",
        "span_id",
        "parent_id",
        "service",
        "name",
        "kind",
        "started_ns",
        "duration_ns",
        "status",
        "message",
        "request_id",
        "attributes",
        "resource",
        "events",
        "links",
        "size_bytes",
    ),
    known=("tenant_id", "trace", "span_id"),
)


@dataclass(slots=True)
class Part:
    """What a process has of a trace."""

    trace_id: str
    spans: list[Span]
    size_bytes: int
    first: float
    last: float
    reason: str | None = None


@dataclass(slots=True)
class Counts:
    """What became of spans; columns of the table have the same names."""

    kept: int = 0
    kept_bytes: int = 0
    kept_by_log: int = 0
    dropped_by_policy: int = 0
    dropped_by_overflow: int = 0
    rejected: int = 0
    forwarded: int = 0
    not_forwarded: int = 0


_KEPT: Final = ("kept", "kept_bytes", "kept_by_log")
_REST: Final = tuple(one.name for one in fields(Counts) if one.name not in _KEPT)

FindWarned = Callable[[ReadTx, Collection[str]], Awaitable[Collection[str]]]
"""Says which of a tenant's traces a line of a log warns of."""


@dataclass(slots=True)
class _Operation:
    spans: int = 0
    errors: int = 0
    seconds_sum: float = 0.0
    buckets: list[int] = field(default_factory=empty)


_Window = dict[tuple[str, str], _Operation]
"""Those of a tenant's minute, by service and name."""

OwnPart = tuple[str, list[Span], bool]
"""A tenant, spans of one trace with the root first, and whether its caller asked to keep them."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for a tenant's traces."""

    share: float
    keep_days: int
    keep_sampled: bool = True


class SpanStore:
    """Spans on their way into the database of one process, and out of it when they are old."""

    def __init__(self, settings: TracingSettings, *, slow_seconds: float) -> None:
        self._settings = settings
        self._sampler = Sampler(slow_seconds=slow_seconds)
        self._default = Policy(settings.share, settings.keep_days)
        self._policies: dict[str, Policy] = {}
        self._learned_at = -math.inf
        self._changed: set[str] = set()
        # Whoever flushes at the end waits for the tick that is at it.
        self._turn = asyncio.Lock()
        self._waiting: dict[str, dict[str, Part]] = {}
        self._decided: dict[str, list[Part]] = {}
        self._held_bytes: Counter[str] = Counter()
        self._all_held_bytes = 0
        self._operations: dict[tuple[str, int], _Window] = {}
        self._counts: dict[tuple[str, str], Counts] = {}
        self._gone: deque[str] = deque(maxlen=_MAX_GONE)
        self.totals = Counts()
        self._find_warned: FindWarned | None = None

    def connect(self, find_warned: FindWarned) -> None:
        """Keep a trace of which a log warns, whatever else speaks for it."""
        self._find_warned = find_warned

    # --- coming in ------------------------------------------------------------------------------

    def is_full(self, tenant_id: str) -> bool:
        """Whether no more of the tenant's spans can wait in this process.

        Nobody holds more than is left for all: one that floods gets half of the room, two get a
        third each, and so there is always some for the next (Choudhury, Hahne: "Dynamic queue
        length thresholds for shared-memory packet switches", 1998).
        """
        left = self._settings.all_waiting_bytes - self._all_held_bytes
        return self._held_bytes[tenant_id] >= min(self._settings.waiting_bytes, left)

    def _hold(self, tenant_id: str, size_bytes: int) -> None:
        """Count what is held of a tenant's spans; less than nothing: what is held no more."""
        self._held_bytes[tenant_id] += size_bytes
        self._all_held_bytes += size_bytes
        if not self._held_bytes[tenant_id]:
            del self._held_bytes[tenant_id]

    def count(self, database_now: datetime, tenant_id: str, **amounts: int) -> None:
        """Count what became of spans, on their tenant's day and for the process."""
        if tenant_id in self._gone:
            return
        day = self._counts.setdefault((tenant_id, database_now.date().isoformat()), Counts())
        for name, amount in amounts.items():
            for counts in (day, self.totals):
                setattr(counts, name, getattr(counts, name) + amount)

    def add(self, now: datetime, tenant_id: str, spans: Iterable[Span]) -> int:
        """Let spans wait for the rest of their trace; returns how many found no room."""
        if tenant_id in self._gone:
            return 0
        refused = 0
        at = monotonic()
        waiting = self._waiting.setdefault(tenant_id, {})
        window = self._window(tenant_id, now)
        for span in spans:
            _count_operation(window, span)
            part = waiting.get(span.trace_id)
            if part is None:
                part = waiting[span.trace_id] = Part(span.trace_id, [], 0, at, at)
            if (
                len(part.spans) >= self._settings.trace_spans
                or part.size_bytes + span.size_bytes > self._settings.trace_bytes
                or self.is_full(tenant_id)
            ):
                refused += 1
                continue
            part.spans.append(span)
            part.size_bytes += span.size_bytes
            part.last = at
            self._hold(tenant_id, span.size_bytes)
        if refused:
            self.count(now, tenant_id, dropped_by_overflow=refused)
        return refused

    def add_own(self, now: datetime, parts: Iterable[OwnPart]) -> None:
        """Decide on our own parts at once: each is all that this process has of its trace.

        Its root, the first of the spans, may be what another service called: a part that is worth
        nothing by itself then waits for whether that service's is kept.
        """
        at = monotonic()
        dropped, overflow = Counter[str](), Counter[str]()
        windows: dict[str, _Window] = {}
        for tenant_id, spans, sampled in parts:
            if tenant_id in self._gone:
                continue
            window = windows.get(tenant_id)
            if window is None:
                window = windows[tenant_id] = self._window(tenant_id, now)
            for span in spans:
                _count_operation(window, span)
            policy = self.policy_of(tenant_id)
            reason = self._sampler.reason_for(
                tenant_id, spans, share=policy.share, forced=sampled and policy.keep_sampled
            )
            if reason is None and not spans[0].parent_id:
                dropped[tenant_id] += len(spans)
            elif self.is_full(tenant_id):
                overflow[tenant_id] += len(spans)
            else:
                self._hold_own(tenant_id, Part(spans[0].trace_id, spans, 0, at, at, reason))
        for tenant_id, count in dropped.items():
            self.count(now, tenant_id, dropped_by_policy=count)
        for tenant_id, count in overflow.items():
            self.count(now, tenant_id, dropped_by_overflow=count)

    def _hold_own(self, tenant_id: str, part: Part) -> None:
        part.size_bytes = sum(span.size_bytes for span in part.spans)
        self._hold(tenant_id, part.size_bytes)
        if part.reason is not None:
            self._decided.setdefault(tenant_id, []).append(part)
            return
        known = self._waiting.setdefault(tenant_id, {}).setdefault(part.trace_id, part)
        if known is not part:
            known.spans += part.spans
            known.size_bytes += part.size_bytes

    def _window(self, tenant_id: str, now: datetime) -> _Window:
        at = int(now.timestamp()) // STEP_SECONDS * STEP_SECONDS
        return self._operations.setdefault((tenant_id, at), {})

    def policy_of(self, tenant_id: str) -> Policy:
        """What holds for the tenant, as it was known at the last flush."""
        return self._policies.get(tenant_id, self._default)

    def leave(self, tenant_id: str) -> None:
        """Hold nothing of a tenant whose data goes: a row written later would outlive it."""
        self._gone.append(tenant_id)
        self._waiting.pop(tenant_id, None)
        self._decided.pop(tenant_id, None)
        self._hold(tenant_id, -self._held_bytes[tenant_id])
        for window in [one for one in self._operations if one[0] == tenant_id]:
            del self._operations[window]
        for day in [one for one in self._counts if one[0] == tenant_id]:
            del self._counts[day]

    # --- being written --------------------------------------------------------------------------

    async def flush(self, database: Database, *, everything: bool = False) -> int:
        """Decide on what has come, write what is worth it; returns how many spans were written.

        While the database is away all waits for the next call, as far as there is room.
        """
        async with self._turn:
            try:
                await self._learn(database)
                written = 0
                for tenant_id in [*self._waiting.keys() | self._decided.keys()]:
                    written += await self._flush_tenant(database, tenant_id, everything=everything)
                await self._write_figures(database, everything=everything)
            except DatabaseUnavailableError:
                logger.warning("spans_wait_for_the_database")
                return 0
        return written

    def hear(self, tenant_id: str) -> None:
        """Ask at the next flush what a tenant wants, or with no name what everybody does."""
        if tenant_id:
            self._changed.add(tenant_id)
        else:
            self._learned_at = -math.inf

    async def _learn(self, database: Database) -> None:
        """Know what each tenant wants: those that said nothing have no row.

        All of them are asked at the start and, should a signal be lost, each minute; between that
        those alone that have said something else.
        """
        at, changed = monotonic(), sorted(self._changed)[:_CHANGED_AT_ONCE]
        everything = at - self._learned_at >= _LEARNED_SECONDS
        if not (everything or changed):
            return
        query = sa.select(TraceSettingsRow)
        if not everything:
            query = query.where(TraceSettingsRow.tenant_id.in_(changed))
        async with database.read(SystemScope(TRACES)) as tx:
            rows = await tx.scalars(query)
        found = {row.tenant_id: policy(row, self._settings) for row in rows}
        if everything:
            self._policies, self._learned_at = found, at
            self._changed.clear()
        else:
            self._policies.update(found)
            self._changed.difference_update(changed)

    async def _flush_tenant(self, database: Database, tenant_id: str, *, everything: bool) -> int:
        now, at = database.clock(), monotonic()
        settle, longest = self._settings.settle_seconds, self._settings.longest_wait_seconds
        waiting = self._waiting.get(tenant_id, {})
        due = [
            part
            for part in waiting.values()
            if everything or at - part.last >= settle or at - part.first >= longest
        ]
        wanted = self.policy_of(tenant_id)
        for part in due:
            del waiting[part.trace_id]
            if part.spans and part.reason is None:
                part.reason = self._sampler.reason_for(tenant_id, part.spans, share=wanted.share)
        parts = self._decided.pop(tenant_id, []) + [part for part in due if part.spans]
        written = 0
        while parts:
            bite: list[Part] = []
            size = 0
            while parts and len(bite) < _AT_ONCE and size < _MOST_AT_ONCE:
                bite.append(parts.pop())
                size += len(bite[-1].spans)
            try:
                written += await self._write(database, now, tenant_id, bite)
            except DatabaseUnavailableError:
                # They are held still, and so is their room.
                self._decided[tenant_id] = [*self._decided.get(tenant_id, []), *bite, *parts]
                raise
            except Exception:
                # A fault of ours: these are lost, and neither the tenant's room nor others' spans.
                logger.exception("spans_lost", extra={"tenant_id": tenant_id})
                lost = sum(len(part.spans) for part in bite)
                self.count(now, tenant_id, dropped_by_overflow=lost)
            if tenant_id not in self._gone:
                self._hold(tenant_id, -sum(part.size_bytes for part in bite))
        # What is there now, and not what was: spans have come while others were written.
        if not self._waiting.get(tenant_id):
            self._waiting.pop(tenant_id, None)
        return written

    async def _write(
        self, database: Database, now: datetime, tenant_id: str, parts: Sequence[Part]
    ) -> int:
        """Write the parts that are worth it, or that belong to a trace that is there already."""
        ids = sorted({part.trace_id for part in parts})
        scope = Scope(_ACTOR, tenant_id)
        async with database.read(scope) as view:
            known = set(
                await view.scalars(sa.select(TraceRow.trace_id).where(TraceRow.trace_id.in_(ids)))
            )
            today = await view.scalar(
                sa.select(CountRow).where(CountRow.day == now.date().isoformat())
            )
            kept_anyway = known | {part.trace_id for part in parts if part.reason}
            by_log = await self._ask_logs(view, set(ids) - kept_anyway)
        for part in parts:
            if part.trace_id in by_log:
                part.reason = "log"
        kept_anyway |= by_log
        wanted: dict[str, list[Part]] = {}
        dropped = overflow = 0
        spans_left = self._settings.day_spans - (today.kept if today else 0)
        bytes_left = self._settings.day_bytes - (today.kept_bytes if today else 0)
        for part in parts:
            if part.trace_id not in kept_anyway:
                dropped += len(part.spans)
            elif len(part.spans) > spans_left or part.size_bytes > bytes_left:
                overflow += len(part.spans)
            else:
                spans_left -= len(part.spans)
                bytes_left -= part.size_bytes
                wanted.setdefault(part.trace_id, []).append(part)
        amounts = Counts(dropped_by_policy=dropped)
        if wanted:
            async with database.transaction(scope) as tx:
                kept = await self._insert(tx, wanted)
                amounts.kept = len(kept)
                amounts.kept_bytes = sum(span.size_bytes for span in kept)
                amounts.kept_by_log = sum(span.trace_id in by_log for span in kept)
                overflow += sum(len(p.spans) for each in wanted.values() for p in each) - len(kept)
                await tx.add_up(
                    CountRow,
                    {
                        "tenant_id": tenant_id,
                        "day": now.date().isoformat(),
                        **asdict(amounts),
                        **dict.fromkeys(_REST, 0),
                    },
                    amounts=_KEPT,
                )
            # In the database already: of the process's sum only.
            for name in _KEPT:
                setattr(self.totals, name, getattr(self.totals, name) + getattr(amounts, name))
        if dropped or overflow:
            self.count(now, tenant_id, dropped_by_policy=dropped, dropped_by_overflow=overflow)
        return amounts.kept

    async def _ask_logs(self, view: ReadTx, undecided: Collection[str]) -> set[str]:
        """Which of the traces that nothing else speaks for a log warns of.

        Asked when they are decided on: a line may have come before the first span, or by another
        process.
        """
        if self._find_warned is None or not undecided:
            return set()
        return set(await self._find_warned(view, undecided))

    async def _insert(self, tx: Tx, wanted: Mapping[str, Sequence[Part]]) -> Sequence[Span]:
        """Write the spans that their traces have room for, and make the traces' rows right.

        Most traces are new, and whole: what their row says is known before it is written.
        """
        fitting = {
            trace_id: self._fitting(0, 0, [span for part in parts for span in part.spans])
            for trace_id, parts in sorted(wanted.items())
        }
        new = {
            trace_id: _trace_row(tx, wanted[trace_id], spans)
            for trace_id, spans in fitting.items()
            if spans
        }
        # In one order, so that two processes with parts of the same traces wait, and do not block.
        tx.append(_INSERT_TRACES, new.values())
        found = await tx.execute(
            sa.select(TraceRow.trace_id, TraceRow.id).where(TraceRow.trace_id.in_(list(new)))
        )
        there = {trace_id: row_id for trace_id, row_id in found if row_id != new[trace_id]["id"]}
        written = await self._join(tx, {trace_id: wanted[trace_id] for trace_id in there})
        for trace_id, row in new.items():
            if trace_id not in there:
                tx.append(_INSERT, [_span_row(tx, row["id"], span) for span in fitting[trace_id]])
                written += fitting[trace_id]
        return written

    async def _join(self, tx: Tx, wanted: Mapping[str, Sequence[Part]]) -> list[Span]:
        """Write spans of traces that are there already, and bring their rows up to date."""
        if not wanted:
            return []
        rows = await tx.scalars(
            sa.select(TraceRow)
            .where(TraceRow.trace_id.in_(sorted(wanted)))
            .order_by(TraceRow.trace_id)
            .with_for_update()
        )
        written: list[Span] = []
        for row in rows:
            spans = [span for part in wanted[row.trace_id] for span in part.spans]
            fitting = self._fitting(row.spans, row.size_bytes, spans)
            tx.append(_INSERT, [_span_row(tx, row.id, span) for span in fitting])
            written += fitting
        totals = await tx.execute(
            sa.select(
                SpanRow.trace,
                sa.func.count(),
                sa.func.sum(sa.case((SpanRow.status == ERROR, 1), else_=0)),
                sa.func.sum(SpanRow.size_bytes),
                sa.func.min(SpanRow.started_ns),
                sa.func.max(SpanRow.started_ns + SpanRow.duration_ns),
            )
            .where(SpanRow.trace.in_([row.id for row in rows]))
            .group_by(SpanRow.trace)
        )
        sums = {trace: rest for trace, *rest in totals.all()}
        for row in rows:
            row.spans, row.errors, row.size_bytes, row.started_ns, end = map(int, sums[row.id])
            row.duration_ns = end - row.started_ns
            spans = [span for part in wanted[row.trace_id] for span in part.spans]
            whole = [span for span in spans if not span.parent_id]
            if whole:
                row.service, row.name = whole[0].service, whole[0].name
            row.workflow_id = row.workflow_id or _first(spans, WORKFLOW_ID)
            row.execution_id = row.execution_id or _first(spans, EXECUTION_ID)
            row.request_id = row.request_id or _first(spans, REQUEST_ID)
        return written

    def _fitting(self, count: int, size: int, spans: Iterable[Span]) -> list[Span]:
        """Those that a trace of so many spans and bytes still has room for.

        Who looks at it reads all of it at once.
        """
        fitting = []
        for span in spans:
            if (
                count < self._settings.trace_spans
                and size + span.size_bytes <= self._settings.trace_bytes
            ):
                fitting.append(span)
                count += 1
                size += span.size_bytes
        return fitting

    async def _write_figures(self, database: Database, *, everything: bool) -> None:
        """Write the windows that have ended, and what became of the other spans."""
        now = database.clock()
        current = int(now.timestamp()) // STEP_SECONDS * STEP_SECONDS
        windows = [key for key in self._operations if everything or key[1] < current]
        counts = [key for key in self._counts if everything or windows]
        if not windows and not counts:
            return
        rows = [
            {
                "tenant_id": tenant_id,
                "window_at": datetime.fromtimestamp(at, UTC),
                "id": uuid7(),
                "service": service,
                "name": name,
                "spans": one.spans,
                "errors": one.errors,
                "seconds_sum": one.seconds_sum,
                "buckets": one.buckets,
            }
            for tenant_id, at in windows
            for (service, name), one in self._operations[tenant_id, at].items()
        ]
        async with database.transaction(SystemScope(TRACES)) as tx:
            await tx.insert(OperationRow, rows)
            for tenant_id, day in sorted(counts):
                one = self._counts[tenant_id, day]
                await tx.add_up(
                    CountRow,
                    {"tenant_id": tenant_id, "day": day, **asdict(one)},
                    amounts=_REST,
                )
        for window in windows:
            del self._operations[window]
        for key in counts:
            del self._counts[key]

    # --- being forgotten ------------------------------------------------------------------------

    async def sweep(self, tx: Tx) -> int:
        """Forget up to two hundred traces of some tenants, and counts; returns how many rows."""
        rows = await tx.scalars(sa.select(TraceSettingsRow))
        asked = {row.tenant_id: policy(row, self._settings).keep_days for row in rows}
        gone = tenants = 0
        for tenant_id, oldest in await read_least(tx, TraceRow, TraceRow.id):
            days = asked.get(tenant_id, self._settings.keep_days)
            before = uuid7_at(tx.now() - timedelta(days=days))
            if oldest >= before:
                continue
            gone += await _forget(tx, tenant_id, before)
            tenants += 1
            if tenants == _TENANTS_A_SWEEP:
                break
        ended = tx.now() - timedelta(days=self._settings.keep_days)
        day = (tx.now() - _KEEP_COUNTS).date().isoformat()
        figures: tuple[tuple[Any, Any, Any], ...] = (
            (OperationRow, OperationRow.window_at, ended),
            (CountRow, CountRow.day, day),
        )
        for model, column, first in figures:
            old = [one for one, oldest in await read_least(tx, model, column) if oldest < first]
            for tenant_id in old[:_TENANTS_A_SWEEP]:
                gone += await tx.delete_some(
                    model, model.tenant_id == tenant_id, column < first, limit=_SWEPT * 10
                )
        return gone


def _count_operation(window: _Window, span: Span) -> None:
    found = window.get((span.service, span.name))
    if found is None:
        key = (span.service, span.name) if len(window) < _MAX_OPERATIONS else (OTHER, OTHER)
        found = window.setdefault(key, _Operation())
    seconds = span.duration_ns / 1e9
    found.spans += 1
    found.errors += span.status == ERROR
    found.seconds_sum += seconds
    found.buckets[bucket_of(seconds)] += 1


def policy(row: TraceSettingsRow, settings: TracingSettings) -> Policy:
    """What a tenant's row comes to."""
    return Policy(
        settings.share if row.share is None else row.share,
        min(row.keep_days or settings.keep_days, settings.max_keep_days),
        row.keep_sampled,
    )


def _first(spans: Iterable[Span], name: str) -> str:
    return next((said for span in spans if (said := span.said(name))), "")


def _trace_row(tx: Tx, parts: Sequence[Part], fitting: Sequence[Span]) -> dict[str, Any]:
    # One that came twice is written once.
    spans = list({span.span_id: span for span in reversed(fitting)}.values())[::-1]
    root = spans[0] if len(spans) == 1 else _root_of(spans)
    return {
        "tenant_id": tx.tenant_id,
        "id": uuid7(),
        "trace_id": root.trace_id,
        "service": root.service,
        "name": root.name,
        "started_ns": (started_ns := min(span.started_ns for span in spans)),
        "duration_ns": max(span.started_ns + span.duration_ns for span in spans) - started_ns,
        "spans": len(spans),
        "errors": sum(span.status == ERROR for span in spans),
        "size_bytes": sum(span.size_bytes for span in spans),
        "kept_for": next((part.reason for part in parts if part.reason), "joined"),
        "workflow_id": _first(spans, WORKFLOW_ID),
        "execution_id": _first(spans, EXECUTION_ID),
        "request_id": _first(spans, REQUEST_ID),
        "created_at": tx.now(),
    }


def _root_of(spans: Sequence[Span]) -> Span:
    return min(
        local_roots(spans) or spans, key=lambda span: (bool(span.parent_id), span.started_ns)
    )


def _span_row(tx: Tx, trace: str, span: Span) -> dict[str, Any]:
    return {
        "tenant_id": tx.tenant_id,
        "trace": trace,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "service": span.service,
        "name": span.name,
        "kind": span.kind,
        "started_ns": span.started_ns,
        "duration_ns": span.duration_ns,
        "status": span.status,
        "message": span.message,
        "request_id": span.said(REQUEST_ID),
        "attributes": dict(span.attributes),
        "resource": dict(span.resource),
        "events": list(span.events),
        "links": list(span.links),
        "size_bytes": span.size_bytes,
    }


async def _forget(tx: Tx, tenant_id: str, before: str) -> int:
    ids = await tx.scalars(
        sa.select(TraceRow.id)
        .where(TraceRow.tenant_id == tenant_id, TraceRow.id < before)
        .order_by(TraceRow.id)
        .limit(_SWEPT)
    )
    if not ids:
        # Another worker's sweep was faster.
        return 0
    for row, key in ((SpanRow, SpanRow.trace), (TraceRow, TraceRow.id)):
        await tx.execute(
            sa.delete(row)
            # They lie side by side: a range is found at once.
            .where(row.tenant_id == tenant_id, key.between(min(ids), max(ids)), key.in_(ids))
            .execution_options(synchronize_session=False)
        )
    return len(ids)
