"""What messages say, in the form of each kind of channel."""

from typing import Any

import pytest

from backend.managers.alerting._messages import (
    Message,
    as_html,
    as_mail,
    as_slack,
    as_teams,
    as_webhook,
)

PAGE = "https://console.example.com/alerts?tenant=demo&id="
LINK = f"{PAGE}a1"


def message(**more: Any) -> Message:
    alert = {
        "id": "a1",
        "name": "Disk <sda> & more",
        "severity": "critical",
        "labels": {"host": "web-1"},
        "summary": "It is > 90 %",
        "runbook_url": "",
        "fired_at": "2026-11-28T20:00:00+00:00",
        "ended_at": None,
    }
    return Message("m1", "fired", {}, [{**alert, **more}], PAGE)


def test_mail_leads_to_the_alerts_page() -> None:
    subject, text = as_mail(message(), {})
    assert subject == "[CRITICAL] Disk <sda> & more"
    assert f"Acknowledge, silence: {LINK}" in text.splitlines()
    assert "  host = web-1" in text.splitlines()


def test_chat_rooms_are_led_there_by_the_alerts_name() -> None:
    said = as_slack(message())["text"]
    assert f"<{LINK}|Disk &lt;sda&gt; &amp; more>: It is &gt; 90 %" in said
    body = as_teams(message())["attachments"][0]["content"]["body"]
    assert body[1]["text"].startswith(f"[Disk <sda> & more]({LINK})")


def test_programs_get_the_address_with_each_alert() -> None:
    assert as_webhook(message())["alerts"][0]["url"] == LINK


def mailed(of: Message) -> tuple[str, str, str]:
    return (*as_mail(of, {}), as_html(of, {}))


def test_a_picture_is_shown_in_mail_and_told_in_its_text() -> None:
    words = {"a1": 'cpu of host="web-1": at last 0.97'}
    assert f"Graph: {words['a1']}" in as_mail(message(), words)[1].splitlines()
    html = as_html(message(), words)
    assert '<img src="cid:graph-a1" alt="cpu of host=&#34;web-1&#34;: at last 0.97"' in html
    assert "Disk &lt;sda&gt; &amp; more (critical)" in html
    assert f'<a href="{LINK.replace("&", "&amp;")}">Acknowledge, silence</a>' in html
    assert "Runbook" not in html


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "JAVASCRIPT:x"])
def test_a_link_in_mail_leads_to_the_web_alone(address: str) -> None:
    assert "href" not in as_html(
        Message("m1", "fired", {}, message(runbook_url=address).alerts), {}
    )
    assert 'href="https://x.example/r"' in as_html(message(runbook_url="https://x.example/r"), {})


@pytest.mark.parametrize("shape", [mailed, as_slack, as_teams, as_webhook])
def test_without_a_console_nothing_leads_anywhere(shape: Any) -> None:
    plain = Message("m1", "fired", {}, message().alerts)
    assert "console.example.com" not in str(shape(plain))


def test_what_is_more_than_twenty_is_counted() -> None:
    many = Message("m1", "fired", {}, [*message().alerts] * 23)
    assert as_slack(many)["text"].splitlines()[-1] == "... and 3 more"
