"""The walk that forgets a person: resumed, bounded, waiting for what goes on, exact at its end."""

import asyncio
import itertools
import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.app import compose
from backend.core.audit import Personal
from backend.core.context import Scope
from backend.core.database import DatabaseUnavailableError, Tx
from backend.core.events import EventRecord
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.subject import ROWS_AT_ONCE
from backend.managers.compliance import ComplianceManager, ErasureNotFoundError
from backend.managers.compliance.models import ErasureRow
from backend.managers.email.models import RecipientRow
from backend.managers.orchestrator.models import JobRow
from backend.managers.security import SecurityManager

ADDRESS = "Grace.Hopper@navy.example.test"
SETTLE = timedelta(seconds=120)


class Hands:
    """A clock that is put forward by hand."""

    def __init__(self, clock):
        self._clock, self._by = clock, timedelta()

    def __call__(self):
        return self._clock() + self._by

    def forward(self, by):
        self._by += by


@pytest.fixture
def clock(app):
    database = app.platform.database
    database.clock = Hands(database.clock)
    return database.clock


@pytest.fixture
async def owner(app):
    return await app.caller()


@pytest.fixture
def walks(app):
    return app.platform.of(ComplianceManager).walks


def scope(caller):
    return Scope("user:ada", caller.tenant.id, "req-1")


async def begin(caller, **body):
    answer = await caller.http.post("/api/v1/subjects/erase", json=body or {"address": ADDRESS})
    assert answer.status_code == 202, answer.text
    return answer.json()


async def state(caller, made):
    answer = await caller.http.get(f"/api/v1/subjects/erasures/{made['id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def run(app, walks):
    await walks.walker.run_due(app.platform.database)


async def add_events(app, caller, count, data):
    rows = [
        {
            "tenant_id": caller.tenant.id,
            "id": uuid7(),
            "at": app.platform.database.clock(),
            "kind": "suppression.added",
            "subject": "suppression:1",
            "actor": "user:ada",
            "data": data,
            "seq": None,
        }
        for _ in range(count)
    ]
    async with app.platform.database.transaction(scope(caller)) as tx:
        await tx.insert(EventRecord, rows)
    return [row["id"] for row in rows]


async def add_job(app, caller, *, job_state, args, result=None):
    now = app.platform.database.clock()
    over = job_state == "succeeded"
    row = {
        "tenant_id": caller.tenant.id,
        "id": uuid7(),
        "kind": "nothing.such",
        "args": args,
        "result": result,
        "state": job_state,
        "waiting": 0,
        "priority": 0,
        "due_at": now,
        "timeout_seconds": 60.0,
        "attempt": 1,
        "crashes": 0,
        "forgiven": 0,
        "max_attempts": 3,
        "backoff_seconds": 1.0,
        "cancel_requested": False,
        "traceparent": "",
        "actor": "user:ada",
        "created_at": now,
        "started_at": now if job_state != "ready" else None,
        "finished_at": now if over else None,
    }
    async with app.platform.database.transaction(scope(caller)) as tx:
        await tx.insert(JobRow, [row])
    return row["id"]


async def end_job(app, caller, job_id, result):
    async with app.platform.database.transaction(scope(caller)) as tx:
        await tx.execute(
            sa.update(JobRow)
            .where(JobRow.tenant_id == caller.tenant.id, JobRow.id == job_id)
            .values(state="succeeded", result=result, finished_at=tx.now())
        )


async def tells(app, caller):
    """How many events and jobs of the tenant have the address."""
    async with app.platform.database.read(scope(caller)) as view:
        events = await view.scalars(
            sa.select(EventRecord.data).where(EventRecord.tenant_id == caller.tenant.id)
        )
        jobs = (
            await view.execute(
                sa.select(JobRow.args, JobRow.result).where(JobRow.tenant_id == caller.tenant.id)
            )
        ).all()
    rows = [json.dumps(one) for one in events] + [json.dumps([*one]) for one in jobs]
    return sum("hopper" in row.lower() for row in rows)


class TestRounds:
    async def test_ends_with_a_round_after_all_writes_have_settled(self, app, owner, walks, clock):
        await add_events(app, owner, 3, {"address": ADDRESS})
        made = await begin(owner)
        assert (made["state"], made["statement"]) == ("running", None)
        await run(app, walks)
        now = await state(owner, made)
        assert (now["state"], now["round"], now["rewritten"]) == ("running", 1, 3)
        assert now["waits_until"] is not None
        assert await tells(app, owner) == 0
        # A write that was under way comes to its end behind the walk.
        await add_events(app, owner, 1, {"address": ADDRESS})
        clock.forward(SETTLE)
        await run(app, walks)
        now = await state(owner, made)
        assert (now["state"], now["round"], now["rewritten"]) == ("running", 2, 4)
        clock.forward(SETTLE)
        await run(app, walks)
        now = await state(owner, made)
        assert (now["state"], now["round"]) == ("complete", 3)
        said = json.loads(now["statement"])
        assert said["counts"] == {"events": 4}
        assert (said["rounds"], said["left"]) == (3, 0)
        assert said["rows_looked_at"] == now["looked_at"] >= 3 * 4
        assert said["started_at"] < said["erased_at"]
        assert await tells(app, owner) == 0

    async def test_does_not_end_before_writes_have_settled(self, app, owner, walks, clock):
        made = await begin(owner)
        await run(app, walks)
        clock.forward(SETTLE - timedelta(seconds=5))
        await run(app, walks)
        assert (await state(owner, made))["round"] == 1
        clock.forward(timedelta(seconds=5))
        await run(app, walks)
        assert (await state(owner, made))["state"] == "complete"

    async def test_work_that_was_given_the_address_is_waited_for(self, app, owner, walks, clock):
        job_id = await add_job(app, owner, job_state="ready", args={"to": ADDRESS})
        made = await begin(owner)
        await run(app, walks)
        now = await state(owner, made)
        assert "belong to work that goes on" in now["waits_for"]
        clock.forward(SETTLE)
        await run(app, walks)
        assert (await state(owner, made))["state"] == "running"
        assert await tells(app, owner) == 1
        await end_job(app, owner, job_id, {"sent": ADDRESS})
        for _ in range(2):
            clock.forward(SETTLE)
            await run(app, walks)
        now = await state(owner, made)
        assert (now["state"], now["waits_for"]) == ("complete", None)
        assert json.loads(now["statement"])["counts"] == {"jobs": 1}
        assert await tells(app, owner) == 0

    async def test_an_attempt_that_read_of_them_before_is_waited_for(
        self, app, owner, walks, clock
    ):
        """Its arguments do not say so: only its result will."""
        job_id = await add_job(app, owner, job_state="running", args={"list": 7})
        made = await begin(owner)
        await run(app, walks)
        clock.forward(SETTLE)
        await run(app, walks)
        now = await state(owner, made)
        assert (now["state"], now["round"]) == ("running", 1)
        assert now["waits_for"] == "1 job(s) that have been running since before have to end."
        await end_job(app, owner, job_id, {"read": ADDRESS})
        # One that began since has read nothing of them.
        clock.forward(SETTLE)
        await add_job(app, owner, job_state="running", args={"list": 8})
        await run(app, walks)
        assert (await state(owner, made))["rewritten"] == 1
        async with app.platform.database.transaction(scope(owner)) as tx:
            await tx.execute(
                sa.delete(JobRow).where(
                    JobRow.tenant_id == owner.tenant.id, JobRow.state == "running"
                )
            )
        clock.forward(SETTLE)
        await run(app, walks)
        assert (await state(owner, made))["state"] == "complete"
        assert await tells(app, owner) == 0

    async def test_who_is_mailed_again_is_waited_for(self, app, owner, walks, clock):
        made = await begin(owner)
        sent = await owner.http.post(
            "/api/v1/emails", json={"to": [ADDRESS], "subject": "Hello", "text": "Hello"}
        )
        await run(app, walks)
        now = await state(owner, made)
        assert "1 message(s) to them are not settled" in now["waits_for"]
        gauges = (await app.client().get("/metrics")).text
        assert 'email_sender_compliance_erasures{state="waiting"} 1.0' in gauges
        await owner.http.post(f"/api/v1/jobs/{sent.json()['job_id']}/cancel")
        for _ in range(3):
            clock.forward(SETTLE)
            await run(app, walks)
        now = await state(owner, made)
        assert now["state"] == "complete", now
        counts = json.loads(now["statement"])["counts"]
        assert (counts["email_recipients"], counts["email_contents"]) == (1, 1)

    async def test_mail_to_others_as_well_is_left_until_they_have_it(self, app, owner):
        """What they are sent is the content that would go."""
        sent = await owner.http.post(
            "/api/v1/emails",
            json={"to": [ADDRESS, "ada@example.test"], "subject": "Hello", "text": "Hello"},
        )
        assert sent.status_code == 202, sent.text
        async with app.platform.database.transaction(scope(owner)) as tx:
            await tx.execute(
                sa.update(RecipientRow)
                .where(
                    RecipientRow.tenant_id == owner.tenant.id,
                    RecipientRow.address == ADDRESS,
                )
                .values(state="accepted")
            )
        answer = await owner.http.post("/api/v1/subjects/erase", json={"address": ADDRESS})
        assert answer.status_code == 409


class TestResumed:
    async def test_by_another_process_at_any_step(self, app, owner, walks, clock):
        """Each step is made by a process of its own, which knows what the database says."""
        await add_events(app, owner, 2 * ROWS_AT_ONCE + 5, {"address": ADDRESS})
        made = await begin(owner)
        fresh = compose(app.platform.settings, clock=clock)
        try:
            seen, now = [], made
            for number in range(200):
                platform = app.platform if number % 2 else fresh
                walk = platform.of(ComplianceManager).walks
                if not await walk.step(platform.database, owner.tenant.id):
                    clock.forward(SETTLE)
                now = await state(owner, made)
                seen.append((now["round"], now["place"], now["looked_at"], now["rewritten"]))
                if now["state"] == "complete":
                    break
        finally:
            await fresh.database.engine.dispose()
        assert now["state"] == "complete"
        said = json.loads(now["statement"])
        assert said["counts"] == {"events": 2 * ROWS_AT_ONCE + 5}
        assert [one[2] for one in seen] == sorted(one[2] for one in seen)
        # In bites: no step looked at more.
        steps = [later[2] - earlier[2] for earlier, later in itertools.pairwise(seen)]
        assert max(steps) == ROWS_AT_ONCE
        assert await tells(app, owner) == 0

    async def test_a_step_that_is_cut_off_leaves_what_was_and_is_taken_again(
        self, app, owner, walks, clock, monkeypatch
    ):
        await add_events(app, owner, 10, {"address": ADDRESS})
        made = await begin(owner)
        whole = Tx.rewrite_some

        async def cut_off(self, *args, **more):
            await whole(self, *args, **more)
            raise asyncio.CancelledError

        monkeypatch.setattr(Tx, "rewrite_some", cut_off)
        with pytest.raises(asyncio.CancelledError):
            await run(app, walks)
        assert await tells(app, owner) == 10
        monkeypatch.setattr(Tx, "rewrite_some", whole)
        for _ in range(3):
            clock.forward(SETTLE)
            await run(app, walks)
        now = await state(owner, made)
        assert now["state"] == "complete"
        assert json.loads(now["statement"])["counts"] == {"events": 10}

    async def test_an_outage_is_waited_out(self, app, owner, walks, clock, monkeypatch):
        await add_events(app, owner, 10, {"address": ADDRESS})
        made = await begin(owner)

        def away(*_, **__):
            raise DatabaseUnavailableError

        with monkeypatch.context() as patched:
            patched.setattr(Tx, "rewrite_some", away)
            with pytest.raises(DatabaseUnavailableError):
                await run(app, walks)
        # Not put off as a failure of its own: the next turn goes on.
        assert (await state(owner, made))["waits_until"] is None
        await run(app, walks)
        assert (await state(owner, made))["rewritten"] == 10

    async def test_a_sealed_tenant_is_waited_for(self, app, owner, walks, clock):
        await add_events(app, owner, 1, {"address": ADDRESS})
        made = await begin(owner)
        seals, database = app.platform.of(SecurityManager).seals, app.platform.database
        async with database.transaction(scope(owner)) as tx:
            await seals.put(tx, "a drill")
        await seals.look(database)
        await run(app, walks)
        refused = await owner.http.post(
            "/api/v1/subjects/erase", json={"address": "b@example.test"}
        )
        assert (refused.status_code, refused.json()["code"]) == (503, "security.sealed")
        async with database.transaction(scope(owner)) as tx:
            await seals.lift(tx)
        await seals.look(database)
        assert await tells(app, owner) == 1
        for _ in range(2):
            clock.forward(SETTLE)
            await run(app, walks)
        assert (await state(owner, made))["rewritten"] == 1

    async def test_two_workers_do_a_step_once(self, app, owner, walks):
        await add_events(app, owner, 100, {"address": ADDRESS})
        made = await begin(owner)
        database = app.platform.database
        for _ in range(20):
            await asyncio.gather(*(walks.step(database, owner.tenant.id) for _ in range(3)))
        now = await state(owner, made)
        assert (now["round"], now["rewritten"]) == (1, 100)


class TestShares:
    async def test_one_tenants_walk_does_not_hold_anothers(self, app, owner, walks, clock):
        other = await app.caller()
        await add_events(app, owner, 3 * ROWS_AT_ONCE, {"address": ADDRESS})
        long, short = await begin(owner), await begin(other)
        database = app.platform.database
        steps = 0
        while (await state(other, short))["round"] == 0 or (await state(other, short))["place"]:
            async with database.read(walks.walker._scope) as view:
                due = await walks.due(view)
            for tenant_id in due:
                await walks.step(database, tenant_id)
            steps += 1
            assert steps < 50
        # In turns: the short one is through its round while the long one is in the middle.
        assert (await state(owner, long))["round"] == 1
        async with database.read(scope(other)) as view:
            with pytest.raises(ErasureNotFoundError):
                await app.platform.of(ComplianceManager).get_erasure(view, long["id"])

    async def test_one_that_fails_keeps_no_other_from_its_turn(
        self, app, owner, walks, clock, monkeypatch, caplog
    ):
        other = await app.caller()
        await add_events(app, other, 5, {"address": ADDRESS})
        await begin(owner)
        short = await begin(other)
        step = walks.step

        async def fail(database, tenant_id):
            if tenant_id == owner.tenant.id:
                raise ZeroDivisionError
            return await step(database, tenant_id)

        monkeypatch.setattr(walks, "step", fail)
        await run(app, walks)
        assert (await state(other, short))["rewritten"] == 5
        assert [one.message for one in caplog.records].count("walk_step_failed") == 1

    @pytest.mark.slow
    @pytest.mark.timeout(1200)
    async def test_many_events_without_a_long_transaction(self, app, owner, walks, clock):
        """Whoever writes meanwhile waits for a step, and each step is of so many rows."""
        many = 8 * ROWS_AT_ONCE
        for _ in range(8):
            await add_events(app, owner, ROWS_AT_ONCE, {"name": "somebody else"})
        await add_events(app, owner, 100, {"address": ADDRESS})
        made = await begin(owner)
        engine = app.platform.database.engine.sync_engine
        wrote, bites = [], []

        def count(_, cursor, sql, *__):
            if sql.lstrip().startswith("UPDATE events"):
                bites.append(cursor.rowcount)

        sa.event.listen(engine, "after_cursor_execute", count)
        walking = asyncio.create_task(run(app, walks))
        try:
            while not walking.done():
                await add_events(app, owner, 1, {"name": "meanwhile"})
                async with app.platform.database.read(scope(owner)) as view:
                    one = await app.platform.of(ComplianceManager).get_erasure(view, made["id"])
                wrote.append(one.looked_at)
            await walking
        finally:
            sa.event.remove(engine, "after_cursor_execute", count)
        assert len(bites) >= many / ROWS_AT_ONCE
        # Others wrote in between, again and again, while it went on.
        assert len({one for one in wrote if 0 < one < many}) >= 3
        now = await state(owner, made)
        assert (now["round"], now["rewritten"]) == (1, 100)
        assert now["looked_at"] >= many
        assert await tells(app, owner) == 0


class TestWhatIsKept:
    async def test_the_address_is_sealed_and_goes_with_the_end(self, app, owner, walks, clock):
        made = await begin(owner)
        database = app.platform.database

        async def row():
            async with database.read(scope(owner)) as view:
                return await view.scalar(
                    sa.select(ErasureRow).where(
                        ErasureRow.tenant_id == owner.tenant.id, ErasureRow.id == made["id"]
                    )
                )

        kept = await row()
        assert b"hopper" not in kept.sealed_address.lower()
        for _ in range(2):
            await run(app, walks)
            clock.forward(SETTLE)
        kept = await row()
        assert (kept.state, kept.sealed_address, kept.open_key) == ("complete", None, None)

    async def test_the_trail_tells_who_asked_and_that_it_is_done(self, app, owner, walks, clock):
        async with app.platform.database.transaction(scope(owner)) as tx:
            tx.audit("thing.told", "thing:1", email=Personal.address(ADDRESS))
        made = await begin(owner)
        (begun,) = await owner.audit(app.platform, "erasure.started")
        assert begun.actor == f"client:{owner.client_id}"
        assert begun.data == {"subjects": [made["subject"]], "keys": 1, "files": 0}
        assert await owner.audit(app.platform, "subject.erased") == []
        for _ in range(2):
            await run(app, walks)
            clock.forward(SETTLE)
        (done,) = await owner.audit(app.platform, "subject.erased")
        assert (done.actor, done.target) == ("system:compliance", f"erasure:{made['id']}")
        assert json.loads((await state(owner, made))["statement"])["erased_by"] == begun.actor

    async def test_files_of_the_trail_are_closed_at_once_and_go(self, app, owner, walks, clock):
        http = owner.http
        export = (await http.post("/api/v1/audit-exports", json={"format": "csv"})).json()
        file = f"/api/v1/audit-exports/{export['id']}/file"
        assert (await http.get(file)).status_code == 200
        made = await begin(owner)
        assert (await http.get(file)).status_code == 404
        # One that was begun in time by a request that had read before.
        late = (await http.post("/api/v1/audit-exports", json={"format": "csv"})).json()
        await run(app, walks)
        assert (await http.get(f"/api/v1/audit-exports/{late['id']}")).status_code == 404
        clock.forward(2 * SETTLE)
        kept = (await http.post("/api/v1/audit-exports", json={"format": "csv"})).json()
        for _ in range(2):
            await run(app, walks)
            clock.forward(SETTLE)
        now = await state(owner, made)
        assert json.loads(now["statement"])["counts"] == {"files_of_the_trail": 2}
        assert (await http.get(f"/api/v1/audit-exports/{kept['id']}")).status_code == 200

    async def test_an_event_that_says_erased_of_something_else_is_no_exception(
        self, app, owner, walks
    ):
        await add_events(app, owner, 1, {"state": "erased", "address": ADDRESS})
        await begin(owner)
        await run(app, walks)
        assert await tells(app, owner) == 0

    async def test_the_platforms_own_is_seen_by_its_id(self, app, owner, walks, clock):
        compliance, database = app.platform.of(ComplianceManager), app.platform.database
        platform = Scope("user:root", PLATFORM_TENANT)
        async with database.transaction(platform) as tx:
            made, is_new = await compliance.erase_subject(tx, user_id=str(uuid7()))
            again, is_another = await compliance.erase_subject(
                tx, user_id=made.subject.removeprefix("user:")
            )
        assert (is_new, is_another, again.id) == (True, False, made.id)
        for _ in range(2):
            await run(app, walks)
            clock.forward(SETTLE)
        async with database.read(platform) as view:
            assert (await compliance.get_erasure(view, made.id)).state == "complete"
