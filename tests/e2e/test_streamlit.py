"""Streamlit's own log-in against our provider, in Chromium: an application that is not the console.

It knows what any application is told: the metadata's address, and its client's name and secret.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.support.invitations import hidden_fields
from tests.support.serving import Served, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1200)]

WAIT = 60_000
APPLICATION = """
import streamlit as st

if st.user.is_logged_in:
    st.write(f"Hello {st.user.email}, {st.user.sub}, by {st.user.iss}")
    st.button("Leave", on_click=st.logout)
else:
    st.button("Enter", on_click=st.login)
"""
SECRETS = """
[auth]
redirect_uri = "{address}/oauth2callback"
cookie_secret = "{cookie_secret}"
client_id = "console"
client_secret = "{served.console_secret}"
server_metadata_url = "{issuer}/.well-known/openid-configuration"
"""


@dataclass(frozen=True)
class Application:
    """The running application and the platform behind it."""

    address: str
    issuer: str
    served: Served


@pytest.fixture(scope="module")
def application(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Application]:
    folder = tmp_path_factory.mktemp("streamlit")
    shutil.copy(sqlite_template, folder / "served.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://localhost:{port}"
    (folder / "data").mkdir()
    with serving(
        folder / "data", f"sqlite:///{folder / 'served.db'}", console_url=address
    ) as served:
        issuer = served.base_url.replace("127.0.0.1", "localhost")
        (folder / "application.py").write_text(APPLICATION)
        (folder / ".streamlit").mkdir()
        (folder / ".streamlit" / "secrets.toml").write_text(
            SECRETS.format(
                address=address, cookie_secret=secrets.token_hex(32), served=served, issuer=issuer
            )
        )
        options = {
            "server.port": port,
            "server.address": "localhost",
            "server.headless": "true",
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": "false",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "application.py"]
            + [f"--{name}={value}" for name, value in options.items()],
            cwd=folder,
            stdin=subprocess.DEVNULL,
        )
        try:
            _wait_for(process, f"{address}/_stcore/health")
            yield Application(address, issuer, served)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_for(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(address, timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    pytest.fail("the application did not start")


@pytest.fixture
def page() -> Iterator[Page]:
    chromium = os.environ.get("EMAIL_SENDER_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is missing; get it with `apt-get install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic"],
            timeout=WAIT,
        )
        opened = browser.new_page()
        opened.set_default_timeout(WAIT)
        yield opened
        browser.close()


def enter(page: Page, application: Application, password: str) -> None:
    """Press what leads to the provider, and give it a password."""
    page.goto(application.address)
    page.get_by_role("button", name="Enter").click()
    page.wait_for_url(f"{application.issuer}/oauth/login*")
    page.get_by_label("E-mail").fill(application.served.email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_logs_a_person_in_and_out(page: Page, application: Application) -> None:
    asked: list[dict[str, list[str]]] = []
    page.on(
        "request",
        lambda one: (
            asked.append(parse_qs(urlsplit(one.url).query))
            if "/oauth/authorize" in one.url
            else None
        ),
    )
    enter(page, application, application.served.password)
    expect(page.get_by_text(f"Hello {application.served.email}")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text(f"by {application.issuer}")).to_be_visible()
    # What it asked for by itself, from what our metadata say that we take.
    assert asked[0]["code_challenge_method"] == ["S256"]
    assert asked[0]["response_type"] == ["code"]
    assert {"state", "nonce", "code_challenge"} <= asked[0].keys()
    # Its log-out is ours too: the next log-in is asked for the password again.
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_role("button", name="Enter")).to_be_visible(timeout=WAIT)
    cookies = {one["name"] for one in page.context.cookies(application.issuer)}
    assert "email_sender_session" not in cookies
    enter(page, application, application.served.password)
    expect(page.get_by_text(f"Hello {application.served.email}")).to_be_visible(timeout=WAIT)


def test_lets_nobody_in_without_the_password(page: Page, application: Application) -> None:
    enter(page, application, "not the password")
    expect(page.get_by_role("alert")).to_be_visible(timeout=WAIT)
    page.goto(application.address)
    expect(page.get_by_role("button", name="Enter")).to_be_visible(timeout=WAIT)


def test_takes_no_code_that_another_browser_fetched(page: Page, application: Application) -> None:
    """An unused answer to the attacker's own log-in, opened by somebody else, logs nobody in."""
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.goto(application.address)
    page.get_by_role("button", name="Enter").click()
    page.wait_for_url(f"{application.issuer}/oauth/login*")
    (authorize,) = [one for one in asked if "/oauth/authorize?" in one]
    with httpx.Client(base_url=application.issuer) as attacker:
        form = attacker.get(attacker.get(authorize).headers["location"])
        entered = attacker.post(
            "/oauth/login",
            data={
                **hidden_fields(form.text),
                "email": application.served.email,
                "password": application.served.password,
            },
        )
        answer = attacker.get(entered.headers["location"]).headers["location"]
    assert answer.startswith(f"{application.address}/oauth2callback?")
    browser = page.context.browser
    assert browser is not None
    victim = browser.new_context().new_page()
    victim.set_default_timeout(WAIT)
    victim.goto(answer)
    victim.goto(application.address)
    expect(victim.get_by_role("button", name="Enter")).to_be_visible(timeout=WAIT)
