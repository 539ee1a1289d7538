"""E-mail settings: what is known of the mail server, and what can be changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page

SETTINGS = "/api/v1/email-settings"
LIMITS = {
    "connections": 10,
    "rate_per_second": None,
    "messages_per_session": 100,
    "recipients_per_transaction": None,
}
SINCE, UNTIL = "2026-11-26T09:00:00Z", "2026-11-26T09:04:00Z"


def pause(**facts: Any) -> dict[str, Any]:
    usual = {"sender": None, "kind": "refused", "code": 550, "reason": "5.4.5 daily limit"}
    return {**usual, "since": SINCE, "until": UNTIL, **facts}


def relay_is(platform, **facts: Any) -> None:
    """Have the platform tell this of the relay, until somebody resumes it."""

    def told(found: dict[str, Any]) -> dict[str, Any]:
        if platform.called("POST", "email-settings/relay/resume"):
            return found
        return {**found, "relay": {**found["relay"], **facts}}

    platform.wire.alter("GET", SETTINGS, told)


def save(screen, **given: Any):
    """Fill fields in by the beginning of their keys, and save."""
    for name, value in given.items():
        start = f"email-settings-{name.replace('_', '-')}-"
        every = (*screen.app.text_input, *screen.app.text_area, *screen.app.number_input)
        (field,) = (one for one in (*every, *screen.app.checkbox) if one.key.startswith(start))
        field.set_value(value)
    return screen.click("email-settings-save")


def put(platform, **more: Any) -> dict[str, Any]:
    body = {"from_address": "billing@acme.example", **more}
    return platform.api().put(SETTINGS, json=body).raise_for_status().json()


class TestVerdict:
    @pytest.mark.parametrize(
        ("facts", "tone", "said"),
        [
            ({"pauses": [pause()]}, "red", "refuses us since 2026-11-26 09:00:00 UTC. Mail waits"),
            (
                {"pauses": [pause(kind="unreachable", code=None)]},
                "red",
                "is not reached since 2026-11-26 09:00:00 UTC. Mail waits; no message tries before",
            ),
            (
                {"pauses": [pause(sender="a@acme.example"), pause(sender="b@acme.example")]},
                "amber",
                "takes no mail from a@acme.example, b@acme.example; it waits.",
            ),
            ({"state": "slowed"}, "amber", "asked for less"),
            ({"accepted_at": None}, "gray", "has taken no mail of this tenant yet"),
            ({"accepted_at": SINCE}, "green", "takes the mail"),
        ],
    )
    def test_says_how_the_mail_server_takes_mail(self, visit, platform, facts, tone, said):
        relay_is(platform, **facts)
        screen = visit("email_settings")
        assert said in screen.text
        assert f'class="es-status es-{tone}"' in screen.markup


class TestRelay:
    def test_shows_why_it_is_paused_and_until_when(self, visit, platform):
        relay_is(platform, state="paused", pauses=[pause(), pause(sender="a@acme.example")])
        screen = visit("email_settings")
        assert "All mail of this tenant waits" in screen.text
        assert "Mail from a@acme.example waits" in screen.text
        assert "No try before (UTC) 2026-11-26 09:04:00" in screen.text
        assert [code.value for code in screen.app.code] == ["550 5.4.5 daily limit"] * 2

    def test_shows_how_it_is_used_and_what_was_learned(self, visit, platform):
        now = {**LIMITS, "rate_per_second": 0.8, "recipients_per_transaction": 10}
        relay_is(platform, state="slowed", usual=LIMITS, limits=now, accepted_at=SINCE)
        screen = visit("email_settings")
        assert screen.rows("relay-use") == [
            {"what": "Sessions of one worker at once", "now": "10", "usual": "10"},
            {"what": "Messages a second", "now": "0.8", "usual": "no limit"},
            {"what": "Messages a session", "now": "100", "usual": "100"},
            {"what": "Recipients a transaction", "now": "10", "usual": "no limit"},
        ]
        assert "It asked for less than usual." in screen.text
        assert "about 2026-11-26 09:00" in screen.text

    def test_says_nothing_of_learning_where_nothing_was_learned(self, visit):
        screen = visit("email_settings")
        assert "asked for less" not in screen.text
        assert not screen.has_button("relay-resume")

    def test_is_tried_now(self, visit, platform):
        relay_is(platform, state="paused", pauses=[pause()])
        screen = visit("email_settings")
        screen.click("relay-resume")
        assert screen.app.toast[0].value.startswith("The pauses are over.")
        assert "All mail of this tenant waits" not in screen.text
        assert platform.items("audit", action="relay.resumed")

    def test_is_looked_at_but_not_touched_by_a_viewer(self, visit, platform):
        relay_is(platform, state="paused", pauses=[pause()])
        screen = visit("email_settings", person=VIC)
        assert "All mail of this tenant waits" in screen.text
        assert not screen.has_button("relay-resume")
        assert not screen.has_button("email-settings-save")
        assert "Messages are kept for 365 days" in screen.text


class TestChange:
    def test_keeps_what_the_form_does_not_show(self, visit, platform):
        smtp = {"host": "192.0.32.10", "username": "u", "password": "pass", "connections": 3}
        retry = {"waits_seconds": [60, 300], "give_up_after_seconds": 3600}
        before = put(platform, smtp=smtp, retry=retry)
        screen = save(visit("email_settings"), from_name="Acme", senders="a@b.example\n@c.example")
        assert screen.app.toast[0].value.startswith("Saved.")
        after = platform.get("email-settings")
        assert (after["from_name"], after["senders"]) == ("Acme", ["a@b.example", "@c.example"])
        for name in ("smtp", "retry", "from_address", "keep_days", "suppress_hard_bounces"):
            assert after[name] == before[name], name
        (call,) = platform.called("PUT", "email-settings")
        assert "password" not in call.body["smtp"]

    def test_asks_before_mail_is_kept_for_a_shorter_time(self, visit, platform):
        screen = save(visit("email_settings"), keep_content_days=7, keep_days=30)
        assert "content older than 7 days and messages older than 30 days" in screen.text
        assert platform.get("email-settings")["keep_days"] is None
        screen.click("email-settings-yes")
        found = platform.get("email-settings")
        assert (found["keep_content_days"], found["keep_days"]) == (7, 30)
        kept = {"content_days": 7, "days": 30, "usual_content_days": 90, "usual_days": 365}
        assert found["kept"] == {**kept, "most_days": 3650}
        assert screen.app.toast[0].value == (
            "Saved. Content is kept for 7 days, messages for 30 days."
        )

    def test_leaves_all_as_it_is_when_told_so(self, visit, platform):
        screen = save(visit("email_settings"), keep_days=30).click("email-settings-no")
        assert platform.get("email-settings")["keep_days"] is None
        assert screen.has_button("email-settings-save")

    def test_does_not_ask_before_mail_is_kept_for_longer(self, visit, platform):
        screen = save(visit("email_settings"), keep_days=700, suppress_hard_bounces=True)
        found = platform.get("email-settings")
        assert (found["keep_days"], found["suppress_hard_bounces"]) == (700, True)
        assert "messages for 700 days" in screen.text

    def test_goes_back_to_what_the_platform_does(self, visit, platform):
        put(platform, keep_days=700)
        screen = save(visit("email_settings"), keep_days=None)
        assert "messages older than 365 days" in screen.text
        screen.click("email-settings-yes")
        assert platform.get("email-settings")["keep_days"] is None

    def test_shows_why_it_was_refused(self, visit):
        screen = save(visit("email_settings"), keep_content_days=400)
        assert "The message itself goes after 365 days." in screen.text

    def test_does_not_overwrite_what_somebody_else_saved(self, visit, platform):
        screen = visit("email_settings")
        put(platform, from_name="Saved meanwhile")
        save(screen, from_name="Mine")
        assert "Code email.settings_changed" in screen.text
        assert platform.get("email-settings")["from_name"] == "Saved meanwhile"
