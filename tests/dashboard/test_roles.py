"""Roles: the grid, a role of one's own from first to last, and who can."""

from __future__ import annotations

import itertools

import pytest

from tests.dashboard.conftest import ADA, VIC

pytestmark = pytest.mark.page


def make_role(platform, *permissions):
    body = {"description": "", "permissions": list(permissions)}
    platform.api().put("/api/v1/roles/billing", json=body).raise_for_status()


class TestGrid:
    def test_shows_permissions_by_role(self, visit, platform):
        make_role(platform, "email:read")
        rows = {row["permission"]: row for row in visit("roles").rows("roles-grid")}
        assert (rows["email:read"]["role-billing"], rows["email:send"]["role-billing"]) == (
            "yes", "–",
        )  # fmt: skip
        assert (rows["owner:write"]["role-owner"], rows["owner:write"]["role-admin"]) == (
            "yes", "–",
        )  # fmt: skip

    def test_has_what_belongs_together_in_a_row(self, visit):
        nouns = [row["noun"] for row in visit("roles").rows("roles-grid")]
        heads = [noun for noun, _ in itertools.groupby(nouns)]
        assert len(heads) == len(set(heads)) < len(nouns)
        assert "api key" in heads

    def test_is_all_that_a_viewer_has(self, visit):
        screen = visit("roles", person=VIC)
        assert screen.rows("roles-grid")
        assert not screen.app.checkbox
        assert "Who can" not in screen.text


class TestEditor:
    def test_makes_a_role_after_the_difference_was_seen(self, visit, platform):
        screen = visit("roles")
        screen.app.text_input(key="roles-new-name").set_value("billing")
        screen.app.checkbox(key="roles-new-email:read").check()
        screen.press("Show the difference")
        assert "This role is not there yet" in screen.text
        assert "Added email:read" in screen.text
        assert not platform.called("PUT", "roles/billing")
        screen.click("roles-yes")
        assert platform.get("roles/billing")["permissions"] == ["email:read"]
        assert screen.said == "billing is saved, and in force."

    def test_says_who_is_touched_by_a_change(self, visit, platform):
        make_role(platform, "email:read", "job:read")
        platform.give_role(VIC, "billing")
        screen = visit("roles")
        screen.app.selectbox(key="roles-chosen").select("billing").run()
        screen.app.checkbox(key="roles-billing-1-job:read").uncheck()
        screen.press("Show the difference")
        (row,) = screen.rows("roles-touched")
        assert (row["name"], row["who"]) == ("Vic Viewer", VIC)
        assert (row["gains"], row["loses"]) == ("–", "job:read")
        screen.click("roles-no")
        assert "what changes" not in screen.text
        assert platform.get("roles/billing")["version"] == 1

    def test_does_not_overwrite_what_somebody_else_saved_meanwhile(self, visit, platform):
        make_role(platform, "email:read")
        screen = visit("roles")
        screen.app.selectbox(key="roles-chosen").select("billing").run()
        screen.app.checkbox(key="roles-billing-1-job:read").check()
        screen.press("Show the difference")
        make_role(platform, "email:send")
        screen.click("roles-yes")
        assert "Code tenant.role_changed" in screen.text
        assert platform.get("roles/billing")["permissions"] == ["email:send"]

    def test_deletes_what_nobody_holds(self, visit, platform):
        make_role(platform, "email:read")
        screen = visit("roles")
        screen.app.selectbox(key="roles-chosen").select("billing").run()
        screen.click("roles-delete-billing-start")
        screen.click("roles-delete-billing-yes")
        assert "billing" not in {role["name"] for role in platform.get("roles")["items"]}


class TestWhoCan:
    def test_names_them(self, visit):
        screen = visit("roles")
        screen.app.selectbox(key="roles-who-can").select("owner:write").run()
        (row,) = screen.rows("roles-holders")
        assert (row["name"], row["who"]) == ("First admin", ADA)


class TestWhatCan:
    def test_tells_what_somebody_may_now(self, visit, platform):
        make_role(platform, "email:read", "job:read")
        platform.give_role(VIC, "billing")
        member = next(one for one in platform.items("members") if one["email"] == VIC)
        screen = visit("roles")
        screen.app.selectbox(key="roles-what-can").set_value(f"user:{member['id']}").run()
        assert "May now email:read, job:read" in screen.text

    def test_is_not_for_who_may_not_ask(self, visit):
        assert "What can" not in visit("roles", person=VIC).text
