"""OTLP/HTTP on the data plane: where n8n, and anybody, sends spans."""

from typing import Final

from backend.http.data_route import Call, DataRoute, Reply
from backend.http.otlp import EXPORT, OPENAPI, answer_export, otlp_responses
from backend.kit.otlp import ExportMalformedError, ExportTooLargeError, ExportTypeError, Taken
from backend.managers.tracing._otlp import answer_for
from backend.managers.tracing.errors import BacklogFullError
from backend.managers.tracing.manager import OTLP_PATH, TracingManager


async def export_traces(tracing: TracingManager, call: Call[bytes]) -> Reply:
    """Take spans in; says how many of them cannot be kept."""

    async def take(media_type: str, encoding: str) -> Taken:
        export = await tracing.take_export(
            call.database.clock(), call.scope.tenant_id, call.body, media_type, encoding
        )
        return Taken(export.rejected, export.reason)

    return await answer_export(call, take, answer_for)


DOCUMENT: Final = OPENAPI
"""What this manager says of itself beside its routes."""
DATA_ROUTES: Final = (
    DataRoute(
        method="POST",
        path=OTLP_PATH,
        permission="trace:write",
        handler=export_traces,
        summary="Send spans by OTLP/HTTP.",
        tags=("trace",),
        body=EXPORT,
        reads=True,
        responses=otlp_responses("Too many requests, or spans that wait"),
        errors=(ExportMalformedError, ExportTooLargeError, ExportTypeError, BacklogFullError),
    ),
)
"""What this manager serves on the data plane."""
