"""A Prometheus for tests: the real server, and a stand-in for tests of who may ask at all."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

MISSING: Final = "prometheus is missing: scripts/setup --all, or apt-get install prometheus"
AMTOOL_MISSING: Final = (
    "amtool is missing: scripts/setup --all, or apt-get install prometheus-alertmanager"
)
_START_SECONDS: Final = 60.0

Reply = Callable[[str, Mapping[str, list[str]]], tuple[int, Any]]
"""By path and query: the status and the JSON of an answer."""


def nothing(path: str, _: Mapping[str, list[str]]) -> tuple[int, Any]:
    """No series, no target, no rule."""
    data: Any = []
    if path in {"/api/v1/query", "/api/v1/query_range"}:
        data = {"resultType": "vector", "result": []}
    elif path == "/api/v1/targets":
        data = {"activeTargets": [], "droppedTargets": []}
    elif path == "/api/v1/rules":
        data = {"groups": []}
    return 200, {"status": "success", "data": data}


@contextmanager
def stand_in(reply: Reply = nothing) -> Iterator[str]:
    """A server on a free port that answers as ``reply`` says; gives its address.

    By itself it knows no series: for tests of everything but what Prometheus does.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, told = reply(parts.path, parse_qs(parts.query, keep_blank_values=True))
            plain = isinstance(told, bytes)
            body = told if plain else json.dumps(told).encode()
            kind = "text/plain; version=0.0.4" if plain else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            # Who asked may not wait any more.
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class PrometheusServer:
    """A real one on a free port, with the series of a file and no others; killed on leaving.

    Args:
        folder: Of its own, for its configuration and its blocks.
        exposed: Text format; scraped as targets, each with the labels it is given.
        rules: A file of rules.
        alertmanagers: Where its alerts go, as its configuration has it.
    """

    folder: Path
    exposed: Mapping[str, tuple[Mapping[str, str], str]]
    rules: str = ""
    alertmanagers: Sequence[Mapping[str, Any]] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._exposition = stand_in(self._expose)
        host = self._exposition.__enter__().removeprefix("http://")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rules.yml").write_text(self.rules or "groups: []")
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.folder / "rules.yml")],
            "alerting": {"alertmanagers": list(self.alertmanagers)},
            "scrape_configs": [
                {
                    "job_name": name,
                    "metrics_path": f"/{name}",
                    "static_configs": [{"targets": [host], "labels": dict(labels)}],
                }
                for name, (labels, _) in self.exposed.items()
            ],
        }
        # JSON is YAML.
        (self.folder / "prometheus.yml").write_text(json.dumps(configuration))
        prefix = ["setpriv", "--pdeathsig=KILL"] if shutil.which("setpriv") else []
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *prefix,
                    "prometheus",
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    # What fires before it knows its alertmanagers is told a minute later.
                    "--rules.alert.resend-delay=1s",
                ],
                stdout=log,
                stderr=log,
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._exposition.__exit__(None, None, None)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _expose(self, path: str, _: Mapping[str, list[str]]) -> tuple[int, bytes]:
        return 200, self.exposed[path.removeprefix("/")][1].encode()

    def _wait(self) -> None:
        """Until each target was scraped twice: it sees none of them for the first five seconds."""
        until = time.monotonic() + _START_SECONDS
        asked = {"query": "count(count_over_time(up[1m]) > 1)"}
        while True:
            try:
                told = httpx.get(f"{self.url}/api/v1/query", params=asked, timeout=5).json()
                found = told["data"]["result"]
                if found and int(found[0]["value"][1]) == len(self.exposed):
                    return
            except (httpx.HTTPError, ValueError, KeyError):
                pass
            assert self.process is not None
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.1)


@pytest.fixture(scope="session")
def prometheus_stand_in() -> Iterator[str]:
    """The address of one that answers every question with nothing."""
    with stand_in() as url:
        yield url


def needs_prometheus() -> None:
    """Skip, saying what to install, where there is none."""
    if shutil.which("prometheus") is None:
        pytest.skip(MISSING)


def needs_amtool() -> str:
    """Alertmanager's command; skip, saying what to install, where there is none."""
    found = shutil.which("amtool")
    if found is None:
        pytest.skip(AMTOOL_MISSING)
    return found
