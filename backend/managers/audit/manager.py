"""Rules for the audit trail: reading it, and proving that nobody touched it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from backend.core.audit import GENESIS, AuditHead, AuditRecord, link
from backend.core.database import ReadTx
from backend.core.paging import Side, hidden, matches, newest_of

_VERIFY_PAGE: Final = 250


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One audit record as readers see it; ``seq`` and ``hash`` follow within a second."""

    id: str
    seq: int | None
    at: datetime
    actor: str
    action: str
    target: str
    data: Mapping[str, Any]
    request_id: str
    hash: str | None


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What verifying one tenant's whole chain found."""

    valid: bool
    records: int
    head_seq: int
    head_hash: str | None
    first_invalid_seq: int | None
    unsequenced: int


class AuditManager:
    """Reads and proves the trail that every transaction writes (:mod:`backend.core.audit`)."""

    async def list_records(
        self,
        tx: ReadTx,
        *,
        limit: int,
        before_id: str | None = None,
        action: str | None = None,
        actor: str | None = None,
        target: str | None = None,
    ) -> list[AuditEntry]:
        """Newest first, at most ``limit + 1`` so that the caller sees whether there is more.

        ``action``, ``actor`` and ``target`` match exactly, or as a prefix when they end in ``*``.
        """
        own = AuditRecord.tenant_id == tx.tenant_id
        sides = []
        for column, wanted in (
            (AuditRecord.action, action),
            (AuditRecord.actor, actor),
            (AuditRecord.target, target),
        ):
            if wanted is not None and wanted != "*":
                condition, exact = matches(tx, column, wanted)
                check, _ = matches(tx, hidden(column), wanted)
                sides.append(Side(AuditRecord.id, sa.and_(own, condition), check, column, exact))
        query = sa.select(AuditRecord).where(own)
        rows = await tx.scalars(await newest_of(tx, query, AuditRecord.id, sides, limit, before_id))
        return [_entry(row) for row in rows]

    async def verify_chain(self, tx: ReadTx) -> ChainReport:
        """Recompute every link of the tenant's chain from the stored rows.

        Finds altered, missing, reordered and truncated records. Whoever can also rewrite the
        head and every link after a change can forge a whole chain: keep the head hash elsewhere.
        """
        head = await tx.scalar(sa.select(AuditHead).where(AuditHead.tenant_id == tx.tenant_id))
        expected_seq, previous, bad = 0, GENESIS, None
        while bad is None:
            page = await tx.scalars(
                sa.select(AuditRecord)
                .where(AuditRecord.tenant_id == tx.tenant_id, AuditRecord.seq > expected_seq)
                .order_by(AuditRecord.seq)
                .limit(_VERIFY_PAGE)
            )
            if not page:
                break
            for record in page:
                if (
                    record.seq != expected_seq + 1
                    or link(previous, record.seq, record) != record.chain_hash
                ):
                    bad = expected_seq + 1
                    break
                expected_seq, previous = record.seq, record.chain_hash
        head_seq = head.seq if head else 0
        if bad is None and (expected_seq != head_seq or (head and head.chain_hash != previous)):
            bad = min(expected_seq, head_seq) + 1
        waiting = await tx.scalar(
            sa.select(sa.func.count())
            .select_from(AuditRecord)
            .where(AuditRecord.tenant_id == tx.tenant_id, AuditRecord.seq.is_(None))
        )
        return ChainReport(
            valid=bad is None,
            records=expected_seq,
            head_seq=head_seq,
            head_hash=head.chain_hash.hex() if head else None,
            first_invalid_seq=bad,
            unsequenced=int(waiting),
        )

    async def count_unsequenced(self, tx: ReadTx) -> Mapping[str, int]:
        """Committed records of all tenants that wait for their number; needs a system errand."""
        # By id: it stands in the index of those, and not in the one of all numbers.
        query = sa.select(sa.func.count(AuditRecord.id)).where(AuditRecord.seq.is_(None))
        return {"": int(await tx.scalar(query))}


def _entry(row: AuditRecord) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        action=row.action,
        target=row.target,
        data=row.data,
        request_id=row.request_id,
        hash=row.chain_hash.hex() if row.chain_hash else None,
    )
