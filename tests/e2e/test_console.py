"""The console on the real platform: every page, as the first admin sees it.

On a phone, and with one of each thing open, they are looked at on a platform within the tests: what
is asked here is whether what is installed and started as people do serves them.
"""

import os
import subprocess
import sys

import httpx
import pytest

from tests.e2e.conftest import ROOT, RunningPlatform
from tests.support.asking import ASK_ALL

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        not ASK_ALL,
        reason="tests/dashboard sees each page: set EMAIL_SENDER_ASK_ALL=1 for these",
    ),
]


ASKED = "(signed_out_page and light) or (every_page and not phone)"


def fill(platform: RunningPlatform) -> None:
    """Some mail of every fate, so that the pages have something to show."""
    headers = {"Authorization": f"Bearer {platform.token()}"}
    names = ["ada", "bob", "bounce", "defer-once"]
    batch = {
        "messages": [
            {"to": [f"{name}{n}@example.test"], "subject": f"Note {n}", "text": f"To {name}."}
            for n in range(5)
            for name in names
        ]
    }
    answer = httpx.post(f"{platform.api_url}/api/v1/emails/batch", json=batch, headers=headers)
    assert answer.status_code == 202, answer.text


def test_every_page_in_a_real_browser(platform: RunningPlatform) -> None:
    fill(platform)
    tests = "tests/dashboard/test_browser.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", tests, "-k", ASKED],
        cwd=ROOT,
        env={
            # Its own run, no part of this one: whose lines are counted is this one.
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith("SLIPCOVER_")
            },
            "EMAIL_SENDER_TEST_CONSOLE_URL": platform.console_url,
            "EMAIL_SENDER_TEST_USER": platform.admin_email,
            "EMAIL_SENDER_TEST_PASSWORD": platform.admin_password,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
