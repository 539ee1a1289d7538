"""What the pages' forms and cookies share: reading one, knowing it for our own, who sent it."""

import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from backend.managers.identity._agents import short_agent
from backend.managers.identity._logins import Peer
from backend.managers.identity.settings import IdentitySettings

SESSION_COOKIE: Final = "email_sender_session"
DEVICE_COOKIE: Final = "email_sender_device"
FORM_COOKIE: Final = "email_sender_form"
COOKIE_PATH: Final = "/oauth"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_MAX_FIELDS: Final = 50

Pairs = list[tuple[str, str]]


async def read_form(request: Request) -> Pairs | None:
    """The fields of a urlencoded body; None when it is something else, or holds a NUL.

    The body's size is the pipeline's business. The multipart parser is never asked: no field of
    ours is a file.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        return None
    try:
        text = (await request.body()).decode()
        pairs = parse_qsl(
            text,
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        return None
    return None if any("\x00" in value for _, value in pairs) else pairs


def peer_of(request: Request) -> Peer:
    """Where a request comes from, as the pipeline saw it."""
    client = request.client
    address = request.scope.get("address") or (client.host if client else "")
    return Peer(
        str(address),
        str(request.scope.get("request_id", "")),
        short_agent(request.headers.get("user-agent", "")),
    )


def form_token(request: Request) -> tuple[str, str]:
    """The cookie that ties a form to this browser, and the value the form carries."""
    cookie = request.cookies.get(FORM_COOKIE, "")
    if len(cookie) != 43:
        cookie = secrets.token_urlsafe(32)
    return cookie, _token_of(cookie)


def _token_of(cookie: str) -> str:
    # Derived, not equal: a page that leaks its form does not leak the cookie.
    return hashlib.sha256(f"form:{cookie}".encode()).hexdigest()


def is_own_form(request: Request, form: dict[str, str]) -> bool:
    """Whether this browser got the form from us and sent it from our own page."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return False
    cookie = request.cookies.get(FORM_COOKIE, "")
    given = form.get("csrf", "")
    return bool(cookie) and hmac.compare_digest(_token_of(cookie).encode(), given.encode())


def set_cookie(
    answer: Response, settings: IdentitySettings, name: str, value: str, seconds: int | None
) -> None:
    """Give the browser a cookie of these pages, which no script and no other site's form has."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=COOKIE_PATH,
        secure=settings.secure,
        httponly=True,
        samesite="lax",
    )
