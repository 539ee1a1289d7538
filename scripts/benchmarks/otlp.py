"""Spans in by OTLP/HTTP: one API process that decides on and keeps them, against one that drops.

Both sides are sent the same exports in protobuf, each of them new: spans that came before are left
out by the store, which would be the cheapest of all.
"""

import secrets
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from backend.core.clock import epoch_nanoseconds
from backend.managers.tracing import OTLP_PATH
from scripts.benchmarks.load import Request, send_all
from scripts.benchmarks.measure import Result, alternate
from scripts.benchmarks.processes import installation, started, wait_until
from scripts.installation import accepts, free_ports

_TRACES: Final = 20
_NODES: Final = 4
_SPANS: Final = _TRACES * (1 + _NODES)
_CONNECTIONS: Final = 8
_WARM: Final = 20
_SETTINGS: Final = {
    # Decided on, and a share written, while it is measured: in the end nothing waits unpaid.
    "TRACING__SETTLE_SECONDS": "0",
    "TRACING__WAITING_BYTES": str(2**30),
    "TRACING__REQUESTS_PER_SECOND": "1000000",
    "TRACING__BURST_REQUESTS": "10000000",
}


def run_traces(rounds: int, exports: int) -> Result:
    """Spans a second that are taken in, ``exports`` of a hundred spans a run."""
    with installation("api", settings=_SETTINGS) as (platform, folder):
        (port,) = free_ports(1)
        log = folder / "reference.log"
        arguments = ["--port", str(port)]
        with started("scripts.benchmarks.otlp_reference", arguments, platform.env, log):
            wait_until(lambda: accepts(port), "the reference's listening")
            token = platform.token()

            def rate(port: int, count: int = exports) -> float:
                requests = [_request(port, token) for _ in range(count)]
                began = send_all(requests, clients=_CONNECTIONS)
                return count * _SPANS / ((epoch_nanoseconds() - began) / 1e9)

            for each in (platform.api_port, port):
                rate(each, _WARM)
            ours, reference = alternate(rounds, lambda: rate(platform.api_port), lambda: rate(port))
    return Result("otlp", "traces", ours, reference, "bare Starlette that parses", "spans/s")


def _request(port: int, token: str) -> Request:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-protobuf"}
    return Request(port, OTLP_PATH, headers, _export().SerializeToString())


def _export() -> ExportTraceServiceRequest:
    """What an n8n sends of twenty executions with four nodes each."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "n8n"
    scope = resource.scope_spans.add()
    now = epoch_nanoseconds()
    for _ in range(_TRACES):
        trace_id, root = secrets.token_bytes(16), secrets.token_bytes(8)
        for number in range(1 + _NODES):
            span = scope.spans.add(
                trace_id=trace_id,
                span_id=secrets.token_bytes(8) if number else root,
                parent_span_id=root if number else b"",
                name="node.execute" if number else "workflow.execute",
                kind=1,
                start_time_unix_nano=now,
                end_time_unix_nano=now + 20_000_000,
            )
            for name, value in (
                ("n8n.workflow.id", "oD1kQ7sKx2"),
                ("n8n.execution.id", trace_id[:4].hex()),
                ("n8n.node.name", f"Node {number}"),
                ("n8n.node.type", "n8n-nodes-base.httpRequest"),
            ):
                span.attributes.add(key=name).value.string_value = value
    return message
