"""Asking for series: by kind, by label, by window, with the week before; and what is listed."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from backend.core.context import Scope
from backend.core.ids import uuid7
from backend.managers.metrics import (
    InvalidQueryError,
    MetricsManager,
    MetricsSettings,
    Wanted,
    _windows,
    list_metrics,
    list_series,
    query,
    query_many,
)
from backend.managers.metrics._listing import expose
from backend.managers.metrics._windows import RELATIVE_ERROR
from backend.managers.metrics.models import ChunkRow, SeriesRow
from tests.support.series import NOON, World, counter, gauge, histogram

MINUTE = timedelta(minutes=1)
WEEK = timedelta(days=7)


@pytest.fixture
async def world(database_url, tenant_id):
    made = World(database_url, tenant_id, MetricsSettings())
    yield made
    await made.aclose()


async def ask(world, name, aggregate, *, since=10 * MINUTE, tenant_id=None, labels=None, **more):
    end = more.pop("until", world.now)
    wanted = Wanted(
        name=name, aggregate=aggregate, since=end - since, until=end, labels=labels or {}, **more
    )
    async with world.one.database.read(Scope("a", tenant_id or world.tenant_id)) as tx:
        asked = await query(tx, wanted)
    return await asked.answer(world.one.metrics.turns)


def told(found):
    return {tuple(one.labels.values()): [p for p in one.points if p] for one in found.lines}


class TestQuery:
    async def test_counters_are_rates_and_sums_by_label(self, world):
        ago = NOON - 2 * MINUTE
        await world.one.record(
            counter(30, at=ago, shop="a", till="1"), counter(30, at=ago, shop="a", till="2"),
            counter(6, at=ago, shop="b", till="1"),
        )  # fmt: skip
        await world.settle()
        found = await ask(world, "orders_total", "sum", by=["shop"], points=10)
        assert (found.kind, found.step_seconds, found.start_at) == (
            "counter", 60, NOON - 10 * MINUTE,
        )  # fmt: skip
        assert [dict(one.labels) for one in found.lines] == [{"shop": "a"}, {"shop": "b"}]
        assert found.lines[0].points == [0] * 8 + [60, 0]
        assert (found.lines[0].value, found.lines[1].value) == (60, 6)
        found = await ask(world, "orders_total", "rate", labels={"till": "1"}, points=10)
        assert found.lines[0].points[8] == pytest.approx(36 / 60)
        assert found.lines[0].value == pytest.approx(36 / 600)
        found = await ask(world, "orders_total", "sum", by=["shop", "till"], top=1)
        assert (len(found.lines), found.lines_left_out) == (1, 2)

    async def test_gauges_are_summed_over_series_and_not_over_time(self, world):
        for minute, (a, b) in enumerate([(1, 10), (3, 20), (5, 60)]):
            at = NOON - (3 - minute) * MINUTE
            await world.one.record(gauge(a, at=at, q="a"), gauge(b, at=at, q="b"))
        await world.settle()
        assert told(await ask(world, "queue_depth", "sum", points=10)) == {(): [11, 23, 65]}
        whole = {
            name: (await ask(world, "queue_depth", name)).lines[0].value
            for name in ("avg", "min", "max", "last", "sum")
        }
        assert whole == {"avg": 16.5, "min": 1, "max": 60, "last": 65, "sum": 33}
        found = await ask(world, "queue_depth", "last", points=10)
        assert found.lines[0].points == [None] * 7 + [11, 23, 65]

    async def test_quantiles_of_several_series_are_within_the_error(self, world):
        rng = np.random.default_rng(9)
        values = rng.lognormal(0, 1, 3000)
        for part in range(3):
            some = values[part * 1000 : part * 1000 + 1000].tolist()
            await world.processes[part].record(histogram(*some, at=NOON - MINUTE, n=str(part)))
        await world.settle()
        for wanted in (0.5, 0.95, 0.99):
            found = await ask(world, "duration_seconds", "quantile", quantile=wanted)
            exact = np.quantile(values, wanted, method="inverted_cdf")
            assert found.lines[0].value == pytest.approx(exact, rel=RELATIVE_ERROR)
        found = await ask(world, "duration_seconds", "count", by=["n"])
        assert [one.value for one in found.lines] == [1000, 1000, 1000]
        found = await ask(world, "duration_seconds", "avg")
        assert found.lines[0].value == pytest.approx(values.mean())

    async def test_stands_beside_the_week_before(self, world):
        world.now = NOON - WEEK
        await world.one.record(counter(5, at=world.now - 3 * MINUTE))
        await world.settle()
        world.now = NOON
        await world.one.record(counter(20, at=NOON - 3 * MINUTE))
        await world.settle()
        found = await ask(world, "orders_total", "sum", points=10, with_week_before=True)
        (line,) = found.lines
        assert (line.value, line.value_week_before) == (20, 5)
        assert line.points.index(20) == line.points_week_before.index(5) == 7

    async def test_reads_the_windows_that_reach_back_so_far(self, world):
        await world.one.record(counter(1, at=NOON - 5 * MINUTE))
        await world.settle()
        steps = {}
        for days in (1 / 24, 1, 7, 30, 90, 365):
            found = await ask(world, "orders_total", "sum", since=timedelta(days=days))
            steps[days] = found.step_seconds
            assert found.lines[0].value == 1
            assert len(found.lines[0].points) <= 500
        assert steps == {1 / 24: 10, 1: 180, 7: 1800, 30: 7200, 90: 18000, 365: 64800}
        for points in (1, 7, 1999, 2000):
            found = await ask(world, "orders_total", "sum", since=timedelta(days=3), points=points)
            assert len(found.lines[0].points) <= points
            assert sum(found.lines[0].points) == 1

    async def test_refuses_what_makes_no_sense(self, world):
        await world.one.record(counter(1), gauge(1), histogram(1.0))
        for name, aggregate in (
            ("orders_total", "quantile"), ("orders_total", "avg"), ("queue_depth", "rate"),
            ("queue_depth", "quantile"), ("duration_seconds", "last"),
        ):  # fmt: skip
            with pytest.raises(InvalidQueryError, match="can be asked for"):
                await ask(world, name, aggregate)
        with pytest.raises(InvalidQueryError, match="before it begins"):
            await ask(world, "orders_total", "sum", since=timedelta(0))
        for asked in (
            {"name": "nothing"},
            {"name": "orders_total", "labels": {"shop": "x"}},
            {"name": "orders_total", "tenant_id": uuid7()},
        ):
            found = await ask(world, aggregate="sum", **asked)
            assert (found.kind, found.lines) == (None, [])

    async def test_refuses_what_would_be_too_much_at_once(self, world, monkeypatch):
        ago = NOON - 2 * MINUTE
        await world.one.record(*(counter(1, at=ago, shop=str(n)) for n in range(9)))
        await world.settle()
        monkeypatch.setattr("backend.managers.metrics._reading.MAX_BYTES", 400)
        assert (await ask(world, "orders_total", "sum", labels={"shop": "1"})).lines
        with pytest.raises(InvalidQueryError, match="too much at once"):
            await ask(world, "orders_total", "sum")

    async def test_many_questions_are_answered_as_each_would_be(self, world, monkeypatch):
        ago = NOON - 2 * MINUTE
        await world.one.record(
            *(counter(n, at=ago, shop=str(n)) for n in range(1, 9)), gauge(7, at=ago)
        )
        await world.settle()

        def wanted(name, aggregate, minutes=10, **more):
            since = NOON - minutes * MINUTE
            more = {"labels": {}, "points": 1, **more}
            return Wanted(name=name, aggregate=aggregate, since=since, until=NOON, **more)

        asked = [
            wanted("orders_total", "sum", by=["shop"]),
            wanted("orders_total", "avg"),
            wanted("orders_total", "sum", labels={"shop": "3"}),
            wanted("nothing", "sum"),
            wanted("queue_depth", "max"),
            wanted("orders_total", "sum", minutes=60),
            wanted("orders_total", "sum", with_week_before=True),
            wanted("orders_total", "sum", minutes=0),
        ]

        async def answers(some):
            async with world.one.database.read(Scope("a", world.tenant_id)) as tx:
                return [
                    str(one) if isinstance(one, InvalidQueryError) else one.work()
                    for one in await query_many(tx, some)
                ]

        together: list[Any] = []
        for most in (1000, 3):
            monkeypatch.setattr("backend.managers.metrics._reading.MAX_SERIES", most)
            together = await answers(asked)
            assert together == [(await answers([one]))[0] for one in asked]
        assert together[0].lines[0].value == 8
        assert [one.lines[0].value for one in (together[2], together[4])] == [3, 7]

    async def test_many_windows_are_added_up_beside_the_event_loop(self, world, monkeypatch):
        await world.one.record(histogram(*range(1, 101), at=NOON - 2 * MINUTE))
        await world.settle()
        inline = await ask(world, "duration_seconds", "quantile", quantile=0.5)
        monkeypatch.setattr("backend.managers.metrics._query._INLINE_BYTES", 1)
        assert await ask(world, "duration_seconds", "quantile", quantile=0.5) == inline

    async def test_series_without_windows_are_empty_lines(self, world):
        await world.one.record(counter(1), gauge(1), histogram(1.0))
        for name, aggregate, points in (
            ("orders_total", "rate", 0.0), ("queue_depth", "sum", None),
            ("queue_depth", "last", None), ("queue_depth", "max", None),
            ("duration_seconds", "quantile", None), ("duration_seconds", "avg", None),
        ):  # fmt: skip
            (line,) = (await ask(world, name, aggregate, points=3)).lines
            assert set(line.points) == {points}, (name, aggregate)
            assert line.value == points

    async def test_ninety_days_of_fifty_series_are_lie_in_few_rows(self, world):
        await fill(world, series=50, days=90)
        found = await ask(world, "filled", "avg", since=timedelta(days=90), by=["n"], top=50)
        assert len(found.lines) == 50
        assert all(len(one.points) <= 500 and None not in one.points[1:-1] for one in found.lines)
        # A row for five days of hours: that is what makes it fast.
        assert len(await world.rows(ChunkRow)) <= 50 * 19


async def fill(world, *, series, days):
    """Hours of gauges, written as the roll-up writes them."""
    start = int(NOON.timestamp()) - days * 86_400
    hours = start + np.arange(days * 24) * 3600
    rng = np.random.default_rng(10)
    windows = np.zeros(series * len(hours), _windows.WINDOW)
    windows["series"] = np.repeat(np.arange(1, series + 1), len(hours))
    windows["second"] = np.tile(hours - hours % 3600, series)
    windows["last_ms"] = windows["second"] * 1000
    windows["count"] = 360
    windows["sum"] = 360 * rng.normal(10, 1, len(windows))
    chunks = _windows.pack(_windows.Windows(windows, _windows.NOTHING.buckets), 3600)
    async with world.one.database.transaction(Scope("a", world.tenant_id)) as tx:
        own = {"tenant_id": tx.tenant_id}
        when = {"created_at": NOON, "last_at": NOON}
        totals = {"observations": 0, "total": 0.0, "last_value": None}
        await tx.insert(
            SeriesRow,
            [
                own | when | totals
                | {"id": n, "name": "filled", "kind": "gauge", "labels": {"n": str(n)},
                   "labels_key": str(n)}
                for n in range(1, series + 1)
            ],
        )  # fmt: skip
        await tx.insert(
            ChunkRow,
            [
                own | {"step_seconds": 3600, "series_id": one.series, "waiting": False,
                       "start_seconds": one.start, "windows": one.windows, "buckets": b""}
                for one in chunks
            ],
        )  # fmt: skip


class TestLists:
    async def test_metrics_by_name_and_their_series(self, world):
        await world.one.record(counter(1, shop="a"), counter(2, shop="b"), gauge(3))
        await world.one.record(counter(9), tenant_id=uuid7())
        await world.settle()
        async with world.one.database.read(Scope("a", world.tenant_id)) as tx:
            found = await list_metrics(tx, limit=10)
            assert [(one.name, one.kind, one.series) for one in found] == [
                ("orders_total", "counter", 2), ("queue_depth", "gauge", 1),
            ]  # fmt: skip
            assert [one.name for one in await list_metrics(tx, limit=9, prefix="q")] == [
                "queue_depth"
            ]
            after = await list_metrics(tx, limit=9, after_name="orders_total")
            assert [one.name for one in after] == ["queue_depth"]
            series = await list_series(tx, "orders_total", limit=10)
            assert sorted((one.labels["shop"], one.total) for one in series) == [("a", 1), ("b", 2)]
            assert await list_series(tx, "nothing", limit=10) == []

    async def test_prometheus_text(self, world):
        await world.one.record(
            counter(2, shop='a"b\\c\nd'), gauge(4.5), histogram(1.0, 2.0), counter(1)
        )
        await world.settle()
        async with world.one.database.read(Scope("a", world.tenant_id)) as tx:
            lines = (await expose(tx)).splitlines()
        assert lines == [
            "# TYPE duration_seconds summary",
            "duration_seconds_sum 3.0",
            "duration_seconds_count 2",
            "# TYPE orders_total counter",
            'orders_total{shop="a\\"b\\\\c\\nd"} 2.0',
            "orders_total 1.0",
            "# TYPE queue_depth gauge",
            "queue_depth 4.5",
        ]


class TestRoutes:
    async def test_what_is_recorded_is_found(self, app):
        ada = await app.caller("workflow")
        items = [{"name": "orders_total", "kind": "counter", "value": 3, "labels": {"shop": "a"}}]
        await ada.http.post("/api/v1/metrics", json={"items": items})
        metrics = app.platform.of(MetricsManager)
        await metrics.fold(app.platform.database)
        eve = await app.caller("viewer", ada.tenant)
        listed = (await eve.http.get("/api/v1/metrics")).json()["items"]
        assert [(one["name"], one["kind"], one["series"]) for one in listed] == [
            ("orders_total", "counter", 1)
        ]
        wanted = {"name": "orders_total", "aggregate": "sum", "label": "shop=a", "by": "shop"}
        answer = await eve.http.get("/api/v1/metrics/query", params=wanted)
        assert answer.status_code == 200, answer.text
        (line,) = answer.json()["lines"]
        assert line["labels"] == {"shop": "a"}
        # The window ends now, and the last ten seconds have begun before it.
        text = await eve.http.get("/api/v1/metrics/exposition")
        assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'orders_total{shop="a"} 3.0' in text.text
        series = await eve.http.get("/api/v1/metric-series", params={"name": "orders_total"})
        assert series.json()["items"][0]["labels"] == {"shop": "a"}
        wrong = await eve.http.get("/api/v1/metrics/query", params=wanted | {"label": "shop"})
        assert wrong.status_code == 422
        lost = await eve.http.get("/api/v1/metrics/query", params=wanted | {"name": "nothing"})
        assert lost.json()["lines"] == []
