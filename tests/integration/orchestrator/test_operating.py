"""What operators do with jobs: hand one in, cancel many, give one something else, count them."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord
from backend.core.database import Tx
from backend.core.errors import InvalidInputError
from backend.core.ids import uuid7
from backend.core.subject import ERASED
from backend.managers.orchestrator import (
    Batch,
    Claim,
    GraphDraft,
    Job,
    JobKind,
    JobNotFoundError,
    JobNotRetryableError,
    Outcome,
    TaskDraft,
    _advance,
    _lists,
)
from backend.managers.orchestrator._graphs import Graph
from backend.managers.orchestrator.errors import JobArgsFixedError, JobInvalidError
from backend.managers.orchestrator.kinds import JobRequest, Stopped, Totals
from tests.integration.orchestrator.conftest import Bench


class Args(msgspec.Struct, forbid_unknown_fields=True):
    """What the kind of these tests takes."""

    wanted: int
    note: str = ""
    more: Any = None


@pytest.fixture(autouse=True)
def takes(bench: Bench) -> list[dict[str, Any]]:
    """A kind that tenants may submit; what its handler was given."""
    given: list[dict[str, Any]] = []

    async def take(claim: Claim) -> None:
        given.append(claim.args)

    bench.simple("test.take", take, takes=Args)
    return given


async def hand_in(bench: Bench, kind: str = "test.take", **asked: Any) -> tuple[Job, bool]:
    request: JobRequest = {"args": {"wanted": 1}, **asked}  # type: ignore[typeddict-item]
    async with bench.database.transaction(bench.scope) as tx:
        return await bench.manager.hand_in(tx, kind, request)


async def retry(bench: Bench, job_id: str, **more: Any) -> Job:
    async with bench.database.transaction(bench.scope) as tx:
        return await bench.manager.retry_job(tx, job_id, **more)


async def cancel(bench: Bench, **which: Any) -> Stopped:
    async with bench.database.transaction(bench.scope) as tx:
        return await bench.manager.cancel_jobs(tx, **which)


async def total(bench: Bench) -> Totals:
    async with bench.database.read(bench.scope) as tx:
        return await bench.manager.total(tx)


async def trail(bench: Bench) -> list[tuple[str, str, dict[str, Any]]]:
    async with bench.database.read(bench.scope) as tx:
        rows = await tx.scalars(sa.select(AuditRecord).order_by(AuditRecord.id))
    return [(row.action, row.target, row.data) for row in rows]


class TestHandIn:
    async def test_runs_as_it_was_asked_for_and_is_on_record(
        self, bench: Bench, takes: list[dict[str, Any]]
    ) -> None:
        asked: dict[str, Any] = {"priority": 7, "max_attempts": 2}
        asked |= {"backoff_seconds": 3.0, "timeout_seconds": 9.0}
        job, is_new = await hand_in(bench, args={"wanted": 4}, **asked)
        assert (job.kind, job.state, job.priority, job.max_attempts) == ("test.take", "ready", 7, 2)
        assert is_new
        row = await bench.row(job.id)
        assert (row.backoff_seconds, row.timeout_seconds, row.actor) == (3.0, 9.0, "user:1")
        async with bench.working():
            await bench.until_state(job.id, "succeeded")
        assert takes == [{"wanted": 4}]
        assert await trail(bench) == [("job.submitted", f"job:{job.id}", {"kind": "test.take"})]

    async def test_starts_no_earlier_than_asked(self, bench: Bench) -> None:
        job, _ = await hand_in(bench, delay_seconds=600.0)
        assert job.due_at - job.created_at > timedelta(seconds=590)
        assert await bench.claim() == []

    async def test_of_one_key_there_is_one(self, bench: Bench) -> None:
        first, is_new = await hand_in(bench, dedup_key="k")
        again, is_newer = await hand_in(bench, dedup_key="k", args={"wanted": 2})
        assert (again.id, is_new, is_newer) == (first.id, True, False)
        assert (await bench.row(first.id)).args == {"wanted": 1}
        assert len(await trail(bench)) == 1

    @pytest.mark.parametrize(
        ("kind", "args", "where", "said"),
        [
            ("noop", {"wanted": 1}, "kind", "The kind is one of test.take"),
            ("nothing.such", {"wanted": 1}, "kind", "The kind is one of test.take"),
            ("test.take", {}, "args", "wanted"),
            ("test.take", {"wanted": 1, "wrong": 1}, "args", "wrong"),
            ("test.take", {"wanted": "1"}, "args", "wanted"),
        ],
    )
    async def test_refuses_what_tenants_may_not_submit_and_leaves_nothing(
        self, bench: Bench, kind: str, args: dict[str, Any], where: str, said: str
    ) -> None:
        with pytest.raises(JobInvalidError, match=said) as refused:
            await hand_in(bench, kind, args=args)
        assert refused.value.place == (where,)
        assert await bench.rows() == {}

    async def test_says_what_may_be_submitted(self, bench: Bench) -> None:
        (offer,) = bench.manager.offers.list()
        assert offer.kind == "test.take"
        assert offer.args["$defs"]["Args"]["required"] == ["wanted"]


class TestEditAndRetry:
    async def dead(self, bench: Bench, **asked: Any) -> str:
        job, _ = await hand_in(bench, **asked)
        (taken,) = await bench.claim()
        await bench.finish((taken, Outcome.fail("It answered 404")))
        return job.id

    async def test_it_begins_again_with_what_it_is_given_now(
        self, bench: Bench, takes: list[dict[str, Any]]
    ) -> None:
        job_id = await self.dead(bench, args={"wanted": 1, "note": "secret", "more": [1]})
        now = {"wanted": 2, "more": [1]}
        job = await retry(bench, job_id, args=now)
        assert (job.state, job.attempt, job.error) == ("ready", 1, None)
        async with bench.working():
            row = await bench.until_state(job_id, "succeeded")
        assert (row.attempt, takes) == (2, [now])
        # Which members, and nothing of what they were or are.
        assert (await trail(bench))[1:] == [
            (
                "job.args_changed",
                f"job:{job_id}",
                {"kind": "test.take", "members": ["note", "wanted"]},
            ),
            ("job.retried", f"job:{job_id}", {"kind": "test.take", "subject": None}),
        ]

    async def test_the_same_is_no_change(self, bench: Bench) -> None:
        job_id = await self.dead(bench)
        await retry(bench, job_id, args={"wanted": 1})
        assert [act for act, _, _ in await trail(bench)] == ["job.submitted", "job.retried"]

    async def test_refuses_what_its_kind_does_not_take_and_leaves_it(self, bench: Bench) -> None:
        job_id = await self.dead(bench)
        with pytest.raises(JobInvalidError, match="wrong"):
            await retry(bench, job_id, args={"wanted": 1, "wrong": 2})
        row = await bench.row(job_id)
        assert (row.state, row.args) == ("dead", {"wanted": 1})

    @pytest.mark.parametrize("state", ["ready", "blocked", "running", "succeeded", "skipped"])
    async def test_refuses_one_that_did_not_fail(self, bench: Bench, state: str) -> None:
        job, _ = await hand_in(bench)
        await bench.change(job.id, state=state)
        with pytest.raises(JobNotRetryableError):
            await retry(bench, job.id, args={"wanted": 2})
        assert (await bench.row(job.id)).args == {"wanted": 1}

    async def test_what_is_ours_or_told_of_a_person_is_neither_shown_nor_changed(
        self, bench: Bench
    ) -> None:
        erased = await self.dead(bench)
        ours = await bench.submit(args={"secret": 1})
        await bench.change(ours, state="dead")
        await bench.change(erased, args={ERASED: True})
        for job_id, said in ((ours, "by the product itself"), (erased, "was forgotten")):
            with pytest.raises(JobArgsFixedError, match=said):
                await retry(bench, job_id, args={"wanted": 1})
            async with bench.database.read(bench.scope) as tx:
                with pytest.raises(JobArgsFixedError, match=said):
                    await bench.manager.read_args(tx, job_id, permissions=frozenset())
            assert (await bench.row(job_id)).state == "dead"

    async def test_what_it_is_given_is_shown_to_its_tenant_alone(self, bench: Bench) -> None:
        job_id = await self.dead(bench)
        async with bench.database.read(bench.scope) as tx:
            assert await bench.manager.read_args(tx, job_id, permissions=frozenset()) == {
                "wanted": 1
            }
        async with bench.database.read(bench.scope_of(uuid7())) as tx:
            with pytest.raises(JobNotFoundError):
                await bench.manager.read_args(tx, job_id, permissions=frozenset())

    async def test_a_task_of_a_graph_goes_on_with_what_waits_for_it(
        self, bench: Bench, takes: list[dict[str, Any]]
    ) -> None:
        made = await chain(bench)
        (taken,) = await bench.claim()
        await bench.finish((taken, Outcome.fail("boom")))
        with pytest.raises(JobInvalidError, match="not where that is"):
            await retry(bench, taken.id, args={"wanted": 1, "more": {"$result": "b"}})
        await retry(bench, taken.id, args={"wanted": 9})
        async with bench.working():
            await bench.until_all("succeeded")
        assert takes == [{"wanted": 9}, {"wanted": 2}]
        acts = [(act, target) for act, target, _ in await trail(bench)]
        assert acts[1:] == [
            ("job.args_changed", f"job:{taken.id}"),
            ("job_graph.retried", f"job_graph:{made.id}"),
        ]

    async def test_one_that_stands_for_many_has_none_of_its_own(self, bench: Bench) -> None:
        tasks = [
            TaskDraft("a", "test.take", {"wanted": 1}),
            TaskDraft(
                "b",
                "test.take",
                {"wanted": {"$item": ""}},
                ["a"],
                foreach={"task": "a", "path": "list"},
            ),
        ]
        async with bench.database.transaction(bench.scope) as tx:
            made, _ = await bench.manager.graphs.submit(tx, GraphDraft("g", tasks))
            names = {one.name: one.id for one in await bench.manager.graphs.list_tasks(tx, made.id)}
        async with bench.working():
            # What succeeded gives no list.
            await bench.until_state(names["b"], "dead")
        with pytest.raises(JobArgsFixedError, match="each element"):
            await retry(bench, names["b"], args={"wanted": 1})


async def chain(bench: Bench, name: str = "g") -> Graph:
    """Two jobs, of which one waits for the other."""
    tasks = [
        TaskDraft("a", "test.take", {"wanted": 1}),
        TaskDraft("b", "test.take", {"wanted": 2}, ["a"]),
    ]
    async with bench.database.transaction(bench.scope) as tx:
        made, _ = await bench.manager.graphs.submit(tx, GraphDraft(name, tasks))
    return made


class TestCancelJobs:
    async def test_cancels_what_waits_in_parts_and_says_so_of_each(self, bench: Bench) -> None:
        made = await bench.submit_many(5)
        blocked = await bench.submit()
        await bench.change(blocked, state="blocked")
        done, parts = await cancel(bench, limit=2), 1
        while done.last_id is not None:
            assert (done.cancelled, done.asked) == (2, 0)
            done, parts = await cancel(bench, limit=2, before_id=done.last_id), parts + 1
        assert (done.cancelled, parts) == (1, 3)
        for job_id in made:
            row = await bench.row(job_id)
            assert (row.state, row.error, row.finished_at is None) == (
                "cancelled",
                "cancelled",
                False,
            )
        assert (await bench.row(blocked)).state == "blocked"
        # Record for record what cancelling each by itself would have left.
        acts = sorted((act, target) for act, target, _ in await trail(bench))
        each = [("job.cancelled", f"job:{job_id}") for job_id in made]
        assert acts == sorted([*each, *[("job.bulk_cancelled", f"tenant:{bench.tenant_id}")] * 3])
        assert (await cancel(bench, state="blocked")).cancelled == 1

    async def test_asks_what_runs_once(self, bench: Bench) -> None:
        (job_id,) = await bench.submit_many(1)
        await bench.claim()
        assert await cancel(bench, state="running") == Stopped(0, 1, None)
        assert await cancel(bench, state="running") == Stopped(0, 0, None)
        row = await bench.row(job_id)
        assert (row.state, row.cancel_requested) == ("running", True)
        acts = [act for act, _, _ in await trail(bench)]
        assert acts == ["job.cancelled", "job.bulk_cancelled", "job.bulk_cancelled"]

    async def test_leaves_what_no_filter_names_and_what_is_anothers(self, bench: Bench) -> None:
        mine, failing = await bench.submit(), await bench.submit()
        await bench.change(failing, error="It answered 503\nand more")
        taken, _ = await hand_in(bench)
        other = await bench.submit(tenant=uuid7())
        at = (await bench.get(taken.id)).created_at
        assert (await cancel(bench, kind="nothing.such")).cancelled == 0
        assert (await cancel(bench, kind="noop", created_after=at)).cancelled == 0
        assert (await cancel(bench, kind="noop", error="It answered 503")).cancelled == 1
        assert (await bench.row(failing)).error == "It answered 503\nand more"
        assert (await cancel(bench, kind="test.take")).cancelled == 1
        states = [(await bench.row(one)).state for one in (mine, failing, taken.id, other)]
        assert states == ["ready", "cancelled", "cancelled", "ready"]

    async def test_takes_the_owners_rows_along_or_does_nothing(self, bench: Bench) -> None:
        asked: list[list[str]] = []

        async def on_cancel(_: Tx, claims: list[Claim]) -> None:
            asked.append(sorted(one.id for one in claims))
            if len(asked) > 1:
                raise ZeroDivisionError

        async def run(_: Batch) -> None:
            raise AssertionError

        bench.manager.register(JobKind("c", run, on_cancel=on_cancel))
        made = await bench.submit_many(3, "c")
        await cancel(bench)
        assert asked == [sorted(made)]
        last = await bench.submit("c")
        with pytest.raises(ZeroDivisionError):
            await cancel(bench)
        assert (await bench.row(last)).state == "ready"

    async def test_graphs_go_on_once_for_a_part(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = await chain(bench, "one"), await chain(bench, "two")
        advanced: list[int] = []

        async def advance(tx: Tx, ended: Any) -> None:
            advanced.append(len(ended))
            await _advance.advance(tx, ended)

        monkeypatch.setattr("backend.managers.orchestrator.manager.advance", advance)
        assert (await cancel(bench)).cancelled == 2
        assert advanced == [2]
        async with bench.database.read(bench.scope) as tx:
            for made in (first, second):
                graph = await bench.manager.graphs.get(tx, made.id)
                # Whoever waited for success is skipped by the same commit.
                assert (graph.state, graph.by_state) == (
                    "cancelled",
                    {"cancelled": 1, "skipped": 1},
                )

    async def test_all_of_a_graph_in_one_part_end_it(self, bench: Bench) -> None:
        made = await chain(bench)
        await cancel(bench, state="blocked")
        await cancel(bench)
        async with bench.database.read(bench.scope) as tx:
            graph = await bench.manager.graphs.get(tx, made.id)
        assert (graph.state, graph.by_state) == ("cancelled", {"cancelled": 2})

    async def test_refuses_what_is_no_id(self, bench: Bench) -> None:
        with pytest.raises(InvalidInputError):
            await cancel(bench, before_id="nonsense")


class TestRetryByError:
    async def test_starts_again_what_failed_alike(self, bench: Bench) -> None:
        made = await bench.submit_many(3)
        for job_id, error in zip(made, ("boom\none", "boom\ntwo", "bang"), strict=True):
            await bench.change(job_id, state="dead", error=error)
        async with bench.database.transaction(bench.scope) as tx:
            done = await bench.manager.retry_jobs(tx, error="boom")
        assert (done.retried, done.refused) == (2, 0)
        assert [(await bench.row(one)).state for one in made] == ["ready", "ready", "dead"]


class TestTotals:
    async def test_counts_by_kind_and_state_and_groups_what_died(self, bench: Bench) -> None:
        ready, *ended = await bench.submit_many(7)
        errors = ["boom\nat one", "boom\nat two", "bang", "  \nboom", None]
        for job_id, error in zip(ended, errors, strict=False):
            await bench.change(job_id, state="dead", error=error)
        await bench.change(ended[-1], state="succeeded")
        await hand_in(bench)
        await bench.submit(tenant=uuid7())
        found = await total(bench)
        assert [(one.kind, one.state, one.count, one.at_least) for one in found.counts] == [
            ("noop", "dead", 5, False),
            ("noop", "ready", 1, False),
            ("noop", "succeeded", 1, False),
            ("test.take", "ready", 1, False),
        ]
        alike = {(one.error, one.count, one.job_id) for one in found.failures}
        # The newest of each.
        assert alike == {("boom", 3, ended[3]), ("bang", 1, ended[2]), ("", 1, ended[4])}
        assert (found.failures[0].error, found.looked_at, found.complete) == ("boom", 5, True)
        assert ready not in {one.job_id for one in found.failures}

    async def test_of_nothing_there_is_nothing(self, bench: Bench) -> None:
        assert await total(bench) == Totals([], complete=True, failures=[], looked_at=0)

    async def test_stops_where_it_says(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, bound in (("MOST_COUNTED", 3), ("MOST_COUNTS", 2), ("LOOKED_AT", 2)):
            monkeypatch.setattr(_lists, name, bound)
        for job_id in await bench.submit_many(3):
            await bench.change(job_id, state="dead", error="boom")
        await bench.submit_many(4)
        await hand_in(bench)
        found = await total(bench)
        assert [(one.state, one.count, one.at_least) for one in found.counts] == [
            ("dead", 3, False),
            ("ready", 3, True),
        ]
        assert not found.complete
        assert [(one.count, found.looked_at) for one in found.failures] == [(2, 2)]
