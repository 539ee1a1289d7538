"""Why a database cannot serve, in words that nothing of a driver's gets into."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from backend.core._outages import reason_of


def wrapped(cause: Exception) -> Exception:
    return sa.exc.OperationalError("SELECT 'secret'", {}, cause)


class TestReasonOf:
    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            (psycopg.errors.DiskFull, "its disk is full"),
            (psycopg.errors.TooManyConnections, "it has no connection left"),
            (psycopg.errors.CannotConnectNow, "it is starting or stopping"),
            (psycopg.errors.AdminShutdown, "it is stopping"),
            (psycopg.errors.ReadOnlySqlTransaction, "it can only be read"),
            (psycopg.errors.DeadlockDetected, "it refuses"),
            (psycopg.OperationalError, "it does not answer"),
        ],
    )
    def test_of_postgresql(self, state: type[psycopg.Error], reason: str) -> None:
        assert reason_of(wrapped(state("host=10.0.0.1 secret"))) == reason

    def test_of_a_lock_in_sqlite(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        with closing(sqlite3.connect(path)) as holder, closing(sqlite3.connect(path)) as other:
            holder.execute("BEGIN IMMEDIATE")
            other.execute("PRAGMA busy_timeout = 0")
            with pytest.raises(sqlite3.OperationalError) as raised:
                other.execute("BEGIN IMMEDIATE")
        assert reason_of(wrapped(raised.value)) == "somebody else holds its write lock"

    def test_of_a_full_file_in_sqlite(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "a.db")) as file:
            file.execute("CREATE TABLE t (a)")
            file.execute("PRAGMA max_page_count = 2")
            with pytest.raises(sqlite3.OperationalError) as raised:
                file.execute("INSERT INTO t VALUES (zeroblob(100000))")
        assert reason_of(wrapped(raised.value)) == "its disk is full"

    def test_of_a_file_that_cannot_be_opened(self, tmp_path: Path) -> None:
        with pytest.raises(sqlite3.OperationalError) as raised:
            sqlite3.connect(tmp_path / "missing" / "a.db")
        assert reason_of(raised.value) == "its file cannot be opened"

    def test_of_a_pool_and_of_sockets(self) -> None:
        assert reason_of(sa.exc.TimeoutError("secret")) == "all connections are in use"
        assert reason_of(ConnectionRefusedError("secret")) == "it does not answer"
