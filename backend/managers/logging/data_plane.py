"""Lines come in on the data plane: a batch a request, answered when it is durable."""

from typing import Final

import msgspec

from backend.core.database import Tx
from backend.core.errors import RateLimitedError
from backend.core.telemetry import parse_traceparent
from backend.http.data_route import Call, DataRoute, Raw, Reply
from backend.http.openapi import json_response, ref
from backend.http.otlp import EXPORT, OPENAPI, answer_export, otlp_responses
from backend.http.reply import leads_to
from backend.kit.otlp import ExportMalformedError, ExportTooLargeError, ExportTypeError, Taken
from backend.managers.logging._otlp import answer_for
from backend.managers.logging.errors import (
    LogBatchDamagedError,
    LogBatchTooLargeError,
    LogBudgetError,
)
from backend.managers.logging.manager import OTLP_PATH, PATH, LoggingManager

"""Where records are sent by OTLP: what every exporter adds to its endpoint."""


class RefusedLine(msgspec.Struct):
    """A line that was not kept, and why."""

    line: int
    code: str


class LogsAccepted(msgspec.Struct):
    """How many lines were kept, the id of the first of them, and which were not."""

    accepted: int
    refused: list[RefusedLine]
    first_id: str | None


async def write_logs(logs: LoggingManager, call: Call[bytes]) -> Reply:
    """Keep the lines of a batch."""
    asked_in = parse_traceparent(call.header(b"traceparent"))
    batch = await logs.read(
        call.database, call.scope, call.body, trace_id=None if asked_in is None else asked_in[0]
    )
    answer = LogsAccepted(
        len(batch.rows),
        [RefusedLine(one.line, one.code) for one in batch.refused],
        batch.rows[0]["id"] if batch.rows else None,
    )

    async def keep(tx: Tx) -> Reply:
        if batch.rows or batch.refused:
            await logs.add(tx, batch)
        return call.reply(tx, answer)

    return await call.database.together(
        call.scope, keep, contends=call.is_keyed, size_bytes=batch.size_bytes
    )


async def export_logs(logs: LoggingManager, call: Call[bytes]) -> Reply:
    """Keep the records of an export; says how many of them cannot be."""

    async def take(media_type: str, encoding: str) -> Taken:
        batch = await logs.read_export(call.database, call.scope, call.body, media_type, encoding)
        first = batch.refused[0].code if batch.refused else ""
        taken = Taken(len(batch.refused), first)

        async def keep(tx: Tx) -> Taken:
            if batch.rows or batch.refused:
                await logs.add(tx, batch)
            return taken

        return await call.database.together(call.scope, keep, size_bytes=batch.size_bytes)

    return await answer_export(call, take, answer_for)


_EXAMPLE: Final = (
    '{"@timestamp": "2026-01-31T08:00:00Z", "log.level": "error", "service.name": "shop", '
    '"message": "payment failed", "trace.id": "4bf92f3577b34da6a3ce929d0e0e4736"}\n'
)

_FIRST: Final = {"record_id": "$response.body#/first_id"}


DOCUMENT: Final = OPENAPI
"""What this manager says of itself beside its routes."""
DATA_ROUTES: Final = (
    DataRoute(
        method="POST",
        path=PATH,
        permission="log:write",
        handler=write_logs,
        summary="Keep log lines.",
        tags=("log",),
        body=Raw(
            "application/x-ndjson",
            {
                "type": "string",
                "description": "A JSON object a line, with names of the Elastic Common Schema; may "
                "be packed with gzip. `message` is needed. `@timestamp` is RFC 3339, `log.level` "
                "one of trace, debug, info, warn, error, fatal; `service.name`, `trace.id`, "
                "`span.id`, `http.request.id`, `workflow.id` and `execution.id` are looked for; a "
                "line that names no trace is of the one that `traceparent` says. All else is kept "
                "as it is.",
                "examples": [_EXAMPLE],
            },
        ),
        answer=LogsAccepted,
        once=True,
        responses={
            "200": {
                **json_response("Kept for good", ref("LogsAccepted")),
                **leads_to(get_log=_FIRST, get_log_context=_FIRST),
            }
        },
        errors=(
            LogBatchTooLargeError,
            LogBatchDamagedError,
            RateLimitedError,
            LogBudgetError,
        ),
    ),
    DataRoute(
        method="POST",
        path=OTLP_PATH,
        permission="log:write",
        handler=export_logs,
        summary="Send log records by OTLP/HTTP.",
        tags=("log",),
        body=EXPORT,
        reads=True,
        responses=otlp_responses("Too many requests, or today's budget is used up"),
        errors=(
            ExportMalformedError,
            ExportTooLargeError,
            ExportTypeError,
            LogBatchTooLargeError,
            LogBudgetError,
        ),
    ),
)
"""What this manager serves on the data plane."""
