"""Webhooks: made, changed, stopped and started, tried out, told again; and what was tried."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page

HOOK = {"name": "Orders", "url": "https://hooks.example.com/x?key=hush", "kinds": ["alert.fired"]}


@pytest.fixture
def hook(platform):
    return platform.api().post("/api/v1/webhooks", json=HOOK).raise_for_status().json()


def opened(visit, hook):
    screen = visit("webhooks")
    screen.app.session_state["webhooks-open"] = hook["id"]
    screen.app.run()
    return screen


class TestMaking:
    def test_one_is_made_and_its_secret_shown_once(self, visit, platform):
        screen = visit("webhooks").click("webhooks-new")
        for name, value in {**HOOK, "kinds": "alert.fired, alert.resolved"}.items():
            screen.app.text_input(key=f"webhooks-new-{name}").set_value(value)
        screen.press("Create webhook")
        assert screen.said == "Orders is told of what comes from now on."
        assert "The secret of Orders" in screen.text
        (made,) = platform.items("webhooks")
        assert made["kinds"] == ["alert.fired", "alert.resolved"]
        screen = visit("webhooks")
        (row,) = screen.rows("webhooks")
        assert (row["enabled"], row["host"]) == ("delivering", "hooks.example.com")
        assert "whsec_" not in screen.text
        assert "hush" not in screen.text

    def test_what_is_no_event_is_told(self, visit, platform):
        screen = visit("webhooks").click("webhooks-new")
        for name, value in {**HOOK, "kinds": "alert.sneezed"}.items():
            screen.app.text_input(key=f"webhooks-new-{name}").set_value(value)
        screen.press("Create webhook")
        assert "There is no event alert.sneezed" in screen.text
        assert platform.items("webhooks") == []

    def test_whoever_may_not_look_has_no_page(self, visit, hook):
        assert "hooks.example.com" not in visit("webhooks", person=VIC, id=hook["id"]).text


class TestOne:
    def test_is_stopped_and_started(self, visit, platform, hook):
        opened(visit, hook).click("webhooks-stop-start").click("webhooks-stop-yes")
        assert platform.items("webhooks")[0]["enabled"] is False
        screen = opened(visit, hook).click("webhooks-start-start").click("webhooks-start-yes")
        assert screen.said == "Orders goes on where it was."
        (now,) = platform.items("webhooks")
        assert (now["enabled"], now["kinds"]) == (True, ["alert.fired"])

    def test_is_led_elsewhere(self, visit, platform, hook):
        screen = opened(visit, hook)
        address = next(one for one in screen.app.text_input if one.label == "Address")
        address.set_value("https://other.example.com/y")
        screen.press("Save the address")
        assert platform.items("webhooks")[0]["host"] == "other.example.com"

    def test_is_told_again(self, visit, platform, hook):
        screen = opened(visit, hook)
        screen.app.number_input[0].set_value(0)
        screen.press("Tell it again")
        assert platform.items("webhooks")[0]["seq"] == 0

    def test_has_its_secret_rotated(self, visit, platform, hook):
        screen = opened(visit, hook).click("webhooks-rotate-start").click("webhooks-rotate-yes")
        assert "The secret of Orders" in screen.text
        assert platform.items("webhooks")[0]["key_version"] == 2

    def test_says_what_came_of_a_test(self, visit, hook):
        screen = opened(visit, hook).click("webhooks-test")
        assert "Orders did not take it" in screen.app.warning[0].value
        (row,) = screen.rows("webhooks-tries-table")
        assert (row["outcome"], row["kind"]) == ("refused", "webhook.test")
