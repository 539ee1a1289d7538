"""Overview: the figures, the empty platform, the failure that does not end the page."""

from __future__ import annotations

import json

import pytest

from tests.support.factories import make_tenant

pytestmark = pytest.mark.page


class TestOverview:
    def test_shows_the_key_figures(self, visit, platform):
        screen = visit("overview")
        shown = {metric.label: metric.value for metric in screen.app.metric}
        known = platform.get("overview", minutes=15)
        assert shown["Accepted, 24 h"] == str(known["emails"]["accepted"])
        assert shown["Jobs waiting"] == str(known["jobs"]["ready"])
        assert float(shown["Requests / s"]) == pytest.approx(
            known["requests"]["per_second"], abs=0.2
        )
        assert shown["Latency, p95"].endswith(" ms")
        assert shown["Error rate"].endswith("%")
        assert platform.called("GET", "overview")[-1].query == {"minutes": "15"}

    def test_draws_five_charts_each_with_words_for_those_who_do_not_see_it(self, visit):
        charts = visit("overview").app.get("plotly_chart")
        assert len(charts) == 5
        alts = [chart.proto.alt for chart in charts]
        assert all(alts)
        assert any("accepted" in alt for alt in alts)

    def test_leaves_out_of_the_curves_what_nobody_measured(self, visit):
        window = visit("overview").app.get("plotly_chart")[1:3]
        for chart in window:
            (curve,) = json.loads(chart.proto.spec)["data"]
            values = [None, *curve["y"], None]
            assert values.count(None) >= 11
            assert (curve["connectgaps"], curve.get("fill")) == (False, None)
            # The one request between two gaps is a dot; no line would show it.
            lone = [at for at, size in enumerate(curve["marker"]["size"], start=1) if size]
            assert lone
            assert {(values[at - 1], values[at + 1]) for at in lone} == {(None, None)}

    def test_asks_for_the_chosen_window(self, visit, platform):
        screen = visit("overview")
        screen.app.segmented_control(key="overview-window").set_value(60).run()
        assert platform.called("GET", "overview")[-1].query == {"minutes": "60"}

    def test_lists_the_last_failures(self, visit):
        rows = visit("overview").rows("failures")
        assert {row["kind"] for row in rows} == {"email"}
        assert "bounced: Payment reminder" in {row["title"] for row in rows}
        assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)


class TestEmptyTenant:
    def test_says_what_will_be_here(self, visit, platform):
        http = platform.api()
        made = make_tenant(http, "initech", "Initech", owner_email="ada@example.test")
        screen = visit("overview")
        screen.app.sidebar.selectbox(key="tenant").select(made["id"]).run()
        assert "No e-mail yet. The first one a workflow sends appears here." in screen.text
        assert "Nothing failed" in screen.text
        shown = {metric.label: metric.value for metric in screen.app.metric}
        assert (shown["Latency, p95"], shown["Accepted, 24 h"]) == ("–", "0")
        assert shown["Error rate"] == "–"
