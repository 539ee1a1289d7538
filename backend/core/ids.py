"""Identifiers: UUIDv7 (RFC 9562, section 5.7), time-ordered without a central counter."""

import os
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Final

PLATFORM_TENANT = "00000000-0000-0000-0000-000000000000"
"""The tenant of acts that belong to no customer: creating tenants, signing keys, log-ins."""

_lock = threading.Lock()
_last = 0
# The system is asked for random bytes of many ids at once: each call costs as much as an id.
_DRAWN_BYTES: Final = 4096
_drawn: Iterator[tuple[int]] = iter(())


def _forget_drawn() -> None:
    global _drawn  # noqa: PLW0603 - a forked process must not make its parent's ids
    _drawn = iter(())


os.register_at_fork(after_in_child=_forget_drawn)


def uuid7() -> str:
    """A new UUIDv7 as text, strictly increasing within this process.

    The 12 bits after the version hold the fraction of the millisecond (RFC 9562, method 3), so
    ids made in one millisecond still sort in the order they were made.
    """
    global _last, _drawn  # noqa: PLW0603 - the counter is the point: one per process
    stamp = time.time_ns() * 4096 // 1_000_000
    with _lock:
        stamp = _last = max(stamp, _last + 1)
        try:
            (drawn,) = next(_drawn)
        except StopIteration:
            _drawn = struct.iter_unpack("=Q", os.urandom(_DRAWN_BYTES))
            (drawn,) = next(_drawn)
    # Every request makes one: as text at once, which costs a third of a UUID object's way there.
    rest = 1 << 63 | drawn >> 2
    made = f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}{rest:016x}"
    return f"{made[:8]}-{made[8:12]}-{made[12:16]}-{made[16:20]}-{made[20:]}"


def uuid7_at(at: datetime) -> str:
    """What stands before every UUIDv7 made at this time or later, and after all earlier ones.

    None was made before 1970: of an earlier time it is the least there can be.
    """
    return str(uuid.UUID(int=max(0, int(at.timestamp() * 1000)) << 80 | 0x7 << 76))
