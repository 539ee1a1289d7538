"""What a metric will come to, and whether its last hour is usual: by the metrics room's own word.

Both are of whole hours, of eight weeks at most, and change by the hour: they are looked up every
five minutes, however often their rule is looked at.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, ClassVar, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from backend.core.database import ReadTx
from backend.managers import metrics
from backend.managers.alerting._finding import (
    Asked,
    Comparison,
    Finding,
    Name,
    Reckoning,
    Senses,
    compares,
    span,
)
from backend.managers.alerting._standing import Seen

MAX_LINES: Final = 20
_WEEKS: Final = timedelta(weeks=8)
_HOUR: Final = 3600
_T = TypeVar("_T")


class _OfHours(Asked, frozen=True, kw_only=True):
    """What both ask of hours."""

    least_seconds: ClassVar[int] = 300

    metric: Name
    aggregate: metrics.Aggregate
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    by: Annotated[tuple[str, ...], Meta(max_length=5)] = ()
    quantile: Annotated[float, Meta(ge=0, le=1)] = 0.95

    async def _reckon(
        self,
        tx: ReadTx,
        senses: Senses,
        work: Callable[[metrics.Hours], Sequence[_T]],
        judge: Callable[[_T], Finding],
    ) -> Reckoning:
        """Read hours now; ``work`` on them and ``judge`` what comes of it afterwards."""
        asked = await metrics.read_hours(
            tx,
            metrics.Wanted(
                name=self.metric,
                aggregate=self.aggregate,
                quantile=self.quantile,
                since=tx.now() - _WEEKS,
                until=tx.now(),
                labels=self.labels,
                by=self.by,
                top=MAX_LINES,
            ),
        )
        tenant_id = str(tx.tenant_id)

        async def found() -> Sequence[Finding]:
            hours = await asked.answer(senses.metrics.turns)
            if not hours.labels:
                return [Finding(Seen.NOTHING, f"{self.metric} has not been recorded")]
            lines = await senses.metrics.turns.run(tenant_id, partial(work, hours))
            return [judge(line) for line in lines]

        return found


class ForecastCondition(_OfHours, frozen=True, kw_only=True, tag="forecast"):
    """A metric is foreseen to come to a threshold within some hours."""

    compare: Comparison
    threshold: float
    within_hours: Annotated[int, Meta(ge=1, le=336)] = 24

    async def look(self, tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Foresee the hours to come."""
        return await self._reckon(
            tx, senses, lambda hours: metrics.foresee(hours, self.within_hours, UTC), self._judge
        )

    def _judge(self, line: metrics.ForeseenLine) -> Finding:
        labels = dict(line.labels)
        known = [(at, value) for at, value in enumerate(line.points, 1) if value is not None]
        if not known:
            return Finding(Seen.NOTHING, line.sentence, labels=labels)
        for at, value in known:
            if compares(value, self.compare, self.threshold):
                text = (
                    f"{self.aggregate} of {self.metric} comes to {value:.6g} within "
                    f"{span(at * _HOUR)}, {self.compare} {self.threshold:.6g}"
                )
                return Finding(Seen.HOLDS, text, value, labels)
        low, high = min(value for _, value in known), max(value for _, value in known)
        text = (
            f"{self.aggregate} of {self.metric} stays between {low:.6g} and {high:.6g} for "
            f"{span(self.within_hours * _HOUR)}, not {self.compare} {self.threshold:.6g}"
        )
        return Finding(Seen.GONE, text, known[-1][1], labels)


class AnomalyCondition(_OfHours, frozen=True, kw_only=True, tag="anomaly"):
    """The last whole hour of a metric is unusual: above what is usual, below it, or either."""

    direction: Literal["any", "above", "below"] = "any"

    async def look(self, tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Score the last hour."""
        return await self._reckon(
            tx, senses, lambda hours: metrics.score(hours, hours.size - 1, UTC), self._judge
        )

    def _judge(self, line: metrics.ScoredLine) -> Finding:
        last, labels = line.latest, dict(line.labels)
        if last.state in {"unknown", "not_measured"} or last.value is None or last.usual is None:
            return Finding(Seen.NOTHING, last.sentence, labels=labels)
        side = "above" if last.value > last.usual else "below"
        holds = last.state == "unusual" and self.direction in {"any", side}
        text = f"{self.aggregate} of {self.metric}: {last.sentence}"
        return Finding(Seen.HOLDS if holds else Seen.GONE, text, last.value, labels)
