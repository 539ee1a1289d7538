"""A process that consumes events and is made to be killed.

Appends ``<tenant> <first seq> <last seq>`` to the notes for each call, in one write, after which
the call has taken its events; and once, when it begins to serve, ``ready <pid>``. A second consumer
raises for ever.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Final

import uvloop

from backend.core.audit import sequence
from backend.core.cursors import EventConsumer, EventDispatcher
from backend.core.database import Database, make_engine
from backend.core.errors import UnavailableError
from backend.core.events import Event
from tests.support.trail import audit_row

NOTED, BROKEN = "drill.noted", "drill.broken"
BATCH: Final = 20
_SEQUENCE_SECONDS: Final = 0.05
_CALL_SECONDS: Final = 0.5
_WORK_SECONDS: Final = 0.01


async def consume(url: str, notes: str) -> None:
    """Number and consume until killed."""
    file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def note(tenant_id: str, events: Sequence[Event]) -> None:
        # In the middle of this most kills strike.
        await asyncio.sleep(_WORK_SECONDS)
        os.write(file, f"{tenant_id} {events[0].seq} {events[-1].seq}\n".encode())
        await asyncio.sleep(_WORK_SECONDS)

    async def fail(*_: object) -> None:
        raise ConnectionError

    consumers = [
        EventConsumer(
            name,
            take,
            start="beginning",
            batch=BATCH,
            timeout_seconds=_CALL_SECONDS,
            lease_margin_seconds=_CALL_SECONDS,
            max_backoff_seconds=2,
        )
        for name, take in ((NOTED, note), (BROKEN, fail))
    ]
    database = Database(make_engine(url, pool_size=4), audit_row=audit_row)
    async with EventDispatcher(database, consumers, poll_seconds=0.2).running():
        os.write(file, f"ready {os.getpid()}\n".encode())
        while True:
            try:
                await sequence(database)
            except UnavailableError:
                continue
            finally:
                await asyncio.sleep(_SEQUENCE_SECONDS)


def run(url: str, notes: str) -> None:
    """What the process does; its log stands beside the notes."""
    logging.basicConfig(filename=f"{notes}.log")
    uvloop.run(consume(url, notes))
