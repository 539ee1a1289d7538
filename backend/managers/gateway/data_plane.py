"""Token introspection (RFC 7662) on the data plane: the hottest route, answered from memory.

Plain ASGI: two messages out, no request object, no response object, no multipart parser. What is
not in memory takes the same way as authentication, database and all.
"""

from typing import Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from backend.core.context import Principal
from backend.core.errors import UnauthenticatedError
from backend.http.deps import refuse_without
from backend.http.problem import problem_response
from backend.managers.gateway._openapi import OPENAPI
from backend.managers.gateway.manager import GatewayManager

PERMISSION: Final = "token:introspect"
_NOT_A_FORM: Final = b'{"error":"invalid_request","error_description":"Send the form field token"}'
_MAX_FIELDS: Final = 20


class _Introspect:
    """``POST /oauth/introspect`` for a caller that the pipeline has authenticated."""

    openapi = OPENAPI

    def __init__(self, gateway: GatewayManager) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint"] = self  # the path is a route of its own: metrics may carry it
        if scope["method"] != "POST":
            await problem_response(
                scope["path"],
                scope.get("request_id", ""),
                status=405,
                code="method_not_allowed",
                title="Method not allowed",
                headers={"Allow": "POST"},
            )(scope, receive, send)
            return
        principal: Principal | None = scope.get("principal")
        if principal is None:
            raise UnauthenticatedError(headers={"WWW-Authenticate": "Bearer"})
        refuse_without(PERMISSION, principal)
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        token = _token_in(body)
        if token is None:
            await _send(send, 400, _NOT_A_FORM)
            return
        answer = self._gateway.cached_introspection(principal, token)
        if answer is None:
            answer = await self._gateway.introspect(principal, token)
        await _send(send, 200, answer)


def gateway_data_plane(gateway: GatewayManager) -> dict[str, ASGIApp]:
    """The data plane's routes of this manager, by exact path."""
    return {"/oauth/introspect": _Introspect(gateway)}


def _token_in(body: bytes) -> str | None:
    """The one ``token`` field of a urlencoded body; None when there is none, or several."""
    # Tokens and keys hold nothing that urlencoding changes, so the usual body needs no parser.
    if body.startswith(b"token=") and not (b"&" in body or b"%" in body or b"+" in body):
        token = body[6:]
        return token.decode() if token and token.isascii() else None
    try:
        pairs = parse_qsl(
            body.decode(), errors="strict", keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        return None
    found = [value for name, value in pairs if name == "token"]
    return found[0] if len(found) == 1 and found[0] else None


async def _send(send: Send, status: int, body: bytes) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"cache-control", b"no-store"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
