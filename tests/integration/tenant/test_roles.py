"""Roles of a tenant's own: who may make, change and hand them out, and when a change holds."""

import asyncio

import pytest
import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.ids import uuid7
from backend.managers.tenant import (
    PRINCIPALS,
    PermissionUnknownError,
    RoleBuiltInError,
    RoleChangedError,
    RoleNotFoundError,
    Roles,
    RoleTooHighError,
    RoleUnknownError,
    TooManyRolesError,
)
from backend.managers.tenant.models import RoleRow
from tests.security.conftest import People
from tests.support.errands import EVERYTHING
from tests.support.roles import ROLES

OWNER = ROLES.by_name["owner"]
ADMIN = ROLES.by_name["admin"]
SENDS = frozenset({"email:read", "email:send"})


class TenantRoles:
    """The roles of one of two tenants, each call a transaction of its own."""

    def __init__(self, database, tenant_id, roles):
        self.database, self.tenant_id, self.roles = database, tenant_id, roles

    def scope(self):
        return SystemScope(EVERYTHING, actor="user:test", tenant_id=self.tenant_id)

    async def put(self, name, permissions, *, by=OWNER, expected=None):
        async with self.database.transaction(self.scope()) as tx:
            return await self.roles.put(
                tx,
                name=name,
                description="",
                permissions=frozenset(permissions),
                expected_version=expected,
                granter=by,
            )

    async def delete(self, name, *, by=OWNER):
        async with self.database.transaction(self.scope()) as tx:
            await self.roles.delete(tx, name, remover=by)

    async def hand_out(self, name, *, by=OWNER):
        async with self.database.transaction(self.scope()) as tx:
            await self.roles.refuse_higher(tx, name, by)
            return tx.demanded

    async def permissions_of(self, name, roles=None):
        async with self.database.read(self.scope()) as tx:
            return await (roles or self.roles).permissions_of(tx, name)


async def member(app, caller, role):
    """Somebody of the caller's tenant."""
    people = People(app)
    person = await people.person()
    await people.member(caller.tenant, person, role)
    return person


@pytest.fixture
def acme(database):
    return TenantRoles(database, uuid7(), ROLES)


@pytest.fixture
def beta(database):
    return TenantRoles(database, uuid7(), ROLES)


class TestPut:
    async def test_makes_a_role_of_one_tenant(self, acme, beta):
        made = await acme.put("billing", SENDS)
        assert (made.name, made.permissions, made.version, made.built_in) == (
            "billing", SENDS, 1, False,
        )  # fmt: skip
        assert await acme.permissions_of("billing") == SENDS
        assert await beta.permissions_of("billing") == frozenset()
        with pytest.raises(RoleUnknownError):
            await beta.hand_out("billing")

    async def test_is_in_force_in_every_process_with_the_commit(self, acme):
        # Roles of another process, which no signal reaches.
        other = Roles({name: frozenset({"owner"}) for name in OWNER})
        await acme.put("billing", SENDS)
        assert await acme.permissions_of("billing", other) == SENDS
        await acme.put("billing", {"email:read"})
        assert await acme.permissions_of("billing", other) == {"email:read"}

    async def test_what_was_undone_is_not_remembered(self, acme):
        with pytest.raises(RuntimeError):
            async with acme.database.transaction(acme.scope()) as tx:
                await ROLES.put(
                    tx,
                    name="billing",
                    description="",
                    permissions=SENDS,
                    expected_version=None,
                    granter=None,
                )
                assert await ROLES.permissions_of(tx, "billing") == SENDS
                raise RuntimeError
        assert await acme.permissions_of("billing") == frozenset()
        await acme.put("billing", {"email:read"})
        assert await acme.permissions_of("billing") == {"email:read"}

    async def test_signals_its_tenant_alone_and_nothing_for_no_change(self, acme):
        told = []
        acme.database.signals.subscribe(PRINCIPALS, told.append)
        first = await acme.put("billing", SENDS)
        assert told == [f"tenant:{acme.tenant_id}"]
        again = await acme.put("billing", SENDS)
        assert again == first
        assert len(told) == 1

    async def test_names_no_built_in_role_and_no_undeclared_or_platform_permission(self, acme):
        for name in ROLES.by_name:
            with pytest.raises(RoleBuiltInError):
                await acme.put(name, SENDS)
        for permission in ("email:fly", *ROLES.of_platform):
            with pytest.raises(PermissionUnknownError):
                await acme.put("billing", {"email:read", permission}, by=None)

    async def test_nobody_goes_beyond_what_they_hold_before_or_after(self, acme):
        with pytest.raises(RoleTooHighError):
            await acme.put("chief", ADMIN | {"owner:write"}, by=ADMIN)
        await acme.put("chief", ADMIN | {"owner:write"})
        # Not even to make it less: it would take from people what the admin lacks.
        with pytest.raises(RoleTooHighError):
            await acme.put("chief", SENDS, by=ADMIN)
        with pytest.raises(RoleTooHighError):
            await acme.delete("chief", by=ADMIN)
        with pytest.raises(RoleTooHighError):
            await acme.hand_out("chief", by=ADMIN)
        assert await acme.hand_out("chief") == ADMIN | {"owner:write"}

    async def test_refuses_a_version_that_is_not_current(self, acme):
        with pytest.raises(RoleChangedError):
            await acme.put("billing", SENDS, expected="1")
        first = await acme.put("billing", SENDS)
        await acme.put("billing", {"email:read"}, expected=str(first.version))
        with pytest.raises(RoleChangedError):
            await acme.put("billing", SENDS, expected=str(first.version))
        # Made anew under its old name it is another one.
        await acme.delete("billing")
        assert (await acme.put("billing", SENDS)).version == 4

    async def test_bounds_how_many_there_are(self, acme, monkeypatch):
        monkeypatch.setattr("backend.managers.tenant._roles._MAX_ROLES", 2)
        await acme.put("one", SENDS)
        await acme.put("two", SENDS)
        with pytest.raises(TooManyRolesError):
            await acme.put("three", SENDS)
        await acme.put("two", {"email:read"})

    async def test_many_at_once_each_get_a_version(self, acme):
        made = await asyncio.gather(*(acme.put(f"role-{n}", SENDS) for n in range(8)))
        assert {one.version for one in made} == set(range(1, 9))

    async def test_a_permission_that_no_room_declares_any_more_is_nobodys(self, acme):
        await acme.put("billing", SENDS)
        async with acme.database.transaction(acme.scope()) as tx:
            row = await tx.scalar(sa.select(RoleRow))
            row.permissions = ["email:read", "email:fly", "platform:write"]
        later = Roles({name: frozenset({"owner"}) for name in OWNER})
        assert await acme.permissions_of("billing", later) == {"email:read"}
        async with acme.database.transaction(acme.scope()) as tx:
            await later.refuse_higher(tx, "billing", frozenset({"email:read"}))


class TestDelete:
    async def test_refuses_built_in_unknown_and_held_roles(self, app):
        ada = await app.caller("owner")
        for name in ("owner", "viewer"):
            answer = await ada.http.delete(f"/api/v1/roles/{name}")
            assert (answer.status_code, answer.json()["code"]) == (409, "tenant.role_built_in")
        answer = await ada.http.delete("/api/v1/roles/billing")
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant.role_not_found")
        await ada.http.put("/api/v1/roles/billing", json={"permissions": ["email:read"]})
        bo = await member(app, ada, "billing")
        made = {"name": "n", "role": "billing"}
        client = (await ada.http.post("/api/v1/clients", json=made)).json()
        key = (await ada.http.post("/api/v1/api-keys", json=made)).json()
        guest = {"email": "guest@example.test", "name": "Guest", "role": "billing"}
        invited = (await ada.http.post("/api/v1/invitations", json=guest)).json()
        for count, path in (
            (4, f"/api/v1/invitations/{invited['id']}"),
            (3, f"/api/v1/members/{bo.id}"),
            (2, f"/api/v1/clients/{client['id']}"),
            (1, f"/api/v1/api-keys/{key['id']}"),
        ):
            answer = await ada.http.delete("/api/v1/roles/billing")
            assert (answer.status_code, answer.json()["code"]) == (409, "tenant.role_held")
            assert answer.json()["holders"] == count
            assert (await ada.http.delete(path)).status_code == 204
        assert (await ada.http.delete("/api/v1/roles/billing")).status_code == 204
        answer = await ada.http.post("/api/v1/api-keys", json=made)
        assert (answer.status_code, answer.json()["code"]) == (422, "tenant.role_unknown")
        assert answer.json()["errors"][0]["pointer"] == "/body/role"

    @pytest.mark.slow
    async def test_a_role_is_not_deleted_while_it_is_handed_out(self, acme):
        await acme.put("billing", SENDS)
        handed, deleted = asyncio.Event(), asyncio.Event()

        async def hand_out():
            async with acme.database.transaction(acme.scope()) as tx:
                await ROLES.refuse_higher(tx, "billing", OWNER)
                handed.set()
                # As long as another's deletion needs, were it not made to wait.
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(deleted.wait(), 0.3)

        async def delete():
            await handed.wait()
            await acme.delete("billing")
            deleted.set()

        await asyncio.gather(hand_out(), delete())
        with pytest.raises(RoleNotFoundError):
            await acme.delete("billing")


class TestHolders:
    """What a role permits is permitted to whoever holds it, from the next request on."""

    async def test_a_change_takes_from_running_tokens_and_gives_nothing_to_them(self, app):
        ada = await app.caller("owner")
        both = ["email:read", "role:read"]
        await ada.http.put("/api/v1/roles/billing", json={"permissions": both})
        made = {"name": "n", "role": "billing"}
        client = (await ada.http.post("/api/v1/clients", json=made)).json()
        key = (await ada.http.post("/api/v1/api-keys", json=made)).json()
        answer = await app.client().post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client["client_id"], client["client_secret"]),
        )
        assert answer.json()["scope"].split() == both
        token = app.client(Authorization=f"Bearer {answer.json()['access_token']}")
        with_key = app.client(**{"X-API-Key": key["key"]})

        async def allowed():
            paths = ("/api/v1/emails", "/api/v1/roles", "/api/v1/jobs")
            return [
                [(await http.get(path)).status_code == 200 for path in paths]
                for http in (token, with_key)
            ]

        assert await allowed() == [[True, True, False], [True, True, False]]
        await ada.http.put(
            "/api/v1/roles/billing", json={"permissions": ["email:read", "job:read"]}
        )
        # The key has no token that bounds it.
        assert await allowed() == [[True, False, False], [True, False, True]]

    async def test_an_admin_does_not_touch_what_holds_more(self, app):
        ada = await app.caller("owner")
        eve = await app.caller("admin", tenant=ada.tenant)
        rights = ["role:read", "owner:write"]
        await ada.http.put("/api/v1/roles/chief", json={"permissions": rights})
        made = {"name": "n", "role": "chief"}
        client = (await ada.http.post("/api/v1/clients", json=made)).json()
        key = (await ada.http.post("/api/v1/api-keys", json=made)).json()
        bo = await member(app, ada, "chief")
        for method, path, body in (
            ("PUT", "/api/v1/roles/chief", {"permissions": ["role:read"]}),
            ("DELETE", "/api/v1/roles/chief", None),
            ("POST", "/api/v1/clients", made),
            ("POST", "/api/v1/api-keys", made),
            ("POST", f"/api/v1/clients/{client['id']}/rotate", None),
            ("DELETE", f"/api/v1/clients/{client['id']}", None),
            ("DELETE", f"/api/v1/api-keys/{key['id']}", None),
            ("PUT", f"/api/v1/members/{bo.id}", {"role": "viewer"}),
            ("DELETE", f"/api/v1/members/{bo.id}", None),
        ):
            answer = await eve.http.request(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (
                403, "tenant.role_too_high",
            ), (method, path)  # fmt: skip


class TestOverHttp:
    async def test_lists_gets_and_guards_an_edit_by_its_etag(self, app):
        ada = await app.caller("owner")
        path = "/api/v1/roles/billing"
        body = {"description": "Invoices", "permissions": ["email:send", "email:read"]}
        made = await ada.http.put(path, json=body)
        assert made.json()["permissions"] == ["email:read", "email:send"]
        names = [one["name"] for one in (await ada.http.get("/api/v1/roles")).json()["items"]]
        assert names == [*ROLES.by_name, "billing"]
        read = await ada.http.get(path)
        assert read.json() == made.json()
        tag = read.headers["etag"]
        less = {**body, "permissions": ["email:read"]}
        assert (await ada.http.put(path, json=less, headers={"If-Match": tag})).status_code == 200
        answer = await ada.http.put(path, json=body, headers={"If-Match": tag})
        assert (answer.status_code, answer.json()["code"]) == (412, "tenant.role_changed")

    async def test_the_trail_tells_the_difference(self, app):
        ada = await app.caller("owner")
        path = "/api/v1/roles/billing"
        await ada.http.put(path, json={"permissions": ["email:read", "email:send"]})
        await ada.http.put(path, json={"permissions": ["email:read", "job:read"]})
        await ada.http.delete(path)
        records = (await ada.http.get("/api/v1/audit?action=role.saved")).json()["items"]
        assert [(one["target"], one["data"]) for one in records] == [
            (
                "role:billing",
                {"version": 2, "added": ["job:read"], "removed": ["email:send"]},
            ),
            (
                "role:billing",
                {"version": 1, "added": ["email:read", "email:send"], "removed": []},
            ),
        ]
        records = (await ada.http.get("/api/v1/audit?action=role.deleted")).json()["items"]
        assert [one["data"] for one in records] == [{"removed": ["email:read", "job:read"]}]

    async def test_another_tenants_role_is_none(self, app):
        ada, eve = await app.caller("owner"), await app.caller("owner")
        await ada.http.put("/api/v1/roles/billing", json={"permissions": ["email:read"]})
        assert (await eve.http.get("/api/v1/roles/billing")).status_code == 404
        assert (await eve.http.delete("/api/v1/roles/billing")).status_code == 404
        made = {"name": "n", "role": "billing"}
        assert (await eve.http.post("/api/v1/clients", json=made)).status_code == 422
