"""The way of every request, on both planes, as one straight function.

Order: request id and trace, body limit, coarse limit (before any database work), authentication,
quota by tenant and client, the body if it is large, idempotent replay, then the router. Whatever
fails on the way becomes problem details. One flat callable instead of eight nested middlewares:
each nesting costs a frame and a wrapped ``send`` on every request, and the order is easier to read
when it is the code.
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.core.clock import epoch_nanoseconds, perf_counter
from backend.core.context import Principal
from backend.core.errors import (
    AppError,
    InvalidInputError,
    RateLimitedError,
    TooLargeError,
    UnauthenticatedError,
)
from backend.core.ids import uuid7
from backend.core.telemetry import (
    RequestRecord,
    Telemetry,
    new_span_id,
    new_trace_id,
    parse_traceparent,
)
from backend.http.problem import bug_response, error_response
from backend.http.reply import Idempotency, IdempotencyRaceError, Remember
from backend.http.routing import Templates

logger = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,100}\Z")
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}\Z")
_UNTOUCHED: Final = frozenset({"/livez", "/readyz", "/metrics"})
_API: Final = "/api/"
# A form of OAuth is a token and some names.
_STRANGER_BYTES: Final = 65_536
# Each becomes an object of some hundred bytes: thirty megabytes of "{}," would become a gigabyte.
_MAX_VALUES: Final = 500_000
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class BodyTooLargeError(TooLargeError):
    """The body is over the limit of this route."""

    code, title = "too_large", "The request is too large"


class IdempotencyKeyInvalidError(AppError):
    """The Idempotency-Key header is empty, too long, or not printable ASCII."""

    status, code, title = 400, "invalid_idempotency_key", "The Idempotency-Key is not valid"


class Verdict(Protocol):
    """What a limiter says: allowed or not, and the numbers for the RateLimit headers."""

    @property
    def allowed(self) -> bool:
        """Whether the request may go on."""

    @property
    def name(self) -> str:
        """The level that is nearest to its limit."""

    @property
    def remaining(self) -> int:
        """Requests left at that level right now."""

    @property
    def reset_seconds(self) -> int:
        """Seconds until that level is whole again."""

    @property
    def retry_after(self) -> float:
        """Seconds after which one request would be allowed; 0 when allowed."""

    @property
    def policy(self) -> bytes:
        """The RateLimit-Policy header, made once."""


class StoredReply(Protocol):
    """The first answer to an idempotency key."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that belong to the answer itself."""

    @property
    def body(self) -> bytes:
        """The body, or nothing."""


class Gate(Protocol):
    """What the pipeline asks of the gateway manager; ``app`` passes the manager in."""

    def coarse_limit(self, key: str) -> Verdict:
        """Charge an unknown caller's address."""

    def quota(self, principal: Principal, route: str) -> Verdict:
        """Charge a known caller."""

    def cached_principal(self, credential: str) -> Principal | None:
        """Who a recently verified credential is, without I/O."""

    async def authenticate(self, credential: str) -> Principal:
        """Who a credential is; raises UnauthenticatedError."""

    async def replay(
        self, principal: Principal, key: str, fingerprint: bytes
    ) -> StoredReply | None:
        """The first answer to this key, if there is one."""

    def rememberer(self, principal: Principal, key: str, fingerprint: bytes) -> Remember:
        """What stores the answer within the transaction of the act."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bytes a request body may have: a default, and larger ones by path prefix."""

    default: int
    by_prefix: tuple[tuple[str, int], ...] = ()

    def of(self, path: str) -> int:
        """The limit that holds for ``path``."""
        for prefix, limit in self.by_prefix:
            if path.startswith(prefix):
                return limit
        return self.default


class Pipeline:
    """Pure ASGI: the checks, then ``data_plane`` for its exact paths, else ``control_plane``.

    The control plane has all its routes by now: their templates are read here, once.
    """

    def __init__(
        self,
        control_plane: FastAPI,
        data_plane: Mapping[str, ASGIApp],
        *,
        gate: Gate,
        telemetry: Telemetry,
        limits: BodyLimits,
        trusted_proxies: frozenset[str] = frozenset(),
    ) -> None:
        self.control_plane = control_plane
        self._control: ASGIApp = control_plane
        self._data = dict(data_plane)
        self._templates = Templates(control_plane.routes, self._data.keys())
        self._gate = gate
        self._telemetry = telemetry
        self._limits = limits
        self._proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; lifespan and other protocols pass straight through."""
        if scope["type"] != "http":
            await self._control(scope, receive, send)
            return
        started_ns, started = epoch_nanoseconds(), perf_counter()
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, value)
            if name == b"x-forwarded-for":
                # The last line is the proxy's own; earlier ones came with the request.
                headers[name] = value
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.match(given) else uuid7()
        trace = parse_traceparent(headers.get(b"traceparent", b"").decode("latin-1"))
        trace_id, parent_id, forced = trace or (new_trace_id(), "", False)
        span_id = new_span_id()
        scope["request_id"] = request_id
        scope["traceparent"] = f"00-{trace_id}-{span_id}-{'01' if forced else '00'}"
        client = scope.get("client")
        address = client[0] if client else ""
        if address in self._proxies:
            forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
            address = forwarded.rpartition(",")[2].strip() or address
        scope["address"] = address
        added: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())]
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        path: str = scope["path"]
        try:
            if path in _UNTOUCHED:
                await self._control(scope, receive, send_marked)
            else:
                await self._serve(scope, headers, receive, send_marked, added=added)
        except AppError as exc:
            scope["problem"] = exc.code
            await error_response(exc, path, request_id)(scope, receive, send_marked)
        except Exception:
            logger.exception("request_failed", extra={"request_id": request_id})
            scope["problem"] = "internal"
            if not status:
                await bug_response(path, request_id)(scope, receive, send_marked)
        finally:
            principal: Principal | None = scope.get("principal")
            self._telemetry.append(
                RequestRecord(
                    started_ns,
                    # How long a stream was open is no time that anybody waited for it.
                    scope.get("streaming_since", perf_counter()) - started,
                    scope["method"],
                    self._route_of(scope),
                    path,
                    status or 499,
                    principal.tenant_id if principal else "",
                    principal.subject if principal else "",
                    address,
                    request_id,
                    trace_id,
                    span_id,
                    parent_id,
                    forced,
                    scope.get("problem", ""),
                )
            )

    async def _serve(
        self,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        send: Send,
        *,
        added: list[tuple[bytes, bytes]],
    ) -> None:
        path: str = scope["path"]
        if "\x00" in path or b"%00" in scope["query_string"]:
            # As in a body (see Input): no text of ours holds it, and PostgreSQL cannot compare it.
            raise InvalidInputError("An address may not contain the character U+0000")
        limit = self._limits.of(path)
        length = headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > limit):
            raise _too_large(limit)
        principal = await self._admit(scope, credential_of(headers), added)
        if principal is None:
            if path.startswith(_API):
                # Here and not in the routes: the framework reads and parses a body before it asks
                # who sent it, and a megabyte of JSON may become thirty of objects.
                raise UnauthenticatedError(headers={"WWW-Authenticate": "Bearer"})
            limit = min(limit, _STRANGER_BYTES)
        receive = await self._bounded(headers, receive, limit)
        if principal is not None and scope["method"] == "POST" and b"idempotency-key" in headers:
            await self._serve_once(scope, headers[b"idempotency-key"], receive, send)
            return
        await self._data.get(path, self._control)(scope, receive, send)

    async def _admit(
        self, scope: Scope, credential: str | None, added: list[tuple[bytes, bytes]]
    ) -> Principal | None:
        """Who asks, once the limits allow the question; None for who shows no credential."""
        gate = self._gate
        principal: Principal | None = None
        if credential is not None:
            principal = gate.cached_principal(credential)
        if principal is None:
            # Only what is not yet known pays the coarse limit: it protects the database from
            # floods of unknown callers, and known callers have their own quota below.
            verdict = gate.coarse_limit(scope["address"])
            if not verdict.allowed:
                raise _limited(verdict, added)
            if credential is None:
                return None
            principal = await gate.authenticate(credential)
        scope["principal"] = principal
        verdict = gate.quota(principal, scope["path"])
        added.append((b"ratelimit-policy", verdict.policy))
        added.append(
            (
                b"ratelimit",
                b'"%s";r=%d;t=%d'
                % (verdict.name.encode(), verdict.remaining, verdict.reset_seconds),
            )
        )
        if not verdict.allowed:
            raise _limited(verdict, added)
        return principal

    async def _bounded(
        self, headers: Mapping[bytes, bytes], receive: Receive, limit: int
    ) -> Receive:
        """The body, read here where the routers' own parsers know no bound that would hold."""
        length = headers.get(b"content-length")
        if length is None:
            if b"transfer-encoding" not in headers:
                return receive
        elif int(length) > limit:
            raise _too_large(limit)
        elif int(length) <= self._limits.default:
            return receive
        return _replay_body(_frugal(await _read(receive, limit)))

    async def _serve_once(
        self,
        scope: Scope,
        raw_key: bytes,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a known idempotency key with its first answer; let a new one through."""
        if not _IDEMPOTENCY_KEY.match(raw_key):
            raise IdempotencyKeyInvalidError
        key = raw_key.decode()
        principal: Principal = scope["principal"]
        body = await _read(receive, self._limits.of(scope["path"]))
        digest = hashlib.sha256()
        for part in (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body):
            digest.update(len(part).to_bytes(8, "big") + part)
        fingerprint = digest.digest()
        stored = await self._gate.replay(principal, key, fingerprint)
        if stored is not None:
            await _replayed(stored)(scope, receive, send)
            return
        pending = Idempotency(self._gate.rememberer(principal, key, fingerprint))
        scope["idempotency"] = pending

        async def send_unless_raced(message: Message) -> None:
            if not pending.race:
                await send(message)

        plane = self._data.get(scope["path"], self._control)
        await plane(scope, _replay_body(body), send_unless_raced)
        if pending.race:
            stored = await self._gate.replay(principal, key, fingerprint)
            if stored is None:
                raise IdempotencyRaceError(headers={"Retry-After": "1"})
            await _replayed(stored)(scope, receive, send)

    def _route_of(self, scope: Scope) -> str:
        """The route's template: the raw path would give metrics one series an id."""
        route: Any = scope.get("route")
        template = getattr(route, "path_format", None) or getattr(route, "path", None)
        if template is not None:
            return str(template)
        if "endpoint" in scope:
            return str(scope["path"])
        # Refused or replayed before a router had the request; the answer has left already.
        return self._templates.find(scope["method"], scope["path"])


def _replayed(stored: StoredReply) -> Response:
    return Response(
        stored.body,
        stored.status,
        headers={**stored.headers, "idempotency-replayed": "true"},
        media_type="application/json" if stored.body else None,
    )


def credential_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The bearer token or API key; None when there is none or the scheme is another's."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, value = authorization.partition(b" ")
        if scheme.lower() == b"bearer":
            try:
                return value.strip().decode("ascii")
            except UnicodeDecodeError:
                raise UnauthenticatedError(
                    headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
                ) from None
        return None
    key = headers.get(b"x-api-key")
    return key.decode("latin-1").strip() if key is not None else None


def _limited(verdict: Verdict, added: list[tuple[bytes, bytes]]) -> RateLimitedError:
    if not any(name == b"ratelimit-policy" for name, _ in added):
        added.append((b"ratelimit-policy", verdict.policy))
    wait = str(max(1, int(verdict.retry_after + 0.999)))
    return RateLimitedError(
        f"Over the {verdict.name} limit; try again in {wait} s", headers={"Retry-After": wait}
    )


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body may have {limit} bytes at most", limit_bytes=limit)


async def _read(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            break
    return b"".join(chunks)


def _frugal(body: bytes) -> bytes:
    """The body itself, unless parsing it as JSON would make very many objects.

    Raises:
        BodyTooLargeError: It holds more values than any sensible request.
    """
    if _count_values(body) > _MAX_VALUES and _count_values(_STRING.sub(b"", body)) > _MAX_VALUES:
        raise BodyTooLargeError(f"The body may hold {_MAX_VALUES} JSON values at most")
    return body


def _count_values(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _replay_body(body: bytes) -> Callable[[], Awaitable[Message]]:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
