"""What comes in by OTLP goes to a collector as well, on both databases."""

import asyncio
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from backend.core.telemetry import new_trace_id
from backend.managers.tracing import OTLP_PATH, TracingManager, TracingSettings
from backend.settings import Settings
from tests.integration.tracing.test_export import PROTOBUF, add_span
from tests.support.collector import FakeCollector, collector
from tests.support.platform import App, TenantClient


@pytest.fixture
def app_settings(app_settings: Settings, unused_tcp_port: int) -> Settings:
    tracing = TracingSettings(
        settle_seconds=0,
        forward_endpoint=f"http://127.0.0.1:{unused_tcp_port}/v1/traces",
        forward_waiting_bytes=2**16,
    )
    return app_settings.model_copy(update={"tracing": tracing})


def message(trace_id: str, name: str, **resource: str) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    each = made.resource_spans.add()
    for key, value in resource.items():
        each.resource.attributes.add(key=key.replace("__", ".")).value.string_value = value
    add_span(each.scope_spans.add(), trace_id, name)
    return made


async def export(caller: TenantClient, made: ExportTraceServiceRequest) -> None:
    body = made.SerializeToString()
    answer = await caller.http.post(OTLP_PATH, content=body, headers=PROTOBUF)
    assert answer.status_code == 200, answer.text


async def today(app: App, caller: TenantClient) -> dict[str, Any]:
    await app.keep_spans()
    found: dict[str, Any] = (await caller.http.get("/api/v1/trace-settings")).json()["today"]
    return found


async def arrived(there: FakeCollector, count: int) -> list[tuple[str, str]]:
    async with asyncio.timeout(60):
        while len(there.spans) < count:
            await asyncio.sleep(0.02)
    return [(tenant, span.name) for tenant, span in there.spans]


class TestForwarding:
    async def test_says_whose_they_are_whatever_they_say(
        self, app: App, unused_tcp_port: int
    ) -> None:
        ada, eve = await app.caller("owner"), await app.caller("owner")
        forwarder = app.platform.of(TracingManager).forwarder
        assert forwarder is not None
        async with collector(unused_tcp_port) as there, forwarder.running():
            # Eve says that hers are Ada's, and sends one beside that no store could keep.
            lie = message(new_trace_id(), "of eve", email_sender__tenant=ada.tenant.id)
            lie.resource_spans[0].scope_spans[0].spans.add(name="without an id")
            await export(eve, lie)
            await export(ada, message(new_trace_id(), "of ada", service__name="shop"))
            assert sorted(await arrived(there, 2)) == sorted(
                [(eve.tenant.id, "of eve"), (ada.tenant.id, "of ada")]
            )
        counts = await today(app, eve)
        assert (counts["forwarded"], counts["not_forwarded"], counts["rejected"]) == (1, 0, 1)

    async def test_one_that_is_away_costs_the_receiver_nothing(self, app: App) -> None:
        ada = await app.caller("owner")
        trace_id = new_trace_id()
        await export(ada, message(trace_id, "kept all the same"))
        big = message(new_trace_id(), "of no room", filled="x" * 20_000)
        for _ in range(3):
            await export(ada, big)
        counts = await today(app, ada)
        assert (counts["forwarded"], counts["not_forwarded"]) == (0, 3)
        assert (await ada.http.get(f"/api/v1/traces/{trace_id}")).status_code == 200
