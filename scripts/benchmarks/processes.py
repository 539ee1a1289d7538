"""Starts the real processes of an installation in a folder of its own and stops what it started."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import httpx

from backend.core.clock import monotonic
from scripts.benchmarks.measure import BenchmarkError

ROOT: Final = Path(__file__).resolve().parents[2]
HOST: Final = "127.0.0.1"
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1
_COMMAND_SECONDS: Final = 120.0
_PREFIX: Final = "EMAIL_SENDER__"

# The limiter stays in the way of every request and decides on each; it only never says no.
_GENEROUS: Final = {
    f"GATEWAY__{level}_{what}": str(value)
    for level in ("COARSE", "TENANT", "CLIENT", "INTROSPECT", "EMAIL", "OTHER")
    for what, value in (("REQUESTS_PER_SECOND", 1_000_000), ("BURST_REQUESTS", 10_000_000))
}


def free_port() -> int:
    """A port nobody listens on this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until(
    ready: Callable[[], bool],
    what: str,
    seconds: float = _READY_SECONDS,
    *,
    every: float = _POLL_SECONDS,
) -> None:
    """Poll ``ready`` each ``every`` seconds, for ``seconds`` at most.

    Raises:
        BenchmarkError: It never was; names ``what``.
    """
    deadline = monotonic() + seconds
    while not ready():
        if monotonic() > deadline:
            raise BenchmarkError(f"{what} did not happen within {seconds:g} s")
        time.sleep(every)


@contextlib.contextmanager
def started(
    module: str, arguments: Sequence[str], env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m module`` while the block lasts, its output in ``log``."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A Ctrl-C is ours to pass on, in order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_module(module: str, arguments: Sequence[str], env: Mapping[str, str]) -> str:
    """Run ``python -m module`` to its end and return what it printed.

    Raises:
        BenchmarkError: It failed, or took more than two minutes.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=dict(env),
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{module} took more than {_COMMAND_SECONDS:g} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["(nothing)"]
        raise BenchmarkError(f"{module} failed: {said[-1]}")
    return done.stdout


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of our own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="email-sender-bench-") as name:
        yield Path(name)


@dataclass(frozen=True, slots=True)
class Client:
    """What the demo tenant's client logs in with."""

    client_id: str
    client_secret: str


class Installation:
    """One installation on free ports of 127.0.0.1, configured as shipped but for the limits.

    The default is the embedded shape: SQLite in the data folder. ``start_*`` return when the
    process serves; all of them end with the block.
    """

    def __init__(self, folder: Path, *, database_url: str = "", owner_url: str = "") -> None:
        self.folder = folder
        self.api_port, self.sink_port = free_port(), free_port()
        self.worker_port = free_port()
        self.sink_directory = folder / "sink"
        wanted = {
            **_GENEROUS,
            "DATA_DIR": str(folder),
            "HTTP__PORT": str(self.api_port),
            "GATEWAY__ISSUER": f"http://localhost:{self.api_port}",
            "EMAIL__SMTP_URL": f"smtp://{HOST}:{self.sink_port}",
            "EMAIL__SINK_DIRECTORY": str(self.sink_directory),
            "TELEMETRY__WORKER_METRICS_PORT": str(self.worker_port),
        }
        if database_url:
            wanted |= {"DATABASE__URL": database_url, "DATABASE__OWNER_URL": owner_url}
        self.database_url = database_url or f"sqlite:///{folder.resolve() / 'email-sender.db'}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_PREFIX)}
        self.env = {**inherited, **{_PREFIX + key: value for key, value in wanted.items()}}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        run_module("backend", ["migrate"], self.env)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def bootstrap(self) -> Client:
        """The first admin and the demo tenant, as ``scripts/run`` makes them."""
        made = json.loads(run_module("backend", ["bootstrap"], self.env))
        return Client(made["client_id"], made["client_secret"])

    def start_api(self) -> None:
        """The API process, access log and all."""
        self._start("serve")
        self._wait_http("the API", f"http://{HOST}:{self.api_port}/livez")

    def start_worker(self) -> None:
        """The worker process."""
        self._start("worker")
        self._wait_http("the worker", f"http://{HOST}:{self.worker_port}/metrics")

    def start_sink(self) -> None:
        """The SMTP sink."""
        self._start("sink", "--port", str(self.sink_port))
        wait_until(lambda: accepts(self.sink_port), "the sink's listening")

    def token(self, client: Client) -> str:
        """A fresh access token by client credentials."""
        answer = httpx.post(
            f"http://{HOST}:{self.api_port}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client.client_id, client.client_secret),
        )
        if answer.status_code != httpx.codes.OK:
            raise BenchmarkError(f"no token: {answer.status_code} {answer.text[:200]}")
        return str(answer.json()["access_token"])

    def _start(self, command: str, *arguments: str) -> None:
        log = self.folder / f"{command}.log"
        self._stack.enter_context(started("backend", [command, *arguments], self.env, log))

    def _wait_http(self, what: str, url: str) -> None:
        with httpx.Client(timeout=2) as http:

            def ready() -> bool:
                with contextlib.suppress(httpx.HTTPError):
                    return http.get(url).status_code == httpx.codes.OK
                return False

            wait_until(ready, f"{what} answering")


def accepts(port: int) -> bool:
    """Whether somebody listens on this port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
