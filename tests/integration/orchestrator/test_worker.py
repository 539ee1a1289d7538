"""The worker: running, retrying, timing out, cancelling, stopping."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
import sqlalchemy as sa

from backend.core.clock import elapsed as real_elapsed
from backend.core.database import DatabaseUnavailableError, db_now
from backend.core.ids import uuid7
from backend.managers.orchestrator import JobKind, Outcome, Worker
from backend.managers.orchestrator import _worker as worker_module
from backend.managers.orchestrator._claim import Claimed
from backend.managers.orchestrator._claim import claim as real_claim
from backend.managers.orchestrator._finish import finish as real_finish
from backend.managers.orchestrator._liveness import beat as real_beat
from backend.managers.orchestrator.models import WorkerRow


async def cancel(bench, job_id):
    async with bench.database.transaction(bench.scope) as tx:
        await bench.manager.cancel_job(tx, job_id)


async def idle(worker):
    return worker.running == 0


class TestRun:
    async def test_runs_what_is_submitted_and_keeps_the_result(self, bench):
        async def add(claim):
            return {"sum": claim.args["a"] + claim.args["b"]}

        bench.simple("add", add)
        async with bench.working():
            job_id = await bench.submit("add", args={"a": 2, "b": 3})
            row = await bench.until_state(job_id, "succeeded")
        assert row.result == {"sum": 5}

    @pytest.mark.slow
    async def test_runs_each_of_many_once_over_two_workers(self, bench):
        runs = Counter()

        async def note(claim):
            runs[claim.id] += 1

        bench.simple("note", note)
        ids = await bench.submit_many(500, "note")
        async with bench.working(name="a"), bench.working(name="b"):
            await bench.until_all("succeeded")
        assert runs == dict.fromkeys(ids, 1)

    async def test_wakes_without_polling(self, bench):
        async with bench.working(poll_seconds=60):
            await bench.until(lambda: has_worker(bench))
            job_id = await bench.submit()
            await bench.until_state(job_id, "succeeded")

    @pytest.mark.slow
    async def test_holds_no_more_than_its_concurrency(self, bench):
        running = most = 0

        async def watch(_):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.005)
            running -= 1

        bench.simple("watch", watch)
        await bench.submit_many(60, "watch")
        async with bench.working(concurrency=7, tenant_share=1.0):
            await bench.until_all("succeeded")
        assert most == 7

    @pytest.mark.slow
    async def test_keeps_a_tenants_limit_with_two_workers(self, bench):
        running = Counter()
        most = Counter()

        async def watch(claim):
            running[claim.tenant_id] += 1
            most[claim.tenant_id] = max(most[claim.tenant_id], running[claim.tenant_id])
            await asyncio.sleep(0.01)
            running[claim.tenant_id] -= 1

        bench.simple("watch", watch)
        limits = {uuid7(): 1, uuid7(): 3}
        for tenant, limit in limits.items():
            await bench.limit(tenant=tenant, max_running=limit)
            await bench.submit_many(20, "watch", tenant=tenant)
        async with bench.working(name="a"), bench.working(name="b"):
            await bench.until_all("succeeded")
        assert most == limits

    async def test_tells_what_it_does(self, bench):
        events = Counter()

        def count(name, **labels):
            events[name, labels.get("kind"), labels.get("outcome")] += labels.get("count", 1)

        await bench.submit_many(3)
        async with bench.working(on_event=count):
            await bench.until_all("succeeded")
        assert events["job_claimed", "noop", None] == 3
        assert events["job_finished", "noop", "done"] == 3

    def test_refuses_a_lease_shorter_than_its_heartbeat(self, bench):
        with pytest.raises(ValueError, match="beat"):
            Worker(bench.database, bench.manager, ttl_seconds=1, beat_seconds=1)


async def has_worker(bench):
    async with bench.database.read(bench.system) as tx:
        return await tx.scalar(sa.select(WorkerRow.id)) is not None


class TestShares:
    @pytest.mark.slow
    async def test_jobs_that_hang_leave_places_for_who_has_none(self, bench):
        """A mail server that accepts connections and stays silent, and four hundred mails to it."""
        let_go = asyncio.Event()

        async def hang(batch):
            await let_go.wait()
            for claim in batch.claims:
                batch.finish(claim, Outcome.done())

        bench.manager.register(JobKind("hang", hang, batch_size=32))
        await bench.submit_many(400, "hang")
        places = {"concurrency": 40, "poll_seconds": 60}
        async with bench.working(name="a", **places) as a, bench.working(name="b", **places) as b:
            # Until both have taken all they may.
            await bench.until(lambda: full(a, b, 32))
            for _ in range(3):
                other = uuid7()
                ids = await bench.submit_many(5, tenant=other)
                for job_id in ids:
                    await bench.until_state(job_id, "succeeded")
            assert (a.running, b.running) == (32, 32)
            let_go.set()
            await bench.until_all("succeeded")


async def full(a, b, places):
    return a.running == b.running == places


class TestBatches:
    @pytest.mark.slow
    async def test_groups_claims_of_one_kind_and_tenant(self, bench):
        batches = []

        async def run(batch):
            batches.append([(claim.tenant_id, claim.kind) for claim in batch.claims])
            for claim in batch.claims:
                batch.finish(claim, Outcome.done())

        for name in ("mail", "fax"):
            bench.manager.register(JobKind(name, run, batch_size=10))
            for tenant in (None, uuid7()):
                await bench.submit_many(25, name, tenant=tenant)
        async with bench.working():
            await bench.until_all("succeeded")
        assert all(len(set(batch)) == 1 for batch in batches)
        assert max(len(batch) for batch in batches) == 10
        assert sum(len(batch) for batch in batches) == 100

    async def test_records_each_claim_as_it_is_reported(self, bench):
        go_on = asyncio.Event()

        async def run(batch):
            first, *rest = batch.claims
            batch.finish(first, Outcome.done({"n": 1}))
            await go_on.wait()
            for claim in rest:
                batch.finish(claim, Outcome.done())

        bench.manager.register(JobKind("mail", run, batch_size=10))
        await bench.submit_many(3, "mail")
        async with bench.working():

            async def one_recorded():
                return await bench.states() == ["running", "running", "succeeded"]

            await bench.until(one_recorded)
            go_on.set()
            await bench.until_all("succeeded")

    async def test_retries_what_was_left_unreported(self, bench):
        async def run(batch):
            batch.finish(batch.claims[0], Outcome.done())

        bench.manager.register(JobKind("lazy", run, batch_size=2))
        first, second = await bench.submit_many(2, "lazy", max_attempts=1)
        async with bench.working():
            await bench.until_state(first, "succeeded")
            row = await bench.until_state(second, "dead")
        assert row.error == "the handler ended without reporting this job"

    async def test_refuses_to_report_a_claim_twice(self, bench):
        caught = []

        async def run(batch):
            (claim,) = batch.claims
            batch.finish(claim, Outcome.done())
            try:
                batch.finish(claim, Outcome.fail("too late"))
            except ValueError as exc:
                caught.append(exc)

        bench.manager.register(JobKind("twice", run))
        job_id = await bench.submit("twice")
        async with bench.working():
            await bench.until_state(job_id, "succeeded")
        assert len(caught) == 1


class TestFailure:
    async def test_retries_what_a_handler_throws(self, bench):
        attempts = []

        async def flaky(claim):
            attempts.append(claim.attempt)
            if claim.attempt < 3:
                raise RuntimeError("boom")

        bench.simple("flaky", flaky)
        job_id = await bench.submit("flaky", backoff_seconds=0.01)
        async with bench.working():
            await bench.until_state(job_id, "succeeded")
        assert attempts == [1, 2, 3]

    @pytest.mark.parametrize("fails", [True, False])
    async def test_retries_every_claim_of_a_batch_that_ended_early(self, bench, fails):
        async def run(batch):
            if all(claim.attempt > 1 for claim in batch.claims):
                for claim in batch.claims:
                    batch.finish(claim, Outcome.done())
            elif fails:
                raise RuntimeError

        bench.manager.register(JobKind("three", run, batch_size=3))
        ids = await bench.submit_many(3, "three", backoff_seconds=0.01)
        async with bench.working() as worker:
            for job_id in ids:
                row = await bench.until_state(job_id, "succeeded")
                assert row.attempt > 1
            await bench.until(lambda: idle(worker))

    async def test_keeps_the_last_error_of_a_dead_job(self, bench):
        async def bad(_):
            raise RuntimeError("boom")

        bench.simple("bad", bad)
        job_id = await bench.submit("bad", max_attempts=2, backoff_seconds=0.01)
        async with bench.working():
            row = await bench.until_state(job_id, "dead")
        assert (row.error, row.attempt) == ("RuntimeError: boom", 2)

    async def test_ends_an_attempt_that_takes_too_long(self, bench):
        async def slow(_):
            await asyncio.Event().wait()

        bench.simple("slow", slow)
        job_id = await bench.submit("slow", max_attempts=1, timeout_seconds=0.05)
        async with bench.working():
            row = await bench.until_state(job_id, "dead")
        assert row.error == "timed out after 0.05 s"

    async def test_a_timeout_of_the_handler_is_not_ours(self, bench):
        async def impatient(_):
            raise TimeoutError("the mail server")

        bench.simple("impatient", impatient)
        job_id = await bench.submit("impatient", max_attempts=1)
        async with bench.working():
            row = await bench.until_state(job_id, "dead")
        assert row.error == "TimeoutError: the mail server"

    async def test_a_batch_earns_time_with_each_report(self, bench):
        deadlines = []

        async def run(batch):
            (mine,) = worker._runs
            deadlines.append(mine.deadline.when())
            for claim in batch.claims:
                await asyncio.sleep(0.01)
                batch.finish(claim, Outcome.done())
                deadlines.append(mine.deadline.when())

        bench.manager.register(JobKind("mail", run, batch_size=8))
        await bench.submit_many(8, "mail", timeout_seconds=30, max_attempts=1)
        async with bench.working() as worker:
            await bench.until_all("succeeded")
        assert len(deadlines) == 9
        assert all(before < after for before, after in pairwise(deadlines[:-1]))
        # After the last report there is nothing left to earn time for.
        assert deadlines[-1] == deadlines[-2]

    async def test_a_cancellation_inside_the_handler_is_its_failure(self, bench):
        async def confused(_):
            raise asyncio.CancelledError

        bench.simple("confused", confused)
        job_id = await bench.submit("confused", max_attempts=1)
        async with bench.working():
            row = await bench.until_state(job_id, "dead")
        assert row.error == "CancelledError"

    async def test_one_failing_apply_spares_the_others(self, bench):
        applied = []

        async def apply(tx, accepted):
            for claim, outcome in accepted:
                if claim.args["n"] == 2:
                    raise ZeroDivisionError("apply")
                applied.append((claim.args["n"], outcome.resolution))

        dead = []

        async def on_dead(tx, claims):
            dead.extend(claim.args["n"] for claim, _ in claims)

        async def run(batch):
            for claim in batch.claims:
                batch.finish(claim, Outcome.done())

        bench.manager.register(JobKind("k", run, batch_size=9, apply=apply, on_dead=on_dead))
        ids = await bench.submit_many(5, "k", max_attempts=1)
        async with bench.working():
            row = await bench.until_state(ids[2], "dead")
            for one in ids[:2] + ids[3:]:
                await bench.until_state(one, "succeeded")
        assert "not recorded: ZeroDivisionError: apply" in row.error
        assert dead == [2]
        # What was applied before the failure was rolled back with it, and then applied again.
        assert {(n, "done") for n in (0, 1, 3, 4)} <= set(applied)

    async def test_a_kind_whose_hooks_all_fail_still_ends(self, bench):
        async def fail(tx, _):
            raise ZeroDivisionError

        async def run(batch):
            batch.finish(batch.claims[0], Outcome.done())

        bench.manager.register(JobKind("k", run, apply=fail, on_dead=fail))
        job_id = await bench.submit("k", max_attempts=1)
        async with bench.working():
            await bench.until_state(job_id, "dead")
            other = await bench.submit()
            await bench.until_state(other, "succeeded")


class TestCancel:
    async def test_stops_a_running_job(self, bench):
        stopped = []
        cancelled = []

        async def slow(claim):
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(claim.id)

        async def on_cancel(tx, claims):
            cancelled.extend(one.id for one in claims)

        bench.simple("slow", slow, on_cancel=on_cancel)
        async with bench.working():
            job_id = await bench.submit("slow")
            await bench.until_state(job_id, "running")
            await cancel(bench, job_id)
            row = await bench.until_state(job_id, "cancelled")
        assert stopped == cancelled == [job_id]
        assert row.error == "cancelled"

    async def test_of_one_claim_leaves_its_batch_running(self, bench):
        seen = asyncio.Event()

        async def run(batch):
            victim, other = batch.claims
            while not batch.is_cancelled(victim):
                await asyncio.sleep(0.01)
            seen.set()
            batch.finish(other, Outcome.done())

        bench.manager.register(JobKind("pair", run, batch_size=2))
        victim, other = await bench.submit_many(2, "pair")
        async with bench.working():
            await bench.until_state(victim, "running")
            await cancel(bench, victim)
            await bench.until_state(victim, "cancelled")
            await bench.until_state(other, "succeeded")
        assert seen.is_set()


class TestOwnership:
    @pytest.mark.slow
    async def test_gives_back_a_claim_it_never_heard_of(self, bench):
        await bench.limit(paused=True)
        job_id = await bench.submit()
        events = Counter()

        def count(name, **_):
            events[name] += 1

        async with bench.working(on_event=count) as worker:
            await bench.until(lambda: has_worker(bench))
            # As if the COMMIT of a claim had arrived and its answer had not.
            await bench.change(job_id, state="running", worker=worker.id, attempt=1)
            row = await bench.until_state(job_id, "ready")
            assert (row.attempt, row.crashes) == (0, 0)
            await bench.limit()
            await bench.until_state(job_id, "succeeded")
        assert events["job_released"] == 1

    async def test_stops_working_on_what_it_has_lost(self, bench):
        stopped = asyncio.Event()

        async def slow(_):
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        bench.simple("slow", slow)
        async with bench.working():
            job_id = await bench.submit("slow")
            await bench.until_state(job_id, "running")
            # As if this worker had been frozen, reaped, and its job claimed by another.
            await bench.beat("other")
            await bench.change(job_id, worker="other", attempt=2)
            async with asyncio.timeout(60):
                await stopped.wait()
            row = await bench.row(job_id)
        assert (row.state, row.worker, row.attempt) == ("running", "other", 2)

    async def test_takes_over_from_the_dead(self, bench):
        job_id = await bench.submit()
        await bench.claim(worker="dead")
        await bench.silence("dead")
        async with bench.working():
            row = await bench.until_state(job_id, "succeeded")
        assert (row.attempt, row.crashes) == (2, 1)


class TestLease:
    """What a worker does that cannot be sure any more that its jobs are its own."""

    @pytest.fixture
    def sleep(self, monkeypatch):
        """Let every process here have been frozen for so long."""
        slept = 0.0

        def add(seconds):
            nonlocal slept
            slept += seconds

        monkeypatch.setattr(worker_module, "elapsed", lambda: real_elapsed() + slept)
        return add

    async def test_begins_nothing_of_what_it_held_when_it_was_frozen(self, bench, sleep):
        answers = []

        async def run(batch):
            first, *rest = batch.claims
            answers.append(batch.begin(first))
            if len(batch.claims) == 3:
                sleep(60)
            answers.extend([batch.begin(claim) for claim in rest])
            for claim, begun in zip(batch.claims, answers[-len(batch.claims) :], strict=True):
                if begun:
                    batch.finish(claim, Outcome.done())

        bench.manager.register(JobKind("act", run, batch_size=3))
        ids = await bench.submit_many(3, "act")
        async with bench.working():
            await bench.until_all("succeeded")
        assert answers[:3] == [True, False, False]
        assert answers[3:] == [True, True]
        rows = await bench.rows()
        # Given back as if they had never been claimed.
        assert {(rows[one].attempt, rows[one].crashes) for one in ids} == {(1, 0)}

    async def test_what_was_only_launched_is_not_run(self, bench, sleep, monkeypatch):
        real_launch = Worker._launch
        runs = Counter()

        def launch(worker, kind, claims):
            real_launch(worker, kind, claims)
            if not runs["frozen"]:
                runs["frozen"] += 1
                sleep(60)

        async def note(claim):
            runs[claim.id] += 1

        monkeypatch.setattr(Worker, "_launch", launch)
        bench.simple("note", note)
        job_id = await bench.submit("note")
        async with bench.working():
            row = await bench.until_state(job_id, "succeeded")
        assert runs == {"frozen": 1, job_id: 1}
        assert (row.attempt, row.crashes) == (1, 0)

    @pytest.mark.slow
    async def test_claims_nothing_before_its_heart_beats_again(self, bench, sleep, monkeypatch):
        failures = claiming = 0
        away = asyncio.Event()

        async def flaky(*args, **kwargs):
            nonlocal failures
            if away.is_set():
                failures += 1
                raise DatabaseUnavailableError
            return await real_beat(*args, **kwargs)

        async def counted(*args, **kwargs):
            nonlocal claiming
            claiming += 1
            try:
                return await real_claim(*args, **kwargs)
            finally:
                claiming -= 1

        async def more_than(count):
            return failures > count

        async def claims_nothing():
            return claiming == 0

        monkeypatch.setattr(worker_module, "beat", flaky)
        monkeypatch.setattr(worker_module, "claim", counted)
        async with bench.working() as worker:
            await bench.until(lambda: has_worker(bench))
            away.set()
            await bench.until(lambda: more_than(0))
            sleep(60)
            # One that was on its way when it froze may still take what is there.
            await bench.until(claims_nothing)
            job_id = await bench.submit()
            seen = failures
            await bench.until(lambda: more_than(seen + 2))
            assert (await bench.row(job_id)).state == "ready"
            assert worker.running == 0
            away.clear()
            await bench.until_state(job_id, "succeeded")

    async def test_what_it_claimed_too_late_goes_back(self, bench, sleep, monkeypatch):
        slow = [True]

        async def late(*args, **kwargs):
            claimed = await real_claim(*args, **kwargs)
            if claimed.claims and slow:
                slow.clear()
                sleep(60)
            return claimed

        monkeypatch.setattr(worker_module, "claim", late)
        runs = Counter()

        async def note(claim):
            runs[claim.id] += 1

        bench.simple("note", note)
        job_id = await bench.submit("note")
        async with bench.working():
            row = await bench.until_state(job_id, "succeeded")
        assert runs == {job_id: 1}
        assert (row.attempt, row.crashes) == (1, 0)

    async def test_gives_back_what_it_never_heard_of_while_it_claims_without_a_pause(
        self, bench, monkeypatch
    ):
        async def busy(*_, **__):
            await asyncio.sleep(0.3)
            return Claimed([], more=True)

        async def amid_a_claim(*args, **kwargs):
            heard = await real_beat(*args, **kwargs)
            while not (worker._claiming or worker._stopping.is_set()):
                await asyncio.sleep(0.001)
            return heard

        async def always(*_, **__):
            return True

        monkeypatch.setattr(worker_module, "has_candidates", always)
        monkeypatch.setattr(worker_module, "claim", busy)
        async with bench.working() as worker:
            await bench.until(lambda: has_worker(bench))
            monkeypatch.setattr(worker_module, "beat", amid_a_claim)
            job_id = await bench.submit()
            await bench.change(job_id, state="running", worker=worker.id, attempt=1)
            row = await bench.until_state(job_id, "ready")
            assert row.attempt == 0
            monkeypatch.setattr(worker_module, "beat", real_beat)


class TestStop:
    async def test_lets_running_jobs_end(self, bench):
        go_on = asyncio.Event()

        async def slow(_):
            await go_on.wait()
            return {"ended": True}

        bench.simple("slow", slow)
        job_id = await bench.submit("slow")
        async with bench.working() as worker:
            await bench.until_state(job_id, "running")
            waiting = await bench.submit()
            await bench.until_state(waiting, "succeeded")
            worker.stop()
            while worker._claiming:  # a claim that was under way may still take what it finds
                await asyncio.sleep(0.001)
            late = await bench.submit()
            go_on.set()
        assert (await bench.row(job_id)).result == {"ended": True}
        assert (await bench.row(late)).state == "ready"

    async def test_gives_back_what_does_not_end_in_time(self, bench):
        async def endless(_):
            await asyncio.Event().wait()

        bench.simple("endless", endless)
        ids = await bench.submit_many(3, "endless")
        async with bench.working(grace_seconds=0.05):
            for job_id in ids:
                await bench.until_state(job_id, "running")
        rows = await bench.rows()
        assert {(rows[one].state, rows[one].attempt, rows[one].crashes) for one in ids} == {
            ("ready", 0, 0)
        }
        async with bench.database.read(bench.system) as tx:
            assert len(await tx.scalars(sa.select(WorkerRow.id))) == 1  # it tells since when

    async def test_gives_back_what_a_batch_did_not_begin(self, bench):
        begun = asyncio.Event()

        async def run(batch):
            first, *_ = batch.claims
            begun.set()
            while not batch.is_stopping:
                await asyncio.sleep(0.01)
            batch.finish(first, Outcome.done())

        bench.manager.register(JobKind("many", run, batch_size=3))
        ids = await bench.submit_many(3, "many")
        async with bench.working():
            await begun.wait()
        rows = await bench.rows()
        ended = sorted((rows[one].state, rows[one].attempt, rows[one].crashes) for one in ids)
        assert ended == [("ready", 0, 0), ("ready", 0, 0), ("succeeded", 1, 0)]

    async def test_ends_at_once_when_idle(self, bench):
        async with asyncio.timeout(60):
            async with bench.working(poll_seconds=600, grace_seconds=600):
                await bench.until(lambda: has_worker(bench))


class TestOutage:
    @pytest.mark.slow
    async def test_records_what_ended_while_the_database_was_away(self, bench, monkeypatch):
        failures = 3

        async def flaky_finish(*args, **kwargs):
            nonlocal failures
            if failures:
                failures -= 1
                raise DatabaseUnavailableError
            return await real_finish(*args, **kwargs)

        monkeypatch.setattr(worker_module, "finish", flaky_finish)
        runs = Counter()

        async def note(claim):
            runs[claim.id] += 1

        bench.simple("note", note)
        ids = await bench.submit_many(5, "note")
        async with bench.working():
            await bench.until_all("succeeded")
        assert failures == 0
        assert runs == dict.fromkeys(ids, 1)

    @pytest.mark.slow
    @pytest.mark.parametrize("broken", ["claim", "beat", "reap"])
    async def test_survives_a_loop_that_fails(self, bench, monkeypatch, broken):
        real = getattr(worker_module, broken)
        failures = [DatabaseUnavailableError(), RuntimeError("bug")]

        async def flaky(*args, **kwargs):
            if failures and failing.is_set():
                raise failures.pop()
            return await real(*args, **kwargs)

        failing = asyncio.Event()
        monkeypatch.setattr(worker_module, broken, flaky)
        async with bench.working():
            await bench.until(lambda: has_worker(bench))
            failing.set()
            # Somebody's orphan, so that there is something to reap.
            orphan = await bench.submit(delay_seconds=60)
            await bench.change(
                orphan, state="running", worker="dead", attempt=1, due_at=db_now(-1.0)
            )
            job_id = await bench.submit()
            await bench.until_state(job_id, "succeeded")
            await bench.until_state(orphan, "succeeded")
        assert failures == []
