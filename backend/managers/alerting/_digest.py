"""A digest of a month's alerts: a finding for some hours of the first day of the next one.

Like the daily report it goes where alerts go: by the routes to the channels, and once. Who reads it
is to know which rules to mend.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, time, timedelta
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.core.ids import uuid7_at
from backend.kit.wall_clock import instant_of, wall_of
from backend.managers.alerting._finding import Finding, Reckoning, Senses, span
from backend.managers.alerting._history import History, Noise, Spans, look_between
from backend.managers.alerting._reporting import ByTheClock
from backend.managers.alerting._standing import Seen
from backend.managers.alerting.models import IncidentRow

_NAMED: Final = 5
_SEVERITIES: Final = ("critical", "warning", "info")


class DigestCondition(ByTheClock, frozen=True, tag="digest"):
    """What alerts of a month were like, told on the first of the next by a zone's clocks."""

    least_seconds: ClassVar[int] = 900
    due_for: ClassVar[timedelta] = timedelta(hours=12)

    def last_due(self, now: datetime, zone: ZoneInfo) -> datetime:
        """Of this month, or of the one before."""
        return due_at(now, self.at_hour, zone)

    async def report(
        self, tx: ReadTx, senses: Senses, due: datetime, zone: ZoneInfo, /
    ) -> Reckoning:
        """Look back over the month."""
        first = datetime.combine(wall_of(due, zone).replace(day=1), time())
        months = (_month_before(_month_before(first)), _month_before(first), first)
        before, since, until = (instant_of(one, zone) for one in months)
        of_month = await look_between(tx, since, until, names=None)
        of_month_before = await look_between(tx, before, since)
        tenant_id = tx.tenant_id
        incidents = await tx.scalar(
            sa.select(sa.func.count())
            .select_from(IncidentRow)
            .where(
                IncidentRow.tenant_id == tx.tenant_id,
                IncidentRow.id >= uuid7_at(since),
                IncidentRow.id < uuid7_at(until),
            )
        )

        async def found() -> list[Finding]:
            now, then = await senses.metrics.turns.run(
                tenant_id, lambda: (of_month(), of_month_before())
            )
            text = f"{months[1]:%B %Y}: {_said(now, then, incidents)}"
            return [Finding(Seen.HOLDS, text, float(now.fired))]

        return found


def due_at(now: datetime, hour: int, zone: ZoneInfo) -> datetime:
    """When the last digest was due, in UTC; this very moment counts."""
    first = datetime.combine(wall_of(now, zone).replace(day=1), time(hour))
    at = instant_of(first, zone)
    return at if at <= now else instant_of(_month_before(first), zone)


def _month_before(first: datetime) -> datetime:
    return (first - timedelta(days=1)).replace(day=1)


def _said(now: History, then: History, incidents: int) -> str:
    if not now.fired:
        return f"no alert fired ({then.fired:,} the month before)"
    least = "" if now.complete else "at least "
    by_severity = ", ".join(
        f"{now.by_severity[one]:,} {one}" for one in _SEVERITIES if now.by_severity.get(one)
    )
    said = [
        f"{least}{now.fired:,} alerts fired ({then.fired:,} the month before): {by_severity}",
        f"seen to {_took(now.acknowledged, then.acknowledged)}",
        f"over {_took(now.resolved, then.resolved)}",
        f"{now.unseen:,} were over without anybody having seen to them",
        f"{now.silenced:,} were silenced",
        "1 incident" if incidents == 1 else f"{incidents:,} incidents",
    ]
    for noun, counted in _ABOUT:
        names = _names(now.noise, counted)
        said += [f"{noun}: {names}"] if names else []
    return "; ".join(said)


def _took(now: Spans, then: Spans) -> str:
    if now.median is None or now.p90 is None:
        return "never"
    of_then = "" if then.median is None else f" ({span(then.median)} the month before)"
    return f"after {span(now.median)} at the middle{of_then} and {span(now.p90)} for nine of ten"


def _names(noise: Iterable[Noise], counted: Callable[[Noise], int]) -> str:
    """The five that have most of something."""
    found = sorted(((counted(one), one.name) for one in noise), key=lambda one: (-one[0], one[1]))
    return ", ".join(f"{name} ({count:,})" for count, name in found[:_NAMED] if count)


_ABOUT: Final[Sequence[tuple[str, Callable[[Noise], int]]]] = (
    ("most often", lambda one: one.fired),
    ("never seen to", lambda one: one.unseen if one.unseen == one.fired else 0),
    ("most silenced", lambda one: one.silenced),
    ("coming and going", lambda one: one.fired if one.flapping else 0),
)
