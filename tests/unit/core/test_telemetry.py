"""Deferred telemetry: the queue, the W3C header, the access log."""

import asyncio
import io
import json

import pytest

from backend.core.log import access_logger
from backend.core.telemetry import (
    RequestRecord,
    Telemetry,
    new_span_id,
    new_trace_id,
    parse_traceparent,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def record(**changes):
    made = RequestRecord(
        started_ns=1_795_348_800_000_000_000,
        seconds=0.0125,
        method="GET",
        route="/api/v1/emails/{email_id}",
        path="/api/v1/emails/1",
        status=404,
        tenant_id="t-1",
        actor="client:es_1",
        address="192.0.2.7",
        request_id="req-1",
        trace_id=TRACE,
        span_id=SPAN,
        parent_id="",
        forced=False,
        problem="email.not_found",
    )
    return made._replace(**changes)


class TestParseTraceparent:
    @pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True)])
    def test_reads_ids_and_the_sampled_flag(self, flags, sampled):
        assert parse_traceparent(f"00-{TRACE}-{SPAN}-{flags}") == (TRACE, SPAN, sampled)

    def test_reads_a_later_version_with_more_fields(self):
        assert parse_traceparent(f"cc-{TRACE}-{SPAN}-01-what-follows") == (TRACE, SPAN, True)

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "nonsense",
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-01-more",
            f"00-{TRACE[:-1]}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}x-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{TRACE}-{SPAN.upper()}-01",
            f"00-{TRACE}-{SPAN}-0g",
            f"00-{TRACE[:-1]}_-{SPAN}-01",
            f"00- {TRACE[1:]}-{SPAN}-01",
            f"00-+{TRACE[1:]}-{SPAN}-01",
        ],
    )
    def test_refuses_what_the_standard_refuses(self, header):
        assert parse_traceparent(header) is None

    def test_accepts_the_ids_made_here(self):
        trace, span = new_trace_id(), new_span_id()
        assert parse_traceparent(f"00-{trace}-{span}-00") == (trace, span, False)


class TestTelemetry:
    def test_hands_every_record_to_every_consumer_once(self):
        one, two = [], []
        telemetry = Telemetry([one.extend, two.extend])
        telemetry.append(record())
        telemetry.append(record(status=500))
        assert telemetry.drain() == 2
        assert telemetry.drain() == 0
        assert [r.status for r in one] == [r.status for r in two] == [404, 500]

    def test_a_consumer_that_fails_does_not_starve_the_next(self, caplog):
        seen = []

        def fail(_):
            raise RuntimeError("broken")

        telemetry = Telemetry([fail, seen.extend])
        telemetry.append(record())
        telemetry.drain()
        assert len(seen) == 1
        assert "telemetry_consumer_failed" in caplog.messages

    async def test_drains_while_it_runs_and_once_more_at_its_end(self):
        seen = []
        telemetry = Telemetry([seen.extend], interval_seconds=0.001)
        async with telemetry.running():
            telemetry.append(record())
            async with asyncio.timeout(60):
                while not seen:
                    await asyncio.sleep(0)
            telemetry.append(record())
        assert len(seen) == 2


class TestAccessLogger:
    def test_writes_one_line_a_request_with_ecs_names(self):
        out = io.StringIO()
        access_logger("email-sender", out)([record(), record(status=503, problem="unavailable")])
        first, second = (json.loads(line) for line in out.getvalue().splitlines())
        assert first["@timestamp"] == "2026-11-22T12:00:00+00:00"
        assert first["event.duration"] == 12_500_000
        assert first["http.route"] == "/api/v1/emails/{email_id}"
        assert first["http.response.status_code"] == 404
        assert first["trace.id"] == TRACE
        assert first["span.id"] == SPAN
        assert first["organization.id"] == "t-1"
        assert first["error.code"] == "email.not_found"
        assert (first["log.level"], second["log.level"]) == ("info", "error")

    def test_a_path_cannot_forge_a_line(self):
        out = io.StringIO()
        access_logger("email-sender", out)([record(path='/a\n{"log.level":"info"}')])
        assert len(out.getvalue().splitlines()) == 1
