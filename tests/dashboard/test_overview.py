"""Overview: the figures, the empty platform, the failure that does not end the page."""

from __future__ import annotations

import json

import pytest

from tests.support.factories import make_tenant

pytestmark = pytest.mark.page


def told(platform, **parts):
    """Have the platform tell the overview with other parts."""
    platform.wire.alter("GET", "/api/v1/overview", lambda found: {**found, **parts})


def mail(accepted=0, bounced=0, partial=0, suppressed=0):
    """What the platform tells of so many messages."""
    settled = accepted + bounced + partial + suppressed
    return {
        "settled": settled,
        "accepted": accepted,
        "bounced": bounced,
        "partial": partial,
        "suppressed": suppressed,
        "accepted_share": accepted / settled if settled else None,
    }


ALIVE = {"alive": 2, "seen_at": "2026-11-26T09:00:05Z"}
GONE = {"alive": 0, "seen_at": "2026-11-26T09:00:05Z"}
WELL = {"per_second": 1.0, "p95_ms": 20.0, "error_rate": 0.0}


class TestVerdict:
    @pytest.fixture(autouse=True)
    def no_jobs(self, platform):
        told(platform)
        self.parts = {"jobs": {}, "emails": {}, "requests": WELL, "workers": ALIVE}

    @pytest.mark.parametrize(
        ("parts", "tone", "said"),
        [
            (
                {"delivery": mail(282, bounced=41, partial=2, suppressed=3)},
                "amber",
                "282 accepted, 41 bounced, 2 accepted for some recipients only, 3 suppressed.",
            ),
            (
                {"delivery": mail(1)},
                "green",
                "Settled mail of the last 15 minutes: 1 accepted.",
            ),
            (
                {"delivery": mail()},
                "gray",
                "No mail settled: none of the last 15 minutes has an outcome.",
            ),
            (
                {"delivery": mail(5), "jobs": {"dead": 1}},
                "amber",
                "Settled mail of the last 15 minutes: 5 accepted. 1 job gave up.",
            ),
            (
                {"delivery": mail(5), "emails": {"deferred": 1}},
                "green",
                "1 e-mail could not be handed over yet, and will be tried again.",
            ),
            (
                {"emails": {"deferred": 31}},
                "amber",
                "31 e-mails could not be handed over yet, and will be tried again.",
            ),
            (
                {"delivery": mail(5), "requests": {**WELL, "error_rate": 0.031}},
                "amber",
                "The API failed to serve 3.10 % of requests.",
            ),
            (
                {"delivery": mail(5), "workers": GONE, "jobs": {"ready": 3, "blocked": 1}},
                "red",
                "no worker seen since 2026-11-26 09:00:05 UTC. Jobs of this tenant that wait: 4.",
            ),
            (
                {"workers": {"alive": 0, "seen_at": None}},
                "red",
                "Nothing is sent: no worker was ever seen.",
            ),
        ],
    )
    def test_says_the_worst_first(self, visit, platform, parts, tone, said):
        told(platform, **{**self.parts, **parts})
        screen = visit("overview")
        assert said in screen.text
        assert f'class="es-status es-{tone}"' in screen.markup


class TestOverview:
    def test_shows_what_became_of_the_mail(self, visit, platform):
        screen = visit("overview")
        shown = {metric.label: (metric.value, metric.delta) for metric in screen.app.metric}
        known = platform.get("overview", minutes=15)
        found = known["delivery"]
        assert 0 < found["accepted_share"] < 1
        share = f"{found['accepted_share']:.2%}".replace("%", " %")
        assert shown == {
            "Mail accepted": (share, f"{found['accepted']} of {found['settled']} settled"),
            "Bounced": (str(found["bounced"]), f"{found['partial']} accepted in part"),
            "Suppressed": (str(found["suppressed"]), "not sent on purpose"),
            "Jobs waiting": (str(known["jobs"]["ready"]), shown["Jobs waiting"][1]),
        }
        assert platform.called("GET", "overview")[-1].query == {"minutes": "15"}

    def test_calls_nothing_good_that_nobody_knows(self, visit, platform):
        told(platform, delivery=mail())
        screen = visit("overview")
        shown = {metric.label: (metric.value, metric.delta) for metric in screen.app.metric}
        for label in ("Mail accepted", "Bounced", "Suppressed"):
            assert shown[label] == ("–", "no mail settled")
        assert "0 %" not in screen.text.split("API requests")[0]

    @pytest.mark.parametrize(
        ("share", "said"),
        [(1, "100 %"), (0.999999, "> 99.99 %"), (0.00001, "< 0.01 %"), (0, "0 %")],
    )
    def test_rounds_nothing_away(self, visit, platform, share, said):
        told(platform, delivery={**mail(5), "accepted_share": share})
        assert visit("overview").app.metric[0].value == said

    @pytest.mark.parametrize(
        ("rate", "said"), [(0, "0.00"), (0.001, "< 0.01"), (9.994, "9.99"), (1234.5, "1,234.5")]
    )
    def test_rounds_no_request_away(self, visit, platform, rate, said):
        told(platform, requests={**WELL, "per_second": rate})
        assert f"Requests per second, mean {said} " in visit("overview").text.replace("  ", " ")

    def test_says_what_is_wrong_with_the_workers(self, visit, platform):
        told(platform, workers=GONE)
        waiting = visit("overview").app.metric[3]
        assert waiting.delta == "no worker"
        told(platform, workers=ALIVE, jobs={"ready": 2, "running": 1})
        assert visit("overview").app.metric[3].delta == "1 running, 2 workers"

    def test_names_the_errors_of_requests_as_such(self, visit):
        screen = visit("overview")
        assert "Request errors (5xx) % of requests, over all" in screen.text
        assert "Error rate" not in screen.text
        assert "What the console reads to show it does not count." in screen.text

    def test_draws_five_charts_each_with_words_for_those_who_do_not_see_it(self, visit):
        charts = visit("overview").app.get("plotly_chart")
        assert len(charts) == 5
        alts = [chart.proto.alt for chart in charts]
        assert all(alts)
        assert any("accepted" in alt for alt in alts)

    def test_leaves_out_of_the_curves_what_nobody_measured(self, visit):
        window = visit("overview").app.get("plotly_chart")[3:5]
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
        assert screen.text.count("made in the last hour, and all that wait") == 2

    def test_lists_the_last_failures(self, visit):
        rows = visit("overview").rows("failures")
        assert {row["kind"] for row in rows} == {"email"}
        assert "bounced: Payment reminder" in {row["title"] for row in rows}
        assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)


class TestEmptyTenant:
    def test_says_what_will_be_here(self, visit, platform):
        http = platform.api()
        made = make_tenant(http, "initech", "Initech")
        screen = visit("overview")
        screen.app.sidebar.selectbox(key="tenant").select(made["id"]).run()
        assert "No e-mail in the last 15 minutes, and none waits." in screen.text
        assert "Nothing failed" in screen.text
        shown = {metric.label: metric.value for metric in screen.app.metric}
        assert shown["Mail accepted"] == shown["Bounced"] == "–"
        assert "Latency, p95 ms Request" in screen.text
