"""The worker's side of children: who gets a place, what came of it, and that it is gone."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from backend.kit.children._program import LENGTH_BYTES, MAX_TEXT, READY, main
from backend.kit.shares import Shares

logger = logging.getLogger(__name__)

MEMORY_BYTES: Final = 256 * 1024 * 1024
RESULT_BYTES: Final = 1024 * 1024
_STDERR_BYTES: Final = 8192
# What its own limit comes after that of whoever waits: it is for a worker that is frozen.
_LATE_SECONDS: Final = 2.0
_LAST_WORDS_SECONDS: Final = 1.0
_KILL_SECONDS: Final = 10.0
_START_SECONDS: Final = 60.0
_MESSAGE_BYTES: Final = 4096
_CHUNK: Final = 256 * 1024

Reason = Literal["raised", "memory", "time", "signal", "exit", "result", "lost"]


class ChildError(Exception):
    """The work came to no good end; ``reason`` tells how, and the text says it.

    ``raised``: it raised something. ``memory``, ``time``: its limit. ``signal``, ``exit``: the
    process ended without a word. ``result``: what it returned is no plain data, or too much.
    ``lost``: there is no process that could have run it.
    """

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(slots=True)
class _Server:
    """The process that children are forked from, and who of ours waits for the end of which."""

    process: asyncio.subprocess.Process
    control: socket.socket
    waiting: dict[int, "asyncio.Future[tuple[int, bool]]"]

    def tell(self, message: list[Any], descriptors: tuple[int, ...] = ()) -> None:
        socket.send_fds(self.control, [msgspec.msgpack.encode(message)], descriptors)

    def hear(self) -> None:
        """Take what it tells; when it is gone, so are all of its children."""
        try:
            said = self.control.recv(_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self.leave()
            return
        number, code, late = msgspec.msgpack.decode(said)
        ended = self.waiting.pop(number, None)
        if ended is not None and not ended.done():
            ended.set_result((code, late))

    def leave(self) -> None:
        """Close the socket, which ends it and all of its children."""
        if self.control.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.control)
            self.control.close()
        for ended in self.waiting.values():
            if not ended.done():
                ended.set_exception(ChildError("lost", "Its parent process ended"))
        self.waiting.clear()

    @property
    def is_there(self) -> bool:
        return self.control.fileno() >= 0


class Place:
    """A place for one child at a time."""

    def __init__(self, start: Callable[..., Any]) -> None:
        self._start = start

    async def run(
        self,
        work: Callable[..., Any],
        *args: Any,
        seconds: float,
        memory_bytes: int = MEMORY_BYTES,
        result_bytes: int = RESULT_BYTES,
    ) -> Any:
        """Return what ``work(*args)`` returns in a process of its own.

        Cancelled, it is killed. When this returns or raises, nothing of the process is left, nor of
        what it started.

        Args:
            work: A function of a module, by its own name; it is imported there anew.
            args: Plain data, as is what it returns: nothing of ours is unpacked on either side.
            seconds: What it may take, by the clock.
            memory_bytes: What it may take beside what an interpreter has.
            result_bytes: What its result may take, as msgpack.

        Raises:
            ChildError: How it ended instead.
            TypeError: The arguments are no plain data.
        """
        asked = msgspec.msgpack.encode(args)
        name = name_of(work)
        return await self._start(name, asked, seconds, memory_bytes, result_bytes)


def name_of(work: Callable[..., Any]) -> str:
    """By what a child finds a function.

    Raises:
        ValueError: It finds another one, or none: it is no function of a module.
    """
    found = getattr(sys.modules.get(work.__module__), work.__qualname__, None)
    if found is not work:
        msg = f"{work!r} is no function of a module"
        raise ValueError(msg)
    return f"{work.__module__}:{work.__qualname__}"


class Children:
    """At most ``slots`` children at a time, and one fewer for one tenant where there are several.

    Nothing is started before the first of them is wanted. Belongs to one event loop.
    """

    def __init__(self, slots: int = 2) -> None:
        self._shares = Shares(max(slots - 1, 1), slots)
        self._numbers = itertools.count()
        self._server: _Server | None = None
        self._starting = asyncio.Lock()
        self._expected: set[str] = set()

    def expect(self, work: Callable[..., Any]) -> None:
        """Have this function imported before the first child needs it.

        Raises:
            ValueError: It is no function of a module.
        """
        self._expected.add(name_of(work))

    @asynccontextmanager
    async def place(self, tenant_id: str) -> AsyncIterator[Place]:
        """Wait for a place among the children, and keep it while the block lasts."""
        async with self._shares.hold(tenant_id):
            await self._serving()
            yield Place(self._run)

    async def aclose(self) -> None:
        """End the process that children are forked from, and them."""
        server, self._server = self._server, None
        if server is not None:
            server.leave()
            await server.process.wait()

    async def _serving(self) -> _Server:
        async with self._starting:
            if self._server is not None and not self._server.is_there:
                await self.aclose()
            if self._server is None:
                self._server = await _start(self._expected)
            return self._server

    async def _run(self, work: str, asked: bytes, seconds: float, memory: int, most: int) -> Any:
        server = await self._serving()
        number = next(self._numbers)
        ours, theirs = socket.socketpair()
        errors, their_errors = os.pipe()
        ended = server.waiting[number] = asyncio.get_running_loop().create_future()
        try:
            server.tell(
                ["run", number, work, memory, most, seconds + _LATE_SECONDS],
                (theirs.fileno(), their_errors),
            )
        except OSError as exc:
            server.leave()
            os.close(errors)
            ours.close()
            raise ChildError("lost", f"It was not started: {exc}") from None
        finally:
            theirs.close()
            os.close(their_errors)
        said = asyncio.create_task(_read_errors(errors))
        try:
            async with asyncio.timeout(seconds):
                frame = await _converse(ours, asked, most + 8 * MAX_TEXT)
                await asyncio.shield(ended)
        except TimeoutError:
            raise ChildError("time", f"It took longer than {seconds:g} s") from None
        finally:
            await asyncio.shield(_bury(server, number, ended))
            await _tell_errors(said, work)
        if frame is None:
            raise _death(*ended.result(), seconds=seconds)
        how, what = msgspec.msgpack.decode(frame)
        if how == "done":
            return what
        if how == "memory":
            raise ChildError("memory", f"It took more than {memory // (1024 * 1024)} MiB of memory")
        raise ChildError(how, what)


async def _start(works: Iterable[str]) -> _Server:
    """Start the process, and wait until it can fork.

    Raises:
        ChildError: It did not start.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    options = ["-P", "-s", *(["-B"] if sys.dont_write_bytecode else [])]
    if sys.pycache_prefix is not None:
        options += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *options,
            "-c",
            f"import sys; from {main.__module__} import main; main(*sys.argv[1:])",
            str(theirs.fileno()),
            *sorted(works),
            stdin=asyncio.subprocess.DEVNULL,
            # Of ours it knows where programs and modules are.
            env={
                "PATH": os.defpath,
                "LANG": "C.UTF-8",
                "PYTHONPATH": os.pathsep.join(one or "." for one in sys.path),
            },
            pass_fds=(theirs.fileno(),),
            # Ctrl-C in the terminal reaches the worker, which ends in order.
            start_new_session=True,
        )
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_START_SECONDS):
            ready = await loop.sock_recv(ours, _MESSAGE_BYTES)
        if ready != READY:
            raise ChildError("lost", "No process could be started")
    except BaseException:
        # Whoever waits no more leaves nothing behind: it ends with its socket.
        ours.close()
        raise
    server = _Server(process, ours, {})
    loop.add_reader(ours, server.hear)
    return server


async def _converse(ours: socket.socket, asked: bytes, most: int) -> bytes | None:
    """Hand in the arguments and take what came of them; None: it ended without a word."""
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    with ours:
        try:
            await loop.sock_sendall(ours, asked)
            ours.shutdown(socket.SHUT_WR)
            length = int.from_bytes(await _take(ours, LENGTH_BYTES), "big")
            return None if length > most else await _take(ours, length)
        except (ConnectionError, EOFError):
            return None


async def _take(ours: socket.socket, count: int) -> bytes:
    taken = bytearray()
    while len(taken) < count:
        some = await asyncio.get_running_loop().sock_recv(ours, min(count - len(taken), _CHUNK))
        if not some:
            raise EOFError
        taken += some
    return bytes(taken)


async def _bury(server: _Server, number: int, ended: "asyncio.Future[tuple[int, bool]]") -> None:
    """See to it that it is gone, with all that it started."""
    if not ended.done():
        with contextlib.suppress(OSError):
            server.tell(["kill", number])
        await asyncio.wait([ended], timeout=_KILL_SECONDS)
    if not ended.done():
        # Its parent does not hear. The kernel kills the children of one that is killed.
        server.process.kill()
        server.leave()
    ended.exception()


async def _read_errors(pipe: int) -> bytes:
    """The first of what it wrote to its standard error; the rest is taken and dropped."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
    )
    kept = bytearray()
    try:
        while some := await reader.read(_STDERR_BYTES):
            kept += some[: _STDERR_BYTES - len(kept)]
    except asyncio.CancelledError:
        # Somebody else has its end: what was read is all that there is.
        return bytes(kept)
    finally:
        transport.close()
    return bytes(kept)


async def _tell_errors(said: asyncio.Task[bytes], work: str) -> None:
    _, late = await asyncio.wait([said], timeout=_LAST_WORDS_SECONDS)
    for one in late:
        one.cancel()
    text = (await said).decode("utf-8", "replace").strip()
    if text:
        logger.warning("child_wrote", extra={"work": work, "text": text})


def _death(code: int, late: bool, *, seconds: float) -> ChildError:  # noqa: FBT001 - as told
    if late:
        return ChildError("time", f"It took longer than {seconds:g} s")
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return ChildError("signal", f"Its process died by {name}")
    return ChildError("exit", f"Its process ended with code {code} and no result")
