"""API keys: shown once, with or without a last day, revoked after one question."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.dashboard.conftest import ADA, VIC

pytestmark = pytest.mark.page


def opened(visit, platform, person=ADA):
    key = platform.items("api-keys")[1]
    screen = visit("api_keys", person=person)
    screen.app.session_state["api-keys-open"] = key["id"]
    screen.app.run()
    return screen, key


def asked(visit, name, last_day=None):
    screen = visit("api_keys").click("api-keys-new")
    screen.app.text_input(key="api-keys-new-name").set_value(name)
    screen.app.date_input(key="api-keys-new-expires-at").set_value(last_day)
    return screen.press("Create API key")


class TestApiKeys:
    def test_are_listed_by_how_they_begin_and_never_whole(self, visit, platform):
        row = visit("api_keys").rows("api-keys")[0]
        key = platform.items("api-keys")[0]
        assert (row["name"], row["prefix"]) == ("Dashboard wall", key["prefix"])
        assert (row["expires_at"], row["last_used_at"]) == ("never", "not yet")

    def test_shows_a_new_key_until_it_is_copied(self, visit, platform):
        screen = asked(visit, "Export")
        assert platform.called("POST", "api-keys")[0].body == {
            "name": "Export",
            "role": "viewer",
            "expires_at": None,
            "scopes": None,
            "networks": [],
        }
        assert screen.app.code[0].value.startswith(platform.items("api-keys")[0]["prefix"])
        screen.click("api-keys-copied")
        assert not screen.app.code
        assert screen.rows("api-keys")[0]["name"] == "Export"

    def test_lets_a_key_work_until_the_end_of_its_last_day(self, visit, platform):
        day = (datetime.now(UTC) + timedelta(days=30)).date()
        screen = asked(visit, "Export", day)
        assert platform.items("api-keys")[0]["expires_at"] == f"{day}T23:59:59Z"
        assert screen.rows("api-keys")[0]["expires_at"] == f"{day} 23:59:59"

    def test_keeps_the_form_when_the_last_day_is_over(self, visit, platform):
        day = (datetime.now(UTC) - timedelta(days=2)).date()
        screen = asked(visit, "Export", day)
        assert "Code identity.expiry_invalid" in screen.text
        assert screen.app.text_input(key="api-keys-new-name").value == "Export"
        assert not screen.app.code

    def test_are_revoked_after_one_question(self, visit, platform):
        screen, key = opened(visit, platform)
        screen.click("api-keys-revoke-start")
        assert "Nightly report stops working at once" in screen.text
        assert key in platform.items("api-keys")
        screen.click("api-keys-revoke-yes")
        assert key not in platform.items("api-keys")
        assert screen.said == "Nightly report is revoked."
        assert [row["name"] for row in screen.rows("api-keys")] == ["Dashboard wall"]

    def test_are_exported_without_the_keys(self, visit):
        screen = visit("api_keys").click("api-keys-export-prepare")
        _, content, count, _ = screen.app.session_state["api-keys-export-file"]
        assert content.startswith(
            b"id,name,prefix,role,expires_at,last_used_at,created_at,created_by,scopes,networks\r\n"
        )
        assert count == 2

    def test_are_only_looked_at_by_an_operator(self, visit, platform):
        platform.give_role(VIC, "operator")
        screen, key = opened(visit, platform, VIC)
        assert key["prefix"] in screen.text
        assert not screen.has_button("api-keys-new")
        assert not screen.has_button("api-keys-revoke-start")

    def test_changes_an_opened_one(self, visit, platform):
        key = platform.items("api-keys")[0]
        screen = visit("api_keys")
        screen.app.session_state["api-keys-open"] = key["id"]
        screen.app.run()
        form = f"api-keys-change-{key['id']}"
        screen.app.text_input(key=f"{form}-networks").set_value("192.0.2.7, 2001:db8::/32")
        screen.press("Save changes")
        found = next(one for one in platform.items("api-keys") if one["id"] == key["id"])
        assert found["networks"] == ["192.0.2.7/32", "2001:db8::/32"]
        assert (found["name"], found["role"]) == (key["name"], key["role"])
        assert "192.0.2.7/32, 2001:db8::/32" in screen.text
