"""The fake platform's two faces: under ``httpx``, and as a server with an OpenID provider.

The first is for tests of single pages, the second for tests in a browser. Run it alone to look at
the console without a backend:

    python -m tests.dashboard.fake_server --port 8400 --console-url http://localhost:8401
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import json
import secrets
from urllib.parse import parse_qsl, urlencode

import httpx
import uvicorn
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.dashboard.fake_api import CLIENT_ID, PASSWORD, Call, Json, Platform

# Longer than the console keeps an idle connection, as with the real API: a request on one that is
# being closed at that moment would be lost.
KEEP_ALIVE_SECONDS = 75


def transport(platform: Platform) -> httpx.MockTransport:
    """Mount the platform under an ``httpx`` client."""

    def answer(request: httpx.Request) -> httpx.Response:
        form = "x-www-form-urlencoded" in request.headers.get("content-type", "")
        raw = request.content
        body = dict(parse_qsl(raw.decode())) if form else (json.loads(raw) if raw else None)
        call = Call(
            request.method, request.url.path, dict(request.url.params), body, dict(request.headers)
        )
        status, content = platform.handle(call)
        headers = {"X-Request-Id": "req-from-the-fake"}
        if content is None:
            return httpx.Response(status, headers=headers)
        return httpx.Response(status, json=content, headers=headers)

    return httpx.MockTransport(answer)


_LOGIN = """<!doctype html>
<html lang="en"><head><title>Log in</title><link rel="icon" href="data:,"></head><body><main>
<h1>Log in</h1>{error}<form method="post">
<p><label>E-mail <input name="email" type="email"></label></p>
<p><label>Password <input name="password" type="password"></label></p>
<button>Log in</button></form></main></body></html>"""


def create_app(platform: Platform, issuer: str, console_url: str) -> Starlette:
    """Serve the platform, and a login that knows one client: the console."""
    codes: dict[str, Json] = {}
    redirect_uri = f"{console_url}/oauth2callback"

    async def api(request: Request) -> Response:
        raw = await request.body()
        body = json.loads(raw) if raw else None
        call = Call(
            request.method,
            request.url.path,
            dict(request.query_params),
            body,
            dict(request.headers),
        )
        status, content = platform.handle(call)
        held = platform.held.get((call.method, call.path))
        if held:
            await run_in_threadpool(held.wait, 60)
        headers = {"X-Request-Id": "req-from-the-fake"}
        return (
            Response(status_code=status, headers=headers)
            if content is None
            else JSONResponse(content, status, headers)
        )

    async def authorize(request: Request) -> Response:
        query = request.query_params
        good = (
            query.get("client_id") == CLIENT_ID
            and query.get("redirect_uri") == redirect_uri
            and query.get("code_challenge_method") == "S256"
        )
        if not good:
            return HTMLResponse("<h1>This client is not known.</h1>", 400)
        if request.method == "GET":
            return HTMLResponse(_LOGIN.format(error=""))
        form = await request.form()
        person = next((p for p in platform.people if p.email == form.get("email")), None)
        if person is None or form.get("password") != PASSWORD:
            return HTMLResponse(_LOGIN.format(error="<p>E-mail or password is wrong.</p>"), 401)
        code = secrets.token_urlsafe(16)
        codes[code] = {
            "person": person,
            "challenge": query["code_challenge"],
            "nonce": query.get("nonce"),
        }
        answer = urlencode({"code": code, "state": query.get("state", "")})
        return RedirectResponse(f"{redirect_uri}?{answer}", 302)

    async def token(request: Request) -> Response:
        form = dict(await request.form())
        if form.get("grant_type") != "authorization_code":
            call = Call("POST", "/oauth/token", {}, form, dict(request.headers))
            status, content = platform.handle(call)
            return JSONResponse(content, status)
        known = codes.pop(str(form.get("code")), None)
        verifier = hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if known is None or known["challenge"] != challenge:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(
            {
                "access_token": secrets.token_urlsafe(24),
                "token_type": "Bearer",
                "expires_in": 600,
                "id_token": platform.id_token(known["person"], issuer, known["nonce"]),
            }
        )

    async def logout(request: Request) -> Response:
        return RedirectResponse(html.escape(request.query_params["post_logout_redirect_uri"]), 302)

    async def metadata(_: Request) -> Response:
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/oauth/authorize",
                "token_endpoint": f"{issuer}/oauth/token",
                "jwks_uri": f"{issuer}/oauth/jwks",
                "end_session_endpoint": f"{issuer}/oauth/logout",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    async def jwks(_: Request) -> Response:
        return JSONResponse(KeySet([platform.key]).as_dict(private=False))

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/.well-known/openid-configuration", metadata),
            Route("/oauth/jwks", jwks),
            Route("/oauth/authorize", authorize, methods=["GET", "POST"]),
            Route("/oauth/token", token, methods=["POST"]),
            Route("/oauth/logout", logout),
            Route("/sink/{rest:path}", api),
            Route("/api/v1/{rest:path}", api, methods=["GET", "POST", "PUT", "DELETE"]),
        ]
    )


def main() -> None:
    """Serve the fake on a loopback port."""
    parser = argparse.ArgumentParser(description="Serve the fake platform.")
    parser.add_argument("--port", type=int, default=8400)
    parser.add_argument("--console-url", default="http://localhost:8401")
    parser.add_argument("--empty", action="store_true", help="start without e-mails and jobs")
    options = parser.parse_args()
    app = create_app(
        Platform(empty=options.empty), f"http://localhost:{options.port}", options.console_url
    )
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


if __name__ == "__main__":
    main()
