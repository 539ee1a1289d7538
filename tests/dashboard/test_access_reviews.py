"""Access reviews: begun, decided line by line, closed, and proven."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashboard.widgets import markup
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def begun(platform):
    body = {"name": "First quarter", "due_at": "2099-12-31T23:59:59Z"}
    answer = platform.api().post("/api/v1/access-reviews", json=body)
    return answer.raise_for_status().json()


class TestReviews:
    def test_are_listed_with_what_waits(self, visit, platform):
        review = begun(platform)
        (row,) = visit("access_reviews").rows("access-reviews")
        assert (row["name"], row["state"]) == ("First quarter", "open")
        assert row["undecided"] == str(review["undecided"])

    @pytest.mark.parametrize("zone", ["America/St_Johns", "Asia/Kolkata"])
    def test_are_due_when_the_day_ends_where_one_is(self, visit, platform, monkeypatch, zone):
        monkeypatch.setattr(markup, "zone", lambda: ZoneInfo(zone))
        screen = visit("access_reviews").click("access-reviews-new")
        screen.app.text_input(key="access-reviews-new-name").set_value("Day")
        day = (datetime.now(UTC) + timedelta(days=30)).date()
        screen.app.date_input(key="access-reviews-new-due-at").set_value(day)
        screen.press("Begin access review")
        (review,) = platform.items("access-reviews")
        end = datetime.combine(day, time(23, 59, 59), ZoneInfo(zone))
        assert datetime.fromisoformat(review["due_at"]) == end
        (row,) = screen.rows("access-reviews")
        assert row["due_at"] == f"{day} 23:59:59"

    def test_take_away_what_was_chosen_and_keep_the_rest(self, visit, platform):
        review = begun(platform)
        vic = next(one for one in platform.items("members") if one["email"] == VIC)
        screen = visit("access_reviews", id=review["id"])
        chosen = f"review-chosen-{review['undecided']}"
        screen.app.multiselect(key=chosen).select(f"Vic Viewer, {VIC} (viewer)").run()
        screen.click("review-revoke-start")
        assert "Vic Viewer: what they hold in this tenant is taken away at once." in screen.text
        assert vic in platform.items("members")
        screen.click("review-revoke-yes")
        assert VIC not in {one["email"] for one in platform.items("members")}
        row = next(row for row in screen.rows("review-lines") if row["name"] == "Vic Viewer")
        assert row["decision"] == "revoke"
        assert (row["who"], row["subject"]) == (VIC, f"user:{vic['id']}")
        assert row["decided_by"] == "First admin"

    def test_are_closed_when_all_is_decided_and_give_evidence(self, visit, platform):
        review = begun(platform)
        path = f"/api/v1/access-reviews/{review['id']}"
        rest = {"decisions": [], "keep_rest": True}
        platform.api().post(f"{path}/decisions", json=rest).raise_for_status()
        screen = visit("access_reviews", id=review["id"])
        screen.click("review-close-start")
        screen.click("review-close-yes")
        assert platform.get(f"access-reviews/{review['id']}")["closed_at"]
        assert not screen.has_button("review-keep")
        screen.click("review-prepare")
        found = json.loads(screen.app.session_state[f"review-evidence-{review['id']}"])
        assert len(found["lines"]) == review["undecided"]
        assert found["records"][-1]["action"] == "access_review.closed"

    def test_are_only_looked_at_by_an_operator(self, visit, platform):
        review = begun(platform)
        platform.give_role(VIC, "operator")
        screen = visit("access_reviews", person=VIC, id=review["id"])
        assert screen.rows("review-lines")
        assert not screen.has_button("review-keep")
