"""Named keys over HTTP: what a thousand at once save, and what a durable record of each use costs.

Both sides ask one API process as ``email-sender serve`` starts it, with everything switched on and
limits that never refuse, over the same number of connections.
"""

import contextlib
import json
import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from scripts.benchmarks.load import Request, find_wrk, measure_rate
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.processes import installation, started, wait_until
from scripts.installation import HOST, Installation, accepts, free_ports
from tests.support.postgres import MISSING, PostgresServer, find_programs

_KEY: Final = "orders"
_CONTEXT: Final = "orders/4711"
_ITEMS: Final = 1000
_ITEM_BYTES: Final = 1024
_CONNECTIONS: Final = {"batch": 16, "audit": 256}
_WARM_SECONDS: Final = 1.0


def run_batch(rounds: int, seconds: float) -> Result:
    """Bytes of plaintext a second: a thousand values of 1 KiB a request against one a request."""
    items = [_body(_ITEM_BYTES) for _ in range(_ITEMS)]
    with _serving("sqlite") as (platform, folder):
        token = platform.token()
        many = _request(platform.api_port, token, "encrypt/batch", {"items": items})
        one = _request(platform.api_port, token, "encrypt", items[0])
        if _ask(many)["failed"] or _ask(one)["version"] != 1:
            raise BenchmarkError("not everything was encrypted")

        def rate(request: Request, bytes_each: int, duration: float = seconds) -> float:
            return bytes_each * measure_rate(
                request, connections=_CONNECTIONS["batch"], seconds=duration, folder=folder
            )

        size = _ITEMS * _ITEM_BYTES
        rate(many, size, _WARM_SECONDS)
        rate(one, _ITEM_BYTES, _WARM_SECONDS)
        ours, reference = alternate(
            rounds, lambda: rate(many, size), lambda: rate(one, _ITEM_BYTES)
        )
    named = _named("one a request")
    return Result("batch", "encrypt-1000x1KiB", ours, reference, named, "bytes/s", 10)


def run_audit(case: str, rounds: int, seconds: float) -> Result:
    """Requests a second that encrypt 1 KiB, each answered once its record is durable.

    Args:
        case: ``postgresql`` (fsync on) or ``sqlite`` (FULL).
        rounds: As for all benchmarks.
        seconds: Of each run.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or a request failed.
    """
    with _serving(case) as (platform, folder):
        (port,) = free_ports(1)
        log = folder / "unrecorded.log"
        env = {**platform.env, "EMAIL_SENDER__HTTP__PORT": str(port)}
        with started("scripts.benchmarks.keys_reference", ["serve"], env, log):
            wait_until(lambda: accepts(port), "the reference's listening")
            token, body = platform.token(), _body(_ITEM_BYTES)
            mine, theirs = (_request(p, token, "encrypt", body) for p in (platform.api_port, port))
            for request in (mine, theirs):
                _ask(request)

            def rate(request: Request, duration: float = seconds) -> float:
                return measure_rate(
                    request, connections=_CONNECTIONS["audit"], seconds=duration, folder=folder
                )

            for request in (mine, theirs):
                rate(request, _WARM_SECONDS)
            ours, reference = alternate(rounds, lambda: rate(mine), lambda: rate(theirs))
    named = _named("the same without a record")
    return Result("audit", case, ours, reference, named, "requests/s", 0.6)


@contextlib.contextmanager
def _serving(case: str) -> Iterator[tuple[Installation, Path]]:
    """An API on a database of this kind, whose demo tenant has a key."""
    with contextlib.ExitStack() as stack:
        settings: dict[str, str] = {}
        if case == "postgresql":
            if find_programs() is None:
                raise BenchmarkError(MISSING)
            made = stack.enter_context(PostgresServer(fsync=True)).create_database("audit")
            settings = {"DATABASE__URL": made.url, "DATABASE__OWNER_URL": made.owner_url}
        platform, folder = stack.enter_context(installation("api", settings=settings))
        platform.command("crypto-key-create", _KEY, "--tenant", "demo")
        yield platform, folder


def _body(size_bytes: int) -> dict[str, str]:
    return {"plaintext": b64encode(os.urandom(size_bytes)).decode(), "context": _CONTEXT}


def _request(port: int, token: str, operation: str, body: Mapping[str, Any]) -> Request:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    content = json.dumps(body, separators=(",", ":")).encode()
    return Request(port, f"/api/v1/keys/{_KEY}/{operation}", headers, content)


def _ask(request: Request) -> Any:
    url = f"http://{HOST}:{request.port}{request.path}"
    answer = httpx.post(url, headers=dict(request.headers), content=request.body, timeout=30)
    if answer.status_code != httpx.codes.OK:
        raise BenchmarkError(f"{request.path} says {answer.status_code} {answer.text[:200]}")
    return answer.json()


def _named(reference: str) -> str:
    return reference if find_wrk() else f"{reference} (without wrk: generator-bound)"
