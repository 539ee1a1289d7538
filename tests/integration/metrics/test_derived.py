"""Series of what ended, from events: each event once, at its own time, for its own tenant."""

from datetime import timedelta

import pytest

from backend.core.events import Event
from backend.core.ids import uuid7
from backend.core.room import Ending
from backend.managers.metrics import InvalidItemError, MetricsManager, MetricsSettings
from backend.managers.metrics.models import BatchRow, MetricHeadRow, SeriesRow
from tests.support.series import NOON, World, counter

ENDINGS = {
    "email.accepted": Ending("emails", well=True),
    "email.bounced": Ending("emails", well=False),
    "login.failed": Ending("sign_ins", well=False),
}


@pytest.fixture
async def world(database_url, tenant_id):
    made = World(database_url, tenant_id, MetricsSettings(series_per_tenant=3))
    for process in made.processes:
        process.metrics.derived.connect(ENDINGS)
    yield made
    await made.aclose()


def events(first, *kinds, at=NOON, **data):
    return [
        Event(seq, uuid7(), at, kind, "email:1", "system", data)
        for seq, kind in enumerate(kinds, first)
    ]


async def take(process, found):
    await process.metrics.derived.take(process.database, process.world.tenant_id, found)


async def totals(world):
    await world.settle()
    return {
        (one.name, one.labels["event"], one.labels["outcome"]): one.total
        for one in await world.rows(SeriesRow)
    }


class TestTake:
    async def test_counts_what_ended_and_how(self, world):
        kinds = ["email.accepted", "email.queued", "email.bounced", "email.accepted"]
        await take(world.one, events(1, *kinds))
        await take(world.two, events(5, "login.failed", count=4))
        assert await totals(world) == {
            ("email_sender:emails_total", "email.accepted", "well"): 2,
            ("email_sender:emails_total", "email.bounced", "badly"): 1,
            ("email_sender:sign_ins_total", "login.failed", "badly"): 4,
        }

    async def test_at_the_events_own_time(self, world):
        early = NOON - timedelta(hours=3, seconds=7)
        await take(world.one, events(1, "email.accepted", at=early))
        await world.settle()
        (window,) = (await world.windows(10)).windows
        assert window["second"] == int((NOON - timedelta(hours=3, seconds=10)).timestamp())

    async def test_each_event_once_however_they_are_handed_over(self, world):
        found = events(1, *["email.accepted"] * 10)
        await take(world.one, found[:4])
        await take(world.two, found[:4])
        await take(world.two, found[2:7])
        await take(world.three, found)
        assert list((await totals(world)).values()) == [10]

    async def test_those_who_lost_their_lease_record_nothing(self, world, monkeypatch):
        found = events(1, "email.accepted", "email.accepted")
        slow = world.one.metrics.recording.record_derived

        async def overtaken(database, scope, items, finish):
            await take(world.two, found)
            await slow(database, scope, items, finish)

        monkeypatch.setattr(world.one.metrics.recording, "record_derived", overtaken)
        with pytest.raises(RuntimeError, match="somebody else"):
            await take(world.one, found)
        assert list((await totals(world)).values()) == [2]

    async def test_what_is_too_old_or_has_no_room_is_passed_over_once(self, world):
        await take(world.one, events(1, "email.accepted", at=NOON - timedelta(days=1, seconds=1)))
        (head,) = await world.rows(MetricHeadRow)
        assert (head.event_seq, await world.rows(BatchRow)) == (1, [])
        await world.one.record(counter(a="1"), counter(a="2"), counter(a="3"))
        await take(world.one, events(2, "email.accepted"))
        (head,) = await world.rows(MetricHeadRow)
        assert (head.event_seq, len(await world.rows(SeriesRow))) == (2, 3)

    async def test_nobody_else_records_under_these_names(self, world):
        await take(world.one, events(1, "email.accepted"))
        labels = {"event": "email.accepted", "outcome": "well"}
        mine = counter(1, "email_sender:emails_total", **labels)
        with pytest.raises(InvalidItemError, match="derives"):
            await world.one.record(mine)
        assert (await world.one.record(mine, counter())).accepted == 1
        assert (await totals_of(world))["email_sender:emails_total"] == 1


async def totals_of(world):
    await world.settle()
    return {one.name: one.total for one in await world.rows(SeriesRow)}


class TestRooms:
    async def test_mail_jobs_and_sign_ins_are_declared_and_read(self, app):
        metrics = app.platform.of(MetricsManager)
        assert {one.of for one in metrics.derived._endings.values()} >= {
            "emails", "jobs", "sign_ins",
        }  # fmt: skip
        names = {one.name for one in app.platform.event_consumers}
        assert "metrics.derived" in names
