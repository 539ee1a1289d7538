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
from starlette.responses import PlainTextResponse
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
        assert answer.headers["referrer-policy"] == "no-referrer"
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

    async def test_leaves_health_checks_alone(self, app):
        answer = await ask(app, "/_stcore/health", base="http://127.0.0.1:8401")
        assert answer.status_code == 200

    async def test_leaves_the_public_name_and_foreign_names_alone(self, app):
        for base in ("http://localhost:8401", "http://evil.test:8401"):
            answer = await ask(app, "/", base=base, accept="text/html")
            assert answer.status_code == 200
