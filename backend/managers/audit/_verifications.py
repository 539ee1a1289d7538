"""Looks at whole trails, as jobs: begun by somebody, done by a worker, seen while they go on."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from backend.core.audit import AuditHead
from backend.core.columns import tables_of
from backend.core.context import Errand, Scope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.managers.audit._tree import Frontier, OutOfTreeError
from backend.managers.audit._verify import Finding, Progress, Verifying, findings_of
from backend.managers.audit.errors import VerificationNotFoundError
from backend.managers.audit.models import AuditVerification
from backend.managers.orchestrator import Batch, Claim, JobKind, OrchestratorManager, Outcome

logger = logging.getLogger(__name__)

JOB: Final = "audit.verify"
FORGET: Final = Errand("audit.forget_verifications", tables_of(AuditVerification))
"""Forgetting looks of long ago."""
_PAGES_A_STEP: Final = 20
_BITE: Final = 500
# A million records take minutes; what a worker did not end another one goes on with.
_SECONDS: Final = 3600.0
_ATTEMPTS: Final = 20

State = Literal["waiting", "running", "held", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Verification:
    """One look at a trail.

    Attributes:
        state: ``held`` and ``failed`` are verdicts; ``stopped``: there is none.
        from_size: So many records had held before, and were not looked at again.
        size: So many records are behind it now.
        target_size: So many there were when it began.
    """

    id: str
    state: State
    from_size: int
    size: int
    target_size: int
    findings: Sequence[Finding]
    created_by: str
    created_at: datetime
    finished_at: datetime | None


class Verifications:
    """Begins, does and shows them."""

    def __init__(self, verifying: Verifying, jobs: OrchestratorManager) -> None:
        self._verifying = verifying
        self._jobs = jobs

    async def start(self, tx: Tx, *, full: bool = False) -> Verification:
        """Have the trail looked at, from where the last look that held has ended.

        Args:
            tx: The tenant's.
            full: From the first record on, whatever was found before.

        Raises:
            StockReachedError: As many jobs wait as the tenant's quota allows.
        """
        begin = Progress() if full else await self.last_held(tx)
        head = await tx.scalar(sa.select(AuditHead).where(AuditHead.tenant_id == tx.tenant_id))
        row = AuditVerification(
            id=uuid7(),
            tenant_id=tx.tenant_id,
            state="waiting",
            from_size=begin.size,
            target_size=head.seq if head else 0,
            created_by=tx.scope.actor,
            created_at=tx.now(),
            finished_at=None,
            **_kept(begin),
        )
        self._seal(row)
        tx.session.add(row)
        await self._jobs.submit(
            tx,
            JOB,
            args={"verification": row.id},
            subject=f"audit_verification:{row.id}",
            max_attempts=_ATTEMPTS,
            timeout_seconds=_SECONDS,
        )
        tx.audit(
            "audit_verification.started", f"audit_verification:{row.id}", from_size=row.from_size
        )
        return _value(row)

    async def get(self, tx: ReadTx, verification_id: str) -> Verification:
        """One of the tenant's.

        Raises:
            VerificationNotFoundError: It has none of this id.
        """
        return _value(await _find(tx, verification_id))

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[Verification]:
        """The tenant's, newest first, at most ``limit + 1``."""
        query = sa.select(AuditVerification).where(AuditVerification.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, AuditVerification.id, limit, before_id))
        return [_value(row) for row in rows]

    async def last_held(self, tx: ReadTx) -> Progress:
        """Where the last look that held has ended, if it is one of ours; else the beginning."""
        row = await tx.scalar(
            sa.select(AuditVerification)
            .where(AuditVerification.tenant_id == tx.tenant_id, AuditVerification.state == "held")
            .order_by(AuditVerification.id.desc())
            .limit(1)
        )
        if row is None or not self._is_ours(row):
            return Progress()
        return Progress(row.size, row.chain_hash, Frontier(row.size, row.frontier))

    async def sweep(self, tx: Tx, keep_days: int) -> int:
        """Forget some looks that ended so many days ago; the last of each trail that held stays.

        It is where the next look begins. Returns how many went.
        """
        later = aliased(AuditVerification)
        is_followed = (
            sa.select(later.id)
            .where(
                later.tenant_id == AuditVerification.tenant_id,
                later.id > AuditVerification.id,
                later.state == "held",
            )
            .exists()
        )
        rows = await tx.scalars(
            sa.select(AuditVerification)
            .where(
                AuditVerification.finished_at <= tx.now() - timedelta(days=keep_days),
                sa.or_(AuditVerification.state != "held", is_followed),
            )
            .order_by(AuditVerification.finished_at)
            .limit(_BITE)
            .with_for_update(skip_locked=True)
        )
        for row in rows:
            await tx.session.delete(row)
        return len(rows)

    # --- the job ---------------------------------------------------------------------------------

    def kind(self, database: Database) -> JobKind:
        """The kind of job that looks."""

        async def run(batch: Batch) -> None:
            (claim,) = batch.claims
            await self._run(database, batch, claim)

        return JobKind(
            JOB, run, on_dead=self._on_dead, on_cancel=self._on_cancel, on_retry=_on_retry
        )

    async def _run(self, database: Database, batch: Batch, claim: Claim) -> None:
        """Look to the end, keeping the place every few thousand records."""
        scope = Scope("system:audit", claim.tenant_id, traceparent=claim.traceparent)
        name = str(claim.args["verification"])
        while not (batch.is_stopping or batch.is_cancelled(claim)):
            async with database.read(scope) as view:
                row = await _find(view, name)
                if row.finished_at is not None:
                    batch.finish(claim, Outcome.done({"already": row.state}))
                    return
                progress = self._resume(row)
                more = True
                for _ in range(_PAGES_A_STEP):
                    more = more and await self._verifying.walk(view, progress, _NO_END)
                if not more:
                    await self._verifying.finish(view, progress)
            async with database.transaction(scope) as tx:
                row = await _find(tx, name)
                self._keep(row, progress)
                if not more:
                    self._end(tx, row, "failed" if progress.findings else "held")
            if not more:
                batch.finish(claim, Outcome.done({"valid": not progress.findings}))
                return

    def _resume(self, row: AuditVerification) -> Progress:
        """Where the row says that we are; at the beginning when none of us has said so."""
        if not self._is_ours(row):
            begun = Progress()
            begun.note("mac", None, "what was kept of this verification is none of ours")
            return begun
        frontier = Frontier(row.size, row.frontier)
        return Progress(row.from_size, row.chain_hash, frontier, findings_of(row.findings))

    def _keep(self, row: AuditVerification, progress: Progress) -> None:
        for name, value in _kept(progress).items():
            setattr(row, name, value)
        row.from_size, row.state = progress.from_size, "running"
        self._seal(row)

    def _end(self, tx: Tx, row: AuditVerification, state: State) -> None:
        row.state, row.finished_at = state, tx.now()
        self._seal(row)
        target = f"audit_verification:{row.id}"
        valid = {"held": True, "failed": False}.get(state)
        first = min((seq for _, seq, _ in row.findings if seq is not None), default=None)
        told: dict[str, Any] = {"valid": valid, "records": row.size, "first_invalid_seq": first}
        tx.audit("audit_verification.finished", target, **told)
        tx.emit("audit_verification.finished", target, **told)
        if valid is False:
            logger.error(
                "audit_trail_does_not_hold",
                extra={"tenant_id": row.tenant_id, "first_invalid_seq": first},
            )

    async def _on_dead(self, tx: Tx, dead: Sequence[tuple[Claim, str]]) -> None:
        await self._stop(tx, [claim for claim, _ in dead])

    async def _on_cancel(self, tx: Tx, claims: Sequence[Claim]) -> None:
        await self._stop(tx, claims)

    async def _stop(self, tx: Tx, claims: Sequence[Claim]) -> None:
        for claim in claims:
            row = await _find(tx, str(claim.args["verification"]))
            if row.finished_at is None:
                self._end(tx, row, "stopped")

    def _seal(self, row: AuditVerification) -> None:
        row.mac = self._verifying.seal(row.tenant_id, _said(row))

    def _is_ours(self, row: AuditVerification) -> bool:
        if not self._verifying.is_ours(row.tenant_id, _said(row), row.mac):
            return False
        try:
            Frontier(row.size, row.frontier)
        except OutOfTreeError:
            return False
        return True


_NO_END: Final = 2**62


async def _on_retry(tx: Tx, claims: Sequence[Claim]) -> None:
    for claim in claims:
        row = await _find(tx, str(claim.args["verification"]))
        row.finished_at = None


async def _find(tx: ReadTx, verification_id: str) -> AuditVerification:
    row: AuditVerification | None = await tx.scalar(
        sa.select(AuditVerification).where(
            AuditVerification.tenant_id == tx.tenant_id, AuditVerification.id == verification_id
        )
    )
    if row is None:
        raise VerificationNotFoundError
    return row


def _kept(progress: Progress) -> dict[str, Any]:
    return {
        "size": progress.size,
        "chain_hash": progress.chain_hash,
        "frontier": progress.frontier.parts,
        "findings": [[one.by, one.seq, one.detail] for one in progress.findings],
    }


def _said(row: AuditVerification) -> Mapping[str, Any]:
    """What the MAC of a row is over: all that a look goes on from, and its verdict."""
    return {
        "id": row.id,
        "held": row.state == "held",
        "from_size": row.from_size,
        "size": row.size,
        "chain_hash": row.chain_hash,
        "frontier": row.frontier,
        "findings": row.findings,
    }


def _value(row: AuditVerification) -> Verification:
    return Verification(
        row.id,
        cast("State", row.state),
        row.from_size,
        row.size,
        row.target_size,
        findings_of(row.findings),
        row.created_by,
        row.created_at,
        row.finished_at,
    )
