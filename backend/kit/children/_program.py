"""The process that children are forked from: :func:`main`, in an interpreter of its own.

It is started by an exec with a clean environment and one socket, so there is nothing in it that a
child should not have; it has one thread, so that forking is safe; and it keeps imported what
children need, so that one costs a fork and no start of an interpreter.

It ends when its socket does, which the kernel sees to when the worker is killed, and kills all of
its children first. Whoever kills both at once is answered by ``PR_SET_PDEATHSIG``.

Told are ``["run", number, work, memory, result, seconds]`` with two descriptors (where arguments
come from and what came of them goes to, and the child's standard error) and ``["kill", number]``;
it answers ``[number, exit code, whether its time was over]``, the code negative for a signal.
"""

import contextlib
import gc
import importlib
import os
import resource
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from backend.core.clock import monotonic
from backend.kit.parent import adopt_orphans, die_with_parent

MAX_TEXT: Final = 2000
LENGTH_BYTES: Final = 8
READY: Final = b"ready"
_MESSAGE_BYTES: Final = 4096
_NICER: Final = 5
_CHANNEL: Final = 3
# Made beforehand: there may be no memory for it then.
_OUT_OF_MEMORY: Final = msgspec.msgpack.encode(["memory", ""])


@dataclass(slots=True)
class _Child:
    number: int
    until: float
    late: bool = False


class _Server:
    """Forks, waits, kills."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, _Child] = {}
        self._found: set[str] = set()
        self._die_with_us = die_with_parent(signal.SIGKILL)
        self._selector = selectors.DefaultSelector()
        self._bell, struck = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(struck, False)
        # Whoever stops a whole group of processes means the worker, which lets its jobs end.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(struck)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._selector.register(control, selectors.EVENT_READ)

    def learn(self, works: Iterable[str]) -> None:
        """Import functions here, for all children that follow."""
        for work in set(works) - self._found:
            self._found.add(work)
            # What is wrong with it the child finds again, and tells.
            with contextlib.suppress(Exception):
                _find(work)
            # What is there now is shared by all: a collection in a child would copy its pages.
            gc.collect()
            gc.freeze()

    def serve(self) -> None:
        """Say that we are there, and do as told until nobody is any more to tell."""
        try:
            self._control.send(READY)
            while True:
                due = min((one.until for one in self._children.values()), default=None)
                patience = None if due is None else max(due - monotonic(), 0.0)
                for key, _ in self._selector.select(patience):
                    if key.fileobj is self._control:
                        if not self._hear():
                            return
                    else:
                        os.read(self._bell, _MESSAGE_BYTES)
                now = monotonic()
                for pid, one in self._children.items():
                    if one.until <= now:
                        one.late, one.until = True, float("inf")
                        _kill(pid)
                self._bury()
        finally:
            for pid in self._children:
                _kill(pid)
            self._bury(block=True)

    def _hear(self) -> bool:
        try:
            said, descriptors, *_ = socket.recv_fds(self._control, _MESSAGE_BYTES, 2)
        except ConnectionError:
            return False
        if not said:
            return False
        match msgspec.msgpack.decode(said):
            case ["run", number, work, memory, result, seconds]:
                child = _Child(number, monotonic() + seconds)
                try:
                    self._fork(child, work, memory, result, descriptors)
                except OSError:
                    self._tell(child, os.EX_OSERR)
                finally:
                    for one in descriptors:
                        os.close(one)
            case ["kill", number]:
                for pid, child in self._children.items():
                    if child.number == number:
                        _kill(pid)
        return True

    def _fork(
        self, child: _Child, work: str, memory: int, result: int, descriptors: list[int]
    ) -> None:
        self.learn([work])
        pid = os.fork()
        if pid:
            # Both do it, so that a group is there whoever comes first to use it.
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            self._children[pid] = child
            return
        try:
            os.setpgid(0, 0)
            if self._die_with_us is not None:
                self._die_with_us()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _part(*descriptors)
            _bound(memory)
            _work(work, result)
        finally:
            os._exit(1)

    def _bury(self, *, block: bool = False) -> None:
        """Tell of the children that have ended, when nothing of them is left."""
        flags = os.WEXITED | os.WNOWAIT | (0 if block else os.WNOHANG)
        # None that has ended, or none at all.
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, flags)) is not None:
                pid = ended.si_pid
                # Its number belongs to it until it is waited for: this is still its group.
                _kill(pid)
                _, status = os.waitpid(pid, 0)
                child = self._children.pop(pid, None)
                self._end_orphans()
                if child is not None:
                    self._tell(child, os.waitstatus_to_exitcode(status))

    def _tell(self, child: _Child, code: int) -> None:
        with contextlib.suppress(OSError):
            self._control.send(msgspec.msgpack.encode([child.number, code, child.late]))

    def _end_orphans(self) -> None:
        """Kill what left its group, and was left to us by a child that ended."""
        with contextlib.suppress(OSError):
            known = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
            for pid in map(int, known.split()):
                if pid not in self._children:
                    _kill(pid)


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _part(channel: int, errors: int) -> None:
    """Have nothing open but the two that are the child's own."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    if channel != _CHANNEL:
        os.dup2(channel, _CHANNEL)
    os.closerange(_CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))


def _bound(memory: int) -> None:
    """So much more of private memory than there is.

    ``RLIMIT_DATA`` counts what is written to. ``RLIMIT_AS`` would count addresses as well: mapped
    libraries, and what allocators reserve for each thread and never touch.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    most = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICER)


def _find(work: str) -> Callable[..., Any]:
    module, _, name = work.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _work(work: str, most: int) -> NoReturn:
    channel = socket.socket(fileno=_CHANNEL)
    try:
        with channel.makefile("rb") as asked:
            arguments = msgspec.msgpack.decode(asked.read())
        result = _find(work)(*arguments)
        try:
            frame = msgspec.msgpack.encode(["done", result])
        except (TypeError, ValueError, OverflowError) as exc:
            frame = msgspec.msgpack.encode(["result", f"It is no plain data: {exc}"[:MAX_TEXT]])
        if len(frame) > most:
            frame = msgspec.msgpack.encode(["result", f"It is larger than {most} bytes"])
    except MemoryError:
        frame = _OUT_OF_MEMORY
    except BaseException as exc:  # noqa: BLE001 - whatever it is, the worker is told
        traceback.print_exc()
        said = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        frame = msgspec.msgpack.encode(["raised", said[:MAX_TEXT]])
    channel.sendall(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def main(descriptor: str, *works: str) -> None:
    """Serve whoever has the other end of this socket, with these functions imported."""
    adopt_orphans()
    server = _Server(socket.socket(fileno=int(descriptor)))
    server.learn(works)
    server.serve()
