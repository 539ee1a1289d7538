"""The whole platform, started as a person starts it."""

import contextlib
import email
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default as modern
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from playwright.sync_api import Browser

from scripts.n8n.api import Credential, N8nApi, N8nError
from scripts.n8n.server import Installation, N8nServer, pack_nodes
from tests.support.browser import Target, Visitor, chromium, screenshots, wait_until
from tests.support.login import person_token
from tests.support.sink import stored_copies

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


@dataclass(frozen=True)
class RunningPlatform:
    """Where a started platform is, and its demo client."""

    port_base: int
    data_dir: Path
    client_id: str
    client_secret: str
    admin_email: str
    admin_password: str

    @property
    def api_url(self) -> str:
        """Base of the HTTP API."""
        return f"http://127.0.0.1:{self.port_base}"

    @property
    def console_url(self) -> str:
        """Where people open the console."""
        return f"http://localhost:{self.port_base + 1}"

    @property
    def sink_dir(self) -> Path:
        """The folder of the local SMTP sink."""
        return self.data_dir / "sink"

    def token(self) -> str:
        """A fresh access token of the demo client."""
        answer = httpx.post(
            f"{self.api_url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(self.client_id, self.client_secret),
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def admin_token(self) -> str:
        """An access token of the first admin, who logs in as through the console."""
        kept = json.loads((self.data_dir / "console.json").read_text())
        # By the issuer's own name: cookies and the form's origin belong to it.
        issuer = f"http://localhost:{self.port_base}"
        with httpx.Client(base_url=issuer, timeout=60, trust_env=False) as http:
            return person_token(
                http,
                console_url=self.console_url,
                console_secret=kept["client_secret"],
                email=self.admin_email,
                password=self.admin_password,
            )


def free_port_base(count: int = 7) -> int:
    """The first of ``count`` free ports in a row, away from the ephemeral range.

    Looked for at random: what is free now is only taken when the platform is up, and two who
    searched upwards would both arrive at the same ports.
    """
    bases = range(18400, 28000, 10)
    for base in random.sample(bases, len(bases)):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    pytest.fail("no seven free ports in a row")


class Launcher:
    """``scripts/run`` without its installation step, its output in a file."""

    def __init__(self, *arguments: str) -> None:
        # No settings of the outer environment: they would win over the launcher's own.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("EMAIL_SENDER__")}
        # The n8n of the tests is on this machine, and speaks no TLS.
        clean["EMAIL_SENDER__WEBHOOKS__ALLOW_PRIVATE"] = "true"
        clean["EMAIL_SENDER__ORCHESTRATOR__ALLOW_PRIVATE_TARGETS"] = "true"
        self._file = Path(tempfile.mkstemp(prefix="launcher-", suffix=".log")[1])
        with self._file.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts", *arguments],
                cwd=ROOT,
                env=clean,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    @property
    def lines(self) -> list[str]:
        """What it has said so far."""
        return self._file.read_text().splitlines()

    def wait_for(self, wanted: str, seconds: float = 300) -> list[str]:
        """Wait for a line that contains ``wanted``; fails with the whole output when none comes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            if any(wanted in line for line in self.lines):
                return self.lines
            time.sleep(0.1)
        self.process.kill()
        self.process.wait()
        pytest.fail("\n".join(self.lines))

    def end(self, seconds: float = 400) -> int:
        """Its exit code; fails when it does not end."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail("\n".join(self.lines))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """API, worker, sink and console in their own processes.

    Not for a whole session: the thousands of tests that come after these would run beside them.
    """
    data = tmp_path_factory.mktemp("platform")
    base = free_port_base()
    launcher = Launcher("--port-base", str(base), "--data-dir", str(data))
    launcher.wait_for("==> Running")
    first = json.loads((data / "first-run.json").read_text())
    yield RunningPlatform(
        port_base=base,
        data_dir=data,
        client_id=first["client_id"],
        client_secret=first["client_secret"],
        admin_email=first["admin_email"],
        admin_password=first["admin_password"],
    )
    launcher.process.send_signal(signal.SIGTERM)
    assert launcher.end() == 0


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def n8n_folder(tmp_path_factory) -> Path:
    """Where n8n keeps everything."""
    folder: Path = tmp_path_factory.mktemp("n8n")
    return folder


@pytest.fixture
def stored(n8n_folder) -> Callable[[], bytes]:
    """What n8n has in its files, its database and the database's journal among them."""

    def read() -> bytes:
        files = [one for one in (n8n_folder / ".n8n").iterdir() if one.is_file()]
        return b"".join(one.read_bytes() for one in [*files, n8n_folder / "n8n.log"])

    return read


@pytest.fixture(scope="module")
def n8n_server(n8n_folder) -> Iterator[N8nServer]:
    """An n8n with our packed node in it."""
    try:
        installation = Installation.find()
    except N8nError as error:
        pytest.skip(str(error))
    server = N8nServer(
        n8n_folder,
        port=free_port(),
        broker_port=free_port(),
        package=pack_nodes(),
        installation=installation,
    )
    with server:
        yield server


@pytest.fixture(scope="module")
def n8n(n8n_server) -> Iterator[N8nApi]:
    """It, as its owner drives it."""
    with n8n_server.open_api() as api:
        yield api


@pytest.fixture
def api(platform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {platform.token()}"}
    with httpx.Client(base_url=platform.api_url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
def oauth2(n8n, platform) -> Credential:
    return n8n.create_oauth2_credential(
        platform.api_url, platform.client_id, platform.client_secret
    )


@pytest.fixture
def admin(platform: RunningPlatform) -> Iterator[httpx.Client]:
    """The first admin: may do what no workflow may."""
    headers = {"Authorization": f"Bearer {platform.admin_token()}"}
    with httpx.Client(
        base_url=platform.api_url, headers=headers, timeout=60, trust_env=False
    ) as client:
        yield client


Enter = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser(platform: RunningPlatform) -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def enter(browser: Browser, platform: RunningPlatform) -> Iterator[Enter]:
    """Open a browser of somebody's own, at ``night`` a phone's.

    When the test ends it must have had nothing to complain.
    """
    visitors: list[Visitor] = []

    def go(
        user: str = platform.admin_email,
        password: str = platform.admin_password,
        *,
        night: bool = False,
    ) -> Visitor:
        context = browser.new_context(
            color_scheme="dark" if night else "light",
            viewport={"width": 390, "height": 844} if night else {"width": 1280, "height": 900},
            is_mobile=night,
            has_touch=night,
        )
        target = Target(platform.console_url, user, password)
        scheme = "dark" if night else "light"
        visitors.append(Visitor(context.new_page(), target, screenshots(), scheme))
        return visitors[-1]

    yield go
    for visitor in visitors:
        visitor.page.context.close()
    assert [(one.target.user, one.complaints) for one in visitors if one.complaints] == []
    assert [(one.target.user, one.failed) for one in visitors if one.failed] == []
    assert [one.external for one in visitors if one.external] == []


def until(look: Callable[[], T | None], seconds: float = 300) -> T:
    """What there is to see, as soon as there is something."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def mail_to(platform: RunningPlatform, address: str) -> EmailMessage:
    """The newest message that the mail server took for an address."""

    def found() -> list[bytes]:
        to = f"X-Envelope-To: {address}".encode()
        return [one for one in stored_copies(platform.data_dir) if to in one]

    wait_until(lambda: bool(found()), f"mail to {address}")
    message = email.message_from_bytes(found()[-1], policy=modern)
    assert isinstance(message, EmailMessage)
    return message


def link_in(message: EmailMessage) -> str:
    """The first link in the text of a message, which a page beside it may say too."""
    text = message.get_body(("plain",))
    assert text is not None
    found = re.search(r"https?://\S+", text.get_content())
    assert found is not None
    return found[0]


def numbered(admin: httpx.Client, target: str) -> list[dict[str, Any]]:
    """The audit records of a target, oldest first, once the sequencer has numbered all of them."""
    deadline = time.monotonic() + 300
    while True:
        answer = admin.get("/api/v1/audit", params={"target": target}).raise_for_status()
        records: list[dict[str, Any]] = answer.json()["items"]
        if records and all(record["seq"] for record in records):
            return records[::-1]
        assert time.monotonic() < deadline, records
        time.sleep(0.2)
