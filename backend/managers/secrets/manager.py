"""Rules of secrets: values in versions, sealed under the tenant's keys.

How they are written is here, how they are read in ``_reading.py``: no error, event, record of the
trail or ``repr`` holds a part of a value.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import Tx
from backend.core.ids import uuid7
from backend.managers.secrets import _references, _rows, _totals
from backend.managers.secrets._expiry import Expiry, first_due
from backend.managers.secrets._grants import Grants, told_to_all
from backend.managers.secrets._reading import Reading
from backend.managers.secrets._tokens import Tokens
from backend.managers.secrets._values import (
    Keeping,
    Secret,
    Value,
    Version,
    packed,
    refuse_place,
)
from backend.managers.secrets.errors import (
    CasMissingError,
    NotAnObjectError,
    SecretChangedError,
    SecretNotFoundError,
    SecretVersionLostError,
    SecretVersionNotFoundError,
)
from backend.managers.secrets.models import SecretRow, TokenRow, VersionRow
from backend.managers.secrets.settings import SecretsSettings
from backend.managers.security import SecurityManager
from backend.managers.tenant import TenantManager

_BITE: Final = 1000
_PATHS_AT_ONCE: Final = 64


class SecretManager:
    """A tenant's secrets, by environment and path.

    Wherever a role is asked for, it is the caller's; None is whoever needs no folder opened to
    them: an operator with a shell.

    Attributes:
        reading: What there is of secrets, and what is in them.
        tokens: Rights to read once.
        grants: Which folders are open to which roles.
        expiry: The end of values.
    """

    def __init__(
        self, security: SecurityManager, tenants: TenantManager, settings: SecretsSettings
    ) -> None:
        self._security = security
        self._quotas = tenants.quotas
        self.grants = Grants(tenants)
        self.reading = Reading(security, self.grants)
        self.tokens = Tokens(self.reading, self.grants, keep_seconds=settings.token_keep_seconds)
        self.expiry = Expiry()

    async def write(
        self,
        tx: Tx,
        *,
        path: str,
        environment: str,
        value: Value,
        role: str | None,
        cas: int | None = None,
        ttl_seconds: int | None = None,
    ) -> Version:
        """Make a secret, or its next version.

        Args:
            tx: The act's.
            path: At most 128 characters.
            environment: At most 40.
            value: At most 100 keys and 64 KiB.
            role: The caller's.
            cas: Check-and-set: the version that this replaces, 0 for none.
            ttl_seconds: How long the version lives; None: as the secret says.

        Raises:
            SecretValueError, SecretTooLargeError: It is no path, environment or value.
            FolderClosedError: The folder is closed to the role, or one that a reference leads to.
            SecretChangedError: Another version is the newest.
            CasMissingError: The secret asks for a check, and there is none.
            StockReachedError: The tenant may have no more secrets, or bytes of them.
        """
        refuse_place(path, environment)
        data = packed(value)
        await self._refuse_closed_references(tx, role, environment, value)
        await self.grants.refuse_closed(tx, role, path, environment=environment, access="write")
        row = await _rows.find(tx, path, environment, locked=True)
        if row is None:
            if cas not in {None, 0}:
                raise SecretChangedError("There is no such secret")
            row = await self._create(tx, path, environment)
        self._refuse_stale(row, cas)
        return await self._append(tx, row, data, ttl_seconds)

    async def patch(
        self,
        tx: Tx,
        secret_id: str,
        *,
        changes: Mapping[str, str | None],
        role: str | None,
        cas: int | None = None,
        ttl_seconds: int | None = None,
    ) -> Version:
        """Make the next version of the newest one: other keys, None takes one away (RFC 7396).

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role, or one that a new reference leads
                to.
            SecretChangedError: Another version is the newest.
            CasMissingError: The secret asks for a check, and there is none.
            SecretVersionGoneError: The newest version cannot be read any more.
            NotAnObjectError: It is one text.
            SecretValueError, SecretTooLargeError: What comes out is no value.
            StockReachedError: The tenant may have no more bytes of secrets.
        """
        row = await self._locked(tx, secret_id, role)
        self._refuse_stale(row, cas)
        value = await self.reading.newest_value(tx, row)
        if not isinstance(value, dict):
            raise NotAnObjectError
        said = {key: text for key, text in changes.items() if text is not None}
        await self._refuse_closed_references(tx, role, row.environment, said)
        merged = {key: text for key, text in {**value, **changes}.items() if text is not None}
        return await self._append(tx, row, packed(merged), ttl_seconds)

    async def change(
        self, tx: Tx, secret_id: str, keeping: Keeping, *, role: str | None, revision: str | None
    ) -> Secret:
        """Say anew how a secret is kept; more versions than are to be kept go with it.

        What lives already keeps its end. ``revision`` None: whatever it was.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
            SecretChangedError: It has another revision.
        """
        row = await self._locked(tx, secret_id, role)
        if revision not in {None, row.revision}:
            raise SecretChangedError
        row.description, row.labels = keeping.description, dict(keeping.labels)
        row.max_versions, row.cas_required = keeping.max_versions, keeping.cas_required
        row.ttl_seconds, row.remind_seconds = keeping.ttl_seconds, keeping.remind_seconds
        row.revision, row.updated_at = uuid7(), tx.now()
        gone = await self._drop_versions(tx, row, up_to=row.newest - row.max_versions)
        await _record(
            tx,
            "secret.changed",
            row,
            max_versions=row.max_versions,
            cas_required=row.cas_required,
            ttl_seconds=row.ttl_seconds,
        )
        newest_version = await _rows.find_version(tx, row, row.newest)
        await _totals.add(tx, size_bytes=-gone)
        return _rows.secret_of(row, newest_version, tx.now())

    async def delete(self, tx: Tx, secret_id: str, *, role: str | None) -> None:
        """Destroy a secret with all its versions and tokens; nothing brings it back.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
        """
        row = await self._locked(tx, secret_id, role)
        gone = await self._drop_versions(tx, row, up_to=row.newest)
        of_it = (TokenRow.tenant_id == tx.tenant_id, TokenRow.secret_id == row.id)
        while await tx.delete_some(TokenRow, *of_it, limit=_BITE):
            pass
        await tx.session.delete(row)
        await _record(tx, "secret.deleted", row, version=row.newest)
        await _totals.add(tx, secrets=-1, size_bytes=-gone)

    async def delete_version(
        self, tx: Tx, secret_id: str, version: int, *, role: str | None
    ) -> Version:
        """Let a version be read no more, until it is undeleted; again changes nothing.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
            SecretVersionNotFoundError: It has no such version.
        """
        row, found = await self._version_locked(tx, secret_id, version, role)
        if found.deleted_at is None and found.destroyed_at is None:
            found.deleted_at = tx.now()
            await self._tell(tx, row, found, "secret.version_deleted")
        return _rows.version_of(row, found, tx.now())

    async def undelete_version(
        self, tx: Tx, secret_id: str, version: int, *, role: str | None
    ) -> Version:
        """Let a deleted version be read again.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
            SecretVersionNotFoundError: It has no such version.
            SecretVersionLostError: Its value was destroyed, or its time is over.
        """
        row, found = await self._version_locked(tx, secret_id, version, role)
        if _rows.is_lost(found, tx.now()):
            raise SecretVersionLostError
        if found.deleted_at is not None:
            found.deleted_at = None
            await self._tell(tx, row, found, "secret.version_undeleted")
        return _rows.version_of(row, found, tx.now())

    async def destroy_version(
        self, tx: Tx, secret_id: str, version: int, *, role: str | None
    ) -> Version:
        """Destroy a version's value for good; that there was one stays. Again changes nothing.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
            SecretVersionNotFoundError: It has no such version.
        """
        row, found = await self._version_locked(tx, secret_id, version, role)
        if found.destroyed_at is None:
            size = found.size_bytes
            found.sealed, found.size_bytes = None, 0
            found.destroyed_at, found.due_at = tx.now(), None
            await self._tell(tx, row, found, "secret.version_destroyed")
            await _totals.add(tx, size_bytes=-size)
        return _rows.version_of(row, found, tx.now())

    # --- what they share -------------------------------------------------------------------------

    async def _refuse_closed_references(
        self, tx: Tx, role: str | None, environment: str, value: Value
    ) -> None:
        # Else who may read less has it read to them: by whoever reads this, with more rights.
        paths = sorted(_references.paths_in(value))
        # A text may name thousands, and each as many folders as a statement has room for.
        for at in range(0, len(paths), _PATHS_AT_ONCE):
            some = paths[at : at + _PATHS_AT_ONCE]
            await self.grants.refuse_closed(tx, role, *some, environment=environment, access="read")

    async def _create(self, tx: Tx, path: str, environment: str) -> SecretRow:
        await self._quotas.hold(tx, "secrets", 1, lambda: _totals.count_secrets(tx))
        usual, now = Keeping(), tx.now()
        row = {
            "tenant_id": tx.tenant_id,
            "id": uuid7(),
            "environment": environment,
            "path": path,
            "description": usual.description,
            "labels": dict(usual.labels),
            "newest": 0,
            "max_versions": usual.max_versions,
            "cas_required": usual.cas_required,
            "ttl_seconds": usual.ttl_seconds,
            "remind_seconds": usual.remind_seconds,
            "revision": uuid7(),
            "created_by": tx.scope.actor,
            "created_at": now,
            "updated_at": now,
        }
        # Of two who make it at once the second waits here, and writes the second version.
        await tx.insert_new(SecretRow, row, conflict=["tenant_id", "environment", "path"])
        made = await _rows.find(tx, path, environment, locked=True)
        if made is None:
            raise SecretNotFoundError
        return made

    async def _append(
        self, tx: Tx, row: SecretRow, data: bytes, ttl_seconds: int | None
    ) -> Version:
        keyring = await self._security.keyring(tx)
        version_id, now = uuid7(), tx.now()
        sealed = keyring.seal(_rows.place_of(version_id), data)
        number = row.newest + 1
        # First, though it changes something: whoever is at the limit may still replace a value.
        gone = await self._drop_versions(tx, row, up_to=number - row.max_versions)
        if len(sealed) > gone:
            more = len(sealed) - gone
            await self._quotas.hold(tx, "secret_bytes", more, lambda: _totals.count_bytes(tx))
        lives = row.ttl_seconds if ttl_seconds is None else ttl_seconds
        expires_at = None if lives is None else now + timedelta(seconds=lives)
        made = VersionRow(
            tenant_id=tx.tenant_id,
            id=version_id,
            secret_id=row.id,
            version=number,
            sealed=sealed,
            size_bytes=len(sealed),
            created_by=tx.scope.actor,
            created_at=now,
            expires_at=expires_at,
            deleted_at=None,
            destroyed_at=None,
            due_at=first_due(now, expires_at, row.remind_seconds),
        )
        tx.session.add(made)
        row.newest, row.updated_at = number, now
        await self._tell(tx, row, made, "secret.saved")
        await _totals.add(tx, secrets=int(made.version == 1), size_bytes=len(sealed) - gone)
        return _rows.version_of(row, made, now)

    @staticmethod
    async def _drop_versions(tx: Tx, row: SecretRow, *, up_to: int) -> int:
        """Destroy the versions up to a number; how many bytes they had."""
        # Never many: a secret has a hundred at most.
        gone = await tx.scalars(
            sa.delete(VersionRow)
            .where(
                VersionRow.tenant_id == tx.tenant_id,
                VersionRow.secret_id == row.id,
                VersionRow.version <= up_to,
            )
            .returning(VersionRow.size_bytes)
            .execution_options(synchronize_session=False)
        )
        return sum(gone)

    @staticmethod
    def _refuse_stale(row: SecretRow, cas: int | None) -> None:
        if cas is None and row.cas_required:
            raise CasMissingError(newest_version=row.newest).at("cas")
        if cas not in {None, row.newest}:
            raise SecretChangedError(
                f"The newest version is {row.newest}", newest_version=row.newest
            )

    async def _locked(self, tx: Tx, secret_id: str, role: str | None) -> SecretRow:
        return await _rows.load(tx, self.grants, secret_id, role, "write", locked=True)

    async def _version_locked(
        self, tx: Tx, secret_id: str, number: int, role: str | None
    ) -> tuple[SecretRow, VersionRow]:
        # All changes of versions wait for the secret's row, so that none needs a lock of its own.
        row = await self._locked(tx, secret_id, role)
        found = await _rows.find_version(tx, row, number)
        if found is None:
            raise SecretVersionNotFoundError
        return row, found

    @staticmethod
    async def _tell(tx: Tx, row: SecretRow, version: VersionRow, what: str) -> None:
        told: dict[str, Any] = {"version": version.version}
        if version.expires_at is not None and what == "secret.saved":
            told["expires_at"] = version.expires_at.isoformat()
        await _record(tx, what, row, **told)


async def _record(tx: Tx, what: str, row: SecretRow, **told: Any) -> None:
    """An act on a secret, for the trail and for those who follow events."""
    tx.audit(what, f"secret:{row.id}", **_rows.place(row), **told)
    shown = await told_to_all(tx, row.path, row.environment)
    tx.emit(what, f"secret:{row.id}", **shown, **told)
