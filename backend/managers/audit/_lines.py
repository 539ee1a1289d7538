"""A tenant's trail as lines of JSON, for whoever verifies it elsewhere (docs/formats/audit.md)."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import sqlalchemy as sa

from backend.core.audit import AuditHead, AuditRecord, RecordMaker, leaf_bytes
from backend.core.database import ReadTx
from backend.managers.audit._checkpoints import load_tiles
from backend.managers.audit._tree import HASH_BYTES, WIDTH, TileId
from backend.managers.audit.models import AuditCheckpoint, RetentionRow
from backend.managers.audit.offline import FORMAT

_PAGE: Final = 500
_TILES: Final = 16


class TrailLines:
    """Everything that there is of a trail, as it is stored: what is wrong with it comes along."""

    def __init__(self, maker: RecordMaker) -> None:
        self._maker = maker

    def mac_key(self, tenant_id: str) -> bytes:
        """What a tenant's records are sealed under now: a secret, for auditors who hold one."""
        return self._maker.keys_of(tenant_id)[0]

    async def all(self, tx: ReadTx) -> AsyncIterator[str]:
        """The lines of the tenant's trail, each with its newline: a head, then the records.

        Of those that retention let go there are leaf hashes, before the first that is kept.
        In the order of their numbers, those below 1 first and those without one last, read by
        pages of the transaction's one moment.
        """
        head = await tx.scalar(sa.select(AuditHead).where(AuditHead.tenant_id == tx.tenant_id))
        note = await tx.scalar(
            sa.select(AuditCheckpoint.note)
            .where(AuditCheckpoint.tenant_id == tx.tenant_id)
            .order_by(AuditCheckpoint.size.desc())
            .limit(1)
        )
        gone = await tx.scalar(
            sa.select(RetentionRow).where(RetentionRow.tenant_id == tx.tenant_id)
        )
        yield _line(
            {
                "format": FORMAT,
                "version": 1,
                "tenant": tx.tenant_id,
                "head": _head(head) if head else None,
                "checkpoints": [note] if note else [],
                "removed": gone.statement if gone else None,
            }
        )
        for first in range(0, gone.removed_seq if gone else 0, _TILES * WIDTH):
            numbers = range(first // WIDTH, first // WIDTH + _TILES)
            tiles = await load_tiles(tx, tx.tenant_id, [TileId(0, number) for number in numbers])
            held = b"".join(tiles.get(TileId(0, number), b"") for number in numbers)
            leaves = held[: (gone.removed_seq - first) * HASH_BYTES]
            yield _line({"from": first + 1, "leaves": base64.b64encode(leaves).decode()})
        own = AuditRecord.tenant_id == tx.tenant_id
        numbered = sa.select(AuditRecord).where(own, AuditRecord.seq.is_not(None))
        after: int | None = None
        while True:
            page = numbered if after is None else numbered.where(AuditRecord.seq > after)
            rows = await tx.scalars(page.order_by(AuditRecord.seq).limit(_PAGE))
            for row in rows:
                yield _line(_record(row))
            if len(rows) < _PAGE:
                break
            after = rows[-1].seq
        last = ""
        while True:
            page = sa.select(AuditRecord).where(own, AuditRecord.seq.is_(None))
            if last:
                page = page.where(AuditRecord.id > last)
            rows = await tx.scalars(page.order_by(AuditRecord.id).limit(_PAGE))
            for row in rows:
                yield _line(_record(row))
            if len(rows) < _PAGE:
                return
            last = rows[-1].id


def _head(head: AuditHead) -> dict[str, Any]:
    return {
        "seq": head.seq,
        "hash": head.chain_hash.hex(),
        "unsealed_seq": head.unsealed_seq,
        "mac": head.mac.hex() if head.mac is not None else None,
    }


def _record(row: AuditRecord) -> dict[str, Any]:
    leaf: dict[str, Any] = json.loads(leaf_bytes(row))
    return {
        "seq": row.seq,
        **leaf,
        "hash": row.chain_hash.hex() if row.chain_hash is not None else None,
        "mac": row.mac.hex() if row.mac is not None else None,
    }


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
