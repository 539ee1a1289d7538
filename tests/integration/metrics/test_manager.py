"""Ten-second rollups: collected in memory, written when their window has ended, read back."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, make_engine
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.telemetry import RequestRecord
from backend.managers.metrics import ROLLUPS, MetricsManager
from backend.managers.metrics.models import RollupRow
from tests.support.trail import audit_row

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class World:
    """A database with a clock that only the test moves, and requests at given times."""

    def __init__(self, database_url, tenant_id):
        self.now = NOON
        self.tenant_id = tenant_id
        self.database = Database(
            make_engine(database_url, pool_size=2), audit_row=audit_row, clock=lambda: self.now
        )
        self.metrics = MetricsManager()

    def request(self, at, *, seconds=0.01, status=200, tenant_id=None, metrics=None):
        record = RequestRecord(
            int(at.timestamp()) * 1_000_000_000, seconds, "GET", "/", "/", status,
            self.tenant_id if tenant_id is None else tenant_id,
            "", "", "", "", "", "", forced=False, problem="",
        )  # fmt: skip
        (metrics or self.metrics).observe([record])

    async def series(self, minutes=1, tenant_id=None):
        async with self.database.read(Scope("a", tenant_id or self.tenant_id)) as tx:
            return await self.metrics.read_series(tx, minutes=minutes)

    async def rows(self):
        async with self.database.read(SystemScope(ROLLUPS)) as tx:
            return await tx.scalars(sa.select(RollupRow).order_by(RollupRow.window_at))


@pytest.fixture
async def world(database_url, tenant_id):
    made = World(database_url, tenant_id)
    yield made
    await made.database.aclose()


class TestFlush:
    async def test_writes_only_windows_that_have_ended(self, world):
        world.request(NOON - timedelta(seconds=11))
        world.request(NOON)
        assert await world.metrics.flush(world.database) == 1
        assert await world.metrics.flush(world.database) == 0
        world.now += timedelta(seconds=10)
        assert await world.metrics.flush(world.database) == 1
        assert [row.window_at for row in await world.rows()] == [NOON - timedelta(seconds=20), NOON]

    async def test_writes_everything_at_the_end(self, world):
        world.request(NOON)
        assert await world.metrics.flush(world.database, everything=True) == 1

    async def test_a_late_request_overwrites_nothing(self, world):
        at = NOON - timedelta(seconds=30)
        for _ in range(2):
            world.request(at)
            await world.metrics.flush(world.database)
        assert [row.requests for row in await world.rows()] == [1, 1]
        assert (await world.series()).requests_per_second == pytest.approx(2 / 60)

    async def test_keeps_errors_and_refusals_apart_and_tenants_too(self, world):
        at = NOON - timedelta(seconds=10)
        for status in (200, 404, 429, 500, 503, 499):
            world.request(at, status=status)
        world.request(at, tenant_id="")
        await world.metrics.flush(world.database)
        found = {row.tenant_id: row for row in await world.rows()}
        mine = found[world.tenant_id]
        assert (mine.requests, mine.errors, mine.refusals) == (6, 2, 3)
        assert found[PLATFORM_TENANT].requests == 1


class TestReadSeries:
    async def test_has_a_point_a_step_and_zeros_where_nothing_was(self, world):
        for second in (1, 2, 11):
            world.request(NOON - timedelta(seconds=second), seconds=0.1)
        await world.metrics.flush(world.database)
        found = await world.series()
        assert [point.at for point in found.points] == [
            NOON - timedelta(seconds=10 * step) for step in range(6, 0, -1)
        ]
        assert [point.requests_per_second for point in found.points] == [0, 0, 0, 0, 0.1, 0.2]
        assert found.points[0].p95_ms is None
        assert found.points[-1].p95_ms == pytest.approx(100, rel=0.25)
        assert found.window_seconds == 60

    async def test_processes_add_up(self, world):
        other = MetricsManager()
        for metrics, seconds in ((world.metrics, 0.01), (other, 2.0)):
            for _ in range(50):
                world.request(NOON - timedelta(seconds=5), seconds=seconds, metrics=metrics)
            await metrics.flush(world.database)
        found = await world.series()
        assert found.requests_per_second == pytest.approx(100 / 60)
        # The 95th of a hundred requests is one of the slow fifty: an average of two p95 is not.
        assert found.p95_ms == pytest.approx(2000, rel=0.25)

    async def test_error_rate_is_of_the_servers_errors(self, world):
        for status in (200, 200, 404, 500):
            world.request(NOON - timedelta(seconds=5), status=status)
        await world.metrics.flush(world.database)
        assert (await world.series()).error_rate == 0.25

    async def test_another_tenants_are_not_in_it(self, world):
        world.request(NOON - timedelta(seconds=5))
        await world.metrics.flush(world.database)
        found = await world.series(tenant_id=uuid7())
        assert (found.requests_per_second, found.p95_ms, found.error_rate) == (0, None, None)


class TestSweep:
    async def test_forgets_what_is_older(self, world):
        for days in (0, 29, 31):
            world.request(NOON - timedelta(days=days, seconds=20))
        await world.metrics.flush(world.database)
        async with world.database.transaction(SystemScope(ROLLUPS)) as tx:
            assert await world.metrics.sweep(tx) == 1
        assert [(NOON - row.window_at).days for row in await world.rows()] == [29, 0]
