"""Rules for the audit trail: reading it, and proving that nobody touched it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from backend.core.audit import AuditHead, AuditRecord, RecordMaker
from backend.core.database import ReadTx
from backend.kit.outbound import Outbound
from backend.managers.audit import _search
from backend.managers.audit._checkpoints import Checkpoints
from backend.managers.audit._export import Exports
from backend.managers.audit._lines import TrailLines
from backend.managers.audit._publishing import Publishing
from backend.managers.audit._push import FAILING, Streams
from backend.managers.audit._retention import Retention
from backend.managers.audit._search import AuditEntry, Facets, Found, Wanted
from backend.managers.audit._tree import OutOfTreeError
from backend.managers.audit._verifications import Verifications
from backend.managers.audit._verify import Finding, Progress, Verifying
from backend.managers.audit.errors import StreamsFailingError
from backend.managers.audit.models import StreamRow
from backend.managers.audit.settings import AuditSettings
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.security import SecurityManager

_NO_END: Final = 2**62


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
        removed_seq: Records up to this number were let go, as a signature says; 0: none.
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
    removed_seq: int
    findings: tuple[Finding, ...]


class AuditManager:
    """Reads and proves the trail that every transaction writes (:mod:`backend.core.audit`).

    Attributes:
        checkpoints: The signed states of the tenants' trees, and proofs from them.
        publishing: Hands what was signed to places outside.
        verifying: Looks at a trail's rows.
        verifications: Looks at whole trails, as jobs.
        lines: A trail as lines, for who verifies it elsewhere.
        exports: Files of records.
        streams: Where tenants have their trails pushed to.
        retention: How long trails are kept.
    """

    def __init__(
        self,
        maker: RecordMaker,
        security: SecurityManager,
        jobs: OrchestratorManager,
        outbound: Outbound,
        settings: AuditSettings,
    ) -> None:
        """Build it of what it works with; no I/O.

        Args:
            maker: Makes and knows this installation's records.
            security: Has the keys that sign what is said of a tree, and that seal.
            jobs: Where what takes long is done.
            outbound: The way to who is handed checkpoints and records.
            settings: Of the room.
        """
        self.settings = settings
        self.checkpoints = Checkpoints(maker, security.audit_signing_seed, settings)
        self.publishing = Publishing(outbound, settings)
        self.verifying = Verifying(maker, self.checkpoints)
        self.verifications = Verifications(self.verifying, jobs)
        self.lines = TrailLines(maker)
        self._reveal = security.subjects.reveal
        self.exports = Exports(jobs, settings.exports_each, self._reveal)
        self.streams = Streams(security, outbound, settings)
        self.retention = Retention(self.verifying, self.checkpoints, self.publishing, settings)

    async def count_behind(self, tx: ReadTx) -> Mapping[str, int]:
        """Records that streams have not brought away yet, of all tenants; needs an errand."""
        behind = sa.func.sum(AuditHead.seq - StreamRow.seq)
        query = sa.select(behind).join(StreamRow, StreamRow.tenant_id == AuditHead.tenant_id)
        return {"": int(await tx.scalar(query) or 0)}

    async def check_streams(self, tx: ReadTx) -> str:
        """Say how many streams there are; needs a system errand.

        Raises:
            StreamsFailingError: Some have failed three times in a row.
        """
        streams, failing = (
            await tx.execute(
                sa.select(
                    sa.func.count(),
                    sa.func.coalesce(
                        sa.func.sum(sa.case((StreamRow.failures >= FAILING, 1), else_=0)), 0
                    ),
                ).select_from(StreamRow)
            )
        ).one()
        if failing:
            raise StreamsFailingError(f"{failing} of {streams} fail")
        return f"{streams} set up"

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
        """As :meth:`search`, for who asks by act, actor and target alone."""
        wanted = Wanted(action=action, actor=actor, target=target)
        return list((await self.search(tx, wanted, limit=limit, before_id=before_id)).entries)

    async def search(
        self, tx: ReadTx, wanted: Wanted, *, limit: int, before_id: str | None = None
    ) -> Found:
        """Find records, newest first, at most ``limit + 1``; each filter starts from an index.

        Raises:
            RangeNeededError: There are words and no range of time, or one of more than 92 days.
        """
        reveal = self._reveal
        return await _search.search(tx, wanted, reveal, limit=limit, before_id=before_id)

    async def count_records(self, tx: ReadTx, wanted: Wanted) -> Facets:
        """Count acts, actors and times of the newest ten thousand records that are wanted.

        Raises:
            RangeNeededError: The range is longer than 92 days.
        """
        return await _search.count(tx, wanted)

    async def verify_chain(self, tx: ReadTx, *, limit: int | None = None) -> ChainReport:
        """Look at the tenant's trail: all of it, or as much of it as ``limit`` allows.

        A trail that is longer is looked at from where the last verification ended that held, or
        else from its beginning. Whole looks at long trails are :attr:`verifications`.
        """
        head = await tx.scalar(sa.select(AuditHead).where(AuditHead.tenant_id == tx.tenant_id))
        long = limit is not None and head is not None and head.seq > limit
        floor = await self.verifying.floor(tx)
        progress = await self.verifications.last_held(tx) if long else Progress()
        if long and floor is not None and progress.size < floor.seq:
            with suppress(OutOfTreeError):
                # What is left of those before are leaves, which whole looks go over.
                progress = await self.verifying.at_floor(tx)
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
            removed_seq=floor.seq if floor else 0,
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
