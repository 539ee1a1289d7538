"""One's own account: name, password, log-ins; and people who are kept out."""

import re
import secrets
from urllib.parse import parse_qs, urlsplit

import pytest

from backend.core.context import Scope, SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.email import EmailManager
from backend.managers.identity import IdentityManager
from backend.managers.identity._agents import short_agent
from backend.managers.tenant import TenantManager
from tests.security.conftest import People
from tests.support.errands import EVERYTHING
from tests.support.invitations import hidden_fields
from tests.support.passwords import PASSWORD
from tests.support.resets import mail_links

NEW = "another horse, another battery"
RESET = "/oauth/password-reset"


@pytest.fixture
def people(app):
    return People(app)


@pytest.fixture
async def ada(app, people):
    """A person with a tenant, and a client that acts as them."""
    owner = await app.caller("owner")
    user = await people.person("ada@example.test")
    await people.member(owner.tenant, user, "admin")
    return owner, user, await people.acting(user)


async def log_in(people, password=PASSWORD, email="ada@example.test"):
    """Whether the password opens the account."""
    try:
        await people.id_token(email, password)
    except AssertionError:
        return False
    return True


class TestProfile:
    async def test_shows_and_changes_the_name(self, app, ada):
        owner, user, http = ada
        assert (await http.get("/api/v1/me/profile")).json() == {
            "id": user.id,
            "email": "ada@example.test",
            "name": "Ada",
            "platform_role": None,
        }
        changed = await http.put("/api/v1/me/profile", json={"name": "Ada Lovelace"})
        assert (changed.status_code, changed.json()["name"]) == (200, "Ada Lovelace")
        members = (await owner.http.get("/api/v1/members")).json()["items"]
        assert [one["name"] for one in members] == ["Ada Lovelace"]

    async def test_a_program_has_none(self, ada):
        owner, _, _ = ada
        for method, path in (
            ("GET", "profile"),
            ("PUT", "profile"),
            ("PUT", "password"),
            ("GET", "sessions"),
            ("DELETE", "sessions"),
            ("GET", "sign-ins"),
        ):
            body = {"name": "N"} if path == "profile" else None
            answer = await owner.http.request(method, f"/api/v1/me/{path}", json=body)
            assert answer.status_code == 403, path
            assert answer.json()["code"] == "identity.person_only", path


class TestChangePassword:
    @pytest.mark.slow
    async def test_needs_the_old_one_and_ends_the_other_log_ins(self, ada, people):
        _, user, http = ada
        other = await people.acting(user)
        wrong = {"old_password": "not it", "new_password": NEW}
        answer = await http.put("/api/v1/me/password", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "identity.password_wrong")
        assert (await other.get("/api/v1/me")).status_code == 200
        body = {"old_password": PASSWORD, "new_password": NEW}
        assert (await http.put("/api/v1/me/password", json=body)).status_code == 204
        assert (await other.get("/api/v1/me")).status_code == 401
        assert (await http.get("/api/v1/me")).status_code == 200
        assert not await log_in(people)
        assert await log_in(people, NEW)

    @pytest.mark.parametrize(
        "weak", ["password1234", "qwertyuiop12345", "ada@example.test!", "abababababab"]
    )
    async def test_refuses_what_is_guessed_first(self, ada, people, weak):
        _, _, http = ada
        body = {"old_password": PASSWORD, "new_password": weak}
        answer = await http.put("/api/v1/me/password", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "identity.weak_password")
        assert await log_in(people)

    async def test_guessing_the_old_one_is_turned_away(self, ada):
        _, _, http = ada
        body = {"old_password": "not it", "new_password": NEW}
        statuses = [
            (await http.put("/api/v1/me/password", json=body)).status_code for _ in range(12)
        ]
        assert statuses[0] == 422
        assert statuses[-1] == 429


class TestSessions:
    async def test_are_listed_with_where_they_are(self, app, ada, people):
        _, user, http = ada
        browser = app.client(
            **{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"}
        )
        await people.id_token(user.email, http=browser)
        listed = (await http.get("/api/v1/me/sessions")).json()["items"]
        assert [(one["agent"], one["current"]) for one in listed] == [
            ("Firefox 140 on Linux", False),
            (short_agent(http.headers["user-agent"]), True),
        ]
        assert {one["address"] for one in listed} == {"127.0.0.1"}

    async def test_are_ended_one_by_one_and_together(self, app, ada, people):
        _, user, http = ada
        others = [await people.acting(user) for _ in range(3)]
        listed = (await http.get("/api/v1/me/sessions")).json()["items"]
        gone = await http.delete(f"/api/v1/me/sessions/{listed[0]['id']}")
        assert gone.status_code == 204
        states = [(await one.get("/api/v1/me")).status_code for one in others]
        assert states == [200, 200, 401]
        assert (await http.delete("/api/v1/me/sessions")).status_code == 204
        states = [(await one.get("/api/v1/me")).status_code for one in others]
        assert states == [401, 401, 401]
        left = (await http.get("/api/v1/me/sessions")).json()["items"]
        assert [one["current"] for one in left] == [True]

    async def test_of_another_are_nobodys_to_end(self, ada, people):
        _, user, http = ada
        eve = await people.person("eve@example.test")
        eve_owner = await people.member(ada[0].tenant, eve, "admin")
        assert eve_owner is None
        hers = await people.acting(eve)
        mine = (await http.get("/api/v1/me/sessions")).json()["items"][0]
        answer = await hers.delete(f"/api/v1/me/sessions/{mine['id']}")
        assert (answer.status_code, answer.json()["code"]) == (404, "identity.session_not_found")
        assert (await http.get("/api/v1/me/sessions")).json()["items"] == [mine]
        assert user.id != eve.id

    async def test_remember_when_they_were_last_used(self, app, ada, people):
        _, user, http = ada
        before = (await http.get("/api/v1/me/sessions")).json()["items"][0]
        log_ins = app.platform.of(IdentityManager).provider.log_ins
        log_ins.note_use(before["id"])
        await log_ins.flush()
        after = (await http.get("/api/v1/me/sessions")).json()["items"][0]
        assert after["last_seen_at"] > before["last_seen_at"]
        assert after["created_at"] == before["created_at"]
        assert user.id

    async def test_the_history_tells_successes_and_failures(self, ada, people):
        _, _, http = ada
        assert not await log_in(people, "not it at all")
        listed = (await http.get("/api/v1/me/sign-ins")).json()["items"]
        assert [(one["outcome"], one["count"]) for one in listed] == [
            ("failed", 1),
            ("succeeded", 1),
        ]
        await people.person("eve@example.test")
        assert not await log_in(people, "not it", "eve@example.test")
        assert len((await http.get("/api/v1/me/sign-ins")).json()["items"]) == 2


class TestReset:
    async def asked(self, app, email, browser=None):
        """The answer to somebody who says they forgot the password of this address."""
        browser = browser or app.client()
        page = await browser.get(RESET)
        form = {**hidden_fields(page.text), "email": email}
        return await browser.post(RESET, data=form)

    async def mailed(self, app):
        """What the platform's own mail says, newest first, once all jobs that mail it are done."""
        await mail_links(app)
        emails = app.platform.of(EmailManager)
        async with app.platform.database.transaction(Scope("test", PLATFORM_TENANT)) as tx:
            sent = await emails.list_emails(tx, limit=10)
            return [(one.to, (await emails.read_content(tx, one.id)).text or "") for one in sent]

    async def link(self, app):
        (to, text), *_ = await self.mailed(app)
        assert to == ["ada@example.test"]
        found = re.search(r"http\S+", text)
        assert found is not None
        return parse_qs(urlsplit(found[0]).query)["token"][0]

    async def press(self, app, token, password=NEW):
        browser = app.client()
        page = await browser.get(RESET, params={"token": token})
        form = {**hidden_fields(page.text), "token": token}
        return await browser.post(RESET, data={**form, "password": password, "again": password})

    @pytest.mark.slow
    async def test_sets_a_password_by_mail_and_ends_every_log_in(self, app, ada, people):
        _, _, http = ada
        assert (await self.asked(app, "ADA@example.test")).status_code == 200
        token = await self.link(app)
        assert (await self.press(app, token)).status_code == 200
        assert (await http.get("/api/v1/me")).status_code == 401
        assert not await log_in(people)
        assert await log_in(people, NEW)
        # Spent.
        assert (await self.press(app, token, "yet another password")).status_code == 404
        assert await log_in(people, NEW)

    async def test_says_the_same_for_nobody_and_mails_nobody(self, app, ada):
        known = await self.asked(app, "ada@example.test")
        unknown = await self.asked(app, "nobody@example.test")
        assert known.text == unknown.text
        assert [to for to, _ in await self.mailed(app)] == [["ada@example.test"]]

    async def test_mails_the_address_that_is_kept(self, app, ada):
        """Letters that look alike fold to one key; the mailbox they name may be another's."""
        await self.asked(app, "\uff41da@example.test")
        assert [to for to, _ in await self.mailed(app)] == [["ada@example.test"]]

    async def test_mails_once_a_minute_whoever_asks(self, app, ada):
        for spelling in ("ada@example.test", "ADA@example.test", "ada@Example.Test"):
            assert (await self.asked(app, spelling)).status_code == 200
        minutes = len(await self.mailed(app))
        assert 1 <= minutes <= 2, "two when the minute ended meanwhile"

    async def test_is_void_for_who_is_disabled(self, app, ada, people):
        await self.asked(app, "ada@example.test")
        token = await self.link(app)
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await app.platform.of(IdentityManager).accounts.disable(tx, ada[1].id)
        assert (await self.press(app, token)).status_code == 404

    async def test_takes_no_weak_one_and_the_link_still_works(self, app, ada, people):
        await self.asked(app, "ada@example.test")
        token = await self.link(app)
        assert (await self.press(app, token, "password1234")).status_code == 422
        assert (await self.press(app, token)).status_code == 200

    async def test_needs_the_form_of_this_browser(self, app, ada):
        page = await app.client().get(RESET)
        form = {**hidden_fields(page.text), "email": "ada@example.test"}
        assert (await app.client().post(RESET, data=form)).status_code == 403
        assert await self.mailed(app) == []

    async def test_guessing_links_is_turned_away(self, app):
        statuses = [
            (await app.client().get(RESET, params={"token": secrets.token_urlsafe(32)})).status_code
            for _ in range(13)
        ]
        assert statuses[0] == 404
        assert statuses[-1] == 429


class TestDisable:
    async def test_a_member_is_kept_out_of_this_tenant_alone(self, app, ada, people):
        owner, user, http = ada
        other = await app.caller("owner")
        await people.member(other.tenant, user, "viewer")
        elsewhere = await people.acting(user, tenant=other.tenant.id)
        path = f"/api/v1/members/{user.id}"
        answer = await owner.http.post(f"{path}/disable")
        assert (answer.status_code, answer.json()["disabled"]) == (200, True)
        assert (await http.get("/api/v1/me")).status_code == 401
        assert (await elsewhere.get("/api/v1/me")).status_code == 200
        refused = await people.exchange(await people.id_token(user.email), tenant=owner.tenant.id)
        assert refused.status_code == 400
        assert (await owner.http.post(f"{path}/enable")).json()["disabled"] is False
        assert (await (await people.acting(user, tenant=owner.tenant.id)).get("/api/v1/me")).json()[
            "role"
        ] == "admin"

    async def test_refuses_oneself_the_last_owner_and_who_is_higher(self, app, ada, people):
        owner, user, http = ada
        boss, second = await people.person(), await people.person()
        await people.member(owner.tenant, boss, "owner")
        answer = await http.post(f"/api/v1/members/{user.id}/disable")
        assert answer.json()["code"] == "tenant.own_account"
        answer = await http.post(f"/api/v1/members/{boss.id}/disable")
        assert answer.json()["code"] == "tenant.role_too_high"
        answer = await owner.http.post(f"/api/v1/members/{boss.id}/disable")
        assert answer.json()["code"] == "tenant.last_owner"
        await people.member(owner.tenant, second, "owner")
        assert (await owner.http.post(f"/api/v1/members/{second.id}/disable")).is_success
        # One who may not act is no owner who could stay.
        for method, where, body in (
            ("POST", f"{boss.id}/disable", None),
            ("DELETE", boss.id, None),
            ("PUT", boss.id, {"role": "viewer"}),
        ):
            answer = await owner.http.request(method, f"/api/v1/members/{where}", json=body)
            assert answer.json()["code"] == "tenant.last_owner", method
        assert (await owner.http.delete(f"/api/v1/members/{second.id}")).status_code == 204

    async def test_a_person_is_kept_out_of_everything(self, app, ada, people):
        owner, user, http = ada
        root = await people.person("root@example.test", platform_role="administrator")
        await people.member(owner.tenant, root, "owner")
        admin = await people.acting(root)
        found = (await admin.get("/api/v1/platform/users", params={"q": "ADA@"})).json()["items"]
        assert [one["id"] for one in found] == [user.id]
        path = f"/api/v1/platform/users/{user.id}"
        shown = (await admin.get(path)).json()
        assert [(one["slug"], one["role"]) for one in shown["tenants"]] == [
            (owner.tenant.slug, "admin")
        ]
        answer = await admin.post(f"{path}/disable")
        assert (answer.status_code, answer.json()["disabled"]) == (200, True)
        assert (await http.get("/api/v1/me")).status_code == 401
        assert not await log_in(people)
        assert (await admin.post(f"{path}/enable")).status_code == 200
        assert (await http.get("/api/v1/me")).status_code == 401, "the old log-in stays ended"
        assert await log_in(people)

    async def test_of_the_platform_refuses_oneself_and_a_last_owner(self, app, ada, people):
        owner, _, http = ada
        root = await people.person("root@example.test", platform_role="administrator")
        boss = await people.person("boss@example.test")
        home = await app.caller("owner")
        await people.member(home.tenant, root, "viewer")
        await people.member(owner.tenant, boss, "owner")
        admin = await people.acting(root)
        answer = await admin.post(f"/api/v1/platform/users/{root.id}/disable")
        assert answer.json()["code"] == "tenant.own_account"
        answer = await admin.post(f"/api/v1/platform/users/{boss.id}/disable")
        assert answer.json()["code"] == "tenant.last_owner"
        assert owner.tenant.slug in answer.json()["detail"]
        assert (await http.get("/api/v1/platform/users")).status_code == 403

    async def test_a_disabled_inviters_invitation_is_void(self, app, ada, people):
        owner, user, http = ada
        made = await http.post(
            "/api/v1/invitations", json={"email": "new@example.test", "role": "viewer"}
        )
        await owner.http.post(f"/api/v1/members/{user.id}/disable")
        token = parse_qs(urlsplit(made.json()["link"]).query)["token"][0]
        browser = app.client()
        page = await browser.get("/oauth/invitation", params={"token": token})
        form = {**hidden_fields(page.text), "name": "N", "password": NEW, "again": NEW}
        answer = await browser.post("/oauth/invitation", data=form)
        assert answer.status_code == 409
        async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
            assert await app.platform.of(TenantManager).find_login(tx, "new@example.test") is None


EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
)
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)


class TestShortAgent:
    @pytest.mark.parametrize(
        ("text", "short"),
        [
            (EDGE, "Edge 140 on Windows"),
            (PHONE, "Safari 18 on iPhone"),
            ("curl/8.14.1", "curl/8.14.1"),
            ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/156.0.0.0", "Chrome 156 on Linux"),
            ("Mozilla/5.0 (X11; Linux x86_64) Konqueror/26.4", "A browser on Linux"),
            ("", ""),
            ("x" * 500, "x" * 60),
        ],
    )
    def test_tells_browser_and_system(self, text, short):
        assert short_agent(text) == short
