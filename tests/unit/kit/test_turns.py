"""Turns of costly work: one at a time a tenant, and a quarter of the time."""

import asyncio
import threading
from collections.abc import Generator

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


class TestSlices:
    async def test_returns_what_comes_of_it(self) -> None:
        def work() -> Generator[None, None, str]:
            yield
            return "done"

        def fail() -> Generator[None, None, str]:
            yield
            raise ValueError("broken")

        turns = Turns()
        assert await turns.slices("a", work()) == "done"
        with pytest.raises(ValueError, match="broken"):
            await turns.slices("a", fail())
        assert await turns.slices("a", work()) == "done"

    async def test_others_come_to_their_turn_between_slices(self, time: Time) -> None:
        turns = Turns(lambda: time.now)
        done: list[str] = []

        def work(name: str, steps: int) -> Generator[None, None, None]:
            for _ in range(steps):
                time.work(0.001)
                done.append(name)
                yield

        async def request() -> None:
            for _ in range(5):
                done.append("request")
                await asyncio.sleep(0)

        await asyncio.gather(
            turns.slices("a", work("a1", 8)),
            turns.slices("a", work("a2", 8)),
            turns.slices("b", work("b1", 8)),
            request(),
        )
        # One tenant's work is done one after the other, and two tenants' in turns.
        assert done.index("a2") > max(at for at, one in enumerate(done) if one == "a1")
        first_of_b = done.index("b1")
        assert first_of_b < max(at for at, one in enumerate(done) if one == "a1")
        assert done.index("request") < 8
        assert {one: done.count(one) for one in ("a1", "a2", "b1", "request")} == {
            "a1": 8, "a2": 8, "b1": 8, "request": 5,
        }  # fmt: skip

    async def test_nobody_rests(self, time: Time) -> None:
        turns = Turns(lambda: time.now)

        def work() -> Generator[None, None, None]:
            for _ in range(1000):
                time.work(0.001)
                yield

        for _ in range(3):
            await turns.slices("a", work())
        assert set(time.rests) == {0}
