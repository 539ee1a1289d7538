"""What alerts were like: how soon people saw to them, how long they lasted, and which are noise."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median, quantiles
from typing import Final

import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.core.ids import uuid7_at
from backend.managers.alerting.models import AlertRow

MOST: Final = 20_000
"""Alerts that are looked at, the newest."""
TOP: Final = 20
FLAPS: Final = 5
"""Times in a day that make an alert one that comes and goes."""
_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta(milliseconds=1)
_TENTHS: Final = 10


@dataclass(frozen=True, slots=True)
class Spans:
    """How long something took, in seconds; None: it never happened."""

    count: int
    median: float | None
    p90: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What an alert of one name came to.

    Attributes:
        flapping: It fired five times within a day.
        unseen: How many were over without anybody having seen to them.
        silenced: Of how many nobody was told for a silence.
    """

    name: str
    rule_id: str | None
    fired: int
    unseen: int
    silenced: int
    flapping: bool
    lasts: Spans
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What alerts were like in some days.

    Attributes:
        complete: Whether these are all; if not, they are the newest.
        unseen: How many were over without anybody having seen to them.
        silenced: Of how many nobody was told for a silence.
        days: How many fired on each day, by UTC, the first day first.
        noise: By name, what fired most first.
    """

    since: datetime
    fired: int
    complete: bool
    by_severity: Mapping[str, int]
    unseen: int
    silenced: int
    acknowledged: Spans
    resolved: Spans
    days: Sequence[tuple[date, int]]
    noise: Sequence[Noise]


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    rule_id: str | None
    severity: str
    fired_at: datetime
    acknowledged_at: datetime | None
    ended_at: datetime | None
    silenced_at: datetime | None

    @property
    def is_unseen(self) -> bool:
        return self.ended_at is not None and self.acknowledged_at is None


async def look_back(tx: ReadTx, *, days: int) -> Callable[[], History]:
    """Read what fired in the last days, and how it is worked out what it was like."""
    # What begins at this very moment counts.
    return await look_between(tx, tx.now() - days * _DAY, tx.now() + _TICK)


async def look_between(
    tx: ReadTx, since: datetime, until: datetime, *, names: int | None = TOP
) -> Callable[[], History]:
    """Read what began then and fired, and how it is worked out what it was like.

    Args:
        tx: Of the tenant.
        since: When the first one may have begun.
        until: Up to when; this moment is not in it any more.
        names: Of how many names, those that fired most, it is said what they came to; None: of all.
    """
    rows = await tx.execute(
        sa.select(
            AlertRow.name,
            AlertRow.rule_id,
            AlertRow.severity,
            AlertRow.fired_at,
            AlertRow.acknowledged_at,
            AlertRow.ended_at,
            AlertRow.silenced_at,
        )
        .where(
            AlertRow.tenant_id == tx.tenant_id,
            AlertRow.id >= uuid7_at(since),
            AlertRow.id < uuid7_at(until),
            AlertRow.fired_at.is_not(None),
        )
        .order_by(AlertRow.id.desc())
        .limit(MOST + 1)
    )
    found = [_Seen(*row) for row in rows]
    complete = len(found) <= MOST
    return lambda: _work_out(found[:MOST], since, until, complete=complete, names=names)


def _work_out(
    found: Sequence[_Seen],
    since: datetime,
    until: datetime,
    *,
    complete: bool,
    names: int | None,
) -> History:
    per_day = Counter(one.fired_at.date() for one in found)
    first = since.date()
    each = [first + n * _DAY for n in range((until.date() - first).days + 1)]
    by_name: dict[tuple[str, str | None], list[_Seen]] = defaultdict(list)
    for one in found:
        by_name[one.name, one.rule_id].append(one)
    noise = [_noise(name, rule_id, some) for (name, rule_id), some in by_name.items()]
    return History(
        since=since,
        fired=len(found),
        complete=complete,
        by_severity=Counter(one.severity for one in found),
        unseen=sum(one.is_unseen for one in found),
        silenced=sum(one.silenced_at is not None for one in found),
        acknowledged=_spans((one.fired_at, one.acknowledged_at) for one in found),
        resolved=_spans((one.fired_at, one.ended_at) for one in found),
        days=[(day, per_day[day]) for day in each],
        noise=sorted(noise, key=lambda one: (-one.fired, one.name))[:names],
    )


def _noise(name: str, rule_id: str | None, some: Sequence[_Seen]) -> Noise:
    times = sorted(one.fired_at for one in some)
    return Noise(
        name=name,
        rule_id=rule_id,
        fired=len(some),
        unseen=sum(one.is_unseen for one in some),
        silenced=sum(one.silenced_at is not None for one in some),
        flapping=any(
            last - first <= _DAY for first, last in zip(times, times[FLAPS - 1 :], strict=False)
        ),
        lasts=_spans((one.fired_at, one.ended_at) for one in some),
        last_at=times[-1],
    )


def _spans(pairs: Iterable[tuple[datetime, datetime | None]]) -> Spans:
    took = [(end - begin).total_seconds() for begin, end in pairs if end is not None]
    if len(took) < 2:
        return Spans(len(took), took[0] if took else None, took[0] if took else None)
    return Spans(len(took), median(took), quantiles(took, n=_TENTHS, method="inclusive")[-1])
