"""Schedules: each time is accounted for once, whoever looks, however long nobody did."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Tx
from backend.core.errors import ConflictError
from backend.core.ids import uuid7
from backend.managers.orchestrator import JobKind, OrchestratorManager
from backend.managers.orchestrator._schedules import (
    MAX_CAUGHT_UP,
    MAX_LOOKED,
    Backfill,
    Firing,
    Schedule,
    ScheduleDraft,
)
from backend.managers.orchestrator.errors import (
    GraphInvalidError,
    JobForbiddenError,
    JobScheduleExistsError,
    JobScheduleInvalidError,
    JobScheduleNotFoundError,
)
from backend.managers.orchestrator.models import JobScheduleRow
from tests.integration.orchestrator.conftest import Bench

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
GRAPH: dict[str, Any] = {
    "name": "Nightly",
    "tasks": [{"name": "a", "kind": "test.nothing", "args": {}}],
}


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No arguments."""


class Clock:
    """The database's clock as the test moves it."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOON
        monkeypatch.setattr(bench.database, "clock", lambda: self.now)

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Clock:
    nothing: Any = None
    bench.manager.register(JobKind.simple("test.nothing", nothing, takes=Nothing))
    return Clock(bench, monkeypatch)


async def make(bench: Bench, timing: dict[str, Any], name: str = "s", **more: Any) -> Schedule:
    async with bench.database.transaction(bench.scope) as tx:
        return await bench.manager.schedules.create(
            tx, ScheduleDraft(name=name, timing=timing, graph=GRAPH, **more)
        )


async def firings(bench: Bench, schedule_id: str) -> list[Firing]:
    """Oldest first."""
    async with bench.database.read(bench.scope) as tx:
        found = await bench.manager.schedules.list_firings(
            tx, schedule_id, since=NOON - timedelta(days=1), until=NOON + timedelta(days=99),
            limit=5000,
        )  # fmt: skip
    return list(reversed(found))


async def outcomes(bench: Bench, schedule_id: str) -> list[str]:
    return [one.outcome for one in await firings(bench, schedule_id)]


def each(seconds: int) -> dict[str, Any]:
    return {"type": "interval", "seconds": seconds, "since": NOON.isoformat()}


async def test_runs_when_it_is_due_and_not_before(bench: Bench, clock: Clock) -> None:
    made = await make(bench, {"type": "cron", "expression": "30 * * * *", "zone": "Asia/Tokyo"})
    assert made.due_at == NOON + timedelta(minutes=30)
    clock.move(minutes=29, seconds=59)
    assert await bench.manager.schedules.run(bench.database) == 0
    clock.move(seconds=1)
    assert await bench.manager.schedules.run(bench.database) == 1
    assert await bench.manager.schedules.run(bench.database) == 0
    (fired,) = await firings(bench, made.id)
    assert (fired.outcome, fired.due_at) == ("ran", NOON + timedelta(minutes=30))
    async with bench.database.read(bench.scope) as tx:
        graph = await bench.manager.graphs.get(tx, str(fired.graph_id))
        assert (graph.name, graph.by_state) == ("Nightly", {"ready": 1})
        again = await bench.manager.schedules.get(tx, made.id)
    assert again.due_at == NOON + timedelta(minutes=90)


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("none", ["missed"] * 5),
        ("last", ["missed"] * 4 + ["late"]),
        ("all", ["late"] * 5),
    ],
)
async def test_times_that_passed_while_nobody_looked(
    bench: Bench, clock: Clock, catch_up: Any, expected: list[str]
) -> None:
    made = await make(bench, each(600), catch_up=catch_up, overlap="allow")
    clock.move(minutes=55)
    await bench.manager.schedules.run(bench.database)
    assert await outcomes(bench, made.id) == expected
    clock.move(minutes=5)
    await bench.manager.schedules.run(bench.database)
    assert (await outcomes(bench, made.id))[-1] == "ran"


async def test_one_is_skipped_while_the_one_before_runs(bench: Bench, clock: Clock) -> None:
    made = await make(bench, each(60))
    for _ in range(3):
        clock.move(seconds=60)
        await bench.manager.schedules.run(bench.database)
    assert await outcomes(bench, made.id) == ["ran", "skipped", "skipped"]


async def test_many_who_look_at_once_fire_nothing_twice(bench: Bench, clock: Clock) -> None:
    made = [await make(bench, each(60), name=f"s{n}", overlap="allow") for n in range(20)]
    others = [OrchestratorManager(bench.manager.kinds.values()) for _ in range(3)]
    for _ in range(3):
        clock.move(seconds=60)
        await asyncio.gather(*(one.schedules.run(bench.database) for one in others))
        await bench.manager.schedules.run(bench.database)
    for one in made:
        assert await outcomes(bench, one.id) == ["ran"] * 3
    async with bench.database.read(bench.scope) as tx:
        assert len(await bench.manager.graphs.list(tx, limit=200)) == 60


async def test_once_is_once_and_what_is_off_is_not_due(bench: Bench, clock: Clock) -> None:
    at = (NOON + timedelta(minutes=5)).isoformat()
    once = await make(bench, {"type": "once", "at": at}, name="once")
    off = await make(bench, each(60), name="off", enabled=False)
    clock.move(hours=2)
    await bench.manager.schedules.run(bench.database)
    clock.move(hours=2)
    await bench.manager.schedules.run(bench.database)
    assert await outcomes(bench, once.id) == ["late"]
    assert await outcomes(bench, off.id) == []


async def test_a_jitter_is_later_and_never_earlier(bench: Bench, clock: Clock) -> None:
    made = await make(bench, each(600), jitter_seconds=60)
    clock.move(minutes=9, seconds=59)
    assert await bench.manager.schedules.run(bench.database) == 0
    clock.move(minutes=1, seconds=2)
    assert await bench.manager.schedules.run(bench.database) == 1
    (fired,) = await firings(bench, made.id)
    assert fired.due_at == NOON + timedelta(minutes=10)


async def test_it_is_run_now_changed_and_removed(bench: Bench, clock: Clock) -> None:
    made = await make(bench, each(600))
    async with bench.database.transaction(bench.scope) as tx:
        graph_id = await bench.manager.schedules.run_now(tx, made.id)
        assert (await bench.manager.graphs.get(tx, graph_id)).state == "running"
    async with bench.database.transaction(bench.scope) as tx:
        draft = ScheduleDraft(name="s", timing=each(60), graph=GRAPH)
        changed = await bench.manager.schedules.replace(tx, made.id, draft)
    assert (changed.due_at, changed.revision) == (NOON + timedelta(seconds=60), 2)
    async with bench.database.transaction(bench.scope) as tx:
        await bench.manager.schedules.remove(tx, made.id)
    async with bench.database.read(bench.scope) as tx:
        with pytest.raises(JobScheduleNotFoundError):
            await bench.manager.schedules.get(tx, made.id)


@pytest.mark.parametrize(
    "timing",
    [
        {},
        {"type": "cron", "expression": "61 * * * *"},
        {"type": "cron", "expression": "* * * * *", "zone": "Mars/Olympus"},
        {"type": "cron", "expression": "* * * * *", "skipped": "never"},
        {"type": "calendar", "since": "2026-12-01", "times": []},
        {"type": "calendar", "since": "2026-12-01", "times": ["24:00"]},
        {"type": "calendar", "since": "2026-12-01", "times": ["06:00"], "zone": "Mars/Olympus"},
        {"type": "calendar", "since": "2026-12-01", "times": ["06:00"], "days": ["mon"]},
        {"type": "calendar", "since": "9999-12-31", "times": ["23:59"]},
        {"type": "interval", "seconds": 60, "since": "9999-12-31T23:59:50Z"},
        {"type": "interval", "seconds": 5, "since": NOON.isoformat()},
        {"type": "interval", "seconds": 60, "since": "2026-12-01T12:00:00"},
        {"type": "once", "at": "soon"},
        {"type": "once", "at": NOON.isoformat(), "zone": "UTC"},
    ],
)
async def test_what_is_no_schedule_is_refused(
    bench: Bench, clock: Clock, timing: dict[str, Any]
) -> None:
    with pytest.raises(JobScheduleInvalidError):
        await make(bench, timing)


async def test_follows_a_calendar(bench: Bench, clock: Clock) -> None:
    timing = {
        "type": "calendar",
        "since": NOON.date().isoformat(),
        "times": ["18:00"],
        "unit": "month",
        "days": ["-1workday"],
        "zone": "Asia/Tokyo",
    }
    made = await make(bench, timing)
    assert made.draft.timing == timing
    assert made.due_at is not None
    last = made.due_at.astimezone(ZoneInfo("Asia/Tokyo"))
    # The 31st of January 2027 is a Sunday, and the 31st of December 2026 a Thursday.
    assert last.isoformat() == "2026-12-31T18:00:00+09:00"


async def test_what_it_would_submit_is_looked_at_first(bench: Bench, clock: Clock) -> None:
    wrong = {"name": "no", "tasks": [{"name": "a", "kind": "email.send", "args": {}}]}
    async with bench.database.transaction(bench.scope) as tx:
        with pytest.raises(GraphInvalidError):
            await bench.manager.schedules.create(tx, ScheduleDraft("s", each(60), wrong))


async def test_a_name_is_had_once_and_anothers_is_not_there(bench: Bench, clock: Clock) -> None:
    made = await make(bench, each(60))
    with pytest.raises(JobScheduleExistsError):
        await make(bench, each(60))
    async with bench.database.transaction(Scope("user:x", uuid7())) as tx:
        with pytest.raises(JobScheduleNotFoundError):
            await bench.manager.schedules.run_now(tx, made.id)


async def test_what_may_not_be_submitted_is_skipped_and_holds_up_no_other(
    bench: Bench, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = {"name": "wide", "tasks": [{**GRAPH["tasks"][0], "name": f"t{n}"} for n in range(9)]}
    draft = ScheduleDraft(name="wide", timing=each(60), graph=wide)
    async with bench.database.transaction(bench.scope) as tx:
        refused = await bench.manager.schedules.create(tx, draft)
    other = await make(bench, each(60), name="other")

    async def hold(_: Tx, wanted: int) -> None:
        if wanted > 1:
            raise ConflictError("As many jobs wait as may")

    monkeypatch.setattr(bench.manager, "_hold", hold)
    clock.move(seconds=60)
    assert await bench.manager.schedules.run(bench.database) == 2
    (fired,) = await firings(bench, refused.id)
    assert (fired.outcome, fired.why) == ("skipped", "As many jobs wait as may")
    assert await outcomes(bench, other.id) == ["ran"]
    async with bench.database.read(bench.scope) as tx:
        assert [one.name for one in await bench.manager.graphs.list(tx)] == ["Nightly"]
    clock.move(seconds=60)
    assert await bench.manager.schedules.run(bench.database) == 2


async def test_of_very_many_times_each_is_accounted_for(bench: Bench, clock: Clock) -> None:
    second = {"type": "cron", "expression": "* * * * * *"}
    made = await make(bench, second, catch_up="all", overlap="allow")
    passed = 2 * MAX_LOOKED + MAX_LOOKED // 2
    clock.move(seconds=passed)
    while await bench.manager.schedules.run(bench.database):
        pass
    found = await firings(bench, made.id)
    assert sum(one.times for one in found) == passed
    late = [one for one in found if one.outcome != "missed"]
    assert len(late) == MAX_CAUGHT_UP
    assert late == found[-MAX_CAUGHT_UP:]
    assert late[-1].due_at == NOON + timedelta(seconds=passed)
    for one, following in itertools.pairwise(found):
        assert (one.until or one.due_at) + timedelta(seconds=1) == following.due_at


async def test_a_zone_that_is_no_more_is_told_and_holds_up_no_other(
    bench: Bench, clock: Clock
) -> None:
    gone = await make(bench, {"type": "cron", "expression": "* * * * *"}, name="gone")
    async with bench.database.transaction(bench.scope) as tx:
        timing = {"type": "cron", "expression": "* * * * *", "zone": "Mars/Olympus"}
        await tx.execute(
            sa.update(JobScheduleRow).where(JobScheduleRow.id == gone.id).values(timing=timing)
        )
    other = await make(bench, each(60), name="other")
    clock.move(seconds=60)
    await bench.manager.schedules.run(bench.database)
    (fired,) = await firings(bench, gone.id)
    assert fired.outcome == "missed"
    assert "Mars/Olympus" in str(fired.why)
    assert await outcomes(bench, other.id) == ["ran"]
    async with bench.database.read(bench.scope) as tx:
        assert (await bench.manager.schedules.get(tx, gone.id)).due_at is None


async def backfill(bench: Bench, schedule_id: str, *minutes: int) -> Backfill:
    since, until = (NOON + timedelta(minutes=one) for one in minutes)
    async with bench.database.transaction(bench.scope) as tx:
        return await bench.manager.schedules.backfill(tx, schedule_id, since=since, until=until)


async def test_a_stretch_is_run_that_did_not(bench: Bench, clock: Clock) -> None:
    made = await make(bench, each(60), catch_up="none", overlap="allow")
    clock.move(minutes=1)
    await bench.manager.schedules.run(bench.database)
    clock.move(minutes=4, seconds=30)
    await bench.manager.schedules.run(bench.database)
    assert await outcomes(bench, made.id) == ["ran", "missed", "missed", "missed", "ran"]
    assert await backfill(bench, made.id, -2, 4) == Backfill(submitted=3, ran_before=1)
    found = await firings(bench, made.id)
    # Of what was due before it was made as well, and not of the end, which does not belong to it.
    assert [(one.due_at - NOON) // timedelta(minutes=1) for one in found] == [0, 1, 2, 3, 4, 5]
    assert [one.outcome for one in found] == ["late", "ran", "late", "late", "missed", "ran"]
    assert {one.why for one in found if one.outcome == "late"} == {"Backfilled"}
    assert len({one.graph_id for one in found if one.graph_id}) == 5
    assert await backfill(bench, made.id, -2, 4) == Backfill(submitted=0, ran_before=4)


async def test_of_many_that_are_told_together_some_are_run(bench: Bench, clock: Clock) -> None:
    made = await make(bench, each(10), catch_up="none")
    clock.move(seconds=10 * (MAX_LOOKED + 500))
    await bench.manager.schedules.run(bench.database)
    (whole, *_) = await firings(bench, made.id)
    assert (whole.due_at, whole.times > 500) == (NOON + timedelta(seconds=10), True)
    assert (await backfill(bench, made.id, 0, 1)).submitted == 6
    assert (await backfill(bench, made.id, 30, 31)).submitted == 6
    found = await firings(bench, made.id)
    assert sum(one.times for one in found) == MAX_LOOKED + 500 + 1
    together = max(found, key=lambda one: one.times)
    assert together.due_at == NOON + timedelta(minutes=1)
    assert together.times == whole.times - 11
    assert (await backfill(bench, made.id, 30, 31)).submitted == 0


@pytest.mark.parametrize(
    ("minutes", "why"),
    [((5, 5), "begins before it ends"), ((5, 90), "is over"), ((0, 59), "more than 100")],
)
async def test_what_is_no_stretch_is_refused(
    bench: Bench, clock: Clock, minutes: tuple[int, int], why: str
) -> None:
    made = await make(bench, each(10))
    clock.move(hours=1)
    with pytest.raises(JobScheduleInvalidError, match=why):
        await backfill(bench, made.id, *minutes)


async def test_it_submits_by_the_rights_of_who_saved_it_last(bench: Bench, clock: Clock) -> None:
    nothing: Any = None
    kind = JobKind.simple(
        "test.guarded", nothing, takes=Nothing, needs=lambda _: frozenset({"thing:do"})
    )
    bench.manager.register(kind)
    graph = {"name": "g", "tasks": [{"name": "a", "kind": "test.guarded", "args": {}}]}
    draft = ScheduleDraft("s", each(60), graph, overlap="allow")
    may = frozenset({"thing:do", "thing:else"})
    with pytest.raises(JobForbiddenError, match="takes the permission thing:do"):
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.schedules.create(tx, draft, permissions=frozenset({"thing:else"}))
    async with bench.database.transaction(bench.scope) as tx:
        made = await bench.manager.schedules.create(tx, draft, permissions=may)
    clock.move(seconds=60)
    await bench.manager.schedules.run(bench.database)
    with pytest.raises(JobForbiddenError):
        async with bench.database.transaction(bench.scope) as tx:
            await bench.manager.schedules.replace(tx, made.id, draft)
    # Of one that was there before rights were kept nothing is known.
    async with bench.database.transaction(bench.scope) as tx:
        await tx.execute(sa.update(JobScheduleRow).values(rights=None))
    clock.move(seconds=60)
    await bench.manager.schedules.run(bench.database)
    assert [(one.outcome, one.why) for one in await firings(bench, made.id)] == [
        ("ran", None),
        ("skipped", "A job of the kind test.guarded takes the permission thing:do"),
    ]
