"""One OpenAPI document for both planes, with the problems every operation may answer with."""

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
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token of /oauth/token, or an API key (es_...)",
        },
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, item in document["paths"].items():
        if path in _OPEN:
            continue
        for method, operation in item.items():
            _complete(method, operation)
    for fragment in fragments:
        document["paths"].update(fragment.get("paths", {}))
        for kind, entries in fragment.get("components", {}).items():
            components.setdefault(kind, {}).update(entries)
    return document


def _complete(method: str, operation: dict[str, Any]) -> None:
    operation["security"] = [{"bearer": []}, {"apiKey": []}]
    if method == "post":
        operation.setdefault("parameters", []).append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "A retry with the same key and body gets the first answer",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 255,
                    "pattern": "^[!-~]+$",
                },
            }
        )
    responses = operation["responses"]
    for status, description in _COMMON.items():
        if status == "422" or status not in responses:
            responses[status] = {
                "description": description,
                "content": {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                },
            }
