"""Members: inviting, changing, keeping out and removing people."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import ADA, API, VIC

pytestmark = pytest.mark.page


def opened(visit, platform, person=ADA):
    vic = next(one for one in platform.items("members") if one["email"] == VIC)
    screen = visit("members", person=person)
    screen.app.session_state["members-open"] = vic["id"]
    screen.app.run()
    return screen, vic


class TestMembers:
    def test_are_found_by_words_of_their_row(self, visit):
        screen = visit("members")
        screen.app.text_input(key="members-words").set_value("EXAMPLE.test vic").run()
        assert [row["name"] for row in screen.rows("members")] == ["Vic Viewer"]
        screen.app.text_input(key="members-words").set_value("nobody").run()
        assert "No member on this page matches" in screen.text

    def test_are_exported_as_searched(self, visit):
        screen = visit("members")
        screen.app.text_input(key="members-words").set_value("admin").run()
        _, content, count, _ = screen.click("members-export-prepare").app.session_state[
            "members-export-file"
        ]
        assert content.startswith(b"id,name,email,role,disabled,created_at\r\n")
        assert (count, ADA.encode() in content) == (1, True)

    def test_are_listed_with_their_roles(self, visit):
        rows = visit("members").rows("members")
        assert [(row["name"], row["role"]) for row in rows] == [
            ("Grace Hopper", "operator"),
            ("Vic Viewer", "viewer"),
            ("First admin", "owner"),
        ]

    def test_are_invited(self, visit, platform):
        screen = visit("members").click("members-new")
        assert screen.app.selectbox(key="members-new-role").value == "viewer"
        screen.app.text_input(key="members-new-email").set_value("barbara@example.test")
        screen.app.text_input(key="members-new-name").set_value("Barbara Liskov")
        screen.app.selectbox(key="members-new-role").select("operator")
        screen.press("Invite member")
        made = platform.items("invitations")[0]
        assert (made["email"], made["role"], made["state"]) == (
            "barbara@example.test",
            "operator",
            "open",
        )
        assert len(screen.rows("members")) == 3, "nobody is a member before they accept"
        assert screen.app.code[0].value.startswith(f"{API}/oauth/invitation?token=")
        said = "Barbara Liskov is invited. They are a member once they accept."
        assert screen.said == said

    def test_keeps_the_form_when_the_platform_refuses(self, visit):
        screen = visit("members").click("members-new")
        screen.app.text_input(key="members-new-email").set_value(VIC)
        screen.press("Invite member")
        assert "Code tenant.member_exists" in screen.text
        assert screen.app.text_input(key="members-new-email").value == VIC

    def test_are_kept_out_and_let_in_again(self, visit, platform):
        screen, vic = opened(visit, platform)
        assert not screen.has_button("members-enable-start")
        screen.click("members-disable-start").click("members-disable-yes")
        assert screen.said == "Vic Viewer is kept out."
        assert {one["disabled"] for one in platform.items("members") if one["id"] == vic["id"]} == {
            True
        }
        assert "disabled" in [row["state"] for row in screen.rows("members")]
        screen.click("members-enable-start").click("members-enable-yes")
        assert not any(one["disabled"] for one in platform.items("members"))

    def test_can_get_another_role(self, visit, platform):
        screen, vic = opened(visit, platform)
        screen.app.selectbox(key=f"members-role-{vic['id']}").select("operator").run()
        screen.click("members-role-save")
        assert screen.said == "Vic Viewer has the role operator now."
        assert {"operator"} == {
            one["role"] for one in platform.items("members") if one["id"] == vic["id"]
        }

    def test_are_removed_after_one_question(self, visit, platform):
        screen, vic = opened(visit, platform)
        screen.click("members-remove-start")
        assert "Vic Viewer loses access to this tenant." in screen.text
        assert vic in platform.items("members")
        screen.click("members-remove-yes")
        assert vic not in platform.items("members")
        assert len(screen.rows("members")) == 2

    def test_are_only_looked_at_by_a_viewer(self, visit, platform):
        screen, vic = opened(visit, platform, person=VIC)
        assert f"E-mail {vic['email']} Role viewer" in screen.text
        assert not screen.has_button("members-new")
        assert not screen.has_button("members-role-save")
        assert not screen.has_button("members-remove-start")
