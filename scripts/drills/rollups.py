"""The drill on rollups: what windows say of a month against all that was recorded in it.

Three processes record the same series hour by hour of thirty made-up days, each folding, rolling up
and forgetting in between as workers do, in competition with the others. Some of them are killed in
the middle of a day, and others go on in their place. In the end counts and sums of every day are
exactly those of what was answered for, and quantiles are within the stated error. A batch that
nobody answered for may be there, whole.
"""

import asyncio
import multiprocessing
import random
import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import numpy as np

from backend.core.clock import perf_counter
from backend.core.context import Scope
from backend.core.database import Database, make_engine
from backend.core.ids import uuid7
from backend.kit.turns import Turns
from backend.managers.metrics import MetricsManager, MetricsSettings, Wanted, query
from backend.managers.metrics._windows import RELATIVE_ERROR
from scripts.drills.recorder import COUNTED, HOURS, LASTED, SHOPS, START, observed, run
from scripts.drills.rig import DrillError, Where
from tests.support.series import write_histograms, write_hours
from tests.support.trail import audit_row

TARGET_MS: Final = 300
_PROCESSES: Final = 3
_QUANTILES: Final = (0.5, 0.95, 0.99)
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_DAY_SECONDS: Final = 1200.0
_SERIES: Final = 50
_QUERY_DAYS: Final = 90
_ASKED: Final = 9
_FORKS: Final = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True)
class RollupsReport:
    """What windows say, and what was recorded.

    Attributes:
        days: How long the made-up time is.
        observations: How many were answered for.
        unanswered: How many of them nobody had answered for and are there nevertheless.
        kills: How often a process was killed.
        wrong: Counts and sums that are not those of what was recorded.
        checked: How many were looked at.
        worst_error: The farthest that a quantile is off, as a share of it.
        medians_ms: How long a query over 90 days of 50 series takes, by what it asks for.
    """

    days: int
    observations: int
    unanswered: int
    kills: int
    wrong: Sequence[str]
    checked: int
    worst_error: float
    medians_ms: Mapping[str, float] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = [f"{len(self.wrong)} figures are wrong: {self.wrong[0]}"] if self.wrong else []
        if self.worst_error > RELATIVE_ERROR:
            found.append(
                f"a quantile is off by {self.worst_error:.2%}, and not by {RELATIVE_ERROR:.0%}"
            )
        return found

    def __str__(self) -> str:
        """A line for people."""
        took = ", ".join(f"{name} {ms:.0f} ms" for name, ms in self.medians_ms.items())
        reached = all(ms < TARGET_MS for ms in self.medians_ms.values())
        return (
            f"{self.observations:,} observations of {self.days} days, {self.kills} kills, "
            f"{self.unanswered} kept without an answer: {self.checked} counts and sums, "
            f"{len(self.wrong)} wrong, quantiles off by {self.worst_error:.2%} at most; "
            f"{_QUERY_DAYS} days of {_SERIES} series: {took} "
            f"({'within' if reached else 'ABOVE'} the target of {TARGET_MS} ms)"
        )


@dataclass(slots=True)
class _Recorder:
    """One of the processes, and what it left about what it did."""

    number: int
    process: BaseProcess
    connection: Connection
    folder: Path

    def hours(self, word: str) -> list[int]:
        path = self.folder / f"notes-{self.number}"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(f"{word} ")]


async def rollups(
    where: Where, rng: random.Random, folder: Path, *, days: int = 30
) -> RollupsReport:
    """Record a month from three processes, and compare."""
    url = await asyncio.to_thread(where.migrated, folder, f"rollups_{rng.randrange(10**9)}")
    tenant_id, seed = uuid7(), rng.randrange(2**31)
    kill_on = set(rng.sample(range(days), max(1, days // 6)))
    recorders = [_start(url, tenant_id, seed, folder, n) for n in range(_PROCESSES)]
    kills = 0
    try:
        for day in range(days):
            for each in recorders:
                each.connection.send((day, day * HOURS))
            if day in kill_on:
                number = rng.randrange(_PROCESSES)
                await _kill_amid(recorders[number], day, rng)
                kills += 1
                recorders[number] = _start(url, tenant_id, seed, folder, number)
                # What it had begun may be there or not: it is not tried again.
                begun = max(recorders[number].hours("begun"))
                recorders[number].connection.send((day, begun + 1))
            await asyncio.to_thread(_until_over, recorders)
    finally:
        for each in recorders:
            each.process.kill()
            each.process.join()
    now = START + days * _DAY + timedelta(hours=1)
    async with _open(url, now) as database:
        metrics = MetricsManager(MetricsSettings())
        await metrics.fold(database)
        await metrics.roll_up(database)
        answered, unanswered = await _recorded(database, tenant_id, recorders, seed)
        wrong, checked, worst = await _compare(database, tenant_id, answered, seed, days)
        medians = await _time_queries(database, now)
    return RollupsReport(
        days=days,
        observations=sum(map(len, answered)) * 2 * observed(seed, 0, 0)[0].size,
        unanswered=unanswered * 2 * observed(seed, 0, 0)[0].size,
        kills=kills,
        wrong=wrong,
        checked=checked,
        worst_error=worst,
        medians_ms=medians,
    )


@asynccontextmanager
async def _open(url: str, now: datetime) -> AsyncIterator[Database]:
    database = Database(make_engine(url, pool_size=2), audit_row=audit_row, clock=lambda: now)
    try:
        yield database
    finally:
        await database.aclose()


# --- recording --------------------------------------------------------------------------------


def _start(url: str, tenant_id: str, seed: int, folder: Path, number: int) -> _Recorder:
    ours, theirs = _FORKS.Pipe()
    process = _FORKS.Process(target=run, args=(url, tenant_id, seed, number, theirs), daemon=True)
    process.start()
    # Else its end would not be heard.
    theirs.close()
    ours.send(str(folder))
    return _Recorder(number, process, ours, folder)


async def _kill_amid(recorder: _Recorder, day: int, rng: random.Random) -> None:
    """Kill it once it has begun a random hour of the day, at a random moment of that."""
    hour = day * HOURS + rng.randrange(1, HOURS - 1)
    for _ in range(int(_DAY_SECONDS / 0.002)):
        if hour in recorder.hours("begun") or not recorder.process.is_alive():
            break
        await asyncio.sleep(0.002)
    await asyncio.sleep(rng.uniform(0, 0.02))
    recorder.process.kill()
    await asyncio.to_thread(recorder.process.join)


def _until_over(recorders: Sequence[_Recorder]) -> None:
    """Wait until each has had its day.

    Raises:
        DrillError: One has ended, or takes longer than twenty minutes.
    """
    for each in recorders:
        if not each.connection.poll(_DAY_SECONDS):
            raise DrillError(f"the process {each.number} does not come to a day's end")
        try:
            each.connection.recv()
        except EOFError:
            raise DrillError(f"the process {each.number} ended by itself") from None


# --- comparing --------------------------------------------------------------------------------


async def _recorded(
    database: Database, tenant_id: str, recorders: Sequence[_Recorder], seed: int
) -> tuple[list[set[int]], int]:
    """The hours of each process that are there, and how many of them nobody had answered for.

    Whether such an hour is there is asked of its windows; that it is there whole is compared later.
    """
    hours = [set(each.hours("done")) for each in recorders]
    open_ = [
        (each.number, hour)
        for each in recorders
        for hour in sorted(set(each.hours("begun")) - set(each.hours("done")))
    ]
    there = 0
    for number, hour in open_:
        begin = START + timedelta(hours=hour)
        found = await _ask(database, tenant_id, (begin, begin + _HOUR), COUNTED, aggregate="count")
        known = sum(hour in of for of in hours) * observed(seed, number, hour)[0].shape[1]
        if found[SHOPS[0]] > known:
            hours[number].add(hour)
            there += 1
    return hours, there


async def _ask(
    database: Database, tenant_id: str, span: tuple[datetime, datetime], name: str, **asked: Any
) -> dict[str, float]:
    """The value of each shop over a span of time."""
    since, until = span
    wanted = Wanted(name=name, since=since, until=until, labels={}, by=["shop"], points=1, **asked)
    async with database.read(Scope("drill", tenant_id)) as tx:
        unanswered = await query(tx, wanted)
    found = await unanswered.answer(Turns())
    return {line.labels["shop"]: line.value or 0.0 for line in found.lines}


async def _compare(
    database: Database, tenant_id: str, hours: Sequence[set[int]], seed: int, days: int
) -> tuple[list[str], int, float]:
    """What is wrong of counts and sums, how many were looked at, and the worst quantile."""
    wrong: list[str] = []
    checked, worst = 0, 0.0
    spans = [(day, day + 1) for day in range(days)] + [(0, days)]
    for first, last in spans:
        span = START + first * _DAY, START + last * _DAY
        parts = [
            observed(seed, number, hour)[1:]
            for number, of in enumerate(hours)
            for hour in sorted(of)
            if first * HOURS <= hour < last * HOURS
        ]
        orders = np.concatenate([one for one, _ in parts], axis=1)
        seconds = np.concatenate([one for _, one in parts], axis=1)
        exact = {
            (COUNTED, "count"): np.full(len(SHOPS), orders.shape[1]),
            (COUNTED, "sum"): orders.sum(axis=1),
            (LASTED, "count"): np.full(len(SHOPS), seconds.shape[1]),
        }
        for (name, aggregate), truth in exact.items():
            found = await _ask(database, tenant_id, span, name, aggregate=aggregate)
            for shop, value in zip(SHOPS, truth.tolist(), strict=True):
                checked += 1
                if found.get(shop) != value:
                    said = f"{found.get(shop)} and not {value}"
                    wrong.append(f"{aggregate} of {name} of {shop}, days {first} to {last}: {said}")
        for share in _QUANTILES:
            found = await _ask(
                database, tenant_id, span, LASTED, aggregate="quantile", quantile=share
            )
            rank = max(int(np.ceil(share * seconds.shape[1])), 1) - 1
            for number, shop in enumerate(SHOPS):
                truth = float(np.sort(seconds[number])[rank])
                worst = max(worst, abs(found[shop] - truth) / truth)
    return wrong, checked, worst


# --- asking -----------------------------------------------------------------------------------


async def _time_queries(database: Database, now: datetime) -> dict[str, float]:
    """Milliseconds, the median of some, of a query over ninety days of fifty series."""
    tenant_id = uuid7()
    hours = _QUERY_DAYS * HOURS
    end = now.replace(minute=0)
    rng = np.random.default_rng(3)
    for number in range(_SERIES):
        for base, (name, kind) in enumerate((("level", "gauge"), ("amount_total", "counter"))):
            await write_hours(
                database, tenant_id, rng.poisson(100, hours), name=name, kind=kind, end=end,
                number=1 + base * _SERIES + number, shop=str(number),
            )  # fmt: skip
    await write_histograms(
        database, tenant_id, rng.lognormal(-1, 0.5, (_SERIES, hours, 5)), name="seconds", end=end,
        number=1000,
    )  # fmt: skip
    medians = {}
    for name, aggregate in (("level", "avg"), ("amount_total", "rate"), ("seconds", "quantile")):
        wanted = Wanted(
            name=name,
            aggregate=aggregate,  # type: ignore[arg-type]
            since=end - timedelta(days=_QUERY_DAYS),
            until=end,
            labels={},
            by=["shop"],
        )
        took = []
        for _ in range(_ASKED):
            began = perf_counter()
            async with database.read(Scope("drill", tenant_id)) as tx:
                asked = await query(tx, wanted)
            found = await asked.answer(Turns())
            took.append((perf_counter() - began) * 1000)
            if len(found.lines) + found.lines_left_out != _SERIES:
                raise DrillError(f"{len(found.lines)} lines of {name}")
        medians[aggregate] = statistics.median(took)
    return medians
