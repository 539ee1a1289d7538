"""Second factor: from the picture to the recovery codes, and what the tenant asks of everybody."""

from __future__ import annotations

import pyotp
import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def set_up(visit, person=VIC):
    """A page on which somebody has just set one up, and the app on their phone."""
    screen = visit("second_factor", person=person)
    assert "Not set up" in screen.text
    screen.click("second-factor-begin")
    # An image: Streamlit's HTML drops the element itself, and nobody would see anything.
    assert '<img class="es-drawing" src="data:image/svg+xml;base64,' in screen.markup
    totp = pyotp.TOTP(screen.app.code[0].value)
    screen.app.text_input(key="second-factor-code").set_value(f" {totp.now()} ")
    return screen.press("Confirm"), totp


class TestOwn:
    def test_is_set_up_by_its_first_code_and_shows_the_recovery_codes_once(self, visit, platform):
        screen, _ = set_up(visit)
        codes = screen.app.code[0].value.split("\n")
        assert len(codes) == 10
        screen.click("second-factor-kept")
        assert "Set up A log-in asks for your password and a code." in screen.text
        assert "Recovery codes left 10" in screen.text
        assert not any(code in screen.markup for code in codes)
        assert platform.api(VIC).get("/api/v1/me/totp").json()["enrolled"]

    def test_takes_no_code_that_is_none(self, visit, platform):
        screen = visit("second_factor", person=VIC).click("second-factor-begin")
        screen.app.text_input(key="second-factor-code").set_value("123")
        screen.press("Confirm")
        assert screen.app.warning[0].value == "The code has six digits."
        assert not platform.called("POST", "me/totp/confirm")
        screen.app.text_input(key="second-factor-code").set_value("000000x")
        screen.press("Confirm")
        assert "The code is not right" in screen.text
        screen.click("second-factor-stop")
        assert "Not set up" in screen.text

    def test_gives_new_codes_and_is_removed_after_one_question(self, visit, platform):
        screen, _ = set_up(visit)
        old = screen.app.code[0].value
        screen.click("second-factor-kept").click("second-factor-renew-start")
        assert "The old ones stop working." in screen.text
        screen.click("second-factor-renew-yes")
        assert screen.app.code[0].value != old
        screen.click("second-factor-kept").click("second-factor-remove-start")
        screen.click("second-factor-remove-yes")
        assert "Not set up" in screen.text
        assert not platform.api(VIC).get("/api/v1/me/totp").json()["enrolled"]

    def test_leads_through_the_log_in_when_that_is_too_old(self, visit, platform):
        screen, _ = set_up(visit)
        screen.click("second-factor-kept").click("second-factor-remove-start")
        platform.wire.fail(
            "DELETE", "/api/v1/me/totp", 401, "log_in_too_old", "Log in again to do this"
        )
        screen.click("second-factor-remove-yes")
        assert "Log in again to do this" in screen.text
        assert any(button.label == "Log in again" for button in screen.app.button)
        # A fresh token of the same log-in is no help, so none is asked for.
        assert len(platform.called("DELETE", "me/totp")) == 1


class TestPolicy:
    def test_is_set_by_who_has_a_second_factor(self, visit, platform):
        screen = visit("second_factor")
        assert "may log in with a password alone" in screen.text
        screen.click("login-policy-start").click("login-policy-yes")
        assert "Set up your own second factor first" in screen.text

    def test_is_only_told_to_others(self, visit):
        screen = visit("second_factor", person=VIC)
        assert "may log in with a password alone" in screen.text
        assert not screen.has_button("login-policy-start")
