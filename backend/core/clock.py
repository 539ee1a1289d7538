"""The only place that asks the machine for the time.

Business times come from the injected clock; leases and due times from the database's
(:func:`backend.core.database.db_now`), because workers on several hosts must agree.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns an aware UTC datetime."""


def system_clock() -> datetime:
    """Now, aware, UTC."""
    return datetime.now(UTC)


monotonic = time.monotonic
perf_counter = time.perf_counter
epoch_nanoseconds = time.time_ns
