"""Drills on what the worker leans on: the API killed, the mail server away, the database restarted.

Only the worker's own crashes may double an e-mail; the mail server's may too, as it can take a
message and die before it says so.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from scripts.drills.messages import messages
from scripts.drills.rig import DrillError, Json, Rig, Tally

API_SETTINGS: Final = {"EMAIL__CONNECTIONS": "16"}
MAIL_SERVER_SETTINGS: Final = {"EMAIL__CONNECTIONS": "32", "EMAIL__BACKOFF_SECONDS": "0.5"}
DATABASE_SETTINGS: Final = {"EMAIL__CONNECTIONS": "32"}
LEAST_IN_FLIGHT: Final = 20


@dataclass(frozen=True, slots=True)
class ApiReport:
    """What became of batches that were being submitted when the API was killed."""

    tally: Tally
    acknowledged: int
    unanswered: int
    stored: int
    """Unanswered batches that were stored all the same, each of them whole."""
    torn: Sequence[str]
    """Batches of which some messages were stored and others not, or that were acknowledged in
    vain."""
    doubled_by_repeating: int
    """Messages that a repeated batch queued a second time."""

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = self.tally.problems(0)
        if self.torn:
            found.append(f"{len(self.torn)} torn batches, first {self.torn[0]}")
        if self.doubled_by_repeating:
            found.append(f"{self.doubled_by_repeating} messages queued again by repeating a batch")
        return found

    def __str__(self) -> str:
        """One line for people."""
        tally = self.tally
        return (
            f"{self.acknowledged + self.unanswered} batches, {self.acknowledged} acknowledged and "
            f"all whole, {self.unanswered} unanswered of which {self.stored} were stored, all "
            f"whole; after repeating those {tally.queued - tally.lost} of {tally.queued} arrived, "
            f"{tally.lost} lost, {tally.doubles} doubles"
        )


async def kill_api(
    rig: Rig, rng: random.Random, *, batches: int = 40, size: int = 25, kills: int = 3
) -> ApiReport:
    """Kill the API while four callers submit batches; then repeat what got no answer."""
    await rig.start("worker")
    asked = {
        f"batch-{n}": messages(size, rng, slow_share=0.1, name=f"batch-{n}") for n in range(batches)
    }
    waiting = list(asked)
    answers: dict[str, list[Json]] = {}
    unanswered: list[str] = []
    under_way: set[str] = set()
    serves = asyncio.Event()
    serves.set()

    async def caller() -> None:
        while waiting:
            await serves.wait()
            name = waiting.pop()
            under_way.add(name)
            try:
                answers[name] = await rig.submit(asked[name], **{"Idempotency-Key": name})
            except httpx.TransportError:
                unanswered.append(name)
            finally:
                under_way.discard(name)

    async def killer() -> None:
        async def submitting() -> bool:
            return bool(under_way)

        for left in range(kills, 0, -1):
            # Spread over the whole run: the last kill still finds somebody submitting.
            most = batches * left // (kills + 1)

            async def far_enough(most: int = most) -> bool:
                return len(waiting) <= most

            await rig.until(far_enough, 60, "enough batches to be submitted", pause=0.01)
            await asyncio.sleep(rng.uniform(0, 0.1))
            await rig.until(submitting, 10, "a batch under way", pause=0.001)
            serves.clear()
            await rig.kill("api")
            await rig.start("api")
            serves.set()

    await asyncio.gather(killer(), *(caller() for _ in range(4)))
    if not unanswered:
        raise DrillError("no batch was under way at any kill")
    present = Counter(email["subject"].split()[0] for email in await rig.emails())
    torn = [f"{name}: {count} of {size}" for name, count in present.items() if count != size]
    torn += [f"{name}: acknowledged in vain" for name in answers if name not in present]
    stored = {name: present[name] for name in unanswered if name in present}
    acknowledged = len(answers)
    for name in unanswered:
        answers[name] = await rig.submit(asked[name], **{"Idempotency-Key": name})
    await rig.until_settled()
    queued = [email for emails in answers.values() for email in emails]
    total = Counter(email["subject"].split()[0] for email in await rig.emails())
    return ApiReport(
        tally=await rig.tally(queued),
        acknowledged=acknowledged,
        unanswered=len(unanswered),
        stored=len(stored),
        torn=torn,
        doubled_by_repeating=sum(total.values()) - batches * size,
    )


@dataclass(frozen=True, slots=True)
class OutageReport:
    """What became of e-mails while something was away."""

    tally: Tally
    what: str
    most_doubles: int
    in_flight: Sequence[int]
    """When it went away, each time."""
    seconds_away: Sequence[float]
    deferred: int
    settled_seconds: float
    """From its last return until everything was accepted."""

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        return self.tally.problems(self.most_doubles)

    def __str__(self) -> str:
        """One line for people."""
        tally = self.tally
        waited = f" and {self.deferred} deferred meanwhile" if self.deferred else ""
        return (
            f"{tally.queued} queued, {self.what} for "
            f"{', '.join(f'{one:.1f}' for one in self.seconds_away)} s with "
            f"{', '.join(map(str, self.in_flight))} in flight{waited}: "
            f"{tally.queued - tally.lost} arrived, {tally.lost} lost, {tally.doubles} doubles of "
            f"at most {self.most_doubles}, all {self.settled_seconds:.1f} s after its return"
        )


async def stop_mail_server(rig: Rig, rng: random.Random, *, count: int = 300) -> OutageReport:
    """Kill the mail server while it takes messages; start it again when many have been deferred."""
    queued = await rig.submit(messages(count, rng))
    await rig.start("worker")
    await rig.until_in_flight(LEAST_IN_FLIGHT)
    await asyncio.sleep(rng.uniform(0.5, 2))
    in_flight = len(await rig.until_in_flight(LEAST_IN_FLIGHT))
    await rig.kill("sink")
    began = time.monotonic()
    deferred: list[Json] = []

    async def many_deferred() -> bool:
        deferred[:] = await rig.emails("deferred")
        return len(deferred) >= count // 2

    await rig.until(many_deferred, 30, f"{count // 2} deferred e-mails")
    await rig.start("sink")
    back = time.monotonic()
    await rig.until_settled()
    return OutageReport(
        await rig.tally(queued),
        "the mail server killed and away",
        # One message a conversation can have been taken without an answer.
        int(MAIL_SERVER_SETTINGS["EMAIL__CONNECTIONS"]),
        [in_flight],
        [back - began],
        len(deferred),
        time.monotonic() - back,
    )


async def restart_database(
    rig: Rig, rng: random.Random, *, count: int = 500, restarts: int = 3
) -> OutageReport:
    """Crash PostgreSQL in the middle of the work and start it again; the worker stays.

    A worker that lives remembers what the mail server said until it can be recorded, so a crash
    of the database alone doubles nothing.
    """
    server = rig.where.server
    if server is None:
        raise DrillError("only PostgreSQL can be restarted")
    queued = await rig.submit(messages(count, rng))
    await rig.start("worker")
    in_flight, seconds_away = [], []
    back = time.monotonic()
    for _ in range(restarts):
        # Each time it must have come to work again, not only to serve.
        accepted = len(await rig.emails("accepted"))

        async def works(accepted: int = accepted) -> bool:
            return len(await rig.emails("accepted")) > accepted

        await rig.until(works, 60, "the next e-mail to be accepted")
        await rig.until_in_flight(LEAST_IN_FLIGHT)
        await asyncio.sleep(rng.uniform(0.2, 1.5))
        in_flight.append(len(await rig.until_in_flight(LEAST_IN_FLIGHT)))
        began = time.monotonic()
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(rng.uniform(0.2, 2))
        await asyncio.to_thread(server.start)
        back = time.monotonic()
        seconds_away.append(back - began)
        await rig.until_serving()
    await rig.until_settled()
    settled = time.monotonic() - back
    return OutageReport(
        await rig.tally(queued, allowed_statuses={503}),
        "PostgreSQL crashed and away",
        0,
        in_flight,
        seconds_away,
        0,
        settled,
    )
