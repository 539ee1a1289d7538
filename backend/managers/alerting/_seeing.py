"""What other rooms see: a Prometheus, traces, the platform's health, and lines like none before."""

import asyncio
import hashlib
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta

from backend.core.context import Scope
from backend.core.database import ReadTx
from backend.managers import logging
from backend.managers.alerting._finding import (
    MAX_FINDINGS,
    Asked,
    Comparison,
    Finding,
    Reckoning,
    Senses,
    Text,
    at_once,
    judged,
    span,
)
from backend.managers.alerting._standing import Seen
from backend.managers.alerting.errands import ACTOR
from backend.managers.monitoring import Asker
from backend.managers.monitoring import Line as Series
from backend.managers.tracing import Operation, add_up

EACH: Final = "*"
"""Every part of the platform that is looked at."""
_PROMETHEUS_SECONDS: Final = 15.0
_MAX_PATTERNS: Final = 20


class PrometheusCondition(Asked, frozen=True, tag="prometheus"):
    """Every series that PromQL comes to is something wrong, as in a rule of a Prometheus."""

    absent: ClassVar[Seen] = Seen.GONE

    query: Annotated[str, Meta(min_length=1, max_length=5000)]

    async def look(self, tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Ask behind the tenant's wall, when the transaction is over."""
        asker, at = Asker(str(tx.tenant_id)), tx.now()

        async def found() -> Sequence[Finding]:
            try:
                async with asyncio.timeout(_PROMETHEUS_SECONDS):
                    answer = await senses.monitoring.prometheus.query(asker, self.query, at=at)
            except TimeoutError:
                return [Finding(Seen.NOTHING, "Prometheus did not answer in time")]
            if not answer.lines:
                return [Finding(Seen.GONE, f"{self.query} comes to nothing")]
            return [self._finding(line) for line in answer.lines[:MAX_FINDINGS]]

        return found

    def _finding(self, line: Series) -> Finding:
        value = float(line.values[0]) if line.values else math.nan
        labels = {name: said for name, said in line.labels.items() if name != "__name__"}
        text = f"{self.query} is {line.values[0] if line.values else 'a histogram'}"
        return Finding(Seen.HOLDS, text, value if math.isfinite(value) else None, labels)


class TraceCondition(Asked, frozen=True, tag="trace"):
    """What came of a service's spans: spans a minute, share of failed ones, or milliseconds.

    Of all spans, whether they are kept or not; ``by_operation`` says it of each operation.
    """

    service: Text
    measure: Literal["rate", "error_share", "latency"]
    compare: Comparison
    threshold: float
    operation: Text | None = None
    minutes: Annotated[int, Meta(ge=2, le=60)] = 5
    quantile: Annotated[float, Meta(ge=0, le=1)] = 0.95
    by_operation: bool = False

    async def look(self, tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Add up what was counted of them."""
        found = await senses.tracing.search.list_operations(
            tx, minutes=self.minutes, service=self.service, operation=self.operation
        )
        if self.by_operation and found:
            return at_once(*(self._judge(one, named=True) for one in found[:MAX_FINDINGS]))
        return at_once(self._judge(add_up(found, self.service, self.minutes), named=False))

    def _judge(self, one: Operation, *, named: bool) -> Finding:
        name = one.name if named else self.operation
        labels = {"service": self.service, **({"operation": name} if name else {})}
        about = f"{self.service}{f' {name}' if name else ''} over {span(self.minutes * 60)}"
        if self.measure == "rate":
            said, value = f"{one.per_minute:.6g} spans a minute of {about}", one.per_minute
            return judged(said, value, self.compare, self.threshold, labels)
        slow = one.quantile_ms(self.quantile)
        if slow is None:
            return Finding(Seen.NOTHING, f"There are no spans of {about}", labels=labels)
        if self.measure == "error_share":
            said = f"{one.error_rate:.2%} of {one.spans} spans of {about} failed"
            return judged(said, one.error_rate, self.compare, self.threshold, labels)
        said = f"{self.quantile:.3g} of the spans of {about} took {slow:.4g} ms at most"
        return judged(said, slow, self.compare, self.threshold, labels)


class HealthCondition(Asked, frozen=True, tag="health"):
    """A part of the platform did not work at the last look; without one: the platform is not ready.

    ``*`` is each part. It tells what the status page tells tenants: names, and no more.

    Attributes:
        component: The part.
        needs: Without a part: those that count as well, though the platform is ready without them.
    """

    absent: ClassVar[Seen] = Seen.GONE

    component: Text | None = None
    needs: Annotated[tuple[Text, ...], Meta(max_length=20)] = ()

    def __post_init__(self) -> None:
        """Refuse what says two things."""
        if self.needs and self.component is not None:
            msg = "What it needs besides is said of the whole platform, not of a component"
            raise ValueError(msg)

    async def look(self, _tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Read the last minute of the platform's health, which is no tenant's."""

        async def found() -> Sequence[Finding]:
            last = await senses.monitoring.read_last_health(senses.database)
            if last is None:
                return [Finding(Seen.NOTHING, "Nobody has looked at the platform's health")]
            if self.component == EACH and last.failing:
                return [self._failing(one) for one in last.failing[:MAX_FINDINGS]]
            if self.component in {None, EACH}:
                missed = [name for name in self.needs if name in last.failing]
                ready = last.status != "not_ready" and not missed
                text = f"The platform is {last.status.replace('_', ' ')}"
                if missed:
                    text = f"{text}: {', '.join(missed)}"
                holds = not ready and self.component is None
                return [Finding(Seen.HOLDS if holds else Seen.GONE, text)]
            if self.component in last.failing:
                return [self._failing(str(self.component))]
            return [Finding(Seen.GONE, f"{self.component} works")]

        return found

    @staticmethod
    def _failing(name: str) -> Finding:
        return Finding(Seen.HOLDS, f"{name} does not work", labels={"component": name})


class LogPatternCondition(Asked, frozen=True, tag="log_pattern"):
    """Log lines came that none before was like.

    An alert outlives the lines: it has a digest of what they have in common and not their words,
    which may name somebody.
    """

    absent: ClassVar[Seen] = Seen.GONE
    least_seconds: ClassVar[int] = 300

    window_seconds: Annotated[int, Meta(ge=300, le=86_400)] = 900
    level: Literal["trace", "debug", "info", "warn", "error", "fatal"] | None = "error"
    source: Annotated[str, Meta(max_length=200)] | None = None

    async def look(self, tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Have lines compared with those before, when the transaction is over."""
        scope = Scope(ACTOR, str(tx.tenant_id))
        wanted = logging.Wanted(
            level=self.level,
            source=self.source,
            after=tx.now() - timedelta(seconds=self.window_seconds),
            before=tx.now(),
        )

        async def found() -> Sequence[Finding]:
            patterns = await senses.logs.find_patterns(
                senses.database, scope, wanted, limit=_MAX_PATTERNS, only_new=True
            )
            if not patterns.compared:
                return [Finding(Seen.NOTHING, "There are no earlier lines to compare with")]
            if not patterns.items:
                return [Finding(Seen.GONE, "All lines are like others before")]
            return [_new(one) for one in patterns.items]

        return found


def _new(one: logging.FoundPattern) -> Finding:
    digest = hashlib.sha256(one.pattern.encode()).hexdigest()[:12]
    source = one.sources[0].value if one.sources else ""
    text = f"{one.count} lines of {source or 'no source'} are like none before: see {one.last_id}"
    return Finding(Seen.HOLDS, text, one.count, {"pattern": digest, "source": source})
