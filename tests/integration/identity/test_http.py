"""Identity behind the real pipeline: forms, cookies, pages, metadata, clients."""

import base64
import hashlib
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from backend.core.context import SystemScope
from backend.managers.gateway import GatewayManager
from backend.managers.identity import IdentityManager
from backend.managers.tenant import TenantManager
from tests.support.errands import EVERYTHING
from tests.support.passwords import PASSWORD, PASSWORD_HASH

REDIRECT = "http://localhost:8401/oauth2callback"
SECRET = "c" * 40
VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
REQUEST = {
    "response_type": "code",
    "client_id": "console",
    "redirect_uri": REDIRECT,
    "scope": "openid profile email",
    "state": "s-1",
    "nonce": "n-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "prompt": "select_account",
}
AUTHORIZE = f"/oauth/authorize?{urlencode(REQUEST)}"


@pytest.fixture
async def person(app):
    """Ada, who may log in to the console."""
    platform = app.platform
    async with platform.database.transaction(SystemScope(EVERYTHING)) as tx:
        await platform.of(IdentityManager).clients.put_console_client(
            tx, secret=SECRET, redirect_uris=[REDIRECT]
        )
        return await platform.of(TenantManager).create_user(
            tx, email="ada@example.test", name="Ada", password_hash=PASSWORD_HASH
        )


async def member(app, caller, person, role="admin"):
    async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
        await app.platform.of(TenantManager).add_member(
            tx, tenant_id=caller.tenant.id, user_id=person.id, role=role, granter=None
        )


def found(pattern, page):
    match = re.search(pattern, page, re.DOTALL)
    assert match is not None, pattern
    return match[1]


def hidden(page, name):
    return found(rf'name="{name}" value="([^"]*)"', page).replace("&amp;", "&")


async def open_form(http):
    answer = await http.get(AUTHORIZE)
    assert answer.status_code == 303, answer.text
    return await http.get(answer.headers["location"])


async def submit(http, page, password=PASSWORD, email="ada@example.test", **headers):
    form = {
        "csrf": hidden(page.text, "csrf"),
        "return_to": hidden(page.text, "return_to"),
        "email": email,
        "password": password,
    }
    return await http.post("/oauth/login", data=form, headers=headers)


async def log_in(http):
    """From the authorization request to the code, as a browser does it."""
    answer = await submit(http, await open_form(http))
    assert answer.status_code == 303, answer.text
    back = await http.get(answer.headers["location"])
    assert back.status_code == 303
    assert back.headers["location"].startswith(REDIRECT)
    return dict(parse_qsl(urlsplit(back.headers["location"]).query))


async def tokens(http):
    answer = await http.post(
        "/oauth/token",
        data={
            "grant_type": "authorization_code",
            "code": (await log_in(http))["code"],
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
        },
        auth=("console", SECRET),
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestLogInPage:
    async def test_is_a_page_for_people(self, app, person):
        page = await open_form(app.client())
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert '<html lang="en">' in page.text
        assert "to continue to Console" in page.text
        for field in ("email", "password"):
            assert f'<label for="{field}">' in page.text
            assert f'id="{field}"' in page.text
        assert "<script" not in page.text
        assert 'role="alert"' not in page.text

    async def test_allows_its_own_style_and_nothing_else(self, app, person):
        page = await open_form(app.client())
        policy = page.headers["content-security-policy"]
        style = found(r"<style>(.*?)</style>", page.text)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in policy
        assert "default-src 'none'" in policy
        assert "form-action 'self' http://localhost:8401;" in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"

    async def test_leads_to_the_client_with_a_code(self, app, person):
        given = await log_in(app.client())
        assert given["state"] == "s-1"
        assert given["iss"] == "http://localhost:8400"
        assert given["code"]

    async def test_sets_a_cookie_that_scripts_and_other_sites_do_not_get(self, app, person):
        http = app.client()
        answer = await submit(http, await open_form(http))
        cookies = answer.headers.get_list("set-cookie")
        cookie = next(c for c in cookies if c.startswith("email_sender_session="))
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/oauth" in cookie

    @pytest.mark.parametrize("email", ["ada@example.test", "nobody@example.test"])
    async def test_says_the_same_of_unknown_and_wrong(self, app, person, email):
        http = app.client()
        answer = await submit(http, await open_form(http), password="wrong", email=email)
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
        assert "The e-mail or the password is not right." in answer.text
        assert f'value="{email}"' in answer.text
        assert "wrong" not in answer.text

    async def test_escapes_what_was_typed(self, app, person):
        http = app.client()
        typed = '"><script>alert(1)</script>'
        answer = await submit(http, await open_form(http), password="x", email=typed)
        assert "<script>" not in answer.text

    @pytest.mark.parametrize(
        "attack", ["no cookie", "wrong token", "no token", "other origin", "null origin"]
    )
    async def test_refuses_a_forged_form(self, app, person, attack):
        http = app.client()
        page = await open_form(http)
        form = {
            "csrf": hidden(page.text, "csrf"),
            "return_to": hidden(page.text, "return_to"),
            "email": "ada@example.test",
            "password": PASSWORD,
        }
        headers = {}
        if attack == "no cookie":
            http.cookies.clear()
        elif attack == "wrong token":
            form["csrf"] = "0" * 64
        elif attack == "no token":
            del form["csrf"]
        else:
            headers = {"origin": "null" if attack == "null origin" else "https://evil.example"}
        answer = await http.post("/oauth/login", data=form, headers=headers)
        assert answer.status_code == 403
        assert "email_sender_session" not in str(answer.headers)

    async def test_accepts_its_own_origin(self, app, person):
        http = app.client()
        answer = await submit(http, await open_form(http), origin="http://localhost:8400")
        assert answer.status_code == 303

    @pytest.mark.parametrize(
        "return_to",
        ["", "https://evil.example/", "/oauth/authorize?client_id=nobody", "/api/v1/me", "//evil"],
    )
    async def test_goes_nowhere_else(self, app, person, return_to):
        http = app.client()
        page = await http.get("/oauth/login", params={"return_to": return_to})
        assert page.status_code == 400
        answer = await http.post(
            "/oauth/login",
            data={"return_to": return_to, "email": "ada@example.test", "password": PASSWORD},
        )
        assert answer.status_code == 400
        assert "location" not in answer.headers

    async def test_tells_when_to_try_again(self, app, person, monkeypatch):
        # Each attempt hashes a password: on a busy machine one would be forgiven meanwhile.
        monkeypatch.setattr(app.platform.of(GatewayManager)._limiter, "_now", lambda: 10**12)
        http = app.client()
        for _ in range(app.platform.settings.identity.account_burst_failures):
            await submit(http, await open_form(http), password="wrong")
        answer = await submit(http, await open_form(http))
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert "Try again in" in answer.text

    async def test_shows_a_page_when_the_client_is_unknown(self, app):
        answer = await app.client().get(AUTHORIZE)
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text


class TestLogOut:
    async def test_needs_no_question_with_an_id_token(self, app, person):
        http = app.client()
        hint = (await tokens(http))["id_token"]
        query = {"id_token_hint": hint, "post_logout_redirect_uri": REDIRECT, "state": "z"}
        answer = await http.get("/oauth/logout", params=query)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{REDIRECT}?state=z"
        assert 'email_sender_session=""' in str(answer.headers)
        refused = await http.post(
            "/oauth/token",
            data={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": hint,
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            },
            auth=("console", SECRET),
        )
        assert refused.status_code == 400

    async def test_does_not_redirect_to_strangers(self, app, person):
        http = app.client()
        hint = (await tokens(http))["id_token"]
        query = {"id_token_hint": hint, "post_logout_redirect_uri": "https://evil.example/"}
        answer = await http.get("/oauth/logout", params=query)
        assert answer.status_code == 200
        assert "Logged out" in answer.text

    async def test_asks_without_an_id_token(self, app, person):
        http = app.client()
        await log_in(http)
        page = await http.get("/oauth/logout")
        assert "Log out?" in page.text
        again = await http.post("/oauth/logout", data={"csrf": "0" * 64})
        assert "Log out?" in again.text
        done = await http.post("/oauth/logout", data={"csrf": hidden(page.text, "csrf")})
        assert "Logged out" in done.text
        assert (
            (await http.get(AUTHORIZE.replace("select_account", "none")))
            .headers["location"]
            .count("login_required")
        )


class TestTokenEndpoint:
    async def test_speaks_oauth_when_it_refuses(self, app):
        answer = await app.client().post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=("x", "y")
        )
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/json"

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/json", b'{"grant_type":"client_credentials"}'),
            ("application/x-www-form-urlencoded", b"\xff\xfe="),
            ("application/x-www-form-urlencoded", b"a=1&" * 60),
            ("", b""),
        ],
    )
    async def test_takes_forms_only(self, app, kind, body):
        answer = await app.client().post(
            "/oauth/token", content=body, headers={"content-type": kind}
        )
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"

    async def test_exchange_gives_an_api_token(self, app, person):
        caller = await app.caller()
        await member(app, caller, person)
        http = app.client()
        answer = await http.post(
            "/oauth/token",
            data={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": (await tokens(http))["id_token"],
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            },
            auth=("console", SECRET),
        )
        token = answer.json()["access_token"]
        me = await app.client(Authorization=f"Bearer {token}").get("/api/v1/me")
        assert me.status_code == 200
        found = me.json()
        assert (found["kind"], found["name"], found["role"]) == ("user", "Ada", "admin")
        assert found["tenant"]["id"] == caller.tenant.id
        assert [tenant["role"] for tenant in found["tenants"]] == ["admin"]


class TestMetadata:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["openid-configuration", "oauth-authorization-server"])
    async def test_describes_what_is_there(self, app, name):
        http = app.client()
        found = (await http.get(f"/.well-known/{name}")).json()
        assert found["issuer"] == "http://localhost:8400"
        assert found["code_challenge_methods_supported"] == ["S256"]
        served = (await http.get("/openapi.json")).json()["paths"]
        for key, address in found.items():
            if key.endswith("_endpoint") or key == "jwks_uri":
                assert urlsplit(address).path in served, key

    async def test_publishes_only_public_keys(self, app):
        await app.caller()
        keys = (await app.client().get("/oauth/jwks")).json()["keys"]
        assert [key["alg"] for key in keys] == ["ES256"]
        assert all("d" not in key for key in keys)

    async def test_user_info_is_about_people(self, app, person):
        http = app.client()
        token = (await tokens(http))["access_token"]
        found = await app.client(Authorization=f"Bearer {token}").get("/oauth/userinfo")
        assert found.json() == {"sub": person.id, "name": "Ada", "email": "ada@example.test"}
        caller = await app.caller()
        assert (await caller.http.get("/oauth/userinfo")).status_code == 401
        assert (await http.get("/oauth/userinfo")).status_code == 401

    async def test_a_log_in_alone_opens_nothing(self, app, person):
        token = (await tokens(app.client()))["access_token"]
        http = app.client(Authorization=f"Bearer {token}")
        answer = await http.get("/api/v1/me")
        assert answer.status_code == 403
        assert answer.json()["code"] == "gateway.token_without_tenant"
        assert (await http.get("/api/v1/clients")).status_code == 403


class TestClients:
    async def test_are_created_listed_rotated_and_deleted(self, app):
        caller = await app.caller("admin")
        body = {"name": "Invoices", "role": "workflow"}
        answer = await caller.http.post("/api/v1/clients", json=body)
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        made = answer.json()
        listed = (await caller.http.get("/api/v1/clients")).json()["items"]
        assert [item["name"] for item in listed] == ["Invoices", "test"]
        assert all("client_secret" not in item for item in listed)
        new = (await caller.http.post(f"/api/v1/clients/{made['id']}/rotate")).json()
        assert new["client_secret"] != made["client_secret"]
        assert (await caller.http.delete(f"/api/v1/clients/{made['id']}")).status_code == 204
        assert (await caller.http.delete(f"/api/v1/clients/{made['id']}")).status_code == 404
        actions = [entry.action for entry in await caller.audit(app.platform)]
        assert actions[:3] == ["client.deleted", "client.rotated", "client.created"]
        assert made["client_secret"] not in str(await caller.audit(app.platform))

    async def test_page(self, app):
        caller = await app.caller()
        for number in range(4):
            body = {"name": f"c{number}", "role": "viewer"}
            await caller.http.post("/api/v1/clients", json=body)
        first = (await caller.http.get("/api/v1/clients?limit=3")).json()
        rest = (
            await caller.http.get(f"/api/v1/clients?limit=3&cursor={first['next_cursor']}")
        ).json()
        names = [item["name"] for item in first["items"] + rest["items"]]
        assert names == ["c3", "c2", "c1", "c0", "test"]
        assert rest["next_cursor"] is None

    async def test_of_other_tenants_do_not_exist(self, app):
        caller, stranger = await app.caller(), await app.caller()
        body = {"name": "n", "role": "viewer"}
        made = (await stranger.http.post("/api/v1/clients", json=body)).json()
        for method, path in (("DELETE", ""), ("POST", "/rotate")):
            answer = await caller.http.request(method, f"/api/v1/clients/{made['id']}{path}")
            assert answer.status_code == 404

    async def test_cannot_be_made_or_rotated_by_who_may_less(self, app):
        owner = await app.caller()
        body = {"name": "boss", "role": "admin"}
        boss = (await owner.http.post("/api/v1/clients", json=body)).json()
        # A token narrowed to managing clients has few permissions to hand on.
        token = await app.client().post(
            "/oauth/token",
            data={"grant_type": "client_credentials", "scope": "client:write api_key:write"},
            auth=(boss["client_id"], boss["client_secret"]),
        )
        http = app.client(Authorization=f"Bearer {token.json()['access_token']}")
        for answer in (
            await http.post("/api/v1/clients", json={"name": "n", "role": "viewer"}),
            await http.post("/api/v1/api-keys", json={"name": "n", "role": "viewer"}),
            await http.post(f"/api/v1/clients/{boss['id']}/rotate"),
        ):
            assert answer.status_code == 403
            assert answer.json()["code"] == "tenant.role_too_high"

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "n"},
            {"name": " ", "role": "viewer"},
            {"name": "n" * 101, "role": "viewer"},
            {"name": "n", "role": "God!"},
            {"name": "n", "role": "viewer", "extra": 1},
        ],
        ids=str,
    )
    async def test_refuse_other_bodies(self, app, body):
        caller = await app.caller()
        answer = await caller.http.post("/api/v1/clients", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")

    async def test_replay_the_same_client_for_the_same_key(self, app):
        caller = await app.caller()
        body, key = {"name": "n", "role": "viewer"}, {"Idempotency-Key": "once"}
        first = await caller.http.post("/api/v1/clients", json=body, headers=key)
        second = await caller.http.post("/api/v1/clients", json=body, headers=key)
        assert second.json()["id"] == first.json()["id"]
        assert "client_secret" not in second.json()
        assert (second.status_code, second.headers["idempotency-replayed"]) == (201, "true")
        assert second.headers["cache-control"] == "no-store"
        other = await caller.http.post("/api/v1/clients", json=body | {"name": "m"}, headers=key)
        assert other.json()["code"] == "gateway.idempotency_key_reused"
        assert len((await caller.http.get("/api/v1/clients")).json()["items"]) == 2


class TestMe:
    async def test_describes_a_client(self, app):
        caller = await app.caller("workflow")
        me = (await caller.http.get("/api/v1/me")).json()
        assert me["subject"] == f"client:{caller.client_id}"
        assert me["tenant"]["slug"] == caller.tenant.slug
        assert me["tenants"] == [me["tenant"] | {"role": "workflow", "state": "active"}]
        assert me["platform_admin"] is False
        assert me["permissions"] == sorted(me["permissions"])

    async def test_needs_somebody(self, app):
        answer = await app.client().get("/api/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


class TestSigningKeyRotation:
    async def test_is_the_platforms(self, app, person):
        caller = await app.caller()
        path = "/api/v1/platform/signing-keys/rotate"
        assert (await caller.http.post(path)).status_code == 403
        listing = "/api/v1/platform/signing-keys"
        assert (await caller.http.get(listing)).status_code == 403
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            admin = await app.platform.of(TenantManager).create_user(
                tx,
                email="root@example.test",
                name="Root",
                password_hash=PASSWORD_HASH,
                platform_role="administrator",
            )
        await member(app, caller, admin)
        http = app.client()
        answer = await submit(http, await open_form(http), email="root@example.test")
        back = await http.get(answer.headers["location"])
        given = dict(parse_qsl(urlsplit(back.headers["location"]).query))
        form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT}
        form |= {"code": given["code"], "code_verifier": VERIFIER}
        auth = ("console", SECRET)
        id_token = (await http.post("/oauth/token", data=form, auth=auth)).json()["id_token"]
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": id_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        }
        token = (await http.post("/oauth/token", data=form, auth=auth)).json()["access_token"]
        root = app.client(Authorization=f"Bearer {token}")
        key = {"Idempotency-Key": "rotate-1"}
        first = await root.post(path, headers=key)
        assert first.status_code == 200, first.text
        assert (await root.post(path, headers=key)).json() == first.json()
        keys = (await http.get("/oauth/jwks")).json()["keys"]
        assert {item["kid"] for item in keys} >= {first.json()["kid"]}
        assert len(keys) == 2
        shown = (await root.get(listing)).json()["items"]
        assert {one["kid"] for one in shown} == {one["kid"] for one in keys}
        assert [one["state"] for one in shown] == ["active", "retiring"]
        assert shown[0].keys() == {"kid", "state", "algorithm", "created_at", "until"}
        assert shown[1]["until"] == first.json()["old_keys_until"]
        assert (await root.get("/api/v1/me")).status_code == 200
