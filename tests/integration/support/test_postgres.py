"""The temporary PostgreSQL that other tests lean on is what they take it for."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.support import postgres
from tests.support.postgres import PostgresServer, PostgresStartError


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    if postgres.find_programs() is None:
        pytest.skip(postgres.MISSING)
    with PostgresServer() as started:
        yield started


def name() -> str:
    return f"test_{uuid4().hex}"


def ask(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement).fetchone()
    return row and row[0]


@pytest.mark.postgresql
class TestPostgresServer:
    def test_gives_the_service_a_role_that_owns_nothing(self, server: PostgresServer) -> None:
        database = server.create_database(name())
        question = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert ask(database.url, "SELECT current_user") == postgres.RUNTIME
        assert ask(database.owner_url, "SELECT current_user") == postgres.OWNER
        assert ask(database.url, question) is False
        with (
            psycopg.connect(database.url) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("CREATE TABLE mine (id int)")

    def test_copies_a_template(self, server: PostgresServer) -> None:
        template = server.create_database(name())
        with psycopg.connect(template.owner_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        copy = server.create_database(name(), template=template.name)
        assert ask(copy.owner_url, "SELECT n FROM kept") == 7

    def test_drops_a_database_that_is_in_use(self, server: PostgresServer) -> None:
        database = server.create_database(name())
        with psycopg.connect(database.owner_url) as connection:
            server.drop_database(database.name)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        server.drop_database(database.name)

    @pytest.mark.parametrize("bad", ["", "Robert'); --", "a" * 64])
    def test_refuses_names_that_need_quoting(self, server: PostgresServer, bad: str) -> None:
        with pytest.raises(ValueError, match="plain database name"):
            server.create_database(bad)

    def test_waits_for_the_disk_unless_told_not_to(self, server: PostgresServer) -> None:
        address = server.url(postgres.SUPERUSER, "postgres")
        assert ask(address, "SHOW fsync") == "on"
        assert ask(address, "SHOW listen_addresses") == "127.0.0.1"

    def test_comes_back_on_the_same_port_after_a_crash(self) -> None:
        if postgres.find_programs() is None:
            pytest.skip(postgres.MISSING)
        with PostgresServer() as server:
            database = server.create_database(name())
            with psycopg.connect(database.owner_url) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
            port, data = server.port, server.pid
            os.kill(data, signal.SIGQUIT)
            server.stop()
            server.start()
            assert server.port == port
            assert ask(database.owner_url, "SELECT n FROM kept") == 7

    def test_leaves_no_file_and_no_process(self) -> None:
        if postgres.find_programs() is None:
            pytest.skip(postgres.MISSING)
        with PostgresServer(fsync=False) as server:
            pid, folder = server.pid, server._data.parent
        assert not folder.exists()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    def test_ends_with_the_process_that_started_it(self) -> None:
        if postgres.find_programs() is None:
            pytest.skip(postgres.MISSING)
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is missing: install util-linux")
        script = (
            "import sys, time\nfrom tests.support.postgres import PostgresServer\n"
            "server = PostgresServer(fsync=False).__enter__()\n"
            "print(server.pid, server._data.parent, flush=True)\nsys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as parent:
            assert parent.stdout is not None
            pid, folder = parent.stdout.readline().split()
            ended = os.pidfd_open(int(pid))
            parent.kill()
        try:
            assert select.select([ended], [], [], 20)[0], "the server outlived its parent"
        finally:
            os.close(ended)
            shutil.rmtree(folder)

    def test_says_what_the_server_said_when_it_does_not_start(self) -> None:
        programs = postgres.find_programs()
        if programs is None:
            pytest.skip(postgres.MISSING)
        # Not in tmp_path: as root the server runs as another user, who could not get there.
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            for program in ("initdb", "pg_ctl"):
                (folder / program).symlink_to(programs / program)
            broken = folder / "postgres"
            broken.write_text("#!/bin/sh\necho no such luck\nexit 1\n")
            broken.chmod(0o755)
            with pytest.raises(PostgresStartError, match="no such luck"):
                PostgresServer(programs=folder).__enter__()


class TestFindPrograms:
    def test_prefers_the_newest_version(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for version in ("9.6", "15", "17"):
            folder = tmp_path / version / "bin"
            folder.mkdir(parents=True)
            for program in ("initdb", "pg_ctl", "postgres"):
                (folder / program).touch()
        (tmp_path / "17/bin/postgres").unlink()
        monkeypatch.setattr(postgres, "INSTALLATIONS", tmp_path)
        assert postgres.find_programs() == tmp_path / "15/bin"

    def test_finds_nothing_where_there_is_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres, "INSTALLATIONS", tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert postgres.find_programs() is None
        with pytest.raises(FileNotFoundError, match="apt-get install postgresql"):
            PostgresServer()
