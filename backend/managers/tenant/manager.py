"""Rules for tenants, the people in them and what their roles permit."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.clock import monotonic as system_monotonic
from backend.core.database import Database, Integrity, ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import newest
from backend.managers.tenant._lifecycle import Lifecycle
from backend.managers.tenant._plans import UNLIMITED, Plans
from backend.managers.tenant._quotas import QUOTAS, RATES, Quotas, QuotaView, window_of
from backend.managers.tenant._roles import Roles
from backend.managers.tenant._usage import UsageBook
from backend.managers.tenant._values import PRINCIPALS, Tenant, tenant_of
from backend.managers.tenant.errors import (
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    SlugTakenError,
    TenantNotFoundError,
)
from backend.managers.tenant.models import MembershipRow, TenantRow, UserRow
from backend.managers.tenant.settings import TenantSettings

LOCAL_ISSUER: Final = "local"


@dataclass(frozen=True, slots=True)
class User:
    """A person as others see them; never carries the password hash."""

    id: str
    email: str
    name: str
    platform_admin: bool
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


class TenantManager:
    """Tenants, users, memberships. Methods on users and tenants need a system errand.

    Attributes:
        lifecycle: What becomes of whole tenants, and who is refused meanwhile.
        plans: What tenants may have and use.
        quotas: Counting it, and refusing more.
        usage: What they did, by day.
    """

    def __init__(
        self,
        roles: Roles,
        settings: TenantSettings = TenantSettings(),  # noqa: B008 - it is frozen
        *,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        """Keep to these roles.

        Args:
            roles: What each of the built-in ones permits.
            settings: Of the room.
            monotonic: Seconds, for what is remembered for a while.
        """
        self.roles = roles
        self.lifecycle = Lifecycle(timedelta(days=settings.deletion_grace_days))
        self.plans = Plans(self.lifecycle)
        self.quotas = Quotas(monotonic)
        self.usage = UsageBook(self.quotas)

    async def purge_due(self, database: Database) -> None:
        """Remove all data of tenants whose grace period is over."""
        await self.lifecycle.purge_due(database)

    async def flush(self, database: Database) -> None:
        """Write what requests only noted: their number, and quotas that stopped one."""
        await self.usage.flush(database)
        await self.quotas.flush(database)

    @asynccontextmanager
    async def serving(self, database: Database) -> AsyncIterator[None]:
        """Write, at the end, what requests only noted."""
        try:
            yield
        finally:
            await self.flush(database)

    async def quotas_of(self, tx: ReadTx, tenant_id: str) -> Mapping[str, int]:
        """The limits that a tenant has; a quota that is not among them has none."""
        return await self.quotas.of(tx, tenant_id)

    async def describe_quotas(self, tx: ReadTx, limits: Mapping[str, int]) -> list[QuotaView]:
        """Each quota of the transaction's tenant: its limit, and what is used.

        Args:
            tx: In the tenant's own scope.
            limits: Those that it has.
        """
        counted = await self.quotas.counts(tx, tx.tenant_id)
        stocks = await self.usage.read_stocks(tx)
        return [
            QuotaView(
                quota,
                limits.get(quota),
                counted.get(quota, 0 if quota in limits else None)
                if quota in RATES
                # What is measured is counted on since, where it has a limit.
                else counted.get(quota) or stocks.get(quota),
                window_of(quota, tx.now()).resets_at if quota in RATES else None,
            )
            for quota in QUOTAS
        ]

    async def count_members(self, tx: ReadTx, tenant_id: str | None = None) -> int:
        """How many people the transaction's tenant has, or this one."""
        return int(
            await tx.scalar(
                sa.select(sa.func.count(MembershipRow.user_id)).where(
                    MembershipRow.tenant_id == (tenant_id or tx.tenant_id)
                )
            )
        )

    async def create_tenant(self, tx: Tx, *, slug: str, name: str) -> Tenant:
        """Create a tenant.

        Raises:
            SlugTakenError: Another tenant has the slug.
        """
        row = TenantRow(
            id=uuid7(),
            slug=slug,
            name=name,
            state="active",
            reason=None,
            state_since=None,
            purge_at=None,
            plan=UNLIMITED,
            overrides={},
            created_at=tx.now(),
        )
        try:
            async with tx.savepoint():
                tx.session.add(row)
        except Integrity as exc:
            detail = f"There is a tenant {slug!r} already"
            raise SlugTakenError(detail, slug=slug) from exc
        tx.audit("tenant.created", f"tenant:{row.id}", slug=slug, name=name)
        tx.emit("tenant.created", f"tenant:{row.id}", slug=slug, name=name)
        return tenant_of(row)

    async def get_tenant(self, tx: ReadTx, tenant_id: str) -> Tenant:
        """One tenant.

        Raises:
            TenantNotFoundError: There is none.
        """
        row = await tx.scalar(sa.select(TenantRow).where(TenantRow.id == tenant_id))
        if row is None:
            raise TenantNotFoundError
        return tenant_of(row)

    async def find_tenant(self, tx: ReadTx, slug: str) -> Tenant | None:
        """The tenant with this slug, if there is one."""
        row = await tx.scalar(sa.select(TenantRow).where(TenantRow.slug == slug))
        return tenant_of(row) if row else None

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
        return [tenant_of(row) for row in rows]

    async def create_user(
        self,
        tx: Tx,
        *,
        email: str,
        name: str,
        password_hash: str | None,
        platform_admin: bool = False,
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
            platform_admin=platform_admin,
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
            platform_admin=platform_admin,
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

    async def list_tenants_of(
        self, tx: ReadTx, user_id: str, *, active: bool = True
    ) -> list[tuple[Tenant, str]]:
        """The tenants a person belongs to, with the role in each, oldest first.

        Args:
            tx: Any that reads people.
            user_id: Whose.
            active: Only those that they may act in now.
        """
        query = (
            sa.select(TenantRow, MembershipRow.role)
            .join(MembershipRow, MembershipRow.tenant_id == TenantRow.id)
            .where(MembershipRow.user_id == user_id)
            .order_by(MembershipRow.created_at, TenantRow.id)
        )
        if active:
            query = query.where(TenantRow.state == "active")
        found = await tx.execute(query)
        return [(tenant_of(row), role) for row, role in found.all()]

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
            MemberExistsError: They are a member already.
            StockReachedError: The tenant has as many members as it may.
        """
        self.roles.refuse_higher(tx, role, granter)
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

        async def others() -> int:
            return await self.count_members(tx, tenant_id) - 1

        await self.quotas.hold(tx, "members", 1, others, tenant_id=tenant_id)
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
            MemberNotFoundError: Nobody logs in with this e-mail and no password came with it.
            LoginExistsError: A password came with an e-mail that has a log-in already.
            MemberExistsError: They are a member already.
        """
        self.roles.refuse_higher(tx, role, granter)
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
            RoleTooHighError: The old or the new role has permissions the granter lacks.
            LastOwnerError: It would leave the tenant without an owner.
        """
        user, row = await self._locked_member(tx, user_id)
        self.roles.refuse_higher(tx, row.role, granter)
        self.roles.refuse_higher(tx, role, granter)
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
        self.roles.refuse_higher(tx, row.role, remover)
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


def _user(row: UserRow) -> User:
    return User(row.id, row.email, row.name, row.platform_admin, row.disabled)


def _member(user: UserRow, membership: MembershipRow) -> Member:
    return Member(user.id, user.email, user.name, membership.role, membership.created_at)
