"""Rules of secrets: values in versions, sealed under the tenant's keys.

A value leaves by :meth:`SecretManager.read` and by a token's redemption, and by nothing else: no
error, event, record of the trail or ``repr`` holds a part of one.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import matches, named, newest
from backend.managers.secrets import _references, _totals
from backend.managers.secrets._expiry import Expiry, first_due
from backend.managers.secrets._grants import Grants, told_to_all
from backend.managers.secrets._tokens import Tokens
from backend.managers.secrets._values import (
    Access,
    Difference,
    Keeping,
    Revealed,
    Secret,
    State,
    Value,
    Version,
    packed,
    refuse_place,
    unpacked,
)
from backend.managers.secrets.errors import (
    CasMissingError,
    NotAnObjectError,
    SecretChangedError,
    SecretNotFoundError,
    SecretVersionGoneError,
    SecretVersionLostError,
    SecretVersionNotFoundError,
)
from backend.managers.secrets.models import SecretRow, TokenRow, VersionRow
from backend.managers.secrets.settings import SecretsSettings
from backend.managers.security import SecurityManager
from backend.managers.tenant import TenantManager

_BITE: Final = 1000
_MAX_ENVIRONMENTS: Final = 100


class SecretManager:
    """A tenant's secrets, by environment and path.

    Wherever a role is asked for, it is the caller's; None is whoever needs no folder opened to
    them: an operator with a shell.

    Attributes:
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
        self.tokens = Tokens(self, self.grants, keep_seconds=settings.token_keep_seconds)
        self.expiry = Expiry()

    # --- writing ---------------------------------------------------------------------------------

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
            FolderClosedError: The folder is closed to the role.
            SecretChangedError: Another version is the newest.
            CasMissingError: The secret asks for a check, and there is none.
            StockReachedError: The tenant may have no more secrets, or bytes of them.
        """
        refuse_place(path, environment)
        data = packed(value)
        await self._open_to(tx, role, path, environment, "write")
        row = await self._find(tx, path, environment, lock=True)
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
            FolderClosedError: The folder is closed to the role.
            SecretChangedError: Another version is the newest.
            CasMissingError: The secret asks for a check, and there is none.
            SecretVersionGoneError: The newest version cannot be read any more.
            NotAnObjectError: It is one text.
            SecretValueError, SecretTooLargeError: What comes out is no value.
            StockReachedError: The tenant may have no more bytes of secrets.
        """
        row = await self._locked(tx, secret_id, role, "write")
        self._refuse_stale(row, cas)
        value = await self._opened(tx, await self._version(tx, row, None))
        if not isinstance(value, dict):
            raise NotAnObjectError
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
        row = await self._locked(tx, secret_id, role, "write")
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
        newest_version = await self._find_version(tx, row, row.newest)
        await _totals.add(tx, size_bytes=-gone)
        return _secret(row, newest_version, tx.now())

    async def delete(self, tx: Tx, secret_id: str, *, role: str | None) -> None:
        """Destroy a secret with all its versions and tokens; nothing brings it back.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
        """
        row = await self._locked(tx, secret_id, role, "write")
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
        return _version(row, found, tx.now())

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
        if _state(found, tx.now(), deleted=False) != "live":
            raise SecretVersionLostError
        if found.deleted_at is not None:
            found.deleted_at = None
            await self._tell(tx, row, found, "secret.version_undeleted")
        return _version(row, found, tx.now())

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
        return _version(row, found, tx.now())

    # --- reading ---------------------------------------------------------------------------------

    async def read(
        self,
        tx: Tx,
        *,
        path: str,
        environment: str,
        role: str | None,
        version: int | None = None,
        resolve: bool = True,
    ) -> Revealed:
        """A version's value, the newest's unless one is named; the trail keeps that it was read.

        Args:
            tx: A write transaction: no record, no value.
            path: Of the secret.
            environment: Of the secret.
            role: The caller's; what is closed to it is not referred to either.
            version: Which.
            resolve: Whether references are replaced by what they lead to.

        Raises:
            SecretValueError: It is no path, or no environment.
            FolderClosedError: A folder, of this secret or of one it refers to, is closed.
            SecretNotFoundError: There is no such secret.
            SecretVersionNotFoundError: It has no such version.
            SecretVersionGoneError: It is deleted, destroyed or expired.
            ReferenceBrokenError, SecretTooLargeError: A reference cannot be resolved.
        """
        refuse_place(path, environment)
        await self._open_to(tx, role, path, environment, "read")
        row = await self._find(tx, path, environment)
        if row is None:
            raise SecretNotFoundError
        return await self._reveal(tx, row, role, version, resolve=resolve, said={})

    async def reveal(
        self, tx: Tx, secret_id: str, *, role: str | None, version: int | None, **said: str
    ) -> Revealed:
        """As :meth:`read`, by id and with all references; the trail keeps what is ``said`` of it.

        Raises:
            SecretNotFoundError, FolderClosedError, SecretVersionNotFoundError,
            SecretVersionGoneError, ReferenceBrokenError, SecretTooLargeError: As there.
        """
        row = await self._get(tx, secret_id, role, "read")
        return await self._reveal(tx, row, role, version, resolve=True, said=said)

    async def find_readable(
        self, tx: Tx, *, path: str, environment: str, role: str | None, version: int | None
    ) -> str:
        """The id of a secret whose version the role can read now; nothing is opened.

        Raises:
            SecretValueError, FolderClosedError, SecretNotFoundError, SecretVersionNotFoundError,
            SecretVersionGoneError: As :meth:`read`.
        """
        refuse_place(path, environment)
        await self._open_to(tx, role, path, environment, "read")
        row = await self._find(tx, path, environment)
        if row is None:
            raise SecretNotFoundError
        await self._version(tx, row, version)
        return row.id

    async def refuse_closed(self, tx: ReadTx, secret_id: str, role: str | None) -> None:
        """Refuse a role that may not read the secret; nothing is opened.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
        """
        await self._get(tx, secret_id, role, "read")

    async def compare(
        self, tx: Tx, secret_id: str, *, from_version: int, to_version: int, role: str | None
    ) -> Difference:
        """Which keys came, went, changed and stayed between two versions; no value.

        A secret that is one text has the key ``""``. References are compared as they are written.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
            SecretVersionNotFoundError: It has no such version.
            SecretVersionGoneError: One of them cannot be read any more.
        """
        row = await self._get(tx, secret_id, role, "read")
        old, new = [
            _keyed(await self._opened(tx, await self._version(tx, row, number)))
            for number in (from_version, to_version)
        ]
        both = sorted(old.keys() & new.keys())
        found = Difference(
            from_version,
            to_version,
            added=sorted(new.keys() - old.keys()),
            removed=sorted(old.keys() - new.keys()),
            changed=[key for key in both if old[key] != new[key]],
            same=[key for key in both if old[key] == new[key]],
        )
        tx.audit(
            "secret.compared",
            f"secret:{row.id}",
            **_place(row),
            from_version=from_version,
            to_version=to_version,
        )
        return found

    async def get(self, tx: ReadTx, secret_id: str, *, role: str | None) -> Secret:
        """A secret without its values.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
        """
        row = await self._get(tx, secret_id, role, "read")
        return _secret(row, await self._find_version(tx, row, row.newest), tx.now())

    async def list(
        self,
        tx: ReadTx,
        *,
        environment: str,
        role: str | None,
        limit: int,
        after_name: str | None = None,
        folder: str | None = None,
        path: str | None = None,
    ) -> Sequence[Secret]:
        """An environment's secrets by path, one more than ``limit``; not those in closed folders.

        ``folder``: those below it, however deep. ``path``: this one, or those that begin so when it
        ends in ``*``.
        """
        newest_of = sa.and_(
            VersionRow.tenant_id == SecretRow.tenant_id,
            VersionRow.secret_id == SecretRow.id,
            VersionRow.version == SecretRow.newest,
        )
        wanted = [] if folder is None else [f"{folder.rstrip('/')}/*"]
        wanted += [] if path is None else [path]
        query = (
            sa.select(SecretRow, VersionRow)
            .outerjoin(VersionRow, newest_of)
            .where(
                SecretRow.tenant_id == tx.tenant_id,
                SecretRow.environment == environment,
                *(matches(tx, SecretRow.path, one)[0] for one in wanted),
                *await self.grants.open_to(tx, role, environment),
            )
        )
        found = await tx.execute(named(tx, query, SecretRow.path, limit, after_name))
        return [_secret(row, version, tx.now()) for row, version in found.all()]

    async def list_environments(self, tx: ReadTx) -> Sequence[str]:
        """The environments that the tenant has secrets in, by name; the first hundred."""
        found: list[str] = []
        while len(found) < _MAX_ENVIRONMENTS:
            # One look into the index for each: a DISTINCT would read every secret of the tenant.
            query = sa.select(sa.func.min(SecretRow.environment)).where(
                SecretRow.tenant_id == tx.tenant_id,
                SecretRow.environment > (found[-1] if found else ""),
            )
            name = await tx.scalar(query)
            if name is None:
                break
            found.append(name)
        return found

    async def list_versions(
        self,
        tx: ReadTx,
        secret_id: str,
        *,
        role: str | None,
        limit: int,
        before_id: str | None = None,
    ) -> Sequence[Version]:
        """A secret's versions without their values, newest first, one more than ``limit``.

        Raises:
            SecretNotFoundError: No such secret in this tenant.
            FolderClosedError: The folder is closed to the role.
        """
        row = await self._get(tx, secret_id, role, "read")
        query = sa.select(VersionRow).where(
            VersionRow.tenant_id == tx.tenant_id, VersionRow.secret_id == row.id
        )
        rows = await tx.scalars(newest(query, VersionRow.id, limit, before_id))
        return [_version(row, one, tx.now()) for one in rows]

    async def count(self, tx: ReadTx) -> int:
        """How many secrets the tenant has."""
        return await _totals.count_secrets(tx)

    async def count_bytes(self, tx: ReadTx) -> int:
        """How many bytes the values of the tenant's secrets have, sealed, in all versions."""
        return await _totals.count_bytes(tx)

    # --- what they share -------------------------------------------------------------------------

    async def _reveal(
        self,
        tx: Tx,
        row: SecretRow,
        role: str | None,
        number: int | None,
        *,
        resolve: bool,
        said: Mapping[str, str],
    ) -> Revealed:
        version = await self._version(tx, row, number)
        value = await self._opened(tx, version)
        references: list[str] = []

        async def load(paths: Collection[str]) -> Mapping[str, Value]:
            await self.grants.refuse_closed(
                tx, role, *sorted(paths), environment=row.environment, access="read"
            )
            values: dict[str, Value] = {}
            for other, one in await self._newest_at(tx, row.environment, paths):
                values[other.path] = await self._opened(tx, one)
                references.append(f"{other.path}@{one.version}")
                tx.audit(
                    "secret.value_read",
                    f"secret:{other.id}",
                    **_place(other),
                    version=one.version,
                    referred_by=row.id,
                    **said,
                )
            return values

        if resolve:
            value = await _references.resolve(row.path, value, load)
        tx.audit(
            "secret.redeemed" if said else "secret.value_read",
            f"secret:{row.id}",
            **_place(row),
            version=version.version,
            **said,
        )
        return Revealed(
            row.id,
            row.path,
            row.environment,
            version.version,
            version.created_at,
            version.expires_at,
            value,
            tuple(sorted(references)),
        )

    async def _newest_at(
        self, tx: Tx, environment: str, paths: Collection[str]
    ) -> Sequence[tuple[SecretRow, VersionRow]]:
        """The secrets at these paths whose newest version can be read."""
        found = await tx.execute(
            sa.select(SecretRow, VersionRow)
            .join(
                VersionRow,
                sa.and_(
                    VersionRow.tenant_id == SecretRow.tenant_id,
                    VersionRow.secret_id == SecretRow.id,
                    VersionRow.version == SecretRow.newest,
                ),
            )
            .where(
                SecretRow.tenant_id == tx.tenant_id,
                SecretRow.environment == environment,
                SecretRow.path.in_(paths),
            )
        )
        return [(row, one) for row, one in found.all() if _state(one, tx.now()) == "live"]

    async def _create(self, tx: Tx, path: str, environment: str) -> SecretRow:
        await self._quotas.hold(tx, "secrets", 1, lambda: self.count(tx))
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
        made = await self._find(tx, path, environment, lock=True)
        if made is None:
            raise SecretNotFoundError
        return made

    async def _append(
        self, tx: Tx, row: SecretRow, data: bytes, ttl_seconds: int | None
    ) -> Version:
        keyring = await self._security.keyring(tx)
        version_id, now = uuid7(), tx.now()
        sealed = keyring.seal(place_of(version_id), data)
        number = row.newest + 1
        # First, though it changes something: whoever is at the limit may still replace a value.
        gone = await self._drop_versions(tx, row, up_to=number - row.max_versions)
        if len(sealed) > gone:
            more = len(sealed) - gone
            await self._quotas.hold(tx, "secret_bytes", more, lambda: self.count_bytes(tx))
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
        return _version(row, made, now)

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

    async def _opened(self, tx: ReadTx, version: VersionRow) -> Value:
        if version.sealed is None:
            raise SecretVersionGoneError
        keyring = await self._security.keyring(tx)
        return unpacked(keyring.open(place_of(version.id), version.sealed))

    async def _open_to(
        self, tx: ReadTx, role: str | None, path: str, environment: str, access: Access
    ) -> None:
        await self.grants.refuse_closed(tx, role, path, environment=environment, access=access)

    async def _find(
        self, tx: ReadTx, path: str, environment: str, *, lock: bool = False
    ) -> SecretRow | None:
        query = sa.select(SecretRow).where(
            SecretRow.tenant_id == tx.tenant_id,
            SecretRow.environment == environment,
            SecretRow.path == path,
        )
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        row: SecretRow | None = await tx.scalar(query)
        return row

    async def _get(
        self, tx: ReadTx, secret_id: str, role: str | None, access: Access, *, lock: bool = False
    ) -> SecretRow:
        query = sa.select(SecretRow).where(
            SecretRow.tenant_id == tx.tenant_id, SecretRow.id == secret_id
        )
        row: SecretRow | None = await tx.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise SecretNotFoundError
        await self._open_to(tx, role, row.path, row.environment, access)
        return row

    async def _locked(self, tx: Tx, secret_id: str, role: str | None, access: Access) -> SecretRow:
        return await self._get(tx, secret_id, role, access, lock=True)

    async def _find_version(self, tx: ReadTx, row: SecretRow, number: int) -> VersionRow | None:
        found: VersionRow | None = await tx.scalar(
            sa.select(VersionRow).where(
                VersionRow.tenant_id == tx.tenant_id,
                VersionRow.secret_id == row.id,
                VersionRow.version == number,
            )
        )
        return found

    async def _version(self, tx: ReadTx, row: SecretRow, number: int | None) -> VersionRow:
        """A version that can be read, the newest unless one is named."""
        found = await self._find_version(tx, row, row.newest if number is None else number)
        if found is None:
            raise SecretVersionNotFoundError
        state = _state(found, tx.now())
        if state != "live":
            raise SecretVersionGoneError(
                f"Version {found.version} is {state}", version=found.version, state=state
            )
        return found

    async def _version_locked(
        self, tx: Tx, secret_id: str, number: int, role: str | None
    ) -> tuple[SecretRow, VersionRow]:
        # All changes of versions wait for the secret's row, so that none needs a lock of its own.
        row = await self._locked(tx, secret_id, role, "write")
        found = await self._find_version(tx, row, number)
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
    tx.audit(what, f"secret:{row.id}", **_place(row), **told)
    shown = await told_to_all(tx, row.path, row.environment)
    tx.emit(what, f"secret:{row.id}", **shown, **told)


def place_of(version_id: str) -> str:
    """The place that a version's value is sealed for."""
    return f"secret.version:{version_id}"


def _place(row: SecretRow) -> dict[str, str]:
    return {"path": row.path, "environment": row.environment}


def _keyed(value: Value) -> dict[str, str]:
    return value if isinstance(value, dict) else {"": value}


def _state(version: VersionRow, now: datetime, *, deleted: bool = True) -> State:
    if version.destroyed_at is not None:
        return "destroyed"
    if version.expires_at is not None and version.expires_at <= now:
        return "expired"
    return "deleted" if deleted and version.deleted_at is not None else "live"


def _secret(row: SecretRow, newest_version: VersionRow | None, now: datetime) -> Secret:
    return Secret(
        row.id,
        row.environment,
        row.path,
        row.description,
        row.labels,
        row.newest,
        "destroyed" if newest_version is None else _state(newest_version, now),
        None if newest_version is None else newest_version.expires_at,
        row.max_versions,
        row.cas_required,
        row.ttl_seconds,
        row.remind_seconds,
        row.created_by,
        row.created_at,
        row.updated_at,
        row.revision,
    )


def _version(row: SecretRow, version: VersionRow, now: datetime) -> Version:
    return Version(
        version.id,
        row.id,
        row.path,
        row.environment,
        version.version,
        _state(version, now),
        version.size_bytes,
        version.created_by,
        version.created_at,
        version.expires_at,
        version.deleted_at,
        version.destroyed_at,
    )
