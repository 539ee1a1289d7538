"""Claiming: order, fairness, limits."""

import asyncio
import re
from collections import Counter

import pytest
import sqlalchemy as sa

from backend.core.database import db_now
from backend.core.ids import uuid7
from backend.managers.orchestrator import Outcome
from backend.managers.orchestrator import _claim as claiming
from backend.managers.orchestrator._claim import Places, claim, claim_one, has_candidates
from backend.managers.orchestrator.models import JobLimitsRow, JobRow
from tests.support import plans
from tests.support.plans import Plans


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
            async with bench.database.transaction(bench.claiming) as tx:
                assert len((await claim(tx, "w", Places(most), ["noop"])).claims) == most
            sa.event.remove(engine, "before_cursor_execute", note)
            counts.append(len([one for one in seen if not one.startswith("BEGIN")]))
        looks = 2 if bench.database.dialect == "sqlite" else 3
        assert counts == [looks] * 3


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


class TestMany:
    """What a claim reads, however much waits, and whatever the database believes of that."""

    @pytest.mark.parametrize("waited", [0, 4])
    async def test_is_no_more_than_what_is_taken(self, bench, owner_url, waited):
        ids = [await bench.submit(tenant=uuid7()) for _ in range(300)]
        ended = sa.update(JobRow).where(JobRow.id.in_(ids[waited:])).values(state="succeeded")
        await bench._execute(ended)
        owner = sa.create_engine(owner_url)
        with owner.begin() as connection:
            connection.execute(sa.text("ANALYZE"))
        owner.dispose()
        await bench.submit_many(plans.MAX_ROWS + 1000)
        found = Plans(frozenset({"jobs"}), frozenset(), frozenset())
        with plans.watch(bench.database.engine.sync_engine, found):
            assert await bench.claim(100)
        assert any("busy" in one for one in found.statements)
        reading = [one for one in found.findings.values() if re.search(r"\d (rows|steps)$", one)]
        assert reading == []


class TestSideBySide:
    """Claims of several workers at the same moment."""

    @pytest.fixture(autouse=True)
    def _needs_two_writers(self, bench):
        if bench.database.dialect == "sqlite":
            pytest.skip("a claim is the one writer: none is beside another")

    async def take(self, tx, worker, most, bench):
        return await claim(tx, worker, Places(most), list(bench.manager.kinds))

    async def test_two_take_of_one_tenant_each_past_what_the_other_takes(self, bench):
        ids = await bench.submit_many(10)
        async with (
            bench.database.transaction(bench.claiming) as one,
            bench.database.transaction(bench.claiming) as two,
        ):
            first = await self.take(one, "a", 4, bench)
            second = await self.take(two, "b", 4, bench)
        taken = [[each.id for each in found.claims] for found in (first, second)]
        assert taken == [ids[:4], ids[4:8]]

    async def test_who_finds_all_being_taken_looks_again(self, bench):
        await bench.submit()
        async with (
            bench.database.transaction(bench.claiming) as one,
            bench.database.transaction(bench.claiming) as two,
        ):
            assert len((await self.take(one, "a", 4, bench)).claims) == 1
            found = await self.take(two, "b", 4, bench)
            assert (found.claims, found.more) == ([], True)
        async with bench.database.transaction(bench.claiming) as two:
            found = await self.take(two, "b", 4, bench)
            assert (found.claims, found.more) == ([], False)

    @pytest.mark.parametrize("limits", [{"max_running": 5}, {"rate": 5.0, "burst": 5}])
    async def test_of_a_tenant_with_a_limit_one_takes_at_a_time(self, bench, limits):
        other = uuid7()
        await bench.limit(**limits)
        await bench.submit_many(10)
        async with (
            bench.database.transaction(bench.claiming) as one,
            bench.database.transaction(bench.claiming) as two,
        ):
            assert len((await self.take(one, "a", 10, bench)).claims) == 5
            found = await self.take(two, "b", 10, bench)
            assert (found.claims, found.more) == ([], True)
            await bench.submit(tenant=other)
            found = await self.take(two, "b", 10, bench)
            assert [each.tenant_id for each in found.claims] == [other]
        assert await bench.claim(10) == []

    @pytest.mark.parametrize(
        ("limits", "left"), [({"max_running": 1}, 1), ({"paused": True}, 0), ({"rate": 1.0}, 1)]
    )
    async def test_a_limit_that_came_since_it_was_chosen_holds(
        self, bench, limits, left, monkeypatch
    ):
        await bench.submit_many(10)

        async def had_by_others(*_):
            await bench.limit(**limits)
            return []

        monkeypatch.setattr(claiming, "_have_alone", had_by_others)
        async with bench.database.transaction(bench.claiming) as tx:
            found = await self.take(tx, "b", 10, bench)
        assert (found.claims, found.more) == ([], True)
        monkeypatch.undo()
        assert len(await bench.claim(10)) == left

    async def test_two_choose_other_tenants_while_there_are_others(self, bench):
        for tenant in (others := [uuid7() for _ in range(2 * claiming.MAX_TENANTS)]):
            await bench.submit(tenant=tenant)
        async with (
            bench.database.transaction(bench.claiming) as one,
            bench.database.transaction(bench.claiming) as two,
        ):
            first = await self.take(one, "a", 100, bench)
            second = await self.take(two, "b", 100, bench)
        taken = Counter(each.tenant_id for found in (first, second) for each in found.claims)
        assert taken == dict.fromkeys(others, 1)

    @pytest.mark.parametrize("limits", [{"max_running": 5}, {"rate": 5.0}, {"paused": True}])
    async def test_who_is_told_of_a_tenant_takes_one_of_it_unless_it_is_limited(
        self, bench, limits
    ):
        ids = await bench.submit_many(3)
        await bench.submit(tenant=uuid7(), priority=9)

        async def take():
            async with bench.database.transaction(bench.claiming) as tx:
                kinds = list(bench.manager.kinds)
                return await claim_one(tx, "a", bench.scope.tenant_id, kinds)

        found = await take()
        assert ([each.id for each in found.claims], found.more) == (ids[:1], True)
        await bench.limit(**limits)
        assert (await take()).claims == []
