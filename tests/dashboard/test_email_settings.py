"""E-mail settings: what is known of the mail server, and what can be changed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dashboard.widgets import markup
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
        field(screen, start).set_value(value)
    return screen.click("email-settings-save")


def field(screen, start: str):
    """The field whose key begins so; the rest of it changes with each version."""
    app = screen.app
    every = (*app.text_input, *app.text_area, *app.number_input, *app.checkbox, *app.selectbox)
    (found,) = (one for one in every if one.key and re.fullmatch(rf"{start}\d+", one.key))
    return found


def choose(screen, start: str, value: str):
    """Choose one of a few."""
    (group,) = (one for one in screen.app.segmented_control if (one.key or "").startswith(start))
    group.set_value(value).run()
    return screen


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
        assert "No try before 2026-11-26 09:04:00" in screen.text
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
        assert screen.said.startswith("The pauses are over.")
        assert "All mail of this tenant waits" not in screen.text
        assert platform.items("audit", action="relay.resumed")

    def test_is_looked_at_but_not_touched_by_a_viewer(self, visit, platform):
        relay_is(platform, state="paused", pauses=[pause()])
        screen = visit("email_settings", person=VIC)
        assert "All mail of this tenant waits" in screen.text
        assert not screen.has_button("relay-resume")
        assert not screen.has_button("email-settings-save")
        assert "Messages are kept for 365 days" in screen.text


class TestNamedRelays:
    @pytest.fixture
    def relays(self, platform):
        """Two, of which one is paused until it is tried."""
        smtp = {"host": "192.0.32.10", "port": 2525}
        for name, more in (("bulk", {}), ("news", {"from_address": "news@acme.example"})):
            path = f"/api/v1/email-relays/{name}"
            platform.api().put(path, json={"smtp": smtp, **more}).raise_for_status()

        def told(found: dict[str, Any]) -> dict[str, Any]:
            if platform.called("POST", "email-relays/news/resume"):
                return found
            bulk, news = found["items"]
            relay = {**news["relay"], "state": "paused", "pauses": [pause()], "accepted_at": SINCE}
            return {**found, "items": [bulk, {**news, "relay": relay}]}

        platform.wire.alter("GET", "/api/v1/email-relays", told)

    def test_are_listed_with_their_states(self, visit, relays):
        screen = visit("email_settings")
        server, nobody = "192.0.32.10:2525", "as all others"
        assert screen.rows("relays") == [
            {"name": "bulk", "state": "ok", "server": server, "from": nobody, "last": markup.NONE},
            {
                "name": "news",
                "state": "paused",
                "server": server,
                "from": "news@acme.example",
                "last": "about 2026-11-26 09:00",
            },
        ]
        assert "news: mail waits, and none tries before 2026-11-26 09:04:00 UTC." in screen.text
        assert "550 5.4.5 daily limit" in screen.text

    def test_are_tried_now(self, visit, platform, relays):
        screen = visit("email_settings")
        assert not screen.has_button("relay-resume-bulk")
        screen.click("relay-resume-news")
        assert screen.said == "news is tried within some seconds."
        assert "news: mail waits" not in screen.text
        (record,) = platform.items("audit", action="relay.resumed")
        assert record["target"] == "relay:news@192.0.32.10:2525"

    def test_are_touched_by_no_viewer(self, visit, relays):
        screen = visit("email_settings", person=VIC)
        assert "news: mail waits" in screen.text
        assert not screen.has_button("relay-resume-news")


class TestChange:
    def test_keeps_what_the_form_does_not_show(self, visit, platform):
        smtp = {"host": "192.0.32.10", "username": "u", "password": "pass", "connections": 3}
        retry = {"waits_seconds": [60, 300], "give_up_after_seconds": 3600}
        before = put(platform, smtp=smtp, retry=retry)
        screen = save(visit("email_settings"), from_name="Acme", senders="a@b.example\n@c.example")
        assert screen.said.startswith("Saved.")
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
        assert screen.said == ("Saved. Content is kept for 7 days, messages for 30 days.")

    def test_leaves_all_as_it_is_when_told_so(self, visit, platform):
        screen = save(visit("email_settings"), keep_days=30).click("email-settings-no")
        assert platform.get("email-settings")["keep_days"] is None
        assert screen.has_button("email-settings-save")
        assert field(screen, "email-settings-keep-days-").value == 30

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
        said = '<p class="es-field-error" role="alert">The message itself goes after 365 days.</p>'
        assert said in screen.markup
        assert field(screen, "email-settings-keep-content-days-").value == 400

    def test_does_not_overwrite_what_somebody_else_saved(self, visit, platform):
        screen = visit("email_settings")
        put(platform, from_name="Saved meanwhile")
        save(screen, from_name="Mine")
        assert "Code email.settings_changed" in screen.text
        assert platform.get("email-settings")["from_name"] == "Saved meanwhile"

    def test_keeps_what_was_written_when_it_is_refused(self, visit, platform):
        screen = save(visit("email_settings"), from_name="Acme", senders="a@b.example\nnobody")
        assert "Line 2: " in screen.text
        assert field(screen, "email-settings-senders-").value == "a@b.example\nnobody"
        assert field(screen, "email-settings-from-name-").value == "Acme"
        save(screen, senders="a@b.example")
        assert screen.said.startswith("Saved.")
        found = platform.get("email-settings")
        assert (found["from_name"], found["senders"]) == ("Acme", ["a@b.example"])

    def test_can_be_dropped(self, visit, platform):
        screen = visit("email_settings")
        field(screen, "email-settings-from-name-").set_value("Mine").run()
        assert "Unsaved changes." in screen.text
        screen.click("email-settings-drop")
        assert field(screen, "email-settings-from-name-").value != "Mine"
        assert "Unsaved changes." not in screen.text
        assert not platform.called("PUT", "email-settings")

    def test_shows_what_somebody_else_saved_where_nothing_is_written(self, visit, platform):
        screen = visit("email_settings")
        put(platform, from_name="Saved meanwhile")
        screen.app.run()
        assert field(screen, "email-settings-from-name-").value == "Saved meanwhile"

    @pytest.mark.parametrize(("button", "kept"), [("mine", "Mine"), ("theirs", "Theirs")])
    def test_lets_one_choose_between_theirs_and_mine(self, visit, platform, button, kept):
        screen = visit("email_settings")
        put(platform, from_name="Theirs")
        field(screen, "email-settings-from-name-").set_value("Mine").run()
        assert "Somebody else has saved these settings since you opened them." in screen.text
        screen.click(f"email-settings-{button}")
        assert field(screen, "email-settings-from-name-").value == kept
        if button == "mine":
            save(screen)
        assert platform.get("email-settings")["from_name"] == kept


class TestServer:
    def test_of_ones_own_is_set_whole(self, visit, platform):
        screen = choose(
            visit("email_settings"), "email-settings-whose-server-", "This tenant's own"
        )
        field(screen, "email-settings-smtp-host-").set_value("192.0.32.10")
        field(screen, "email-settings-smtp-username-").set_value("ada").run()
        field(screen, "email-settings-smtp-password-").set_value("secret")
        field(screen, "email-settings-smtp-tls-").set_value("implicit")
        save(screen, smtp_port=465, smtp_rate_per_second=2.5, smtp_ehlo_name="mail.acme.example")
        assert screen.said.startswith("Saved.")
        found = platform.get("email-settings")["smtp"]
        assert (found["host"], found["port"], found["username"]) == ("192.0.32.10", 465, "ada")
        assert (found["tls"], found["rate_per_second"]) == ("implicit", 2.5)
        assert found["ehlo_name"] == "mail.acme.example"
        (call,) = platform.called("PUT", "email-settings")
        assert call.body["smtp"]["password"] == "secret"
        assert field(screen, "email-settings-smtp-password-").value == ""

    def test_is_given_up_for_the_platforms(self, visit, platform):
        put(platform, smtp={"host": "192.0.32.10"})
        screen = choose(visit("email_settings"), "email-settings-whose-server-", "The platform's")
        save(screen)
        assert platform.get("email-settings")["smtp"] is None

    def test_of_our_own_network_is_refused_at_its_field(self, visit):
        screen = choose(
            visit("email_settings"), "email-settings-whose-server-", "This tenant's own"
        )
        save(screen, smtp_host="127.0.0.1")
        assert "127.0.0.1 is not on the public Internet" in screen.markup
        assert "es-field-error" in screen.markup
        assert field(screen, "email-settings-smtp-host-").value == "127.0.0.1"

    def test_that_does_not_resolve_is_warned_of(self, visit):
        screen = choose(
            visit("email_settings"), "email-settings-whose-server-", "This tenant's own"
        )
        save(screen, smtp_host="mail.nowhere.invalid")
        assert "The mail server cannot be found now" in screen.said


class TestRetries:
    def test_of_ones_own_are_set(self, visit, platform):
        screen = choose(
            visit("email_settings"), "email-settings-whose-retries-", "This tenant's own"
        )
        save(screen, retry_waits_seconds="60, 600", retry_give_up_after_seconds=24.0)
        assert platform.get("email-settings")["retry"] == {
            "waits_seconds": [60, 600],
            "give_up_after_seconds": 86_400,
            "delay_notice_after_seconds": 14_400,
        }

    def test_that_are_no_numbers_are_refused_at_their_field(self, visit):
        screen = choose(
            visit("email_settings"), "email-settings-whose-retries-", "This tenant's own"
        )
        save(screen, retry_waits_seconds="soon")
        assert "es-field-error" in screen.markup


class TestTest:
    def test_tells_every_step_and_what_it_means(self, visit, platform):
        screen = visit("email_settings")
        screen.app.text_input(key="email-settings-test-to").set_value("ada@example.test").run()
        screen.click("email-settings-test")
        (call,) = platform.called("POST", "email-settings/test")
        assert call.body == {"to": "ada@example.test", "settings": None}
        assert "Nobody takes the connection at 127.0.0.1:" in screen.text
        assert "Not taken" in screen.text
        assert 'class="es-dialogue"' in screen.markup
        assert platform.items("audit", action="email_settings.tested")

    def test_tries_what_is_written_without_saving_it(self, visit, platform):
        screen = visit("email_settings")
        field(screen, "email-settings-from-name-").set_value("Mine").run()
        screen.app.text_input(key="email-settings-test-to").set_value("ada@example.test").run()
        screen.click("email-settings-test")
        (call,) = platform.called("POST", "email-settings/test")
        assert call.body["settings"]["from_name"] == "Mine"
        assert field(screen, "email-settings-from-name-").value == "Mine"
        assert not platform.called("PUT", "email-settings")

    def test_shows_what_a_server_says_as_text(self, visit, platform):
        hostile = "<script>alert(1)</script>"
        step = {"name": "greeting", "at_ms": 1, "took_ms": 1500, "sent": "", "code": 220}
        told = {"result": "refused", "summary": hostile, "certificate": CERTIFICATE}
        platform.wire.alter(
            "POST",
            f"{SETTINGS}/test",
            lambda found: {**found, **told, "steps": [{**step, "said": hostile, "ok": True}]},
        )
        screen = visit("email_settings")
        screen.app.text_input(key="email-settings-test-to").set_value("ada@example.test").run()
        screen.click("email-settings-test")
        assert hostile not in screen.markup
        assert "1.5 s" in screen.text
        assert "CN=part.test" in screen.text
        assert "TLSv1.3, TLS_AES_256_GCM_SHA384" in screen.text

    def test_says_why_it_is_refused(self, visit):
        screen = visit("email_settings")
        screen.app.text_input(key="email-settings-test-to").set_value("nobody").run()
        screen.click("email-settings-test")
        assert "/body/to" in screen.text


CERTIFICATE = {
    "subject": "CN=part.test",
    "issuer": "CN=authority",
    "names": ["part.test"],
    "not_before": "2026-01-01T00:00:00Z",
    "not_after": "2027-01-01T00:00:00Z",
    "sha256": "00ff",
    "protocol": "TLSv1.3",
    "cipher": "TLS_AES_256_GCM_SHA384",
}
