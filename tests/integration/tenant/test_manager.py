"""Tenants and the people in them: roles, owners, invitations, and who may change what."""

import asyncio

import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord
from backend.core.context import SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.identity import verify_password
from backend.managers.tenant import (
    PRINCIPALS,
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    RoleTooHighError,
    SlugTakenError,
    TenantManager,
    TenantNotFoundError,
    hash_password,
)
from tests.support.errands import EVERYTHING
from tests.support.roles import ROLES

ABSENT = "00000000-0000-7000-8000-000000000000"


class House:
    """A tenant and ways to change it; every call is a transaction of its own."""

    def __init__(self, database, tenant):
        self.database = database
        self.tenants = TenantManager(ROLES)
        self.tenant = tenant

    def scope(self):
        return SystemScope(EVERYTHING, actor="user:test", tenant_id=self.tenant.id)

    async def add(self, name, role, *, by="owner", password_hash="x"):  # noqa: S107
        """A person of the tenant; who is known by the e-mail stays who they are."""
        async with self.database.transaction(self.scope()) as tx:
            found = await self.tenants.find_login(tx, f"{name}@example.test")
            user = found[0] if found else None
            if user is None:
                user = await self.tenants.create_user(
                    tx,
                    email=f"{name}@example.test",
                    name=name,
                    password_hash=password_hash,
                    audit_tenant_id=self.tenant.id,
                )
            await self.tenants.add_member(
                tx,
                tenant_id=self.tenant.id,
                user_id=user.id,
                role=role,
                granter=ROLES.by_name.get(by, frozenset()),
            )
            return user

    async def set_role(self, user_id, role, *, by="owner"):
        async with self.database.transaction(self.scope()) as tx:
            return await self.tenants.set_role(
                tx, user_id=user_id, role=role, granter=ROLES.by_name.get(by, frozenset())
            )

    async def remove(self, user_id, *, by="owner"):
        async with self.database.transaction(self.scope()) as tx:
            await self.tenants.remove_member(
                tx, user_id=user_id, remover=ROLES.by_name.get(by, frozenset())
            )

    async def roles(self):
        async with self.database.read(self.scope()) as tx:
            return {m.name: m.role for m in await self.tenants.list_members(tx, limit=100)}

    async def acts(self):
        async with self.database.read(self.scope()) as tx:
            rows = await tx.scalars(
                sa.select(AuditRecord)
                .where(AuditRecord.tenant_id == self.tenant.id)
                .order_by(AuditRecord.id)
            )
            return [(row.action, row.data) for row in rows]


async def made(database, slug="acme"):
    async with database.transaction(SystemScope(EVERYTHING, actor="user:root")) as tx:
        tenant = await TenantManager(ROLES).create_tenant(tx, slug=slug, name=slug.title())
    return House(database, tenant)


@pytest.fixture
async def house(database):
    return await made(database)


class TestCreateTenant:
    async def test_is_an_act_of_the_platform(self, database, house):
        async with database.read(SystemScope(EVERYTHING)) as tx:
            (act,) = await tx.scalars(sa.select(AuditRecord))
        assert (act.tenant_id, act.actor, act.action) == (
            PLATFORM_TENANT,
            "user:root",
            "tenant.created",
        )
        assert act.target == f"tenant:{house.tenant.id}"

    async def test_refuses_a_taken_slug_and_goes_on(self, database, house):
        async with database.transaction(SystemScope(EVERYTHING)) as tx:
            with pytest.raises(SlugTakenError):
                await house.tenants.create_tenant(tx, slug="acme", name="Other")
            # The savepoint took the failure back, not the whole transaction.
            await house.tenants.create_tenant(tx, slug="other", name="Other")
        async with database.read(SystemScope(EVERYTHING)) as tx:
            found = await house.tenants.list_tenants(tx, limit=10)
        assert [tenant.slug for tenant in found] == ["other", "acme"]


class TestListTenants:
    async def test_pages_newest_first_without_the_platform(self, database, house):
        for number in range(4):
            await made(database, f"t{number}")
        async with database.read(SystemScope(EVERYTHING)) as tx:
            first = await house.tenants.list_tenants(tx, limit=3)
            rest = await house.tenants.list_tenants(tx, limit=3, before_id=first[2].id)
        assert [tenant.slug for tenant in first] == ["t3", "t2", "t1", "t0"]
        assert [tenant.slug for tenant in rest] == ["t0", "acme"]


class TestGetTenant:
    async def test_refuses_unknown(self, database, house):
        async with database.read(SystemScope(EVERYTHING)) as tx:
            assert (await house.tenants.get_tenant(tx, house.tenant.id)).slug == "acme"
            with pytest.raises(TenantNotFoundError):
                await house.tenants.get_tenant(tx, ABSENT)


class TestCreateUser:
    async def test_makes_a_log_in_and_audits_without_its_password(self, database, house):
        hashed = hash_password("correct horse battery")
        ada = await house.add("Ada", "owner", password_hash=hashed)
        assert [action for action, _ in await house.acts()] == ["user.created", "member.added"]
        assert hashed not in str(await house.acts())
        async with database.read(SystemScope(EVERYTHING)) as tx:
            user, stored = await house.tenants.find_login(tx, " ADA@example.test ")
        assert user.id == ada.id
        assert verify_password(stored, "correct horse battery")

    async def test_refuses_another_spelling_of_a_known_address(self, database, house):
        async with database.transaction(SystemScope(EVERYTHING)) as tx:
            await house.tenants.create_user(
                tx, email="Ada@Bücher.example", name="Ada", password_hash="x"
            )
            for same in (
                "ada@bücher.example",
                "ADA@XN--BCHER-KVA.example",
                "\uff41da@bücher.example",
            ):
                with pytest.raises(LoginExistsError):
                    await house.tenants.create_user(tx, email=same, name="", password_hash="y")
            await house.tenants.create_user(
                tx, email="ada+x@bücher.example", name="Another", password_hash="z"
            )


class TestAddMember:
    async def test_refuses_a_second_membership(self, house):
        await house.add("Ada", "owner")
        with pytest.raises(MemberExistsError):
            await house.add("Ada", "viewer")
        assert await house.roles() == {"Ada": "owner"}

    @pytest.mark.parametrize(
        ("by", "role"),
        [("admin", "owner"), ("operator", "admin"), ("viewer", "operator"), ("workflow", "viewer")],
    )
    async def test_nobody_grants_more_than_they_have(self, house, by, role):
        with pytest.raises(RoleTooHighError):
            await house.add("Ada", role, by=by)
        assert await house.roles() == {}
        assert await house.acts() == []


class TestSetRole:
    async def test_changes_it_tells_the_fleet_and_audits(self, database, house):
        told = []
        database.signals.subscribe(PRINCIPALS, told.append)
        await house.add("Ada", "owner")
        bob = await house.add("Bob", "viewer")
        told.clear()
        assert (await house.set_role(bob.id, "admin")).role == "admin"
        assert await house.roles() == {"Ada": "owner", "Bob": "admin"}
        assert told == [f"user:{bob.id}"]
        assert (await house.acts())[-1] == (
            "member.role_changed",
            {"before": "viewer", "after": "admin"},
        )

    async def test_only_owners_make_and_unmake_owners(self, house):
        ada = await house.add("Ada", "owner")
        bob = await house.add("Bob", "admin")
        for user_id, role in ((ada.id, "viewer"), (bob.id, "owner")):
            with pytest.raises(RoleTooHighError):
                await house.set_role(user_id, role, by="admin")
        assert await house.roles() == {"Ada": "owner", "Bob": "admin"}

    async def test_the_last_owner_stays(self, house):
        ada = await house.add("Ada", "owner")
        with pytest.raises(LastOwnerError):
            await house.set_role(ada.id, "admin")
        bob = await house.add("Bob", "owner")
        await house.set_role(ada.id, "admin")
        with pytest.raises(LastOwnerError):
            await house.remove(bob.id)
        assert await house.roles() == {"Ada": "admin", "Bob": "owner"}

    async def test_two_owners_who_leave_at_once_leave_one(self, house):
        ada, bob = await house.add("Ada", "owner"), await house.add("Bob", "owner")
        done = await asyncio.gather(
            house.remove(ada.id), house.remove(bob.id), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in done) == ["LastOwnerError", "NoneType"]
        assert list((await house.roles()).values()) == ["owner"]

    async def test_refuses_who_is_not_a_member_here(self, database, house):
        other = await made(database, "other")
        eve = await other.add("Eve", "owner")
        for user_id in (eve.id, ABSENT):
            with pytest.raises(MemberNotFoundError):
                await house.set_role(user_id, "viewer")
            with pytest.raises(MemberNotFoundError):
                await house.remove(user_id)
        assert await other.roles() == {"Eve": "owner"}


class TestRemoveMember:
    async def test_ends_the_membership_and_keeps_the_person(self, database, house):
        await house.add("Ada", "owner")
        bob = await house.add("Bob", "viewer")
        await house.remove(bob.id)
        assert await house.roles() == {"Ada": "owner"}
        assert (await house.acts())[-1] == ("member.removed", {"role": "viewer"})
        async with database.read(SystemScope(EVERYTHING)) as tx:
            assert (await house.tenants.get_user(tx, bob.id)).name == "Bob"
            assert await house.tenants.list_tenants_of(tx, bob.id) == []


class TestSetPassword:
    async def test_replaces_it_and_audits_without_it(self, database, house):
        ada = await house.add("Ada", "owner", password_hash="first")
        async with database.transaction(SystemScope(EVERYTHING, actor="system:operator")) as tx:
            await house.tenants.set_password(tx, email="Ada@Example.test", password_hash="second")
            assert (await house.tenants.find_login(tx, "ada@example.test"))[1] == "second"
            with pytest.raises(MemberNotFoundError):
                await house.tenants.set_password(tx, email="x@example.test", password_hash="y")
        async with database.read(SystemScope(EVERYTHING)) as tx:
            act = await tx.scalar(
                sa.select(AuditRecord).where(AuditRecord.action == "user.password_reset")
            )
        assert (act.target, act.data) == (f"user:{ada.id}", {})


class TestRoles:
    def test_each_role_has_what_the_next_lower_has(self):
        assert (
            ROLES.by_name["viewer"]
            < ROLES.by_name["operator"]
            < ROLES.by_name["admin"]
            <= ROLES.by_name["owner"]
        )
        assert "email:read_content" not in ROLES.by_name["viewer"]

    def test_only_platform_admins_hold_the_platforms_permissions(self):
        assert ROLES.grantable & ROLES.of_platform == frozenset()
        assert {"platform:read", "platform:write"} <= ROLES.of_platform
