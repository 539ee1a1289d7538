"""Exports of logs by OTLP: their records become the lines that are taken in anyhow.

So what holds for lines holds for them: names, bounds, redaction, refusals one by one.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from backend.kit.otlp import Taken, read_attributes, read_message, read_resource, read_value

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INFO: Final = 9
# What lines say under these names we say here, and an attribute must not say it instead.
_OURS: Final = frozenset(
    {"@timestamp", "timestamp", "log.level", "level", "severity_number", "message"}
    | {"service.name", "source", "trace.id", "trace_id", "span.id", "span_id"}
)


def lines_of(body: bytes, media_type: str, encoding: str, *, limit: int, now: datetime) -> bytes:
    """The records of an export, a line each, in their order.

    Raises:
        ExportTypeError: It is of another type or encoding than OTLP/HTTP has.
        ExportTooLargeError: It is over a limit, once unpacked.
        ExportMalformedError: It is not what it says.
    """
    message = read_message(
        ExportLogsServiceRequest, body, media_type, encoding, limit=limit, with_ids=_records_of
    )
    return b"\n".join(
        msgspec.json.encode(_line(record, {"service.name": service}, described, now))
        for each in message.resource_logs
        for service, described in [read_resource(each.resource)]
        for scope in each.scope_logs
        for record in scope.log_records
    )


def answer_for(taken: Taken) -> ExportLogsServiceResponse:
    """What says what became of an export."""
    made = ExportLogsServiceResponse()
    if taken.rejected:
        said = f"Not kept, the first of them because of {taken.reason}"
        made.partial_success.CopyFrom(
            ExportLogsPartialSuccess(rejected_log_records=taken.rejected, error_message=said)
        )
    return made


def _records_of(export: Any) -> Iterator[dict[str, Any]]:
    for resource in export.get("resourceLogs") or ():
        for scope in resource.get("scopeLogs") or ():
            yield from scope.get("logRecords") or ()


def _line(
    record: Any, named: dict[str, Any], described: dict[str, Any], now: datetime
) -> dict[str, Any]:
    attributes, _ = read_attributes(record.attributes)
    said = {**described, **attributes}
    clashing = {name: said.pop(name) for name in _OURS & said.keys()}
    return {
        **said,
        **({"attributes": clashing} if clashing else {}),
        **named,
        "@timestamp": _time(record.time_unix_nano or record.observed_time_unix_nano, now),
        "log.level": record.severity_number or record.severity_text or _INFO,
        "message": _message(record),
        **({"trace.id": record.trace_id.hex()} if any(record.trace_id) else {}),
        **({"span.id": record.span_id.hex()} if any(record.span_id) else {}),
    }


def _message(record: Any) -> str:
    body = read_value(record.body)
    if body is None:
        return str(record.event_name)
    return body if isinstance(body, str) else msgspec.json.encode(body).decode()


def _time(nanoseconds: int, now: datetime) -> str:
    try:
        at = _EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else now
    except OverflowError:
        return str(nanoseconds)  # refused as the time that it is not
    return at.isoformat()
