"""Spans in by OTLP/HTTP: one API process that decides on and keeps them, against a collector.

Both sides are sent the same exports in protobuf, each of them new: spans that came before are left
out by the store, which would be the cheapest of all. Neither has a span on disk when it answers.

Ours alone asks for a credential, has budgets, decides on each trace, and keeps the share of them
that it writes where they are searched. The collector writes every span, to the end of a file, and
alone may use all processors, as it does when nobody tells it otherwise.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from backend.core.clock import epoch_nanoseconds
from backend.managers.tracing import OTLP_PATH
from scripts.benchmarks.load import Request, send_all
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.otlp_collector import MISSING, PATH, collecting, find_collector
from scripts.benchmarks.processes import installation, wait_until

REFERENCE: Final = "OpenTelemetry Collector"
_TRACES: Final = 20
_NODES: Final = 4
_SPANS: Final = _TRACES * (1 + _NODES)
_CONNECTIONS: Final = 8
_WARM: Final = 20
_OUTCOME: Final = re.compile(
    r'^email_sender_tracing_spans_total{outcome="(\w+)"} (\S+)$', re.MULTILINE
)
_SETTINGS: Final = {
    # Decided on, and a share written, from the first span on, and not after the run alone. Whoever
    # sends faster than that is told to come again as a rule; here it waits.
    "TRACING__SETTLE_SECONDS": "0",
    "TRACING__WAITING_BYTES": str(2**30),
    "TRACING__ALL_WAITING_BYTES": str(2**31),
    "TRACING__REQUESTS_PER_SECOND": "1000000",
    "TRACING__BURST_REQUESTS": "10000000",
}


def run_traces(rounds: int, exports: int) -> Result:
    """Spans a second that are taken in, ``exports`` of a hundred spans a run.

    Raises:
        BenchmarkError: There is no collector, or a side did not take every span.
    """
    program = find_collector()
    if program is None:
        raise BenchmarkError(MISSING)
    with (
        installation("api", settings=_SETTINGS) as (platform, folder),
        collecting(program, folder) as collector,
    ):
        token = platform.token()
        sides = (
            _Side(platform.api_port, OTLP_PATH, partial(_settle, platform.url)),
            _Side(collector.port, PATH, collector.settle),
        )
        for side in sides:
            side.measure(token, _WARM)
        ours, reference = alternate(
            rounds, *(partial(side.measure, token, exports) for side in sides)
        )
    return Result("otlp", "traces", ours, reference, REFERENCE, "spans/s")


@dataclass
class _Side:
    """One that takes spans.

    Attributes:
        port: Where it listens.
        path: Where it takes them.
        settle: Given how many it was ever sent, waits until none of them waits.
        sent: How many that is.
    """

    port: int
    path: str
    settle: Callable[[int], None]
    sent: int = 0

    def measure(self, token: str, exports: int) -> float:
        """Spans a second that are answered; what they leave to be done takes no time of others."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-protobuf"}
        bodies = [_export().SerializeToString() for _ in range(exports)]
        requests = [Request(self.port, self.path, headers, body) for body in bodies]
        began = send_all(requests, clients=_CONNECTIONS)
        seconds = (epoch_nanoseconds() - began) / 1e9
        self.sent += exports * _SPANS
        self.settle(self.sent)
        return exports * _SPANS / seconds


def _settle(url: str, sent: int) -> None:
    """Wait until ours has decided on all of them, and refuse to go on where it lost one."""

    def decided() -> bool:
        found = {
            outcome: float(count) for outcome, count in _OUTCOME.findall(_get(f"{url}/metrics"))
        }
        if lost := found["dropped_by_overflow"] + found["rejected"]:
            raise BenchmarkError(f"the API lost {lost:.0f} spans of {sent}")
        return found["kept"] + found["dropped_by_policy"] >= sent

    wait_until(decided, f"the API's decision on {sent} spans")


def _get(url: str) -> str:
    # Loopback: no proxy of the environment may come between. What is busy answers late.
    return httpx.get(url, timeout=30, trust_env=False).raise_for_status().text


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
