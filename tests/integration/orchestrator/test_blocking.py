"""Jobs whose handlers are plain functions in child processes: their ends are those of any job."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backend.managers.orchestrator import JobKind
from tests.support import child_works

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")

MIB = 1024 * 1024


@pytest.fixture
async def blocking(bench) -> AsyncIterator[Any]:
    children = bench.manager.children
    bench.manager.register(JobKind.blocking("answer", child_works.answer, children))
    bench.manager.register(
        JobKind.blocking(
            "behave", child_works.behave, children, memory_bytes=32 * MIB, result_bytes=1000
        )
    )
    yield bench
    await children.aclose()


async def fail(bench: Any, how: str, *given: Any, seconds: float = 60.0) -> tuple[str, str, int]:
    """How a job with one attempt ended that did so."""
    job_id = await bench.submit(
        "behave", args={"how": how, "with": given}, max_attempts=1, timeout_seconds=seconds
    )
    row = await bench.until_state(job_id, "dead", "succeeded")
    return row.state, row.error, row.crashes


class TestBlocking:
    async def test_what_it_returns_is_the_result(self, blocking):
        ids = [await blocking.submit("answer", args={"n": n}) for n in range(5)]
        async with blocking.working():
            await blocking.until_all("succeeded")
        rows = await blocking.rows()
        assert [rows[one].result for one in ids] == [{"twice": 2 * n} for n in range(5)]

    async def test_the_error_says_which_limit_it_was(self, blocking):
        async with blocking.working():
            assert await fail(blocking, "spin", seconds=1) == ("dead", "timed out after 1 s", 0)
            _, error, _ = await fail(blocking, "eat")
            assert error == "It took more than 32 MiB of memory"
            assert (await fail(blocking, "die", 9))[1] == "Its process died by SIGKILL"
            assert (await fail(blocking, "fail", "no"))[1] == "LookupError: no"
            assert (await fail(blocking, "many", 5000))[1] == "It is larger than 1000 bytes"
            assert (await fail(blocking, "odd"))[1].startswith("It is no plain data")

    async def test_a_cancelled_one_is_killed(self, blocking, tmp_path: Path):
        marker = tmp_path / "pids"
        job_id = await blocking.submit("behave", args={"how": "spin", "marker": str(marker)})
        async with blocking.working():

            async def began() -> bool:
                return await asyncio.to_thread(marker.exists)

            await blocking.until(began)
            async with blocking.database.transaction(blocking.scope) as tx:
                await blocking.manager.cancel_job(tx, job_id)
            await blocking.until_state(job_id, "cancelled")

            async def gone() -> bool:
                (pid,) = marker.read_text().split()
                return not Path("/proc", pid).exists()

            await blocking.until(gone)

    async def test_waiting_for_a_child_does_not_count_to_the_timeout(self, blocking):
        async with blocking.working():
            # Of two one tenant has one.
            async with blocking.manager.children.place(blocking.tenant_id):
                job_id = await blocking.submit("answer", args={"n": 1}, timeout_seconds=3)
                await blocking.until_state(job_id, "running")
                await asyncio.sleep(4)
            row = await blocking.until_state(job_id, "succeeded", "ready")
        assert (row.state, row.attempt) == ("succeeded", 1)

    async def test_one_that_a_stopping_worker_did_not_begin_goes_back_uncounted(
        self, blocking, tmp_path: Path
    ):
        marker = tmp_path / "pids"
        args = {"how": "spin", "marker": str(marker)}
        ids = [await blocking.submit("behave", args=args) for _ in range(2)]

        async with blocking.working(grace_seconds=0.1):

            async def began() -> bool:
                held = [row.state for row in (await blocking.rows()).values()]
                return marker.exists() and held == ["running", "running"]

            await blocking.until(began)
        rows = await blocking.rows()
        assert {(rows[one].state, rows[one].attempt) for one in ids} == {("ready", 0)}
        assert len(marker.read_text().split()) == 1
