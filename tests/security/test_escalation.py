"""Nobody becomes more than they were given: not by minting, rotating, narrowing or replaying."""

import base64
import json
import re
import secrets

import pytest
import sqlalchemy as sa

from backend.cli.people import reset_password
from backend.core.context import SystemScope
from backend.http.schemas import ShownOnce
from backend.managers.gateway.models import IdempotencyRecord
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
        assert (await http.post("/api/v1/invitations", json=body)).status_code == 403
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

    async def test_an_admin_takes_nothing_from_an_owner(self, app, people):
        """What they cannot hand out they cannot end: one rule for both."""
        owner = await app.caller("owner")
        admin = await app.caller("admin", owner.tenant)
        boss = await people.person()
        await people.member(owner.tenant, boss, "owner")
        client = await made(owner.http, "/api/v1/clients", "owner")
        key = await made(owner.http, "/api/v1/api-keys", "owner")
        for method, path in (
            ("DELETE", f"/api/v1/clients/{client['id']}"),
            ("POST", f"/api/v1/clients/{client['id']}/rotate"),
            ("DELETE", f"/api/v1/api-keys/{key['id']}"),
            ("DELETE", f"/api/v1/members/{boss.id}"),
        ):
            answer = await admin.http.request(method, path)
            assert answer.status_code == 403, path
            assert answer.json()["code"] == "tenant.role_too_high", path
        holder = app.client(**{"X-API-Key": key["key"]})
        assert (await holder.get("/api/v1/me")).json()["role"] == "owner"
        assert (await owner.http.delete(f"/api/v1/clients/{client['id']}")).status_code == 204
        assert (await owner.http.delete(f"/api/v1/api-keys/{key['id']}")).status_code == 204

    @pytest.mark.parametrize("role", ["admin", "operator", "viewer", "workflow"])
    async def test_an_admin_ends_what_they_could_have_made(self, app, role):
        owner = await app.caller("owner")
        admin = await app.caller("admin", owner.tenant)
        for path in ("/api/v1/clients", "/api/v1/api-keys"):
            row = await made(owner.http, path, role)
            assert (await admin.http.delete(f"{path}/{row['id']}")).status_code == 204, path

    async def test_a_narrow_token_ends_nothing_above_it(self, app, token_of):
        owner = await app.caller("owner")
        scope = "client:write api_key:write"
        narrow = await token_of(owner.client_id, owner.client_secret, scope=scope)
        for path in ("/api/v1/clients", "/api/v1/api-keys"):
            row = await made(owner.http, path, "viewer")
            assert (await narrow.delete(f"{path}/{row['id']}")).status_code == 403, path


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
            assert (await narrow.post("/api/v1/invitations", json=body)).status_code == 403, role
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
            ("/api/v1/invitations", {"email": "a@example.test", "name": "A", "role": "viewer"}),
            ("/api/v1/platform/tenants", {"slug": "evil", "name": "Evil"}),
            ("/api/v1/audit/verify", {}),
        ):
            assert (await workflow.http.post(path, json=body)).status_code == 403, path


class TestPlatform:
    async def test_administering_the_platform_is_no_membership(self, app, people):
        ada = await app.caller("owner")
        root = await people.person(platform_role="administrator")
        answer = await people.exchange(await people.id_token(root.email), tenant=ada.tenant.id)
        assert answer.json()["error"] == "invalid_target"
        answer = await people.exchange(await people.id_token(root.email))
        assert answer.json()["error"] == "invalid_target"

    async def test_platform_rights_cannot_be_handed_to_programs(self, app, people):
        root = await people.person(platform_role="administrator")
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
                sa.update(TenantRow)
                .where(TenantRow.id == ada.tenant.id)
                .values(state="suspended", reason="unpaid")
            )
            tx.signal("principals")
        # Whoever has shown who they are is told why; a wrong secret tells nobody anything.
        assert (await ada.http.get("/api/v1/me")).status_code == 403
        with_key = app.client(**{"X-API-Key": key["key"]})
        assert (await with_key.get("/api/v1/me")).json()["detail"] == "unpaid"
        assert (await people.exchange(id_token)).status_code == 403
        answer = await app.client().post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(ada.client_id, "wrong"),
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        answer = await app.client().post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(ada.client_id, ada.client_secret),
        )
        assert (answer.status_code, answer.json()["detail"]) == (403, "unpaid")


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
        """A lowered caller gets nothing out of the answers kept for their retries."""
        owner = await app.caller("owner")
        user = await people.person()
        await people.member(owner.tenant, user, "admin")
        http = await people.acting(user)
        key = {"Idempotency-Key": secrets.token_hex(8)}
        body = {"name": "n8n", "role": "viewer"}
        first = await http.post("/api/v1/clients", json=body, headers=key)
        again = await http.post("/api/v1/clients", json=body, headers=key)
        assert again.json()["id"] == first.json()["id"]
        assert again.headers["idempotency-replayed"] == "true"
        await owner.http.put(f"/api/v1/members/{user.id}", json={"role": "viewer"})
        lowered = await http.post("/api/v1/clients", json=body, headers=key)
        assert lowered.status_code == 403, lowered.text
        assert "client_secret" not in lowered.text
        narrow = await token_of(owner.client_id, owner.client_secret, scope="email:read")
        made = await owner.http.post("/api/v1/clients", json=body, headers=key)
        assert made.status_code == 201
        assert (await narrow.post("/api/v1/clients", json=body, headers=key)).status_code == 403


class TestReplays:
    """A kept answer is for who could do the act now, and holds no secret."""

    SHOWING = (
        ("/api/v1/clients", "client_secret", "client:write"),
        ("/api/v1/api-keys", "key", "api_key:write"),
    )

    @pytest.mark.parametrize(("path", "field", "permission"), SHOWING)
    async def test_a_narrow_token_gets_no_owner_out_of_one(
        self, app, token_of, path, field, permission
    ):
        owner = await app.caller("owner")
        key = {"Idempotency-Key": secrets.token_hex(8)}
        body = {"name": "n", "role": "owner"}
        first = (await owner.http.post(path, json=body, headers=key)).json()
        narrow = await token_of(owner.client_id, owner.client_secret, scope=permission)
        answer = await narrow.post(path, json=body, headers=key)
        assert answer.status_code == 403, answer.text
        assert first[field] not in answer.text
        # As the act itself would be refused, with a key of its own.
        fresh = {"Idempotency-Key": secrets.token_hex(8)}
        assert (await narrow.post(path, json=body, headers=fresh)).status_code == 403

    @pytest.mark.parametrize(("path", "field", "permission"), SHOWING)
    async def test_a_demoted_owner_gets_none_either(self, app, people, path, field, permission):
        owner = await app.caller("owner")
        user = await people.person()
        for each in (user, await people.person()):
            await people.member(owner.tenant, each, "owner")
        http = await people.acting(user)
        key = {"Idempotency-Key": secrets.token_hex(8)}
        body = {"name": "n", "role": "owner"}
        first = (await http.post(path, json=body, headers=key)).json()
        lowered = await owner.http.put(f"/api/v1/members/{user.id}", json={"role": "admin"})
        assert lowered.is_success, lowered.text
        answer = await http.post(path, json=body, headers=key)
        assert answer.status_code == 403, answer.text
        assert (
            answer.json()["permission"] not in (await http.get("/api/v1/me")).json()["permissions"]
        )
        assert first[field] not in answer.text

    async def test_neither_does_a_rotation_nor_a_member(self, app, people, token_of):
        owner = await app.caller("owner")
        client = await made(owner.http, "/api/v1/clients", "owner")
        eve = await people.person()
        for path, body, scope in (
            (f"/api/v1/clients/{client['id']}/rotate", None, "client:write"),
            (
                "/api/v1/invitations",
                {"email": eve.email, "name": "Eve", "role": "owner"},
                "member:write",
            ),
        ):
            key = {"Idempotency-Key": secrets.token_hex(8)}
            first = await owner.http.post(path, json=body, headers=key)
            assert first.is_success, first.text
            narrow = await token_of(owner.client_id, owner.client_secret, scope=scope)
            answer = await narrow.post(path, json=body, headers=key)
            assert answer.status_code == 403, answer.text

    async def test_who_could_do_the_act_gets_it_with_less_than_they_had(self, app, token_of):
        """Only what the act asked for is asked again."""
        owner = await app.caller("owner")
        key = {"Idempotency-Key": secrets.token_hex(8)}
        body = {"to": ["ada@example.test"], "subject": "s", "text": "t"}
        first = await owner.http.post("/api/v1/emails", json=body, headers=key)
        narrow = await token_of(owner.client_id, owner.client_secret, scope="email:send")
        again = await narrow.post("/api/v1/emails", json=body, headers=key)
        assert (again.status_code, again.json()) == (202, first.json())

    async def test_a_replay_says_that_the_secret_was_shown(self, app):
        owner = await app.caller("owner")
        client = await made(owner.http, "/api/v1/clients", "viewer")
        rotate = f"/api/v1/clients/{client['id']}/rotate"
        for path, field, _ in (*self.SHOWING, (rotate, "client_secret", "")):
            key = {"Idempotency-Key": secrets.token_hex(8)}
            body = None if path == rotate else {"name": "n", "role": "viewer"}
            first = await owner.http.post(path, json=body, headers=key)
            assert first.json()["secret_withheld"] is None
            again = await owner.http.post(path, json=body, headers=key)
            assert (again.status_code, again.headers["idempotency-replayed"]) == (
                first.status_code,
                "true",
            )
            assert first.json()[field] not in again.text
            assert field not in again.json()
            assert "shown once" in again.json()["secret_withheld"]
            kept = {**first.json(), "secret_withheld": again.json()["secret_withheld"]}
            del kept[field]
            assert again.json() == kept

    async def test_nothing_that_is_kept_holds_a_secret(self, app, people):
        """Every operation that makes something, with its key: what is stored opens to no secret."""
        owner = await app.caller("owner")
        root = await people.person(platform_role="administrator")
        await people.member(owner.tenant, root, "owner")
        http = await people.acting(root)
        client = await made(http, "/api/v1/clients", "viewer")
        email = {"to": ["ada@example.test"], "subject": "s", "text": "t"}
        sent = (await http.post("/api/v1/emails", json=email)).json()
        acts = {
            "/api/v1/clients": {"name": "n", "role": "viewer"},
            f"/api/v1/clients/{client['id']}/rotate": None,
            "/api/v1/api-keys": {"name": "n", "role": "viewer"},
            "/api/v1/invitations": {"email": "new@example.test", "role": "viewer"},
            "/api/v1/emails": email,
            "/api/v1/emails/batch": {"messages": [email]},
            "/api/v1/suppressions": {"address": "a@example.test"},
            "/api/v1/platform/tenants": {"slug": "another", "name": "Another"},
            "/api/v1/platform/signing-keys/rotate": None,
            f"/api/v1/jobs/{sent['job_id']}/cancel": None,
            f"/api/v1/jobs/{sent['job_id']}/retry": None,
        }
        database = app.platform.database
        for path, body in acts.items():
            key = {"Idempotency-Key": secrets.token_hex(8)}
            answer = await http.post(path, json=body, headers=key)
            assert answer.is_success, (path, answer.text)
            again = await http.post(path, json=body, headers=key)
            assert again.headers["idempotency-replayed"] == "true", path
            assert not CREDENTIAL.search(again.text), path
            assert "token=" not in again.text
        async with database.read(SystemScope(EVERYTHING)) as tx:
            kept = await tx.scalar(sa.select(sa.func.count()).select_from(IdempotencyRecord))
        assert kept == len(acts)

    def test_every_answer_with_a_secret_is_shown_once(self, openapi):
        """By name and by type: who adds one has to say what its replay is."""
        schemas = openapi["components"]["schemas"]
        showing = {
            name
            for name, schema in schemas.items()
            if name.endswith("Out")
            and {
                "client_secret",
                "key",
                "material",
                "link",
                "owner_invitation_link",
                "secret",
                "password",
                "token",
                "recovery_codes",
            }
            & schema["properties"].keys()
        }
        # The name of a dashboard that ships, by which one is made of it.
        showing.remove("DashboardTemplateOut")
        # The value of a secret: what reads it again and again calls it so too.
        showing.add("RedeemedSecretOut")
        assert showing == {one.__name__ for one in ShownOnce.__subclasses__()}


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


async def made(http, path, role):
    """A client or key of this role."""
    answer = await http.post(path, json={"name": "n", "role": role})
    assert answer.status_code == 201, answer.text
    return answer.json()


CREDENTIAL = re.compile(r"es_(?:secret|key)_[0-9A-Za-z]{40}")
PASSWORD_AFTER = "a wholly different one"
