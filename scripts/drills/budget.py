"""A drill on the budget of a key: many processes encrypt with one, and one of them is killed."""

import asyncio
import contextlib
import random
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from dataclasses import dataclass
from typing import Final

import httpx
import psycopg
import sqlalchemy as sa

from scripts.drills.rig import DrillError, Rig
from scripts.installation import ROOT
from tests.support.postgres import SUPERUSER

SETTINGS: Final = {"SECURITY__REQUESTS_PER_SECOND": "100000", "SECURITY__BURST_REQUESTS": "100000"}
_NAME: Final = "hammered"
_BEGIN_SECONDS: Final = 600.0
_END_SECONDS: Final = 60.0
_VERSIONS: Final = 200


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """What a key did, by its versions, and what was counted and recorded of it."""

    budget: int
    processes: int
    killed: int
    ended_badly: int
    seconds: float
    answered: Counter[int]
    counted: Counter[int]
    """What the versions' rows say: reserved, and so no less than done."""
    recorded: Counter[int]

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = []
        for version in sorted(self.answered | self.counted | self.recorded):
            answered, recorded = self.answered[version], self.recorded[version]
            counted = self.counted[version]
            if not answered <= recorded <= counted <= self.budget:
                found.append(
                    f"version {version}: {answered} answered, {recorded} recorded, {counted} "
                    f"counted, of a budget of {self.budget}"
                )
        if len(self.counted) < 2:
            found.append("it was never rotated")
        if self.ended_badly:
            found.append(f"{self.ended_badly} processes failed")
        return found

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.processes} processes for {self.seconds:.0f} s, {self.killed} killed: "
            f"{self.answered.total()} operations answered, {self.recorded.total()} recorded, "
            f"{self.counted.total()} counted, over {len(self.counted)} versions, none above "
            f"{max(self.counted.values(), default=0)} of {self.budget}; "
            f"{self.counted.total() - self.recorded.total()} reserved and not used"
        )


async def hammer(
    rig: Rig,
    rng: random.Random,
    *,
    seconds: int = 60,
    processes: int = 8,
    budget: int = 10_000,
    versions: int = 0,
) -> BudgetReport:
    """Encrypt with one key in many processes for so long, and kill one of them in the middle.

    Args:
        rig: Where.
        rng: Decides when which one is killed.
        seconds: How long at least.
        processes: How many.
        budget: Operations of a version, after which the key rotates.
        versions: Go on until the key has so many.
    """
    await rig.become_owner()
    body = {"name": _NAME, "rotate_after_operations": budget}
    answer = await rig.http.post("/api/v1/keys", json=body)
    if answer.status_code != httpx.codes.CREATED:
        raise DrillError(f"making the key answered {answer.status_code}: {answer.text[:200]}")
    running = [await _start(rig) for _ in range(processes)]
    answered = [Counter[int]() for _ in running]
    outputs = [asyncio.create_task(_read(*pair)) for pair in zip(running, answered, strict=True)]

    async def all_hammer() -> bool:
        if any(one.done() for one in outputs):
            raise DrillError("a process ended before it was told to")
        return all(answered)

    async def has_rotated() -> bool:
        return len(await _counted(rig)) >= versions

    try:
        await rig.until(all_hammer, _BEGIN_SECONDS, f"{processes} processes to encrypt")
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds * rng.uniform(0.3, 0.7))
        running[rng.randrange(processes)].send_signal(signal.SIGKILL)

        await asyncio.sleep(max(0.0, seconds - (asyncio.get_running_loop().time() - began)))
        await rig.until(has_rotated, _END_SECONDS, f"{versions} versions", pause=0.2)
        spent = asyncio.get_running_loop().time() - began
        for one in running:
            if one.returncode is None and one.stdin is not None:
                one.stdin.close()
        async with asyncio.timeout(_END_SECONDS):
            await asyncio.gather(*outputs)
            ended = [await one.wait() for one in running]
    finally:
        for one in running:
            with contextlib.suppress(ProcessLookupError):
                one.kill()
        await asyncio.gather(*outputs, return_exceptions=True)
    return BudgetReport(
        budget=budget,
        processes=processes,
        killed=ended.count(-signal.SIGKILL),
        ended_badly=sum(status not in {0, -signal.SIGKILL} for status in ended),
        seconds=spent,
        answered=sum(answered, Counter[int]()),
        counted=await _counted(rig),
        recorded=await asyncio.to_thread(_recorded, rig),
    )


async def _start(rig: Rig) -> Process:
    arguments = (rig.database_url, str(rig.root_key_file), rig.tenant_id, _NAME)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.key_hammer", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
    )


async def _read(process: Process, answered: Counter[int]) -> None:
    """Count the answers that a process has had, by version: a line each."""
    if process.stdout is not None:
        async for line in process.stdout:
            # One that was killed may have been in the middle of its last.
            if line.endswith(b"\n"):
                answered[int(line)] += 1


async def _counted(rig: Rig) -> Counter[int]:
    answer = await rig.http.get(f"/api/v1/keys/{_NAME}/versions", params={"limit": _VERSIONS})
    shown = answer.raise_for_status().json()
    if shown["next_below"] is not None:
        raise DrillError(f"more than {_VERSIONS} versions")
    return Counter({one["number"]: one["operations"] for one in shown["items"]})


def _recorded(rig: Rig) -> Counter[int]:
    """Of which version how many uses stand in the trail; by the database, they are many."""
    made = sa.make_url(rig.database_url)
    server = rig.where.server
    if server is None:
        query = (
            "SELECT json_extract(data, '$.version'), count(*) FROM audit_records "
            "WHERE action = 'key.used' GROUP BY 1"
        )
        with contextlib.closing(sqlite3.connect(str(made.database))) as file:
            return Counter(dict(file.execute(query).fetchall()))
    # As one whom row-level security lets pass.
    with psycopg.connect(server.url(SUPERUSER, str(made.database))) as connection:
        rows = connection.execute(
            "SELECT (data->>'version')::int, count(*) FROM audit_records "
            "WHERE action = 'key.used' GROUP BY 1"
        )
        return Counter(dict(rows.fetchall()))
