"""Exports: a file of records, made by a job in pieces, that waits a day for whoever asked for it.

A piece and how far the file has come are one commit, and a piece is written only by who read the
row that is still there: a worker that was killed is followed by one that goes on after the last
whole piece, and nothing is in the file twice.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.audit import AuditRecord
from backend.core.columns import tables_of
from backend.core.context import AnyScope, Errand, Scope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.core.subject import Bite, Subject
from backend.managers.audit._formats import FORMATS
from backend.managers.audit._search import Reveal, Wanted, meets, oldest, revealed
from backend.managers.audit.errors import (
    ExportNotFoundError,
    ExportNotReadyError,
    TooManyExportsError,
)
from backend.managers.audit.models import ExportPartRow, ExportRow
from backend.managers.orchestrator import Batch, Claim, JobKind, OrchestratorManager, Outcome

JOB_KIND: Final = "audit.export"
EXPORTS: Final = Errand("audit.exports", tables_of(ExportRow, ExportPartRow))
"""Forgetting files whose time is over."""
RUNNING, READY, FAILED, CANCELLED = "running", "ready", "failed", "cancelled"
_KEPT: Final = timedelta(days=1)
_PIECE: Final = 500
"""Records a transaction: some tens of milliseconds. At 8 KiB of data each they are four megabytes,
mostly half of one."""
_ATTEMPT_SECONDS: Final = 3600.0
_BITE: Final = 50
FILES: Final = "files_of_the_trail"
"""What certificates of people who were erased call the files that went."""


@dataclass(frozen=True, slots=True)
class Export:
    """A file of records.

    Attributes:
        id: Of the export.
        job_id: Of the job that makes it; None: it was made at once.
        format: One of :data:`FORMATS`.
        wanted: What is in it.
        state: ``running``, ``ready``, ``failed`` or ``cancelled``.
        looked_at: How many records were looked at so far.
        records: How many are in it so far.
        size_bytes: How large it is so far.
        error: Why it failed.
        created_at: When it was asked for: later records are not in it.
        created_by: By whom.
        finished_at: When it ended.
        expires_at: When it is forgotten.
    """

    id: str
    job_id: str | None
    format: str
    wanted: Wanted
    state: str
    looked_at: int
    records: int
    size_bytes: int
    error: str | None
    created_at: datetime
    created_by: str
    finished_at: datetime | None
    expires_at: datetime


class Exports:
    """The exports of a tenant."""

    def __init__(self, jobs: OrchestratorManager, most: int, reveal: Reveal) -> None:
        """Have files made by ``jobs``, and keep ``most`` of a tenant, personal values in clear."""
        self._jobs = jobs
        self._most = most
        self.reveal = reveal

    async def start(self, tx: Tx, *, format_name: str, wanted: Wanted) -> Export:
        """Have a file made of what is wanted, oldest first; words are no filter of a file.

        One of a single piece is made at once, and needs no job.

        Raises:
            TooManyExportsError: The tenant has as many as it may keep.
        """
        rows = await tx.scalars(
            sa.select(ExportRow.id)
            .where(ExportRow.tenant_id == tx.tenant_id, ExportRow.expires_at > tx.now())
            .limit(self._most)
        )
        if len(rows) >= self._most:
            raise TooManyExportsError(
                f"It keeps {self._most}: delete one that is not needed any more"
            )
        export_id, now = uuid7(), tx.now()
        # What is there now is in it. Not by the clock: that of another process may be ahead.
        newest_id = await _newest(tx)
        row = ExportRow(
            tenant_id=tx.tenant_id,
            id=export_id,
            job_id=None,
            format=format_name,
            wanted=_kept(wanted),
            until_id=newest_id or export_id,
            done_id=None,
            state=RUNNING,
            looked_at=0,
            records=0,
            size_bytes=0,
            parts=0,
            error=None,
            created_at=now,
            created_by=tx.scope.actor,
            finished_at=None,
            expires_at=now + _KEPT,
        )
        piece = await _read(tx, row, self.reveal)
        if piece.is_last:
            await _write(tx, row, piece)
        else:
            # An errand reaches the trail's tables and no more; the job is its tenant's own.
            async with tx.within(tx.tenant_id) as own:
                row.job_id = await self._jobs.submit(
                    own,
                    JOB_KIND,
                    args={"export_id": export_id},
                    subject=f"audit_export:{export_id}",
                    timeout_seconds=_ATTEMPT_SECONDS,
                )
        tx.session.add(row)
        tx.audit(
            "audit_export.started",
            f"audit_export:{export_id}",
            format=format_name,
            wanted={name: value for name, value in row.wanted.items() if value is not None},
        )
        return _view(row)

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[Export]:
        """Newest first, one more than ``limit`` if there is one."""
        query = sa.select(ExportRow).where(
            ExportRow.tenant_id == tx.tenant_id, ExportRow.expires_at > tx.now()
        )
        return [
            _view(row) for row in await tx.scalars(newest(query, ExportRow.id, limit, before_id))
        ]

    async def get(self, tx: ReadTx, export_id: str) -> Export:
        """One export.

        Raises:
            ExportNotFoundError: No such export in this tenant, or its time is over.
        """
        return _view(await _load(tx, export_id))

    async def open(self, tx: Tx, export_id: str) -> Export:
        """The same to be read; who takes the trail away is on record in it.

        Raises:
            ExportNotFoundError: As :meth:`get`.
            ExportNotReadyError: It is being made, or could not be.
        """
        row = await _load(tx, export_id)
        if row.state != READY:
            raise ExportNotReadyError(f"It is {row.state}")
        tx.audit("audit_export.downloaded", f"audit_export:{row.id}", records=row.records)
        return _view(row)

    async def read(self, db: Database, scope: AnyScope, export: Export) -> AsyncIterator[bytes]:
        """The file's bytes, piece by piece, each read in a transaction of its own."""
        yield FORMATS[export.format].head
        position = 0
        while True:
            async with db.read(scope) as tx:
                content = await tx.scalar(
                    sa.select(ExportPartRow.content).where(
                        ExportPartRow.tenant_id == tx.tenant_id,
                        ExportPartRow.export_id == export.id,
                        ExportPartRow.position == position,
                    )
                )
            if content is None:
                return
            yield await asyncio.to_thread(zlib.decompress, content)
            position += 1

    async def written(
        self, db: Database, scope: AnyScope, format_name: str, wanted: Wanted
    ) -> AsyncIterator[tuple[bytes, int]]:
        """The same file made while somebody waits for it: its bytes, and the records in them.

        Each part is read in a transaction of its own, up to the newest record of the first one.
        """
        form = FORMATS[format_name]
        yield form.head, 0
        async with db.read(scope) as tx:
            until_id = await _newest(tx)
        after_id = None
        while until_id is not None:
            async with db.read(scope) as tx:
                records = await oldest(
                    tx, wanted, after_id=after_id, until_id=until_id, limit=_PIECE
                )
                records = await revealed(tx, records, self.reveal)
            lines = [form.line(record) for record in records if meets(record, wanted)]
            yield b"".join(lines), len(lines)
            if len(records) < _PIECE:
                return
            after_id = records[-1].id

    async def delete(self, tx: Tx, export_id: str) -> None:
        """Forget a file; the job that is making it finds nothing to go on with.

        Raises:
            ExportNotFoundError: As :meth:`get`.
        """
        row = await _load(tx, export_id, lock=True)
        await _forget(tx, row)
        tx.audit("audit_export.deleted", f"audit_export:{export_id}")

    async def close_all(self, tx: Tx) -> int:
        """Let nobody read the tenant's files, or add to them, from now on; how many there were.

        They are in the clear. Their pieces go with :meth:`erase`.
        """
        files = await tx.scalars(
            sa.select(ExportRow)
            .where(ExportRow.tenant_id == tx.tenant_id, ExportRow.expires_at > tx.now())
            .with_for_update()
        )
        for row in files:
            await _forget(tx, row)
        return len(files)

    async def erase(self, tx: Tx, who: Subject) -> Bite:
        """Forget files of the tenant that are in the clear: such as were begun in time."""
        row: ExportRow | None = await tx.scalar(
            sa.select(ExportRow)
            .where(ExportRow.tenant_id == tx.tenant_id, ExportRow.created_at <= who.until)
            .order_by(ExportRow.created_at)
            .limit(1)
            .with_for_update()
        )
        if row is None:
            return Bite(0)
        # What was closed at first has been counted.
        found = int(row.expires_at > tx.now())
        if found:
            await _forget(tx, row)
        return Bite(await _shorten(tx, row), {FILES: found}, after=row.id)

    async def sweep(self, tx: Tx) -> int:
        """Forget some files whose time is over; returns how many pieces and files went."""
        rows = await tx.scalars(
            sa.select(ExportRow)
            .where(ExportRow.expires_at <= tx.now())
            .order_by(ExportRow.expires_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        gone = 0
        for row in rows:
            gone += await _shorten(tx, row)
        return gone


class ExportJob:
    """The job kind that makes files."""

    def __init__(self, database: Database, reveal: Reveal) -> None:
        self._database = database
        self._reveal = reveal

    def kind(self) -> JobKind:
        """The job kind to register with the worker."""
        return JobKind(
            JOB_KIND,
            self.run,
            on_dead=_fail,
            on_cancel=_cancel,
            on_retry=_begin_again,
            max_crashes=10,
        )

    async def run(self, batch: Batch) -> None:
        """Make the file piece by piece, from where it stands."""
        (claim,) = batch.claims
        scope = Scope(claim.actor, claim.tenant_id, traceparent=claim.traceparent)
        export_id = str(claim.args["export_id"])
        while not (batch.is_stopping or batch.is_cancelled(claim)):
            async with self._database.read(scope) as tx:
                row = await _find(tx, export_id)
                if row is None or row.state != RUNNING:
                    batch.finish(claim, Outcome.done({"export": row.state if row else "deleted"}))
                    return
                piece = await _read(tx, row, self._reveal)
            async with self._database.transaction(scope) as tx:
                now = await _find(tx, export_id, lock=True)
                # Another worker may have gone on, when this one was taken for dead.
                if now is not None and (now.state, now.done_id) == (RUNNING, piece.after_id):
                    await _write(tx, now, piece)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What comes next in a file.

    Attributes:
        after_id: The record before it.
        until_id: The last record that was looked at for it.
        looked_at: How many were.
        records: How many are in it.
        content: Their lines.
        is_last: Whether nothing comes behind it.
    """

    after_id: str | None
    until_id: str | None
    looked_at: int
    records: int
    content: bytes
    is_last: bool


async def _read(tx: ReadTx, row: ExportRow, reveal: Reveal) -> _Piece:
    wanted, line = _wanted(row), FORMATS[row.format].line
    found = await oldest(tx, wanted, after_id=row.done_id, until_id=row.until_id, limit=_PIECE)
    found = await revealed(tx, found, reveal)
    lines = [line(record) for record in found if meets(record, wanted)]
    return _Piece(
        after_id=row.done_id,
        until_id=found[-1].id if found else row.done_id,
        looked_at=len(found),
        records=len(lines),
        content=b"".join(lines),
        is_last=len(found) < _PIECE,
    )


async def _write(tx: Tx, row: ExportRow, piece: _Piece) -> None:
    """Add a piece to a file that has come as far as where the piece begins."""
    if piece.records:
        part = {
            "tenant_id": tx.tenant_id,
            "export_id": row.id,
            "position": row.parts,
            "content": await asyncio.to_thread(zlib.compress, piece.content),
        }
        await tx.insert(ExportPartRow, [part])
        row.parts += 1
    row.looked_at += piece.looked_at
    row.records += piece.records
    row.size_bytes += len(piece.content)
    row.done_id = piece.until_id
    if piece.is_last:
        row.size_bytes += len(FORMATS[row.format].head)
        row.state, row.finished_at = READY, tx.now()
        tx.emit("audit_export.ready", f"audit_export:{row.id}", records=row.records)


def export_kind(audit: Any, database: Database) -> JobKind:
    """The job kind of this room."""
    return ExportJob(database, audit.exports.reveal).kind()


async def _fail(tx: Tx, dead: Sequence[tuple[Claim, str]]) -> None:
    for claim, error in dead:
        await _end(tx, claim, FAILED, error)


async def _cancel(tx: Tx, claims: Sequence[Claim]) -> None:
    for claim in claims:
        await _end(tx, claim, CANCELLED, None)


async def _end(tx: Tx, claim: Claim, state: str, error: str | None) -> None:
    row = await _find(tx, str(claim.args["export_id"]), lock=True)
    if row is not None and row.state == RUNNING:
        row.state, row.error, row.finished_at = state, error, tx.now()


async def _begin_again(tx: Tx, claims: Sequence[Claim]) -> None:
    for claim in claims:
        row = await _find(tx, str(claim.args["export_id"]), lock=True)
        if row is not None and row.state in {FAILED, CANCELLED}:
            row.state, row.error, row.finished_at = RUNNING, None, None


async def _newest(tx: ReadTx) -> str | None:
    found: str | None = await tx.scalar(
        sa.select(AuditRecord.id)
        .where(AuditRecord.tenant_id == tx.tenant_id)
        .order_by(AuditRecord.id.desc())
        .limit(1)
    )
    return found


async def _find(tx: ReadTx, export_id: str, *, lock: bool = False) -> ExportRow | None:
    query = sa.select(ExportRow).where(
        ExportRow.tenant_id == tx.tenant_id, ExportRow.id == export_id
    )
    found: ExportRow | None = await tx.scalar(query.with_for_update() if lock else query)
    return found


async def _load(tx: ReadTx, export_id: str, *, lock: bool = False) -> ExportRow:
    row = await _find(tx, export_id, lock=lock)
    if row is None or row.expires_at <= tx.now():
        raise ExportNotFoundError
    return row


async def _forget(tx: Tx, row: ExportRow) -> None:
    """Have the sweep take the pieces: there may be thousands, and this is somebody's request."""
    row.expires_at = tx.now()
    if row.state == RUNNING:
        row.state, row.finished_at = CANCELLED, tx.now()


async def _shorten(tx: Tx, row: ExportRow) -> int:
    """Take the last pieces of a locked file, and with the first one it; how much went."""
    if row.state == RUNNING:
        # Nobody adds to it any more.
        row.state = CANCELLED
    first = max(0, row.parts - _BITE)
    await tx.execute(
        sa.delete(ExportPartRow)
        .where(
            ExportPartRow.tenant_id == row.tenant_id,
            ExportPartRow.export_id == row.id,
            ExportPartRow.position >= first,
        )
        .execution_options(synchronize_session=False)
    )
    gone, row.parts = row.parts - first, first
    if not first:
        await tx.session.delete(row)
        gone += 1
    return gone


def _kept(wanted: Wanted) -> dict[str, Any]:
    return {
        "action": wanted.action,
        "actor": wanted.actor,
        "target": wanted.target,
        "request_id": wanted.request_id,
        "workflow": wanted.workflow,
        "execution": wanted.execution,
        "after": wanted.after.isoformat() if wanted.after else None,
        "before": wanted.before.isoformat() if wanted.before else None,
    }


def _wanted(row: ExportRow) -> Wanted:
    kept = dict(row.wanted)
    for name in ("after", "before"):
        kept[name] = datetime.fromisoformat(kept[name]) if kept[name] else None
    return Wanted(**kept)


def _view(row: ExportRow) -> Export:
    return Export(
        id=row.id,
        job_id=row.job_id,
        format=row.format,
        wanted=_wanted(row),
        state=row.state,
        looked_at=row.looked_at,
        records=row.records,
        size_bytes=row.size_bytes,
        error=row.error,
        created_at=row.created_at,
        created_by=row.created_by,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
    )
