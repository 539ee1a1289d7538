"""Rules for forgetting people."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.core.subject import Subject
from backend.managers.audit import AuditManager
from backend.managers.compliance.errors import (
    ErasureNotFoundError,
    SubjectInUseError,
    SubjectUnclearError,
)
from backend.managers.compliance.models import ErasureRow
from backend.managers.security import SecurityManager

Erase = Callable[[Tx, Subject], Awaitable[int]]
Bar = Callable[[Tx, Subject], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Erasure:
    """That a person was erased, in signed words.

    Attributes:
        id: Of the erasure.
        subject: The person as the audit trail names them: ``user:<id>``, or ``email:`` and a keyed
            hash of the address.
        erased_at: When.
        erased_by: Whose act it was.
        statement: What is signed: canonical JSON with what went, by table, and the keys.
        signature: Ed25519 (RFC 8032) over the statement, in base64.
        key_id: The first digits of the signing key's SHA-256.
    """

    id: str
    subject: str
    erased_at: datetime
    erased_by: str
    statement: str
    signature: str
    key_id: str


class ComplianceManager:
    """Forgets people: destroys their keys, has every room remove what it keeps, and certifies it.

    Args:
        security: Has the keys of people, and signs.
        audit: Tells how far the trail is.
    """

    def __init__(self, security: SecurityManager, audit: AuditManager) -> None:
        self._security = security
        self._audit = audit
        self._erasures: Mapping[str, Erase] = {}
        self._bars: Sequence[Bar] = ()

    def connect(self, erasures: Mapping[str, Erase], bars: Sequence[Bar]) -> None:
        """Tell of the rooms: how what they keep of a person goes, and what keeps a person here.

        Args:
            erasures: By table, in the order in which they are to be asked.
            bars: Asked before anything is changed.
        """
        self._erasures, self._bars = erasures, bars

    async def erase_subject(
        self, tx: Tx, *, user_id: str | None = None, address: str | None = None
    ) -> tuple[Erasure, bool]:
        """Forget a person in the transaction's tenant, for good; whether anything was left to.

        The keys under which the audit trail tells of them are destroyed, so the trail says
        ``erased`` and is proved as before. Their rows are removed, or written over where the tenant
        has to keep them. Who was erased before and has left no trace since gets the certificate of
        then. Several at once: one of them erases.

        Args:
            tx: In the tenant's own scope.
            user_id: Of a person who was a member, or logged in here.
            address: Their e-mail address, or that of somebody who has no log-in.

        Raises:
            SubjectUnclearError: Neither was given.
            SubjectInUseError: The person is a member, or mail to them is on its way.
        """
        if user_id is None and address is None:
            raise SubjectUnclearError
        who, names = self._named(tx, user_id, address)
        reasons = [reason for bar in self._bars if (reason := await bar(tx, who)) is not None]
        if reasons:
            raise SubjectInUseError(" ".join(reasons))
        keys = await self._security.subjects.erase(tx, names)
        counts = {name: await erase(tx, who) for name, erase in self._erasures.items()}
        counts = {name: count for name, count in counts.items() if count}
        if not keys and not counts:
            before = await self._before(tx, names)
            if before is not None:
                return before, False
        # Files of the trail have in the clear what it tells, of whomever.
        if files := await self._audit.exports.erase(tx):
            counts["files_of_the_trail"] = files
        made = await self._certify(tx, names, counts, [(key.id, key.subject) for key in keys])
        told: dict[str, Any] = {"subjects": names, "counts": counts, "keys": len(keys)}
        tx.audit("subject.erased", f"erasure:{made.id}", **told)
        tx.emit("subject.erased", f"erasure:{made.id}", **told)
        return made, True

    async def list_erasures(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[Erasure]:
        """The tenant's, newest first, one more than ``limit``."""
        query = sa.select(ErasureRow).where(ErasureRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, ErasureRow.id, limit, before_id))
        return [_shown(row) for row in rows]

    async def get_erasure(self, tx: ReadTx, erasure_id: str) -> Erasure:
        """One of the tenant's.

        Raises:
            ErasureNotFoundError: There is none.
        """
        row = await tx.scalar(
            sa.select(ErasureRow).where(
                ErasureRow.tenant_id == tx.tenant_id, ErasureRow.id == erasure_id
            )
        )
        if row is None:
            raise ErasureNotFoundError
        return _shown(row)

    def _named(
        self, tx: ReadTx, user_id: str | None, address: str | None
    ) -> tuple[Subject, list[str]]:
        """The person, and the names under which the trail has them."""
        name = self._security.subjects.name
        alias = "" if address is None else name(tx.tenant_id, f"email:{address}")
        names = [] if user_id is None else [f"user:{user_id}"]
        return Subject(user_id, address, alias), names + ([alias] if alias else [])

    async def _before(self, tx: ReadTx, names: Sequence[str]) -> Erasure | None:
        """The certificate of when the person was erased, if they were: one that has all names."""
        row = await tx.scalar(
            sa.select(ErasureRow)
            .where(
                ErasureRow.tenant_id == tx.tenant_id,
                *(sa.or_(ErasureRow.subject == name, ErasureRow.also == name) for name in names),
            )
            .order_by(ErasureRow.id.desc())
            .limit(1)
        )
        return None if row is None else _shown(row)

    async def _certify(
        self,
        tx: Tx,
        names: Sequence[str],
        counts: Mapping[str, int],
        keys: Sequence[tuple[str, str]],
    ) -> Erasure:
        trail = await self._audit.checkpoints.state(tx)
        signer = self._security.rewraps.signer
        erasure_id = uuid7()
        statement, signature = signer.sign(
            {
                "act": "subject.erased",
                "erasure": erasure_id,
                "tenant": tx.tenant_id,
                "subjects": list(names),
                "erased_at": tx.now().isoformat(),
                "erased_by": tx.scope.actor,
                "keys": [{"id": key_id, "subject": subject} for key_id, subject in keys],
                "counts": dict(counts),
                "trail": {
                    "seq": trail.seq,
                    "chain_hash": trail.chain_hash,
                    "tree_size": trail.tree_size,
                    "tree_root": trail.tree_root,
                },
            }
        )
        row: dict[str, Any] = {
            "tenant_id": tx.tenant_id,
            "id": erasure_id,
            "subject": names[0],
            "also": names[1] if len(names) > 1 else None,
            "erased_at": tx.now(),
            "erased_by": tx.scope.actor,
            "statement": statement,
            "signature": signature,
            "key_id": signer.key_id,
        }
        await tx.insert(ErasureRow, [row])
        return _shown(ErasureRow(**row))


def _shown(row: ErasureRow) -> Erasure:
    return Erasure(
        row.id,
        row.subject,
        row.erased_at,
        row.erased_by,
        row.statement,
        row.signature,
        row.key_id,
    )
