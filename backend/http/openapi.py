"""One OpenAPI document for both planes, with the problems every operation may answer with."""

import copy
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from backend.core.errors import RateLimitedError, UnauthenticatedError
from backend.http.data_route import DataRoute, NotJsonError, Raw
from backend.http.deps import LogInTooOldError
from backend.http.reply import problems
from backend.http.routing import is_fresh, permission_of

ONLY_READS: Final = "x-only-reads"
"""Said of a POST that is one for its body and changes nothing: no record, and no answer kept."""
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "instance", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["/problems/email.not_found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "Stable; see docs/problems.md"},
        "request_id": {"type": "string", "description": "Quote this to your operator"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_COMMON: Final = {
    "400": "The request is not valid",
    "401": "Authentication required",
    "413": "The request is too large",
    "422": "A value is not acceptable",
    "429": "Over the rate limit, or all of a quota is used; see Retry-After",
    "500": "A bug; nothing was changed",
    "503": "Temporarily unavailable; see Retry-After",
}
_NOT_JSON: Final = "The body is not `application/json`"
_SAID: Final = {"pattern", "format", "enum", "const"}
_TEXT: Final = {"type": "string"}
_SECONDS: Final = {"type": "integer", "minimum": 1}
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {
        "description": "The caller's own, or a new one; the server's log has it too",
        "required": True,
        "schema": {**_TEXT, "minLength": 1, "maxLength": 100},
    },
    "RateLimit": {
        "description": "The level nearest to its limit: requests left, seconds until whole",
        "schema": {**_TEXT, "pattern": '^"[a-z_]+";r=[0-9]+;t=[0-9]+$'},
    },
    "RateLimit-Policy": {"description": "All levels that hold here", "schema": _TEXT},
    "Retry-After": {"description": "Seconds", "required": True, "schema": _SECONDS},
    "WWW-Authenticate": {"schema": _TEXT},
    "Idempotency-Replayed": {
        "description": "This is the first answer to the Idempotency-Key",
        "schema": {"const": "true"},
    },
}
_HEADERS_OF: Final = {"401": ["WWW-Authenticate"], "429": ["Retry-After"]}
_PROBLEM_CONTENT: Final = {
    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
}


def build_document(
    app: FastAPI,
    *,
    version: str,
    fragments: Sequence[Mapping[str, Any]] = (),
    data_routes: Iterable[DataRoute[Any]] = (),
    open_paths: frozenset[str] = frozenset(),
    webhooks: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document of both planes: what the framework says, what data routes declare, the rest.

    Args:
        app: The control plane, with all its routes.
        version: Of the release.
        fragments: ``paths`` and ``components`` of plain routes, which declare nothing.
        data_routes: The other plane.
        open_paths: Those that the pipeline lets pass unasked.
        webhooks: What others are sent, as path items by name.

    Raises:
        ValueError: Two different things have one name.
    """
    document = _plainly_named(
        get_openapi(
            title="Email Sender",
            version=version,
            description="A self-hosted control plane for n8n. Failures are RFC 9457 problems.",
            routes=app.routes,
        )
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas["Problem"] = _PROBLEM
    components["headers"] = _HEADERS
    # As if one operation had them all, so that they are said once and not for each.
    components["responses"] = {
        status: _problem(description) for status, description in _COMMON.items()
    }
    _add_pipeline({"responses": components["responses"]}, untouched=False)
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token of /oauth/token, or an API key (es_...)",
        },
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    permissions = {
        (context.path, method.lower()): permission_of(context)
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
    }
    fresh = {
        (context.path, method.lower())
        for context in iter_route_contexts(app.routes)
        if is_fresh(context)
        for method in context.methods or ()
    }
    for path, item in document["paths"].items():
        if path not in open_paths:
            for method, operation in item.items():
                _complete(method, operation, permissions[path, method])
                if (path, method) in fresh:
                    _ask_again(operation)
    for fragment in (*fragments, *map(_fragment_of, data_routes)):
        for path, item in fragment.get("paths", {}).items():
            # One by one: two operations may be told by the same parts.
            operations = {method: copy.deepcopy(operation) for method, operation in item.items()}
            document["paths"].setdefault(path, {}).update(operations)
        for kind, entries in fragment.get("components", {}).items():
            _add_new(components.setdefault(kind, {}), kind, entries)
    for path, item in document["paths"].items():
        for operation in item.values():
            _add_pipeline(operation, untouched=path in open_paths)
            _forbid_nul(operation)
    if webhooks:
        document["webhooks"] = webhooks
    return document


def _plainly_named(document: dict[str, Any]) -> dict[str, Any]:
    """Call pages by their own names: the framework calls them ``Page_EmailOut_``."""
    text = json.dumps(document)
    return cast("dict[str, Any]", json.loads(re.sub(r"\bPage_(\w+?)Out_", r"\1Page", text)))


def _add_new(known: dict[str, Any], kind: str, entries: Mapping[str, Any]) -> None:
    for name, entry in entries.items():
        if known.setdefault(name, entry) != entry:
            raise ValueError(f"there are two {kind} named {name}")


def _fragment_of(route: DataRoute[Any]) -> dict[str, Any]:
    """A data route's operation, from the structs that it reads and sends."""
    answers = problems(RateLimitedError, *route.errors)
    good: dict[str, Any] = {"description": "Successful Response"}
    operation: dict[str, Any] = {
        "tags": list(route.tags),
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "security": _security(route.permission),
        "responses": {
            str(route.status): good,
            **{str(status): answer for status, answer in answers.items()},
        },
    }
    if route.answer is not None:
        good["content"] = {"application/json": {"schema": ref(route.answer.__name__)}}
    if isinstance(route.body, Raw):
        content = {route.body.media_type: {"schema": dict(route.body.schema)}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.body is not None:
        content = {"application/json": {"schema": ref(route.body.__name__)}}
        operation["requestBody"] = {"required": True, "content": content}
        operation["responses"][str(NotJsonError.status)] = _problem(_NOT_JSON)
    if route.parameters is not None:
        schema = msgspec.json.schema(route.parameters)["$defs"][route.parameters.__name__]
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": kind}
            for name, kind in schema["properties"].items()
        ]
    if route.reads:
        operation[ONLY_READS] = True
    if route.once:
        _offer_idempotency(operation)
    operation["responses"] |= {status: dict(said) for status, said in route.responses.items()}
    schemas: dict[str, Any] = {}
    for struct in (route.body_struct, route.answer):
        if struct is not None:
            template = "#/components/schemas/{name}"
            _, found = msgspec.json.schema_components([struct], ref_template=template)
            _add_new(schemas, "schemas", found)
    return {
        "paths": {route.path: {route.method.lower(): operation}},
        "components": {"schemas": schemas},
    }


def ref(name: str) -> dict[str, Any]:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def form_schema(required: list[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a form: unknown ones are ignored, one that is given twice is an error.

    Both by RFC 6749, section 3.2.
    """
    return {
        "type": "object",
        "required": required,
        "properties": dict(properties),
        "additionalProperties": _TEXT,
    }


def json_response(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A response with a JSON body."""
    return {
        "description": description,
        "content": {"application/json": {"schema": dict(schema)}},
    }


def _security(permission: str) -> list[dict[str, list[str]]]:
    """Who may call: the permission stands as the role that OpenAPI 3.1 lets a requirement name."""
    needed = [permission] if permission else []
    return [{"bearer": list(needed)}, {"apiKey": list(needed)}]


def _complete(method: str, operation: dict[str, Any], permission: str) -> None:
    """What the framework cannot know of its own routes: how the edge's toolkit serves them."""
    operation["security"] = _security(permission)
    responses = operation["responses"]
    for status, denial in problems().items():
        responses.setdefault(str(status), denial)
    if "application/problem+json" not in responses.get("422", {}).get("content", {}):
        responses.pop("422", None)  # the framework's own
    if "requestBody" in operation:
        (media,) = operation["requestBody"]["content"]
        responses["415"] = _problem(f"The body is not `{media}`")
    if method == "post" and not operation.get(ONLY_READS):
        _offer_idempotency(operation)


def _ask_again(operation: dict[str, Any]) -> None:
    """Say of a dangerous act that people's log-ins must be recent ones."""
    operation["x-recent-log-in"] = True
    refusals = problems(UnauthenticatedError, LogInTooOldError, of_all=True)
    operation["responses"]["401"]["description"] = refusals[401]["description"]


def _offer_idempotency(operation: dict[str, Any]) -> None:
    operation["responses"].setdefault(
        "409", _problem("The same request, by its Idempotency-Key, is being served")
    )
    operation.setdefault("parameters", []).append(
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A retry with the same key and body gets the first answer",
            "schema": {**_TEXT, "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }
    )


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": dict(_PROBLEM_CONTENT)}


def _add_pipeline(operation: dict[str, Any], *, untouched: bool) -> None:
    """The answers that come before any route, and the headers that are added to all of them."""
    responses = operation["responses"]
    if not untouched:
        for status in _COMMON.keys() & responses.keys():
            responses[status].setdefault("content", {}).update(_PROBLEM_CONTENT)
    once = any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", ()))
    for status, response in responses.items():
        names = ["X-Request-Id"]
        if not untouched and status.startswith(("2", "429")):
            names += ["RateLimit", "RateLimit-Policy"]
        if once and status.startswith("2"):
            names.append("Idempotency-Replayed")
        names += _HEADERS_OF.get(status, ())
        added = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        response["headers"] = {**added, **response.get("headers", {})}
    if not untouched:
        for status in _COMMON.keys() - responses.keys():
            responses[status] = {"$ref": f"#/components/responses/{status}"}


def _forbid_nul(operation: Mapping[str, Any]) -> None:
    """Say of free text in the address what the pipeline refuses in it."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] != "query":
            continue
        for schema in (parameter["schema"], *parameter["schema"].get("anyOf", ())):
            if schema.get("type") == "string" and not _SAID & schema.keys():
                schema["pattern"] = r"^[^\x00]*$"
