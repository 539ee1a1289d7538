"""HTTP load: ``wrk`` for rates, and a small generator of our own for counted requests.

The generator is Python on one core: it costs about 50 us a request and gives out somewhere above
ten thousand a second. That is far from the hundreds of requests a second that the e-mail benchmark
sends; where it stands in for a missing ``wrk`` it pulls the ratio of two fast servers towards 1,
and says so.
"""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import uvloop

from backend.core.clock import epoch_nanoseconds, monotonic
from scripts.benchmarks.measure import BenchmarkError
from scripts.installation import HOST

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PATIENCE_SECONDS: Final = 120.0
_LUA: Final = """\
wrk.method = "POST"
wrk.body = %(body)s
%(headers)s
function done(summary, latency, requests)
  io.write(string.format(
    '\\nRESULT {"requests": %%d, "microseconds": %%d, "failures": %%d, "p99_us": %%d}\\n',
    summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
      + summary.errors.timeout,
    latency:percentile(99)))
end
"""


def find_wrk() -> str | None:
    """The path of wrk, or None."""
    return shutil.which("wrk")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, the same every time."""

    port: int
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    method: str = "POST"

    def to_bytes(self) -> bytes:
        """As it goes over the wire."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\n{head}"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        ).encode() + self.body


def measure_rate(request: Request, *, connections: int, seconds: float, folder: Path) -> float:
    """Requests a second, all of them answered 2xx.

    Raises:
        BenchmarkError: A request failed: a rate of errors is no rate.
    """
    wrk = find_wrk()
    if wrk is None:
        return _rate_of_own(request, connections, seconds)
    script = folder / "post.lua"
    script.touch(mode=0o600)
    headers = "\n".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}"
        for name, value in request.headers.items()
    )
    script.write_text(_LUA % {"body": json.dumps(request.body.decode()), "headers": headers})
    done = subprocess.run(
        [
            wrk,
            "-t1",
            f"-c{connections}",
            f"-d{seconds:g}s",
            # Two seconds otherwise: what a busy machine is late with was not refused.
            f"--timeout={_PATIENCE_SECONDS:g}s",
            "-s",
            str(script),
            f"http://{HOST}:{request.port}{request.path}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + _PATIENCE_SECONDS,
    )
    found = re.search(r"^RESULT (\{.*\})$", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise BenchmarkError(f"wrk failed: {(done.stderr or done.stdout).strip()[-300:]}")
    summary = json.loads(found[1])
    if summary["failures"] or not summary["requests"]:
        raise BenchmarkError(f"{summary['failures']} of {summary['requests']} requests failed")
    return float(summary["requests"] / (summary["microseconds"] / 1e6))


def _rate_of_own(request: Request, connections: int, seconds: float) -> float:
    raw = request.to_bytes()
    deadline = monotonic() + seconds

    def endless() -> Iterator[bytes]:
        while monotonic() < deadline:
            yield raw

    began = monotonic()
    count = uvloop.run(_drive(request.port, endless(), connections))
    return count / (monotonic() - began)


def send_all(requests: Sequence[Request], *, clients: int) -> int:
    """Send each request once over ``clients`` kept connections; the epoch ns of the first one.

    Returns when all are answered.

    Raises:
        BenchmarkError: One was not answered 2xx.
    """
    raw = [request.to_bytes() for request in requests]
    began = epoch_nanoseconds()
    uvloop.run(_drive(requests[0].port, iter(raw), clients))
    return began


async def _drive(port: int, source: Iterator[bytes], clients: int) -> int:
    loop = asyncio.get_running_loop()
    drivers = []
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            for _ in range(clients):
                _, driver = await loop.create_connection(lambda: _Driver(source), HOST, port)
                drivers.append(driver)
            await asyncio.gather(*(driver.done for driver in drivers))
    except TimeoutError:
        raise BenchmarkError(f"no end of requests within {_PATIENCE_SECONDS:g} s") from None
    return sum(driver.answered for driver in drivers)


class _Driver(asyncio.Protocol):
    """One connection: sends what the source gives next as soon as the last answer is in."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self.answered = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._source = source
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(BenchmarkError(f"the server hung up: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(self._buffer, 0, head)
        if length is None:
            self._fail("an answer without a length")
            return
        if len(self._buffer) < head + 4 + int(length[1]):
            return
        if self._buffer[9:10] != b"2":
            self._fail(self._buffer.decode("latin-1")[:400])
            return
        self._buffer = b""
        self.answered += 1
        self._next()

    def _next(self) -> None:
        request = next(self._source, None)
        if self._transport is None or self.done.done():
            return
        if request is None:
            self.done.set_result(None)
            self._transport.close()
        else:
            self._transport.write(request)

    def _fail(self, reason: str) -> None:
        self.done.set_exception(BenchmarkError(reason))
        if self._transport is not None:
            self._transport.close()
