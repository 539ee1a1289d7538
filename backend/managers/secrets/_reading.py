"""Reading secrets: what there is of them, and what is in them.

A value leaves by :meth:`Reading.read` and by :meth:`Reading.reveal`, which a token's redemption
uses, and by nothing else.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.paging import matches, named, newest
from backend.managers.secrets import _references, _rows
from backend.managers.secrets._grants import Grants
from backend.managers.secrets._values import (
    Difference,
    Revealed,
    Secret,
    Value,
    Version,
    refuse_place,
    unpacked,
)
from backend.managers.secrets.errors import (
    SecretNotFoundError,
    SecretVersionGoneError,
    SecretVersionNotFoundError,
)
from backend.managers.secrets.models import SecretRow, VersionRow
from backend.managers.security import SecurityManager

_MAX_ENVIRONMENTS: Final = 100


class Reading:
    """A tenant's secrets, as they are read.

    Wherever a role is asked for, it is the caller's; None is whoever needs no folder opened to
    them: an operator with a shell.
    """

    def __init__(self, security: SecurityManager, grants: Grants) -> None:
        self._security = security
        self._grants = grants

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
        row = await self._at(tx, path, environment, role)
        return await self._reveal(tx, row, role, version, resolve=resolve, said={})

    async def reveal(
        self, tx: Tx, secret_id: str, *, role: str | None, version: int | None, **said: str
    ) -> Revealed:
        """As :meth:`read`, by id and with all references; the trail keeps what is ``said`` of it.

        Raises:
            SecretNotFoundError, FolderClosedError, SecretVersionNotFoundError,
            SecretVersionGoneError, ReferenceBrokenError, SecretTooLargeError: As there.
        """
        row = await _rows.load(tx, self._grants, secret_id, role, "read")
        return await self._reveal(tx, row, role, version, resolve=True, said=said)

    async def find_readable(
        self, tx: Tx, *, path: str, environment: str, role: str | None, version: int | None
    ) -> str:
        """The id of a secret whose version the role can read now; nothing is opened.

        Raises:
            SecretValueError, FolderClosedError, SecretNotFoundError, SecretVersionNotFoundError,
            SecretVersionGoneError: As :meth:`read`.
        """
        row = await self._at(tx, path, environment, role)
        await self._version(tx, row, version)
        return row.id

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
        row = await _rows.load(tx, self._grants, secret_id, role, "read")
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
            **_rows.place(row),
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
        row = await _rows.load(tx, self._grants, secret_id, role, "read")
        return _rows.secret_of(row, await _rows.find_version(tx, row, row.newest), tx.now())

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
        wanted = [] if folder is None else [f"{folder.rstrip('/')}/*"]
        wanted += [] if path is None else [path]
        query = _rows.with_newest().where(
            SecretRow.tenant_id == tx.tenant_id,
            SecretRow.environment == environment,
            *(matches(tx, SecretRow.path, one)[0] for one in wanted),
            *await self._grants.open_to(tx, role, environment),
        )
        found = await tx.execute(named(tx, query, SecretRow.path, limit, after_name))
        return [_rows.secret_of(row, version, tx.now()) for row, version in found.all()]

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
        row = await _rows.load(tx, self._grants, secret_id, role, "read")
        query = sa.select(VersionRow).where(
            VersionRow.tenant_id == tx.tenant_id, VersionRow.secret_id == row.id
        )
        rows = await tx.scalars(newest(query, VersionRow.id, limit, before_id))
        return [_rows.version_of(row, one, tx.now()) for one in rows]

    async def newest_value(self, tx: Tx, row: SecretRow) -> Value:
        """What is in the newest version, for a change that begins with it; it goes nowhere else.

        Raises:
            SecretVersionGoneError: It cannot be read any more.
        """
        return await self._opened(tx, await self._version(tx, row, None))

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
            await self._grants.refuse_closed(
                tx, role, *sorted(paths), environment=row.environment, access="read"
            )
            values: dict[str, Value] = {}
            for other, one in await self._newest_at(tx, row.environment, paths):
                values[other.path] = await self._opened(tx, one)
                references.append(f"{other.path}@{one.version}")
                tx.audit(
                    "secret.value_read",
                    f"secret:{other.id}",
                    **_rows.place(other),
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
            **_rows.place(row),
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
            _rows.with_newest().where(
                SecretRow.tenant_id == tx.tenant_id,
                SecretRow.environment == environment,
                SecretRow.path.in_(paths),
            )
        )
        return [
            (row, one)
            for row, one in found.all()
            if one is not None and _rows.state_of(one, tx.now()) == "live"
        ]

    async def _at(self, tx: Tx, path: str, environment: str, role: str | None) -> SecretRow:
        refuse_place(path, environment)
        # Before the look: a closed path answers alike whether or not anything is there.
        await self._grants.refuse_closed(tx, role, path, environment=environment, access="read")
        row = await _rows.find(tx, path, environment)
        if row is None:
            raise SecretNotFoundError
        return row

    async def _version(self, tx: ReadTx, row: SecretRow, number: int | None) -> VersionRow:
        """A version that can be read, the newest unless one is named."""
        found = await _rows.find_version(tx, row, row.newest if number is None else number)
        if found is None:
            raise SecretVersionNotFoundError
        state = _rows.state_of(found, tx.now())
        if state != "live":
            raise SecretVersionGoneError(
                f"Version {found.version} is {state}", version=found.version, state=state
            )
        return found

    async def _opened(self, tx: ReadTx, version: VersionRow) -> Value:
        if version.sealed is None:
            raise SecretVersionGoneError
        keyring = await self._security.keyring(tx)
        return unpacked(keyring.open(_rows.place_of(version.id), version.sealed))


def _keyed(value: Value) -> dict[str, str]:
    return value if isinstance(value, dict) else {"": value}
