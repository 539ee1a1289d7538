"""Records by OTLP/HTTP: each becomes a line, or is said not to, on both databases."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from backend.managers.logging import LoggingSettings
from backend.settings import Settings
from tests.support.platform import App, TenantClient
from tests.support.serving import serving

PATH = "/api/v1/otlp/v1/logs"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    small = LoggingSettings(
        max_lines=100, max_unpacked_bytes=100_000, max_line_bytes=4000, day_bytes=100_000
    )
    return app_settings.model_copy(update={"logging": small})


def export(*records: dict[str, Any], service: str = "shop") -> ExportLogsServiceRequest:
    message = ExportLogsServiceRequest()
    each = message.resource_logs.add()
    each.resource.attributes.add(key="service.name").value.string_value = service
    each.resource.attributes.add(key="host.name").value.string_value = "till-1"
    scope = each.scope_logs.add()
    for said in records:
        record = scope.log_records.add(time_unix_nano=time.time_ns(), severity_number=17)
        record.body.string_value = said.pop("body", "payment failed")
        attributes = said.pop("attributes", {})
        for name, value in said.items():
            setattr(record, name, value)
        for name, value in attributes.items():
            record.attributes.add(key=name).value.string_value = value
    return message


async def send(caller: TenantClient, message: ExportLogsServiceRequest) -> Any:
    body = message.SerializeToString()
    answer = await caller.http.post(PATH, content=body, headers=PROTOBUF)
    assert answer.status_code == 200, answer.text
    return ExportLogsServiceResponse.FromString(answer.content).partial_success


async def kept(app: App, caller: TenantClient) -> list[dict[str, Any]]:
    reader = await app.caller("viewer", caller.tenant)
    found: list[dict[str, Any]] = (await reader.http.get("/api/v1/logs")).json()["items"]
    return found


class TestExportLogs:
    async def test_a_record_becomes_a_line_with_all_that_it_says(self, app: App) -> None:
        ada = await app.caller("workflow")
        record = {
            "trace_id": bytes.fromhex(TRACE),
            "span_id": bytes.fromhex(SPAN),
            "attributes": {
                "order.id": "7",
                "execution.id": "4711",
                "level": "loud",
                "message": "not this",
            },
        }
        said = await send(ada, export(record))
        assert (said.rejected_log_records, said.error_message) == (0, "")
        (line,) = await kept(app, ada)
        assert (line["message"], line["level"], line["source"]) == (
            "payment failed",
            "error",
            "shop",
        )
        assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)
        assert line["execution_id"] == "4711"
        reader = await app.caller("viewer", ada.tenant)
        for wanted, count in ((TRACE, 1), ("0" * 32, 0)):
            found = await reader.http.get("/api/v1/logs", params={"trace_id": wanted})
            assert len(found.json()["items"]) == count
        assert line["fields"] == {
            "host.name": "till-1",
            "order.id": "7",
            "attributes": {"level": "loud", "message": "not this"},
        }

    async def test_json_and_gzip_say_the_same(self, app: App) -> None:
        ada = await app.caller("workflow")
        record = {
            "timeUnixNano": str(time.time_ns()),
            "severityText": "WARN",
            "traceId": TRACE,
            "spanId": SPAN,
            "body": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}},
        }
        body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
        answer = await ada.http.post(
            PATH,
            content=gzip.compress(body.encode()),
            headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
        )
        assert (answer.status_code, answer.json()) == (200, {})
        (line,) = await kept(app, ada)
        assert (line["message"], line["level"], line["trace_id"]) == ('{"a":1}', "warn", TRACE)
        assert line["source"] == "unknown_service"

    async def test_what_cannot_be_kept_is_said_and_the_rest_is_kept(self, app: App) -> None:
        ada = await app.caller("workflow")
        late = {"time_unix_nano": time.time_ns() + 10 * 86_400 * 10**9}
        said = await send(ada, export(late, {"body": ""}, {"body": "kept"}))
        assert said.rejected_log_records == 2
        assert "time_out_of_range" in said.error_message
        assert [line["message"] for line in await kept(app, ada)] == ["kept"]

    async def test_secrets_are_taken_out_and_the_credential_says_whose_it_is(
        self, app: App
    ) -> None:
        ada, eve = await app.caller("workflow"), await app.caller("workflow")
        await send(ada, export({"body": "Authorization: Bearer canary-5f2c9d3b1a7e"}))
        (line,) = await kept(app, ada)
        assert "canary" not in line["message"]
        assert await kept(app, eve) == []
        assert (await app.client().post(PATH, headers=PROTOBUF)).status_code == 401
        viewer = await app.caller("viewer")
        assert (await viewer.http.post(PATH, headers=PROTOBUF)).status_code == 403

    async def test_a_budget_that_is_used_up_is_told_so_that_it_is_sent_again(
        self, app: App
    ) -> None:
        ada = await app.caller("workflow")
        big = {"body": "x" * 3000}
        for _ in range(2):
            await send(ada, export(*(dict(big) for _ in range(15))))
        body = export(*(dict(big) for _ in range(15))).SerializeToString()
        answer = await ada.http.post(PATH, content=body, headers=PROTOBUF)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert Status.FromString(answer.content).code == 8

    @pytest.mark.parametrize(
        ("headers", "body", "status"),
        [
            ({}, b"\xff\xff\xff", 400),
            ({"Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000)), 413),
            ({"Content-Encoding": "br"}, b"", 415),
            ({"Content-Type": "text/plain"}, b"", 415),
            ({"Content-Type": "application/json"}, b"[1]", 400),
        ],
    )
    async def test_refuses_in_the_form_of_the_protocol(
        self, app: App, headers: dict[str, str], body: bytes, status: int
    ) -> None:
        ada = await app.caller("workflow")
        answer = await ada.http.post(PATH, content=body, headers={**PROTOBUF, **headers})
        assert answer.status_code == status, answer.text
        if "Content-Type" not in headers:
            assert Status.FromString(answer.content).message


def test_the_exporter_of_opentelemetry_is_understood(tmp_path: Path, database_url: str) -> None:
    with serving(tmp_path, database_url) as served:
        owner = {"Authorization": f"Bearer {served.token()}"}
        exporter = OTLPLogExporter(
            served.base_url + PATH, headers=owner, compression=Compression.Gzip
        )
        provider = LoggerProvider(resource=Resource.create({"service.name": "shop"}))
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        span = SpanContext(
            int(TRACE, 16), int(SPAN, 16), is_remote=False, trace_flags=TraceFlags(1)
        )
        with use_span(NonRecordingSpan(span)):
            provider.get_logger("checkout").emit(
                LogRecord(
                    timestamp=time.time_ns(),
                    severity_number=SeverityNumber.ERROR,
                    severity_text="ERROR",
                    body="payment failed",
                    attributes={"order": 7, "retried": True},
                    exception=ValueError("no funds"),
                )
            )
        provider.shutdown()
        (line,) = httpx.get(
            f"{served.base_url}/api/v1/logs", headers=owner, params={"source": "shop"}
        ).json()["items"]
    assert (line["message"], line["level"]) == ("payment failed", "error")
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)
    assert line["fields"].pop("service.instance.id")
    assert "no funds" in line["fields"].pop("exception.stacktrace")
    assert line["fields"] == {
        "order": 7,
        "retried": True,
        "log.logger": "checkout",
        "exception.type": "ValueError",
        "exception.message": "no funds",
    }
