"""The whole platform, started as a person starts it."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """API, worker, sink and console in their own processes, stopped at the end of the session."""
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
