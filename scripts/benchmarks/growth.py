"""What a full database costs: the same work beside a million messages and beside ten thousand.

Two installations stand side by side, alike but for what one tenant has stored, and do the same in
turns. A database is filled once an invocation, by bulk statements, and serves all cases; a filled
SQLite file is kept in the cache for the next time.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Self

import sqlalchemy as sa

from backend.core.clock import monotonic
from backend.migrations import runner
from scripts.benchmarks.email import deliver, requests_of
from scripts.benchmarks.load import Request, send_all
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.processes import GENEROUS, wait_until
from scripts.installation import Client, Installation
from tests.support.growth import act_as, address_of, fill
from tests.support.postgres import MISSING, PostgresServer, find_programs

MESSAGES: Final = 1_000_000
FEW: Final = 10_000
_CLIENTS: Final = 8
# Seconds of work a run on a small machine.
_READS: Final = 600
_OVERVIEWS: Final = 400
_SENT: Final = 1_000
_DELIVERED: Final = 2_000
_SETTINGS: Final = {
    # Nothing of what is stored may be swept while we measure beside it.
    "ORCHESTRATOR__KEEP_FINISHED_DAYS": "3000",
    "TELEMETRY__WORKER_METRICS_PORT": "0",
}


class Growth:
    """The cases, and the installations that they share; on leaving the block those are stopped.

    Attributes:
        messages: How many the full one has stored; a smaller number is for trying.
    """

    def __init__(self) -> None:
        self.messages = MESSAGES
        self._stack = contextlib.ExitStack()
        self._pairs: dict[str, tuple[_Side, _Side]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pairs.clear()
        self._stack.close()

    def cases(self) -> Mapping[str, Callable[[int], Result]]:
        """Every case by its name."""
        return {
            f"growth/{work}-{kind}": partial(self._run, work, kind)
            for kind in ("sqlite", "postgresql")
            for work in _WORK
        }

    def _run(self, work: str, kind: str, rounds: int) -> Result:
        full, new = self._pair(kind)
        measure = _WORK[work]
        with contextlib.ExitStack() as stack:
            for side in (full, new):
                for program in _PROGRAMS.get(work, ()):
                    stack.callback(side.platform.end, program)
                    side.platform.start(program)
                if work in _PROGRAMS:
                    wait_until(partial(side.platform.serves, "sink"), "the sink's serving")
                measure(side, 0.2)
            mine, theirs = alternate(rounds, partial(measure, full, 1), partial(measure, new, 1))
        return Result("growth", f"{work}-{kind}", mine, theirs, f"{FEW:,} stored", "a second")

    def _pair(self, kind: str) -> "tuple[_Side, _Side]":
        if kind not in self._pairs:
            server = None
            if kind == "postgresql":
                if find_programs() is None:
                    raise BenchmarkError(MISSING)
                server = self._stack.enter_context(PostgresServer(fsync=True))
            self._pairs[kind] = (
                self._stack.enter_context(_standing(self.messages, server)),
                self._stack.enter_context(_standing(FEW, server)),
            )
        return self._pairs[kind]


class _Side:
    """One installation that serves."""

    def __init__(self, platform: Installation, messages: int) -> None:
        self.platform = platform
        self.messages = messages
        self.token = platform.token()
        self._asked = 0

    def get(self, paths: Callable[[int], str], count: int) -> float:
        """Answers a second."""
        headers = {"Authorization": f"Bearer {self.token}"}
        requests = [
            Request(self.platform.api_port, paths(self._asked + number), headers, method="GET")
            for number in range(count)
        ]
        self._asked += count
        return self.send(requests)

    def send(self, requests: list[Request]) -> float:
        """Requests a second."""
        began = monotonic()
        send_all(requests, clients=_CLIENTS)
        return len(requests) / (monotonic() - began)


def _read(path: str, count: int, side: _Side, share: float) -> float:
    def paths(number: int) -> str:
        # Addresses of old messages and of new ones, in an order of no meaning.
        return path.format(address=address_of(number * 7919, side.messages))

    return side.get(paths, max(int(count * share), _CLIENTS))


def _send(side: _Side, share: float) -> float:
    count = max(int(_SENT * share), _CLIENTS)
    return side.send(list(requests_of("single", side.platform.api_port, side.token, count)))


def _deliver(side: _Side, share: float) -> float:
    count = max(int(_DELIVERED * share), 100)
    return deliver("batch100", side.platform, side.token, count)


_WORK: Final[Mapping[str, Callable[[_Side, float], float]]] = {
    "list-emails": partial(_read, "/api/v1/emails?limit=50", _READS),
    "list-by-recipient": partial(_read, "/api/v1/emails?limit=50&recipient={address}", _READS),
    "overview": partial(_read, "/api/v1/overview", _OVERVIEWS),
    "audit-list": partial(_read, "/api/v1/audit?limit=50", _READS),
    "deliver": _deliver,
    # Last: what it sends waits for a worker, and would be delivered before anything else.
    "send": _send,
}
_PROGRAMS: Final = {"deliver": ("sink", "worker")}


@contextlib.contextmanager
def _standing(messages: int, server: PostgresServer | None) -> Iterator[_Side]:
    """An API beside so many stored messages."""
    with tempfile.TemporaryDirectory(prefix="email-sender-bench-") as name:
        folder, settings, owner_url = Path(name), dict(_SETTINGS), ""
        if server is not None:
            made = server.create_database(f"stored_{messages}")
            settings |= {"DATABASE__URL": made.url, "DATABASE__OWNER_URL": made.owner_url}
            owner_url = made.owner_url
        platform = _Filled(folder, {**GENEROUS, **settings}, messages, owner_url)
        with platform:
            platform.start("api")
            wait_until(partial(platform.serves, "api"), "the API's serving")
            yield _Side(platform, messages)


class _Filled(Installation):
    """An installation whose demo tenant has stored so many messages."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], messages: int, owner_url: str
    ) -> None:
        super().__init__(folder, settings)
        self._folder = folder
        self._messages = messages
        self._owner_url = owner_url

    def make(self) -> None:
        began = monotonic()
        kept = None if self._owner_url else _cache() / f"sqlite-{self._messages}-{_schema()}"
        if kept is not None and (kept / "client.json").exists():
            shutil.copytree(kept / "data", self._folder / "data")
            self.logs.mkdir()
            self.client = Client(**json.loads((kept / "client.json").read_text()))
        else:
            super().make()
            url = self._owner_url or self.database_url
            fill(url, self.tenant_id, self._messages)
            _settle(url, self.tenant_id, self.client.client_id)
            if kept is not None:
                self._keep(kept)
        sys.stderr.write(f"    {self._messages:,} messages stored in {monotonic() - began:.0f} s\n")

    def _keep(self, kept: Path) -> None:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self._folder / "data", kept / "data")
        client = {
            "client_id": self.client.client_id,
            "client_secret": self.client.client_secret,
        }
        # Last: an interrupted copy is no copy.
        (kept / "client.json").touch(mode=0o600)
        (kept / "client.json").write_text(json.dumps(client))


def _settle(url: str, tenant_id: str, client_id: str) -> None:
    """Let the client ask for everything, and the database do what it does by itself later."""
    engine = sa.create_engine(runner.sync_url(url))
    is_postgresql = engine.dialect.name == "postgresql"
    with engine.begin() as connection:
        if is_postgresql:
            act_as(connection, tenant_id)
        # The demo client may neither see the overview nor the trail.
        promote = sa.text("UPDATE oauth_clients SET role = 'owner' WHERE client_id = :client")
        connection.execute(promote, {"client": client_id})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        tidy = "VACUUM ANALYZE" if is_postgresql else "PRAGMA wal_checkpoint(TRUNCATE)"
        connection.exec_driver_sql(tidy)
    engine.dispose()


def _schema() -> str:
    """The newest revision and who fills it: a file that another has filled is no use."""
    texts = [Path(sys.modules[name].__file__ or "") for name in (fill.__module__, __name__)]
    digest = hashlib.sha256(b"".join(text.read_bytes() for text in texts)).hexdigest()
    return f"{runner.head()}-{digest[:12]}"


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("EMAIL_SENDER_CACHE", home / "email-sender")) / "growth"
