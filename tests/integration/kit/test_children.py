"""Child processes: what they return, where they end, and that nothing of them is left."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.kit.children import ChildError, Children
from tests.support import child_works as works

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")

ROOT = Path(__file__).resolve().parents[3]
MIB = 1024 * 1024


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    made = Children(2)
    yield made
    await made.aclose()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "pids"


async def run(children: Children, work: Any, *args: Any, **options: Any) -> Any:
    async with children.place(options.pop("tenant", "a")) as place:
        return await place.run(work, *args, **{"seconds": 60, **options})


async def refused(children: Children, work: Any, *args: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(ChildError) as caught:
        await run(children, work, *args, **options)
    return caught.value.reason, str(caught.value)


def lives(pid: int) -> bool:
    """Whether it runs; one that is dead and not yet waited for does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def noted(marker: Path) -> list[int]:
    return [int(line) for line in marker.read_text().split()] if marker.exists() else []


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


class TestRun:
    async def test_returns_what_the_function_returns(self, children: Children) -> None:
        for value in ({"a": [1, 2.5, None, "é"]}, b"\x00bytes", None, "x" * 100_000):
            assert await run(children, works.echo, value) == value

    async def test_a_child_has_nothing_of_ours(
        self, children: Children, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EMAIL_SENDER__SECURITY__ROOT_KEY", "secret")
        ours = os.open(os.devnull, os.O_RDONLY)
        os.set_inheritable(ours, True)
        try:
            seen = await run(children, works.see)
        finally:
            os.close(ours)
        assert seen["environment"].keys() == {"PATH", "LANG", "PYTHONPATH"}
        # The three of every process, the one to us, and the one that looks.
        assert seen["open"] == [0, 1, 2, 3, 4]
        assert seen["modules"] == []
        assert seen["group"] == seen["pid"] != os.getpid()

    async def test_what_it_raises_is_told_by_name(self, children: Children) -> None:
        assert await refused(children, works.fail, "no") == ("raised", "LookupError: no")
        how, text = await refused(children, works.fail, "n" * 100_000)
        assert (how, len(text)) == ("raised", 2000)

    async def test_one_that_never_ends_is_killed_at_its_time(
        self, children: Children, marker: Path
    ) -> None:
        began = time.monotonic()
        how, text = await refused(children, works.spin, str(marker), seconds=1)
        assert (how, text) == ("time", "It took longer than 1 s")
        assert 1 <= time.monotonic() - began < 30
        assert [lives(pid) for pid in noted(marker)] == [False]

    async def test_one_that_takes_all_memory_is_told_apart(self, children: Children) -> None:
        how, text = await refused(children, works.eat, memory_bytes=32 * MIB)
        assert (how, text) == ("memory", "It took more than 32 MiB of memory")
        # It was the child's own limit, and the next one has all of it.
        assert len(await run(children, works.many, 8 * MIB, result_bytes=16 * MIB)) == 8 * MIB

    async def test_one_that_dies_says_of_what(self, children: Children) -> None:
        assert await refused(children, works.die, signal.SIGSEGV) == (
            "signal",
            "Its process died by SIGSEGV",
        )
        assert (await refused(children, works.leave, 3))[0] == "exit"

    async def test_a_result_is_bounded_and_plain(self, children: Children) -> None:
        assert len(await run(children, works.many, 900, result_bytes=1000)) == 900
        assert (await refused(children, works.many, 1001, result_bytes=1000))[0] == "result"
        how, text = await refused(children, works.odd)
        assert how == "result"
        assert "object" in text

    @pytest.mark.parametrize("work", [works.leave_behind, works.leave_behind_apart])
    async def test_nothing_that_it_started_is_left(
        self, children: Children, marker: Path, work: Any
    ) -> None:
        assert await run(children, work, str(marker)) == "gone"
        assert len(noted(marker)) == 3
        await until(lambda: not any(map(lives, noted(marker))))

    async def test_a_cancelled_one_is_killed_with_what_it_started(
        self, children: Children, marker: Path
    ) -> None:
        task = asyncio.create_task(run(children, works.hang_with_others, str(marker)))
        await until(lambda: len(noted(marker)) == 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not any(map(lives, noted(marker))))

    async def test_its_standard_error_is_logged_and_bounded(
        self, children: Children, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert await run(children, works.write_much, 1000) == "written"
        (record,) = [one for one in caplog.records if one.msg == "child_wrote"]
        assert len(record.text) == 8192  # type: ignore[attr-defined]

    async def test_goes_on_when_the_process_that_forks_was_killed(
        self, children: Children, marker: Path
    ) -> None:
        task = asyncio.create_task(run(children, works.spin, str(marker)))
        await until(lambda: noted(marker))
        server = children._server
        assert server is not None
        server.process.kill()
        with pytest.raises(ChildError) as caught:
            await task
        assert caught.value.reason == "lost"
        await until(lambda: not any(map(lives, noted(marker))))
        assert await run(children, works.echo, 7) == 7


class TestPlace:
    async def test_a_tenant_leaves_one_to_others(self, children: Children, marker: Path) -> None:
        hanging = [
            asyncio.create_task(run(children, works.spin, str(marker), tenant="a"))
            for _ in range(3)
        ]
        await until(lambda: noted(marker))
        assert await run(children, works.echo, 1, tenant="b") == 1
        assert len(noted(marker)) == 1
        for one in hanging:
            one.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        await until(lambda: not any(map(lives, noted(marker))))


class TestExpect:
    def test_only_functions_of_modules_are_found_again(self) -> None:
        inner = TestExpect.test_only_functions_of_modules_are_found_again
        for work in (lambda value: value, inner):
            with pytest.raises(ValueError, match="no function of a module"):
                Children().expect(work)


ORPHAN = """
import asyncio, sys
from backend.kit.children import Children
from tests.support import child_works

async def main():
    async with Children().place("a") as place:
        await place.run(child_works.hang_with_others, sys.argv[1], seconds=600)

asyncio.run(main())
"""


@pytest.fixture
def worker(marker: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child that hangs, and with what that one started."""
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(marker)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class TestDeath:
    async def test_nothing_outlives_a_worker_that_is_killed(
        self, worker: subprocess.Popen[bytes], marker: Path
    ) -> None:
        await until(lambda: len(noted(marker)) == 3)
        worker.kill()
        await until(lambda: not any(map(lives, noted(marker))))
