"""The HTTP face of OTLP, whatever the signal: one way to take an export and to answer it.

Failures are told in OTLP's own form, a ``Status`` in the type of the request, as its clients
expect. Those of the pipeline, before anybody has looked at the body (401, 403, 413, 429, 503), are
problems like everywhere: clients act by the status and ``Retry-After`` alone (OTLP 1.x, failures).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from google.protobuf.message import Message

from backend.core.errors import AppError
from backend.http.data_route import Call, Raw, Reply
from backend.http.openapi import json_response, ref
from backend.kit.otlp import JSON, PROTOBUF, Taken, acceptance, refusal

OPENAPI: Final = {
    "components": {
        "schemas": {
            "OtlpExport": {
                "type": "object",
                "title": "OtlpExport",
                "description": "The signal's export request of OTLP, as JSON; or in protobuf",
                "additionalProperties": True,
                "examples": [{}],
            },
            "OtlpAnswer": {
                "type": "object",
                "title": "OtlpAnswer",
                "description": "The signal's export response: `partialSuccess`, if any was "
                "rejected",
                "additionalProperties": True,
            },
            "OtlpStatus": {
                "type": "object",
                "title": "OtlpStatus",
                "description": "google.rpc.Status",
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
            },
        }
    }
}
"""What rooms that take exports say beside their routes."""
EXPORT: Final = Raw(JSON, ref("OtlpExport"))


def _said(description: str) -> dict[str, object]:
    return {
        "description": description,
        "content": {JSON: {"schema": ref("OtlpStatus")}, PROTOBUF: {"schema": {"type": "string"}}},
    }


def otlp_responses(too_many: str) -> Mapping[str, Mapping[str, Any]]:
    """Responses for the document; ``too_many`` is what a 429 is about."""
    return {
        "200": json_response(
            "What was rejected, if anything was; in protobuf if that was sent", ref("OtlpAnswer")
        ),
        "400": _said("Not an export"),
        "413": _said("Over a limit"),
        "415": _said("Neither protobuf nor JSON, or another encoding than gzip"),
        "429": _said(f"{too_many}; see Retry-After"),
    }


async def answer_export(
    call: Call[bytes],
    take: Callable[[str, str], Awaitable[Taken]],
    answer_for: Callable[[Taken], Message],
) -> Reply:
    """Take an export in, and say how much of it cannot be kept.

    Args:
        call: With its body.
        take: Told the type and the encoding.
        answer_for: Makes the signal's response of what became of it.
    """
    media_type = call.header(b"content-type").partition(";")[0].strip().lower()
    form = JSON if media_type == JSON else PROTOBUF
    try:
        taken = await take(media_type, call.header(b"content-encoding").lower())
    except AppError as exc:
        said = exc.detail or exc.title
        headers = {**exc.headers, "content-type": form}
        return Reply(exc.status, refusal(exc.status, said, form), headers)
    return Reply(200, acceptance(answer_for(taken), form), {"content-type": form})
