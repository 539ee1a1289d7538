"""The operators' verbs: look, cancel, retry, limits."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord
from backend.core.errors import InvalidInputError
from backend.core.ids import uuid7
from backend.managers.orchestrator import (
    JobKind,
    JobNotCancellableError,
    JobNotFoundError,
    JobNotRetryableError,
    Outcome,
)
from backend.managers.orchestrator._finish import backoff


async def audited(bench):
    async with bench.database.read(bench.scope) as tx:
        rows = await tx.scalars(sa.select(AuditRecord).order_by(AuditRecord.id))
    return [(row.action, row.target, row.actor) for row in rows]


async def cancel(bench, job_id, scope=None):
    async with bench.database.transaction(scope or bench.scope) as tx:
        return await bench.manager.cancel_job(tx, job_id)


async def retry(bench, job_id, scope=None):
    async with bench.database.transaction(scope or bench.scope) as tx:
        return await bench.manager.retry_job(tx, job_id)


async def listed(bench, **query):
    async with bench.database.read(bench.scope) as tx:
        return [job.id for job in await bench.manager.list_jobs(tx, **query)]


class TestGetJob:
    @pytest.mark.parametrize("job_id", ["", "nonsense", "{01a203b8-7734-7195-ab49-ad5e324536c7}"])
    async def test_refuses_what_is_no_id(self, bench, job_id):
        with pytest.raises(JobNotFoundError):
            await bench.get(job_id)

    async def test_does_not_find_another_tenants_job(self, bench):
        job_id = await bench.submit(tenant=uuid7())
        with pytest.raises(JobNotFoundError):
            await bench.get(job_id)


class TestConfinement:
    async def test_every_verb_treats_another_tenants_job_as_absent(self, bench):
        other = uuid7()
        ready, dead = [await bench.submit(tenant=other) for _ in range(2)]
        await bench.change(dead, state="dead")
        for verb, job_id in ((cancel, ready), (retry, dead)):
            with pytest.raises(JobNotFoundError):
                await verb(bench, job_id)
        assert await listed(bench) == []
        assert await listed(bench, before_id=ready) == []
        async with bench.database.read(bench.scope) as tx:
            since = tx.now() - timedelta(hours=1)
            assert set((await bench.manager.count_jobs(tx, since)).values()) == {0}
        assert (await bench.row(ready)).state == "ready"
        assert (await bench.row(dead)).state == "dead"


class TestListJobs:
    async def test_pages_newest_first_without_gaps(self, bench):
        ids = await bench.submit_many(25)
        found, before = [], None
        while True:
            page = await listed(bench, limit=10, before_id=before)
            found += page[:10]
            if len(page) <= 10:
                break
            before = page[9]
        assert found == ids[::-1]

    async def test_filters_by_state_and_kind(self, bench):
        bench.simple("other", lambda _: None)
        first, second = await bench.submit(), await bench.submit("other")
        await bench.change(first, state="dead")
        assert await listed(bench, state="dead") == [first]
        assert await listed(bench, kind="other") == [second]
        assert await listed(bench, kind="other", state="dead") == []

    async def test_filters_by_what_they_are_about_and_by_graph(self, bench):
        bench.simple("other", lambda _: None)
        plain, about, same, of_graph = await bench.submit_many(4)
        other = await bench.submit("other")
        graph_id = uuid7()
        for job_id in (about, same, other):
            await bench.change(job_id, subject="email:1")
        for job_id in (of_graph, other):
            await bench.change(job_id, graph_id=graph_id)
        await bench.change(same, state="dead")
        assert await listed(bench, subject="email:1") == [other, same, about]
        assert await listed(bench, subject="email:1", limit=1, before_id=other) == [same, about]
        assert await listed(bench, subject="email:1", state="dead") == [same]
        assert await listed(bench, subject="email:1", kind="other") == [other]
        assert await listed(bench, graph_id=graph_id) == [other, of_graph]
        assert await listed(bench, graph_id=graph_id, subject="email:1") == [other]
        assert await listed(bench, graph_id=uuid7()) == await listed(bench, subject="email") == []
        async with bench.database.transaction(bench.scope) as tx:
            done = await bench.manager.cancel_jobs(tx, subject="email:1")
            assert (done.cancelled, done.last_id) == (2, None)
        async with bench.database.transaction(bench.scope) as tx:
            done = await bench.manager.retry_jobs(tx, state="cancelled", graph_id=uuid7())
            assert (done.retried, done.last_id) == (0, None)
        assert await listed(bench, state="ready") == [of_graph, plain]

    async def test_refuses_a_cursor_that_is_no_id(self, bench):
        with pytest.raises(InvalidInputError):
            await listed(bench, before_id="x")


class TestCountJobs:
    async def test_counts_by_state_since(self, bench):
        ended = ["succeeded", "dead", "cancelled", "skipped"]
        ids = await bench.submit_many(5)
        for job_id, state in zip(ids, ended, strict=False):
            await bench.change(job_id, state=state)
        async with bench.database.read(bench.scope) as tx:
            now = tx.now()
            counts = await bench.manager.count_jobs(tx, now - timedelta(minutes=5))
            later = await bench.manager.count_jobs(tx, now + timedelta(minutes=5))
        open_ = {"ready": 1, "blocked": 0, "running": 0, "awaiting": 0}
        assert counts == {**dict.fromkeys(ended, 1), **open_}
        assert later == {**dict.fromkeys(ended, 0), **open_}

    async def test_counts_a_backlog_of_any_age(self, bench):
        states = ["blocked", "ready", "running", "awaiting"]
        ids = await bench.submit_many(4)
        await bench.submit_many(2, tenant=uuid7())
        for job_id, state in zip(ids, states, strict=True):
            await bench.change(job_id, state=state)
        async with bench.database.read(bench.scope) as tx:
            counts = await bench.manager.count_jobs(tx, tx.now() + timedelta(days=30))
        assert {state: count for state, count in counts.items() if count} == dict.fromkeys(
            states, 1
        )

    async def test_counts_what_waits_over_all_tenants(self, bench):
        await bench.submit_many(3)
        others = await bench.submit_many(2, tenant=uuid7())
        await bench.change(others[0], state="awaiting")
        await bench.claim(1)
        async with bench.database.read(bench.system) as tx:
            counts = await bench.manager.count_unfinished(tx)
        assert counts == {"ready": 3, "running": 1, "awaiting": 1}


class TestCancelJob:
    @pytest.mark.parametrize("state", ["ready", "blocked"])
    async def test_ends_a_waiting_job_at_once(self, bench, state):
        job_id = await bench.submit()
        await bench.change(job_id, state=state)
        job = await cancel(bench, job_id)
        assert (job.state, job.finished_at is not None) == ("cancelled", True)
        assert await bench.claim() == []
        assert await audited(bench) == [("job.cancelled", f"job:{job_id}", "user:1")]

    async def test_asks_a_running_job_to_stop(self, bench):
        job_id = await bench.submit()
        await bench.claim()
        job = await cancel(bench, job_id)
        assert (job.state, job.cancel_requested) == ("running", True)

    @pytest.mark.parametrize("state", ["succeeded", "dead", "cancelled", "skipped"])
    async def test_refuses_a_job_that_has_ended(self, bench, state):
        job_id = await bench.submit()
        await bench.change(job_id, state=state)
        with pytest.raises(JobNotCancellableError):
            await cancel(bench, job_id)
        assert await audited(bench) == []

    async def test_takes_the_owners_rows_along_or_does_nothing(self, bench):
        async def on_cancel(tx, claims):
            assert [(one.id, one.args) for one in claims] == [(job_id, {"n": 1})]
            raise ZeroDivisionError

        async def run(batch):
            raise AssertionError

        bench.manager.register(JobKind("c", run, on_cancel=on_cancel))
        job_id = await bench.submit("c", args={"n": 1})
        with pytest.raises(ZeroDivisionError):
            await cancel(bench, job_id)
        assert (await bench.row(job_id)).state == "ready"


class TestRetryJob:
    @pytest.mark.parametrize("state", ["dead", "cancelled"])
    async def test_starts_over_with_all_attempts(self, bench, state):
        job_id = await bench.submit(max_attempts=1)
        (taken,) = await bench.claim()
        await bench.finish((taken, Outcome.fail("boom")))
        await bench.change(job_id, state=state, crashes=3, cancel_requested=True)
        job = await retry(bench, job_id)
        assert (job.state, job.attempt, job.error, job.finished_at) == ("ready", 1, None, None)
        assert job.started_at is not None
        (again,) = await bench.claim()
        assert (again.attempt, again.crashes, again.failures_left) == (2, 0, 0)
        await bench.finish((again, Outcome.done()))
        assert (await bench.row(job_id)).state == "succeeded"
        assert await audited(bench) == [("job.retried", f"job:{job_id}", "user:1")]

    async def test_counts_on_over_every_retry(self, bench):
        """What was attempted was: the count neither restarts nor takes from what is left."""
        job_id = await bench.submit(max_attempts=3, backoff_seconds=0)
        for round_ in range(3):
            for failure in range(3):
                (taken,) = await bench.claim()
                assert taken.attempt == 3 * round_ + failure + 1
                assert taken.failures_left == 2 - failure
                await bench.finish((taken, Outcome.retry("later", 0)))
            job = await bench.get(job_id)
            assert (job.state, job.attempt, job.max_attempts) == (
                "dead",
                3 * (round_ + 1),
                3 * (round_ + 1),
            )
            job = await retry(bench, job_id)
            assert (job.attempt, job.max_attempts) == (3 * (round_ + 1), 3 * (round_ + 2))

    async def test_waits_between_attempts_as_at_the_first_time(self, bench):
        job_id = await bench.submit(max_attempts=9, backoff_seconds=10)
        await bench.change(job_id, state="dead", attempt=7, crashes=2)
        await retry(bench, job_id)
        (taken,) = await bench.claim()
        assert (taken.attempt, taken.failures) == (8, 1)
        assert 8 <= backoff(taken) <= 12

    async def test_a_deferred_job_that_was_cancelled_says_what_it_did(self, bench):
        """It has started, seven times; when, and why the last attempt failed, stays known."""
        job_id = await bench.submit(max_attempts=8)
        (taken,) = await bench.claim()
        await bench.finish((taken, Outcome.retry("450 later", 60)))
        await bench.change(job_id, attempt=7)
        before = await bench.get(job_id)
        job = await cancel(bench, job_id)
        assert (job.state, job.attempt, job.max_attempts) == ("cancelled", 7, 8)
        assert (job.started_at, job.error) == (before.started_at, "450 later")
        job = await retry(bench, job_id)
        assert (job.state, job.attempt, job.max_attempts) == ("ready", 7, 15)
        assert job.started_at == before.started_at

    @pytest.mark.parametrize("state", ["ready", "running", "succeeded", "blocked", "skipped"])
    async def test_refuses_other_states(self, bench, state):
        job_id = await bench.submit()
        await bench.change(job_id, state=state)
        with pytest.raises(JobNotRetryableError):
            await retry(bench, job_id)

    async def test_takes_the_owners_rows_along(self, bench):
        retried = []

        async def on_retry(tx, claims):
            retried.extend(one.id for one in claims)

        async def run(batch):
            raise AssertionError

        bench.manager.register(JobKind("r", run, on_retry=on_retry))
        job_id = await bench.submit("r")
        await bench.change(job_id, state="dead")
        await retry(bench, job_id)
        assert retried == [job_id]


class TestRetryJobs:
    async def retry(self, bench, **asked):
        async with bench.database.transaction(bench.scope) as tx:
            return await bench.manager.retry_jobs(tx, **asked)

    async def retry_all(self, bench, **asked):
        parts, before_id = [], None
        while True:
            done = await self.retry(bench, before_id=before_id, **asked)
            parts.append((done.retried, done.refused))
            if done.last_id is None:
                return parts
            before_id = done.last_id

    async def make(self, bench, count, **columns):
        made = [await bench.submit() for _ in range(count)]
        for job_id in made:
            await bench.change(job_id, **{"state": "dead", **columns})
        return made

    async def test_starts_each_over_in_parts_and_says_so_of_each(self, bench):
        made = await self.make(bench, 5, attempt=7, crashes=2, error="boom")
        (cancelled,) = await self.make(bench, 1, state="cancelled")
        running = await bench.submit()
        await bench.change(running, state="running")
        assert await self.retry_all(bench, limit=2) == [(2, 0), (2, 0), (1, 0)]
        for job_id in made:
            row = await bench.row(job_id)
            assert (row.state, row.attempt, row.forgiven, row.crashes) == ("ready", 7, 7, 0)
            assert (row.error, row.finished_at) == (None, None)
        assert (await bench.row(cancelled)).state == "cancelled"
        assert (await bench.row(running)).state == "running"
        # Record for record what a retry of each by itself would have left.
        expected = [("job.retried", f"job:{job_id}", "user:1") for job_id in made]
        bulk = [("job.bulk_retried", f"tenant:{bench.tenant_id}", "user:1")] * 3
        assert sorted(await audited(bench)) == sorted([*expected, *bulk])
        assert len(await bench.claim(9)) == 5
        assert await self.retry_all(bench, state="cancelled") == [(1, 0)]

    async def test_comes_to_an_end_while_jobs_die_again(self, bench):
        made = await self.make(bench, 4)
        done = await self.retry(bench, limit=2)
        for job_id in made:
            await bench.change(job_id, state="dead")
        done = await self.retry(bench, limit=2, before_id=done.last_id)
        assert (done.retried, done.last_id) == (2, None)
        states = [(await bench.row(job_id)).state for job_id in made]
        assert states == ["ready", "ready", "dead", "dead"]

    async def test_leaves_what_no_filter_names_and_what_is_anothers(self, bench):
        first, second, third = await self.make(bench, 3)
        other = await bench.submit(tenant=uuid7())
        await bench.change(other, state="dead")
        created = [(await bench.get(one)).created_at for one in (second, third)]
        assert await self.retry_all(bench, kind="nothing.such") == [(0, 0)]
        between = {"created_after": created[0], "created_before": created[1]}
        assert await self.retry_all(bench, **between) == [(1, 0)]
        assert await self.retry_all(bench, created_after=created[1]) == [(1, 0)]
        states = [(await bench.row(one)).state for one in (first, second, third)]
        assert states == ["dead", "ready", "ready"]
        assert await self.retry_all(bench) == [(1, 0)]
        assert (await bench.row(other)).state == "dead"

    async def test_leaves_alone_and_counts_what_a_kind_refuses(self, bench):
        refused: set[str] = set()
        retried = []

        async def on_retry(tx, claims):
            if refused & {one.id for one in claims}:
                raise JobNotRetryableError("Its mail is gone.")
            retried.extend(one.id for one in claims)

        async def run(batch):
            raise AssertionError

        bench.manager.register(JobKind("r", run, on_retry=on_retry))
        made = await self.make(bench, 2)
        mine = [await bench.submit("r") for _ in range(7)]
        for job_id in mine:
            await bench.change(job_id, state="dead", error="boom")
        refused.update(mine[2:4])
        assert await self.retry_all(bench) == [(7, 2)]
        for job_id in [*made, *mine]:
            row = await bench.row(job_id)
            left = job_id in refused
            assert (row.state, row.error) == (("dead", "boom") if left else ("ready", None))
        assert {target for act, target, _ in await audited(bench) if act == "job.retried"} == {
            f"job:{one}" for one in [*made, *mine] if one not in refused
        }
        assert set(mine) - refused <= set(retried)

    async def test_of_two_at_once_each_job_is_started_once(self, bench):
        made = await self.make(bench, 6)
        both = await asyncio.gather(self.retry(bench), self.retry(bench))
        assert sum(done.retried for done in both) == 6
        told = [target for act, target, _ in await audited(bench) if act == "job.retried"]
        assert sorted(told) == sorted(f"job:{one}" for one in made)

    async def test_refuses_what_is_no_id(self, bench):
        with pytest.raises(InvalidInputError):
            await self.retry(bench, before_id="nonsense")


class TestSetLimits:
    @pytest.mark.parametrize(
        "limits", [{"max_running": 0}, {"weight": 0.0}, {"rate": -1.0}, {"burst": 0}]
    )
    async def test_refuses_what_is_not_positive(self, bench, limits):
        with pytest.raises(InvalidInputError):
            await bench.limit(**limits)

    async def test_is_audited(self, bench):
        await bench.limit(max_running=3)
        assert await audited(bench) == [
            ("job_limits.changed", f"tenant:{bench.tenant_id}", "user:1")
        ]


class TestRegister:
    def test_refuses_two_kinds_of_one_name(self, bench):
        with pytest.raises(ValueError, match="noop"):
            bench.simple("noop", lambda _: None)
