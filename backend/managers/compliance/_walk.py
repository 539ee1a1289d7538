"""Forgetting a person: a walk over all that the rooms keep, until nothing of them is met any more.

A walk is a row, and a worker takes it a step at a time: a bounded bite of one table, in one
transaction with how far the walk is. Whatever kills the worker, the next one goes on from the last
commit.

The keys of the person were destroyed when the walk began; what stood in the clear has to be found.
The first round takes what there is. It cannot be the last: whoever read something of the person
before it went may write it down once more, behind the walk. So the walk ends with a round that

* begins ``settle_seconds``, which no write takes, after something of the person could be read for
  the last time: when the walk began, or the last round ended that met something;
* begins when no attempt of a job is running any more that began before that (``Room.pauses``):
  jobs may take longer than a write, and end with a result;
* meets nothing: no row that had to be written over, and none that has to wait, such as a job that
  is not finished and was given the address.

A round that meets something is followed by another. What somebody tells of the person anew while
the walk goes on is met like the rest and goes; what keeps telling of them keeps the walk going,
and a person who has become a member again, or has mail on its way, has it wait (``waits_for``).
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, ReadTx, Tx
from backend.core.subject import Bite, Subject
from backend.core.walks import Walker
from backend.managers.audit import AuditManager
from backend.managers.compliance.errands import WALKS
from backend.managers.compliance.models import ErasureRow
from backend.managers.compliance.settings import ComplianceSettings
from backend.managers.security import SecurityManager

logger = logging.getLogger(__name__)

Erase = Callable[[Tx, Subject, str], Awaitable[Bite]]
Bar = Callable[[Tx, Subject], Awaitable[str | None]]
Pause = Callable[[Tx, datetime], Awaitable[str | None]]

RUNNING: Final = "running"
COMPLETE: Final = "complete"
_ACTOR: Final = "system:compliance"
_WALKS_AT_ONCE: Final = 100
_WAIT_SECONDS: Final = 30.0
_USER: Final = "user:"


@dataclass(frozen=True, slots=True)
class Erasure:
    """That a person is being erased, or was, in signed words.

    Attributes:
        id: Of the erasure.
        subject: The person as the audit trail names them: ``user:<id>``, or ``email:`` and a keyed
            hash of the address.
        state: ``running``: what is sealed opens for nobody any more, and the rest is being looked
            for; or ``complete``.
        started_at: When the keys were destroyed.
        round: From 1; another one begins while one has met something.
        place: What is being looked at; None: it waits, or is complete.
        looked_at: Rows looked at so far, in all rounds.
        rewritten: Rows that went, or were written over.
        waits_for: What has to end before it goes on, or ends; None: nothing that is known.
        waits_until: It does nothing before; None: it is at work.
        erased_at: When it was complete.
        erased_by: Whose act it was.
        statement: What is signed: canonical JSON with what went, by table, and the keys; None: it
            is not complete, as with the next two.
        signature: Ed25519 (RFC 8032) over the statement, in base64.
        key_id: The first digits of the signing key's SHA-256.
    """

    id: str
    subject: str
    state: str
    started_at: datetime
    round: int
    place: str | None
    looked_at: int
    rewritten: int
    waits_for: str | None
    waits_until: datetime | None
    erased_at: datetime | None
    erased_by: str
    statement: str | None
    signature: str | None
    key_id: str | None


class ErasureWalks:
    """Performing the walks, and what they end with."""

    def __init__(
        self,
        security: SecurityManager,
        audit: AuditManager,
        settings: ComplianceSettings,
        *,
        settle_seconds: float,
    ) -> None:
        self._security = security
        self._audit = audit
        self._settle = timedelta(seconds=settle_seconds)
        self._erasures: Mapping[str, Erase] = {}
        self._bars: Sequence[Bar] = ()
        self._pauses: Sequence[Pause] = ()
        self.walker = Walker(
            self, WALKS, actor=_ACTOR, rows_per_second=settings.erase_rows_per_second
        )

    def connect(
        self, erasures: Mapping[str, Erase], bars: Sequence[Bar], pauses: Sequence[Pause]
    ) -> None:
        """Tell of the rooms: how what they keep of a person goes, and what keeps a person here.

        Args:
            erasures: By table, in the order in which they are to be asked.
            bars: Asked before anything is changed.
            pauses: Asked before a round that may be the last.
        """
        self._erasures, self._bars, self._pauses = erasures, bars, pauses

    def until(self, started_at: datetime) -> datetime:
        """When whatever read something before a walk began has been written."""
        return started_at + self._settle

    async def barred(self, tx: Tx, who: Subject) -> str | None:
        """Why a person cannot be erased now."""
        reasons = [reason for bar in self._bars if (reason := await bar(tx, who)) is not None]
        return " ".join(reasons) or None

    # --- what the walker asks -------------------------------------------------------------------

    async def due(self, view: ReadTx) -> Sequence[str]:
        """Whose walks are due."""
        due: Sequence[str] = await view.scalars(
            sa.select(ErasureRow.tenant_id)
            .where(ErasureRow.state == RUNNING, ErasureRow.not_before <= view.now())
            .group_by(ErasureRow.tenant_id)
            .order_by(sa.func.min(ErasureRow.updated_at))
            .limit(_WALKS_AT_ONCE)
        )
        return due

    async def put_off(self, tx: Tx) -> None:
        """Have a walk wait whose step has failed: of a sealed tenant, as a rule."""
        row = await self._next(tx, lock=True)
        if row is not None:
            row.not_before = tx.now() + timedelta(seconds=_WAIT_SECONDS)

    async def step(self, database: Database, tenant_id: str) -> int:
        """Take a walk of the tenant's a step further; how many rows were looked at."""
        scope = Scope(_ACTOR, tenant_id)
        # Before the transaction that writes: it would make a key where there is none, for a tenant
        # that leaves.
        async with database.read(scope) as view:
            read = await self._next(view)
            if read is None:
                return 0
            who = await self._who(view, read)
        async with database.transaction(scope) as tx:
            row = await self._next(tx, lock=True)
            if row is None or row.id != read.id:
                return 0
            row.updated_at = tx.now()
            if row.place not in self._erasures and not await self._begin_round(tx, row, who):
                return 0
            bite = await self._erasures[row.place](tx, who, row.after)
            self._note(row, bite)
            if bite.after is not None:
                row.after = bite.after
                return bite.looked_at
            places = list(self._erasures)
            following = places.index(row.place) + 1
            row.place = places[following] if following < len(places) else ""
            row.after = ""
            if not row.place:
                await self._end_round(tx, row)
            return bite.looked_at

    async def _next(self, tx: ReadTx, *, lock: bool = False) -> ErasureRow | None:
        """The tenant's walk whose turn it is; locked, if nobody else is at it."""
        query = (
            sa.select(ErasureRow)
            .where(
                ErasureRow.tenant_id == tx.tenant_id,
                ErasureRow.state == RUNNING,
                ErasureRow.not_before <= tx.now(),
            )
            .order_by(ErasureRow.updated_at, ErasureRow.id)
            .limit(1)
        )
        row: ErasureRow | None = await tx.scalar(
            query.with_for_update(skip_locked=True) if lock else query
        )
        return row

    async def _who(self, view: ReadTx, row: ErasureRow) -> Subject:
        address = None
        if row.sealed_address is not None:
            keyring = await self._security.keyring(view)
            address = keyring.open(place_of(row.id), row.sealed_address).decode()
        names = (row.subject, row.also or "")
        users = [name.removeprefix(_USER) for name in names if name.startswith(_USER)]
        alias = next((name for name in names if name and not name.startswith(_USER)), "")
        return Subject(users[0] if users else None, address, alias, self.until(row.started_at))

    # --- rounds ---------------------------------------------------------------------------------

    async def _begin_round(self, tx: Tx, row: ErasureRow, who: Subject) -> bool:
        """Begin one, unless something has to end first; whether it has begun."""
        reasons = [await self.barred(tx, who)]
        if row.round:
            reasons += [await pause(tx, row.known_until + self._settle) for pause in self._pauses]
        row.waits_for = " ".join(reason for reason in reasons if reason) or None
        if row.waits_for is not None:
            row.not_before = tx.now() + timedelta(seconds=_WAIT_SECONDS)
            return False
        row.round += 1
        row.round_at = tx.now()
        row.found = row.waiting = 0
        row.place, row.after = next(iter(self._erasures)), ""
        return True

    @staticmethod
    def _note(row: ErasureRow, bite: Bite) -> None:
        changed = {name: count for name, count in bite.changed.items() if count}
        row.looked_at += bite.looked_at
        row.found += sum(changed.values())
        row.rewritten += sum(changed.values())
        row.waiting += bite.waiting
        row.counts = row.counts | {
            name: row.counts.get(name, 0) + count for name, count in changed.items()
        }

    async def _end_round(self, tx: Tx, row: ErasureRow) -> None:
        """Have another one begin in time, or end the walk."""
        now = tx.now()
        if row.round > 1 and not row.found and not row.waiting:
            await self._complete(tx, row)
            return
        if row.found or row.waiting:
            row.known_until = now
        row.not_before = max(now, row.known_until + self._settle)
        if row.waiting:
            row.waits_for = f"{row.waiting} row(s) that tell of them belong to work that goes on."
            # To look for them takes as long as the round: let as much time be without it.
            pause = max(now - row.round_at, timedelta(seconds=_WAIT_SECONDS))
            row.not_before = max(row.not_before, now + pause)

    async def _complete(self, tx: Tx, row: ErasureRow) -> None:
        trail = await self._audit.checkpoints.state(tx)
        signer = self._security.rewraps.signer
        names = [name for name in (row.subject, row.also) if name is not None]
        row.statement, row.signature = signer.sign(
            {
                "act": "subject.erased",
                "erasure": row.id,
                "tenant": tx.tenant_id,
                "subjects": names,
                "started_at": row.started_at.isoformat(),
                "erased_at": tx.now().isoformat(),
                "erased_by": row.erased_by,
                "keys": row.keys,
                "counts": row.counts,
                "rounds": row.round,
                "rows_looked_at": row.looked_at,
                "places": list(self._erasures),
                "left": 0,
                "trail": {
                    "seq": trail.seq,
                    "chain_hash": trail.chain_hash,
                    "tree_size": trail.tree_size,
                    "tree_root": trail.tree_root,
                },
            }
        )
        row.key_id, row.erased_at, row.state = signer.key_id, tx.now(), COMPLETE
        row.sealed_address = row.open_key = row.waits_for = None
        told: dict[str, Any] = {
            "subjects": names,
            "counts": row.counts,
            "keys": len(row.keys),
            "rounds": row.round,
        }
        tx.audit("subject.erased", f"erasure:{row.id}", **told)
        tx.emit("subject.erased", f"erasure:{row.id}", **told)
        logger.info(
            "subject_erased",
            extra={"tenant_id": tx.tenant_id, "erasure": row.id, "rounds": row.round},
        )


def place_of(erasure_id: str) -> str:
    """What the address that a walk looks for is sealed for."""
    return f"erasure:{erasure_id}"


def shown(row: ErasureRow) -> Erasure:
    """A row as others see it."""
    waits = row.state == RUNNING and not row.place and row.not_before > row.updated_at
    return Erasure(
        id=row.id,
        subject=row.subject,
        state=row.state,
        started_at=row.started_at,
        round=row.round,
        place=row.place or None,
        looked_at=row.looked_at,
        rewritten=row.rewritten,
        waits_for=row.waits_for,
        waits_until=row.not_before if waits else None,
        erased_at=row.erased_at,
        erased_by=row.erased_by,
        statement=row.statement,
        signature=row.signature,
        key_id=row.key_id,
    )
