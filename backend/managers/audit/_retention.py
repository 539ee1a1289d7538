"""Letting old records go, so that what is kept is proved as before.

What goes are rows; their leaf hashes stay in the tiles, so every proof and every later checkpoint
is computed as ever. Each bite is looked at for a last time, link by link, and nothing goes that
does not hold: retention hides no tampering. What went is said by a note under the key that signs
checkpoints, and by a record in the trail; whoever deletes rows has neither.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from backend.core.audit import AuditHead, AuditRecord
from backend.core.columns import db_now
from backend.core.database import ReadTx, Tx
from backend.managers.audit._checkpoints import Checkpoints, root_at
from backend.managers.audit._notes import NoteInvalidError, Removal
from backend.managers.audit._publishing import Publishing
from backend.managers.audit._tree import OutOfTreeError
from backend.managers.audit._verify import REMOVED, Verifying
from backend.managers.audit.errors import RetentionTooShortError
from backend.managers.audit.models import AuditCheckpoint, RetentionRow, StreamRow
from backend.managers.audit.settings import AuditSettings

logger = logging.getLogger(__name__)

CHANGED: Final = "audit_retention.changed"
_BITE: Final = 500
_DAY_SECONDS: Final = 86_400.0
_EVERY: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Kept:
    """How long a trail is kept, and what of it is gone.

    Attributes:
        keep_days: Older records may go; None: never.
        least_days: What cannot be undercut.
        removed_seq: Records up to this number are gone; 0: none.
        removed_at: When the last of them went.
        statement: The signed note that says so.
        updated_at: When somebody said how long.
        updated_by: Who did.
    """

    keep_days: int | None
    least_days: int
    removed_seq: int
    removed_at: datetime | None
    statement: str | None
    updated_at: datetime | None
    updated_by: str | None


class Retention:
    """How long each tenant's trail is kept."""

    def __init__(
        self,
        verifying: Verifying,
        checkpoints: Checkpoints,
        publishing: Publishing,
        settings: AuditSettings,
    ) -> None:
        self._verifying = verifying
        self._checkpoints = checkpoints
        self._publishing = publishing
        self._settings = settings

    async def get(self, tx: ReadTx) -> Kept:
        """How long the tenant's records are kept: for ever, unless somebody said otherwise."""
        return self._view(await _find(tx))

    async def put(self, tx: Tx, keep_days: int | None) -> Kept:
        """Keep the tenant's records for so many days, or for ever.

        Nothing goes in the next ten minutes: a slip can be taken back.

        Raises:
            RetentionTooShortError: Fewer days than the operator allows.
        """
        row = await _find(tx, lock=True)
        least = self._settings.retention_least_days
        if keep_days is not None and keep_days < least:
            raise RetentionTooShortError(f"At least {least} days").at("keep_days")
        before = row.keep_days if row else None
        if row is None:
            row = RetentionRow(tenant_id=tx.tenant_id, removed_seq=0)
            tx.session.add(row)
        row.keep_days, row.updated_at, row.updated_by = keep_days, tx.now(), tx.scope.actor
        row.checked_at = tx.now()
        row.mac = self._verifying.seal_setting(row)
        tx.audit(CHANGED, f"tenant:{tx.tenant_id}", keep_days=keep_days, before=before)
        return self._view(row)

    def _view(self, row: RetentionRow | None) -> Kept:
        least = self._settings.retention_least_days
        if row is None:
            return Kept(None, least, 0, None, None, None, None)
        return Kept(
            row.keep_days,
            least,
            row.removed_seq,
            row.removed_at,
            row.statement,
            row.updated_at,
            row.updated_by,
        )

    # --- letting go ----------------------------------------------------------------------------

    async def sweep(self, tx: Tx) -> int:
        """Let a bite of one tenant's records go; 0 once each trail was looked at lately."""
        row = await tx.scalar(
            sa.select(RetentionRow)
            .where(
                RetentionRow.keep_days.is_not(None), RetentionRow.checked_at <= tx.now() - _EVERY
            )
            .order_by(RetentionRow.checked_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return 0
        async with tx.within(row.tenant_id) as own:
            gone = await self._let_go(own)
        if gone < _BITE:
            row.checked_at = tx.now()
        return 1 + gone

    async def _let_go(self, tx: Tx) -> int:
        row = await _find(tx, lock=True)
        head: AuditHead | None = await tx.scalar(
            sa.select(AuditHead).where(AuditHead.tenant_id == tx.tenant_id).with_for_update()
        )
        covering = await self._covering(tx)
        if row is None or row.keep_days is None or head is None or covering is None:
            return 0
        if not await self._was_said(tx, row):
            return _refuse(tx.tenant_id, "how long records are kept was said by none of us")
        # The last leaf's record stays: the next one is linked to it.
        most = min(covering.size, head.tree_size - 1, head.seq - 1)
        taken = await tx.scalar(sa.select(StreamRow.seq).where(StreamRow.tenant_id == tx.tenant_id))
        if taken is not None:
            most = min(most, taken)
        try:
            progress = await self._verifying.at_floor(tx)
            if progress.size != row.removed_seq:
                return _refuse(tx.tenant_id, "what is gone is said by no signature of ours")
            begin = progress.size
            end = await self._old_enough(tx, begin, min(most, begin + _BITE), row.keep_days)
            if end <= begin:
                return 0
            while progress.size < end and await self._verifying.walk(tx, progress, end):
                pass
            signer = self._checkpoints.signer(tx.tenant_id)
            signed = signer.verifier.checkpoint(covering.note)
            sound = signed.root == await root_at(tx, tx.tenant_id, signed.size)
        except (OutOfTreeError, NoteInvalidError) as exc:
            return _refuse(tx.tenant_id, str(exc))
        if progress.findings or progress.size != end or not sound or signed.size != covering.size:
            return _refuse(tx.tenant_id, f"records up to {end} do not hold")
        row.statement = signer.sign_removal(
            Removal(
                seq=end,
                root=progress.frontier.root(),
                link=progress.chain_hash,
                size=signed.size,
                size_root=signed.root,
                at=tx.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            )
        )
        row.removed_seq, row.removed_at = end, tx.now()
        # First what is said: the trigger lets nothing go that it does not cover.
        await tx.session.flush()
        await tx.execute(
            sa.delete(AuditRecord)
            .where(
                AuditRecord.tenant_id == tx.tenant_id,
                AuditRecord.seq > begin,
                AuditRecord.seq <= end,
            )
            .execution_options(synchronize_session=False)
        )
        tx.audit(
            REMOVED,
            f"tenant:{tx.tenant_id}",
            records=end - begin,
            until_seq=end,
            checkpoint_size=signed.size,
            checkpoint=covering.id,
        )
        return end - begin

    async def _covering(self, tx: ReadTx) -> AuditCheckpoint | None:
        """The newest checkpoint; where they are handed outside, the newest that was."""
        query = sa.select(AuditCheckpoint).where(AuditCheckpoint.tenant_id == tx.tenant_id)
        if self._publishing.is_on:
            query = query.where(AuditCheckpoint.published_at.is_not(None))
        found: AuditCheckpoint | None = await tx.scalar(
            query.order_by(AuditCheckpoint.size.desc()).limit(1)
        )
        return found

    async def _was_said(self, tx: ReadTx, row: RetentionRow) -> bool:
        """Whether the row is as one of us left it, and no earlier one that somebody put back."""
        last: AuditRecord | None = await tx.scalar(
            sa.select(AuditRecord)
            .where(AuditRecord.tenant_id == tx.tenant_id, AuditRecord.action == CHANGED)
            .order_by(AuditRecord.id.desc())
            .limit(1)
        )
        told = last is None or last.data.get("keep_days") == row.keep_days
        return told and self._verifying.is_our_setting(row)

    @staticmethod
    async def _old_enough(tx: ReadTx, begin: int, most: int, keep_days: int) -> int:
        """The last number of those after ``begin`` that are all older than that."""
        young = await tx.scalar(
            sa.select(AuditRecord.seq)
            .where(
                AuditRecord.tenant_id == tx.tenant_id,
                AuditRecord.seq > begin,
                AuditRecord.seq <= most,
                # By both clocks: the triggers go by the database's, and one may be wrong.
                sa.or_(
                    AuditRecord.at >= tx.now() - timedelta(days=keep_days),
                    AuditRecord.at >= db_now(-keep_days * _DAY_SECONDS),
                ),
            )
            .order_by(AuditRecord.seq)
            .limit(1)
        )
        return most if young is None else int(young) - 1


def _refuse(tenant_id: str, reason: str) -> int:
    logger.error("audit_retention_refused", extra={"tenant_id": tenant_id, "reason": reason})
    return 0


async def _find(tx: ReadTx, *, lock: bool = False) -> RetentionRow | None:
    query = sa.select(RetentionRow).where(RetentionRow.tenant_id == tx.tenant_id)
    found: RetentionRow | None = await tx.scalar(query.with_for_update() if lock else query)
    return found
