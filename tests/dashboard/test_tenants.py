"""Tenants: the platform's list, and a new one."""

from __future__ import annotations

import pytest

from dashboard import client

pytestmark = pytest.mark.page


def fill(screen, name, slug, owner=""):
    screen.click("tenants-new")
    screen.app.text_input(key="tenants-new-name").set_value(name)
    screen.app.text_input(key="tenants-new-slug").set_value(slug)
    screen.app.text_input(key="tenants-new-owner-email").set_value(owner)
    return screen.press("Create tenant")


class TestTenants:
    def test_lists_all_of_them(self, visit, platform):
        shown = [row["slug"] for row in visit("tenants").rows("tenants")]
        assert shown == [tenant["slug"] for tenant in platform.items("platform/tenants")]
        assert {"demo", "globex"} <= set(shown)

    def test_searches_the_page_on_show_and_exports_from_all(self, visit, monkeypatch):
        monkeypatch.setattr(client, "EXPORT_LIMIT", 5)
        screen = visit("tenants")
        assert len(screen.rows("tenants")) == 5
        screen.app.text_input(key="tenants-words").set_value("demo").run()
        assert "No tenant on this page matches" in screen.text
        _, content, count, _ = screen.click("tenants-export-prepare").app.session_state[
            "tenants-export-file"
        ]
        assert (count, b"demo" in content) == (1, True)
        screen.click("tenants-older").click("tenants-older")
        assert [row["slug"] for row in screen.rows("tenants")] == ["demo"]

    def test_creates_one(self, visit, platform):
        screen = fill(visit("tenants"), "Initech", "initech", "grace@example.test")
        assert platform.called("POST", "platform/tenants")[0].body == {
            "slug": "initech",
            "name": "Initech",
            "owner_email": "grace@example.test",
        }
        assert platform.items("platform/tenants")[0]["slug"] == "initech"
        assert screen.app.toast[0].value == "Tenant Initech is created."
        assert screen.rows("tenants")[0]["slug"] == "initech"
        assert "/oauth/invitation?token=" in screen.app.code[0].value
        assert not any(button.label == "Create tenant" for button in screen.app.button)

    def test_offers_a_new_one_of_ones_own_at_once(self, visit):
        screen = fill(visit("tenants"), "Initech", "initech")
        assert "Initech" in screen.app.sidebar.selectbox(key="tenant").options

    def test_keeps_the_form_when_the_slug_is_taken(self, visit):
        screen = fill(visit("tenants"), "Globex again", "globex")
        assert "Code tenant.slug_taken" in screen.text
        assert screen.app.text_input(key="tenants-new-name").value == "Globex again"

    def test_sends_nothing_incomplete(self, visit, platform):
        screen = fill(visit("tenants"), "Nameless", " ")
        assert screen.app.warning[0].value == "A tenant needs a name and a slug."
        assert not platform.called("POST", "platform/tenants")
