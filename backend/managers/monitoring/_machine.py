"""What a process stands on and nobody answers for: the disk and the clock.

Each is a figure, for who judges, and a check with the same threshold, for who probes.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx, db_now
from backend.managers.monitoring.errands import HISTORY
from backend.managers.monitoring.errors import ClockSkewError, DiskLowError

DISK_LOW: Final = 0.10
"""Share of a disk below which somebody should make room."""
SKEW_SECONDS: Final = 5.0
"""So far apart two clocks disagree about which of two acts was first."""


async def read_free_share(folder: Path) -> float:
    """Share that is free of the disk under ``folder``, or under where it will be made."""
    return await asyncio.to_thread(_free_share, folder)


def _free_share(folder: Path) -> float:
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return usage.free / usage.total


async def read_skew(tx: ReadTx) -> float:
    """Seconds by which this process's clock is ahead of the database's."""
    found: float = (tx.now() - await tx.scalar(sa.select(db_now()))).total_seconds()
    return found


async def check_disk(folder: Path) -> str:
    """Say how much of the disk is free.

    Raises:
        DiskLowError: Less than a tenth.
    """
    free = await read_free_share(folder)
    said = f"{free:.1%} free"
    if free < DISK_LOW:
        raise DiskLowError(said)
    return said


async def check_clock(database: Database) -> str:
    """Say how far the clocks are apart.

    Raises:
        ClockSkewError: Five seconds or more.
    """
    async with database.read(SystemScope(HISTORY)) as tx:
        skew = await read_skew(tx)
    said = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the database's"
    if abs(skew) >= SKEW_SECONDS:
        raise ClockSkewError(said)
    return said
