"""A process that looks at schedules: ``schedule_process.py <database url> <file of the time>``.

What time it is stands in the file, for every process that is given it.
"""

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.managers.orchestrator import JobKind, OrchestratorManager
from backend.rooms import HOUSE
from tests.support.trail import audit_row

KIND = "test.nothing"


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No arguments."""


def manager() -> OrchestratorManager:
    """One that knows a kind whose jobs nobody runs."""
    nothing: Any = None
    return OrchestratorManager([JobKind.simple(KIND, nothing, takes=Nothing)])


async def main(url: str, file: Path) -> None:
    """Look until killed."""
    database = Database(
        make_engine(url),
        audit_row=audit_row,
        event_row=event_maker(HOUSE.events),
        clock=lambda: datetime.fromisoformat(file.read_text()),
    )
    looking = manager()
    while True:
        await looking.schedules.run(database)
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
