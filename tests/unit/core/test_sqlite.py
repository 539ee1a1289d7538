"""The SQLite driver shim: the same answers as the driver's own, by fewer trips to its thread."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core import _sqlite
from backend.core.database import make_engine


@pytest.fixture
async def engine(tmp_path: Path):
    made = make_engine(f"sqlite:///{tmp_path / 'test.db'}", pool_size=1)
    async with made.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE t (n INTEGER UNIQUE)"))
        await connection.execute(
            sa.text("INSERT INTO t VALUES (:n)"), [{"n": n} for n in range(200)]
        )
    yield made
    await made.dispose()


class TestStatement:
    async def test_takes_one_trip_with_its_rows(self, engine: AsyncEngine, monkeypatch):
        trips: list[Any] = []
        passed = _sqlite._Connection._execute

        async def counted(self, fn, *args, **kwargs):
            trips.append(fn)
            return await passed(self, fn, *args, **kwargs)

        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))  # the BEGIN comes with the first one
            monkeypatch.setattr(_sqlite._Connection, "_execute", counted)
            rows = (await connection.execute(sa.text("SELECT n FROM t"))).all()
            monkeypatch.undo()
        assert len(rows) == 200
        assert trips == [_sqlite._run]

    async def test_gives_every_row_once_when_streamed(self, engine: AsyncEngine):
        async with engine.connect() as connection:
            stream = await connection.stream(sa.text("SELECT n FROM t ORDER BY n"))
            first = await stream.fetchone()
            some = await stream.fetchmany(70)
            rest = [row async for row in stream]
        assert first is not None
        assert [row.n for row in (first, *some, *rest)] == list(range(200))

    async def test_raises_what_the_database_raised(self, engine: AsyncEngine):
        async with engine.connect() as connection:
            with pytest.raises(sa.exc.IntegrityError):
                await connection.execute(sa.text("INSERT INTO t VALUES (1)"))

    @pytest.mark.parametrize("how", ["close", "stop"])
    async def test_leaves_no_lock_with_a_cursor_that_outlives_it(self, engine, tmp_path, how):
        path = str(tmp_path / "test.db")
        connection = await _sqlite.connect(path, isolation_level=None)
        begin, amid = await connection.cursor(), await connection.cursor()
        await begin.execute("BEGIN IMMEDIATE")
        # As the traceback of a cancelled task has it.
        await amid.executemany("INSERT INTO t VALUES (?)", [(1001,), (1002,)])
        await getattr(connection, how)()
        with sqlite3.connect(path, timeout=0) as other:
            other.execute("INSERT INTO t VALUES (1003)")
            (found,) = other.execute("SELECT count(*) FROM t WHERE n > 1000").fetchone()
        other.close()
        assert found == 1
        del amid

    async def test_returns_what_it_inserted(self, engine: AsyncEngine):
        async with engine.begin() as connection:
            found = await connection.execute(
                sa.text("INSERT INTO t VALUES (:n) RETURNING n"), {"n": 1000}
            )
            assert found.scalar_one() == 1000

    async def test_leaves_no_lock_behind_when_only_the_first_row_was_wanted(
        self, engine: AsyncEngine, tmp_path: Path
    ):
        async with engine.connect() as connection:
            assert (await connection.execute(sa.text("SELECT n FROM t"))).first() is not None
            await connection.commit()
        other = sqlite3.connect(tmp_path / "test.db", timeout=0)
        try:
            # A checkpoint that truncates needs every reader gone.
            (busy, _, _) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            other.close()
        assert busy == 0

    async def test_cancelled_on_its_way_leaves_the_write_lock_free(
        self, engine: AsyncEngine, tmp_path: Path
    ):
        blocker = sqlite3.connect(tmp_path / "test.db", timeout=0, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")

        async def write() -> None:
            async with engine.begin() as connection:
                await connection.execute(sa.text("DELETE FROM t"))

        task = asyncio.create_task(write())
        done, _ = await asyncio.wait([task], timeout=0.2)
        assert not done, "the statement should be waiting for the lock"
        task.cancel()
        blocker.execute("ROLLBACK")
        with pytest.raises(asyncio.CancelledError):
            await task
        blocker.execute("PRAGMA busy_timeout=5000")
        blocker.execute("BEGIN IMMEDIATE")
        (count,) = blocker.execute("SELECT count(*) FROM t").fetchone()
        blocker.close()
        assert count == 200


class TestThread:
    def test_outlives_the_loop_that_asked(self, tmp_path: Path):
        entered, leave = threading.Event(), threading.Event()

        def wait() -> int:
            entered.set()
            return int(leave.wait(30))

        async def ask() -> Any:
            connection = await _sqlite.connect(str(tmp_path / "test.db"))
            await connection.create_function("wait", 0, wait)
            statement = asyncio.create_task(connection.execute_fetchall("SELECT wait()"))
            await asyncio.to_thread(entered.wait, 30)
            statement.cancel()
            return connection

        # Were the answer to bring the thread down, pytest would report its exception here.
        connection = asyncio.run(ask())
        leave.set()
        rows = asyncio.run(asyncio.wait_for(connection.execute_fetchall("SELECT 1"), 30))
        assert rows == [(1,)]
        asyncio.run(connection.close())
        connection._thread.join(30)
        assert not connection._thread.is_alive()

    def test_is_stopped_after_a_database_that_did_not_open(self, tmp_path: Path):
        connection = _sqlite.connect(str(tmp_path / "no" / "such.db"))

        async def ask() -> None:
            await connection

        with pytest.raises(sqlite3.OperationalError):
            asyncio.run(ask())
        connection._thread.join(30)
        assert not connection._thread.is_alive()
