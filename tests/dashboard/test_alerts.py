"""Alerts and their rules: the lists, one of them, what may be done, and what a rule asks for."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page

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

    def test_says_what_a_rule_looks_at_and_whether_it_was_measured(self, visit, platform):
        platform.api().post("/api/v1/alert-rules", json=RULE).raise_for_status()
        (row,) = visit("alert_rules").rows("alert-rules")
        assert row["condition"] == "rate of orders_total over 5 min < 0.5"
        assert row["looked_at"] == "not yet"


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
        screen.press("Create schedule")
        assert screen.said == "Database has somebody on call."
        (made,) = platform.items("on-call-schedules")
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
