"""Alerts and their rules: the lists, one of them, what may be done, and what a rule asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from backend.managers.alerting.condition_schemas import ConditionModel
from dashboard.widgets import rule_form
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page

CONDITIONS = get_args(get_args(ConditionModel)[0])

RULE = {
    "name": "Orders have stopped",
    "severity": "critical",
    "condition": {
        "kind": "metric",
        "metric": "orders_total",
        "aggregate": "rate",
        "compare": "<",
        "threshold": 0.5,
    },
}


def opened(visit, rule):
    screen = visit("alert_rules")
    screen.app.session_state["alert-rules-open"] = rule["id"]
    screen.app.run()
    return screen


@pytest.fixture
def raised(platform):
    said = {"name": "Import stands still", "severity": "warning", "labels": {"team": "data"}}
    return platform.api().post("/api/v1/alerts", json=said).raise_for_status().json()


class TestAlerts:
    def test_one_is_raised_seen_to_and_ended(self, visit, platform):
        screen = visit("alerts").click("alerts-new")
        screen.app.text_input(key="alerts-new-name").set_value("Import stands still")
        screen.app.text_input(key="alerts-new-summary").set_value("Nothing came since nine")
        screen.press("Raise alert")
        assert screen.said == "Import stands still fires."
        (made,) = platform.items("alerts")
        assert (made["severity"], made["state"]) == ("warning", "firing")
        screen = visit("alerts", id=made["id"])
        screen.click("alerts-acknowledge").click("alerts-snooze")
        screen.click("alerts-resolve-start").click("alerts-resolve-yes")
        (over,) = platform.items("alerts")
        assert over["state"] == "over"
        assert over["acknowledged_at"]
        assert over["snoozed_until"]

    def test_tells_what_happened_in_order(self, visit, raised):
        screen = visit("alerts", id=raised["id"])
        screen.app.text_input[-1].set_value("A disk was full")
        screen.press("Write it down")
        assert screen.said == "Written down."
        assert "A disk was full" in screen.text
        assert screen.text.index("It fires") < screen.text.index("Comment")
        assert "team" in screen.text

    def test_whoever_may_only_look_is_offered_nothing(self, visit, raised):
        screen = visit("alerts", person=VIC, id=raised["id"])
        assert not screen.has_button("alerts-acknowledge")
        assert not visit("alerts", person=VIC).has_button("alerts-new")


class TestRules:
    @pytest.mark.parametrize(
        ("kind", "asked", "not_asked"),
        [
            ("metric", {"metric", "threshold"}, {"words", "signal"}),
            ("log", {"words", "threshold"}, {"metric", "signal"}),
            ("heartbeat", {"signal"}, {"metric", "words", "threshold"}),
            ("event", {"kinds", "threshold"}, {"metric", "words"}),
            ("audit", {"kinds", "threshold"}, {"metric", "words"}),
            ("forecast", {"metric", "threshold"}, {"words", "service"}),
            ("anomaly", {"metric"}, {"threshold", "service"}),
            ("prometheus", {"query"}, {"threshold", "metric"}),
            ("trace", {"service", "operation", "threshold"}, {"metric", "component"}),
            ("health", {"component"}, {"threshold", "metric"}),
            ("log_pattern", {"source"}, {"words", "threshold"}),
        ],
    )
    def test_asks_for_what_the_kind_needs(self, visit, kind, asked, not_asked):
        screen = visit("alert_rules").click("alert-rules-new")
        screen.app.selectbox(key="alert-rules-new-kind").set_value(kind).run()
        shown = {one.key.removeprefix("alert-rules-new-") for one in screen.app.text_input}
        assert asked <= shown
        assert not not_asked & shown

    def test_makes_what_the_form_says(self, visit, platform):
        screen = visit("alert_rules").click("alert-rules-new")
        screen.app.selectbox(key="alert-rules-new-kind").set_value("log").run()
        screen.app.text_input(key="alert-rules-new-name").set_value("Payments fail")
        screen.app.text_input(key="alert-rules-new-words").set_value("payment failed")
        screen.app.text_input(key="alert-rules-new-threshold").set_value("3")
        screen.press("Create alert rule")
        assert screen.said == "Payments fail is looked at from now on."
        (made,) = platform.items("alert-rules")
        assert made["condition"] == {
            "kind": "log",
            "compare": ">",
            "threshold": 3,
            "window_seconds": 300,
            "words": "payment failed",
            "level": None,
            "source": None,
        }

    @pytest.mark.parametrize(
        ("kind", "given", "words"),
        [
            (
                "event",
                {"kinds": "job.dead email.bounced", "threshold": "3"},
                "job.dead, email.bounced over 5 min > 3",
            ),
            ("audit", {"kinds": "access.denied", "threshold": "9"}, "access.denied over 5 min > 9"),
            (
                "forecast",
                {"metric": "filled", "threshold": "0.9"},
                "rate of filled will be > 0.9 within 24 h",
            ),
            ("anomaly", {"metric": "orders"}, "the last hour of orders is unusual"),
            ("prometheus", {"query": "up == 0"}, "up == 0"),
            (
                "trace",
                {"service": "shop", "threshold": "500"},
                "latency of shop over 5 min > 500",
            ),
            ("health", {"component": "disk"}, "disk does not work"),
            ("health", {}, "the platform is not ready"),
            (
                "health",
                {"needs": "workers disk"},
                "the platform is not ready or workers do not work or disk do not work",
            ),
            ("report", {"zone": "Europe/Paris"}, "the day before, at 8:00 of Europe/Paris"),
            ("log_pattern", {"source": "shop"}, "log lines error like none before"),
            (
                "metric",
                {"metric": "orders", "threshold": "3", "labels": "shop=berlin", "by-labels": "a b"},
                "rate of orders with shop=berlin by a, b over 5 min > 3",
            ),
            (
                "event",
                {"kinds": "job.dead", "threshold": "3", "subject": "job:x", "where": "kind=a|b"},
                "job.dead on job:x where kind is a or b over 5 min > 3",
            ),
            (
                "audit",
                {"kinds": "access.denied", "threshold": "3", "actor": "user:1", "target": "key:2"},
                "access.denied on key:2 by user:1 over 5 min > 3",
            ),
            (
                "trace",
                {"service": "shop", "threshold": "500", "quantile": "0.5"},
                "quantile 0.5 of latency of shop over 5 min > 500",
            ),
        ],
    )
    def test_makes_a_rule_of_each_kind(self, visit, platform, kind, given, words):
        screen = visit("alert_rules").click("alert-rules-new")
        screen.app.selectbox(key="alert-rules-new-kind").set_value(kind).run()
        screen.app.text_input(key="alert-rules-new-name").set_value("R")
        for name, value in given.items():
            screen.app.text_input(key=f"alert-rules-new-{name}").set_value(value)
        screen.press("Create alert rule")
        assert screen.said == "R is looked at from now on."
        (row,) = visit("alert_rules").rows("alert-rules")
        assert row["condition"] == words

    @pytest.mark.parametrize("model", CONDITIONS, ids=lambda one: one.__name__)
    def test_asks_for_all_that_a_condition_has(self, model):
        (kind,) = get_args(model.model_fields["kind"].annotation)
        known = {*rule_form.FIELDS[kind]}
        assert known == {*model.model_fields} - {"kind"}

    def test_what_is_chosen_for_each_kind_gets_into_its_condition(self, visit, platform):
        self._make(visit, "trace", {"service": "shop", "threshold": "9"}, {"by-operation": "yes"})
        self._make(visit, "log_pattern", {}, {"pattern-level": ""})
        self._make(visit, "audit", {"kinds": "a.b", "threshold": "9"}, {"by-audit": "target"})
        audit, pattern, trace = (one["condition"] for one in platform.items("alert-rules"))
        assert (trace["by_operation"], trace["minutes"]) == (True, 5)
        assert (pattern["level"], pattern["window_seconds"]) == (None, 900)
        assert audit["by"] == "target"

    def test_says_where_labels_cannot_be_read(self, visit, platform):
        given = {"metric": "orders", "threshold": "9", "labels": "berlin"}
        screen = self._make(visit, "metric", given, {})
        assert "The labels cannot be read" in screen.text
        assert platform.items("alert-rules") == []

    @staticmethod
    def _make(visit, kind, given, chosen):
        screen = visit("alert_rules").click("alert-rules-new")
        screen.app.selectbox(key="alert-rules-new-kind").set_value(kind).run()
        screen.app.text_input(key="alert-rules-new-name").set_value(kind)
        for name, value in given.items():
            screen.app.text_input(key=f"alert-rules-new-{name}").set_value(value)
        for name, value in chosen.items():
            screen.app.selectbox(key=f"alert-rules-new-{name}").set_value(value)
        return screen.press("Create alert rule")

    def test_says_what_a_rule_would_have_done(self, visit, platform):
        made = platform.api().post("/api/v1/alert-rules", json=RULE).raise_for_status().json()
        screen = opened(visit, made).click("alert-rule-try")
        assert "Nothing was measured." in screen.text
        said = {"kind": "log", "compare": "<", "threshold": 1}
        rule = {**RULE, "name": "No line", "condition": said}
        made = platform.api().post("/api/v1/alert-rules", json=rule).raise_for_status().json()
        screen = opened(visit, made).click("alert-rule-try")
        (row,) = screen.rows("alert-rule-tried")
        assert (row["labels"], row["lasted"], row["value"]) == ("all", "until now", "0")

    def test_what_cannot_be_tried_is_not_offered(self, visit, platform):
        rule = {**RULE, "condition": {"kind": "health"}}
        made = platform.api().post("/api/v1/alert-rules", json=rule).raise_for_status().json()
        assert not opened(visit, made).has_button("alert-rule-try")

    def test_adds_one_of_the_catalogue(self, visit, platform):
        screen = visit("alert_rules")
        assert "Storage threshold" not in screen.text
        screen.app.toggle(key="alert-catalogue").set_value(True).run()
        assert "disk does not work for 1 h" in screen.text
        assert "system_cpu_utilization has not been recorded" in screen.text
        screen.click("alert-catalogue-add-storage")
        assert screen.said == "Storage threshold is looked at from now on."
        (made,) = platform.items("alert-rules")
        assert (made["name"], made["hold_seconds"]) == ("Storage threshold", 3600)

    def test_whoever_may_only_look_is_not_offered_the_catalogue(self, visit):
        assert not visit("alert_rules", person=VIC).app.toggle

    def test_says_what_a_rule_looks_at_and_whether_it_was_measured(self, visit, platform):
        platform.api().post("/api/v1/alert-rules", json=RULE).raise_for_status()
        (row,) = visit("alert_rules").rows("alert-rules")
        assert row["condition"] == "rate of orders_total over 5 min < 0.5"
        assert row["looked_at"] == "not yet"


class TestRuleFiles:
    def test_rules_are_taken_from_one(self, visit, platform):
        screen = visit("alert_rules")
        file = b"""
groups:
  - name: orders
    rules:
      - {alert: OrdersStopped, expr: "rate(orders_total[5m]) == 0", labels: {severity: info}}
      - {record: orders, expr: orders_total}
"""
        screen.app.file_uploader[0].set_value(("rules.yml", file, "application/yaml")).run()
        assert "It would make 1 and change 0; 1 would be refused" in screen.text
        made, refused = screen.rows("alert-rules-foreseen")
        assert (made["name"], made["outcome"]) == ("OrdersStopped", "made")
        assert (refused["outcome"], refused["why"][:16]) == ("refused", "A recording rule")
        assert platform.items("alert-rules") == []
        screen.click("alert-rules-import-send")
        assert screen.said == (
            "1 made, 0 changed, 0 as they were. 1 refused: orders: A recording rule: series are "
            "recorded by your Prometheus."
        )
        assert [one["name"] for one in platform.items("alert-rules")] == ["OrdersStopped"]

    def test_a_file_that_would_change_nothing_cannot_be_imported(self, visit):
        screen = visit("alert_rules")
        file = b"groups: [{name: g, rules: [{record: orders, expr: orders_total}]}]"
        screen.app.file_uploader[0].set_value(("rules.yml", file, "application/yaml")).run()
        assert screen.app.button(key="alert-rules-import-send").disabled

    def test_says_that_a_file_is_none_before_it_is_imported(self, visit):
        screen = visit("alert_rules")
        screen.app.file_uploader[0].set_value(("r.yml", b"groups: 3", "application/yaml")).run()
        assert "cannot be read" in screen.text
        assert screen.app.button(key="alert-rules-import-send").disabled


class TestSilences:
    def test_one_is_made_and_ended(self, visit, platform):
        screen = visit("silences").click("silences-new")
        screen.app.text_input(key="silences-new-matchers").set_value('team="db"')
        screen.app.text_input(key="silences-new-reason").set_value("The database moves")
        screen.press("Create silence")
        assert screen.said == 'Alerts with team="db" are silenced.'
        (made,) = platform.items("silences")
        assert (made["state"], made["kind"], made["reason"]) == (
            "active",
            "silence",
            "The database moves",
        )
        platform.api().post(f"/api/v1/silences/{made['id']}/expire").raise_for_status()
        (row,) = visit("silences").rows("silences")
        assert row["state"] == "expired"

    def test_says_what_the_platform_refuses(self, visit, platform):
        screen = visit("silences").click("silences-new")
        screen.app.text_input(key="silences-new-matchers").set_value('team!="db"')
        screen.app.text_input(key="silences-new-reason").set_value("All of them")
        screen.press("Create silence")
        assert screen.said == ""
        assert platform.items("silences") == []

    def test_a_calendar_tells_when_they_count(self, visit, platform):
        ends_at = (datetime.now(UTC) + timedelta(days=20)).isoformat()
        window = {"days": ["monday", "friday"], "from": "22:00", "until": "23:00", "zone": "UTC"}
        said = {"matchers": 'team="db"', "reason": "It moves", "ends_at": ends_at}
        api = platform.api()
        api.post("/api/v1/silences", json={**said, "windows": [window]}).raise_for_status()
        later = (datetime.now(UTC) + timedelta(days=10)).isoformat()
        moves = {**said, "kind": "maintenance", "reason": "A new disk", "starts_at": later}
        api.post("/api/v1/silences", json=moves).raise_for_status()
        screen = visit("silences")
        assert "22:00 to 23:00" not in screen.text
        screen.app.toggle(key="silences-calendar").set_value(True).run()
        screen.click("silence-times-after").click("silence-times-before")
        month = screen.text + screen.click("silence-times-after").text
        assert "22:00 to 23:00 It moves" in month
        assert "Maintenance: A new disk" in month
        screen.app.segmented_control(key="silence-times-by").set_value("Week").run()
        assert screen.markup.count("<td") == 7


class TestOnCall:
    def test_somebody_takes_turns_and_somebody_stands_in(self, visit, platform):
        screen = visit("on_call").click("on-call-new")
        for name, value in {
            "name": "Database",
            "people": "ada@example.com bob@example.com",
            "start": "2026-01-05 09:00",
            "zone": "Europe/Paris",
        }.items():
            screen.app.text_input(key=f"on-call-new-{name}").set_value(value)
        screen.app.selectbox(key="on-call-new-announce").set_value("yes")
        screen.press("Create schedule")
        assert screen.said == "Database has somebody on call."
        (made,) = platform.items("on-call-schedules")
        assert made["announce_handover"]
        (row,) = visit("on_call").rows("on-call-now")
        assert row["person"] in {"ada@example.com", "bob@example.com"}
        screen = visit("on_call", id=made["id"])
        assert len(screen.rows("on-call-shifts")) in {4, 5}
        screen.app.text_input[0].set_value("eve@example.com")
        screen.press("Stand in")
        assert screen.said == "eve@example.com stands in."
        screen = visit("on_call", id=made["id"])
        assert screen.rows("on-call-overrides")[0]["person"] == "eve@example.com"
        assert screen.rows("on-call-shifts")[0]["person"] == "eve@example.com"
        assert visit("on_call").rows("on-call-now")[0]["person"] == "eve@example.com"
        screen = visit("on_call", id=made["id"])
        screen.app.toggle(key="on-call-calendar").set_value(True).run()
        assert "all day" in screen.text
        assert (
            "eve@example.com" in screen.markup.partition("es-calendar")[2].partition("</table>")[0]
        )


class TestTelling:
    def test_a_channel_a_policy_and_routes_lead_an_alert_to_somebody(self, visit, platform):
        screen = visit("alert_channels").click("alert-channels-new")
        screen.app.text_input(key="alert-channels-new-name").set_value("On call")
        screen.app.text_input(key="alert-channels-new-to").set_value("ada@example.com")
        screen.press("Create channel")
        assert screen.said == "On call can be told."
        (channel,) = platform.items("alert-channels")
        screen = visit("alert_routing")
        assert "nobody is told of any alert" in screen.text
        screen.click("alert-policies-new")
        screen.app.text_input(key="alert-policies-new-name").set_value("Database")
        screen.app.selectbox(key="alert-policies-new-first").set_value(channel["id"])
        screen.press("Create policy")
        assert screen.said == "Database can be routed to."
        screen = visit("alert_routing").press("Save the routes")
        assert screen.said == "Alerts go by these routes from now on."
        screen = visit("alert_routing")
        (row,) = screen.rows("alert-routes")
        assert (row["matchers"], row["policy"], row["grouped"]) == ("all", "Database", "alertname")
        screen.app.text_input[0].set_value("alertname=Import team=data")
        screen.press("Try it")
        (row,) = screen.rows("alert-routing-ways")
        assert (row["policy"], row["group"]) == ("Database", "alertname=Import")

    def test_a_webhooks_secret_is_shown_once(self, visit):
        screen = visit("alert_channels").click("alert-channels-new")
        screen.app.selectbox(key="alert-channels-new-kind").set_value("webhook").run()
        screen.app.text_input(key="alert-channels-new-name").set_value("Hook")
        url = "https://hooks.example.com/alerts?token=x"
        screen.app.text_input(key="alert-channels-new-url").set_value(url)
        screen.press("Create channel")
        assert "The secret of Hook" in screen.text
        (row,) = visit("alert_channels").rows("alert-channels")
        assert row["host"] == "hooks.example.com"

    def test_says_where_text_is_no_route(self, visit, platform):
        screen = visit("alert_routing")
        screen.app.text_area[0].set_value('{"tree": ')
        screen.press("Save the routes")
        assert "The routes cannot be read" in screen.text
        assert platform.api().get("/api/v1/alert-routing").json()["version"] == "0"


class TestIncidents:
    def test_one_is_made_of_an_alert_seen_to_ended_and_learned_from(self, visit, platform):
        body = {"name": "Disk", "severity": "critical", "summary": "It is full"}
        alert = platform.api().post("/api/v1/alerts", json=body).json()
        screen = visit("alerts", id=alert["id"]).press("Make an incident of it")
        (made,) = platform.items("incidents")
        assert (made["title"], made["alerts"]) == ("Disk", 1)
        screen = visit("incidents", id=made["id"])
        assert "1, of which 1 are not over" in screen.text
        screen.press("Acknowledge all")
        assert screen.said == "Somebody sees to all of its alerts."
        screen = visit("incidents", id=made["id"])
        screen.app.text_area[1].set_value("Logs filled it")
        screen.app.checkbox[0].check()
        screen.press("Save")
        assert screen.said == "Written down."
        kept = platform.api().get(f"/api/v1/incidents/{made['id']}").json()
        assert (kept["cause"], kept["lead"].partition(":")[0]) == ("Logs filled it", "user")
        screen = visit("incidents", id=made["id"])
        assert "Logs filled it" in screen.text
        assert "Disk: Somebody sees to it" in screen.text
        assert "Open its incident" in [
            one.proto.label for one in visit("alerts", id=alert["id"]).app.get("page_link")
        ]

    def test_one_is_opened_by_hand(self, visit, platform):
        screen = visit("incidents").click("incidents-new")
        screen.app.text_input(key="incidents-new-title").set_value("We lose mail")
        screen.press("Open incident")
        assert screen.said == "We lose mail is open."
        (row,) = visit("incidents").rows("incidents")
        assert (row["title"], row["state"], row["alerts"]) == ("We lose mail", "open", "0")


class TestAll:
    def test_what_fires_is_acknowledged_as_filtered(self, visit, platform):
        for name, severity in (("One", "critical"), ("Two", "info")):
            body = {"name": name, "severity": severity}
            platform.api().post("/api/v1/alerts", json=body).raise_for_status()
        screen = visit("alerts", state="firing", severity="critical").press("Acknowledge all")
        assert "any alert that fires of the severity critical, on all pages" in screen.text
        screen.press("Acknowledge all of them")
        assert screen.said == "Somebody sees to 1 more."
        seen = {one["name"]: one["acknowledged_at"] for one in platform.items("alerts")}
        assert seen["One"]
        assert seen["Two"] is None


class TestCause:
    def test_an_alert_shows_what_its_rule_looks_at_and_is_silenced(self, visit, platform):
        body = {"name": 'Disk "a"', "severity": "warning", "labels": {"host": "web-1"}}
        alert = platform.api().post("/api/v1/alerts", json=body).json()
        screen = visit("alerts", id=alert["id"]).press("Silence for 2 hours")
        assert screen.said == 'Nobody is told of Disk "a" for two hours.'
        (silence,) = platform.items("silences")
        assert silence["matchers"] == 'alertname="Disk \\"a\\"", host="web-1"'
        assert silence["counts_now"]


class TestHistory:
    def test_says_how_soon_and_what_fires_most(self, visit, platform):
        assert "No alert fired" in visit("alert_history").text
        for name in ("Disk", "Disk full", "Disk"):
            body = {"name": name, "severity": "warning"}
            made = platform.api().post("/api/v1/alerts", json=body).json()
            platform.api().post(f"/api/v1/alerts/{made['id']}/resolve", json={})
        screen = visit("alert_history")
        first, second = screen.rows("history-noise")
        assert (first["name"], first["fired"], first["unseen"]) == ("Disk", "2", "2")
        assert (second["name"], second["flaps"]) == ("Disk full", "no")
        assert "Fired 3" in screen.text
