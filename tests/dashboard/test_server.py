"""The wrapper around Streamlit: its policy, its cookies, its one address."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import httpx
import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route

from dashboard import server


async def echo(request: Request) -> PlainTextResponse:
    response = PlainTextResponse(request.headers.get("cookie", ""))
    response.set_cookie("_streamlit_user", "u", httponly=True)
    response.set_cookie("_streamlit_user_tokens_1", "t", httponly=True)
    response.set_cookie("_streamlit_xsrf", "x")
    return response


async def ask(app, path="/", base="http://localhost:8401", **headers):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
        return await client.get(path, headers=headers)


@pytest.fixture
def plain():
    return Starlette(routes=[Route("/{path:path}", echo)])


class TestContentSecurityPolicy:
    def test_allows_the_installed_pages_own_script_by_its_hash(self):
        index = (Path(st.__file__).parent / "static" / "index.html").read_text()
        policy = server.content_security_policy(index)
        code = index.split("<script>")[1].split("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
        assert "'unsafe-inline'" not in policy.split("style-src")[0]
        assert "unsafe-eval" not in policy

    def test_names_no_other_origin(self):
        policy = server.content_security_policy("<script>a</script>")
        assert "http" not in policy
        assert "*" not in policy
        assert "frame-ancestors 'none'" in policy


class TestSecurityHeaders:
    async def test_are_on_every_answer(self, plain):
        answer = await ask(server.SecurityHeaders(plain), "/anything")
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "default-src 'self'" in answer.headers["content-security-policy"]


class TestOwnCookies:
    async def test_leave_under_our_names(self, plain):
        answer = await ask(server.OwnCookies(plain, secure=False))
        names = [value.split("=")[0] for value in answer.headers.get_list("set-cookie")]
        expected = ["email_sender_console_user", "email_sender_console_user_tokens_1"]
        assert names == [*expected, "_streamlit_xsrf"]
        assert "secure" not in answer.headers["set-cookie"].lower()

    async def test_return_under_streamlits_names_without_another_streamlits(self, plain):
        sent = "_streamlit_user=theirs; email_sender_console_user=ours; _streamlit_xsrf=x; a=b"
        answer = await ask(server.OwnCookies(plain, secure=False), cookie=sent)
        assert answer.text == "_streamlit_user=ours; _streamlit_xsrf=x; a=b"

    async def test_are_secure_behind_https(self, plain):
        answer = await ask(server.OwnCookies(plain, secure=True))
        ours = answer.headers.get_list("set-cookie")[:2]
        assert all("; Secure" in value for value in ours)


class TestOneHost:
    @pytest.fixture
    def app(self, plain):
        return server.OneHost(plain, public_url="http://localhost:8401")

    async def test_moves_a_page_load_from_another_loopback_name(self, app):
        answer = await ask(app, "/emails", base="http://127.0.0.1:8401", accept="text/html")
        assert answer.status_code == 307
        assert answer.headers["location"] == "http://localhost:8401/emails"

    async def test_keeps_the_parameters(self, app):
        where = "/emails?tenant=globex&id=a%20b"
        answer = await ask(app, where, base="http://127.0.0.1:8401", accept="text/html")
        assert answer.headers["location"] == f"http://localhost:8401{where}"

    async def test_leaves_health_checks_alone(self, app):
        answer = await ask(app, "/_stcore/health", base="http://127.0.0.1:8401")
        assert answer.status_code == 200

    async def test_leaves_the_public_name_and_foreign_names_alone(self, app):
        for base in ("http://localhost:8401", "http://evil.test:8401"):
            answer = await ask(app, "/", base=base, accept="text/html")
            assert answer.status_code == 200


class TestKeepsPlace:
    @pytest.fixture
    def app(self):
        async def provider(_: Request) -> RedirectResponse:
            return RedirectResponse("http://localhost:8400/oauth/authorize", 302)

        async def back(_: Request) -> RedirectResponse:
            return RedirectResponse("/", 302)

        routes = [Route("/auth/login", provider), Route("/auth/logout", provider)]
        return server.KeepsPlace(
            Starlette(routes=[*routes, Route("/oauth2callback", back)]),
            public_url="http://localhost:8401",
        )

    async def returned(self, app, came_from, way="/auth/login"):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost:8401"
        ) as browser:
            gone = await browser.get(way, headers={"Referer": came_from} if came_from else {})
            assert gone.headers["location"] == "http://localhost:8400/oauth/authorize"
            places = []
            for _ in range(2):
                answer = await browser.get("/oauth2callback?code=1")
                places.append(answer.headers["location"])
            return places

    @pytest.mark.parametrize("way", ["/auth/login", "/auth/logout"])
    async def test_comes_back_to_where_it_went_from_and_once(self, app, way):
        place = "/emails?tenant=globex&id=0198c1de-0000-7000-8000-000000000009"
        assert await self.returned(app, f"http://localhost:8401{place}", way) == [place, "/"]

    @pytest.mark.parametrize(
        "came_from",
        [
            "",
            "http://evil.test/emails",
            "http://localhost:8401.evil.test/emails",
            "http://localhost:8401//evil.test",
            "http://localhost:8401/\\evil.test",
            "http://localhost:8401/@evil.test",
            "http://localhost:8401/oauth2callback?code=1",
        ],
    )
    async def test_leads_to_no_other_place(self, app, came_from):
        assert await self.returned(app, came_from) == ["/", "/"]

    async def test_believes_no_cookie_that_leads_away(self, app):
        for place in ("//evil.test", "https:%2F%2Fevil.test", "%2F%2Fevil.test", "%2Fa%0D%0AB"):
            cookie = f"email_sender_console_place={place}"
            answer = await ask(app, "/oauth2callback", cookie=cookie)
            assert answer.headers["location"] == "/"

    async def test_hides_its_cookie_from_scripts(self, app):
        headers = {"referer": "http://localhost:8401/jobs?tenant=demo"}
        answer = await ask(app, "/auth/login", **headers)
        assert answer.headers["set-cookie"] == (
            "email_sender_console_place=%2Fjobs%3Ftenant%3Ddemo; "
            "Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"
        )
