"""The price of a look: ten thousand rules on metrics, against the bare questions that they ask.

Ours takes the rules that are due, asks, reckons, compares, and keeps what came of each. The
reference sends the four statements of each rule by SQLAlchemy Core on one connection, fetches their
rows, and does nothing with them.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
import uvloop

from backend.core.clock import perf_counter
from backend.core.context import Scope
from backend.core.database import Base, Database, make_engine
from backend.core.ids import uuid7
from backend.core.row_security import begin_with
from backend.managers.alerting import MetricCondition
from backend.managers.alerting._finding import Senses
from backend.managers.alerting._looking import Looking
from backend.managers.alerting.models import AlertRuleRow
from backend.managers.metrics import Item, MetricsManager
from backend.managers.metrics.models import ChunkRow, MetricTenantRow, SeriesRow
from backend.managers.monitoring import MonitoringManager
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.stores import REFERENCE, migrated, opened
from tests.support.alert_rules import make_rules

RULES: Final = 10_000
FLOOR: Final = 0.5
_METRICS: Final = 1000
_WINDOW: Final = 300
_LEVEL: Final = 60
_ASKED: Final = 1000
_AT: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)


def run_case(case: str, rounds: int, rules: int = RULES) -> Result:
    """Evaluations a second; all rules are one tenant's, ten on each of a thousand metrics.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or a rule could not be measured.
    """
    tenant_id = uuid7()
    with migrated(case) as url:
        uvloop.run(_fill(url, tenant_id, rules))
        mine, theirs = alternate(
            rounds,
            lambda: uvloop.run(_look(url, tenant_id, rules)),
            lambda: uvloop.run(_ask(url, tenant_id)),
        )
    return Result("alert-eval", case, mine, theirs, REFERENCE, "evaluations/s", FLOOR)


async def _fill(url: str, tenant_id: str, rules: int) -> None:
    """Six minutes of a thousand counters, rolled up, and the rules."""
    scope, now = Scope("bench", tenant_id), _AT
    metrics = MetricsManager()
    async with opened(url, clock=lambda: now) as database:
        for minute in range(6, 0, -1):
            now = _AT - timedelta(minutes=minute)
            for start in range(0, _METRICS, 500):
                items = [
                    Item(name=f"metric_{one}", kind="counter", value=1.0, labels={"shop": "a"})
                    for one in range(start, start + 500)
                ]
                await metrics.recording.record(database, scope, items)
            await metrics.fold(database)
        now = _AT
        await metrics.roll_up(database)
        async with database.transaction(scope) as tx:
            await make_rules(tx, [_condition(number) for number in range(rules)])


def _condition(number: int) -> MetricCondition:
    return MetricCondition(
        metric=f"metric_{number % _METRICS}",
        aggregate="sum",
        compare=">",
        threshold=1000 + number,
        window_seconds=_WINDOW,
    )


async def _look(url: str, tenant_id: str, rules: int) -> float:
    metrics = MetricsManager()
    monitoring = MonitoringManager(metrics=metrics)
    # Rules of metrics alone are measured: what else could be looked into is not there.
    nothing: Any = None
    looking = Looking(partial(Senses, metrics, monitoring, nothing, nothing))
    scope = Scope("bench", tenant_id)
    async with opened(url, clock=lambda: _AT) as database:
        async with database.transaction(scope) as tx:
            await tx.execute(
                sa.update(AlertRuleRow)
                .where(AlertRuleRow.tenant_id == tx.tenant_id)
                .values(next_at=tx.now())
                .execution_options(synchronize_session=False)
            )
        looked, began = 0, perf_counter()
        while looked < rules:
            some = (await looking.run(database)).rules
            looked += some
            if not some:
                break
        seconds = perf_counter() - began
        await _refuse_unmeasured(database, scope)
    if looked != rules:
        raise BenchmarkError(f"{looked} of {rules} rules were looked at")
    return rules / seconds


async def _refuse_unmeasured(database: Database, scope: Scope) -> None:
    async with database.read(scope) as view:
        problem = await view.scalar(
            sa.select(AlertRuleRow.problem)
            .where(AlertRuleRow.tenant_id == view.tenant_id, AlertRuleRow.problem.is_not(None))
            .limit(1)
        )
    if problem is not None:
        raise BenchmarkError(f"a rule could not be measured: {problem}")


async def _ask(url: str, tenant_id: str) -> float:
    """What a rule reads, for some of the rules."""
    tenant, series, chunk = (
        Base.metadata.tables[model.__tablename__]
        for model in (MetricTenantRow, SeriesRow, ChunkRow)
    )
    since = int(_AT.timestamp()) - _WINDOW
    engine = make_engine(url)
    try:
        began = perf_counter()
        async with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                # No look at a tenant's table is let through that does not say whose.
                named = begin_with(Scope("bench", tenant_id))
                await connection.exec_driver_sql(named.decode())
            for number in range(_ASKED):
                await connection.execute(sa.select(tenant).where(tenant.c.tenant_id == tenant_id))
                found = await connection.execute(
                    sa.select(series.c.id, series.c.kind, series.c.labels, series.c.created_at)
                    .where(
                        series.c.tenant_id == tenant_id,
                        series.c.name == f"metric_{number % _METRICS}",
                    )
                    .order_by(series.c.id)
                )
                of_grid = (
                    chunk.c.tenant_id == tenant_id,
                    chunk.c.step_seconds == _LEVEL,
                    chunk.c.series_id.in_([row.id for row in found]),
                    chunk.c.start_seconds >= since - 3600,
                    chunk.c.start_seconds < since + _WINDOW,
                )
                size = sa.func.sum(sa.func.length(chunk.c.windows))
                await connection.execute(sa.select(size).where(*of_grid))
                rows = await connection.execute(
                    sa.select(chunk.c.series_id, chunk.c.start_seconds, chunk.c.windows)
                    .where(*of_grid)
                    .order_by(chunk.c.series_id, chunk.c.start_seconds)
                )
                if not rows.all():
                    raise BenchmarkError("there is nothing to look at")
        return _ASKED / (perf_counter() - began)
    finally:
        await engine.dispose()
