"""Tenants: the platform's list, and a new one."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.page


def fill(screen, name, slug, owner=""):
    screen.click("tenants-new")
    screen.app.text_input(key="tenants-name").set_value(name)
    screen.app.text_input(key="tenants-slug").set_value(slug)
    screen.app.text_input(key="tenants-owner").set_value(owner)
    return screen.press("Create tenant")


class TestTenants:
    def test_lists_all_of_them(self, visit):
        assert [row["slug"] for row in visit("tenants").rows("tenants")] == ["acme", "globex"]

    def test_searches_the_page_on_show_and_exports_from_all(self, visit, platform):
        template = platform.tenants[0]
        platform.tenants[:0] = [
            {**template, "id": f"id-{n}", "slug": f"filler-{n}"} for n in range(200)
        ]
        screen = visit("tenants")
        assert len(screen.rows("tenants")) == 200
        screen.app.text_input(key="tenants-words").set_value("globex").run()
        assert "No tenant on this page matches" in screen.text
        _, content, count, _ = screen.click("tenants-export-prepare").app.session_state[
            "tenants-export-file"
        ]
        assert (count, b"globex" in content) == (1, True)
        assert [row["slug"] for row in screen.click("tenants-older").rows("tenants")] == ["globex"]

    def test_creates_one(self, visit, platform):
        screen = fill(visit("tenants"), "Initech", "initech", "bill@initech.test")
        call = platform.called("POST", "/api/v1/platform/tenants")[0]
        assert call.body == {
            "slug": "initech",
            "name": "Initech",
            "owner_email": "bill@initech.test",
        }
        assert screen.app.toast[0].value == "Tenant Initech is created."
        assert screen.rows("tenants")[0]["slug"] == "initech"
        assert not any(button.label == "Create tenant" for button in screen.app.button)

    def test_keeps_the_form_when_the_slug_is_taken(self, visit):
        screen = fill(visit("tenants"), "Acme again", "acme")
        assert "This slug is in use. Choose another one. Code tenant.slug_taken" in screen.text
        assert screen.app.text_input(key="tenants-name").value == "Acme again"

    def test_sends_nothing_incomplete(self, visit, platform):
        screen = fill(visit("tenants"), "Nameless", " ")
        assert screen.app.warning[0].value == "A tenant needs a name and a slug."
        assert not platform.called("POST", "/api/v1/platform/tenants")
