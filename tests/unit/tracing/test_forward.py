"""Exports go on to a collector: whole, in turn, bounded, and counted whatever becomes of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from backend.kit.outbound import Outbound
from backend.managers.tracing import _forward
from backend.managers.tracing._forward import Forwarder
from tests.support.collector import FakeCollector, collector


def export(tenant: str, name: str, *, filled: int = 0) -> bytes:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="email_sender.tenant").value.string_value = tenant
    span = resource.scope_spans.add().spans.add(name=name)
    span.attributes.add(key="filled").value.string_value = "x" * filled
    return message.SerializeToString()


class Counted:
    def __init__(self) -> None:
        self.all: Counter[tuple[str, str]] = Counter()
        self.changed = asyncio.Event()

    def __call__(self, tenant_id: str, **amounts: int) -> None:
        for name, amount in amounts.items():
            self.all[tenant_id, name] += amount
        self.changed.set()

    async def reach(self, **wanted: int) -> None:
        """Wait until so many have come of all tenants."""
        async with asyncio.timeout(60):
            while any(self.total(name) < amount for name, amount in wanted.items()):
                self.changed.clear()
                await self.changed.wait()

    def total(self, name: str) -> int:
        return sum(amount for (_, each), amount in self.all.items() if each == name)


@asynccontextmanager
async def forwarding(to: str, *, capacity: int = 2**20) -> AsyncIterator[tuple[Forwarder, Counted]]:
    counted, outbound = Counted(), Outbound()
    forwarder = Forwarder(to, outbound, capacity_bytes=capacity, count=counted)
    try:
        async with forwarder.running():
            yield forwarder, counted
    finally:
        await outbound.aclose()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_forward, "_FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(_forward, "_LAST_SECONDS", 0.05)


def names(found: FakeCollector) -> list[tuple[str, str]]:
    return [(tenant, span.name) for tenant, span in found.spans]


class TestForwarder:
    async def test_all_arrives_once_and_under_its_tenants_name(self) -> None:
        async with collector() as there, forwarding(there.url) as (forwarder, counted):
            for number in range(20):
                forwarder.add(f"t-{number % 2}", export(f"t-{number % 2}", str(number)), 1)
            await counted.reach(forwarded=20)
            assert sorted(names(there), key=lambda one: int(one[1])) == [
                (f"t-{number % 2}", str(number)) for number in range(20)
            ]
            # What waited together went together: two tenants, and not twenty requests.
            assert there.asked < 10
            assert counted.all == {("t-0", "forwarded"): 10, ("t-1", "forwarded"): 10} | {
                (tenant, "not_forwarded"): 0 for tenant in ("t-0", "t-1")
            }

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    async def test_asks_again_when_it_is_told_later(self, status: int) -> None:
        async with collector() as there, forwarding(there.url) as (forwarder, counted):
            there.statuses = [status, status]
            forwarder.add("t", export("t", "a"), 1)
            await counted.reach(forwarded=1)
            assert (there.asked, names(there)) == (3, [("t", "a")])

    async def test_what_is_refused_is_counted_and_holds_up_nobody(self) -> None:
        async with collector() as there, forwarding(there.url) as (forwarder, counted):
            there.statuses = [400]
            forwarder.add("bad", export("bad", "a"), 3)
            forwarder.add("good", export("good", "b"), 1)
            await counted.reach(forwarded=1, not_forwarded=3)
            assert counted.all["bad", "not_forwarded"] == 3
            assert names(there) == [("good", "b")]

    async def test_what_it_takes_in_part_is_counted_in_part(self) -> None:
        async with collector() as there, forwarding(there.url) as (forwarder, counted):
            said = ExportTraceServiceResponse()
            said.partial_success.rejected_spans = 2
            there.answer = said.SerializeToString()
            forwarder.add("t", export("t", "a"), 5)
            await counted.reach(forwarded=3, not_forwarded=2)

    async def test_gives_up_on_one_that_stays_away(
        self, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_forward, "_GIVE_UP_SECONDS", 0.01)
        nowhere = f"http://127.0.0.1:{unused_tcp_port}/v1/traces"
        async with forwarding(nowhere) as (forwarder, counted):
            forwarder.add("t", export("t", "a"), 4)
            await counted.reach(not_forwarded=4)
            # And goes on with what comes next.
            async with collector(unused_tcp_port) as there:
                monkeypatch.setattr(_forward, "_GIVE_UP_SECONDS", 60.0)
                forwarder.add("t", export("t", "b"), 1)
                await counted.reach(forwarded=1)
                assert names(there) == [("t", "b")]

    async def test_one_that_hangs_costs_a_bounded_room_and_each_tenant_its_own(self) -> None:
        async with (
            collector() as there,
            forwarding(there.url, capacity=40_000) as (forwarder, counted),
        ):
            there.hangs = True
            body = export("loud", "a", filled=1000)
            for _ in range(100):
                forwarder.add("loud", body, 1)
            fitting = 10_000 // len(body)
            assert counted.all == {("loud", "not_forwarded"): 100 - fitting}
            forwarder.add("quiet", export("quiet", "b", filled=1000), 1)
            assert ("quiet", "not_forwarded") not in counted.all
        # At the end nobody waits for it, and what was lost is said.
        assert counted.total("not_forwarded") == 101
        assert counted.total("forwarded") == 0

    async def test_forgets_a_tenant_that_leaves(self) -> None:
        async with collector() as there, forwarding(there.url) as (forwarder, counted):
            there.statuses = [503]
            forwarder.add("stays", export("stays", "a"), 1)
            forwarder.add("leaves", export("leaves", "b"), 1)
            forwarder.leave("leaves")
            await counted.reach(forwarded=1)
            assert names(there) == [("stays", "a")]
