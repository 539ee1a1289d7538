"""Finishing: the fence, retries, hooks."""

import pytest
import sqlalchemy as sa

from backend.core.database import TenantConfinementError, db_now
from backend.core.ids import uuid7
from backend.managers.orchestrator import JobKind, Outcome
from backend.managers.orchestrator.models import JobRow, WorkerRow


@pytest.fixture
def seen():
    return []


@pytest.fixture
def hooked(bench, seen):
    """A kind ``hooked`` that notes every call of its hooks."""

    async def apply(tx, accepted):
        seen.extend(("apply", claim.id, outcome.resolution) for claim, outcome in accepted)

    async def on_dead(tx, dead):
        seen.extend(("dead", claim.id, error) for claim, error in dead)

    async def on_cancel(tx, claims):
        seen.extend(("cancel", claim.id, "") for claim in claims)

    async def run(batch):
        raise AssertionError

    bench.manager.register(
        JobKind("hooked", run, apply=apply, on_dead=on_dead, on_cancel=on_cancel)
    )
    return bench


class TestFinish:
    async def test_records_the_result(self, bench):
        for result in ({"code": 250, "text": "grün"}, [1, 2], "text", 7, False, None):
            job_id = await bench.submit()
            (taken,) = await bench.claim()
            await bench.finish((taken, Outcome.done(result)))
            job = await bench.get(job_id)
            assert (job.state, job.result, job.error) == ("succeeded", result, None)
            assert job.finished_at is not None

    async def test_records_each_of_many_outcomes(self, bench):
        await bench.submit_many(5, max_attempts=2)
        claims = await bench.claim()
        outcomes = [
            Outcome.done(),
            Outcome.retry("later", delay_seconds=100),
            Outcome.fail("never"),
            Outcome.cancelled(),
            Outcome.done({"n": 4}),
        ]
        accepted = await bench.finish(*zip(claims, outcomes, strict=True))
        resolved = {claim.id: outcome.resolution for claim, outcome, _ in accepted}
        assert [resolved[claim.id] for claim in claims] == [
            "done",
            "retrying",
            "dead",
            "cancelled",
            "done",
        ]
        assert await bench.states() == ["cancelled", "dead", "ready", "succeeded", "succeeded"]

    async def test_stores_what_databases_dislike_in_an_error(self, bench):
        job_id = await bench.submit()
        (taken,) = await bench.claim()
        await bench.finish((taken, Outcome.fail("nul \x00 surrogate \udce4 " + "x" * 5000)))
        error = (await bench.get(job_id)).error
        assert error.startswith("nul \ufffd surrogate ? xx")
        assert len(error) == 2000


class TestFence:
    async def test_refuses_a_worker_that_no_longer_holds_the_job(self, bench):
        job_id = await bench.submit()
        (zombie,) = await bench.claim(worker="frozen")
        await bench.change(job_id, state="ready", worker=None, crashes=1)
        (again,) = await bench.claim(worker="other")
        assert await bench.finish((zombie, Outcome.fail("late")), worker="frozen") == []
        assert (await bench.row(job_id)).state == "running"
        assert len(await bench.finish((again, Outcome.done()), worker="other")) == 1
        assert await bench.finish((zombie, Outcome.fail("later")), worker="frozen") == []
        assert (await bench.row(job_id)).state == "succeeded"

    async def test_refuses_an_older_attempt_of_the_same_worker(self, bench):
        job_id = await bench.submit()
        (old,) = await bench.claim()
        await bench.change(job_id, state="ready", worker=None, crashes=1)
        (new,) = await bench.claim()
        assert new.attempt == 2
        assert await bench.finish((old, Outcome.done())) == []
        assert len(await bench.finish((new, Outcome.done()))) == 1

    async def test_hooks_see_only_accepted_outcomes(self, hooked, seen):
        stolen, own = await hooked.submit("hooked"), await hooked.submit("hooked")
        claims = {one.id: one for one in await hooked.claim()}
        await hooked.change(stolen, worker="other")
        await hooked.finish(*((one, Outcome.done()) for one in claims.values()))
        assert seen == [("apply", own, "done")]


class TestRetry:
    async def test_delay_doubles_with_each_failure(self, bench):
        job_id = await bench.submit(backoff_seconds=10, max_attempts=4)
        delays = []
        for _ in range(3):
            (taken,) = await bench.claim()
            (accepted,) = await bench.finish((taken, Outcome.retry("boom")))
            delays.append(accepted[2])
            row = await bench.row(job_id)
            assert (row.state, row.error, row.worker) == ("ready", "boom", None)
            assert await bench.claim() == []
            await bench.make_due(job_id)
        for delay, middle in zip(delays, (10, 20, 40), strict=True):
            assert 0.8 * middle <= delay <= 1.2 * middle

    async def test_due_time_is_the_databases(self, bench):
        job_id = await bench.submit()
        (taken,) = await bench.claim()
        await bench.finish((taken, Outcome.retry("busy", delay_seconds=120)))
        await bench.change(job_id, created_at=db_now())
        row = await bench.row(job_id)
        assert 115 < (row.due_at - row.created_at).total_seconds() <= 120.5

    async def test_ends_dead_when_no_attempt_is_left(self, bench):
        job_id = await bench.submit(max_attempts=2)
        for _ in range(2):
            (taken,) = await bench.claim()
            await bench.finish((taken, Outcome.retry("boom", delay_seconds=0)))
        job = await bench.get(job_id)
        assert (job.state, job.error, job.attempt) == ("dead", "boom", 2)
        assert await bench.claim() == []

    async def test_crashes_use_up_no_attempt(self, bench):
        job_id = await bench.submit(max_attempts=1)
        await bench.change(job_id, attempt=2, crashes=2)
        (taken,) = await bench.claim()
        assert (taken.attempt, taken.failures_left) == (3, 0)
        await bench.finish((taken, Outcome.retry("boom")))
        assert (await bench.row(job_id)).state == "dead"

    async def test_a_requested_cancellation_wins_over_another_attempt(self, hooked, seen):
        job_id = await hooked.submit("hooked")
        (taken,) = await hooked.claim()
        await hooked.change(job_id, cancel_requested=True)
        (accepted,) = await hooked.finish((taken, Outcome.retry("boom")))
        assert accepted[1].resolution == "cancelled"
        assert (await hooked.row(job_id)).state == "cancelled"
        assert seen == [("cancel", job_id, "")]

    async def test_success_wins_over_a_requested_cancellation(self, hooked, seen):
        job_id = await hooked.submit("hooked")
        (taken,) = await hooked.claim()
        await hooked.change(job_id, cancel_requested=True)
        await hooked.finish((taken, Outcome.done()))
        assert seen == [("apply", job_id, "done")]


class TestHooks:
    async def test_effects_and_ends_are_one_commit(self, bench):
        async def apply(tx, accepted):
            raise ZeroDivisionError

        async def run(batch):
            raise AssertionError

        bench.manager.register(JobKind("bad", run, apply=apply))
        job_id = await bench.submit("bad")
        (taken,) = await bench.claim()
        with pytest.raises(ZeroDivisionError):
            await bench.finish((taken, Outcome.done()))
        assert (await bench.row(job_id)).state == "running"

    async def test_apply_sees_the_verdict_of_the_rules(self, hooked, seen):
        once = await hooked.submit("hooked", max_attempts=1)
        more = await hooked.submit("hooked", max_attempts=2)
        claims = await hooked.claim()
        await hooked.finish(*((one, Outcome.retry("boom")) for one in claims))
        assert sorted(seen) == sorted([("apply", once, "dead"), ("apply", more, "retrying")])

    async def test_on_dead_speaks_for_kinds_without_apply(self, bench, seen):
        async def on_dead(tx, dead):
            seen.extend((claim.id, error) for claim, error in dead)

        async def run(batch):
            raise AssertionError

        bench.manager.register(JobKind("plain", run, on_dead=on_dead))
        job_id = await bench.submit("plain")
        (taken,) = await bench.claim()
        await bench.finish((taken, Outcome.fail("never")))
        assert seen == [(job_id, "never")]

    async def test_a_cancelled_job_with_an_effect_is_applied_first(self, hooked, seen):
        job_id = await hooked.submit("hooked")
        (taken,) = await hooked.claim()
        await hooked.change(job_id, cancel_requested=True)
        await hooked.finish((taken, Outcome.retry("half done", effect={"sent": 1})))
        assert seen == [("apply", job_id, "cancelled"), ("cancel", job_id, "")]


class TestScope:
    async def test_of_a_hook_is_its_jobs_tenants(self, bench):
        """Two tenants' jobs end in one transaction, and neither hook sees the other's rows."""
        seen = []

        async def apply(tx, accepted):
            rows = await tx.scalars(sa.select(JobRow.tenant_id))
            tx.after_commit(lambda: seen.append((tx.tenant_id, set(rows))))
            with pytest.raises(TenantConfinementError):
                await tx.scalars(sa.select(WorkerRow.id))
            assert {claim.tenant_id for claim, _ in accepted} == {tx.tenant_id}

        async def run(batch):
            raise AssertionError

        other = uuid7()
        bench.manager.register(JobKind("owned", run, apply=apply))
        await bench.submit("owned")
        await bench.submit("owned", tenant=other)
        claims = await bench.claim()
        assert len(claims) == 2
        await bench.finish(*((each, Outcome.done()) for each in claims))
        assert sorted(seen) == sorted((tenant, {tenant}) for tenant in (bench.tenant_id, other))
