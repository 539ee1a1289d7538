"""Overview: the figures, the empty platform, the failure that does not end the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.dashboard.conftest import VIC
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


ALIVE = {"alive": 2, "draining": 0, "seen_at": "2026-11-26T09:00:05Z"}
GONE = {"alive": 0, "draining": 0, "seen_at": "2026-11-26T09:00:05Z"}
WELL = {"per_second": 1.0, "p95_ms": 20.0, "error_rate": 0.0}


def cause(severity, name, sentence, address):
    return {"severity": severity, "cause": name, "sentence": sentence, "address": address}


class TestVerdict:
    @pytest.mark.parametrize(
        ("severity", "tone", "word"),
        [
            ("ok", "green", "Well"),
            ("idle", "gray", "Quiet"),
            ("warning", "amber", "Look here"),
            ("unknown", "violet", "Not known"),
            ("critical", "red", "Act now"),
        ],
    )
    def test_stands_on_top_with_its_tone_and_a_word(self, visit, platform, severity, tone, word):
        found = cause(severity, "any", "It is as it is.", "/status")
        told(platform, verdict={**found, "others": []})
        screen = visit("overview")
        assert f'class="es-status es-{tone}"' in screen.markup
        first = screen.markup.split("es-status", 1)[1]
        assert word in first
        assert "It is as it is." in first.split("What succeeds")[0]

    def test_each_reason_leads_to_its_rows(self, visit, platform):
        bounces = cause("critical", "bounces", "13 % bounced.", "/emails?state=bounced")
        slow = cause("warning", "slo", "Served is missed.", "/slos?id=7")
        told(platform, verdict={**bounces, "others": [slow]})
        links = {one.proto.label: one.proto for one in visit("overview").app.get("page_link")}
        assert links["Open E-mails"].query_string.endswith("state=bounced")
        assert links["Open Objectives"].query_string.endswith("id=7")

    def test_leads_nowhere_that_the_person_may_not_go(self, visit, platform):
        key = cause("warning", "ending", "An API key ends in 3 days.", "/api_keys")
        told(platform, verdict={**key, "others": []})
        screen = visit("overview", person=VIC)
        assert "An API key ends in 3 days." in screen.text
        assert "Open API keys" not in {one.proto.label for one in screen.app.get("page_link")}

    def test_a_link_sets_the_filter_of_the_list(self, visit):
        rows = visit("emails", state="bounced").rows("emails")
        assert {row["state"] for row in rows} == {"bounced"}

    def test_an_api_that_is_silent_is_told_above_the_last_figures(self, visit, platform):
        screen = visit("overview")
        accepted = screen.app.metric[0].value
        platform.wire.fail("GET", "/api/v1/overview", 503, "unavailable", "Away")
        screen.app.session_state["overview-found"] = replace(
            screen.app.session_state["overview-found"], at=datetime(2026, 1, 1, tzinfo=UTC)
        )
        screen.app.run()
        assert "The API does not answer: how it is now is not known." in screen.text
        assert "Below are the last figures" in screen.text
        assert screen.app.metric[0].value == accepted
        assert "es-status es-green" not in screen.markup


class TestReasons:
    def test_groups_what_failed_by_what_the_server_said(self, visit, platform):
        reasons = [
            {"reason": "550 no such user", "messages": 11},
            {"reason": "552 mailbox full", "messages": 2},
        ]
        told(platform, reasons=reasons)
        assert visit("overview").rows("overview-reasons") == [
            {"reason": "550 no such user", "messages": "11"},
            {"reason": "552 mailbox full", "messages": "2"},
        ]

    def test_says_when_nothing_failed(self, visit, platform):
        told(platform, reasons=[])
        assert "No message of the last 15 minutes bounced." in visit("overview").text


class TestAcceptance:
    def test_says_how_long_it_took(self, visit, platform):
        told(platform, acceptance={"messages": 40, "p50_seconds": 0.42, "p95_seconds": 185.0})
        screen = visit("overview")
        shown = {metric.label: metric.value for metric in screen.app.metric}
        assert (shown["Half within"], shown["95 % within"]) == ("420 ms", "3.1 min")
        assert "Of 40 messages" in screen.text

    def test_is_not_measured_without_any(self, visit, platform):
        told(platform, acceptance={"messages": 0, "p50_seconds": None, "p95_seconds": None})
        screen = visit("overview")
        assert "Not measured No message of the last 15 minutes was accepted." in screen.text
        assert "Half within" not in {metric.label for metric in screen.app.metric}


class TestPlatform:
    def test_is_for_who_administers_it(self, visit, platform):
        # The one whose key is used everywhere here administers the platform; a viewer does not.
        assert "The platform, across tenants" in visit("overview").text
        assert "across tenants" not in visit("overview", person=VIC).text

    def test_names_the_slow_tenant(self, visit, platform):
        found = cause("warning", "slow_tenant", "Requests of Acme are slow.", "/tenants?id=7")
        tenant = {"id": "7", "slug": "acme", "name": "Acme", "requests": 1200}
        platform.wire.alter(
            "GET",
            "/api/v1/platform/overview",
            lambda known: {
                **known,
                "verdict": {**found, "others": []},
                "tenants": [{**tenant, "error_rate": 0.001, "p95_ms": 2400.4}],
            },
        )
        screen = visit("overview")
        assert "Requests of Acme are slow." in screen.text
        (row,) = screen.rows("overview-tenants")
        assert row == {
            "id": "7", "name": "Acme", "p95": "2,400 ms", "requests": "1,200", "errors": "0.10 %",
        }  # fmt: skip


class TestOverview:
    def test_shows_what_became_of_the_mail(self, visit, platform):
        screen = visit("overview")
        shown = {metric.label: (metric.value, metric.delta) for metric in screen.app.metric[:4]}
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
        assert "0 %" not in screen.text.split("What succeeds")[1].split("How fast")[0]

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
        assert screen.text.count("made in the last hour, and all that wait") == 2
        screen.app.segmented_control(key="overview-window").set_value(129_600).run()
        assert platform.called("GET", "overview")[-1].query == {"minutes": "129600"}
        assert "made in the last 90 days, and all that wait" in screen.text

    def test_says_how_old_the_figures_are(self, visit):
        assert re.search(r"Updated \d+ seconds? ago\.", visit("overview").text)

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
