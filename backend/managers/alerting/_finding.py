"""What a look finds, what it may look into, and what all conditions have in common."""

import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from backend.core.database import Database, ReadTx
from backend.managers.alerting._standing import Seen
from backend.managers.alerting.errors import NoHistoryError
from backend.managers.logging import LoggingManager
from backend.managers.metrics import MetricsManager
from backend.managers.monitoring import MonitoringManager
from backend.managers.tracing import TracingManager

MAX_FINDINGS: Final = 100
"""Of one rule: whoever has more alerts at once reads none of them."""
MAX_LOOKS: Final = 2000
"""That are looked back."""
MAX_TRIED: Final = 20
"""Sets of labels that are."""
Comparison = Literal[">", ">=", "<", "<=", "==", "!="]
_COMPARES: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
Window = Annotated[int, Meta(ge=60, le=7 * 86_400)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look found of one set of labels; ``text`` says it to people."""

    seen: Seen
    text: str
    value: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Senses:
    """The rooms that conditions look into, and the database for what is read after the look."""

    metrics: MetricsManager
    monitoring: MonitoringManager
    tracing: TracingManager
    logs: LoggingManager
    database: Database


Reckoning = Callable[[], Awaitable[Sequence[Finding]]]


@dataclass(frozen=True, slots=True)
class History:
    """What a condition would have measured, a look each step.

    Attributes:
        start_at: When the first step begins.
        step_seconds: How long each is.
        lines: Labels, and a point a step; None: it was not measured.
        seen: What a look would have found by such a value.
        complete: Whether all was counted.
        threshold: What values are compared with.
    """

    start_at: datetime
    step_seconds: int
    lines: Sequence[tuple[Mapping[str, str], Sequence[float | None]]]
    seen: Callable[[float], Seen]
    complete: bool = True
    threshold: float | None = None


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """A condition.

    Attributes:
        absent: What became of labels that a look which could measure did not find.
        least_seconds: Between two looks, however often its rule is looked at: more often it costs
            much and finds the same.
        tells_end: Whether anybody wants to know that it does not hold any more.
    """

    absent: ClassVar[Seen] = Seen.NOTHING
    least_seconds: ClassVar[int] = 0
    tells_end: ClassVar[bool] = True

    async def look(self, tx: ReadTx, senses: Senses, since: datetime) -> Reckoning:
        """Read what is to be reckoned with.

        Raises:
            AppError: It cannot be measured, and why.
        """
        raise NotImplementedError

    async def history(
        self, _tx: ReadTx, _senses: Senses, _since: datetime, _every_seconds: int, /
    ) -> Callable[[], Awaitable[History]]:
        """Read what looks since then would have measured, as far as that is known.

        Raises:
            NoHistoryError: It is known of the present alone.
            AppError: It cannot be measured, and why.
        """
        raise NoHistoryError


@dataclass(frozen=True, slots=True)
class Looks:
    """Looks of so many seconds each, two thousand at most, and the stretch that they fill."""

    since: datetime
    until: datetime
    count: int

    @classmethod
    def within(cls, since: datetime, until: datetime, seconds: int) -> "Looks":
        """The looks that begin at a multiple of their length, the last of them over."""
        first, last = (int(one.timestamp()) // seconds for one in (since, until))
        count = max(1, last - first)
        begin, end = (datetime.fromtimestamp(one * seconds, UTC) for one in (last - count, last))
        return cls(begin, end, min(MAX_LOOKS, count))


def at_once(*findings: Finding) -> Reckoning:
    """Findings that need no reckoning."""

    async def found() -> Sequence[Finding]:
        return findings

    return found


def compares(value: float, compare: Comparison, threshold: float) -> bool:
    """Whether a value stands so to a threshold."""
    return _COMPARES[compare](value, threshold)


def seen_by(compare: Comparison, threshold: float) -> Callable[[float], Seen]:
    """What is seen of a value."""
    return lambda value: Seen.HOLDS if compares(value, compare, threshold) else Seen.GONE


def judged(
    said: str,
    value: float,
    compare: Comparison,
    threshold: float,
    labels: Mapping[str, str] | None = None,
) -> Finding:
    """What is to be said of a value: ``said``, and how it stands to the threshold."""
    holds = compares(value, compare, threshold)
    text = f"{said}, {'' if holds else 'not '}{compare} {threshold:.6g}"
    return Finding(Seen.HOLDS if holds else Seen.GONE, text, value, labels or {})


def span(seconds: float) -> str:
    """A time to be read."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"
