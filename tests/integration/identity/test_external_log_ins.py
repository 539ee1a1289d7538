"""A tenant's own OpenID provider: honest log-ins, and everything that a dishonest one may try."""

import asyncio
import base64
import hashlib
import json
import re
from contextlib import AsyncExitStack
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import pytest_asyncio
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import OctKey

from backend.api import create_app
from backend.app import compose
from backend.core.audit import AuditRecord
from backend.core.context import Scope, SystemScope
from backend.kit.outbound import OutboundSettings
from backend.managers.gateway import GatewaySettings
from backend.managers.identity import (
    ACCOUNT,
    PROVIDERS,
    IdentityManager,
    IdentitySettings,
)
from backend.managers.identity._logins import Peer
from backend.managers.identity.errands import DOMAINS
from backend.managers.identity.errors import LoginRefusedError
from backend.managers.identity.models import (
    BrowserSession,
    ExternalLogInRow,
    IdentityProviderRow,
    PendingLogIn,
)
from backend.managers.tenant import TenantManager, hash_password
from backend.managers.tenant.models import MembershipRow, UserRow
from backend.settings import DatabaseSettings, Settings, TelemetrySettings
from tests.support import openid_server
from tests.support.errands import EVERYTHING
from tests.support.invitations import hidden_fields, token_of
from tests.support.names import name_server
from tests.support.openid import new_key, open_id
from tests.support.platform import App

REDIRECT = "http://localhost:8401/oauth2callback"
SECRET = "c" * 40
PASSWORD = "correct horse battery"
OWN = "a password of their own"
VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
REQUEST = {
    "response_type": "code",
    "client_id": "console",
    "redirect_uri": REDIRECT,
    "scope": "openid profile email",
    "state": "s",
    "nonce": "n",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
AUTHORIZE = f"/oauth/authorize?{urlencode(REQUEST)}"


@pytest_asyncio.fixture
async def names():
    async with name_server(ttl=0) as server:
        yield server


@pytest_asyncio.fixture
async def app(database_url, tmp_path, names):
    """The application, which may reach providers on loopback."""
    settings = Settings(
        data_dir=tmp_path / "data",
        database=DatabaseSettings(url=database_url, pool_size=5),
        telemetry=TelemetrySettings(access_log=False),
        gateway=GatewaySettings(other_requests_per_second=50, other_burst_requests=500),
        identity=IdentitySettings(
            allow_private_providers=True, address_burst_failures=1000, account_burst_failures=1000
        ),
        outbound=OutboundSettings(name_servers=(names.address,), breaker_failures=1000),
    )
    (tmp_path / "data").mkdir()
    platform = compose(settings)
    asgi = create_app(platform)
    made = App(platform, asgi)
    async with asgi.control_plane.router.lifespan_context(asgi.control_plane):
        async with platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await platform.of(IdentityManager).clients.put_console_client(
                tx, secret=SECRET, redirect_uris=[REDIRECT]
            )
        yield made
        await made.aclose()


@pytest_asyncio.fixture
async def there():
    async with open_id() as provider:
        yield provider


def facts(issuer, **more):
    return {
        "name": "Acme",
        "issuer": issuer,
        "client_id": "email-sender",
        "client_secret": "s3cret &/+",
        "roles_by_group": {"mail-admins": "admin", "mail": "viewer"},
        "default_role": None,
        "domain": "acme.test",
    } | more


async def logs_in(app, email, password):
    """Whether a password opens a log-in here."""
    http = app.client()
    page = await http.get((await http.get(AUTHORIZE)).headers["location"])
    form = hidden_fields(page.text) | {"email": email, "password": password}
    answer = await http.post("/oauth/login", data=form)
    return answer.status_code == 303 and "email_sender_session" in http.cookies


async def opens(app, token):
    """Whether an access token is good for anything."""
    api = app.client(Authorization=f"Bearer {token}")
    return (await api.get("/api/v1/me")).status_code == 200


async def with_password(acme, email):
    """A member who is logged in with a password, and half logged in elsewhere; and their token."""
    app, tenant = acme.app, acme.caller.tenant
    tenants, database = app.platform.of(TenantManager), app.platform.database
    async with database.transaction(SystemScope(EVERYTHING)) as tx:
        user = await tenants.create_user(
            tx, email=email, name="A", password_hash=hash_password(PASSWORD)
        )
        tx.session.add(
            PendingLogIn(
                token_hash=user.id.encode(),
                user_id=user.id,
                methods=["pwd"],
                expires_at=tx.now() + timedelta(minutes=5),
            )
        )
    async with database.transaction(Scope("test", tenant.id)) as tx:
        await tenants.add_member(
            tx, tenant_id=tenant.id, user_id=user.id, role="viewer", granter=None
        )
    http = app.client()
    page = await http.get((await http.get(AUTHORIZE)).headers["location"])
    form = hidden_fields(page.text) | {"email": email, "password": PASSWORD}
    assert (await http.post("/oauth/login", data=form)).status_code == 303
    given, _ = await acme.token(http, tenant)
    return user, given.json()["access_token"]


class Acme:
    """A tenant with a provider, and what its people and its attackers do."""

    def __init__(self, app, caller, there, provider):
        self.app, self.caller, self.there, self.provider = app, caller, there, provider

    async def depart(self, http, email="ada@acme.test", authorize=AUTHORIZE):
        """To the provider: what it is asked with."""
        address = await self.leave(http, email, authorize)
        return dict(parse_qsl(urlsplit(address).query))

    async def leave(self, http, email="ada@acme.test", authorize=AUTHORIZE):
        """To the provider: where the browser is sent."""
        where = (await http.get(authorize)).headers["location"]
        page = await http.get(where)
        elsewhere = found(r'class="other" href="([^"]+)"', page.text)
        page = await http.get(elsewhere)
        form = {
            "csrf": found(r'name="csrf" value="([^"]*)"', page.text),
            "return_to": found(r'name="return_to" value="([^"]*)"', page.text),
            "email": email,
        }
        answer = await http.post("/oauth/external", data=form)
        assert answer.status_code == 200, answer.text
        assert "Sign in with Acme" in answer.text
        return found(r'class="button" href="([^"]+)"', answer.text)

    def claims(self, asked, **more):
        now = int(self.app.platform.database.clock().timestamp())
        return {
            "iss": self.there.issuer,
            "sub": "u-1",
            "aud": "email-sender",
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            "email": "ada@acme.test",
            "name": "Ada Lovelace",
            "groups": ["mail"],
        } | more

    async def arrive(self, http, asked, *, claims=None, **answer):
        """Back from the provider."""
        if claims is not False:
            self.there.claims = self.claims(asked, **(claims or {}))
        given = {"code": "c-1", "state": asked["state"], "iss": self.there.issuer} | answer
        given = {name: value for name, value in given.items() if value is not None}
        path = urlsplit(asked["redirect_uri"]).path
        return await http.get(f"{path}?{urlencode(given)}")

    async def sign_in(self, http, authorize=AUTHORIZE, **claims):
        asked = await self.depart(http, authorize=authorize)
        return await self.arrive(http, asked, claims=claims)

    async def token(self, http, tenant=None):
        """The console's token of whoever is logged in here."""
        back = await http.get(AUTHORIZE)
        code = dict(parse_qsl(urlsplit(back.headers["location"]).query))["code"]
        auth = ("console", SECRET)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
        given = await http.post("/oauth/token", data=form | {"code_verifier": VERIFIER}, auth=auth)
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": given.json()["id_token"],
        }
        if tenant is not None:
            form["tenant"] = tenant.id
        return await http.post("/oauth/token", data=form, auth=auth), given.json()["id_token"]

    async def rows(self, model):
        async with self.app.platform.database.read(SystemScope(EVERYTHING)) as tx:
            return list(await tx.scalars(sa.select(model)))

    async def people(self):
        return [one for one in await self.rows(UserRow) if one.issuer == self.there.issuer]


def found(pattern, page):
    match = re.search(pattern, page, re.DOTALL)
    assert match is not None, (pattern, page)
    return match[1].replace("&amp;", "&")


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def prove(names, http, provider):
    """Have the DNS say whose the domain is."""
    names.texts[provider["proof_name"]] = [provider["proof_value"]]
    answer = await http.post(f"/api/v1/identity-providers/{provider['id']}/prove-domain")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest_asyncio.fixture
async def acme(app, there, names):
    caller = await app.caller()
    made = await caller.http.post("/api/v1/identity-providers", json=facts(there.issuer))
    assert made.status_code == 201, made.text
    proven = await prove(names, caller.http, made.json())
    assert (proven["domain_state"], proven["problem"]) == ("proven", None)
    return Acme(app, caller, there, proven)


class TestRoles:
    async def test_of_the_tenants_own_are_mapped_and_unknown_ones_refused(self, app, there):
        ada = await app.caller("owner")
        role = {"permissions": ["email:read"]}
        assert (await ada.http.put("/api/v1/roles/reader", json=role)).is_success
        body = facts(there.issuer) | {"domain": None, "default_role": "reader"}
        made = await ada.http.post("/api/v1/identity-providers", json=body)
        assert (made.status_code, made.json()["default_role"]) == (201, "reader")
        one = f"/api/v1/identity-providers/{made.json()['id']}"
        for change in ({"default_role": "nobody"}, {"roles_by_group": {"crew": "nobody"}}):
            wrong = body | change
            assert (await ada.http.post(one.rpartition("/")[0], json=wrong)).status_code == 422
            assert (await ada.http.put(one, json=wrong)).status_code == 422
        assert (await ada.http.delete(one)).status_code == 204

    async def test_that_a_provider_hands_out_are_not_deleted(self, app, there):
        """By a group, whatever groups are called, and by default; a disabled one can come back."""
        ada = await app.caller("owner")
        role = {"permissions": ["email:read"]}
        for name in ("reader", "reader_2", "readerx2"):
            assert (await ada.http.put(f"/api/v1/roles/{name}", json=role)).is_success
        body = facts(there.issuer) | {"domain": None, "roles_by_group": {}}
        made = await ada.http.post("/api/v1/identity-providers", json=body)
        one = f"/api/v1/identity-providers/{made.json()['id']}"
        for change in (
            {"roles_by_group": {"crew": "admin", "mail": "reader"}},
            {"default_role": "reader"},
            {"roles_by_group": {"mail": "reader"}, "disabled": True},
        ):
            assert (await ada.http.put(one, json=body | change)).is_success
            answer = await ada.http.delete("/api/v1/roles/reader")
            assert (answer.status_code, answer.json()["code"]) == (409, "tenant.role_held")
            assert answer.json()["holders"] == 1
        # What only looks like it does not count.
        groups = {"reader": "admin", '"reader"]': "viewer", '", "reader"], ["': "reader_2"}
        assert (await ada.http.put(one, json=body | {"roles_by_group": groups})).is_success
        for name, status in (("reader", 204), ("readerx2", 204), ("reader_2", 409)):
            answer = await ada.http.delete(f"/api/v1/roles/{name}")
            assert answer.status_code == status, (name, answer.text)

    async def test_that_are_gone_let_nobody_in_as_something_else(self, acme):
        """However a mapping came to name one: neither who is new, nor who is a member already."""
        http = acme.app.client()
        assert (await acme.sign_in(http)).status_code == 303
        async with acme.app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(
                sa.update(IdentityProviderRow).values(roles_by_group=[["mail", "nobody"]])
            )
        for sub in ("u-1", "u-2"):
            browser = acme.app.client()
            answer = await acme.sign_in(browser, sub=sub)
            assert (answer.status_code, "did not work" in answer.text) == (401, True)
            assert answer.headers["content-type"].startswith("text/html")
            assert "email_sender_session" not in browser.cookies
        assert [one.role for one in await acme.rows(MembershipRow)] == ["viewer"]
        assert len(await acme.people()) == 1

    async def test_of_a_full_tenant_are_nobodys(self, acme):
        tenants = acme.app.platform.of(TenantManager)
        async with acme.app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tenants.plans.set_quotas(tx, acme.caller.tenant.id, overrides={"members": 0})
        http = acme.app.client()
        answer = await acme.sign_in(http)
        assert (answer.status_code, "did not work" in answer.text) == (401, True)
        assert await acme.people() == []


class TestSigningIn:
    async def test_makes_the_person_and_their_place_and_asks_as_it_should(self, acme):
        http = acme.app.client()
        asked = await acme.depart(http)
        assert asked["redirect_uri"] == acme.provider["redirect_uri"]
        assert asked["code_challenge_method"] == "S256"
        assert asked["login_hint"] == "ada@acme.test"
        answer = await acme.arrive(http, asked)
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].startswith("/oauth/authorize?")
        assert "email_sender_external" not in http.cookies
        # No password was asked for, so no attempts at one are to be had by it.
        assert "email_sender_device" not in http.cookies
        (form,) = acme.there.forms
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(challenge).decode().rstrip("=") == asked["code_challenge"]
        basic = base64.b64decode(form["authorization"].removeprefix("Basic ")).decode()
        assert basic == "email-sender:s3cret%20%26%2F%2B"
        (person,) = await acme.people()
        assert (person.subject, person.email, person.name) == (
            "u-1", "ada@acme.test", "Ada Lovelace",
        )  # fmt: skip
        assert person.password_hash is None
        token, login = await acme.token(http, acme.caller.tenant)
        assert token.status_code == 200, token.text
        assert claims_of(login)["amr"] == ["fed"]
        api = acme.app.client(Authorization=f"Bearer {token.json()['access_token']}")
        me = (await api.get("/api/v1/me")).json()
        assert (me["role"], me["tenant"]["id"]) == ("viewer", acme.caller.tenant.id)

    async def test_the_first_group_that_fits_decides_at_each_log_in(self, acme):
        for groups, role in ((["mail", "mail-admins"], "admin"), (["x", "mail"], "viewer")):
            answer = await acme.sign_in(acme.app.client(), groups=groups)
            assert answer.status_code == 303, answer.text
            (member,) = [
                one for one in await acme.rows(MembershipRow)
                if one.tenant_id == acme.caller.tenant.id
            ]  # fmt: skip
            assert member.role == role
        gone = await acme.sign_in(acme.app.client(), groups=["x"])
        assert gone.status_code == 401
        assert len(await acme.people()) == 1

    async def test_asks_the_user_info_for_what_the_token_leaves_out(self, acme):
        acme.there.metadata = {"userinfo_endpoint": f"{acme.there.issuer}/userinfo"}
        acme.there.user_info = {"sub": "u-1", "groups": ["mail"], "name": "Ada", "email": "a@b.c"}
        answer = await acme.sign_in(acme.app.client(), groups=None, name=None, email=None)
        assert answer.status_code == 303, answer.text
        (person,) = await acme.people()
        assert (person.name, person.email) == ("Ada", "a@b.c")
        acme.there.user_info["sub"] = "u-2"
        swapped = await acme.sign_in(acme.app.client(), groups=None, name=None, email=None)
        assert swapped.status_code == 401

    async def test_is_good_for_this_tenant_alone(self, acme):
        http = acme.app.client()
        await acme.sign_in(http)
        other = await acme.app.caller()
        (person,) = await acme.people()
        async with acme.app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await acme.app.platform.of(TenantManager).add_member(
                tx, tenant_id=other.tenant.id, user_id=person.id, role="admin", granter=None
            )
        refused, _ = await acme.token(http, other.tenant)
        assert refused.json()["error"] == "invalid_target"
        own, _ = await acme.token(http)
        assert own.json()["tenant"] == acme.caller.tenant.id

    async def test_asks_for_the_second_factor_unless_the_provider_does(self, acme):
        put = await acme.caller.http.put(
            "/api/v1/login-policy", json={"require_second_factor": True}
        )
        assert put.status_code == 200
        answer = await acme.sign_in(acme.app.client())
        assert answer.headers["location"].startswith("/oauth/second-factor?")
        path = f"/api/v1/identity-providers/{acme.provider['id']}"
        body = facts(acme.there.issuer, second_factor=True)
        del body["client_secret"]
        assert (await acme.caller.http.put(path, json=body)).status_code == 200
        http = acme.app.client()
        answer = await acme.sign_in(http)
        assert answer.headers["location"].startswith("/oauth/authorize?")
        token, login = await acme.token(http, acme.caller.tenant)
        assert token.status_code == 200, token.text
        assert claims_of(login)["acr"] == "2"

    @pytest.mark.slow
    async def test_a_recent_log_in_is_one_that_is_recent_there(self, acme):
        now = int(acme.app.platform.database.clock().timestamp())
        http = acme.app.client()
        await acme.sign_in(http, auth_time=now - 3000, groups=["mail-admins"])
        token, login = await acme.token(http, acme.caller.tenant)
        assert claims_of(login)["auth_time"] == now - 3000
        api = acme.app.client(Authorization=f"Bearer {token.json()['access_token']}")
        policy = {"require_second_factor": False}
        old = await api.put("/api/v1/login-policy", json=policy)
        assert old.json()["code"] == "log_in_too_old"
        again = f"{AUTHORIZE}&{urlencode({'max_age': 600, 'prompt': 'login'})}"
        asked = await acme.depart(http, authorize=again)
        assert (asked["max_age"], asked["prompt"]) == ("600", "login")
        for at in (None, now - 3000):
            answer = await acme.arrive(http, asked, claims={"auth_time": at})
            assert answer.status_code == 401
            asked = await acme.depart(http, authorize=again)
        answer = await acme.arrive(
            http, asked, claims={"auth_time": now, "groups": ["mail-admins"]}
        )
        assert answer.status_code == 303
        token, _ = await acme.token(http, acme.caller.tenant)
        api = acme.app.client(Authorization=f"Bearer {token.json()['access_token']}")
        assert (await api.put("/api/v1/login-policy", json=policy)).status_code == 200

    @pytest.mark.slow
    async def test_is_enforced_for_the_domain_and_before_any_password(self, acme):
        tenants = acme.app.platform.of(TenantManager)
        async with acme.app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tenants.create_user(
                tx, email="ada@acme.test", name="A", password_hash=hash_password(PASSWORD)
            )
        body = facts(acme.there.issuer, enforced=True)
        del body["client_secret"]
        path = f"/api/v1/identity-providers/{acme.provider['id']}"
        assert (await acme.caller.http.put(path, json=body)).json()["domain_state"] == "proven"
        http = acme.app.client()
        page = await http.get((await http.get(AUTHORIZE)).headers["location"])
        form = {
            "csrf": found(r'name="csrf" value="([^"]*)"', page.text),
            "return_to": found(r'name="return_to" value="([^"]*)"', page.text),
            "email": "Ada@ACME.test",
        }
        # Every spelling by which the log-in is found.
        spellings = ("Ada@ACME.test", *("ada@acme.test".replace("@", at) for at in "\uff20\ufe6b"))
        spellings += ("ada@acme\u3002test", "ada@ac\u00adme.test", " ada@acme.test ")
        for email in spellings:
            for password in (PASSWORD, "wrong"):
                answer = await http.post(
                    "/oauth/login", data=form | {"email": email, "password": password}
                )
                assert "Sign in with Acme" in answer.text, ascii(email)
                assert "email_sender_session" not in http.cookies
        # A password that comes by mail opens as little.
        async with acme.app.platform.database.transaction(SystemScope(ACCOUNT)) as tx:
            accounts = acme.app.platform.of(IdentityManager).accounts
            await accounts.replace_password(tx, "ada@acme.test", hash_password(OWN), owner=True)
        assert not await logs_in(acme.app, "ada@acme.test", OWN)
        # The operator's way out, when the provider fails.
        providers = acme.app.platform.of(IdentityManager).providers
        scope = SystemScope(PROVIDERS, tenant_id=acme.caller.tenant.id)
        async with acme.app.platform.database.transaction(scope) as tx:
            assert await providers.stop_enforcing(tx) == ["Acme"]
        answer = await http.post("/oauth/login", data=form | {"password": OWN})
        assert answer.status_code == 303

    @pytest.mark.slow
    @pytest.mark.parametrize("begins", ["enforced", "proven", "confirmed", "enabled"])
    async def test_enforcing_ends_what_passwords_opened_there(self, acme, names, begins):
        app, http = acme.app, acme.caller.http
        path = f"/api/v1/identity-providers/{acme.provider['id']}"

        async def put(**more):
            body = facts(acme.there.issuer, **more)
            del body["client_secret"]
            answer = await http.put(path, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        claimed = acme.provider
        if begins in {"proven", "confirmed"}:
            await put(enforced=True, domain="other.test")
            claimed = await put(enforced=True)
            assert claimed["domain_state"] == "claimed"
        elif begins == "enabled":
            await put(enforced=True, disabled=True)
        tokens, people = {}, {}
        for email in ("ada@acme.test", "eve@not-acme.test", "max@sub.acme.test"):
            user, tokens[email] = await with_password(acme, email)
            people[email] = user.id
        if begins == "enforced":  # While the provider is one way in of two.
            browser = app.client()
            await acme.sign_in(browser)
            tokens["through"] = (await acme.token(browser))[0].json()["access_token"]
        async with AsyncExitStack() as stack:
            peer_platform = compose(app.platform.settings)
            peer = create_app(peer_platform)
            other = App(peer_platform, peer)
            stack.push_async_callback(other.aclose)
            plane = peer.control_plane
            await stack.enter_async_context(plane.router.lifespan_context(plane))
            for token in tokens.values():
                assert await opens(app, token)
                assert await opens(other, token)
            if begins == "proven":
                await prove(names, http, claimed)
            elif begins == "confirmed":
                providers = app.platform.of(IdentityManager).providers
                async with app.platform.database.transaction(SystemScope(DOMAINS)) as tx:
                    await providers.take_domain(tx, acme.provider["id"], state="confirmed")
            else:
                await put(enforced=True)
            assert not await opens(app, tokens["ada@acme.test"])
            # By the signal: without one it takes five seconds.
            async with asyncio.timeout(3):
                while await opens(other, tokens["ada@acme.test"]):
                    await asyncio.sleep(0.02)
            for email in tokens.keys() - {"ada@acme.test"}:
                assert await opens(app, tokens[email]), email
        half_way = {one.user_id for one in await acme.rows(PendingLogIn)}
        assert half_way == set(people.values()) - {people["ada@acme.test"]}
        ended = [one for one in await acme.rows(AuditRecord) if one.action == "session.ended"]
        assert [one.target for one in ended] == [f"user:{people['ada@acme.test']}"]
        # Whose password was being looked at meanwhile gets in as little.
        log_ins = app.platform.of(IdentityManager).provider.log_ins
        asking = Peer("192.0.2.1", "")
        with pytest.raises(LoginRefusedError):
            await log_ins.start("ada@acme.test", PASSWORD, replaces=None, peer=asking)
        await log_ins.start("eve@not-acme.test", PASSWORD, replaces=None, peer=asking)

    @pytest.mark.slow
    async def test_nobody_is_invited_who_could_not_come_back(self, acme):
        """Neither elsewhere nor here, where their first sign-in makes them members."""
        beta = await acme.app.caller("owner")
        body = {"email": "new@acme.test", "role": "admin"}
        invited = (await beta.http.post("/api/v1/invitations", json=body)).json()
        before = invited["link"]
        offered = await acme.app.client().get(
            "/oauth/invitation", params={"token": token_of(before)}
        )
        assert offered.status_code == 200
        path = f"/api/v1/identity-providers/{acme.provider['id']}"
        enforced = facts(acme.there.issuer, enforced=True)
        del enforced["client_secret"]
        assert (await acme.caller.http.put(path, json=enforced)).status_code == 200
        for owner in (beta, acme.caller):
            for email in ("other@acme.test", "Other@ACME.test", "other@acme\u3002test"):
                answer = await owner.http.post("/api/v1/invitations", json=body | {"email": email})
                refused = (answer.status_code, answer.json()["code"])
                assert refused == (409, "identity.domain_enforced"), ascii(email)
        again = await beta.http.post(f"/api/v1/invitations/{invited['id']}/resend")
        assert (again.status_code, again.json()["code"]) == (409, "identity.domain_enforced")
        # One who was invited before learns it before choosing a password, and by sending the form.
        browser = acme.app.client()
        page = await browser.get("/oauth/invitation", params={"token": token_of(before)})
        assert page.status_code == 409
        assert "sign in with their organisation" in page.text
        own = {"name": "New", "password": OWN, "again": OWN}
        answer = await browser.post("/oauth/invitation", data=hidden_fields(offered.text) | own)
        assert answer.status_code != 200
        answer = await beta.http.post("/api/v1/invitations", json=body | {"email": "n@beta.test"})
        assert answer.status_code == 201

    async def test_ends_with_the_provider(self, acme):
        http = acme.app.client()
        await acme.sign_in(http)
        token, _ = await acme.token(http)
        api = acme.app.client(Authorization=f"Bearer {token.json()['access_token']}")
        assert (await api.get("/api/v1/me")).status_code == 200
        path = f"/api/v1/identity-providers/{acme.provider['id']}"
        assert (await acme.caller.http.delete(path)).status_code == 204
        assert (await api.get("/api/v1/me")).status_code == 401
        page = await http.get((await http.get(AUTHORIZE)).headers["location"])
        assert "organisation" not in page.text


@pytest.mark.slow
class TestRealProvider:
    """With npm's oidc-provider, which nobody here wrote, at both of its manners."""

    @pytest.mark.parametrize(
        ("method", "conform"), [("client_secret_basic", False), ("client_secret_post", True)]
    )
    async def test_signs_somebody_in(self, app, names, method, conform):
        issuer = f"http://localhost:{openid_server.free_port()}"
        caller = await app.caller()
        made = await caller.http.post("/api/v1/identity-providers", json=facts(issuer))
        provider = await prove(names, caller.http, made.json())
        acme = Acme(app, caller, None, provider)
        async with openid_server.running(
            issuer=issuer,
            redirect_uri=provider["redirect_uri"],
            secret=facts(issuer)["client_secret"],
            method=method,
            conform=conform,
        ):
            path = f"/api/v1/identity-providers/{provider['id']}/check"
            assert (await caller.http.post(path)).json()["problem"] is None
            http = app.client()
            back = await openid_server.sign_in(await acme.leave(http), provider["redirect_uri"])
            assert dict(parse_qsl(urlsplit(back).query))["iss"] == issuer
            answer = await http.get(back.removeprefix("http://localhost:8400"))
            assert answer.status_code == 303, answer.text
            token, login = await acme.token(http, caller.tenant)
            api = app.client(Authorization=f"Bearer {token.json()['access_token']}")
            me = (await api.get("/api/v1/me")).json()
            assert (me["name"], me["role"]) == ("Ada Lovelace", "viewer")
            assert claims_of(login)["amr"] == ["fed"]
            # Asked again, the provider asks the person again, and says when that was.
            again = f"{AUTHORIZE}&{urlencode({'max_age': 600, 'prompt': 'login'})}"
            address = await acme.leave(http, authorize=again)
            back = await openid_server.sign_in(address, provider["redirect_uri"])
            answer = await http.get(back.removeprefix("http://localhost:8400"))
            assert answer.status_code == 303, answer.text


class TestAttacks:
    async def refused(self, acme, http, asked, **more):
        answer = await acme.arrive(http, asked, **more)
        assert answer.status_code == 401, (more, answer.text)
        assert "email_sender_session" not in http.cookies
        assert await acme.people() == []
        assert await acme.rows(BrowserSession) == []

    @pytest.mark.slow
    async def test_an_asserted_e_mail_enters_nobodys_account(self, acme):
        tenants = acme.app.platform.of(TenantManager)
        async with acme.app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            victim = await tenants.create_user(
                tx, email="cfo@beta.test", name="CFO", password_hash=hash_password(PASSWORD),
                platform_role="administrator",
            )  # fmt: skip
        beta = await acme.app.caller("owner")
        async with acme.app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tenants.add_member(
                tx, tenant_id=beta.tenant.id, user_id=victim.id, role="admin", granter=None
            )
        # Another of the victim's tenants invites them: neither is that for whoever is named so.
        gamma = await acme.app.caller("owner")
        body = {"email": "cfo@beta.test", "role": "admin"}
        link = (await gamma.http.post("/api/v1/invitations", json=body)).json()["link"]
        for verified in (True, False, None):
            http = acme.app.client()
            said = {} if verified is None else {"email_verified": verified}
            answer = await acme.sign_in(http, email="cfo@beta.test", sub=victim.id, **said)
            assert answer.status_code == 303
            (person,) = await acme.people()
            assert person.id != victim.id
            assert not person.platform_role
            token, login = await acme.token(http)
            assert claims_of(login)["sub"] == person.id
            api = acme.app.client(Authorization=f"Bearer {token.json()['access_token']}")
            assert "platform:read" not in (await api.get("/api/v1/me")).json()["permissions"]
            refused, _ = await acme.token(http, beta.tenant)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
            page = await http.get("/oauth/invitation", params={"token": token_of(link)})
            form = hidden_fields(page.text) | {"token": token_of(link)}
            assert (await http.post("/oauth/invitation", data=form)).status_code == 403
            # It has no password here, so none is changed by knowing none.
            for old in ("", PASSWORD):
                change = {"old_password": old or "x", "new_password": "a whole new password"}
                answer = await api.put("/api/v1/me/password", json=change)
                assert answer.status_code == 422, answer.text
        assert await logs_in(acme.app, "cfo@beta.test", PASSWORD)

    @pytest.mark.slow
    async def test_what_a_token_has_to_say(self, acme):
        now = int(acme.app.platform.database.clock().timestamp())
        http = acme.app.client()
        for claims in (
            {"iss": "https://other.test"},
            {"iss": None},
            {"aud": "another-client"},
            {"aud": ["email-sender", "another-client"]},
            {"aud": ["email-sender", "x"], "azp": "x"},
            {"azp": "x"},
            {"aud": None},
            {"exp": now - 61},
            {"exp": None},
            {"exp": "soon"},
            {"exp": float("inf")},
            {"iat": True},
            {"iat": now + 3600},
            {"iat": None},
            {"nonce": None},
            {"nonce": "of another log-in"},
            {"sub": ""},
            {"sub": None},
            {"sub": 7},
            {"groups": "mail"},
            {"groups": None},
        ):
            await self.refused(acme, http, await acme.depart(http), claims=claims)

    async def test_key_confusion(self, acme):
        http = acme.app.client()
        public = acme.there.key.as_dict(private=False)
        for make in ("none", "public key as secret", "its own key", "stranger's key", "no token"):
            asked = await acme.depart(http)
            claims = acme.claims(asked)
            if make == "none":
                parts = ({"alg": "none", "kid": "k1"}, claims)
                encoded = [
                    base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=")
                    for one in parts
                ]
                acme.there.token = ".".join([*encoded, ""])
            elif make == "public key as secret":
                secret = OctKey.import_key(json.dumps(public))
                header = {"alg": "HS256", "kid": "k1"}
                acme.there.token = jwt.encode(header, claims, secret, algorithms=["HS256"])
            elif make == "its own key":
                # A key that the token brings along is nobody's.
                stranger = new_key()
                header = {"alg": "ES256", "kid": "k1", "jwk": stranger.as_dict(private=False)}
                acme.there.token = jwt.encode(header, claims, stranger, algorithms=["ES256"])
            elif make == "stranger's key":
                stranger = new_key("k2")
                header = {"alg": "ES256", "kid": "k2"}
                acme.there.token = jwt.encode(header, claims, stranger, algorithms=["ES256"])
            else:
                acme.there.token = "x.y.z"
            await self.refused(acme, http, asked, claims=False)

    async def test_a_symmetric_key_in_public_signs_nothing(self, acme):
        secret = OctKey.generate_key(256, parameters={"kid": "k9", "use": "sig"})
        acme.there.keys = [secret.as_dict(private=True), acme.there.key.as_dict(private=False)]
        http = acme.app.client()
        asked = await acme.depart(http)
        header = {"alg": "HS256", "kid": "k9"}
        acme.there.token = jwt.encode(header, acme.claims(asked), secret, algorithms=["HS256"])
        await self.refused(acme, http, asked, claims=False)

    async def test_mix_up(self, acme, names):
        """An answer that another provider gave does not pass for this one's."""
        http = acme.app.client()
        for iss in ("https://evil.test", None, ""):
            # A missing one counts where the provider promises it.
            await self.refused(acme, http, await acme.depart(http), iss=iss)
        async with AsyncExitStack() as stack:
            evil = await stack.enter_async_context(open_id())
            body = facts(evil.issuer, name="Evil", domain="evil.test")
            other = await acme.app.caller()
            made = (await other.http.post("/api/v1/identity-providers", json=body)).json()
            await prove(names, other.http, made)
            # The way to acme ends at evil's address, with evil's answer.
            asked = await acme.depart(http)
            evil.claims = acme.claims(asked, iss=evil.issuer)
            path = f"/oauth/external/{made['id']}/callback"
            query = {"code": "c", "state": asked["state"], "iss": evil.issuer}
            answer = await http.get(f"{path}?{urlencode(query)}")
            assert answer.status_code == 401
            assert evil.forms == []
            assert acme.there.forms == []

    async def test_code_injection_and_fixation(self, acme):
        """An answer works in the browser that asked, once, with the state that it asked with."""
        mine, theirs = acme.app.client(), acme.app.client()
        attackers = await acme.depart(theirs)
        asked = await acme.depart(mine)
        # The attacker's answer in the victim's browser, and the other way round.
        await self.refused(acme, mine, attackers)
        asked = await acme.depart(mine)
        await self.refused(acme, theirs, asked)
        # Somebody who has no cookie, or one of their own making.
        await self.refused(acme, acme.app.client(), asked)
        planted = acme.app.client()
        planted.cookies.set(
            "email_sender_external", "x" * 43, domain="localhost.local", path="/oauth"
        )
        await self.refused(acme, planted, asked)
        assert acme.there.forms == []
        for state in ("", None, asked["state"] + "x"):
            await self.refused(acme, mine, await acme.depart(mine), state=state)

    async def test_an_answer_counts_once(self, acme):
        http = acme.app.client()
        asked = await acme.depart(http)
        kept = http.cookies.get("email_sender_external")
        assert (await acme.arrive(http, asked)).status_code == 303
        http.cookies.set("email_sender_external", kept, domain="localhost.local", path="/oauth")
        again = await acme.arrive(http, asked)
        assert again.status_code == 401
        assert await acme.rows(ExternalLogInRow) == []
        # And a token of an earlier log-in is no answer to a later one.
        other = acme.app.client()
        later = await acme.depart(other)
        replayed = await acme.arrive(other, later, claims={"nonce": asked["nonce"]})
        assert replayed.status_code == 401

    async def test_pkce_is_not_to_be_talked_away(self, acme):
        for methods in (["plain"], []):
            acme.there.metadata = {"code_challenge_methods_supported": methods}
            checked = await acme.caller.http.post(
                f"/api/v1/identity-providers/{acme.provider['id']}/check"
            )
            assert "PKCE" in checked.json()["problem"]
            # Nobody leaves for a provider that says so.
            http = acme.app.client()
            with pytest.raises(AssertionError, match="does not answer as it should"):
                await acme.depart(http)

    async def test_refusals_there_and_nonsense_end_on_a_page(self, acme):
        http = acme.app.client()
        for answer in (
            {"error": "access_denied", "code": None},
            {"code": None},
            {"code": ""},
        ):
            await self.refused(acme, http, await acme.depart(http), **answer)
        asked = await acme.depart(http)
        path = urlsplit(asked["redirect_uri"]).path
        twice = f"{path}?{urlencode({'code': 'c', 'state': asked['state']})}&state=x"
        assert (await http.get(twice)).status_code == 401
        assert (await http.get(path)).status_code == 401
        assert (await http.get("/oauth/external/x/callback")).status_code == 401

    async def test_a_provider_is_whom_it_says_to_be(self, acme):
        acme.there.metadata = {"issuer": "https://other.test"}
        checked = await acme.caller.http.post(
            f"/api/v1/identity-providers/{acme.provider['id']}/check"
        )
        assert "issuer is another one" in checked.json()["problem"]


class TestConfiguring:
    async def test_nobody_lets_in_more_than_they_are(self, app, there):
        admin = await app.caller("admin")
        for more in (
            {"default_role": "owner"},
            {"roles_by_group": {"bosses": "owner"}},
        ):
            answer = await admin.http.post(
                "/api/v1/identity-providers", json=facts(there.issuer, **more)
            )
            assert answer.json()["code"] == "identity.owner_by_mapping", answer.text
        operator = await app.caller("operator")
        answer = await operator.http.post("/api/v1/identity-providers", json=facts(there.issuer))
        assert answer.status_code == 403

    async def test_secrets_stay_inside(self, acme):
        shown = await acme.caller.http.get("/api/v1/identity-providers")
        assert "s3cret" not in shown.text
        (one,) = shown.json()["items"]
        assert one["roles_by_group"] == {"mail-admins": "admin", "mail": "viewer"}
        assert list(one["roles_by_group"]) == ["mail-admins", "mail"]

    async def test_a_domain_is_proven_by_dns_and_belongs_to_one(self, acme, names, there):
        other = await acme.app.caller()
        made = await other.http.post("/api/v1/identity-providers", json=facts(there.issuer))
        one = made.json()
        path = f"/api/v1/identity-providers/{one['id']}"
        # The other tenant's proof is no proof of this one.
        assert one["proof_name"] == "_email-sender.acme.test"
        assert one["proof_value"] != acme.provider["proof_value"]
        missing = (await other.http.post(f"{path}/prove-domain")).json()
        assert missing["domain_state"] == "claimed"
        assert missing["problem"].startswith("There is no TXT record _email-sender.acme.test")
        names.texts[one["proof_name"]].append(one["proof_value"])
        taken = await other.http.post(f"{path}/prove-domain")
        assert taken.json()["code"] == "identity.domain_taken"
        # Nobody is sent to a provider whose domain is only claimed.
        body = facts(there.issuer, domain="globex.test")
        del body["client_secret"]
        changed = (await other.http.put(path, json=body)).json()
        assert changed["domain_state"] == "claimed"
        assert changed["proof_value"] != one["proof_value"]
        with pytest.raises(AssertionError, match="No organisation here"):
            await acme.depart(acme.app.client(), email="x@globex.test")

    @pytest.mark.parametrize(
        "domain", ["", "localhost", "acme", "*.acme.test", "a..b", "acme.test/x", "1.2.3.4", "-a.b"]
    )
    async def test_takes_no_domain_that_is_none(self, app, there, domain):
        caller = await app.caller()
        answer = await caller.http.post(
            "/api/v1/identity-providers", json=facts(there.issuer, domain=domain)
        )
        assert answer.status_code == 422, answer.text

    @pytest.mark.parametrize(
        "issuer", ["http://acme.test", "https://u@acme.test", "https://acme.test#x", "https://"]
    )
    async def test_takes_no_issuer_that_is_none(self, app, issuer):
        caller = await app.caller()
        answer = await caller.http.post("/api/v1/identity-providers", json=facts(issuer))
        assert answer.status_code == 422, answer.text

    async def test_anothers_is_not_found(self, acme):
        other = await acme.app.caller()
        path = f"/api/v1/identity-providers/{acme.provider['id']}"
        body = facts(acme.there.issuer)
        for method, where, more in (
            ("GET", path, {}),
            ("PUT", path, {"json": body}),
            ("DELETE", path, {}),
            ("POST", f"{path}/check", {}),
            ("POST", f"{path}/prove-domain", {}),
        ):
            answer = await other.http.request(method, where, **more)
            assert answer.status_code == 404, (method, where, answer.text)
        assert (await other.http.get("/api/v1/identity-providers")).json()["items"] == []
