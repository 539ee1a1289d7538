"""What the outbox is told of jobs."""

import pytest
import sqlalchemy as sa

from backend.core.database import SystemScope
from backend.core.events import OUTBOX, EventRecord
from backend.managers.orchestrator import JobKind, Outcome
from backend.managers.orchestrator._liveness import reap


async def told(bench):
    async with bench.database.read(SystemScope(OUTBOX)) as tx:
        rows = await tx.scalars(sa.select(EventRecord).order_by(EventRecord.id))
        return [(row.kind, row.subject.removeprefix("job:"), row.tenant_id) for row in rows]


@pytest.fixture
def announced(bench):
    async def run(batch):
        raise AssertionError

    bench.manager.register(JobKind("loud", run, announce=True))
    bench.manager.register(JobKind("quiet", run))
    return bench


class TestEvents:
    async def test_tell_how_attempts_end(self, announced):
        bench = announced
        ids = await bench.submit_many(4, "loud", max_attempts=2)
        claims = {claim.id: claim for claim in await bench.claim()}
        outcomes = [
            Outcome.done(),
            Outcome.fail("never"),
            Outcome.cancelled(),
            Outcome.retry("later"),
        ]
        await bench.finish(*zip((claims[each] for each in ids), outcomes, strict=True))
        assert await told(bench) == [
            ("job.succeeded", ids[0], bench.tenant_id),
            ("job.dead", ids[1], bench.tenant_id),
            ("job.cancelled", ids[2], bench.tenant_id),
        ]

    async def test_tell_of_success_only_where_it_is_announced(self, announced):
        bench = announced
        await bench.submit_many(2, "quiet")
        done, failed = await bench.claim()
        await bench.finish((done, Outcome.done()), (failed, Outcome.fail("never")))
        assert [kind for kind, *_ in await told(bench)] == ["job.dead"]

    async def test_tell_of_nothing_that_the_fence_refused(self, announced):
        bench = announced
        await bench.submit("loud")
        (taken,) = await bench.claim()
        await bench.finish((taken, Outcome.done()), worker="another")
        assert await told(bench) == []

    async def test_tell_of_jobs_that_kill_their_workers(self, announced):
        bench = announced
        job_id = await bench.submit("quiet")
        await bench.change(job_id, crashes=2)
        await bench.claim()
        silent = await bench.silent("w")
        async with bench.database.transaction(bench.system) as tx:
            await reap(tx, silent, bench.manager.kinds)
        assert [kind for kind, *_ in await told(bench)] == ["job.dead"]

    async def test_tell_of_a_cancellation_that_a_dead_worker_never_heard(self, announced):
        bench = announced
        job_id = await bench.submit("quiet")
        await bench.claim()
        await bench.change(job_id, cancel_requested=True)
        silent = await bench.silent("w")
        async with bench.database.transaction(bench.system) as tx:
            await reap(tx, silent, bench.manager.kinds)
        assert await told(bench) == [("job.cancelled", job_id, bench.tenant_id)]
