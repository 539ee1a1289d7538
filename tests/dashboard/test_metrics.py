"""Metrics: the list, the explorer whose choices stand in the address, what is usual, retention."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from dashboard.client import models
from dashboard.views.metrics import first_sample, to_csv
from tests.dashboard.conftest import VIC
from tests.support.factories import make_tenant
from tests.support.series import write_hours

pytestmark = pytest.mark.page

HOURS = 9 * 168


@pytest.fixture
def measured(platform):
    """Nine weeks of a gauge of two shops, one of which has a gap and four times its usual today."""
    now = platform.inside.database.clock()
    end = now.replace(minute=0, second=0, microsecond=0)
    hours = np.arange(HOURS)
    for number, (shop, level) in enumerate((("berlin", 400.0), ("lima", 40.0)), start=1001):
        values = level * (1 + 0.2 * np.sin(2 * np.pi * hours / 24))
        values += np.random.default_rng(number).normal(0, level / 100, HOURS)
        if shop == "berlin":
            values[-8:-5] = np.nan
            values[-3] *= 4
        platform.loop.run(
            write_hours(
                platform.inside.database, platform.seeds.demo_id, values,
                name="orders_open", kind="gauge", end=end, number=number, shop=shop,
            )
        )  # fmt: skip
    return end


def record(platform, **item):
    """Record by the API, and fold."""
    http = platform.api()
    http.post("/api/v1/metrics", json={"items": [item]}).raise_for_status()
    platform.tick("metrics.fold")


def spec(screen, place):
    return json.loads(screen.app.get("plotly_chart")[place].proto.spec)


class TestList:
    def test_shows_each_with_its_last_value(self, visit, platform, measured):
        record(platform, name="mails_total", kind="counter", value=3)
        screen = visit("metrics")
        rows = screen.rows("metrics")
        assert [(row["name"], row["kind"], row["series"]) for row in rows] == [
            ("mails_total", "counter", "1"), ("orders_open", "gauge", "2"),
        ]  # fmt: skip
        assert rows[0]["value"] == "3"
        assert rows[0]["age"] == "under a minute ago"
        assert rows[1]["labels"].startswith("shop=")
        assert re.search(r"Updated \d s ago\.", screen.text)
        assert "Series 1 of 10,000" in screen.text

    def test_finds_by_the_beginning_of_the_name(self, visit, platform, measured):
        screen = visit("metrics")
        screen.app.text_input(key="metrics-prefix").set_value("mails").run()
        assert "No metric begins so" in screen.text
        assert platform.called("GET", "metrics")[-1].query["prefix"] == "mails"

    def test_an_empty_tenant_is_told_how_to_begin(self, visit, platform):
        made = make_tenant(platform.api(), "initech", "Initech")
        screen = visit("metrics")
        screen.app.sidebar.selectbox(key="tenant").select(made["id"]).run()
        assert "No metric yet" in screen.text
        (shown,) = [code.value for code in screen.app.code if "curl" in code.value]
        assert shown == first_sample("http://localhost:8400")
        body = json.loads(shown.split("-d '")[1].rstrip("'"))
        answer = platform.api(tenant_id=made["id"]).post("/api/v1/metrics", json=body)
        assert answer.json() == {"accepted": 1, "refused": 0, "items": []}

    def test_a_failure_leaves_the_last_figures(self, visit, platform, measured):
        screen = visit("metrics")
        kept = screen.app.session_state["metrics-names"]
        old = dataclasses.replace(kept, at=kept.at - timedelta(minutes=5))
        screen.app.session_state["metrics-names"] = old
        platform.wire.fail("GET", "/api/v1/metrics", 503, "unavailable", "Try again later")
        screen.app.run()
        assert "Try again later" in screen.text
        assert "Below are the last figures, of " in screen.text
        assert [row["name"] for row in screen.rows("metrics")] == ["orders_open"]
        assert "Updated 5 minutes ago." in screen.text


class TestExplorer:
    def test_asks_what_the_address_says_and_says_what_is_chosen(self, visit, platform, measured):
        screen = visit(
            "metrics", metric="orders_open", function="max", by="shop", window="7d", compare="week"
        )
        asked = platform.called("GET", "metrics/query")[-1].query
        assert (asked["aggregate"], asked["by"], asked["with_week_before"]) == (
            "max", "shop", "true",
        )  # fmt: skip
        since, until = (datetime.fromisoformat(asked[name]) for name in ("since", "until"))
        assert until - since == timedelta(days=7)
        screen.app.multiselect(key="metric-labels").select("shop=lima").run()
        screen.app.selectbox(key="metric-function").select("last").run()
        assert platform.called("GET", "metrics/query")[-1].query["label"] == "shop=lima"
        known = screen.address
        assert (known["metric"], known["function"], known["label"], known["window"]) == (
            "orders_open", "last", "shop=lima", "7d",
        )  # fmt: skip
        assert (known["by"], known["compare"]) == ("shop", "week")

    def test_takes_what_is_no_choice_as_the_usual_one(self, visit, platform, measured):
        screen = visit("metrics", metric="orders_open", function="rate", window="1y", by="till")
        asked = platform.called("GET", "metrics/query")[-1].query
        assert (asked["aggregate"], "by" in asked) == ("avg", False)
        assert screen.address["window"] == "24h"

    def test_draws_gaps_as_gaps_and_few_points(self, visit, measured):
        screen = visit("metrics", metric="orders_open", by="shop", label="shop=berlin", window="7d")
        (curve,) = spec(screen, 0)["data"]
        assert curve["connectgaps"] is False
        assert None in curve["y"]
        assert len(curve["y"]) <= 2000
        (row,) = screen.rows("metric-table")
        assert row["line"] == "shop=berlin"
        assert screen.app.get("download_button")

    def test_says_what_is_usual_draws_its_band_and_what_comes(self, visit, platform, measured):
        screen = visit("metrics", metric="orders_open", label="shop=berlin")
        names = [one["name"] for one in spec(screen, 1)["data"]]
        assert names.count("Usual") >= 1
        assert {"Measured", "Middle of the usual", "Forecast", "95 of 100 forecasts"} <= set(names)
        odd = next(one for one in spec(screen, 1)["data"] if one["name"] == "Unusual")
        assert len(odd["x"]) >= 1
        why = [row["sentence"] for row in screen.rows("metric-odd-hours")]
        assert any(one.startswith("Four times its usual ") for one in why)
        assert "Usual About its usual " in screen.text
        assert "The median of the same hour in the last four weeks" in screen.text
        assert "seasonal naive drift" in screen.text
        assert platform.called("GET", "metrics/anomalies")[-1].query["time_zone"] == "UTC"

    def test_a_failure_leaves_the_last_figures(self, visit, platform, measured):
        screen = visit("metrics", metric="orders_open")
        kept = screen.app.session_state["metrics-lines"]
        old = dataclasses.replace(kept, at=kept.at - timedelta(minutes=2))
        screen.app.session_state["metrics-lines"] = old
        platform.wire.fail("GET", "/api/v1/metrics/query", 503, "unavailable", "Try again later")
        screen.app.run()
        assert "Try again later" in screen.text
        assert "Updated 2 minutes ago." in screen.text
        assert len(screen.app.get("plotly_chart")) == 2
        # The last figures of another question would be wrong ones.
        screen.app.selectbox(key="metric-function").select("max").run()
        assert len(screen.app.get("plotly_chart")) == 1

    def test_what_nobody_recorded_is_said(self, visit, platform):
        assert (
            "Nothing was recorded as nothing_here" in visit("metrics", metric="nothing_here").text
        )

    def test_goes_back_to_the_list(self, visit, platform, measured):
        screen = visit("metrics", metric="orders_open").click("metrics-back")
        assert "metric" not in screen.address
        assert screen.rows("metrics")


class TestCsv:
    def test_has_a_column_a_line_and_nothing_for_gaps(self):
        line = models.MetricLineOut(
            labels={"shop": "=a"}, points=[1.5, None], value=1.5,
            points_week_before=[None, 2.0], value_week_before=2.0,
        )  # fmt: skip
        at = datetime(2026, 11, 24, 10, tzinfo=UTC)
        found = models.MetricLinesOut(
            aggregate="avg", kind="gauge", lines=[line], lines_left_out=0, name="orders_open",
            start_at=at, step_seconds=60,
        )  # fmt: skip
        written = to_csv(found, [at, at + timedelta(minutes=1)])
        assert list(csv.reader(io.StringIO(written.decode()))) == [
            ["at", "shop==a", "shop==a, a week before"],
            ["2026-11-24T10:00:00+00:00", "1.5", ""],
            ["2026-11-24T10:01:00+00:00", "", "2.0"],
        ]


class TestRetention:
    def test_is_changed_by_who_may_after_a_question(self, visit, platform):
        screen = visit("metrics")
        screen.app.number_input(key="metric-keep-hour").set_value(100).run()
        screen.click("metric-retention-save-start")
        assert "go for good within the hour" in screen.text
        screen.click("metric-retention-save-yes")
        assert "How long windows are kept is changed" in screen.said
        assert platform.get("metric-settings")["keep_days"]["hour"] == 100

    def test_says_at_once_what_cannot_be(self, visit, platform):
        screen = visit("metrics")
        screen.app.number_input(key="metric-keep-hour").set_value(80).run()
        assert "stay at least as long" in screen.text
        assert not screen.has_button("metric-retention-save-start")

    def test_is_read_by_who_may_not_change_it(self, visit, platform):
        screen = visit("metrics", person=VIC)
        assert "Windows of 1 h 400 days" in screen.text
        assert not screen.app.number_input
