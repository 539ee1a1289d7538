"""Members: adding, changing and removing people."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.page


def opened(visit, platform, person="ada@example.test"):
    vic = platform.person("vic@example.test")
    screen = visit("members", person=person)
    screen.app.session_state["members-open"] = vic.id
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
        screen.app.text_input(key="members-words").set_value("lovelace").run()
        _, content, count, _ = screen.click("members-export-prepare").app.session_state[
            "members-export-file"
        ]
        assert content.startswith(b"id,email,name,role,created_at\r\n")
        assert (count, b"ada@example.test" in content) == (1, True)

    def test_are_listed_with_their_roles(self, visit):
        rows = visit("members").rows("members")
        assert [(row["name"], row["role"]) for row in rows] == [
            ("Vic Viewer", "viewer"),
            ("Ada Lovelace", "owner"),
        ]

    def test_can_be_added(self, visit, platform):
        screen = visit("members").click("members-new")
        assert screen.app.selectbox(key="members-role").value == "viewer"
        screen.app.text_input(key="members-email").set_value("grace@example.test")
        screen.app.text_input(key="members-name").set_value("Grace Hopper")
        screen.app.selectbox(key="members-role").select("operator")
        screen.press("Add member")
        assert platform.called("POST", "/api/v1/members")[0].body == {
            "email": "grace@example.test",
            "name": "Grace Hopper",
            "role": "operator",
            "password": None,
        }
        assert screen.rows("members")[0]["name"] == "Grace Hopper"
        assert screen.app.toast[0].value == "Grace Hopper is a member now."

    def test_can_get_another_role(self, visit, platform):
        screen, vic = opened(visit, platform)
        screen.app.selectbox(key=f"members-role-{vic.id}").select("operator").run()
        screen.click("members-save")
        assert platform.called("PUT", f"/api/v1/members/{vic.id}")[0].body == {"role": "operator"}

    def test_are_removed_after_one_question(self, visit, platform):
        screen, vic = opened(visit, platform)
        screen.click("members-remove-start")
        assert "Vic Viewer loses access to this tenant." in screen.text
        assert not platform.called("DELETE", f"/api/v1/members/{vic.id}")
        screen.click("members-remove-yes")
        assert len(platform.called("DELETE", f"/api/v1/members/{vic.id}")) == 1
        assert len(screen.rows("members")) == 1

    def test_are_only_looked_at_by_a_viewer(self, visit, platform):
        screen, vic = opened(visit, platform, person="vic@example.test")
        assert f"E-mail {vic.email} Role viewer" in screen.text
        assert not screen.has_button("members-new")
        assert not screen.has_button("members-remove-start")
