"""Drills on what keeps two workers from doing one job twice: databases away, workers frozen.

A worker that cannot renew its heartbeat must not begin anything, and what it holds is not for
others as long as they could not look either. So an outage of the database doubles nothing, however
long it is; a frozen worker doubles at most what it was in the middle of, and so does one that is
killed. If that was while the clock was an hour ahead, nobody waits for the hour.
"""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy as sa

from scripts.drills.messages import messages
from scripts.drills.rig import Json, Rig, Tally
from tests.support.postgres import SUPERUSER

_CONNECTIONS: Final = 4
_WORKERS: Final = ("worker", "worker-2")
_EACH: Final = 24
_FROZEN_SECONDS: Final = 10.0
_SHORTEST, _LONGEST = 1.0, 60.0
SETTINGS: Final = {"EMAIL__CONNECTIONS": str(_CONNECTIONS), "ORCHESTRATOR__CONCURRENCY": "16"}


@dataclass(frozen=True, slots=True)
class Round:
    """One outage and what it doubled."""

    what: str
    seconds: float
    doubles: int
    most_doubles: int
    settled_seconds: float
    """From its end until every e-mail was accepted."""


@dataclass(frozen=True, slots=True)
class RoundsReport:
    """What became of e-mails over many outages, two workers at work."""

    tally: Tally
    rounds: Sequence[Round]

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = self.tally.problems(sum(one.most_doubles for one in self.rounds))
        found += [
            f"round {number}: {one.what} for {one.seconds:.1f} s doubled {one.doubles}, of which "
            f"only {one.most_doubles} can be explained"
            for number, one in enumerate(self.rounds, 1)
            if one.doubles > one.most_doubles
        ]
        return found

    def __str__(self) -> str:
        """A line and a table for people."""
        tally = self.tally
        table = [
            f"     {number:>2}  {one.what:<20} {one.seconds:5.1f} s  {one.doubles:>2} doubles "
            f"of at most {one.most_doubles}, all {one.settled_seconds:5.1f} s after its end"
            for number, one in enumerate(self.rounds, 1)
        ]
        head = (
            f"{len(self.rounds)} outages, {tally.queued} queued: {tally.queued - tally.lost} "
            f"arrived, {tally.lost} lost, {tally.doubles} doubles"
        )
        return "\n".join([head, *table])


@dataclass(frozen=True, slots=True)
class _Way:
    """Something that happens to one of the workers or to both."""

    what: str
    strike: Callable[[float, str], Awaitable[None]]
    most_doubles: int = 0
    seconds: float | None = None
    """How long it takes; None: as long as is drawn."""


async def outages(
    rig: Rig, rng: random.Random, *, rounds: int = 20, longest: float = _LONGEST
) -> RoundsReport:
    """Take the database away or freeze a worker in the middle of the work, again and again."""
    ways = _ways(rig)
    turns = [ways[number % len(ways)] for number in range(rounds)]
    # The longest for certain.
    last = max(number for number, way in enumerate(turns) if way.seconds is None)
    for name in _WORKERS:
        await rig.start(name)
    queued: list[Json] = []
    done = []
    for number, way in enumerate(turns):
        before = rig.copies()
        queued += await rig.submit(messages(_EACH, rng, slow_share=1.0, name=f"round-{number}"))

        async def at_work(before: int = before) -> bool:
            return rig.copies() > before

        await rig.until(at_work, 60, "the first e-mail of a round to arrive", pause=0.02)
        await asyncio.sleep(rng.uniform(0, 1))
        seconds = way.seconds
        if seconds is None:
            seconds = longest if number == last else _length(rng, longest)
        await way.strike(seconds, rng.choice(_WORKERS))
        began = time.monotonic()
        await rig.until_serving()
        await rig.until_settled()
        settled = time.monotonic() - began
        doubles = rig.copies() - before - _EACH
        done.append(Round(way.what, seconds, doubles, way.most_doubles, settled))
    return RoundsReport(await rig.tally(queued, allowed_statuses={503}), done)


def _length(rng: random.Random, longest: float) -> float:
    # Around the lease, where it hurts, as often as anywhere.
    often = min(15.0, longest)
    return rng.uniform(_SHORTEST, often) if rng.random() < 0.8 else rng.uniform(often, longest)


def _ways(rig: Rig) -> list[_Way]:
    """What happens on this database, in turn."""

    async def freeze(seconds: float, name: str) -> None:
        await rig.freeze(name)
        await asyncio.sleep(seconds)
        rig.thaw(name)

    async def kill_ahead(_: float, name: str) -> None:
        pid = rig.pid(name)
        await rig.kill(name)
        await asyncio.to_thread(_set_ahead, rig, pid)
        await rig.start(name)

    # What each connection had in the middle, and what it had just ended and was not on record yet.
    most = 2 * _CONNECTIONS
    others = [
        _Way("a worker frozen", freeze, most, _FROZEN_SECONDS),
        _Way("killed an hour ahead", kill_ahead, most, 0.0),
    ]
    server = rig.where.server
    if server is None:

        async def lock(seconds: float, _: str) -> None:
            await asyncio.to_thread(hold_lock, rig.database_url, seconds)

        locked = _Way("SQLite locked", lock)
        return [locked, *others, locked, locked]

    async def stop(seconds: float, _: str) -> None:
        # First what begins others: of these there are no more then, and some may be gone.
        family = [server.pid]
        try:
            _signal(family, signal.SIGSTOP)
            family += _children(server.pid)
            _signal(family[1:], signal.SIGSTOP)
            await asyncio.sleep(seconds)
        finally:
            # However this ends: who comes after it is to find a server.
            _signal(reversed(family), signal.SIGCONT)

    async def crash(seconds: float, _: str) -> None:
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)

    away = [_Way("PostgreSQL stopped", stop), _Way("PostgreSQL crashed", crash)]
    return [*away, *others, *away]


def _set_ahead(rig: Rig, pid: int) -> None:
    """Let this worker's last heartbeat be of a clock that was an hour ahead then."""
    made = sa.make_url(rig.database_url)
    server = rig.where.server
    if server is None:
        with contextlib.closing(sqlite3.connect(str(made.database), timeout=_LONGEST)) as file:
            file.execute(
                "UPDATE job_workers SET beat_at = beat_at + 3600000000 WHERE pid = ?", (pid,)
            )
            file.commit()
        return
    # As one whom row-level security lets pass.
    with psycopg.connect(server.url(SUPERUSER, str(made.database))) as connection:
        connection.execute(
            "UPDATE job_workers SET beat_at = beat_at + interval '1 hour' WHERE pid = %s", (pid,)
        )


def _signal(pids: Iterable[int], what: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            # The name in brackets may hold anything; what follows it is numbers.
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def hold_lock(url: str, seconds: float) -> None:
    """Be the one writer of SQLite's file for so long."""
    connection = sqlite3.connect(
        str(sa.make_url(url).database), isolation_level=None, timeout=_LONGEST
    )
    try:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    finally:
        connection.close()
