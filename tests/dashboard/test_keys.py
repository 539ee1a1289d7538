"""Keys: their age, what they have done of what they may, and turning them over."""

from __future__ import annotations

import base64

import pytest

from dashboard.client import models
from dashboard.views import keys as view
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page

PLAIN = base64.b64encode(b"attack at dawn").decode()


def make(platform, name="orders", **body):
    answer = platform.api().post("/api/v1/keys", json={"name": name, **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


def opened(visit, name="orders", **asked):
    screen = visit("keys", **asked)
    screen.app.session_state["keys-open"] = name
    screen.app.run()
    return screen


def shown(platform, name="orders"):
    return platform.get(f"keys/{name}")


class TestKeys:
    def test_are_listed_with_their_age_and_what_they_have_done(self, visit, platform):
        assert "No key yet" in visit("keys").text
        make(platform, rotate_after_seconds=90 * 86_400, rotate_after_operations=10_000)
        used = platform.api().post("/api/v1/keys/orders/encrypt", json={"plaintext": PLAIN})
        assert used.status_code == 200
        make(platform, "hooks", type="ed25519", rotate_after_operations=None)
        hooks, orders = visit("keys").rows("keys")
        assert (orders["name"], orders["standing"], orders["latest_version"]) == (
            "orders",
            "active",
            "1",
        )
        assert orders["budget"] == "39 of 10,000 (0%)"
        assert orders["rotates_at"] != "by operations"
        assert (hooks["budget"], hooks["rotates_at"]) == ("0, no budget", "by operations")

    def test_are_made_and_rotate_after_days(self, visit, platform):
        screen = visit("keys").click("keys-new")
        screen.app.text_input(key="keys-new-name").set_value("invoices")
        screen.app.selectbox(key="keys-new-type").set_value("hmac-sha256")
        screen.app.number_input(key="keys-new-days").set_value(30)
        screen.press("Create key")
        assert screen.said == "invoices is made."
        made = shown(platform, "invoices")
        assert (made["type"], made["rotate_after_seconds"]) == ("hmac-sha256", 30 * 86_400)

    def test_are_made_as_ciphers_when_nothing_is_said(self, visit, platform):
        screen = visit("keys").click("keys-new")
        screen.app.text_input(key="keys-new-name").set_value("invoices")
        screen.press("Create key")
        made = shown(platform, "invoices")
        assert (made["type"], made["rotate_after_seconds"]) == ("aes256-gcm", None)

    def test_rotate_now_after_one_question(self, visit, platform):
        make(platform)
        screen = opened(visit)
        screen.click("keys-rotate-start")
        assert "What earlier versions made still opens" in screen.text
        assert shown(platform)["latest_version"] == 1
        screen.click("keys-rotate-yes")
        assert shown(platform)["latest_version"] == 2
        assert screen.said == "orders has a new version."
        versions = screen.rows("key-versions-orders")
        assert [row["number"] for row in versions] == ["2", "1"]
        assert {row["usable"] for row in versions} == {"holds"}

    def test_show_the_public_half_of_those_that_have_one(self, visit, platform):
        make(platform, "hooks", type="ed25519")
        screen = opened(visit, "hooks")
        assert "BEGIN PUBLIC KEY" in screen.app.code[0].value

    def test_are_changed_and_keep_what_the_form_has_not(self, visit, platform):
        make(platform, exportable=True)
        platform.api().post("/api/v1/keys/orders/rotate")
        screen = opened(visit)
        form = "keys-change-orders"
        screen.app.number_input(key=f"{form}-rotate-after-operations").set_value(5000)
        screen.app.number_input(key=f"{form}-min-decrypt-version").set_value(2)
        screen.press("Save changes")
        assert screen.said == "orders is changed, effective at once."
        found = shown(platform)
        assert (found["rotate_after_operations"], found["min_decrypt_version"]) == (5000, 2)
        assert found["exportable"] is True
        usable = [row["usable"] for row in screen.rows("key-versions-orders")]
        assert usable == ["holds", "does not hold any more"]

    def test_are_disabled_and_enabled(self, visit, platform):
        make(platform, rotate_after_operations=7000)
        screen = opened(visit)
        assert not screen.has_button("keys-enable-start")
        screen.click("keys-disable-start").click("keys-disable-yes")
        found = shown(platform)
        assert (found["disabled"], found["rotate_after_operations"]) == (True, 7000)
        assert screen.rows("keys")[0]["standing"] == "disabled"
        screen.click("keys-enable-start").click("keys-enable-yes")
        assert shown(platform)["disabled"] is False

    def test_are_deleted_and_called_back(self, visit, platform):
        make(platform)
        screen = opened(visit)
        screen.click("keys-delete-start").click("keys-delete-yes")
        assert shown(platform)["delete_at"] is not None
        assert screen.rows("keys")[0]["standing"] == "deleting"
        assert not screen.has_button("keys-rotate-start")
        screen.click("keys-restore-start").click("keys-restore-yes")
        assert shown(platform)["delete_at"] is None

    def test_are_only_looked_at_by_a_viewer(self, visit, platform):
        make(platform)
        screen = opened(visit, person=VIC)
        assert screen.rows("keys")[0]["name"] == "orders"
        assert not screen.has_button("keys-new")
        assert not screen.has_button("keys-rotate-start")


class TestWords:
    def test_say_after_how_long_a_key_rotates(self):
        for seconds, said in (
            (None, "never by age"),
            (3600, "after 3600 seconds"),
            (86_400 * 90, "after 90 days"),
        ):
            policy = models.KeyPut(rotate_after_seconds=seconds)
            assert view.age_policy(policy) == said
