"""Every way of tampering with a trail is refused or found, and nothing is built upon one.

The ways are those of :mod:`tests.support.tampering`.
"""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from backend.core.audit import sequence
from backend.core.context import Run, Scope, SystemScope
from backend.core.ids import uuid7
from backend.managers.audit import VERIFY, AuditSettings
from tests.support.tampering import (
    CASES,
    CHECKPOINTS,
    HEADS,
    RECORDS,
    SIZE,
    TENANTS,
    VERIFICATIONS,
    Trail,
    Workshop,
    a_checkpoint_signed_by_another_key,
    a_head_deleted,
    a_head_moved_back,
    a_heads_hash_altered,
    a_heads_mac_taken_off,
    act,
    all_without_numbers_and_the_head_deleted,
    an_actor_altered_and_all_rebuilt,
    sign,
    the_newest_checkpoint_deleted,
    trails,
)
from tests.support.trail import KEY, audit_row, open_audit

pytestmark = pytest.mark.attack


class TestTampering:
    async def test_each_way_is_refused_and_found(self, workshop: Workshop) -> None:
        assert len(CASES) >= 40
        before = workshop.snapshot()
        assert (await workshop.online(), await workshop.offline(workshop.kept)) == ("", "")
        assert await workshop.offline(workshop.kept, mac_key=KEY) == ""
        found, expected = {}, {}
        for name, one in CASES.items():
            refused = workshop.refused_by(one)
            with workshop.owning(guarded=False) as trail:
                one.act(trail)
            found[name] = (refused, await workshop.online(), await workshop.offline(workshop.kept))
            expected[name] = (one.refused, one.online, one.offline)
            # What an auditor finds who holds the MAC key as well.
            with_key = await workshop.offline(workshop.kept, mac_key=KEY)
            assert "mac" in with_key.split() or "mac" not in found[name][1].split(), name
            workshop.restore(before)
            assert await workshop.online() == "", name
        wrong = [
            f"{name}: {found[name]}, not {expected[name]}"
            for name in CASES
            if found[name] != expected[name]
        ]
        assert not wrong, "\n".join(wrong)

    async def test_a_tenant_that_was_taken_off_the_list_still_has_its_trail(
        self, workshop: Workshop
    ) -> None:
        with workshop.owning(guarded=True) as trail:
            trail.run(sa.delete(TENANTS).where(TENANTS.c.id == workshop.tenant))
        with workshop.owning(guarded=False) as trail:
            trail.change(30, actor="user:nobody")
        assert workshop.tenant in await trails(workshop.gate)
        assert "mac" in await workshop.online()
        # Also when its head went as well, and no record of it has a number.
        with workshop.owning(guarded=False) as trail:
            all_without_numbers_and_the_head_deleted(trail)
        assert workshop.tenant in await trails(workshop.gate)

    async def test_a_record_that_is_hidden_from_a_search(self, workshop: Workshop) -> None:
        """Its data is as it was, and no MAC is over the columns that it is searched by."""
        gate = workshop.gate
        scope = Scope("user:ada", workshop.tenant, run=Run("the-flow", "4711"))
        async with gate.database.transaction(scope) as tx:
            tx.audit("thing.made", "thing:run")
        while await sequence(gate.database):
            pass
        await open_audit().checkpoints.grow(gate.database)
        assert await workshop.online() == ""
        with workshop.owning(guarded=False) as trail:
            if trail.connection.dialect.name == "postgresql":
                for column in ("workflow_id", "execution_id"):
                    trail.connection.exec_driver_sql(
                        f"ALTER TABLE audit_records ALTER COLUMN {column} DROP EXPRESSION"
                    )
                hide = sa.text("UPDATE audit_records SET execution_id = '1' WHERE target = :it")
            else:
                # SQLite takes the first of two members, and whoever reads the data the last.
                hide = sa.text(
                    "UPDATE audit_records SET data = replace(data, '{\"run\":',"
                    ' \'{"run":{"execution_id":"1"},"run":\') WHERE target = :it'
                )
            trail.connection.execute(hide, {"it": "thing:run"})
        assert await workshop.online() == "search"
        # Whoever has an export reads the record as it is.
        assert await workshop.offline(workshop.kept) == ""

    async def test_a_verification_that_nobody_did_is_not_gone_on_from(
        self, workshop: Workshop
    ) -> None:
        audit = open_audit(AuditSettings(verify_records=100))
        made_up = {
            "tenant_id": workshop.tenant,
            "id": uuid7(),
            "state": "held",
            "from_size": 0,
            "target_size": SIZE,
            "size": 64,
            "chain_hash": bytes(32),
            "frontier": bytes(32),
            "mac": bytes(32),
            "findings": [],
            "created_by": "user:mallory",
            "created_at": workshop.gate.clock(),
            "finished_at": workshop.gate.clock(),
        }
        with workshop.owning(guarded=False) as trail:
            trail.change(30, actor="user:nobody")
            trail.run(sa.insert(VERIFICATIONS).values(made_up))
        scope = SystemScope(VERIFY, tenant_id=workshop.tenant)
        async with workshop.gate.database.read(scope) as tx:
            report = await audit.verify_chain(tx, limit=40)
        assert (report.from_seq, report.first_invalid_seq, report.valid) == (1, 30, False)


class TestNothingIsBuiltOnWhatDoesNotHold:
    async def test_the_sequencer_numbers_nothing_forged(
        self, workshop: Workshop, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = workshop.gate
        with workshop.owning(guarded=False) as trail:
            forged = [trail.forge(mac=mac)["id"] for mac in (bytes(32), None)]
        await act(gate, workshop.tenant, 2)
        told = audit_row.forged
        assert await sequence(gate.database) >= 2
        assert await sequence(gate.database) == 0
        assert audit_row.forged - told == set(forged)
        # Once each, however often it is looked.
        assert [one.record for one in caplog.records if hasattr(one, "record")] == forged
        with workshop.owning(guarded=True) as trail:
            waiting = [row["id"] for row in trail.rows(RECORDS) if row["seq"] is None]
        assert sorted(waiting) == sorted(forged)
        assert await workshop.online() == "mac"

    @pytest.mark.parametrize(
        "harm", [a_head_moved_back, a_head_deleted, a_heads_hash_altered, a_heads_mac_taken_off]
    )
    async def test_the_sequencer_goes_on_from_no_forged_head(
        self, workshop: Workshop, harm: Callable[[Trail], None]
    ) -> None:
        gate = workshop.gate
        with workshop.owning(guarded=False) as trail:
            harm(trail)
            before = trail.rows(HEADS)
        await act(gate, workshop.tenant, 1)
        await act(gate, workshop.other, 1)
        # Others are served all the same.
        assert await sequence(gate.database) == 1
        with workshop.owning(guarded=True) as trail:
            assert [row["seq"] for row in trail.rows(HEADS)] in (
                [row["seq"] for row in before],
                [0],
            )

    async def test_the_tree_ends_before_a_record_that_was_changed(self, workshop: Workshop) -> None:
        gate, audit = workshop.gate, open_audit()
        await act(gate, workshop.tenant, 3)
        while await sequence(gate.database):
            pass
        with workshop.owning(guarded=False) as trail:
            trail.change(SIZE + 2, actor="user:nobody")
        await audit.checkpoints.grow(gate.database)
        await audit.checkpoints.grow(gate.database)
        with workshop.owning(guarded=True) as trail:
            assert trail.head()["tree_size"] == SIZE
        # Rebuilt, so that only its MAC tells.
        with workshop.owning(guarded=False) as trail:
            trail.rebuild(tree=False)
        await audit.checkpoints.grow(gate.database)
        with workshop.owning(guarded=True) as trail:
            assert trail.head()["tree_size"] == SIZE

    @pytest.mark.parametrize(
        "harm",
        [
            an_actor_altered_and_all_rebuilt,
            the_newest_checkpoint_deleted,
            a_checkpoint_signed_by_another_key,
        ],
    )
    async def test_no_other_tree_is_signed_than_the_one_that_was(
        self, workshop: Workshop, harm: Callable[[Trail], None]
    ) -> None:
        gate, audit = workshop.gate, open_audit()
        with workshop.owning(guarded=False) as trail:
            harm(trail)
            trail.change_head(seq=SIZE, tree_size=SIZE, checkpoint_size=SIZE)
            row = trail.record(SIZE)
            new = row | {"id": uuid7(), "seq": SIZE + 1}
            trail.run(sa.insert(RECORDS).values(new))
            trail.rebuild()
        await sign(gate, audit)
        with workshop.owning(guarded=True) as trail:
            assert trail.head()["checkpoint_size"] == SIZE
            assert max(row["size"] for row in trail.rows(CHECKPOINTS)) <= SIZE


@pytest.mark.postgresql
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
class TestTheRoleThatServes:
    """What it may not, whatever its statements say; its connection is the service's own."""

    @pytest.mark.parametrize(
        "statement",
        [
            (
                "INSERT INTO audit_records (tenant_id, id, at, actor, action, target, data,"
                " request_id, seq) SELECT tenant_id, id, at, actor, action, target, data,"
                " request_id, seq FROM audit_records WHERE seq = 1"
            ),
            "INSERT INTO audit_records (id, seq) SELECT id, 0 FROM audit_records",
            "UPDATE audit_records SET actor = 'user:eve'",
            "UPDATE audit_records SET mac = NULL",
            "DELETE FROM audit_records",
            "DELETE FROM audit_heads",
            "DELETE FROM audit_tiles",
            "DELETE FROM audit_checkpoints",
            "UPDATE audit_checkpoints SET note = ''",
            "TRUNCATE audit_heads",
            "ALTER TABLE audit_records DISABLE TRIGGER USER",
            "UPDATE audit_records SET seq = NULL",
            "UPDATE audit_heads SET seq = seq - 1",
        ],
    )
    async def test_is_refused(self, workshop: Workshop, statement: str) -> None:
        engine = workshop.gate.database.engine
        with pytest.raises(
            sa.exc.DBAPIError, match=r"permission denied|must be owner|append-only|go forward"
        ):
            async with engine.begin() as connection:
                for name, value in (
                    ("email_sender.tenant", workshop.tenant),
                    ("email_sender.errand", ""),
                ):
                    await connection.exec_driver_sql(
                        "SELECT set_config(%(name)s, %(value)s, true)",
                        {"name": name, "value": value},
                    )
                await connection.exec_driver_sql(statement)
        assert await workshop.online() == ""
