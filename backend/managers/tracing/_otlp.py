"""Exports of traces by OTLP: the spans in them, and what of them goes on to a collector."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from backend.kit.otlp import (
    MAX_NAME,
    MAX_TEXT,
    Taken,
    clean,
    read_attributes,
    read_message,
    read_resource,
)
from backend.managers.tracing._spans import Span

_MAX_EVENTS: Final = 64
_MAX_LINKS: Final = 32
_FUTURE_NS: Final = 24 * 3600 * 10**9
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
    message = read_message(
        ExportTraceServiceRequest, body, media_type, encoding, limit=limit, with_ids=_with_ids
    )
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


def answer_for(taken: Taken) -> ExportTraceServiceResponse:
    """What says what became of an export."""
    made = ExportTraceServiceResponse()
    if taken.rejected:
        made.partial_success.CopyFrom(
            ExportTracePartialSuccess(rejected_spans=taken.rejected, error_message=taken.reason)
        )
    return made


def _with_ids(export: Any) -> Iterator[dict[str, Any]]:
    for resource in export.get("resourceSpans") or ():
        for scope in resource.get("scopeSpans") or ():
            for span in scope.get("spans") or ():
                yield span
                yield from span.get("links") or ()


def _spans_of(message: ExportTraceServiceRequest, *, most: int, now_ns: int) -> Export:
    export = Export()
    for resource in message.resource_spans:
        service, described = read_resource(resource.resource)
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
    attributes, cut = read_attributes(span.attributes)
    cut |= len(span.events) > _MAX_EVENTS or len(span.links) > _MAX_LINKS
    parent = span.parent_span_id.hex() if any(span.parent_span_id) else ""
    made = Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=parent,
        service=service,
        name=clean(span.name)[:MAX_NAME] or "(unnamed)",
        kind=span.kind,
        started_ns=span.start_time_unix_nano,
        duration_ns=max(0, span.end_time_unix_nano - span.start_time_unix_nano),
        status=span.status.code,
        message=clean(span.status.message)[:MAX_TEXT],
        attributes=attributes,
        resource=resource,
        events=[
            {
                "name": clean(event.name)[:MAX_NAME],
                "at_ns": event.time_unix_nano,
                "attributes": read_attributes(event.attributes)[0],
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
