"""The console's only door to the platform: a typed client of the public HTTP API.

Two classes, because two things have two lifetimes. ``Gate`` is one per process and owns the
connection pool; it can exchange a login for an access token. ``Api`` is one per session and speaks
with that session's token. Everything that can go wrong leaves as one exception, ``ApiProblem``,
that carries what a person needs in order to report it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

import httpx
import msgspec

from dashboard.schemas import (
    ApiKey,
    AuditRecord,
    AuditVerdict,
    Client,
    Email,
    EmailContent,
    EmailDetail,
    Grant,
    Job,
    Me,
    Member,
    Overview,
    Page,
    Role,
    SinkCopies,
    SinkCopy,
    Tenant,
)
from dashboard.settings import Settings

_T = TypeVar("_T")

GRANT_TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
TOKEN_TYPE_ID: Final = "urn:ietf:params:oauth:token-type:id_token"
PAGE_LIMIT: Final = 50
EXPORT_LIMIT: Final = 200
_UNAUTHORIZED: Final = 401


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
    ) -> None:
        """Carry the problem's members."""
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.code = code
        self.status = status
        self.request_id = request_id
        self.errors = errors


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

    def exchange(self, id_token: str, tenant: str | None = None) -> Grant:
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
        return decode(response, Grant)


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


class Api:
    """The API as one session may use it. Every method may raise ``ApiProblem``."""

    def __init__(self, settings: Settings, http: httpx.Client, tokens: TokenSource) -> None:
        """Call ``settings.api_url`` with whatever token ``tokens`` holds."""
        self._settings = settings
        self._http = http
        self._tokens = tokens

    def me(self) -> Me:
        """Return who this session is."""
        return self._get("/api/v1/me", Me)

    def overview(self, minutes: int) -> Overview:
        """Return the figures of the last ``minutes``."""
        return self._get("/api/v1/overview", Overview, minutes=minutes)

    def list_emails(
        self,
        *,
        state: str | None = None,
        recipient: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE_LIMIT,
    ) -> Page[Email]:
        """Return a page of messages, newest first."""
        return self._get(
            "/api/v1/emails",
            Page[Email],
            state=state,
            recipient=recipient,
            cursor=cursor,
            limit=limit,
        )

    def get_email(self, email_id: str) -> EmailDetail:
        """Return one message with its recipients and timeline."""
        return self._get(f"/api/v1/emails/{_segment(email_id)}", EmailDetail)

    def get_email_content(self, email_id: str) -> EmailContent:
        """Return what the message says."""
        return self._get(f"/api/v1/emails/{_segment(email_id)}/content", EmailContent)

    def get_sink_copies(self, email_id: str) -> list[SinkCopy]:
        """Return what the mail sink received; a platform without one answers 404."""
        return self._get(f"/sink/emails/{_segment(email_id)}", SinkCopies).copies

    def list_jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE_LIMIT,
    ) -> Page[Job]:
        """Return a page of jobs, newest first."""
        return self._get(
            "/api/v1/jobs", Page[Job], state=state, kind=kind, cursor=cursor, limit=limit
        )

    def get_job(self, job_id: str) -> Job:
        """Return one job."""
        return self._get(f"/api/v1/jobs/{_segment(job_id)}", Job)

    def cancel_job(self, job_id: str) -> Job:
        """Cancel a job; refused with ``orchestrator.job_not_cancellable`` once it has ended."""
        return self._post(f"/api/v1/jobs/{_segment(job_id)}/cancel", Job)

    def retry_job(self, job_id: str) -> Job:
        """Make a job that gave up ready again."""
        return self._post(f"/api/v1/jobs/{_segment(job_id)}/retry", Job)

    def list_audit(
        self,
        *,
        platform: bool = False,
        action: str | None = None,
        actor: str | None = None,
        target: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE_LIMIT,
    ) -> Page[AuditRecord]:
        """Return a page of the audit trail, newest first.

        Args:
            platform: The platform's own instead of the tenant's; its administrators only.
            action: Exact, or a prefix with ``*``; so are ``actor`` and ``target``.
            actor: Who did it.
            target: What it was done to.
            cursor: Where the page before ended.
            limit: How many records at most.
        """
        return self._get(
            _trail(platform=platform),
            Page[AuditRecord],
            action=action,
            actor=actor,
            target=target,
            cursor=cursor,
            limit=limit,
        )

    def verify_audit(self, *, platform: bool = False) -> AuditVerdict:
        """Have the tenant's whole chain recomputed, or the platform's own."""
        return self._post(f"{_trail(platform=platform)}/verify", AuditVerdict)

    def list_tenants(self, *, cursor: str | None = None, limit: int = PAGE_LIMIT) -> Page[Tenant]:
        """Return a page of all tenants; platform administrators only."""
        return self._get("/api/v1/platform/tenants", Page[Tenant], cursor=cursor, limit=limit)

    def create_tenant(self, *, slug: str, name: str, owner_email: str | None = None) -> Tenant:
        """Create a tenant; ``tenant.slug_taken`` when the slug is in use."""
        body = {"slug": slug, "name": name}
        if owner_email:
            body["owner_email"] = owner_email
        return self._post("/api/v1/platform/tenants", Tenant, body)

    def list_roles(self) -> list[Role]:
        """Return the roles a member or a client can have."""
        return self._get("/api/v1/roles", Page[Role]).items

    def list_members(self, *, cursor: str | None = None, limit: int = PAGE_LIMIT) -> Page[Member]:
        """Return a page of the tenant's people, newest first."""
        return self._get("/api/v1/members", Page[Member], cursor=cursor, limit=limit)

    def add_member(self, *, email: str, name: str, role: str, password: str | None) -> Member:
        """Add a person to the tenant."""
        body = {"email": email, "name": name, "role": role}
        if password:
            body["password"] = password
        return self._post("/api/v1/members", Member, body)

    def change_member_role(self, user_id: str, role: str) -> Member:
        """Give a member another role; it holds from their next access token on."""
        response = self._call("PUT", f"/api/v1/members/{_segment(user_id)}", json={"role": role})
        return decode(response, Member)

    def remove_member(self, user_id: str) -> None:
        """Take a person out of the tenant."""
        self._call("DELETE", f"/api/v1/members/{_segment(user_id)}")

    def list_clients(self, *, cursor: str | None = None, limit: int = PAGE_LIMIT) -> Page[Client]:
        """Return a page of the tenant's API clients, newest first."""
        return self._get("/api/v1/clients", Page[Client], cursor=cursor, limit=limit)

    def create_client(self, *, name: str, role: str) -> Client:
        """Create an API client; the answer alone carries its secret."""
        return self._post("/api/v1/clients", Client, {"name": name, "role": role})

    def rotate_client(self, client_row_id: str) -> Client:
        """Replace a client's secret; the answer alone carries the new one."""
        return self._post(f"/api/v1/clients/{_segment(client_row_id)}/rotate", Client)

    def delete_client(self, client_row_id: str) -> None:
        """Delete an API client; its tokens stop working."""
        self._call("DELETE", f"/api/v1/clients/{_segment(client_row_id)}")

    def list_api_keys(self, *, cursor: str | None = None, limit: int = PAGE_LIMIT) -> Page[ApiKey]:
        """Return a page of the tenant's API keys, newest first."""
        return self._get("/api/v1/api-keys", Page[ApiKey], cursor=cursor, limit=limit)

    def create_api_key(self, *, name: str, role: str, expires_at: datetime | None) -> ApiKey:
        """Create an API key; the answer alone carries the key. Without ``expires_at`` it lasts."""
        body = {"name": name, "role": role}
        if expires_at:
            body["expires_at"] = expires_at.isoformat()
        return self._post("/api/v1/api-keys", ApiKey, body)

    def revoke_api_key(self, key_id: str) -> None:
        """Revoke an API key; it stops working at once."""
        self._call("DELETE", f"/api/v1/api-keys/{_segment(key_id)}")

    def _get(self, path: str, shape: type[_T], **query: str | int | None) -> _T:
        params = {name: value for name, value in query.items() if value not in (None, "")}
        return decode(self._call("GET", path, params=params), shape)

    def _post(self, path: str, shape: type[_T], body: Mapping[str, Any] | None = None) -> _T:
        # A key per call, not per click: Streamlit runs a click once, and what is to be guarded
        # against is the second try after a lost connection.
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        if body is None:
            return decode(self._call("POST", path, headers=headers), shape)
        return decode(self._call("POST", path, headers=headers, json=body), shape)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        url = self._settings.api_url + path
        headers["Authorization"] = f"Bearer {self._tokens.bearer()}"
        try:
            return send(self._http, method, url, headers=headers, **options)
        except ApiProblem as problem:
            if problem.status != _UNAUTHORIZED:
                raise
        # The token died before its time (a role changed, a key was rotated). One fresh token,
        # one more try; a second 401 is the answer.
        headers["Authorization"] = f"Bearer {self._tokens.bearer(renew=True)}"
        return send(self._http, method, url, headers=headers, **options)


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
        return msgspec.json.decode(response.content, type=shape)
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
    )


def _trail(*, platform: bool) -> str:
    return "/api/v1/platform/audit" if platform else "/api/v1/audit"


def _segment(value: str) -> str:
    """Keep an id from the address bar inside its own path segment."""
    try:
        return str(uuid.UUID(value))
    except ValueError as error:
        raise ApiProblem(
            "There is nothing at this address.",
            detail="The id in the address is not one of ours.",
            code="not_found",
            status=404,
        ) from error
