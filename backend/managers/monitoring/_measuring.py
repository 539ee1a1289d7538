"""What objectives ask of series and requests, looked up every minute by one process of the fleet.

The last hour is made anew each time: what a process wrote late, because the database was away, is
counted when it is there, and a process that dies in the middle leaves nothing half done.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, ReadTx
from backend.core.errors import AppError
from backend.core.ids import uuid7
from backend.managers.metrics import MetricsManager, Wanted, list_series, query
from backend.managers.monitoring import _outcomes
from backend.managers.monitoring._budget import Counted
from backend.managers.monitoring._outcomes import SETTLED_SECONDS, STEP
from backend.managers.monitoring._slos import METRIC, REQUESTS, Slo, Slos
from backend.managers.monitoring.errands import MEASURED
from backend.managers.monitoring.models import SloRow

MEASURE_SECONDS: Final = 60
_BACK: Final = timedelta(hours=1)
_ACTOR: Final = "system:monitoring"

logger = logging.getLogger(__name__)


class Measuring:
    """The clock's work."""

    def __init__(self, metrics: MetricsManager, slos: Slos) -> None:
        self._metrics = metrics
        self._slos = slos
        self._holder = uuid7()

    async def run(self, database: Database) -> int:
        """Measure what a clock measures; returns how many objectives, 0 where another one does."""
        async with database.transaction(SystemScope(MEASURED)) as tx:
            if not await tx.take_lease("monitoring.slos", self._holder, 0.9 * MEASURE_SECONDS):
                return 0
        async with database.read(SystemScope(MEASURED)) as view:
            tenants = await view.scalars(
                sa.select(SloRow.tenant_id)
                .where(SloRow.source.in_([REQUESTS, METRIC]))
                .distinct()
                .order_by(SloRow.tenant_id)
            )
        return sum([await self._measure(database, tenant_id) for tenant_id in tenants])

    async def _measure(self, database: Database, tenant_id: str) -> int:
        scope = Scope(_ACTOR, tenant_id)
        async with database.read(scope) as view:
            slos = await self._slos.list_by_clock(view)
            # Read first: on SQLite nobody else writes while a transaction that writes is open.
            found = [(slo, *await self._look(view, slo)) for slo in slos]
            until = _last_step(view.now())
        async with database.transaction(scope) as tx:
            for slo, counts, problem in found:
                if problem is None and slo.kind == "freshness":
                    for second, amount in counts.items():
                        await _outcomes.add(tx, slo.id, second, amount)
                elif problem is None:
                    await _outcomes.put(tx, slo.id, counts)
                await tx.execute(
                    sa.update(SloRow)
                    .where(
                        SloRow.tenant_id == tx.tenant_id,
                        SloRow.id == slo.id,
                        # Somebody asks for something else since: these are not its counts.
                        SloRow.updated_at == slo.updated_at,
                    )
                    .values(problem=problem, **({} if problem else {"measured_until": until}))
                )
        return len(found)

    async def _look(self, view: ReadTx, slo: Slo) -> tuple[Mapping[int, Counted], str | None]:
        """Counts by the first second of their five minutes, and why there are none."""
        try:
            if slo.kind == "freshness":
                return await _freshness(view, slo)
            until = _last_step(view.now())
            since = max(until - _BACK, _step_of(slo.created_at))
            if since >= until:
                return {}, None
            if slo.source == REQUESTS:
                served = await self._metrics.count_served(
                    view, since=since, until=until, step=STEP, within_ms=slo.within_ms
                )
                return {second: Counted(*pair) for second, pair in served.items()}, None
            return await self._counters(view, slo, since, until)
        except AppError as exc:
            logger.warning("slo_not_measured", extra={"slo": slo.id, "code": exc.code})
            return {}, f"{exc.title}: {exc.detail}" if exc.detail else exc.title

    async def _counters(
        self, view: ReadTx, slo: Slo, since: datetime, until: datetime
    ) -> tuple[Mapping[int, Counted], str | None]:
        sums: list[Sequence[float | None]] = []
        for name in (slo.metric or "", slo.good_metric or ""):
            wanted = Wanted(
                name=name,
                aggregate="sum",
                since=since,
                until=until,
                labels={},
                points=int((until - since).total_seconds()) // STEP,
            )
            asked = await query(view, wanted)
            answer = await asked.answer(self._metrics.turns)
            if answer.kind is None:
                return {}, f"The metric {name} has not been recorded yet."
            sums.append(answer.lines[0].points)
        begin = int(since.timestamp())
        found = {}
        for number, (total, good) in enumerate(zip(*sums, strict=True)):
            all_, well = round(total or 0), round(good or 0)
            if well > all_:
                return {}, f"{slo.good_metric} grows by more than {slo.metric}, of which it is."
            found[begin + number * STEP] = Counted(well, all_)
        return found, None


async def _freshness(view: ReadTx, slo: Slo) -> tuple[Mapping[int, Counted], str | None]:
    series = await list_series(view, slo.metric or "", limit=1)
    if not series:
        return {}, f"The metric {slo.metric} has not been recorded yet."
    age = (view.now() - series[0].last_at).total_seconds()
    second = int(view.now().timestamp())
    fresh = age <= (slo.within_seconds or 0)
    return {second - second % STEP: Counted(int(fresh), 1)}, None


def _last_step(now: datetime) -> datetime:
    return _step_of(now - timedelta(seconds=SETTLED_SECONDS))


def _step_of(at: datetime) -> datetime:
    second = int(at.timestamp())
    return datetime.fromtimestamp(second - second % STEP, UTC)
