"""A temporary Redis server for tests: real, private to one test process, gone afterwards."""

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Self

import pytest
import redis

MISSING: Final = "redis-server is missing: scripts/setup --all, or apt-get install redis-server"
_START_SECONDS: Final = 20.0


@dataclass
class RedisServer:
    """Starts a server on a free port of 127.0.0.1 on entering, and stops it on leaving.

    It keeps nothing on disk: what :meth:`stop` ends is forgotten, as in a crash without a file.
    """

    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        # Whatever becomes of this process, the server does not outlive it.
        prefix = ["setpriv", "--pdeathsig=KILL"] if shutil.which("setpriv") else []
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no"}
        command = [*prefix, "redis-server"]
        for name, value in options.items():
            command += [f"--{name}", value]
        self.process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL)
        until = time.monotonic() + _START_SECONDS
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.exceptions.ConnectionError:
                    if time.monotonic() > until or self.process.poll() is not None:
                        raise
                    time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for the test process; skips, saying what to install, where there is none."""
    if shutil.which("redis-server") is None:
        pytest.skip(MISSING)
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_prefix() -> str:
    """A prefix of keys that no other test has."""
    return f"t{secrets.token_hex(6)}:"
