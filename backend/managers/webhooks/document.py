"""What programs are sent, for machines: the OpenAPI document's webhooks, and AsyncAPI."""

from collections.abc import Mapping
from typing import Any, Final

from backend.managers.webhooks._endpoints import TEST

_HEADERS: Final[Mapping[str, tuple[str, str]]] = {
    "webhook-id": ("uuid", "The event's id, the same at each try: take what you know once"),
    "webhook-timestamp": ("", "Seconds since 1970 of this try; refuse what is five minutes old"),
    "webhook-signature": ("", "`v1,` and base64, one for each secret that counts"),
    "webhook-key-id": ("", "Which secret signs first, counted from 1"),
}


def webhooks_of(kinds: Mapping[str, str]) -> dict[str, Any]:
    """The document's ``webhooks``: one, of any kind.

    Args:
        kinds: Every event and the permission that reading it takes.
    """
    described = "told once for sure, and again when the answer was lost"
    return {
        "event": {
            "post": {
                "summary": "Be told of an event",
                "description": f"Sent to the address of a webhook, signed; {described}. "
                "See docs/managers/webhooks.md.",
                "parameters": [
                    {
                        "name": name,
                        "in": "header",
                        "required": True,
                        "description": text,
                        "schema": {"type": "string", **({"format": form} if form else {})},
                    }
                    for name, (form, text) in _HEADERS.items()
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": _event(kinds)}},
                },
                "responses": {
                    "2XX": {"description": "Taken"},
                    "410": {"description": "Gone: it is told of nothing more"},
                    "429": {"description": "Later: after Retry-After, up to an hour"},
                    "4XX": {"description": "401, 403, 404, 407, 408, 409, 421, 423 and 425: "
                            "tried again; any other: after five tries passed over"},
                    "5XX": {"description": "Tried again"},
                },
            }
        }
    }  # fmt: skip


def asyncapi_of(kinds: Mapping[str, str], version: str) -> dict[str, Any]:
    """An AsyncAPI 3 document of all events, by both ways: a webhook, and the live stream.

    Args:
        kinds: Every event and the permission that reading it takes.
        version: Of the release.
    """
    names = sorted(kinds)
    messages = {
        kind: {
            "name": kind,
            "title": kind,
            "contentType": "application/json",
            "payload": {
                "allOf": [
                    {"$ref": "#/components/schemas/Event"},
                    {"properties": {"kind": {"const": kind}}},
                ]
            },
            "x-permission": kinds[kind],
        }
        for kind in names
    }
    told = {kind: {"$ref": f"#/components/messages/{kind}"} for kind in names}

    def of(channel: str) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/{channel}/messages/{kind}"} for kind in names]

    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Email Sender: events",
            "version": version,
            "description": "Generated from what the rooms declare: scripts/renew.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "webhook": {
                "address": None,
                "description": "The address of a webhook, by POST and signed.",
                "messages": told,
                "bindings": {"http": {}},
            },
            "stream": {
                "address": "/api/v1/events",
                "description": "Server-sent events, as they come.",
                "messages": told,
            },
        },
        "operations": {
            "tell": {
                "action": "send",
                "channel": {"$ref": "#/channels/webhook"},
                "messages": of("webhook"),
            },
            "follow": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "messages": of("stream"),
            },
        },
        "components": {"schemas": {"Event": _event(kinds)}, "messages": messages},
    }


def _event(kinds: Mapping[str, str]) -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["id", "seq", "kind", "subject", "at", "actor", "data"],
        "properties": {
            "id": {**text, "format": "uuid"},
            "seq": {"type": "integer", "description": "Its place among the tenant's events"},
            "kind": {**text, "enum": [*sorted(kinds), TEST]},
            "subject": {**text, "description": "`<noun>:<id>`"},
            "at": {**text, "format": "date-time"},
            "actor": {**text, "description": "Who did it"},
            "data": {"type": "object", "description": "What docs/events.md says of the kind"},
        },
    }
