"""The ways into somebody's log-in: by time, by code, by cookie, by frame and by patience."""

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from sqlalchemy import event

from backend.core.ids import uuid7
from backend.managers.identity._password import verify_password
from backend.managers.tenant import User
from tests.security.conftest import CONSOLE_SECRET, REDIRECT, People
from tests.support.invitations import token_of
from tests.support.operations import PROMISED
from tests.support.own_work import own_work
from tests.support.passwords import PASSWORD
from tests.support.platform import App

pytestmark = pytest.mark.attack

VERIFIER = "w" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()[:-1]
SESSION = "email_sender_session"
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


async def enter(
    http: httpx.AsyncClient, email: str, password: str = PASSWORD, **headers: str
) -> httpx.Response:
    """What the log-in form answers to this browser."""
    page = await http.get("/oauth/login", params={"return_to": AUTHORIZE})
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert csrf is not None, page.text
    form = {"csrf": csrf[1], "return_to": AUTHORIZE, "email": email, "password": password}
    return await http.post("/oauth/login", data=form, headers=headers)


async def code_of(http: httpx.AsyncClient, address: str = AUTHORIZE) -> str:
    """A code for who is logged in to this browser."""
    back = await http.get(address)
    found = dict(parse_qsl(urlsplit(back.headers["location"]).query))
    assert found["iss"] == "http://localhost:8400", "whose answer it is (RFC 9207)"
    return found["code"]


RETURN_TO = "/oauth/invitation?token=none"


def html_operations() -> list[tuple[str, str]]:
    """The pages of the issuer, by the committed document."""
    return [
        (method.upper(), path)
        for path, item in PROMISED["paths"].items()
        for method, operation in item.items()
        if path.startswith("/oauth/")
        and any("text/html" in one.get("content", {}) for one in operation["responses"].values())
    ]


def session_of(http: httpx.AsyncClient) -> str:
    return next(one.value or "" for one in http.cookies.jar if one.name == SESSION)


async def redeem(app: App, code: str, auth: tuple[str, str] = ("console", CONSOLE_SECRET), **more):
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        **more,
    }
    return await app.client().post(
        "/oauth/token", data={k: v for k, v in form.items() if v is not None}, auth=auth
    )


@contextmanager
def work(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements and password hashes that are computed within the block, by their kind."""
    done: list[str] = []
    engine = app.platform.database.engine.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if mine():
            done.append(" ".join(statement.split()[:3]))

    def counted(encoded: str | None, password: str) -> bool:
        done.append("hash")
        return verify_password(encoded, password)

    event.listen(engine, "before_cursor_execute", note)
    with monkeypatch.context() as patch, own_work() as mine:
        patch.setattr("backend.managers.identity._logins.verify_password", counted)
        try:
            yield done
        finally:
            event.remove(engine, "before_cursor_execute", note)


class TestEnumeration:
    """Who exists shows in no answer and in no time: the same work is done for both.

    Counted, not measured: a statement or a hash more is what a clock would find with patience.
    """

    async def test_a_log_in_that_exists_costs_what_another_does(
        self, app: App, people: People, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known, other = await people.person(), await people.person()
        # What is only ever done once is done: keys, clients, the failures of this address.
        await enter(app.client(), "warm@example.test", "wrong")
        await enter(app.client(), other.email, "wrong")
        seen: dict[str, list[list[str]]] = {}
        pages = set()
        for email in (known.email, "nobody@example.test"):
            http = app.client()
            for _ in range(3):
                with work(app, monkeypatch) as done:
                    answer = await enter(http, email, "wrong")
                assert answer.status_code == 401
                assert {"hash"} < set(done), "statements are seen as well"
                pages.add(
                    re.sub(r'name="csrf" value="\w+"', "", answer.text.replace(email, "EMAIL"))
                )
                seen.setdefault(email, []).append(done)
        assert seen[known.email] == seen["nobody@example.test"]
        assert len(pages) == 1

    async def test_a_client_that_exists_costs_what_another_does(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owner = await app.caller()
        http = app.client()

        async def ask(client_id: str) -> list[str]:
            with work(app, monkeypatch) as done:
                answer = await http.post(
                    "/oauth/token",
                    data={"grant_type": "client_credentials"},
                    auth=(client_id, "wrong"),
                )
            assert answer.status_code == 401
            assert answer.json()["error"] == "invalid_client"
            return done

        await ask("es_client_warm")
        # Of the same shape: what can be no client's is refused without a look, and tells nothing.
        made_up = owner.client_id[:-4] + ("aaaa" if owner.client_id[-4:] != "aaaa" else "bbbb")
        known = [await ask(owner.client_id) for _ in range(3)]
        assert known == [await ask(made_up) for _ in range(3)]

    async def test_an_account_is_closed_whether_it_exists_or_not(
        self, app: App, people: People
    ) -> None:
        known = await people.person()
        burst = app.platform.settings.identity.account_burst_failures
        statuses = []
        for email in (known.email, "nobody@example.test"):
            http = app.client()
            statuses.append(
                [(await enter(http, email, "wrong")).status_code for _ in range(burst + 3)]
            )
        assert statuses[0][:burst] == statuses[1][:burst] == [401] * burst
        assert all(429 in one for one in statuses)


class TestCodes:
    async def test_a_code_is_its_clients_alone(self, app: App, people: People) -> None:
        """Injected into, or stolen for, another client: refused, and not spent by trying."""
        user = await people.person()
        thief = await app.caller("owner")
        http = app.client()
        await enter(http, user.email)
        code = await code_of(http)
        answer = await redeem(app, code, (thief.client_id, thief.client_secret))
        assert answer.status_code in {400, 401}, answer.text
        assert "access_token" not in answer.text
        assert (await redeem(app, code)).status_code == 200

    async def test_the_proof_is_not_taken_down(self, app: App, people: People) -> None:
        """PKCE downgrade: neither without a challenge, nor by showing the challenge itself."""
        user = await people.person()
        http = app.client()
        await enter(http, user.email)
        for changes in (
            {"code_challenge": None},
            {"code_challenge": None, "code_challenge_method": None},
            {"code_challenge_method": None},
            {"code_challenge_method": "plain"},
            {"code_challenge_method": "s256"},
            {"code_challenge_method": "none"},
            {"code_challenge": ""},
        ):
            query = {k: v for k, v in (REQUEST | changes).items() if v is not None}
            back = await http.get(f"/oauth/authorize?{urlencode(query)}")
            told = dict(parse_qsl(urlsplit(back.headers.get("location", "")).query))
            assert "code" not in told, changes
            assert told["error"] == "invalid_request", changes
        for more in (
            {"code_verifier": CHALLENGE},
            {"code_verifier": CHALLENGE, "code_challenge_method": "plain"},
            {"code_verifier": None},
            {"code_verifier": ""},
            {"code_verifier": VERIFIER + "w"},
            {"code_verifier": None, "code_challenge": CHALLENGE},
        ):
            answer = await redeem(app, await code_of(http), **more)
            assert answer.status_code == 400, more
            assert "access_token" not in answer.text, more
        assert (await redeem(app, await code_of(http))).status_code == 200

    async def test_an_error_says_who_answers_too(self, app: App, people: People) -> None:
        await people.person()
        query = urlencode({**REQUEST, "prompt": "none"})
        back = await app.client().get(f"/oauth/authorize?{query}")
        told = dict(parse_qsl(urlsplit(back.headers["location"]).query))
        assert (told["error"], told["iss"]) == ("login_required", "http://localhost:8400")

    async def test_a_request_cannot_be_had_from_elsewhere(self, app: App, people: People) -> None:
        """``request`` and ``request_uri`` would let a stranger write what we are asked."""
        user = await people.person()
        http = app.client()
        await enter(http, user.email)
        for name in ("request", "request_uri"):
            query = urlencode({**REQUEST, name: "https://evil.example/request.jwt"})
            back = await http.get(f"/oauth/authorize?{query}")
            target = urlsplit(back.headers["location"])
            assert target._replace(query="").geturl() == REDIRECT
            assert "evil" not in back.headers["location"]


class TestFixation:
    async def test_a_planted_cookie_is_not_logged_in(self, app: App, people: People) -> None:
        """Eve's own session, a made-up one and an old one of Ada's: none is Ada's afterwards."""
        ada, eve = await people.person(), await people.person()
        evil = app.client()
        await enter(evil, eve.email)
        planted = session_of(evil)
        for value in (planted, "x" * 43):
            victim = app.client()
            victim.cookies.set(SESSION, value, domain="localhost.local", path="/oauth")
            answer = await enter(victim, ada.email)
            assert answer.status_code == 303, answer.text
            fresh = re.search(rf"{SESSION}=([^;]+)", answer.headers["set-cookie"])
            assert fresh is not None
            assert fresh[1] != value
            attacker = app.client(Cookie=f"{SESSION}={value}")
            back = await attacker.get(AUTHORIZE)
            assert back.headers["location"].startswith("/oauth/login"), "it is nobody's"

    async def test_a_cookie_cannot_be_had_over_plain_http_or_by_scripts(
        self, app: App, people: People
    ) -> None:
        user = await people.person()
        answer = await enter(app.client(), user.email)
        for line in answer.headers.get_list("set-cookie"):
            if "Max-Age=0" not in line:
                assert "HttpOnly" in line
                assert "samesite=lax" in line.lower()
                assert "path=/oauth" in line.lower()


class TestCrossSite:
    async def test_nobody_logs_another_out(self, app: App, people: People) -> None:
        user = await people.person()
        http = app.client()
        await enter(http, user.email)
        for method, form in (
            ("GET", None),
            ("POST", {}),
            ("POST", {"csrf": "0" * 64}),
            ("POST", {"id_token_hint": "x.y.z"}),
        ):
            answer = await http.request(
                method, "/oauth/logout", data=form, headers={"Origin": "https://evil.example"}
            )
            assert answer.status_code == 200
            assert "Log out?" in answer.text
        assert await code_of(http)

    async def test_a_form_is_of_one_browser(self, app: App, people: People) -> None:
        """Log-in CSRF: Eve's form and its token, sent by Ada's browser, log nobody in."""
        eve = await people.person()
        evil, victim = app.client(), app.client()
        page = await evil.get((await evil.get(AUTHORIZE)).headers["location"])
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert csrf is not None
        await victim.get((await victim.get(AUTHORIZE)).headers["location"])
        form = {
            "csrf": csrf[1],
            "return_to": AUTHORIZE,
            "email": eve.email,
            "password": PASSWORD,
        }
        answer = await victim.post("/oauth/login", data=form)
        assert answer.status_code == 403
        assert SESSION not in str(answer.headers)

    async def test_no_form_is_sent_from_elsewhere(self, app: App) -> None:
        """Each form that a page of the issuer has, by the document: who adds one is asked too."""
        ada = await app.caller("owner")
        body = {"email": "new@example.test", "role": "viewer"}
        link = (await ada.http.post("/api/v1/invitations", json=body)).json()["link"]
        # A value that is one: of the attacker's own browser.
        evil, victim = app.client(), app.client()
        page = await evil.get("/oauth/login", params={"return_to": RETURN_TO})
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert csrf is not None
        await victim.get("/oauth/login", params={"return_to": RETURN_TO})
        form = {
            "return_to": RETURN_TO,
            "token": token_of(link),
            "email": "new@example.test",
            "name": "N",
            "password": PASSWORD,
            "again": PASSWORD,
            "code": "123456",
        }
        forms = {path for method, path in html_operations() if method == "POST"}
        forms -= {"/oauth/authorize", "/oauth/logout"}  # changes nothing; asks first
        assert len(forms) >= 5
        for path in sorted(forms):
            if path == "/oauth/password-reset":
                del form["token"]  # it is none of its links
            for more in ({}, {"csrf": csrf[1]}, {"csrf": "0" * 64}):
                answer = await victim.post(path, data=form | more)
                assert answer.status_code == 403, (path, more)
            own = await victim.get(path, params={"return_to": RETURN_TO, "token": token_of(link)})
            mine = re.search(r'name="csrf" value="([^"]+)"', own.text)
            if mine is not None:
                answer = await victim.post(
                    path,
                    data=form | {"csrf": mine[1]},
                    headers={"Origin": "https://evil.example"},
                )
                assert answer.status_code == 403, path
        assert (await ada.http.get("/api/v1/members")).json()["items"] == []

    async def test_no_page_by_the_document_is_framed_or_kept(self, app: App) -> None:
        seen = 0
        for method, path in html_operations():
            where = path.replace("{provider_id}", uuid7())
            given = {"return_to": RETURN_TO, "token": "t", "code": "c", "state": "s"}
            http = app.client()
            for values in ({}, given):
                sent: dict[str, Any] = {"params" if method == "GET" else "data": values}
                page = await http.request(method, where, **sent)
                if not page.headers.get("content-type", "").startswith("text/html"):
                    continue
                seen += 1
                assert page.headers["x-frame-options"] == "DENY", (method, path)
                policy = page.headers["content-security-policy"]
                assert "frame-ancestors 'none'" in policy, (method, path)
                assert "default-src 'none'" in policy, (method, path)
                assert "script-src" not in policy, (method, path)
                assert page.headers["cache-control"] == "no-store", (method, path)
        assert seen >= len(html_operations())

    async def test_no_page_is_framed(self, app: App, people: People) -> None:
        """Clickjacking: every page that the issuer shows."""
        user: User = await people.person()
        http = app.client()
        pages = [
            await http.get((await http.get(AUTHORIZE)).headers["location"]),
            await enter(http, user.email, "wrong"),
            await http.get("/oauth/login?return_to=https://evil.example"),
            await http.get("/oauth/authorize?client_id=nobody"),
            await http.get("/oauth/logout"),
            await app.client().post("/oauth/login", data={"return_to": AUTHORIZE}),
        ]
        await enter(http, user.email)
        pages.append(await http.get("/oauth/logout"))
        for page in pages:
            assert page.headers["content-type"].startswith("text/html"), page.request.url
            assert page.headers["x-frame-options"] == "DENY", page.request.url
            policy = page.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in policy, page.request.url
            assert "default-src 'none'" in policy, page.request.url
            assert "script-src" not in policy, page.request.url
            assert page.headers["cache-control"] == "no-store", page.request.url


class TestPatience:
    async def test_a_victim_is_not_locked_out_of_a_known_device(
        self, app: App, people: People
    ) -> None:
        """Whoever guesses closes the account to strangers, not to where Ada was logged in."""
        ada = await people.person()
        device, thief = app.client(), app.client()
        assert (await enter(device, ada.email)).status_code == 303
        burst = app.platform.settings.identity.account_burst_failures
        statuses = [(await enter(thief, ada.email, "wrong")).status_code for _ in range(burst + 2)]
        assert statuses[-1] == 429
        assert (await enter(thief, ada.email)).status_code == 429
        assert (await enter(device, ada.email)).status_code == 303

    async def test_a_device_has_its_own_few_tries(self, app: App, people: People) -> None:
        """A stolen device guesses no further than a stranger."""
        ada, eve = await people.person(), await people.person()
        device = app.client()
        assert (await enter(device, ada.email)).status_code == 303
        burst = app.platform.settings.identity.account_burst_failures
        statuses = [(await enter(device, ada.email, "wrong")).status_code for _ in range(burst)]
        assert set(statuses) == {401}
        assert (await enter(device, ada.email)).status_code == 429
        # And it is known for Ada alone.
        thief = app.client()
        for _ in range(burst):
            await enter(thief, eve.email, "wrong")
        assert (await enter(device, eve.email)).status_code == 429
