"""Whoever forgot their password: the jobs that mail them a link, done as a worker does."""

import asyncio

from backend.core.context import Scope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.identity._accounts import RESET_JOB
from backend.managers.orchestrator import OrchestratorManager, Worker
from tests.support.platform import App


async def mail_links(app: App) -> None:
    """Do all jobs that mail links, and end when they are done."""
    database, jobs = app.platform.database, app.platform.of(OrchestratorManager)
    worker = Worker(database, jobs, [jobs.kinds[RESET_JOB]], poll_seconds=0.02)
    task = asyncio.create_task(worker.run())
    waiting, states = True, set()
    while waiting:
        await asyncio.sleep(0.02)  # the worker's progress: there is no clock to pass
        async with database.read(Scope("test", PLATFORM_TENANT)) as tx:
            found = await jobs.list_jobs(tx, limit=10, kind=RESET_JOB)
        waiting = any(one.finished_at is None for one in found)
        states = {one.state for one in found}
    worker.stop()
    await task
    assert states <= {"succeeded"}
