"""What people and programs may do with the platform itself, and who may say so."""

import asyncio

import pytest

from backend.core.context import SystemScope
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.room import PLATFORM_AUDITOR
from backend.managers.gateway import GatewayManager
from backend.managers.identity import IdentityManager
from backend.managers.tenant import (
    PLATFORM,
    LastAdministratorError,
    MemberNotFoundError,
    PlatformRole,
    Roles,
    RoleTooHighError,
    RoleUnknownError,
    TenantManager,
    User,
)
from tests.support.errands import EVERYTHING
from tests.support.invitations import token_of
from tests.support.roles import ROLES

ALL = ROLES.by_platform["administrator"]


async def person(database, tenants, name, platform_role=None):
    async with database.transaction(SystemScope(EVERYTHING)) as tx:
        return await tenants.create_user(
            tx,
            email=f"{name}@example.test",
            name=name,
            password_hash=None,
            platform_role=platform_role,
        )


class TestRoles:
    def test_an_administrator_may_all_and_the_others_write_nothing(self):
        assert ROLES.of_platform == ALL
        for role, may in (("auditor", {"read", "export"}), ("support", {"read"})):
            held = ROLES.by_platform[role]
            assert held < ALL
            assert {name.partition(":")[2] for name in held} == may
        assert "platform_audit:read" in ROLES.by_platform["auditor"]
        assert "platform_audit:read" not in ROLES.by_platform["support"]

    def test_what_is_the_platforms_is_no_tenants(self):
        with pytest.raises(ValueError, match="of a tenant and of the platform: x:read"):
            Roles({"x:read": frozenset({"owner", "support"})})
        with pytest.raises(ValueError, match="of a tenant and of the platform: x:read"):
            Roles({"x:read": frozenset({"auditor"})})
        with pytest.raises(ValueError, match="no built-in role is called boss"):
            Roles({"x:read": frozenset({"boss"})})

    def test_an_auditor_is_one_of_the_platform_or_of_a_tenant(self):
        both = {"x:read": frozenset({"owner", "auditor"}), "y:read": PLATFORM_AUDITOR}
        roles = Roles(both)
        assert roles.by_name["auditor"] == {"x:read"}
        assert roles.by_platform["auditor"] == {"y:read"}

    async def test_a_platform_role_is_none_in_a_tenant_and_the_other_way_round(self, database):
        tenant = SystemScope(EVERYTHING, tenant_id=uuid7())
        async with database.transaction(tenant) as tx:
            assert await ROLES.permissions_of(tx, "administrator") == frozenset()
            with pytest.raises(RoleUnknownError):
                await ROLES.refuse_higher(tx, "administrator", None)
        async with database.transaction(SystemScope(EVERYTHING)) as tx:
            assert tx.tenant_id == PLATFORM_TENANT
            assert await ROLES.permissions_of(tx, "owner") == frozenset()
            with pytest.raises(RoleUnknownError):
                await ROLES.refuse_higher(tx, "owner", None)


class TestSet:
    async def test_nobody_hands_out_or_takes_away_what_they_lack(self, database):
        tenants = TenantManager(ROLES)
        root = await person(database, tenants, "root", "administrator")
        await person(database, tenants, "second", "administrator")
        ann = await person(database, tenants, "ann")
        async with database.transaction(SystemScope(PLATFORM)) as tx:
            refused: list[tuple[User, PlatformRole | None]] = [
                (ann, "administrator"),
                (ann, "support"),
                (root, None),
            ]
            for user, role in refused:
                with pytest.raises(RoleTooHighError):
                    await tenants.platform_roles.set(
                        tx,
                        user_id=user.id,
                        platform_role=role,
                        granter=ROLES.by_platform["auditor"] - {"platform:read"},
                    )
            with pytest.raises(MemberNotFoundError):
                await tenants.platform_roles.set(
                    tx, user_id=uuid7(), platform_role="auditor", granter=ALL
                )
            await tenants.platform_roles.set(
                tx, user_id=ann.id, platform_role="auditor", granter=ALL
            )
            assert (await tenants.get_user(tx, ann.id)).platform_role == "auditor"

    @pytest.mark.parametrize("how", ["lowered", "disabled"])
    async def test_the_last_administrator_stays_also_when_two_leave_at_once(self, database, how):
        """By a program, or by each other: then nobody disables their own account."""
        tenants = TenantManager(ROLES)
        both = [await person(database, tenants, name, "administrator") for name in ("one", "two")]

        async def leave(user):
            async with database.transaction(SystemScope(PLATFORM)) as tx:
                if how == "disabled":
                    await tenants.people.disable(tx, user.id)
                    return
                await tenants.platform_roles.set(
                    tx, user_id=user.id, platform_role="auditor", granter=ALL
                )

        results = await asyncio.gather(*map(leave, both), return_exceptions=True)
        (refused,) = [one for one in results if one is not None]
        assert isinstance(refused, LastAdministratorError)
        # Whoever is disabled already is no administrator who could be the last.
        async with database.transaction(SystemScope(PLATFORM)) as tx:
            for user in both if how == "disabled" else ():
                if (await tenants.get_user(tx, user.id)).disabled:
                    await tenants.people.disable(tx, user.id)


@pytest.fixture
async def root(app):
    """A program that administers the platform, made as an operator's shell makes one."""
    async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
        _, key = await app.platform.of(GatewayManager).api_keys.create_api_key(
            tx, name="root", role="administrator", granter=None
        )
    return app.client(**{"X-API-Key": key})


class TestPrograms:
    """A client or key of the platform performs what a person could, within its platform role."""

    async def test_platform_acts_can_be_automated(self, app, root):
        ada = await person(app.platform.database, app.platform.of(TenantManager), "ada")
        body = {"slug": "made", "name": "Made"}
        answer = await root.post("/api/v1/platform/tenants", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/body/owner_email"
        body["owner_email"] = ada.email
        once = {"Idempotency-Key": "k1"}
        first = await root.post("/api/v1/platform/tenants", json=body, headers=once)
        assert first.status_code == 201, first.text
        again = await root.post("/api/v1/platform/tenants", json=body, headers=once)
        assert again.headers["idempotency-replayed"] == "true"
        shown, kept = first.json(), again.json()
        # Whoever has the link comes in, so it is in no answer that is kept.
        assert token_of(shown.pop("owner_invitation_link"))
        assert "Resend the invitation" in kept.pop("secret_withheld")
        assert kept == {key: value for key, value in shown.items() if key != "secret_withheld"}
        me = (await root.get("/api/v1/me")).json()
        assert (me["platform_role"], me["platform_admin"], me["tenant"]["slug"]) == (
            "administrator", True, "platform",
        )  # fmt: skip
        # Of no tenant: it reads and sends nothing in one.
        assert (await root.get("/api/v1/emails")).status_code == 403

    async def test_a_client_has_its_role_and_no_other(self, app, root):
        made = (
            await root.post("/api/v1/platform/clients", json={"name": "a", "role": "auditor"})
        ).json()
        answer = await app.client().post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(made["client_id"], made["client_secret"]),
        )
        assert set(answer.json()["scope"].split()) == ROLES.by_platform["auditor"]
        auditor = app.client(Authorization=f"Bearer {answer.json()['access_token']}")
        assert (await auditor.get("/api/v1/platform/audit")).status_code == 200
        assert (await auditor.get("/api/v1/platform/clients")).status_code == 200
        for path, body in (
            ("/api/v1/platform/tenants", {"slug": "no", "name": "No"}),
            ("/api/v1/platform/clients", {"name": "b", "role": "auditor"}),
            ("/api/v1/platform/api-keys", {"name": "b", "role": "support"}),
        ):
            assert (await auditor.post(path, json=body)).status_code == 403, path
        path = f"/api/v1/platform/clients/{made['id']}"
        assert (await auditor.delete(path)).status_code == 403
        assert (await root.post(f"{path}/rotate")).status_code == 200
        assert (await root.delete(path)).status_code == 204
        assert (await auditor.get("/api/v1/platform/audit")).status_code == 401

    async def test_roles_of_tenants_are_not_handed_out(self, root):
        for path in ("/api/v1/platform/clients", "/api/v1/platform/api-keys"):
            answer = await root.post(path, json={"name": "x", "role": "owner"})
            assert answer.status_code == 422, path

    async def test_a_tenants_owner_reaches_none_of_it(self, app, root):
        ada = await app.caller("owner")
        made = (
            await root.post("/api/v1/platform/api-keys", json={"name": "s", "role": "support"})
        ).json()
        support = app.client(**{"X-API-Key": made["key"]})
        assert (await support.get("/api/v1/platform/tenants")).status_code == 200
        assert (await support.get("/api/v1/platform/audit")).status_code == 403
        assert (await ada.http.delete(f"/api/v1/api-keys/{made['id']}")).status_code == 404
        path = f"/api/v1/platform/api-keys/{made['id']}"
        assert (await ada.http.delete(path)).status_code == 403
        answer = await ada.http.post("/api/v1/api-keys", json={"name": "x", "role": "support"})
        assert (answer.status_code, answer.json()["code"]) == (422, "tenant.role_unknown")
        assert (await root.delete(path)).status_code == 204
        assert (await support.get("/api/v1/platform/tenants")).status_code == 401

    async def test_the_consoles_client_is_nobodys(self, app, root):
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            clients = app.platform.of(IdentityManager).clients
            await clients.put_console_client(tx, secret="c" * 40, redirect_uris=["http://x/cb"])
        assert (await root.get("/api/v1/platform/clients")).json()["items"] == []

    async def test_a_persons_role_is_set_and_holds_at_once(self, app, root):
        tenants = app.platform.of(TenantManager)
        ada = await person(app.platform.database, tenants, "ada", "administrator")
        path = f"/api/v1/platform/users/{ada.id}/role"
        answer = await root.put(path, json={"platform_role": None})
        assert (answer.status_code, answer.json()["code"]) == (409, "tenant.last_administrator")
        await person(app.platform.database, tenants, "bob", "administrator")
        answer = await root.put(path, json={"platform_role": "support"})
        assert answer.json()["platform_role"] == "support"
        names = {
            one["name"]: set(one["permissions"])
            for one in (await root.get("/api/v1/platform/roles")).json()["items"]
        }
        assert names == {name: set(held) for name, held in ROLES.by_platform.items()}
