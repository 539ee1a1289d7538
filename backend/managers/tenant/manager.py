"""Rules for tenants, the people in them and what their roles permit."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from backend.core.clock import monotonic as system_monotonic
from backend.core.database import Database, Integrity, ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import newest
from backend.core.subject import Subject
from backend.kit.mime import email_identity
from backend.managers.tenant._lifecycle import Lifecycle
from backend.managers.tenant._people import (
    LOCAL_ISSUER,
    People,
    User,
    user_of,
)
from backend.managers.tenant._plans import UNLIMITED, Plans
from backend.managers.tenant._platform_roles import PlatformRoles
from backend.managers.tenant._quotas import QUOTAS, RATES, Quotas, QuotaView, window_of
from backend.managers.tenant._requests import RequestQuotas
from backend.managers.tenant._roles import PlatformRole, Roles
from backend.managers.tenant._usage import UsageBook
from backend.managers.tenant._values import PRINCIPALS, Tenant, tenant_of
from backend.managers.tenant.errors import (
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    OwnAccountError,
    RoleTooHighError,
    SlugTakenError,
    TenantNotFoundError,
)
from backend.managers.tenant.models import MembershipRow, TenantRow, UserRow
from backend.managers.tenant.settings import TenantSettings

InviteOwner = Callable[[Tx, Tenant, str], Awaitable[str]]
"""Invites whoever has an e-mail address to own a tenant, and gives the link that accepts."""


@dataclass(frozen=True, slots=True)
class Membership:
    """One person's role in one tenant."""

    tenant_id: str
    user_id: str
    role: str


@dataclass(frozen=True, slots=True)
class Member:
    """A membership with the person's name; ``id`` is the user's.

    ``disabled`` says that they are kept out of this tenant; ``active`` that they may act in it,
    which takes that they are not kept out of everything either.
    """

    id: str
    email: str
    name: str
    role: str
    created_at: datetime
    disabled: bool
    active: bool


class TenantManager:
    """Tenants, users, memberships. Methods on users and tenants need a system errand.

    Attributes:
        roles: What each of them permits.
        people: Everybody who logs in, for the platform's administrators.
        invite_owner: How an upper room invites a tenant's first owner; set when it is made.
        lifecycle: What becomes of whole tenants, and who is refused meanwhile.
        plans: What tenants may have and use.
        quotas: Counting it, and refusing more.
        requests: The same of requests, for whom no row is written.
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
            roles: What each of them permits.
            settings: Of the room.
            monotonic: Seconds, for what is remembered for a while.
        """
        self.roles = roles
        self.platform_roles = PlatformRoles(roles)
        self.people = People()
        self.invite_owner: InviteOwner | None = None
        self.lifecycle = Lifecycle(timedelta(days=settings.deletion_grace_days))
        self.plans = Plans(self.lifecycle)
        self.quotas = Quotas(monotonic)
        self.requests = RequestQuotas(self.quotas, monotonic)
        self.usage = UsageBook(self.quotas)

    async def purge_due(self, database: Database) -> None:
        """Remove all data of tenants whose grace period is over."""
        await self.lifecycle.purge_due(database)

    async def flush(self, database: Database) -> None:
        """Write what requests only noted: their number, and quotas that stopped one."""
        await self.usage.flush(database)
        await self.quotas.flush(database)
        await self.requests.flush(database)

    def leave(self, tenant_id: str) -> None:
        """A tenant's data begins to go: what is still in memory of it is not written any more."""
        self.usage.leave(tenant_id)
        self.quotas.leave(tenant_id)
        self.requests.leave(tenant_id)

    def forget_quotas(self, tenant_id: str) -> None:
        """A tenant's quotas have changed; everybody's, if it is empty."""
        self.quotas.forget(tenant_id)
        self.requests.forget(tenant_id)

    @asynccontextmanager
    async def serving(self, database: Database) -> AsyncIterator[None]:
        """Write, at the end, what requests only noted."""
        try:
            yield
        finally:
            await self.flush(database)
            await self.requests.flush(database, everything=True)

    async def quotas_of(self, tx: ReadTx, tenant_id: str) -> Mapping[str, int]:
        """The limits that a tenant has; a quota that is not among them has none."""
        return await self.quotas.of(tx, tenant_id)

    async def describe_quotas(self, tx: ReadTx, limits: Mapping[str, int]) -> list[QuotaView]:
        """Each quota of the transaction's tenant: its limit, and what is used.

        Args:
            tx: In the tenant's own scope.
            limits: Those that it has.
        """
        counted = await self.quotas.counts(tx, tx.tenant_id, self.requests.unspent(tx.tenant_id))
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

    async def found_tenant(
        self, tx: Tx, *, slug: str, name: str, owner_email: str | None, founder: str
    ) -> tuple[Tenant, str | None]:
        """Create a tenant that ``founder`` owns, or that somebody is invited to own.

        Nobody is made an owner by their e-mail alone: who has it says so by the invitation, whose
        link is returned. Until then the tenant has no owner.

        Raises:
            SlugTakenError: Another tenant has the slug.
        """
        tenant = await self.create_tenant(tx, slug=slug, name=name)
        if owner_email is None:
            await self.add_member(
                tx, tenant_id=tenant.id, user_id=founder, role="owner", granter=None
            )
            return tenant, None
        return tenant, await self.invite_another_owner(tx, tenant.id, owner_email)

    async def invite_another_owner(self, tx: Tx, tenant_id: str, email: str) -> str:
        """Invite somebody to own a tenant, by the platform; returns the link.

        One that waits for the same e-mail is void then.

        Raises:
            TenantNotFoundError: There is none.
        """
        if self.invite_owner is None:
            raise RuntimeError("nobody here invites owners")
        return await self.invite_owner(tx, await self.get_tenant(tx, tenant_id), email)

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

    async def name_tenants(self, tx: ReadTx, ids: Collection[str]) -> Mapping[str, Tenant]:
        """The tenants of these ids, by id; those that are gone are left out."""
        rows = await tx.scalars(sa.select(TenantRow).where(TenantRow.id.in_(list(ids))))
        return {row.id: tenant_of(row) for row in rows}

    async def create_user(
        self,
        tx: Tx,
        *,
        email: str,
        name: str,
        password_hash: str | None,
        platform_role: PlatformRole | None = None,
        audit_tenant_id: str = PLATFORM_TENANT,
        email_proven: bool = True,
    ) -> User:
        """Create a person who logs in here with e-mail and password.

        Args:
            tx: Under an errand that may touch people.
            email: Under which they log in.
            name: For others.
            password_hash: None: they cannot, yet.
            platform_role: What they are to the platform.
            audit_tenant_id: Whose trail tells of it.
            email_proven: Whether they read the mail of this address, for all that is known.

        Raises:
            LoginExistsError: Somebody logs in with this e-mail already.
        """
        row = UserRow(
            id=uuid7(),
            issuer=LOCAL_ISSUER,
            subject=email_identity(email),
            email=email,
            name=name,
            password_hash=password_hash,
            platform_role=platform_role,
            disabled=False,
            created_at=tx.now(),
            email_proven_at=tx.now() if email_proven else None,
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
        return user_of(row)

    async def find_login(self, tx: ReadTx, email: str) -> tuple[User, str | None] | None:
        """The person who logs in with this e-mail and their password hash, if there is one."""
        row = await tx.scalar(
            sa.select(UserRow).where(
                UserRow.issuer == LOCAL_ISSUER, UserRow.subject == email_identity(email)
            )
        )
        return (user_of(row), row.password_hash) if row else None

    async def hold_logins_of(self, tx: Tx, domain: str) -> Sequence[str]:
        """The ids of all who log in here with an address of a mail domain, given in ASCII.

        Until ``tx`` ends none of them gets in by a password: :meth:`has_password` waits for that.
        """
        ends = (f"@{domain}", f"@{domain}.")
        found: Sequence[str] = await tx.scalars(
            sa.select(UserRow.id)
            .where(
                UserRow.issuer == LOCAL_ISSUER,
                sa.or_(*(UserRow.subject.endswith(end, autoescape=True) for end in ends)),
            )
            .order_by(UserRow.id)
            .with_for_update()
        )
        return found

    async def rename_user(self, tx: Tx, user_id: str, name: str) -> User:
        """Give a person another name.

        Raises:
            MemberNotFoundError: There is none.
        """
        row = await tx.scalar(sa.select(UserRow).where(UserRow.id == user_id).with_for_update())
        if row is None:
            raise MemberNotFoundError
        row.name = name
        tx.audit("user.renamed", f"user:{row.id}", tenant_id=PLATFORM_TENANT)
        tx.signal(PRINCIPALS, f"user:{row.id}")
        return user_of(row)

    async def prove_email(self, tx: Tx, user_id: str) -> None:
        """Note that a person reads the mail of their address, if nobody knew yet."""
        await tx.execute(
            sa.update(UserRow)
            .where(UserRow.id == user_id, UserRow.email_proven_at.is_(None))
            .values(email_proven_at=tx.now())
            .execution_options(synchronize_session=False)
        )

    async def set_password(
        self,
        tx: Tx,
        *,
        email: str,
        password_hash: str,
        action: str = "user.password_reset",
        email_proven: bool = False,
    ) -> User:
        """Replace a local log-in's password. Log-ins that it began go on: the caller ends them.

        Args:
            tx: Under an errand that may touch people.
            email: Who logs in so.
            password_hash: Of the new one.
            action: What the trail calls it.
            email_proven: Whoever sets it has just shown that they read the mail of this address.

        Returns:
            Who they were before: it says whether anybody had shown so.

        Raises:
            MemberNotFoundError: Nobody logs in with this e-mail.
        """
        row = await tx.scalar(
            sa.select(UserRow)
            .where(UserRow.issuer == LOCAL_ISSUER, UserRow.subject == email_identity(email))
            .with_for_update()
        )
        if row is None:
            detail = "Nobody logs in with this e-mail"
            raise MemberNotFoundError(detail)
        before = user_of(row)
        row.password_hash = password_hash
        if email_proven:
            row.email_proven_at = tx.now()
        tx.audit(action, f"user:{row.id}")
        tx.signal(PRINCIPALS, f"user:{row.id}")
        return before

    async def has_password(self, tx: Tx, user_id: str, password_hash: str | None) -> bool:
        """Whether a person's password is still this one, and may open something.

        It stays so until ``tx`` ends: whoever sets another waits for that.
        """
        row = await tx.scalar(sa.select(UserRow).where(UserRow.id == user_id).with_for_update())
        return row is not None and not row.disabled and row.password_hash == password_hash

    async def get_user(self, tx: ReadTx, user_id: str) -> User:
        """One person.

        Raises:
            MemberNotFoundError: There is none.
        """
        row = await tx.scalar(sa.select(UserRow).where(UserRow.id == user_id))
        if row is None:
            raise MemberNotFoundError
        return user_of(row)

    async def meet(self, tx: Tx, *, issuer: str, subject: str, email: str, name: str) -> User:
        """The person whom another issuer names so, made when they come for the first time.

        Issuer and subject are who they are. The e-mail is the issuer's word and leads to nobody.

        Raises:
            ValueError: The issuer is this platform itself.
        """
        if issuer == LOCAL_ISSUER:
            raise ValueError("whoever logs in here is made by create_user")
        made = await tx.insert_new(
            UserRow,
            {
                "id": uuid7(),
                "issuer": issuer,
                "subject": subject,
                "email": email,
                "name": name,
                "password_hash": None,
                "platform_role": None,
                "disabled": False,
                "created_at": tx.now(),
                "email_proven_at": None,
            },
            conflict=["issuer", "subject"],
        )
        row = await tx.scalar(
            sa.select(UserRow)
            .where(UserRow.issuer == issuer, UserRow.subject == subject)
            .with_for_update()
        )
        if made:
            tx.audit("user.created", f"user:{row.id}", platform_role=None, issuer=issuer)
        else:
            row.email, row.name = email, name
        return user_of(row)

    async def place(self, tx: Tx, *, tenant_id: str, user_id: str, role: str) -> None:
        """Make a person's membership what another system says; nobody's who is an owner.

        Raises:
            RoleTooHighError: It says owner.
            RoleUnknownError: The tenant has no such role: a name is worth nothing before somebody
                says what it permits, for then it would be worth that.
            StockReachedError: The tenant has as many members as it may.
        """
        if role == "owner":
            raise RoleTooHighError
        await self.roles.refuse_higher(tx, role, None, tenant_id=tenant_id)
        row = await tx.scalar(
            sa.select(MembershipRow)
            .where(MembershipRow.tenant_id == tenant_id, MembershipRow.user_id == user_id)
            .with_for_update()
        )
        if row is None:
            await self.add_member(tx, tenant_id=tenant_id, user_id=user_id, role=role, granter=None)
        elif row.role not in {"owner", role}:
            before, row.role = row.role, role
            target = f"user:{user_id}"
            tx.audit("member.role_changed", target, tenant_id=tenant_id, before=before, after=role)
            tx.emit("member.role_changed", target, tenant_id=tenant_id, before=before, after=role)
            tx.signal(PRINCIPALS, target)

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
            .where(MembershipRow.user_id == user_id, MembershipRow.disabled.is_(False))
            .order_by(MembershipRow.created_at, TenantRow.id)
        )
        if active:
            query = query.where(TenantRow.state == "active")
        found = await tx.execute(query)
        return [(tenant_of(row), role) for row, role in found.all()]

    async def find_membership(self, tx: ReadTx, tenant_id: str, user_id: str) -> Membership | None:
        """The person's role in the tenant, if they have one and may use it."""
        row = await tx.scalar(
            sa.select(MembershipRow).where(
                MembershipRow.tenant_id == tenant_id,
                MembershipRow.user_id == user_id,
                MembershipRow.disabled.is_(False),
            )
        )
        return Membership(row.tenant_id, row.user_id, row.role) if row else None

    async def find_member(self, tx: ReadTx, user_id: str) -> Member | None:
        """The person's membership in the transaction's tenant, whether they may use it or not."""
        found = await tx.execute(
            sa.select(UserRow, MembershipRow)
            .join(MembershipRow, MembershipRow.user_id == UserRow.id)
            .where(MembershipRow.tenant_id == tx.tenant_id, UserRow.id == user_id)
        )
        row = found.one_or_none()
        return _member(*row) if row is not None else None

    async def tell_membership(self, tx: Tx, who: Subject) -> str | None:
        """Why a person cannot be erased now: whoever acts here is recorded here."""
        if who.user_id is None or not await self.is_member(tx, who.user_id):
            return None
        return "The person is a member: remove them first."

    async def is_member(self, tx: ReadTx, user_id: str) -> bool:
        """Whether a person belongs to the transaction's tenant, disabled or not."""
        found = await tx.scalar(
            sa.select(MembershipRow.user_id).where(
                MembershipRow.tenant_id == tx.tenant_id, MembershipRow.user_id == user_id
            )
        )
        return found is not None

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
            StockReachedError: The tenant has as many members as it may.
        """
        await self.roles.refuse_higher(tx, role, granter, tenant_id=tenant_id)
        created = await tx.insert_new(
            MembershipRow,
            {
                "tenant_id": tenant_id,
                "user_id": user_id,
                "role": role,
                "created_at": tx.now(),
                "disabled": False,
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
        tx.signal(PRINCIPALS, f"user:{user_id}")
        return Membership(tenant_id, user_id, role)

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
        if row.role == "owner" and role != "owner" and not row.disabled:
            await self._refuse_last_owner(tx, user_id)
        before, row.role = row.role, role
        tx.audit("member.role_changed", f"user:{user_id}", before=before, after=role)
        tx.emit("member.role_changed", f"user:{user_id}", before=before, after=role)
        tx.signal(PRINCIPALS, f"user:{user_id}")
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
        if row.role == "owner" and not row.disabled:
            await self._refuse_last_owner(tx, user_id)
        await tx.session.delete(row)
        tx.audit("member.removed", f"user:{user_id}", role=row.role)
        tx.emit("member.removed", f"user:{user_id}", role=row.role)
        tx.signal(PRINCIPALS, f"user:{user_id}")

    async def disable_member(self, tx: Tx, *, user_id: str, by: frozenset[str]) -> Member:
        """Keep a member out of this tenant until they are enabled; tokens bound to it are void now.

        Their role stays, and their place in other tenants.

        Raises:
            MemberNotFoundError: Not a member of this tenant.
            OwnAccountError: It is whoever asks.
            RoleTooHighError: The member has permissions that ``by`` lacks.
            LastOwnerError: It would leave the tenant without an owner who may act.
        """
        if tx.scope.actor == f"user:{user_id}":
            raise OwnAccountError
        user, row = await self._locked_member(tx, user_id)
        await self.roles.refuse_higher(tx, row.role, by, taken=True)
        if row.role == "owner" and not row.disabled:
            await self._refuse_last_owner(tx, user_id)
        return self._set_disabled(tx, user, row, disabled=True)

    async def enable_member(self, tx: Tx, *, user_id: str, by: frozenset[str]) -> Member:
        """Let a member act again, in the role they have.

        Raises:
            MemberNotFoundError: Not a member of this tenant.
            RoleTooHighError: The member has permissions that ``by`` lacks.
        """
        user, row = await self._locked_member(tx, user_id)
        await self.roles.refuse_higher(tx, row.role, by)
        return self._set_disabled(tx, user, row, disabled=False)

    @staticmethod
    def _set_disabled(tx: Tx, user: UserRow, row: MembershipRow, *, disabled: bool) -> Member:
        row.disabled = disabled
        act = "member.disabled" if disabled else "member.enabled"
        tx.audit(act, f"user:{row.user_id}", role=row.role)
        tx.emit(act, f"user:{row.user_id}", role=row.role)
        tx.signal(PRINCIPALS, f"user:{row.user_id}")
        return _member(user, row)

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

    async def _refuse_last_owner(self, tx: Tx, user_id: str) -> None:
        """Refuse when nobody else owns the tenant who may act."""
        other = await tx.scalar(
            sa.select(MembershipRow.user_id)
            .join(UserRow, UserRow.id == MembershipRow.user_id)
            .where(
                MembershipRow.tenant_id == tx.tenant_id,
                MembershipRow.role == "owner",
                MembershipRow.disabled.is_(False),
                MembershipRow.user_id != user_id,
                UserRow.disabled.is_(False),
            )
            .limit(1)
        )
        if other is None:
            raise LastOwnerError


def _member(user: UserRow, membership: MembershipRow) -> Member:
    return Member(
        user.id,
        user.email,
        user.name,
        membership.role,
        membership.created_at,
        disabled=membership.disabled,
        active=not (user.disabled or membership.disabled),
    )
