"""Turns of costly work: one at a time a tenant, and a quarter of the time."""

import asyncio
import threading

import pytest

from backend.kit.turns import Turns


class Time:
    """A clock that work and rest move on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.rests: list[float] = []
        sleep = asyncio.sleep

        async def rest(seconds: float) -> None:
            self.rests.append(seconds)
            self.now += seconds
            await sleep(0)

        monkeypatch.setattr(asyncio, "sleep", rest)

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


class TestRun:
    async def test_works_in_a_thread_and_returns_what_comes_of_it(self) -> None:
        assert await Turns().run("a", threading.get_ident) != threading.get_ident()
        with pytest.raises(ValueError, match="broken"):
            await Turns().run("a", lambda: int("broken"))

    async def test_one_at_a_time_a_tenant(self) -> None:
        turns, at_work, most = Turns(), 0, 0
        met = threading.Barrier(2, timeout=20)

        def work() -> None:
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            met.wait()  # for the other tenant's: they do not wait for each other
            at_work -= 1

        await asyncio.gather(*(turns.run(tenant, work) for tenant in "aabb"))
        assert most == 2

    async def test_who_always_works_gets_a_quarter_of_the_time(self, time: Time) -> None:
        turns = Turns(lambda: time.now)
        for _ in range(20):
            await turns.run("a", lambda: time.work(0.2))
        assert time.now == pytest.approx(4 * 4.0, abs=1.5)

    async def test_who_works_less_never_rests(self, time: Time) -> None:
        turns = Turns(lambda: time.now)
        for _ in range(50):
            await turns.run("a", lambda: time.work(0.1))
            time.now += 0.31
        assert time.rests == []

    async def test_a_rest_is_bounded_and_nobody_elses(self, time: Time) -> None:
        turns = Turns(lambda: time.now)
        await turns.run("a", lambda: time.work(60))
        await turns.run("b", lambda: time.work(0.1))
        assert time.rests == []
        await turns.run("a", lambda: None)
        assert time.rests == [pytest.approx(1.9)]

    async def test_work_that_fails_counts(self, time: Time) -> None:
        turns = Turns(lambda: time.now)

        def fail() -> None:
            time.work(2.0)
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            await turns.run("a", fail)
        await turns.run("a", lambda: None)
        assert time.rests == [pytest.approx(2.0)]

    async def test_forgets_who_has_rested(self, time: Time) -> None:
        turns = Turns(lambda: time.now)
        for number in range(1_000):
            await turns.run(str(number), lambda: time.work(0.1))
        assert len(turns._turns) < 300
