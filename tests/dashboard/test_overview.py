"""Overview: the figures, the empty platform, the failure that does not end the page."""

from __future__ import annotations

import json

import pytest

from tests.dashboard.fake_api import Platform

pytestmark = pytest.mark.page


class TestOverview:
    def test_shows_the_key_figures(self, visit, platform):
        screen = visit("overview")
        shown = {metric.label: metric.value for metric in screen.app.metric}
        accepted = sum(email["state"] == "accepted" for email in platform.room("acme").emails)
        waiting = sum(job["state"] == "ready" for job in platform.room("acme").jobs)
        assert shown == {
            "Requests / s": "14.2",
            "Latency, p95": "46 ms",
            "Error rate": "0.12%",
            "Accepted, 24 h": str(accepted),
            "Jobs waiting": str(waiting),
        }
        assert platform.called("GET", "/api/v1/overview")[-1].query == {"minutes": "15"}

    def test_draws_five_charts_each_with_words_for_those_who_do_not_see_it(self, visit):
        charts = visit("overview").app.get("plotly_chart")
        assert len(charts) == 5
        alts = [chart.proto.alt for chart in charts]
        assert all(alts)
        assert any("accepted" in alt for alt in alts)

    def test_leaves_out_of_the_curves_what_nobody_measured(self, visit, platform):
        window = visit("overview").app.get("plotly_chart")[1:3]
        for chart in window:
            (curve,) = json.loads(chart.proto.spec)["data"]
            values = curve["y"]
            assert values.count(None) == 11
            assert (curve["connectgaps"], curve.get("fill")) == (False, None)
            # The one request between two gaps is a dot; no line would show it.
            lone = [at for at, size in enumerate(curve["marker"]["size"]) if size]
            assert [(values[at - 1], values[at + 1]) for at in lone] == [(None, None)]

    def test_asks_for_the_chosen_window(self, visit, platform):
        screen = visit("overview")
        screen.app.segmented_control(key="overview-window").set_value(60).run()
        assert platform.called("GET", "/api/v1/overview")[-1].query == {"minutes": "60"}

    def test_lists_the_last_failures(self, visit, platform):
        rows = visit("overview").rows("failures")
        assert 0 < len(rows) <= 10
        assert {row["kind"] for row in rows} == {"email", "job"}
        assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)

    def test_keeps_the_page_when_the_figures_fail(self, visit, platform):
        platform.fail("GET", "/api/v1/overview", 504, "deadline", "The figures took too long.")
        screen = visit("overview")
        assert "Overview Traffic" in screen.text
        assert "The figures took too long." in screen.text


class TestEmptyPlatform:
    @pytest.fixture
    def platform(self):
        return Platform(empty=True)

    def test_says_what_will_be_here(self, visit):
        screen = visit("overview")
        assert "No e-mail yet. The first one a workflow sends appears here." in screen.text
        assert "Nothing failed" in screen.text
        shown = {metric.label: metric.value for metric in screen.app.metric}
        assert (shown["Latency, p95"], shown["Accepted, 24 h"]) == ("–", "0")
        assert shown["Error rate"] == "–"
