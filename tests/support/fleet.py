"""Workers that are heard and are no process: for what operators see of them and do with them."""

import secrets

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, db_now
from backend.managers.orchestrator import WORK
from backend.managers.orchestrator._liveness import beat
from backend.managers.orchestrator.models import WorkerRow

_AHEAD_SECONDS = 5.0
"""Its beat is so far ahead, within a lease, that a busy machine has time to ask."""


async def add_worker(database: Database, host: str = "mail-1", *, slots: int = 4) -> str:
    """A worker that has just been heard; its id."""
    worker = f"{host}:4711:{secrets.token_hex(3)}"
    async with database.transaction(SystemScope(WORK)) as tx:
        await beat(tx, worker, version="1.2.3", slots=slots)
        await tx.execute(
            sa.update(WorkerRow)
            .where(WorkerRow.id == worker)
            .values(host=host, pid=4711, beat_at=db_now(_AHEAD_SECONDS))
            .execution_options(synchronize_session=False)
        )
    return worker
