"""Execution-bound reads: a token gives one execution of one workflow one secret, once.

Whoever may read a secret makes the token; whoever runs the workflow needs no right on the secret
at all. That takes the place of credentials that travel in the data of a workflow, which n8n keeps
with every execution: what is kept is a token that is worth nothing any more.

A token never gives more than its issuer could read: they hold the permission to read when they make
it, and still do, in the same role, when it is used.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final, Protocol

import sqlalchemy as sa

from backend.core.context import Errand, Scope, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError, NotFoundError, UnavailableError
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.kit import credentials
from backend.managers.secrets import _rows
from backend.managers.secrets._grants import Grants, told_to_all
from backend.managers.secrets._reading import Reading
from backend.managers.secrets._values import Revealed, Token
from backend.managers.secrets.errors import (
    IssuerCannotReadError,
    SecretTokenForeignError,
    SecretTokenNotFoundError,
    SecretTokenSpentError,
)
from backend.managers.secrets.models import SecretRow, TokenRow

_TAG: Final = "once"
_SWEPT: Final = 1000
_NEEDED: Final = frozenset({"secret_token:issue", "secret:read"})


@dataclass(frozen=True, slots=True)
class Redemption:
    """What became of a token: the value, or why there is none, which is recorded as well."""

    revealed: Revealed | None
    refusal: AppError | None = None


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whether whoever made this token may read by it now."""

    token_id: str
    may_read: bool


class Standing(Protocol):
    """What somebody holds in a tenant; what is switched off or over permits nothing."""

    @property
    def role(self) -> str:
        """Its name."""

    @property
    def permissions(self) -> frozenset[str]:
        """What they may do now."""


FindStanding = Callable[[ReadTx, str], Awaitable[Standing]]


class Tokens:
    """Makes and takes them; of a token itself the database has a hash."""

    def __init__(self, reading: Reading, grants: Grants, *, keep_seconds: int) -> None:
        self._reading = reading
        self._grants = grants
        self._keep = timedelta(seconds=keep_seconds)
        self._errand: Errand
        self._find_standing: FindStanding

    def connect(self, errand: Errand, find_standing: FindStanding) -> None:
        """Have the rooms that know people, clients and keys say what an issuer still may.

        Args:
            errand: What looking takes.
            find_standing: Of a subject, as the trail names it; raises NotFoundError of nobody.
        """
        self._errand, self._find_standing = errand, find_standing

    async def issue(
        self,
        tx: Tx,
        *,
        path: str,
        environment: str,
        role: str | None,
        may: frozenset[str],
        workflow_id: str,
        execution_id: str | None,
        ttl_seconds: int,
        version: int | None = None,
    ) -> tuple[Token, str]:
        """Make a token; returns it with the token itself, which is kept nowhere.

        Args:
            tx: The act's.
            path: Of the secret.
            environment: Of the secret.
            role: The issuer's. What is closed to it by then is not read by the token either.
            may: The issuer's permissions.
            workflow_id: As n8n calls it.
            execution_id: As n8n calls it; None: whichever execution of the workflow comes first.
            ttl_seconds: How long it can be used, 1 to 3600.
            version: Which; None: the newest at that time.

        Raises:
            IssuerCannotReadError: The issuer may make tokens, and read no secrets.
            FolderClosedError: The secret lies in a folder that is closed to the role.
            SecretNotFoundError: There is no such secret.
            SecretVersionNotFoundError: It has no such version.
            SecretVersionGoneError: That version cannot be read any more.
        """
        if not may >= _NEEDED:
            raise IssuerCannotReadError
        tx.demand(_NEEDED)
        secret_id = await self._reading.find_readable(
            tx, path=path, environment=environment, role=role, version=version
        )
        token = credentials.mint(_TAG)
        row = TokenRow(
            tenant_id=tx.tenant_id,
            id=uuid7(),
            digest=credentials.digest_of(token),
            secret_id=secret_id,
            version=version,
            workflow_id=workflow_id,
            execution_id=execution_id,
            issuer_role=role,
            created_by=tx.scope.actor,
            created_at=tx.now(),
            expires_at=tx.now() + timedelta(seconds=ttl_seconds),
            used_at=None,
            used_version=None,
        )
        tx.session.add(row)
        told: dict[str, Any] = {"secret_id": secret_id, **_bound(row)}
        where = {"path": path, "environment": environment}
        tx.audit("secret_token.issued", f"secret_token:{row.id}", **where, **told)
        shown = await told_to_all(tx, path, environment)
        tx.emit("secret_token.issued", f"secret_token:{row.id}", **shown, **told)
        return _value(row), token

    async def list(
        self,
        tx: ReadTx,
        *,
        role: str | None,
        limit: int,
        before_id: str | None = None,
        secret_id: str | None = None,
    ) -> Sequence[Token]:
        """The tenant's tokens, or a secret's, newest first, one more than ``limit``.

        Not those of secrets in folders that are closed to the role.
        """
        query = sa.select(TokenRow).where(TokenRow.tenant_id == tx.tenant_id)
        if is_open := await self._grants.open_to(tx, role):
            of_it = sa.and_(
                SecretRow.tenant_id == TokenRow.tenant_id, SecretRow.id == TokenRow.secret_id
            )
            query = query.join(SecretRow, of_it).where(*is_open)
        if secret_id is not None:
            query = query.where(TokenRow.secret_id == secret_id)
        rows = await tx.scalars(newest(query, TokenRow.id, limit, before_id))
        return [_value(row) for row in rows]

    async def revoke(self, tx: Tx, token_id: str, *, role: str | None) -> None:
        """Forget a token: it is refused from now on.

        Raises:
            SecretTokenNotFoundError: No such token in this tenant.
            FolderClosedError: Its secret lies in a folder that is closed to the role.
        """
        row = await self._found(tx, TokenRow.id == token_id, locked=True)
        await _rows.load(tx, self._grants, row.secret_id, role, "read")
        await tx.session.delete(row)
        tx.audit("secret_token.revoked", f"secret_token:{row.id}", secret_id=row.secret_id)
        tx.emit("secret_token.revoked", f"secret_token:{row.id}", secret_id=row.secret_id)

    async def find_issuer(self, database: Database, scope: Scope, token: str) -> Issuer:
        """Whether whoever made a token may still read by it, for :meth:`redeem`.

        People belong to no tenant, so it takes an errand of its own: call it before the tenant's
        transaction, as close to it as a credential is looked at.

        Raises:
            SecretTokenNotFoundError: No such token in this tenant.
        """
        async with database.read(scope) as view:
            row = await self._found(view, _has(token))
        # None is who needs no role: whoever has a shell on the machine.
        if row.issuer_role is None:
            return Issuer(row.id, may_read=True)
        look = SystemScope(self._errand, actor=scope.actor, tenant_id=scope.tenant_id)
        async with database.read(look) as view:
            try:
                found = await self._find_standing(view, row.created_by)
            except NotFoundError:
                return Issuer(row.id, may_read=False)
        may_read = found.role == row.issuer_role and found.permissions >= _NEEDED
        return Issuer(row.id, may_read=may_read)

    async def redeem(
        self, tx: Tx, *, token: str, workflow_id: str, execution_id: str, issuer: Issuer
    ) -> Redemption:
        """Give the token's secret to the execution it is for, once.

        Of several at once one is given it. A refusal is returned and not raised, so that its record
        commits. When the secret itself cannot be read the token is left as it was.

        Returns:
            The value; or a SecretTokenForeignError for another workflow or execution; a
            SecretTokenSpentError when it was used or is over; an IssuerCannotReadError when who
            made it may not read any more, or has another role; a FolderClosedError when the folder
            was closed since to the role that made it; SecretNotFoundError,
            SecretVersionNotFoundError, SecretVersionGoneError, ReferenceBrokenError or
            SecretTooLargeError as reading it would raise.

        Raises:
            SecretTokenNotFoundError: No such token in this tenant.
            SealedError, KeyUnavailableError: Nothing of the tenant can be opened now.
        """
        row = await self._found(tx, _has(token), locked=True)
        may_read = issuer.may_read and issuer.token_id == row.id
        opened = await self._open(tx, row, workflow_id, execution_id, may_read=may_read)
        if isinstance(opened, AppError):
            told = {
                "secret_id": row.secret_id,
                "workflow_id": workflow_id,
                "execution_id": execution_id,
                "why": opened.code,
            }
            tx.audit("secret_token.refused", f"secret_token:{row.id}", **told)
            tx.emit("secret_token.refused", f"secret_token:{row.id}", **told)
            return Redemption(None, opened)
        row.execution_id = execution_id
        row.used_at, row.used_version = tx.now(), opened.version
        return Redemption(opened)

    async def _open(
        self, tx: Tx, row: TokenRow, workflow_id: str, execution_id: str, *, may_read: bool
    ) -> Revealed | AppError:
        """The value, or why there is none; then what was read on the way to it is undone."""
        refusal = self._refusal(tx, row, workflow_id, execution_id)
        if refusal is not None:
            return refusal
        if not may_read:
            return IssuerCannotReadError("Whoever made this token may not read secrets any more")
        try:
            # Nobody was given any of what a refused read has opened: its records go with it.
            async with tx.savepoint():
                return await self._reading.reveal(
                    tx,
                    row.secret_id,
                    role=row.issuer_role,
                    version=row.version,
                    workflow_id=workflow_id,
                    execution_id=execution_id,
                    token=row.id,
                )
        except UnavailableError:
            raise
        except AppError as exc:
            return exc

    async def sweep(self, tx: Tx) -> int:
        """Forget up to 1000 tokens that are over for a day (settings); returns how many."""
        return await tx.delete_some(
            TokenRow, TokenRow.expires_at <= tx.now() - self._keep, limit=_SWEPT
        )

    async def count_open(self, tx: ReadTx) -> Mapping[str, int]:
        """Tokens that can be used now, of all tenants. Needs a system errand."""
        query = sa.select(sa.func.count(TokenRow.id)).where(
            TokenRow.used_at.is_(None), TokenRow.expires_at > tx.now()
        )
        return {"": int(await tx.scalar(query))}

    @staticmethod
    def _refusal(tx: Tx, row: TokenRow, workflow_id: str, execution_id: str) -> AppError | None:
        # Whom it is for first: a stranger does not learn whether it was used.
        if row.workflow_id != workflow_id or row.execution_id not in {None, execution_id}:
            return SecretTokenForeignError()
        if row.used_at is not None:
            return SecretTokenSpentError("It was used", used_at=row.used_at.isoformat())
        if row.expires_at <= tx.now():
            return SecretTokenSpentError("Its time is over")
        return None

    @staticmethod
    async def _found(
        tx: ReadTx, which: sa.ColumnElement[bool], *, locked: bool = False
    ) -> TokenRow:
        query = sa.select(TokenRow).where(TokenRow.tenant_id == tx.tenant_id, which)
        row: TokenRow | None = await tx.scalar(query.with_for_update() if locked else query)
        if row is None:
            raise SecretTokenNotFoundError
        return row


def _has(token: str) -> sa.ColumnElement[bool]:
    if not credentials.is_well_formed(token):
        raise SecretTokenNotFoundError
    return TokenRow.digest == credentials.digest_of(token)


def _bound(row: TokenRow) -> dict[str, Any]:
    return {
        "workflow_id": row.workflow_id,
        "execution_id": row.execution_id,
        "version": row.version,
        "expires_at": row.expires_at.isoformat(),
    }


def _value(row: TokenRow) -> Token:
    return Token(**{one.name: getattr(row, one.name) for one in fields(Token)})
