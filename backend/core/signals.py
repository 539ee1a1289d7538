"""Hints between processes: wake a worker, drop a cache. May be lost; receivers also poll.

Where nothing else would be polled, as with a cache that is asked before the database is, the topic
is durable: its signals are written down in the transaction that they tell of, and each process
reads those that no carrier brought (:mod:`backend.core.signal_log`).

One object, two carriers chosen by configuration: ``LISTEN``/``NOTIFY`` on PostgreSQL, Unix
datagram sockets in the data folder beside SQLite. Hints leave after commit and are coalesced, so
that a burst of a thousand submits costs one notification: ``NOTIFY`` inside the committing
transaction would serialise all commits of the database under load.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.clock import monotonic
from backend.core.columns import Base, Id, TenantOwned, db_now
from backend.core.ids import uuid7

psycopg: Any
try:
    import psycopg
except ImportError:  # the embedded shape does not install it
    psycopg = None

logger = logging.getLogger(__name__)

CHANNEL: Final = "email_sender"
_COALESCE_SECONDS: Final = 0.003
_MAX_DATAGRAM: Final = 7000
_MAX_DIRECTORY: Final = 70
_REMEMBERED: Final = 10_000


class SignalRecord(TenantOwned, Base):
    """A signal of a durable topic, committed with the change that it tells of."""

    __tablename__ = "signals"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    # By the database's clock: those of several hosts need not agree.
    at: Mapped[datetime] = mapped_column(default=db_now())
    topic: Mapped[str]
    payload: Mapped[str]

    # Every process reads the last seconds of all tenants.
    __table_args__ = (sa.Index("ix_signals_at", "at"),)


class _Carrier(Protocol):
    async def send(self, messages: list[str]) -> None: ...

    def listening(self, receive: Callable[[str], None]) -> Any: ...


class Signals:
    """Publish a topic to every process, this one included.

    Args:
        carrier: Between processes; None: there is one.
        vague_topics: Topics of which one payload is told and several are not: who hears of any
            looks at all there is.
    """

    def __init__(
        self, carrier: "_Carrier | None" = None, vague_topics: Collection[str] = ()
    ) -> None:
        self._carrier = carrier
        self._vague_topics = frozenset(vague_topics)
        self._subscribers: dict[str, list[Callable[[str], None]]] = {}
        self._outgoing: dict[str, None] = {}
        self._vague: dict[str, str] = {}
        self._delivered: dict[str, None] = {}
        self._pending = asyncio.Event()
        self._id = uuid7()[-12:]

    def subscribe(self, topic: str, callback: Callable[[str], None]) -> None:
        """Call ``callback(payload)`` on this process's loop for each signal of ``topic``."""
        self._subscribers.setdefault(topic, []).append(callback)

    def publish(self, topic: str, payload: str = "", record: str = "") -> None:
        """Deliver here at once and elsewhere within milliseconds. Never blocks, never raises.

        Args:
            topic: What kind of thing happened.
            payload: What it concerns.
            record: The id of its :class:`SignalRecord`, if it has one.
        """
        self.deliver(topic, payload, record)
        if self._carrier is None:
            return
        message = f"{self._id} {topic} {record} {payload}"
        if topic in self._vague_topics:
            before = self._vague.setdefault(topic, message)
            if before != message:
                self._outgoing.pop(before, None)
                message = self._vague[topic] = f"{self._id} {topic}  "
        self._outgoing[message] = None
        self._pending.set()

    def deliver(self, topic: str, payload: str, record: str = "") -> None:
        """Call this process's subscribers; for a record that they have been told of, nobody."""
        if record:
            if record in self._delivered:
                return
            self._delivered[record] = None
            if len(self._delivered) > 2 * _REMEMBERED:
                # Half at once: looking for the oldest key passes over all that went before it.
                self._delivered = dict.fromkeys(list(self._delivered)[_REMEMBERED:])
        for callback in self._subscribers.get(topic, ()):
            try:
                callback(payload)
            except Exception:
                logger.exception("signal_handler_failed", extra={"topic": topic})

    def _receive(self, message: str) -> None:
        sender, _, rest = message.partition(" ")
        topic, _, rest = rest.partition(" ")
        record, _, payload = rest.partition(" ")
        if sender != self._id:
            self.deliver(topic, payload, record)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry signals to and from the other processes while the block lasts."""
        if self._carrier is None:
            yield
            return
        async with self._carrier.listening(self._receive):
            sender = asyncio.create_task(self._send_forever(self._carrier))
            try:
                yield
            finally:
                sender.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sender

    async def _send_forever(self, carrier: "_Carrier") -> None:
        quiet_from = 0.0
        while True:
            await self._pending.wait()
            # What comes alone goes at once; what comes soon after gathers.
            await asyncio.sleep(max(0.0, quiet_from - monotonic()))
            self._pending.clear()
            messages, self._outgoing = list(self._outgoing), {}
            self._vague.clear()
            try:
                await carrier.send(messages)
            except Exception as exc:  # noqa: BLE001 - a lost hint must not stop the next one
                logger.warning("signal_not_sent", extra={"cause": type(exc).__name__})
            quiet_from = monotonic() + _COALESCE_SECONDS


class UnixCarrier:
    """Datagrams between the processes of one machine, one socket file a process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @asynccontextmanager
    async def listening(self, receive: Callable[[str], None]) -> AsyncIterator[None]:
        """Own ``<pid>-<random>.sock`` in the folder while the block lasts."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory / f"{os.getpid()}-{uuid7()[-6:]}.sock"
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        server.setblocking(False)
        with _reachable(self._directory) as directory:
            server.bind(f"{directory}/{path.name}")

        def drain() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    receive(server.recv(_MAX_DATAGRAM).decode(errors="replace"))

        loop = asyncio.get_running_loop()
        loop.add_reader(server, drain)
        try:
            yield
        finally:
            loop.remove_reader(server)
            server.close()
            path.unlink(missing_ok=True)

    async def send(self, messages: list[str]) -> None:
        """Send to every socket in the folder; files of dead processes are removed."""
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
            _reachable(self._directory) as directory,
        ):
            client.setblocking(False)
            for path in self._directory.glob("*.sock"):
                for message in messages:
                    try:
                        client.sendto(message.encode()[:_MAX_DATAGRAM], f"{directory}/{path.name}")
                    except (ConnectionRefusedError, FileNotFoundError):
                        path.unlink(missing_ok=True)
                        break
                    except BlockingIOError:
                        break  # the receiver is busy and will poll


@contextmanager
def _reachable(directory: Path) -> Iterator[str]:
    """A name of ``directory`` short enough for a socket's address, which ends at 108 bytes.

    A data folder may lie deeper than that; its open descriptor has a short name of its own.
    """
    if len(os.fsencode(directory)) <= _MAX_DIRECTORY or not Path("/proc/self/fd").exists():
        yield str(directory)
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class PostgresCarrier:
    """LISTEN/NOTIFY over two session connections (a transaction pooler cannot carry LISTEN)."""

    def __init__(self, dsn: str) -> None:
        if psycopg is None:
            msg = "PostgreSQL needs the 'cluster' extra: pip install email-sender[cluster]"
            raise RuntimeError(msg)
        self._dsn = dsn
        self._sender: Any = None

    @asynccontextmanager
    async def listening(self, receive: Callable[[str], None]) -> AsyncIterator[None]:
        """Listen on the channel while the block lasts, reconnecting when the server restarts."""
        listener = asyncio.create_task(self._listen_forever(receive))
        try:
            yield
        finally:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener
            if self._sender is not None:
                await self._sender.close()

    async def _listen_forever(self, receive: Callable[[str], None]) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    async for notice in connection.notifies():
                        receive(notice.payload)
            except (psycopg.Error, OSError) as exc:
                logger.warning("signal_listener_restarted", extra={"cause": type(exc).__name__})
            await asyncio.sleep(0.5)

    async def send(self, messages: list[str]) -> None:
        """Notify; a connection that broke since the last time is replaced once."""
        kept = self._sender is not None
        try:
            await self._notify(messages)
        except psycopg.Error:
            if self._sender is not None:
                await self._sender.close()
                self._sender = None
            if not kept:
                raise
            # A restarted server shows only on the next use. Saying something twice is harmless.
            await self._notify(messages)

    async def _notify(self, messages: list[str]) -> None:
        if self._sender is None:
            self._sender = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
            # A notification is a transaction of its own, and waits for the disk as any does. What
            # may be lost, and is only told of what is committed, need not.
            await self._sender.execute("SET synchronous_commit = off")
        for message in messages:
            await self._sender.execute(
                "SELECT pg_notify(%s, %s)", (CHANNEL, message[:_MAX_DATAGRAM])
            )
