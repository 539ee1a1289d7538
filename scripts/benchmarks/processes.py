"""What benchmarks need of an installation: limits that never refuse, and waiting for things."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from backend.core.clock import monotonic
from scripts.benchmarks.measure import BenchmarkError
from scripts.installation import Installation, spawn, stop

_READY_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1

# The limiter stays in the way of every request and decides on each; it only never says no.
GENEROUS: Final = {
    f"{level}{what}": str(value)
    for level in (
        *("GATEWAY__COARSE_", "GATEWAY__TENANT_", "GATEWAY__CLIENT_", "GATEWAY__INTROSPECT_"),
        *("GATEWAY__OTHER_", "EMAIL__", "SECURITY__"),
    )
    for what, value in (("REQUESTS_PER_SECOND", 1_000_000), ("BURST_REQUESTS", 10_000_000))
} | {
    "GATEWAY__TENANT_BYTES_PER_SECOND": str(10**12),
    "GATEWAY__TENANT_BURST_BYTES": str(10**13),
}


def wait_until(
    ready: Callable[[], bool],
    what: str,
    seconds: float = _READY_SECONDS,
    *,
    every: float = _POLL_SECONDS,
) -> None:
    """Poll ``ready`` each ``every`` seconds, for ``seconds`` at most.

    Raises:
        BenchmarkError: It never was; names ``what``.
    """
    deadline = monotonic() + seconds
    while not ready():
        if monotonic() > deadline:
            raise BenchmarkError(f"{what} did not happen within {seconds:g} s")
        time.sleep(every)


@contextlib.contextmanager
def started(
    module: str, arguments: Sequence[str], env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m module`` while the block lasts, its output in ``log``."""
    process = spawn(module, arguments, env, log)
    try:
        yield process
    finally:
        stop(process)


@contextlib.contextmanager
def installation(
    *programs: str, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[Installation, Path]]:
    """An installation with these programs serving, and a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="email-sender-bench-") as name:
        folder = Path(name)
        with Installation(folder, {**GENEROUS, **(settings or {})}) as platform:
            for program in programs:
                platform.start(program)
                wait_until(partial(platform.serves, program), f"the {program}'s serving")
            yield platform, folder
