"""The audit trail: append-only rows, and the sequencer that links them into a chain per tenant.

A request only appends (its row commits with its change and takes no shared lock). Within a second
the sequencer gives committed rows a gap-free ``seq`` per tenant and the hash that links them:

* leaf bytes: the canonical JSON of :func:`leaf_bytes`, fixed from the first release;
* ``leaf_hash  = SHA-256(0x00 || leaf bytes)``, the leaf of RFC 6962 section 2.1, so that a
  Merkle tree can later stand over the same leaves;
* ``chain_hash = SHA-256(0x01 || previous chain_hash || seq as 8 bytes big-endian || leaf_hash)``,
  the first link following 32 zero bytes.

Triggers refuse every change of a row but the one that sets its seq for the first time.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.core.database import Base, Database, Id, SystemScope, TenantOwned, Tx
from backend.core.events import EventHead, EventRecord, find_unnumbered, lock_heads, number
from backend.core.ids import uuid7

GENESIS: Final = bytes(32)
_MAX_DATA_BYTES: Final = 8192
# As for events: SQLite takes an index without statistics for a large one.
_WAITING: Final = "INDEXED BY ix_audit_records_unsequenced"


class AuditRecord(TenantOwned, Base):
    """One act: who did what to which thing, when, in which request."""

    __tablename__ = "audit_records"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    data: Mapped[dict[str, Any]]
    request_id: Mapped[str]
    seq: Mapped[int | None]
    chain_hash: Mapped[bytes | None]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "seq"),
        # What the trail is searched by, each with the order of its pages.
        *(
            sa.Index(
                f"ix_audit_records_{column}",
                "tenant_id",
                column,
                "id",
                postgresql_ops={column: "text_pattern_ops"},
            )
            for column in ("action", "actor", "target")
        ),
        sa.Index(
            "ix_audit_records_unsequenced",
            "id",
            sqlite_where=sa.text("seq IS NULL"),
            postgresql_where=sa.text("seq IS NULL"),
        ),
    )


class AuditHead(TenantOwned, Base):
    """The last link of one tenant's chain; locked while the next ones are forged."""

    __tablename__ = "audit_heads"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    seq: Mapped[int]
    chain_hash: Mapped[bytes]


SEQUENCER: Final = Errand(
    "core.sequencer", tables_of(AuditRecord, AuditHead, EventRecord, EventHead)
)
"""Numbering and linking what all tenants' transactions left."""


def audit_row(
    tx: Tx, action: str, target: str, tenant_id: str | None, data: dict[str, Any]
) -> tuple[type[AuditRecord], dict[str, Any]]:
    """Build the row that :meth:`Tx.audit` appends to its transaction."""
    _refuse_uncanonical(data)
    return AuditRecord, {
        "id": uuid7(),
        "tenant_id": tenant_id or tx.tenant_id,
        "at": tx.now(),
        "actor": tx.scope.actor,
        "action": action,
        "target": target,
        "data": data,
        "request_id": tx.scope.request_id,
        "seq": None,
        "chain_hash": None,
    }


def _refuse_uncanonical(data: Any, depth: int = 0) -> None:
    """Only values with one canonical JSON form: floats have several, so they are refused."""
    if isinstance(data, dict):
        for key, value in data.items():
            if not (isinstance(key, str) and key.isascii()):
                msg = f"audit data key {key!r} is not ASCII text"
                raise TypeError(msg)
            _refuse_uncanonical(value, depth + 1)
    elif isinstance(data, list | tuple):
        for value in data:
            _refuse_uncanonical(value, depth + 1)
    elif not (data is None or isinstance(data, str | int | bool)):
        msg = f"audit data may not hold {type(data).__name__}"
        raise TypeError(msg)
    if depth == 0 and len(json.dumps(data)) > _MAX_DATA_BYTES:
        msg = "audit data over 8 KiB"
        raise ValueError(msg)


def leaf_bytes(record: AuditRecord) -> bytes:
    """The canonical bytes of a record, version 1: the JSON canonicalisation of RFC 8785.

    Members: ``v`` (1), ``id``, ``tenant``, ``at`` (RFC 3339 UTC, six decimals, ``Z``), ``actor``,
    ``action``, ``target``, ``request_id``, ``data``. Sorted keys, no white space, UTF-8. Data holds
    no floats and ASCII keys only, so Python's encoder and RFC 8785 agree byte for byte.
    """
    at = record.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    leaf = {
        "v": 1,
        "id": str(record.id),
        "tenant": str(record.tenant_id),
        "at": at,
        "actor": record.actor,
        "action": record.action,
        "target": record.target,
        "request_id": record.request_id,
        "data": record.data,
    }
    return json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def link(previous: bytes, seq: int, record: AuditRecord) -> bytes:
    """The chain hash of ``record`` as number ``seq`` after the link ``previous``."""
    leaf = hashlib.sha256(b"\x00" + leaf_bytes(record)).digest()
    return hashlib.sha256(b"\x01" + previous + seq.to_bytes(8, "big") + leaf).digest()


async def sequence(database: Database, limit: int = 500, events: int = 2000) -> int:
    """Number up to ``limit`` committed audit records and ``events`` events; returns how many.

    On SQLite all other writers wait for a pass: larger ones would be felt. A record is hashed and
    changed by itself, events are numbered by one statement.

    One pass and one commit for both. Safe to run in several processes: the heads are locked before
    the rows are read again, so a second sequencer finds nothing left. A row that commits late is
    numbered late; order within a chain is the order of sequencing, and ``at`` keeps the order of
    acting.
    """
    scope = SystemScope(SEQUENCER)
    async with database.read(scope) as view:
        waiting = await view.scalars(
            sa.select(AuditRecord.tenant_id)
            .with_hint(AuditRecord, _WAITING, "sqlite")
            .where(AuditRecord.seq.is_(None))
            .order_by(AuditRecord.id)
            .limit(limit)
        )
        unnumbered = await find_unnumbered(view, events)
    if not waiting and not unnumbered:
        return 0
    async with database.transaction(scope) as tx:
        linked = await _link_waiting(tx, sorted(set(waiting)), limit) if waiting else 0
        return linked + (await number(tx, unnumbered, events) if unnumbered else 0)


async def _link_waiting(tx: Tx, tenants: list[str], limit: int) -> int:
    heads = await lock_heads(tx, AuditHead, tenants, {"seq": 0, "chain_hash": GENESIS})
    # Read after the heads are locked: what another sequencer linked meanwhile is gone from here.
    records = await tx.scalars(
        sa.select(AuditRecord)
        .with_hint(AuditRecord, _WAITING, "sqlite")
        .where(AuditRecord.seq.is_(None), AuditRecord.tenant_id.in_(tenants))
        .order_by(AuditRecord.id)
        .limit(limit)
    )
    for record in records:
        head = heads[record.tenant_id]
        record.chain_hash = head.chain_hash = link(head.chain_hash, head.seq + 1, record)
        record.seq = head.seq = head.seq + 1
    return len(records)
