"""API clients: a secret is shown once, and acts that stop workflows ask first."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import ADA, VIC

pytestmark = pytest.mark.page


def opened(visit, platform, person=ADA):
    client = platform.items("clients")[0]
    screen = visit("clients", person=person)
    screen.app.session_state["clients-open"] = client["id"]
    screen.app.run()
    return screen, client


class TestClients:
    def test_shows_a_new_secret_until_it_is_copied(self, visit, platform):
        screen = visit("clients").click("clients-new")
        assert screen.app.selectbox(key="clients-new-role").value == "workflow"
        screen.app.text_input(key="clients-new-name").set_value(" Reports ")
        screen.press("Create client")
        assert platform.called("POST", "clients")[0].body == {
            "name": "Reports",
            "role": "workflow",
            "expires_at": None,
            "scopes": None,
            "networks": [],
        }
        made = platform.items("clients")[0]
        client_id, secret = [code.value for code in screen.app.code]
        assert client_id == made["client_id"]
        assert "Client ID Client Secret" in screen.text
        http = platform.anybody()
        grant = {"grant_type": "client_credentials"}
        assert http.post("/oauth/token", data=grant, auth=(client_id, secret)).is_success
        screen.click("clients-copied")
        assert not screen.app.code
        assert screen.rows("clients")[0]["name"] == "Reports"

    def test_says_that_a_secret_was_lost_with_its_answer(self, visit, platform):
        """The call is sent again with its key, and its answer is kept without the secret."""
        screen = visit("clients").click("clients-new")
        platform.wire.lose_answer("POST", "/api/v1/clients")
        screen.app.text_input(key="clients-new-name").set_value("Reports")
        screen.press("Create client")
        made = platform.items("clients")[0]
        assert [code.value for code in screen.app.code] == [made["client_id"]]
        assert "Rotate the client to get another one." in screen.app.warning[0].value
        screen.click("clients-copied")
        assert not screen.app.warning

    def test_sends_nothing_without_a_name(self, visit, platform):
        screen = visit("clients").click("clients-new").press("Create client")
        assert screen.app.warning[0].value == "It needs a name and a role."
        assert not platform.called("POST", "clients")

    def test_replaces_a_secret_after_one_question(self, visit, platform):
        screen, client = opened(visit, platform)
        screen.click("clients-rotate-start")
        assert "the old one stops working" in screen.text
        assert not platform.called("POST", f"clients/{client['id']}/rotate")
        screen.click("clients-rotate-yes")
        assert len(platform.called("POST", f"clients/{client['id']}/rotate")) == 1
        assert screen.app.code[0].value == client["client_id"]

    def test_deletes_after_one_question(self, visit, platform):
        screen, client = opened(visit, platform)
        screen.click("clients-delete-start")
        assert "This cannot be undone." in screen.text
        screen.click("clients-delete-yes")
        assert client not in platform.items("clients")
        assert client["name"] not in [row["name"] for row in screen.rows("clients")]

    def test_are_exported_without_their_secrets(self, visit):
        screen = visit("clients").click("clients-export-prepare")
        _, content, count, _ = screen.app.session_state["clients-export-file"]
        assert content.startswith(
            b"id,name,client_id,role,disabled,expires_at,last_used_at,created_at,scopes,networks\r\n"
        )
        assert count == 3

    def test_are_only_looked_at_by_an_operator(self, visit, platform):
        platform.give_role(VIC, "operator")
        screen, client = opened(visit, platform, VIC)
        assert f"Client ID {client['client_id']} Role workflow" in screen.text
        assert not screen.has_button("clients-new")
        assert not screen.has_button("clients-delete-start")

    def test_changes_an_opened_one_and_keeps_what_was_not_touched(self, visit, platform):
        made = platform.api().post(
            "/api/v1/clients",
            json={
                "name": "Bounded",
                "role": "workflow",
                "expires_at": "2035-06-30T12:34:56Z",
                "scopes": ["email:send", "email:read"],
                "networks": ["192.0.2.0/24"],
            },
        )
        client_id = made.raise_for_status().json()["id"]
        screen = visit("clients")
        screen.app.session_state["clients-open"] = client_id
        screen.app.run()
        form = f"clients-change-{client_id}"
        assert screen.app.text_input(key=f"{form}-scopes").value == "email:read email:send"
        screen.app.text_input(key=f"{form}-name").set_value("Bounded more")
        screen.app.text_input(key=f"{form}-scopes").set_value("email:send")
        screen.press("Save changes")
        assert screen.said == "Bounded is changed, effective at once."
        found = next(one for one in platform.items("clients") if one["id"] == client_id)
        assert (found["name"], found["scopes"]) == ("Bounded more", ["email:send"])
        assert found["networks"] == ["192.0.2.0/24"]
        assert found["expires_at"].startswith("2035-06-30T12:34:56")
