"""Keys: their age, what they have done of what they may, and turning them over."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from dashboard.client import models
from dashboard.views import keys as view
from dashboard.widgets import markup
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
        assert orders["budget"] == "39 of 10,000 (<1%)"
        assert orders["age"] == "under a minute"
        assert orders["rotates"] == markup.when(
            datetime.fromisoformat(shown(platform)["rotates_at"])
        )
        assert (hooks["budget"], hooks["rotates"]) == ("0, no budget", "by hand only")

    def test_say_that_a_budget_is_nearly_used_up_and_turn_over(self, visit, platform):
        make(platform, rotate_after_operations=10_000)
        make(platform, "spare")
        items = [{"plaintext": PLAIN}] * 1000
        for _ in range(9):
            done = platform.api().post("/api/v1/keys/orders/encrypt/batch", json={"items": items})
            assert done.status_code == 200
        screen = opened(visit)
        standing = {row["name"]: row["standing"] for row in screen.rows("keys")}
        assert standing == {"orders": "due soon", "spare": "active"}
        assert "rotates soon" in screen.text
        assert "of 10,000 (9" in screen.text
        screen.click("keys-disable-start").click("keys-disable-yes")
        assert shown(platform)["disabled"] is True
        screen.click("keys-enable-start").click("keys-enable-yes").click("keys-rotate-start")
        screen.click("keys-rotate-yes")
        assert screen.rows("keys")[1]["standing"] == "active"

    def test_are_made_and_rotate_after_days(self, visit, platform):
        screen = visit("keys").click("keys-new")
        screen.app.text_input(key="keys-new-name").set_value("invoices")
        screen.app.selectbox(key="keys-new-type").set_value("hmac-sha256")
        screen.app.number_input(key="keys-new-rotate-after-seconds").set_value(30)
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
        assert {row["usable"] for row in versions} == {"is accepted"}

    def test_are_called_by_their_names_in_the_trail(self, visit, platform):
        make(platform)
        platform.api().post("/api/v1/keys/orders/encrypt", json={"plaintext": PLAIN})
        screen = visit("audit")
        acts = {row["action"]: row["target"] for row in screen.rows("audit")}
        assert (acts["key.used"], acts["key.created"]) == ("orders", "orders")

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
        assert usable == ["is accepted", "is refused"]

    def test_keep_an_age_that_is_no_whole_days_unless_it_is_changed(self, visit, platform):
        make(platform, rotate_after_seconds=5000)
        screen = opened(visit)
        assert "of 5000 seconds" in screen.text
        form = "keys-change-orders"
        screen.press("Save changes")
        assert shown(platform)["rotate_after_seconds"] == 5000
        screen.app.number_input(key=f"{form}-rotate-after-seconds").set_value(7)
        screen.press("Save changes")
        assert shown(platform)["rotate_after_seconds"] == 7 * 86_400
        screen.app.number_input(key=f"{form}-rotate-after-seconds").set_value(0)
        screen.app.number_input(key=f"{form}-rotate-after-operations").set_value(0)
        screen.press("Save changes")
        found = shown(platform)
        assert (found["rotate_after_seconds"], found["rotate_after_operations"]) == (None, None)

    def test_say_who_opens_earlier_versions_and_end_them_when_told(self, visit, platform):
        make(platform)
        http = platform.api()
        made = http.post("/api/v1/keys/orders/encrypt", json={"plaintext": PLAIN}).json()
        assert not opened(visit).has_button("keys-end-earlier-start")
        http.post("/api/v1/keys/orders/rotate")
        body = {"ciphertext": made["ciphertext"]}
        assert http.post("/api/v1/keys/orders/decrypt", json=body).status_code == 200
        assert "Who opens" not in opened(visit).text
        with contextlib.closing(sqlite3.connect(platform.database)) as database, database:
            # As the process writes it a minute later.
            database.execute(
                "INSERT INTO security_key_openings "
                "SELECT tenant_id, id, id, 1, 'client:nightly', created_at FROM security_keys"
            )
        screen = opened(visit)
        (row,) = screen.rows("key-openings-orders")
        assert (row["version"], row["actor"]) == ("1", "client:nightly")
        screen.app.number_input(key="keys-change-orders-min-decrypt-version").set_value(2)
        screen.press("Save changes")
        assert "Earlier versions are still in use" in screen.text
        assert shown(platform)["min_decrypt_version"] == 1
        screen.click("keys-end-earlier-start").click("keys-end-earlier-yes")
        assert shown(platform)["min_decrypt_version"] == 2
        assert http.post("/api/v1/keys/orders/decrypt", json=body).status_code == 409

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
        assert screen.rows("keys")[0]["rotates"] == "not any more"
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

    def test_say_how_old_something_is_in_whole_units(self):
        now = datetime(2026, 11, 27, tzinfo=UTC)
        for seconds, said in (
            (-5, "under a minute"),
            (59, "under a minute"),
            (60, "1 minute"),
            (7199, "1 hour"),
            (86_400 * 412, "412 days"),
        ):
            assert markup.age(now - timedelta(seconds=seconds), now) == said

    def test_say_that_a_cipher_without_a_budget_stops_by_itself(self):
        policy = {"rotate_after_operations": None, "operations": 0}
        for kind, most in (("aes256-gcm", 2**32), ("ed25519", None)):
            assert view.limit(SimpleNamespace(type=kind, **policy)) == most
