"""What a handler has begun: a cancellation waits for it, a timeout and a stop do not."""

import asyncio

from backend.managers.orchestrator import JobKind, Outcome


async def cancel(bench, *job_ids):
    async with bench.database.transaction(bench.scope) as tx:
        for job_id in job_ids:
            await bench.manager.cancel_job(tx, job_id)


def informed(worker, *job_ids):
    """Whether the worker knows that these jobs are not wanted any more."""

    async def condition():
        return all(
            job_id in worker._held and job_id in worker._held[job_id].cancelled
            for job_id in job_ids
        )

    return condition


class Act:
    """A handler whose claims begin, and end when the test says so."""

    def __init__(self, *, begins=lambda _: True):
        self.begins = begins
        self.begun = []
        self.go_on = asyncio.Event()
        self.outcome = Outcome.done({"acted": True})

    async def has_begun(self):
        return bool(self.begun)

    async def run(self, batch):
        async with asyncio.TaskGroup() as group:
            for claim in batch.claims:
                group.create_task(self._work(batch, claim))

    async def _work(self, batch, claim):
        if not self.begins(claim):
            await asyncio.Event().wait()
        if batch.begin(claim):
            self.begun.append(claim.id)
            await self.go_on.wait()
            batch.finish(claim, self.outcome)


class TestCancel:
    async def test_waits_for_what_has_begun(self, bench):
        act, hooked = Act(), []

        async def on_cancel(tx, claims):
            hooked.extend(claims)

        bench.manager.register(JobKind("act", act.run, on_cancel=on_cancel))
        async with bench.working() as worker:
            job_id = await bench.submit("act")
            await bench.until(act.has_begun)
            await cancel(bench, job_id)
            await bench.until(informed(worker, job_id))
            await asyncio.sleep(0)
            act.go_on.set()
            row = await bench.until_state(job_id, "succeeded", "cancelled")
        assert (row.state, row.result, hooked) == ("succeeded", {"acted": True}, [])

    async def test_comes_instead_of_another_attempt(self, bench):
        act = Act()
        act.outcome = Outcome.retry("later")
        bench.manager.register(JobKind("act", act.run))
        async with bench.working() as worker:
            job_id = await bench.submit("act")
            await bench.until(act.has_begun)
            await cancel(bench, job_id)
            await bench.until(informed(worker, job_id))
            act.go_on.set()
            row = await bench.until_state(job_id, "ready", "cancelled")
        assert (row.state, row.error, row.attempt) == ("cancelled", "later", 1)

    async def test_stops_the_rest_of_the_batch_once_what_had_begun_is_reported(self, bench):
        act = Act(begins=lambda claim: claim.args["n"] == 0)
        bench.manager.register(JobKind("act", act.run, batch_size=3))
        ids = await bench.submit_many(3, "act")
        async with bench.working() as worker:
            await bench.until(act.has_begun)
            await cancel(bench, *ids)
            await bench.until(informed(worker, *ids))
            act.go_on.set()
            rows = [await bench.until_state(one, "succeeded", "cancelled") for one in ids]
            await bench.until(lambda: idle(worker))
        assert act.begun == ids[:1]
        assert [row.state for row in rows] == ["succeeded", "cancelled", "cancelled"]

    async def test_before_the_beginning_keeps_it_from_beginning(self, bench):
        answers = []

        async def run(batch):
            victim, other = batch.claims
            while not batch.is_cancelled(victim):
                await asyncio.sleep(0.01)
            answers.extend([batch.begin(victim), batch.begin(other)])
            batch.finish(other, Outcome.done())

        bench.manager.register(JobKind("pair", run, batch_size=2))
        victim, other = await bench.submit_many(2, "pair")
        async with bench.working():
            await bench.until_state(victim, "running")
            await cancel(bench, victim)
            await bench.until_state(victim, "cancelled")
            await bench.until_state(other, "succeeded")
        assert answers == [False, True]


class TestTimeout:
    async def test_ends_what_has_begun_although_it_was_cancelled(self, bench):
        act = Act()
        bench.manager.register(JobKind("act", act.run))
        async with bench.working() as worker:
            job_id = await bench.submit("act")
            await bench.until(act.has_begun)
            await cancel(bench, job_id)
            await bench.until(informed(worker, job_id))
            worker._held[job_id].deadline.reschedule(asyncio.get_running_loop().time())
            row = await bench.until_state(job_id, "cancelled")
        assert row.error == "timed out after 60 s"


class TestStop:
    async def test_begins_nothing_more_and_lets_what_has_begun_end(self, bench):
        act, answers = Act(), []

        async def run(batch):
            first, second = batch.claims
            batch.begin(first)
            act.begun.append(first.id)
            await act.go_on.wait()
            answers.append(batch.begin(second))
            batch.finish(first, Outcome.done())

        bench.manager.register(JobKind("pair", run, batch_size=2))
        first, second = await bench.submit_many(2, "pair")
        async with bench.working() as worker:
            await bench.until_state(second, "running")
            worker.stop()
            act.go_on.set()
        rows = await bench.rows()
        assert answers == [False]
        assert (rows[first].state, rows[second].state) == ("succeeded", "ready")

    async def test_does_not_wait_for_ever_for_what_was_cancelled(self, bench):
        act = Act()
        bench.manager.register(JobKind("act", act.run))
        job_id = await bench.submit("act")
        async with bench.working(grace_seconds=0.05) as worker:
            await bench.until(act.has_begun)
            await cancel(bench, job_id)
            await bench.until(informed(worker, job_id))
        assert (await bench.row(job_id)).state == "cancelled"


async def idle(worker):
    return worker.running == 0
