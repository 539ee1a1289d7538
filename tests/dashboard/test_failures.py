"""The platform at its worst: it refuses, it is late, it answers in a form that is new."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.page


class TestRefusal:
    @pytest.mark.parametrize(
        ("view", "path"),
        [
            ("overview", "overview"),
            ("emails", "emails"),
            ("jobs", "jobs"),
            ("audit", "audit"),
            ("members", "members"),
            ("clients", "clients"),
            ("api_keys", "api-keys"),
            ("limits", "limits"),
            ("platform_limits", "platform/limits"),
            ("tenants", "platform/tenants"),
        ],
    )
    def test_is_shown_in_its_place_with_what_names_it(self, visit, platform, view, path):
        platform.wire.fail("GET", f"/api/v1/{path}", 500, "internal", "Something broke.")
        screen = visit(view)
        assert "<h1>" in screen.markup
        assert "Something broke. Code internal, request req-on-purpose" in screen.text

    def test_of_an_act_leaves_the_page_as_it_was(self, visit, platform):
        job = platform.items("jobs", state="ready")[0]
        path = f"/api/v1/jobs/{job['id']}/cancel"
        platform.wire.fail("POST", path, 503, "unavailable", "The database is away.")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start").click("jobs-cancel-yes")
        assert "The database is away. Code unavailable" in screen.text
        assert "email.send ready" in screen.text
        assert screen.has_button("jobs-cancel-start")


class TestLatency:
    def test_within_the_consoles_patience_is_waited_for(self, visit, platform):
        platform.wire.delay("GET", "/api/v1/emails", 4)
        assert visit("emails").rows("emails")

    def test_beyond_it_says_so_and_the_next_run_asks_again(self, visit, platform):
        platform.wire.delay("GET", "/api/v1/emails", 6)
        screen = visit("emails")
        assert "The platform did not answer in time. It may be busy." in screen.text
        platform.wire.clear()
        screen.app.run()
        assert screen.rows("emails")


class TestAnotherForm:
    def test_with_a_new_field_and_a_new_state_is_shown(self, visit, platform):
        def newer(page):
            first, *others = page["items"]
            return {
                "items": [{**first, "state": "teleported", "priority": "high"}, *others],
                "next_cursor": page["next_cursor"],
                "total": 1,
            }

        platform.wire.alter("GET", "/api/v1/emails", newer)
        screen = visit("emails")
        assert screen.rows("emails")[0]["state"] == "teleported"
        assert screen.component("emails")["tones"]["teleported"] == "gray"

    def test_without_what_may_be_missing_is_shown(self, visit, platform):
        def leaner(answer):
            return {name: value for name, value in answer.items() if name != "step_seconds"}

        platform.wire.alter("GET", "/api/v1/overview", leaner)
        assert visit("overview").app.metric

    def test_without_what_was_promised_is_a_problem_and_no_crash(self, visit, platform):
        platform.wire.alter("GET", "/api/v1/emails", lambda page: {"items": [{"id": 1}]})
        screen = visit("emails")
        assert "answered in a form this console does not know." in screen.text
        assert "Code console.unreadable" in screen.text
