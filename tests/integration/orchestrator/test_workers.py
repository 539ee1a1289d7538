"""Workers as operators see them: who runs what, and a drain from its first word to its end."""

import asyncio

import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord
from backend.core.context import Principal, SystemScope
from backend.core.database import db_now
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.managers.gateway import GatewayManager
from backend.managers.monitoring import MonitoringManager
from backend.managers.orchestrator import JobKind, NoWorkerError, Outcome
from backend.managers.orchestrator import _worker as worker_module
from backend.managers.orchestrator._claim import Places
from backend.managers.orchestrator._claim import claim as real_claim
from backend.managers.orchestrator._liveness import beat, read_fleet
from backend.managers.orchestrator.errands import WORKERS
from backend.managers.orchestrator.errors import WorkerNotFoundError, WorkerSilentError
from backend.managers.orchestrator.models import WorkerRow
from tests.support.errands import EVERYTHING
from tests.support.fleet import add_worker
from tests.support.roles import ROLES

OPERATOR = SystemScope(WORKERS, actor="user:grace")


async def switch(bench, worker, act):
    async with bench.database.transaction(OPERATOR) as tx:
        return await getattr(bench.manager.workers, act)(tx, worker)


async def fleet(bench):
    async with bench.database.read(OPERATOR) as tx:
        return {one.id: one for one in await bench.manager.workers.list(tx)}


async def seen(bench, worker):
    return (await fleet(bench)).get(worker)


async def acts(database):
    async with database.read(SystemScope(EVERYTHING)) as tx:
        found = await tx.scalars(
            sa.select(AuditRecord)
            .where(AuditRecord.action.startswith("worker."))
            .order_by(AuditRecord.id)
        )
    return [(one.tenant_id, one.actor, one.action, one.target) for one in found]


def until_seen(bench, worker, **wanted):
    async def reached():
        found = await seen(bench, worker.id)
        return found is not None and all(getattr(found, key) == wanted[key] for key in wanted)

    return bench.until(reached)


class Held:
    """Jobs that run until they are let go."""

    def __init__(self, bench, name="held"):
        self.begun = []
        self.let_go = asyncio.Event()
        bench.simple(name, self._run)

    async def _run(self, claim):
        self.begun.append(claim.id)
        await self.let_go.wait()


class TestDrain:
    async def test_what_runs_ends_the_next_is_not_taken_and_resume_takes_it(self, bench):
        held = Held(bench)
        first = await bench.submit("held")
        async with bench.working(version="1.2.3", concurrency=7) as worker:
            await bench.until_state(first, "running")
            await switch(bench, worker.id, "drain")
            await bench.until(lambda: heeded(bench, worker))
            second = await bench.submit("held")
            await asyncio.sleep(0.3)  # six looks for work
            found = await seen(bench, worker.id)
            assert (found.version, found.slots) == ("1.2.3", 7)
            assert (found.state, found.running, found.drained) == ("draining", 1, False)
            assert [(one.tenant_id, one.running) for one in found.tenants] == [(bench.tenant_id, 1)]
            held.let_go.set()
            await bench.until_state(first, "succeeded")
            await until_seen(bench, worker, drained=True, running=0)
            before = (await seen(bench, worker.id)).beat_at
            await bench.until(lambda: beaten_since(bench, worker, before))
            assert (await bench.row(second)).state == "ready"
            assert held.begun == [first]
            await switch(bench, worker.id, "resume")
            await bench.until_state(second, "succeeded")
            assert (await seen(bench, worker.id)).state == "working"

    async def test_is_heard_long_before_the_next_heartbeat(self, bench):
        async with bench.working(beat_seconds=300.0, ttl_seconds=900.0) as worker:
            await bench.until(lambda: is_there(bench, worker))
            await switch(bench, worker.id, "drain")
            await until_seen(bench, worker, drained=True)
            job_id = await bench.submit()
            await asyncio.sleep(0.3)
            assert (await bench.row(job_id)).state == "ready"
            await switch(bench, worker.id, "resume")
            await bench.until_state(job_id, "succeeded")

    async def test_is_heard_by_the_heartbeat_when_the_signal_is_lost(self, bench, monkeypatch):
        async with bench.working() as worker:
            await bench.until(lambda: is_there(bench, worker))
            monkeypatch.setattr(bench.database.signals, "publish", lambda *_, **__: None)
            await switch(bench, worker.id, "drain")
            await until_seen(bench, worker, drained=True)

    async def test_a_batch_goes_on_to_its_end(self, bench):
        begun, let_go, stopping = asyncio.Event(), asyncio.Event(), []

        async def run(batch):
            begun.set()
            await let_go.wait()
            for claim in batch.claims:
                stopping.append(batch.is_stopping)
                batch.finish(claim, Outcome.done())

        bench.manager.register(JobKind("batch", run, batch_size=3))
        await bench.submit_many(3, "batch")
        async with bench.working() as worker:
            await begun.wait()
            await switch(bench, worker.id, "drain")
            await bench.until(lambda: heeded(bench, worker))
            let_go.set()
            await bench.until_all("succeeded")
        assert stopping == [False] * 3

    async def test_nothing_is_called_drained_while_a_claim_is_on_its_way(self, bench, monkeypatch):
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def slow(*args, **kwargs):
            reached.set()
            await go_on.wait()
            return await real_claim(*args, **kwargs)

        if bench.database.dialect == "sqlite":
            pytest.skip("a claim is the one writer: a drain is committed before it, or after")
        async with bench.working() as worker:
            await bench.until(lambda: is_there(bench, worker))
            monkeypatch.setattr(worker_module, "claim", slow)
            job_id = await bench.submit()
            await reached.wait()
            await switch(bench, worker.id, "drain")
            await bench.until(lambda: draining(worker))
            before = (await seen(bench, worker.id)).beat_at
            await bench.until(lambda: beaten_since(bench, worker, before))
            assert not (await seen(bench, worker.id)).drained
            go_on.set()
            await bench.until_state(job_id, "succeeded")
            await until_seen(bench, worker, drained=True)

    async def test_a_claim_that_it_never_heard_of_goes_to_others(self, bench):
        held = Held(bench)
        async with bench.working(concurrency=1) as worker:
            await bench.until(lambda: is_there(bench, worker))
            await switch(bench, worker.id, "drain")
            await until_seen(bench, worker, drained=True)
            job_id = await bench.submit("held")
            async with bench.database.transaction(bench.system) as tx:
                # Its COMMIT arrived, its answer did not.
                places = Places(1)
                assert (await real_claim(tx, worker.id, places, ["held"])).claims
            await bench.until_state(job_id, "ready")
            await until_seen(bench, worker, drained=True)
            assert held.begun == []
            assert (await bench.row(job_id)).attempt == 0

    async def test_one_that_starts_again_does_not_drain(self, bench):
        async with bench.working() as worker:
            await bench.until(lambda: is_there(bench, worker))
            await switch(bench, worker.id, "drain")
            await until_seen(bench, worker, drained=True)
        job_id = await bench.submit()
        async with bench.working() as again:
            await bench.until_state(job_id, "succeeded")
            assert again.id != worker.id
            assert (await seen(bench, again.id)).state == "working"

    async def test_one_whose_row_was_forgotten_goes_on_draining(self, bench):
        async with bench.working() as worker:
            await bench.until(lambda: is_there(bench, worker))
            await switch(bench, worker.id, "drain")
            await until_seen(bench, worker, drained=True)
            await bench._execute(sa.delete(WorkerRow))
            await until_seen(bench, worker, drained=True)

    async def test_others_take_what_it_leaves(self, bench):
        async with bench.working(name="a") as a, bench.working(name="b") as b:
            await bench.until(lambda: is_there(bench, a))
            await bench.until(lambda: is_there(bench, b))
            await switch(bench, a.id, "drain")
            await until_seen(bench, a, drained=True)
            jobs = await bench.submit_many(5)
            await bench.until_all("succeeded")
            assert {(await bench.row(job_id)).worker for job_id in jobs} == {b.id}


async def is_there(bench, worker):
    return await seen(bench, worker.id) is not None


async def draining(worker):
    return worker._draining


async def heeded(bench, worker):
    async with bench.database.read(OPERATOR) as tx:
        return await tx.scalar(sa.select(WorkerRow.heeded).where(WorkerRow.id == worker.id))


async def beaten_since(bench, worker, at):
    return (await seen(bench, worker.id)).beat_at > at


class TestSwitch:
    async def test_is_recorded_once_and_with_the_platform(self, bench):
        await bench.beat("w")
        for act in ("resume", "drain", "drain", "resume", "resume"):
            await switch(bench, "w", act)
        who = (PLATFORM_TENANT, "user:grace")
        assert await acts(bench.database) == [
            (*who, "worker.drained", "worker:w"),
            (*who, "worker.resumed", "worker:w"),
        ]

    async def test_refuses_one_that_is_silent_and_one_that_is_not_there(self, bench):
        await bench.beat("w")
        await bench.silence("w", 7.0)
        for act in ("drain", "resume"):
            with pytest.raises(WorkerSilentError, match="and claims nothing"):
                await switch(bench, "w", act)
            with pytest.raises(WorkerNotFoundError):
                await switch(bench, "nobody", act)
        assert (await seen(bench, "w")).state == "silent"
        assert await acts(bench.database) == []

    async def test_what_was_heeded_of_a_drain_that_is_over_answers_no_other(self, bench):
        """It has not heard of either yet, and claims when it hears of the first alone."""
        await bench.beat("w")
        await switch(bench, "w", "drain")
        await say(bench, draining=True, heeds=True)
        assert (await seen(bench, "w")).drained
        await switch(bench, "w", "resume")
        assert not (await say(bench, draining=True, heeds=True)).draining
        await switch(bench, "w", "drain")
        assert not (await seen(bench, "w")).drained

    async def test_one_of_an_older_program_is_never_called_drained(self, bench):
        await bench.beat("w")
        await switch(bench, "w", "drain")
        await bench.beat("w")
        found = await seen(bench, "w")
        assert (found.version, found.slots, found.state) == (None, None, "draining")
        assert (found.running, found.drained) == (0, False)


async def say(bench, **said):
    async with bench.database.transaction(bench.system) as tx:
        return await beat(tx, "w", **said)


class TestFleet:
    async def test_who_drains_is_not_at_work(self, bench):
        for name in ("a", "b"):
            await bench.beat(name)
        await switch(bench, "a", "drain")
        async with bench.database.read(bench.system) as tx:
            found = await read_fleet(tx, 6.0)
            said = await bench.manager.check_workers(tx)
        assert (found.alive, found.draining, found.due) == (1, 1, False)
        assert said.startswith("1 at work, 1 draining, last seen ")
        await switch(bench, "b", "drain")
        async with bench.database.read(bench.system) as tx:
            said = await bench.manager.check_workers(tx)
        assert said == "no worker takes work, 2 draining; no job is due"
        await bench.submit()
        async with bench.database.read(bench.system) as tx:
            with pytest.raises(NoWorkerError, match="takes work, 2 draining, and jobs are due"):
                await bench.manager.check_workers(tx)

    async def test_is_counted_by_state(self, bench):
        for name in ("a", "b", "c"):
            await bench.beat(name)
        await switch(bench, "a", "drain")
        await bench.silence("c", 60.0)
        async with bench.database.read(bench.system) as tx:
            found = await bench.manager.workers.count(tx)
        assert found == {"working": 1, "draining": 1, "silent": 1}

    async def test_says_whose_jobs_each_runs_the_most_first(self, bench):
        other = uuid7()
        await bench.submit_many(2)
        await bench.submit_many(3, tenant=other)
        await bench.claim(worker="a")
        await bench.beat("b")
        found = await fleet(bench)
        assert found["a"].running == 5
        assert [(one.tenant_id, one.running) for one in found["a"].tenants] == [
            (other, 3),
            (bench.tenant_id, 2),
        ]
        assert (found["b"].running, found["b"].tenants) == (0, ())


@pytest.fixture
async def root(app, monkeypatch):
    """Somebody who may look after the platform."""
    ada = await app.caller()
    principal = Principal(
        subject="user:root",
        kind="user",
        tenant_id=ada.tenant.id,
        permissions=ROLES.by_name["owner"] | ROLES.by_platform["administrator"],
        role="owner",
        platform_role="administrator",
    )
    monkeypatch.setattr(app.platform.of(GatewayManager), "cached_principal", lambda _: principal)
    return ada.http


PATH = "/api/v1/platform/workers"


class TestOverHttp:
    async def test_lists_drains_and_resumes(self, app, root):
        one = await add_worker(app.platform.database, "mail-1")
        two = await add_worker(app.platform.database, "mail-2")
        page = (await root.get(PATH, params={"limit": 1})).json()
        assert [each["id"] for each in page["items"]] == [one]
        rest = (await root.get(PATH, params={"cursor": page["next_cursor"]})).json()
        assert [each["id"] for each in rest["items"]] == [two]
        assert rest["next_cursor"] is None
        shown = page["items"][0]
        assert (shown["host"], shown["pid"], shown["version"]) == ("mail-1", 4711, "1.2.3")
        assert (shown["state"], shown["slots"], shown["running"]) == ("working", 4, 0)
        assert (shown["tenants"], shown["drained"]) == ([], False)
        answers = [
            (await root.post(f"{PATH}/{which}/{act}")).json()
            for which, act in ((one, "drain"), (two, "drain"), (one, "resume"))
        ]
        assert [(each["state"], each["working"]) for each in answers] == [
            ("draining", 1),
            ("draining", 0),
            ("working", 1),
        ]
        assert [each[2:] for each in await acts(app.platform.database)] == [
            ("worker.drained", f"worker:{one}"),
            ("worker.drained", f"worker:{two}"),
            ("worker.resumed", f"worker:{one}"),
        ]
        answer = await root.get("/metrics")
        assert 'email_sender_orchestrator_workers{state="draining"} 1.0' in answer.text
        assert 'email_sender_orchestrator_workers{state="working"} 1.0' in answer.text

    async def test_tells_the_status_and_the_overview_that_all_drain(self, app, root):
        worker = await add_worker(app.platform.database)
        assert (await root.post(f"{PATH}/{worker}/drain")).status_code == 200
        mail = {"to": ["bo@example.test"], "subject": "Hi", "text": "There"}
        (await root.post("/api/v1/emails", json=mail)).raise_for_status()
        app.platform.of(MonitoringManager)._latest = None
        checks = {each["name"]: each for each in (await root.get("/readyz")).json()["checks"]}
        assert checks["workers"]["ok"] is False
        assert checks["workers"]["detail"] == "no worker takes work, 1 draining, and jobs are due"
        told = (await root.get("/api/v1/overview")).json()
        assert (told["workers"]["alive"], told["workers"]["draining"]) == (0, 1)
        assert any("1 worker is draining and none" in each for each in sentences(told["verdict"]))

    @pytest.mark.parametrize("act", ["drain", "resume"])
    async def test_says_why_not(self, app, root, act):
        worker = await add_worker(app.platform.database)
        gone = await root.post(f"{PATH}/{worker}x/{act}")
        assert (gone.status_code, gone.json()["code"]) == (404, "orchestrator.worker_not_found")
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(WorkerRow).values(beat_at=db_now(-60.0)))
        silent = await root.post(f"{PATH}/{worker}/{act}")
        assert (silent.status_code, silent.json()["code"]) == (409, "orchestrator.worker_silent")
        assert silent.json()["detail"].startswith("It was heard last at 20")
        assert await acts(app.platform.database) == []


def sentences(verdict):
    return [verdict["sentence"], *(each["sentence"] for each in verdict["others"])]
