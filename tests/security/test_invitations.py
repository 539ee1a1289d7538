"""Nobody enters a tenant but whom it invited, with a log-in that nobody else ever had in hand."""

import html
import re
import secrets
from unicodedata import normalize

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.email import EmailManager
from backend.managers.identity import IdentitySettings
from backend.managers.tenant import TenantManager
from backend.managers.tenant.models import UserRow
from tests.support.errands import EVERYTHING
from tests.support.invitations import accept_async, hidden_fields, token_of
from tests.support.passwords import PASSWORD

pytestmark = pytest.mark.attack

PATH = "/oauth/invitation"
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
        assert found[0] == made["link"]
        assert (await ada.http.get("/api/v1/emails")).json()["items"] == []
