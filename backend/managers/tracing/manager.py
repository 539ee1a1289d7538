"""Rules for traces: which finished requests and job attempts become spans, and where they go.

Tail sampling: the decision falls after the request, on what it turned out to be. Errors, slow
requests and traces the caller forced are always kept, of the rest a fixed share chosen by the
trace id, so that every process keeps the same traces.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from backend.core.clock import epoch_nanoseconds
from backend.core.database import Database
from backend.core.errors import UpstreamError
from backend.core.telemetry import RequestRecord, new_span_id, parse_traceparent
from backend.kit.outbound import Outbound

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
except ImportError:  # the embedded shape does not install it
    OTLPSpanExporter = None  # type: ignore[assignment,misc]

_SERVER_ERROR: Final = 500
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SHARE_BITS: Final = 56
_MISSING: Final = (
    "OTLP export needs an exporter: pip install 'email-sender[cluster]', "
    "or scripts/setup in a checkout"
)


class TracingManager:
    """Turns request records into OpenTelemetry spans and exports them in batches."""

    def __init__(
        self,
        make_exporter: Callable[[], SpanExporter],
        *,
        service: str,
        share: float,
        slow_seconds: float,
        collector: "Collector | None" = None,
    ) -> None:
        """Decide nothing yet; spans are dropped until :meth:`start`.

        Args:
            make_exporter: Where spans go; called by :meth:`start`, and may refuse.
            service: The service that they are of.
            share: Of unremarkable traces, from 0 to 1, that is kept.
            slow_seconds: What takes longer is always kept.
            collector: To be watched as a dependency.
        """
        self._make_exporter = make_exporter
        self._processor: BatchSpanProcessor | None = None
        self._collector = collector
        self._resource = Resource.create({"service.name": service})
        self._threshold = int(share * 2**_SHARE_BITS)
        self._slow = slow_seconds

    def start(self) -> None:
        """Begin to export.

        Raises:
            RuntimeError: The 'cluster' extra is not installed.
        """
        # Its own thread exports: a slow collector must not hold up the event loop.
        self._processor = BatchSpanProcessor(self._make_exporter())

    @asynccontextmanager
    async def serving(self, _: Database) -> AsyncIterator[None]:
        """Export while the block lasts, and what is left at its end."""
        self.start()
        try:
            yield
        finally:
            self.close()

    async def check_collector(self) -> str:
        """Whether the collector takes spans; a line for people.

        Raises:
            UpstreamError: It does not, or nothing here could export to it.
        """
        if self._collector is None:
            raise UpstreamError("no collector is configured")
        return await self._collector.check()

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Queue the spans of what is worth keeping; a consumer of the telemetry queue."""
        if self._processor is None:
            return
        for record in records:
            if self.keeps(record):
                self._processor.on_end(self._request_span(record))

    def keeps(self, record: RequestRecord) -> bool:
        """Whether this request's trace is worth keeping."""
        return self._keeps(
            record.trace_id,
            record.seconds,
            notable=record.forced or record.status >= _SERVER_ERROR,
        )

    def observe_attempt(
        self,
        name: str,
        *,
        traceparent: str = "",
        kind: str = "",
        outcome: str = "",
        seconds: float = 0.0,
        **labels: AttributeValue,
    ) -> None:
        """Queue the span of an attempt at a job, as a child of the request that submitted it.

        A worker's event hook: of its events only ``job_finished`` is one. The choice falls by the
        same rules, so a kept request keeps its successful jobs as well, unless it was kept for an
        error or slowness of its own.
        """
        parsed = parse_traceparent(traceparent) if name == "job_finished" else None
        if parsed is None or self._processor is None:
            return
        trace_id, parent_id, forced = parsed
        failed = outcome != "done"
        if not self._keeps(trace_id, seconds, notable=forced or failed):
            return
        duration_ns = int(seconds * 1e9)
        self._processor.on_end(
            self._span(
                f"job {kind}",
                SpanKind.CONSUMER,
                ids=(trace_id, new_span_id(), parent_id),
                times=(epoch_nanoseconds() - duration_ns, duration_ns),
                failed=failed,
                attributes={
                    "email_sender.job.kind": kind,
                    "email_sender.job.outcome": outcome,
                    **{f"email_sender.{label}": value for label, value in labels.items()},
                },
            )
        )

    def close(self) -> None:
        """Flush and end the exporter, if there is one."""
        if self._processor is not None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            self._processor = None

    def _keeps(self, trace_id: str, seconds: float, *, notable: bool) -> bool:
        return (
            notable
            or seconds >= self._slow
            # The last 56 bits are random in a W3C trace id (level 2).
            or int(trace_id[-14:], 16) < self._threshold
        )

    def _request_span(self, record: RequestRecord) -> ReadableSpan:
        return self._span(
            f"{record.method} {record.route}",
            SpanKind.SERVER,
            ids=(record.trace_id, record.span_id, record.parent_id),
            times=(record.started_ns, int(record.seconds * 1e9)),
            failed=record.status >= _SERVER_ERROR,
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

    def _span(
        self,
        name: str,
        kind: SpanKind,
        *,
        ids: tuple[str, str, str],
        times: tuple[int, int],
        failed: bool,
        attributes: Mapping[str, AttributeValue],
    ) -> ReadableSpan:
        """``ids``: trace, span, parent or ''. ``times``: start and duration in nanoseconds."""
        trace_id, span_id, parent_id = int(ids[0], 16), int(ids[1], 16), ids[2]
        started_ns, duration_ns = times
        parent = (
            SpanContext(trace_id, int(parent_id, 16), is_remote=True, trace_flags=_SAMPLED)
            if parent_id
            else None
        )
        return ReadableSpan(
            name=name,
            context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED),
            parent=parent,
            resource=self._resource,
            kind=kind,
            start_time=started_ns,
            end_time=started_ns + duration_ns,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            attributes=attributes,
        )


class Collector:
    """The trace collector as a dependency to watch."""

    def __init__(self, endpoint: str, outbound: Outbound) -> None:
        self._endpoint = endpoint
        self._outbound = outbound

    async def check(self) -> str:
        """Hand over no spans at all, which a collector that works accepts.

        Raises:
            UpstreamError: It cannot be reached, or refuses, or nothing here could export to it.
        """
        if not can_export():
            raise UpstreamError(_MISSING)
        answer = await self._outbound.request(
            "POST",
            self._endpoint,
            tenant_id=None,
            public_only=False,
            headers={"Content-Type": "application/x-protobuf"},
            timeout_seconds=2.0,
        )
        if not answer.is_success:
            raise UpstreamError(f"answered {answer.status}")
        return f"answered {answer.status}"


def can_export() -> bool:
    """Whether the 'cluster' extra is installed. Without it no process starts that should export."""
    return OTLPSpanExporter is not None


def otlp_exporter(endpoint: str) -> SpanExporter:
    """An exporter over OTLP/HTTP.

    Raises:
        RuntimeError: The 'cluster' extra is not installed.
    """
    if OTLPSpanExporter is None:
        raise RuntimeError(_MISSING)
    return OTLPSpanExporter(endpoint=endpoint, timeout=5)
