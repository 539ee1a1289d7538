"""Which of a worker's sessions stay, and which end politely."""

import gc
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio

from backend.kit.outbound import Outbound
from backend.kit.smtp import Pacing, SmtpRelay
from backend.managers.email._pools import RelayPools
from backend.managers.email._relays import RelayRecords
from tests.support.mail_server import Rules, mail_server

TENANT = "018f0000-0000-7000-8000-000000000001"


class Place:
    """Pools, a clock that stands still, and a mail server."""

    def __init__(self, rules: Rules, port: int) -> None:
        self.rules = rules
        self.now = 0.0
        self.pools = RelayPools(Outbound(), Pacing(), clock=lambda: self.now)
        self.relay = SmtpRelay("127.0.0.1", port, tls="none", tenant_id=TENANT)

    async def send(self, relay: SmtpRelay) -> None:
        with self.pools.use(relay) as pool:
            (found,) = await pool.send("a@a.test", ["b@b.test"], b"Subject: s\r\n\r\nx\r\n")
        assert found.state == "accepted"


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Place]:
    rules = Rules()
    async with mail_server(rules) as port:
        made = Place(rules, port)
        yield made
        await made.pools.aclose()


class TestRelayPools:
    async def test_keeps_one_for_each_owner_and_name(self, place: Place) -> None:
        for more in ({}, {"tenant_id": None}, {"name": "news"}, {"name": "bills"}):
            for _ in range(2):
                await place.send(replace(place.relay, **more))
        assert len(place.pools) == 4
        assert place.rules.sessions == 4
        assert "QUIT" not in place.rules.heard

    async def test_says_goodbye_when_another_takes_its_place(self, place: Place) -> None:
        for number in range(20):
            await place.send(replace(place.relay, username=None, local_hostname=f"h{number}.test"))
        assert len(place.pools) == 1
        await place.pools.aclose()
        assert place.rules.heard.count("QUIT") == 20

    async def test_waits_for_the_batch_that_still_uses_it(self, place: Place) -> None:
        changed = replace(place.relay, local_hostname="new.test")
        with place.pools.use(place.relay) as pool:
            await place.send(changed)
            assert len(place.pools) == 2
            (found,) = await pool.send("a@a.test", ["b@b.test"], b"Subject: s\r\n\r\nx\r\n")
            assert found.state == "accepted"
        assert len(place.pools) == 1

    async def test_forgets_who_has_not_come_for_long(self, place: Place) -> None:
        await place.send(place.relay)
        place.now = 1000.0
        await place.send(replace(place.relay, name="news"))
        assert len(place.pools) == 1
        # It may come again.
        await place.send(place.relay)
        assert len(place.pools) == 2

    async def test_what_was_known_of_it_goes_too(self, place: Place) -> None:
        records = RelayRecords()
        with place.pools.use(place.relay) as pool:
            records.accepted(TENANT, pool.flow)
            assert records.has_news(TENANT, pool.flow)
            gone = weakref.ref(pool.flow)
        del pool
        await place.send(replace(place.relay, local_hostname="new.test"))
        await place.pools.aclose()
        gc.collect()
        assert gone() is None
