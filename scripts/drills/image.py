"""The drill on the image: the main job goes through it, and its processes end in order.

The image is built here, of Debian's packages and the project's own locks, and nobody else's storage
is touched.
"""

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import yaml

from backend.sink import read_copies
from scripts.drills.rig import DrillError, Where
from scripts.installation import HOST, ROOT, Installation, free_ports, spawn, stop
from scripts.launcher import MainJob
from tests.support.compose import FILE

_IMAGE: Final = "email-sender:drill"
_USER: Final = 10001
_SMTP_URL: Final = "EMAIL_SENDER__EMAIL__SMTP_URL"
_SINK: Final = "sink"
"""The mail sink's host, as docker-compose.yml names it."""
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - what is made in it has a name of its own
_ROOM: Final = 8 * 2**30
_BUILD_SECONDS: Final = 1500.0
_SERVES_SECONDS: Final = 180.0
_GRACE_SECONDS: Final = 30.0
"""What docker-compose.yml leaves a process to end in."""
_REMOVED_SECONDS: Final = 300.0
"""After a process has ended, its container's own copy of the image is removed, file by file."""


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What an image is and does.

    Attributes:
        mebibytes: Its size, unpacked.
        user: As whom its processes run.
        milliseconds: From the message's becoming durable to the mail server's answer.
        copies: Of the message, at the mail server.
        healthy: What Docker's check of the API's health says.
        kept: Whether a new process finds the message again.
        statuses: With what each process ended, asked to.
        end_seconds: How long each took for that.
    """

    mebibytes: int
    user: str
    milliseconds: float
    copies: int
    healthy: bool
    kept: bool
    statuses: Mapping[str, int]
    end_seconds: Mapping[str, float]

    def __str__(self) -> str:
        return (
            f"{self.mebibytes} MiB, as {self.user}; a message accepted after "
            f"{self.milliseconds:g} ms; ended with {dict(self.statuses)} "
            f"after {dict(self.end_seconds)} s"
        )

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = []
        if self.user != f"{_USER}:{_USER}":
            found.append(f"its processes run as {self.user or 'root'}")
        if self.copies != 1:
            found.append(f"{self.copies} copies of the message")
        if not self.healthy:
            found.append("the API serves, and its health check fails")
        if not self.kept:
            found.append("a new API does not know the message")
        if ended := {name: status for name, status in self.statuses.items() if status}:
            found.append(f"asked to end, they ended with {ended}")
        for name, seconds in self.end_seconds.items():
            if seconds > _GRACE_SECONDS:
                found.append(f"{name} took {seconds:g} s to end: Compose kills it before")
        return found


async def run_image(where: Where, _: random.Random, folder: Path) -> ImageReport:
    """Build it, and send a message through API, worker, console and sink that run in it.

    Raises:
        DrillError: It cannot be built, or does not serve.
    """
    with _store() as store:
        await asyncio.to_thread(_build, store)
        # Started from here and not from a thread: they would end with it.
        return await _use(Podman(store, folder), where, folder)


class Podman:
    """The engine, with images and containers of its own.

    Attributes:
        by: What runs a module of the image, on this machine's network, with the drill's folder.
    """

    def __init__(self, store: Path, folder: Path) -> None:
        self._engine = (
            *("podman", "--root", f"{store}/root", "--runroot", f"{store}/run"),
            # What runs inside of a container itself needs all of these.
            *("--storage-driver", "vfs", "--cgroup-manager=cgroupfs", "--runtime", "runc"),
        )
        self.by = (
            *(*self._engine, "run", "--rm", "--network=host", "--no-healthcheck"),
            *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
            *("--env", "EMAIL_SENDER_*", "--volume", f"{folder}:{folder}"),
            *("--add-host", f"{_SINK}:{HOST}"),
            *("--read-only", "--tmpfs", "/tmp", "--cap-drop=all"),  # noqa: S108 - the container's
            *("--entrypoint", "python", _IMAGE, "-m"),
        )

    def ask(self, *arguments: str) -> str:
        """Run a command of the engine; what it printed.

        Raises:
            DrillError: It failed.
        """
        command = [*self._engine, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise DrillError(f"podman {arguments[0]}: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    def of_image(self, field: str) -> str:
        """What the image's description says in a field, by Go's template language."""
        return self.ask("image", "inspect", "--format", f"{{{{{field}}}}}", _IMAGE)

    def container(self, command: str) -> str:
        """The id of the container that runs ``command``."""
        listed = self.ask("ps", "--no-trunc", "--format", "{{.ID}} {{.Command}}").splitlines()
        (found,) = (one.split()[0] for one in listed if one.split()[-1].strip("]") == command)
        return found

    def process(self, command: str) -> Path:
        """Where this machine's kernel tells of the process that runs ``command``, while it runs."""
        number = self.ask("inspect", "--format", "{{.State.Pid}}", self.container(command))
        return Path("/proc", number)

    def is_healthy(self, command: str) -> bool:
        """Whether the image's health check passes in the container that runs ``command``."""
        container = self.container(command)
        kind, *test = json.loads(self.of_image("json .HealthCheck.Test"))
        if kind != "CMD":
            raise DrillError(f"a health check of another kind: {kind}")
        try:
            self.ask("exec", container, *test)
        except DrillError:
            return False
        return True


@contextmanager
def _store() -> Iterator[Path]:
    # Not the drill's folder: it is removed as the drill ends, and containers must be gone before.
    # In memory where there is room: each container has a copy of all the image's files.
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    store = Path(tempfile.mkdtemp(prefix="email-sender-image-", dir=_MEMORY if roomy else None))
    try:
        yield store
    finally:
        with suppress(DrillError):
            Podman(store, store).ask("rm", "--force", "--all", "--time", "5")
        shutil.rmtree(store, ignore_errors=True)


def _build(store: Path) -> None:
    command = [str(ROOT / "scripts/image"), "--debian", "--tag", _IMAGE, "--store", str(store)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-5:]
        raise DrillError(f"the image cannot be built: {' / '.join(said)}")


async def _use(podman: Podman, where: Where, folder: Path) -> ImageReport:
    data = folder / "data"
    data.mkdir(parents=True)
    os.chown(data, _USER, _USER)
    statuses: dict[str, int] = {}
    end_seconds: dict[str, float] = {}
    installation = Installation(folder, where.settings("image"), by=podman.by)
    installation.env[_SMTP_URL] = _as_in_compose(installation.sink_port)
    try:
        installation.make()
        for name in ("sink", "api", "worker"):
            await _start(installation, name)
        async with _job(installation) as job:
            email = await job.send("ada@example.test")
        copies = read_copies(installation.sink_folder, email["message_id"])
        healthy = podman.is_healthy("serve")
        statuses["console"] = await _console(podman, installation, folder)
        for name, command in (("worker", "worker"), ("api", "serve")):
            seen = podman.process(command)
            statuses[name], end_seconds[name] = await _end(installation, name, seen)
        await _start(installation, "api")
        async with _job(installation) as job:
            kept = (await job.accepted(email["id"]))["state"] == "accepted"
    finally:
        installation.close()
    size, user = int(podman.of_image(".Size")), podman.of_image(".Config.User")
    return ImageReport(
        mebibytes=size // 2**20,
        user=user,
        milliseconds=email["milliseconds"],
        copies=len(copies),
        healthy=healthy,
        kept=kept,
        statuses=statuses,
        end_seconds=end_seconds,
    )


def _as_in_compose(port: int) -> str:
    """The mail server's URL that docker-compose.yml has, at another port.

    By a name, and not on loopback, other rules hold than in every other installation of ours.
    """
    said = yaml.safe_load(FILE.read_text())["x-settings"][_SMTP_URL]
    found = re.fullmatch(rf"\$\{{SMTP_URL:-(smtp://{_SINK}):\d+(.*)\}}", said)
    if found is None:
        raise DrillError(f"{FILE.name} has no mail sink: {said}")
    return f"{found[1]}:{port}{found[2]}"


def _job(installation: Installation) -> MainJob:
    client = installation.client
    login = {"client_id": client.client_id, "client_secret": client.client_secret}
    return MainJob(installation.url, login)


async def _start(installation: Installation, name: str) -> None:
    process = installation.start(name)
    await _until(lambda: installation.serves(name), process, name)


async def _until(serves: Callable[[], bool], process: subprocess.Popen[bytes], name: str) -> None:
    deadline = time.monotonic() + _SERVES_SECONDS
    while not serves():
        if process.poll() is not None or time.monotonic() > deadline:
            raise DrillError(f"{name} does not serve in the image; it ended with {process.poll()}")
        await asyncio.sleep(0.2)


async def _end(installation: Installation, name: str, seen: Path) -> tuple[int, float]:
    """Ask a process to end: with what it did, and after how long the kernel knew it no more."""
    process = installation.take(name)
    if process is None:
        raise DrillError(f"{name} is gone already")
    process.terminate()
    took = await asyncio.to_thread(_gone_after, seen)
    await _removed(process)
    return process.returncode, took


def _gone_after(seen: Path) -> float:
    """After how many seconds it is gone; twice what Compose waits is enough to know."""
    began = time.monotonic()
    while seen.exists() and time.monotonic() < began + 2 * _GRACE_SECONDS:
        time.sleep(0.1)
    return round(time.monotonic() - began, 1)


async def _removed(process: subprocess.Popen[bytes]) -> None:
    """Wait for a container that was asked to end, and for its files to be gone."""
    with suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(process.wait, _REMOVED_SECONDS)
    await asyncio.to_thread(stop, process)


async def _console(podman: Podman, installation: Installation, folder: Path) -> int:
    """Start the console by the file that bootstrap left, and stop it: with what it ended."""
    (port,) = free_ports(1)
    settings = {
        "CLIENT_FILE": f"{folder}/data/console.json",
        "API_URL": installation.url,
        "ISSUER_URL": installation.url.replace(HOST, "localhost"),
    }
    env = {f"EMAIL_SENDER_CONSOLE__{name}": value for name, value in settings.items()}
    # As in docker-compose.yml: what it writes is gone with it.
    arguments = ["--port", str(port), "--address", HOST, "--data-dir", "/tmp/console"]  # noqa: S108 - the container's
    process = spawn(
        "dashboard.launch", arguments, {**os.environ, **env}, installation.logs / "console.log",
        podman.by,
    )  # fmt: skip

    def serves() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://{HOST}:{port}/_stcore/health", trust_env=False).is_success
        return False

    try:
        await _until(serves, process, "console")
    finally:
        process.terminate()
        await _removed(process)
    return process.returncode
