"""Files of records: made by a job, in pieces, by one worker after another, once each."""

import asyncio
import csv
import io
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord, leaf_bytes
from backend.core.context import Scope, SystemScope
from backend.core.database import Tx
from backend.core.events import EventRecord
from backend.managers.audit import AuditManager, _export
from backend.managers.audit._export import EXPORTS
from backend.managers.audit.models import ExportPartRow, ExportRow
from backend.managers.orchestrator import Batch, Claim, OrchestratorManager, Worker
from backend.managers.security import SecurityManager

PATH = "/api/v1/audit-exports"


@pytest.fixture
async def owner(app, monkeypatch):
    # What fits into one piece needs no job.
    monkeypatch.setattr(_export, "_PIECE", 5)
    made = await app.caller()
    async with app.platform.database.transaction(Scope("user:ada", made.tenant.id, "req-1")) as tx:
        for number in range(23):
            tx.audit("thing.made", f"thing:{number}", name=f"=formula {number} é")
    await app.sequence()
    return made


@asynccontextmanager
async def worker(app):
    """A worker of the application's jobs while the block lasts."""
    jobs = app.platform.of(OrchestratorManager)
    made = Worker(app.platform.database, jobs, poll_seconds=0.05)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        made.stop()
        await task


def claim_of(caller, row):
    """What a worker holds of the job that makes an export."""
    return Claim(
        id=row.job_id,
        tenant_id=caller.tenant.id,
        kind=_export.JOB_KIND,
        args={"export_id": row.id},
        subject=None,
        attempt=1,
        crashes=0,
        max_attempts=5,
        backoff_seconds=1.0,
        timeout_seconds=60.0,
        traceparent="",
        actor="user:ada",
    )


async def start(caller, **body):
    answer = await caller.http.post(PATH, json={"format": "ndjson", **body})
    assert answer.status_code == 202, answer.text
    return answer.json()


async def ended(caller, export):
    told = {}
    for _ in range(400):
        told = (await caller.http.get(f"{PATH}/{export['id']}")).json()
        if told["state"] != "running":
            return told
        await asyncio.sleep(0.02)
    raise AssertionError(told)


async def made(app, caller, **body):
    export = await start(caller, **body)
    async with worker(app):
        return await ended(caller, export)


async def rows(app, caller, model):
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        return await tx.scalars(sa.select(model))


class TestFile:
    async def test_has_every_record_as_it_was_hashed_oldest_first(self, app, owner, monkeypatch):
        export = await made(app, owner)
        answer = await owner.http.get(f"{PATH}/{export['id']}/file")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].endswith('.ndjson"')
        lines = answer.content.splitlines()
        known = {one.id: one for one in await rows(app, owner, AuditRecord)}
        told = [json.loads(line) for line in lines]
        assert [one["id"] for one in told] == sorted(one["id"] for one in told)
        for line, one in zip(lines, told, strict=True):
            assert line.startswith(leaf_bytes(known[one["id"]])[:-1])
        assert sum(one["action"] == "thing.made" for one in told) == 23
        assert (export["records"], export["looked_at"]) == (len(told), len(told))
        assert export["size_bytes"] == len(answer.content)

    async def test_has_what_the_filters_leave_in_its_format(self, app, owner):
        export = await made(app, owner, format="csv", target="thing:1*", action="thing.made")
        text = (await owner.http.get(f"{PATH}/{export['id']}/file")).text
        found = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [one["target"] for one in found] == [
            "thing:1", *(f"thing:1{n}" for n in range(10)),
        ]  # fmt: skip
        assert export["records"] == 11 < export["looked_at"]
        assert export["wanted"]["target"] == "thing:1*"
        nothing = await made(app, owner, format="csv", created_before="2020-01-01T00:00:00Z")
        text = (await owner.http.get(f"{PATH}/{nothing['id']}/file")).text
        assert text.startswith("seq,id,at,tenant,actor,action,target,request_id,data,hash\r\n")
        assert (nothing["records"], text.count("\r\n")) == (0, 1)

    @pytest.mark.parametrize("name", ["ecs", "ocsf", "cef"])
    async def test_every_format_is_one_line_a_record(self, app, owner, name):
        export = await made(app, owner, format=name, action="thing.made")
        text = (await owner.http.get(f"{PATH}/{export['id']}/file")).text
        assert text.count("\n") == 23

    async def test_one_of_a_single_piece_is_made_at_once(self, app, owner, monkeypatch):
        monkeypatch.setattr(_export, "_PIECE", 100)
        export = await start(owner, action="thing.made")
        assert (export["state"], export["records"], export["job_id"]) == ("ready", 23, None)
        text = (await owner.http.get(f"{PATH}/{export['id']}/file")).text
        assert text.count("\n") == 23
        # Also where nothing was ever done, or nothing of the kind.
        nothing = await start(owner, action="nothing.such")
        assert (nothing["state"], nothing["records"], nothing["size_bytes"]) == ("ready", 0, 0)

    async def test_has_nothing_of_later(self, app, owner):
        export = await start(owner)
        async with app.platform.database.transaction(Scope("user:ada", owner.tenant.id)) as tx:
            tx.audit("thing.late", "thing:99")
        async with worker(app):
            await ended(owner, export)
        text = (await owner.http.get(f"{PATH}/{export['id']}/file")).text
        assert "thing.late" not in text
        assert text.count("thing.made") == 23


class TestJob:
    async def test_goes_on_where_a_killed_worker_stopped(self, app, owner, monkeypatch):
        export = await start(owner, action="thing.made")
        pieces = 0
        insert = Tx.insert

        async def die_after_two(tx, model, what):
            nonlocal pieces
            await insert(tx, model, what)
            pieces += model is ExportPartRow
            if pieces == 3:
                raise SystemError("killed")

        monkeypatch.setattr(Tx, "insert", die_after_two)
        async with worker(app):
            told = await ended(owner, export)
        assert (told["state"], told["records"]) == ("ready", 23)
        assert pieces > 3
        text = (await owner.http.get(f"{PATH}/{export['id']}/file")).text
        targets = [json.loads(line)["target"] for line in text.splitlines()]
        assert targets == [f"thing:{number}" for number in range(23)]

    async def test_two_workers_write_no_piece_twice(self, app, owner, monkeypatch):
        export = await start(owner, action="thing.made")
        (row,) = await rows(app, owner, ExportRow)
        claim = claim_of(owner, row)
        job = _export.ExportJob(
            app.platform.database, app.platform.of(SecurityManager).subjects.reveal
        )
        batches = [Batch([claim], lambda *_: None, lambda _: False) for _ in range(2)]
        await asyncio.gather(*(job.run(batch) for batch in batches))
        told = (await owner.http.get(f"{PATH}/{export['id']}")).json()
        assert (told["state"], told["records"]) == ("ready", 23)
        text = (await owner.http.get(f"{PATH}/{export['id']}/file")).text
        assert len({json.loads(line)["id"] for line in text.splitlines()}) == 23
        assert text.count("\n") == 23

    async def test_a_cancelled_job_cancels_the_export(self, app, owner):
        export = await start(owner)
        await owner.http.post(f"/api/v1/jobs/{export['job_id']}/cancel")
        told = (await owner.http.get(f"{PATH}/{export['id']}")).json()
        assert told["state"] == "cancelled"
        await owner.http.post(f"/api/v1/jobs/{export['job_id']}/retry")
        async with worker(app):
            assert (await ended(owner, export))["state"] == "ready"

    async def test_one_that_dies_says_why(self, app, owner):
        export = await start(owner)
        async with app.platform.database.transaction(Scope("test", owner.tenant.id)) as tx:
            (row,) = await tx.scalars(sa.select(ExportRow))
            await _export._fail(tx, [(claim_of(owner, row), "RuntimeError: no such record")])
        told = (await owner.http.get(f"{PATH}/{export['id']}")).json()
        assert (told["state"], told["error"]) == ("failed", "RuntimeError: no such record")
        answer = await owner.http.get(f"{PATH}/{export['id']}/file")
        assert (answer.status_code, answer.json()["code"]) == (409, "audit.export_not_ready")


class TestLife:
    async def test_is_listed_found_and_deleted(self, app, owner):
        export = await made(app, owner)
        listed = (await owner.http.get(PATH)).json()["items"]
        assert [one["id"] for one in listed] == [export["id"]]
        assert (await owner.http.delete(f"{PATH}/{export['id']}")).status_code == 204
        for path in (f"{PATH}/{export['id']}", f"{PATH}/{export['id']}/file"):
            answer = await owner.http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "audit.export_not_found")
        assert (await owner.http.get(PATH)).json()["items"] == []

    async def test_is_another_tenants_to_nobody(self, app, owner):
        export = await made(app, owner)
        other = await app.caller()
        for method, path in (("GET", ""), ("GET", "/file"), ("DELETE", "")):
            answer = await other.http.request(method, f"{PATH}/{export['id']}{path}")
            assert answer.status_code == 404

    async def test_is_forgotten_after_its_day_piece_by_piece(self, app, owner, monkeypatch):
        monkeypatch.setattr(_export, "_PIECE", 2)
        monkeypatch.setattr(_export, "_BITE", 3)
        await made(app, owner)
        pieces = len(await rows(app, owner, ExportPartRow))
        assert pieces > 6
        trail, database = app.platform.of(AuditManager), app.platform.database
        async with database.transaction(SystemScope(EXPORTS)) as tx:
            assert await trail.exports.sweep(tx) == 0
        async with database.transaction(Scope("test", owner.tenant.id)) as tx:
            (row,) = await tx.scalars(sa.select(ExportRow))
            row.expires_at = tx.now() - timedelta(seconds=1)
        gone = []
        while not gone or gone[-1]:
            async with database.transaction(SystemScope(EXPORTS)) as tx:
                gone.append(await trail.exports.sweep(tx))
        assert sum(gone) == pieces + 1
        assert max(gone) <= 4
        assert not await rows(app, owner, ExportPartRow)
        assert not await rows(app, owner, ExportRow)

    async def test_a_tenant_keeps_ten(self, owner):
        exports = [await start(owner) for _ in range(10)]
        answer = await owner.http.post(PATH, json={"format": "csv"})
        assert (answer.status_code, answer.json()["code"]) == (409, "audit.too_many_exports")
        await owner.http.delete(f"{PATH}/{exports[3]['id']}")
        await start(owner)

    async def test_starting_taking_away_and_deleting_are_on_record(self, app, owner):
        export = await made(app, owner, format="cef")
        await owner.http.get(f"{PATH}/{export['id']}/file")
        await owner.http.delete(f"{PATH}/{export['id']}")
        found = await owner.audit(app.platform)
        told = [one for one in found if one.target == f"audit_export:{export['id']}"]
        assert [one.action for one in reversed(told)] == [
            "audit_export.started",
            "audit_export.downloaded",
            "audit_export.deleted",
        ]
        assert told[-1].data == {"format": "cef", "wanted": {}}

    async def test_that_it_is_ready_is_an_event(self, app, owner):
        export = await made(app, owner)
        await app.sequence()
        async with app.platform.database.read(Scope("test", owner.tenant.id)) as tx:
            kinds = await tx.scalars(sa.select(EventRecord).where(EventRecord.kind.like("audit%")))
        assert [(one.kind, one.subject) for one in kinds] == [
            ("audit_export.ready", f"audit_export:{export['id']}")
        ]

    async def test_is_for_who_may_and_for_an_auditor(self, app, owner):
        viewer = await app.caller("viewer", owner.tenant)
        assert (await viewer.http.post(PATH, json={"format": "csv"})).status_code == 403
        auditor = await app.caller("auditor", owner.tenant)
        assert (await auditor.http.post(PATH, json={"format": "csv"})).status_code == 202
