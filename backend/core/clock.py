"""The only place that asks the machine for the time.

Business times come from the injected clock; leases and due times from the database's
(:func:`backend.core.database.db_now`), because workers on several hosts must agree.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

Clock = Callable[[], datetime]
"""Returns an aware UTC datetime."""


def system_clock() -> datetime:
    """Now, aware, UTC."""
    return datetime.now(UTC)


def elapsed() -> float:
    """Seconds since some moment, those in which this machine slept included where it can tell.

    For what others hold us to while we sleep: a lease goes on running out.
    """
    return time.clock_gettime(_SLEEPLESS)


_SLEEPLESS: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
monotonic = time.monotonic
perf_counter = time.perf_counter
epoch_nanoseconds = time.time_ns
