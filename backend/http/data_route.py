"""Routes of the data plane: declared, and served by bare ASGI with msgspec structs.

The declaration is all that a room writes besides the handler. From it come the route's place in the
table (and with that 404, 405, permission, limits), the reading and decoding of the body, the
encoding of the answer, the problems, and the operation in the OpenAPI document. Two messages out,
no request object, no response object: what is left of the bare rate is measured by ``scripts/bench
pipeline``, and every line here that runs for each request is in that figure.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.core.context import Principal
from backend.core.context import Scope as TenantScope
from backend.core.database import Database, Tx
from backend.core.errors import AppError, InvalidInputError, MalformedError
from backend.core.sound_json import refuse_unsound
from backend.http.body import read_body
from backend.http.problem import pointer
from backend.http.reply import keep_answer

M = TypeVar("M")
B = TypeVar("B")

_JSON: Final = "application/json"
_PARAMETER: Final = re.compile(r"\{([^}]*)\}")
_PLACE: Final = re.compile(r"(?P<said>.*) - at `\$(?P<path>.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[([^\]]*)\]")
_FIELD: Final = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL)
_MAX_SAID: Final = 200
# The pipeline has seen to it that the body keeps to the limit of its class.
_BOUNDED: Final = 2**62


class NotJsonError(AppError):
    """The body is not called JSON."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class Reply(NamedTuple):
    """An answer that is bytes already."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Raw:
    """A body that its handler reads itself, as a protocol that is not ours wants it read.

    Attributes:
        media_type: What it is, for the document; it is not asked for.
        schema: What is in it, for the document.
    """

    media_type: str
    schema: Mapping[str, Any]


class Call(Generic[B]):
    """One request to a data route, let through by the pipeline.

    Attributes:
        principal: Who calls; holds the route's permission.
        body: Decoded as declared; the bytes of a :class:`Raw` one.
        parameters: The path's, in the struct that was declared for them.
    """

    __slots__ = ("_route", "_scope", "body", "parameters", "principal")

    def __init__(self, scope: Scope, route: "BoundRoute[Any]", body: B, parameters: Any) -> None:
        self._scope = scope
        self._route = route
        self.principal: Principal = scope["principal"]
        self.body = body
        self.parameters = parameters

    def header(self, name: bytes) -> str:
        """A header's first line; empty when there is none. ``name`` is in lower case."""
        found = (value for each, value in self._scope["headers"] if each == name)
        return next(found, b"").decode("latin-1").strip()

    @property
    def database(self) -> Database:
        """For the one transaction."""
        return self._route.database

    @property
    def scope(self) -> TenantScope:
        """The caller's scope, for the one transaction."""
        principal = self.principal
        return TenantScope(
            principal.subject,
            principal.tenant_id,
            self._scope["request_id"],
            self._scope["traceparent"],
            self._scope["run"],
        )

    @property
    def is_keyed(self) -> bool:
        """Whether :meth:`reply` will store the answer under the request's Idempotency-Key."""
        return self._scope.get("idempotency") is not None

    def reply(
        self,
        tx: Tx,
        answer: msgspec.Struct | None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Shape the answer within the transaction that does the act, as ``reply`` does elsewhere.

        When the request carries an Idempotency-Key the answer is stored in the same commit.
        """
        content = b"" if answer is None else msgspec.json.encode(answer)
        said = dict(headers or {})
        keep_answer(self._scope, tx, status, said, content, permission=self._route.permission)
        return Reply(status, content, said)


Outcome = bytes | msgspec.Struct | Reply | None
"""What a handler answers: JSON already, what becomes JSON, anything else, or nothing (204)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRoute(Generic[M]):
    """One operation of the data plane.

    Attributes:
        method: In capitals.
        path: Its template; a parameter is a whole segment.
        permission: ``noun:verb``; nobody gets further without it.
        handler: Gets the room's manager and the call. A plain function may answer at once or give
            back what is to be awaited: the hottest answers are at hand, and a coroutine more for
            each of them is not free. Its name is the operation's id.
        summary: The operation in a few words.
        tags: Where the document lists it.
        body: A struct that forbids unknown fields, :class:`Raw`, or none.
        parameters: A struct with the path's parameters as its fields, if the path has any.
        answer: The struct of a good answer; None: it has no body.
        status: Of a good answer.
        headers: Added to every answer that is not a :class:`Reply`.
        cost: How many requests it counts for, by every limit.
        once: It stores its answers (:meth:`Call.reply`), so that an Idempotency-Key holds.
        reads: It changes nothing but the trail: asked again it is done again, and no
            Idempotency-Key is offered.
        errors: What else it may answer with.
        responses: Responses for the document, in place of what would be said of that status.

    Raises:
        ValueError: It contradicts itself.
    """

    method: str
    path: str
    permission: str
    handler: Callable[[M, Call[Any]], Outcome | Awaitable[Outcome]]
    summary: str
    tags: tuple[str, ...] = ()
    body: type[msgspec.Struct] | Raw | None = None
    parameters: type[msgspec.Struct] | None = None
    answer: type[msgspec.Struct] | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cost: int = 1
    once: bool = False
    reads: bool = False
    errors: tuple[type[AppError], ...] = ()
    responses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"{self.method} {self.path}"
        if not self.permission:
            raise ValueError(f"{where} needs a permission: this plane serves no strangers")
        if self.cost < 1:
            raise ValueError(f"{where} must cost something")
        body = self.body_struct
        if body is not None and not body.__struct_config__.forbid_unknown_fields:
            raise ValueError(f"{where}: {body.__name__} must forbid unknown fields")
        named = set(_PARAMETER.findall(self.path))
        known = set(self.parameters.__struct_fields__) if self.parameters is not None else set()
        if named != known:
            raise ValueError(f"{where} names {sorted(named)}, its struct has {sorted(known)}")

    @property
    def body_struct(self) -> type[msgspec.Struct] | None:
        """What a JSON body is decoded into; None when there is none, or a raw one."""
        return None if isinstance(self.body, Raw) else self.body

    def bind(self, manager: M, database: Database) -> "BoundRoute[M]":
        """The route, served by this process's manager."""
        return BoundRoute(self, manager, database)


class BoundRoute(Generic[M]):
    """A data route with its manager: the ASGI application behind the pipeline.

    The pipeline has found that the method and path are its own, that the caller holds its
    permission, and that the body keeps to its class.
    """

    def __init__(self, route: DataRoute[M], manager: M, database: Database) -> None:
        self.method = route.method
        self.path = route.path
        self.permission = route.permission
        self.cost = route.cost
        # A protocol that is not ours says what its addresses may hold.
        self.query: Mapping[str, bool] | None = {} if route.path.startswith("/api/") else None
        self.app: ASGIApp = self._serve
        self._handler = route.handler
        self._manager = manager
        self.database = database
        self._status = route.status
        self._reads = route.body is not None
        struct = route.body_struct
        self._decoder = None if struct is None else msgspec.json.Decoder(struct)
        self._parameters = route.parameters
        self._places = [
            (name[1], at)
            for at, segment in enumerate(route.path.split("/"))
            if (name := _PARAMETER.fullmatch(segment))
        ]
        self._headers = _raw_headers(route.headers)
        self._json = [(b"content-type", _JSON.encode()), *self._headers]

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: Any = None
        if self._reads:
            message = await receive()
            body = message.get("body", b"")
            if message.get("more_body") or message["type"] == "http.disconnect":
                body = bytes(await read_body(_after(message, receive), _BOUNDED))
            if self._decoder is not None:
                body = _decoded(self._decoder, scope, body)
        parameters = None if self._parameters is None else self._read_path(scope["path"])
        call = Call(scope, self, body, parameters)
        answer: Any = self._handler(self._manager, call)
        if answer.__class__ is bytes:
            # Most answers of the hottest routes: at hand, and JSON already.
            status, headers, content = self._status, self._json, answer
        else:
            status, headers, content = self._shaped(await answer if isawaitable(answer) else answer)
        if status != 204:
            headers = [*headers, (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _shaped(self, answer: Outcome) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if answer is None:
            return 204, self._headers, b""
        if isinstance(answer, Reply):
            headers = _raw_headers(answer.headers)
            if answer.body and not any(name == b"content-type" for name, _ in headers):
                headers.append((b"content-type", _JSON.encode()))
            return answer.status, headers, answer.body
        content = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        return self._status, self._json, content

    def _read_path(self, path: str) -> Any:
        segments = path.split("/")
        values = {name: segments[at] for name, at in self._places}
        try:
            return msgspec.convert(values, self._parameters, strict=False)
        except msgspec.ValidationError as exc:
            raise _invalid("path", str(exc)) from None


def _after(first: Mapping[str, Any], receive: Receive) -> Receive:
    """``receive``, with a message that was taken already in front of it."""
    waiting = [first]

    async def resumed() -> Any:
        return waiting.pop() if waiting else await receive()

    return resumed


def _raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


def _decoded(decoder: msgspec.json.Decoder[Any], scope: Scope, body: bytes) -> Any:
    """The body by its struct; what no struct forbids, texts that cannot be kept, as well."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
            if kind != _JSON.encode() and not (
                kind.startswith(b"application/") and kind.endswith(b"+json")
            ):
                raise NotJsonError(headers={"Accept": _JSON})
            break
    if not body:
        raise _invalid("body", "A body is required")
    try:
        decoded = decoder.decode(body)
        # JSON spells a NUL only so; the body is looked through when it may hold one.
        if b"\\u0000" in body:
            refuse_unsound(msgspec.json.decode(body))
    except msgspec.ValidationError as exc:
        raise _invalid("body", str(exc)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        said = str(exc) if isinstance(exc, msgspec.DecodeError) else ""
        raise MalformedError(said) from None
    except ValueError as exc:
        raise _invalid("body", str(exc)) from None
    return decoded


def _invalid(part: str, said: str) -> InvalidInputError:
    """The problem that the control plane would make of it, from the decoder's one complaint."""
    steps: list[int | str] = [part]
    place = _PLACE.fullmatch(said)
    if place is not None:
        said = place["said"]
        for name, index in _STEP.findall(place["path"]):
            steps.append(name or index)
    lacking = _FIELD.fullmatch(said)
    if lacking is not None:
        steps.append(lacking[1][:_MAX_SAID])
    return InvalidInputError(
        "1 problem(s) in the request",
        errors=[{"pointer": pointer(steps), "detail": said[:_MAX_SAID]}],
    )
