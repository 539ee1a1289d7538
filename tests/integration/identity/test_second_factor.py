"""The second factor: enrolment, log-in, replay, recovery, policies, and who may take it away."""

import asyncio
import base64
import json
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import pyotp
import pytest
import sqlalchemy as sa

from backend.cli.people import reset_totp
from backend.core.context import Scope, SystemScope
from backend.managers.identity import (
    RETENTION,
    SECOND_FACTOR,
    CodeRefusedError,
    CredentialInvalidError,
    IdentityManager,
    LogInExpiredError,
    LoginRefusedError,
    SecondFactorExistsError,
    SecondFactorNotFoundError,
    TooManyFailuresError,
)
from backend.managers.identity._logins import HalfWay, NewSession, Peer
from backend.managers.identity._totp import step_of
from backend.managers.identity.models import (
    BrowserSession,
    PendingLogIn,
    RecoveryCode,
    TotpSecret,
)
from backend.managers.tenant import MemberNotFoundError, TenantManager, hash_password
from tests.support.errands import EVERYTHING

PASSWORD = "correct horse battery"
HERE = Peer("192.0.2.7", "req-1")
AWAY = Peer("198.51.100.9", "req-2")
MINE = SystemScope(SECOND_FACTOR)


async def start(gate, peer=HERE, **more):
    given = {"replaces": None} | more
    return await gate.provider.log_ins.start("ada@example.test", PASSWORD, peer=peer, **given)


async def finish(gate, outcome, code, peer=HERE, **more):
    given = {"replaces": None} | more
    return await gate.provider.log_ins.finish(outcome.token, code, peer=peer, **given)


async def enrol(gate, person):
    """A second factor of this person, and its recovery codes."""
    async with gate.database.transaction(MINE) as tx:
        made = await gate.identity.begin_second_factor(tx, person.id)
    totp = pyotp.TOTP(made.secret)
    async with gate.database.transaction(MINE) as tx:
        codes = await gate.identity.second_factors.confirm(
            tx, person.id, totp.at(gate.clock.now), session_id=""
        )
    gate.clock.advance(30)
    return totp, codes


async def rows(gate, model):
    async with gate.database.read(SystemScope(EVERYTHING)) as tx:
        return list(await tx.scalars(sa.select(model)))


async def require(gate, tenant, required=True):
    async with gate.database.transaction(Scope("test", tenant.id)) as tx:
        await gate.identity.policies.put(tx, require_second_factor=required)


@pytest.fixture
async def person(gate):
    await gate.console()
    return await gate.user()


class TestStepOf:
    SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

    def test_takes_a_step_of_drift_each_way_and_no_more(self, clock):
        totp = pyotp.TOTP(self.SECRET)
        current = int(clock.now.timestamp()) // 30
        for drift, taken in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
            code = totp.generate_otp(current + drift)
            found = step_of(self.SECRET, code, clock.now)
            assert found == (current + drift if taken else None), drift

    @pytest.mark.parametrize(
        "code", ["", "0", "12345", "1234567", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", "é"]
    )
    def test_takes_nothing_else(self, clock, code):
        assert step_of(self.SECRET, code, clock.now) is None

    def test_reads_codes_as_they_are_shown(self, clock):
        code = pyotp.TOTP(self.SECRET).at(clock.now)
        assert step_of(self.SECRET, f" {code[:3]} {code[3:]} ", clock.now) is not None


class TestEnrolment:
    async def test_counts_from_its_first_code_on(self, gate, person):
        async with gate.database.transaction(MINE) as tx:
            made = await gate.identity.begin_second_factor(tx, person.id)
        assert isinstance(await start(gate), NewSession)
        assert made.uri == (
            f"otpauth://totp/Email%20Sender:ada%40example.test?secret={made.secret}"
            "&issuer=Email%20Sender"
        )
        assert made.qr_svg.startswith("<svg xmlns=")
        (row,) = await rows(gate, TotpSecret)
        assert row.confirmed_at is None
        assert made.secret.encode() not in row.sealed_secret
        async with gate.database.transaction(MINE) as tx:
            codes = await gate.identity.second_factors.confirm(
                tx, person.id, pyotp.TOTP(made.secret).at(gate.clock.now), session_id="",
            )  # fmt: skip
        assert isinstance(await start(gate), HalfWay)
        assert len(set(codes)) == 10
        assert all(re.fullmatch(r"([a-z2-7]{4}-){3}[a-z2-7]{4}", code) for code in codes)
        kept = await rows(gate, RecoveryCode)
        assert len(kept) == 10
        assert all(len(one.code_hash) == 32 for one in kept)

    async def test_a_wrong_code_does_not_confirm(self, gate, person):
        async with gate.database.transaction(MINE) as tx:
            await gate.identity.begin_second_factor(tx, person.id)
        with pytest.raises(CodeRefusedError):
            async with gate.database.transaction(MINE) as tx:
                await gate.identity.second_factors.confirm(tx, person.id, "000000x", session_id="")
        assert isinstance(await start(gate), NewSession)

    async def test_what_waits_is_replaced_and_what_counts_is_not(self, gate, person):
        secrets = []
        for _ in range(2):
            async with gate.database.transaction(MINE) as tx:
                made = await gate.identity.begin_second_factor(tx, person.id)
            secrets.append(made.secret)
        first, second = (pyotp.TOTP(one).at(gate.clock.now) for one in secrets)
        given = {"session_id": ""}
        with pytest.raises(CodeRefusedError):
            async with gate.database.transaction(MINE) as tx:
                await gate.identity.second_factors.confirm(tx, person.id, first, **given)
        async with gate.database.transaction(MINE) as tx:
            await gate.identity.second_factors.confirm(tx, person.id, second, **given)
        with pytest.raises(SecondFactorExistsError):
            async with gate.database.transaction(MINE) as tx:
                await gate.identity.begin_second_factor(tx, person.id)

    async def test_other_log_ins_end_and_the_one_at_hand_has_it_now(self, gate, person):
        other, own = await start(gate), await start(gate)
        here = await gate.provider.log_ins.find(own.cookie)
        async with gate.database.transaction(MINE) as tx:
            made = await gate.identity.begin_second_factor(tx, person.id)
        async with gate.database.transaction(MINE) as tx:
            await gate.identity.second_factors.confirm(
                tx, person.id, pyotp.TOTP(made.secret).at(gate.clock.now),
                session_id=here.session_id,
            )  # fmt: skip
        assert await gate.provider.log_ins.find(other.cookie) is None
        found = await gate.provider.log_ins.find(own.cookie)
        assert found.methods == ("pwd", "otp", "mfa")

    async def test_guessing_the_first_code_is_limited(self, gate, person):
        async with gate.database.transaction(MINE) as tx:
            await gate.identity.begin_second_factor(tx, person.id)
        refused = []
        for _ in range(11):
            with pytest.raises((CodeRefusedError, TooManyFailuresError)) as caught:
                async with (
                    gate.identity.second_factors.attempt(person.id, "192.0.2.7"),
                    gate.database.transaction(MINE) as tx,
                ):
                    await gate.identity.second_factors.confirm(
                        tx, person.id, "000000x", session_id=""
                    )
            refused.append(caught.type)
        assert refused == [CodeRefusedError] * 10 + [TooManyFailuresError]


class TestLogIn:
    async def test_there_is_no_session_before_the_code(self, gate, person):
        totp, _ = await enrol(gate, person)
        outcome = await start(gate)
        assert isinstance(outcome, HalfWay)
        assert await rows(gate, BrowserSession) == []
        assert await gate.provider.log_ins.find(outcome.token) is None
        (waiting,) = await rows(gate, PendingLogIn)
        assert outcome.token.encode() not in waiting.token_hash
        session, codes = await finish(gate, outcome, totp.at(gate.clock.now))
        assert codes == []
        found = await gate.provider.log_ins.find(session.cookie)
        assert found.user.id == person.id
        assert found.methods == ("pwd", "otp", "mfa")
        assert await rows(gate, PendingLogIn) == []

    async def test_a_code_works_once(self, gate, person):
        totp, _ = await enrol(gate, person)
        code = totp.at(gate.clock.now)
        await finish(gate, await start(gate), code)
        again = await start(gate)
        with pytest.raises(CodeRefusedError):
            await finish(gate, again, code)
        # Nor one of a step before it, though the drift would allow that.
        with pytest.raises(CodeRefusedError):
            await finish(gate, again, totp.at(gate.clock.now, counter_offset=-1))
        gate.clock.advance(30)
        await finish(gate, again, totp.at(gate.clock.now))

    async def test_the_code_of_the_enrolment_is_used_up(self, gate, person):
        totp, _ = await enrol(gate, person)
        with pytest.raises(CodeRefusedError):
            await finish(gate, await start(gate), totp.at(gate.clock.now, counter_offset=-1))

    async def test_of_two_with_the_same_code_one_gets_in(self, gate, person):
        totp, _ = await enrol(gate, person)
        waiting = [await start(gate) for _ in range(4)]
        code = totp.at(gate.clock.now)
        outcomes = await asyncio.gather(
            *(finish(gate, one, code) for one in waiting), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in outcomes) == [
            *["CodeRefusedError"] * 3,
            "Finished",
        ]
        assert len(await rows(gate, BrowserSession)) == 1

    async def test_of_two_that_end_the_same_log_in_one_gets_in(self, gate, person):
        _, codes = await enrol(gate, person)
        outcome = await start(gate)
        outcomes = await asyncio.gather(
            *(finish(gate, outcome, code) for code in codes[:3]), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in outcomes) == [
            "Finished",
            "LogInExpiredError",
            "LogInExpiredError",
        ]
        # Whoever came too late has not used up their code.
        assert len(await rows(gate, RecoveryCode)) == 9

    async def test_a_log_in_waits_five_minutes_and_not_longer(self, gate, person):
        totp, _ = await enrol(gate, person)
        outcome = await start(gate)
        gate.clock.advance(301)
        with pytest.raises(LogInExpiredError):
            await finish(gate, outcome, totp.at(gate.clock.now))
        async with gate.database.transaction(SystemScope(RETENTION)) as tx:
            assert await gate.identity.sweep_expired(tx) == 1

    async def test_nobody_ends_a_log_in_they_did_not_begin(self, gate, person):
        totp, _ = await enrol(gate, person)
        await start(gate)
        for token in ("", "x" * 43):
            with pytest.raises(LogInExpiredError):
                await finish(gate, HalfWay(token, 300), totp.at(gate.clock.now))

    async def test_failures_are_limited_and_told(self, gate, person):
        totp, _ = await enrol(gate, person)
        outcome = await start(gate)
        for _ in range(10):
            with pytest.raises(CodeRefusedError):
                await finish(gate, outcome, "000000x")
        with pytest.raises(TooManyFailuresError):
            await finish(gate, outcome, totp.at(gate.clock.now))
        (first,) = await gate.acts("second_factor.failed")
        assert (first.target, first.actor) == (f"user:{person.id}", "system")
        # Nor from elsewhere: it is the person's attempts that are used up.
        with pytest.raises(TooManyFailuresError):
            await finish(gate, outcome, totp.at(gate.clock.now), peer=AWAY)

    async def test_strangers_do_not_shut_out_a_browser_that_is_known(self, gate, person):
        device = (await start(gate)).device
        totp, _ = await enrol(gate, person)
        log_ins = gate.provider.log_ins
        for _ in range(11):
            with pytest.raises((LoginRefusedError, TooManyFailuresError)):
                await log_ins.start("ada@example.test", "wrong", replaces=None, peer=AWAY)
        with pytest.raises(TooManyFailuresError):
            await start(gate)
        outcome = await start(gate, device=device)
        for _ in range(10):
            with pytest.raises(CodeRefusedError):
                await finish(gate, outcome, "000000x", peer=AWAY)
        with pytest.raises(TooManyFailuresError):
            await finish(gate, outcome, totp.at(gate.clock.now))
        await finish(gate, outcome, totp.at(gate.clock.now), device=device)

    async def test_a_known_browser_has_its_own_limit_and_is_one_persons(self, gate, person):
        log_ins = gate.provider.log_ins
        device = (await start(gate)).device
        for _ in range(11):
            with pytest.raises((LoginRefusedError, TooManyFailuresError)):
                await log_ins.start(
                    "ada@example.test", "wrong", replaces=None, peer=AWAY, device=device
                )
        with pytest.raises(TooManyFailuresError):
            await start(gate, device=device)
        # The account's own attempts are whole.
        assert isinstance(await start(gate), NewSession)
        await gate.user("bob@example.test")
        for _ in range(10):
            with pytest.raises(LoginRefusedError):
                await log_ins.start("bob@example.test", "wrong", replaces=None, peer=AWAY)
        for cookie in (device, "x", "é", "x" * 600, None):
            with pytest.raises(TooManyFailuresError):
                await log_ins.start(
                    "bob@example.test", PASSWORD, replaces=None, peer=HERE, device=cookie
                )


class TestRecoveryCodes:
    async def test_each_lets_in_once(self, gate, person):
        _, codes = await enrol(gate, person)
        session, _ = await finish(gate, await start(gate), codes[0])
        found = await gate.provider.log_ins.find(session.cookie)
        assert found.methods == ("pwd", "otp", "mfa")
        with pytest.raises(CodeRefusedError):
            await finish(gate, await start(gate), codes[0])
        await finish(gate, await start(gate), codes[1].replace("-", "").upper())
        acts = await gate.acts("recovery_code.used")
        assert [one.data["left"] for one in acts] == [9, 8]

    async def test_are_nobody_elses(self, gate, person):
        _, codes = await enrol(gate, person)
        bob = await gate.user("bob@example.test")
        await enrol(gate, bob)
        outcome = await gate.provider.log_ins.start(
            "bob@example.test", PASSWORD, replaces=None, peer=HERE
        )
        with pytest.raises(CodeRefusedError):
            await finish(gate, outcome, codes[0])

    async def test_new_ones_replace_the_old(self, gate, person):
        _, old = await enrol(gate, person)
        async with gate.database.transaction(MINE) as tx:
            new = await gate.identity.second_factors.renew_codes(tx, person.id)
        outcome = await start(gate)
        with pytest.raises(CodeRefusedError):
            await finish(gate, outcome, old[0])
        await finish(gate, outcome, new[0])

    async def test_there_are_none_without_a_second_factor(self, gate, person):
        with pytest.raises(SecondFactorNotFoundError):
            async with gate.database.transaction(MINE) as tx:
                await gate.identity.second_factors.renew_codes(tx, person.id)


class TestRemoval:
    async def test_a_person_does_without_again(self, gate, person):
        await enrol(gate, person)
        async with gate.database.transaction(MINE) as tx:
            await gate.identity.second_factors.remove(tx, person.id)
        assert isinstance(await start(gate), NewSession)
        assert await rows(gate, RecoveryCode) == []
        with pytest.raises(SecondFactorNotFoundError):
            async with gate.database.transaction(MINE) as tx:
                await gate.identity.second_factors.remove(tx, person.id)

    async def test_a_reset_ends_the_log_ins(self, gate, person):
        totp, _ = await enrol(gate, person)
        session, _ = await finish(gate, await start(gate), totp.at(gate.clock.now))
        async with gate.database.transaction(MINE) as tx:
            assert await gate.identity.reset_second_factor(tx, person.id)
        assert await gate.provider.log_ins.find(session.cookie) is None
        assert isinstance(await start(gate), NewSession)
        async with gate.database.transaction(MINE) as tx:
            assert not await gate.identity.reset_second_factor(tx, person.id)
        assert len(await gate.acts("second_factor.cleared")) == 2

    async def test_the_operator_has_a_command(self, app):
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await app.platform.of(TenantManager).create_user(
                tx, email="ada@example.test", name="Ada", password_hash=None
            )
        assert not await reset_totp(app.platform, "Ada@example.test")
        with pytest.raises(MemberNotFoundError):
            await reset_totp(app.platform, "bob@example.test")


REDIRECT = "http://localhost:8401/oauth2callback"
VERIFIER = "v" * 64
REQUEST = {
    "response_type": "code",
    "client_id": "console",
    "redirect_uri": REDIRECT,
    "scope": "openid",
    "state": "s",
    "nonce": "n",
    "code_challenge": "w1TpKUdYE9hUAcNSeeSRFioHDxfUxuHho_JHAfZ_vDM",
    "code_challenge_method": "S256",
}


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def id_token(gate, cookie):
    outcome = await gate.provider.authorize(
        list(REQUEST.items()), await gate.provider.log_ins.find(cookie), HERE
    )
    code = dict(parse_qsl(urlsplit(outcome.location).query))["code"]
    answer = await gate.issue(
        grant_type="authorization_code", code=code, redirect_uri=REDIRECT,
        code_verifier=VERIFIER, client_id="console", client_secret="c" * 40,
    )  # fmt: skip
    assert answer.status == 200, answer
    return answer.body["id_token"]


async def exchange(gate, token, tenant=None):
    return await gate.issue(
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token_type="urn:ietf:params:oauth:token-type:id_token",
        subject_token=token, client_id="console", client_secret="c" * 40,
        **({"tenant": tenant.id} if tenant else {}),
    )  # fmt: skip


class TestClaims:
    async def test_an_id_token_says_what_was_used(self, gate, person):
        plain = claims_of(await id_token(gate, (await start(gate)).cookie))
        assert (plain["amr"], plain["acr"]) == (["pwd"], "1")
        assert plain["auth_time"] == int(gate.clock.now.timestamp())
        totp, _ = await enrol(gate, person)
        session, _ = await finish(gate, await start(gate), totp.at(gate.clock.now))
        second = claims_of(await id_token(gate, session.cookie))
        assert (second["amr"], second["acr"]) == (["pwd", "otp", "mfa"], "2")
        assert second["auth_time"] == int(gate.clock.now.timestamp())


class TestPolicy:
    async def test_a_log_in_without_it_gets_no_further_token(self, gate, person):
        tenant = await gate.tenant()
        await gate.member(tenant, person)
        cookie = (await start(gate)).cookie
        login = await id_token(gate, cookie)
        running = (await exchange(gate, login, tenant)).body["access_token"]
        await gate.gateway.authenticate(running)
        await require(gate, tenant)
        answer = await exchange(gate, login, tenant)
        assert (answer.status, answer.body["error"]) == (
            400,
            "insufficient_user_authentication",
        )
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(running)
        # The next authorization asks for a log-in, though there is one.
        log_in = await gate.provider.log_ins.find(cookie)
        outcome = await gate.provider.authorize(list(REQUEST.items()), log_in, HERE)
        assert outcome.return_to.startswith("/oauth/authorize?")
        silent = await gate.provider.authorize(
            list((REQUEST | {"prompt": "none"}).items()), log_in, HERE
        )
        assert "error=login_required" in silent.location

    async def test_the_next_log_in_sets_it_up(self, gate, person):
        tenant = await gate.tenant()
        await gate.member(tenant, person)
        await require(gate, tenant)
        outcome = await start(gate)
        awaited = await gate.provider.log_ins.find_half_way(outcome.token)
        totp = pyotp.TOTP(awaited.secret)
        with pytest.raises(CodeRefusedError):
            await finish(gate, outcome, "000000x")
        # The same secret again: a mistyped code costs no new scan.
        again = await gate.provider.log_ins.find_half_way(outcome.token)
        assert again.secret == awaited.secret
        session, codes = await finish(gate, outcome, totp.at(gate.clock.now))
        assert len(codes) == 10
        answer = await exchange(gate, await id_token(gate, session.cookie), tenant)
        assert answer.status == 200, answer
        await gate.gateway.authenticate(answer.body["access_token"])

    async def test_the_secret_is_of_this_log_in_alone(self, gate, person):
        """Whoever knows the password must not leave a secret for the person to confirm."""
        tenant = await gate.tenant()
        await gate.member(tenant, person)
        await require(gate, tenant)
        attacker, victim = await start(gate, peer=AWAY), await start(gate)
        theirs = await gate.provider.log_ins.find_half_way(attacker.token)
        mine = await gate.provider.log_ins.find_half_way(victim.token)
        assert theirs.secret != mine.secret
        await finish(gate, victim, pyotp.TOTP(mine.secret).at(gate.clock.now))
        with pytest.raises(SecondFactorExistsError):
            await finish(gate, attacker, pyotp.TOTP(theirs.secret).at(gate.clock.now), peer=AWAY)

    async def test_other_tenants_are_not_concerned_once_it_is_lifted(self, gate, person):
        strict, lax = await gate.tenant(), await gate.tenant()
        for tenant in (strict, lax):
            await gate.member(tenant, person)
        login = await id_token(gate, (await start(gate)).cookie)
        await require(gate, strict)
        assert (await exchange(gate, login, strict)).status == 400
        assert (await exchange(gate, login, lax)).status == 200
        await require(gate, strict, required=False)
        assert (await exchange(gate, login, strict)).status == 200


def found(pattern, page):
    match = re.search(pattern, page, re.DOTALL)
    assert match is not None, (pattern, page)
    return match[1].replace("&amp;", "&")


class TestPages:
    """The same behind the real pipeline, as a browser does it."""

    AUTHORIZE = f"/oauth/authorize?{urlencode(REQUEST)}"

    @pytest.fixture
    async def ada(self, app):
        caller = await app.caller()
        manager = app.platform.of(TenantManager)
        identity = app.platform.of(IdentityManager)
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await identity.clients.put_console_client(tx, secret="c" * 40, redirect_uris=[REDIRECT])
            user = await manager.create_user(
                tx,
                email="ada@example.test",
                name="Ada",
                password_hash=hash_password(PASSWORD),
                platform_role="administrator",
            )
            await manager.add_member(
                tx, tenant_id=caller.tenant.id, user_id=user.id, role="owner", granter=None
            )
        return user, caller

    async def password(self, http):
        asked = await http.get(self.AUTHORIZE)
        page = await http.get(asked.headers["location"])
        form = {
            "csrf": found(r'name="csrf" value="([^"]*)"', page.text),
            "return_to": found(r'name="return_to" value="([^"]*)"', page.text),
            "email": "ada@example.test",
            "password": PASSWORD,
        }
        return await http.post("/oauth/login", data=form)

    async def code(self, http, page, code, **more):
        form = {
            "csrf": found(r'name="csrf" value="([^"]*)"', page.text),
            "return_to": found(r'name="return_to" value="([^"]*)"', page.text),
            "code": code,
        } | more
        return await http.post("/oauth/second-factor", data=form)

    async def bearer(self, http, tenant):
        back = await http.get(self.AUTHORIZE)
        code = dict(parse_qsl(urlsplit(back.headers["location"]).query))["code"]
        auth = ("console", "c" * 40)
        given = await http.post(
            "/oauth/token",
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": REDIRECT,
                "code_verifier": VERIFIER,
            },
            auth=auth,
        )
        answer = await http.post(
            "/oauth/token",
            data={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
                "subject_token": given.json()["id_token"],
                "tenant": tenant.id,
            },
            auth=auth,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    async def enrolled(self, app, ada):
        """A browser of somebody who has set a second factor up by the API, and the secret."""
        http = app.client()
        assert (await self.password(http)).status_code == 303
        api = app.client(Authorization=f"Bearer {await self.bearer(http, ada[1].tenant)}")
        assert (await api.get("/api/v1/me/totp")).json() == {
            "user_id": ada[0].id,
            "enrolled": False,
            "enrolled_at": None,
            "recovery_codes_left": 0,
            "required": False,
        }
        shut_out = await api.put("/api/v1/login-policy", json={"require_second_factor": True})
        assert shut_out.json()["code"] == "identity.second_factor_missing"
        made = await api.post("/api/v1/me/totp")
        assert made.status_code == 201, made.text
        assert made.headers["cache-control"] == "no-store"
        totp = pyotp.TOTP(made.json()["secret"])
        wrong = await api.post("/api/v1/me/totp/confirm", json={"code": "000000x"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "identity.code_refused")
        done = await api.post("/api/v1/me/totp/confirm", json={"code": totp.now()})
        assert done.status_code == 200, done.text
        assert (await api.get("/api/v1/me/totp")).json()["recovery_codes_left"] == 10
        # The log-in at hand has given it.
        put = await api.put("/api/v1/login-policy", json={"require_second_factor": False})
        assert put.status_code == 200, put.text
        return api, totp, done.json()["recovery_codes"]

    @pytest.mark.slow
    async def test_the_second_page_asks_and_the_cookie_of_the_first_opens_nothing(self, app, ada):
        _, _, codes = await self.enrolled(app, ada)
        http = app.client()
        planted = "p" * 43
        http.cookies.set("email_sender_session", planted, domain="localhost.local", path="/oauth")
        answer = await self.password(http)
        assert answer.status_code == 303
        where = answer.headers["location"]
        assert where.startswith("/oauth/second-factor?return_to=")
        set_cookie = answer.headers.get_list("set-cookie")
        assert not any(one.startswith("email_sender_session=") for one in set_cookie)
        (half,) = [one for one in set_cookie if one.startswith("email_sender_second_factor=")]
        assert "HttpOnly" in half
        assert "SameSite=lax" in half
        assert "Max-Age=300" in half
        assert "Path=/oauth" in half
        assert (await http.get(self.AUTHORIZE)).headers["location"].startswith("/oauth/login")
        page = await http.get(where)
        assert page.status_code == 200
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert 'autocomplete="one-time-code"' in page.text
        assert "<svg xmlns" not in page.text
        wrong = await self.code(http, page, "000000x")
        assert wrong.status_code == 401
        assert 'role="alert"' in wrong.text
        forged = await self.code(http, page, codes[0], csrf="0" * 64)
        assert forged.status_code == 403
        stolen = app.client()  # another browser, which has only what the page shows
        lost = await self.code(stolen, page, codes[0])
        assert lost.status_code == 403
        entered = await self.code(http, wrong, codes[0])
        assert entered.status_code == 303, entered.text
        assert http.cookies.get("email_sender_session") not in {None, planted}
        assert "email_sender_second_factor" not in http.cookies
        assert (await http.get(self.AUTHORIZE)).headers["location"].startswith(REDIRECT)
        # The way back of a browser: nothing waits any more.
        assert "E-mail" in (await http.get(where)).text

    async def test_who_has_to_is_led_through_setting_it_up(self, app, ada):
        owner = ada[1].http
        put = await owner.put("/api/v1/login-policy", json={"require_second_factor": True})
        assert put.json() == {"require_second_factor": True}
        assert (await owner.get("/api/v1/login-policy")).json() == put.json()
        http = app.client()
        answer = await self.password(http)
        page = await http.get(answer.headers["location"])
        assert "<svg xmlns" in page.text
        totp = pyotp.TOTP(found(r"<code>([A-Z2-7]{32})</code>", page.text))
        shown = await self.code(http, page, totp.now())
        assert shown.status_code == 200
        assert shown.headers["cache-control"] == "no-store"
        assert len(re.findall(r"<li><code>[a-z2-7-]{19}</code></li>", shown.text)) == 10
        back = found(r'<a class="button" href="([^"]+)"', shown.text)
        assert (await http.get(back)).headers["location"].startswith(REDIRECT)
        (act,) = await ada[1].audit(app.platform, "login_policy.changed")
        assert act.data == {"require_second_factor": True}

    async def test_a_stranger_learns_nothing_from_the_page(self, app, ada):
        http = app.client()
        assert (await http.get("/oauth/second-factor")).status_code == 400
        page = await http.get(f"/oauth/second-factor?{urlencode({'return_to': self.AUTHORIZE})}")
        assert "E-mail" in page.text
        lost = await self.code(http, page, "123456")
        assert lost.status_code == 401
        assert "took too long" in lost.text

    async def test_programs_have_none(self, app, ada):
        http = ada[1].http
        for method, path in (
            ("GET", "/api/v1/me/totp"),
            ("POST", "/api/v1/me/totp"),
            ("POST", "/api/v1/me/totp/recovery-codes"),
            ("DELETE", "/api/v1/me/totp"),
        ):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path

    async def test_an_administrator_takes_it_away_from_who_lost_it(self, app, ada):
        api, _, _ = await self.enrolled(app, ada)
        answer = await api.delete(f"/api/v1/platform/users/{ada[0].id}/totp")
        assert answer.status_code == 204
        # Their own log-ins ended as well: they were the administrator.
        assert (await api.get("/api/v1/me/totp")).status_code == 401
        http = app.client()
        assert (await self.password(http)).headers["location"].startswith("/oauth/authorize")
        gone = await ada[1].http.delete(f"/api/v1/platform/users/{ada[0].id}/totp")
        assert gone.status_code == 403
