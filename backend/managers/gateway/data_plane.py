"""Token introspection (RFC 7662) on the data plane: the hottest route, answered from memory.

What is not in memory takes the same way as authentication, database and all.
"""

from collections.abc import Awaitable
from typing import Final
from urllib.parse import parse_qsl

from backend.http.data_route import Call, DataRoute, Raw, Reply
from backend.http.openapi import form_schema, json_response, ref
from backend.managers.gateway.manager import INTROSPECTION_PATH, GatewayManager, Introspection

_NO_STORE: Final = {"cache-control": "no-store"}
_NOT_A_FORM: Final = Reply(
    400,
    b'{"error":"invalid_request","error_description":"Send the form field token"}',
    _NO_STORE,
)
_MAX_FIELDS: Final = 20
_TEXT: Final = {"type": "string"}


def introspect_token(
    gateway: GatewayManager, call: Call[bytes]
) -> bytes | Reply | Awaitable[bytes]:
    """What the token says, or that it does not hold."""
    token = _token_in(call.body)
    if token is None:
        return _NOT_A_FORM
    answer = gateway.cached_introspection(call.principal, token)
    return answer if answer is not None else gateway.introspect(call.principal, token)


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


DATA_ROUTES: Final = (
    DataRoute(
        method="POST",
        path=INTROSPECTION_PATH,
        permission="token:introspect",
        handler=introspect_token,
        summary="Ask whether a token holds (RFC 7662)",
        tags=("oauth",),
        body=Raw(
            "application/x-www-form-urlencoded",
            form_schema(
                ["token"],
                {"token": {**_TEXT, "minLength": 1}, "token_type_hint": _TEXT},
            ),
        ),
        answer=Introspection,
        headers=_NO_STORE,
        responses={
            "200": json_response(
                "What the token says, or that it does not hold",
                {"anyOf": [ref("Introspection"), ref("InactiveToken")]},
            ),
            "400": json_response("No field `token`, or several", ref("OAuthError")),
        },
    ),
)
"""What this manager serves on the data plane."""

OPENAPI: Final = {
    "components": {
        "schemas": {
            "InactiveToken": {
                "type": "object",
                "title": "InactiveToken",
                "description": "All that is said of a token that does not hold, or is foreign.",
                "properties": {"active": {"const": False}},
                "required": ["active"],
                "additionalProperties": False,
            },
        }
    }
}
"""What the document says beside the routes themselves."""
