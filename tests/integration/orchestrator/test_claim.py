"""Claiming: order, fairness, limits."""

import asyncio
from collections import Counter

import sqlalchemy as sa

from backend.core.database import db_now
from backend.core.ids import uuid7
from backend.managers.orchestrator import Outcome
from backend.managers.orchestrator._claim import Places, claim, has_candidates
from backend.managers.orchestrator.models import JobLimitsRow, JobRow


class TestClaim:
    async def test_takes_higher_priority_then_earlier_due_first(self, bench):
        late = await bench.submit(priority=1)
        early = await bench.submit(priority=1)
        await bench.change(early, due_at=db_now(-60.0))
        low = await bench.submit(priority=0)
        high = await bench.submit(priority=9)
        order = [(await bench.claim(1))[0].id for _ in range(4)]
        assert order == [high, early, late, low]

    async def test_never_gives_a_job_twice(self, bench):
        await bench.submit_many(200)
        claims = await asyncio.gather(*(bench.claim(40, worker=f"w{n}") for n in range(5)))
        while rest := await bench.claim(100, worker="last"):
            claims.append(rest)
        taken = Counter(one.id for group in claims for one in group)
        assert len(taken) == 200
        assert set(taken.values()) == {1}

    async def test_counts_the_attempt_and_names_the_worker(self, bench):
        job_id = await bench.submit()
        (taken,) = await bench.claim(worker="w7")
        row = await bench.row(job_id)
        assert (taken.attempt, row.attempt, row.worker, row.state) == (1, 1, "w7", "running")
        assert row.started_at is not None

    async def test_takes_only_kinds_it_was_asked_for(self, bench):
        bench.simple("other", lambda _: None)
        await bench.submit("other")
        wanted = await bench.submit("noop")
        async with bench.database.transaction(bench.system) as tx:
            found = await claim(tx, "w", Places(10), ["noop"])
        assert [one.id for one in found.claims] == [wanted]
        async with bench.database.read(bench.system) as tx:
            assert not await has_candidates(tx, Places(1), ["noop"])
            assert await has_candidates(tx, Places(1), ["noop", "other"])

    async def test_says_whether_there_may_be_more(self, bench):
        await bench.submit_many(5)
        async with bench.database.transaction(bench.system) as tx:
            assert (await claim(tx, "w", Places(3), ["noop"])).more
        async with bench.database.transaction(bench.system) as tx:
            assert not (await claim(tx, "w", Places(3), ["noop"])).more

    async def test_statements_do_not_grow_with_the_batch(self, bench):
        await bench.submit_many(300)
        counts = []
        for most in (1, 10, 200):
            seen = []
            engine = bench.database.engine.sync_engine

            def note(_c, _cur, statement, *_, seen=seen):
                seen.append(statement)

            sa.event.listen(engine, "before_cursor_execute", note)
            async with bench.database.transaction(bench.system) as tx:
                assert len((await claim(tx, "w", Places(most), ["noop"])).claims) == most
            sa.event.remove(engine, "before_cursor_execute", note)
            counts.append(len([one for one in seen if not one.startswith("BEGIN")]))
        assert counts == [2, 2, 2]


class TestFairness:
    async def test_a_small_tenant_is_served_beside_a_big_backlog(self, bench):
        await bench.submit_many(1000)
        small = uuid7()
        await bench.submit_many(3, tenant=small)
        taken = Counter(one.tenant_id for one in await bench.claim(20))
        assert taken[small] == 3

    async def test_the_less_loaded_tenant_goes_first(self, bench):
        await bench.submit_many(100)
        assert len(await bench.claim(50)) == 50
        late = uuid7()
        await bench.submit_many(100, tenant=late)
        taken = Counter(one.tenant_id for one in await bench.claim(40))
        assert taken == {late: 40}

    async def test_equal_tenants_share_equally(self, bench):
        tenants = [uuid7() for _ in range(4)]
        for tenant in tenants:
            await bench.submit_many(50, tenant=tenant)
        taken = Counter(one.tenant_id for one in await bench.claim(40))
        assert taken == dict.fromkeys(tenants, 10)

    async def test_shares_follow_weights(self, bench):
        heavy, light = uuid7(), uuid7()
        await bench.limit(tenant=heavy, weight=3.0)
        await bench.limit(tenant=light, weight=1.0)
        for tenant in (heavy, light):
            await bench.submit_many(100, tenant=tenant)
        taken = Counter(one.tenant_id for one in await bench.claim(40))
        assert taken == {heavy: 30, light: 10}

    async def test_serves_every_one_of_many_tenants(self, bench):
        tenants = {uuid7() for _ in range(35)}
        for tenant in tenants:
            await bench.submit(tenant=tenant)
        served = set()
        for _ in range(4):
            served |= {one.tenant_id for one in await bench.claim(100)}
        assert served == tenants


class TestPlaces:
    """What is left of one worker for those who have nothing, however much the others want."""

    async def test_one_tenant_alone_leaves_a_share_free(self, bench):
        await bench.submit_many(200)
        assert len(await bench.claim(places=Places(100, share=0.8))) == 80
        held = {bench.tenant_id: 80}
        assert await bench.claim(places=Places(100, held, 0.8)) == []

    async def test_a_newcomer_finds_places_beside_tenants_that_hang(self, bench):
        held = {}
        for number in range(12):
            tenant = uuid7()
            await bench.submit_many(200, tenant=tenant)
            taken = Counter(
                one.tenant_id for one in await bench.claim(places=Places(100, held, 0.8))
            )
            assert taken[tenant] >= 1, number
            for name, count in taken.items():
                held[name] = held.get(name, 0) + count
        assert Places(100, held, 0.8).free >= 1

    async def test_who_has_nothing_gets_the_last_place(self, bench):
        other = uuid7()
        await bench.submit_many(5)
        await bench.submit_many(5, tenant=other)
        taken = await bench.claim(places=Places(7, {bench.tenant_id: 6}, 0.8))
        assert [one.tenant_id for one in taken] == [other]

    async def test_weights_count_in_what_is_left_as_well(self, bench):
        heavy, light = uuid7(), uuid7()
        await bench.limit(tenant=heavy, weight=3.0)
        for tenant in (heavy, light):
            await bench.submit_many(200, tenant=tenant)
        taken = Counter(one.tenant_id for one in await bench.claim(places=Places(100, share=0.8)))
        assert sum(taken.values()) < 100
        assert 2.5 <= taken[heavy] / taken[light] <= 3.5

    async def test_tenants_that_may_take_no_more_crowd_nobody_out(self, bench):
        hogs = [uuid7() for _ in range(15)]
        for tenant in hogs:
            await bench.submit_many(20, tenant=tenant)
        held = dict.fromkeys(hogs, 6)
        # Busier over all workers than the hogs, and with nothing at this one.
        elsewhere = uuid7()
        await bench.submit_many(20, tenant=elsewhere)
        async with bench.database.read(bench.system) as tx:
            ids = await tx.scalars(sa.select(JobRow.id).where(JobRow.tenant_id == elsewhere))
        for one in ids[:9]:
            await bench.change(one, state="running", worker="other", attempt=1)
        taken = {one.tenant_id for one in await bench.claim(places=Places(92, held, 0.8))}
        assert taken == {elsewhere}
        async with bench.database.read(bench.system) as tx:
            assert not await has_candidates(tx, Places(92, held | {elsewhere: 1}, 0.8), ["noop"])


class TestLimits:
    async def test_max_running_is_exact_with_concurrent_workers(self, bench):
        limits = {uuid7(): 2, uuid7(): 3, uuid7(): 5}
        for tenant, limit in limits.items():
            await bench.limit(tenant=tenant, max_running=limit)
            await bench.submit_many(30, tenant=tenant)
        held = []
        for _ in range(5):
            groups = await asyncio.gather(*(bench.claim(10, worker=f"w{n}") for n in range(4)))
            held += [one for group in groups for one in group]
        assert Counter(one.tenant_id for one in held) == limits

    async def test_an_ended_job_makes_room(self, bench):
        await bench.limit(max_running=1)
        await bench.submit_many(2)
        (first,) = await bench.claim()
        assert await bench.claim() == []
        await bench.finish((first, Outcome.done()))
        assert len(await bench.claim()) == 1

    async def test_a_paused_tenant_waits(self, bench):
        await bench.submit()
        await bench.limit(paused=True)
        assert await bench.claim() == []
        await bench.limit()
        assert len(await bench.claim()) == 1

    async def test_rate_allows_a_burst_and_then_one_at_a_time(self, bench):
        await bench.limit(rate=0.1, burst=5)
        await bench.submit_many(20)
        assert len(await bench.claim()) == 5
        assert await bench.claim() == []
        await self._pass_time(bench, 10.5)
        assert len(await bench.claim()) == 1
        await self._pass_time(bench, 25)
        assert len(await bench.claim()) == 2

    async def test_rate_never_saves_more_than_the_burst(self, bench):
        await bench.limit(rate=0.1, burst=2)
        await bench.submit_many(20)
        assert len(await bench.claim()) == 2
        await self._pass_time(bench, 100_000)
        assert len(await bench.claim()) == 2
        assert await bench.claim() == []

    async def _pass_time(self, bench, seconds):
        """Move the instant at which the tenant may start again instead of waiting for it."""
        async with bench.database.read(bench.system) as tx:
            before, now = (await tx.execute(sa.select(JobLimitsRow.open_at, db_now()))).one()
        ahead = (before - now).total_seconds()
        await bench._execute(sa.update(JobLimitsRow).values(open_at=db_now(ahead - seconds)))
