"""Old records let go, and what is kept proved as before."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord, sequence
from backend.core.context import Scope, SystemScope
from backend.core.database import Database
from backend.core.ids import PLATFORM_TENANT
from backend.managers.audit import GROW, RETAIN, VERIFY, AuditManager, AuditSettings, offline
from backend.managers.audit.models import AuditCheckpoint, RetentionRow
from tests.support.gate import Gate
from tests.support.platform import App
from tests.support.trail import KEY, open_audit

DAY = 86_400
PATH = "/api/v1/audit-retention"


async def act(database: Database, tenant_id: str, count: int) -> None:
    async with database.transaction(Scope("user:ada", tenant_id, "req-1")) as tx:
        for number in range(count):
            tx.audit("thing.made", f"thing:{number}", size=number)
    while await sequence(database):
        pass


async def sign(database: Database, audit: AuditManager, tenant_id: str) -> None:
    await audit.checkpoints.grow(database)
    async with database.transaction(SystemScope(GROW)) as tx:
        await audit.checkpoints._sign(tx, tenant_id)


async def keep(gate: Gate, audit: AuditManager, tenant_id: str, days: int | None) -> None:
    async with gate.database.transaction(Scope("user:ada", tenant_id)) as tx:
        await audit.retention.put(tx, days)
    while await sequence(gate.database):
        pass
    gate.clock.advance(700)


async def sweep(database: Database, audit: AuditManager) -> int:
    gone = total = 1
    while gone:
        async with database.transaction(SystemScope(RETAIN)) as tx:
            gone = await audit.retention.sweep(tx)
        total += gone
    return total - 1


async def numbers(database: Database, tenant_id: str) -> list[int]:
    async with database.read(Scope("a", tenant_id)) as tx:
        query = sa.select(AuditRecord.seq).where(AuditRecord.seq.is_not(None))
        return list(await tx.scalars(query.order_by(AuditRecord.seq)))


async def report(database: Database, tenant_id: str, limit: int | None = None) -> Any:
    async with database.read(SystemScope(VERIFY, tenant_id=tenant_id)) as tx:
        return await open_audit().verify_chain(tx, limit=limit)


async def lines(database: Database, tenant_id: str) -> list[str]:
    async with database.read(SystemScope(VERIFY, tenant_id=tenant_id)) as tx:
        return [line async for line in open_audit().lines.all(tx)]


@pytest.fixture(params=["tenant", "platform"])
async def tenant_id(gate: Gate, request: pytest.FixtureRequest) -> str:
    """One with 1200 records of long ago, signed at 300 and 1200, and 40 of now."""
    gate.clock.now -= timedelta(days=400)
    made = (await gate.tenant()).id
    tenant_id = made if request.param == "tenant" else PLATFORM_TENANT
    audit = open_audit()
    await act(gate.database, tenant_id, 1)
    begun = (await numbers(gate.database, tenant_id))[-1]
    for size in (300, 1200):
        await act(gate.database, tenant_id, size - begun)
        await sign(gate.database, audit, tenant_id)
        begun = size
    gate.clock.now += timedelta(days=400)
    await act(gate.database, tenant_id, 40)
    await sign(gate.database, audit, tenant_id)
    return tenant_id


class TestLetGo:
    async def test_what_is_kept_is_proved_as_before(self, gate: Gate, tenant_id: str) -> None:
        database, audit = gate.database, open_audit()
        async with database.read(Scope("a", tenant_id)) as tx:
            early = await audit.checkpoints.get(tx, 300)
            before = {row.size: row for row in await audit.checkpoints.list(tx, limit=9)}
        await keep(gate, audit, tenant_id, 365)
        await sweep(database, audit)
        kept = await numbers(database, tenant_id)
        assert (kept[0], len(kept)) == (1201, 41)
        while await sequence(database):
            pass
        await act(database, tenant_id, 30)
        await sign(database, audit, tenant_id)
        found = await report(database, tenant_id)
        assert (found.findings, found.removed_seq) == ((), 1200)
        # A look that is bounded begins with what is kept.
        some = await report(database, tenant_id, limit=10)
        assert (some.from_seq, some.valid, some.removed_seq) == (1201, True, 1200)
        async with database.read(Scope("a", tenant_id)) as tx:
            record = await tx.scalar(sa.select(AuditRecord).where(AuditRecord.seq == 1230))
            proof = await audit.checkpoints.prove_inclusion(tx, record.id)
            grown = await audit.checkpoints.prove_consistency(tx, 300)
        hashes = [bytes.fromhex(one) for one in proof.hashes]
        leaf = bytes.fromhex(proof.leaf_hash)
        assert offline.root_of_inclusion(1229, proof.size, leaf, hashes) == bytes.fromhex(
            proof.root
        )
        assert grown.old_root == early.root == before[300].root
        assert offline.proves_consistency(
            300,
            bytes.fromhex(grown.old_root),
            grown.size,
            bytes.fromhex(grown.root),
            [bytes.fromhex(one) for one in grown.hashes],
        )
        # Elsewhere, with a checkpoint of before what went, and one of within what went.
        key = offline.Key(audit.checkpoints.verifier(tenant_id).text)
        trail = await lines(database, tenant_id)
        told = offline.Report()
        for notes in ([], [early.note], [one.note for one in before.values()]):
            told = offline.verify(trail, key, notes, KEY)
            assert (told.findings, told.removed, told.records) == ([], 1200, found.records)
        assert "up to 1200 were let go by retention" in offline.say(told)
        assert told.root == grown.root

    async def test_the_act_is_on_record(self, gate: Gate, tenant_id: str) -> None:
        audit = open_audit()
        await keep(gate, audit, tenant_id, 365)
        await sweep(gate.database, audit)
        async with gate.database.read(Scope("a", tenant_id)) as tx:
            rows = await audit.list_records(tx, limit=10, action="audit_record.removed")
            checkpoint = await tx.scalar(
                sa.select(AuditCheckpoint).where(AuditCheckpoint.size == 1240)
            )
        assert [row.data for row in reversed(rows)] == [
            {
                "records": count,
                "until_seq": until,
                "checkpoint_size": 1240,
                "checkpoint": checkpoint.id,
            }
            for count, until in ((500, 500), (500, 1000), (200, 1200))
        ]

    async def test_nothing_goes_unless_somebody_said_so(self, gate: Gate, tenant_id: str) -> None:
        audit = open_audit()
        assert await sweep(gate.database, audit) == 0
        await keep(gate, audit, tenant_id, 365)
        await keep(gate, audit, tenant_id, None)
        assert await sweep(gate.database, audit) == 0
        # 365 days are not over for the young, and 36500 for nobody.
        await keep(gate, audit, tenant_id, 36_500)
        await sweep(gate.database, audit)
        assert (await numbers(gate.database, tenant_id))[0] == 1

    async def test_a_slip_can_be_taken_back_for_ten_minutes(
        self, gate: Gate, tenant_id: str
    ) -> None:
        audit = open_audit()
        async with gate.database.transaction(Scope("user:ada", tenant_id)) as tx:
            await audit.retention.put(tx, 365)
        gate.clock.advance(500)
        assert await sweep(gate.database, audit) == 0

    async def test_only_what_a_checkpoint_covers_goes(self, gate: Gate, tenant_id: str) -> None:
        """Where checkpoints are handed outside, only what one of those covers."""
        database = gate.database
        audit = open_audit(AuditSettings(checkpoint_file=Path("/nowhere/at/all")))
        await keep(gate, audit, tenant_id, 365)
        await sweep(database, audit)
        assert (await numbers(database, tenant_id))[0] == 1
        async with database.transaction(SystemScope(GROW)) as tx:
            await tx.execute(
                sa.update(AuditCheckpoint)
                .where(AuditCheckpoint.tenant_id == tenant_id, AuditCheckpoint.size == 300)
                .values(published_at=tx.now())
                .execution_options(synchronize_session=False)
            )
        gate.clock.advance(700)
        await sweep(database, audit)
        assert (await numbers(database, tenant_id))[0] == 301

    async def test_what_a_stream_has_not_brought_away_stays(
        self, gate: Gate, tenant_id: str
    ) -> None:
        database, audit = gate.database, open_audit()
        async with database.transaction(Scope("user:ada", tenant_id)) as tx:
            await audit.streams.put(
                tx,
                kind="webhook",
                target="https://siem.example.com/",
                format_name="ndjson",
                ca_certificate=None,
                paused=True,
                from_beginning=True,
            )
        await keep(gate, audit, tenant_id, 365)
        await sweep(database, audit)
        assert (await numbers(database, tenant_id))[0] == 1
        async with database.transaction(Scope("user:ada", tenant_id)) as tx:
            await audit.streams.delete(tx)
        gate.clock.advance(700)
        await sweep(database, audit)
        assert (await numbers(database, tenant_id))[0] == 1201
        # One that begins at the beginning begins with what there is.
        async with database.transaction(Scope("user:ada", tenant_id)) as tx:
            made, _ = await audit.streams.put(
                tx,
                kind="webhook",
                target="https://siem.example.com/",
                format_name="ndjson",
                ca_certificate=None,
                paused=True,
                from_beginning=True,
            )
        assert made.seq == 1200

    async def test_a_clock_that_is_ahead_lets_nothing_go(self, gate: Gate, tenant_id: str) -> None:
        """What is old is so by the database's clock as well, which its triggers go by."""
        database, audit = gate.database, open_audit()
        await keep(gate, audit, tenant_id, 90)
        gate.clock.advance(100 * DAY)
        await sweep(database, audit)
        assert (await numbers(database, tenant_id))[0] == 1201

    async def test_the_last_leafs_record_stays(self, gate: Gate) -> None:
        """The next one is linked to it."""
        database, audit = gate.database, open_audit()
        gate.clock.now -= timedelta(days=400)
        tenant_id = (await gate.tenant()).id
        await act(database, tenant_id, 20)
        await sign(database, audit, tenant_id)
        signed = (await numbers(database, tenant_id))[-1]
        gate.clock.now += timedelta(days=400)
        await keep(gate, audit, tenant_id, 365)
        await sweep(database, audit)
        assert (await numbers(database, tenant_id))[0] == signed
        while await sequence(database):
            pass
        await sign(database, audit, tenant_id)
        found = await report(database, tenant_id)
        assert (found.findings, found.removed_seq) == ((), signed - 1)

    async def test_a_verification_begun_before_goes_on(self, gate: Gate, tenant_id: str) -> None:
        database, audit = gate.database, open_audit()
        scope = SystemScope(VERIFY, tenant_id=tenant_id)
        progress = audit.verifying
        async with database.read(scope) as tx:
            place = await progress.at_floor(tx)
            assert await progress.walk(tx, place, 2000)
        assert place.size == 250
        await keep(gate, audit, tenant_id, 365)
        await sweep(database, audit)
        async with database.read(scope) as tx:
            while await progress.walk(tx, place, 10_000):
                pass
            await progress.finish(tx, place)
        assert (place.findings, place.size >= 1241) == ([], True)


class TestSettings:
    async def test_over_http(self, app: App) -> None:
        ada = await app.caller()
        assert (await ada.http.get(PATH)).json() == {
            "keep_days": None,
            "least_days": 90,
            "removed_seq": 0,
            "removed_at": None,
            "statement": None,
            "updated_at": None,
            "updated_by": None,
        }
        saved = await ada.http.put(PATH, json={"keep_days": 400})
        assert (saved.status_code, saved.json()["keep_days"]) == (200, 400)
        assert (await ada.http.get(PATH)).json() == saved.json()
        refused = await ada.http.put(PATH, json={"keep_days": 89})
        assert refused.status_code == 422
        assert refused.json()["code"] == "audit.retention_too_short"
        assert (await ada.http.put(PATH, json={"keep_days": None})).json()["keep_days"] is None
        acts = await ada.audit(app.platform, "audit_retention.changed")
        assert [one.data for one in acts] == [
            {"keep_days": None, "before": 400},
            {"keep_days": 400, "before": None},
        ]

    async def test_nobody_elses_word_counts(self, gate: Gate, tenant_id: str) -> None:
        """Who can write the row and has no key shortens nothing, and is found."""
        database, audit = gate.database, open_audit()
        await keep(gate, audit, tenant_id, 36_500)
        async with database.read(Scope("a", tenant_id)) as tx:
            earlier = await tx.scalar(sa.select(RetentionRow))
            earlier = (earlier.mac, earlier.updated_at)
        async with database.transaction(Scope("eve", tenant_id)) as tx:
            row = await tx.scalar(sa.select(RetentionRow))
            row.keep_days = 90
        await sweep(database, audit)
        assert (await numbers(database, tenant_id))[0] == 1
        assert {one.by for one in (await report(database, tenant_id)).findings} == {"mac"}
        # What was once said and is no more is no better.
        async with database.transaction(Scope("eve", tenant_id)) as tx:
            row = await tx.scalar(sa.select(RetentionRow))
            row.keep_days = 36_500
        await keep(gate, audit, tenant_id, None)
        async with database.transaction(Scope("eve", tenant_id)) as tx:
            row = await tx.scalar(sa.select(RetentionRow))
            row.keep_days, (row.mac, row.updated_at) = 36_500, earlier
        async with database.read(Scope("a", tenant_id)) as tx:
            row = await tx.scalar(sa.select(RetentionRow))
            assert audit.verifying.is_our_setting(row)
            assert not await audit.retention._was_said(tx, row)


def test_the_export_says_from_where_it_begins() -> None:
    """A head that says nothing, and leaves all the same, are no removal."""
    head = {"format": offline.FORMAT, "version": 1, "head": None, "checkpoints": []}
    audit = open_audit()
    key = offline.Key(audit.checkpoints.verifier(PLATFORM_TENANT).text)
    leaves = {"from": 1, "leaves": "AAAA"}
    told = offline.verify([json.dumps(head), json.dumps(leaves)], key)
    assert next(by for by, _, _ in told.findings) == "retention"
