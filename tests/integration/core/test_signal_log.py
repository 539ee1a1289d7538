"""Durable signals: whatever a carrier loses, each process reads them, once."""

import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database
from backend.core.ids import uuid7
from backend.core.signal_log import LOOK_SECONDS, SIGNALS, SignalLog, sweep_signals
from backend.core.signals import SignalRecord, Signals
from tests.support.trail import audit_row

TOPICS = ("principals", "keys")


class Watch:
    """Seconds that only the test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def process(database):
    """Another process on the same database that no carrier reaches, and what it was told."""
    apart = Database(database.engine, audit_row=audit_row, durable_topics=TOPICS)
    watch, heard = Watch(), []

    def hear(topic):
        apart.signals.subscribe(topic, lambda payload: heard.append((topic, payload)))

    for topic in (*TOPICS, "jobs"):
        hear(topic)
    return apart, SignalLog(apart, TOPICS, monotonic=watch), watch, heard


async def records(database):
    async with database.read(SystemScope(SIGNALS)) as view:
        return await view.scalars(sa.select(SignalRecord))


class TestSignalLog:
    async def test_a_process_that_was_sent_nothing_reads_it_once(self, database):
        one, _, _, told = process(database)
        _, log, watch, heard = process(database)
        async with one.transaction(Scope("t", uuid7())) as tx:
            tx.signal("principals", "user:1")
            tx.signal("principals", "user:1")
            tx.signal("jobs", "now")
        assert told == [("principals", "user:1"), ("jobs", "now")]
        assert heard == []
        for _ in range(3):
            await log.look()
            watch.now += LOOK_SECONDS
        assert heard == [("principals", "user:1")]

    async def test_who_sent_it_is_not_told_again(self, database):
        one, log, _, heard = process(database)
        async with one.transaction(Scope("t", uuid7())) as tx:
            tx.signal("principals", "user:1")
        await log.look()
        assert heard == [("principals", "user:1")]

    async def test_what_a_carrier_brought_is_not_told_again(self, database):
        one, _, _, _ = process(database)
        other, log, _, heard = process(database)
        sent = []

        class Wire(Signals):
            def publish(self, topic, payload="", record=""):
                sent.append(f"elsewhere {topic} {record} {payload}")

        one.signals = Wire()
        async with one.transaction(Scope("t", uuid7())) as tx:
            tx.signal("principals", "user:1")
        other.signals._receive(sent[0])
        await log.look()
        assert heard == [("principals", "user:1")]

    async def test_the_same_change_twice_is_told_twice(self, database):
        one, _, _, _ = process(database)
        _, log, _, heard = process(database)
        for _ in range(2):
            async with one.transaction(Scope("t", uuid7())) as tx:
                tx.signal("principals", "user:1")
            await log.look()
        assert heard == [("principals", "user:1")] * 2

    async def test_a_change_that_fails_leaves_none(self, database):
        one, _, _, _ = process(database)
        try:
            async with one.transaction(Scope("t", uuid7())) as tx:
                tx.signal("principals", "user:1")
                raise ValueError
        except ValueError:
            pass
        assert await records(database) == []

    async def test_each_act_of_a_shared_commit_and_each_part_of_one_leaves_its_own(self, database):
        one, _, _, _ = process(database)
        _, log, _, heard = process(database)
        tenant, other = uuid7(), uuid7()

        async def act(tx):
            tx.signal("principals", "user:1")

        await one.together(Scope("t", tenant), act)
        async with one.transaction(SystemScope(SIGNALS)) as tx, tx.within(other) as part:
            part.signal("keys", "user:2")
        await log.look()
        assert heard == [("principals", "user:1"), ("keys", "user:2")]
        assert {row.tenant_id for row in await records(database)} == {tenant, other}

    async def test_what_commits_after_a_look_is_read_by_the_next(self, database):
        """Its time lies before that look; a process that only looked ahead would never see it."""
        if database.dialect == "sqlite":
            return  # one writer at a time, and the time is taken while it is the one
        one, _, _, _ = process(database)
        _, log, watch, heard = process(database)
        async with one.transaction(Scope("t", uuid7())) as late:
            late.signal("principals", "late")
            await late._end()
            await late._write_appended()
            async with one.transaction(Scope("t", uuid7())) as tx:
                tx.signal("principals", "early")
            await log.look()
            assert heard == [("principals", "early")]
        watch.now += LOOK_SECONDS
        await log.look()
        assert heard == [("principals", "early"), ("principals", "late")]

    async def test_after_a_long_silence_everything_may_have_changed(self, database):
        _, log, watch, heard = process(database)
        watch.now += 3600
        await log.look()
        assert sorted(heard) == [("keys", ""), ("principals", "")]
        watch.now += LOOK_SECONDS
        await log.look()
        assert len(heard) == 2

    async def test_the_sweep_leaves_what_somebody_may_still_look_for(self, database):
        one, _, _, _ = process(database)
        for payload in ("old", "new"):
            async with one.transaction(Scope("t", uuid7())) as tx:
                tx.signal("principals", payload)
        async with one.transaction(SystemScope(SIGNALS)) as tx:
            first = await tx.scalar(sa.select(SignalRecord).where(SignalRecord.payload == "old"))
            await tx.execute(
                sa.update(SignalRecord)
                .where(SignalRecord.payload == "old")
                .values(at=first.at.replace(year=2020))
            )
        async with one.transaction(SystemScope(SIGNALS)) as tx:
            assert await sweep_signals(tx) == 1
        assert [row.payload for row in await records(database)] == ["new"]
