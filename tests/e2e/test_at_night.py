"""An operator is woken by a mail and does the rest on a phone: alert, cause, acknowledge, silence.

On the real platform: the rule is looked at by its worker, the mail comes by its mail sink, and its
link is the one that it holds. How long the way takes is printed, and not held against anything.
"""

import logging
import secrets
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Enter, RunningPlatform, link_in, mail_to
from tests.support.browser import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1200)]

logger = logging.getLogger(__name__)

LINE = "Import stopped: no space left on device"


class Watch:
    """What is watched and who is woken; a second try has others, and is told of no first one."""

    def __init__(self) -> None:
        self.team = f"import-{secrets.token_hex(3)}"
        self.mail = f"{self.team}@example.test"
        self.rule = f"{self.team} fails"


def ask(admin: httpx.Client, method: str, path: str, said: Any = None) -> Any:
    answer = admin.request(method, f"/api/v1/{path}", json=said)
    assert answer.is_success, answer.text
    return answer.json()


def wire(admin: httpx.Client, watch: Watch) -> None:
    """A rule on what the import logs, and whom its alerts wake."""
    said = {"name": watch.team, "kind": "email", "to": [watch.mail]}
    channel = ask(admin, "POST", "alert-channels", said)
    steps = [{"channels": [channel["id"]]}]
    policy = ask(admin, "POST", "alert-policies", {"name": watch.team, "steps": steps})
    tree = {"policy": policy["id"], "group_wait_seconds": 1}
    ask(admin, "PUT", "alert-routing", {"tree": tree, "inhibitions": []})
    condition = {
        "kind": "log",
        "source": watch.team,
        "level": "error",
        "compare": ">",
        "threshold": 0,
        "window_seconds": 3600,
    }
    rule = {"name": watch.rule, "condition": condition, "severity": "critical", "every_seconds": 10}
    ask(admin, "POST", "alert-rules", {**rule, "labels": {"team": watch.team}})


def test_from_the_mail_to_the_silence(
    enter: Enter, platform: RunningPlatform, admin: httpx.Client
) -> None:
    watch = Watch()
    wire(admin, watch)
    line = {"message": LINE, "source": watch.team, "level": "error"}
    ask(admin, "POST", "logs", {**line, "@timestamp": datetime.now(UTC).isoformat()})
    link = link_in(mail_to(platform, watch.mail))

    visitor = enter(night=True)
    page = visitor.page
    began = time.monotonic()
    page.goto(link)
    page.get_by_role("button", name="Log in").click()
    visitor.give_password()
    expect(page.get_by_role("heading", name=watch.rule, exact=True)).to_be_visible()
    visitor.settle()
    page.get_by_role("link", name="Log lines of then").click()
    visitor.expect_page("Logs")
    expect(page.get_by_text(LINE).first).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name=watch.rule, exact=True)).to_be_visible()
    visitor.settle()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text(f"{watch.rule} is acknowledged.")).to_be_visible()
    visitor.settle()
    page.get_by_role("button", name="Silence for 2 hours").click()
    expect(page.get_by_text(f"Nobody is told of {watch.rule} for two hours.")).to_be_visible()
    logger.warning("from the mail to the silence: %.1f s", time.monotonic() - began)

    expect(page.get_by_role("button", name="Silence for 2 hours")).to_have_count(0)
    said = f"by First admin: Silenced on the page of {watch.rule}"
    expect(page.get_by_text(said)).to_be_visible()
    visitor.expect_no_problem()
    visitor.survey("at-night-alert")
    (alert,) = ask(admin, "GET", f"alerts?state=firing&matchers=team={watch.team}")["items"]
    assert alert["acknowledged_by"].startswith("user:")
    silences = ask(admin, "GET", "silences")["items"]
    assert sum(f'team="{watch.team}"' in silence["matchers"] for silence in silences) == 1
    wait_until(
        lambda: all(
            one["state"] == "sent"
            for one in ask(admin, "GET", f"alerts/{alert['id']}/notifications")["items"]
        ),
        "every notification to be sent",
    )
