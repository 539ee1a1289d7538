"""Rules for the audit trail: reading it, and proving that nobody touched it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from backend.core.audit import AuditHead, AuditRecord, RecordMaker
from backend.core.database import ReadTx
from backend.core.paging import Side, hidden, matches, newest_of
from backend.kit.outbound import Outbound
from backend.managers.audit._checkpoints import Checkpoints
from backend.managers.audit._exports import Exports
from backend.managers.audit._verifications import Verifications
from backend.managers.audit._verify import Finding, Progress, Verifying
from backend.managers.audit.settings import AuditSettings
from backend.managers.orchestrator import OrchestratorManager

_NO_END: Final = 2**62


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
    """What verifying one tenant's chain found.

    Attributes:
        valid: Nothing was found.
        records: So many of the trail's records hold, from the first on.
        head_seq: What the chain ends at, as its head says.
        head_hash: The head's hash, hex.
        first_invalid_seq: The smallest number that something was found at.
        unsequenced: Committed records that wait for their number.
        from_seq: The first record that was looked at; those before it had held already.
        complete: The look went to the end of the chain.
        findings: What does not hold, and what found it.
    """

    valid: bool
    records: int
    head_seq: int
    head_hash: str | None
    first_invalid_seq: int | None
    unsequenced: int
    from_seq: int
    complete: bool
    findings: tuple[Finding, ...]


class AuditManager:
    """Reads and proves the trail that every transaction writes (:mod:`backend.core.audit`).

    Attributes:
        checkpoints: The signed states of the tenants' trees, and proofs from them.
        verifying: Looks at a trail's rows.
        verifications: Looks at whole trails, as jobs.
        exports: A trail as lines, for who verifies it elsewhere.
    """

    def __init__(
        self,
        maker: RecordMaker,
        seed_of: Callable[[str], bytes],
        jobs: OrchestratorManager,
        outbound: Outbound,
        settings: AuditSettings,
    ) -> None:
        """Build it of what it works with; no I/O.

        Args:
            maker: Makes and knows this installation's records.
            seed_of: A tenant's Ed25519 seed, which signs what is said of its tree.
            jobs: Where verifications are done.
            outbound: The way to who is handed checkpoints.
            settings: Of the room.
        """
        self.settings = settings
        self.checkpoints = Checkpoints(maker, seed_of, outbound, settings)
        self.verifying = Verifying(maker, self.checkpoints)
        self.verifications = Verifications(self.verifying, jobs)
        self.exports = Exports(maker)

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

    async def verify_chain(self, tx: ReadTx, *, limit: int | None = None) -> ChainReport:
        """Look at the tenant's trail: all of it, or as much of it as ``limit`` allows.

        A trail that is longer is looked at from where the last verification ended that held, or
        else from its beginning. Whole looks at long trails are :attr:`verifications`.
        """
        head = await tx.scalar(sa.select(AuditHead).where(AuditHead.tenant_id == tx.tenant_id))
        long = limit is not None and head is not None and head.seq > limit
        progress = await self.verifications.last_held(tx) if long else Progress()
        until = progress.size + limit if long and limit is not None else _NO_END
        while await self.verifying.walk(tx, progress, until):
            pass
        head_seq = head.seq if head else 0
        complete = not long or progress.size >= head_seq or bool(progress.findings)
        await self.verifying.finish(tx, progress, whole=complete)
        waiting = await tx.scalar(
            sa.select(sa.func.count())
            .select_from(AuditRecord)
            .where(AuditRecord.tenant_id == tx.tenant_id, AuditRecord.seq.is_(None))
        )
        bad = progress.first_invalid_seq
        return ChainReport(
            valid=not progress.findings,
            records=progress.size if bad is None else min(progress.size, bad - 1),
            head_seq=head_seq,
            head_hash=head.chain_hash.hex() if head else None,
            first_invalid_seq=bad,
            unsequenced=int(waiting),
            from_seq=progress.from_size + 1,
            complete=complete,
            findings=tuple(progress.findings),
        )

    async def list_trails(self, tx: ReadTx) -> list[str]:
        """The tenants that have a trail, by what there is of trails; needs the errand ENUMERATE.

        Not by the list of tenants: who was taken off that has a trail all the same. A few rows a
        tenant are read, whatever the trails' length.
        """
        found = set(await tx.scalars(sa.select(AuditHead.tenant_id)))
        after: str | None = None
        while True:
            query = sa.select(AuditRecord.tenant_id).order_by(AuditRecord.tenant_id).limit(1)
            if after is not None:
                query = query.where(AuditRecord.tenant_id > after)
            after = await tx.scalar(query)
            if after is None:
                return sorted(found)
            found.add(after)

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
