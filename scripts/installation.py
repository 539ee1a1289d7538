"""One installation of our own: real processes on free ports, everything else in one folder.

Benchmarks measure it and drills break it; both know it from outside only. Nothing of it outlives
the process that made it, however that ends.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import httpx

from backend.kit.parent import die_with_parent
from backend.managers.security import SecuritySettings, load_root_keys, sink_key

ROOT: Final = Path(__file__).resolve().parents[1]
HOST: Final = "127.0.0.1"
_PREFIX: Final = "EMAIL_SENDER__"
# A machine that others use as well takes its time to start a program.
_COMMAND_SECONDS: Final = 600.0
_STOP_SECONDS: Final = 30.0
PYTHON: Final = (sys.executable, "-m")
"""What a module is started by: this interpreter, or for example one in a container."""
# Below the range from which systems number outgoing connections: a port that is given up while its
# process is dead must not be taken by somebody's connection.
_PORTS: Final = range(28_100, 32_700)


class InstallationError(Exception):
    """It could not be made or used; one line for people."""


def free_ports(count: int) -> list[int]:
    """So many ports of 127.0.0.1 on which nothing listens this moment.

    Raises:
        InstallationError: There are not as many.
    """
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(_PORTS, len(_PORTS)):
            probe = stack.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise InstallationError("no free ports")


def accepts(port: int) -> bool:
    """Whether somebody listens on this port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def spawn(
    module: str,
    arguments: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    by: Sequence[str] = PYTHON,
) -> subprocess.Popen[bytes]:
    """Start ``python -m module``, or with an empty ``by`` a program, its output in ``log``.

    It is killed when the thread that called ends: call from one that lasts.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [*by, module, *arguments],
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A Ctrl-C is ours to pass on, in order.
            start_new_session=True,
            # Python has no other way to ask the kernel for this; the function takes no lock.
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, insist after 30 s; gone already is fine."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_module(
    module: str, arguments: Sequence[str], env: Mapping[str, str], by: Sequence[str] = PYTHON
) -> str:
    """Run ``python -m module`` to its end and return what it printed.

    Raises:
        InstallationError: It failed, or took more than ten minutes.
    """
    what = " ".join([module, *arguments[:1]])
    try:
        done = subprocess.run(
            [*by, module, *arguments],
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
    except subprocess.TimeoutExpired:
        raise InstallationError(f"{what} took more than {_COMMAND_SECONDS:g} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["(nothing)"]
        raise InstallationError(f"{what} failed: {said[-1]}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Client:
    """What the demo tenant's client logs in with."""

    client_id: str
    client_secret: str


class Installation:
    """API, worker and mail sink, each started when asked for and stopped with the block.

    The default is the embedded shape, configured as shipped: SQLite in the data folder.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str], by: Sequence[str] = PYTHON
    ) -> None:
        """Choose ports; nothing is made yet.

        Args:
            folder: Made if missing; holds the data and the logs.
            settings: Environment variables without their prefix; these win over ours.
            by: What its commands and processes are started by.
        """
        self._by = tuple(by)
        data = folder.resolve() / "data"
        self.sink_folder = data / "sink"
        self.database_url = settings.get("DATABASE__URL", f"sqlite:///{data / 'email-sender.db'}")
        self.logs = folder / "logs"
        self.api_port, self.sink_port, self._worker_port = free_ports(3)
        self.url = f"http://{HOST}:{self.api_port}"
        wanted = {
            "DATA_DIR": str(data),
            "HTTP__PORT": str(self.api_port),
            "IDENTITY__ISSUER": f"http://localhost:{self.api_port}",
            "EMAIL__SMTP_URL": f"smtp://{HOST}:{self.sink_port}",
            "EMAIL__SINK_DIRECTORY": str(self.sink_folder),
            "TELEMETRY__WORKER_METRICS_PORT": str(self._worker_port),
            **settings,
        }
        # An operator's own settings must not leak in, least of all the address of a database.
        outer = {key: value for key, value in os.environ.items() if not key.startswith(_PREFIX)}
        self.env = outer | {_PREFIX + key: value for key, value in wanted.items()}
        self.client = Client("", "")
        self.tenant_id = ""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # Loopback: no proxy of the environment may come between.
        self._http = httpx.Client(timeout=2, trust_env=False)

    def __enter__(self) -> Self:
        self.make()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def make(self) -> None:
        """Make the database and the demo tenant; nothing runs yet.

        Raises:
            InstallationError: A command failed.
        """
        self.logs.mkdir(parents=True)
        self.command("migrate")
        made = json.loads(self.command("bootstrap"))
        self.client = Client(made["client_id"], made["client_secret"])
        self.tenant_id = made["tenant_id"]

    @property
    def sink_key(self) -> bytes:
        """What opens the copies of the mail sink, once the installation is made."""
        return sink_key(load_root_keys(SecuritySettings(), self.root_key_file))

    @property
    def root_key_file(self) -> Path:
        """Where the root key lies, for a process of ours that is none of the installation's."""
        return self.sink_folder.parent / "root.key"

    def close(self) -> None:
        """Stop what runs."""
        # Last started first: a worker can still reach the sink while it ends.
        for name in reversed(list(self._processes)):
            stop(self._processes.pop(name))
        self._http.close()

    def command(self, *arguments: str) -> str:
        """Run one command of the command line to its end; its standard output.

        Raises:
            InstallationError: It failed.
        """
        return run_module("backend", arguments, self.env, self._by)

    def start(self, name: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start ``api``, ``worker`` or ``sink``; :meth:`serves` tells when it can be used.

        A further worker is ``worker-2`` and so on; none of them may then have a port for metrics.
        ``env`` is what this process alone finds in its environment.
        """
        arguments = {
            "api": ["serve"],
            "worker": ["worker"],
            "sink": ["sink", "--port", str(self.sink_port)],
        }[name.partition("-")[0]]
        log = self.logs / f"{name}.log"
        process = spawn("backend", arguments, self.env | dict(env or {}), log, self._by)
        self._processes[name] = process
        return process

    def end(self, name: str) -> None:
        """Stop a process in order; gone already, or never started, is fine."""
        process = self.take(name)
        if process is not None:
            stop(process)

    def take(self, name: str) -> subprocess.Popen[bytes] | None:
        """Give up a process to the caller, who ends it; None when there is none of this name."""
        return self._processes.pop(name, None)

    def running(self, name: str) -> subprocess.Popen[bytes] | None:
        """The process of this name, still ours to stop; None when there is none that runs."""
        process = self._processes.get(name)
        return process if process is not None and process.poll() is None else None

    def serves(self, name: str) -> bool:
        """Whether the process answers: the API with its database, the worker with its metrics."""
        if name == "sink":
            return accepts(self.sink_port)
        worker = f"http://{HOST}:{self._worker_port}/metrics"
        with contextlib.suppress(httpx.HTTPError):
            answer = self._http.get(worker if name == "worker" else f"{self.url}/readyz")
            return answer.status_code == httpx.codes.OK
        return False

    def token(self) -> str:
        """A fresh access token of the demo client.

        Raises:
            InstallationError: The API does not give one.
        """
        answer = self._http.post(
            f"{self.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(self.client.client_id, self.client.client_secret),
            timeout=30,
        )
        if answer.status_code != httpx.codes.OK:
            raise InstallationError(f"no token: {answer.status_code} {answer.text[:200]}")
        return str(answer.json()["access_token"])
