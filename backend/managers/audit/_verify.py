"""Verifying a trail from its rows: a page at a time, from the first record or from where it held.

Nothing that is verified is believed. Numbers are counted, not read; leaves, links, nodes and roots
are computed anew; who wrote a record, a head or the place where an earlier look ended is what their
MACs say, under keys that the database does not have; what was signed is what signatures hold for.

What it cannot see is a database put back whole to an earlier moment, checkpoints and all: for that
somebody else must have kept one (:mod:`backend.managers.audit.offline`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import undefer

from backend.core.audit import (
    GENESIS,
    AuditHead,
    AuditRecord,
    RecordMaker,
    leaf_hash,
    link_leaf,
    named_in,
)
from backend.core.database import ReadTx
from backend.managers.audit import _tree
from backend.managers.audit._checkpoints import Checkpoints, frontier_at, load_tiles, root_at
from backend.managers.audit._notes import NoteInvalidError, Removal
from backend.managers.audit._tree import HASH_BYTES, HEIGHT, WIDTH, Frontier, TileId
from backend.managers.audit.models import AuditCheckpoint, RetentionRow

PAGE: Final = 250
MOST_FINDINGS: Final = 100
_USE: Final = "verification"
_SETTING: Final = "retention"
_LEAVES: Final = 64 * WIDTH
_NAMED: Final = (AuditRecord.workflow_id, AuditRecord.execution_id)
REMOVED: Final = "audit_record.removed"
"""The act of letting records go, as the trail says it itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold.

    Attributes:
        by: What found it: ``enumeration`` (numbers are counted), ``mac``, ``chain``, ``tree``,
            ``checkpoint``, ``retention`` (what is gone is not what a signed record says), or
            ``search`` (what a record is searched by is not what it says).
        seq: The first number that it concerns; None: no number is to blame.
        detail: In words.
    """

    by: str
    seq: int | None
    detail: str


@dataclass(slots=True)
class Progress:
    """How far a look has come, and what it needs to go on.

    Attributes:
        from_size: Where it began: so many records had held before.
        size: So many records are behind it.
        chain_hash: The last one's, computed.
        frontier: Of the tree over them, computed.
        findings: What did not hold, at most :data:`MOST_FINDINGS`.
    """

    from_size: int = 0
    chain_hash: bytes = GENESIS
    frontier: Frontier = field(default_factory=Frontier)
    findings: list[Finding] = field(default_factory=list)

    @property
    def size(self) -> int:
        """So many records are behind it."""
        return self.frontier.size

    def note(self, by: str, seq: int | None, detail: str) -> None:
        """Add a finding, unless there are many already."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(by, seq, detail))

    @property
    def first_invalid_seq(self) -> int | None:
        """The smallest number that something was found at."""
        return min((one.seq for one in self.findings if one.seq is not None), default=None)


class Verifying:
    """Looks at the tenant's trail of a transaction."""

    def __init__(self, maker: RecordMaker, checkpoints: Checkpoints) -> None:
        self._maker = maker
        self._checkpoints = checkpoints

    # --- where an earlier look ended -----------------------------------------------------------

    def seal(self, tenant_id: str, said: Mapping[str, Any]) -> bytes:
        """The MAC of a verification's row."""
        return self._maker.mac(tenant_id, _USE, _row_bytes(said))

    def is_ours(self, tenant_id: str, said: Mapping[str, Any], mac: bytes) -> bool:
        """Whether a verification's row is as one of us left it."""
        return self._maker.holds_mac(tenant_id, _USE, _row_bytes(said), mac)

    def seal_setting(self, row: RetentionRow) -> bytes:
        """The MAC of how long a tenant's records are kept, as one of us was told."""
        return self._maker.mac(row.tenant_id, _SETTING, _row_bytes(_setting(row)))

    def is_our_setting(self, row: RetentionRow) -> bool:
        """Whether one of us was told to keep the records for so long."""
        data = _row_bytes(_setting(row))
        return self._maker.holds_mac(row.tenant_id, _SETTING, data, row.mac)

    # --- where the kept begin ------------------------------------------------------------------

    async def floor(self, tx: ReadTx) -> Removal | None:
        """What was let go of the tenant's trail, as far as a signature of ours says so."""
        said = await tx.scalar(
            sa.select(RetentionRow.statement).where(RetentionRow.tenant_id == tx.tenant_id)
        )
        try:
            return self._checkpoints.verifier(tx.tenant_id).removal(said) if said else None
        except NoteInvalidError:
            return None

    async def at_floor(self, tx: ReadTx) -> Progress:
        """Progress up to the first record that is kept; the leaves before it are taken as signed.

        Raises:
            OutOfTreeError: The leaves that are kept of them are not those that were signed.
        """
        floor = await self.floor(tx)
        if floor is None:
            return Progress()
        frontier = await frontier_at(tx, tx.tenant_id, floor.seq)
        if frontier.root() != floor.root:
            raise _tree.OutOfTreeError("the leaves of what was let go are others")
        return Progress(floor.seq, floor.link, frontier)

    # --- walking ---------------------------------------------------------------------------------

    async def walk(self, tx: ReadTx, progress: Progress, until: int) -> bool:
        """Look at the next page, up to number ``until``; False when there is none.

        A record that is not where it should be is told of, and the walk goes on behind it.
        """
        floor = await self.floor(tx)
        if floor is not None and progress.size < floor.seq:
            return await self._walk_removed(tx, progress, floor)
        head = await _head(tx)
        begin = progress.size
        records = await tx.scalars(
            sa.select(AuditRecord)
            .where(
                AuditRecord.tenant_id == tx.tenant_id,
                AuditRecord.seq > begin,
                AuditRecord.seq <= until,
            )
            .order_by(AuditRecord.seq)
            .limit(PAGE)
            .options(*(undefer(column) for column in _NAMED))
        )
        if not records:
            return False
        end = begin + len(records)
        grown = min(end, head.tree_size if head else 0)
        tiles = await load_tiles(tx, tx.tenant_id, _tiles_between(begin, grown))
        signed = await _signed_between(tx, begin, end)
        for record in records:
            seq = progress.size + 1
            if record.seq != seq:
                progress.note("enumeration", seq, f"there is no record {seq} before {record.seq}")
                # Nothing computed holds behind a gap: to go on would be to find it everywhere.
                return False
            self._look(progress, head, record, tiles if seq <= grown else {})
            if record.action == REMOVED and _until(record) > (floor.seq if floor else 0):
                progress.note(
                    "retention", seq, f"record {seq} says that more went than a signature does"
                )
            if seq in signed:
                self._compare(tx, progress, signed[seq])
        return True

    async def _walk_removed(self, tx: ReadTx, progress: Progress, floor: Removal) -> bool:
        """Go over leaves whose records were let go: from them on the tree is computed as ever."""
        begin = progress.size
        end = min(begin + _LEAVES, floor.seq)
        tiles = await load_tiles(tx, tx.tenant_id, _tiles_between(begin, end))
        signed = await _signed_between(tx, begin, end)
        for index in range(begin, end):
            number, place = divmod(index, WIDTH)
            held = tiles.get(TileId(0, number), b"")
            leaf = held[place * HASH_BYTES : (place + 1) * HASH_BYTES]
            if len(leaf) != HASH_BYTES:
                progress.note("tree", index + 1, f"the leaf of record {index + 1} is gone as well")
                return False
            self._grow(progress, leaf, tiles)
            if index + 1 in signed:
                self._compare(tx, progress, signed[index + 1])
        if end == floor.seq:
            if progress.frontier.root() != floor.root:
                progress.note(
                    "retention", end, f"the leaves up to {end} are not those that were let go"
                )
            progress.chain_hash = floor.link
        return True

    def _look(
        self,
        progress: Progress,
        head: AuditHead | None,
        record: AuditRecord,
        tiles: Mapping[TileId, bytes],
    ) -> None:
        seq, leaf = progress.size + 1, leaf_hash(record)
        sealed = (
            self._maker.holds(record) if head is None else self._checkpoints.is_ours(head, record)
        )
        if not sealed:
            progress.note("mac", seq, f"record {seq} is none of ours, or was changed")
        computed = link_leaf(progress.chain_hash, seq, leaf)
        if computed != record.chain_hash:
            progress.note("chain", seq, f"record {seq} does not follow the one before")
        if not _is_searched_as_it_says(record):
            progress.note("search", seq, f"record {seq} is searched by what it does not say")
        # Onwards from what is stored: one wrong link is one finding.
        progress.chain_hash = record.chain_hash or computed
        self._grow(progress, leaf, tiles)

    @staticmethod
    def _grow(progress: Progress, leaf: bytes, tiles: Mapping[TileId, bytes]) -> None:
        made, seq = progress.frontier.add(leaf), progress.size
        if tiles:
            for level, value in enumerate(made[::HEIGHT]):
                number, place = divmod((seq >> HEIGHT * level) - 1, WIDTH)
                at = place * HASH_BYTES
                kept = tiles.get(TileId(level, number), b"")[at : at + HASH_BYTES]
                if kept != value:
                    progress.note("tree", seq, f"a node of the tree over record {seq} is another")

    def _compare(self, tx: ReadTx, progress: Progress, row: AuditCheckpoint) -> None:
        size = row.size
        try:
            said = self._checkpoints.verifier(tx.tenant_id).checkpoint(row.note)
        except NoteInvalidError as exc:
            progress.note("checkpoint", size, f"the checkpoint of size {size}: {exc}")
            return
        if said.size != size or said.root != row.root or said.root != progress.frontier.root():
            progress.note("checkpoint", size, f"the checkpoint of size {size} signs another root")

    # --- the end ---------------------------------------------------------------------------------

    async def finish(self, tx: ReadTx, progress: Progress, *, whole: bool = True) -> None:
        """Look at what stands beside the records: head, tree, checkpoints, odd numbers, what waits.

        Args:
            tx: That of the last page, or all of it would have to stand still in between.
            progress: Of the walk.
            whole: The walk went as far as there were records.
        """
        head = await _head(tx)
        await self._look_at_retention(tx, progress, head)
        of_tenant = AuditRecord.tenant_id == tx.tenant_id
        odd = await tx.scalar(
            sa.select(sa.func.count(AuditRecord.id)).where(of_tenant, AuditRecord.seq < 1)
        )
        if odd:
            progress.note("enumeration", None, f"{odd} records have a number below 1")
        last = await tx.scalar(
            sa.select(AuditRecord.seq)
            .where(of_tenant, AuditRecord.seq.is_not(None))
            .order_by(AuditRecord.seq.desc())
            .limit(1)
        )
        waiting = await tx.scalars(
            sa.select(AuditRecord)
            .where(of_tenant, AuditRecord.seq.is_(None))
            .order_by(AuditRecord.id)
            .limit(PAGE)
        )
        forged = sum(not self._maker.holds(record) for record in waiting)
        if forged:
            progress.note("mac", None, f"{forged} records without a number are none of ours")
        if head is None:
            if last is not None:
                progress.note("enumeration", 1, "there are records, and no head of their chain")
            if await _has_tree(tx):
                progress.note("enumeration", 1, "a tree stands over records, and all are gone")
            return
        await self._look_at_head(tx, progress, head, last or 0)
        await self._look_at_tree(tx, progress, head, whole=whole)

    async def _look_at_retention(
        self, tx: ReadTx, progress: Progress, head: AuditHead | None
    ) -> None:
        row = await tx.scalar(sa.select(RetentionRow).where(RetentionRow.tenant_id == tx.tenant_id))
        if row is None:
            return
        if not self.is_our_setting(row):
            progress.note("mac", None, "how long records are kept was said by none of us")
        floor = await self.floor(tx)
        if (floor.seq if floor else 0) != row.removed_seq or (row.statement and floor is None):
            progress.note(
                "retention",
                None,
                f"that records up to {row.removed_seq} were let go is said by no signature of ours",
            )
        if floor is None:
            return
        left = await tx.scalar(
            sa.select(sa.func.count(AuditRecord.id)).where(
                AuditRecord.tenant_id == tx.tenant_id,
                AuditRecord.seq >= 1,
                AuditRecord.seq <= floor.seq,
            )
        )
        if left:
            progress.note("retention", None, f"{left} records are there that were let go")
        if head is None or head.checkpoint_size < floor.size:
            progress.note(
                "checkpoint", None, f"{floor.size} records were signed when some were let go"
            )

    async def _look_at_head(
        self, tx: ReadTx, progress: Progress, head: AuditHead, last: int
    ) -> None:
        if head.mac is not None:
            if not self._maker.holds_head(head):
                progress.note("mac", None, "the head of the chain is none of ours")
        elif head.seq or head.tree_size:
            sealed = await tx.scalar(
                sa.select(AuditRecord.id)
                .where(
                    AuditRecord.tenant_id == tx.tenant_id,
                    # Which of all have one is found where each is looked at.
                    AuditRecord.seq.in_([1, last]),
                    AuditRecord.mac.is_not(None),
                )
                .limit(1)
            )
            if sealed is not None:
                progress.note("mac", None, "the head of the chain has no MAC, and records have")
        if last < head.seq:
            progress.note(
                "enumeration", last + 1, f"the chain ended at {head.seq}, its records at {last}"
            )
        elif last > head.seq:
            progress.note("enumeration", head.seq + 1, f"the chain ends at {head.seq}, not {last}")
        elif progress.size == head.seq and progress.chain_hash != head.chain_hash:
            progress.note("chain", head.seq, "the head of the chain has another hash")
        if not head.checkpoint_size <= head.tree_size <= head.seq:
            progress.note("enumeration", None, "the tree is larger than the chain")

    async def _look_at_tree(
        self, tx: ReadTx, progress: Progress, head: AuditHead, *, whole: bool
    ) -> None:
        newest = await tx.scalar(
            sa.select(AuditCheckpoint)
            .where(AuditCheckpoint.tenant_id == tx.tenant_id)
            .order_by(AuditCheckpoint.size.desc())
            .limit(1)
        )
        size = newest.size if newest else 0
        if size != head.checkpoint_size:
            progress.note(
                "checkpoint",
                None,
                f"the newest checkpoint is of {size}, not {head.checkpoint_size}",
            )
        if whole and size > progress.size and not progress.findings:
            progress.note("checkpoint", progress.size + 1, f"{size} records were signed")
        if progress.from_size and newest is not None and size <= progress.from_size:
            # The walk began behind it: what is stored of the tree has to agree with it.
            try:
                said = self._checkpoints.verifier(tx.tenant_id).checkpoint(newest.note)
                if said.root != await root_at(tx, tx.tenant_id, size):
                    progress.note(
                        "checkpoint", None, f"the checkpoint of {size} signs another root"
                    )
            except (NoteInvalidError, _tree.OutOfTreeError) as exc:
                progress.note("checkpoint", None, f"the checkpoint of size {size}: {exc}")
        if head.tree_size == progress.size and not progress.findings:
            try:
                same = await root_at(tx, tx.tenant_id, head.tree_size) == progress.frontier.root()
            except _tree.OutOfTreeError:
                same = False
            if not same:
                progress.note("tree", None, "the tree has another root than the records")
                return
            edge = await load_tiles(tx, tx.tenant_id, _tree.edge_of(head.tree_size))
            try:
                # What the next leaves are put behind, which no root is computed from.
                _tree.append(head.tree_size, edge, ())
            except _tree.OutOfTreeError as exc:
                progress.note("tree", None, f"the tree cannot grow: {exc}")


async def _head(tx: ReadTx) -> AuditHead | None:
    found: AuditHead | None = await tx.scalar(
        sa.select(AuditHead).where(AuditHead.tenant_id == tx.tenant_id)
    )
    return found


async def _has_tree(tx: ReadTx) -> bool:
    return (
        await tx.scalar(
            sa.select(AuditCheckpoint.size)
            .where(AuditCheckpoint.tenant_id == tx.tenant_id)
            .limit(1)
        )
        is not None
        or await load_tiles(tx, tx.tenant_id, [TileId(0, 0)]) != {}
    )


async def _signed_between(tx: ReadTx, begin: int, end: int) -> dict[int, AuditCheckpoint]:
    rows = await tx.scalars(
        sa.select(AuditCheckpoint).where(
            AuditCheckpoint.tenant_id == tx.tenant_id,
            AuditCheckpoint.size > begin,
            AuditCheckpoint.size <= end,
        )
    )
    return {row.size: row for row in rows}


def _until(record: AuditRecord) -> int:
    # As it lies in the database: nobody of ours records another kind.
    data: Any = record.data
    said = data.get("until_seq") if isinstance(data, dict) else None
    return said if isinstance(said, int) else 0


def _is_searched_as_it_says(record: AuditRecord) -> bool:
    """Whether the columns that the database makes of the data are still made of it.

    No MAC is over them: who makes others of them hides a record from whoever looks for it.
    """
    for column in _NAMED:
        said: Any = named_in(record.data, column.key)
        found = getattr(record, column.key)
        # Of what is no text the databases have spellings of their own.
        if (said is None or isinstance(said, str)) and said != found:
            return False
    return True


def _setting(row: RetentionRow) -> dict[str, Any]:
    return {
        "keep_days": row.keep_days,
        "updated_at": row.updated_at.isoformat(),
        "updated_by": row.updated_by,
    }


def _tiles_between(begin: int, end: int) -> set[TileId]:
    """The tiles that hold a node which a leaf from ``begin`` up to ``end`` completes."""
    found = set()
    level = 0
    while end >> HEIGHT * level:
        first, last = begin >> HEIGHT * level, (end >> HEIGHT * level) - 1
        found |= {TileId(level, number) for number in range(first // WIDTH, last // WIDTH + 1)}
        level += 1
    return found


def _row_bytes(said: Mapping[str, Any]) -> bytes:
    plain = {
        name: value.hex() if isinstance(value, bytes) else value for name, value in said.items()
    }
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def findings_of(rows: Sequence[Sequence[Any]]) -> list[Finding]:
    """Findings as a verification's row keeps them."""
    return [Finding(by, seq, detail) for by, seq, detail in rows]
