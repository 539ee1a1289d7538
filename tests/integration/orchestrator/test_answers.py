"""Attempts that wait for an answer from elsewhere: given, late, made up, twice, and never."""

import asyncio
import base64
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord
from backend.core.clock import system_clock
from backend.core.context import SystemScope
from backend.core.database import db_now
from backend.managers.orchestrator import Batch, Callbacks, Claim, JobKind, Outcome, TaskDraft
from backend.managers.orchestrator._answers import LATE, Answers
from backend.managers.orchestrator.errors import CallbackNotFoundError
from tests.integration.orchestrator.conftest import Bench
from tests.integration.orchestrator.test_graphs import listed, look, over, submit
from tests.support.errands import EVERYTHING

CALLBACKS = Callbacks("https://mail.example.com", b"k" * 32)


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """What a kind takes that takes nothing."""


class Waits:
    """A kind that asks somebody for an answer, and keeps the addresses that it gave."""

    def __init__(self, bench: Bench, seconds: float = 600.0) -> None:
        self.bench = bench
        self.seconds = seconds
        self.addresses: list[str] = []
        self.answers = Answers(bench.manager.kinds, CALLBACKS)
        bench.manager.register(JobKind("test.waits", self._run, announce=True, takes=Nothing))

    async def _run(self, batch: Batch) -> None:
        (claim,) = batch.claims
        self.address(claim)
        batch.finish(claim, Outcome.wait(self.seconds))

    def address(self, claim: Claim) -> str:
        until = system_clock() + timedelta(seconds=self.seconds)
        self.addresses.append(CALLBACKS.address(claim, until))
        return self.addresses[-1]

    async def answer(self, said: Any, address: str | None = None) -> None:
        token = (address or self.addresses[-1]).rpartition("/")[2]
        await self.answers.take(self.bench.database, token, said)


@pytest.fixture
def waits(bench: Bench) -> Waits:
    return Waits(bench)


async def waiting(bench: Bench, waits: Waits, **fields: Any) -> str:
    """A job that waits, without a worker; its id."""
    job_id = await bench.submit("test.waits", **fields)
    (claim,) = await bench.claim()
    waits.address(claim)
    await bench.finish((claim, Outcome.wait(waits.seconds)))
    assert (await bench.row(job_id)).state == "awaiting"
    return job_id


async def refused(waits: Waits, said: Any, address: str | None = None) -> bool:
    try:
        await waits.answer(said, address)
    except CallbackNotFoundError:
        return True
    return False


class TestWait:
    async def test_nobody_holds_it_and_it_is_answered_without_a_worker(
        self, bench: Bench, waits: Waits
    ) -> None:
        job_id = await waiting(bench, waits)
        row = await bench.row(job_id)
        assert (row.worker, row.finished_at, row.error) == (None, None, None)
        async with bench.database.read(bench.scope) as tx:
            assert await bench.manager.count_running(tx) == 0
            counts = await bench.manager.count_jobs(tx, system_clock())
        assert counts["awaiting"] == 1
        await waits.answer({"sent": [1, None]})
        job = await bench.get(job_id)
        assert (job.state, job.result, job.attempt) == ("succeeded", {"sent": [1, None]}, 1)
        async with bench.database.read(SystemScope(EVERYTHING)) as tx:
            query = sa.select(AuditRecord).where(AuditRecord.action == "job.answered")
            (record,) = await tx.scalars(query)
        assert (record.target, record.actor) == (f"job:{job_id}", "system:job_callback")
        assert record.tenant_id == bench.tenant_id

    async def test_a_graph_goes_on_with_what_was_answered(self, bench: Bench, waits: Waits) -> None:
        tasks = [
            TaskDraft("wait", "test.waits", {}, grows="more"),
            TaskDraft("after", "test.waits", {}, ["wait"]),
        ]
        made = await submit(bench, tasks)
        async with bench.working():

            async def awaits(name: str) -> bool:
                found = {one.name: one.state for one in await listed(bench, made.id)}
                return found.get(name) == "awaiting"

            for name, said in (
                ("wait", {"more": [{"name": "x", "kind": "test.waits"}]}),
                ("x", None),
                ("after", 7),
            ):
                await bench.until(partial(awaits, name))
                await waits.answer(said)
            done = await over(bench, made.id)
        assert (done.state, done.by_state) == ("succeeded", {"succeeded": 3})

    async def test_an_answer_that_is_quicker_than_the_wait_counts(
        self, bench: Bench, waits: Waits
    ) -> None:
        job_id = await bench.submit("test.waits")
        (claim,) = await bench.claim()
        waits.address(claim)
        await waits.answer("quick")
        assert not await bench.finish((claim, Outcome.wait(60)))
        job = await bench.get(job_id)
        assert (job.state, job.result) == ("succeeded", "quick")

    async def test_an_error_is_a_failure_that_its_policy_goes_on_from(
        self, bench: Bench, waits: Waits
    ) -> None:
        job_id = await waiting(bench, waits, max_attempts=2, backoff_seconds=3600)
        await waits.answer({"error": "no such list"})
        row = await bench.row(job_id)
        said = "It was answered with an error: no such list"
        assert (row.state, row.error, row.result) == ("ready", said, None)
        await bench.make_due(job_id)
        (claim,) = await bench.claim()
        first = waits.addresses[-1]
        waits.address(claim)
        await bench.finish((claim, Outcome.wait(60)))
        # Said again, of the attempt before: it was answered, and nothing changes.
        await waits.answer(1, first)
        assert (await bench.row(job_id)).state == "awaiting"
        await waits.answer({"error": "no such list"})
        assert (await bench.row(job_id)).state == "dead"


class TestAnswer:
    async def test_the_same_answer_again_changes_nothing(self, bench: Bench, waits: Waits) -> None:
        job_id = await waiting(bench, waits)
        await waits.answer(1)
        await waits.answer(2)
        await waits.answer({"error": "x"})
        job = await bench.get(job_id)
        assert (job.state, job.result) == ("succeeded", 1)

    async def test_two_at_once_are_one(self, bench: Bench, waits: Waits) -> None:
        job_id = await waiting(bench, waits)
        await asyncio.gather(*(waits.answer(number) for number in range(5)))
        assert (await bench.get(job_id)).result in range(5)
        async with bench.database.read(SystemScope(EVERYTHING)) as tx:
            query = sa.select(sa.func.count()).where(AuditRecord.action == "job.answered")
            assert await tx.scalar(query.select_from(AuditRecord)) == 1

    async def test_what_was_made_up_is_no_address(self, bench: Bench, waits: Waits) -> None:
        job_id = await waiting(bench, waits)
        token = waits.addresses[-1].rpartition("/")[2]
        raw = bytearray(base64.urlsafe_b64decode(token + "=="))
        for at in (0, 20, 33, 40, len(raw) - 1):
            changed = bytearray(raw)
            changed[at] ^= 1
            other = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
            assert await refused(waits, 1, f"/{other}")
        for other in ("", "x", token[:-2], token + "AA", "é" * 10, "A" * 200):
            assert await refused(waits, 1, f"/{other}")
        stranger = Callbacks("https://mail.example.com", b"l" * 32)
        until = system_clock() + timedelta(hours=1)
        (row,) = (await bench.rows()).values()
        claim = Claim(row.id, row.tenant_id, "", {}, None, 1, 0, 1, 1.0, 1.0, "", "")
        assert await refused(waits, 1, stranger.address(claim, until))
        assert (await bench.row(job_id)).state == "awaiting"

    async def test_of_another_tenant_it_opens_nothing(self, bench: Bench, waits: Waits) -> None:
        job_id = await waiting(bench, waits)
        other = "0199c0de-0000-7000-8000-000000000001"
        claim = Claim(job_id, other, "", {}, None, 1, 0, 1, 1.0, 1.0, "", "")
        until = system_clock() + timedelta(hours=1)
        assert await refused(waits, 1, CALLBACKS.address(claim, until))

    @pytest.mark.parametrize("early", [True, False])
    async def test_after_its_time_it_is_refused(
        self, bench: Bench, waits: Waits, early: bool
    ) -> None:
        job_id = await waiting(bench, waits)
        if early:
            waits.seconds = -1
            row = await bench.row(job_id)
            claim = Claim(row.id, row.tenant_id, "", {}, None, 1, 0, 1, 1.0, 1.0, "", "")
            waits.address(claim)
        else:
            await bench.change(job_id, due_at=db_now(-1.0))
        assert await refused(waits, 1)
        assert (await bench.row(job_id)).state == "awaiting"


class TestGiveUp:
    async def test_what_was_not_answered_in_time_has_failed(
        self, bench: Bench, waits: Waits
    ) -> None:
        late = await waiting(bench, waits, max_attempts=2)
        first = waits.addresses[-1]
        dead = await waiting(bench, waits, max_attempts=1)
        in_time = await waiting(bench, waits)
        for job_id in (late, dead):
            await bench.change(job_id, due_at=db_now(-1.0))
        assert await waits.answers.give_up(bench.database) == 2
        assert await waits.answers.give_up(bench.database) == 0
        rows = await bench.rows()
        assert [rows[one].state for one in (late, dead, in_time)] == ["ready", "dead", "awaiting"]
        assert [rows[one].error for one in (late, dead, in_time)] == [LATE, LATE, None]
        assert await refused(waits, 1, first)


class TestActs:
    async def test_cancelled_it_is_not_answered_any_more_and_retried_it_waits_anew(
        self, bench: Bench, waits: Waits
    ) -> None:
        job_id = await waiting(bench, waits)
        first = waits.addresses[-1]
        async with bench.database.transaction(bench.scope) as tx:
            assert (await bench.manager.cancel_job(tx, job_id)).state == "cancelled"
        assert await refused(waits, 1)
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.retry_job(tx, job_id)
        assert await refused(waits, 1)
        async with bench.working():
            await bench.until_state(job_id, "awaiting")
            assert await refused(waits, 1, first)
            await waits.answer(2)
        assert (await bench.get(job_id)).result == 2

    async def test_a_graph_that_is_cancelled_ends_with_it(self, bench: Bench, waits: Waits) -> None:
        made = await submit(bench, [TaskDraft("wait", "test.waits", {})])
        (claim,) = await bench.claim()
        waits.address(claim)
        await bench.finish((claim, Outcome.wait(60)))
        assert (await look(bench, made.id)).by_state == {"awaiting": 1}
        async with bench.database.transaction(bench.scope) as tx:
            done = await bench.manager.graphs.cancel(tx, made.id)
        assert (done.state, done.by_state) == ("cancelled", {"cancelled": 1})

    async def test_what_was_to_be_cancelled_does_not_begin_to_wait(
        self, bench: Bench, waits: Waits
    ) -> None:
        job_id = await bench.submit("test.waits")
        (claim,) = await bench.claim()
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.cancel_job(tx, job_id)
        await bench.finish((claim, Outcome.wait(60)))
        assert (await bench.row(job_id)).state == "cancelled"
