"""Tenants: the platform's list, a new one, and the page of one."""

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
        assert screen.said == "Tenant Initech is created."
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


@pytest.fixture
def globex(platform):
    return next(one for one in platform.items("platform/tenants") if one["slug"] == "globex")


class TestDetail:
    def test_tells_how_it_stands_and_warns_from_80_per_cent(self, visit, globex):
        screen = visit("tenants", id=globex["id"])
        assert "Globex" in screen.text
        assert "E-mails a day 80% 4 of 5, anew at" in screen.text
        assert "Members 2 of 10" in screen.text
        assert "Not as the plan unlimited says: E-mails a day, Members." in screen.text

    def test_a_tenant_without_limits_says_so(self, visit, platform):
        other = platform.items("platform/tenants")[-1]
        screen = visit("tenants", id=other["id"])
        assert "The plan unlimited sets no limit" in screen.text

    def test_suspends_for_a_reason_and_resumes(self, visit, platform, globex):
        screen = visit("tenants", id=globex["id"])
        assert not screen.has_button("tenants-suspend-start")
        screen.app.text_input(key="tenants-reason").set_value("unpaid").run()
        screen.click("tenants-suspend-start").click("tenants-suspend-yes")
        path = f"platform/tenants/{globex['id']}"
        assert platform.called("POST", f"{path}/suspend")[0].body == {"reason": "unpaid"}
        assert platform.get(path)["state"] == "suspended"
        assert "unpaid" in screen.text
        screen.click("tenants-resume-start").click("tenants-resume-yes")
        assert platform.get(path)["state"] == "active"

    def test_renames(self, visit, platform, globex):
        screen = visit("tenants", id=globex["id"])
        screen.app.text_input(key=f"tenants-name-{globex['id']}").set_value("Globex Group")
        screen.press("Save name")
        assert platform.get(f"platform/tenants/{globex['id']}")["name"] == "Globex Group"

    def test_sets_quotas(self, visit, platform, globex):
        screen = visit("tenants", id=globex["id"])
        screen.app.text_input(key=f"tenants-quota-members-{globex['id']}").set_value("")
        screen.app.text_input(key=f"tenants-quota-jobs_waiting-{globex['id']}").set_value("none")
        screen.press("Save plan and quotas")
        path = f"platform/tenants/{globex['id']}/quotas"
        assert platform.get(path)["overrides"] == {"emails_a_day": 5, "jobs_waiting": None}
        assert "2 of 10" not in screen.text

    def test_sends_no_quota_that_is_no_number(self, visit, platform, globex):
        screen = visit("tenants", id=globex["id"])
        screen.app.text_input(key=f"tenants-quota-members-{globex['id']}").set_value("many")
        screen.press("Save plan and quotas")
        assert screen.app.warning[0].value.startswith("Members: give a number")
        assert not platform.called("PUT", f"platform/tenants/{globex['id']}/quotas")

    def test_deletes_by_the_slug_and_restores(self, visit, platform, globex):
        screen = visit("tenants", id=globex["id"])
        path = f"platform/tenants/{globex['id']}"
        screen.click("tenants-delete-start").click("tenants-delete-yes")
        assert "Code tenant.confirmation" in screen.text
        screen.app.text_input(key=f"tenants-confirm-{globex['id']}").set_value("globex").run()
        screen.click("tenants-delete-start").click("tenants-delete-yes")
        assert platform.get(path)["state"] == "deleting"
        screen.click("tenants-restore-start").click("tenants-restore-yes")
        assert platform.get(path)["state"] == "active"

    def test_invites_an_owner_later(self, visit, platform, globex):
        screen = visit("tenants", id=globex["id"])
        screen.press("Send invitation")
        assert "An invitation needs an e-mail address." in screen.text
        screen.app.text_input(key=f"tenants-owner-{globex['id']}").set_value("hal@example.test")
        screen.press("Send invitation")
        path = f"platform/tenants/{globex['id']}/invite-owner"
        assert platform.called("POST", path)[0].body == {"email": "hal@example.test"}
        assert screen.said == "hal@example.test is invited to own Globex."
        assert "/oauth/invitation?token=" in screen.app.code[0].value
        screen.click("tenants-owner-copied")
        assert not screen.app.code

    def test_ones_own_tenant_stays(self, visit, platform):
        screen = visit("tenants", id=platform.seeds.demo_id)
        screen.app.text_input(key="tenants-reason").set_value("unpaid").run()
        screen.click("tenants-suspend-start").click("tenants-suspend-yes")
        assert "Code tenant.needed" in screen.text


class TestSuspended:
    def test_a_person_of_it_is_told_why(self, visit, platform):
        grace = "grace@example.test"
        tenants = platform.items("platform/tenants")
        http = platform.api()
        for tenant in tenants:
            if tenant["id"] != platform.seeds.demo_id:
                answer = http.post(
                    f"/api/v1/platform/tenants/{tenant['id']}/suspend", json={"reason": "unpaid"}
                )
                answer.raise_for_status()
        member = next(one for one in platform.items("members") if one["email"] == grace)
        http.delete(f"/api/v1/members/{member['id']}").raise_for_status()
        screen = visit("overview", person=grace)
        assert "The tenant is suspended" in screen.text
        assert "unpaid" in screen.text
