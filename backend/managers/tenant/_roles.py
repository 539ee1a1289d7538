"""The permission matrix: the built-in roles, over what all rooms declare, and each tenant's own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args

import sqlalchemy as sa
from pydantic import Field

from backend.core.database import ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT
from backend.managers.tenant._values import PRINCIPALS
from backend.managers.tenant.errors import (
    PermissionUnknownError,
    RoleBuiltInError,
    RoleChangedError,
    RoleHeldError,
    RoleNotFoundError,
    RoleTooHighError,
    RoleUnknownError,
    TooManyRolesError,
)
from backend.managers.tenant.models import MatrixRow, RoleRow

BuiltIn = Literal["owner", "admin", "operator", "viewer", "workflow", "auditor"]
PlatformRole = Literal["administrator", "auditor", "support"]
"""What somebody, or a program of the platform's own, may do with the platform."""
ROLE_PATTERN: Final = r"^[a-z][a-z0-9_-]{1,39}$"
Role = Annotated[
    str,
    Field(
        pattern=ROLE_PATTERN,
        max_length=40,
        description="A built-in role or one of the tenant's own",
        json_schema_extra={"format": "role"},
    ),
]
"""The name of a role, wherever one is given."""
_MAX_ROLES: Final = 100
_MAX_COMPILED: Final = 1000


@dataclass(frozen=True, slots=True)
class RoleDefinition:
    """A role and what it permits; ``version`` is 0 of a built-in one, else the matrix's."""

    name: str
    built_in: bool
    description: str
    permissions: frozenset[str]
    version: int
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A tenant's own roles at one version of its matrix."""

    version: int
    roles: Mapping[str, frozenset[str]]


class Roles:
    """Which role permits what, in which tenant.

    Owners differ from admins in one permission, ``owner:write``, and not by a rule about their
    name: whatever hands out or takes away compares permissions, so no way of doing it (a member, a
    client, a key, a new secret) can forget it.

    A tenant's own roles are compiled at each version of its matrix. The version is read in the
    caller's own view, so that an answer is exact in it: no lost signal leaves an older matrix in
    force. What is compiled ends up as a principal's permissions, where a decision is a look into a
    set.

    Attributes:
        by_name: The built-in roles.
        by_platform: The platform's roles: of its own clients and keys, and of people besides what
            they are in a tenant.
        of_platform: All that those permit.
        grantable: All that a role of a tenant may permit.
    """

    def __init__(
        self,
        declared: Mapping[str, frozenset[str]],
        role_holders: Iterable[type[Any]] = (),
    ) -> None:
        """Turn permission to roles into role to permissions.

        Args:
            declared: Permission to the built-in roles that hold it.
            role_holders: Models whose rows hold a role: by its name in the column ``role``, or by
                the condition that a class method ``holds`` makes of that name.

        Raises:
            ValueError: A permission is to be held by a role that is none, or both in a tenant and
                of the platform.
        """
        tenants, platforms = frozenset(get_args(BuiltIn)), frozenset(get_args(PlatformRole))

        def held(names: Iterable[str], others: frozenset[str]) -> dict[str, frozenset[str]]:
            # Both have auditors: whose a permission is say the others who hold it.
            return {
                role: frozenset(
                    name
                    for name, who in declared.items()
                    if role in who and (role not in others or not who & (others - {role}))
                )
                for role in names
            }

        self.by_name: Mapping[str, frozenset[str]] = held(get_args(BuiltIn), platforms)
        self.by_platform: Mapping[str, frozenset[str]] = held(get_args(PlatformRole), tenants)
        self.of_platform: Final = frozenset().union(*self.by_platform.values())
        self.grantable: Final = frozenset().union(*self.by_name.values())
        strange = frozenset().union(*declared.values()) - {*self.by_name, *self.by_platform}
        if strange:
            msg = f"no built-in role is called {', '.join(sorted(strange))}"
            raise ValueError(msg)
        if both := self.grantable & self.of_platform:
            msg = f"of a tenant and of the platform: {', '.join(sorted(both))}"
            raise ValueError(msg)
        self._role_holders = tuple(role_holders)
        self._compiled: dict[str, _Compiled] = {}

    # --- what a role permits ---------------------------------------------------------------------

    async def permissions_of(
        self,
        tx: ReadTx,
        role: str,
        *,
        tenant_id: str | None = None,
        platform_role: str = "",
    ) -> frozenset[str]:
        """What ``role`` permits in the tenant; an unknown role permits nothing.

        A built-in one is answered without I/O.

        Args:
            tx: A view of the tenant's roles.
            role: Its name.
            tenant_id: The tenant; the transaction's when omitted.
            platform_role: What who holds it is to the platform besides.
        """
        tenant_id = tenant_id or tx.tenant_id
        permissions = self._built_in(tenant_id).get(role)
        if permissions is None and role:
            permissions = (await self._own_roles(tx, tenant_id)).get(role)
        permissions = permissions or frozenset()
        return permissions | self.by_platform.get(platform_role, frozenset())

    def _built_in(self, tenant_id: str) -> Mapping[str, frozenset[str]]:
        """The roles that are there without being made: the platform's tenant has others."""
        return self.by_platform if tenant_id == PLATFORM_TENANT else self.by_name

    async def _own_roles(self, tx: ReadTx, tenant_id: str) -> Mapping[str, frozenset[str]]:
        version = await tx.scalar(
            sa.select(MatrixRow.version).where(MatrixRow.tenant_id == tenant_id)
        )
        if version is None:
            return {}
        known = self._compiled.get(tenant_id)
        if known is not None and known.version == version:
            return known.roles
        rows = await tx.scalars(sa.select(RoleRow).where(RoleRow.tenant_id == tenant_id))
        # What no room declares any more is permitted to nobody.
        roles = {row.name: frozenset(row.permissions) & self.grantable for row in rows}
        # What is being written may be undone, and another change then have its version.
        if not isinstance(tx, Tx) and (known is None or known.version < version):
            self._compiled.pop(tenant_id, None)
            if len(self._compiled) >= _MAX_COMPILED:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[tenant_id] = _Compiled(version, roles)
        return roles

    async def refuse_higher(
        self,
        tx: Tx,
        role: str,
        holder: frozenset[str] | None,
        *,
        tenant_id: str | None = None,
        taken: bool = False,
    ) -> None:
        """Nobody hands out or takes away a role, of a person, client or key, that they lack.

        The one rule of both directions. What it asked is noted in ``tx``, for kept answers. A role
        of the tenant's own that is handed out cannot be deleted before ``tx`` ends.

        Args:
            tx: The act's.
            role: What is handed out, or what whoever is to lose something holds.
            holder: The permissions of whoever does it; None for the platform itself.
            tenant_id: In which tenant; the transaction's when omitted.
            taken: It is taken away, so it need not be there any more.

        Raises:
            RoleUnknownError: There is no such role to hand out.
            RoleTooHighError: The role has permissions the holder lacks.
        """
        tenant_id = tenant_id or tx.tenant_id
        needed = self._built_in(tenant_id).get(role)
        if needed is None:
            found = await tx.scalar(
                sa.select(RoleRow.permissions)
                .where(RoleRow.tenant_id == tenant_id, RoleRow.name == role)
                .with_for_update(read=True)
            )
            if found is None and not taken:
                raise RoleUnknownError(f"There is no role {role!r} here").at("role")
            needed = frozenset(found or ()) & self.grantable
        refuse_beyond(tx, needed, holder)

    # --- a tenant's own roles --------------------------------------------------------------------

    async def list(self, tx: ReadTx) -> Sequence[RoleDefinition]:
        """All roles of the tenant: the built-in ones by rank, then its own by name."""
        rows = await tx.scalars(
            sa.select(RoleRow).where(RoleRow.tenant_id == tx.tenant_id).order_by(RoleRow.name)
        )
        built_in = [
            RoleDefinition(name, True, "", permissions, 0, None)
            for name, permissions in self.by_name.items()
        ]
        return [*built_in, *map(self._definition, rows)]

    async def get(self, tx: ReadTx, name: str) -> RoleDefinition:
        """One role of the tenant.

        Raises:
            RoleNotFoundError: There is none.
        """
        if (permissions := self.by_name.get(name)) is not None:
            return RoleDefinition(name, True, "", permissions, 0, None)
        row = await tx.scalar(
            sa.select(RoleRow).where(RoleRow.tenant_id == tx.tenant_id, RoleRow.name == name)
        )
        if row is None:
            raise RoleNotFoundError
        return self._definition(row)

    async def put(
        self,
        tx: Tx,
        *,
        name: str,
        description: str,
        permissions: frozenset[str],
        expected_version: str | None,
        granter: frozenset[str] | None,
    ) -> RoleDefinition:
        """Make a role of the tenant's own, or change it for all who hold it, at once.

        Args:
            granter: The permissions of whoever does it; None for the platform itself.

        Raises:
            RoleBuiltInError: The name is a built-in role's.
            PermissionUnknownError: A permission is none that a tenant's role may have.
            RoleChangedError: The version is not the current one any more.
            RoleTooHighError: It has, before or after, permissions the granter lacks.
            TooManyRolesError: The tenant has as many as it may have.
        """
        self._refuse_built_in(name)
        if unknown := sorted(permissions - self.grantable):
            raise PermissionUnknownError(f"No role may have {', '.join(unknown)}").at("permissions")
        matrix, row = await self._locked(tx, name)
        if expected_version is not None and (row is None or str(row.version) != expected_version):
            raise RoleChangedError
        before = frozenset(row.permissions) if row is not None else frozenset()
        refuse_beyond(tx, (before & self.grantable) | permissions, granter)
        if row is not None and (before, row.description) == (permissions, description):
            return self._definition(row)
        if row is None:
            await self._refuse_too_many(tx)
        matrix.version += 1
        values = {
            "description": description,
            "permissions": sorted(permissions),
            "version": matrix.version,
            "updated_at": tx.now(),
        }
        if row is None:
            row = RoleRow(tenant_id=tx.tenant_id, name=name, created_at=tx.now(), **values)
            tx.session.add(row)
        else:
            for field, value in values.items():
                setattr(row, field, value)
        facts: dict[str, Any] = {
            "version": matrix.version,
            "added": sorted(permissions - before),
            "removed": sorted(before - permissions),
        }
        tx.audit("role.saved", f"role:{name}", **facts)
        tx.emit("role.saved", f"role:{name}", **facts)
        tx.signal(PRINCIPALS, f"tenant:{tx.tenant_id}")
        return self._definition(row)

    async def delete(self, tx: Tx, name: str, *, remover: frozenset[str] | None) -> None:
        """Delete a role of the tenant's own that nobody holds.

        Raises:
            RoleBuiltInError: It is a built-in one.
            RoleNotFoundError: There is none.
            RoleTooHighError: It has permissions the remover lacks.
            RoleHeldError: Somebody holds it.
        """
        self._refuse_built_in(name)
        matrix, row = await self._locked(tx, name)
        if row is None:
            raise RoleNotFoundError
        refuse_beyond(tx, frozenset(row.permissions) & self.grantable, remover)
        if holders := await self._count_holders(tx, name):
            raise RoleHeldError(f"{holders} hold it: give them another first", holders=holders)
        matrix.version += 1
        await tx.session.delete(row)
        tx.audit("role.deleted", f"role:{name}", removed=row.permissions)
        tx.emit("role.deleted", f"role:{name}", removed=row.permissions)
        tx.signal(PRINCIPALS, f"tenant:{tx.tenant_id}")

    def _refuse_built_in(self, name: str) -> None:
        # The platform's roles as well: nobody shall take one for the other.
        if name in self.by_name or name in self.by_platform:
            raise RoleBuiltInError

    async def _locked(self, tx: Tx, name: str) -> tuple[MatrixRow, RoleRow | None]:
        """The matrix, so that changes of it take turns, and the role against being handed out."""
        await tx.insert_new(
            MatrixRow, {"tenant_id": tx.tenant_id, "version": 0}, conflict=["tenant_id"]
        )
        matrix = await tx.scalar(
            sa.select(MatrixRow).where(MatrixRow.tenant_id == tx.tenant_id).with_for_update()
        )
        row = await tx.scalar(
            sa.select(RoleRow)
            .where(RoleRow.tenant_id == tx.tenant_id, RoleRow.name == name)
            .with_for_update()
        )
        return matrix, row

    async def _refuse_too_many(self, tx: Tx) -> None:
        known: Any = await tx.scalar(
            sa.select(sa.func.count()).select_from(RoleRow).where(RoleRow.tenant_id == tx.tenant_id)
        )
        if known >= _MAX_ROLES:
            raise TooManyRolesError(f"A tenant may have {_MAX_ROLES} of its own", limit=_MAX_ROLES)

    async def _count_holders(self, tx: ReadTx, name: str) -> int:
        counts = [
            await tx.scalar(
                sa.select(sa.func.count())
                .select_from(model)
                .where(model.tenant_id == tx.tenant_id, _holds(model, name))
            )
            for model in self._role_holders
        ]
        return sum(counts)

    def _definition(self, row: RoleRow) -> RoleDefinition:
        return RoleDefinition(
            row.name,
            False,
            row.description,
            frozenset(row.permissions) & self.grantable,
            row.version,
            row.updated_at,
        )


def _holds(model: type[Any], role: str) -> sa.ColumnElement[bool]:
    condition: Callable[[str], sa.ColumnElement[bool]] | None = getattr(model, "holds", None)
    named: sa.ColumnElement[bool] = model.role == role if condition is None else condition(role)
    return named


def refuse_beyond(tx: Tx, needed: frozenset[str], holder: frozenset[str] | None) -> None:
    """Nobody hands out or takes away permissions that they lack; noted in ``tx``.

    Raises:
        RoleTooHighError: The holder lacks some.
    """
    if holder is None:
        return
    if not needed <= holder:
        raise RoleTooHighError
    tx.demand(needed)
