"""What the rooms do by themselves: while the database is away, and at the end."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from backend.app import Platform
from backend.core.database import Database, DatabaseUnavailableError
from backend.core.room import Tick
from tests.support.platform import App


async def test_a_duty_waits_for_the_database_and_is_no_error(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    came = asyncio.Event()

    async def away(_manager: Any, _database: Database) -> None:
        came.set()
        raise DatabaseUnavailableError

    room = cast("Any", SimpleNamespace(serving=None, ticks=(Tick("tiny.look", 0.01, away),)))
    monkeypatch.setattr(Platform, "at_work", lambda _: [(room, None)])
    with caplog.at_level(logging.INFO):
        async with app.platform.serving("worker", AsyncIOScheduler()):
            await asyncio.wait_for(came.wait(), 30)
            await asyncio.sleep(0)
    told = [one for one in caplog.records if one.name == "backend.app"]
    assert {one.getMessage() for one in told} == {"tick_waits_for_the_database"}
    assert {vars(one)["tick"] for one in told} == {"tiny.look"}
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_a_duty_that_is_at_work_comes_to_its_end(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while it is given a connection it would leave that to nobody."""
    came, may_end = asyncio.Event(), asyncio.Event()
    ended: list[bool] = []

    async def work(_manager: Any, _database: Database) -> None:
        came.set()
        await may_end.wait()
        ended.append(True)

    room = cast("Any", SimpleNamespace(serving=None, ticks=(Tick("tiny.work", 0.01, work),)))
    monkeypatch.setattr(Platform, "at_work", lambda _: [(room, None)])
    async with app.platform.serving("worker", AsyncIOScheduler()):
        await asyncio.wait_for(came.wait(), 30)
        asyncio.get_running_loop().call_later(0.1, may_end.set)
    assert ended == [True]


async def test_nothing_that_happened_before_the_first_worker_came_is_lost(app: App) -> None:
    begins = {one.name: one.start for one in app.platform.event_consumers}
    assert {"alerting.telling", "tenant.usage"} <= begins.keys()
    assert set(begins.values()) == {"beginning"}
