"""A worker process for the drills: ``worker_process.py <database url> <effects file>``.

Appends ``<kind> <begin or end> <job id> <pid>`` to the file for each thing a handler does.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.managers.orchestrator import Claim, JobKind, OrchestratorManager, Worker
from backend.rooms import HOUSE
from tests.support.trail import audit_row


async def main(url: str, effects: Path) -> None:
    def note(what: str, claim: Claim) -> None:
        with effects.open("a") as file:
            file.write(f"{claim.kind} {what} {claim.id} {os.getpid()}\n")

    async def brief(claim: Claim) -> Any:
        note("begin", claim)
        # Long enough for the test to see several held and strike before they have ended.
        await asyncio.sleep(0.3)
        note("end", claim)

    async def suicide(claim: Claim) -> Any:
        note("begin", claim)
        os.kill(os.getpid(), signal.SIGKILL)

    kinds = [JobKind.simple("brief", brief), JobKind.simple("suicide", suicide)]
    database = Database(make_engine(url), audit_row=audit_row, event_row=event_maker(HOUSE.events))
    worker = Worker(
        database,
        OrchestratorManager(kinds),
        concurrency=10,
        ttl_seconds=3.0,
        beat_seconds=0.2,
        poll_seconds=0.05,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()
    await database.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
