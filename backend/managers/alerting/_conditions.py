"""What rules ask: of series, log lines, objectives, and of signals that have to come.

A condition is a value that is kept as JSON. It reads in one transaction, and reckons outside it, as
nobody's connection waits for arithmetic. It finds something for each set of labels that it is
about; what it cannot measure it says, and that is neither here nor there.
"""

import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from backend.core.database import ReadTx
from backend.core.errors import AppError
from backend.managers import logging, metrics
from backend.managers.alerting._standing import Seen
from backend.managers.alerting.errors import ConditionInvalidError
from backend.managers.alerting.models import HeartbeatRow
from backend.managers.metrics import MetricsManager
from backend.managers.monitoring import MonitoringManager

MAX_FINDINGS: Final = 100
"""Of one rule: whoever has more alerts at once reads none of them."""
Comparison = Literal[">", ">=", "<", "<=", "==", "!="]
_COMPARES: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_Window = Annotated[int, Meta(ge=60, le=7 * 86_400)]
_Name = Annotated[str, Meta(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look found of one set of labels; ``text`` says it to people."""

    seen: Seen
    text: str
    value: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Senses:
    """The rooms that conditions look into."""

    metrics: MetricsManager
    monitoring: MonitoringManager


Reckoning = Callable[[], Awaitable[Sequence[Finding]]]


def _at_once(*findings: Finding) -> Reckoning:
    async def found() -> Sequence[Finding]:
        return findings

    return found


class _Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    pass


class MetricCondition(_Condition, frozen=True, tag="metric"):
    """A metric over a window, compared with a threshold; with ``by`` each set of those labels."""

    metric: _Name
    aggregate: metrics.Aggregate
    compare: Comparison
    threshold: float
    window_seconds: _Window = 300
    labels: dict[str, str] = {}
    by: Annotated[tuple[str, ...], Meta(max_length=5)] = ()
    quantile: Annotated[float, Meta(ge=0, le=1)] = 0.95

    async def look(self, tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Ask for one point, as long as the window."""
        wanted = metrics.Wanted(
            name=self.metric,
            aggregate=self.aggregate,
            quantile=self.quantile,
            since=tx.now() - timedelta(seconds=self.window_seconds),
            until=tx.now(),
            labels=self.labels,
            by=self.by,
            top=MAX_FINDINGS,
            points=1,
        )
        asked = await metrics.query(tx, wanted)

        async def found() -> Sequence[Finding]:
            answer = await asked.answer(senses.metrics.turns)
            if not answer.lines:
                return [Finding(Seen.NOTHING, f"{self.metric} has not been recorded")]
            return [self._judge(line) for line in answer.lines]

        return found

    def _judge(self, line: metrics.Line) -> Finding:
        said = f"{self.aggregate} of {self.metric} over {_span(self.window_seconds)}"
        labels = dict(line.labels)
        if line.value is None:
            return Finding(Seen.NOTHING, f"{said}: nothing was recorded", labels=labels)
        holds = _COMPARES[self.compare](line.value, self.threshold)
        text = f"{said} is {line.value:.6g}, {'' if holds else 'not '}{self.compare} "
        return Finding(
            Seen.HOLDS if holds else Seen.GONE, f"{text}{self.threshold:.6g}", line.value, labels
        )


class LogCondition(_Condition, frozen=True, tag="log"):
    """How many lines there are in a window; fewer than one is that there is none."""

    compare: Comparison
    threshold: Annotated[int, Meta(ge=0, le=100_000)]
    window_seconds: _Window = 300
    words: Annotated[str, Meta(max_length=500)] | None = None
    level: Literal["trace", "debug", "info", "warn", "error", "fatal"] | None = None
    source: Annotated[str, Meta(max_length=200)] | None = None

    async def look(self, tx: ReadTx, _senses: Senses, _: datetime) -> Reckoning:
        """Count them."""
        wanted = logging.Wanted(
            words=self.words,
            level=self.level,
            source=self.source,
            after=tx.now() - timedelta(seconds=self.window_seconds),
            before=tx.now(),
        )
        count = (await logging.sum_up(tx, wanted)).count
        holds = _COMPARES[self.compare](count, self.threshold)
        asked = " ".join(
            said for said in (self.level and f"level {self.level}", self.source, self.words) if said
        )
        text = (
            f"{count} log lines{f' ({asked})' if asked else ''} in {_span(self.window_seconds)}, "
            f"{'' if holds else 'not '}{self.compare} {self.threshold}"
        )
        return _at_once(Finding(Seen.HOLDS if holds else Seen.GONE, text, count))


class SloCondition(_Condition, frozen=True, tag="slo"):
    """An objective's budget burns; read from what its own clock has counted."""

    slo_id: _Name
    severity: Literal["page", "ticket"] = "page"

    async def look(self, tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Read the rates."""
        standing = await senses.monitoring.slos.describe(tx, self.slo_id)
        if standing.judgement.state == "not_measured":
            return _at_once(Finding(Seen.NOTHING, standing.judgement.reason))
        pairs = [one for one in standing.burns if one.severity == self.severity]
        burning = [one for one in pairs if one.burning]
        rates = [one.long_rate for one in burning or pairs if one.long_rate is not None]
        value = max(rates, default=None)
        said = "nothing happened" if value is None else f"it burns at {value:.3g} times its rate"
        return _at_once(
            Finding(Seen.HOLDS if burning else Seen.GONE, f"{standing.slo.name}: {said}", value)
        )


class HeartbeatCondition(_Condition, frozen=True, tag="heartbeat"):
    """A signal has not come for too long; before its first one that is counted from the rule on."""

    name: _Name
    within_seconds: Annotated[int, Meta(ge=30, le=31 * 86_400)]

    async def look(self, tx: ReadTx, _senses: Senses, since: datetime) -> Reckoning:
        """See when it came last."""
        last = await tx.scalar(
            sa.select(HeartbeatRow.last_at).where(
                HeartbeatRow.tenant_id == tx.tenant_id, HeartbeatRow.name == self.name
            )
        )
        age = (tx.now() - (last or since)).total_seconds()
        said = f"came {_span(age)} ago" if last else f"has never come in {_span(age)}"
        late = age > self.within_seconds
        text = f"{self.name} {said}; it has to within {_span(self.within_seconds)}"
        return _at_once(Finding(Seen.HOLDS if late else Seen.GONE, text, age))


Condition = MetricCondition | LogCondition | SloCondition | HeartbeatCondition


def read_condition(said: Mapping[str, Any]) -> Condition:
    """A condition as JSON has it.

    Raises:
        ConditionInvalidError: It is none; where and why.
    """
    try:
        found: Condition = msgspec.convert(said, Condition)
    except msgspec.ValidationError as exc:
        raise ConditionInvalidError(str(exc)) from None
    return found


def write_condition(condition: Condition) -> dict[str, Any]:
    """As it is kept."""
    said: dict[str, Any] = msgspec.to_builtins(condition)
    return said


async def look(condition: Condition, tx: ReadTx, senses: Senses, since: datetime) -> Reckoning:
    """Read what a condition needs; what refuses it is why it cannot be measured.

    Args:
        condition: Which.
        tx: Of its tenant.
        senses: The rooms that it may look into.
        since: When its rule was made.
    """
    try:
        reckoning = await condition.look(tx, senses, since)
    except AppError as exc:
        return _at_once(_unmeasured(exc))

    async def found() -> Sequence[Finding]:
        try:
            return await reckoning()
        except AppError as exc:
            return [_unmeasured(exc)]

    return found


def _unmeasured(exc: AppError) -> Finding:
    return Finding(Seen.NOTHING, f"{exc.title}: {exc.detail}" if exc.detail else exc.title)


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"
