"""Attempts that did not succeed are kept beside their job, whatever becomes of it."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.core.clock import system_clock
from backend.core.context import SystemScope
from backend.core.database import db_now
from backend.core.ids import uuid7
from backend.core.subject import ERASED, Subject
from backend.managers.orchestrator import RETENTION, Outcome, TaskDraft
from backend.managers.orchestrator._answers import LATE
from backend.managers.orchestrator._attempts import KEPT
from backend.managers.orchestrator._liveness import give_back
from backend.managers.orchestrator.errors import JobNotFoundError
from backend.managers.orchestrator.models import JobAttemptRow
from tests.integration.orchestrator.test_answers import Waits
from tests.integration.orchestrator.test_graphs import submit
from tests.integration.orchestrator.test_liveness import reap_all


async def attempts(bench, job_id, *, tenant=None):
    async with bench.database.read(bench.scope_of(tenant)) as tx:
        return await bench.manager.list_attempts(tx, job_id)


async def told(bench, job_id):
    return [(one.attempt, one.outcome, one.error) for one in await attempts(bench, job_id)]


async def fail(bench, job_id, error):
    await bench.make_due(job_id)
    (claim,) = await bench.claim()
    assert claim.id == job_id
    await bench.finish((claim, Outcome.retry(error)))


class TestWhatIsKept:
    async def test_nothing_of_one_that_succeeds_at_once(self, bench):
        job_id = await bench.submit()
        assert await attempts(bench, job_id) == []
        (claim,) = await bench.claim()
        (running,) = await attempts(bench, job_id)
        assert (running.outcome, running.worker, running.ended_at) == ("running", "w", None)
        await bench.finish((claim, Outcome.done(None)))
        (made,) = await attempts(bench, job_id)
        assert (made.attempt, made.outcome, made.error) == (1, "succeeded", None)
        assert made.started_at <= made.ended_at
        async with bench.database.read(bench.system) as tx:
            assert not await tx.scalar(sa.select(sa.func.count()).select_from(JobAttemptRow))

    async def test_each_that_failed_with_its_reason(self, bench):
        job_id = await bench.submit(max_attempts=3)
        for error in ("It answered 500", "It answered 502"):
            await fail(bench, job_id, error)
        assert (await bench.row(job_id)).error == "It answered 502"
        first = (2, "failed", "It answered 502"), (1, "failed", "It answered 500")
        assert await told(bench, job_id) == [*first]
        await fail(bench, job_id, "It answered 503")
        assert (await bench.row(job_id)).state == "dead"
        assert await told(bench, job_id) == [(3, "failed", "It answered 503"), *first]
        for one in await attempts(bench, job_id):
            assert one.worker == "w"
            assert one.started_at <= one.ended_at

    async def test_outlives_a_retry(self, bench):
        job_id = await bench.submit(max_attempts=1)
        await fail(bench, job_id, "It answered 500")
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.retry_job(tx, job_id)
        assert await told(bench, job_id) == [(1, "failed", "It answered 500")]
        (claim,) = await bench.claim()
        await bench.finish((claim, Outcome.done(None)))
        assert await told(bench, job_id) == [
            (2, "succeeded", None),
            (1, "failed", "It answered 500"),
        ]

    async def test_a_crash_is_told_apart(self, bench):
        job_id = await bench.submit()
        await bench.claim(worker="lost")
        await bench.silence("lost")
        assert await reap_all(bench, "lost") == ([job_id], [])
        (crash,) = await attempts(bench, job_id)
        assert (crash.outcome, crash.worker) == ("crashed", "lost")
        assert "not heard of" in (crash.error or "")

    async def test_what_was_cancelled_as_it_ran(self, bench):
        job_id = await bench.submit()
        (claim,) = await bench.claim()
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.cancel_job(tx, job_id)
        await bench.finish((claim, Outcome.retry("It answered 500")))
        assert await told(bench, job_id) == [(1, "cancelled", "It answered 500")]

    async def test_what_was_cancelled_as_it_waited_for_an_answer(self, bench):
        waits = Waits(bench)
        job_id = await bench.submit("test.waits")
        (claim,) = await bench.claim()
        waits.address(claim)
        await bench.finish((claim, Outcome.wait(60)))
        assert await told(bench, job_id) == [(1, "awaiting", None)]
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.cancel_job(tx, job_id)
        assert await told(bench, job_id) == [(1, "cancelled", None)]

    async def test_what_was_cancelled_with_its_graph(self, bench):
        Waits(bench)
        graph = await submit(bench, [TaskDraft("a", "test.waits", {})])
        (claim,) = await bench.claim()
        await bench.finish((claim, Outcome.wait(60)))
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.graphs.cancel(tx, graph.id)
        assert await told(bench, claim.id) == [(1, "cancelled", None)]

    async def test_an_answer_that_is_an_error(self, bench):
        waits = Waits(bench)
        job_id = await bench.submit("test.waits")
        (claim,) = await bench.claim()
        waits.address(claim)
        await bench.finish((claim, Outcome.wait(60)))
        await waits.answer({"error": "no such order"})
        ((attempt, outcome, error),) = await told(bench, job_id)
        assert (attempt, outcome) == (1, "failed")
        assert "no such order" in error

    async def test_the_latest_of_many(self, bench):
        job_id = await bench.submit(max_attempts=100)
        for number in range(KEPT + 3):
            await fail(bench, job_id, f"no {number}")
        found = await attempts(bench, job_id)
        assert [one.attempt for one in found] == list(range(KEPT + 3, 3, -1))

    async def test_the_latest_of_many_as_it_is_cancelled(self, bench):
        Waits(bench)
        job_id = await bench.submit("test.waits", max_attempts=100)
        for number in range(KEPT):
            await fail(bench, job_id, f"no {number}")
        await bench.make_due(job_id)
        (claim,) = await bench.claim()
        await bench.finish((claim, Outcome.wait(60)))
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.cancel_job(tx, job_id)
        found = await attempts(bench, job_id)
        assert [one.attempt for one in found] == list(range(KEPT + 1, 1, -1))
        assert found[0].outcome == "cancelled"

    async def test_not_what_was_not_tried(self, bench):
        job_id = await bench.submit()
        await fail(bench, job_id, "It answered 500")
        await bench.make_due(job_id)
        (claim,) = await bench.claim()
        await bench.finish((claim, Outcome.retry("Its server is paused", tried=False)))
        assert (await bench.row(job_id)).error == "Its server is paused"
        assert await told(bench, job_id) == [(1, "failed", "It answered 500")]

    async def test_not_what_its_worker_gave_back(self, bench):
        job_id = await bench.submit()
        await bench.claim()
        async with bench.database.transaction(bench.system) as tx:
            assert await give_back(tx, "w", bench.manager.kinds) == 1
        assert await attempts(bench, job_id) == []

    async def test_a_failure_for_good(self, bench):
        job_id = await bench.submit()
        (claim,) = await bench.claim()
        await bench.finish((claim, Outcome.fail("It answered 404")))
        assert await told(bench, job_id) == [(1, "failed", "It answered 404")]

    async def test_crashes_that_end_it(self, bench):
        bench.manager.register(replace(bench.manager.kinds["noop"], name="kills", max_crashes=1))
        job_id = await bench.submit("kills")
        await bench.claim(worker="lost")
        await bench.silence("lost")
        assert await reap_all(bench, "lost") == ([], [job_id])
        ((attempt, outcome, error),) = await told(bench, job_id)
        assert (attempt, outcome) == (1, "crashed")
        assert "Its worker died" in error

    async def test_a_crash_of_what_was_to_be_cancelled(self, bench):
        job_id = await bench.submit()
        await bench.claim(worker="lost")
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.cancel_job(tx, job_id)
        await bench.silence("lost")
        await reap_all(bench, "lost")
        assert (await bench.row(job_id)).state == "cancelled"
        assert [one.outcome for one in await attempts(bench, job_id)] == ["crashed"]

    async def test_an_answer_that_never_came(self, bench):
        waits = Waits(bench)
        job_id = await bench.submit("test.waits")
        (claim,) = await bench.claim()
        await bench.finish((claim, Outcome.wait(60)))
        await bench.change(job_id, due_at=db_now(-1.0))
        assert await waits.answers.give_up(bench.database) == 1
        assert await told(bench, job_id) == [(1, "failed", LATE)]

    async def test_an_error_that_comes_before_it_waits(self, bench):
        waits = Waits(bench)
        job_id = await bench.submit("test.waits")
        (claim,) = await bench.claim()
        waits.address(claim)
        await waits.answer({"error": "no such order"})
        (made,) = await attempts(bench, job_id)
        assert (made.outcome, made.worker) == ("failed", "w")

    async def test_one_that_was_cancelled_as_it_waited_to_be_tried_again(self, bench):
        job_id = await bench.submit()
        await fail(bench, job_id, "It answered 500")
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.cancel_job(tx, job_id)
        assert await told(bench, job_id) == [(1, "failed", "It answered 500")]

    async def test_a_job_of_before_tells_of_its_latest(self, bench):
        job_id = await bench.submit()
        await bench.change(job_id, state="dead", attempt=4, error="It answered 500")
        assert await told(bench, job_id) == [(4, "failed", "It answered 500")]


class TestWhoSees:
    async def test_the_tenant_alone(self, bench):
        job_id = await bench.submit()
        await fail(bench, job_id, "It answered 500")
        with pytest.raises(JobNotFoundError):
            await attempts(bench, job_id, tenant=uuid7())


class TestForgetting:
    async def test_goes_as_long_after_its_end_as_a_job(self, bench):
        old, new = await bench.submit_many(2, delay_seconds=3600.0)
        await fail(bench, old, "It answered 500")
        async with bench.database.transaction(bench.system) as tx:
            await tx.execute(
                sa.update(JobAttemptRow).values(ended_at=system_clock() - timedelta(days=31))
            )
        await fail(bench, new, "It answered 500")
        async with bench.database.transaction(SystemScope(RETENTION)) as tx:
            assert await bench.manager.sweep_finished(tx) == 1
        assert await told(bench, old) == []
        assert len(await told(bench, new)) == 1

    async def test_what_it_tells_of_a_person(self, bench):
        errors = "Ada@example.com: no", "503", "ada@example.com"
        ids = await bench.submit_many(3, delay_seconds=3600.0)
        for job_id, error in zip(ids, errors, strict=True):
            await fail(bench, job_id, error)
        who = Subject(None, "ada@example.com", "x", system_clock())
        async with bench.database.transaction(bench.scope) as tx:
            bite = await bench.manager.erase_attempts(tx, who, "")
        assert (bite.looked_at, bite.changed, bite.after) == (3, {"job_attempts": 2}, None)
        said = [(await told(bench, job_id))[0][2] for job_id in ids]
        assert said == [ERASED, "503", ERASED]
