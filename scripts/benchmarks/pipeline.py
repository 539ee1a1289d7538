"""The price of the pipeline: token introspection against a bare handler doing the same work."""

import json
from pathlib import Path
from typing import Final

import httpx

from scripts.benchmarks.load import Request, find_wrk, measure_rate
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.processes import installation, started, wait_until
from scripts.installation import HOST, accepts, free_ports

PATH: Final = "/oauth/introspect"
REFERENCE: Final = "bare Starlette + msgspec"
_CONNECTIONS: Final = 32
_WARM_SECONDS: Final = 1.0


def run_introspect(rounds: int, seconds: float) -> Result:
    """Requests a second that one API process answers, everything switched on."""
    with installation("api") as (platform, folder):
        caller, token = platform.token(), platform.token()
        (port,) = free_ports(1)
        known = _write_known(folder, platform.api_port, caller, token)
        arguments = ["--port", str(port), "--known", str(known)]
        log = folder / "reference.log"
        with started("scripts.benchmarks.pipeline_reference", arguments, platform.env, log):
            wait_until(lambda: accepts(port), "the reference's listening")
            mine, theirs = (_request(p, caller, token) for p in (platform.api_port, port))
            _refuse_difference(mine, theirs)

            def rate(request: Request, duration: float = seconds) -> float:
                return measure_rate(
                    request, connections=_CONNECTIONS, seconds=duration, folder=folder
                )

            for request in (mine, theirs):
                rate(request, _WARM_SECONDS)
            ours, reference = alternate(rounds, lambda: rate(mine), lambda: rate(theirs))
    name = REFERENCE if find_wrk() else f"{REFERENCE} (without wrk: generator-bound)"
    return Result("pipeline", "introspect", ours, reference, name, "requests/s")


def _request(port: int, caller: str, token: str) -> Request:
    headers = {
        "Authorization": f"Bearer {caller}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return Request(port, PATH, headers, f"token={token}".encode())


def _ask(request: Request) -> httpx.Response:
    url = f"http://{HOST}:{request.port}{request.path}"
    return httpx.post(url, headers=dict(request.headers), content=request.body)


def _write_known(folder: Path, api_port: int, caller: str, token: str) -> Path:
    """What the reference looks up: the caller, and the answer about the token."""
    answer = _ask(_request(api_port, caller, token))
    if answer.status_code != httpx.codes.OK or not answer.json()["active"]:
        raise BenchmarkError(f"introspection says {answer.status_code} {answer.text[:200]}")
    path = folder / "known.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"callers": {caller: "client"}, "tokens": {token: answer.json()}}))
    return path


def _refuse_difference(mine: Request, theirs: Request) -> None:
    """Two servers that do not answer the same do not do the same work."""
    answers = [_ask(request).content for request in (mine, theirs)]
    if answers[0] != answers[1]:
        raise BenchmarkError("the reference answers something else than the API")
