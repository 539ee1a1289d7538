"""Hours of requests: exact, made anew when late windows come, what long windows are drawn of."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.ids import uuid7
from backend.kit.histogram import bucket_of, empty
from backend.managers.metrics import ROLLUPS, MetricsManager, Series
from backend.managers.metrics.models import RequestHourRow, RollupRow
from tests.support.platform import App, TenantClient

DAY = 1440
BUSY = timedelta(hours=5)


@pytest_asyncio.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller()


@pytest.fixture
def metrics(app: App) -> MetricsManager:
    return app.platform.of(MetricsManager)


async def serve(
    app: App, who: TenantClient, ago: timedelta, requests: int, *, errors: int = 0, ms: float = 20
) -> None:
    """Let a process have counted so many requests in ten seconds, so long ago."""
    buckets = empty()
    buckets[bucket_of(ms / 1000)] = requests
    async with app.platform.database.transaction(Scope("test", who.tenant.id)) as tx:
        at = int((tx.now() - ago).timestamp()) // 10 * 10
        row: dict[str, Any] = {"tenant_id": who.tenant.id, "process": uuid7(), "refusals": 0}
        row |= {"window_at": datetime.fromtimestamp(at, UTC), "seconds_sum": requests * ms / 1000}
        row |= {"requests": requests, "errors": errors, "buckets": buckets}
        await tx.insert(RollupRow, [row])


async def read(app: App, who: TenantClient, metrics: MetricsManager, minutes: int) -> Series:
    async with app.platform.database.read(Scope("test", who.tenant.id)) as tx:
        return await metrics.read_series(tx, minutes=minutes)


def counted(found: Series) -> int:
    return round(found.requests_per_second * found.window_seconds)


class TestFoldHours:
    async def test_two_weeks_are_exact_and_come_once(
        self, app: App, ada: TenantClient, metrics: MetricsManager
    ) -> None:
        for day in range(14):
            await serve(app, ada, BUSY + timedelta(days=day), 100, errors=day)
        await serve(app, ada, timedelta(seconds=30), 7)
        before = await read(app, ada, metrics, 30 * DAY)
        assert await metrics.fold_hours(app.platform.database) == 14
        assert await metrics.fold_hours(app.platform.database) == 0
        after = await read(app, ada, metrics, 30 * DAY)
        assert counted(before) == counted(after) == 1407
        assert before.error_rate == after.error_rate == pytest.approx(91 / 1407)
        assert before.p95_ms == after.p95_ms
        assert after.step_seconds == 3600
        assert sum(point.requests_per_second > 0 for point in after.points) in {14, 15}

    async def test_outlasts_what_it_was_made_of(
        self, app: App, ada: TenantClient, metrics: MetricsManager
    ) -> None:
        await serve(app, ada, BUSY, 100)
        await metrics.fold_hours(app.platform.database)
        async with app.platform.database.transaction(SystemScope(ROLLUPS)) as tx:
            await tx.execute(sa.delete(RollupRow))
        assert counted(await read(app, ada, metrics, 90 * DAY)) == 100
        assert counted(await read(app, ada, metrics, DAY)) == 0

    async def test_a_late_window_is_counted(
        self, app: App, ada: TenantClient, metrics: MetricsManager
    ) -> None:
        await serve(app, ada, timedelta(hours=2), 100)
        await metrics.fold_hours(app.platform.database)
        # A process whose database was away writes only now.
        await serve(app, ada, timedelta(hours=2), 11)
        assert await metrics.fold_hours(app.platform.database) == 1
        assert counted(await read(app, ada, metrics, 7 * DAY)) == 111

    async def test_each_tenant_has_its_own(
        self, app: App, ada: TenantClient, metrics: MetricsManager
    ) -> None:
        eve = await app.caller()
        await serve(app, ada, BUSY, 100)
        await serve(app, eve, BUSY, 5)
        assert await metrics.fold_hours(app.platform.database) == 2
        assert counted(await read(app, ada, metrics, 7 * DAY)) == 100
        assert counted(await read(app, eve, metrics, 7 * DAY)) == 5

    async def test_hours_are_forgotten_after_a_hundred_days(
        self, app: App, ada: TenantClient, metrics: MetricsManager
    ) -> None:
        await serve(app, ada, BUSY, 100)
        await metrics.fold_hours(app.platform.database)
        async with app.platform.database.transaction(SystemScope(ROLLUPS)) as tx:
            assert await metrics.sweep(tx) == 0
            old = tx.now() - timedelta(days=101)
            await tx.execute(sa.update(RequestHourRow).values(hour_at=old))
            assert await metrics.sweep(tx) == 1


class TestSteps:
    @pytest.mark.parametrize(
        ("minutes", "step", "points"),
        [
            (15, 10, 90),
            (360, 10, 2160),
            (DAY, 60, 1440),
            (7 * DAY, 3600, 168),
            (90 * DAY, 3600, 2160),
        ],
    )
    async def test_are_as_long_as_the_window_asks(
        self,
        app: App,
        ada: TenantClient,
        metrics: MetricsManager,
        minutes: int,
        step: int,
        points: int,
    ) -> None:
        found = await read(app, ada, metrics, minutes)
        assert (found.step_seconds, len(found.points)) == (step, points)
