"""How the platform was: looks at its health, kept by the minute for a day and by the hour for long.

A look that could not be made is no look: a platform that nobody ran was not up, and not known to
be down either. So uptime is a share of looks, and how much of the time was looked at stands beside
it.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, DatabaseUnavailableError, ReadTx, Tx
from backend.managers.monitoring.errands import HISTORY
from backend.managers.monitoring.models import HealthSampleRow

PROBE_SECONDS: Final = 10
MINUTE: Final = 60
HOUR: Final = 3600
MAX_HOURS: Final = 90 * 24
_BY_MINUTE_HOURS: Final = 24
_KEEP: Final = {MINUTE: timedelta(hours=_BY_MINUTE_HOURS + 1), HOUR: timedelta(days=400)}
_SWEPT: Final = 1000
_MAX_WAITING: Final = 24 * 60
"""Minutes that are remembered while the database is away, each of which failed for one reason."""
_MAX_DETAIL: Final = 200
_WHOLE: Final = ""
_LATELY: Final = timedelta(minutes=4)

Status = Literal["ready", "degraded", "not_ready"]
Was = Literal["ready", "degraded", "not_ready", "not_measured"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """What one dependency answered and how long it took, in milliseconds."""

    name: str
    ok: bool
    required: bool
    milliseconds: float
    detail: str


def status_of(found: Iterable[Health]) -> Status:
    """Ready when all works; degraded when only what is not required fails."""
    failing = [health for health in found if not health.ok]
    if any(health.required for health in failing):
        return "not_ready"
    return "degraded" if failing else "ready"


@dataclass(frozen=True, slots=True)
class HealthPoint:
    """One step: the worst it was, and which checks failed in it."""

    at: datetime
    status: Was
    failing: Sequence[str]


@dataclass(frozen=True, slots=True)
class CheckShare:
    """One check over a window; ``uptime`` is the share of looks that found it well."""

    name: str
    uptime: float | None


@dataclass(frozen=True, slots=True)
class Incident:
    """A check that failed in one step after another.

    Attributes:
        name: The check.
        started_at: When its first step began.
        ended_at: When its last step ended; None: it fails in the last step that was looked at.
        detail: What it said last.
    """

    name: str
    started_at: datetime
    ended_at: datetime | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class HealthHistory:
    """A window of how the platform was.

    Attributes:
        since: When the first step begins.
        until: When the last step ends: before the present one, which is not over.
        step_seconds: 60 for a day at most, else 3600.
        uptime: Share of looks at which it was ready or degraded; None: nobody looked.
        measured: Share of steps in which anybody looked.
        checks: Those there are and those that failed, by name.
        points: One a step.
        incidents: The latest first.
    """

    since: datetime
    until: datetime
    step_seconds: int
    uptime: float | None
    measured: float
    checks: Sequence[CheckShare]
    points: Sequence[HealthPoint]
    incidents: Sequence[Incident]


@dataclass(slots=True)
class _Sample:
    looked: int = 0
    impaired: int = 0
    failed: int = 0
    detail: str | None = None

    def add(self, other: "_Sample | HealthSampleRow") -> None:
        self.looked += other.looked
        self.impaired += other.impaired
        self.failed += other.failed
        self.detail = other.detail or self.detail


@dataclass(slots=True)
class _Minute:
    samples: dict[str, _Sample] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Whether anything failed in it."""
        return len(self.samples) > 1

    def note(self, found: Sequence[Health]) -> None:
        whole, status = self.samples.setdefault(_WHOLE, _Sample()), status_of(found)
        whole.add(_Sample(1, int(status == "degraded"), int(status == "not_ready")))
        for health in found:
            if not health.ok:
                sample = self.samples.setdefault(health.name, _Sample())
                sample.add(_Sample(1, 0, 1, health.detail[:_MAX_DETAIL]))


class HealthBook:
    """Collects looks in memory, writes the minutes that are over, reads windows."""

    def __init__(self) -> None:
        self._open: dict[int, _Minute] = {}

    def note(self, at: datetime, found: Sequence[Health]) -> None:
        """Remember one look."""
        minute = int(at.timestamp()) // MINUTE
        self._open.setdefault(minute, _Minute()).note(found)

    async def flush(self, database: Database, *, everything: bool = False) -> int:
        """Write the minutes that are over (or all, at the end); returns how many.

        What was seen of one in which something failed is written at once: whoever waits for that
        need not wait for its end. While the database is away they wait, the newest of a day: how
        long it was away is what one wants to read afterwards.
        """
        current = int(database.clock().timestamp()) // MINUTE
        ready = sorted(
            minute
            for minute, found in self._open.items()
            if everything or minute < current or found.is_bad
        )
        written = 0
        for minute in ready:
            samples = self._open[minute].samples
            try:
                async with database.transaction(SystemScope(HISTORY)) as tx:
                    for step in (MINUTE, HOUR):
                        for name in sorted(samples):
                            await _add(tx, step, minute, name, samples[name])
            except DatabaseUnavailableError:
                logger.warning("health_waits_for_the_database", extra={"minutes": len(self._open)})
                for old in sorted(self._open)[:-_MAX_WAITING]:
                    del self._open[old]
                break
            del self._open[minute]
            written += 1
        return written

    async def read(self, tx: ReadTx, *, hours: int, checks: Iterable[str]) -> HealthHistory:
        """The last ``hours`` (1 to 2160) without the step that is not over.

        Args:
            tx: Under :data:`HISTORY`.
            hours: By the minute up to a day, by the hour beyond.
            checks: Names of those there are: one that never failed has no row.
        """
        step = MINUTE if hours <= _BY_MINUTE_HOURS else HOUR
        end = int(tx.now().timestamp()) // step
        begin = end - hours * HOUR // step
        rows = await tx.scalars(
            sa.select(HealthSampleRow)
            .where(
                HealthSampleRow.tenant_id == tx.tenant_id,
                HealthSampleRow.step_seconds == step,
                HealthSampleRow.at >= _moment(begin, step),
                HealthSampleRow.at < _moment(end, step),
            )
            .order_by(HealthSampleRow.at, HealthSampleRow.name)
        )
        by_step: dict[int, dict[str, HealthSampleRow]] = {}
        whole, failed = _Sample(), dict.fromkeys(sorted(checks), 0)
        for row in rows:
            by_step.setdefault(int(row.at.timestamp()) // step, {})[row.name] = row
            if row.name == _WHOLE:
                whole.add(row)
            else:
                failed[row.name] = failed.get(row.name, 0) + row.failed
        looked = whole.looked
        return HealthHistory(
            since=_moment(begin, step),
            until=_moment(end, step),
            step_seconds=step,
            uptime=1 - whole.failed / looked if looked else None,
            measured=sum(_WHOLE in found for found in by_step.values()) / (end - begin),
            checks=[
                CheckShare(name, 1 - count / looked if looked else None)
                for name, count in sorted(failed.items())
            ],
            points=[_point(at, step, by_step.get(at, {})) for at in range(begin, end)],
            incidents=_incidents(by_step, step),
        )

    async def read_last(self, tx: ReadTx) -> HealthPoint | None:
        """The newest minute of the last few that was looked at; None: there is none.

        Args:
            tx: Under :data:`HISTORY`.
        """
        rows = await tx.scalars(
            sa.select(HealthSampleRow).where(
                HealthSampleRow.tenant_id == tx.tenant_id,
                HealthSampleRow.step_seconds == MINUTE,
                HealthSampleRow.at >= tx.now() - _LATELY,
            )
        )
        by_minute: dict[int, dict[str, HealthSampleRow]] = {}
        for row in rows:
            by_minute.setdefault(int(row.at.timestamp()) // MINUTE, {})[row.name] = row
        if not by_minute:
            return None
        newest = max(by_minute)
        return _point(newest, MINUTE, by_minute[newest])

    async def sweep(self, tx: Tx) -> int:
        """Forget up to a thousand rows that are older than their kind is kept."""
        gone = 0
        for step, keep in _KEEP.items():
            gone += await tx.delete_some(
                HealthSampleRow,
                HealthSampleRow.tenant_id == tx.tenant_id,
                HealthSampleRow.step_seconds == step,
                HealthSampleRow.at < tx.now() - keep,
                limit=_SWEPT,
                by=HealthSampleRow.at,
            )
        return gone


async def _add(tx: Tx, step: int, minute: int, name: str, sample: _Sample) -> None:
    at = _moment(minute * MINUTE // step, step)
    key = {"tenant_id": tx.tenant_id, "step_seconds": step, "at": at, "name": name}
    counted = {
        "looked": sample.looked,
        "impaired": sample.impaired,
        "failed": sample.failed,
    }
    row = {**key, **counted, "detail": sample.detail}
    await tx.add_up(HealthSampleRow, row, amounts=list(counted))
    if sample.detail:
        await tx.execute(
            sa.update(HealthSampleRow)
            .where(*(getattr(HealthSampleRow, column) == value for column, value in key.items()))
            .values(detail=sample.detail)
        )


def _moment(number: int, step: int) -> datetime:
    return datetime.fromtimestamp(number * step, UTC)


def _point(number: int, step: int, found: Mapping[str, HealthSampleRow]) -> HealthPoint:
    whole = found.get(_WHOLE)
    status: Was = "not_measured"
    if whole is not None:
        status = "not_ready" if whole.failed else "degraded" if whole.impaired else "ready"
    return HealthPoint(_moment(number, step), status, [name for name in found if name != _WHOLE])


def _incidents(
    by_step: Mapping[int, Mapping[str, HealthSampleRow]], step: int
) -> Sequence[Incident]:
    last = max(by_step, default=0)
    found: list[Incident] = []
    for name in {name for rows in by_step.values() for name in rows if name != _WHOLE}:
        failing = sorted(number for number, rows in by_step.items() if name in rows)
        first = failing[0]
        for number, after in zip(failing, [*failing[1:], None], strict=True):
            if after == number + 1:
                continue
            over = number < last
            ended = _moment(number + 1, step) if over else None
            detail = by_step[number][name].detail
            found.append(Incident(name, _moment(first, step), ended, detail))
            first = after or 0
    return sorted(found, key=lambda one: (one.started_at, one.name), reverse=True)
