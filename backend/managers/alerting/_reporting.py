"""Reports by the clock, of which each is a finding for a while after it is due; that of a day.

So one goes where alerts go: by the routes to the channels, once, with a history of who was told.
"""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Annotated, ClassVar, Final
from zoneinfo import ZoneInfo

from msgspec import Meta

from backend.core.database import ReadTx
from backend.kit.wall_clock import instant_of, wall_of, zone_named
from backend.managers import metrics
from backend.managers.alerting._finding import Asked, Finding, Reckoning, Senses, at_once
from backend.managers.alerting._standing import Seen
from backend.managers.monitoring import SloStanding
from backend.managers.tracing import Operation

_SERVICE: Final = "email-sender"
_DAY: Final = timedelta(days=1)
_OBJECTIVES: Final = 50
_ENDED: Final = {
    f"{metrics.DERIVED}emails_total": "e-mails",
    f"{metrics.DERIVED}jobs_total": "other jobs",
}


class ByTheClock(Asked, frozen=True):
    """What is told at an hour of a zone's clocks; who is away then tells it a while later yet.

    Attributes:
        due_for: For how long it is found.
    """

    absent: ClassVar[Seen] = Seen.GONE
    tells_end: ClassVar[bool] = False
    due_for: ClassVar[timedelta]

    at_hour: Annotated[int, Meta(ge=0, le=23)] = 8
    zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"

    def __post_init__(self) -> None:
        """Refuse what is no zone.

        Raises:
            ZoneUnknownError: It is none.
        """
        zone_named(self.zone)

    async def look(self, tx: ReadTx, senses: Senses, _: datetime) -> Reckoning:
        """Report, while it is due."""
        zone = zone_named(self.zone)
        due = self.last_due(tx.now(), zone)
        if tx.now() >= due + self.due_for:
            return at_once(Finding(Seen.GONE, f"The last one was due at {due.isoformat()}"))
        return await self.report(tx, senses, due, zone)

    def last_due(self, now: datetime, zone: ZoneInfo) -> datetime:
        """When the last one was due, in UTC; this very moment counts."""
        raise NotImplementedError

    async def report(
        self, tx: ReadTx, senses: Senses, due: datetime, zone: ZoneInfo, /
    ) -> Reckoning:
        """Read what the one that was due then says."""
        raise NotImplementedError


class ReportCondition(ByTheClock, frozen=True, tag="report"):
    """What a day was like, told the day after at an hour of a zone's clocks."""

    least_seconds: ClassVar[int] = 300
    due_for: ClassVar[timedelta] = timedelta(minutes=30)

    def last_due(self, now: datetime, zone: ZoneInfo) -> datetime:
        """Of this day, or of the one before."""
        return due_at(now, self.at_hour, zone)

    async def report(
        self, tx: ReadTx, senses: Senses, due: datetime, zone: ZoneInfo, /
    ) -> Reckoning:
        """Sum the day up."""
        today = datetime.combine(wall_of(due, zone), time())
        before, since, until = (instant_of(today - back * _DAY, zone) for back in (2, 1, 0))
        of_day = await senses.tracing.search.sum_up(tx, _SERVICE, since, until)
        of_day_before = await senses.tracing.search.sum_up(tx, _SERVICE, before, since)
        ended = await metrics.query_many(
            tx,
            [
                metrics.Wanted(
                    name=name,
                    aggregate="sum",
                    since=since,
                    until=until,
                    labels={},
                    by=("outcome",),
                    points=1,
                )
                for name in _ENDED
            ],
        )
        objectives = await senses.monitoring.slos.list(tx, limit=_OBJECTIVES)

        async def found() -> list[Finding]:
            day = (today - _DAY).date()
            said = [f"{day}: {_of_requests(of_day, of_day_before)}"]
            for noun, asked in zip(_ENDED.values(), ended, strict=True):
                if isinstance(asked, Exception):
                    said.append(f"{noun}: not measured")
                    continue
                lines = (await asked.answer(senses.metrics.turns)).lines
                counts = {one.labels["outcome"]: int(one.value or 0) for one in lines}
                well, badly = counts.get("well", 0), counts.get("badly", 0)
                said.append(f"{well:,} {noun} ended well and {badly:,} badly")
            said.append(_of_objectives(objectives))
            return [Finding(Seen.HOLDS, "; ".join(said), of_day.p95_ms)]

        return found


def due_at(now: datetime, hour: int, zone: ZoneInfo) -> datetime:
    """When the last report was due, in UTC; this very moment counts."""
    today = datetime.combine(wall_of(now, zone), time(hour))
    at = instant_of(today, zone)
    return at if at <= now else instant_of(today - _DAY, zone)


def _of_requests(of_day: Operation, before: Operation) -> str:
    p95 = of_day.p95_ms
    if p95 is None:
        return "nothing was asked of the platform"
    failed = f"{of_day.error_rate:.2%} of them failed"
    took = f"nineteen of twenty took {p95:.4g} ms at most"
    if before.p95_ms is None:
        return f"{of_day.spans:,} requests and steps, {failed}, {took}; none the day before"
    change = of_day.spans / before.spans - 1
    return (
        f"{of_day.spans:,} requests and steps ({change:+.0%} on the day before), {failed} "
        f"({before.error_rate:.2%}), {took} ({before.p95_ms:.4g})"
    )


def _of_objectives(standings: Sequence[SloStanding]) -> str:
    if not standings:
        return "no objective is set"
    by_state = {
        state: [one.slo.name for one in standings if one.judgement.state == state]
        for state in ("met", "at_risk", "missed", "not_measured")
    }
    said = [f"{len(by_state['met'])} of {len(standings)} objectives are met"]
    said += [
        f"{state.replace('_', ' ')}: {', '.join(names[:5])}"
        for state, names in by_state.items()
        if names and state != "met"
    ]
    return ", ".join(said)
