"""Members: adding, changing and removing people."""

from __future__ import annotations


def opened(visit, platform):
    vic = platform.person("vic@example.test")
    screen = visit("members")
    screen.app.session_state["members-open"] = vic.id
    screen.app.run()
    return screen, vic


class TestMembers:
    def test_are_listed_with_their_roles(self, visit):
        rows = visit("members").rows("members")
        assert [(row["name"], row["role"]) for row in rows] == [
            ("Ada Lovelace", "owner"),
            ("Vic Viewer", "viewer"),
        ]

    def test_can_be_added(self, visit, platform):
        screen = visit("members").click("members-new")
        screen.app.text_input(key="members-email").set_value("grace@example.test")
        screen.app.text_input(key="members-name").set_value("Grace Hopper")
        screen.app.selectbox(key="members-role").select("operator")
        next(
            b for b in screen.app.button if b.label == "Add member" and b.key != "members-new"
        ).click()
        screen.app.run()
        assert platform.called("POST", "/api/v1/members")[0].body == {
            "email": "grace@example.test",
            "name": "Grace Hopper",
            "role": "operator",
        }
        assert screen.rows("members")[-1]["name"] == "Grace Hopper"

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

    def test_cannot_be_changed_by_a_viewer(self, visit):
        screen = visit("members", person="vic@example.test")
        assert not screen.has_button("members-new")
        assert screen.component("members")["opens"] is False
