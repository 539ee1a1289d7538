"""Steps of a policy in their time, and what a message says in each channel's form."""

from datetime import timedelta

import pytest

from backend.managers.alerting import PolicyDraft, Step
from backend.managers.alerting._messages import Message, as_mail, as_slack, as_teams, as_webhook

A, B, C = "a", "b", "c"


def turns(*steps: Step, **more: int) -> list[tuple[int, int, str]]:
    draft = PolicyDraft(name="p", steps=steps, **more)
    return [
        (number, int(after / timedelta(seconds=1)), "".join(channels))
        for number, after, channels in draft.turns()
    ]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (turns(Step([A])), [(0, 0, "a")]),
        (turns(Step([A], 60), Step([B, C], 300)), [(0, 60, "a"), (1, 360, "bc")]),
        (
            turns(Step([A]), Step([B], 300), repeats=1, repeat_seconds=900),
            [(0, 0, "a"), (1, 300, "b"), (2, 1200, "a"), (3, 1500, "b")],
        ),
        (turns(Step([]), Step([B], 300), Step([C], 60)), [(1, 0, "b"), (2, 60, "c")]),
        (turns(Step([A]), Step([], 300), Step([C], 60)), [(0, 0, "a"), (2, 60, "c")]),
    ],
)
def test_steps_come_in_their_time_and_none_waits_for_nobody(
    found: list[tuple[int, int, str]], wanted: list[tuple[int, int, str]]
) -> None:
    assert found == wanted


def message(kind: str = "fired", count: int = 1, severity: str = "warning") -> Message:
    alerts = [
        {
            "name": f"Alert {number}",
            "severity": severity,
            "labels": {"team": "data"},
            "summary": "<b> & so on" if not number else "",
            "runbook_url": "https://wiki.example/import",
            "fired_at": "2026-11-28T12:00:00+00:00",
            "ended_at": None,
        }
        for number in range(count)
    ]
    return Message("m1", kind, {"team": "data"}, alerts)


def test_a_title_names_the_worst_and_how_many_there_are() -> None:
    assert message().title == "[WARNING] Alert 0"
    assert message(count=3, severity="critical").title == "[CRITICAL] Alert 0 and 2 more"
    assert message("resolved").title == "[RESOLVED] Alert 0"


def test_each_form_holds_what_it_has_to() -> None:
    webhook = as_webhook(message())
    assert (webhook["id"], webhook["kind"]) == ("m1", "alert.fired")
    subject, text = as_mail(message(count=25), {})
    assert subject == "[WARNING] Alert 0 and 24 more"
    assert "Runbook: https://wiki.example/import" in text
    assert "... and 5 more" in text
    assert as_slack(message())["text"] == "*[WARNING] Alert 0*\nAlert 0: &lt;b&gt; &amp; so on"
    (card,) = as_teams(message("resolved", 25))["attachments"]
    body = card["content"]["body"]
    assert body[0]["color"] == "good"
    assert len(body) == 22
