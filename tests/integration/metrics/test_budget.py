"""A tenant's day: so many observations and no more, whoever records them, and nobody else's."""

import asyncio
from datetime import timedelta

import pytest

from backend.core.context import Scope
from backend.core.ids import uuid7
from backend.managers.metrics import InvalidItemError, MetricBudgetError, MetricsSettings
from backend.managers.metrics.models import BatchRow, MetricHeadRow
from tests.support.series import World, counter, histogram

BUDGET = 1000


@pytest.fixture
async def world(database_url, tenant_id):
    made = World(database_url, tenant_id, MetricsSettings(day_points=BUDGET))
    yield made
    await made.aclose()


async def points(world, tenant_id=None):
    return sum(len(one.points) // 24 for one in await world.rows(BatchRow, tenant_id))


class TestBudget:
    async def test_processes_together_record_no_more(self, world):
        async def flood(process):
            for _ in range(60):
                try:
                    await process.record(histogram(*[1.0] * 10))
                except MetricBudgetError:
                    return

        await asyncio.gather(*map(flood, world.processes))
        # Each process may have taken a hundredth that it did not spend.
        assert BUDGET - 3 * BUDGET // 100 <= await points(world) <= BUDGET
        with pytest.raises(MetricBudgetError) as refused:
            await world.one.record(histogram(*[1.0] * 11))
        assert refused.value.headers["Retry-After"] == str(12 * 3600)

    async def test_what_is_too_much_leaves_nothing_and_what_fits_goes_on(self, world):
        with pytest.raises(MetricBudgetError):
            await world.one.record(histogram(*[1.0] * (BUDGET + 1)))
        assert await points(world) == 0
        await world.one.record(histogram(*[1.0] * BUDGET))
        assert await points(world) == BUDGET

    async def test_is_nobody_elses_and_whole_again_the_next_day(self, world):
        await world.one.record(histogram(*[1.0] * BUDGET))
        other = uuid7()
        assert (await world.one.record(counter(), tenant_id=other)).accepted == 1
        with pytest.raises(MetricBudgetError):
            await world.one.record(counter())
        world.now += timedelta(hours=12)
        assert (await world.one.record(counter())).accepted == 1
        # A process whose clock is behind gives nothing of yesterday back.
        world.now -= timedelta(minutes=1)
        assert (await world.two.record(counter())).accepted == 1
        (head,) = await world.rows(MetricHeadRow)
        assert head.day == int((world.now + timedelta(minutes=1)).timestamp()) // 86_400

    async def test_refused_items_are_not_charged(self, world):
        for _ in range(3):
            with pytest.raises(InvalidItemError):
                await world.one.record(counter(-1))
        assert await world.rows(MetricHeadRow) == []

    async def test_a_leaving_tenant_takes_its_allowance_along(self, world):
        await world.one.record(counter())
        world.one.metrics.leave(world.tenant_id)
        assert not world.one.metrics.recording._allowances

    async def test_settings_say_how_much_is_used(self, world):
        retention = world.one.metrics.retention
        async with world.one.database.read(Scope("a", world.tenant_id)) as tx:
            assert (await retention.get(tx)).points_today == 0
        await world.one.record(counter())
        async with world.one.database.read(Scope("a", world.tenant_id)) as tx:
            found = await retention.get(tx)
        # Taken by the process, of which one is spent.
        assert (found.points_today, found.max_points_a_day) == (BUDGET // 100, BUDGET)
        world.now += timedelta(days=1)
        async with world.one.database.read(Scope("a", world.tenant_id)) as tx:
            assert (await retention.get(tx)).points_today == 0
