"""The console as an ASGI application: Streamlit behind the headers and cookies it lacks.

Streamlit sends no Content-Security-Policy and lets any site frame it; it calls its cookies the
same on every port, so two Streamlit servers on one host log each other's people out; and it comes
back from every login to its root. All are put right here, outside of it, without touching its
internals.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dashboard import settings

_log = logging.getLogger("dashboard")
_INDEX: Final = Path(st.__file__).parent / "static" / "index.html"
# Streamlit's own names, and ours. The XSRF cookie is read by its script in the browser and so
# must keep its name; it protects nothing that outlives the page.
_COOKIES: Final = {
    "_streamlit_user": "email_sender_console_user",
    "_streamlit_session": "email_sender_console_login",
}


def content_security_policy(index_html: str) -> str:
    """Return the policy under which Streamlit's page works and nothing else does.

    The page's inline scripts are allowed by their hashes, so an injected one is not. Inline styles
    stay allowed: the front end writes its styles at run time. ``blob:`` scripts are how Streamlit
    loads the console's own components. No directive names another origin, so nothing that a
    message or a tenant's name might carry can call home.

    Args:
        index_html: The page as Streamlit serves it.
    """
    inline = re.findall(r"<script>(.*?)</script>", index_html, flags=re.DOTALL)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
        for code in inline
    )
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' blob: {hashes}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "frame-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class SecurityHeaders:
    """Adds the headers that make a browser refuse what the console never does."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``; the policy is computed once from the installed front end."""
        self._app = app
        policy = content_security_policy(_INDEX.read_text(encoding="utf-8"))
        self._headers: list[tuple[bytes, bytes]] = [
            (b"content-security-policy", policy.encode()),
            (b"x-frame-options", b"DENY"),
            (b"x-content-type-options", b"nosniff"),
            # To ourselves alone: KeepsPlace reads from where a login was asked for.
            (b"referrer-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and put the headers on every HTTP answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = {name for name, _ in self._headers}
                kept = [pair for pair in message["headers"] if pair[0].lower() not in ours]
                message["headers"] = [*kept, *self._headers]
            await send(message)

        await self._app(scope, receive, with_headers)


class OwnCookies:
    """Renames Streamlit's login cookies on the wire, and marks them Secure behind https.

    Browsers share cookies between the ports of a host. Under our own names a second Streamlit
    application on the same host neither reads this console's login nor overwrites it.
    """

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        """Wrap ``app``; ``secure`` says that people reach it by https."""
        self._app = app
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve with inbound names made Streamlit's and outbound names made ours."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        scope = {**scope, "headers": list(self._inbound(scope["headers"]))}

        async def renamed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, self._outbound(value))
                    if name.lower() == b"set-cookie"
                    else (name, value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await self._app(scope, receive, renamed)

    @staticmethod
    def _inbound(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
        for name, value in headers:
            if name.lower() != b"cookie":
                yield name, value
                continue
            kept = []
            for pair in value.decode("latin-1").split(";"):
                cookie, equals, content = pair.strip().partition("=")
                if any(cookie.startswith(theirs) for theirs in _COOKIES):
                    continue  # another Streamlit's, on another port of this host
                for theirs, ours in _COOKIES.items():
                    if cookie.startswith(ours):
                        cookie = theirs + cookie[len(ours) :]
                kept.append(f"{cookie}{equals}{content}")
            yield name, "; ".join(kept).encode("latin-1")

    def _outbound(self, value: bytes) -> bytes:
        text = value.decode("latin-1")
        for theirs, ours in _COOKIES.items():
            if text.startswith(theirs):
                text = ours + text[len(theirs) :]
                if self._secure and "; secure" not in text.lower():
                    text += "; Secure"
        return text.encode("latin-1")


class KeepsPlace:
    """Brings a browser that logs in or out back to the address where it did.

    Streamlit returns from the provider to its root, whatever page and tenant it was asked on.
    Where that was is said by the browser itself when it goes, and kept in a cookie until it is
    back.
    """

    _COOKIE: Final = "email_sender_console_place"
    _LEAVES: Final = frozenset({"/auth/login", "/auth/logout"})
    _RETURNS: Final = "/oauth2callback"
    _SECONDS: Final = 3600
    # One of the console's own pages, with parameters as a browser writes them: nothing that could
    # be read as another host, and not the way that leads here.
    _PLACE: Final = re.compile(r"/(?!oauth2callback)[A-Za-z0-9_-]*(\?[A-Za-z0-9_.~%=&+-]*)?")

    def __init__(self, app: ASGIApp, *, public_url: str) -> None:
        """Wrap ``app``, which people open at ``public_url``."""
        self._app = app
        self._root = public_url
        self._secure = public_url.startswith("https://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; on the way to the provider note the place, on the way back lead to it."""
        path = scope.get("path")
        if scope["type"] != "http" or (path not in self._LEAVES and path != self._RETURNS):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if path == self._RETURNS:
            place, seconds = unquote(request.cookies.get(self._COOKIE, "")), 0
        else:
            came_from = request.headers.get("referer", "")
            place, seconds = came_from.removeprefix(self._root), self._SECONDS
        if not self._PLACE.fullmatch(place):
            place, seconds = "/", 0

        async def placed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if path == self._RETURNS and headers.get("location") == "/":
                    headers["location"] = place
                headers.append("set-cookie", self._cookie(place, seconds))
            await send(message)

        await self._app(scope, receive, placed)

    def _cookie(self, place: str, seconds: int) -> str:
        ends = f"Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax"
        secure = "; Secure" if self._secure else ""
        return f"{self._COOKIE}={quote(place, safe='')}; {ends}{secure}"


class OneHost:
    """Sends a browser that came by another loopback name to the public address.

    The login returns to the public address. A login begun on 127.0.0.1 and ended on localhost
    would find none of its own cookies, so the difference is removed before the first one is set.
    """

    _LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})

    def __init__(self, app: ASGIApp, *, public_url: str) -> None:
        """Wrap ``app``, which people open at ``public_url``."""
        self._app = app
        self._public_url = public_url
        self._netloc = urlsplit(public_url).netloc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or redirect a page load."""
        if scope["type"] == "http" and self._strays(scope):
            query = scope["query_string"].decode("latin-1")
            place = scope["path"] + (f"?{query}" if query else "")
            response = RedirectResponse(self._public_url + place, status_code=307)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _strays(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if host == self._netloc or b"text/html" not in headers.get(b"accept", b""):
            return False
        ours, _, our_port = self._netloc.rpartition(":")
        name, _, port = host.rpartition(":")
        return port == our_port and ours in self._LOOPBACK and name in self._LOOPBACK


def on_script_error(error: Exception) -> bool:
    """Log a page's unexpected failure under a reference and show only the reference."""
    reference = secrets.token_hex(4)
    _log.error("page failed, reference %s", reference, exc_info=error)
    st.error(
        f"The console failed on this page. Reference: {reference}",
        title="Something went wrong",
        icon=":material/error:",
    )
    return True


def build(current: settings.Settings) -> st.App:
    """Assemble the application for the public address it is reached by."""
    return st.App(
        Path(__file__).with_name("app.py"),
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(OneHost, public_url=current.public_url),
            Middleware(KeepsPlace, public_url=current.public_url),
            Middleware(OwnCookies, secure=current.public_url.startswith("https://")),
        ],
        on_script_error=on_script_error,
    )
