"""What clients and keys are held to within their roles: scopes, an end, networks."""

from datetime import timedelta

import pytest

from backend.core.context import Scope
from backend.kit.sources import lies_in
from backend.managers.identity import CredentialBounds, CredentialInvalidError

HERE = "127.0.0.1/32"


async def token_of(app, made, **more):
    return await app.client().post(
        "/oauth/token",
        data={"grant_type": "client_credentials", **more},
        auth=(made["client_id"], made["client_secret"]),
    )


async def acting(app, made):
    answer = await token_of(app, made)
    assert answer.status_code == 200, answer.text
    return app.client(Authorization=f"Bearer {answer.json()['access_token']}")


@pytest.fixture
async def ada(app):
    return await app.caller("owner")


class TestScopes:
    async def test_hold_a_client_and_its_running_tokens(self, app, ada):
        body = {"name": "n", "role": "viewer", "scopes": ["email:read", "job:read"]}
        made = (await ada.http.post("/api/v1/clients", json=body)).json()
        answer = await token_of(app, made)
        assert answer.json()["scope"].split() == ["email:read", "job:read"]
        assert (await token_of(app, made, scope="member:read")).status_code == 400
        http = await acting(app, made)
        assert (await http.get("/api/v1/jobs")).status_code == 200
        assert (await http.get("/api/v1/members")).status_code == 403
        less = {"name": "n", "role": "viewer", "scopes": ["email:read"]}
        path = f"/api/v1/clients/{made['id']}"
        assert (await ada.http.put(path, json=less)).json()["scopes"] == ["email:read"]
        assert (await http.get("/api/v1/jobs")).status_code == 403

    async def test_hold_a_key_also_when_its_role_gains(self, app, ada):
        await ada.http.put("/api/v1/roles/billing", json={"permissions": ["email:read"]})
        body = {"name": "n", "role": "billing", "scopes": ["email:read"]}
        made = (await ada.http.post("/api/v1/api-keys", json=body)).json()
        http = app.client(**{"X-API-Key": made["key"]})
        both = {"permissions": ["email:read", "job:read"]}
        await ada.http.put("/api/v1/roles/billing", json=both)
        assert (await http.get("/api/v1/emails")).status_code == 200
        assert (await http.get("/api/v1/jobs")).status_code == 403

    async def test_are_refused_beyond_the_role(self, ada):
        body = {"name": "n", "role": "viewer", "scopes": ["email:send"]}
        for path in ("/api/v1/clients", "/api/v1/api-keys"):
            answer = await ada.http.post(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (
                422, "identity.scope_beyond_role",
            )  # fmt: skip

    async def test_a_narrow_client_grants_no_more_than_it_has(self, app, ada):
        body = {"name": "n", "role": "owner", "scopes": ["client:write", "api_key:write"]}
        made = (await ada.http.post("/api/v1/clients", json=body)).json()
        http = await acting(app, made)
        wider = {"name": "n", "role": "owner"}
        path = f"/api/v1/clients/{made['id']}"
        for method, where in (
            ("PUT", path), ("POST", "/api/v1/clients"), ("POST", "/api/v1/api-keys"),
        ):  # fmt: skip
            answer = await http.request(method, where, json=wider)
            assert (answer.status_code, answer.json()["code"]) == (403, "tenant.role_too_high")


class TestNetworks:
    async def test_hold_a_key_on_every_request(self, app, ada):
        body = {"name": "n", "role": "viewer", "networks": ["192.0.2.0/24", "2001:db8::/32"]}
        made = (await ada.http.post("/api/v1/api-keys", json=body)).json()
        http = app.client(**{"X-API-Key": made["key"]})
        for _ in range(2):  # asked of the database, then known
            answer = await http.get("/api/v1/me")
            assert (answer.status_code, answer.json()["code"]) == (403, "network_refused")
        path = f"/api/v1/api-keys/{made['id']}"
        answer = await ada.http.put(path, json={**body, "networks": ["192.0.2.0/24", HERE]})
        assert answer.json()["networks"] == ["192.0.2.0/24", HERE]
        assert (await http.get("/api/v1/me")).status_code == 200

    async def test_hold_a_client_and_its_running_tokens(self, app, ada):
        body = {"name": "n", "role": "viewer", "networks": [HERE]}
        made = (await ada.http.post("/api/v1/clients", json=body)).json()
        http = await acting(app, made)
        assert (await http.get("/api/v1/me")).status_code == 200
        elsewhere = {**body, "networks": ["192.0.2.7"]}
        changed = await ada.http.put(f"/api/v1/clients/{made['id']}", json=elsewhere)
        assert changed.json()["networks"] == ["192.0.2.7/32"]
        assert (await http.get("/api/v1/me")).json()["code"] == "network_refused"
        answer = await token_of(app, made)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    async def test_are_written_as_networks(self, ada):
        for network in ("192.0.2.7/24", "example.test", "", "192.0.2.0/33"):
            body = {"name": "n", "role": "viewer", "networks": [network]}
            assert (await ada.http.post("/api/v1/clients", json=body)).status_code == 422, network

    def test_know_both_families_and_what_is_no_address(self):
        networks = ("192.0.2.0/24", "2001:db8::/32")
        assert lies_in("192.0.2.7", networks)
        assert lies_in("2001:db8::7", networks)
        assert not lies_in("198.51.100.7", networks)
        assert not lies_in("", networks)
        assert not lies_in("unix:", networks)


class TestExpiry:
    async def test_ends_a_client_and_its_tokens(self, gate):
        tenant = await gate.tenant()
        expires_at = gate.clock() + timedelta(seconds=60)
        async with gate.database.transaction(Scope("test", tenant.id)) as tx:
            client, secret = await gate.identity.clients.create_client(
                tx,
                name="c",
                role="viewer",
                granter=None,
                bounds=CredentialBounds(expires_at=expires_at),
            )
        token = await gate.token(client, secret)
        principal = await gate.gateway.authenticate(token)
        assert principal.expires_at == expires_at.timestamp()
        gate.clock.advance(61)
        answer = await gate.issue(
            grant_type="client_credentials", client_id=client.client_id, client_secret=secret
        )
        assert answer.body["error"] == "invalid_client"
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(token)

    async def test_lies_in_the_future(self, ada):
        body = {"name": "n", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}
        answer = await ada.http.post("/api/v1/clients", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "identity.expiry_invalid")


class TestLastUse:
    async def test_of_a_client_is_written(self, gate):
        tenant = await gate.tenant()
        client, _ = await gate.client(tenant)

        class Record:
            actor, tenant_id = f"client:{client.client_id}", tenant.id
            started_ns = int(gate.clock.now.timestamp() * 1e9)

        gate.identity.observe([Record()])
        await gate.identity.flush(gate.database)
        async with gate.database.read(Scope("t", tenant.id)) as tx:
            (found,) = await gate.identity.clients.list_clients(tx, limit=5)
        assert found.last_used_at == gate.clock.now
