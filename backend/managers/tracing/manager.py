"""Rules for traces: what comes in by OTLP, which requests and job attempts become spans, and where.

Tail sampling: the decision falls after the request, on what it turned out to be. What is exported
to a collector and what is kept in the store are decided on apart: the one by the operator, for the
whole platform, the other as each tenant wants it.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector as SeriesOf

from backend.core.clock import Clock, epoch_nanoseconds, system_clock
from backend.core.database import Database
from backend.core.errors import UpstreamError
from backend.core.ids import PLATFORM_TENANT
from backend.core.telemetry import RequestRecord, Step, new_span_id, parse_traceparent
from backend.kit.outbound import Outbound
from backend.kit.turns import LARGE_BYTES, Turns
from backend.managers.tracing._forward import Forwarder
from backend.managers.tracing._otlp import Export, read_export
from backend.managers.tracing._sampling import is_chosen
from backend.managers.tracing._search import TraceSearch
from backend.managers.tracing._spans import CLIENT, CONSUMER, ERROR, REQUEST_ID, SERVER, Span
from backend.managers.tracing._store import Counts, SpanStore
from backend.managers.tracing._trace_settings import TenantTraceSettings
from backend.managers.tracing.errors import BacklogFullError
from backend.managers.tracing.settings import TracingSettings

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
except ImportError:  # the embedded shape does not install it
    OTLPSpanExporter = None  # type: ignore[assignment,misc]

OTLP_PATH: Final = "/api/v1/otlp/v1/traces"
"""Where spans are sent: what every exporter adds to its endpoint, below the API's root."""
_SERVER_ERROR: Final = 500
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_KINDS: Final = {SERVER: SpanKind.SERVER, CLIENT: SpanKind.CLIENT, CONSUMER: SpanKind.CONSUMER}
_MISSING: Final = (
    "OTLP export needs an exporter: pip install 'email-sender[cluster]', "
    "or scripts/setup in a checkout"
)


class TracingManager:
    """Turns request records into OpenTelemetry spans and exports them in batches."""

    def __init__(
        self,
        make_exporter: Callable[[], SpanExporter] | None,
        *,
        service: str,
        share: float,
        slow_seconds: float,
        collector: "Collector | None" = None,
        settings: TracingSettings | None = None,
        turns: Turns | None = None,
        outbound: Outbound | None = None,
    ) -> None:
        """Decide nothing yet; no span is exported until :meth:`start`.

        Args:
            make_exporter: Where spans go; called by :meth:`start`, and may refuse. None: nowhere
                but into the store.
            service: The service that they are of.
            share: Of unremarkable traces, from 0 to 1, that is exported.
            slow_seconds: What takes longer is always kept.
            collector: To be watched as a dependency.
            settings: Of the store.
            turns: Of costly work; None: its own.
            outbound: The way to where exports are forwarded; None: its own.
        """
        self.settings = settings or TracingSettings()
        self.store = SpanStore(self.settings, slow_seconds=slow_seconds)
        self.search = TraceSearch()
        self.wanted = TenantTraceSettings(self.settings)
        self._turns = turns or Turns()
        self._clock: Clock = system_clock
        self.forwarder: Forwarder | None = None
        if self.settings.forward_endpoint is not None:
            self.forwarder = Forwarder(
                self.settings.forward_endpoint,
                outbound or Outbound(),
                capacity_bytes=self.settings.forward_waiting_bytes,
                count=lambda tenant_id, **amounts: self.store.count(
                    self._clock(), tenant_id, **amounts
                ),
            )
        self._service = service
        self._make_exporter = make_exporter
        self._processor: BatchSpanProcessor | None = None
        self._collector = collector
        self._resource = Resource.create({"service.name": service})
        self._share = share
        self._slow = slow_seconds

    def start(self) -> None:
        """Begin to export.

        Raises:
            RuntimeError: The 'cluster' extra is not installed.
        """
        if self._make_exporter is not None:
            # Its own thread exports: a slow collector must not hold up the event loop.
            self._processor = BatchSpanProcessor(self._make_exporter())

    @asynccontextmanager
    async def serving(self, database: Database) -> AsyncIterator[None]:
        """Export and keep while the block lasts, and what is left at its end."""
        self._clock = database.clock
        self.start()
        try:
            async with AsyncExitStack() as stack:
                if self.forwarder is not None:
                    await stack.enter_async_context(self.forwarder.running())
                yield
        finally:
            self.close()
            # A database that is gone keeps its silence: nobody is left to be told.
            with contextlib.suppress(Exception):
                await self.store.flush(database, everything=True)

    # --- coming in ------------------------------------------------------------------------------

    async def take_export(
        self, now: datetime, tenant_id: str, body: bytes, media_type: str, encoding: str
    ) -> Export:
        """Take the spans of an export by OTLP/HTTP in; what is rejected is counted and said.

        They are durable once they were decided on, half a minute later at most.

        Raises:
            ExportTypeError: It is of another type or encoding than OTLP/HTTP has.
            ExportTooLargeError: It is over a limit, once unpacked.
            ExportMalformedError: It is not what it says.
            BacklogFullError: The process holds as many of the tenant's spans as it may.
        """
        if self.store.is_full(tenant_id):
            raise BacklogFullError(headers={"Retry-After": "5"})
        read = partial(
            read_export,
            body,
            media_type,
            encoding,
            limit=self.settings.inflated_limit_bytes,
            most=self.settings.export_spans,
            now_ns=int(now.timestamp() * 1e9),
            onward_for=tenant_id if self.forwarder is not None else "",
        )
        # What is packed may be a thousand times as large.
        large = encoding == "gzip" or len(body) > LARGE_BYTES
        export = await self._turns.run(tenant_id, read) if large else read()
        if export.rejected:
            self.store.count(now, tenant_id, rejected=export.rejected)
        if self.forwarder is not None and export.onward:
            self.forwarder.add(tenant_id, export.onward, len(export.spans))
        export.reject(
            self.store.add(now, tenant_id, export.spans), "No room for more spans of this trace"
        )
        return export

    async def check_collector(self) -> str:
        """Whether the collector takes spans; a line for people.

        Raises:
            UpstreamError: It does not, or nothing here could export to it.
        """
        if self._collector is None:
            raise UpstreamError("no collector is configured")
        return await self._collector.check()

    @property
    def has_collector(self) -> bool:
        """Whether spans are exported."""
        return self._collector is not None

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Queue the spans of what is worth keeping; a consumer of the telemetry queue.

        What the console reads to show it is in nobody's traces, and neither are exports of spans:
        who sends us their own would otherwise make some by it.
        """
        if self._processor is not None:
            for record in filter(self.keeps, records):
                self._processor.on_end(self._exported_request(record))
        self.store.add_own(
            self._clock(),
            (
                (record.tenant_id, [self._kept_request(record)], record.forced)
                for record in records
                if record.tenant_id and not record.looks_on and record.route != OTLP_PATH
            ),
        )

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
        steps: Sequence[Step] = (),
        **labels: AttributeValue,
    ) -> None:
        """Queue the span of an attempt at a job, as a child of the request that submitted it.

        A worker's event hook: of its events only ``job_finished`` is one. The choice falls by the
        same rules, so a kept request keeps its successful jobs as well, unless it was kept for an
        error or slowness of its own. What the attempt asked of others, ``steps``, goes the way of
        the attempt, as its children.
        """
        parsed = parse_traceparent(traceparent) if name == "job_finished" else None
        if parsed is None:
            return
        trace_id, parent_id, forced = parsed
        failed = outcome not in ("done", "waiting")
        notable = forced or failed or any(step.failed for step in steps)
        span_id, duration_ns = new_span_id(), int(seconds * 1e9)
        started_ns = epoch_nanoseconds() - duration_ns
        attributes = {
            "email_sender.job.kind": kind,
            "email_sender.job.outcome": outcome,
            **{f"email_sender.{label}": value for label, value in labels.items()},
        }
        spans = [
            Span(
                trace_id,
                span_id,
                parent_id,
                self._service,
                f"job {kind}",
                CONSUMER,
                started_ns,
                duration_ns,
                status=ERROR if failed else 0,
                attributes=attributes,
            ),
            *(
                Span(
                    trace_id,
                    new_span_id(),
                    span_id,
                    self._service,
                    step.name,
                    CLIENT,
                    step.started_ns,
                    int(step.seconds * 1e9),
                    status=ERROR if step.failed else 0,
                    attributes=step.attributes,
                )
                for step in steps
            ),
        ]
        if self._processor is not None and self._keeps(trace_id, seconds, notable=notable):
            for span in spans:
                self._processor.on_end(self._exported(span))
        tenant_id = str(labels.get("tenant", ""))
        if tenant_id and tenant_id != PLATFORM_TENANT:
            self.store.add_own(self._clock(), [(tenant_id, spans, forced)])

    def _kept_request(self, record: RequestRecord) -> Span:
        """Without who asked and from where: the trail has that, and forgets people on demand."""
        attributes: dict[str, AttributeValue] = {
            "http.request.method": record.method,
            "http.route": record.route,
            "http.response.status_code": record.status,
            REQUEST_ID: record.request_id,
        }
        if record.problem:
            attributes["error.type"] = record.problem
        return Span(
            record.trace_id,
            record.span_id,
            record.parent_id,
            self._service,
            f"{record.method} {record.route}",
            SERVER,
            record.started_ns,
            int(record.seconds * 1e9),
            ERROR if record.status >= _SERVER_ERROR else 0,
            "",
            attributes,
        )

    def expose(self, registry: CollectorRegistry) -> None:
        """Show what became of this process's spans among its series."""
        registry.register(_SpanSeries(self.store.totals))

    def leave(self, tenant_id: str) -> None:
        """Hold nothing of a tenant whose data goes."""
        self.store.leave(tenant_id)
        if self.forwarder is not None:
            self.forwarder.leave(tenant_id)

    def close(self) -> None:
        """Flush and end the exporter, if there is one."""
        if self._processor is not None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            self._processor = None

    def _keeps(self, trace_id: str, seconds: float, *, notable: bool) -> bool:
        return notable or seconds >= self._slow or is_chosen(trace_id, self._share)

    def _exported_request(self, record: RequestRecord) -> ReadableSpan:
        """With who asked and from where: the collector is the operator's."""
        kept = self._kept_request(record)
        kept.attributes = {
            **kept.attributes,
            "url.path": record.path,
            "client.address": record.address,
            "email_sender.tenant": record.tenant_id,
            "email_sender.actor": record.actor,
        }
        return self._exported(kept)

    def _exported(self, span: Span) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent = (
            SpanContext(
                trace_id,
                int(span.parent_id, 16),
                is_remote=span.kind != CLIENT,
                trace_flags=_SAMPLED,
            )
            if span.parent_id
            else None
        )
        return ReadableSpan(
            name=span.name,
            context=SpanContext(
                trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED
            ),
            parent=parent,
            resource=self._resource,
            kind=_KINDS[span.kind],
            start_time=span.started_ns,
            end_time=span.started_ns + span.duration_ns,
            status=Status(StatusCode.ERROR if span.status == ERROR else StatusCode.UNSET),
            attributes=span.attributes,
        )


class _SpanSeries(SeriesOf):
    """Spans of this process by what became of them."""

    def __init__(self, totals: Counts) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for."""
        found = CounterMetricFamily(
            "email_sender_tracing_spans",
            "Spans by what became of them; those kept by a log are among the kept.",
            labels=["outcome"],
        )
        for name, count in asdict(self._totals).items():
            if name != "kept_bytes":
                found.add_metric([name], count)
        yield found


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
