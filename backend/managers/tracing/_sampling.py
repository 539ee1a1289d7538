"""Tail sampling: of which traces the spans are kept, decided once a part of one has come.

By local root: what one process, or one export, has of a trace is decided on by itself, so that no
process waits for another. A part that is worth nothing by itself is kept if another one was.
"""

import bisect
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

from backend.managers.tracing._spans import ERROR, Span, local_roots

SHARE_BITS: Final = 56
_REMEMBERED: Final = 500
_ENOUGH: Final = 20
_OPERATIONS: Final = 5000
_SHAPES: Final = 20_000
_MOST_SHAPE: Final = 200


class _Durations:
    """The last five hundred of an operation, in the order of coming and of length."""

    __slots__ = ("_last", "_sorted")

    def __init__(self) -> None:
        self._last: deque[int] = deque()
        self._sorted: list[int] = []

    def is_slow(self, duration_ns: int) -> bool:
        """Whether it is longer than 95 % of those before it, which it joins."""
        ranked = self._sorted
        slow = len(ranked) >= _ENOUGH and duration_ns > ranked[int(0.95 * (len(ranked) - 1))]
        self._last.append(duration_ns)
        bisect.insort(ranked, duration_ns)
        if len(ranked) > _REMEMBERED:
            ranked.pop(bisect.bisect_left(ranked, self._last.popleft()))
        return slow


class Sampler:
    """What a process remembers to decide by; the least used of it is forgotten."""

    def __init__(self, *, slow_seconds: float) -> None:
        """``slow_seconds``: what takes longer is kept whatever else its operation does."""
        self._slow_ns = int(slow_seconds * 1e9)
        self._durations: OrderedDict[tuple[str, str, str], _Durations] = OrderedDict()
        self._shapes: OrderedDict[tuple[str, int], None] = OrderedDict()

    def reason_for(
        self, tenant_id: str, spans: Sequence[Span], *, share: float, forced: bool = False
    ) -> str | None:
        """Why this part of a trace is kept; None: it is worth nothing by itself.

        Whatever the reason, its durations and its shape count for what comes later.
        """
        if len(spans) == 1:
            # Most of ours are one, ten thousand a second of them.
            slow = [self._is_slow(tenant_id, spans[0])]
            failed = spans[0].status == ERROR
        else:
            slow = [self._is_slow(tenant_id, root) for root in local_roots(spans)]
            failed = any(span.status == ERROR for span in spans)
        new = self._is_new(tenant_id, spans)
        if failed:
            return "error"
        if forced:
            return "sampled"
        if any(slow):
            return "slow"
        if new:
            return "first_seen"
        return "share" if is_chosen(spans[0].trace_id, share) else None

    def _is_slow(self, tenant_id: str, root: Span) -> bool:
        key = (tenant_id, root.service, root.name)
        known = self._durations.get(key)
        if known is None:
            known = self._durations[key] = _Durations()
            if len(self._durations) > _OPERATIONS:
                self._durations.popitem(last=False)
        else:
            self._durations.move_to_end(key)
        return known.is_slow(root.duration_ns) or root.duration_ns >= self._slow_ns

    def _is_new(self, tenant_id: str, spans: Sequence[Span]) -> bool:
        """Whether no part of the same operations, each below the same ones, came before."""
        if len(spans) == 1:
            shape = hash((spans[0].service, spans[0].name))
        else:
            by_id = {span.span_id: span for span in spans[:_MOST_SHAPE]}
            steps = set()
            for span in spans[:_MOST_SHAPE]:
                parent = by_id.get(span.parent_id)
                steps.add((span.service, span.name, parent.name if parent else ""))
            shape = hash(frozenset(steps))
        key = (tenant_id, shape)
        if key in self._shapes:
            self._shapes.move_to_end(key)
            return False
        self._shapes[key] = None
        if len(self._shapes) > _SHAPES:
            self._shapes.popitem(last=False)
        return True


def is_chosen(trace_id: str, share: float) -> bool:
    """Whether the trace is one of the fixed share: the same ones in every process.

    The last 56 bits are random in a W3C trace id (level 2).
    """
    return int(trace_id[-14:], 16) < int(share * 2**SHARE_BITS)
