"""Three processes look at the same schedules and are killed: each time is accounted for once."""

import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.core.ids import uuid7
from backend.managers.orchestrator._schedules import LATE, ScheduleDraft
from backend.managers.orchestrator.models import GraphRow, JobFiringRow, JobScheduleRow
from backend.rooms import HOUSE
from tests.integration.orchestrator.conftest import Bench
from tests.integration.orchestrator.schedule_process import KIND, manager
from tests.support.errands import EVERYTHING
from tests.support.trail import audit_row

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("schedule_process.py")
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
TENANTS, EACH = 6, 50
SCHEDULES = TENANTS * EACH
INTERVAL = timedelta(minutes=2)
STEPS = 3
OUTAGE = 5
CATCH_UPS = ("none", "last", "all")


class Lookers:
    """Processes that look at schedules, and the time that all of them have."""

    def __init__(self, url: str, file: Path) -> None:
        self._url = url
        self._file = file
        self._processes: list[subprocess.Popen[bytes]] = []

    def set(self, now: datetime) -> None:
        """Have it be so late, for all at once."""
        written = self._file.with_suffix(".new")
        written.write_text(now.isoformat())
        written.replace(self._file)

    def start(self) -> None:
        """Begin one more."""
        command = [sys.executable, str(PROGRAM), self._url, str(self._file)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._processes.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sys.stderr)
        )

    def kill(self, at: int) -> None:
        """As ``kill -9`` does."""
        process = self._processes.pop(at)
        assert process.poll() is None, "it had died by itself"
        process.kill()
        process.wait()

    def kill_all(self) -> None:
        while self._processes:
            self.kill(0)


@pytest.fixture
def lookers(database_url: str, tmp_path: Path) -> Iterator[Lookers]:
    made = Lookers(database_url, tmp_path / "now")
    made.set(NOON)
    yield made
    made.kill_all()


@pytest_asyncio.fixture
async def at_noon(database_url: str, tenant_id: str) -> AsyncIterator[Bench]:
    """A bench whose clock stands still at noon, when all schedules are made."""
    database = Database(
        make_engine(database_url),
        audit_row=audit_row,
        event_row=event_maker(HOUSE.events),
        clock=lambda: NOON,
    )
    bench = Bench(database, tenant_id)
    bench.manager = manager()
    yield bench
    await database.aclose()


async def make(bench: Bench) -> dict[str, str]:
    """The schedules, due from a second after noon on up to ten, and how each catches up."""
    graph = {"name": "Nightly", "tasks": [{"name": "a", "kind": KIND, "args": {}}]}
    made = {}
    for _ in range(TENANTS):
        async with bench.database.transaction(Scope("user:1", uuid7())) as tx:
            for n in range(EACH):
                catch_up: Any = CATCH_UPS[n % len(CATCH_UPS)]
                since = (NOON + timedelta(seconds=1 + n % 10)).isoformat()
                seconds = INTERVAL // timedelta(seconds=1)
                draft = ScheduleDraft(
                    name=f"s{n}",
                    timing={"type": "interval", "seconds": seconds, "since": since},
                    graph=graph,
                    catch_up=catch_up,
                    overlap="allow",
                )
                made[(await bench.manager.schedules.create(tx, draft)).id] = catch_up
    return made


async def accounted(bench: Bench) -> int:
    """For how many times there is a row."""
    async with bench.database.read(SystemScope(EVERYTHING)) as tx:
        return await tx.scalar(sa.select(sa.func.count()).select_from(JobFiringRow)) or 0


async def reached(bench: Bench, count: int) -> bool:
    """Whether there is a row for so many times."""
    return await accounted(bench) >= count


async def test_each_time_of_300_schedules_is_accounted_for_once(
    at_noon: Bench, lookers: Lookers
) -> None:
    """Through kills amid the work; and through an outage as each schedule says."""
    bench, rng = at_noon, random.Random(3)
    catch_ups = await make(bench)
    async with bench.database.read(SystemScope(EVERYTHING)) as tx:
        first = {
            row.id: row.due_at
            for row in await tx.execute(sa.select(JobScheduleRow.id, JobScheduleRow.due_at))
        }
    assert first.keys() == catch_ups.keys()
    assert len(first) == SCHEDULES
    for _ in range(3):
        lookers.start()
    now = max(first.values())
    amid = 0
    for step in range(1, STEPS + 1):
        lookers.set(now)
        some, all_ = (step - 1) * SCHEDULES + rng.randrange(20, 150), step * SCHEDULES

        await bench.until(partial(reached, bench, some), 300)
        lookers.kill(rng.randrange(3))
        amid += await accounted(bench) < all_
        lookers.start()
        await bench.until(partial(reached, bench, all_), 300)
        now += INTERVAL
    assert amid, "none was killed amid its work"
    lookers.kill_all()
    # From now on nobody looks, until the newest time of each schedule is late, too.
    now += (OUTAGE - 1) * INTERVAL + LATE + timedelta(seconds=1)
    lookers.set(now)
    for _ in range(3):
        lookers.start()
    await bench.until(partial(reached, bench, (STEPS + OUTAGE) * SCHEDULES), 300)
    lookers.kill_all()

    async with bench.database.read(SystemScope(EVERYTHING)) as tx:
        rows = await tx.scalars(sa.select(JobFiringRow))
        graphs = set(await tx.scalars(sa.select(GraphRow.id)))
        due = await tx.scalars(sa.select(JobScheduleRow.due_at))
    assert all(one > now for one in due)
    of: dict[str, dict[datetime, str]] = defaultdict(dict)
    for row in rows:
        assert row.due_at not in of[row.schedule_id]
        assert (row.times, row.until) == (1, None)
        of[row.schedule_id][row.due_at] = row.outcome
    after = {
        "none": ["missed"] * OUTAGE,
        "last": ["missed"] * (OUTAGE - 1) + ["late"],
        "all": ["late"] * OUTAGE,
    }
    for schedule_id, catch_up in catch_ups.items():
        found = of.pop(schedule_id)
        times = [first[schedule_id] + n * INTERVAL for n in range(STEPS + OUTAGE)]
        expected = dict(zip(times, ["ran"] * STEPS + after[catch_up], strict=True))
        assert found == expected, (schedule_id, catch_up)
    assert not of
    fired = Counter(row.graph_id for row in rows if row.outcome in {"ran", "late"})
    assert set(fired) == graphs, "a graph that no time accounts for, or a time without one"
    assert set(fired.values()) == {1}
    assert all(row.graph_id is None for row in rows if row.outcome == "missed")
