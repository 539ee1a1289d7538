"""Stored replies: the first answer to an Idempotency-Key, in the commit that did the act."""

from datetime import timedelta
from typing import Final, NamedTuple

import sqlalchemy as sa

from backend.core.context import Principal, Scope, SystemScope
from backend.core.database import Database, Tx
from backend.core.errors import ForbiddenError
from backend.core.room import SealedColumn
from backend.managers.gateway.errands import PLATFORM_ANSWERS
from backend.managers.gateway.models import IdempotencyRecord
from backend.managers.security import SecurityManager


class Reply(NamedTuple):
    """The first answer to an idempotency key, and the fingerprint of the request that it is for."""

    fingerprint: bytes
    status: int
    headers: dict[str, str]
    body: bytes


class ReplyStore:
    """Keys belong to one caller of one tenant: two callers may use the same one."""

    def __init__(self, database: Database, security: SecurityManager, *, keep_seconds: int) -> None:
        self._database = database
        self._security = security
        self._keep = timedelta(seconds=keep_seconds)

    async def find(self, principal: Principal, key: str) -> Reply | None:
        """The stored answer, if the key was used.

        Whoever could not do the act today does not get its answer: their role was lowered since,
        or this token carries less than the one that asked first. All that the act asked of its
        caller is asked again, the permission of the route and what the manager's rules added.

        Raises:
            ForbiddenError: The caller lacks a permission that the act needed.
        """
        scope = Scope(principal.subject, principal.tenant_id)
        async with self._database.read(scope) as view:
            found = (
                await view.execute(
                    sa.select(
                        IdempotencyRecord.fingerprint,
                        IdempotencyRecord.status,
                        IdempotencyRecord.headers,
                        IdempotencyRecord.sealed_by,
                        IdempotencyRecord.sealed_body,
                    ).where(
                        IdempotencyRecord.tenant_id == principal.tenant_id,
                        IdempotencyRecord.client == principal.subject,
                        IdempotencyRecord.key == key,
                        IdempotencyRecord.expires_at > view.now(),
                    )
                )
            ).one_or_none()
            if found is None:
                return None
            if found.sealed_by == principal.tenant_id:
                keyring = await self._security.keyring(view)
            else:
                # An act of the platform: its transaction had the platform's keys at hand.
                async with self._database.read(SystemScope(PLATFORM_ANSWERS)) as platform:
                    keyring = await self._security.keyring(platform)
        opened = keyring.open(_place(principal.subject, key), found.sealed_body)
        needed, _, body = opened.partition(b"\n")
        fingerprint = found.fingerprint
        if not fingerprint:
            printed, _, body = body.partition(b"\n")
            fingerprint = bytes.fromhex(printed.decode())
        for permission in needed.decode().split():
            if permission not in principal.permissions:
                raise ForbiddenError(
                    f"This needs the permission {permission}", permission=permission
                )
        return Reply(fingerprint, found.status, dict(found.headers), body)

    async def remember(  # noqa: PLR0917 - the signature the edge's toolkit calls
        self,
        principal: Principal,
        key: str,
        fingerprint: bytes,
        tx: Tx,
        status: int,
        headers: dict[str, str],
        body: bytes,
        needed: frozenset[str],
    ) -> bool:
        """Store the answer in the act's own transaction; False when another came first.

        ``needed`` are the permissions that the act asked for; they are sealed with the answer, and
        so is the fingerprint. It is a plain hash of the request: of one whose body is a secret that
        can be guessed, whoever has the database could find out whether they guessed it.
        """
        keyring = await self._security.keyring(tx)
        now = tx.now()
        row = {
            "tenant_id": principal.tenant_id,
            "client": principal.subject,
            "key": key,
            # Records of earlier releases have theirs here, for as long as they are kept.
            "fingerprint": b"",
            "status": status,
            "headers": headers,
            "sealed_by": tx.tenant_id,
            "sealed_body": keyring.seal(
                _place(principal.subject, key),
                b"\n".join((" ".join(sorted(needed)).encode(), fingerprint.hex().encode(), body)),
            ),
            "created_at": now,
            "expires_at": now + self._keep,
        }
        conflict = ("tenant_id", "client", "key")
        if await tx.insert_new(IdempotencyRecord, row, conflict=conflict):
            return True
        # The record in the way may be one that retention has not swept yet.
        await tx.execute(
            sa.delete(IdempotencyRecord)
            .where(
                IdempotencyRecord.tenant_id == principal.tenant_id,
                IdempotencyRecord.client == principal.subject,
                IdempotencyRecord.key == key,
                IdempotencyRecord.expires_at <= now,
            )
            .execution_options(synchronize_session=False)
        )
        return await tx.insert_new(IdempotencyRecord, row, conflict=conflict)


def _place(client: str, key: str) -> str:
    return f"idempotency:{client}:{key}"


SEALED_ANSWERS: Final = SealedColumn(
    IdempotencyRecord,
    "sealed_body",
    lambda row: _place(row["client"], row["key"]),
    owner="sealed_by",
)
