"""Liveness: heartbeats, reaping, giving back."""

import pytest
import sqlalchemy as sa

from backend.managers.orchestrator import JobKind, Outcome
from backend.managers.orchestrator._liveness import (
    Lease,
    Watch,
    beat,
    forget_lost,
    give_back,
    has_stranded,
    read_fleet,
    reap,
    say_goodbye,
)
from backend.managers.orchestrator.models import WorkerRow


async def reap_all(bench, *silent):
    seen = await bench.silent(*silent)
    async with bench.database.transaction(bench.system) as tx:
        back, dead = await reap(tx, seen, bench.manager.kinds)
    return sorted(one.id for one in back), sorted(one.id for one in dead)


async def workers(bench):
    async with bench.database.read(bench.system) as tx:
        return sorted(await tx.scalars(sa.select(WorkerRow.id)))


class TestBeat:
    async def test_tells_what_the_worker_holds(self, bench):
        job_id = await bench.submit()
        await bench.submit(delay_seconds=60)
        await bench.claim(worker="w")
        assert await bench.beat("w") == {job_id: (1, False)}
        assert await bench.beat("other") == {}
        await bench.change(job_id, cancel_requested=True)
        assert await bench.beat("w") == {job_id: (1, True)}


class TestReap:
    async def test_leaves_the_living_alone(self, bench):
        await bench.submit_many(3)
        await bench.claim()
        async with bench.database.read(bench.system) as tx:
            assert not await has_stranded(tx, {}, bench.manager.kinds)
        assert await reap_all(bench) == ([], [])
        assert await bench.states() == ["running"] * 3

    async def test_gives_the_jobs_of_a_silent_worker_back(self, bench):
        ids = await bench.submit_many(3)
        await bench.claim(worker="dead")
        kept = await bench.submit()
        await bench.claim(worker="alive")
        async with bench.database.read(bench.system) as tx:
            assert await has_stranded(tx, ["dead"], bench.manager.kinds)
        assert await reap_all(bench, "dead") == (sorted(ids), [])
        rows = await bench.rows()
        assert {(rows[one].state, rows[one].crashes) for one in ids} == {("ready", 1)}
        assert rows[kept].state == "running"
        assert await workers(bench) == ["alive", "dead"]

    async def test_finds_jobs_whose_worker_left_no_row(self, bench):
        job_id = await bench.submit()
        await bench.claim(worker="gone")
        async with bench.database.transaction(bench.system) as tx:
            await tx.execute(sa.delete(WorkerRow).execution_options(synchronize_session=False))
        assert await reap_all(bench) == ([job_id], [])

    async def test_buries_a_job_after_three_crashes(self, bench):
        buried = []

        async def on_dead(tx, dead):
            buried.extend((claim.id, error) for claim, error in dead)

        async def run(batch):
            raise AssertionError

        bench.manager.register(JobKind("poison", run, on_dead=on_dead))
        job_id = await bench.submit("poison")
        for crash in range(1, 4):
            await bench.make_due(job_id)
            assert len(await bench.claim(worker=f"w{crash}")) == 1
            back, dead = await reap_all(bench, f"w{crash}")
            assert (back, dead) == (([job_id], []) if crash < 3 else ([], [job_id]))
        job = await bench.get(job_id)
        assert job.state == "dead"
        assert buried == [(job_id, job.error)]
        assert "died 3 times" in job.error

    async def test_allows_as_many_crashes_as_the_kind_does(self, bench):
        async def run(batch):
            raise AssertionError

        bench.manager.register(JobKind("hardy", run, max_crashes=5))
        job_id = await bench.submit("hardy")
        await bench.claim(worker="w")
        await bench.change(job_id, crashes=3)
        assert await reap_all(bench, "w") == ([job_id], [])
        await bench.change(job_id, state="running", worker="w")
        assert await reap_all(bench, "w") == ([], [job_id])
        assert "died 5 times" in (await bench.get(job_id)).error

    async def test_parts_what_died_together_twice(self, bench):
        ids = await bench.submit_many(20)
        await bench.claim(20, worker="w")
        before = {one: row.due_at for one, row in (await bench.rows()).items()}
        await reap_all(bench, "w")
        # Once may be chance: somebody ended it so.
        assert {one: row.due_at for one, row in (await bench.rows()).items()} == before
        await self.crash(bench, *ids)
        rows = (await bench.rows()).values()
        assert {(one.state, one.crashes) for one in rows} == {("ready", 2)}
        assert len({one.due_at for one in rows}) == 20
        assert min(one.due_at for one in rows) > max(before.values())

    @staticmethod
    async def crash(bench, *ids):
        """Have a worker die with these; which of them are dead now."""
        for one in ids:
            await bench.change(one, state="running", worker="w")
        await bench.beat("w")
        _, dead = await reap_all(bench, "w")
        return dead

    async def test_of_several_that_always_died_together_none_is_buried(self, bench):
        poison, *beside = await bench.submit_many(5)
        for _ in range(4):
            assert await self.crash(bench, poison, *beside) == []
        # Once without them, and it is known.
        assert await self.crash(bench, poison) == [poison]
        assert {row.state for row in (await bench.rows()).values()} == {"dead", "ready"}
        assert "died 5 times" in (await bench.get(poison)).error

    async def test_one_that_saw_more_die_than_all_beside_it_is_buried_and_they_are_not(self, bench):
        poison, first, second = await bench.submit_many(3)
        assert await self.crash(bench, poison, first) == []
        assert await self.crash(bench, poison, second) == []
        assert await self.crash(bench, poison, first, second) == [poison]
        rows = await bench.rows()
        assert [(rows[one].state, rows[one].crashes) for one in (first, second)] == [
            ("ready", 2)
        ] * 2

    async def test_workers_that_are_killed_one_after_the_other_cost_no_job(self, bench):
        ids = await bench.submit_many(30)
        for _ in range(5):
            assert await self.crash(bench, *ids) == []

    async def test_many_that_kill_together_are_buried_in_the_end(self, bench):
        ids = await bench.submit_many(3)
        for _ in range(5):
            assert await self.crash(bench, *ids) == []
        assert sorted(await self.crash(bench, *ids)) == sorted(ids)

    async def test_ends_what_should_be_cancelled(self, bench):
        job_id = await bench.submit()
        await bench.claim(worker="dead")
        await bench.change(job_id, cancel_requested=True)
        assert await reap_all(bench, "dead") == ([], [])
        assert (await bench.row(job_id)).state == "cancelled"

    async def test_leaves_kinds_it_does_not_know_to_others(self, bench):
        job_id = await bench.submit()
        await bench.claim(worker="dead")
        silent = await bench.silent("dead")
        async with bench.database.transaction(bench.system) as tx:
            assert await reap(tx, silent, {}) == ([], [])
        assert (await bench.row(job_id)).state == "running"

    async def test_a_reaped_worker_that_wakes_cannot_finish(self, bench):
        job_id = await bench.submit()
        (zombie,) = await bench.claim(worker="frozen")
        await reap_all(bench, "frozen")
        assert await bench.finish((zombie, Outcome.done()), worker="frozen") == []
        assert (await bench.row(job_id)).state == "ready"

    async def test_leaves_a_worker_alone_that_has_beaten_since_it_was_watched(self, bench):
        await bench.submit()
        await bench.claim(worker="late")
        seen = await bench.silent("late")
        await bench.beat("late")
        async with bench.database.transaction(bench.system) as tx:
            assert await reap(tx, seen, bench.manager.kinds) == ([], [])
        assert (await bench.states(), await workers(bench)) == (["running"], ["late"])


class Watcher:
    """Looks at the workers at times of its own clock."""

    def __init__(self, bench, ttl=6.0, beat=2.0):
        self.bench = bench
        self.watch = Watch(ttl, beat)
        self.now = 1000.0

    async def look(self, after):
        self.now += after
        async with self.bench.database.read(self.bench.system) as tx:
            return sorted(await self.watch.look(tx, self.now))


class TestWatch:
    async def test_a_worker_that_stops_beating_falls_silent_after_its_lease(self, bench):
        await bench.beat("w")
        watcher = Watcher(bench)
        assert await watcher.look(0) == []
        assert [await watcher.look(2) for _ in range(3)] == [[], [], ["w"]]

    async def test_a_heartbeat_ends_the_silence(self, bench):
        watcher = Watcher(bench)
        for _ in range(5):
            await bench.beat("w")
            assert await watcher.look(2) == []

    @pytest.mark.parametrize("seconds", [3600.0, -3600.0], ids=["ahead", "behind"])
    async def test_the_time_in_a_heartbeat_decides_nothing(self, bench, seconds):
        """The database's clock was wrong when the worker died, and was set right since."""
        watcher = Watcher(bench)
        await bench.beat("w")
        await watcher.look(2)
        await bench.silence("w", -seconds)
        assert [await watcher.look(2) for _ in range(4)] == [[], [], [], ["w"]]

    async def test_who_starts_believes_no_heartbeat_from_the_future(self, bench):
        await bench.beat("w")
        await bench.silence("w", -3600.0)
        watcher = Watcher(bench)
        assert [await watcher.look(2) for _ in range(4)] == [[], [], [], ["w"]]

    async def test_who_starts_gives_the_long_dead_two_intervals(self, bench):
        await bench.beat("w")
        await bench.silence("w", 3600.0)
        watcher = Watcher(bench)
        assert [await watcher.look(2) for _ in range(3)] == [[], [], ["w"]]

    async def test_what_nobody_could_see_counts_as_one_interval(self, bench):
        """After an outage the others were as silent as we: they get the time to beat again."""
        await bench.beat("w")
        watcher = Watcher(bench)
        await watcher.look(0)
        assert await watcher.look(60) == []
        await bench.beat("w")
        assert await watcher.look(2) == []
        assert [await watcher.look(60) for _ in range(3)] == [[], [], ["w"]]

    async def test_who_looks_often_knows_soon(self, bench):
        await bench.beat("w")
        watcher = Watcher(bench)
        await watcher.look(0.5)
        assert [await watcher.look(0.5) for _ in range(11)] == [[]] * 11
        assert await watcher.look(0.5) == ["w"]


class TestLease:
    def test_holds_from_the_asking_and_not_from_the_answer(self):
        lease = Lease(6.0)
        assert not lease.holds(0.0)
        lease.renewed(asked_at=10.0, now=13.0)
        assert lease.holds(15.9)
        assert not lease.holds(16.0)
        assert not lease.holds(15.0, seconds=1.0)

    def test_a_term_lasts_while_it_never_runs_out(self):
        lease = Lease(6.0)
        terms = []
        for asked_at, now in ((0, 0), (2, 2), (4, 7.9), (10, 10), (12, 20), (20, 20), (22, 22)):
            lease.renewed(asked_at, now)
            terms.append(lease.term)
        # Answered at 20 what was asked at 12: run out before it was known, and again by then.
        assert terms == [1, 1, 1, 2, 3, 4, 4]


class TestGiveBack:
    async def test_undoes_the_claim(self, bench):
        ids = await bench.submit_many(2)
        await bench.claim()
        async with bench.database.transaction(bench.system) as tx:
            assert await give_back(tx, "w", bench.manager.kinds, [ids[0]]) == 1
        rows = await bench.rows()
        assert (rows[ids[0]].state, rows[ids[0]].attempt, rows[ids[0]].crashes) == ("ready", 0, 0)
        assert rows[ids[1]].state == "running"

    async def test_touches_no_other_workers_jobs(self, bench):
        await bench.submit()
        await bench.claim(worker="other")
        async with bench.database.transaction(bench.system) as tx:
            assert await give_back(tx, "w", bench.manager.kinds) == 0
        assert await bench.states() == ["running"]

    async def test_ends_what_should_be_cancelled(self, bench):
        cancelled = []

        async def on_cancel(tx, claims):
            cancelled.extend(one.id for one in claims)

        async def run(batch):
            raise AssertionError

        bench.manager.register(JobKind("c", run, on_cancel=on_cancel))
        job_id = await bench.submit("c")
        await bench.claim()
        await bench.change(job_id, cancel_requested=True)
        async with bench.database.transaction(bench.system) as tx:
            assert await give_back(tx, "w", bench.manager.kinds) == 0
        assert (await bench.row(job_id)).state == "cancelled"
        assert cancelled == [job_id]


async def test_a_worker_row_is_made_by_its_first_beat(bench):
    async with bench.database.transaction(bench.system) as tx:
        await beat(tx, "w")
    assert await workers(bench) == ["w"]


async def fleet(bench):
    async with bench.database.read(bench.system) as tx:
        return await read_fleet(tx, 6.0)


async def start(bench, *names, seconds_ago=0.0):
    for name in names:
        await bench.beat(name)
        if seconds_ago:
            await bench.silence(name, seconds_ago)
            await bench.beat(name)


async def leave(bench, name):
    async with bench.database.transaction(bench.system) as tx:
        await say_goodbye(tx, name, 6.0)


class TestFleet:
    async def test_who_says_goodbye_is_missed_by_nobody_and_the_last_one_stays(self, bench):
        await start(bench, "a", "b")
        await leave(bench, "a")
        assert await workers(bench) == ["b"]
        await leave(bench, "b")
        assert await workers(bench) == ["b"]
        await bench.silence("b")
        await start(bench, "c")
        found = await fleet(bench)
        assert (found.alive, found.lost) == (1, 0)

    async def test_who_falls_silent_is_missed_until_it_beats_or_another_begins(self, bench):
        await start(bench, "a", "b", seconds_ago=1000)
        assert (await fleet(bench)).lost == 0
        await bench.silence("a")
        found = await fleet(bench)
        assert (found.alive, found.lost) == (1, 1)
        await start(bench, "a")
        assert (await fleet(bench)).lost == 0
        await bench.silence("a")
        await start(bench, "c")
        assert (await fleet(bench)).lost == 0
        await bench.silence("c", 30)
        assert (await fleet(bench)).lost == 1

    async def test_who_is_late_by_less_than_another_lease_is_missed_by_nobody(self, bench):
        await start(bench, "a", "b", seconds_ago=1000)
        await bench.silence("a", 9)
        found = await fleet(bench)
        assert (found.alive, found.lost) == (1, 0)
        await bench.silence("a", 13)
        assert (await fleet(bench)).lost == 1

    async def test_it_is_missed_when_its_jobs_were_given_to_others_too(self, bench):
        await bench.submit()
        await start(bench, "alive", seconds_ago=1000)
        await bench.claim(worker="dead")
        await bench.silence("dead")
        await reap_all(bench, "dead")
        assert (await fleet(bench)).lost == 1

    async def test_after_an_hour_it_is_forgotten_but_not_its_jobs(self, bench):
        job_id = await bench.submit()
        await bench.claim(worker="holds")
        await start(bench, "old", "new")
        for worker in ("holds", "old"):
            await bench.silence(worker, 3700)
        assert (await fleet(bench)).lost == 0
        async with bench.database.transaction(bench.system) as tx:
            await forget_lost(tx)
        assert await workers(bench) == ["holds", "new"]
        assert (await bench.row(job_id)).worker == "holds"
