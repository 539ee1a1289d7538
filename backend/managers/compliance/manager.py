"""Rules for forgetting people: asking for it, and what was certified of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.core.subject import Subject
from backend.managers.audit import FILES, AuditManager
from backend.managers.compliance._walk import (
    RUNNING,
    Erasure,
    ErasureWalks,
    place_of,
    shown,
)
from backend.managers.compliance.errors import (
    ErasureNotFoundError,
    SubjectInUseError,
    SubjectUnclearError,
)
from backend.managers.compliance.models import ErasureRow
from backend.managers.compliance.settings import ComplianceSettings
from backend.managers.security import SecurityManager


class ComplianceManager:
    """Forgets people: destroys their keys, has every room remove what it keeps, and certifies it.

    Args:
        security: Has the keys of people, and signs.
        audit: Tells how far the trail is.
        settings: This room's.
        settle_seconds: No write takes longer.
    """

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
        self.walks = ErasureWalks(security, audit, settings, settle_seconds=settle_seconds)

    async def erase_subject(
        self, tx: Tx, *, user_id: str | None = None, address: str | None = None
    ) -> tuple[Erasure, bool]:
        """Begin to forget a person in the transaction's tenant, for good; whether it is a new walk.

        The keys under which the audit trail tells of them are destroyed with the transaction: from
        then on the trail says ``erased``, and is proved as before. Their rows are removed, or
        written over where the tenant has to keep them, by the walk that begins here. While one
        goes on that is for all who are asked for, it is the answer.

        Args:
            tx: In the tenant's own scope.
            user_id: Of a person who was a member, or logged in here.
            address: Their e-mail address, or that of somebody who has no log-in.

        Raises:
            SubjectUnclearError: Neither was given.
            SubjectInUseError: The person is a member, or mail to them is on its way.
            SealedError: The tenant is sealed: what to look for can be kept by nobody.
        """
        if user_id is None and address is None:
            raise SubjectUnclearError
        name = self._security.subjects.name
        alias = None if address is None else name(tx.tenant_id, f"email:{address}")
        user = None if user_id is None else f"user:{user_id}"
        names = [one for one in (user, alias) if one is not None]
        if (running := await self._running(tx, names)) is not None:
            return running, False
        who = Subject(user_id, address, alias or "", self.walks.until(tx.now()))
        reasons = await self.walks.barred(tx, who)
        if reasons is not None:
            raise SubjectInUseError(reasons)
        keyring = await self._security.keyring(tx)
        erasure_id, now = uuid7(), tx.now()
        sealed = None
        if address is not None:
            sealed = keyring.seal(place_of(erasure_id), address.encode())
        row: dict[str, Any] = {
            "tenant_id": tx.tenant_id,
            "id": erasure_id,
            "subject": names[0],
            "also": names[1] if len(names) > 1 else None,
            "state": RUNNING,
            "open_key": " ".join(names),
            "sealed_address": sealed,
            "keys": [],
            "counts": {},
            "round": 0,
            "place": "",
            "after": "",
            "looked_at": 0,
            "rewritten": 0,
            "found": 0,
            "waiting": 0,
            "waits_for": None,
            "started_at": now,
            "known_until": now,
            "round_at": now,
            "updated_at": now,
            "not_before": now,
            "erased_at": None,
            "erased_by": tx.scope.actor,
            "statement": None,
            "signature": None,
            "key_id": None,
        }
        # Two at once: the second one waits here, and finds the walk of the first.
        while not await tx.insert_new(ErasureRow, row, conflict=["tenant_id", "open_key"]):
            if (running := await self._running(tx, names)) is not None:
                return running, False
        made = await self._load(tx, erasure_id)
        keys = await self._security.subjects.erase(tx, names)
        made.keys = [{"id": key.id, "subject": key.subject} for key in keys]
        # Files of the trail have in the clear what it tells, of whomever.
        if files := await self._audit.exports.close_all(tx):
            made.counts = {FILES: files}
        tx.audit(
            "erasure.started", f"erasure:{erasure_id}", subjects=names, keys=len(keys), files=files
        )
        return shown(made), True

    async def list_erasures(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[Erasure]:
        """The tenant's, newest first, one more than ``limit``."""
        query = sa.select(ErasureRow).where(ErasureRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, ErasureRow.id, limit, before_id))
        return [shown(row) for row in rows]

    async def get_erasure(self, tx: ReadTx, erasure_id: str) -> Erasure:
        """One of the tenant's.

        Raises:
            ErasureNotFoundError: There is none.
        """
        return shown(await self._load(tx, erasure_id))

    async def count_running(self, tx: ReadTx) -> Mapping[str, int]:
        """Over all tenants: walks that go on, and such as wait for somebody. Needs the errand."""
        is_free = ErasureRow.waits_for.is_(None)
        found = await tx.execute(
            sa.select(is_free, sa.func.count()).where(ErasureRow.state == RUNNING).group_by(is_free)
        )
        return {"running" if free else "waiting": count for free, count in found.all()}

    async def count_oldest_seconds(self, tx: ReadTx) -> Mapping[str, int]:
        """Over all tenants: for how long the oldest walk has been going on. Needs the errand."""
        oldest = await tx.scalar(
            sa.select(sa.func.min(ErasureRow.started_at)).where(ErasureRow.state == RUNNING)
        )
        return {"": 0 if oldest is None else int((tx.now() - oldest).total_seconds())}

    async def _load(self, tx: ReadTx, erasure_id: str) -> ErasureRow:
        row: ErasureRow | None = await tx.scalar(
            sa.select(ErasureRow).where(
                ErasureRow.tenant_id == tx.tenant_id, ErasureRow.id == erasure_id
            )
        )
        if row is None:
            raise ErasureNotFoundError
        return row

    async def _running(self, tx: ReadTx, names: Sequence[str]) -> Erasure | None:
        """The walk that goes on for all who have these names."""
        row = await tx.scalar(
            sa.select(ErasureRow)
            .where(
                ErasureRow.tenant_id == tx.tenant_id,
                ErasureRow.state == RUNNING,
                *(sa.or_(ErasureRow.subject == name, ErasureRow.also == name) for name in names),
            )
            .order_by(ErasureRow.id)
            .limit(1)
        )
        return None if row is None else shown(row)
