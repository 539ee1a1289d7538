"""The audit trail: appending, sequencing, proving, and refusing to be changed."""

import asyncio
import hashlib
import json

import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord, leaf_bytes, sequence
from backend.core.context import Scope, SystemScope
from backend.core.database import Database
from backend.managers.audit import READ_PLATFORM
from tests.support.trail import open_audit


async def act(database: Database, tenant_id: str, count: int = 1) -> None:
    for number in range(count):
        async with database.transaction(Scope("user:ada", tenant_id, "req-1")) as tx:
            tx.audit("thing.made", f"thing:{number}", name="é", size=number, tags=["a", None])


async def records(database: Database, tenant_id: str) -> list[AuditRecord]:
    async with database.read(Scope("user:ada", tenant_id)) as tx:
        return list(await tx.scalars(sa.select(AuditRecord).order_by(AuditRecord.seq)))


class TestSequence:
    async def test_numbers_are_gap_free_per_tenant_and_linked(
        self, database: Database, tenant_id: str
    ) -> None:
        await act(database, tenant_id, 3)
        assert await sequence(database) == 3
        await act(database, tenant_id, 2)
        assert await sequence(database) == 2
        assert await sequence(database) == 0
        rows = await records(database, tenant_id)
        assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
        previous = bytes(32)
        for row in rows:
            leaf = hashlib.sha256(b"\0" + leaf_bytes(row)).digest()
            number = (row.seq or 0).to_bytes(8, "big")
            previous = hashlib.sha256(b"\1" + previous + number + leaf).digest()
            assert row.chain_hash == previous

    async def test_two_sequencers_at_once_number_each_record_once(
        self, database: Database, tenant_id: str
    ) -> None:
        await act(database, tenant_id, 20)
        done = await asyncio.gather(*(sequence(database, limit=7) for _ in range(4)))
        while await sequence(database):
            pass
        assert sum(done) <= 20
        assert [row.seq for row in await records(database, tenant_id)] == list(range(1, 21))

    async def test_data_is_measured_as_it_is_written_out(
        self, database: Database, tenant_id: str
    ) -> None:
        """Escapes count: what has six signs for one is at the limit with fewer of them."""
        for sign, written in (("a", 1), ("\x7f", 6), ("\u00e4", 6), ("\U0001f600", 12)):
            most = (8192 - len('{"note": ""}')) // written
            for length, fits in ((most, True), (most + 1, False)):
                async with database.transaction(Scope("user:ada", tenant_id)) as tx:
                    if fits:
                        tx.audit("thing.made", "thing:1", note=sign * length)
                        continue
                    with pytest.raises(ValueError, match="8 KiB"):
                        tx.audit("thing.made", "thing:1", note=sign * length)

    async def test_the_canonical_bytes_are_as_documented(
        self, database: Database, tenant_id: str
    ) -> None:
        await act(database, tenant_id)
        (row,) = await records(database, tenant_id)
        leaf = json.loads(leaf_bytes(row))
        assert leaf_bytes(row).decode() == json.dumps(
            leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        assert leaf == {
            "v": 1,
            "id": row.id,
            "tenant": tenant_id,
            "at": row.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "actor": "user:ada",
            "action": "thing.made",
            "target": "thing:0",
            "request_id": "req-1",
            "data": {"name": "é", "size": 0, "tags": ["a", None]},
        }


class TestAppendOnly:
    @pytest.mark.parametrize("change", ["content", "renumber", "delete"])
    async def test_the_database_refuses_changes(
        self, database: Database, tenant_id: str, change: str
    ) -> None:
        await act(database, tenant_id)
        await sequence(database)
        statement = {
            "content": sa.update(AuditRecord).values(action="thing.unmade"),
            "renumber": sa.update(AuditRecord).values(seq=9),
            "delete": sa.delete(AuditRecord),
        }[change]
        with pytest.raises(sa.exc.SQLAlchemyError):
            async with database.engine.begin() as connection:
                await connection.execute(statement)
        (row,) = await records(database, tenant_id)
        assert (row.action, row.seq) == ("thing.made", 1)

    async def test_refuses_data_without_one_canonical_form(
        self, database: Database, tenant_id: str
    ) -> None:
        for bad in (1.5, {"é": 1}, {1, 2}):
            with pytest.raises(TypeError):
                async with database.transaction(Scope("a", tenant_id)) as tx:
                    tx.audit("thing.made", "thing:1", bad=bad)


class TestVerify:
    async def test_an_untouched_chain_holds(self, database: Database, tenant_id: str) -> None:
        trail = open_audit()
        await act(database, tenant_id, 5)
        await sequence(database)
        await act(database, tenant_id, 1)
        async with database.read(Scope("a", tenant_id)) as tx:
            report = await trail.verify_chain(tx)
        assert (report.valid, report.records, report.head_seq, report.unsequenced) == (
            True,
            5,
            5,
            1,
        )

    @pytest.mark.slow
    async def test_holds_while_the_chain_grows(self, database: Database, tenant_id: str) -> None:
        # Head and records are read by several statements; a link forged in between is no fault.
        trail = open_audit()
        growing = True

        async def grow() -> None:
            nonlocal growing
            for _ in range(30):
                await act(database, tenant_id)
                await sequence(database)
            growing = False

        async def verify() -> None:
            while growing:
                async with database.read(Scope("a", tenant_id)) as tx:
                    assert (await trail.verify_chain(tx)).valid
                await asyncio.sleep(0)

        await asyncio.gather(grow(), verify(), verify())

    async def test_a_tenant_reads_only_its_own(self, database: Database, tenant_id: str) -> None:
        await act(database, tenant_id, 2)
        await act(database, "00000000-0000-7000-8000-00000000000f", 2)
        trail = open_audit()
        async with database.read(Scope("a", tenant_id)) as tx:
            found = await trail.list_records(tx, limit=10, target="thing:*")
        assert [entry.target for entry in found] == ["thing:1", "thing:0"]
        async with database.read(SystemScope(READ_PLATFORM)) as tx:
            assert await trail.list_records(tx, limit=10) == []
