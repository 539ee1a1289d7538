"""Which requests and job attempts become spans, and what the spans say."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from backend.core.errors import UpstreamError
from backend.core.telemetry import RequestRecord, Step
from backend.kit.outbound import Outbound
from backend.managers.tracing import Collector, TracingManager

# The last 56 bits decide: these are the lowest and the highest there are.
CHOSEN = "4bf92f3577b34da6a300000000000001"
LEFT_OUT = "4bf92f3577b34da6a3ffffffffffffff"
SPAN, PARENT = "00f067aa0ba902b7", "b7ad6b7169203331"
STARTED_NS = 1_795_348_800_000_000_000


def record(**changes):
    made = RequestRecord(
        started_ns=STARTED_NS,
        seconds=0.25,
        method="POST",
        route="/api/v1/emails",
        path="/api/v1/emails",
        status=202,
        tenant_id="t-1",
        actor="client:es_1",
        address="192.0.2.7",
        request_id="req-1",
        trace_id=LEFT_OUT,
        span_id=SPAN,
        parent_id="",
        forced=False,
        problem="",
    )
    return made._replace(**changes)


class Traces:
    def __init__(self, share=0.01):
        self._exporter = InMemorySpanExporter()
        self.manager = TracingManager(
            lambda: self._exporter, service="email-sender", share=share, slow_seconds=1.0
        )
        self.manager.start()

    def spans(self):
        self.manager.close()
        return self._exporter.get_finished_spans()


@pytest.fixture
def traces():
    return Traces()


class TestObserve:
    @pytest.mark.parametrize(
        "changes",
        [
            {"status": 500},
            {"status": 503},
            {"seconds": 1.0},
            {"forced": True},
            {"trace_id": CHOSEN},
        ],
    )
    def test_keeps_errors_slow_forced_and_the_chosen_share(self, traces, changes):
        traces.manager.observe([record(**changes)])
        assert len(traces.spans()) == 1

    @pytest.mark.parametrize("changes", [{}, {"status": 404}, {"seconds": 0.999}])
    def test_leaves_out_the_unremarkable(self, traces, changes):
        traces.manager.observe([record(**changes)])
        assert traces.spans() == ()

    @pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (1.0, 2)])
    def test_share_of_nothing_and_of_everything(self, share, kept):
        traces = Traces(share)
        traces.manager.observe([record(), record(trace_id=CHOSEN)])
        assert len(traces.spans()) == kept

    def test_the_span_tells_the_request(self, traces):
        traces.manager.observe(
            [record(status=503, problem="database_unavailable", parent_id=PARENT)]
        )
        (span,) = traces.spans()
        assert span.name == "POST /api/v1/emails"
        assert span.kind is SpanKind.SERVER
        assert span.status.status_code is StatusCode.ERROR
        assert f"{span.context.trace_id:032x}" == LEFT_OUT
        assert f"{span.context.span_id:016x}" == SPAN
        assert span.parent.trace_id == span.context.trace_id
        assert f"{span.parent.span_id:016x}" == PARENT
        assert span.parent.is_remote
        assert (span.start_time, span.end_time) == (STARTED_NS, STARTED_NS + 250_000_000)
        assert span.attributes["http.route"] == "/api/v1/emails"
        assert span.attributes["http.response.status_code"] == 503
        assert span.attributes["error.type"] == "database_unavailable"
        assert span.resource.attributes["service.name"] == "email-sender"

    def test_a_request_without_a_caller_that_traces_is_a_root(self, traces):
        traces.manager.observe([record(forced=True)])
        (span,) = traces.spans()
        assert span.parent is None
        assert span.status.status_code is StatusCode.UNSET
        assert "error.type" not in span.attributes


class TestObserveAttempt:
    def test_is_a_child_of_the_request_that_submitted_the_job(self, traces):
        traces.manager.observe_attempt(
            "job_finished",
            traceparent=f"00-{LEFT_OUT}-{SPAN}-01",
            kind="email.send",
            outcome="done",
            seconds=0.5,
            tenant="t-1",
            job="j-1",
            attempt=2,
        )
        (span,) = traces.spans()
        assert span.name == "job email.send"
        assert span.kind is SpanKind.CONSUMER
        assert f"{span.parent.span_id:016x}" == SPAN
        assert span.context.span_id != span.parent.span_id
        assert span.end_time - span.start_time == 500_000_000
        assert span.attributes["email_sender.job"] == "j-1"
        assert span.attributes["email_sender.attempt"] == 2
        assert span.status.status_code is StatusCode.UNSET

    def test_what_it_asked_of_others_is_below_it(self, traces):
        traces.manager.observe_attempt(
            "job_finished",
            traceparent=f"00-{LEFT_OUT}-{SPAN}-00",
            kind="k",
            outcome="done",
            steps=[
                Step("smtp.send", STARTED_NS, 0.25, failed=True, attributes={"server.port": 25})
            ],
        )
        # Not the attempt, the step in it has failed: both are kept for that.
        attempt, step = traces.spans()
        assert f"{attempt.parent.span_id:016x}" == SPAN
        assert step.parent.span_id == attempt.context.span_id
        assert not step.parent.is_remote
        assert (step.kind, step.name) == (SpanKind.CLIENT, "smtp.send")
        assert (step.start_time, step.end_time) == (STARTED_NS, STARTED_NS + 250_000_000)
        assert step.attributes == {"server.port": 25}
        assert step.status.status_code is StatusCode.ERROR
        assert attempt.status.status_code is StatusCode.UNSET

    def test_what_did_not_succeed_is_kept_as_an_error(self, traces):
        traces.manager.observe_attempt(
            "job_finished", traceparent=f"00-{LEFT_OUT}-{SPAN}-00", kind="k", outcome="retrying"
        )
        (span,) = traces.spans()
        assert span.status.status_code is StatusCode.ERROR

    @pytest.mark.parametrize(
        ("name", "traceparent"),
        [
            ("job_finished", f"00-{LEFT_OUT}-{SPAN}-00"),
            ("job_finished", ""),
            ("job_finished", "nonsense"),
            ("job_claimed", f"00-{CHOSEN}-{SPAN}-01"),
        ],
    )
    def test_leaves_out_the_rest(self, traces, name, traceparent):
        traces.manager.observe_attempt(name, traceparent=traceparent, kind="k", outcome="done")
        assert traces.spans() == ()


class TestCollector:
    @staticmethod
    @asynccontextmanager
    async def answering(status):
        """A server that gives each request this status, and what it was asked."""
        seen = []

        async def serve(reader, writer):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        outbound = Outbound()
        try:
            yield Collector(f"http://127.0.0.1:{port}/v1/traces", outbound), seen
        finally:
            await outbound.aclose()
            server.close()
            await server.wait_closed()

    async def test_takes_an_export_of_nothing(self):
        async with self.answering(200) as (collector, seen):
            assert await collector.check() == "answered 200"
        (head,) = seen
        assert head.startswith(b"POST /v1/traces ")
        assert b"content-type: application/x-protobuf" in head.lower()
        assert b"content-length: 0" in head.lower()

    async def test_says_what_is_wrong(self, unused_tcp_port):
        async with self.answering(404) as (collector, _):
            with pytest.raises(UpstreamError, match="404"):
                await collector.check()
        nobody = Collector(f"http://127.0.0.1:{unused_tcp_port}/v1/traces", Outbound())
        with pytest.raises(UpstreamError, match="nobody takes the connection"):
            await nobody.check()
