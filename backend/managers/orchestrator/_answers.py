"""Answers from elsewhere: addresses for one attempt at one job, and what is said there.

An address needs no other credential: it names the job and the attempt, ends when it need not be
answered any more, and is signed by a key that lies in no database. Nothing is kept of it, so who
made one up, came late, or answers an attempt that was given up is told the same.
"""

import hmac
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, Tx, db_now
from backend.kit import base64url
from backend.managers.orchestrator._claim import CLAIM_COLUMNS
from backend.managers.orchestrator._finish import finish
from backend.managers.orchestrator._rows import claim_of
from backend.managers.orchestrator.errands import WORK
from backend.managers.orchestrator.errors import CallbackNotFoundError
from backend.managers.orchestrator.kinds import Claim, JobKind, Outcome
from backend.managers.orchestrator.models import AWAITING, JobRow

PATH: Final = "/job-callbacks/"
ACTOR: Final = "system:job_callback"
LATE: Final = "No answer came in time"
_SHAPE: Final = struct.Struct(">16s16sIQ")
_MAC_BYTES: Final = 32
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class _Ticket:
    """Whose, which attempt, and until when; epoch seconds."""

    tenant_id: str
    job_id: str
    attempt: int
    until: int


class Callbacks:
    """Makes addresses, and reads what they name.

    Args:
        base_url: Under which this API is reached, an origin.
        key: What they are signed with, 32 bytes.
    """

    def __init__(self, base_url: str, key: bytes) -> None:
        self._base = base_url
        self._key = key

    def address(self, claim: Claim, until: datetime) -> str:
        """Where this attempt is answered until then."""
        ids = (uuid.UUID(claim.tenant_id).bytes, uuid.UUID(claim.id).bytes)
        said = _SHAPE.pack(*ids, claim.attempt, int(until.timestamp()))
        token = base64url.encode(said + self._mac(said))
        return f"{self._base}{PATH}{token}"

    def read(self, token: str) -> _Ticket | None:
        """What it names; None for one that is none of ours."""
        try:
            found = base64url.decode(token)
        except ValueError:
            return None
        if len(found) != _SHAPE.size + _MAC_BYTES:
            return None
        said, mac = found[: _SHAPE.size], found[_SHAPE.size :]
        if not hmac.compare_digest(mac, self._mac(said)):
            return None
        tenant, job, attempt, until = _SHAPE.unpack(said)
        return _Ticket(str(uuid.UUID(bytes=tenant)), str(uuid.UUID(bytes=job)), attempt, until)

    def _mac(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, "sha256")


class Answers:
    """What attempts at jobs are answered with.

    Args:
        kinds: That this process knows.
        callbacks: Reads the addresses; None: there are none, so nobody answers.
    """

    def __init__(self, kinds: Mapping[str, JobKind], callbacks: Callbacks | None) -> None:
        self._kinds = kinds
        self._callbacks = callbacks

    async def take(self, database: Database, token: str, said: Any) -> None:
        """End an attempt as it was answered, whether it waits already or is still being begun.

        Who answers once more is told the same, and nothing changes. ``{"error": text}`` is a
        failure of the attempt, anything else the job's result. Audited as ``job.answered``.

        Raises:
            CallbackNotFoundError: No attempt is to be answered there, or not any more.
        """
        ticket = None if self._callbacks is None else self._callbacks.read(token)
        if ticket is None:
            raise CallbackNotFoundError
        failed = isinstance(said, dict) and said.keys() == {"error"}
        if failed:
            outcome = Outcome.retry(f"It was answered with an error: {said['error']}")
        else:
            outcome = Outcome.done(said)
        async with database.transaction(SystemScope(WORK, ACTOR)) as tx:
            async with tx.within(ticket.tenant_id) as part:
                found = await self._find(part, ticket)
            if found is not None:
                claim, worker = found
                await finish(tx, None, [(claim, outcome)], self._kinds, answered_at=worker)

    async def _find(self, tx: Tx, ticket: _Ticket) -> tuple[Claim, str | None] | None:
        """The attempt that the ticket is for and who runs it still; None: it was answered before.

        Its job is locked, and noted as answered.

        Raises:
            CallbackNotFoundError: There is none, or not any more.
        """
        found = (
            await tx.execute(
                sa.select(JobRow, JobRow.due_at > db_now())
                .where(JobRow.tenant_id == tx.tenant_id, JobRow.id == ticket.job_id)
                .with_for_update()
            )
        ).first()
        if found is None:
            raise CallbackNotFoundError
        row, in_time = found
        if row.answered == ticket.attempt:
            return None
        # While it runs its answer was quicker than the note that it waits.
        waits = row.state == "running" or (row.state == "awaiting" and in_time)
        if row.attempt != ticket.attempt or not waits or ticket.until < tx.now().timestamp():
            raise CallbackNotFoundError
        if row.kind not in self._kinds:
            raise CallbackNotFoundError
        row.answered = ticket.attempt
        await tx.session.flush()
        tx.audit("job.answered", f"job:{row.id}", kind=row.kind, subject=row.subject)
        return claim_of(row), row.worker

    async def give_up(self, database: Database) -> int:
        """End the attempts that were not answered in time, as failures; returns how many."""
        gone = 0
        query = (
            sa.select(*CLAIM_COLUMNS)
            .where(
                JobRow.state == AWAITING,
                JobRow.due_at <= db_now(),
                JobRow.kind.in_(sorted(self._kinds)),
            )
            .order_by(JobRow.due_at)
            .limit(_AT_ONCE)
        )
        while True:
            # Looked for without a lock: most of the time there is nothing.
            async with database.read(SystemScope(WORK)) as view:
                if (await view.execute(query)).first() is None:
                    return gone
            async with database.transaction(SystemScope(WORK)) as tx:
                found = await tx.execute(query.with_for_update(skip_locked=True, of=JobRow))
                late = [(Claim(*row), Outcome.retry(LATE)) for row in found]
                await finish(tx, None, late, self._kinds)
            gone += len(late)
            if len(late) < _AT_ONCE:
                return gone
