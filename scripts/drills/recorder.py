"""A process that records a business' metrics hour by hour of a made-up time, and is to be killed.

Told a day and an hour of it on its connection, it records that and the following hours of the day,
folds, rolls up and sweeps as a worker does, and says ``day`` once they are over. Appends ``begun
<hour>`` and, once the batch was answered for, ``done <hour>`` to its notes, each in one write.
"""

import asyncio
import logging
import os
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np
import uvloop

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, make_engine
from backend.managers.metrics import FORGETTING, Item, MetricsManager, MetricsSettings
from tests.support.trail import audit_row

SHOPS: Final = tuple(f"shop-{number}" for number in range(5))
HOURS: Final = 24
START: Final = datetime(2026, 6, 1, tzinfo=UTC)
COUNTED, LASTED = "orders_total", "checkout_seconds"
EACH: Final = 20
"""Observations of each metric, shop and process in an hour."""
_FOLD_EVERY: Final = 6


def observed(seed: int, process: int, hour: int) -> tuple[Any, Any, Any]:
    """What a process observes in an hour: seconds within it, orders, and durations, by shop."""
    rng = np.random.default_rng((seed, process, hour))
    shape = (len(SHOPS), EACH)
    times = rng.uniform(0, 3600, shape)
    # Busy at noon; whole numbers, so that sums are exact.
    orders = rng.poisson(5 + 4 * np.sin(np.pi * (hour % HOURS) / HOURS), shape)
    seconds = rng.lognormal(-1.5, 1.0, shape) * np.array([[1, 1, 2, 3, 10]]).T
    return times, orders, seconds


def items(seed: int, process: int, hour: int) -> list[Item]:
    """The same as a batch."""
    found = []
    begin = START + timedelta(hours=hour)
    for number, (times, orders, seconds) in enumerate(
        zip(*observed(seed, process, hour), strict=True)
    ):
        # All processes observe the same series.
        labels = {"shop": SHOPS[number]}
        for time, order, second in zip(times, orders, seconds, strict=True):
            at = begin + timedelta(seconds=float(time))
            found.append(
                Item(name=COUNTED, kind="counter", value=float(order), labels=labels, at=at)
            )
            found.append(
                Item(name=LASTED, kind="histogram", values=[float(second)], labels=labels, at=at)
            )
    return found


async def record(url: str, tenant_id: str, seed: int, process: int, told: Connection) -> None:
    """Record what one is told to until killed."""
    now = START
    notes = os.open(_notes(told, process), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    metrics = MetricsManager(MetricsSettings())
    database = Database(make_engine(url, pool_size=2), audit_row=audit_row, clock=lambda: now)
    scope = Scope(f"client:{process}", tenant_id)
    while True:
        day, first = await asyncio.to_thread(told.recv)
        for hour in range(first, (day + 1) * HOURS):
            now = START + timedelta(hours=hour + 1)
            os.write(notes, f"begun {hour}\n".encode())
            await metrics.recording.record(database, scope, items(seed, process, hour))
            os.write(notes, f"done {hour}\n".encode())
            if hour % _FOLD_EVERY == process:
                await metrics.fold(database)
                await metrics.roll_up(database)
        async with database.transaction(SystemScope(FORGETTING)) as tx:
            await metrics.sweep_series(tx)
        told.send("day")


def _notes(told: Connection, process: int) -> str:
    folder: str = told.recv()
    return os.path.join(folder, f"notes-{process}")  # noqa: PTH118 - for os.open


def run(url: str, tenant_id: str, seed: int, process: int, told: Connection) -> None:
    """What the process does."""
    logging.basicConfig(level=logging.ERROR)
    uvloop.run(record(url, tenant_id, seed, process, told))
