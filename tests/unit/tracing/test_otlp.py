"""What an export holds, and what is refused before it has cost anything."""

import math
import time

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from backend.kit.otlp import JSON, PROTOBUF, ExportMalformedError, ExportTooLargeError
from backend.managers.tracing._otlp import CUT, read_export

NOW = time.time_ns()


def one_span(**changes):
    message = ExportTraceServiceRequest()
    span = (
        message.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="x", start_time_unix_nano=NOW)
    )
    for name, value in changes.items():
        setattr(span, name, value)
    return message, span


def read(message, **more):
    bounds = {"limit": 2**20, "most": 10, "now_ns": NOW, **more}
    return read_export(message.SerializeToString(), PROTOBUF, "", **bounds)


class TestReadExport:
    def test_values_are_as_json_holds_them(self):
        message, span = one_span()
        span.attributes.add(key="text").value.string_value = "a\x00b"
        span.attributes.add(key="bytes").value.bytes_value = b"\xff"
        span.attributes.add(key="odd").value.double_value = math.inf
        span.attributes.add(key="list").value.array_value.values.add(int_value=7)
        span.attributes.add(key="none")
        (found,) = read(message).spans
        assert found.attributes == {
            "text": "a\ufffdb",
            "bytes": "/w==",
            "odd": "inf",
            "list": [7],
            "none": None,
        }

    def test_what_is_too_much_of_a_span_is_cut_and_said(self):
        message, span = one_span(name="n" * 9000)
        for number in range(200):
            span.attributes.add(key=f"k{number}").value.string_value = "v" * 9000
        (found,) = read(message, limit=2**22).spans
        assert len(found.attributes) == 129
        assert found.attributes[CUT] is True
        assert len(found.attributes["k0"]) == 4096
        assert len(found.name) == 512

    @pytest.mark.parametrize(
        "changes",
        [
            {"trace_id": b""},
            {"trace_id": bytes(16)},
            {"span_id": b"short"},
            {"parent_span_id": b"short"},
            {"start_time_unix_nano": 0},
            {"start_time_unix_nano": 2**64 - 1},
            {"end_time_unix_nano": 2**64 - 1},
        ],
    )
    def test_what_is_no_span_is_rejected(self, changes):
        export = read(one_span(**changes)[0])
        assert (export.spans, export.rejected) == ([], 1)
        assert export.reason

    def test_one_that_ends_before_it_began_took_no_time(self):
        (found,) = read(one_span(end_time_unix_nano=NOW - 5)[0]).spans
        assert found.duration_ns == 0

    def test_takes_so_many_and_counts_the_rest(self):
        message, span = one_span()
        spans = message.resource_spans[0].scope_spans[0].spans
        spans.extend([span] * 14)
        export = read(message)
        assert (len(export.spans), export.rejected) == (10, 5)

    @pytest.mark.parametrize(
        ("body", "form"),
        [(b"{}," * 300_000, JSON), (b"\x0a\x00" * 600_000, PROTOBUF)],
    )
    def test_a_crowd_of_nothing_is_refused_unread(self, body, form):
        with pytest.raises(ExportTooLargeError):
            read_export(body, form, "", limit=2**24, most=10, now_ns=NOW)

    @pytest.mark.parametrize("body", [b'{"resourceSpans":' * 5000, b"[" * 5000])
    def test_depth_is_no_way_in(self, body):
        with pytest.raises(ExportMalformedError):
            read_export(body, JSON, "", limit=2**20, most=10, now_ns=NOW)
