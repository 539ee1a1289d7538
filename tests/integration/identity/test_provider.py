"""OAuth and OpenID Connect: the three grants, log-in, log-out, revocation, and their refusals."""

import base64
import hashlib
import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.managers.identity import (
    RETENTION,
    CredentialInvalidError,
    LoginRefusedError,
    TooManyFailuresError,
)
from backend.managers.identity._logins import Peer
from backend.managers.identity._provider import (
    AskLogIn,
    Redirect,
    Refused,
    is_own_authorization,
    without_prompt,
)
from backend.managers.identity.models import BrowserSession, OauthClient
from backend.managers.tenant.models import MembershipRow, TenantRow, UserRow
from tests.support.errands import EVERYTHING
from tests.support.roles import ROLES

REDIRECT = "http://localhost:8401/oauth2callback"
SECRET = "c" * 40
PASSWORD = "correct horse battery"
HERE = Peer("192.0.2.7", "req-1")
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
}
EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    "client_id": "console",
    "client_secret": SECRET,
}


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def query_of(address):
    return dict(parse_qsl(urlsplit(address).query))


async def log_in(gate, email="ada@example.test", password=PASSWORD, replaces=None, peer=HERE):
    return await gate.provider.log_ins.start(email, password, replaces=replaces, peer=peer)


async def authorize(gate, cookie=None, **changes):
    wanted = {name: value for name, value in (REQUEST | changes).items() if value is not None}
    found = await gate.provider.log_ins.find(cookie)
    return await gate.provider.authorize(list(wanted.items()), found, HERE)


async def code(gate, cookie, **changes):
    outcome = await authorize(gate, cookie, **changes)
    assert isinstance(outcome, Redirect), outcome
    return query_of(outcome.location)["code"]


async def redeem(gate, given, **changes):
    form = {
        "grant_type": "authorization_code",
        "code": given,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        "client_id": "console",
        "client_secret": SECRET,
    } | changes
    return await gate.issue(**{name: value for name, value in form.items() if value is not None})


@pytest.fixture
async def person(gate):
    await gate.console()
    return await gate.user()


@pytest.fixture
async def cookie(gate, person):
    return (await log_in(gate)).cookie


@pytest.fixture
async def id_token(gate, cookie):
    answer = await redeem(gate, await code(gate, cookie))
    assert answer.status == 200, answer
    return answer.body["id_token"]


async def exchange(gate, subject_token, **changes):
    form = EXCHANGE | {"subject_token": subject_token} | changes
    return await gate.issue(**{name: value for name, value in form.items() if value is not None})


class TestClientCredentials:
    @pytest.mark.parametrize("how", ["basic", "post"])
    async def test_issues_an_rfc_9068_token(self, gate, how):
        tenant = await gate.tenant()
        client, secret = await gate.client(tenant)
        form = {"grant_type": "client_credentials"}
        if how == "post":
            form |= {"client_id": client.client_id, "client_secret": secret}
            answer = await gate.issue(**form)
        else:
            answer = await gate.issue(basic(client.client_id, secret), **form)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert (answer.body["token_type"], answer.body["expires_in"]) == ("Bearer", 600)
        token = answer.body["access_token"]
        header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
        assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
        claims = claims_of(token)
        now = int(gate.clock.now.timestamp())
        assert claims["iss"] == "http://localhost:8400"
        assert claims["sub"] == f"client:{client.client_id}"
        assert (claims["aud"], claims["client_id"]) == ("email-sender", client.client_id)
        assert (claims["iat"], claims["exp"], claims["tenant"]) == (now, now + 600, tenant.id)
        assert set(claims["scope"].split()) == ROLES.by_name["workflow"]
        assert answer.body["scope"] == claims["scope"]

    async def test_refuses_a_scope_beyond_the_role(self, gate):
        client, secret = await gate.client(await gate.tenant(), role="viewer")
        answer = await gate.issue(
            basic(client.client_id, secret), grant_type="client_credentials", scope="email:send"
        )
        assert (answer.status, answer.body["error"]) == (400, "invalid_scope")

    async def test_says_the_same_of_unknown_disabled_and_wrong(self, gate):
        tenant = await gate.tenant()
        client, secret = await gate.client(tenant)
        form = {"grant_type": "client_credentials"}
        answers = [
            await gate.issue(basic("nobody", secret), **form),
            await gate.issue(basic(client.client_id, "wrong"), **form),
            await gate.issue(**form),
            await gate.issue(**form, client_id=client.client_id),
        ]
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(OauthClient).values(disabled=True))
        answers.append(await gate.issue(basic(client.client_id, secret), **form))
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(OauthClient).values(disabled=False))
            await tx.execute(sa.update(TenantRow).values(state="suspended", reason="unpaid"))
        # Why is for whoever has the secret.
        answers.append(await gate.issue(basic(client.client_id, "wrong"), **form))
        assert len({str(answer) for answer in answers}) == 1
        assert answers[0].status == 401
        assert answers[0].body["error"] == "invalid_client"
        assert answers[0].headers["WWW-Authenticate"].startswith("Basic")

    @pytest.mark.parametrize(
        "header", ["Basic", "Basic !", "Basic /w==", "Basic YWJj", "Digest x", "", "Basic é"]
    )
    async def test_survives_broken_headers(self, gate, header):
        answer = await gate.issue(header, grant_type="client_credentials")
        assert (answer.status, answer.body["error"]) == (401, "invalid_client")

    async def test_refuses_two_ways_at_once(self, gate):
        client, secret = await gate.client(await gate.tenant())
        answer = await gate.issue(
            basic(client.client_id, secret), grant_type="client_credentials", client_secret=secret
        )
        assert (answer.status, answer.body["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize(
        ("form", "error"),
        [
            ([], "invalid_request"),
            ([("grant_type", "")], "invalid_request"),
            ([("grant_type", "password")], "unsupported_grant_type"),
            ([("grant_type", 'x"\\')], "invalid_request"),
            ([("grant_type", "client_credentials")] * 2, "invalid_request"),
        ],
    )
    async def test_refuses_other_requests(self, gate, form, error):
        answer = await gate.provider.issue_token(form, None, HERE)
        assert (answer.status, answer.body["error"]) == (400, error)

    async def test_refuses_grants_the_client_has_not(self, gate, person):
        client, secret = await gate.client(await gate.tenant())
        answer = await redeem(gate, "x", client_id=client.client_id, client_secret=secret)
        assert answer.body["error"] == "unauthorized_client"
        answer = await exchange(gate, "x", client_id=client.client_id, client_secret=secret)
        assert answer.body["error"] == "unauthorized_client"
        answer = await gate.issue(basic("console", SECRET), grant_type="client_credentials")
        assert answer.body["error"] == "unauthorized_client"

    async def test_old_secrets_are_void_after_rotation(self, gate):
        tenant = await gate.tenant()
        client, old = await gate.client(tenant)
        async with gate.database.transaction(SystemScope(EVERYTHING, tenant_id=tenant.id)) as tx:
            _, new = await gate.identity.clients.rotate_client(
                tx, client.id, granter=ROLES.by_name["owner"]
            )
        form = {"grant_type": "client_credentials"}
        assert (await gate.issue(basic(client.client_id, old), **form)).status == 401
        assert (await gate.issue(basic(client.client_id, new), **form)).status == 200


class TestFailures:
    async def test_audits_a_flood_with_two_rows(self, gate):
        tenant = await gate.tenant()
        client, _ = await gate.client(tenant)
        wrong = basic(client.client_id, "wrong")
        statuses = [
            (await gate.issue(wrong, grant_type="client_credentials")).status for _ in range(30)
        ]
        burst = gate.identity.settings.account_burst_failures
        assert statuses == [401] * burst + [429] * (30 - burst)
        gate.clock.advance(10)
        await gate.identity.failures.flush()
        rows = await gate.acts("client.authentication_failed")
        assert [row.data["count"] for row in rows] == [1, 29]
        assert {row.target for row in rows} == {f"client:{client.client_id}"}
        assert {row.tenant_id for row in rows} == {tenant.id}

    async def test_lets_nobody_lock_a_client_out(self, gate):
        client, secret = await gate.client(await gate.tenant())
        wrong = basic(client.client_id, "wrong")
        for _ in range(gate.identity.settings.account_burst_failures):
            assert (await gate.issue(wrong, grant_type="client_credentials")).status == 401
        assert (await gate.issue(wrong, grant_type="client_credentials")).status == 429
        assert await gate.token(client, secret)

    async def test_closes_an_address_even_to_the_right_secret(self, gate):
        client, secret = await gate.client(await gate.tenant())
        for number in range(gate.identity.settings.address_burst_failures):
            wrong = basic(f"made-up-{number}", "wrong")
            assert (await gate.issue(wrong, grant_type="client_credentials")).status == 401
        right = basic(client.client_id, secret)
        assert (await gate.issue(right, grant_type="client_credentials")).status == 429
        gate.clock.advance(2)
        assert (await gate.issue(right, grant_type="client_credentials")).status == 200

    async def test_says_when_to_come_back(self, gate):
        for _ in range(gate.identity.settings.account_burst_failures):
            await gate.issue(basic("x", "wrong"), grant_type="client_credentials")
        answer = await gate.issue(basic("x", "wrong"), grant_type="client_credentials")
        assert (answer.status, answer.headers["Retry-After"]) == (429, "10")
        assert answer.body["error"] == "temporarily_unavailable"

    async def test_never_records_what_a_stranger_typed(self, gate):
        await gate.issue(basic("my-password", "wrong"), grant_type="client_credentials")
        with pytest.raises(LoginRefusedError):
            await log_in(gate, email="hunter2")
        for action in ("client.authentication_failed", "login.failed"):
            (row,) = await gate.acts(action)
            assert row.target == "address:192.0.2.7"
            assert "hunter2" not in str(row.data)
            assert "my-password" not in str(row.data)

    async def test_successes_do_not_use_up_the_failures(self, gate):
        client, secret = await gate.client(await gate.tenant())
        for _ in range(gate.identity.settings.address_burst_failures + 10):
            await gate.token(client, secret)


class TestLogIn:
    async def test_starts_a_session(self, gate, person):
        session = await log_in(gate)
        found = await gate.provider.log_ins.find(session.cookie)
        assert found.user == person
        (row,) = await gate.acts("login.succeeded")
        assert (row.actor, row.target) == (f"user:{person.id}", f"user:{person.id}")

    async def test_is_blind_to_the_case_of_the_address(self, gate, person):
        assert await log_in(gate, email=" Ada@Example.test ")

    async def test_refuses_unknown_wrong_and_disabled_alike(self, gate, person):
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await gate.tenants.create_user(
                tx, email="off@example.test", name="Off", password_hash=None
            )
        refusals = []
        for email, password in (
            ("nobody@example.test", PASSWORD),
            ("ada@example.test", "wrong"),
            ("off@example.test", ""),
            ("ada@example.test", "x" * 5000),
        ):
            with pytest.raises(LoginRefusedError) as caught:
                await log_in(gate, email, password)
            refusals.append((caught.value.code, caught.value.detail, caught.value.title))
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(UserRow).values(disabled=True))
        with pytest.raises(LoginRefusedError):
            await log_in(gate)
        assert len(set(refusals)) == 1

    async def test_closes_an_account_and_opens_it_again(self, gate, person):
        for _ in range(gate.identity.settings.account_burst_failures):
            with pytest.raises(LoginRefusedError):
                await log_in(gate, password="wrong")
        with pytest.raises(TooManyFailuresError) as caught:
            await log_in(gate)
        gate.clock.advance(caught.value.retry_after_seconds)
        assert await log_in(gate)

    async def test_closes_an_address_that_tries_many_accounts(self, gate, person):
        burst = gate.identity.settings.address_burst_failures
        for number in range(burst):
            await gate.provider._limits.charge(HERE.address, f"login:{number}")
        with pytest.raises(TooManyFailuresError):
            await log_in(gate)
        assert await log_in(gate, peer=Peer("198.51.100.1", ""))

    async def test_gives_a_new_cookie_and_ends_the_old_session(self, gate, person):
        first = await log_in(gate)
        second = await log_in(gate, replaces=first.cookie)
        assert second.cookie != first.cookie
        assert await gate.provider.log_ins.find(first.cookie) is None
        assert await gate.provider.log_ins.find(second.cookie)

    async def test_keeps_only_a_hash_of_the_cookie(self, gate, person):
        session = await log_in(gate)
        async with gate.database.read(SystemScope(EVERYTHING)) as tx:
            row = await tx.scalar(sa.select(BrowserSession))
        assert session.cookie not in repr(vars(row))

    async def test_ends_after_its_time(self, gate, cookie):
        gate.clock.advance(gate.identity.settings.session_seconds)
        assert await gate.provider.log_ins.find(cookie) is None


class TestAuthorize:
    async def test_asks_who_is_not_logged_in(self, gate, person):
        outcome = await authorize(gate)
        assert isinstance(outcome, AskLogIn)
        assert query_of(outcome.return_to) == REQUEST
        assert is_own_authorization(outcome.return_to)

    async def test_sends_a_code(self, gate, cookie):
        outcome = await authorize(gate, cookie)
        assert outcome.location.startswith(REDIRECT + "?")
        found = query_of(outcome.location)
        assert (found["state"], found["iss"]) == ("s-1", "http://localhost:8400")
        assert len(found["code"]) >= 40

    @pytest.mark.parametrize("prompt", ["login", "select_account"])
    async def test_asks_again_when_the_client_wants(self, gate, cookie, prompt):
        outcome = await authorize(gate, cookie, prompt=prompt)
        assert isinstance(outcome, AskLogIn)
        again = query_of(without_prompt(outcome.return_to))
        assert isinstance(await authorize(gate, cookie, **again), Redirect)

    async def test_asks_again_when_the_log_in_is_too_old(self, gate, cookie):
        assert isinstance(await authorize(gate, cookie, max_age="100"), Redirect)
        gate.clock.advance(101)
        assert isinstance(await authorize(gate, cookie, max_age="100"), AskLogIn)

    async def test_asks_nothing_when_the_client_forbids_it(self, gate, person):
        outcome = await authorize(gate, prompt="none")
        assert query_of(outcome.location)["error"] == "login_required"

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"code_challenge": None}, "invalid_request"),
            ({"code_challenge_method": None}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"code_challenge": "short"}, "invalid_request"),
            ({"nonce": None}, "invalid_request"),
            ({"scope": "profile"}, "invalid_scope"),
            ({"scope": "openid email:send"}, "invalid_scope"),
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": None}, "unsupported_response_type"),
        ],
        ids=str,
    )
    async def test_tells_the_client_what_is_wrong(self, gate, cookie, changes, error):
        outcome = await authorize(gate, cookie, **changes)
        assert isinstance(outcome, Redirect), outcome
        found = query_of(outcome.location)
        assert (found["error"], found["state"]) == (error, "s-1")
        assert "code" not in found

    @pytest.mark.parametrize(
        "changes",
        [
            {"client_id": "nobody"},
            {"client_id": None},
            {"redirect_uri": None},
            {"redirect_uri": REDIRECT + "/"},
            {"redirect_uri": REDIRECT + "?x=1"},
            {"redirect_uri": "http://localhost:8401/OAUTH2CALLBACK"},
            {"redirect_uri": "https://evil.example/oauth2callback"},
            {"redirect_uri": 'http://localhost:8401/"\\'},
            {"redirect_uri": "javascript:alert(1)"},
        ],
        ids=str,
    )
    async def test_never_redirects_to_a_stranger(self, gate, cookie, changes):
        assert isinstance(await authorize(gate, cookie, **changes), Refused)

    async def test_refuses_a_parameter_given_twice(self, gate, cookie):
        found = await gate.provider.log_ins.find(cookie)
        pairs = [*REQUEST.items(), ("redirect_uri", "https://evil.example/")]
        assert isinstance(await gate.provider.authorize(pairs, found, HERE), Refused)


class TestAuthorizationCode:
    async def test_gives_tokens_that_say_who_somebody_is(self, gate, person, cookie):
        answer = await redeem(gate, await code(gate, cookie))
        assert (answer.status, answer.body["expires_in"]) == (200, 300)
        claims = claims_of(answer.body["id_token"])
        now = int(gate.clock.now.timestamp())
        assert (claims["iss"], claims["sub"]) == ("http://localhost:8400", person.id)
        assert (claims["aud"], claims["nonce"], claims["auth_time"]) == ("console", "n-1", now)
        assert (claims["name"], claims["email"]) == ("Ada", "ada@example.test")
        assert claims["exp"] == now + gate.identity.settings.session_seconds
        principal = await gate.gateway.authenticate(answer.body["access_token"])
        assert (principal.subject, principal.permissions) == (f"user:{person.id}", frozenset())

    async def test_works_once_and_a_second_use_voids_the_token(self, gate, person, cookie):
        given = await code(gate, cookie)
        token = (await redeem(gate, given)).body["access_token"]
        await gate.gateway.authenticate(token)
        answer = await redeem(gate, given)
        assert (answer.status, answer.body["error"]) == (400, "invalid_grant")
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(token)
        (row,) = await gate.acts("authorization_code.reused")
        assert row.target == f"user:{person.id}"

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"code_verifier": "w" * 64}, "invalid_grant"),
            ({"code_verifier": None}, "invalid_request"),
            ({"redirect_uri": "https://evil.example/"}, "invalid_grant"),
            ({"redirect_uri": None}, "invalid_grant"),
        ],
        ids=str,
    )
    async def test_spends_a_code_that_is_presented_wrongly(self, gate, cookie, changes, error):
        given = await code(gate, cookie)
        answer = await redeem(gate, given, **changes)
        assert (answer.status, answer.body["error"]) == (400, error)
        assert (await redeem(gate, given)).status == 400

    async def test_is_not_spent_by_who_cannot_authenticate(self, gate, cookie):
        given = await code(gate, cookie)
        assert (await redeem(gate, given, client_secret="wrong")).status == 401
        assert (await redeem(gate, given)).status == 200

    async def test_expires_after_a_minute(self, gate, cookie):
        given = await code(gate, cookie)
        gate.clock.advance(60)
        assert (await redeem(gate, given)).body["error"] == "invalid_grant"

    async def test_dies_with_its_session(self, gate, cookie):
        given = await code(gate, cookie)
        found = await gate.provider.log_ins.find(cookie)
        await gate.provider.log_ins.end([found.session_id], actor="t", peer=HERE)
        assert (await redeem(gate, given)).body["error"] == "invalid_grant"

    async def test_refuses_made_up_codes(self, gate, person):
        assert (await redeem(gate, "made-up")).body["error"] == "invalid_grant"
        assert (await redeem(gate, None)).body["error"] == "invalid_request"


class TestExchange:
    async def test_gives_the_first_tenant(self, gate, person, id_token):
        tenant, later = await gate.tenant(), await gate.tenant()
        await gate.member(tenant, person, "operator")
        gate.clock.advance(1)
        await gate.member(later, person, "viewer")
        answer = await exchange(gate, id_token)
        assert (answer.status, answer.body["tenant"]) == (200, tenant.id)
        assert answer.body["expires_in"] == 300
        assert answer.body["issued_token_type"].endswith(":access_token")
        principal = await gate.gateway.authenticate(answer.body["access_token"])
        assert (principal.subject, principal.kind) == (f"user:{person.id}", "user")
        assert (principal.tenant_id, principal.role) == (tenant.id, "operator")
        assert principal.permissions == ROLES.by_name["operator"]
        (row,) = await gate.acts("token.issued")
        assert (row.tenant_id, row.actor) == (tenant.id, f"user:{person.id}")

    async def test_a_renewal_is_not_recorded_again(self, gate, person, id_token):
        one, two = await gate.tenant(), await gate.tenant()
        for tenant in (one, two):
            await gate.member(tenant, person)
        for tenant in (one, one, two, one):
            await exchange(gate, id_token, tenant=tenant.id)
        rows = await gate.acts("token.issued")
        assert sorted(row.tenant_id for row in rows) == sorted([one.id, two.id])

    async def test_gives_the_tenant_asked_for(self, gate, person, id_token):
        await gate.member(await gate.tenant(), person)
        other = await gate.tenant()
        await gate.member(other, person, "viewer")
        answer = await exchange(gate, id_token, tenant=other.id)
        assert answer.body["tenant"] == other.id

    @pytest.mark.parametrize("what", [None, "administrator"])
    async def test_gives_no_tenant_without_membership(self, gate, person, id_token, what):
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(UserRow).values(platform_role=what))
        mine, foreign = await gate.tenant(), await gate.tenant()
        await gate.member(mine, person)
        for tenant in (foreign.id, "not-a-uuid", "00000000-0000-0000-0000-000000000000"):
            answer = await exchange(gate, id_token, tenant=tenant)
            assert (answer.status, answer.body["error"]) == (400, "invalid_target")

    async def test_gives_administrators_the_platform(self, gate, person, id_token):
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(UserRow).values(platform_role="administrator"))
        await gate.member(await gate.tenant(), person, "viewer")
        answer = await exchange(gate, id_token)
        principal = await gate.gateway.authenticate(answer.body["access_token"])
        assert {"platform:read", "platform:write"} <= principal.permissions

    async def test_refuses_suspended_tenants(self, gate, person, id_token):
        await gate.member(await gate.tenant(), person)
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(TenantRow).values(state="suspended", reason="unpaid"))
        answer = await exchange(gate, id_token)
        assert (answer.status, answer.body["code"]) == (403, "tenant.suspended")
        assert (answer.body["error"], answer.body["detail"]) == ("access_denied", "unpaid")

    @pytest.mark.parametrize(
        "end", ["logged out", "session expired", "disabled", "forged", "empty"]
    )
    async def test_refuses_a_subject_that_does_not_hold(self, gate, person, cookie, id_token, end):
        await gate.member(await gate.tenant(), person)
        assert (await exchange(gate, id_token)).status == 200
        if end == "logged out":
            found = await gate.provider.log_ins.find(cookie)
            await gate.provider.log_ins.end([found.session_id], actor="t", peer=HERE)
        elif end == "session expired":
            gate.clock.advance(gate.identity.settings.session_seconds)
        elif end == "disabled":
            async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
                await tx.execute(sa.update(UserRow).values(disabled=True))
        elif end == "forged":
            id_token = id_token[:-6] + "AAAAAA"
        else:
            id_token = None
        answer = await exchange(gate, id_token)
        assert (answer.status, answer.body["error"]) == (400, "invalid_request")

    async def test_refuses_access_tokens_and_other_clients_id_tokens(self, gate, person, cookie):
        await gate.member(await gate.tenant(), person)
        tokens = (await redeem(gate, await code(gate, cookie))).body
        assert (await exchange(gate, tokens["access_token"])).status == 400
        keys = await gate.identity._keys.current()
        foreign = keys.sign_id(claims_of(tokens["id_token"]) | {"aud": "another"})
        assert (await exchange(gate, foreign)).status == 400
        assert (await exchange(gate, tokens["id_token"])).status == 200

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
            ({"subject_token_type": None}, "invalid_request"),
            ({"requested_token_type": "urn:x"}, "invalid_request"),
            ({"actor_token": "x"}, "invalid_request"),
            ({"audience": "elsewhere"}, "invalid_target"),
            ({"scope": "platform:write"}, "invalid_scope"),
        ],
        ids=str,
    )
    async def test_refuses_what_is_not_offered(self, gate, person, id_token, changes, error):
        await gate.member(await gate.tenant(), person)
        answer = await exchange(gate, id_token, **changes)
        assert (answer.status, answer.body["error"]) == (400, error)

    @pytest.mark.parametrize("end", ["membership", "log-out"])
    async def test_its_token_ends_at_once(self, gate, person, cookie, id_token, end):
        tenant = await gate.tenant()
        await gate.member(tenant, person)
        token = (await exchange(gate, id_token)).body["access_token"]
        await gate.gateway.authenticate(token)
        if end == "membership":
            async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
                await tx.execute(sa.delete(MembershipRow))
                tx.signal("principals")
        else:
            found = await gate.provider.log_ins.find(cookie)
            await gate.provider.log_ins.end([found.session_id], actor="t", peer=HERE)
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(token)


class TestRevoke:
    async def revoke(self, gate, client, secret, token):
        return await gate.provider.revoke_token(
            [("token", token)], basic(client.client_id, secret), HERE
        )

    async def test_ends_a_token_at_once(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token, other = await gate.token(client, secret), await gate.token(client, secret)
        await gate.gateway.authenticate(token)
        assert (await self.revoke(gate, client, secret, token)).status == 200
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(token)
        await gate.gateway.authenticate(other)
        assert len(await gate.acts("token.revoked")) == 1
        assert (await self.revoke(gate, client, secret, token)).status == 200
        assert len(await gate.acts("token.revoked")) == 1

    async def test_accepts_what_never_held(self, gate):
        client, secret = await gate.client(await gate.tenant())
        assert (await self.revoke(gate, client, secret, "x")).status == 200

    async def test_refuses_another_clients_token(self, gate):
        tenant = await gate.tenant()
        (client, secret), (other, other_secret) = (
            await gate.client(tenant),
            await gate.client(tenant),
        )
        token = await gate.token(client, secret)
        answer = await self.revoke(gate, other, other_secret, token)
        assert (answer.status, answer.body["error"]) == (400, "invalid_grant")
        assert await gate.gateway.authenticate(token)

    async def test_is_remembered_until_the_token_is_dead(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)
        await self.revoke(gate, client, secret, token)
        gate.clock.advance(599)
        async with gate.database.transaction(SystemScope(RETENTION)) as tx:
            assert await gate.identity.sweep_expired(tx) == 0
        gate.clock.advance(3)
        async with gate.database.transaction(SystemScope(RETENTION)) as tx:
            assert await gate.identity.sweep_expired(tx) == 1


class TestConsoleClient:
    async def test_is_put_once_and_changed_when_it_differs(self, gate):
        await gate.console()
        await gate.console()
        assert len(await gate.acts("client.created")) == 1
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await gate.identity.clients.put_console_client(
                tx, secret="d" * 40, redirect_uris=[REDIRECT]
            )
        form = {"grant_type": "client_credentials"}
        assert (await gate.issue(basic("console", SECRET), **form)).status == 401
        assert (await gate.issue(basic("console", "d" * 40), **form)).status == 400

    async def test_refuses_a_short_secret(self, gate):
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            with pytest.raises(ValueError, match="32"):
                await gate.identity.clients.put_console_client(tx, secret="short", redirect_uris=[])


class TestReturnTo:
    @pytest.mark.parametrize(
        "address",
        [
            "",
            "/",
            "/oauth/authorize",
            "//evil.example/oauth/authorize?",
            "https://evil.example/oauth/authorize?x",
            "/oauth/authorize?\\evil",
            "/oauth/authorize?x\r\nSet-Cookie: a=b",
            "/oauth/authorizeevil?x",
            "/oauth/authorize/../login?x",
            "/oauth/authorize?é",
        ],
    )
    def test_leads_nowhere_else(self, address):
        assert not is_own_authorization(address)

    def test_keeps_all_but_the_prompt(self):
        address = f"/oauth/authorize?{urlencode(REQUEST | {'prompt': 'login', 'max_age': '1'})}"
        assert query_of(without_prompt(address)) == REQUEST
