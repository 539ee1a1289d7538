"""What ended and how much of it well: five minutes and hours of counts, which add up.

Three ways lead here. What the platform's processes see of themselves (requests, looks at health) is
collected in memory, for the whole platform. What events tell of is counted from the outbox, each
once, for the tenant whose it is. What objectives ask of series is looked up by a clock
(:mod:`backend.managers.monitoring._measuring`). An objective that is asked for reads these counts
and looks at nothing else, so that alerts and pages say the same and cost nothing.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, DatabaseUnavailableError, ReadTx, Tx
from backend.core.events import Event, EventCursor, EventRecord
from backend.core.room import Ending
from backend.core.telemetry import RequestRecord
from backend.managers.monitoring._budget import BURN_SECONDS, Counted
from backend.managers.monitoring._history import Health, status_of
from backend.managers.monitoring.errands import PLATFORM_SLOS
from backend.managers.monitoring.models import OutcomeHeadRow, OutcomeRow

STEP: Final = 300
HOUR: Final = 3600
_STEP_NS: Final = STEP * 1_000_000_000
CURSOR: Final = "monitoring.outcomes"
SERVED_REQUESTS: Final = "requests_served"
FAST_MS: Final = 100
FAST_REQUESTS: Final = f"requests_within_{FAST_MS}_ms"
LOOKS: Final = "health"
SETTLED_SECONDS: Final = 90
"""How long ago what is asked for ends: until then it is being written."""
_KEEP: Final = {STEP: timedelta(days=4), HOUR: timedelta(days=190)}
"""Three days' burn rates, and two windows of ninety days."""
_SWEPT: Final = 5000
_FLUSH_SECONDS: Final = 60.0
_MAX_WAITING: Final = 10_000
_SERVER_ERROR: Final = 500

logger = logging.getLogger(__name__)


class OutcomeBook:
    """What this process has seen of the platform since it wrote last."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], Counted] = {}
        self._written_at: datetime | None = None

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Count finished requests; what the console reads counts nowhere."""
        alike = Counter(
            (
                record.started_ns // _STEP_NS,
                record.status < _SERVER_ERROR,
                record.seconds * 1000 < FAST_MS,
            )
            for record in records
            if not record.looks_on
        )
        for (step, served, fast), count in alike.items():
            self._add(SERVED_REQUESTS, step * STEP, Counted(count * served, count))
            self._add(FAST_REQUESTS, step * STEP, Counted(count * fast, count))

    def note(self, at: datetime, found: Sequence[Health]) -> None:
        """Count a look at the platform's health: good is what still serves."""
        good = int(status_of(found) != "not_ready")
        self._add(LOOKS, int(at.timestamp()), Counted(good, 1))

    def _add(self, counted: str, second: int, amount: Counted) -> None:
        key = (counted, second - second % STEP)
        # Bounded while the database is away; the newest are what one asks for first.
        if key not in self._open and len(self._open) >= _MAX_WAITING:
            del self._open[min(self._open, key=lambda one: one[1])]
        self._open[key] = self._open.get(key, Counted(0, 0)) + amount

    async def flush(self, database: Database, *, everything: bool = False) -> int:
        """Write what was counted, once a minute or at the end; returns how many counts.

        While the database is away they wait.
        """
        now = database.clock()
        if self._written_at is None:
            self._written_at = now
        due = (now - self._written_at).total_seconds() >= _FLUSH_SECONDS
        if not self._open or not (due or everything):
            return 0
        taken, self._open = self._open, {}
        try:
            async with database.transaction(SystemScope(PLATFORM_SLOS)) as tx:
                for (counted, second), amount in sorted(taken.items()):
                    await add(tx, counted, second, amount)
        except DatabaseUnavailableError:
            logger.warning("outcomes_wait_for_the_database", extra={"counts": len(taken)})
            for key, amount in taken.items():
                self._open[key] = self._open.get(key, Counted(0, 0)) + amount
            return 0
        self._written_at = now
        return len(taken)


class EventOutcomes:
    """Counts what events tell the end of."""

    def __init__(self) -> None:
        self._endings: Mapping[str, Ending] = {}

    def connect(self, endings: Mapping[str, Ending]) -> None:
        """Tell what the rooms' events tell of."""
        self._endings = dict(endings)

    @property
    def kinds(self) -> Collection[str]:
        """The events that are counted."""
        return self._endings.keys()

    @property
    def names(self) -> Sequence[str]:
        """What there are outcomes of."""
        return sorted({one.of for one in self._endings.values()})

    async def take(self, database: Database, tenant_id: str, events: Sequence[Event]) -> None:
        """Count events, each once however often it is handed over."""
        if not any(event.kind in self._endings for event in events):
            return
        async with database.transaction(Scope("system:monitoring", tenant_id)) as tx:
            await tx.insert_missing(
                OutcomeHeadRow, [{"tenant_id": tenant_id, "seq": 0}], conflict=["tenant_id"]
            )
            seen = await tx.scalar(
                sa.select(OutcomeHeadRow.seq)
                .where(OutcomeHeadRow.tenant_id == tenant_id)
                .with_for_update()
            )
            for (counted, second), amount in sorted(self._counted(events, seen).items()):
                await add(tx, counted, second, amount)
            await tx.execute(
                sa.update(OutcomeHeadRow)
                .where(OutcomeHeadRow.tenant_id == tenant_id)
                .values(seq=max(seen, events[-1].seq))
                .execution_options(synchronize_session=False)
            )

    def _counted(self, events: Iterable[Event], seen: int) -> dict[tuple[str, int], Counted]:
        good: Counter[tuple[str, int]] = Counter()
        total: Counter[tuple[str, int]] = Counter()
        for event in events:
            ending = self._endings.get(event.kind)
            if ending is None or event.seq <= seen:
                continue
            second = int(event.at.timestamp())
            key, times = (ending.of, second - second % STEP), int(event.data.get("count", 1))
            total[key] += times
            good[key] += times * ending.well
        return {key: Counted(good[key], total[key]) for key in total}

    async def counted_until(self, tx: ReadTx) -> datetime:
        """Until when the tenant's events are counted: now, or when the first was that is not."""
        cursor = await tx.scalar(
            sa.select(EventCursor.seq).where(
                EventCursor.tenant_id == tx.tenant_id, EventCursor.name == CURSOR
            )
        )
        waiting = await tx.scalar(
            sa.select(EventRecord.at)
            .where(
                EventRecord.tenant_id == tx.tenant_id,
                EventRecord.seq > (cursor or 0),
                EventRecord.kind.in_(list(self._endings)),
            )
            .order_by(EventRecord.seq)
            .limit(1)
        )
        return tx.now() if waiting is None else waiting


async def add(tx: Tx, counted: str, second: int, amount: Counted) -> None:
    """Add to the five minutes and the hour that ``second``, since 1970, lies in."""
    for step in (STEP, HOUR):
        row = _row(tx, step, counted, second, amount)
        await tx.add_up(OutcomeRow, row, amounts=["good", "total"])


async def put(tx: Tx, counted: str, found: Mapping[int, Counted]) -> None:
    """Set five minutes, by their first seconds, and make the hours anew that they lie in.

    Doing it twice changes nothing, so what came late is counted when it is there.
    """
    for second, amount in sorted(found.items()):
        values = {"good": amount.good, "total": amount.total}
        await tx.upsert(
            OutcomeRow,
            _row(tx, STEP, counted, second, amount),
            conflict=["tenant_id", "step_seconds", "counted", "at"],
            update=values,
        )
    for hour in sorted({second - second % HOUR for second in found}):
        good, total = (
            await tx.execute(
                sa.select(sa.func.sum(OutcomeRow.good), sa.func.sum(OutcomeRow.total)).where(
                    *_of(tx, STEP, [counted]),
                    OutcomeRow.at >= _moment(hour),
                    OutcomeRow.at < _moment(hour + HOUR),
                )
            )
        ).one()
        amount = Counted(int(good or 0), int(total or 0))
        await tx.upsert(
            OutcomeRow,
            _row(tx, HOUR, counted, hour, amount),
            conflict=["tenant_id", "step_seconds", "counted", "at"],
            update={"good": amount.good, "total": amount.total},
        )


async def forget(tx: Tx, counted: str) -> None:
    """Forget all counts of an objective."""
    await tx.execute(
        sa.delete(OutcomeRow)
        .where(
            OutcomeRow.tenant_id == tx.tenant_id,
            OutcomeRow.step_seconds.in_([STEP, HOUR]),
            OutcomeRow.counted == counted,
        )
        .execution_options(synchronize_session=False)
    )


async def sweep(tx: Tx) -> int:
    """Forget a bite of what is older than its kind is kept; returns how many rows."""
    gone = 0
    for step, keep in _KEEP.items():
        gone += await tx.delete_some(
            OutcomeRow,
            OutcomeRow.step_seconds == step,
            OutcomeRow.at < tx.now() - keep,
            limit=_SWEPT,
            by=OutcomeRow.at,
        )
    return gone


async def looked_until(tx: ReadTx) -> datetime | None:
    """Until when any process of the platform saw it and wrote so; None: never."""
    newest = await tx.scalar(sa.select(sa.func.max(OutcomeRow.at)).where(*_of(tx, STEP, [LOOKS])))
    return None if newest is None else min(newest + timedelta(seconds=STEP), tx.now())


async def read_burning(tx: ReadTx, counted: Collection[str]) -> Mapping[str, Mapping[int, Counted]]:
    """Of each, the counts of the windows that burn rates are of, by their lengths in seconds."""
    end = int(tx.now().timestamp()) - SETTLED_SECONDS
    end -= end % STEP
    columns = [
        _sum_since(column, _moment(end - seconds))
        for seconds in BURN_SECONDS
        for column in (OutcomeRow.good, OutcomeRow.total)
    ]
    rows = await tx.execute(
        sa.select(OutcomeRow.counted, *columns)
        .where(
            *_of(tx, STEP, counted),
            OutcomeRow.at >= _moment(end - BURN_SECONDS[-1]),
            OutcomeRow.at < _moment(end),
        )
        .group_by(OutcomeRow.counted)
    )
    found = {name: dict.fromkeys(BURN_SECONDS, Counted(0, 0)) for name in counted}
    for name, *sums in rows:
        pairs = zip(sums[::2], sums[1::2], strict=True)
        found[name] = {
            seconds: Counted(int(good), int(total))
            for seconds, (good, total) in zip(BURN_SECONDS, pairs, strict=True)
        }
    return found


async def read_windows(
    tx: ReadTx, counted: Collection[str], days: int
) -> Mapping[str, tuple[Counted, Counted]]:
    """Of each, the last ``days`` and as many before; to the hour."""
    end = int(tx.now().timestamp()) // HOUR * HOUR + HOUR
    since = _moment(end - days * 86_400)
    columns = [_sum_since(one, since) for one in (OutcomeRow.good, OutcomeRow.total)]
    rows = await tx.execute(
        sa.select(
            OutcomeRow.counted,
            *columns,
            sa.func.sum(OutcomeRow.good),
            sa.func.sum(OutcomeRow.total),
        )
        .where(*_of(tx, HOUR, counted), OutcomeRow.at >= _moment(end - 2 * days * 86_400))
        .group_by(OutcomeRow.counted)
    )
    found = dict.fromkeys(counted, (Counted(0, 0), Counted(0, 0)))
    for name, good, total, all_good, all_total in rows:
        now = Counted(int(good), int(total))
        found[name] = now, Counted(int(all_good) - now.good, int(all_total) - now.total)
    return found


async def read_days(tx: ReadTx, counted: str, days: int) -> Sequence[tuple[datetime, Counted]]:
    """Each of the last ``days``, which end with the present hour, the first one first."""
    end = int(tx.now().timestamp()) // HOUR * HOUR + HOUR
    begin = end - days * 86_400
    rows = await tx.execute(
        sa.select(OutcomeRow.at, OutcomeRow.good, OutcomeRow.total).where(
            *_of(tx, HOUR, [counted]), OutcomeRow.at >= _moment(begin)
        )
    )
    found = [Counted(0, 0)] * days
    for at, good, total in rows:
        place = (int(at.timestamp()) - begin) // 86_400
        found[place] += Counted(good, total)
    return [(_moment(begin + day * 86_400), one) for day, one in enumerate(found)]


def _of(tx: ReadTx, step: int, counted: Collection[str]) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        OutcomeRow.tenant_id == tx.tenant_id,
        OutcomeRow.step_seconds == step,
        OutcomeRow.counted.in_(list(counted)),
    )


def _sum_since(column: Any, since: datetime) -> sa.ColumnElement[Any]:
    return sa.func.sum(sa.case((OutcomeRow.at >= since, column), else_=0))


def _row(tx: Tx, step: int, counted: str, second: int, amount: Counted) -> dict[str, Any]:
    return {
        "tenant_id": tx.tenant_id,
        "step_seconds": step,
        "counted": counted,
        "at": _moment(second - second % step),
        "good": amount.good,
        "total": amount.total,
    }


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
