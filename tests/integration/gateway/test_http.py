"""The gate behind the real pipeline: introspection, API keys."""

import json

import pytest


class TestIntrospect:
    async def test_tells_about_a_token(self, app):
        caller = await app.caller("workflow")
        token = caller.http.headers["authorization"].split()[1]
        for _ in range(2):
            answer = await caller.http.post("/oauth/introspect", data={"token": token})
            assert answer.status_code == 200
            found = answer.json()
            assert found["active"] is True
            assert found["sub"] == f"client:{caller.client_id}"
            assert found["client_id"] == caller.client_id
            assert (found["tenant"], found["token_type"]) == (caller.tenant.id, "Bearer")
            assert (found["iss"], found["aud"]) == ("http://localhost:8400", "email-sender")
            assert found["exp"] - found["iat"] == 600
            assert "email:send" in found["scope"].split()
            assert found["jti"]

    async def test_knows_api_keys(self, app):
        caller = await app.caller()
        body = {"name": "k", "role": "viewer"}
        key = (await caller.http.post("/api/v1/api-keys", json=body)).json()
        answer = (await caller.http.post("/oauth/introspect", data={"token": key["key"]})).json()
        assert answer["active"] is True
        assert (answer["sub"], answer["token_type"]) == (f"api_key:{key['id']}", "api_key")
        assert "exp" not in answer

    async def test_says_nothing_of_other_tenants_and_of_garbage(self, app):
        caller, stranger = await app.caller(), await app.caller()
        foreign = stranger.http.headers["authorization"].split()[1]
        for token in (foreign, foreign, "garbage", "a.b.c", "es_key_x"):
            answer = await caller.http.post("/oauth/introspect", data={"token": token})
            assert answer.json() == {"active": False}

    async def test_notices_the_end_of_a_client(self, app):
        caller = await app.caller()
        other = (
            await caller.http.post("/api/v1/clients", json={"name": "n", "role": "viewer"})
        ).json()
        token = (
            await app.client().post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(other["client_id"], other["client_secret"]),
            )
        ).json()["access_token"]
        ask = {"data": {"token": token}}
        assert (await caller.http.post("/oauth/introspect", **ask)).json()["active"] is True
        assert (await caller.http.delete(f"/api/v1/clients/{other['id']}")).status_code == 204
        assert (await caller.http.post("/oauth/introspect", **ask)).json() == {"active": False}

    @pytest.mark.parametrize(
        "body", [b"", b"token=", b"token", b"token=a&token=b", b"other=1", b"token=%ff", b"\xff"]
    )
    async def test_refuses_other_bodies(self, app, body):
        caller = await app.caller()
        answer = await caller.http.post("/oauth/introspect", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"

    async def test_takes_a_hint_and_encoded_tokens(self, app):
        caller = await app.caller()
        token = caller.http.headers["authorization"].split()[1]
        body = f"token_type_hint=access_token&token={token.replace('.', '%2E')}"
        answer = await caller.http.post("/oauth/introspect", content=body.encode())
        assert answer.json()["active"] is True

    async def test_needs_its_permission_and_a_caller(self, app):
        caller = await app.caller("viewer")
        answer = await caller.http.post("/oauth/introspect", data={"token": "x"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        anonymous = await app.client().post("/oauth/introspect", data={"token": "x"})
        assert anonymous.status_code == 401
        assert anonymous.headers["www-authenticate"].startswith("Bearer")

    async def test_is_told_of_by_the_issuer(self, app):
        found = (await app.client().get("/.well-known/openid-configuration")).json()
        assert found["introspection_endpoint"] == "http://localhost:8400/oauth/introspect"
        assert found["introspection_endpoint_auth_methods_supported"] == ["bearer"]

    async def test_is_a_post(self, app):
        caller = await app.caller()
        answer = await caller.http.get("/oauth/introspect")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert answer.json()["code"] == "method_not_allowed"


class TestApiKeys:
    async def test_work_until_they_are_revoked(self, app):
        caller = await app.caller()
        body = {"name": "Report", "role": "viewer", "expires_at": "2099-01-01T00:00:00Z"}
        made = (await caller.http.post("/api/v1/api-keys", json=body)).json()
        assert made["key"].startswith(made["prefix"])
        assert made["created_by"] == f"client:{caller.client_id}"
        for headers in ({"Authorization": f"Bearer {made['key']}"}, {"X-API-Key": made["key"]}):
            me = (await app.client(**headers).get("/api/v1/me")).json()
            assert (me["kind"], me["subject"]) == ("api_key", f"api_key:{made['id']}")
            assert (me["name"], me["role"]) == ("Report", "viewer")
        (listed,) = (await caller.http.get("/api/v1/api-keys")).json()["items"]
        assert "key" not in listed
        assert (await caller.http.delete(f"/api/v1/api-keys/{made['id']}")).status_code == 204
        answer = await app.client(**{"X-API-Key": made["key"]}).get("/api/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        actions = [entry.action for entry in await caller.audit(app.platform)]
        assert {"api_key.revoked", "api_key.created"} <= set(actions)
        assert made["key"] not in json.dumps([e.data for e in await caller.audit(app.platform)])

    @pytest.mark.parametrize("expires_at", ["2001-01-01T00:00:00Z", "2099-01-01T00:00:00", "soon"])
    async def test_refuse_an_expiry_that_cannot_be(self, app, expires_at):
        caller = await app.caller()
        body = {"name": "n", "role": "viewer", "expires_at": expires_at}
        assert (await caller.http.post("/api/v1/api-keys", json=body)).status_code == 422
