"""API clients: a secret is shown once, and acts that stop workflows ask first."""

from __future__ import annotations


def opened(visit, platform):
    client = platform.room("acme").clients[0]
    screen = visit("clients")
    screen.app.session_state["clients-open"] = client["id"]
    screen.app.run()
    return screen, client


def shown_secret(screen):
    return next((code.value for code in screen.app.code if "Client secret" in code.value), None)


class TestClients:
    def test_shows_a_new_secret_until_it_is_copied(self, visit, platform):
        screen = visit("clients").click("clients-new")
        assert screen.app.selectbox(key="clients-role").value == "workflow"
        screen.app.text_input(key="clients-name").set_value("Reports")
        next(
            button for button in screen.app.button if button.label == "Create client"
        ).click().run()
        body = platform.called("POST", "/api/v1/clients")[0].body
        assert body == {"name": "Reports", "role": "workflow"}
        assert shown_secret(screen)
        screen.click("clients-copied")
        assert shown_secret(screen) is None
        assert [row["name"] for row in screen.rows("clients")] == ["Invoices workflow", "Reports"]

    def test_replaces_a_secret_after_one_question(self, visit, platform):
        screen, client = opened(visit, platform)
        screen.click("clients-rotate-start")
        assert "the old one stops working" in screen.text
        assert not platform.called("POST", f"/api/v1/clients/{client['id']}/rotate")
        screen.click("clients-rotate-yes")
        assert len(platform.called("POST", f"/api/v1/clients/{client['id']}/rotate")) == 1
        assert shown_secret(screen)

    def test_deletes_after_one_question(self, visit, platform):
        screen, client = opened(visit, platform)
        screen.click("clients-delete-start")
        assert "This cannot be undone." in screen.text
        screen.click("clients-delete-yes")
        assert len(platform.called("DELETE", f"/api/v1/clients/{client['id']}")) == 1
        assert "No client yet" in screen.text
