"""What rules ask: of series, log lines, objectives, and of signals that have to come.

A condition is a value that is kept as JSON. It reads in one transaction, and reckons outside it, as
nobody's connection waits for arithmetic. It finds something for each set of labels that it is
about; what it cannot measure it says, and that is neither here nor there.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from backend.core.database import ReadTx
from backend.core.errors import AppError
from backend.managers import logging, metrics
from backend.managers.alerting._counting import AuditCondition, EventCondition
from backend.managers.alerting._digest import DigestCondition
from backend.managers.alerting._finding import (
    MAX_FINDINGS,
    MAX_TRIED,
    Asked,
    Comparison,
    Finding,
    History,
    Looks,
    Name,
    Reckoning,
    Senses,
    Window,
    at_once,
    judged,
    seen_by,
    span,
)
from backend.managers.alerting._foretelling import AnomalyCondition, ForecastCondition
from backend.managers.alerting._reporting import ReportCondition
from backend.managers.alerting._seeing import (
    HealthCondition,
    LogPatternCondition,
    PrometheusCondition,
    TraceCondition,
)
from backend.managers.alerting._standing import Seen
from backend.managers.alerting.errors import ConditionInvalidError
from backend.managers.alerting.models import HeartbeatRow


class MetricCondition(Asked, frozen=True, tag="metric"):
    """A metric over a window, compared with a threshold; with ``by`` each set of those labels."""

    metric: Name
    aggregate: metrics.Aggregate
    compare: Comparison
    threshold: float
    window_seconds: Window = 300
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    by: Annotated[tuple[str, ...], Meta(max_length=5)] = ()
    quantile: Annotated[float, Meta(ge=0, le=1)] = 0.95

    def wanted(self, tx: ReadTx) -> metrics.Wanted:
        """One point, as long as the window."""
        return metrics.Wanted(
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

    def reckoning(
        self, asked: metrics.Unanswered[metrics.Found] | AppError, senses: Senses
    ) -> Reckoning:
        """Of what was read."""

        async def found() -> Sequence[Finding]:
            if isinstance(asked, AppError):
                raise asked
            answer = await asked.answer(senses.metrics.turns)
            if not answer.lines:
                return [Finding(Seen.NOTHING, f"{self.metric} has not been recorded")]
            return [self._judge(line) for line in answer.lines]

        return found

    async def history(
        self, tx: ReadTx, senses: Senses, since: datetime, every_seconds: int, /
    ) -> Callable[[], Awaitable[History]]:
        """Ask for a point for each window, one after the other."""
        looks = Looks.within(since, tx.now(), max(every_seconds, self.window_seconds))
        wanted = metrics.Wanted(
            name=self.metric,
            aggregate=self.aggregate,
            quantile=self.quantile,
            since=looks.since,
            until=looks.until,
            labels=self.labels,
            by=self.by,
            top=MAX_TRIED,
            points=looks.count,
        )
        asked = await metrics.query(tx, wanted)

        async def found() -> History:
            answer = await asked.answer(senses.metrics.turns)
            lines = [(line.labels, line.points) for line in answer.lines]
            seen = seen_by(self.compare, self.threshold)
            return History(
                answer.start_at, answer.step_seconds, lines, seen, threshold=self.threshold
            )

        return found

    def _judge(self, line: metrics.Line) -> Finding:
        said = f"{self.aggregate} of {self.metric} over {span(self.window_seconds)}"
        labels = dict(line.labels)
        if line.value is None:
            return Finding(Seen.NOTHING, f"{said}: nothing was recorded", labels=labels)
        said = f"{said} is {line.value:.6g}"
        return judged(said, line.value, self.compare, self.threshold, labels)


class LogCondition(Asked, frozen=True, tag="log"):
    """How many lines there are in a window; fewer than one is that there is none."""

    compare: Comparison
    threshold: Annotated[int, Meta(ge=0, le=100_000)]
    window_seconds: Window = 300
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
        asked = " ".join(
            said for said in (self.level and f"level {self.level}", self.source, self.words) if said
        )
        lines = "log line" if count == 1 else "log lines"
        said = f"{count} {lines}{f' ({asked})' if asked else ''} in {span(self.window_seconds)}"
        return at_once(judged(said, count, self.compare, self.threshold))

    async def history(
        self, tx: ReadTx, _senses: Senses, since: datetime, every_seconds: int, /
    ) -> Callable[[], Awaitable[History]]:
        """Count each window's, one after the other; of the newest 200 000 lines."""
        looks = Looks.within(since, tx.now(), max(every_seconds, self.window_seconds))
        wanted = logging.Wanted(
            words=self.words,
            level=self.level,
            source=self.source,
            after=looks.since,
            before=looks.until,
        )
        counted = await logging.sum_up(tx, wanted, steps=looks.count)
        step = counted.step_seconds
        first = int(looks.since.timestamp()) // step
        last = -(-int(looks.until.timestamp()) // step)
        points: list[float | None] = [0.0] * (last - first)
        for one in counted.steps:
            points[int(one.at.timestamp()) // step - first] = float(sum(one.levels.values()))
        if not counted.complete:
            # The oldest step that has any may have more, and of those before nobody knows.
            known = next(number for number, point in enumerate(points) if point) + 1
            points[:known] = [None] * known
        start_at = datetime.fromtimestamp(first * step, UTC)
        seen = seen_by(self.compare, self.threshold)
        made = History(
            start_at, step, [({}, points)], seen, counted.complete, threshold=self.threshold
        )

        async def found() -> History:
            return made

        return found


class SloCondition(Asked, frozen=True, tag="slo"):
    """An objective's budget burns; read from what its own clock has counted."""

    slo_id: Name
    severity: Literal["page", "ticket"] = "page"

    async def look(self, tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Read the rates."""
        standing = await senses.monitoring.slos.describe(tx, self.slo_id)
        if standing.judgement.state == "not_measured":
            return at_once(Finding(Seen.NOTHING, standing.judgement.reason))
        pairs = [one for one in standing.burns if one.severity == self.severity]
        burning = [one for one in pairs if one.burning]
        rates = [one.long_rate for one in burning or pairs if one.long_rate is not None]
        value = max(rates, default=None)
        said = "nothing happened" if value is None else f"it burns at {value:.3g} times its rate"
        return at_once(
            Finding(Seen.HOLDS if burning else Seen.GONE, f"{standing.slo.name}: {said}", value)
        )


class HeartbeatCondition(Asked, frozen=True, tag="heartbeat"):
    """A signal has not come for too long; before its first one that is counted from the rule on."""

    name: Name
    within_seconds: Annotated[int, Meta(ge=30, le=31 * 86_400)]

    async def look(self, tx: ReadTx, _senses: Senses, since: datetime) -> Reckoning:
        """See when it came last."""
        last = await tx.scalar(
            sa.select(HeartbeatRow.last_at).where(
                HeartbeatRow.tenant_id == tx.tenant_id, HeartbeatRow.name == self.name
            )
        )
        age = (tx.now() - (last or since)).total_seconds()
        said = f"came {span(age)} ago" if last else f"has never come in {span(age)}"
        late = age > self.within_seconds
        text = f"{self.name} {said}; it has to within {span(self.within_seconds)}"
        return at_once(Finding(Seen.HOLDS if late else Seen.GONE, text, age))


Condition = (
    MetricCondition
    | LogCondition
    | SloCondition
    | HeartbeatCondition
    | EventCondition
    | AuditCondition
    | ForecastCondition
    | AnomalyCondition
    | PrometheusCondition
    | TraceCondition
    | HealthCondition
    | LogPatternCondition
    | ReportCondition
    | DigestCondition
)


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


async def look(
    asked: Sequence[tuple[Condition, datetime]], tx: ReadTx, senses: Senses
) -> Sequence[Reckoning]:
    """Read what conditions need, in their order; what refuses one is why it cannot be measured.

    Metrics are asked for together: a statement for each rule is what a look would cost.

    Args:
        asked: Which, and when the rule of each was made.
        tx: Of their tenant.
        senses: The rooms that they may look into.
    """
    of_metrics = [one for one, _ in asked if isinstance(one, MetricCondition)]
    answers = iter(await metrics.query_many(tx, [one.wanted(tx) for one in of_metrics]))
    found: list[Reckoning] = []
    for condition, since in asked:
        if isinstance(condition, MetricCondition):
            found.append(_contained(condition.reckoning(next(answers), senses)))
            continue
        try:
            found.append(_contained(await condition.look(tx, senses, since)))
        except AppError as exc:
            found.append(at_once(_unmeasured(exc)))
    return found


def _contained(reckoning: Reckoning) -> Reckoning:
    async def found() -> Sequence[Finding]:
        try:
            return await reckoning()
        except AppError as exc:
            return [_unmeasured(exc)]

    return found


def _unmeasured(exc: AppError) -> Finding:
    return Finding(Seen.NOTHING, f"{exc.title}: {exc.detail}" if exc.detail else exc.title)
