"""What the database's owner can do to a trail, and who finds it.

The owner has everything but keys: it can drop triggers and checks, knows every format, and computes
links, nodes and roots anew wherever that helps (``rebuild``). Each case says what refuses it as
long as the guards stand, what finds it in the database afterwards, and what finds it in an export,
given the public key and a checkpoint from before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from backend.core.audit import GENESIS, AuditHead, AuditRecord, leaf_hash, link_leaf
from backend.core.context import Scope, SystemScope
from backend.core.ids import uuid7
from backend.managers.audit import ENUMERATE, GROW, VERIFY, _tree, offline
from backend.managers.audit._notes import Signer
from backend.managers.audit.models import (
    AuditCheckpoint,
    AuditTile,
    AuditVerification,
    RetentionRow,
)
from backend.managers.tenant.models import TenantRow
from backend.migrations.row_security import pass_as_owner
from tests.support.gate import Gate
from tests.support.growth import AUDIT, unguarded
from tests.support.trail import open_audit

RECORDS: Any = AuditRecord.__table__
HEADS: Any = AuditHead.__table__
TILES: Any = AuditTile.__table__
CHECKPOINTS: Any = AuditCheckpoint.__table__
RETENTIONS: Any = RetentionRow.__table__
VERIFICATIONS: Any = AuditVerification.__table__
TENANTS: Any = TenantRow.__table__
EARLY_SIZE, KEPT_SIZE, SIZE = 25, 50, 75


def given(table: Any) -> list[Any]:
    """The columns that are written: others the database computes from them."""
    return [column for column in table.c if column.computed is None]


@dataclass
class Trail:
    """A tenant's trail in the owner's hands, and another tenant's beside it."""

    connection: sa.Connection
    tenant: str
    other: str
    early_head: dict[str, Any]
    earlier: dict[str, Any] = field(default_factory=dict)
    backup: list[dict[str, Any]] = field(default_factory=list)

    def run(self, statement: Any) -> None:
        self.connection.execute(statement)

    def rows(self, table: Any, tenant: str = "") -> list[dict[str, Any]]:
        query = sa.select(*given(table)).where(table.c.tenant_id == (tenant or self.tenant))
        return [dict(row) for row in self.connection.execute(query).mappings()]

    def record(self, seq: int, tenant: str = "") -> dict[str, Any]:
        return next(row for row in self.rows(RECORDS, tenant) if row["seq"] == seq)

    def head(self) -> dict[str, Any]:
        return self.rows(HEADS)[0]

    def change(self, number: int, /, **values: Any) -> None:
        where = (RECORDS.c.tenant_id == self.tenant, RECORDS.c.seq == number)
        self.run(sa.update(RECORDS).where(*where).values(**values))

    def delete(self, table: Any, *conditions: Any) -> None:
        self.run(sa.delete(table).where(table.c.tenant_id == self.tenant, *conditions))

    def change_head(self, **values: Any) -> None:
        self.run(sa.update(HEADS).where(HEADS.c.tenant_id == self.tenant).values(**values))

    def forge(self, **values: Any) -> dict[str, Any]:
        """A row nobody of ours made; ``mac`` is what any owner can put there."""
        row = self.record(1) | {"id": uuid7(), "seq": None, "chain_hash": None, "mac": bytes(32)}
        row |= {"actor": "user:mallory", **values}
        self.run(sa.insert(RECORDS).values(row))
        return row

    def rebuild(self, *, tree: bool = True) -> None:
        """Number, link and hash all records anew, as anybody can who has read how."""
        rows = [row for row in self.rows(RECORDS) if row["seq"] is not None]
        rows.sort(key=lambda row: (row["seq"], row["id"]))
        previous, leaves = GENESIS, []
        # Out of the way of the unique constraint first.
        for row in rows:
            self._place(row, seq=row["seq"] + 1_000_000)
        for seq, row in enumerate(rows, 1):
            leaf = leaf_hash(AuditRecord(**row))
            leaves.append(leaf)
            previous = link_leaf(previous, seq, leaf)
            self._place(row, seq=seq, chain_hash=previous)
        self.change_head(seq=len(rows), chain_hash=previous)
        if tree:
            self.delete(TILES)
            for (level, number), hashes in _tree.append(0, {}, leaves).items():
                tile = {"level": level, "number": number, "hashes": hashes}
                self.run(sa.insert(TILES).values(tenant_id=self.tenant, **tile))
            self.change_head(tree_size=len(rows), checkpoint_size=min(SIZE, len(rows)))

    def _place(self, row: dict[str, Any], **values: Any) -> None:
        where = (RECORDS.c.tenant_id == row["tenant_id"], RECORDS.c.id == row["id"])
        self.run(sa.update(RECORDS).where(*where).values(**values))

    def root(self, size: int) -> bytes:
        tiles = {
            _tree.TileId(row["level"], row["number"]): row["hashes"] for row in self.rows(TILES)
        }
        return _tree.hash_of(_tree.Span(0, size), tiles)

    def resign(self, key: bytes = bytes(32)) -> None:
        """Have all checkpoints say what the tree says now, under a key of the attacker's."""
        signer = Signer(f"email-sender/{self.tenant}", key)
        for row in self.rows(CHECKPOINTS):
            root = self.root(row["size"])
            values = {"root": root, "note": signer.sign_checkpoint(row["size"], root)}
            self.change_checkpoint(row["size"], **values)

    def change_checkpoint(self, size: int, **values: Any) -> None:
        where = (CHECKPOINTS.c.tenant_id == self.tenant, CHECKPOINTS.c.size == size)
        self.run(sa.update(CHECKPOINTS).where(*where).values(**values))


@dataclass(frozen=True)
class Case:
    """A way of tampering.

    Attributes:
        refused: What refuses it while the guards stand: ``trigger``, ``check`` or nothing.
        online: What finds it in the database, with the keys.
        offline: What finds it in an export, with the public key and a checkpoint from before.
    """

    act: Callable[[Trail], None]
    refused: str
    online: str
    offline: str


Act = Callable[["Trail"], None]


def case(refused: str, online: str, offline: str) -> Callable[[Act], Act]:
    def keep(act: Act) -> Act:
        CASES[act.__name__] = Case(act, refused, online, offline)
        return act

    return keep


CASES: dict[str, Case] = {}


# --- rows put in ------------------------------------------------------------------------------


@case("trigger", "enumeration", "enumeration")
def a_row_numbered_0(trail: Trail) -> None:
    trail.forge(seq=0, chain_hash=bytes(32))


@case("trigger", "enumeration", "enumeration")
def a_row_numbered_minus_7(trail: Trail) -> None:
    trail.forge(seq=-7, chain_hash=bytes(32))


@case("trigger", "chain enumeration mac", "chain enumeration")
def a_row_appended_behind_the_head(trail: Trail) -> None:
    trail.forge(seq=SIZE + 1, chain_hash=bytes(32))


@case("trigger", "mac", "")
def a_row_appended_and_the_head_moved(trail: Trail) -> None:
    trail.forge(seq=SIZE + 1, chain_hash=bytes(32))
    trail.rebuild()


@case("trigger", "mac", "enumeration")
def a_row_without_number_and_mac(trail: Trail) -> None:
    trail.forge(mac=None)


@case("", "mac", "enumeration")
def a_row_without_number_and_a_made_up_mac(trail: Trail) -> None:
    trail.forge()


@case("", "mac", "enumeration")
def a_row_without_number_and_anothers_mac(trail: Trail) -> None:
    trail.forge(mac=trail.record(2)["mac"])


@case("", "mac", "enumeration")
def a_row_that_is_anothers_copy_under_a_new_id(trail: Trail) -> None:
    trail.run(
        sa.insert(RECORDS).values(
            trail.record(3) | {"id": uuid7(), "seq": None, "chain_hash": None}
        )
    )


@case("", "mac", "enumeration")
def a_row_of_another_tenant_brought_over(trail: Trail) -> None:
    theirs = trail.record(2, trail.other)
    trail.run(
        sa.insert(RECORDS).values(
            theirs | {"tenant_id": trail.tenant, "seq": None, "chain_hash": None}
        )
    )


@case("trigger", "checkpoint mac", "checkpoint")
def a_row_put_into_the_middle_and_all_rebuilt(trail: Trail) -> None:
    for row in sorted(trail.rows(RECORDS), key=lambda row: -row["seq"]):
        if row["seq"] > 20:
            trail.change(row["seq"], seq=row["seq"] + 1)
    trail.forge(seq=21, chain_hash=bytes(32))
    trail.rebuild()


# --- rows altered -----------------------------------------------------------------------------


def altered(name: str, **values: Any) -> None:
    def act(trail: Trail) -> None:
        trail.change(30, **values)

    act.__name__ = name
    case("trigger", "chain checkpoint mac tree", "chain checkpoint")(act)


altered("an_actor_altered", actor="user:nobody")
altered("an_action_altered", action="thing.kept")
altered("a_target_altered", target="thing:0")
altered("a_request_altered", request_id="req-2")
altered("data_altered", data={"size": 1})
altered("an_action_of_letters_that_look_alike", action="thing.m\u0430de")
altered("data_of_another_kind", data=[{"size": 29}])
altered("data_with_a_member_more", data={"size": 29, "gr\u00f6\u00dfe": None})
altered("data_that_names_a_run", data={"size": 29, "run": {"workflow_id": "w"}})
altered("data_with_a_number_that_is_no_integer", data={"size": 29.5})
altered("an_id_altered", id="01890000-0000-7000-8000-000000000001")


@case("trigger", "chain checkpoint mac tree", "chain checkpoint")
def a_time_altered_by_a_microsecond(trail: Trail) -> None:
    trail.change(30, at=trail.record(30)["at"] + timedelta(microseconds=1))


@case("trigger", "mac", "")
def a_mac_cut(trail: Trail) -> None:
    trail.change(30, mac=trail.record(30)["mac"][:-1])


@case("trigger", "chain", "chain")
def a_link_cut(trail: Trail) -> None:
    trail.change(30, chain_hash=trail.record(30)["chain_hash"][:-1])


@case("trigger", "enumeration", "checkpoint enumeration")
def a_number_raised_out_of_reach(trail: Trail) -> None:
    trail.change(SIZE, seq=2**62)


@case("trigger", "mac", "")
def a_mac_taken_off(trail: Trail) -> None:
    trail.change(30, mac=None)


@case("trigger", "chain", "chain")
def a_link_altered(trail: Trail) -> None:
    trail.change(30, chain_hash=bytes(32))


@case("trigger", "checkpoint mac", "checkpoint")
def an_actor_altered_and_all_rebuilt(trail: Trail) -> None:
    trail.change(30, actor="user:nobody")
    trail.rebuild()


@case("trigger", "checkpoint mac", "checkpoint")
def an_actor_altered_all_rebuilt_and_signed_by_another_key(trail: Trail) -> None:
    trail.change(30, actor="user:nobody")
    trail.rebuild()
    trail.resign()


@case("trigger", "checkpoint mac", "checkpoint")
def an_actor_altered_as_if_from_before_there_were_macs(trail: Trail) -> None:
    trail.change(30, actor="user:nobody", mac=None)
    trail.rebuild()
    trail.change_head(unsealed_seq=SIZE)


@case("trigger", "checkpoint", "checkpoint")
def a_whole_trail_as_if_from_before_there_were_macs(trail: Trail) -> None:
    trail.change(30, actor="user:nobody")
    trail.run(sa.update(RECORDS).where(RECORDS.c.tenant_id == trail.tenant).values(mac=None))
    trail.rebuild()
    trail.change_head(unsealed_seq=None, mac=None)


# --- rows taken away --------------------------------------------------------------------------


@case("trigger", "enumeration", "checkpoint enumeration")
def the_first_row_deleted(trail: Trail) -> None:
    trail.delete(RECORDS, RECORDS.c.seq == 1)


@case("trigger", "enumeration", "checkpoint enumeration")
def a_row_deleted(trail: Trail) -> None:
    trail.delete(RECORDS, RECORDS.c.seq == 30)


@case("trigger", "enumeration", "checkpoint enumeration")
def the_last_row_deleted(trail: Trail) -> None:
    trail.delete(RECORDS, RECORDS.c.seq == SIZE)


@case("trigger", "checkpoint mac", "checkpoint")
def a_row_deleted_and_all_rebuilt(trail: Trail) -> None:
    trail.delete(RECORDS, RECORDS.c.seq == 30)
    trail.rebuild()


@case("trigger", "checkpoint mac", "checkpoint")
def the_tail_cut_and_the_head_moved_back(trail: Trail) -> None:
    trail.delete(RECORDS, RECORDS.c.seq > 40)
    trail.rebuild()


@case("trigger", "mac", "checkpoint")
def the_tail_cut_with_all_that_was_signed_of_it(trail: Trail) -> None:
    trail.delete(RECORDS, RECORDS.c.seq > 40)
    trail.rebuild()
    trail.delete(CHECKPOINTS)
    trail.change_head(checkpoint_size=0)


@case("trigger", "", "checkpoint")
def the_database_put_back_to_an_earlier_moment(trail: Trail) -> None:
    size = trail.early_head["seq"]
    trail.delete(RECORDS, RECORDS.c.seq > size)
    trail.rebuild()
    trail.delete(CHECKPOINTS)
    trail.change_head(**{**trail.early_head, "tree_size": size, "checkpoint_size": 0})


@case("trigger", "checkpoint mac", "checkpoint enumeration")
def the_tail_without_numbers_again(trail: Trail) -> None:
    where = (RECORDS.c.tenant_id == trail.tenant, RECORDS.c.seq > 40)
    trail.run(sa.update(RECORDS).where(*where).values(seq=None, chain_hash=None))
    trail.rebuild()
    trail.delete(CHECKPOINTS)


@case("trigger", "enumeration", "checkpoint enumeration")
def all_without_numbers_and_the_head_deleted(trail: Trail) -> None:
    where = RECORDS.c.tenant_id == trail.tenant
    trail.run(sa.update(RECORDS).where(where).values(seq=None, chain_hash=None))
    trail.delete(HEADS)


@case("trigger", "enumeration", "checkpoint")
def the_chain_deleted_with_its_head(trail: Trail) -> None:
    trail.delete(RECORDS)
    trail.delete(HEADS)


@case("trigger", "", "checkpoint")
def everything_of_the_trail_deleted(trail: Trail) -> None:
    for table in (RECORDS, HEADS, TILES, CHECKPOINTS):
        trail.delete(table)


# --- rows moved -------------------------------------------------------------------------------


@case("trigger", "chain checkpoint tree", "chain checkpoint")
def two_rows_swapped(trail: Trail) -> None:
    trail.change(30, seq=10_000)
    trail.change(31, seq=30)
    trail.change(10_000, seq=31)


@case("trigger", "checkpoint mac", "checkpoint")
def two_rows_swapped_and_all_rebuilt(trail: Trail) -> None:
    two_rows_swapped(trail)
    trail.rebuild()


@case("trigger", "enumeration", "checkpoint enumeration")
def a_row_given_to_another_tenant(trail: Trail) -> None:
    trail.change(30, tenant_id=trail.other, seq=10_000)


@case("trigger", "enumeration", "checkpoint enumeration")
def all_numbers_one_higher(trail: Trail) -> None:
    for row in sorted(trail.rows(RECORDS), key=lambda row: -row["seq"]):
        trail.change(row["seq"], seq=row["seq"] + 1)


@case("trigger", "checkpoint mac", "checkpoint")
def a_row_replaced_by_another_tenants(trail: Trail) -> None:
    theirs = trail.record(2, trail.other)
    trail.delete(RECORDS, RECORDS.c.seq == 30)
    trail.run(sa.insert(RECORDS).values(theirs | {"tenant_id": trail.tenant, "seq": 30}))
    trail.rebuild()


# --- heads ------------------------------------------------------------------------------------


@case("trigger", "checkpoint enumeration mac", "enumeration")
def a_head_moved_back(trail: Trail) -> None:
    trail.change_head(seq=SIZE - 1, tree_size=SIZE - 1, checkpoint_size=SIZE - 1)


@case("", "enumeration mac", "enumeration")
def a_head_moved_on(trail: Trail) -> None:
    trail.change_head(seq=SIZE + 1)


@case("trigger", "chain mac", "chain")
def a_heads_hash_altered(trail: Trail) -> None:
    trail.change_head(chain_hash=bytes(32))


@case("trigger", "enumeration", "enumeration")
def a_head_deleted(trail: Trail) -> None:
    trail.delete(HEADS)


@case("trigger", "mac", "")
def a_heads_mac_taken_off(trail: Trail) -> None:
    trail.change_head(mac=None, unsealed_seq=SIZE)


@case("trigger", "mac", "")
def a_head_that_says_records_need_no_mac(trail: Trail) -> None:
    trail.change_head(unsealed_seq=SIZE)


@case("trigger", "checkpoint enumeration mac", "enumeration")
def the_heads_of_two_tenants_swapped(trail: Trail) -> None:
    (own,), (theirs,) = trail.rows(HEADS), trail.rows(HEADS, trail.other)
    for tenant, row in ((trail.tenant, theirs), (trail.other, own)):
        values = {name: value for name, value in row.items() if name != "tenant_id"}
        trail.run(sa.update(HEADS).where(HEADS.c.tenant_id == tenant).values(values))


@case("trigger", "chain mac", "chain")
def a_heads_hash_cut(trail: Trail) -> None:
    trail.change_head(chain_hash=trail.head()["chain_hash"][:31])


@case("", "enumeration mac", "enumeration")
def a_head_at_the_last_number_there_is(trail: Trail) -> None:
    trail.change_head(seq=2**62)


@case("trigger", "checkpoint enumeration", "enumeration")
def an_earlier_head_put_back(trail: Trail) -> None:
    size = trail.early_head["seq"]
    trail.change_head(**{**trail.early_head, "tree_size": size, "checkpoint_size": size})


# --- the tree and what was signed -------------------------------------------------------------


@case("trigger", "tree", "")
def a_leaf_of_the_tree_altered(trail: Trail) -> None:
    tile = next(row for row in trail.rows(TILES) if (row["level"], row["number"]) == (0, 0))
    where = (TILES.c.tenant_id == trail.tenant, TILES.c.level == 0, TILES.c.number == 0)
    hashes = bytes(32) + tile["hashes"][32:]
    trail.run(sa.update(TILES).where(*where).values(hashes=hashes))


@case("trigger", "tree", "")
def an_inner_node_of_the_tree_altered(trail: Trail) -> None:
    tile = next(row for row in trail.rows(TILES) if row["level"] == 1)
    where = (TILES.c.tenant_id == trail.tenant, TILES.c.level == 1)
    hashes = tile["hashes"][:32] + bytes(32)
    trail.run(sa.update(TILES).where(*where).values(hashes=hashes))


@case("trigger", "tree", "")
def a_tile_of_the_tree_deleted(trail: Trail) -> None:
    trail.delete(TILES, TILES.c.level == 0, TILES.c.number == 1)


@case("trigger", "checkpoint", "")
def a_checkpoints_root_altered(trail: Trail) -> None:
    trail.change_checkpoint(KEPT_SIZE, root=bytes(32))


@case("trigger", "checkpoint", "checkpoint")
def a_checkpoints_note_altered(trail: Trail) -> None:
    (note,) = [row["note"] for row in trail.rows(CHECKPOINTS) if row["size"] == SIZE]
    trail.change_checkpoint(SIZE, note=note.replace(f"\n{SIZE}\n", f"\n{SIZE + 1}\n"))


@case("trigger", "checkpoint", "checkpoint")
def a_checkpoint_signed_by_another_key(trail: Trail) -> None:
    trail.resign()


@case("trigger", "checkpoint", "checkpoint")
def another_tenants_checkpoint(trail: Trail) -> None:
    note = trail.rows(CHECKPOINTS, trail.other)[0]["note"]
    trail.change_checkpoint(SIZE, note=note)


@case("trigger", "checkpoint", "")
def a_checkpoint_moved_to_another_tenant(trail: Trail) -> None:
    trail.change_checkpoint(SIZE, tenant_id=trail.other)


@case("trigger", "tree", "")
def another_tenants_tile(trail: Trail) -> None:
    (theirs,) = (row for row in trail.rows(TILES, trail.other) if row["level"] == 0)
    where = (TILES.c.tenant_id == trail.tenant, TILES.c.level == 0, TILES.c.number == 0)
    trail.run(sa.update(TILES).where(*where).values(hashes=theirs["hashes"]))


@case("", "tree", "")
def a_tile_with_bytes_behind_it(trail: Trail) -> None:
    tile = next(row for row in trail.rows(TILES) if (row["level"], row["number"]) == (0, 2))
    where = (TILES.c.tenant_id == trail.tenant, TILES.c.level == 0, TILES.c.number == 2)
    trail.run(sa.update(TILES).where(*where).values(hashes=tile["hashes"] + bytes(7)))


@case("trigger", "tree", "")
def a_tile_cut_inside_of_a_hash(trail: Trail) -> None:
    tile = next(row for row in trail.rows(TILES) if (row["level"], row["number"]) == (0, 0))
    where = (TILES.c.tenant_id == trail.tenant, TILES.c.level == 0, TILES.c.number == 0)
    trail.run(sa.update(TILES).where(*where).values(hashes=tile["hashes"][:-5]))


@case("trigger", "checkpoint", "checkpoint")
def a_checkpoint_under_a_name_that_looks_alike(trail: Trail) -> None:
    (note,) = [row["note"] for row in trail.rows(CHECKPOINTS) if row["size"] == SIZE]
    trail.change_checkpoint(SIZE, note=note.replace("\u2014 email", "\u2014 em\u0430il"))


@case("trigger", "checkpoint", "checkpoint")
def a_signature_that_is_not_ascii(trail: Trail) -> None:
    (note,) = [row["note"] for row in trail.rows(CHECKPOINTS) if row["size"] == SIZE]
    trail.change_checkpoint(SIZE, note=f"{note[:-3]}\u00e9=\n")


@case("trigger", "checkpoint", "")
def the_newest_checkpoint_deleted(trail: Trail) -> None:
    trail.delete(CHECKPOINTS, CHECKPOINTS.c.size == SIZE)


@case("trigger", "checkpoint", "")
def all_checkpoints_deleted(trail: Trail) -> None:
    trail.delete(CHECKPOINTS)


@case("check", "enumeration", "")
def a_tree_larger_than_the_chain(trail: Trail) -> None:
    trail.change_head(tree_size=SIZE + 1)


# --- who finds them ---------------------------------------------------------------------------


@dataclass
class Workshop:
    """A database with two trails, what was kept of them elsewhere, and its owner."""

    gate: Gate
    owner: sa.Engine
    tenant: str
    other: str
    early_head: dict[str, Any]
    kept: str
    key: offline.Key
    earlier: dict[str, Any] = field(default_factory=dict)
    backup: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def owning(self, *, guarded: bool) -> Iterator[Trail]:
        """As the owner, with the guards as they are or without any."""
        with self.owner.begin() as connection:
            if connection.dialect.name == "postgresql":
                pass_as_owner(connection)
            trail = Trail(
                connection, self.tenant, self.other, self.early_head, self.earlier, self.backup
            )
            if guarded:
                yield trail
                return
            with unguarded(connection, AUDIT):
                self._drop_checks(connection)
                yield trail

    @staticmethod
    def _drop_checks(connection: sa.Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
            return
        for table in (RECORDS, HEADS):
            for one in _checks(table):
                connection.exec_driver_sql(
                    f"ALTER TABLE {table.name} DROP CONSTRAINT IF EXISTS {one.name}"
                )

    @staticmethod
    def _make_checks(connection: sa.Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")
            return
        for table in (RECORDS, HEADS):
            for one in _checks(table):
                connection.execute(sa.schema.AddConstraint(one))

    def refused_by(self, one: Case) -> str:
        """What keeps the owner from it as long as nothing was dropped."""
        try:
            with self.owning(guarded=True) as trail:
                one.act(trail)
                raise _UndoneError
        except _UndoneError:
            return ""
        except sa.exc.DBAPIError as exc:
            said = str(exc.orig)
            if any(word in said for word in ("append-only", "only go forward", "only goes")):
                return "trigger"
            return "check" if "ck_" in said else said

    def snapshot(self) -> dict[Any, list[dict[str, Any]]]:
        tables = (TENANTS, RECORDS, HEADS, TILES, CHECKPOINTS, RETENTIONS)
        with self.owning(guarded=True) as trail:
            return {
                table: [
                    dict(row)
                    for row in trail.connection.execute(sa.select(*given(table))).mappings()
                ]
                for table in tables
            }

    def restore(self, before: dict[Any, list[dict[str, Any]]]) -> None:
        with self.owning(guarded=False) as trail:
            for table in reversed(before):
                if table is not TENANTS:
                    trail.run(sa.delete(table))
            for table, rows in before.items():
                if table is not TENANTS and rows:
                    trail.connection.execute(sa.insert(table), rows)
            self._make_checks(trail.connection)

    async def online(self) -> str:
        """What finds something in the database."""
        async with self.gate.database.read(SystemScope(VERIFY, tenant_id=self.tenant)) as tx:
            report = await open_audit().verify_chain(tx)
        return " ".join(sorted({one.by for one in report.findings}))

    async def export(self) -> list[str]:
        async with self.gate.database.read(SystemScope(VERIFY, tenant_id=self.tenant)) as tx:
            return [line async for line in open_audit().lines.all(tx)]

    async def offline(self, *notes: str, mac_key: bytes | None = None) -> str:
        """What finds something in an export."""
        report = offline.verify(await self.export(), self.key, notes, mac_key)
        return " ".join(sorted({by for by, _, _ in report.findings}))


def _checks(table: Any) -> list[Any]:
    return [one for one in table.constraints if isinstance(one, sa.CheckConstraint)]


class _UndoneError(Exception):
    pass


async def act(gate: Gate, tenant_id: str, count: int) -> None:
    for number in range(count):
        async with gate.database.transaction(Scope("user:ada", tenant_id, "req-1")) as tx:
            tx.audit("thing.made", f"thing:{number}", size=number)


async def sign(gate: Gate, audit: Any) -> None:
    for tenant_id in await trails(gate):
        async with gate.database.transaction(SystemScope(GROW)) as tx:
            await audit.checkpoints._sign(tx, tenant_id)


async def trails(gate: Gate) -> list[str]:
    async with gate.database.read(SystemScope(ENUMERATE)) as tx:
        return await open_audit().list_trails(tx)
