"""A temporary PostgreSQL server for tests: real, private to one test process, gone afterwards.

It listens on a free port of 127.0.0.1 only and keeps its files in a folder of its own, so any
number of test processes can run side by side. Nothing but the server's own data folder decides
which process is stopped.
"""

import getpass
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psycopg
import pytest
from psycopg import sql

INSTALLATIONS = Path("/usr/lib/postgresql")
"""Where Debian and its relatives keep one folder a major version."""

SUPERUSER: Final = "postgres"
OWNER: Final = "email_sender_owner"
RUNTIME: Final = "email_sender"

MISSING: Final = (
    "PostgreSQL's server programs (initdb, pg_ctl, postgres) are missing: install them with "
    "`apt-get install postgresql` or your system's package manager, or put them on PATH"
)
_PROGRAMS: Final = ("initdb", "pg_ctl", "postgres")
_START_SECONDS: Final = 30.0
_ATTEMPTS: Final = 3
_MEMORY: Final = "/dev/shm"  # noqa: S108 - what is made there has a name of its own
_ROOM_BYTES: Final = 2 * 2**30
_STRATEGIES_SINCE: Final = 150_000
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _in_memory() -> str | None:
    """A folder in memory with room for a server, where there is one; the run's own, if it has one.

    What needs not survive a crash needs no disk: copies of a template wait for theirs, each for up
    to a second of a disk that others use as well.
    """
    if own := os.environ.get("EMAIL_SENDER_TESTS_IN_MEMORY"):
        return own
    try:
        free = shutil.disk_usage(_MEMORY).free
    except OSError:
        return None
    return _MEMORY if free >= _ROOM_BYTES and os.access(_MEMORY, os.W_OK) else None


class PostgresStartError(RuntimeError):
    """The server did not come up; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """One database of the server, and how each of the two roles reaches it.

    ``owner_url`` is for migrations; ``url`` is for the service, whose role owns nothing, is no
    superuser and cannot bypass row-level security. Both say ``postgresql://``.
    """

    name: str
    url: str
    owner_url: str


def find_programs() -> Path | None:
    """The folder of the newest PostgreSQL server programs on this machine, or None."""
    newest_first = sorted(
        INSTALLATIONS.glob("*/bin"), key=lambda path: _version(path.parent.name), reverse=True
    )
    on_path = shutil.which("initdb")
    folders = [*newest_first, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((f for f in folders if all((f / program).exists() for program in _PROGRAMS)), None)


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", name))


class PostgresServer:
    """Starts a server on entering and stops it, files and all, on leaving.

    The server refuses to run as root; as root it is given to the system user ``postgres``. When
    this process dies without leaving the block, the kernel takes the server down with it wherever
    ``setpriv`` is available.
    """

    def __init__(
        self, *, fsync: bool = True, programs: Path | None = None, place: Path | None = None
    ) -> None:
        """Choose the programs; nothing runs yet.

        Args:
            fsync: Whether a commit waits for the disk. Only tests that pull no plug may go
                without, which saves most of the time of small transactions.
            programs: The folder of ``initdb``, ``pg_ctl`` and ``postgres``; found when not given.
            place: In which folder its own is made; one that anybody may enter.

        Raises:
            FileNotFoundError: The programs are not on this machine.
        """
        found = programs or find_programs()
        if found is None:
            raise FileNotFoundError(MISSING)
        self._programs = found
        self._fsync = fsync
        self._place = place
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._version = 0

    def __enter__(self) -> Self:
        # Not pytest's own temporary folder: that one is closed to every user but its maker, and
        # as root the server is another user.
        place = self._place or (_in_memory() if not self._fsync else None)
        self._folder = Path(tempfile.mkdtemp(prefix="email-sender-postgres-", dir=place))
        try:
            self._initialise()
            self.start()
            self._create_roles()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def runs(self) -> bool:
        """Whether the process is there: a server whose log cannot be written ends by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running server, for drills that kill it."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server on its data folder and wait until it answers.

        The port is kept over restarts. At the first start a port that another process took
        between choosing and binding is given up for a new one.

        Raises:
            PostgresStartError: It ended, or did not answer within 30 seconds.
        """
        attempts = 1 if self.port else _ATTEMPTS
        for attempt in range(1, attempts + 1):
            port = self.port or _free_port()
            self._spawn(port)
            try:
                self._wait(port)
            except PostgresStartError:
                self.stop()
                if attempt == attempts:
                    raise
            else:
                self.port = port
                return

    def stop(self) -> None:
        """Stop at once, as a crash would: the next start recovers. Stopped already is fine."""
        if self._process is None:
            return
        if self._process.poll() is None:
            stopped = self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate", "-w")
            if stopped.returncode:
                # No pid file yet, or gone: the process we started is ours to end all the same.
                self._process.kill()
        self._process.wait()
        self._process = None

    def create_database(self, name: str, *, template: str | None = None) -> PostgresDatabase:
        """Create an empty database, or a copy of ``template``, owned by the owner role.

        Copying needs the template to have no open connection. With fsync off, in memory, a copy of
        seventy tables takes 40 ms: cheap enough for every test.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a plain database name: {name!r}")
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template or "template0")
        )
        if self._version >= _STRATEGIES_SINCE:
            # The default since 15 writes every page to the log: ten times slower for small copies.
            statement += sql.SQL(" STRATEGY file_copy")
        self._administer(statement)
        return self.database(name)

    def drop_database(self, name: str) -> None:
        """Drop the database if it exists, ending whoever is still connected to it."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        self._administer(statement)

    def checkpoint(self) -> None:
        """Write all that was changed to the disk, now: it would go on for minutes by itself."""
        self._administer(sql.SQL("CHECKPOINT"))

    def database(self, name: str) -> PostgresDatabase:
        """One of this name, which exists."""
        return PostgresDatabase(name, self.url(RUNTIME, name), self.url(OWNER, name))

    def url(self, role: str, database: str) -> str:
        """The address of ``database`` for ``role``; roles need no password here."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    @property
    def folder(self) -> Path:
        """Where all that it writes lies, its log included."""
        return self._data.parent

    @property
    def _data(self) -> Path:
        if self._folder is None:
            raise RuntimeError("the server has no folder: enter it with `with` first")
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._data.parent / "server.log"

    def _initialise(self) -> None:
        if self._folder is not None and self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        arguments = ("-D", str(self._data), "-A", "trust", "-U", SUPERUSER, "--no-sync")
        # One collation on every machine: byte order.
        done = self._run("initdb", *arguments, "--encoding=UTF8", "--no-locale")
        if done.returncode:
            raise PostgresStartError(f"initdb failed:\n{done.stdout}")

    def _spawn(self, port: int) -> None:
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on" if self._fsync else "off",
            "synchronous_commit": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            "max_connections": 200,
            "shared_buffers": "64MB",
            "max_wal_size": "256MB",
            "timezone": "UTC",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", "-D", str(self._data), *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                # Its own session: a Ctrl-C for the tests must not reach the server first.
                start_new_session=True,
            )

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        address = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres?connect_timeout=2"
        while self._process is not None and self._process.poll() is None:
            try:
                with psycopg.connect(address) as connection:
                    row = connection.execute("SHOW data_directory").fetchone()
                    self._version = connection.info.server_version
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
            else:
                # Somebody else's server may sit on the port while ours is still failing to bind.
                if row is not None and Path(row[0]).resolve() == self._data.resolve():
                    return
                break
        log = self._log.read_text(errors="replace") if self._log.exists() else ""
        raise PostgresStartError(f"PostgreSQL did not start on port {port}:\n{log[-4000:]}")

    def _create_roles(self) -> None:
        for role in (OWNER, RUNTIME):
            options = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"
            statement = sql.SQL("CREATE ROLE {} " + options).format(sql.Identifier(role))
            self._administer(statement)

    def _administer(self, statement: sql.Composed | sql.SQL) -> None:
        address = self.url(SUPERUSER, "postgres")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(program, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            check=False,
        )

    def _command(self, program: str, *arguments: str) -> list[str]:
        # `setpriv` becomes the program instead of starting it, so the pid we hold is the server's.
        prefix: list[str] = []
        if setpriv := shutil.which("setpriv"):
            prefix = [setpriv, "--pdeathsig=QUIT"]
            if self._user is not None:
                prefix += [f"--reuid={self._user}", f"--regid={self._user}", "--init-groups"]
        elif self._user is not None:
            raise FileNotFoundError(
                "PostgreSQL refuses to run as root, and `setpriv` (package util-linux), which "
                f"would run it as {self._user!r} for {getpass.getuser()!r}, is missing"
            )
        return [*prefix, str(self._programs / program), *arguments]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the test process; skips, saying what to install, where there is none.

    Without fsync: a test of crash safety starts a server of its own.
    """
    if find_programs() is None:
        pytest.skip(MISSING)
    with PostgresServer(fsync=False) as server:
        yield server
