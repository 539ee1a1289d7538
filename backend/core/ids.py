"""Identifiers: UUIDv7 (RFC 9562, section 5.7), time-ordered without a central counter."""

import os
import threading
import time
import uuid
from datetime import datetime

PLATFORM_TENANT = "00000000-0000-0000-0000-000000000000"
"""The tenant of acts that belong to no customer: creating tenants, signing keys, log-ins."""

_lock = threading.Lock()
_last = 0


def uuid7() -> str:
    """A new UUIDv7 as text, strictly increasing within this process.

    The 12 bits after the version hold the fraction of the millisecond (RFC 9562, method 3), so
    ids made in one millisecond still sort in the order they were made.
    """
    global _last  # noqa: PLW0603 - the counter is the point: one per process
    stamp = time.time_ns() * 4096 // 1_000_000
    with _lock:
        stamp = _last = max(stamp, _last + 1)
    # Every request makes one: as text at once, which costs a third of a UUID object's way there.
    rest = 1 << 63 | int.from_bytes(os.urandom(8)) >> 2
    made = f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}{rest:016x}"
    return f"{made[:8]}-{made[8:12]}-{made[12:16]}-{made[16:20]}-{made[20:]}"


def uuid7_at(at: datetime) -> str:
    """What stands before every UUIDv7 made at this time or later, and after all earlier ones."""
    return str(uuid.UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76))
