"""An SMTP server that accepts everything and delivers nothing, for demos and tests.

Each message becomes one file ``<directory>/<hh>/<hash>.<nanoseconds>-<random>.eml``; ``hash`` is
the start of SHA-256 over the Message-ID and ``hh`` its first two digits. So copies of one message
lie together, and a double is two files with one hash. A file begins with the lines
``X-Envelope-From``, ``X-Envelope-To`` and ``X-Received-At``; the rest is as received. Given a key,
all of it is sealed (``copies``), also what an earlier one left in the clear. It appears complete or
not at all, but survives no power cut: nothing here is flushed to disk.

Recipients choose what happens to them by their local part:

=====================  ============================================================================
begins with            behaviour
=====================  ============================================================================
``bounce``             550 at RCPT
``defer-once``         451 at RCPT the first time this address is seen since start, then accepted
``defer``              451 at RCPT, always
``slow``               accepted, but the answer to DATA takes ``slow_seconds``
anything else          accepted
=====================  ============================================================================

Credentials are accepted whatever they are. Bind it to loopback.
"""

import asyncio
import logging
import os
import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from backend.core.clock import epoch_nanoseconds
from backend.sink.copies import FILE_NAME, hash_key, is_sealed, seal_copy

_MESSAGE_ID: Final = re.compile(
    rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?(\S+)", re.IGNORECASE | re.MULTILINE
)
_PLAIN_PATH: Final = re.compile(
    r"<([A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+)>( [A-Za-z0-9= ]*)?"
)
_MAX_REMEMBERED: Final = 100_000


class SmtpSink:
    """The server; one per directory, since it alone knows the order in which files expire."""

    def __init__(
        self,
        directory: Path,
        host: str = "127.0.0.1",
        port: int = 8402,
        max_bytes: int = 32 * 1024 * 1024,
        *,
        key: bytes | None = None,
        keep: int = 10_000,
        slow_seconds: float = 1.0,
        now_nanoseconds: Callable[[], int] = epoch_nanoseconds,
    ) -> None:
        """Keep the newest ``keep`` messages, each up to ``max_bytes``; port 0 picks a free one.

        Sealed under ``key``, 32 bytes; without one, in the clear.
        """
        self.directory = directory
        self._key = key
        self._host = host
        self._port = port
        self._max_bytes = max_bytes
        self._keep = keep
        self._slow_seconds = slow_seconds
        self._now_nanoseconds = now_nanoseconds
        self._server: asyncio.Server | None = None
        self._sessions: set[_SinkProtocol] = set()
        self._files: deque[str] = deque()
        self._folders: set[str] = set()
        self._deferred: OrderedDict[str, None] = OrderedDict()
        self.accepted = 0

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        if self._server is None:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Take stock of the directory and listen.

        Raises:
            OSError: The directory cannot be written or the port is taken.
        """
        # The library logs every command, addresses included, and formatting it costs a tenth of
        # the rate; what a sink has to say is in its files.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self._files = await asyncio.to_thread(self._take_stock)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _SinkProtocol(self, loop), self._host, self._port
        )

    async def stop(self) -> None:
        """Stop listening and cut the open sessions; what was answered 250 is stored. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        tasks = [session.cut() for session in list(self._sessions)]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
        await server.wait_closed()

    # The two methods below are the hooks the SMTP library calls by name.

    async def handle_RCPT(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        """Decide by the local part."""
        local = address.partition("@")[0].lower()
        if local.startswith("bounce"):
            return "550 5.1.1 No such mailbox (the sink bounces it on request)"
        if local.startswith("defer-once"):
            if self._defer_first_time(address.lower()):
                return "451 4.2.1 Try again (the sink defers it once on request)"
        elif local.startswith("defer"):
            return "451 4.2.1 Try again (the sink defers it on request)"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store first, answer then: what was answered 250 is there to be read."""
        content = envelope.original_content or b""
        try:
            name = self._store(envelope.mail_from or "", envelope.rcpt_tos, content)
        except OSError:
            return "452 4.3.1 The sink cannot write"
        self.accepted += 1
        if any(address.lower().startswith("slow") for address in envelope.rcpt_tos):
            await asyncio.sleep(self._slow_seconds)
        return f"250 2.0.0 stored as {name}"

    def _defer_first_time(self, address: str) -> bool:
        if address in self._deferred:
            self._deferred.move_to_end(address)
            return False
        self._deferred[address] = None
        if len(self._deferred) > _MAX_REMEMBERED:
            self._deferred.popitem(last=False)
        return True

    def _store(self, sender: str, recipients: list[str], content: bytes) -> str:
        """Write one file; in the loop on purpose: it takes 0.1 ms, a hop to a thread as much."""
        now = self._now_nanoseconds()
        digest = _hash_of(content)
        folder = digest[:2]
        name = f"{digest}.{now}-{secrets.token_hex(4)}.eml"
        target = self.directory / folder
        if folder not in self._folders:
            target.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        received = datetime.fromtimestamp(now / 1e9, UTC).isoformat(timespec="microseconds")
        head = (
            f"X-Envelope-From: {sender}\r\n"
            f"X-Envelope-To: {','.join(recipients)}\r\n"
            f"X-Received-At: {received}\r\n"
        )
        data = head.encode("utf-8", "surrogateescape") + content
        if self._key is not None:
            data = seal_copy(self._key, digest, data)
        path = f"{target}/{name}"
        # A reader must never see half a message; the suffix keeps it from being listed.
        draft = f"{path}.tmp"
        try:
            descriptor = self._create(draft, target)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
            finally:
                os.close(descriptor)
            os.rename(draft, path)  # noqa: PTH104 - plain strings here are a measurable share
        except OSError:
            Path(draft).unlink(missing_ok=True)
            raise
        self._files.append(path)
        if len(self._files) > self._keep:
            # Oldest first, one out for one in. A file that clear() took is gone already.
            Path(self._files.popleft()).unlink(missing_ok=True)
        return name

    def _create(self, draft: str, folder: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            return os.open(draft, flags, 0o600)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)  # clear() took the folder meanwhile
            return os.open(draft, flags, 0o600)

    def _take_stock(self) -> deque[str]:
        self.directory.mkdir(parents=True, exist_ok=True)
        found: list[tuple[int, str]] = []
        for path in self.directory.glob("??/*"):
            match = FILE_NAME.fullmatch(path.name)
            if match is not None:
                found.append((int(match[2]), str(path)))
            elif path.name.endswith(".eml.tmp"):
                path.unlink(missing_ok=True)  # a crash between write and rename
        found.sort()
        for _, surplus in found[: max(0, len(found) - self._keep)]:
            Path(surplus).unlink(missing_ok=True)
        kept = deque(path for _, path in found[-self._keep :])
        if self._key is not None:
            for name in kept:
                _seal_in_place(self._key, Path(name))
        return kept


def _seal_in_place(key: bytes, path: Path) -> None:
    """Seal a copy of before the key; a crash leaves it as it was, or sealed."""
    match = FILE_NAME.fullmatch(path.name)
    with path.open("rb") as file:
        begin = file.read(16)
        if match is None or is_sealed(begin):
            return
        stored = begin + file.read()
    draft = path.with_name(f"{path.name}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as sealed:
        sealed.write(seal_copy(key, match[1], stored))
    draft.replace(path)


class _SinkProtocol(SMTP):
    """One session of the library's server, with its slow address parser bypassed."""

    def __init__(self, sink: SmtpSink, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            sink,
            data_size_limit=sink._max_bytes,  # noqa: SLF001 - one module, two halves of one thing
            hostname="sink.localhost",
            ident="Email Sender sink",
            auth_require_tls=False,
            enable_SMTPUTF8=True,
            authenticator=_accept_anyone,
            loop=loop,
        )
        self._open_sessions = sink._sessions  # noqa: SLF001

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open_sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._open_sessions.discard(self)
        super().connection_lost(error)

    def cut(self) -> "asyncio.Task[None] | None":
        """Close the connection; returns the task that served it."""
        if self.transport is not None:
            self.transport.close()
        return self._handler_coroutine

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        # The library hands every path to the e-mail package's header parser: 60 us each.
        match = _PLAIN_PATH.fullmatch(arg)
        if match is not None:
            return match[1], (match[2] or "").strip()
        return super()._getaddr(arg)


def _accept_anyone(*_details: Any) -> AuthResult:
    return AuthResult(success=True)


def _hash_of(content: bytes) -> str:
    head = content.partition(b"\r\n\r\n")[0]
    match = _MESSAGE_ID.search(head)
    # Without an id, equal content is the best notion of "the same message" there is.
    key = match[1] if match is not None else content
    return hash_key(key)
