"""Nobody enters a tenant but whom it invited, with a log-in that nobody else ever had in hand."""

import html
import re
import secrets
from unicodedata import normalize

import pyotp
import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.email import EmailManager
from backend.managers.identity import ACCOUNT, IdentityManager, IdentitySettings
from backend.managers.identity.models import BrowserSession, RecoveryCode, TotpSecret
from backend.managers.tenant import PRINCIPALS, TenantManager, hash_password
from backend.managers.tenant.models import RoleRow, TenantRow, UserRow
from tests.support.errands import EVERYTHING
from tests.support.invitations import accept_async, hidden_fields, token_of
from tests.support.passwords import PASSWORD, PASSWORD_HASH
from tests.support.resets import mail_links

pytestmark = pytest.mark.attack

PATH = "/oauth/invitation"
RESET = "/oauth/password-reset"
OWN = "a password of their own"


async def invited(caller, email, role="viewer"):
    """The answer to an invitation."""
    answer = await caller.http.post("/api/v1/invitations", json={"email": email, "role": role})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def members(caller):
    """Who belongs to the caller's tenant: e-mail to role."""
    found = (await caller.http.get("/api/v1/members")).json()["items"]
    return {one["email"]: one["role"] for one in found}


async def logged_in(app, people, email, password):
    """A browser in which somebody is logged in."""
    browser = app.client()
    await people.id_token(email, password, browser)
    return browser


async def press(browser, link, **more):
    """Open the link and send the form that it shows, whatever the page says."""
    page = await browser.get(PATH, params={"token": token_of(link)})
    form = {**hidden_fields(page.text), **more}
    form.setdefault("token", token_of(link))
    return await browser.post(PATH, data=form)


async def newest_link(app):
    """What the platform mailed last."""
    emails = app.platform.of(EmailManager)
    async with app.platform.database.transaction(Scope("test", PLATFORM_TENANT)) as tx:
        (sent, *_) = await emails.list_emails(tx, limit=1)
        found = re.search(r"http\S+", (await emails.read_content(tx, sent.id)).text or "")
    assert found is not None
    return found[0]


async def reset(app, email, password, browser):
    """Set a password by the link that is mailed to whoever says they forgot it."""
    page = await browser.get(RESET)
    asked = await browser.post(RESET, data={**hidden_fields(page.text), "email": email})
    assert asked.status_code == 200, asked.text
    await mail_links(app)
    token = token_of(await newest_link(app))
    page = await browser.get(RESET, params={"token": token})
    form = {**hidden_fields(page.text), "token": token, "password": password, "again": password}
    answer = await browser.post(RESET, data=form)
    assert answer.status_code == 200, answer.text


async def opens(app, email, password, browser=None):
    """Where a password leads to; None: nowhere."""
    browser = browser or app.client()
    return_to = f"{PATH}?token=none"
    page = await browser.get("/oauth/login", params={"return_to": return_to})
    form = {**hidden_fields(page.text), "email": email, "password": password}
    answer = await browser.post("/oauth/login", data=form)
    return answer.headers["location"] if answer.status_code == 303 else None


class TestTakeover:
    """Eve's tenant has a log-in made for Bob's address; Ada's tenant then invites Bob."""

    async def planted(self, app, people):
        eve, ada = await app.caller("owner"), await app.caller("owner")
        await people.person()  # the console is there
        mine = await invited(eve, "cfo@corp.test", "admin")
        joined = await accept_async(
            app.client(), mine["link"], email="cfo@corp.test", password="known to eve", name="CFO"
        )
        assert joined.status_code == 200, joined.text
        return eve, ada

    async def test_nobody_sets_a_password_for_another(self, app):
        ada = await app.caller("owner")
        body = {"email": "bob@corp.test", "name": "Bob", "role": "viewer"}
        for more in ({}, {"password": "chosen by ada"}):
            answer = await ada.http.post("/api/v1/members", json={**body, **more})
            assert answer.status_code == 405, answer.text
        answer = await ada.http.post("/api/v1/invitations", json={**body, "password": "x" * 20})
        assert answer.status_code == 422
        assert await members(ada) == {}

    async def test_an_invitation_alone_lets_no_log_in_of_another_tenant_in(self, app, people):
        _, ada = await self.planted(app, people)
        await invited(ada, "cfo@corp.test", "admin")
        assert await members(ada) == {}
        answer = await people.exchange(
            await people.id_token("cfo@corp.test", "known to eve"), tenant=ada.tenant.id
        )
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_target"

    async def test_the_link_alone_lets_nobody_in_as_somebody_known(self, app, people):
        _, ada = await self.planted(app, people)
        link = (await invited(ada, "cfo@corp.test", "admin"))["link"]
        # Whoever has the link and no log-in may not set the password anew.
        browser = app.client()
        page = await browser.get(PATH, params={"token": token_of(link)})
        assert 'name="password"' not in page.text
        answer = await press(browser, link, name="X", password=OWN, again=OWN)
        assert answer.status_code == 403
        assert await members(ada) == {}

    async def test_an_owner_of_a_new_tenant_is_invited_and_not_made(self, app, people):
        await self.planted(app, people)
        root = await people.person(platform_role="administrator")
        home = (await app.caller("owner")).tenant
        await people.member(home, root, "owner")
        http = await people.acting(root, tenant=home.id)
        body = {"slug": "corp", "name": "Corp", "owner_email": "cfo@corp.test"}
        made = await http.post("/api/v1/platform/tenants", json=body)
        assert made.status_code == 201, made.text
        assert made.headers["cache-control"] == "no-store"
        async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
            tenants = app.platform.of(TenantManager)
            for one in (root.id, (await tenants.find_login(tx, "cfo@corp.test"))[0].id):
                assert await tenants.find_membership(tx, made.json()["id"], one) is None
        answer = await people.exchange(
            await people.id_token("cfo@corp.test", "known to eve"), tenant=made.json()["id"]
        )
        assert answer.status_code == 400
        assert "link" not in str((await http.get("/api/v1/platform/tenants")).json())
        # Another one, and the first is void; who is no administrator any more invited nobody.
        path = f"/api/v1/platform/tenants/{made.json()['id']}/invite-owner"
        again = await http.post(path, json={"email": "CFO@corp.test"})
        assert again.status_code == 201, again.text
        answer = await press(app.client(), made.json()["owner_invitation_link"])
        assert answer.status_code == 409
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(
                sa.update(UserRow).where(UserRow.id == root.id).values(platform_role=None)
            )
        browser = await logged_in(app, people, "cfo@corp.test", "known to eve")
        answer = await press(browser, again.json()["link"])
        assert answer.status_code == 409
        assert "cannot do so any more" in answer.text


class TestVariants:
    @pytest.mark.parametrize(
        ("known", "invited_as"),
        [
            ("bob@corp.test", "BOB@Corp.Test"),
            ("bob@corp.test", "\uff42ob@corp.test"),
            ("bob@b\u00fccher.example", "bob@xn--bcher-kva.example"),
            ("bob@xn--bcher-kva.example", "Bob@B\u00dcCHER.example"),
            (normalize("NFD", "bob@b\u00fccher.example"), "bob@b\u00fccher.example"),
            ("b\u00f6b@corp.test", normalize("NFD", "b\u00f6b@corp.test")),
            ("bob@\uff23orp\u3002test", "bob@corp.test"),
        ],
    )
    async def test_another_spelling_is_the_same_person(self, app, people, known, invited_as):
        """Case, width, composition, a domain in its script or in Punycode: no second log-in."""
        ada = await app.caller("owner")
        bob = await people.person(known)
        link = (await invited(ada, invited_as))["link"]
        answer = await press(app.client(), link, name="X", password=OWN, again=OWN)
        assert answer.status_code == 403
        assert await members(ada) == {}
        browser = await logged_in(app, people, known, PASSWORD)
        assert (await press(browser, link)).status_code == 200
        assert list((await members(ada)).values()) == ["viewer"]
        again = await ada.http.post("/api/v1/invitations", json={"email": known, "role": "viewer"})
        assert (again.status_code, again.json()["code"]) == (409, "tenant.member_exists")
        assert bob.email == known

    @pytest.mark.parametrize(
        ("planted", "invited_as"),
        [
            ("b\u043eb@corp.test", "bob@corp.test"),  # a Cyrillic letter
            ("bob@c\u043erp.test", "bob@corp.test"),
            ("adm\u0131n@corp.test", "admin@corp.test"),  # without its dot
            ("ADM\u0130N@corp.test", "admin@corp.test"),  # with one more
            ("bob@stra\u00dfe.test", "bob@strasse.test"),
            ("stra\u00dfe@corp.test", "strasse@corp.test"),
        ],
    )
    async def test_what_only_looks_alike_is_another_person(self, app, people, planted, invited_as):
        """A log-in that somebody made beforehand for an address of theirs is in nobody's way."""
        ada = await app.caller("owner")
        await people.person(planted)
        link = (await invited(ada, invited_as))["link"]
        browser = await logged_in(app, people, planted, PASSWORD)
        page = await browser.get(PATH, params={"token": token_of(link)})
        assert 'name="again"' in page.text
        joined = await press(app.client(), link, name="Bob", password=OWN, again=OWN)
        assert joined.status_code == 200, joined.text
        assert await members(ada) == {invited_as: "viewer"}
        answer = await people.exchange(await people.id_token(planted), tenant=ada.tenant.id)
        assert answer.status_code == 400

    async def test_what_follows_a_plus_is_another_person(self, app, people):
        ada = await app.caller("owner")
        await people.person("bob@corp.test")
        link = (await invited(ada, "bob+ada@corp.test"))["link"]
        browser = await logged_in(app, people, "bob@corp.test", PASSWORD)
        page = await browser.get(PATH, params={"token": token_of(link)})
        # Bob's own log-in is not taken for it: this would be a new one.
        assert 'name="again"' in page.text
        joined = await press(browser, link, name="Bob", password=OWN, again=OWN)
        assert joined.status_code == 200
        assert await members(ada) == {"bob+ada@corp.test": "viewer"}
        answer = await people.exchange(await people.id_token("bob@corp.test"), tenant=ada.tenant.id)
        assert answer.status_code == 400

    async def test_an_existing_account_confirms_by_logging_in(self, app, people):
        ada = await app.caller("owner")
        bob = await people.person("bob@corp.test")
        link = (await invited(ada, bob.email, "operator"))["link"]
        answer = await accept_async(app.client(), link, email=bob.email, password=PASSWORD)
        assert answer.status_code == 200, answer.text
        assert "You are a member now" in answer.text
        assert await members(ada) == {bob.email: "operator"}
        http = await people.acting(bob, tenant=ada.tenant.id)
        assert (await http.get("/api/v1/me")).json()["role"] == "operator"

    async def test_a_disabled_account_is_not_let_in(self, app, people):
        ada = await app.caller("owner")
        bob = await people.person("bob@corp.test")
        link = (await invited(ada, bob.email))["link"]
        browser = await logged_in(app, people, bob.email, PASSWORD)
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(UserRow).where(UserRow.id == bob.id).values(disabled=True))
        assert (await press(browser, link)).status_code == 403
        assert await members(ada) == {}

    async def test_a_forwarded_invitation_is_nobody_elses(self, app, people):
        ada = await app.caller("owner")
        bob, eve = await people.person("bob@corp.test"), await people.person("eve@corp.test")
        link = (await invited(ada, bob.email, "admin"))["link"]
        browser = await logged_in(app, people, eve.email, PASSWORD)
        page = await browser.get(PATH, params={"token": token_of(link)})
        assert "You are logged in as eve@corp.test" in page.text
        # A form that Eve got for an invitation of her own does not help.
        own = (await invited(ada, eve.email))["link"]
        form = hidden_fields((await browser.get(PATH, params={"token": token_of(own)})).text)
        answer = await browser.post(PATH, data={**form, "token": token_of(link)})
        assert answer.status_code == 403
        assert await members(ada) == {}

    async def test_works_once(self, app, people):
        ada = await app.caller("owner")
        link = (await invited(ada, "new@corp.test"))["link"]
        first = await press(app.client(), link, name="New", password=OWN, again=OWN)
        assert first.status_code == 200
        await people.person()  # the console is there
        for browser in (app.client(), await logged_in(app, people, "new@corp.test", OWN)):
            second = await press(browser, link, name="Eve", password=OWN, again=OWN)
            assert second.status_code == 409
            assert "accepted already" in second.text
        member = (await ada.http.get("/api/v1/members")).json()["items"][0]
        removed = await ada.http.delete(f"/api/v1/members/{member['id']}")
        assert removed.status_code == 204
        assert (await press(app.client(), link)).status_code == 409
        assert await members(ada) == {}

    async def test_is_void_when_revoked(self, app):
        ada = await app.caller("owner")
        made = await invited(ada, "new@corp.test")
        browser = app.client()
        page = await browser.get(PATH, params={"token": token_of(made["link"])})
        gone = await ada.http.delete(f"/api/v1/invitations/{made['id']}")
        assert gone.status_code == 204
        form = {**hidden_fields(page.text), "name": "N", "password": OWN, "again": OWN}
        answer = await browser.post(PATH, data=form)
        assert answer.status_code == 409
        assert "taken back" in answer.text
        assert await members(ada) == {}

    async def test_a_new_link_makes_the_old_one_void(self, app):
        ada = await app.caller("owner")
        made = await invited(ada, "new@corp.test")
        resent = (await ada.http.post(f"/api/v1/invitations/{made['id']}/resend")).json()
        assert (await press(app.client(), made["link"])).status_code == 404
        answer = await press(app.client(), resent["link"], name="N", password=OWN, again=OWN)
        assert answer.status_code == 200


class TestInviter:
    """What the inviter may when it is accepted counts, not what they might once."""

    async def open_one(self, app, people, role="admin"):
        owner = await app.caller("owner")
        ada = await people.person()
        await people.member(owner.tenant, ada, role)
        http = await people.acting(ada, tenant=owner.tenant.id)
        answer = await http.post(
            "/api/v1/invitations", json={"email": "new@corp.test", "role": "operator"}
        )
        assert answer.status_code == 201, answer.text
        return owner, ada, answer.json()

    async def refused(self, app, owner, made, ended=1):
        answer = await press(app.client(), made["link"], name="N", password=OWN, again=OWN)
        assert answer.status_code == 409, answer.text
        assert "cannot do so any more" in answer.text
        assert "new@corp.test" not in await members(owner)
        shown = (await owner.http.get("/api/v1/invitations")).json()["items"]
        assert [one["state"] for one in shown] == ["revoked"] * ended
        # Void for good: giving the right back does not bring it back.
        assert (await press(app.client(), made["link"])).status_code == 409

    async def test_who_was_removed(self, app, people):
        owner, ada, made = await self.open_one(app, people)
        await owner.http.delete(f"/api/v1/members/{ada.id}")
        await self.refused(app, owner, made)

    async def test_who_may_less(self, app, people):
        owner, ada, made = await self.open_one(app, people)
        await owner.http.put(f"/api/v1/members/{ada.id}", json={"role": "operator"})
        await self.refused(app, owner, made)

    async def test_a_client_and_a_key_that_are_gone(self, app):
        owner = await app.caller("owner")
        client = await app.caller("admin", owner.tenant)
        body = {"name": "k", "role": "admin"}
        key = (await owner.http.post("/api/v1/api-keys", json=body)).json()
        holder = app.client(**{"X-API-Key": key["key"]})
        links = {}
        for name, http in (("client", client.http), ("key", holder)):
            answer = await http.post(
                "/api/v1/invitations", json={"email": f"{name}@corp.test", "role": "viewer"}
            )
            assert answer.status_code == 201, answer.text
            links[name] = answer.json()["link"]
        rows = (await owner.http.get("/api/v1/clients")).json()["items"]
        gone = next(one["id"] for one in rows if one["client_id"] == client.client_id)
        await owner.http.delete(f"/api/v1/clients/{gone}")
        answer = await press(app.client(), links["client"], name="N", password=OWN, again=OWN)
        assert answer.status_code == 409
        # The key stands, and what it invited to as well.
        answer = await press(app.client(), links["key"], name="N", password=OWN, again=OWN)
        assert answer.status_code == 200, answer.text
        assert await members(owner) == {"key@corp.test": "viewer"}

    async def test_a_client_and_a_key_that_are_held_to_less(self, app):
        owner = await app.caller("owner")
        body = {"name": "n", "role": "admin"}
        key = (await owner.http.post("/api/v1/api-keys", json=body)).json()
        client = await app.caller("admin", owner.tenant)
        rows = (await owner.http.get("/api/v1/clients")).json()["items"]
        row = next(one["id"] for one in rows if one["client_id"] == client.client_id)
        holder = app.client(**{"X-API-Key": key["key"]})
        for http, path in (
            (client.http, f"/api/v1/clients/{row}"),
            (holder, f"/api/v1/api-keys/{key['id']}"),
        ):
            made = await http.post(
                "/api/v1/invitations", json={"email": "new@corp.test", "role": "viewer"}
            )
            assert made.status_code == 201, made.text
            less = await owner.http.put(path, json={**body, "scopes": ["email:read"]})
            assert less.status_code == 200, less.text
            await self.refused(app, owner, made.json(), ended=1 if path.endswith(row) else 2)

    async def test_nobody_revokes_or_resends_what_they_could_not_offer(self, app):
        owner = await app.caller("owner")
        admin = await app.caller("admin", owner.tenant)
        made = await invited(owner, "boss@corp.test", "owner")
        path = f"/api/v1/invitations/{made['id']}"
        for method, where in (("DELETE", path), ("POST", f"{path}/resend")):
            answer = await admin.http.request(method, where)
            assert (answer.status_code, answer.json()["code"]) == (403, "tenant.role_too_high")
        answer = await admin.http.post(
            "/api/v1/invitations", json={"email": "x@corp.test", "role": "owner"}
        )
        assert answer.status_code == 403


class TestTenant:
    """What became of the tenant, and of the role, since somebody was invited."""

    @pytest.mark.parametrize("state", ["suspended", "deleting"])
    async def test_that_is_shut_takes_nobody_in(self, app, people, state):
        ada = await app.caller("owner")
        link = (await invited(ada, "new@corp.test"))["link"]
        browser = app.client()
        page = await browser.get(PATH, params={"token": token_of(link)})
        form = {**hidden_fields(page.text), "name": "N", "password": OWN, "again": OWN}

        async def become(state):
            async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
                values = sa.update(TenantRow).where(TenantRow.id == ada.tenant.id)
                await tx.execute(values.values(state=state))
                tx.signal(PRINCIPALS)

        await become(state)
        for answer in (
            await browser.post(PATH, data=form),
            await app.client().get(PATH, params={"token": token_of(link)}),
        ):
            assert answer.status_code == 409
            assert "not active" in answer.text
        async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
            tenants = app.platform.of(TenantManager)
            assert await tenants.find_login(tx, "new@corp.test") is None
        # Nothing of it was spent.
        await become("active")
        assert (await browser.post(PATH, data=form)).status_code == 200
        assert await members(ada) == {"new@corp.test": "viewer"}

    async def test_that_is_full_takes_nobody_in_and_spends_nothing(self, app):
        ada = await app.caller("owner")
        link = (await invited(ada, "new@corp.test"))["link"]
        plans = app.platform.of(TenantManager).plans
        for most, status in ((0, 409), (1, 200)):
            async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
                await plans.set_quotas(tx, ada.tenant.id, overrides={"members": most})
            answer = await press(app.client(), link, name="N", password=OWN, again=OWN)
            assert answer.status_code == status, answer.text
            async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
                known = await app.platform.of(TenantManager).find_login(tx, "new@corp.test")
            assert (known is not None) == (status == 200)

    async def test_whose_role_is_gone_gives_no_other(self, app):
        """While one waits its role stays; of one whose time is over it may go, and then it is."""
        ada = await app.caller("owner")
        role = {"permissions": ["email:read"]}
        await ada.http.put("/api/v1/roles/reader", json=role)
        made = await invited(ada, "new@corp.test", "reader")
        assert (await ada.http.delete("/api/v1/roles/reader")).status_code == 409
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.delete(RoleRow).where(RoleRow.tenant_id == ada.tenant.id))
        answer = await press(app.client(), made["link"], name="N", password=OWN, again=OWN)
        assert answer.status_code == 422
        assert "There is no such role" in answer.text
        assert await members(ada) == {}
        again = await ada.http.post(f"/api/v1/invitations/{made['id']}/resend")
        assert (again.status_code, again.json()["code"]) == (422, "tenant.role_unknown")

    async def test_whose_role_permits_more_now_is_asked_for_by_who_has_it(self, app):
        """What the role is when it is accepted counts, not what it was when it was offered."""
        owner = await app.caller("owner")
        admin = await app.caller("admin", owner.tenant)
        permissions = ["email:read"]
        await owner.http.put("/api/v1/roles/crew", json={"permissions": permissions})
        link = (await invited(admin, "new@corp.test", "crew"))["link"]
        more = {"permissions": [*permissions, "owner:write"]}
        assert (await owner.http.put("/api/v1/roles/crew", json=more)).is_success
        answer = await press(app.client(), link, name="N", password=OWN, again=OWN)
        assert answer.status_code == 409
        assert "cannot do so any more" in answer.text
        assert await members(owner) == {}


class TestForm:
    async def test_is_bound_to_the_browser_that_got_it(self, app):
        ada = await app.caller("owner")
        link = (await invited(ada, "new@corp.test"))["link"]
        page = await app.client().get(PATH, params={"token": token_of(link)})
        form = {**hidden_fields(page.text), "name": "N", "password": OWN, "again": OWN}
        for browser, headers in (
            (app.client(), {}),
            (app.client(), {"Origin": "https://evil.example"}),
        ):
            answer = await browser.post(PATH, data=form, headers=headers)
            assert answer.status_code == 403
        assert await members(ada) == {}
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-frame-options"] == "DENY"

    @pytest.mark.parametrize(
        "password",
        ["short", "password1234", "qwertyuiop12345", "new@corp.test 99", "aaaaaaaaaaaaaaa"],
    )
    async def test_takes_no_password_that_is_guessed_first(self, app, password):
        ada = await app.caller("owner")
        link = (await invited(ada, "new@corp.test"))["link"]
        answer = await press(app.client(), link, name="N", password=password, again=password)
        assert answer.status_code == 422
        assert html.unescape(answer.text).count("There is a problem") == 1
        assert password not in answer.text
        assert await members(ada) == {}

    async def test_guessing_links_is_turned_away(self, app):
        browser = app.client()
        burst = IdentitySettings().account_burst_failures
        statuses = [
            (await browser.get(PATH, params={"token": secrets.token_urlsafe(32)})).status_code
            for _ in range(burst + 3)
        ]
        assert set(statuses[:burst]) == {404}
        assert statuses[-1] == 429


class TestSecrets:
    async def test_the_link_is_kept_nowhere_and_mailed_once(self, app):
        ada = await app.caller("owner")
        made = await invited(ada, "new@corp.test")
        token = token_of(made["link"])
        listed = await ada.http.get("/api/v1/invitations")
        trail = await ada.http.get("/api/v1/audit")
        assert token not in listed.text
        assert token not in trail.text
        # The mail is the platform's own: no tenant reads it.
        emails = app.platform.of(EmailManager)
        async with app.platform.database.transaction(Scope("test", PLATFORM_TENANT)) as tx:
            (sent,) = await emails.list_emails(tx, limit=10)
            content = await emails.read_content(tx, sent.id)
        assert sent.to == ["new@corp.test"]
        found = re.search(r"http\S+", content.text or "")
        assert found is not None
        # Another than the one that is shown to whoever invited: it proves that the mail was read.
        assert token_of(found[0]) != token
        page = await app.client().get(PATH, params={"token": token_of(found[0])})
        assert (page.status_code, "new@corp.test" in page.text) == (200, True)
        assert (await ada.http.get("/api/v1/emails")).json()["items"] == []


class TestPlanted:
    """Eve has a log-in for the victim's address, with a second factor and whatever else."""

    EMAIL = "cfo@corp.test"
    EVES = "known to eve alone"

    async def planted(self, app, people):
        """What Eve holds: a browser that is logged in, its token, her authenticator and codes."""
        eve = await app.caller("owner")
        await people.person()  # the console is there
        link = (await invited(eve, self.EMAIL, "admin"))["link"]
        joined = await press(app.client(), link, name="CFO", password=self.EVES, again=self.EVES)
        assert joined.status_code == 200, joined.text
        return await self.enrolled(app, people, self.EMAIL, self.EVES)

    async def enrolled(self, app, people, email, password):
        """A browser and a token of somebody who has set up a second factor there."""
        browser = app.client()
        answer = await people.exchange(await people.id_token(email, password, browser))
        http = app.client(Authorization=f"Bearer {answer.json()['access_token']}")
        secret = (await http.post("/api/v1/me/totp")).json()["secret"]
        code = pyotp.TOTP(secret).at(app.platform.database.clock())
        answer = await http.post("/api/v1/me/totp/confirm", json={"code": code})
        assert answer.status_code == 200, answer.text
        return browser, http

    async def test_whoever_reads_the_mail_gets_in_and_puts_the_other_out(self, app, people):
        browser, http = await self.planted(app, people)
        ada = await app.caller("owner")
        link = (await invited(ada, self.EMAIL, "operator"))["link"]
        # The victim has the link and no log-in: the invitation alone lets nobody in.
        assert (
            await press(app.client(), link, name="CFO", password=OWN, again=OWN)
        ).status_code == 403
        mine = app.client()
        await reset(app, self.EMAIL, OWN, mine)
        # Eve is out, with all that she had: session, token, password, and her half-way log-in too.
        assert (await http.get("/api/v1/me")).status_code == 401
        assert "Log in as" in (await browser.get(PATH, params={"token": token_of(link)})).text
        assert await opens(app, self.EMAIL, self.EVES) is None
        # The victim is in, and no second factor is asked for that they do not have.
        entered = await opens(app, self.EMAIL, OWN, mine)
        assert entered is not None
        assert "second-factor" not in entered
        assert (await press(mine, link)).status_code == 200
        assert await members(ada) == {self.EMAIL: "operator"}
        # Nor is what she has of the old second factor a way around a new one.
        async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
            for model in (TotpSecret, RecoveryCode):
                assert await tx.scalar(sa.select(sa.func.count()).select_from(model)) == 0

    async def test_her_browser_is_no_known_one_any_more(self, app, people):
        browser, _ = await self.planted(app, people)
        mine = app.client()
        await reset(app, self.EMAIL, OWN, mine)
        log_ins = app.platform.of(IdentityManager).provider.log_ins
        hers, known = (one.cookies["email_sender_device"] for one in (browser, mine))
        assert await log_ins._devices.attempts_of(self.EMAIL, hers) == f"login:{self.EMAIL}"
        assert (await log_ins._devices.attempts_of(self.EMAIL, known)).startswith("device:")

    async def test_once_it_was_shown_whose_it_is_mail_alone_takes_no_second_factor(
        self, app, people
    ):
        """Of who accepted by the link that was mailed, and of who has reset it once."""
        ada = await app.caller("owner")
        await people.person()  # the console is there
        await invited(ada, "new@corp.test")
        link = await newest_link(app)
        joined = await press(app.client(), link, name="New", password=OWN, again=OWN)
        assert joined.status_code == 200, joined.text
        await self.planted(app, people)
        await reset(app, self.EMAIL, OWN, app.client())
        for email in ("new@corp.test", self.EMAIL):
            await self.enrolled(app, people, email, OWN)
            async with app.platform.database.transaction(SystemScope(ACCOUNT)) as tx:
                accounts = app.platform.of(IdentityManager).accounts
                await accounts.replace_password(tx, email, PASSWORD_HASH, owner=True)
            entered = await opens(app, email, PASSWORD)
            assert entered is not None
            assert "second-factor" in entered

    async def test_the_mailed_and_the_shown_link_are_one_invitation(self, app, people):
        ada = await app.caller("owner")
        made = await invited(ada, "new@corp.test")
        mailed = await newest_link(app)
        assert token_of(mailed) != token_of(made["link"])
        first = await press(app.client(), mailed, name="N", password=OWN, again=OWN)
        assert first.status_code == 200, first.text
        for link in (mailed, made["link"]):
            again = await press(app.client(), link, name="N", password=OWN, again=OWN)
            assert again.status_code == 409
        other = await invited(ada, "other@corp.test")
        old = await newest_link(app)
        await ada.http.post(f"/api/v1/invitations/{other['id']}/resend")
        for link in (old, other["link"]):
            assert (await press(app.client(), link)).status_code == 404
        gone = await newest_link(app)
        await ada.http.delete(f"/api/v1/invitations/{other['id']}")
        assert (await press(app.client(), gone)).status_code == 409

    @pytest.fixture
    def overtaken(self, app, monkeypatch):
        """Another password is set while one is looked at that was right."""
        identity = app.platform.of(IdentityManager)
        check = identity.provider.log_ins.check_password

        async def check_slowly(encoded, password):
            matches = await check(encoded, password)
            async with app.platform.database.transaction(SystemScope(ACCOUNT)) as tx:
                await identity.accounts.replace_password(tx, self.EMAIL, hash_password(OWN))
            return matches

        def begin():
            monkeypatch.setattr(identity.provider.log_ins, "check_password", check_slowly)

        return begin

    async def test_a_log_in_that_a_new_password_overtakes_is_none(self, app, people, overtaken):
        await people.person(self.EMAIL)
        overtaken()
        assert await opens(app, self.EMAIL, PASSWORD) is None
        async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
            assert await tx.scalar(sa.select(sa.func.count()).select_from(BrowserSession)) == 0

    async def test_a_change_that_a_new_password_overtakes_is_none(
        self, app, people, overtaken, monkeypatch
    ):
        """Or whoever was put out by it would take the log-in back."""
        user = await people.person(self.EMAIL)
        await people.member((await app.caller("owner")).tenant, user, "viewer")
        http = await people.acting(user)
        overtaken()
        change = {"old_password": PASSWORD, "new_password": self.EVES}
        answer = await http.put("/api/v1/me/password", json=change)
        assert (answer.status_code, answer.json()["code"]) == (422, "identity.password_wrong")
        monkeypatch.undo()
        assert await opens(app, self.EMAIL, self.EVES) is None
        assert await opens(app, self.EMAIL, OWN) is not None
