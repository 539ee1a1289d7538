"""Exports of logs by OTLP: their records become the lines that are taken in anyhow.

So what holds for lines holds for them: names, bounds, redaction, refusals one by one. A resource is
said once and is in each of its lines, so that a small export could become gigabytes: what the lines
have together is bounded while they are made.
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

from backend.kit.otlp import Taken, clean, read_message, read_pairs, read_resource, read_value
from backend.managers.logging._lines import is_level
from backend.managers.logging.errors import LogBatchTooLargeError
from backend.managers.logging.settings import LoggingSettings

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INFO: Final = 9
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
# A number has eleven bytes in protobuf's list, and may have four in JSON's: nothing shrinks more.
_SHRINKS: Final = 4
# What lines say under these names we say here, and an attribute must not say it instead.
_OURS: Final = frozenset(
    {"@timestamp", "timestamp", "log.level", "level", "severity_number", "message"}
    | {"service.name", "source", "attributes"}
)
# These an attribute may say, of a record that does not say it itself.
_IDS: Final = {"trace.id": ("trace.id", "trace_id"), "span.id": ("span.id", "span_id")}


def lines_of(
    body: bytes, media_type: str, encoding: str, settings: LoggingSettings, now: datetime
) -> bytes:
    """The records of an export, a line each, in their order.

    Raises:
        ExportTypeError: It is of another type or encoding than OTLP/HTTP has.
        ExportTooLargeError: It is over a limit, once unpacked.
        ExportMalformedError: It is not what it says.
        LogBatchTooLargeError: It has too many records, or their lines too many bytes.
    """
    limit = settings.max_unpacked_bytes
    message = read_message(
        ExportLogsServiceRequest, body, media_type, encoding, limit=limit, with_ids=_records_of
    )
    most = settings.max_lines
    if (
        sum(len(one.log_records) for each in message.resource_logs for one in each.scope_logs)
        > most
    ):
        raise LogBatchTooLargeError(f"At most {most} records", limit_lines=most)
    lines = bytearray()
    for line in _lines(message, settings.max_line_bytes, now):
        lines += line
        lines += b"\n"
        if len(lines) > limit:
            raise LogBatchTooLargeError(
                f"At most {limit} bytes, with its resource in each record", limit_bytes=limit
            )
    return bytes(lines)


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


def _lines(message: Any, longest: int, now: datetime) -> Iterator[bytes]:
    for each in message.resource_logs:
        service, described = read_resource(each.resource)
        for scope in each.scope_logs:
            logger = clean(scope.scope.name)
            around = {**described, "log.logger": logger} if logger else described
            for record in scope.log_records:
                if record.ByteSize() > _SHRINKS * longest:
                    # Not worth its making: it is refused for its length, whatever it says.
                    yield b"-" * (longest + 1)
                else:
                    yield msgspec.json.encode(_line(record, service, around, now))


def _line(record: Any, service: str, around: dict[str, Any], now: datetime) -> dict[str, Any]:
    said = {**around, **read_pairs(record.attributes)}
    ids = {}
    if len(record.trace_id) == _TRACE_BYTES and any(record.trace_id):
        ids["trace.id"] = record.trace_id.hex()
    if len(record.span_id) == _SPAN_BYTES and any(record.span_id):
        ids["span.id"] = record.span_id.hex()
    ours = _OURS.union(*(_IDS[name] for name in ids))
    if clashing := {name: said.pop(name) for name in ours & said.keys()}:
        said["attributes"] = clashing
    level = clean(record.severity_text)
    if level and not is_level(level):
        said["severity_text"], level = level, ""
    if record.event_name:
        said["event.name"] = clean(record.event_name)
    return {
        **said,
        **ids,
        "service.name": service,
        "@timestamp": _time(record.time_unix_nano or record.observed_time_unix_nano, now),
        "log.level": record.severity_number or level or _INFO,
        "message": _message(record),
    }


def _message(record: Any) -> Any:
    body = read_value(record.body)
    if body is None:
        return clean(record.event_name)
    # What has names within is told by them what to take out first.
    return body if isinstance(body, str | dict | list) else msgspec.json.encode(body).decode()


def _time(nanoseconds: int, now: datetime) -> str:
    try:
        at = _EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else now
    except OverflowError:
        return str(nanoseconds)  # refused as the time that it is not
    return at.isoformat()
