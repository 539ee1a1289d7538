"""The tenants' own series: recorded in batches, folded into windows, rolled up, forgotten."""

import asyncio
import random
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.ids import uuid7
from backend.managers.metrics import (
    InvalidItemError,
    Item,
    KindDiffersError,
    MetricsManager,
    RetentionOrderError,
    TooManySeriesError,
    _windows,
)
from backend.managers.metrics._windows import STEPS
from backend.managers.metrics.models import BatchRow, ChunkRow, MetricTenantRow, SeriesRow
from tests.support.series import NOON, World, counter, gauge, histogram


@pytest.fixture
async def world(database_url, tenant_id):
    made = World(database_url, tenant_id)
    yield made
    await made.aclose()


class TestRecord:
    async def test_makes_series_and_windows_of_each_kind(self, world):
        early = NOON - timedelta(seconds=4)
        done = await world.one.record(
            counter(2, shop="a"), counter(3, shop="a"), counter(5, shop="b"),
            gauge(7), gauge(4, at=early), histogram(0.5, 2.0, 2.0),
        )  # fmt: skip
        assert (done.accepted, dict(done.refused), done.made) == (6, {}, 4)
        assert await world.two.metrics.fold(world.two.database) == 1
        assert await world.rows(BatchRow) == []
        series = {(one.name, one.labels.get("shop")): one for one in await world.rows(SeriesRow)}
        assert series["orders_total", "a"].total == 5
        assert series["queue_depth", None].last_value == 7
        assert series["duration_seconds", None].observations == 3
        found = {
            (one["series"], one["second"] - int(NOON.timestamp())): one
            for one in (await world.windows(10)).windows
        }
        shop = found[series["orders_total", "a"].id, 0]
        assert (shop["count"], shop["sum"], shop["min"], shop["max"]) == (2, 5, 2, 3)
        depth = series["queue_depth", None].id
        assert (found[depth, 0]["last"], found[depth, -10]["last"]) == (7, 4)
        buckets = (await world.windows(10)).buckets
        assert buckets["count"].tolist() == [1, 2]

    async def test_refuses_single_items_and_says_why(self, world):
        await world.one.record(counter())
        bad = [
            (counter(-1), InvalidItemError, "value"),
            (Item(name="x", kind="gauge"), InvalidItemError, "value"),
            (gauge(float("inf")), InvalidItemError, "value"),
            (gauge(float("nan")), InvalidItemError, "value"),
            (Item(name="x", kind="gauge", values=[1.0]), InvalidItemError, "values"),
            (histogram(), InvalidItemError, "values"),
            (gauge(1, name="1st"), InvalidItemError, "name"),
            (gauge(1, name="x\n"), InvalidItemError, "name"),
            (gauge(1, name="x" * 129), InvalidItemError, "name"),
            (gauge(1, __name="x"), InvalidItemError, "labels"),
            (gauge(1, le="x"), InvalidItemError, "labels"),
            (gauge(1, a="x" * 21), InvalidItemError, "labels"),
            (gauge(1, a=""), InvalidItemError, "labels"),
            (gauge(1, a="1", b="2", c="3"), InvalidItemError, "labels"),
            (gauge(1, at=NOON - timedelta(hours=25)), InvalidItemError, "at"),
            (gauge(1, at=NOON + timedelta(minutes=6)), InvalidItemError, "at"),
            (gauge(1, name="orders_total"), KindDiffersError, "kind"),
            (gauge(1, name="orders_total", shop="a"), KindDiffersError, "kind"),
        ]
        done = await world.one.record(counter(), *(item for item, _, _ in bad))
        assert done.accepted == 1
        for index, (item, error, place) in enumerate(bad, start=1):
            refused = done.refused[index]
            assert type(refused) is error, item
            assert refused.place[0] == place, item
        assert [one.name for one in await world.rows(SeriesRow)] == ["orders_total"]

    async def test_raises_when_nothing_is_left(self, world):
        with pytest.raises(InvalidItemError) as caught:
            await world.one.record(counter(-1), gauge(1, name="1st"))
        assert [one["pointer"] for one in caught.value.extra["errors"]] == [
            "/body/items/0",
            "/body/items/1",
        ]
        assert await world.rows(BatchRow) == []

    async def test_a_name_keeps_its_kind_within_a_batch_too(self, world):
        done = await world.one.record(counter(name="a"), gauge(1, name="a", shop="b"))
        assert list(done.refused) == [1]
        assert isinstance(done.refused[1], KindDiffersError)

    async def test_series_are_bounded_exactly_whoever_makes_them(self, world):
        async def flood(process, first):
            return await process.record(
                counter(name="kept"), *(gauge(1, n=str(first + n)) for n in range(8))
            )

        found = await asyncio.gather(
            *(flood(process, 4 * at) for at, process in enumerate(world.processes))
        )
        series = await world.rows(SeriesRow)
        (tenant,) = await world.rows(MetricTenantRow)
        assert len(series) == tenant.series == 10
        # Whatever was accepted is of a series that is there.
        made = {one.labels.get("n") for one in series}
        for first, done in zip((0, 4, 8), found, strict=True):
            accepted = {str(first + n) for n in range(8) if n + 1 not in done.refused}
            assert accepted <= made
            for error in done.refused.values():
                assert isinstance(error, TooManySeriesError)
                assert "At most 10 series" in error.detail
        # Known series go on, and so does everybody else.
        assert (await world.two.record(counter(name="kept"))).accepted == 1
        assert (await world.two.record(gauge(1, n="x"), tenant_id=uuid7())).accepted == 1

    async def test_another_tenant_has_its_own(self, world):
        other = uuid7()
        await world.one.record(counter(2))
        await world.one.record(gauge(1, name="orders_total"), tenant_id=other)
        await world.one.metrics.fold(world.one.database)
        assert (await world.windows(10)).windows["sum"].tolist() == [2]
        assert (await world.windows(10, other)).windows["sum"].tolist() == [1]

    async def test_what_another_process_made_is_not_made_again(self, world):
        await world.one.record(counter(shop="a"))
        done = await world.two.record(counter(shop="a"))
        assert (done.accepted, done.made) == (1, 0)


class TestFold:
    async def test_counts_once_though_processes_compete_and_die(self, world):
        rng = random.Random(7)
        written = 0
        for turn in range(12):
            world.now = NOON + timedelta(seconds=3 * turn)
            for process in world.processes:
                await process.record(counter(1, n=str(turn % 3)), histogram(rng.random()))
                written += 1
            racing = [
                asyncio.create_task(process.metrics.fold(process.database))
                for process in world.processes
            ]
            # One of them goes away wherever it is.
            await asyncio.sleep(rng.random() / 50)
            racing[turn % 3].cancel()
            await asyncio.gather(*racing, return_exceptions=True)
        while await world.rows(BatchRow):
            await world.one.metrics.fold(world.one.database)
        series = await world.rows(SeriesRow)
        assert sum(one.total for one in series if one.name == "orders_total") == written
        found = await world.windows(10)
        assert found.windows["count"].sum() == 2 * written
        assert found.buckets["count"].sum() == written


class TestRollUp:
    async def test_each_length_has_all_of_the_one_before(self, world):
        rng = np.random.default_rng(8)
        values = []
        for turn in range(30):
            world.now = NOON + timedelta(minutes=7 * turn, seconds=turn)
            some = rng.exponential(1, 5)
            values += some.tolist()
            late = world.now - timedelta(hours=rng.uniform(0, 3))
            await world.one.record(histogram(*some), counter(2, at=late))
            await world.one.metrics.fold(world.one.database)
            if turn % 4 == 0:
                process = world.processes[turn % 3]
                await process.metrics.roll_up(process.database)
        while await world.two.metrics.roll_up(world.two.database):
            pass
        shortest = await world.windows(10)
        for step in STEPS:
            found = await world.windows(step)
            expected = _windows.add_up([shortest], step)
            for name in ("series", "second", "count", "last", "min", "max"):
                assert np.array_equal(found.windows[name], expected.windows[name]), (step, name)
            assert np.allclose(found.windows["sum"], expected.windows["sum"])
            assert np.array_equal(found.buckets, expected.buckets), step
        longest = await world.windows(STEPS[-1])
        assert longest.buckets["count"].sum() == len(values)

    async def test_a_second_time_changes_nothing(self, world):
        await world.one.record(counter(), histogram(1.0))
        await world.one.metrics.fold(world.one.database)
        await world.one.metrics.roll_up(world.one.database)
        before = [await world.windows(step) for step in STEPS]
        async with world.one.database.transaction(Scope("a", world.tenant_id)) as tx:
            await tx.execute(sa.update(ChunkRow).values(waiting=True))
        assert await world.two.metrics.roll_up(world.two.database) > 0
        for known, step in zip(before, STEPS, strict=True):
            found = await world.windows(step)
            assert np.array_equal(found.windows, known.windows)
            assert np.array_equal(found.buckets, known.buckets)


class TestSweep:
    async def test_forgets_by_length_and_as_the_tenant_says(self, world):
        other = uuid7()
        for tenant_id in (world.tenant_id, other):
            await world.one.record(counter(), tenant_id=tenant_id)
        keep = dict(zip(STEPS, (5, 14, 90, 400), strict=True))
        async with world.one.database.transaction(Scope("a", other)) as tx:
            await world.one.metrics.retention.put(tx, keep)
        await world.one.metrics.fold(world.one.database)
        await world.one.metrics.roll_up(world.one.database)
        world.now = NOON + timedelta(days=3)
        await world.one.sweep()
        for tenant_id, lengths in ((world.tenant_id, STEPS[1:]), (other, STEPS)):
            rows = await world.rows(ChunkRow, tenant_id)
            assert {one.step_seconds for one in rows} == set(lengths)

    async def test_keeps_what_is_not_rolled_up(self, world):
        await world.one.record(counter())
        await world.one.metrics.fold(world.one.database)
        world.now = NOON + timedelta(days=3)
        await world.one.sweep()
        assert len(await world.rows(ChunkRow)) == 1

    async def test_silent_series_make_room_and_come_back(self, world):
        for process in world.processes:
            await process.record(*(gauge(1, n=str(n)) for n in range(10)))
        await world.one.metrics.fold(world.one.database)
        world.now = NOON + timedelta(days=420)
        await world.one.sweep()
        assert await world.rows(SeriesRow) == []
        # Whoever still remembers a number finds out before it writes.
        done = await world.two.record(gauge(1, n="3"), gauge(1, n="new"))
        assert (done.accepted, done.made) == (2, 2)
        await world.three.record(gauge(5, n="3"))
        await world.one.metrics.fold(world.one.database)
        series = {one.labels["n"]: one for one in await world.rows(SeriesRow)}
        assert {name: one.total for name, one in series.items()} == {"3": 6, "new": 1}
        (tenant,) = await world.rows(MetricTenantRow)
        assert tenant.series == 2

    async def test_refuses_an_order_in_which_windows_would_lose_their_source(self, world):
        keep = dict(zip(STEPS, (5, 4, 90, 400), strict=True))
        async with world.one.database.transaction(Scope("a", world.tenant_id)) as tx:
            with pytest.raises(RetentionOrderError):
                await world.one.metrics.retention.put(tx, keep)


class TestRoutes:
    async def test_records_and_answers_for_each_item(self, app):
        ada = await app.caller("workflow")
        items = [
            {"name": "orders_total", "kind": "counter", "value": 1, "labels": {"shop": "a"}},
            {"name": "orders_total", "kind": "counter", "value": -1},
        ]
        answer = await ada.http.post("/api/v1/metrics", json={"items": items})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert (said["accepted"], said["refused"]) == (1, 1)
        assert said["items"][0]["index"] == 1
        assert said["items"][0]["code"] == "metrics.invalid_item"
        answer = await ada.http.post("/api/v1/metrics", json={"items": items[1:]})
        assert answer.status_code == 422
        assert answer.json()["code"] == "metrics.invalid_item"
        assert answer.json()["errors"][0]["pointer"] == "/body/items/0"
        (record,) = await ada.audit(app.platform, "metric.recorded")
        assert record.data["points"] == 1

    async def test_an_idempotency_key_counts_once(self, app):
        ada = await app.caller("workflow")
        items = [{"name": "orders_total", "kind": "counter", "value": 1}]
        for _ in range(3):
            answer = await ada.http.post(
                "/api/v1/metrics", json={"items": items}, headers={"Idempotency-Key": "k1"}
            )
            assert answer.status_code == 200, answer.text
        database = app.platform.database
        await app.platform.of(MetricsManager).fold(database)
        async with database.read(Scope("a", ada.tenant.id)) as tx:
            (row,) = await tx.scalars(sa.select(SeriesRow))
        assert row.total == 1

    async def test_settings_are_the_admins_and_leave_a_record(self, app):
        ada = await app.caller("admin")
        days = {"seconds_10": 3, "minute": 20, "minutes_10": 100, "hour": 500}
        answer = await ada.http.put("/api/v1/metric-settings", json=days)
        assert answer.status_code == 200, answer.text
        assert (await ada.http.get("/api/v1/metric-settings")).json()["keep_days"] == days
        (record,) = await ada.audit(app.platform, "metric_settings.changed")
        assert record.data["before"]["10"] == 2
        wrong = await ada.http.put("/api/v1/metric-settings", json=days | {"hour": 50})
        assert wrong.json()["code"] == "metrics.retention_order"
        eve = await app.caller("viewer", ada.tenant)
        assert (await eve.http.put("/api/v1/metric-settings", json=days)).status_code == 403
        items = {"items": [{"name": "x", "kind": "gauge", "value": 1}]}
        assert (await eve.http.post("/api/v1/metrics", json=items)).status_code == 403
