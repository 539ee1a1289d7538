"""The tree over each tenant's trail: grown and signed by ticks, and proved from.

The sequencer numbers; what is numbered becomes a leaf within seconds, here. Neither is in the way
of whoever acts. Nothing is built on what does not hold: a record whose MAC or link is wrong ends
the tree of its tenant there, and a tree that does not continue what was signed before is not signed
again. Both are told of in the log, and by the age of the newest checkpoint.

No act of these is recorded in the trail: each checkpoint would be the reason for the next.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from backend.core.audit import (
    GENESIS,
    AuditHead,
    AuditRecord,
    RecordMaker,
    leaf_bytes,
    leaf_hash,
    link_leaf,
    sequence_own,
)
from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.managers.audit import _tree
from backend.managers.audit._notes import NoteInvalidError, Signer, Verifier
from backend.managers.audit._tree import Frontier, Span, TileId
from backend.managers.audit.errands import GROW
from backend.managers.audit.errors import (
    CheckpointNotFoundError,
    CheckpointRefusedError,
    RecordNotFoundError,
    TreeSizeInvalidError,
)
from backend.managers.audit.models import AuditCheckpoint, AuditTile
from backend.managers.audit.settings import AuditSettings

logger = logging.getLogger(__name__)

_BITE: Final = 500
_TENANTS: Final = 1000
_BITES_NOW: Final = 20
_LEASE: Final = "audit.checkpoints"


@dataclass(frozen=True, slots=True)
class SignedTree:
    """A checkpoint: the note is the whole of it, the rest is what it says."""

    id: str
    size: int
    root: str
    note: str
    created_at: datetime
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class TrailState:
    """A trail at a moment.

    Attributes:
        seq: The number of its last record; 0: there is none.
        chain_hash: That record's link, hex.
        tree_size: Leaves of its tree, which is a second or so behind.
        tree_root: The tree's root of RFC 6962, hex; None: it has no leaf.
    """

    seq: int
    chain_hash: str
    tree_size: int
    tree_root: str | None


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That a record is the leaf of number ``seq - 1`` in a tree of ``size`` leaves.

    Hashes are hex. ``leaf`` is what the leaf's hash is of: the record's canonical bytes, as text.
    ``checkpoint`` is the note that signs this size, if one does.
    """

    record_id: str
    seq: int
    size: int
    leaf: str
    leaf_hash: str
    root: str
    hashes: Sequence[str]
    checkpoint: str | None


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the tree of ``old_size`` leaves is the beginning of that of ``size``; hashes are hex.

    ``old_checkpoint`` and ``checkpoint`` are the notes that sign either, if any do.
    """

    old_size: int
    old_root: str
    size: int
    root: str
    hashes: Sequence[str]
    old_checkpoint: str | None
    checkpoint: str | None


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What a tenant's checkpoints are verified with: a vkey of C2SP's signed notes."""

    name: str
    key_id: str
    vkey: str


class Checkpoints:
    """Grows, signs and proves."""

    def __init__(
        self,
        maker: RecordMaker,
        seed_of: Callable[[str], bytes],
        settings: AuditSettings,
    ) -> None:
        self._maker = maker
        self._seed_of = seed_of
        self._settings = settings
        self._refused: set[tuple[str, str]] = set()

    def signer(self, tenant_id: str) -> Signer:
        """Signs what is said of a tenant's tree."""
        return Signer(f"{self._settings.origin}/{tenant_id}", self._seed_of(tenant_id))

    def verifier(self, tenant_id: str) -> Verifier:
        """Knows the notes of a tenant's tree."""
        return self.signer(tenant_id).verifier

    # --- growing ---------------------------------------------------------------------------------

    async def grow(self, database: Database) -> int:
        """Make leaves of what was numbered since; returns how many. Safe in several processes."""
        grown = 0
        async with database.read(SystemScope(GROW)) as view:
            behind = await view.scalars(
                sa.select(AuditHead.tenant_id)
                .where(AuditHead.tree_size < AuditHead.seq)
                .order_by(AuditHead.tenant_id)
                .limit(_TENANTS)
            )
        for tenant_id in behind:
            bite = 1
            while bite:
                async with database.transaction(SystemScope(GROW)) as tx:
                    bite = await self._grow(tx, tenant_id)
                grown += bite
        return grown

    async def _grow(self, tx: Tx, tenant_id: str) -> int:
        head = await _lock_head(tx, tenant_id)
        size = head.tree_size
        rows = await tx.scalars(
            sa.select(AuditRecord)
            .where(
                AuditRecord.tenant_id == tenant_id,
                AuditRecord.seq >= max(size, 1),
                AuditRecord.seq <= size + _BITE,
            )
            .order_by(AuditRecord.seq)
        )
        previous, fresh = GENESIS, list(rows)
        if size:
            last = fresh.pop(0) if fresh and fresh[0].seq == size else None
            if last is None or last.chain_hash is None:
                return self._refuse(tenant_id, "the last leaf's record is gone")
            previous = last.chain_hash
        if not fresh:
            return 0
        leaves = []
        for seq, record in enumerate(fresh, size + 1):
            leaf = leaf_hash(record)
            previous = link_leaf(previous, seq, leaf)
            if record.seq != seq or previous != record.chain_hash:
                return self._refuse(tenant_id, f"record {seq} does not follow")
            if not self.is_ours(head, record):
                return self._refuse(tenant_id, f"record {seq} is none of ours")
            leaves.append(leaf)
        try:
            await store_leaves(tx, tenant_id, size, leaves)
        except _tree.OutOfTreeError as exc:
            return self._refuse(tenant_id, str(exc))
        head.tree_size = size + len(leaves)
        return len(leaves)

    def is_ours(self, head: AuditHead, record: AuditRecord) -> bool:
        """Whether a numbered record is one of ours, or from before there was a way to tell.

        How far back that is, is believed of a head whose MAC holds, or that has none yet.
        """
        if record.mac is None:
            if head.mac is None:
                return True
            before = head.unsealed_seq or 0
            return record.seq is not None and record.seq <= before and self._maker.holds_head(head)
        return self._maker.holds(record)

    def _refuse(self, tenant_id: str, reason: str) -> int:
        if (tenant_id, reason) not in self._refused:
            self._refused.add((tenant_id, reason))
            logger.error("audit_tree_refused", extra={"tenant_id": tenant_id, "reason": reason})
        return 0

    # --- signing ---------------------------------------------------------------------------------

    async def sign_due(self, database: Database) -> int:
        """Sign each tree that grew, once a period over all processes; returns how many."""
        signed = 0
        async with database.transaction(SystemScope(GROW)) as tx:
            # Nobody renews it: who comes first in a period has it.
            if not await tx.take_lease(_LEASE, uuid7(), 0.95 * self._settings.checkpoint_seconds):
                return 0
        async with database.read(SystemScope(GROW)) as view:
            due = await view.scalars(
                sa.select(AuditHead.tenant_id)
                .where(AuditHead.checkpoint_size < AuditHead.tree_size)
                .order_by(AuditHead.tenant_id)
                .limit(_TENANTS)
            )
        for tenant_id in due:
            async with database.transaction(SystemScope(GROW)) as tx:
                signed += await self._sign(tx, tenant_id)
        return signed

    async def _sign(self, tx: Tx, tenant_id: str) -> int:
        head = await _lock_head(tx, tenant_id)
        size, before = head.tree_size, head.checkpoint_size
        if size <= before:
            return 0
        signer = self.signer(tenant_id)
        try:
            if before:
                await self._hold_to(tx, tenant_id, before, signer.verifier)
            root = await root_at(tx, tenant_id, size)
        except (_tree.OutOfTreeError, NoteInvalidError) as exc:
            return self._refuse(tenant_id, str(exc))
        await tx.insert(
            AuditCheckpoint,
            [
                {
                    "tenant_id": tenant_id,
                    "id": uuid7(),
                    "size": size,
                    "root": root,
                    "note": signer.sign_checkpoint(size, root),
                    "created_at": tx.now(),
                    "published_at": None,
                }
            ],
        )
        head.checkpoint_size = size
        return 1

    async def state(self, tx: ReadTx) -> TrailState:
        """How far the transaction's tenant's trail is by now, and what it hashes to."""
        head = await _head(tx)
        if head is None:
            return TrailState(0, GENESIS.hex(), 0, None)
        root = await root_at(tx, tx.tenant_id, head.tree_size) if head.tree_size else None
        return TrailState(
            head.seq, head.chain_hash.hex(), head.tree_size, None if root is None else root.hex()
        )

    async def tree(self, tx: ReadTx) -> tuple[int, str | None]:
        """Of :meth:`state`, the tree alone: its leaves and its root."""
        state = await self.state(tx)
        return state.tree_size, state.tree_root

    async def sign_now(self, tx: Tx) -> SignedTree:
        """Sign the tenant's trail as it is, without waiting for the ticks; its newest checkpoint.

        A trail that is further behind than some thousand records is signed as far as that goes.

        Raises:
            CheckpointRefusedError: There is nothing to sign, or it does not hold.
        """
        await sequence_own(tx, self._maker)
        for _ in range(_BITES_NOW):
            if not await self._grow(tx, tx.tenant_id):
                break
        await self._sign(tx, tx.tenant_id)
        head = await _lock_head(tx, tx.tenant_id)
        row = await self._find(tx, head.tree_size) if head.tree_size else None
        if row is None or head.checkpoint_size != row.size:
            raise CheckpointRefusedError
        tx.audit("audit_checkpoint.signed", f"audit_checkpoint:{row.id}", size=row.size)
        return _signed(row)

    @staticmethod
    async def _hold_to(tx: Tx, tenant_id: str, size: int, verifier: Verifier) -> None:
        """Refuse to sign a tree that does not continue what was signed last."""
        last = await tx.scalar(
            sa.select(AuditCheckpoint).where(
                AuditCheckpoint.tenant_id == tenant_id, AuditCheckpoint.size == size
            )
        )
        if last is None:
            raise NoteInvalidError("the last checkpoint is gone")
        said = verifier.checkpoint(last.note)
        if said.size != size or said.root != await root_at(tx, tenant_id, size):
            raise NoteInvalidError("the tree does not continue what was signed")

    # --- proving ---------------------------------------------------------------------------------

    async def last_record(self, tx: ReadTx, size: int) -> str:
        """The id of the last record under a checkpoint of this size."""
        found = await tx.scalar(
            sa.select(AuditRecord.id).where(
                AuditRecord.tenant_id == tx.tenant_id, AuditRecord.seq == size
            )
        )
        return str(found)

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[SignedTree]:
        """The tenant's checkpoints, newest first, at most ``limit + 1``."""
        query = sa.select(AuditCheckpoint).where(AuditCheckpoint.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, AuditCheckpoint.id, limit, before_id))
        return [_signed(row) for row in rows]

    async def get(self, tx: ReadTx, size: int) -> SignedTree:
        """The tenant's checkpoint of this size.

        Raises:
            CheckpointNotFoundError: There is none.
        """
        row = await self._find(tx, size)
        if row is None:
            raise CheckpointNotFoundError
        return _signed(row)

    def public_key(self, tx: ReadTx) -> PublicKey:
        """What the tenant's checkpoints are verified with."""
        verifier = self.verifier(tx.tenant_id)
        return PublicKey(verifier.name, verifier.id.hex(), verifier.text)

    async def prove_inclusion(
        self, tx: ReadTx, record_id: str, size: int | None = None
    ) -> InclusionProof:
        """Prove that a record is in the tree, as it was at ``size`` or as it was last signed.

        Costs a few hashes and rows for each power of 32 of the size.

        Raises:
            RecordNotFoundError: The tenant has no such record, or it is no leaf yet.
            TreeSizeInvalidError: The tree never had that size, or not with this record.
        """
        record = await tx.scalar(
            sa.select(AuditRecord).where(
                AuditRecord.tenant_id == tx.tenant_id, AuditRecord.id == record_id
            )
        )
        head = await _head(tx)
        if record is None or record.seq is None or head is None or record.seq > head.tree_size:
            raise RecordNotFoundError
        if size is None:
            size = head.checkpoint_size
            # It came after the last signature: what there is speaks of it, unsigned.
            size = size if size >= record.seq else head.tree_size
        if not record.seq <= size <= head.tree_size:
            raise TreeSizeInvalidError
        spans = _tree.inclusion_spans(record.seq - 1, size)
        hashes = await _hashes(tx, [*spans, Span(0, size)])
        return InclusionProof(
            record.id,
            record.seq,
            size,
            leaf_bytes(record).decode(),
            leaf_hash(record).hex(),
            hashes.pop(),
            hashes,
            await self._note(tx, size),
        )

    async def prove_consistency(
        self, tx: ReadTx, old_size: int, size: int | None = None
    ) -> ConsistencyProof:
        """Prove that the tree only grew between two sizes; the newer one is the last signed.

        Raises:
            TreeSizeInvalidError: The tree never had one of them, or the old one is the larger.
        """
        head = await _head(tx)
        have = head.tree_size if head else 0
        if size is None:
            size = head.checkpoint_size if head else 0
        if not 1 <= old_size <= size <= have:
            raise TreeSizeInvalidError
        spans = _tree.consistency_spans(old_size, size)
        hashes = await _hashes(tx, [*spans, Span(0, old_size), Span(0, size)])
        root, old_root = hashes.pop(), hashes.pop()
        notes = await self._note(tx, old_size), await self._note(tx, size)
        return ConsistencyProof(old_size, old_root, size, root, hashes, *notes)

    @staticmethod
    async def _find(tx: ReadTx, size: int) -> AuditCheckpoint | None:
        found: AuditCheckpoint | None = await tx.scalar(
            sa.select(AuditCheckpoint).where(
                AuditCheckpoint.tenant_id == tx.tenant_id, AuditCheckpoint.size == size
            )
        )
        return found

    async def _note(self, tx: ReadTx, size: int) -> str | None:
        row = await self._find(tx, size)
        return row.note if row else None


async def store_leaves(tx: Tx, tenant_id: str, size: int, leaves: Sequence[bytes]) -> None:
    """Append leaf hashes to a tenant's tree of ``size`` leaves.

    Touches the last tile of each level, and what is new: how many there are makes no difference.

    Raises:
        OutOfTreeError: What is stored is no tree of this size.
    """
    tiles = _tree.append(size, await load_tiles(tx, tenant_id, _tree.edge_of(size)), leaves)
    for (level, number), hashes in sorted(tiles.items()):
        await tx.upsert(
            AuditTile,
            {"tenant_id": tenant_id, "level": level, "number": number, "hashes": hashes},
            conflict=["tenant_id", "level", "number"],
            update={"hashes": hashes},
        )


async def root_at(tx: ReadTx, tenant_id: str, size: int) -> bytes:
    """The root that a tenant's tiles have at a size.

    Raises:
        OutOfTreeError: They do not reach so far.
    """
    whole = Span(0, size)
    return _tree.hash_of(whole, await load_tiles(tx, tenant_id, _tree.tiles_of([whole])))


async def frontier_at(tx: ReadTx, tenant_id: str, size: int) -> Frontier:
    """What a reader of the first ``size`` leaves would keep, from the tiles alone.

    Raises:
        OutOfTreeError: They do not reach so far.
    """
    spans = [
        Span(node.position << node.height, (node.position + 1) << node.height)
        for node in _tree.nodes_of(Span(0, size))
    ]
    tiles = await load_tiles(tx, tenant_id, _tree.tiles_of(spans))
    return Frontier(size, b"".join(_tree.hash_of(span, tiles) for span in spans))


async def load_tiles(tx: ReadTx, tenant_id: str, wanted: Iterable[TileId]) -> dict[TileId, bytes]:
    """Those of these tiles that there are; one statement, by primary key."""
    keys = sorted(wanted)
    if not keys:
        return {}
    by_level: dict[int, list[int]] = {}
    for level, number in keys:
        by_level.setdefault(level, []).append(number)
    columns = (AuditTile.level, AuditTile.number, AuditTile.hashes)
    # Not by OR: SQLite then looks through all tiles of the tenant.
    found = await tx.execute(
        sa.union_all(
            *(
                sa.select(*columns).where(
                    AuditTile.tenant_id == tenant_id,
                    AuditTile.level == level,
                    AuditTile.number.in_(numbers),
                )
                for level, numbers in by_level.items()
            )
        )
    )
    return {TileId(level, number): hashes for level, number, hashes in found}


async def _hashes(tx: ReadTx, spans: Sequence[Span]) -> list[str]:
    tiles = await load_tiles(tx, tx.tenant_id, _tree.tiles_of(spans))
    return [_tree.hash_of(span, tiles).hex() for span in spans]


async def _head(tx: ReadTx) -> AuditHead | None:
    found: AuditHead | None = await tx.scalar(
        sa.select(AuditHead).where(AuditHead.tenant_id == tx.tenant_id)
    )
    return found


async def _lock_head(tx: Tx, tenant_id: str) -> AuditHead:
    head: AuditHead = await tx.scalar(
        sa.select(AuditHead).where(AuditHead.tenant_id == tenant_id).with_for_update()
    )
    return head


def _signed(row: AuditCheckpoint) -> SignedTree:
    return SignedTree(row.id, row.size, row.root.hex(), row.note, row.created_at, row.published_at)
