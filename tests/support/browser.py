"""A person at a browser: Chromium, the console it opens, and everything it complains about."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise, product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from backend.core.clock import system_clock
from tests.dashboard.axe.find import script as axe_script
from tests.support.serving import Served

ROOT = Path(__file__).parents[2]
WAIT = 90_000
expect.set_options(timeout=WAIT)
_FADED_MILLISECONDS = 1000
# Opened at a page's own address, Streamlit looks for its server below that one first.
_PROBES = re.compile(r"/[a-z_]+/_stcore/(health|host-config)$")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, or skip the test and say how to get it.

    Not for a whole session: Playwright keeps an event loop running in this thread while it is up,
    and no coroutine of another module could be run beside it, nor the start of the platform.
    """
    program = os.environ.get("EMAIL_SENDER_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip(
            "Chromium is missing; get it with `apt-get install chromium`, or name one in"
            " EMAIL_SENDER_CHROMIUM"
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, headless=True, args=ARGUMENTS, timeout=WAIT
        )
        yield started
        started.close()


class Watch:
    """Stands before the served application: hears its callers and can keep them waiting."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self._held: dict[tuple[str, str], threading.Event] = {}

    def around(self, app: Any) -> Any:
        """Wrap the application."""

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                call = scope["method"], scope["path"]
                self.calls.append(call)
                scheme, _, token = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
                if scheme == b"Bearer":
                    self.tokens.add(token.decode())
                if call in self._held:
                    await asyncio.to_thread(self._held[call].wait, 60)
            await app(scope, receive, send)

        return watched

    def count(self, method: str, path: str) -> int:
        """How often a route was asked."""
        return self.calls.count((method, path))

    @contextmanager
    def holding(self, method: str, path: str) -> Iterator[None]:
        """Answer this route only after the block."""
        event = self._held[method, path] = threading.Event()
        try:
            yield
        finally:
            del self._held[method, path]
            event.set()


class MovedClock:
    """The time, moved by so many seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return system_clock() + timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class Inside:
    """A platform that these tests serve themselves."""

    served: Served
    watch: Watch
    clock: MovedClock

    def get(self, path: str, **query: Any) -> Any:
        """What the platform tells the person who is logged in."""
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: Any = None) -> Any:
        """What the platform answers when that person does something elsewhere."""
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.served.token()}"}
        url = f"{self.served.base_url}/api/v1/{path}"
        return httpx.request(method, url, headers=headers, **options).raise_for_status().json()


@dataclass
class Target:
    """A console to drive, and who to be there; ``platform`` only when these tests serve it."""

    url: str
    user: str
    password: str
    platform: Inside | None = None

    def inside(self) -> Inside:
        """The platform's inside, or a skip."""
        if self.platform is None:
            pytest.skip("needs a platform of its own: unset EMAIL_SENDER_TEST_CONSOLE_URL")
        return self.platform


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until(answers: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 180
    while not answers():
        assert time.monotonic() < deadline, f"{what} did not come up"
        time.sleep(0.1)  # another process's start: there is no clock to pass


@contextmanager
def console(served: Served, folder: Path, port: int) -> Iterator[None]:
    """A console process for the platform."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "EMAIL_SENDER_CONSOLE__API_URL": served.base_url,
        "EMAIL_SENDER_CONSOLE__ISSUER_URL": served.base_url.replace("127.0.0.1", "localhost"),
        "EMAIL_SENDER_CONSOLE__CLIENT_SECRET": served.console_secret,
    }
    command = ["-m", "dashboard.launch", "--port", str(port), "--data-dir", str(folder)]
    with (folder / "console.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:

        def healthy() -> bool:
            assert process.poll() is None, (folder / "console.log").read_text()
            try:
                return httpx.get(f"http://127.0.0.1:{port}/_stcore/health").text == "ok"
            except httpx.TransportError:
                return False

        wait_until(healthy, "the console")
        yield
    finally:
        process.terminate()
        process.wait(60)


def screenshots() -> Path | None:
    """The folder that ``EMAIL_SENDER_SCREENSHOTS`` names, made; None: nobody wants any."""
    named = os.environ.get("EMAIL_SENDER_SCREENSHOTS")
    if not named:
        return None
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class Visitor:
    """A person at a browser, and everything the browser complained about."""

    page: Page
    target: Target
    shots: Path | None
    scheme: str = "light"
    complaints: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    external: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._watch)
        self.page.on("requestfailed", self._note_blocked)
        self.page.on("response", self._note_failed)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _PROBES.search(message.location["url"]):
            self.complaints.append(message.text)

    def _watch(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws"} and parts.hostname not in {
            "localhost",
            "127.0.0.1",
        }:
            self.external.append(request.url)

    def _note_blocked(self, request: Request) -> None:
        if request.failure == "csp":
            self.blocked.append(request.url)

    def _note_failed(self, response: Response) -> None:
        if response.status >= 400 and not _PROBES.search(response.url):
            self.failed.append(f"{response.status} {urlsplit(response.url).path}")

    def log_in(self) -> Visitor:
        """Go through the provider's login page."""
        self.page.goto(self.target.url)
        self.page.get_by_role("button", name="Log in").click()
        self.give_password()
        expect(self.page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        return self

    def give_password(self) -> None:
        self.page.get_by_label("E-mail").fill(self.target.user)
        self.page.get_by_label("Password").fill(self.target.password)
        self.page.get_by_role("button", name="Log in").click()

    def open(self, name: str) -> None:
        """Go to a page by the sidebar."""
        self.page.get_by_role("link", name=name, exact=True).click()
        self.expect_page(name)

    def expect_page(self, name: str) -> None:
        """Wait until the page is there, whole, without a problem, and with its tenant."""
        # Exact: on the way from *API keys* to *Keys* the one before is seen for a moment.
        heading = self.page.get_by_role("heading", name=name, level=1, exact=True)
        expect(heading).to_be_visible()
        expect(self.page).to_have_url(re.compile(r"[?&]tenant=[a-z0-9-]+"))
        self.settle()
        self.expect_no_problem()

    def expect_no_problem(self) -> None:
        """Nothing on show was refused, and nothing failed while it was drawn."""
        failed = ".es-problem, [data-testid=stException], [data-testid=stAlertContentError]"
        expect(self.page.locator(failed)).to_have_count(0)

    def settle(self) -> None:
        """Wait until the page is drawn: no script runs and no chart is still loading."""
        script = self.page.get_by_test_id("stApp")
        if urlsplit(self.page.url).netloc == urlsplit(self.target.url).netloc:
            expect(script).to_have_attribute("data-test-script-state", "notRunning")
        expect(self.page.get_by_test_id("stSkeleton")).to_have_count(0)
        # Not wait_for_function: it polls by eval, which the console's policy forbids.
        drawn = (
            "document.fonts.status === 'loaded' && "
            "[...document.querySelectorAll('[data-testid=stPlotlyChart]')]"
            ".every(chart => chart.querySelector('.main-svg'))"
        )
        wait_until(lambda: bool(self.page.evaluate(drawn)), "the page's charts")

    def picture(self, name: str) -> None:
        """Keep a screenshot at two widths, if any are kept."""
        if self.shots is None:
            return
        for width in (1280, 1680):
            self.page.set_viewport_size({"width": width, "height": 900})
            self.settle()
            self.shoot(f"{name}-{self.scheme}-{width}")
        self.page.set_viewport_size({"width": 1280, "height": 900})

    def shoot(self, name: str) -> None:
        """Keep a screenshot as it is, if any are kept.

        They are for people: drawing them in software takes long, and where nobody asked for them
        nobody looks.
        """
        if self.shots is not None:
            self.page.screenshot(path=self.shots / f"{name}.png")

    def survey(
        self, name: str, *, refused: bool = False, widths: tuple[int, ...] = (1280, 390)
    ) -> None:
        """Look at what is on show in light and dark, on a desk and on a phone; keep the pictures.

        Nothing serious may be found by axe-core, and nothing may be wider than the screen; nor may
        a problem be on show, but where something was to be ``refused``. What the dark has of its
        own is its colors, of which only the first width is asked.
        """
        scheme = self.scheme
        for self.scheme, width in product(("light", "dark"), widths):
            colors = self.scheme == "dark"
            if colors and width != widths[0] and self.shots is None:
                continue
            self.page.emulate_media(color_scheme="dark" if self.scheme == "dark" else "light")
            self.page.set_viewport_size({"width": width, "height": 900})
            self.check_accessibility(f"{name}, {width} wide", refused=refused, colors=colors)
            wide = "document.documentElement.scrollWidth > window.innerWidth"
            assert not self.page.evaluate(wide), f"{name} is wider than {width}"
            if self.shots is None:
                continue
            # The console scrolls inside: a picture of all of it takes a window as high.
            tall = "(document.querySelector('[data-testid=stMain]') || document.body).scrollHeight"
            height = min(max(900, int(self.page.evaluate(tall))), 6000)
            self.page.set_viewport_size({"width": width, "height": height})
            self.settle()
            self.shoot(f"{name}-{self.scheme}-{width}")
        self.scheme = scheme
        self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.settle()

    def check_accessibility(
        self, where: str, *, refused: bool = False, colors: bool = False
    ) -> None:
        """Run axe-core, all of it or what it says of colors; nothing serious may be found.

        A colour on its way to another, as a button's when a page comes to be, is no finding: what
        axe finds has to be there a moment later as well.
        """
        self.settle()
        if not refused:
            self.expect_no_problem()
        self.page.evaluate(axe_script() + ";0")
        found = self._found_by_axe(colors=colors)
        if found:
            self.page.wait_for_timeout(_FADED_MILLISECONDS)
            self.settle()
            again = self._found_by_axe(colors=colors)
            found = [one for one in again if one in found]
        assert found == [], f"{where} ({self.scheme}): {found}"

    def _found_by_axe(self, *, colors: bool) -> list[str]:
        only = ", runOnly: ['color-contrast']" if colors else ""
        found: list[str] = self.page.evaluate(
            f"axe.run(document, {{resultTypes: ['violations']{only}}})"
            ".then(result => result.violations"
            ".filter(v => v.impact === 'serious' || v.impact === 'critical')"
            ".flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 120))))"
        )
        return found

    def check_headings(self, where: str) -> None:
        """One first-level heading, and no level left out."""
        levels = self.page.eval_on_selector_all(
            "h1,h2,h3,h4,h5,h6", "all => all.map(h => Number(h.tagName[1]))"
        )
        assert levels.count(1) == 1, where
        assert all(after - before <= 1 for before, after in pairwise(levels)), where
