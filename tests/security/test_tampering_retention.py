"""Retention abused: more let go than was said, floors put back, rows of backups put in."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord, sequence
from backend.core.context import Scope, SystemScope
from backend.managers.audit import RETAIN
from backend.managers.audit._notes import Removal, Signer
from backend.managers.audit._retention import Retention
from backend.managers.audit.models import RetentionRow
from tests.support.tampering import (
    CHECKPOINTS,
    KEPT_SIZE,
    RECORDS,
    RETENTIONS,
    SIZE,
    TILES,
    Act,
    Case,
    Trail,
    Workshop,
    a_leaf_of_the_tree_altered,
    a_link_altered,
    act,
    an_actor_altered_and_all_rebuilt,
    sign,
)
from tests.support.trail import KEY, open_audit

pytestmark = pytest.mark.attack

GONE = 20
RETENTION_CASES: dict[str, Case] = {}


def of_retention(refused: str, online: str, offline: str) -> Callable[[Act], Act]:
    def keep(act: Act) -> Act:
        RETENTION_CASES[act.__name__] = Case(act, refused, online, offline)
        return act

    return keep


def said(trail: Trail) -> dict[str, Any]:
    return trail.rows(RETENTIONS)[0]


def say(trail: Trail, **values: Any) -> None:
    trail.run(sa.update(RETENTIONS).where(RETENTIONS.c.tenant_id == trail.tenant).values(**values))


def forged(trail: Trail, seq: int) -> str:
    """What retention would say of so many, under a key of the attacker's."""
    row = trail.record(seq)
    gone = Removal(
        seq, trail.root(seq), row["chain_hash"], SIZE, trail.root(SIZE), "2026-11-22T12:00:00Z"
    )
    return Signer(f"email-sender/{trail.tenant}", bytes(32)).sign_removal(gone)


@of_retention("trigger", "enumeration", "checkpoint enumeration")
def one_row_more_deleted_than_was_said(trail: Trail) -> None:
    trail.delete(RECORDS, RECORDS.c.seq == GONE + 1)


@of_retention("trigger", "enumeration", "checkpoint enumeration")
def a_row_in_the_middle_deleted(trail: Trail) -> None:
    trail.delete(RECORDS, RECORDS.c.seq == GONE + 20)


@of_retention("", "enumeration retention", "checkpoint enumeration retention")
def more_said_than_was_signed(trail: Trail) -> None:
    say(trail, removed_seq=GONE + 10, statement=said(trail)["statement"] + " ")


@of_retention("", "enumeration retention", "checkpoint enumeration retention")
def more_deleted_and_said_without_a_signature(trail: Trail) -> None:
    more = GONE + 10
    say(trail, removed_seq=more, statement=f"records up to {more} are gone")
    trail.delete(RECORDS, RECORDS.c.seq <= more)


@of_retention("", "enumeration retention", "checkpoint enumeration retention")
def more_deleted_and_said_under_another_key(trail: Trail) -> None:
    more = GONE + 10
    say(trail, removed_seq=more, statement=forged(trail, more))
    trail.delete(RECORDS, RECORDS.c.seq <= more)


@of_retention("", "enumeration retention", "checkpoint enumeration retention")
def another_tenants_statement(trail: Trail) -> None:
    (theirs,) = trail.rows(RETENTIONS, trail.other)
    say(trail, removed_seq=GONE + 1, statement=theirs["statement"])


@of_retention("", "enumeration retention", "checkpoint enumeration retention")
def a_checkpoint_instead_of_a_statement(trail: Trail) -> None:
    (note,) = [row["note"] for row in trail.rows(CHECKPOINTS) if row["size"] == KEPT_SIZE]
    more = KEPT_SIZE
    say(trail, removed_seq=more, statement=note)
    trail.delete(RECORDS, RECORDS.c.seq <= more)


@of_retention("trigger", "enumeration", "checkpoint enumeration retention")
def the_floor_rolled_back_to_an_earlier_one(trail: Trail) -> None:
    say(trail, removed_seq=GONE // 2, statement=trail.earlier["statement"])


@of_retention("trigger", "enumeration", "checkpoint enumeration retention")
def the_floor_taken_away(trail: Trail) -> None:
    trail.delete(RETENTIONS)


@of_retention("trigger", "retention", "retention")
def the_floor_rolled_back_and_the_rows_of_a_backup_put_in(trail: Trail) -> None:
    say(trail, removed_seq=0, statement=None)
    trail.connection.execute(sa.insert(RECORDS), trail.backup)


@of_retention("trigger", "retention", "enumeration")
def a_row_of_a_backup_put_in(trail: Trail) -> None:
    trail.connection.execute(sa.insert(RECORDS), trail.backup[-1:])


@of_retention("", "mac", "")
def a_shorter_time_said(trail: Trail) -> None:
    say(trail, keep_days=90)


@of_retention("trigger", "checkpoint retention tree", "checkpoint retention")
def a_leaf_of_what_went_altered(trail: Trail) -> None:
    a_leaf_of_the_tree_altered(trail)


@of_retention("trigger", "tree", "checkpoint retention")
def a_leaf_of_what_went_deleted(trail: Trail) -> None:
    trail.delete(TILES, TILES.c.level == 0, TILES.c.number == 0)


@of_retention("trigger", "checkpoint mac retention", "checkpoint retention")
def the_kept_rebuilt_as_if_they_were_all(trail: Trail) -> None:
    trail.delete(RETENTIONS)
    trail.rebuild()


class TestAbuseOfRetention:
    async def test_each_way_is_refused_and_found(self, workshop: Workshop) -> None:
        gate, audit = workshop.gate, open_audit()
        await retained(workshop, GONE)
        before = workshop.snapshot()
        assert (await workshop.online(), await workshop.offline(workshop.kept)) == ("", "")
        assert await workshop.offline(workshop.kept, mac_key=KEY) == ""
        found, expected = {}, {}
        for name, one in RETENTION_CASES.items():
            refused = workshop.refused_by(one)
            with workshop.owning(guarded=False) as trail:
                one.act(trail)
            found[name] = (refused, await workshop.online(), await workshop.offline(workshop.kept))
            expected[name] = (one.refused, one.online, one.offline)
            # Nothing more goes then: retention covers nothing up.
            gate.clock.advance(700)
            async with gate.database.transaction(SystemScope(RETAIN)) as tx:
                await audit.retention.sweep(tx)
            workshop.restore(before)
            assert await workshop.online() == "", name
        wrong = [
            f"{name}: {found[name]}, not {expected[name]}"
            for name in RETENTION_CASES
            if found[name] != expected[name]
        ]
        assert not wrong, "\n".join(wrong)

    @pytest.mark.parametrize("harm", [an_actor_altered_and_all_rebuilt, a_link_altered])
    async def test_what_does_not_hold_is_not_let_go(
        self, workshop: Workshop, harm: Callable[[Trail], None]
    ) -> None:
        with workshop.owning(guarded=False) as trail:
            harm(trail)
        await retained(workshop, 40)
        with workshop.owning(guarded=True) as trail:
            assert trail.record(30)

    async def test_the_service_deletes_nothing_young_or_unsaid(self, workshop: Workshop) -> None:
        """The triggers hold it to that, whoever speaks for it; the rest is found."""
        gate, audit = workshop.gate, open_audit()
        scope = Scope("eve", workshop.tenant)

        async def let_go(seq: int, **values: Any) -> None:
            async with gate.database.transaction(scope) as tx:
                for change in (
                    *([sa.update(RetentionRow).values(**values)] if values else []),
                    sa.delete(AuditRecord).where(AuditRecord.seq == seq),
                ):
                    await tx.execute(change.execution_options(synchronize_session=False))

        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            await let_go(1)
        await act(gate, workshop.tenant, 3)
        async with gate.database.transaction(scope) as tx:
            await audit.retention.put(tx, 365)
        while await sequence(gate.database):
            pass
        await audit.checkpoints.grow(gate.database)
        await sign(gate, audit)
        for values in ({"removed_seq": 5}, {"removed_seq": SIZE + 9, "statement": "x"}):
            with pytest.raises(sa.exc.DBAPIError, match="only goes forward"):
                await let_go(1, **values)
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            await let_go(SIZE + 2, removed_seq=SIZE + 2, statement="x")
        await let_go(1, removed_seq=1, statement="x")
        assert await workshop.online() == "enumeration retention"


async def retained(workshop: Workshop, until: int) -> None:
    """Let so many records of both tenants go, in two bites; keep what was before as a backup."""
    gate, audit = workshop.gate, open_audit()
    with workshop.owning(guarded=True) as trail:
        rows = sorted((row for row in trail.rows(RECORDS)), key=lambda row: row["seq"] or 10**6)
    workshop.backup = rows[:until]
    for tenant in (workshop.tenant, workshop.other):
        async with gate.database.transaction(Scope("user:ada", tenant)) as tx:
            await audit.retention.put(tx, 365)
    while await sequence(gate.database):
        pass
    for bite in (until // 2, until):
        gate.clock.advance(700)
        for _ in range(2):
            async with gate.database.transaction(SystemScope(RETAIN)) as tx:
                await limited(audit.retention, bite).sweep(tx)
        if bite < until:
            with workshop.owning(guarded=True) as trail:
                rows = trail.rows(RETENTIONS)
            workshop.earlier = rows[0] if rows else {}
    while await sequence(gate.database):
        pass
    await audit.checkpoints.grow(gate.database)
    await sign(gate, audit)


def limited(retention: Retention, until: int) -> Retention:
    """Letting no more go than this number."""
    old_enough = Retention._old_enough

    async def some(tx: Any, begin: int, most: int, keep_days: int) -> int:
        return await old_enough(tx, begin, min(most, until), keep_days)

    retention._old_enough = some  # type: ignore[method-assign]
    return retention
