"""RFC 9457: the only place where an error becomes bytes."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend.core.errors import AppError, MalformedError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS = 50


class MethodNotAllowedError(AppError):
    """There is something at this path, but the method is none of its own (see Allow)."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


FRAMEWORK = {
    400: ("bad_request", "The request is not valid"),
    404: ("not_found", "Not found"),
    413: ("too_large", "The request is too large"),
    415: ("unsupported_media_type", "Unsupported media type"),
}


def problem_response(
    path: str,
    request_id: str,
    *,
    status: int,
    code: str,
    title: str,
    detail: str = "",
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> Response:
    """Problem details with our extension members ``code`` and ``request_id``."""
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "instance": path,
        "code": code,
        "request_id": request_id,
        **extra,
    }
    if detail:
        body["detail"] = detail
    return Response(msgspec.json.encode(body), status, headers=headers, media_type=MEDIA_TYPE)


def error_response(exc: AppError, path: str, request_id: str) -> Response:
    """The answer to a failure we foresaw; ``errors`` points at the value, if it is about one."""
    extra = dict(exc.extra)
    if exc.place:
        found = {"pointer": pointer(["body", *exc.place]), "detail": exc.detail or exc.title}
        extra.setdefault("errors", [found])
    return problem_response(
        path,
        request_id,
        status=exc.status,
        code=exc.code,
        title=exc.title,
        detail=exc.detail,
        headers=exc.headers,
        **extra,
    )


def bug_response(path: str, request_id: str) -> Response:
    """The answer to a failure we did not foresee: nothing but the id to find it by."""
    return problem_response(path, request_id, status=500, code="internal", title=AppError.title)


def pointer(location: Sequence[int | str]) -> str:
    """RFC 6901 pointer of a validation error; the first element says body, query, path."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in location]
    return "/" + "/".join(parts)


def _identify(request: Request, code: str) -> str:
    request.scope["problem"] = code
    return str(request.scope.get("request_id", ""))


def _framework(request: Request, status: int, headers: Mapping[str, str] | None = None) -> Response:
    code, title = FRAMEWORK.get(status, (f"http_{status}", HTTPStatus(status).phrase))
    return problem_response(
        request.url.path,
        _identify(request, code),
        status=status,
        code=code,
        title=title,
        headers=headers,
    )


def install(app: FastAPI) -> None:
    """Make every failure of the control plane a problem, the framework's own included."""

    @app.exception_handler(AppError)
    async def _foreseen(request: Request, exc: AppError) -> Response:
        return error_response(exc, request.url.path, _identify(request, exc.code))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, exc: RequestValidationError) -> Response:
        found = exc.errors()
        if isinstance(exc.body, bytes):  # the framework leaves what is not called JSON unparsed
            return _framework(request, 415, {"Accept": "application/json"})
        if found[0]["loc"][0] == "path":
            # No id, but a route of its own that takes other methods.
            methods = request.app.state.routes.methods_of(request.scope["path"])
            if request.method not in methods:
                wrong = MethodNotAllowedError(headers={"Allow": ", ".join(methods)})
                return error_response(wrong, request.url.path, _identify(request, wrong.code))
        if any(item["type"] == "json_invalid" for item in found):
            malformed = MalformedError(str(found[0].get("ctx", {}).get("error", "")))
            return error_response(malformed, request.url.path, _identify(request, malformed.code))
        # The input itself is not echoed: it may hold a password.
        errors = [
            {"pointer": pointer(item["loc"]), "detail": item["msg"]} for item in found[:_MAX_ERRORS]
        ]
        return problem_response(
            request.url.path,
            _identify(request, "invalid_input"),
            status=422,
            code="invalid_input",
            title="The request is not valid",
            detail=f"{len(found)} problem(s) in the request",
            errors=errors,
        )

    @app.exception_handler(HTTPException)
    async def _raised(request: Request, exc: HTTPException) -> Response:
        return _framework(request, exc.status_code, exc.headers)

    @app.exception_handler(Exception)
    async def _bug(request: Request, _: Exception) -> Response:
        # Starlette raises it again after this answer; the pipeline logs it there, once.
        return bug_response(request.url.path, _identify(request, "internal"))
