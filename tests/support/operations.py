"""Any operation of the API, performed: what it takes is read from the API's own document.

A body is made of the document's examples. What a path names is made by the operations whose links
lead there, the shortest way first. Whoever adds an operation gives its schema examples and its
maker a link (``leads_to``), and it is performed wherever all are.
"""

import asyncio
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pyotp

from tests.support.invitations import accept_async, hidden_fields

SNAPSHOT: Final = Path(__file__).parents[1] / "contract" / "openapi-v1.json"
PROMISED: Final[dict[str, Any]] = json.loads(SNAPSHOT.read_text())
"""The committed document: what a person has reviewed, whatever the application under test does."""

PASSWORD: Final = "correct horse battery staple"
"""Of whoever calls, if they are a person: the document's example of one."""
_ABSENT: Final = object()


def _policy_by(channel: Any) -> Any:
    return {"name": f"Policy of {channel['name']}", "steps": [{"channels": [channel["id"]]}]}


# Bodies that no example can give: what another operation's answer says is worked out here.
_WORKED_OUT: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "issue_secret_token": (
        "write_secret",
        lambda made: {
            "path": made["path"],
            "environment": made["environment"],
            "workflow_id": "w1",
            "execution_id": "4711",
        },
    ),
    "redeem_secret_token": (
        "issue_secret_token",
        lambda made: {
            "token": made["token"],
            "workflow_id": made["workflow_id"],
            "execution_id": made["execution_id"],
        },
    ),
    "create_alert_policy": ("create_alert_channel", _policy_by),
    "put_alert_policy": ("create_alert_channel", _policy_by),
    "add_incident_alerts": ("raise_alert", lambda made: {"alert_ids": [made["id"]]}),
    "confirm_totp": ("begin_totp", lambda made: {"code": pyotp.TOTP(made["secret"]).now()}),
}
# The same, of an operation on the very thing that the path names.
_WORKED_OUT_BESIDE: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "decrypt": ("encrypt", lambda made: {"ciphertext": made["ciphertext"]}),
    "decrypt_batch": ("encrypt", lambda made: {"items": [{"ciphertext": made["ciphertext"]}]}),
    "rewrap": ("encrypt", lambda made: {"ciphertext": made["ciphertext"]}),
    "rewrap_batch": ("encrypt", lambda made: {"items": [{"ciphertext": made["ciphertext"]}]}),
    "verify": ("sign", lambda made: {"message": _MESSAGE, "signature": made["signature"]}),
    "verify_batch": (
        "sign",
        lambda made: {"items": [{"message": _MESSAGE, "signature": made["signature"]}]},
    ),
}
# Things of which the maker's example is of another kind than the operation is for.
_OF_KIND: Final[Mapping[str, Mapping[str, Any]]] = {
    "compute_hmac": {"type": "hmac-sha256"},
    "compute_hmac_batch": {"type": "hmac-sha256"},
    "sign": {"type": "ed25519"},
    "sign_batch": {"type": "ed25519"},
    "verify": {"type": "ed25519"},
    "verify_batch": {"type": "ed25519"},
}
_MESSAGE: Final = "YXR0YWNrIGF0IGRhd24="
# What is to be waited for longer is no rate: a quota is used up.
_AT_MOST_SECONDS: Final = 2
_EXPRESSION: Final = re.compile(r"\$(response\.body#/|request\.path\.)(\w+)")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request for an operation, on things that exist."""

    operation_id: str
    method: str
    template: str
    path_parameters: Mapping[str, str]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    media_type: str | None = None

    @property
    def asked_with(self) -> dict[str, Any]:
        """Its query: what a link gives beside the path's parameters is the query's."""
        beside = {
            name: value
            for name, value in self.path_parameters.items()
            if f"{{{name}}}" not in self.template
        }
        return {**self.query, **beside}


class _Way(NamedTuple):
    """The operation that makes the thing, and where its exchange says what the thing is called."""

    maker: str
    parameters: Mapping[str, str]


async def send(http: httpx.AsyncClient, prepared: Prepared) -> httpx.Response:
    """Ask for what was prepared, as whose credentials ``http`` has.

    Whoever asks faster than anybody may is told so before anything else, and asks again.

    Raises:
        httpx.HTTPStatusError: It was refused; the message holds the answer.
    """
    body: dict[str, Any] = {}
    if prepared.media_type == "application/json":
        body = {"json": prepared.body}
    elif prepared.media_type is not None:
        headers = {"Content-Type": prepared.media_type}
        body = {"content": prepared.body, "headers": headers}
    path = prepared.template.format_map(prepared.path_parameters)
    while True:
        answer = await http.request(prepared.method, path, params=prepared.asked_with, **body)
        wait = float(answer.headers.get("Retry-After", 0))
        if answer.status_code != httpx.codes.TOO_MANY_REQUESTS or wait > _AT_MOST_SECONDS:
            break
        await asyncio.sleep(wait)
    if not answer.is_success:
        what = f"{prepared.method} {path}: {answer.status_code} {answer.text}"
        raise httpx.HTTPStatusError(what, request=answer.request, response=answer)
    return answer


class Operations:
    """The operations of a document, asked of a server.

    What only a person can make in a browser, and so no operation leads to, is made as they would: a
    member, by accepting an invitation.

    Args:
        document: Resolved by nobody: its references are followed here.
        http: With the credentials of a caller who may perform them.
        password: The caller's, where they are a person.
        keep_spans: Has the server decide on the spans that it was sent, and write them; where that
            is out of reach its tick is waited for.
        add_worker: Has a worker be heard, and says its id; where that is out of reach it is one
            that the platform lists.
    """

    def __init__(
        self,
        document: dict[str, Any],
        http: httpx.AsyncClient,
        password: str = PASSWORD,
        keep_spans: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0.1),
        add_worker: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._document = document
        self._password = password
        self._http = http
        self._keep_spans = keep_spans
        self._add_worker = add_worker or self._find_worker
        self._known = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }
        self._ways = self._find_ways()

    async def perform(self, operation_id: str) -> httpx.Response:
        """Perform an operation on what is made for it.

        Raises:
            LookupError: The document does not say how: an example or a link is missing.
            httpx.HTTPStatusError: It, or one on the way to it, was refused.
        """
        return await self.send(await self.prepare(operation_id))

    async def prepare(self, operation_id: str) -> Prepared:
        """Make what the operation acts on, and say how to ask for it; it is not asked itself.

        Two calls give two things: no name, address or key is taken twice.

        Raises:
            LookupError: The document does not say how: an example or a link is missing.
            httpx.HTTPStatusError: An operation on the way was refused.
        """
        method, template, operation = self._known[operation_id]
        fresh = f"n{secrets.token_hex(4)}-"
        way = self._ways.get(operation_id)
        if way is None:
            parameters = {
                one["name"]: self._fresh(one["schema"], self._example(one["schema"]), fresh)
                for one in _of_path(operation)
            }
        else:
            made = await self.prepare(way.maker)
            if operation_id in _OF_KIND:
                made = replace(made, body=made.body | _OF_KIND[operation_id])
            answer = await self.send(made)
            parameters = {
                name: self._value(expression, made, answer)
                for name, expression in way.parameters.items()
            }
        if parameters.get("user_id") is _ABSENT:
            parameters["user_id"] = await self._make_member(fresh)
        if parameters.get("session_id") is _ABSENT:
            parameters["session_id"] = await self._make_session()
        if parameters.get("worker_id") is _ABSENT:
            parameters["worker_id"] = await self._add_worker()
        if "trace_id" in parameters:
            parameters["trace_id"] = await self._make_trace(operation)
        if _ABSENT in parameters.values():
            raise LookupError(f"no response leads to {operation_id}: say so with leads_to")
        query = {
            one["name"]: self._example(one["schema"])
            for one in operation.get("parameters", ())
            if one["in"] == "query" and one.get("required") and one["name"] not in parameters
        }
        if _ABSENT in query.values():
            raise LookupError(f"{operation_id} has no example of what it must be asked with")
        body, media_type = None, None
        if "requestBody" in operation:
            ((media_type, content),) = operation["requestBody"]["content"].items()
            if operation_id in _WORKED_OUT:
                maker, work_out = _WORKED_OUT[operation_id]
                body = work_out((await self.perform(maker)).json())
            elif operation_id in _WORKED_OUT_BESIDE:
                maker, work_out = _WORKED_OUT_BESIDE[operation_id]
                beside = replace(await self.prepare(maker), path_parameters=parameters)
                body = work_out((await self.send(beside)).json())
            else:
                body = self._body(content, fresh)
        return Prepared(operation_id, method, template, parameters, query, body, media_type)

    async def send(self, prepared: Prepared) -> httpx.Response:
        """Ask for it: :func:`send`."""
        return await send(self._http, prepared)

    async def _make_member(self, fresh: str) -> str:
        """Somebody who was invited and has accepted; their id."""
        made = (await self.perform("create_invitation")).json()
        authorization = self._http.headers.pop("Authorization")
        try:
            joined = await accept_async(
                self._http, made["link"], email=made["email"], password=fresh * 3, name=fresh
            )
        finally:
            self._http.cookies.clear()
            self._http.headers["Authorization"] = authorization
        joined.raise_for_status()
        members = await self._http.get("/api/v1/members", params={"limit": 200})
        found = [one for one in members.json()["items"] if one["email"] == made["email"]]
        return str(found[0]["id"])

    async def _make_session(self) -> str:
        """Another log-in of the caller, a person; its id."""
        email = (await self._http.get("/api/v1/me/profile")).json()["email"]
        return_to = "/oauth/invitation?token=none"
        page = await self._http.get("/oauth/login", params={"return_to": return_to})
        form = {**hidden_fields(page.text), "email": email, "password": self._password}
        entered = await self._http.post("/oauth/login", data=form)
        assert entered.status_code == 303, entered.text
        self._http.cookies.clear()
        listed = (await self._http.get("/api/v1/me/sessions")).json()["items"]
        return str(next(one["id"] for one in listed if not one["current"]))

    async def _find_worker(self) -> str:
        listed = (await self._http.get("/api/v1/platform/workers")).json()["items"]
        return next(str(one["id"]) for one in listed if one["state"] != "silent")

    async def _make_trace(self, operation: dict[str, Any]) -> str:
        """The trace of the document's example, sent by OTLP and kept: no answer says its id."""
        (trace_id,) = _of_path(operation)[0]["schema"]["examples"]
        span = {
            "traceId": trace_id,
            "spanId": "00f067aa0ba902b7",
            "name": "node.execute",
            "startTimeUnixNano": str(time.time_ns()),
            "status": {"code": 2},
        }
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        sent = await self._http.post("/api/v1/otlp/v1/traces", json=body)
        sent.raise_for_status()
        deadline = time.monotonic() + 60
        while True:
            await self._keep_spans()
            found = await self._http.get(f"/api/v1/traces/{trace_id}")
            if found.status_code == 200:
                return str(trace_id)
            assert found.status_code == 404, found.text
            assert time.monotonic() < deadline, "the trace was not kept"

    def _find_ways(self) -> dict[str, _Way]:
        """How one comes to each operation that is led to; breadth first, so the shortest way."""
        led_to = {link["operationId"] for *_, one in self._known.values() for link in _links(one)}
        waiting = deque(
            name
            for name, (_, _, operation) in self._known.items()
            if not _of_path(operation) or name not in led_to
        )
        ways: dict[str, _Way] = {}
        while waiting:
            maker = waiting.popleft()
            for link in _links(self._known[maker][2]):
                name = link["operationId"]
                if name in led_to and name not in ways:
                    ways[name] = _Way(maker, link["parameters"])
                    waiting.append(name)
        return ways

    @staticmethod
    def _value(expression: str, made: Prepared, answer: httpx.Response) -> str:
        found = _EXPRESSION.fullmatch(expression)
        if found is None:
            raise LookupError(f"{expression} is no expression that is understood here")
        of_path = found[1] == "request.path."
        return str((made.path_parameters if of_path else answer.json())[found[2]])

    def _body(self, content: dict[str, Any], fresh: str) -> Any:
        schema = self._resolved(content["schema"])
        body = content.get("example", _ABSENT)
        if body is _ABSENT:
            body = self._example(schema)
        if body is _ABSENT:
            raise LookupError(f"{schema.get('title')} has no examples")
        if not isinstance(body, dict):
            return body
        # What another protocol lays down has none here, and its example is sent as it stands.
        properties = schema.get("properties", {})
        return {
            name: self._fresh(properties[name], value, fresh) if name in properties else value
            for name, value in body.items()
        }

    def _example(self, schema: dict[str, Any]) -> Any:
        schema = self._resolved(schema)
        if "examples" in schema:
            return schema["examples"][0]
        if "properties" not in schema:
            return _ABSENT
        found = {name: self._example(one) for name, one in schema["properties"].items()}
        for name in schema.get("required", ()):
            if found[name] is _ABSENT:
                raise LookupError(f"{schema.get('title')} has no example of {name}")
        return {name: value for name, value in found.items() if value is not _ABSENT}

    def _fresh(self, schema: dict[str, Any], value: Any, fresh: str) -> Any:
        """The value, as nobody has used it: a text that is free begins with something new.

        An e-mail address stays one, and so does a slug.
        """
        branches = [self._resolved(one) for one in (schema, *schema.get("anyOf", ()))]
        bound = any(
            {"enum", "const"} & one.keys() or one.get("format", "email") != "email"
            for one in branches
        )
        return value if bound or not isinstance(value, str) else fresh + value

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in schema:
            return schema
        name = schema["$ref"].rpartition("/")[2]
        found: dict[str, Any] = self._document["components"]["schemas"][name]
        return found


def needed(operation: dict[str, Any]) -> frozenset[str]:
    """The permissions that the document says an operation asks for."""
    ways = operation["security"]
    return frozenset(name for way in ways for names in way.values() for name in names)


def _of_path(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in operation.get("parameters", ()) if one["in"] == "path"]


def _links(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        link
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
