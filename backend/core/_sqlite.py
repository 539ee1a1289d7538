"""The SQLite driver with one trip to its thread a statement.

aiosqlite makes four: for the cursor, for the statement, for its rows, for closing the cursor. A
trip was measured at 0.02 ms of CPU on an idle machine and 0.1 ms on a busy one, and a transaction
that accepts one message made twenty.
Making a cursor, handing out rows that are here already and letting go of a finished cursor need
no thread. What touches the database still runs there, in the order it was asked for: a statement
whose caller was cancelled is followed by its rollback, as before.

The thread may outlive the event loop that asked: aiosqlite stops a connection that could not open
without waiting for it, and a loop may close over a cancelled statement. Nobody waits for such an
answer, so it is dropped; aiosqlite's own thread would die of it with its connection still open.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, Self

import aiosqlite
from aiosqlite.context import contextmanager
from aiosqlite.core import _STOP_RUNNING_SENTINEL, set_exception, set_result

_CHUNK_ROWS: Final = 64


class _Cursor(aiosqlite.Cursor):
    """Takes all rows along with the statement, and has nothing left to close afterwards."""

    def __init__(self, connection: aiosqlite.Connection, cursor: sqlite3.Cursor) -> None:
        super().__init__(connection, cursor)
        self._rows: Iterator[Any] = iter(())

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> Self:
        trip = self._execute(_run, self._cursor, sql, parameters or ())  # type: ignore[no-untyped-call]
        self._rows = iter(await trip)
        return self

    async def fetchone(self) -> sqlite3.Row | None:
        return next(self._rows, None)

    async def fetchmany(self, size: int | None = None) -> Iterable[sqlite3.Row]:
        return list(islice(self._rows, self.arraysize if size is None else size))

    async def fetchall(self) -> Iterable[sqlite3.Row]:
        return list(self._rows)

    async def close(self) -> None:
        """A statement that gave all its rows is reset: it holds neither a lock nor a snapshot."""
        self._rows = iter(())


class _Ending(sqlite3.Connection):
    """Ends its transaction when it is closed.

    SQLite keeps what is closed for as long as some cursor has a statement of it, and the write lock
    with it: a cursor lives on in the traceback of a task that was cancelled amid a statement.
    """

    def close(self) -> None:
        with suppress(sqlite3.Error):  # closed already, or in no transaction any more
            self.rollback()
        super().close()


class _Connection(aiosqlite.Connection):
    """Makes cursors without asking its thread."""

    def __init__(self, database: str, options: dict[str, Any]) -> None:
        # Made in its thread and used there; only cursors are made here, while it is idle for us.
        given = {"factory": _Ending, **options, "check_same_thread": False}
        connector = partial(sqlite3.connect, database, **given)
        super().__init__(connector, _CHUNK_ROWS)
        # Daemon: a connection that was never closed must not keep the process from ending.
        self._thread = Thread(target=_serve, args=(self._tx,), name="sqlite", daemon=True)

    @contextmanager
    async def cursor(self) -> aiosqlite.Cursor:
        return _Cursor(self, sqlite3.Cursor(self._conn))


def _serve(asked: SimpleQueue[tuple[asyncio.Future[Any] | None, Callable[[], Any]]]) -> None:
    """Does what is asked, in order, until it is asked to stop."""
    result = None
    while result is not _STOP_RUNNING_SENTINEL:
        future, function = asked.get()
        try:
            result = function()
            _answer(future, set_result, result)
        except BaseException as error:  # noqa: BLE001 - belongs to whoever asked, like the result
            _answer(future, set_exception, error)


def _answer(
    future: asyncio.Future[Any] | None, give: Callable[[asyncio.Future[Any], Any], None], what: Any
) -> None:
    """Gives ``what`` to whoever asked, if their loop still runs."""
    if future is not None:
        with suppress(RuntimeError):
            future.get_loop().call_soon_threadsafe(give, future, what)


def _run(cursor: sqlite3.Cursor, sql: str, parameters: Any) -> list[Any]:
    cursor.execute(sql, parameters)
    return cursor.fetchall() if cursor.description else []


def connect(database: str, **options: Any) -> aiosqlite.Connection:
    """A connection to await; ``options`` are those of :func:`sqlite3.connect`."""
    return _Connection(database, options)
