"""The way of every request, on both planes, as one straight function.

Order: request id and trace, the route, the host, coarse limit (before any database work),
authentication, limits by tenant, client and class of route, permission, 404 and 405, the
parameters' names, the tenant's quota of requests, and only then the body: its announced length,
itself if it is large, idempotent replay, the router. Who is refused is refused by
the head of the request alone: reading and parsing thirty megabytes for somebody who may not send
them takes the time of everybody else. Whatever fails on the way becomes problem details. One flat
callable instead of eight nested middlewares: each nesting costs a frame and a wrapped ``send`` on
every request, and the order is easier to read when it is the code.
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Iterable, Mapping
from functools import partial
from typing import Final, Protocol
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from backend.core.clock import epoch_nanoseconds, perf_counter
from backend.core.context import NO_RUN, Principal, Run
from backend.core.errors import (
    AppError,
    ExpiredError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    RateLimitedError,
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
from backend.http.body import bounded, read_body, replayed
from backend.http.deps import lacks, too_old
from backend.http.head import refuse_host, refuse_unknown_parameters
from backend.http.problem import MethodNotAllowedError, bug_response, error_response
from backend.http.reply import (
    Idempotency,
    IdempotencyKeyReusedError,
    IdempotencyRaceError,
    Remember,
)
from backend.http.routing import DataTarget, RouteRule, RouteTable, Target
from backend.kit.limiter import Slot, Verdict
from backend.kit.sources import canonical_address, lies_in
from backend.kit.turns import Turns

logger = logging.getLogger(__name__)

_FOREIGN_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,100}\Z")
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}\Z")
_API: Final = "/api/"
_READS: Final = frozenset({"GET", "HEAD"})
# A form of OAuth is a token and some names.
_STRANGER_BYTES: Final = 65_536


class IdempotencyKeyInvalidError(AppError):
    """The Idempotency-Key header is empty, too long, or not printable ASCII."""

    status, code, title = 400, "invalid_idempotency_key", "The Idempotency-Key is not valid"


class NetworkRefusedError(ForbiddenError):
    """The credential holds, and is bound to networks that the request does not come from."""

    code, title = "network_refused", "The credential may not be used from this address"


class StoredReply(Protocol):
    """The first answer to an idempotency key."""

    @property
    def fingerprint(self) -> bytes:
        """Of the request that it answered."""

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
    """What the pipeline asks of the gate; ``app`` passes its manager in."""

    def coarse_limit(self, key: str) -> Verdict | Awaitable[Verdict]:
        """Charge an unknown caller's address."""

    def quota(
        self, principal: Principal, route_class: str, cost: int, size: int
    ) -> Verdict | Awaitable[Verdict]:
        """Charge a known caller ``cost`` requests and ``size`` bytes to a class of routes.

        At once, or when whoever counts for all processes has answered.
        """

    def count(self, principal: Principal) -> Awaitable[None] | None:
        """Count a request among those that its tenant has so many of; raises when there are none.

        None: it is counted; else what to wait for, which raises likewise.
        """

    def note_limited(self, verdict: Verdict) -> None:
        """Know that a request was refused for this."""

    def cached_principal(self, credential: str) -> Principal | None:
        """Who a recently verified credential is, without I/O."""

    async def authenticate(self, credential: str) -> Principal:
        """Who a credential is; raises UnauthenticatedError."""

    def missed_max_age(self, principal: Principal) -> int | None:
        """How recent, in seconds, a log-in must be that this one is not; None: it is."""

    async def replay(self, principal: Principal, key: str) -> StoredReply | None:
        """The first answer to this key, if there is one."""

    def rememberer(self, principal: Principal, key: str, fingerprint: bytes) -> Remember:
        """What stores the answer within the transaction of the act."""


class Pipeline:
    """Pure ASGI: the checks, then the data plane for its own routes, else the control plane.

    The control plane has all its routes by now: they are read here, once.
    """

    def __init__(
        self,
        control_plane: FastAPI,
        data_routes: Iterable[DataTarget],
        *,
        gate: Gate,
        telemetry: Telemetry,
        body_bytes: int,
        turns: Turns | None = None,
        rules: Iterable[RouteRule] = (),
        open_paths: frozenset[str] = frozenset(),
        trusted_proxies: frozenset[str] = frozenset(),
    ) -> None:
        """Read the routes.

        Args:
            control_plane: With all its routes.
            data_routes: Bound to their managers.
            gate: Who may pass, and how often.
            telemetry: Takes a record of each request.
            body_bytes: The largest body where no rule says another.
            turns: Of costly work; None: its own.
            rules: Classes of paths.
            open_paths: Ask nobody who they are and are never limited: probes and scrapers.
            trusted_proxies: Addresses whose X-Forwarded-For is believed.

        Raises:
            RouteClashError: See :class:`RouteTable`.
        """
        self.control_plane = control_plane
        self._routes = RouteTable(
            control_plane, control_plane.routes, data_routes, body_bytes=body_bytes, rules=rules
        )
        # For the one answer that its own handlers cannot give without the other plane's routes.
        control_plane.state.routes = self._routes
        # And for what a route of theirs works on in a thread.
        control_plane.state.turns = self._turns = turns or Turns()
        self._gate = gate
        self._telemetry = telemetry
        self._body_bytes = body_bytes
        self._open = open_paths
        self._proxies = frozenset(map(canonical_address, trusted_proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; lifespan and other protocols pass straight through."""
        if scope["type"] != "http":
            await self.control_plane(scope, receive, send)
            return
        started_ns, started = epoch_nanoseconds(), perf_counter()
        headers = _headers_of(scope)
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _FOREIGN_ID.match(given) else uuid7()
        trace = parse_traceparent(headers.get(b"traceparent", b"").decode("latin-1"))
        trace_id, parent_id, forced = trace or (new_trace_id(), "", False)
        span_id = new_span_id()
        scope["request_id"] = request_id
        scope["run"] = _run_of(headers)
        scope["traceparent"] = f"00-{trace_id}-{span_id}-{'01' if forced else '00'}"
        client = scope.get("client")
        address = canonical_address(client[0]) if client else ""
        if address in self._proxies:
            forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
            address = canonical_address(forwarded.rpartition(",")[2]) or address
        scope["address"] = address
        added: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())]
        status, expired = 0, False

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        path, target = self._find(scope)
        try:
            refuse_host(headers.get(b"host"), scope["http_version"])
            await self._serve(scope, target, headers, receive, send_marked, added=added)
        except AppError as exc:
            scope["problem"], expired = exc.code, isinstance(exc, ExpiredError)
            await error_response(exc, path, request_id)(scope, receive, send_marked)
        except ClientDisconnect:
            pass  # nobody is left to be answered
        except Exception:
            logger.exception("request_failed", extra={"request_id": request_id})
            scope["problem"] = "internal"
            if not status:
                await bug_response(path, request_id)(scope, receive, send_marked)
        finally:
            end_slot(scope)
            principal: Principal | None = scope.get("principal")
            self._telemetry.append(
                RequestRecord(
                    started_ns,
                    # How long a stream was open is no time that anybody waited for it.
                    scope.get("streaming_since", perf_counter()) - started,
                    scope["method"],
                    target.template,
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
                    expired,
                    principal is not None and principal.console and scope["method"] in _READS,
                )
            )

    def _find(self, scope: Scope) -> tuple[str, Target]:
        """What the request leads to, and the path that it is of.

        A slash too many at the end is passed over where nothing else has that path: the same
        operation, and no redirect, which many clients would follow with another method or without
        their credential.
        """
        path: str = scope["path"]
        target = self._routes.find(scope["method"], path)
        if target.allow == () and path.endswith("/"):
            without = self._routes.find(scope["method"], path[:-1])
            if without.allow != ():
                path, target = path[:-1], without
                scope["path"], scope["raw_path"] = path, quote(path).encode()
        return path, target

    async def _serve(
        self,
        scope: Scope,
        target: Target,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        send: Send,
        *,
        added: list[tuple[bytes, bytes]],
    ) -> None:
        path: str = scope["path"]
        if path in self._open:
            if target.allow is not None:
                raise _miss(target.allow)
            await target.app(scope, receive, send)
            return
        if "\x00" in path or b"%00" in scope["query_string"]:
            # As in a body (see Input): no text of ours holds it, and PostgreSQL cannot compare it.
            raise InvalidInputError("An address may not contain the character U+0000")
        principal = await self._admit(scope, target, headers, added)
        limit = target.body_bytes
        if principal is None:
            # Below the API's root nobody's business either: what there is.
            if target.permission or path.startswith(_API):
                raise UnauthenticatedError(headers={"WWW-Authenticate": "Bearer"})
            limit = min(limit, _STRANGER_BYTES)
        else:
            self._refuse_forbidden(principal, target)
        if target.allow is not None:  # what is no route asks for no permission
            raise _miss(target.allow)
        if scope["query_string"] and target.query is not None:
            self._refuse_unknown(scope, target.query)
        if principal is not None and target.counted and not principal.console:
            # What is refused by its head costs its tenant nothing of the day; nor does the console,
            # where somebody must yet be able to stop whoever has used it up.
            waiting = self._gate.count(principal)
            if waiting is not None:
                await waiting
        # From here on the body may come. The usual one is announced, and small.
        length = headers.get(b"content-length", b"")
        if not (length.isdigit() and int(length) <= self._body_bytes <= limit):
            receive = await bounded(
                headers,
                receive,
                limit=limit,
                harmless=self._body_bytes,
                turns=self._turns,
                tenant_id="" if principal is None else principal.tenant_id,
            )
        if principal is not None and scope["method"] == "POST" and b"idempotency-key" in headers:
            key = headers[b"idempotency-key"]
            await self._serve_once(scope, target, principal, key, receive, send)
            return
        await target.app(scope, receive, send)

    def _refuse_unknown(self, scope: Scope, query: Mapping[str, bool]) -> None:
        try:
            refuse_unknown_parameters(query, scope["query_string"])
        except InvalidInputError:
            # They may be another route's, which spells the path out and takes other methods.
            methods = self._routes.methods_of(scope["path"])
            if scope["method"] in methods:
                raise
            raise _miss(methods) from None

    def _refuse_forbidden(self, principal: Principal, target: Target) -> None:
        if target.permission and target.permission not in principal.permissions:
            raise lacks(target.permission)
        if target.fresh and (seconds := self._gate.missed_max_age(principal)) is not None:
            raise too_old(seconds)

    async def _admit(
        self,
        scope: Scope,
        target: Target,
        headers: Mapping[bytes, bytes],
        added: list[tuple[bytes, bytes]],
    ) -> Principal | None:
        """Who asks, once the limits allow the question; None for who shows no credential."""
        gate = self._gate
        credential = credential_of(headers)
        principal: Principal | None = None
        if credential is not None:
            principal = gate.cached_principal(credential)
        if principal is None:
            # Only what is not yet known pays the coarse limit: it protects the database from
            # floods of unknown callers, and known callers have their own quota below.
            verdict = gate.coarse_limit(scope["address"])
            if not isinstance(verdict, Verdict):
                verdict = await verdict
            if not verdict.allowed:
                raise self._limited(verdict, added)
            if credential is None:
                return None
            principal = await gate.authenticate(credential)
        scope["principal"] = principal
        if principal.networks and not lies_in(scope["address"], principal.networks):
            # Not the owner's quota: whoever stole the credential must not use that up.
            verdict = gate.coarse_limit(scope["address"])
            if not isinstance(verdict, Verdict):
                verdict = await verdict
            if not verdict.allowed:
                raise self._limited(verdict, added)
            raise NetworkRefusedError
        verdict = gate.quota(
            principal, target.route_class, target.cost, _announced(headers, target.body_bytes)
        )
        if not isinstance(verdict, Verdict):
            verdict = await verdict
        if not verdict.allowed:
            raise self._limited(verdict, added)
        scope["slot"] = verdict.slot
        added += _told(verdict)
        return principal

    def _limited(self, verdict: Verdict, added: list[tuple[bytes, bytes]]) -> RateLimitedError:
        self._gate.note_limited(verdict)
        added += _told(verdict)
        # Rounded up: who comes back a moment early is refused once more.
        wait = str(max(1, verdict.reset_seconds))
        return RateLimitedError(
            f"Over the {verdict.name} limit; try again in {wait} s", headers={"Retry-After": wait}
        )

    async def _serve_once(  # noqa: PLR0917 - the request, in parts that are at hand
        self,
        scope: Scope,
        target: Target,
        principal: Principal,
        raw_key: bytes,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a known idempotency key with its first answer; let a new one through."""
        if not _IDEMPOTENCY_KEY.match(raw_key):
            raise IdempotencyKeyInvalidError
        key = raw_key.decode()
        body = await read_body(receive, target.body_bytes)
        parts = (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body)
        fingerprint = (
            _fingerprint(parts)
            if len(body) <= self._body_bytes
            else await self._turns.run(principal.tenant_id, partial(_fingerprint, parts))
        )
        stored = await self._gate.replay(principal, key)
        if stored is not None:
            await _replayed(stored, fingerprint)(scope, receive, send)
            return
        pending = Idempotency(self._gate.rememberer(principal, key, fingerprint))
        scope["idempotency"] = pending

        async def send_unless_raced(message: Message) -> None:
            if not pending.race:
                await send(message)

        try:
            await target.app(scope, replayed(body), send_unless_raced)
        except IdempotencyRaceError:
            # The control plane makes an answer of it, which is dropped above; the other lets it be.
            if not pending.race:
                raise
        if pending.race:
            stored = await self._gate.replay(principal, key)
            if stored is None:
                raise IdempotencyRaceError(headers={"Retry-After": "1"})
            await _replayed(stored, fingerprint)(scope, receive, send)


def _run_of(headers: Mapping[bytes, bytes]) -> Run:
    """The run that asks, as it says itself; what is no id says nothing, as for a request's id."""
    workflow = headers.get(b"x-workflow-id", b"")
    execution = headers.get(b"x-execution-id", b"")
    if not (workflow or execution):
        return NO_RUN
    return Run(*(one.decode() if _FOREIGN_ID.match(one) else "" for one in (workflow, execution)))


def _headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The first line of each header, but for those of which another is what counts."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name not in headers:
            headers[name] = value
        elif name == b"x-forwarded-for":
            # The last line is the proxy's own; earlier ones came with the request.
            headers[name] = value
        elif name == b"host":
            # As one list, which names no host: a request of two hosts is nobody's.
            headers[name] += b", " + value
    return headers


def _fingerprint(parts: Iterable[bytes | bytearray]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _miss(allow: tuple[str, ...]) -> AppError:
    if allow:
        return MethodNotAllowedError(headers={"Allow": ", ".join(allow)})
    return NotFoundError()


def _replayed(stored: StoredReply, fingerprint: bytes) -> Response:
    if stored.fingerprint != fingerprint:
        raise IdempotencyKeyReusedError
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


def _announced(headers: Mapping[bytes, bytes], limit: int) -> int:
    """How large the body is before any of it has come; the largest there may be if nobody says."""
    length = headers.get(b"content-length")
    if length is None:
        return limit if b"transfer-encoding" in headers else 0
    return int(length) if length.isdigit() else limit


def end_slot(scope: Scope) -> None:
    """The request is no longer one of those that its tenant has under way."""
    slot: Slot | None = scope.pop("slot", None)
    if slot is not None:
        slot.release(slot)


def _told(verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """The header fields of draft-ietf-httpapi-ratelimit-headers-10."""
    state = (verdict.name.encode(), verdict.remaining, verdict.reset_seconds)
    return [(b"ratelimit-policy", verdict.policy), (b"ratelimit", b'"%s";r=%d;t=%d' % state)]
