"""The price of a decision over three levels, against three hits of the package ``limits``."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import limits
import limits.aio.storage
import limits.aio.strategies
import limits.storage
import limits.strategies

from backend.kit.limiter import Charges, GcraLimiter, Level, RedisLimiter, policy_of
from scripts.benchmarks.measure import BenchmarkError, Result, alternate

_CALLERS: Final = 200
_AT_ONCE: Final = 32
_PLENTY: Final = 1_000_000_000
"""So many a second that nobody is refused: a refusal may be cheaper than a charge."""


def run_memory(rounds: int, decisions: int) -> Result:
    """Decisions a second within one process, by one thread."""
    limiter = GcraLimiter()
    asked = _charges()
    policy = policy_of(*(level for level, _ in asked[0]))
    storage = limits.storage.MemoryStorage()
    strategy = limits.strategies.FixedWindowRateLimiter(storage)
    item = limits.RateLimitItemPerSecond(_PLENTY)
    keys = [[(level.name, key) for level, key in charges] for charges in asked]

    def ours() -> bool:
        return all(
            limiter.decide(asked[number % _CALLERS], policy).allowed for number in range(decisions)
        )

    def theirs() -> bool:
        hit = strategy.hit
        for number in range(decisions):
            one, two, three = keys[number % _CALLERS]
            if not (hit(item, *one) and hit(item, *two) and hit(item, *three)):
                return False
        return True

    mine, reference = alternate(
        rounds, lambda: _rate(decisions, ours), lambda: _rate(decisions, theirs)
    )
    return Result("limiter", "memory-3-levels", mine, reference, _name("memory"), "decisions/s")


def run_redis(rounds: int, decisions: int) -> Result:
    """Decisions a second of one process that asks Redis for 32 requests at once."""
    with _redis() as url:
        mine, reference = alternate(
            rounds,
            lambda: asyncio.run(_ask_ours(url, decisions)),
            lambda: asyncio.run(_ask_limits(url, decisions)),
        )
    return Result("limiter", "redis-3-levels", mine, reference, _name("Redis"), "decisions/s")


async def _ask_ours(url: str, decisions: int) -> float:
    limiter = RedisLimiter(url, timeout_seconds=5.0)
    asked = _charges()
    policy = policy_of(*(level for level, _ in asked[0]))

    async def decide(number: int) -> bool:
        return (await limiter.decide(asked[number % _CALLERS], policy)).allowed

    try:
        return await _rate_at_once(decisions, decide)
    finally:
        await limiter.aclose()


async def _ask_limits(url: str, decisions: int) -> float:
    storage = limits.aio.storage.RedisStorage(f"async+{url}", implementation="redispy")
    strategy = limits.aio.strategies.FixedWindowRateLimiter(storage)
    item = limits.RateLimitItemPerSecond(_PLENTY)
    keys = [[(level.name, key) for level, key in charges] for charges in _charges()]

    async def decide(number: int) -> bool:
        return all([await strategy.hit(item, *key) for key in keys[number % _CALLERS]])

    return await _rate_at_once(decisions, decide)


def _charges() -> list[Charges]:
    """Of each of some callers: its tenant, itself, and its use of a class of routes."""
    tenant, client, emails = (Level(name, _PLENTY, _PLENTY) for name in ("tenant", "client", "e"))
    return [
        ((tenant, str(number % 10)), (client, str(number)), (emails, str(number)))
        for number in range(_CALLERS)
    ]


def _rate(decisions: int, work: Callable[[], bool]) -> float:
    began = time.perf_counter()
    _refuse_refusals(admitted=work())
    return decisions / (time.perf_counter() - began)


async def _rate_at_once(decisions: int, decide: Callable[[int], Awaitable[bool]]) -> float:
    await decide(0)  # connects, and loads the script

    async def caller(first: int) -> bool:
        return all([await decide(number) for number in range(first, decisions, _AT_ONCE)])

    began = time.perf_counter()
    done = await asyncio.gather(*(caller(first) for first in range(_AT_ONCE)))
    taken = time.perf_counter() - began
    _refuse_refusals(admitted=all(done))
    return decisions / taken


def _refuse_refusals(*, admitted: bool) -> None:
    if not admitted:
        raise BenchmarkError("a request was refused, which is other work than admitting it")


@contextmanager
def _redis() -> Iterator[str]:
    """A server on a free port that keeps nothing."""
    if shutil.which("redis-server") is None:
        raise BenchmarkError("redis-server is missing: scripts/setup --all installs it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    server = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def _name(where: str) -> str:
    return f"three hits of limits {limits.__version__} ({where}, fixed window)"
