"""Reading exports of traces by OTLP/HTTP 1.x: protobuf or JSON, plain or gzip.

A bomb is refused while it goes off: gzip is undone no further than the limit, and what a message
would become is bounded before it is parsed. One reader for both forms: JSON is read into the same
message, for which its ids are written as the message's own JSON has bytes.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from backend.kit.gunzip import GzipDamagedError, GzipTooLargeError, gunzip
from backend.managers.tracing._spans import Span
from backend.managers.tracing.errors import (
    ExportMalformedError,
    ExportTooLargeError,
    ExportTypeError,
)

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_MAX_VALUES: Final = 500_000
_MAX_TEXT: Final = 4096
_MAX_NAME: Final = 512
_MAX_ATTRIBUTES: Final = 128
_MAX_EVENTS: Final = 64
_MAX_LINKS: Final = 32
_FUTURE_NS: Final = 24 * 3600 * 10**9
_GRPC_CODES: Final = {400: 3, 413: 8, 415: 3, 429: 8, 503: 14}
_INTERNAL: Final = 13
_FAULTS: Final = (
    DecodeError,
    ParseError,
    msgspec.DecodeError,
    ValueError,
    # What JSON may be, and no export is.
    TypeError,
    AttributeError,
    RecursionError,
)
TENANT: Final = "email_sender.tenant"
"""The attribute of a resource by which a collector tells tenants apart."""
CUT: Final = "email_sender.truncated"
"""The attribute of a span that was more than is kept of one."""


@dataclass(slots=True)
class Export:
    """The spans that can be kept, how many cannot, and why the first of those.

    ``onward`` has the former as a message in protobuf, if that was asked for.
    """

    spans: list[Span] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""
    onward: bytes = b""

    def reject(self, count: int, reason: str) -> None:
        """Count spans that cannot be kept."""
        if count:
            self.rejected += count
            self.reason = self.reason or reason


def read_export(
    body: bytes,
    media_type: str,
    encoding: str,
    *,
    limit: int,
    most: int,
    now_ns: int,
    onward_for: str = "",
) -> Export:
    """The spans of an export.

    Args:
        body: As it came.
        media_type: ``application/x-protobuf`` or ``application/json``.
        encoding: ``gzip``, or nothing.
        limit: Bytes once gzip is undone.
        most: Spans.
        now_ns: Since the epoch: what begins a day later has no time.
        onward_for: The tenant whose name the export is to bear on its way on; empty: it ends here.

    Raises:
        ExportTypeError: It is of another type or encoding.
        ExportTooLargeError: It has more bytes, or more values, than the limit.
        ExportMalformedError: It is not what it says.
    """
    if media_type not in {PROTOBUF, JSON}:
        raise ExportTypeError(f"Send {PROTOBUF} or {JSON}", headers={"Accept": PROTOBUF})
    if encoding not in {"", "identity", "gzip"}:
        raise ExportTypeError("Send it plain or with gzip", headers={"Accept-Encoding": "gzip"})
    if encoding == "gzip":
        try:
            body = gunzip(body, limit)
        except GzipTooLargeError as exc:
            raise ExportTooLargeError(str(exc), limit_bytes=limit) from None
        except GzipDamagedError as exc:
            raise ExportMalformedError(str(exc)) from None
    if len(body) > limit:
        raise ExportTooLargeError(f"At most {limit} bytes, once unpacked", limit_bytes=limit)
    message = ExportTraceServiceRequest()
    try:
        if media_type == JSON:
            _refuse_crowds(sum(body.count(sign) for sign in (b",", b"[", b"{")))
            ParseDict(_with_base64(msgspec.json.decode(body)), message, ignore_unknown_fields=True)
        else:
            # An empty message is two bytes, and some hundred in memory.
            _refuse_crowds(body.count(b"\x00") if len(body) > _MAX_VALUES else 0)
            message.ParseFromString(bytes(body))
    except _FAULTS:
        raise ExportMalformedError(f"Not an ExportTraceServiceRequest in {media_type}") from None
    export = _spans_of(message, most=most, now_ns=now_ns)
    if onward_for and export.spans:
        export.onward = _marked(message, onward_for)
    return export


def _marked(message: ExportTraceServiceRequest, tenant_id: str) -> bytes:
    """With whose spans they are: a collector knows nothing of credentials, and believes nobody."""
    for each in message.resource_spans:
        others = [one for one in each.resource.attributes if one.key != TENANT]
        if len(others) < len(each.resource.attributes):
            kept = Resource(attributes=others)
            del each.resource.attributes[:]
            each.resource.attributes.extend(kept.attributes)
        each.resource.attributes.add(key=TENANT).value.string_value = tenant_id
    return bytes(message.SerializeToString())


def answer(export: Export, media_type: str) -> bytes:
    """The answer to an export that was taken, whole or in part."""
    message = ExportTraceServiceResponse()
    if export.rejected:
        message.partial_success.CopyFrom(
            ExportTracePartialSuccess(rejected_spans=export.rejected, error_message=export.reason)
        )
    if media_type == PROTOBUF:
        return bytes(message.SerializeToString())
    if not export.rejected:
        return b"{}"
    # 64 bits are text in protobuf's JSON.
    said = {"rejectedSpans": str(export.rejected), "errorMessage": export.reason}
    return msgspec.json.encode({"partialSuccess": said})


def refusal(status: int, said: str, media_type: str) -> bytes:
    """The ``Status`` that OTLP/HTTP wants of every failure, in the form of the request."""
    code = _GRPC_CODES.get(status, _INTERNAL)
    if media_type == PROTOBUF:
        return bytes(Status(code=code, message=said).SerializeToString())
    return msgspec.json.encode({"code": code, "message": said})


def _refuse_crowds(values: int) -> None:
    if values > _MAX_VALUES:
        raise ExportTooLargeError(f"At most {_MAX_VALUES} values")


def _with_base64(export: Any) -> Any:
    """Ids are hex in OTLP's JSON, and base64 in protobuf's own."""
    for resource in export.get("resourceSpans") or ():
        for scope in resource.get("scopeSpans") or ():
            for span in scope.get("spans") or ():
                _rewrite_ids(span)
                for link in span.get("links") or ():
                    _rewrite_ids(link)
    return export


def _rewrite_ids(thing: dict[str, Any]) -> None:
    for name in ("traceId", "spanId", "parentSpanId"):
        if name in thing:
            thing[name] = base64.b64encode(bytes.fromhex(thing[name])).decode()


def _spans_of(message: ExportTraceServiceRequest, *, most: int, now_ns: int) -> Export:
    export = Export()
    for resource in message.resource_spans:
        described, _ = _attributes(resource.resource.attributes)
        service = str(described.pop("service.name", "") or "unknown_service")[:_MAX_NAME]
        described = {
            name: value
            for name, value in described.items()
            if not name.startswith(("telemetry.sdk.", "process."))
        }
        for scope in resource.scope_spans:
            room = max(0, most - len(export.spans))
            export.reject(max(0, len(scope.spans) - room), f"At most {most} spans an export")
            del scope.spans[room:]
            faulty = []
            for at, span in enumerate(scope.spans):
                reason = _fault_of(span, now_ns)
                if reason:
                    export.reject(1, reason)
                    faulty.append(at)
                else:
                    export.spans.append(_span(span, service, described))
            # What goes on is what was taken.
            for at in reversed(faulty):
                del scope.spans[at]
    return export


def _fault_of(span: Any, now_ns: int) -> str:
    """Why a span cannot be kept; empty: it can."""
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "A trace id has 16 bytes that are not all zero"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "A span id has 8 bytes that are not all zero"
    if span.parent_span_id and len(span.parent_span_id) != 8:
        return "A parent's span id has 8 bytes, or none"
    if not span.start_time_unix_nano or span.start_time_unix_nano > now_ns + _FUTURE_NS:
        return "A span begins at a time since 1970, and not in the future"
    if span.end_time_unix_nano > now_ns + _FUTURE_NS:
        return "A span does not end in the future"
    return ""


def _span(span: Any, service: str, resource: Mapping[str, Any]) -> Span:
    attributes, cut = _attributes(span.attributes)
    cut |= len(span.events) > _MAX_EVENTS or len(span.links) > _MAX_LINKS
    parent = span.parent_span_id.hex() if any(span.parent_span_id) else ""
    made = Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=parent,
        service=service,
        name=_clean(span.name)[:_MAX_NAME] or "(unnamed)",
        kind=span.kind,
        started_ns=span.start_time_unix_nano,
        duration_ns=max(0, span.end_time_unix_nano - span.start_time_unix_nano),
        status=span.status.code,
        message=_clean(span.status.message)[:_MAX_TEXT],
        attributes=attributes,
        resource=resource,
        events=[
            {
                "name": _clean(event.name)[:_MAX_NAME],
                "at_ns": event.time_unix_nano,
                "attributes": _attributes(event.attributes)[0],
            }
            for event in span.events[:_MAX_EVENTS]
            if event.time_unix_nano < 2**63
        ],
        links=[
            {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()}
            for link in span.links[:_MAX_LINKS]
        ],
    )
    if cut:
        made.attributes = {**attributes, CUT: True}
    said = (made.attributes, made.resource, made.events, made.links)
    made.size_bytes = 256 + len(made.name) + len(made.message) + len(msgspec.json.encode(said))
    return made


def _attributes(pairs: Iterable[Any]) -> tuple[dict[str, Any], bool]:
    """As JSON holds them, and whether there was more than is kept."""
    found: dict[str, Any] = {}
    cut = False
    for pair in pairs:
        if len(found) >= _MAX_ATTRIBUTES:
            return found, True
        value = _value(pair.value)
        if isinstance(value, str) and len(value) > _MAX_TEXT:
            value, cut = value[:_MAX_TEXT], True
        elif isinstance(value, dict | list) and len(msgspec.json.encode(value)) > _MAX_TEXT:
            value, cut = "(too large)", True
        found[_clean(pair.key)[:_MAX_NAME]] = value
    return found, cut


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    held = getattr(value, kind)
    if kind == "string_value":
        return _clean(held)
    if kind == "array_value":
        return [_value(one) for one in held.values]
    if kind == "kvlist_value":
        return {_clean(one.key): _value(one.value) for one in held.values}
    if kind == "bytes_value":
        return base64.b64encode(held).decode()
    if kind == "double_value" and not abs(held) < float("inf"):
        return str(held)  # JSON has neither infinity nor NaN
    return held


def _clean(text: str) -> str:
    """No database of ours keeps U+0000."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text
