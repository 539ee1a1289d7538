"""Which folders are open to whom, on top of the permission that a route asks for.

A folder without grants is as open as what lies around it, and the whole tree as the permissions
say. Once a folder has a grant it is closed to every role that has none there: of the folders a
secret lies in, the deepest that has any grant in its environment decides, so that a folder can be
narrowed within an open one and opened within a closed one.
"""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.errors import placed
from backend.core.ids import uuid7
from backend.core.paging import matches, newest
from backend.managers.secrets._values import (
    EVERY_ENVIRONMENT,
    Access,
    Grant,
    folders_of,
    refuse_place,
)
from backend.managers.secrets.errors import (
    FolderClosedError,
    GrantNotFoundError,
    TooManyGrantsError,
)
from backend.managers.secrets.models import GrantRow, SecretRow
from backend.managers.tenant import TenantManager

_MAX_GRANTS: Final = 500


class Grants:
    """A tenant's folders and the roles that they are open to.

    Wherever a role is asked for, None is whoever needs no grant: an operator with a shell, and the
    platform itself.
    """

    def __init__(self, tenants: TenantManager) -> None:
        self._tenants = tenants

    async def add(
        self, tx: Tx, *, folder: str, environment: str, role: str, access: Access
    ) -> tuple[Grant, bool]:
        """Open a folder to a role, and so close it to all that have no grant there.

        Of a role that has one it replaces the access. ``write`` includes ``read``.

        Returns:
            The grant, and whether it is new.

        Raises:
            SecretValueError: It is no folder, or no environment.
            RoleUnknownError: The tenant has no such role.
            TooManyGrantsError: The tenant has 500.
        """
        with placed("folder"):
            refuse_place(folder, "x" if environment == EVERY_ENVIRONMENT else environment)
        # Of anybody: a grant adds no permission to whoever holds the role.
        await self._tenants.roles.refuse_higher(tx, role, None)
        count = sa.select(sa.func.count(GrantRow.id)).where(GrantRow.tenant_id == tx.tenant_id)
        if await tx.scalar(count) >= _MAX_GRANTS:
            raise TooManyGrantsError(f"A tenant has at most {_MAX_GRANTS}")
        key = {"folder": folder, "environment": environment, "role": role}
        row = {
            "tenant_id": tx.tenant_id,
            "id": uuid7(),
            **key,
            "access": access,
            "created_by": tx.scope.actor,
            "created_at": tx.now(),
        }
        await tx.upsert(GrantRow, row, conflict=["tenant_id", *key], update={"access": access})
        made = await tx.scalar(
            sa.select(GrantRow)
            .where(
                GrantRow.tenant_id == tx.tenant_id,
                GrantRow.folder == folder,
                GrantRow.environment == environment,
                GrantRow.role == role,
            )
            .execution_options(populate_existing=True)
        )
        tx.audit("secret_grant.added", f"secret_grant:{made.id}", **key, access=access)
        tx.emit("secret_grant.added", f"secret_grant:{made.id}", **key, access=access)
        return _value(made), made.id == row["id"]

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[Grant]:
        """Newest first, one more than ``limit``."""
        query = sa.select(GrantRow).where(GrantRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, GrantRow.id, limit, before_id))
        return [_value(row) for row in rows]

    async def remove(self, tx: Tx, grant_id: str) -> None:
        """Take it away; with the last one of a folder what lies around it decides again.

        Raises:
            GrantNotFoundError: No such grant in this tenant.
        """
        row = await tx.scalar(
            sa.select(GrantRow)
            .where(GrantRow.tenant_id == tx.tenant_id, GrantRow.id == grant_id)
            .with_for_update()
        )
        if row is None:
            raise GrantNotFoundError
        await tx.session.delete(row)
        told = {"folder": row.folder, "environment": row.environment, "role": row.role}
        tx.audit("secret_grant.removed", f"secret_grant:{row.id}", **told)
        tx.emit("secret_grant.removed", f"secret_grant:{row.id}", **told)

    async def refuse_closed(
        self, tx: ReadTx, role: str | None, *paths: str, environment: str, access: Access
    ) -> None:
        """Refuse a role that one of the paths is closed to, whether or not anything is there.

        Raises:
            FolderClosedError: Names the folder that decides.
        """
        folders = {folder for path in paths for folder in folders_of(path)}
        if role is None or not folders:
            return
        found = await tx.execute(
            sa.select(GrantRow.folder, GrantRow.role, GrantRow.access).where(
                GrantRow.tenant_id == tx.tenant_id,
                GrantRow.folder.in_(folders),
                GrantRow.environment.in_((environment, EVERY_ENVIRONMENT)),
            )
        )
        granted: dict[str, dict[str, set[str]]] = {}
        for folder, holder, kind in found:
            granted.setdefault(folder, {}).setdefault(holder, set()).add(kind)
        for path in paths:
            decides = next((one for one in folders_of(path) if one in granted), None)
            if decides is None:
                continue
            given = granted[decides].get(role, set())
            if not given or (access == "write" and "write" not in given):
                raise FolderClosedError(
                    f"The folder {decides} is not open to the role {role} to {access}",
                    folder=decides,
                )

    async def open_to(
        self, tx: ReadTx, role: str | None, environment: str | None = None
    ) -> Sequence[sa.ColumnElement[bool]]:
        """The condition of lists: secrets that lie in no folder closed to the role.

        Of those of one environment if it is named; the list's own condition says which.
        """
        if role is None:
            return ()
        query = sa.select(GrantRow.folder, GrantRow.environment, GrantRow.role).where(
            GrantRow.tenant_id == tx.tenant_id
        )
        if environment is not None:
            query = query.where(GrantRow.environment.in_((environment, EVERY_ENVIRONMENT)))
        holders: dict[str, dict[str, set[str]]] = {}
        for folder, where, holder in await tx.execute(query):
            holders.setdefault(folder, {}).setdefault(where, set()).add(holder)
        # The first that applies decides: the deepest folder, of that what its environment has.
        decides: list[tuple[sa.ColumnElement[bool], bool]] = []
        for folder in sorted(holders, key=lambda one: -one.count("/")):
            below = matches(tx, SecretRow.path, f"{folder}/*")[0]
            everywhere = holders[folder].pop(EVERY_ENVIRONMENT, set())
            for where, named in holders[folder].items():
                is_there = sa.and_(below, SecretRow.environment == where)
                decides.append((is_there, role in named | everywhere))
            if everywhere:
                decides.append((below, role in everywhere))
        if all(is_open for _, is_open in decides):
            return ()
        cases = [(where, sa.true() if is_open else sa.false()) for where, is_open in decides]
        return (sa.case(*cases, else_=sa.true()),)


async def told_to_all(tx: ReadTx, path: str, environment: str) -> dict[str, str]:
    """Where a secret is, as events may say it; of one in a folder with grants its path is left out.

    Whoever may follow the events of secrets reads all of them: no folder is asked for there.
    """
    narrowed = sa.select(GrantRow.id).where(
        GrantRow.tenant_id == tx.tenant_id,
        GrantRow.folder.in_(folders_of(path)),
        GrantRow.environment.in_((environment, EVERY_ENVIRONMENT)),
    )
    if folders_of(path) and await tx.scalar(narrowed.limit(1)) is not None:
        return {"environment": environment}
    return {"path": path, "environment": environment}


def _value(row: GrantRow) -> Grant:
    access: Access = "write" if row.access == "write" else "read"
    return Grant(
        row.id, row.folder, row.environment, row.role, access, row.created_by, row.created_at
    )
