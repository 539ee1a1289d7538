"""A drill on the trail: processes killed at random moments, and every act still has its record."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import httpx

from scripts.drills.messages import messages
from scripts.drills.rig import DrillError, Rig

SETTINGS: Final = {"EMAIL__CONNECTIONS": "16", "AUDIT__CHECKPOINT_SECONDS": "1"}
_CALLERS: Final = 4
_ACTION: Final = "email.submitted"


@dataclass(frozen=True, slots=True)
class TrailReport:
    """What the trail says of what was done while processes were killed."""

    kills: int
    answered: int
    unanswered: int
    done: int
    without_record: int
    """Operations that happened, answered or not, and of which the trail says nothing."""
    without_operation: int
    """Records of what did not happen."""
    doubled: int
    signed: int
    records: int
    valid: bool

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = []
        if self.without_record:
            found.append(f"{self.without_record} operations without a record")
        if self.without_operation:
            found.append(f"{self.without_operation} records of what did not happen")
        if self.doubled:
            found.append(f"{self.doubled} operations with more than one record")
        if self.answered > self.done:
            found.append(f"{self.answered - self.done} answered operations did not happen")
        if not self.valid:
            found.append("the trail does not hold")
        if not self.signed:
            found.append("nothing of the trail was signed")
        return found

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.kills} kills, {self.answered} operations answered, {self.unanswered} not; "
            f"{self.done} happened and each has its record, none is of what did not; "
            f"{self.records} records hold, {self.signed} of them signed"
        )


class _Load:
    """Four callers that act, and somebody who kills."""

    def __init__(self, rig: Rig, rng: random.Random) -> None:
        self._rig = rig
        self._rng = rng
        self.answered: set[str] = set()
        self.unanswered = 0
        self._ends = asyncio.Event()
        self._serves = asyncio.Event()
        self._serves.set()

    async def act(self, number: int) -> None:
        """One act after another, until the last kill."""
        acts = 0
        while not self._ends.is_set():
            await self._serves.wait()
            acts += 1
            (message,) = messages(1, self._rng, slow_share=0, name=f"act-{number}-{acts}")
            try:
                (made,) = await self._rig.submit([message])
            except httpx.TransportError:
                self.unanswered += 1
            else:
                self.answered.add(made["id"])

    async def kill(self, rounds: int) -> None:
        """The API, the worker or both, at random moments."""
        try:
            for _ in range(rounds):
                before = len(self.answered)

                async def acted(before: int = before) -> bool:
                    return len(self.answered) > before

                await self._rig.until(acted, 60, "somebody to act", pause=0.005)
                await asyncio.sleep(self._rng.uniform(0, 0.4))
                names = self._rng.choice((["api"], ["worker"], ["api", "worker"]))
                if "api" in names:
                    self._serves.clear()
                for name in names:
                    await self._rig.kill(name)
                for name in names:
                    await self._rig.start(name)
                self._serves.set()
        finally:
            self._ends.set()
            self._serves.set()


async def kill_amid_records(rig: Rig, rng: random.Random, *, rounds: int = 20) -> TrailReport:
    """Kill the API, the worker or both at random moments while four callers act."""
    await rig.start("worker")
    load = _Load(rig, rng)
    await asyncio.gather(load.kill(rounds), *(load.act(number) for number in range(_CALLERS)))
    answered, unanswered = load.answered, load.unanswered
    if not answered:
        raise DrillError("nothing was answered")
    newest: dict[str, Any] = {}

    async def all_signed() -> bool:
        head = await rig.list_all("/api/v1/audit", {"limit": 1}, pages=1)
        signed = await rig.list_all("/api/v1/audit/checkpoints", {"limit": 1}, pages=1)
        newest.update(signed=signed[0]["size"] if signed else 0)
        return bool(head) and head[0]["seq"] == newest["signed"]

    await rig.until_settled()
    # Whose demo client sends may not read the trail.
    await rig.become_owner()
    await rig.until(all_signed, 60, "all records to be signed")
    recorded = Counter(
        record["target"].removeprefix("email:")
        for record in await rig.list_all("/api/v1/audit", {"action": _ACTION})
    )
    done = {email["id"] for email in await rig.emails()}
    return TrailReport(
        kills=rounds,
        answered=len(answered),
        unanswered=unanswered,
        done=len(done),
        without_record=len((done | answered) - recorded.keys()),
        without_operation=len(recorded.keys() - done),
        doubled=sum(count > 1 for count in recorded.values()),
        signed=newest["signed"],
        records=len(await rig.list_all("/api/v1/audit", {})),
        valid=await rig.audit_holds(),
    )
