"""Rules for traces: which finished requests become spans, and where spans go.

Tail sampling: the decision falls after the request, on what it turned out to be. Errors, slow
requests and traces the caller forced are always kept, of the rest a fixed share chosen by the
trace id, so that every process keeps the same traces.
"""

from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from backend.core.telemetry import RequestRecord

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
except ImportError:  # the embedded shape does not install it
    OTLPSpanExporter = None  # type: ignore[assignment,misc]

_SERVER_ERROR: Final = 500
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SHARE_BITS: Final = 56


class TracingManager:
    """Turns request records into OpenTelemetry spans and exports them in batches."""

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        service: str,
        share: float,
        slow_seconds: float,
    ) -> None:
        # Its own thread exports: a slow collector must not hold up the event loop.
        self._processor = BatchSpanProcessor(exporter)
        self._resource = Resource.create({"service.name": service})
        self._threshold = int(share * 2**_SHARE_BITS)
        self._slow = slow_seconds

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Queue the spans of what is worth keeping; a consumer of the telemetry queue."""
        for record in records:
            if self.keeps(record):
                self._processor.on_end(self._span(record))

    def keeps(self, record: RequestRecord) -> bool:
        """Whether this request's trace is worth keeping."""
        return (
            record.forced
            or record.status >= _SERVER_ERROR
            or record.seconds >= self._slow
            # The last 56 bits are random in a W3C trace id (level 2).
            or int(record.trace_id[-14:], 16) < self._threshold
        )

    def close(self) -> None:
        """Flush and end the exporter."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _span(self, record: RequestRecord) -> ReadableSpan:
        trace_id = int(record.trace_id, 16)
        parent = (
            SpanContext(trace_id, int(record.parent_id, 16), is_remote=True, trace_flags=_SAMPLED)
            if record.parent_id
            else None
        )
        return ReadableSpan(
            name=f"{record.method} {record.route}",
            context=SpanContext(
                trace_id, int(record.span_id, 16), is_remote=False, trace_flags=_SAMPLED
            ),
            parent=parent,
            resource=self._resource,
            kind=SpanKind.SERVER,
            start_time=record.started_ns,
            end_time=record.started_ns + int(record.seconds * 1e9),
            status=Status(StatusCode.ERROR if record.status >= _SERVER_ERROR else StatusCode.UNSET),
            attributes={
                "http.request.method": record.method,
                "http.route": record.route,
                "url.path": record.path,
                "http.response.status_code": record.status,
                "client.address": record.address,
                "email_sender.tenant": record.tenant_id,
                "email_sender.actor": record.actor,
                "email_sender.request_id": record.request_id,
                **({"error.type": record.problem} if record.problem else {}),
            },
        )


def otlp_exporter(endpoint: str) -> SpanExporter:
    """An exporter over OTLP/HTTP.

    Raises:
        RuntimeError: The 'cluster' extra is not installed.
    """
    if OTLPSpanExporter is None:
        msg = "OTLP export needs the 'cluster' extra: pip install email-sender[cluster]"
        raise RuntimeError(msg)
    return OTLPSpanExporter(endpoint=endpoint, timeout=5)
