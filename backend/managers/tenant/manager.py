"""Rules for tenants, the people in them and what their roles permit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import Integrity, ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import newest
from backend.managers.tenant._platform_roles import PlatformRoles
from backend.managers.tenant._roles import PRINCIPALS, PlatformRole, Roles
from backend.managers.tenant.errors import (
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    SlugTakenError,
    TenantNotFoundError,
)
from backend.managers.tenant.models import MembershipRow, TenantRow, UserRow

LOCAL_ISSUER: Final = "local"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as others see it."""

    id: str
    slug: str
    name: str
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person as others see them; never carries the password hash."""

    id: str
    email: str
    name: str
    platform_role: str | None
    disabled: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """One person's role in one tenant."""

    tenant_id: str
    user_id: str
    role: str


@dataclass(frozen=True, slots=True)
class Member:
    """A membership with the person's name; ``id`` is the user's."""

    id: str
    email: str
    name: str
    role: str
    created_at: datetime
    disabled: bool = False


class TenantManager:
    """Tenants, users, memberships. Methods on users and tenants need a system errand."""

    def __init__(self, roles: Roles) -> None:
        """Keep to these roles.

        Args:
            roles: What each of them permits.
        """
        self.roles = roles
        self.platform_roles = PlatformRoles(roles)

    async def create_tenant(self, tx: Tx, *, slug: str, name: str) -> Tenant:
        """Create a tenant.

        Raises:
            SlugTakenError: Another tenant has the slug.
        """
        row = TenantRow(id=uuid7(), slug=slug, name=name, state="active", created_at=tx.now())
        try:
            async with tx.savepoint():
                tx.session.add(row)
        except Integrity as exc:
            detail = f"There is a tenant {slug!r} already"
            raise SlugTakenError(detail, slug=slug) from exc
        tx.audit("tenant.created", f"tenant:{row.id}", slug=slug, name=name)
        tx.emit("tenant.created", f"tenant:{row.id}", slug=slug, name=name)
        return _tenant(row)

    async def get_tenant(self, tx: ReadTx, tenant_id: str) -> Tenant:
        """One tenant.

        Raises:
            TenantNotFoundError: There is none.
        """
        row = await tx.scalar(sa.select(TenantRow).where(TenantRow.id == tenant_id))
        if row is None:
            raise TenantNotFoundError
        return _tenant(row)

    async def find_tenant(self, tx: ReadTx, slug: str) -> Tenant | None:
        """The tenant with this slug, if there is one."""
        row = await tx.scalar(sa.select(TenantRow).where(TenantRow.slug == slug))
        return _tenant(row) if row else None

    async def is_active(self, tx: ReadTx, tenant_id: str) -> bool:
        """Whether the tenant exists and is not suspended; the platform's own always is."""
        if tenant_id == PLATFORM_TENANT:
            return True
        state = await tx.scalar(sa.select(TenantRow.state).where(TenantRow.id == tenant_id))
        return bool(state == "active")

    async def list_tenants(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[Tenant]:
        """Newest first, one more than ``limit``; the platform's own tenant is not listed."""
        query = sa.select(TenantRow).where(TenantRow.id != PLATFORM_TENANT)
        rows = await tx.scalars(newest(query, TenantRow.id, limit, before_id))
        return [_tenant(row) for row in rows]

    async def create_user(
        self,
        tx: Tx,
        *,
        email: str,
        name: str,
        password_hash: str | None,
        platform_role: PlatformRole | None = None,
        audit_tenant_id: str = PLATFORM_TENANT,
    ) -> User:
        """Create a person who logs in here with e-mail and password.

        Raises:
            LoginExistsError: Somebody logs in with this e-mail already.
        """
        row = UserRow(
            id=uuid7(),
            issuer=LOCAL_ISSUER,
            subject=email.casefold(),
            email=email,
            name=name,
            password_hash=password_hash,
            platform_role=platform_role,
            disabled=False,
            created_at=tx.now(),
        )
        try:
            async with tx.savepoint():
                tx.session.add(row)
        except Integrity as exc:
            raise LoginExistsError from exc
        tx.audit(
            "user.created",
            f"user:{row.id}",
            tenant_id=audit_tenant_id,
            platform_role=platform_role,
        )
        return _user(row)

    async def find_login(self, tx: ReadTx, email: str) -> tuple[User, str | None] | None:
        """The person who logs in with this e-mail and their password hash, if there is one."""
        row = await tx.scalar(
            sa.select(UserRow).where(
                UserRow.issuer == LOCAL_ISSUER, UserRow.subject == email.strip().casefold()
            )
        )
        return (_user(row), row.password_hash) if row else None

    async def set_password(self, tx: Tx, *, email: str, password_hash: str) -> User:
        """Replace a local log-in's password. Log-ins that it began go on: the caller ends them.

        Raises:
            MemberNotFoundError: Nobody logs in with this e-mail.
        """
        row = await tx.scalar(
            sa.select(UserRow)
            .where(UserRow.issuer == LOCAL_ISSUER, UserRow.subject == email.strip().casefold())
            .with_for_update()
        )
        if row is None:
            detail = "Nobody logs in with this e-mail"
            raise MemberNotFoundError(detail)
        row.password_hash = password_hash
        tx.audit("user.password_reset", f"user:{row.id}")
        tx.signal(PRINCIPALS)
        return _user(row)

    async def get_user(self, tx: ReadTx, user_id: str) -> User:
        """One person.

        Raises:
            MemberNotFoundError: There is none.
        """
        row = await tx.scalar(sa.select(UserRow).where(UserRow.id == user_id))
        if row is None:
            raise MemberNotFoundError
        return _user(row)

    async def list_tenants_of(self, tx: ReadTx, user_id: str) -> list[tuple[Tenant, str]]:
        """The active tenants a person belongs to, with the role in each, oldest first."""
        found = await tx.execute(
            sa.select(TenantRow, MembershipRow.role)
            .join(MembershipRow, MembershipRow.tenant_id == TenantRow.id)
            .where(MembershipRow.user_id == user_id, TenantRow.state == "active")
            .order_by(MembershipRow.created_at, TenantRow.id)
        )
        return [(_tenant(row), role) for row, role in found.all()]

    async def find_membership(self, tx: ReadTx, tenant_id: str, user_id: str) -> Membership | None:
        """The person's role in the tenant, if they have one."""
        row = await tx.scalar(
            sa.select(MembershipRow).where(
                MembershipRow.tenant_id == tenant_id, MembershipRow.user_id == user_id
            )
        )
        return Membership(row.tenant_id, row.user_id, row.role) if row else None

    async def list_members(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[Member]:
        """The tenant's people, newest first, one more than ``limit``."""
        query = (
            sa.select(UserRow, MembershipRow)
            .join(MembershipRow, MembershipRow.user_id == UserRow.id)
            .where(MembershipRow.tenant_id == tx.tenant_id)
        )
        found = await tx.execute(newest(query, UserRow.id, limit, before_id))
        return [_member(user, membership) for user, membership in found.all()]

    async def add_member(
        self, tx: Tx, *, tenant_id: str, user_id: str, role: str, granter: frozenset[str] | None
    ) -> Membership:
        """Give a person a role in a tenant.

        Args:
            granter: The permissions of whoever grants; None for the platform itself.

        Raises:
            RoleTooHighError: The role has permissions the granter lacks.
            RoleUnknownError: The tenant has no such role.
            MemberExistsError: They are a member already.
        """
        await self.roles.refuse_higher(tx, role, granter, tenant_id=tenant_id)
        created = await tx.insert_new(
            MembershipRow,
            {
                "tenant_id": tenant_id,
                "user_id": user_id,
                "role": role,
                "created_at": tx.now(),
            },
            conflict=["tenant_id", "user_id"],
        )
        if not created:
            raise MemberExistsError
        tx.audit("member.added", f"user:{user_id}", tenant_id=tenant_id, role=role)
        tx.emit("member.added", f"user:{user_id}", tenant_id=tenant_id, role=role)
        tx.signal(PRINCIPALS)
        return Membership(tenant_id, user_id, role)

    async def add_first_owner(
        self, tx: Tx, *, tenant_id: str, email: str | None, otherwise: str
    ) -> None:
        """Make somebody the owner of a new tenant: who has ``email``, else the user ``otherwise``.

        Raises:
            MemberNotFoundError: Nobody logs in with this e-mail.
        """
        if email is not None:
            found = await self.find_login(tx, email)
            if found is None:
                detail = "Nobody logs in with this e-mail"
                raise MemberNotFoundError(detail)
            user_id = found[0].id
        else:
            user_id = otherwise
        await self.add_member(tx, tenant_id=tenant_id, user_id=user_id, role="owner", granter=None)

    async def invite_member(
        self,
        tx: Tx,
        *,
        email: str,
        name: str,
        role: str,
        password_hash: str | None,
        granter: frozenset[str],
    ) -> Member:
        """Add a person to the transaction's tenant, creating their log-in when a hash is given.

        Raises:
            RoleTooHighError: The role has permissions the granter lacks.
            RoleUnknownError: The tenant has no such role.
            MemberNotFoundError: Nobody logs in with this e-mail and no password came with it.
            LoginExistsError: A password came with an e-mail that has a log-in already.
            MemberExistsError: They are a member already.
        """
        await self.roles.refuse_higher(tx, role, granter)
        found = await self.find_login(tx, email)
        if found is None and password_hash is None:
            detail = "Nobody logs in with this e-mail: give a password to create the log-in"
            raise MemberNotFoundError(detail)
        if found is None:
            user = await self.create_user(
                tx,
                email=email,
                name=name,
                password_hash=password_hash,
                audit_tenant_id=tx.tenant_id,
            )
        elif password_hash is not None:
            # An existing log-in keeps its own password: a tenant's admin must not be able to reset
            # it for somebody who also belongs to other tenants. Nor may it be let in silently:
            # another tenant's admin may have made it, with a password known to them, for this day.
            detail = "It keeps its own password. Leave the password out to add whoever has it"
            raise LoginExistsError(detail)
        else:
            user = found[0]
        await self.add_member(
            tx,
            tenant_id=tx.tenant_id,
            user_id=user.id,
            role=role,
            granter=granter,
        )
        return Member(user.id, user.email, user.name, role, tx.now())

    async def set_role(self, tx: Tx, *, user_id: str, role: str, granter: frozenset[str]) -> Member:
        """Change a member's role.

        Raises:
            MemberNotFoundError: Not a member of this tenant.
            RoleUnknownError: The tenant has no such role.
            RoleTooHighError: The old or the new role has permissions the granter lacks.
            LastOwnerError: It would leave the tenant without an owner.
        """
        user, row = await self._locked_member(tx, user_id)
        await self.roles.refuse_higher(tx, row.role, granter, taken=True)
        await self.roles.refuse_higher(tx, role, granter)
        if row.role == "owner" and role != "owner":
            await self._refuse_last_owner(tx)
        before, row.role = row.role, role
        tx.audit("member.role_changed", f"user:{user_id}", before=before, after=role)
        tx.emit("member.role_changed", f"user:{user_id}", before=before, after=role)
        tx.signal(PRINCIPALS)
        return _member(user, row)

    async def remove_member(self, tx: Tx, *, user_id: str, remover: frozenset[str]) -> None:
        """End a membership; tokens bound to it stop working at once.

        Raises:
            MemberNotFoundError: Not a member of this tenant.
            RoleTooHighError: The member has permissions the remover lacks.
            LastOwnerError: It would leave the tenant without an owner.
        """
        _, row = await self._locked_member(tx, user_id)
        await self.roles.refuse_higher(tx, row.role, remover, taken=True)
        if row.role == "owner":
            await self._refuse_last_owner(tx)
        await tx.session.delete(row)
        tx.audit("member.removed", f"user:{user_id}", role=row.role)
        tx.emit("member.removed", f"user:{user_id}", role=row.role)
        tx.signal(PRINCIPALS)

    async def _locked_member(self, tx: Tx, user_id: str) -> tuple[UserRow, MembershipRow]:
        # All of the tenant's memberships, not one row: two owners leaving at the same moment
        # would each see the other still there.
        await tx.execute(
            sa.select(MembershipRow.user_id)
            .where(MembershipRow.tenant_id == tx.tenant_id)
            .order_by(MembershipRow.user_id)
            .with_for_update()
        )
        found = (
            await tx.execute(
                sa.select(UserRow, MembershipRow)
                .join(MembershipRow, MembershipRow.user_id == UserRow.id)
                .where(MembershipRow.tenant_id == tx.tenant_id, MembershipRow.user_id == user_id)
            )
        ).first()
        if found is None:
            raise MemberNotFoundError
        return found[0], found[1]

    async def _refuse_last_owner(self, tx: Tx) -> None:
        owners: Any = await tx.scalar(
            sa.select(sa.func.count())
            .select_from(MembershipRow)
            .where(MembershipRow.tenant_id == tx.tenant_id, MembershipRow.role == "owner")
        )
        if owners <= 1:
            raise LastOwnerError


def _tenant(row: TenantRow) -> Tenant:
    return Tenant(row.id, row.slug, row.name, row.state, row.created_at)


def _user(row: UserRow) -> User:
    return User(row.id, row.email, row.name, row.platform_role, row.disabled)


def _member(user: UserRow, membership: MembershipRow) -> Member:
    return Member(
        user.id,
        user.email,
        user.name,
        membership.role,
        membership.created_at,
        disabled=user.disabled,
    )
