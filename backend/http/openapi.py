"""One OpenAPI document for both planes, with the problems every operation may answer with."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

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
    "429": "Over the rate limit; see Retry-After",
    "500": "A bug; nothing was changed",
    "503": "Temporarily unavailable; see Retry-After",
}
_OPEN: Final = frozenset({"/livez", "/readyz", "/metrics"})
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
    app: FastAPI, *, version: str, fragments: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The document of the control plane, with the paths of the other plane merged in."""
    document = get_openapi(
        title="Email Sender",
        version=version,
        description="A self-hosted control plane for n8n. Failures are RFC 9457 problems.",
        routes=app.routes,
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
        "oauth2": {
            "type": "oauth2",
            "description": "How a client gets its access token; scopes are permissions",
            "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}},
        },
    }
    for path, item in document["paths"].items():
        if path not in _OPEN:
            for method, operation in item.items():
                _complete(method, operation)
    for fragment in fragments:
        for path, item in fragment.get("paths", {}).items():
            document["paths"][path] = {
                method: copy.deepcopy(operation) for method, operation in item.items()
            }
        for kind, entries in fragment.get("components", {}).items():
            components.setdefault(kind, {}).update(entries)
    for path, item in document["paths"].items():
        for operation in item.values():
            _add_pipeline(operation, untouched=path in _OPEN)
            _forbid_nul(operation)
    return document


def _complete(method: str, operation: dict[str, Any]) -> None:
    """What the framework cannot know of its own routes: how the edge's toolkit serves them."""
    operation["security"] = [{"bearer": []}, {"apiKey": []}]
    responses = operation["responses"]
    if "application/problem+json" not in responses.get("422", {}).get("content", {}):
        responses.pop("422", None)  # the framework's own
    if "requestBody" in operation:
        responses["415"] = _problem("The body is not `application/json`")
    if method == "post":
        responses.setdefault(
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
