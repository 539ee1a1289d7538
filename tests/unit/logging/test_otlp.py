"""What a record becomes, and what is refused before it has cost anything."""

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from backend.kit.otlp import PROTOBUF
from backend.managers.logging import LoggingSettings
from backend.managers.logging._lines import Batch, read_lines
from backend.managers.logging._otlp import lines_of
from backend.managers.logging._redaction import USUAL, Redaction
from backend.managers.logging.errors import LogBatchTooLargeError

NOW = datetime.now(UTC)
TRACE, SPAN = "ab" * 16, "cd" * 8


def one_record(**said: Any) -> tuple[ExportLogsServiceRequest, LogRecord]:
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = "payment failed"
    for name, value in said.items():
        setattr(record, name, value)
    return message, record


def read(message: ExportLogsServiceRequest, **bounds: int) -> Batch:
    settings = LoggingSettings.model_validate(bounds)
    text = lines_of(message.SerializeToString(), PROTOBUF, "", settings, NOW)
    lines = read_lines(text, "t", Redaction(USUAL, []), settings, NOW, may_be_structured=True)
    while True:
        try:
            next(lines)
        except StopIteration as done:
            return done.value


def row(message: ExportLogsServiceRequest) -> dict[str, Any]:
    (found,) = read(message).rows
    return found


class TestSeverity:
    @pytest.mark.parametrize(
        ("said", "severity", "fields"),
        [
            ({"severity_number": 19, "severity_text": "ERROR"}, 19, {}),
            ({"severity_text": "Warning"}, 13, {}),
            ({"severity_text": "SEVERE"}, 9, {"severity_text": "SEVERE"}),
            ({"severity_number": 17, "severity_text": "S\x00"}, 17, {"severity_text": "S\ufffd"}),
            ({}, 9, {}),
        ],
    )
    def test_a_number_is_sure_and_a_name_of_the_program_is_kept(
        self, said: dict[str, Any], severity: int, fields: dict[str, str]
    ) -> None:
        found = row(one_record(**said)[0])
        assert (found["severity"], found["fields"]) == (severity, fields)

    def test_a_number_that_there_is_not_refuses_the_record(self) -> None:
        assert [one.code for one in read(one_record(severity_number=25)[0]).refused] == [
            "unknown_level"
        ]


class TestIds:
    @pytest.mark.parametrize("trace_id", [b"", bytes(16), b"short"])
    def test_what_is_no_id_leads_nowhere(self, trace_id: bytes) -> None:
        assert row(one_record(trace_id=trace_id, span_id=trace_id)[0])["trace_id"] is None

    def test_an_attribute_says_the_trace_of_a_record_that_does_not(self) -> None:
        message, record = one_record(span_id=bytes.fromhex(SPAN))
        record.attributes.add(key="trace_id").value.string_value = TRACE
        record.attributes.add(key="span_id").value.string_value = "another"
        found = row(message)
        assert (found["trace_id"], found["span_id"]) == (TRACE, SPAN)
        assert found["fields"] == {"attributes": {"span_id": "another"}}


class TestTime:
    def test_is_the_records_own_or_when_it_was_seen_or_when_it_came(self) -> None:
        own, seen = NOW.replace(microsecond=5), NOW.replace(microsecond=7)
        nanoseconds = [int(at.timestamp()) * 10**9 + at.microsecond * 1000 for at in (own, seen)]
        both = {"time_unix_nano": nanoseconds[0], "observed_time_unix_nano": nanoseconds[1]}
        assert row(one_record(**both)[0])["at"] == own
        assert row(one_record(observed_time_unix_nano=nanoseconds[1])[0])["at"] == seen
        assert row(one_record()[0])["at"] == NOW

    @pytest.mark.parametrize("nanoseconds", [1, 2**64 - 1])
    def test_one_of_another_age_refuses_the_record(self, nanoseconds: int) -> None:
        (refused,) = read(one_record(time_unix_nano=nanoseconds)[0]).refused
        assert refused.code == "time_out_of_range"


class TestBody:
    def test_names_in_it_say_what_is_secret(self) -> None:
        message, record = one_record()
        values = record.body.kvlist_value.values
        for name in ("authorization", "db_password", "session.cookie", "order"):
            values.add(key=name).value.string_value = "hunter2" if name != "order" else "7"
        inner = values.add(key="all").value.array_value.values.add().kvlist_value.values
        inner.add(key="client_secret").value.int_value = 4711
        said = row(message)["message"]
        assert "hunter2" not in said
        assert "4711" not in said
        assert '"order":"7"' in said

    @pytest.mark.parametrize(
        ("kind", "value", "message"),
        [("int_value", 7, "7"), ("bool_value", True, "true"), ("bytes_value", b"\xff", "/w==")],
    )
    def test_what_is_no_text_is_json(self, kind: str, value: Any, message: str) -> None:
        export, record = one_record()
        setattr(record.body, kind, value)
        assert row(export)["message"] == message

    def test_without_one_the_events_name_stands_for_it(self) -> None:
        message, record = one_record(event_name="order.paid")
        assert row(message)["fields"] == {"event.name": "order.paid"}
        record.ClearField("body")
        assert row(message)["message"] == "order.paid"
        record.ClearField("event_name")
        assert [one.code for one in read(message).refused] == ["no_message"]


class TestFields:
    def test_nothing_is_cut(self) -> None:
        message, record = one_record()
        record.attributes.add(key="exception.stacktrace").value.string_value = "x" * 20_000
        for number in range(200):
            record.attributes.add(key=f"k{number}").value.int_value = number
        fields = row(message)["fields"]
        assert len(fields.pop("exception.stacktrace")) == 20_000
        assert fields == {f"k{number}": number for number in range(200)}

    def test_the_scope_is_the_logger_unless_the_record_says_it(self) -> None:
        message, record = one_record()
        message.resource_logs[0].scope_logs[0].scope.name = "shop.checkout"
        assert row(message)["fields"] == {"log.logger": "shop.checkout"}
        record.attributes.add(key="log.logger").value.string_value = "own"
        assert row(message)["fields"] == {"log.logger": "own"}


class TestBounds:
    def test_a_record_that_is_too_long_is_refused_alone(self) -> None:
        message, record = one_record()
        record.attributes.add(key="a").value.string_value = "x" * 500
        huge = message.resource_logs[0].scope_logs[0].log_records.add()
        huge.body.array_value.values.extend(record.body for _ in range(500))
        message.resource_logs[0].scope_logs[0].log_records.add().body.string_value = "kept"
        batch = read(message, max_line_bytes=256)
        assert [(one.line, one.code) for one in batch.refused] == [(1, "too_long"), (2, "too_long")]
        assert [one["message"] for one in batch.rows] == ["kept"]

    def test_a_list_of_numbers_is_shorter_as_a_line(self) -> None:
        message, record = one_record()
        record.body.ClearField("value")
        for _ in range(300):
            record.body.array_value.values.add(double_value=0)
        assert record.ByteSize() > 2048
        assert json.loads(read(message, max_line_bytes=2048).rows[0]["message"]) == [0] * 300

    def test_more_records_than_lines_may_be_refuse_the_export(self) -> None:
        message, _ = one_record()
        records = message.resource_logs[0].scope_logs[0].log_records
        records.add().body.string_value = "another"
        assert len(read(message, max_lines=2).rows) == 2
        records.add().body.string_value = "one more"
        with pytest.raises(LogBatchTooLargeError):
            read(message, max_lines=2)

    def test_a_resource_does_not_make_gigabytes_of_a_small_export(self) -> None:
        message, _ = one_record()
        each = message.resource_logs[0]
        for number in range(100):
            each.resource.attributes.add(key=f"k{number}").value.string_value = "v" * 4000
        for _ in range(5000):
            each.scope_logs[0].log_records.add(severity_number=9)
        assert message.ByteSize() < 2**20
        tracemalloc.start()
        with pytest.raises(LogBatchTooLargeError):
            read(message)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 64 * 2**20
