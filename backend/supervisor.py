"""A small supervisor for one machine: starts the processes, restarts what dies, stops in order.

Children die with their parent (``PR_SET_PDEATHSIG`` on Linux): a supervisor that is killed must
not leave a worker running that nobody watches.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Self

from backend.core.clock import monotonic
from backend.kit.parent import die_with_parent

_STEADY_SECONDS: Final = 10.0
_MAX_PAUSE_SECONDS: Final = 15.0
_STOP_SECONDS: Final = 25.0
_LOCK_FILE: Final = "in-use.lock"


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class PortTakenError(RuntimeError):
    """Something else listens where we would; it is never killed."""


class FolderInUseError(RuntimeError):
    """Somebody else runs an installation out of this folder."""


@dataclass(frozen=True, slots=True)
class _Holder:
    pid: int
    address: str


@contextlib.contextmanager
def hold_folder(folder: Path, address: str) -> Iterator[None]:
    """Be the one that runs an installation out of ``folder`` while the block lasts.

    The kernel's lock, which ends with the process however it dies. What stands in the file is for
    people: an old one means nothing by itself.

    Args:
        folder: It exists.
        address: Where the installation is found.

    Raises:
        FolderInUseError: Names who has it, and where they are found.
    """
    with (folder / _LOCK_FILE).open("a+") as file:
        if not _locked(file):
            raise FolderInUseError(_in_use(folder, _holder_of(file)))
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "address": address}))
        file.flush()
        yield
        # Not removed: whoever waits to open it must find the file that is locked.
        file.truncate(0)


def refuse_held_folder(folder: Path) -> None:
    """Let only who holds the folder, and what it starts, change what its processes rely on.

    Raises:
        FolderInUseError: Somebody else holds it.
    """
    try:
        file = (folder / _LOCK_FILE).open("r+")
    except FileNotFoundError:
        return
    with file:
        if not _locked(file):
            holder = _holder_of(file)
            if holder is None or holder.pid != os.getppid():
                raise FolderInUseError(_in_use(folder, holder))


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder_of(file: IO[str]) -> _Holder | None:
    """Who wrote themselves down; None in the moment before they do."""
    file.seek(0)
    try:
        said = json.loads(file.read())
        return _Holder(int(said["pid"]), str(said["address"]))
    except (ValueError, KeyError, TypeError):
        return None


def _in_use(folder: Path, holder: _Holder | None) -> str:
    who = f"process {holder.pid} ({holder.address})" if holder else "another process"
    return f"{folder} is in use by {who}; stop it, or use another folder"


def refuse_taken_ports(ports: Mapping[str, int], host: str = "127.0.0.1") -> None:
    """Check, before anything starts, that every port is free.

    Raises:
        PortTakenError: Names the first port that is not, and for what it was wanted.
    """
    for purpose, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as exc:
                msg = f"port {port} ({purpose}) is taken; choose others with --port-base"
                raise PortTakenError(msg) from exc


class Supervisor:
    """Keeps programs running inside an ``async with`` block; each logs to its own file.

    Args:
        programs: First started first.
        log_directory: Where their output goes.
        tell: Takes a line for people when one died, or would not end.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        log_directory: Path,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._programs = list(programs)
        self._logs = log_directory
        self._tell = tell
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self.failed: asyncio.Queue[str] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        for program in self._programs:
            await self._start(program)
            self._keepers.append(asyncio.create_task(self._keep(program)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        # Last started first: the worker can still reach the sink while it ends.
        for program in reversed(self._programs):
            await self._stop(program.name)

    def pid(self, name: str) -> int | None:
        """The process id of a program that runs."""
        process = self._processes.get(name)
        return process.pid if process and process.returncode is None else None

    def log_file(self, name: str) -> Path:
        """Where a program's output goes."""
        return self._logs / f"{name}.log"

    async def _start(self, program: Program) -> None:
        with self.log_file(program.name).open("ab") as log:
            self._processes[program.name] = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(program.environment),
                # Its own session: Ctrl-C in the terminal reaches us, and we stop them in order.
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    async def _keep(self, program: Program) -> None:
        pause = 0.5
        while True:
            began = monotonic()
            code = await self._processes[program.name].wait()
            if monotonic() - began > _STEADY_SECONDS:
                pause = 0.5
            self.failed.put_nowait(f"{program.name} ended with code {code}")
            log = self.log_file(program.name)
            self._tell(f"{program.name} ended with code {code} and is started again; see {log}")
            await asyncio.sleep(pause)
            pause = min(_MAX_PAUSE_SECONDS, 2 * pause)
            await self._start(program)

    async def _stop(self, name: str) -> None:
        process = self._processes.get(name)
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._tell(f"{name} did not stop within {_STOP_SECONDS:g} s and is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
