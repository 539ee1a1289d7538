"""Drills on the worker: killed at random moments, killed over and over, asked to stop."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backend.core.clock import system_clock
from scripts.drills.messages import messages
from scripts.drills.rig import DrillError, Json, Rig, Tally

KILL_SETTINGS: Final = {
    # As many conversations with the mail server as it takes to have more than twenty messages
    # between the first octet and the answer; everything else is as in production.
    "EMAIL__CONNECTIONS": "32",
}
CRASH_LOOP_SETTINGS: Final = KILL_SETTINGS | {
    "ORCHESTRATOR__TTL_SECONDS": "1.5",
    "ORCHESTRATOR__BEAT_SECONDS": "0.5",
}
STOP_SETTINGS: Final[dict[str, str]] = {}
LEAST_IN_FLIGHT: Final = 20


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: what was in flight just before, and what the dead worker left in flight."""

    before: int
    left: frozenset[str]
    at: datetime
    copies: int
    """What the mail server held when the worker was dead."""


@dataclass(frozen=True, slots=True)
class KillReport:
    """What became of the e-mails of workers that were killed."""

    tally: Tally
    kills: Sequence[Kill]
    recovery_seconds: Sequence[float]
    """For each kill, until all that was in flight then was accepted."""
    total_seconds: float
    """From the last kill until everything was accepted."""
    repeated: int
    """Requests sent a second time under their business key, each answered with the first."""

    @property
    def most_doubles(self) -> int:
        """All that was in flight at the kills: more cannot have been sent twice."""
        return sum(len(kill.left) for kill in self.kills)

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = self.tally.problems(self.most_doubles)
        left = frozenset().union(*(kill.left for kill in self.kills))
        if self.tally.doubled - left:
            found.append(f"{len(self.tally.doubled - left)} doubles were in flight at no kill")
        return found

    def __str__(self) -> str:
        """One line for people."""
        tally = self.tally
        held = ", ".join(str(len(kill.left)) for kill in self.kills)
        slowest = max(self.recovery_seconds)
        return (
            f"{tally.queued} queued, {len(self.kills)} kills with {held} in flight: "
            f"{tally.queued - tally.lost} arrived, {tally.lost} lost, {tally.doubles} doubles of "
            f"at most {self.most_doubles}; what was in flight was accepted at most {slowest:.1f} s "
            f"after its kill, everything {self.total_seconds:.1f} s after the last; "
            f"{self.repeated} repeated requests answered with the first"
        )


async def kill_worker(
    rig: Rig, rng: random.Random, *, count: int = 500, kills: int = 3
) -> KillReport:
    """Kill the worker at random moments with at least twenty e-mails in flight; start another."""
    asked = messages(count, rng)
    queued = await rig.submit(asked)
    seen = []
    for _ in range(kills):
        await rig.start("worker")
        await rig.until_in_flight(LEAST_IN_FLIGHT)
        seen.append(await _kill(rig, rng.uniform(0, 2.5)))
        # While it is in flight and nobody works on it, the author asks again.
        await _repeat(rig, asked, queued, min(seen[-1].left))
    await rig.start("worker")
    await rig.until_settled()
    for _ in range(5):
        await _repeat(rig, asked, queued, rng.choice(queued)["id"])
    return await _report(rig, queued, seen, repeated=kills + 5)


async def crash_loop(
    rig: Rig, rng: random.Random, *, count: int = 25, kills: int = 5
) -> KillReport:
    """Kill one worker after the other while they hold the very same e-mails.

    What survives a crash must survive a machine that crashes all evening: the e-mails are not what
    kills the workers, and may not be given up for it.
    """
    asked = messages(count, rng, slow_share=1.0)
    queued = await rig.submit(asked)
    seen = []
    for number in range(kills):
        # After the third crash they come back one by one, and some of them get done.
        least = LEAST_IN_FLIGHT if number < 3 else 1
        before = rig.copies()
        await rig.start("worker")
        await rig.until_in_flight(least)

        async def sent(before: int = before) -> bool:
            return rig.copies() > before

        # The mail server has stored something; its answers are a second away.
        await rig.until(sent, 30, "something to be sent again", pause=0.02)
        # Any that are left will do: they were counted above, and after an answer to one of them no
        # other would come to take its place.
        seen.append(await _kill(rig, 0, 1))
    await rig.start("worker")
    await rig.until_settled()
    await _repeat(rig, asked, queued, queued[0]["id"])
    return await _report(rig, queued, seen, repeated=1)


async def _kill(rig: Rig, seconds: float, least: int = LEAST_IN_FLIGHT) -> Kill:
    """Kill the worker after so long, or as soon afterwards as enough is in flight."""
    await asyncio.sleep(seconds)
    while True:
        before = await rig.until_in_flight(least)
        at = system_clock()
        # Much can be answered between a count and a kill. A frozen worker sends and records
        # nothing, so what is counted now is what it dies with.
        await rig.freeze("worker")
        left = await rig.in_flight()
        if len(left) >= least:
            break
        rig.thaw("worker")
    await rig.kill("worker")
    return Kill(len(before), frozenset(left), at, rig.copies())


async def _repeat(rig: Rig, asked: Sequence[Json], queued: Sequence[Json], email_id: str) -> None:
    """Send a request once more; it must be answered with the e-mail of the first time."""
    place = next(n for n, email in enumerate(queued) if email["id"] == email_id)
    answer = await rig.http.post("/api/v1/emails", json=asked[place])
    if answer.status_code != 200 or answer.json()["id"] != email_id:
        raise DrillError(f"a repeated request was answered {answer.status_code}: {answer.text}")


async def _report(
    rig: Rig, queued: Sequence[Json], kills: Sequence[Kill], *, repeated: int
) -> KillReport:
    done = await rig.accepted_at({email["id"] for email in queued})
    last = max(done.values(), default=kills[-1].at)
    return KillReport(
        tally=await rig.tally(queued),
        kills=kills,
        recovery_seconds=[
            max((done[id_] - kill.at).total_seconds() for id_ in kill.left if id_ in done)
            for kill in kills
        ],
        total_seconds=(last - kills[-1].at).total_seconds(),
        repeated=repeated,
    )


@dataclass(frozen=True, slots=True)
class StopReport:
    """What became of the e-mails of workers that were asked to stop."""

    tally: Tally
    in_flight: Sequence[int]
    statuses: Sequence[int]
    seconds: Sequence[float]
    left_running: int
    """Jobs that a worker still held after it had ended."""

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = self.tally.problems(0)
        if any(self.statuses):
            found.append(f"a worker ended with status {max(self.statuses, key=abs)}")
        if self.left_running:
            found.append(f"{self.left_running} jobs were not given back")
        if max(self.seconds) > 10:
            found.append(f"a worker took {max(self.seconds):.1f} s to end")
        return found

    def __str__(self) -> str:
        """One line for people."""
        tally = self.tally
        return (
            f"{tally.queued} queued, {len(self.seconds)} SIGTERMs with "
            f"{', '.join(map(str, self.in_flight))} in flight: gone after "
            f"{', '.join(f'{one:.1f}' for one in self.seconds)} s with {self.left_running} jobs "
            f"left; {tally.queued - tally.lost} arrived, {tally.lost} lost, {tally.doubles} doubles"
        )


async def stop_worker(
    rig: Rig, rng: random.Random, *, count: int = 400, stops: int = 3
) -> StopReport:
    """Ask the worker to stop in the middle of its work; start another. Nothing may be doubled."""
    queued = await rig.submit(messages(count, rng, slow_share=0.3))
    in_flight, statuses, seconds, left_running = [], [], [], 0
    for _ in range(stops):
        await rig.start("worker")
        await rig.until_in_flight(LEAST_IN_FLIGHT)
        await asyncio.sleep(rng.uniform(0, 1.5))
        in_flight.append(len(await rig.until_in_flight(LEAST_IN_FLIGHT)))
        status, took = await rig.terminate("worker")
        statuses.append(status)
        seconds.append(took)
        left_running += (await rig.count_jobs("running")).get("running", 0)
    await rig.start("worker")
    await rig.until_settled()
    return StopReport(await rig.tally(queued), in_flight, statuses, seconds, left_running)
