"""Objectives: the list, one of them, who may change, the platform's own with its evidence."""

from __future__ import annotations

import pytest

from dashboard import client
from dashboard.views.slos import as_share
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page

SERVED = {"name": "Served", "kind": "availability", "objective": 0.999, "window_days": 30}


@pytest.fixture
def served(platform):
    """An objective of which nothing was counted."""
    http = platform.api()
    return http.post("/api/v1/slos", json=SERVED).raise_for_status().json()


def told(platform, **parts):
    def change(found):
        return {**found, "items": [{**one, **parts} for one in found["items"]]}

    platform.wire.alter("GET", "/api/v1/slos", change)


class TestList:
    def test_what_is_not_measured_is_not_green(self, visit, served):
        screen = visit("slos")
        (row,) = screen.rows("slos")
        assert (row["state"], row["value"], row["budget_left"]) == ("not measured", "–", "–")
        assert row["objective"] == "99.90 % of requests served"
        tones = screen.component("slos")["tones"]
        assert tones["not measured"] == "gray"

    def test_tells_value_trend_and_budget(self, visit, platform, served):
        told(
            platform, state="missed", value=0.985, value_before=0.9995, budget_left=-14.0,
            reason="More failed than may.",
        )  # fmt: skip
        screen = visit("slos")
        (row,) = screen.rows("slos")
        assert row["state"] == "missed"
        assert (row["value"], row["trend"]) == ("98.50 %", "-1.45 points")
        assert row["budget_left"] == "overspent 1,400 %"
        assert screen.component("slos")["tones"]["missed"] == "red"

    def test_is_empty_at_first(self, visit):
        assert "Say what share of requests, e-mails or jobs has to be good." in visit("slos").text


class TestCreate:
    def test_promises_what_the_form_says(self, visit, platform):
        screen = visit("slos").click("slos-new")
        screen.app.text_input(key="slos-new-name").set_value("Mail is taken")
        screen.app.selectbox(key="slos-new-kind").set_value("success")
        screen.app.selectbox(key="slos-new-objective").set_value("0.99")
        screen.app.selectbox(key="slos-new-window-days").set_value("7")
        screen.app.selectbox(key="slos-new-of").set_value("emails")
        screen.press("Create objective")
        assert screen.said == "Mail is taken is promised, and measured from now on."
        (made,) = platform.items("slos")
        assert (made["kind"], made["of"], made["window_days"]) == ("success", "emails", 7)
        assert made["objective"] == 0.99

    def test_says_what_the_platform_refuses(self, visit, platform):
        screen = visit("slos").click("slos-new")
        screen.app.text_input(key="slos-new-name").set_value("Fast")
        screen.app.selectbox(key="slos-new-kind").set_value("latency")
        screen.press("Create objective")
        assert "latency needs within_ms" in screen.text
        assert platform.items("slos") == []

    def test_a_viewer_looks(self, visit, served):
        screen = visit("slos", person=VIC)
        assert not screen.has_button("slos-new")
        assert screen.rows("slos")


class TestOne:
    def test_shows_days_and_burn_rates(self, visit, served):
        screen = visit("slos", id=served["id"])
        assert "99.90 % of requests served, over 30 days" in screen.text
        assert {row["state"] for row in screen.rows("slos-burns")} == {"not measured"}
        assert screen.rows("slos-burns")[0]["pair"] == "5 minutes and 1 hour"
        shown = {metric.label: metric.value for metric in screen.app.metric}
        assert shown == {"Value": "–", "Budget": "–", "Trend": "–"}

    def test_is_changed(self, visit, platform, served):
        screen = visit("slos", id=served["id"])
        key = f"slos-change-{served['version']}"
        assert screen.app.selectbox(key=f"{key}-objective").value == "0.999"
        screen.app.selectbox(key=f"{key}-objective").set_value("0.95")
        screen.press("Save changes")
        assert screen.said == "Served is changed."
        (made,) = platform.items("slos")
        assert (made["objective"], made["window_days"]) == (0.95, 30)

    def test_what_somebody_else_has_changed_is_not_overwritten(self, visit, platform, served):
        screen = visit("slos", id=served["id"])
        path = f"/api/v1/slos/{served['id']}"
        platform.api().put(path, json={**SERVED, "objective": 0.9}).raise_for_status()
        key = f"slos-change-{served['version']}"
        screen.app.selectbox(key=f"{key}-objective").set_value("0.95")
        screen.press("Save changes")
        assert "The objective has changed meanwhile" in screen.text
        assert platform.items("slos")[0]["objective"] == 0.9

    def test_is_deleted_after_a_question(self, visit, platform, served):
        screen = visit("slos", id=served["id"]).click("slos-delete-start")
        assert "This cannot be undone." in screen.text
        screen.click("slos-delete-yes")
        assert screen.said == "Served is deleted."
        assert platform.items("slos") == []

    def test_a_viewer_changes_nothing(self, visit, served):
        screen = visit("slos", person=VIC, id=served["id"])
        assert not screen.has_button("slos-delete-start")
        assert not [one for one in screen.app.button if one.label == "Save changes"]


class TestPlatform:
    def test_lists_the_platforms_own(self, visit):
        screen = visit("slos")
        rows = {row["id"]: row for row in screen.rows("slos-platform")}
        assert set(rows) == {
            "latency", "errors", "uptime", "sign_ins", "workflows",
            "throughput", "failover", "recovery", "security_incidents",
        }  # fmt: skip
        assert rows["failover"]["state"] == "not measured"
        assert rows["failover"]["evidence"] == "No drill has been recorded."

    def test_is_not_told_to_others(self, visit):
        assert visit("slos", person=VIC).component("slos-platform") is None

    def test_evidence_is_recorded_and_decides(self, visit, platform):
        screen = visit("slos").click("slos-record")
        screen.app.selectbox(key="slos-record-kind").set_value("failover")
        screen.app.number_input(key="slos-record-value").set_value(12.5)
        screen.app.text_input(key="slos-record-source").set_value("scripts/drill failover")
        screen.press("Record evidence")
        assert screen.said == "The evidence is recorded, and decides for ninety days."
        row = {row["id"]: row for row in screen.rows("slos-platform")}["failover"]
        assert (row["state"], row["value"]) == ("met", "12.5 s")
        assert row["evidence"].startswith("scripts/drill failover, 2")
        one = visit("slos", platform="failover")
        (found,) = one.rows("slos-evidence")
        assert (found["value"], found["source"]) == ("12.5", "scripts/drill failover")

    def test_evidence_needs_a_value_and_a_source(self, visit, platform):
        screen = visit("slos").click("slos-record")
        screen.press("Record evidence")
        assert [one.value for one in screen.app.warning] == ["It needs a value and a source."]
        assert platform.items("platform/evidence") == []

    def test_one_that_is_counted_has_days(self, visit):
        screen = visit("slos", platform="uptime")
        assert screen.rows("slos-burns")
        assert "99.9 % over" in screen.text or "over 30 days" in screen.text


class TestShare:
    @pytest.mark.parametrize(
        ("text", "share"),
        [("99.9 %", 0.999), ("99,9%", 0.999), ("0.95", 0.95), ("99", 0.99), ("0.5 %", 0.005)],
    )
    def test_is_read_as_people_write_it(self, text, share):
        assert as_share(text) == share

    def test_what_is_no_number_is_refused(self):
        with pytest.raises(client.ApiProblem, match="no share"):
            as_share("often")
