"""Runs a real n8n without a browser: one server process with our packed node in it.

`scripts/run` shows it to people, `tests/e2e/test_n8n.py` holds the node package to its word with
it. `scripts/n8n/install.sh` makes the installation, `scripts/n8n/pack.sh` the package it loads.
"""

import contextlib
import dataclasses
import json
import os
import platform
import queue
import secrets
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from backend.kit.parent import die_with_parent
from scripts.n8n.api import PACKAGE, N8nApi, N8nError

OWNER_EMAIL = "owner@example.test"

_ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 180.0
_STOP_SECONDS = 20.0
# Settings of another n8n, and secrets of Email Sender, have no business in this one.
_FOREIGN_SETTINGS = ("N8N_", "DB_", "EXECUTIONS_", "QUEUE_", "WEBHOOK_", "EMAIL_SENDER")


@dataclasses.dataclass(frozen=True)
class Installation:
    """Where n8n and its own Node are."""

    node: Path
    app: Path

    @classmethod
    def find(cls) -> Self:
        """Find what `scripts/n8n/install.sh` made; installs nothing.

        Raises:
            N8nError: nothing complete is there; the message names the command that makes it.
        """
        check = subprocess.run(
            [str(_ROOT / "scripts/n8n/install.sh"), "--check"],
            capture_output=True,
            text=True,
            check=False,
        )
        if check.returncode != 0:
            raise N8nError(check.stderr.strip().removeprefix("error: "))
        home = Path(check.stdout.strip())
        machine = "arm64" if platform.machine() == "aarch64" else "x64"
        return cls(
            node=home / f"node24/node_modules/node-linux-{machine}/bin/node",
            app=home / "app/node_modules",
        )

    def hash_password(self, password: str) -> str:
        """Hash as n8n does, with n8n's own bcrypt; the password never shows in a process list."""
        script = (
            "const {hashSync} = require('bcryptjs');"
            "process.stdout.write(hashSync(require('fs').readFileSync(0, 'utf8'), 10))"
        )
        return subprocess.run(
            [str(self.node), "-e", script],
            cwd=self.app.parent,
            input=password,
            capture_output=True,
            text=True,
            check=True,
        ).stdout


def pack_nodes() -> Path:
    """Build and pack the node package if its sources changed; returns the tarball.

    Raises:
        N8nError: the tools are missing or the build fails.
    """
    packed = subprocess.run(
        [str(_ROOT / "scripts/n8n/pack.sh")], capture_output=True, text=True, check=False
    )
    if packed.returncode != 0:
        raise N8nError(f"the n8n node could not be packed: {packed.stderr.strip()[-2000:]}")
    return Path(packed.stdout.strip())


@dataclasses.dataclass(frozen=True)
class _Secrets:
    """What one data folder needs to stay usable; made once, kept in a file only its owner reads."""

    encryption_key: str
    password: str
    password_hash: str

    @classmethod
    def load(cls, file: Path, installation: Installation) -> Self:
        if file.exists():
            return cls(**json.loads(file.read_text()))
        # n8n asks for a capital letter and a digit.
        password = f"E1-{secrets.token_urlsafe(18)}"
        made = cls(secrets.token_hex(24), password, installation.hash_password(password))
        # Written aside and renamed: a half-written file would lock the owner out for good.
        draft = file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(dataclasses.asdict(made), stream)
        draft.rename(file)
        return made


class N8nServer:
    """One n8n on 127.0.0.1 with the node package loaded as a real installation loads it.

    The folder keeps its database, log and secrets; a later start on it continues where it was. The
    server ends with the process that started it, even if that process is killed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        broker_port: int,
        package: Path,
        installation: Installation | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            folder: made if missing.
            port: of the editor, the API and the webhooks.
            broker_port: of the task broker; every n8n of a machine needs one of its own.
            package: the tarball that `pack_nodes` returned.
            installation: default `Installation.find()`.
            settings: more environment variables of n8n.
        """
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.log_file = folder / "n8n.log"
        self._ports = (port, broker_port)
        self._package = package
        self._settings = dict(settings or {})
        self._installation = installation or Installation.find()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._secrets = _Secrets.load(folder / "secrets.json", self._installation)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    @property
    def owner_email(self) -> str:
        """Who may log in to the editor."""
        return OWNER_EMAIL

    @property
    def owner_password(self) -> str:
        """The owner's password: random, and the same for the life of the folder."""
        return self._secrets.password

    @property
    def pid(self) -> int | None:
        """The server's process while it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and running else None

    def start(self) -> None:
        """Start, and return once n8n answers requests (7-20 s).

        Raises:
            N8nError: a port is taken, n8n ends or is not ready in 180 s; with the end of its log.
        """
        if self.pid is not None:
            raise N8nError("this n8n is running already")
        for port in self._ports:
            _require_free(port)
        self._load_package()
        self._process = self._spawn()
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask n8n to end, insist after 20 s; harmless when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        # Its task runner shares its session, and outlives it only if it was killed.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # Not earlier: when the holding thread ends, n8n gets a second SIGTERM, which hurries it.
        self._stopped.set()

    def open_api(self) -> N8nApi:
        """Log in as the owner; the caller closes what it gets."""
        api = N8nApi(self.url)
        try:
            api.login(self.owner_email, self.owner_password)
            api.make_api_key()
        except BaseException:
            api.close()
            raise
        return api

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self) -> subprocess.Popen[bytes]:
        outcome: queue.SimpleQueue[subprocess.Popen[bytes] | OSError] = queue.SimpleQueue()
        self._stopped = stopped = threading.Event()

        def hold() -> None:
            try:
                with self.log_file.open("ab") as log:
                    process = subprocess.Popen(
                        [
                            str(self._installation.node),
                            str(self._installation.app / "n8n/bin/n8n"),
                            "start",
                        ],
                        env=self._environment(),
                        cwd=self.folder,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        # Ctrl-C in the terminal is for us, who then stop n8n in order.
                        start_new_session=True,
                        # Python has no other way to ask the kernel for this; the function takes
                        # no lock.
                        preexec_fn=die_with_parent(),  # noqa: PLW1509
                    )
            except OSError as error:
                outcome.put(error)
                return
            outcome.put(process)
            stopped.wait()

        # To Linux the parent is the thread that forks: n8n would be ended with whatever pool thread
        # happened to call start(). This thread lives as long as n8n, or as long as our process.
        threading.Thread(target=hold, name="n8n", daemon=True).start()
        process = outcome.get()
        if isinstance(process, OSError):
            raise N8nError(f"n8n could not be started: {process}") from process
        return process

    def _load_package(self) -> None:
        # The place and the loader of a real community package; only a restart makes n8n look.
        target = self.folder / ".n8n/nodes/node_modules" / PACKAGE
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{PACKAGE}.new")
        shutil.rmtree(draft, ignore_errors=True)
        with tarfile.open(self._package) as tarball:
            tarball.extractall(draft, filter="data")
        (draft / "package").rename(target)
        draft.rmdir()

    def _environment(self) -> dict[str, str]:
        port, broker_port = self._ports
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_FOREIGN_SETTINGS)
        }
        # A proxy cannot reach this machine's loopback.
        direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        off = dict.fromkeys(
            (
                "N8N_DIAGNOSTICS_ENABLED",
                "N8N_VERSION_NOTIFICATIONS_ENABLED",
                "N8N_VERSION_NOTIFICATIONS_WHATS_NEW_ENABLED",
                "N8N_TEMPLATES_ENABLED",
                "N8N_PERSONALIZATION_ENABLED",
                "N8N_HIRING_BANNER_ENABLED",
                "N8N_DYNAMIC_BANNERS_ENABLED",
                "N8N_LICENSE_AUTO_RENEW_ENABLED",
                "N8N_VERIFIED_PACKAGES_ENABLED",
                "N8N_SECURE_COOKIE",
                # Publishing then takes effect before it is answered.
                "N8N_USE_WORKFLOW_PUBLICATION_SERVICE",
            ),
            "false",
        )
        return {
            **inherited,
            **direct,
            **off,
            "PATH": f"{self._installation.node.parent}:{os.environ.get('PATH', '')}",
            "N8N_USER_FOLDER": str(self.folder),
            "N8N_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_HOST": "127.0.0.1",
            "N8N_PROTOCOL": "http",
            "N8N_PORT": str(port),
            "N8N_RUNNERS_BROKER_PORT": str(broker_port),
            "N8N_EDITOR_BASE_URL": f"{self.url}/",
            "N8N_WEBHOOK_URL": f"{self.url}/",
            "N8N_ENCRYPTION_KEY": self._secrets.encryption_key,
            "N8N_INSTANCE_OWNER_MANAGED_BY_ENV": "true",
            "N8N_INSTANCE_OWNER_EMAIL": OWNER_EMAIL,
            "N8N_INSTANCE_OWNER_FIRST_NAME": "Email",
            "N8N_INSTANCE_OWNER_LAST_NAME": "Sender",
            "N8N_INSTANCE_OWNER_PASSWORD_HASH": self._secrets.password_hash,
            # These modules call home at every start.
            "N8N_DISABLED_MODULES": "mcp-registry,instance-ai,agents,chat-hub,mcp",
            "N8N_UNVERIFIED_PACKAGES_ENABLED": "true",
            "EXTERNAL_FRONTEND_HOOKS_URLS": "",
            "N8N_METRICS": "true",
            "GENERIC_TIMEZONE": "UTC",
            "N8N_LOG_LEVEL": "info",
            "N8N_LOG_OUTPUT": "console",
            **self._settings,
        }

    def _wait_until_ready(self) -> None:
        process = self._process
        deadline = time.monotonic() + _READY_SECONDS
        with httpx.Client(trust_env=False, timeout=5) as client:
            while process is not None and process.poll() is None:
                # Not /healthz: it answers seconds before the routes are there.
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"{self.url}/healthz/readiness").is_success:
                        return
                if time.monotonic() > deadline:
                    raise N8nError(f"n8n is not ready after 180 s\n{self._end_of_log()}")
                time.sleep(0.2)
        raise N8nError(f"n8n ended while starting\n{self._end_of_log()}")

    def _end_of_log(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()[-20:]
        return "\n".join([f"The end of {self.log_file}:", *lines])


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise N8nError(f"n8n needs port {port} of 127.0.0.1: {error.strerror}") from error
