"""Platform clients and keys: made, shown once, replaced and taken away in the console."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


class TestClients:
    def test_are_made_with_a_role_of_the_platform_and_shown_once(self, visit, platform):
        screen = visit("platform_clients").click("platform-clients-new")
        screen.app.text_input(key="platform-clients-new-name").set_value("Shop")
        screen.app.selectbox(key="platform-clients-new-role").set_value("auditor")
        screen.press("Create platform client")
        (made,) = platform.items("platform/clients")
        assert (made["name"], made["role"]) == ("Shop", "auditor")
        assert screen.app.code[0].value == made["client_id"]
        screen.click("platform-clients-copied")
        (row,) = screen.rows("platform-clients")
        assert (row["name"], row["role"], row["last_used_at"]) == ("Shop", "auditor", "not yet")

    def test_get_a_new_secret_and_go(self, visit, platform):
        body = {"name": "Shop", "role": "support"}
        platform.api().post("/api/v1/platform/clients", json=body).raise_for_status()
        (made,) = platform.items("platform/clients")
        screen = visit("platform_clients")
        screen.app.session_state["platform-clients-open"] = made["id"]
        screen.app.run()
        screen.click("platform-clients-rotate-start").click("platform-clients-rotate-yes")
        assert "Client Secret" in screen.text
        screen.click("platform-clients-delete-start").click("platform-clients-delete-yes")
        assert screen.said == "Shop is deleted."
        assert platform.items("platform/clients") == []


class TestKeys:
    def test_are_made_shown_once_and_revoked(self, visit, platform):
        screen = visit("platform_api_keys").click("platform-api-keys-new")
        screen.app.text_input(key="platform-api-keys-new-name").set_value("Report")
        screen.app.selectbox(key="platform-api-keys-new-role").set_value("auditor")
        screen.press("Create platform key")
        (made,) = platform.items("platform/api-keys")
        assert (made["name"], made["role"]) == ("Report", "auditor")
        assert "API Key" in screen.text
        screen.click("platform-api-keys-copied")
        screen.app.session_state["platform-api-keys-open"] = made["id"]
        screen.app.run()
        screen.click("platform-api-keys-revoke-start").click("platform-api-keys-revoke-yes")
        assert screen.said == "Report is revoked."
        assert platform.items("platform/api-keys") == []


def test_are_no_pages_of_who_is_no_administrator(visit):
    screen = visit(person=VIC)
    titles = {link.proto.label for link in screen.app.sidebar.get("page_link")}
    assert titles.isdisjoint({"Platform clients", "Platform keys", "Plans", "Deleted tenants"})
