"""Drills on what keeps two live workers from doing one job twice: databases away, workers frozen.

A worker that cannot renew its heartbeat must not begin anything, and what it holds is not for
others as long as they could not look either. So an outage of the database doubles nothing, however
long it is; a frozen worker doubles at most what it was in the middle of.
"""

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from scripts.drills.messages import messages
from scripts.drills.rig import Json, Rig, Tally

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


async def outages(
    rig: Rig, rng: random.Random, *, rounds: int = 20, longest: float = _LONGEST
) -> RoundsReport:
    """Take the database away or freeze a worker in the middle of the work, again and again."""
    ways = _ways(rig)
    for name in _WORKERS:
        await rig.start(name)
    queued: list[Json] = []
    done = []
    for number in range(rounds):
        what, most_doubles, strike = ways[number % len(ways)]
        before = rig.copies()
        queued += await rig.submit(messages(_EACH, rng, slow_share=1.0, name=f"round-{number}"))

        async def at_work(before: int = before) -> bool:
            return rig.copies() > before

        await rig.until(at_work, 60, "the first e-mail of a round to arrive", pause=0.02)
        await asyncio.sleep(rng.uniform(0, 1))
        seconds = _FROZEN_SECONDS if most_doubles else _length(rng, longest, number, rounds)
        await strike(seconds, rng.choice(_WORKERS))
        began = time.monotonic()
        await rig.until_serving()
        await rig.until_settled()
        settled = time.monotonic() - began
        done.append(Round(what, seconds, rig.copies() - before - _EACH, most_doubles, settled))
    return RoundsReport(await rig.tally(queued, allowed_statuses={503}), done)


def _length(rng: random.Random, longest: float, number: int, rounds: int) -> float:
    # Around the lease, where it hurts, as often as anywhere; the longest for certain.
    if number == rounds - 1:
        return longest
    often = min(15.0, longest)
    return rng.uniform(_SHORTEST, often) if rng.random() < 0.8 else rng.uniform(often, longest)


def _ways(rig: Rig) -> list[tuple[str, int, Callable[[float, str], Awaitable[None]]]]:
    """What can happen: its name, how much it may double, and how to do it."""

    async def freeze(seconds: float, name: str) -> None:
        await rig.freeze(name)
        await asyncio.sleep(seconds)
        rig.thaw(name)

    # What each connection had in the middle, and what it had just ended and was not on record yet.
    frozen = ("a worker frozen", 2 * _CONNECTIONS, freeze)
    server = rig.where.server
    if server is None:

        async def lock(seconds: float, _: str) -> None:
            await asyncio.to_thread(_hold_lock, rig.database_url, seconds)

        return [("SQLite locked", 0, lock), frozen]

    async def stop(seconds: float, _: str) -> None:
        family = [server.pid, *_children(server.pid)]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        for pid in reversed(family):
            os.kill(pid, signal.SIGCONT)

    async def crash(seconds: float, _: str) -> None:
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)

    return [
        ("PostgreSQL stopped", 0, stop),
        ("PostgreSQL crashed", 0, crash),
        frozen,
    ]


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


def _hold_lock(url: str, seconds: float) -> None:
    """Be the one writer of the file for so long."""
    connection = sqlite3.connect(
        str(sa.make_url(url).database), isolation_level=None, timeout=_LONGEST
    )
    try:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    finally:
        connection.close()
