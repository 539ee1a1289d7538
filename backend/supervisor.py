"""A small supervisor for one machine: starts the processes, restarts what dies, stops in order.

Children die with their parent (``PR_SET_PDEATHSIG`` on Linux): a supervisor that is killed must
not leave a worker running that nobody watches.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from backend.core.clock import monotonic

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_STEADY_SECONDS: Final = 10.0
_MAX_PAUSE_SECONDS: Final = 15.0
_STOP_SECONDS: Final = 25.0
# Loaded before any fork: between fork and exec only async-signal-safe work is allowed.
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class PortTakenError(RuntimeError):
    """Something else listens where we would; it is never killed."""


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """What a child runs before its program (``preexec_fn``) to get ``number`` when we die.

    Two system calls and no lock, which makes it safe to run between fork and exec. To Linux the
    parent is the *thread* that forks: fork from one that lives as long as the child should.

    Returns:
        None where the kernel has no such signal, which is everywhere but on Linux.
    """
    libc = _LIBC
    if libc is None:
        return None
    # Taken here and not compared with 1: in a container the supervisor may be process 1 itself.
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before the line above: no signal will ever come
            os._exit(1)

    return ask


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
    """Keeps programs running inside an ``async with`` block; each logs to its own file."""

    def __init__(self, programs: Sequence[Program], log_directory: Path) -> None:
        self._programs = list(programs)
        self._logs = log_directory
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
            logger.error("process_died", extra={"program": program.name, "code": code})
            self.failed.put_nowait(f"{program.name} ended with code {code}")
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
            logger.exception("process_killed", extra={"program": name})
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
