"""Invitations, one's own profile, and everybody for the platform's administrators."""

from __future__ import annotations

import pyotp
import pytest

from tests.dashboard.conftest import ADA, API, VIC
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.page


def opened(visit, view, key, row_id, person=ADA):
    screen = visit(view, person=person)
    screen.app.session_state[f"{key}-open"] = row_id
    screen.app.run()
    return screen


class TestInvitations:
    def test_are_listed_with_their_states(self, visit):
        rows = visit("invitations").rows("invitations")
        assert [(row["email"], row["state"]) for row in rows] == [
            ("edsger@example.test", "open"),
            ("grace@example.test", "accepted"),
            (VIC, "accepted"),
        ]
        assert {row["invited_by"] for row in rows} == {"First admin"}

    def test_are_sent_again_with_a_new_link(self, visit, platform):
        before = platform.items("invitations")[0]
        screen = opened(visit, "invitations", "invitations", before["id"])
        screen.click("invitations-resend-start").click("invitations-resend-yes")
        assert screen.app.code[0].value.startswith(f"{API}/oauth/invitation?token=")
        assert platform.items("invitations")[0]["expires_at"] > before["expires_at"]

    def test_are_revoked_after_one_question(self, visit, platform):
        waiting = platform.items("invitations")[0]
        screen = opened(visit, "invitations", "invitations", waiting["id"])
        screen.click("invitations-revoke-start").click("invitations-revoke-yes")
        assert platform.items("invitations")[0]["state"] == "revoked"
        assert not screen.has_button("invitations-revoke-start")
        assert not screen.has_button("invitations-resend-start")

    def test_are_only_looked_at_by_a_viewer(self, visit, platform):
        waiting = platform.items("invitations")[0]
        screen = opened(visit, "invitations", "invitations", waiting["id"], VIC)
        assert not screen.has_button("invitations-new")
        assert not screen.has_button("invitations-revoke-start")


class TestProfile:
    def test_changes_the_name(self, visit, platform):
        screen = visit("profile", person=VIC)
        screen.app.text_input(key="profile-name").set_value("Victoria")
        screen.press("Save name")
        assert screen.said == "You are called Victoria now."
        assert "Victoria" in {one["name"] for one in platform.items("members")}

    def test_changes_the_password(self, visit, platform):
        screen = visit("profile", person=VIC)
        for key, value in (("old", PASSWORD), ("new", "another horse battery")):
            screen.app.text_input(key=f"password-{key}").set_value(value)
        screen.app.text_input(key="password-again").set_value("another horse battery")
        screen.press("Change password")
        assert platform.called("PUT", "me/password")[0].body == {
            "old_password": PASSWORD,
            "new_password": "another horse battery",
        }
        assert screen.said.startswith("Your password is changed")

    @pytest.mark.parametrize(
        ("old", "new", "again", "said"),
        [
            ("", "another horse battery", "another horse battery", "The old and the new password"),
            (PASSWORD, "another horse battery", "another horse", "are not the same"),
            (PASSWORD, "short", "short", "needs 12 characters"),
        ],
    )
    def test_sends_nothing_that_cannot_be(self, visit, platform, old, new, again, said):
        screen = visit("profile", person=VIC)
        for key, value in (("old", old), ("new", new), ("again", again)):
            screen.app.text_input(key=f"password-{key}").set_value(value)
        screen.press("Change password")
        assert said in screen.app.warning[0].value
        assert platform.called("PUT", "me/password") == []

    def test_tells_what_is_wrong_with_a_password(self, visit):
        screen = visit("profile", person=VIC)
        for key, value in (("old", PASSWORD), ("new", "password1234"), ("again", "password1234")):
            screen.app.text_input(key=f"password-{key}").set_value(value)
        screen.press("Change password")
        assert "Code identity.weak_password" in screen.text

    def test_lists_and_ends_sessions(self, visit, platform):
        http = platform.api(VIC)
        listed = http.get("/api/v1/me/sessions").json()["items"]
        mine = next(one for one in listed if one["current"])
        screen = opened(visit, "profile", "sessions", mine["id"], VIC)
        rows = screen.rows("sessions")
        assert [row["current"] for row in rows if row["id"] == mine["id"]] == ["this one"]
        assert not screen.has_button("sessions-end-start"), "one logs out of this one"
        screen.click("sessions-others-start").click("sessions-others-yes")
        assert [one["id"] for one in http.get("/api/v1/me/sessions").json()["items"]] == [
            mine["id"]
        ]

    def test_tells_of_sign_ins(self, visit):
        rows = visit("profile", person=VIC).rows("sign-ins")
        assert {row["outcome"] for row in rows} == {"succeeded"}


class TestUsers:
    def test_are_found_by_how_an_e_mail_begins(self, visit):
        screen = visit("users")
        assert len(screen.rows("users")) == 3
        screen.app.text_input(key="users-q").set_value("vic@").run()
        assert [row["email"] for row in screen.rows("users")] == [VIC]

    def test_are_kept_out_and_let_in_again(self, visit, platform):
        vic = next(one for one in platform.items("platform/users") if one["email"] == VIC)
        screen = opened(visit, "users", "users", vic["id"])
        assert "viewer" in screen.text
        screen.click("users-disable-start").click("users-disable-yes")
        assert platform.get(f"platform/users/{vic['id']}")["disabled"] is True
        screen.click("users-enable-start").click("users-enable-yes")
        assert platform.get(f"platform/users/{vic['id']}")["disabled"] is False

    def test_are_given_a_role_on_the_platform_and_lose_it(self, visit, platform):
        vic = next(one for one in platform.items("platform/users") if one["email"] == VIC)
        for given in ("support", ""):
            screen = opened(visit, "users", "users", vic["id"])
            screen.app.selectbox(key=f"users-platform-role-{vic['id']}").set_value(given).run()
            screen.click("users-platform-role-save")
            assert screen.said == f"{vic['name']} has another role on the platform now."
            assert platform.get(f"platform/users/{vic['id']}")["platform_role"] == (given or None)

    def test_lose_the_second_factor_that_they_lost(self, visit, platform):
        http = platform.api(VIC)
        secret = http.post("/api/v1/me/totp").raise_for_status().json()["secret"]
        code = {"code": pyotp.TOTP(secret).now()}
        http.post("/api/v1/me/totp/confirm", json=code).raise_for_status()
        vic = next(one for one in platform.items("platform/users") if one["email"] == VIC)
        screen = opened(visit, "users", "users", vic["id"])
        screen.click("users-reset-factor-start").click("users-reset-factor-yes")
        assert screen.said == f"{vic['name']} has no second factor any more."
        (act,) = [
            one
            for one in platform.items("platform/audit")
            if one["action"] == "second_factor.cleared"
        ]
        assert act["target"] == f"user:{vic['id']}"
