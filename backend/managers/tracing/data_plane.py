"""OTLP/HTTP on the data plane: where n8n, and anybody, sends spans.

Failures are told in OTLP's own form, a ``Status`` in the type of the request, as its clients
expect. Those of the pipeline, before anybody has looked at the body (401, 403, 413, 429, 503), are
problems like everywhere: clients act by the status and ``Retry-After`` alone (OTLP 1.x, failures).
"""

from typing import Final

from backend.core.errors import AppError
from backend.http.data_route import Call, DataRoute, Raw, Reply
from backend.http.openapi import json_response, ref
from backend.managers.tracing._otlp import JSON, PROTOBUF, answer, refusal
from backend.managers.tracing.errors import (
    BacklogFullError,
    ExportMalformedError,
    ExportTooLargeError,
    ExportTypeError,
)
from backend.managers.tracing.manager import OTLP_PATH, TracingManager

OPENAPI: Final = {
    "components": {
        "schemas": {
            "OtlpExport": {
                "type": "object",
                "title": "OtlpExport",
                "description": "ExportTraceServiceRequest of OTLP, as JSON; or in protobuf",
                "additionalProperties": True,
                "examples": [{}],
            },
            "OtlpAnswer": {
                "type": "object",
                "title": "OtlpAnswer",
                "description": "ExportTraceServiceResponse: `partialSuccess`, if any was rejected",
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
"""What it says of itself beside its routes."""


def _said(description: str) -> dict[str, object]:
    return {
        "description": description,
        "content": {JSON: {"schema": ref("OtlpStatus")}, PROTOBUF: {"schema": {"type": "string"}}},
    }


async def export_traces(tracing: TracingManager, call: Call[bytes]) -> Reply:
    """Take spans in; says how many of them cannot be kept."""
    media_type = call.header(b"content-type").partition(";")[0].strip().lower()
    encoding = call.header(b"content-encoding").lower()
    form = JSON if media_type == JSON else PROTOBUF
    try:
        export = await tracing.take_export(
            call.database.clock(), call.scope.tenant_id, call.body, media_type, encoding
        )
    except AppError as exc:
        said = exc.detail or exc.title
        headers = {**exc.headers, "content-type": form}
        return Reply(exc.status, refusal(exc.status, said, form), headers)
    return Reply(200, answer(export, form), {"content-type": form})


DATA_ROUTES: Final = (
    DataRoute(
        method="POST",
        path=OTLP_PATH,
        permission="trace:write",
        handler=export_traces,
        summary="Send spans by OTLP/HTTP.",
        tags=("trace",),
        body=Raw(JSON, ref("OtlpExport")),
        reads=True,
        responses={
            "200": json_response(
                "What was rejected, if anything was; in protobuf if that was sent",
                ref("OtlpAnswer"),
            ),
            "400": _said("Not an export"),
            "413": _said("Over a limit"),
            "415": _said("Neither protobuf nor JSON, or another encoding than gzip"),
            "429": _said("Too many requests, or spans that wait; see Retry-After"),
        },
        errors=(ExportMalformedError, ExportTooLargeError, ExportTypeError, BacklogFullError),
    ),
)
"""What this manager serves on the data plane."""
