"""The wire under the generated client: connections, tokens, and what goes wrong.

Two classes, because two things have two lifetimes. ``Gate`` is one per process and owns the
connection pool; it can exchange a login for an access token. ``Connection`` is one per session and
speaks with that session's token. Everything that can go wrong leaves as one exception,
``ApiProblem``, that carries what a person needs in order to report it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from dashboard.client import models, shapes
from dashboard.settings import Settings

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

GRANT_TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
TOKEN_TYPE_ID: Final = "urn:ietf:params:oauth:token-type:id_token"
PAGE_LIMIT: Final = 50
EXPORT_LIMIT: Final = 200
_UNAUTHORIZED: Final = 401
# A fresh token of the same log-in would be refused as well: the person has to log in again.
_LOG_IN_TOO_OLD: Final = "log_in_too_old"

Value = str | int | float | bool | datetime | None


# --- what is said ---------------------------------------------------------------------------


class Page(Protocol[_T_co]):
    """A part of a list, and the cursor of the next part or None at the end."""

    @property
    def items(self) -> Sequence[_T_co]:
        """The things, in the list's order."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next part begins."""


@dataclass(frozen=True, slots=True)
class Tagged(Generic[_T]):
    """A value and its ETag, to give back as ``if_match`` when changing it."""

    value: _T
    etag: str


@dataclass(frozen=True, slots=True)
class Download:
    """A file: its bytes, its media type, and the name that the platform gave it."""

    content: bytes
    media_type: str
    filename: str


# --- what goes wrong ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProblem:
    """One refused field: where it is (a JSON pointer) and why it was refused."""

    pointer: str = ""
    detail: str = ""


class ApiProblem(Exception):  # noqa: N818 - it is named after what it carries: a problem document
    """The platform refused or could not answer.

    Attributes:
        title: One line for a person.
        detail: More of it, or an empty string.
        code: The stable code, such as ``forbidden``; ``console.*`` codes are the console's own.
        status: The HTTP status, 0 when no answer came at all.
        request_id: Names the request in the platform's logs; empty when no answer came.
        errors: The refused fields of a 422.
        retry_seconds: After how long the same may be asked again; None when nothing was said.
    """

    def __init__(
        self,
        title: str,
        *,
        detail: str = "",
        code: str = "internal",
        status: int = 0,
        request_id: str = "",
        errors: tuple[FieldProblem, ...] = (),
        retry_seconds: int | None = None,
    ) -> None:
        """Carry the problem's members."""
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.code = code
        self.status = status
        self.request_id = request_id
        self.errors = errors
        self.retry_seconds = retry_seconds


# --- the process's half ---------------------------------------------------------------------


class Gate:
    """One connection pool to the platform, shared by every session of the process.

    ``httpx.Client`` is safe to share between threads, and building one costs tens of
    milliseconds, so a session must never make its own.
    """

    def __init__(self, settings: Settings, http: httpx.Client) -> None:
        """Speak to ``settings.api_url`` through ``http``."""
        self._settings = settings
        self.http = http

    def exchange(self, id_token: str, tenant: str | None = None) -> models.TokenResponse:
        """Trade the login's id token for an access token (RFC 8693).

        Args:
            id_token: As the provider issued it to this console.
            tenant: The tenant the token shall be bound to; None means the person's first.

        Raises:
            ApiProblem: ``code`` is the OAuth error, such as ``invalid_grant`` for a login that
                no longer holds.
        """
        form = {
            "grant_type": GRANT_TOKEN_EXCHANGE,
            "subject_token": id_token,
            "subject_token_type": TOKEN_TYPE_ID,
        }
        if tenant:
            form["tenant"] = tenant
        response = send(
            self.http,
            "POST",
            self._settings.token_url,
            data=form,
            auth=(self._settings.client_id, self._settings.client_secret),
        )
        return decode(response, models.TokenResponse)


def open_gate(settings: Settings) -> Gate:
    """Open the pool; call once per process.

    Redirects are not followed: the API never sends one, so one would be somebody else's answer,
    and the bearer token must not travel there. Proxies from the environment are ignored for the
    same reason.
    """
    http = httpx.Client(
        timeout=httpx.Timeout(settings.timeout_seconds, connect=min(3.0, settings.timeout_seconds)),
        headers={"User-Agent": "email-sender-console", "Accept": "application/json"},
        follow_redirects=False,
        trust_env=False,
        # The transport's own: beside one that is given, the client's limits mean nothing.
        transport=httpx.HTTPTransport(
            retries=1,
            trust_env=False,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
        ),
    )
    return Gate(settings, http)


# --- the session's half ---------------------------------------------------------------------


class TokenSource(Protocol):
    """Hands out the session's access token."""

    def bearer(self, *, renew: bool = False) -> str:
        """Return a token that is still good; with ``renew``, one fresher than the last."""


class Connection:
    """What the generated methods speak through. Every call may raise ``ApiProblem``."""

    def __init__(self, settings: Settings, http: httpx.Client, tokens: TokenSource) -> None:
        """Call ``settings.api_url`` with whatever token ``tokens`` holds."""
        self._settings = settings
        self._http = http
        self._tokens = tokens

    def ask(self, method: str, path: str, shape: type[_T], **options: Any) -> _T:
        """Return the answer as ``shape``; ``options`` are those of ``tell``."""
        return decode(self._call(method, path, **options), shape)

    def ask_tagged(self, method: str, path: str, shape: type[_T], **options: Any) -> Tagged[_T]:
        """Return the answer as ``shape`` with the ETag of what it shows."""
        response = self._call(method, path, **options)
        return Tagged(decode(response, shape), response.headers.get("ETag", ""))

    def download(self, method: str, path: str, **options: Any) -> Download:
        """Return an answer that is no JSON, whole."""
        response = self._call(method, path, **options)
        found = re.search(r'filename="?([^";]+)', response.headers.get("Content-Disposition", ""))
        return Download(
            response.content,
            response.headers.get("Content-Type", "").partition(";")[0],
            found[1] if found else "",
        )

    def tell(self, method: str, path: str, **options: Any) -> None:
        """Send a request whose answer says nothing but that it was done.

        Args:
            method: In capitals.
            path: From ``/`` on, its parts quoted by ``segment`` or ``uuid_segment``.
            **options: ``query`` and ``headers`` by name, None left out; ``body``, written as JSON;
                or ``content`` as it is, with its ``media_type``; ``answer_seconds`` for what
                takes the platform longer than other calls.
        """
        self._call(method, path, **options)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Value | Sequence[Value]] | None = None,
        headers: Mapping[str, str | None] | None = None,
        body: msgspec.Struct | None = None,
        content: bytes | None = None,
        media_type: str = "application/json",
        answer_seconds: float | None = None,
    ) -> httpx.Response:
        sent = {name: value for name, value in (headers or {}).items() if value is not None}
        if body is not None:
            content = msgspec.json.encode(body)
        if content is not None:
            sent["Content-Type"] = media_type
        url = self._settings.api_url + path
        params = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        sent["Authorization"] = f"Bearer {self._tokens.bearer()}"
        more: dict[str, Any] = {}
        if answer_seconds is not None:
            usual = self._http.timeout
            more["timeout"] = httpx.Timeout(
                answer_seconds + (usual.read or 0), connect=usual.connect
            )
        try:
            return send(
                self._http, method, url, params=params, headers=sent, content=content, **more
            )
        except ApiProblem as problem:
            if problem.status != _UNAUTHORIZED or problem.code == _LOG_IN_TOO_OLD:
                raise
        # The token died before its time (a role changed, a key was rotated). One fresh token,
        # one more try; a second 401 is the answer.
        sent["Authorization"] = f"Bearer {self._tokens.bearer(renew=True)}"
        return send(self._http, method, url, params=params, headers=sent, content=content, **more)


def walk(fetch: Callable[[str | None], Page[_T]]) -> Iterator[Page[_T]]:
    """Yield every page of a list, starting at its first; ``fetch`` takes the cursor."""
    cursor: str | None = None
    while True:
        page = fetch(cursor)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


# --- the wire -------------------------------------------------------------------------------

_LOST: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
# Inside a segment none of these may stand even when quoted: some servers and proxies decode a path
# before they look where it leads.
_ELSEWHERE: Final = re.compile(r"[/\\?#%\x00-\x20\x7f]|\A\.{0,2}\Z")


def fresh_key() -> str:
    """Return an idempotency key for one call.

    Not for one click: Streamlit runs a click once, and what is to be guarded against is the second
    try after a lost connection.
    """
    return uuid.uuid4().hex


def segment(value: str) -> str:
    """Keep a name from the address bar inside its own path segment.

    Raises:
        ApiProblem: It would lead elsewhere; nothing was sent.
    """
    if _ELSEWHERE.search(value):
        raise _no_such_address()
    return quote(value, safe="")


def uuid_segment(value: str) -> str:
    """Return an id as the API writes it.

    Raises:
        ApiProblem: It is no id; nothing was sent.
    """
    try:
        return str(uuid.UUID(value))
    except ValueError as error:
        raise _no_such_address() from error


def send(http: httpx.Client, method: str, url: str, **options: Any) -> httpx.Response:
    """Send one request and return a 2xx answer.

    Raises:
        ApiProblem: Any other answer, or none.
    """
    try:
        try:
            response = http.request(method, url, **options)
        except _LOST:
            # A kept connection that the other side gives up just as it is used again ends so, and
            # nothing tells whether the request was read. It may be sent twice (RFC 9110, 9.2.2):
            # each POST to the API carries an idempotency key, an exchange gives another token.
            response = http.request(method, url, **options)
    except httpx.TimeoutException as error:
        raise ApiProblem(
            "The platform did not answer in time.",
            detail="It may be busy. Try again in a moment.",
            code="console.timeout",
        ) from error
    except httpx.HTTPError as error:
        raise ApiProblem(
            "The platform cannot be reached.",
            detail="The console is up, but its API is not answering.",
            code="console.unreachable",
        ) from error
    if response.is_success:
        return response
    raise _problem(response)


def decode(response: httpx.Response, shape: type[_T]) -> _T:
    """Read a JSON answer as ``shape``.

    Raises:
        ApiProblem: ``console.unreadable`` when the answer has another form than agreed.
    """
    try:
        return shapes.decode(response.content, shape)
    except msgspec.MsgspecError as error:
        raise ApiProblem(
            "The platform answered in a form this console does not know.",
            detail=str(error),
            code="console.unreadable",
            status=response.status_code,
            request_id=response.headers.get("X-Request-Id", ""),
        ) from error


def _problem(response: httpx.Response) -> ApiProblem:
    request_id = response.headers.get("X-Request-Id", "")
    try:
        body = msgspec.json.decode(response.content)
    except msgspec.MsgspecError:
        body = None
    if not isinstance(body, dict):
        return ApiProblem(
            f"The platform answered {response.status_code} without an explanation.",
            code="console.unexplained",
            status=response.status_code,
            request_id=request_id,
        )
    if "error" in body and "title" not in body:  # RFC 6749, from the OAuth endpoints
        return ApiProblem(
            "The login was not accepted by the platform.",
            detail=str(body.get("error_description") or ""),
            code=str(body["error"]),
            status=response.status_code,
            request_id=request_id,
        )
    wait = response.headers.get("Retry-After", "")
    raw = body.get("errors")
    errors = tuple(
        FieldProblem(pointer=str(item.get("pointer", "")), detail=str(item.get("detail", "")))
        for item in (raw if isinstance(raw, list) else [])
        if isinstance(item, dict)
    )
    return ApiProblem(
        str(body.get("title") or f"The platform answered {response.status_code}."),
        detail=str(body.get("detail") or ""),
        code=str(body.get("code") or "internal"),
        status=response.status_code,
        request_id=str(body.get("request_id") or request_id),
        errors=errors,
        retry_seconds=int(wait) if wait.isascii() and wait.isdigit() else None,
    )


def _text(value: Value | Sequence[Value]) -> Any:
    """Write a query parameter as the API reads it; httpx knows all types but times."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def _no_such_address() -> ApiProblem:
    return ApiProblem(
        "There is nothing at this address.",
        detail="The id in the address is not one of ours.",
        code="not_found",
        status=404,
    )
