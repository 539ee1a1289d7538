"""Finished jobs are forgotten after their time, unfinished ones never."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database
from backend.managers.orchestrator import RETENTION, JobKind, OrchestratorManager
from backend.managers.orchestrator.models import JobRow


async def test_sweeps_in_bounded_steps(database: Database, tenant_id: str) -> None:
    async def nothing(_: object) -> None: ...

    manager = OrchestratorManager([JobKind.simple("noop", nothing)])
    scope = Scope("test", tenant_id)
    async with database.transaction(scope) as tx:
        ids = await manager.submit_many(tx, "noop", [{"args": {}} for _ in range(6)])
    long_ago = datetime.now(UTC) - timedelta(days=31)
    async with database.transaction(scope) as tx:
        await tx.execute(
            sa.update(JobRow)
            .where(JobRow.id.in_(ids[:3]))
            .values(state="succeeded", finished_at=long_ago)
        )
        await tx.execute(
            sa.update(JobRow)
            .where(JobRow.id == ids[3])
            .values(state="succeeded", finished_at=datetime.now(UTC))
        )
    swept = []
    for _ in range(3):
        async with database.transaction(SystemScope(RETENTION)) as tx:
            swept.append(await manager.sweep_finished(tx, limit=2))
    assert swept == [2, 1, 0]
    async with database.read(scope) as view:
        left = await manager.list_jobs(view)
    assert sorted(job.id for job in left) == sorted(ids[3:])
