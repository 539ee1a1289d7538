"""Workers: seen with what they run, drained and resumed in the console."""

from __future__ import annotations

import asyncio
import time

import pytest

from backend.core.context import Scope
from backend.managers.orchestrator import JobKind, OrchestratorManager, Worker
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


class Bench:
    """A worker of the installation under test, and a job that runs until it is let go."""

    def __init__(self, platform):
        self._platform = platform
        self._database = platform.inside.database
        self._let_go = asyncio.Event()
        self._manager = OrchestratorManager([JobKind.simple("hold", self._hold)])

    async def _hold(self, _):
        await self._let_go.wait()

    async def start(self):
        self.worker = Worker(
            self._database, self._manager, concurrency=4, beat_seconds=0.1, poll_seconds=0.05,
            ttl_seconds=600.0, name="mail-1", version="1.2.3",
        )  # fmt: skip
        self._working = asyncio.create_task(self.worker.run())

    async def submit(self):
        scope = Scope("test", self._platform.seeds.demo_id)
        async with self._database.transaction(scope) as tx:
            await self._manager.submit(tx, "hold", args={})

    async def let_go(self):
        self._let_go.set()

    async def end(self):
        self._let_go.set()
        self.worker.stop()
        await self._working

    def until(self, **wanted):
        deadline = time.monotonic() + 60
        while True:
            found = {one["id"]: one for one in self._platform.items("platform/workers")}
            one = found.get(self.worker.id, {})
            if wanted.items() <= one.items():
                return
            assert time.monotonic() < deadline, one
            time.sleep(0.05)


@pytest.fixture
def bench(platform):
    made = Bench(platform)
    # The machine may be busy for longer than a lease between two clicks.
    platform.inside.of(OrchestratorManager).workers._ttl = 600.0
    platform.loop.run(made.start())
    platform.loop.run(made.submit())
    made.until(running=1)
    yield made
    platform.loop.run(made.end())


def test_is_drained_says_what_runs_and_is_resumed(visit, platform, bench):
    name = bench.worker.id
    screen = visit("workers")
    (row,) = [row for row in screen.rows("workers") if row["id"] == name]
    assert (row["state"], row["running"], row["version"]) == ("working", "1 of 4", "1.2.3")
    screen.app.session_state["workers-open"] = name
    screen.app.run()
    assert "All slots 1 of 4" in screen.text.replace("  ", " ")
    assert "Demo 1" in screen.text.replace("  ", " ")
    assert not screen.has_button("workers-resume-start")
    screen.click("workers-drain-start").click("workers-drain-yes")
    assert screen.said == f"{name} takes nothing more."
    bench.until(state="draining", drained=False, running=1)
    platform.loop.run(bench.let_go())
    bench.until(drained=True)
    screen = visit("workers")
    (row,) = [row for row in screen.rows("workers") if row["id"] == name]
    assert (row["state"], row["running"]) == ("drained", "0 of 4")
    screen.app.session_state["workers-open"] = name
    screen.app.run()
    assert "It runs nothing." in screen.text
    assert not screen.has_button("workers-drain-start")
    screen.click("workers-resume-start").click("workers-resume-yes")
    bench.until(state="working")


def test_is_no_page_of_who_is_of_no_platform(visit):
    links = visit(person=VIC).app.sidebar.get("page_link")
    assert "Workers" not in {link.proto.label for link in links}


def test_is_warned_of_where_nobody_takes_work(visit, platform):
    told = {"alive": 0, "draining": 2, "seen_at": "2026-11-26T09:00:05Z"}
    platform.wire.alter("GET", "/api/v1/overview/workers", lambda _: told)
    assert "all workers are draining and take nothing more" in visit("jobs").text
