"""Nobody becomes more than they were given: not by minting, rotating, narrowing or replaying."""

import base64
import json
import secrets

import pytest
import sqlalchemy as sa

from backend.cli.people import reset_password
from backend.core.context import SystemScope
from backend.managers.tenant.models import TenantRow
from tests.support.errands import EVERYTHING

pytestmark = pytest.mark.attack


class TestOwners:
    """An admin holds every permission of an owner but one right: making owners."""

    @pytest.mark.parametrize("path", ["/api/v1/clients", "/api/v1/api-keys"])
    async def test_an_admin_cannot_mint_an_owner(self, app, people, path):
        owner = await app.caller("owner")
        admin = await app.caller("admin", owner.tenant)
        made = await admin.http.post(path, json={"name": "mine", "role": "owner"})
        assert made.status_code == 403, made.text
        assert (await owner.http.post(path, json={"name": "ours", "role": "owner"})).is_success

    async def test_an_admin_cannot_take_over_an_owners_client(self, app):
        owner = await app.caller("owner")
        admin = await app.caller("admin", owner.tenant)
        clients = (await admin.http.get("/api/v1/clients")).json()["items"]
        theirs = next(one for one in clients if one["role"] == "owner")
        answer = await admin.http.post(f"/api/v1/clients/{theirs['id']}/rotate")
        assert answer.status_code == 403
        assert (await owner.http.post(f"/api/v1/clients/{theirs['id']}/rotate")).is_success

    async def test_an_admin_cannot_make_or_unmake_owners(self, app, people):
        owner = await app.caller("owner")
        admin = await app.caller("admin", owner.tenant)
        boss, ada = await people.person(), await people.person()
        await people.member(owner.tenant, boss, "owner")
        await people.member(owner.tenant, ada, "admin")
        eve = await people.person()
        http = admin.http
        body = {"email": eve.email, "name": "Eve", "role": "owner"}
        assert (await http.post("/api/v1/members", json=body)).status_code == 403
        for user, role in ((ada, "owner"), (boss, "viewer")):
            answer = await http.put(f"/api/v1/members/{user.id}", json={"role": role})
            assert answer.status_code == 403
        assert (await http.delete(f"/api/v1/members/{boss.id}")).status_code == 403

    async def test_the_last_owner_stays(self, app, people):
        owner = await app.caller("owner")
        boss = await people.person()
        await people.member(owner.tenant, boss, "owner")
        answer = await owner.http.delete(f"/api/v1/members/{boss.id}")
        assert answer.json()["code"] == "tenant.last_owner"


class TestNarrowTokens:
    """A token with a part of its role's permissions grants no more than that part."""

    async def test_grants_only_what_it_carries(self, app, people, token_of):
        owner = await app.caller("owner")
        narrow = await token_of(owner.client_id, owner.client_secret, scope="member:write")
        ada = await people.person()
        await people.member(owner.tenant, ada, "viewer")
        eve = await people.person()
        for role in ("owner", "admin", "viewer"):
            body = {"email": eve.email, "name": "Eve", "role": role}
            assert (await narrow.post("/api/v1/members", json=body)).status_code == 403, role
            answer = await narrow.put(f"/api/v1/members/{ada.id}", json={"role": role})
            assert answer.status_code == 403, role

    async def test_a_scope_beyond_the_role_is_refused(self, app):
        viewer = await app.caller("viewer")
        for scope in ("email:send", "platform:read", "openid", "email:read email:send"):
            answer = await viewer.http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials", "scope": scope},
                auth=(viewer.client_id, viewer.client_secret),
                headers={"Authorization": ""},
            )
            assert answer.status_code in {400, 401}, scope

    async def test_a_workflow_manages_nothing(self, app):
        workflow = await app.caller("workflow")
        for path, body in (
            ("/api/v1/clients", {"name": "n", "role": "workflow"}),
            ("/api/v1/api-keys", {"name": "n", "role": "workflow"}),
            ("/api/v1/members", {"email": "a@example.test", "name": "A", "role": "viewer"}),
            ("/api/v1/platform/tenants", {"slug": "evil", "name": "Evil"}),
            ("/api/v1/audit/verify", {}),
        ):
            assert (await workflow.http.post(path, json=body)).status_code == 403, path


class TestForeignLogIns:
    """Who can reserve an e-mail must not end up inside the tenant that invites it later."""

    async def test_an_invitation_with_a_password_is_not_given_to_somebody_elses_log_in(
        self, app, people
    ):
        eve, ada = await app.caller("owner"), await app.caller("owner")
        body = {"email": "bob@corp.test", "name": "Bob", "role": "viewer"}
        planted = {**body, "password": "known to eve alone"}
        assert (await eve.http.post("/api/v1/members", json=planted)).status_code == 201
        invited = {**body, "role": "admin", "password": "chosen by ada's people"}
        answer = await ada.http.post("/api/v1/members", json=invited)
        assert answer.status_code == 409, answer.text
        assert answer.json()["code"] == "tenant.login_exists"
        assert (await ada.http.get("/api/v1/members")).json()["items"] == []
        # Knowing that the log-in is not theirs, they may still add the person.
        answer = await ada.http.post("/api/v1/members", json={**body, "role": "admin"})
        assert answer.status_code == 201


class TestPlatform:
    async def test_administering_the_platform_is_no_membership(self, app, people):
        ada = await app.caller("owner")
        root = await people.person(platform_admin=True)
        answer = await people.exchange(await people.id_token(root.email), tenant=ada.tenant.id)
        assert answer.json()["error"] == "invalid_target"
        answer = await people.exchange(await people.id_token(root.email))
        assert answer.json()["error"] == "invalid_target"

    async def test_platform_rights_cannot_be_handed_to_programs(self, app, people):
        root = await people.person(platform_admin=True)
        ada = await app.caller("owner")
        await people.member(ada.tenant, root, "owner")
        http = await people.acting(root)
        assert (await http.get("/api/v1/platform/tenants")).status_code == 200
        made = (await http.post("/api/v1/api-keys", json={"name": "k", "role": "owner"})).json()
        key = app.client(**{"X-API-Key": made["key"]})
        assert (await key.get("/api/v1/me")).status_code == 200
        assert (await key.get("/api/v1/platform/tenants")).status_code == 403

    async def test_a_suspended_tenant_is_shut(self, app, people):
        ada = await app.caller("owner")
        user = await people.person()
        await people.member(ada.tenant, user, "owner")
        id_token = await people.id_token(user.email)
        key = (await ada.http.post("/api/v1/api-keys", json={"name": "k", "role": "owner"})).json()
        database = app.platform.database
        async with database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(
                sa.update(TenantRow).where(TenantRow.id == ada.tenant.id).values(state="suspended")
            )
            tx.signal("principals")
        assert (await ada.http.get("/api/v1/me")).status_code == 401
        with_key = app.client(**{"X-API-Key": key["key"]})
        assert (await with_key.get("/api/v1/me")).status_code == 401
        assert (await people.exchange(id_token)).status_code == 400
        answer = await app.client().post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(ada.client_id, ada.client_secret),
        )
        assert answer.status_code == 401


class TestEndings:
    """What ends, ends at once, in running tokens too."""

    async def test_a_removed_member_and_a_lowered_one(self, app, people):
        ada = await app.caller("owner")
        user = await people.person()
        await people.member(ada.tenant, user, "admin")
        http = await people.acting(user)
        assert (await http.get("/api/v1/clients")).status_code == 200
        await ada.http.put(f"/api/v1/members/{user.id}", json={"role": "viewer"})
        assert (await http.get("/api/v1/clients")).status_code == 403
        await ada.http.delete(f"/api/v1/members/{user.id}")
        assert (await http.get("/api/v1/me")).status_code == 401

    async def test_a_deleted_client(self, app):
        owner = await app.caller("owner")
        other = await app.caller("admin", owner.tenant)
        assert (await other.http.get("/api/v1/me")).status_code == 200
        clients = (await owner.http.get("/api/v1/clients")).json()["items"]
        row = next(one for one in clients if one["client_id"] == other.client_id)
        await owner.http.delete(f"/api/v1/clients/{row['id']}")
        assert (await other.http.get("/api/v1/me")).status_code == 401

    async def test_a_new_password_ends_what_the_old_one_began(self, app, people):
        ada = await app.caller("owner")
        user = await people.person()
        await people.member(ada.tenant, user, "admin")
        id_token = await people.id_token(user.email)
        token = (await people.exchange(id_token)).json()["access_token"]
        http = app.client(Authorization=f"Bearer {token}")
        assert (await http.get("/api/v1/me")).status_code == 200
        await reset_password(app.platform, user.email, PASSWORD_AFTER)
        assert (await http.get("/api/v1/me")).status_code == 401
        assert (await people.exchange(id_token)).status_code == 400
        await people.id_token(user.email, PASSWORD_AFTER)

    async def test_a_replay_needs_the_permission_of_the_act(self, app, people, token_of):
        """A lowered caller gets no secret out of the answers kept for their retries."""
        owner = await app.caller("owner")
        user = await people.person()
        await people.member(owner.tenant, user, "admin")
        http = await people.acting(user)
        key = {"Idempotency-Key": secrets.token_hex(8)}
        body = {"name": "n8n", "role": "viewer"}
        first = await http.post("/api/v1/clients", json=body, headers=key)
        again = await http.post("/api/v1/clients", json=body, headers=key)
        assert again.json() == first.json()
        assert again.headers["idempotency-replayed"] == "true"
        await owner.http.put(f"/api/v1/members/{user.id}", json={"role": "viewer"})
        lowered = await http.post("/api/v1/clients", json=body, headers=key)
        assert lowered.status_code == 403, lowered.text
        assert "client_secret" not in lowered.text
        narrow = await token_of(owner.client_id, owner.client_secret, scope="email:read")
        made = await owner.http.post("/api/v1/clients", json=body, headers=key)
        assert made.status_code == 201
        assert (await narrow.post("/api/v1/clients", json=body, headers=key)).status_code == 403


class TestTokens:
    """What a token says about itself convinces nobody."""

    async def test_forged_tokens(self, app):
        ada = await app.caller("owner")
        header, claims, signature = ada.http.headers["authorization"][7:].split(".")

        def part(**changes):
            padded = claims + "=" * (-len(claims) % 4)
            changed = {**json.loads(base64.urlsafe_b64decode(padded)), **changes}
            return encoded(changed)

        def encoded(value):
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        kid = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
        none = encoded({"alg": "none", "typ": "at+jwt", "kid": kid})
        hs = encoded({"alg": "HS256", "typ": "at+jwt", "kid": kid})
        for token in (
            f"{none}.{claims}.",
            f"{none}.{claims}.{signature}",
            f"{hs}.{claims}.{signature}",
            f"{header}.{part(tenant=secrets.token_hex(16))}.{signature}",
            f"{header}.{part(scope='platform:read')}.{signature}",
            f"{header}.{claims}.{'A' * len(signature)}",
            f"{header}.{claims}.",
            f"{header}.{claims}",
        ):
            answer = await app.client(Authorization=f"Bearer {token}").get("/api/v1/me")
            assert answer.status_code == 401, token

    async def test_an_id_token_opens_nothing(self, app, people):
        ada = await app.caller("owner")
        user = await people.person()
        await people.member(ada.tenant, user, "owner")
        id_token = await people.id_token(user.email)
        http = app.client(Authorization=f"Bearer {id_token}")
        assert (await http.get("/api/v1/me")).status_code == 401

    async def test_an_exchange_stays_within_memberships(self, app, people):
        ada, eve = await app.caller("owner"), await app.caller("owner")
        user = await people.person()
        await people.member(eve.tenant, user, "owner")
        id_token = await people.id_token(user.email)
        for wanted in (ada.tenant.id, "00000000-0000-0000-0000-000000000000", "' OR 1=1 --"):
            answer = await people.exchange(id_token, tenant=wanted)
            assert answer.json()["error"] == "invalid_target"

    async def test_a_tenants_client_exchanges_nothing(self, app, people):
        eve = await app.caller("owner")
        user = await people.person()
        id_token = await people.id_token(user.email)
        answer = await app.client().post(
            "/oauth/token",
            data={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": id_token,
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            },
            auth=(eve.client_id, eve.client_secret),
        )
        assert answer.json()["error"] == "unauthorized_client"

    async def test_nobody_introspects_another_tenants_token(self, app):
        ada, eve = await app.caller("owner"), await app.caller("owner")
        token = ada.http.headers["authorization"][7:]
        answer = await eve.http.post("/oauth/introspect", data={"token": token})
        assert answer.json() == {"active": False}
        answer = await ada.http.post("/oauth/introspect", data={"token": token})
        assert answer.json()["active"] is True


PASSWORD_AFTER = "a wholly different one"
