"""Both limiters against one contract, and what only a fleet can show: one Redis, many processes."""

import asyncio
import inspect
import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import redis

from backend.kit.limiter import (
    FailoverLimiter,
    GcraLimiter,
    Level,
    RedisLimiter,
    SharedLimitsUnavailableError,
    Slots,
    policy_of,
)
from tests.support.redis import RedisServer

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[3]
DAY = 86_400


def slow(name: str, burst: int, **more: Any) -> Level:
    """A level of which nothing comes free while a test runs."""
    return Level(name, 1, burst, seconds=DAY, **more)


class Asked:
    """A limiter of either kind, asked in one way."""

    def __init__(self, limiter):
        self.limiter = limiter

    async def decide(self, *charges, **more):
        policy = policy_of(*(level for level, _ in charges))
        return await settled(self.limiter.decide(charges, policy, **more))

    async def count(self, times, *charges, **more):
        """How many of so many requests are admitted."""
        found = [await self.decide(*charges, **more) for _ in range(times)]
        return sum(one.allowed for one in found)


async def settled(answer):
    return await answer if inspect.isawaitable(answer) else answer


@pytest.fixture(params=["memory", "redis"])
async def asked(request, redis_prefix):
    if request.param == "memory":
        yield Asked(GcraLimiter())
        return
    server = request.getfixturevalue("redis_server")
    limiter = RedisLimiter(server.url, prefix=redis_prefix, timeout_seconds=5)
    yield Asked(limiter)
    await limiter.aclose()


class TestContract:
    async def test_admits_the_burst_and_not_one_more(self, asked):
        assert await asked.count(12, (slow("client", 5), "a")) == 5

    async def test_admits_at_once_as_many_as_one_after_another(self, asked):
        level = slow("client", 20)
        found = await asyncio.gather(*(asked.decide((level, "a")) for _ in range(50)))
        assert sum(one.allowed for one in found) == 20

    async def test_keeps_keys_and_levels_apart(self, asked):
        one, other = slow("client", 1), slow("jobs", 1)
        for charge in ((one, "a"), (one, "b"), (other, "a")):
            assert await asked.count(2, charge) == 1

    async def test_charges_no_level_when_one_refuses(self, asked):
        tenant, client = slow("tenant", 3), slow("client", 1)
        assert (await asked.decide((tenant, "t"), (client, "a"))).allowed
        for _ in range(5):
            refused = await asked.decide((tenant, "t"), (client, "a"))
            assert (refused.allowed, refused.name) == (False, "client")
        assert await asked.count(1, (tenant, "t"), (client, "b")) == 1
        assert await asked.count(1, (tenant, "t"), (client, "c")) == 1
        assert (await asked.decide((tenant, "t"), (client, "d"))).name == "tenant"

    async def test_names_the_tightest_level_and_what_it_has_left(self, asked):
        verdict = await asked.decide((slow("tenant", 3), "t"), (slow("client", 50), "a"))
        assert (verdict.name, verdict.remaining, verdict.reset_seconds) == ("tenant", 2, DAY)
        assert verdict.policy == b'"tenant";q=3;w=259200, "client";q=50;w=4320000'

    async def test_refuses_for_the_level_with_the_longest_wait(self, asked):
        day, hour = slow("day", 1), Level("hour", 1, 1, seconds=3600)
        assert await asked.count(1, (hour, "a"), (day, "a")) == 1
        refused = await asked.decide((hour, "a"), (day, "a"))
        assert refused.name == "day"
        assert DAY - 10 < refused.retry_after <= DAY
        assert DAY - 10 < refused.reset_seconds <= DAY

    async def test_admits_when_it_said(self, asked):
        level = Level("client", 20, 1)
        assert await asked.count(1, (level, "a")) == 1
        refused = await asked.decide((level, "a"))
        assert 0 < refused.retry_after <= 0.05
        await asyncio.sleep(refused.retry_after + 0.001)
        assert (await asked.decide((level, "a"))).allowed

    async def test_looks_without_charging(self, asked):
        level = slow("client", 1)
        assert await asked.count(3, (level, "a"), charge=False) == 3
        assert await asked.count(2, (level, "a")) == 1
        assert not (await asked.decide((level, "a"), charge=False)).allowed

    async def test_gives_back_what_turned_out_to_be_welcome(self, asked):
        address, account = slow("address", 3), slow("account", 2)
        charges = ((address, "a"), (account, "ada"))
        for _ in range(10):
            assert (await asked.decide(*charges)).allowed
            asked.limiter.refund(charges)
        assert await asked.count(5, *charges) == 2
        asked.limiter.refund(charges)
        assert await asked.count(5, *charges) == 1
        # Nobody is owed what was never charged.
        never = ((account, "eve"),)
        asked.limiter.refund(never)
        assert await asked.count(5, *never) == 2

    async def test_counts_cost_and_bytes_each_by_its_own_level(self, asked):
        requests, size = slow("client", 10), slow("client_bytes", 4096, unit="content-bytes")
        both = ((requests, "a"), (size, "a"))
        assert (await asked.decide(*both, cost=7, size=100)).remaining == 3
        assert (await asked.decide(*both, cost=4, size=0)).name == "client"
        assert (await asked.decide(*both, cost=1, size=2048)).allowed
        refused = await asked.decide(*both, cost=1, size=2048)
        assert (refused.allowed, refused.name) == (False, "client_bytes")
        assert (await asked.decide(*both, cost=2, size=1024)).remaining == 0

    async def test_bounds_what_is_under_way(self, asked):
        level, bound = slow("client", 100), Slots("tenant_concurrency", 2)
        held = [await asked.decide((level, "a"), slots=(bound, "t")) for _ in range(3)]
        assert [one.allowed for one in held] == [True, True, False]
        assert (held[2].name, held[2].retry_after) == ("tenant_concurrency", 1.0)
        assert await settled(asked.limiter.under_way((bound, "t"))) == 2
        assert (await asked.decide((level, "b"), slots=(bound, "other"))).allowed
        held[0].slot.release(held[0].slot)
        assert (await asked.decide((level, "a"), slots=(bound, "t"))).allowed
        # What a level refuses is not under way, and what a bound refuses is not charged.
        assert await settled(asked.limiter.under_way((bound, "t"))) == 2
        (use,) = await settled(asked.limiter.usage(((level, "a"),)))
        assert use.remaining == 97

    async def test_tells_what_is_used_and_charges_nothing(self, asked):
        level, size = slow("client", 10), slow("bytes", 10_240, unit="content-bytes")
        await asked.decide((level, "a"), (size, "a"), cost=4, size=2048)
        for _ in range(2):
            uses = await settled(asked.limiter.usage(((level, "a"), (size, "a"), (level, "b"))))
            assert [(one.burst, one.remaining) for one in uses] == [
                (10, 6),
                (10_240, 8192),
                (10, 10),
            ]


class TestChangedLimit:
    def test_what_was_used_stays_used_within_the_process(self):
        limiter = GcraLimiter()
        old, new = slow("client", 10), slow("client", 4)
        wide = Level("client", 40, 40, seconds=3600)
        for _ in range(3):
            limiter.decide(((old, "a"),), b"")
        for level in (new, wide):
            level.adopt(old, "a", limiter.now())
            level.adopt(old, "b", limiter.now())
        assert [one.remaining for one in limiter.usage(((new, "a"), (wide, "a")))] == [1, 37]
        assert limiter.usage(((new, "b"),))[0].remaining == 4

    async def test_what_was_used_stays_used_in_redis(self, redis_server, redis_prefix):
        limiter = RedisLimiter(redis_server.url, prefix=redis_prefix, timeout_seconds=5)
        for _ in range(10):
            assert (await limiter.decide(((slow("client", 10), "a"),), b"")).allowed
        # A limit that was lowered is not owed more than it holds.
        lowered = Level("client", 20, 1)
        refused = await limiter.decide(((lowered, "a"),), b"")
        assert not refused.allowed
        assert refused.retry_after <= 0.05
        assert (await limiter.decide(((slow("client", 20), "a"),), b"")).remaining == 9
        # Eleven by now, of a thousand an hour as well.
        wide = Level("client", 1000, 1000, seconds=3600)
        (use,) = await limiter.usage(((wide, "a"),))
        assert use.remaining == 989
        assert (await limiter.decide(((wide, "a"),), b"")).remaining == 988
        await limiter.aclose()


class TestRedisLimiter:
    async def test_keys_go_when_they_are_as_new(self, redis_server, redis_prefix):
        limiter = RedisLimiter(redis_server.url, prefix=redis_prefix, timeout_seconds=5)
        await limiter.decide(((Level("client", 10, 5), "a"),), b"")
        with redis.Redis(port=redis_server.port) as client:
            (key,) = client.keys(f"{redis_prefix}*")
            assert 0 < client.pttl(key) <= 101
        await limiter.aclose()

    async def test_goes_on_when_redis_has_forgotten_the_scripts(self, redis_server, redis_prefix):
        limiter = RedisLimiter(redis_server.url, prefix=redis_prefix, timeout_seconds=5)
        level = slow("client", 3)
        assert (await limiter.decide(((level, "a"),), b"")).allowed
        with redis.Redis(port=redis_server.port) as client:
            client.script_flush()
        found = await asyncio.gather(*(limiter.decide(((level, "a"),), b"") for _ in range(5)))
        assert sum(one.allowed for one in found) == 2
        await limiter.aclose()

    async def test_slots_of_a_process_that_died_come_free(self, redis_server, redis_prefix):
        limiter = RedisLimiter(redis_server.url, prefix=redis_prefix, timeout_seconds=5)
        bound = Slots("tenant_concurrency", 1)
        charge = ((slow("client", 10), "a"),)
        assert (await limiter.decide(charge, b"", slots=(bound, "t"))).allowed
        assert not (await limiter.decide(charge, b"", slots=(bound, "t"))).allowed
        key = f"{redis_prefix}tenant_concurrency:t"
        with redis.Redis(port=redis_server.port) as client:
            ((member, until),) = client.zrange(key, 0, -1, withscores=True)
            await limiter.beat()
            # A process that is there says so again and again.
            assert client.zscore(key, member) > until
            client.zadd(key, {member: until - 40 * 16_000_000})
        assert (await limiter.decide(charge, b"", slots=(bound, "t"))).allowed
        await limiter.aclose()

    async def test_counts_the_processes(self, redis_server, redis_prefix):
        fleet = [
            RedisLimiter(redis_server.url, prefix=redis_prefix, timeout_seconds=5) for _ in range(3)
        ]
        assert [await one.beat() for one in fleet] == [1, 2, 3]
        assert await fleet[0].beat() == 3
        for one in fleet:
            await one.aclose()

    async def test_says_that_nobody_answers(self):
        limiter = RedisLimiter("redis://127.0.0.1:9/0")
        with pytest.raises(SharedLimitsUnavailableError):
            await limiter.decide(((slow("client", 1), "a"),), b"")
        await limiter.aclose()

    @pytest.mark.slow
    def test_eight_processes_admit_the_burst_and_not_one_more(self, redis_server, redis_prefix):
        """10 000 requests of one caller against 1 000 at once and 1 000 a day."""
        code = (
            "import asyncio, json, sys\n"
            "from backend.kit.limiter import Level, RedisLimiter\n"
            "async def main():\n"
            "    limiter = RedisLimiter(sys.argv[1], prefix=sys.argv[2], timeout_seconds=5)\n"
            "    charges = ((Level('client', 1000, 1000, seconds=86400), 'ada'),)\n"
            "    found = []\n"
            "    for _ in range(25):\n"
            "        ask = (limiter.decide(charges, b'') for _ in range(50))\n"
            "        found += await asyncio.gather(*ask)\n"
            "    await limiter.aclose()\n"
            "    print(json.dumps([sum(v.allowed for v in found), len(found)]))\n"
            "asyncio.run(main())\n"
        )
        began = time.monotonic()
        fleet = [
            subprocess.Popen(
                [sys.executable, "-c", code, redis_server.url, redis_prefix],
                cwd=ROOT,
                stdout=subprocess.PIPE,
            )
            for _ in range(8)
        ]
        told = [json.loads(process.communicate(timeout=100)[0]) for process in fleet]
        elapsed = time.monotonic() - began
        admitted, asked = (sum(column) for column in zip(*told, strict=True))
        logger.warning("%s of %s admitted in %.1f s: %s", admitted, asked, elapsed, told)
        assert asked == 10_000
        assert 1000 <= admitted <= 1000 + int(elapsed * 1000 / DAY)

    def test_one_process_admits_as_many(self):
        limiter = GcraLimiter()
        charges = ((Level("client", 1000, 1000, seconds=DAY), "ada"),)
        began = time.monotonic()
        admitted = sum(limiter.decide(charges, b"").allowed for _ in range(10_000))
        assert 1000 <= admitted <= 1000 + int((time.monotonic() - began) * 1000 / DAY)


class TestFailoverLimiter:
    @pytest.mark.slow
    async def test_redis_stopped_in_the_middle(self, redis_prefix, request):
        request.getfixturevalue("redis_server")  # skips where there is none
        # Each process has levels of its own, which the same settings made.
        charges = [((slow("client", 100), "ada"),) for _ in range(4)]
        with RedisServer() as server:
            fleet = [
                FailoverLimiter(RedisLimiter(server.url, prefix=redis_prefix), GcraLimiter())
                for _ in range(4)
            ]
            watching = [one.watched() for one in fleet]
            for one in watching:
                await one.__aenter__()
            for one in fleet:
                await one._beat()
            assert [one.parts for one in fleet] == [4] * 4

            async def ask(times):
                """Of so many requests at each process, how many it admits; the usual wait."""
                counts, waits = [0] * 4, []
                for _ in range(times):
                    for number, one in enumerate(fleet):
                        began = time.monotonic()
                        counts[number] += (await settled(one.decide(charges[number], b""))).allowed
                        waits.append(time.monotonic() - began)
                return counts, median(waits)

            before, _ = await ask(15)
            assert sum(before) == 60
            server.stop()
            # Never open: each has a quarter of the limit, and no more.
            during, usual = await ask(60)
            logger.warning("while Redis is away: %s admitted, wait %.3f s", during, usual)
            assert during == [25] * 4
            assert all(one.away for one in fleet)
            # The breaker is open: nobody waits for Redis, or for its timeout.
            _, usual = await ask(10)
            assert usual < 0.1
            server.start()
            async with asyncio.timeout(60):
                while any(one.away for one in fleet):
                    await asyncio.sleep(0.05)
            # This Redis has forgotten all: the whole limit holds again, for all together.
            after, _ = await ask(40)
            assert sum(after) == 100
            for one in watching:
                await one.__aexit__(None, None, None)

    async def test_begins_without_redis(self):
        limiter = FailoverLimiter(RedisLimiter("redis://127.0.0.1:9/0"), GcraLimiter())
        async with limiter.watched():
            assert limiter.away
            with pytest.raises(SharedLimitsUnavailableError, match="1/8 of every limit"):
                await limiter.check()
            level, bound = slow("client", 80), Slots("tenant_concurrency", 8)
            found = [
                await settled(limiter.decide(((level, "a"),), b"", slots=(bound, "t")))
                for _ in range(3)
            ]
            # Nobody knows how many there are: an eighth, and a share is never nothing.
            assert [one.allowed for one in found] == [True, False, False]
            found[0].slot.release(found[0].slot)
            limiter.refund(((level, "a"),))
            again = await settled(limiter.decide(((level, "a"),), b""))
            assert (again.allowed, again.remaining) == (True, 9)
            # What costs more than a share costs all of it.
            assert (await settled(limiter.decide(((level, "b"),), b"", cost=50))).remaining == 0
            assert not (await settled(limiter.decide(((level, "b"),), b""))).allowed
