"""Analysis of what is kept: hours are read as they were measured, and told in sentences."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from backend.core.context import Scope
from backend.core.errors import InvalidInputError
from backend.core.ids import uuid7
from backend.kit.turns import Turns
from backend.managers.metrics import (
    InvalidQueryError,
    MetricsManager,
    MetricsSettings,
    Wanted,
    _reading,
)
from backend.managers.metrics._analysis import find_trends, foresee, number, score, zone_of
from backend.managers.metrics._query import read_hours
from tests.support.series import World, write_hours

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
WEEK_HOURS = 168
# A Tuesday, some minutes after eleven: the newest whole hour is that of 10:00.
TUESDAY = datetime(2026, 11, 24, 11, 5, tzinfo=UTC)
ELEVEN = TUESDAY.replace(minute=0)


@pytest.fixture
async def world(database_url, tenant_id):
    made = World(database_url, tenant_id, MetricsSettings())
    made.now = TUESDAY
    yield made
    await made.aclose()


async def write(world, values, kind="gauge", name="filled", tenant_id=None, **more):
    end = more.pop("end", ELEVEN)
    tenant_id = tenant_id or world.tenant_id
    await write_hours(
        world.one.database, tenant_id, values, name=name, kind=kind, end=end, **more
    )  # fmt: skip


async def read(world, aggregate="avg", *, name="filled", span=9 * WEEK, **more):
    end = more.pop("until", world.now)
    more.setdefault("labels", {})
    wanted = Wanted(name=name, aggregate=aggregate, since=end - span, until=end, **more)
    tenant_id = world.tenant_id
    async with world.one.database.read(Scope("a", tenant_id)) as tx:
        asked = await read_hours(tx, wanted)
    return await asked.answer(Turns())


def steady(weeks=9, level=400.0):
    hours = weeks * WEEK_HOURS
    return level + np.random.default_rng(4).normal(0, 5, hours)


class TestReadHours:
    async def test_reads_whole_hours_that_are_over(self, world):
        await write(world, steady(1))
        found = await read(world, span=5 * HOUR)
        assert (found.size, found.begins(found.size)) == (5, ELEVEN)
        world.now = ELEVEN + timedelta(seconds=80)  # the windows of ten o'clock may still grow
        found = await read(world, span=5 * HOUR)
        assert found.begins(found.size) == ELEVEN - HOUR

    async def test_gaps_are_not_measured(self, world):
        values = steady(1)
        values[-3] = np.nan
        await write(world, values)
        found = await read(world, span=5 * HOUR)
        assert np.isnan(found.values[0]).tolist() == [False, False, True, False, False]
        assert found.observed[0].tolist() == [True, True, False, True, True]

    async def test_silence_of_a_counter_is_nothing_once_it_is_there(self, world):
        values = [np.nan] * 3 + [5.0, np.nan, 7.0]
        await write(world, values, kind="counter")
        found = await read(world, "sum", span=6 * HOUR)
        assert np.isnan(found.values[0]).tolist() == [True] * 3 + [False] * 3
        assert found.values[0][3:].tolist() == [5, 0, 7]
        assert found.observed[0].tolist() == [False] * 3 + [True, False, True]
        assert found.is_amount

    async def test_before_what_is_kept_is_not_measured(self, world):
        async with world.one.database.transaction(Scope("a", world.tenant_id)) as tx:
            days = dict.fromkeys((10, 60, 600, 3600), 2)
            await world.one.metrics.retention.put(tx, days)
        values = np.append(np.full(200, np.nan), np.full(10, 3.0))
        values[0] = 1.0  # the series is older than what is kept of it
        await write(world, values, kind="counter")
        found = await read(world, "sum", span=timedelta(days=4))
        # The window that was written is there still; what was swept would not be.
        measured = np.flatnonzero(~np.isnan(found.values[0]))
        assert found.begins(int(measured[0])) >= TUESDAY - timedelta(days=2)
        assert found.values[0][-10:].tolist() == [3] * 10

    async def test_of_a_series_without_a_window_is_not_measured(self, world):
        await write(world, [1.0], kind="counter")
        found = await read(world, "sum", span=5 * HOUR, until=ELEVEN - 9 * WEEK)
        assert (found.labels, found.size) == ([{}], 5)
        assert np.isnan(found.values).all()
        assert not found.observed.any()

    async def test_has_bounds(self, world, monkeypatch):
        await write(world, steady(1))
        with pytest.raises(InvalidQueryError, match="at most 2000"):
            await read(world, span=12 * WEEK)
        with pytest.raises(InvalidQueryError, match="no whole hour"):
            await read(world, span=timedelta(minutes=1))
        with pytest.raises(InvalidQueryError, match="no whole hour"):
            await read(world, span=HOUR, until=datetime(1960, 1, 1, tzinfo=UTC))
        with pytest.raises(InvalidQueryError, match="can be asked for"):
            await read(world, "quantile")
        await write(world, [1.0], number=2, n="7")
        monkeypatch.setattr(_reading, "MAX_BYTES", 3000)
        with pytest.raises(InvalidQueryError, match="too much at once"):
            await read(world)
        found = await read(world, labels={"n": "7"}, by=["n"])
        assert found.labels == [{"n": "7"}]

    async def test_is_the_tenants_own(self, world):
        await write(world, steady(1), tenant_id=uuid7())
        found = await read(world)
        assert (found.kind, len(found.labels)) == (None, 0)
        assert not [*score(found, 0, UTC), *find_trends(found, UTC), *foresee(found, 4, UTC)]


class TestScore:
    async def verdict(self, world, aggregate="avg", zone=UTC):
        found = await read(world, aggregate)
        (line,) = score(found, found.size - WEEK_HOURS, zone)
        assert len(line.points) == len(line.scores) == WEEK_HOURS
        return line

    async def test_says_what_is_four_times_its_usual(self, world):
        values = steady()
        values[-1] *= 4
        await write(world, values)
        line = await self.verdict(world)
        assert line.latest.state == "unusual"
        assert line.latest.at == ELEVEN - HOUR
        assert line.latest.sentence.startswith("Four times its usual Tuesday 10:00: 1,")
        assert line.latest.sentence.endswith("the median of that hour in the 8 weeks before.")
        assert (line.latest.basis, line.latest.samples) == ("hour_of_week", 8)
        assert line.latest in line.unusual
        assert line.low[-1] < line.usual[-1] < line.high[-1] < line.points[-1]

    async def test_names_the_hour_by_the_clock_of_whoever_asks(self, world):
        await write(world, steady())
        line = await self.verdict(world, zone=zone_of("Asia/Tokyo"))
        assert "its usual Tuesday 19:00" in line.latest.sentence
        assert line.latest.at == ELEVEN - HOUR

    async def test_silence_is_never_usual(self, world):
        values = steady()
        values[-1] = np.nan
        await write(world, values, name="gauge")
        await write(world, values, kind="counter", name="counter", number=2)
        quiet = np.zeros(9 * WEEK_HOURS)
        quiet[-1] = np.nan
        await write(world, quiet, kind="counter", name="quiet", number=3)
        said = {}
        for name, aggregate in (("gauge", "avg"), ("counter", "sum"), ("quiet", "sum")):
            found = await read(world, aggregate, name=name)
            (line,) = score(found, found.size - WEEK_HOURS, UTC)
            said[name] = line.latest
        assert [one.state for one in said.values()] == ["not_measured", "unusual", "not_measured"]
        assert said["gauge"].sentence.startswith(
            "Not measured: nothing was recorded in the hour of Tuesday 10:00. Usual is "
        )
        assert said["counter"].sentence.startswith("0, where ")
        assert said["quiet"].value == 0

    async def test_short_histories_say_what_they_compare_with(self, world):
        await write(world, steady(1), name="days")
        await write(world, steady(1)[:14], name="hours", number=2)
        await write(world, steady(1)[:4], name="new", number=3)
        said = []
        for name in ("days", "hours", "new"):
            found = await read(world, name=name)
            (line,) = score(found, found.size - WEEK_HOURS, UTC)
            said.append((line.latest.basis, line.latest.state))
            sentence = line.latest.sentence
            if name == "days":
                assert "its usual 10:00: " in sentence
                assert sentence.endswith("that hour on the 6 days before.")
            if name == "hours":
                assert "its usual hour: " in sentence
            if name == "new":
                assert sentence.endswith(
                    "too few hours before it were measured to say what is usual."
                )
        assert said == [("hour_of_day", "usual"), ("all", "usual"), ("none", "unknown")]

    async def test_tells_the_most_unusual_and_counts_the_rest(self, world):
        values = steady()
        values[-100:-40] = 5000 + np.arange(60)
        await write(world, values)
        line = await self.verdict(world)
        assert (len(line.unusual), line.unusual_left_out) == (50, 10)
        assert [one.at for one in line.unusual] == sorted(
            (one.at for one in line.unusual), reverse=True
        )


class TestTrend:
    async def test_says_by_how_much_a_day(self, world):
        values = steady(4) + 0.5 * np.arange(4 * WEEK_HOURS)
        await write(world, values)
        (line,) = find_trends(await read(world, span=4 * WEEK), UTC)
        assert line.direction == "rises"
        assert line.per_day == pytest.approx(12, rel=0.05)
        assert line.per_day_low is not None
        assert line.per_day_high is not None
        assert line.per_day_low < 12 < line.per_day_high
        assert line.sentence.startswith("Rises by 1")
        assert " a day, " in line.sentence

    async def test_does_not_call_noise_a_trend(self, world):
        await write(world, steady(4))
        await write(world, [1.0], name="new", number=2)
        (line,) = find_trends(await read(world, span=4 * WEEK), UTC)
        assert (line.direction, line.basis) == ("steady", "hour_of_week")
        assert line.sentence.startswith("Neither rises nor falls for sure: ")
        (line,) = find_trends(await read(world, name="new"), UTC)
        assert (line.direction, line.per_day, line.measured_hours) == ("not_measured", None, 1)


class TestForecast:
    async def test_says_how_it_is_known(self, world):
        values = steady(4) + 100 * np.sin(2 * np.pi * np.arange(4 * WEEK_HOURS) / 24)
        values[-30] = np.nan  # which exponential smoothing cannot have
        await write(world, values)
        (line,) = foresee(await read(world, span=8 * WEEK), 24, UTC)
        assert (line.method, line.season_hours) == ("seasonal_naive_drift", WEEK_HOURS)
        assert line.sentence == "The median of the same hour in the last four weeks."
        assert len(line.points) == len(line.low) == len(line.high) == 24
        truth = 400 + 100 * np.sin(2 * np.pi * np.arange(24) / 24)
        assert np.max(np.abs(np.array(line.points) - truth)) < 20

    @pytest.mark.timeout(400)  # the first import of statsmodels, and three fits
    async def test_smooths_where_that_is_nearer(self, world):
        values = steady(1) + 100 * np.sin(2 * np.pi * np.arange(WEEK_HOURS) / 24)
        values[-72:] += 300
        await write(world, values)
        (line,) = foresee(await read(world, span=8 * WEEK), 24, UTC)
        assert (line.method, line.season_hours) == ("holt_winters", 24)
        assert line.sentence == "By exponential smoothing with a season of 24 hours."
        assert np.mean(np.array(line.points, float)) == pytest.approx(700, rel=0.05)

    async def test_of_nothing_is_nothing(self, world):
        await write(world, [1.0], end=ELEVEN - 8 * WEEK - HOUR)
        (line,) = foresee(await read(world, span=8 * WEEK), 3, UTC)
        assert (line.method, line.points, line.season_hours) == ("none", [None] * 3, None)


class TestNumber:
    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (0, "0"),
            (1234.5, "1,234"),
            (0.12345, "0.123"),
            (-7.0, "-7"),
            (1e-7, "1e-07"),
            (12, "12"),
        ],
    )
    def test_is_read_at_a_glance(self, value, said):
        assert number(value) == said

    def test_refuses_a_zone_that_is_none(self):
        for name in ("Mars/Olympus", "../etc/passwd", "/etc", "Europe"):
            with pytest.raises(InvalidInputError):
                zone_of(name)


class TestRoutes:
    async def test_all_three_answer_a_viewer(self, app):
        ada = await app.caller("workflow")
        now = app.platform.database.clock()
        end = now.replace(minute=0, second=0, microsecond=0)
        values = steady(9)
        values[-24] *= 4
        await write_hours(
            app.platform.database, ada.tenant.id, values,
            name="orders_open", kind="gauge", end=end, shop="berlin",
        )  # fmt: skip
        eve = await app.caller("viewer", ada.tenant)
        asked = {"name": "orders_open", "aggregate": "avg", "by": "shop"}
        zone = {"time_zone": "Europe/Berlin"}
        told = await eve.http.get("/api/v1/metrics/anomalies", params=asked | zone)
        assert told.status_code == 200, told.text
        (line,) = told.json()["lines"]
        assert line["labels"] == {"shop": "berlin"}
        assert any(one["sentence"].startswith("Four times its usual ") for one in line["unusual"])
        told = await eve.http.get("/api/v1/metrics/trend", params=asked)
        assert (told.json()["lines"][0]["direction"], told.json()["unit"]) == ("steady", "a day")
        told = await eve.http.get("/api/v1/metrics/forecast", params=asked | {"hours": 12})
        (line,) = told.json()["lines"]
        assert len(line["points"]) == 12
        assert datetime.fromisoformat(told.json()["start_at"]) <= end + HOUR

    async def test_refusals_are_problems(self, app):
        ada = await app.caller("viewer")
        asked = {"name": "orders_total", "aggregate": "sum"}
        for path, more, code in (
            ("anomalies", {"weeks": 9}, "invalid_input"),
            ("anomalies", {"time_zone": "Mars/Olympus"}, "invalid_input"),
            ("anomalies", {"label": "shop"}, "invalid_input"),
            ("anomalies", {"since": "0001-01-01T00:00:00Z"}, "metrics.invalid_query"),
            ("anomalies", {"since": "2026-01-01T00:00:00Z"}, "metrics.invalid_query"),
            ("trend", {"until": "0001-01-01T00:00:00Z"}, "metrics.invalid_query"),
            ("forecast", {"until": "0001-01-01T00:00:00Z"}, "metrics.invalid_query"),
            ("forecast", {"hours": 337}, "invalid_input"),
            ("forecast", {"top": 6}, "invalid_input"),
        ):
            answer = await ada.http.get(f"/api/v1/metrics/{path}", params=asked | more)
            assert answer.status_code == 422, (path, more, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == code, (path, more)
        for path in ("anomalies", "trend", "forecast"):
            answer = await ada.http.get(f"/api/v1/metrics/{path}", params=asked)
            assert (answer.status_code, answer.json()["lines"]) == (200, [])

    async def test_a_metric_tells_its_newest_series(self, app):
        ada = await app.caller("workflow")
        now = app.platform.database.clock()
        items = [
            {"name": "queue_depth", "kind": "gauge", "value": value, "labels": {"q": queue},
             "at": (now - ago).isoformat()}
            for queue, value, ago in (("a", 1, HOUR), ("b", 2, timedelta(0)))
        ]  # fmt: skip
        await ada.http.post("/api/v1/metrics", json={"items": items})
        await app.platform.of(MetricsManager).fold(app.platform.database)
        (one,) = (await ada.http.get("/api/v1/metrics")).json()["items"]
        assert (one["series"], one["last_labels"], one["last_value"]) == (2, {"q": "b"}, 2)
