"""A drill on the trail: processes killed at random moments, and every act still has its record.

Two kinds of acts. Messages stand in the database afterwards, so that what happened without a record
would show; encryptions leave nothing but their record, which names the request that it answers.
"""

import asyncio
import base64
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from scripts.drills.messages import messages
from scripts.drills.rig import DrillError, Rig

SETTINGS: Final = {
    "EMAIL__CONNECTIONS": "16",
    "AUDIT__CHECKPOINT_SECONDS": "1",
    "SECURITY__REQUESTS_PER_SECOND": "100000",
    "SECURITY__BURST_REQUESTS": "100000",
}
_CALLERS: Final = 2
_KEY: Final = "drill"
_PLAIN: Final = base64.b64encode(b"attack at dawn").decode()
# Between two messages of a caller: thousands are to be settled and listed in the end.
_MAIL_PAUSE: Final = 0.2
# From one kill to the next: while a slow machine starts a process again, others would act for ever,
# and all of that is to be compared.
_ACTS_A_KILL: Final = 300


@dataclass(slots=True)
class Acts:
    """What was asked for, what was answered, and what the trail says of it, each by a name."""

    answered: set[str] = field(default_factory=set)
    unanswered: int = 0
    done: set[str] = field(default_factory=set)
    """Of those that leave something behind: what is there, answered or not."""
    without_record: int = 0
    """Operations that happened, answered or not, and of which the trail says nothing."""
    without_operation: int = 0
    """Records of what did not happen, or was never asked for."""
    doubled: int = 0

    def compare(self, recorded: Counter[str], possible: set[str]) -> None:
        """Count what does not fit: ``possible`` is all that a record may be of."""
        self.without_record += len((self.done | self.answered) - recorded.keys())
        self.without_operation += len(recorded.keys() - possible)
        self.doubled += sum(count > 1 for count in recorded.values())

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = []
        if not self.answered:
            found.append("nothing was answered")
        if self.without_record:
            found.append(f"{self.without_record} operations without a record")
        if self.without_operation:
            found.append(f"{self.without_operation} records of what did not happen")
        if self.doubled:
            found.append(f"{self.doubled} operations with more than one record")
        return found

    def __str__(self) -> str:
        """Some words for people."""
        return (
            f"{len(self.answered)} operations answered, {self.unanswered} not; "
            f"{self.without_record} without a record, {self.without_operation} records without "
            f"an operation, {self.doubled} doubled"
        )


@dataclass(frozen=True, slots=True)
class TrailReport:
    """What the trail says of what was done while processes were killed."""

    kills: int
    acts: Acts
    """Messages and encryptions."""
    signed: int
    records: int
    verified: int
    """Records that a worker, killed on the way, has found to hold."""
    struck_at: int | None
    """How many it had looked at when it was killed; None: it was done before."""
    valid: bool

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = self.acts.problems()
        if self.verified < self.signed:
            found.append(f"the verification ended at {self.verified}")
        if not self.valid:
            found.append("the trail does not hold")
        if not self.signed:
            found.append("nothing of the trail was signed")
        return found

    def __str__(self) -> str:
        """One line for people."""
        on_the_way = "before its worker could be killed"
        if self.struck_at is not None:
            on_the_way = f"by a worker killed at {self.struck_at}"
        return (
            f"{self.kills} kills; {self.acts}; {self.records} records hold, {self.signed} of them "
            f"signed; verified to {self.verified} {on_the_way}"
        )


class Callers:
    """Some that act, over and over, until they are told to stop; what became of it.

    Args:
        rig: Where; asked as its owner.
        rng: Of the messages.
        most: How often they act before somebody has them :meth:`go_on`; without end, if 0.
    """

    def __init__(self, rig: Rig, rng: random.Random, *, most: int = 0) -> None:
        self._rig = rig
        self._rng = rng
        self.mails, self.uses = Acts(), Acts()
        self.refused: list[httpx.Response] = []
        """Answers that are neither a success nor missing."""
        self._asked: set[str] = set()
        self._most = self._left = most
        self._ends = asyncio.Event()
        self.serves = asyncio.Event()
        self.serves.set()

    @property
    def answered(self) -> int:
        """How many acts were answered so far."""
        return len(self.mails.answered) + len(self.uses.answered)

    async def make_key(self) -> None:
        """Make what encrypts; once, before anybody acts."""
        answer = await self._rig.http.post("/api/v1/keys", json={"name": _KEY})
        if answer.status_code != httpx.codes.CREATED:
            raise DrillError(f"making a key answered {answer.status_code}: {answer.text[:200]}")

    async def act(self) -> None:
        """Have all of them act until :meth:`end`."""
        acts: list[Awaitable[None]] = []
        for number in range(_CALLERS):
            acts += [self._repeat(number, self._mail), self._repeat(number, self._encrypt)]
        await asyncio.gather(*acts)

    def go_on(self) -> None:
        """Have them act again, as often as before."""
        self._left = self._most
        self.serves.set()

    def end(self) -> None:
        """Let everybody finish what they do, and do nothing more."""
        self._ends.set()
        self.serves.set()

    async def _repeat(self, number: int, act: Callable[[str], Awaitable[None]]) -> None:
        acts = 0
        while not self._ends.is_set():
            await self.serves.wait()
            self._left -= 1
            if self._left == 0:
                self.serves.clear()
            acts += 1
            await act(f"{number}-{acts}")

    async def _mail(self, name: str) -> None:
        (message,) = messages(1, self._rng, slow_share=0, name=f"act-{name}")
        answer = await self._ask(self.mails, "/api/v1/emails", message, f"mail-{name}")
        if answer is not None:
            self.mails.answered.add(answer.json()["id"])
        await asyncio.sleep(_MAIL_PAUSE)

    async def _encrypt(self, name: str) -> None:
        request = f"use-{name}"
        self._asked.add(request)
        path = f"/api/v1/keys/{_KEY}/encrypt"
        if await self._ask(self.uses, path, {"plaintext": _PLAIN}, request) is not None:
            self.uses.answered.add(request)
        await asyncio.sleep(self._rng.uniform(0, 0.05))

    async def _ask(self, acts: Acts, path: str, body: Any, request: str) -> httpx.Response | None:
        try:
            answer = await self._rig.http.post(path, json=body, headers={"X-Request-Id": request})
        except httpx.TransportError:
            acts.unanswered += 1
            return None
        if answer.is_success:
            return answer
        self.refused.append(answer)
        return None

    async def compare(self) -> None:
        """Hold what was answered and what is there to what the trail says."""
        rig = self._rig
        submitted = await rig.list_all("/api/v1/audit", {"action": "email.submitted"})
        self.mails.done = {email["id"] for email in await rig.emails()}
        mails = Counter(record["target"].removeprefix("email:") for record in submitted)
        self.mails.compare(mails, self.mails.done)
        used = await rig.list_all("/api/v1/audit", {"action": "key.used"})
        uses = Counter(record["request_id"] for record in used)
        self.uses.compare(uses, self._asked)

    def total(self) -> Acts:
        """Messages and encryptions together."""
        both = self.mails, self.uses
        return Acts(
            answered=self.mails.answered | self.uses.answered,
            unanswered=sum(one.unanswered for one in both),
            done=self.mails.done,
            without_record=sum(one.without_record for one in both),
            without_operation=sum(one.without_operation for one in both),
            doubled=sum(one.doubled for one in both),
        )


async def _kill(rig: Rig, rng: random.Random, callers: Callers, rounds: int) -> None:
    """Kill the API, the worker or both, at random moments."""
    try:
        for _ in range(rounds):
            before = callers.answered

            async def acted(before: int = before) -> bool:
                return callers.answered > before

            await rig.until(acted, 60, "somebody to act", pause=0.005)
            await asyncio.sleep(rng.uniform(0, 0.4))
            names = rng.choice((["api"], ["worker"], ["api", "worker"]))
            if "api" in names:
                callers.serves.clear()
            for name in names:
                await rig.kill(name)
            for name in names:
                await rig.start(name)
            callers.go_on()
    finally:
        callers.end()


async def until_signed(rig: Rig) -> int:
    """Wait until a checkpoint signs the owner's whole trail; how many records those are."""
    newest: dict[str, Any] = {}

    async def all_signed() -> bool:
        head = await rig.list_all("/api/v1/audit", {"limit": 1}, pages=1)
        signed = await rig.list_all("/api/v1/audit/checkpoints", {"limit": 1}, pages=1)
        newest.update(signed=signed[0]["size"] if signed else 0)
        return bool(head) and head[0]["seq"] == newest["signed"]

    await rig.until(all_signed, 120, "all records to be signed")
    return int(newest["signed"])


async def kill_amid_records(rig: Rig, rng: random.Random, *, rounds: int = 20) -> TrailReport:
    """Kill the API, the worker or both at random moments while four callers act."""
    # Whose demo client sends may not read the trail.
    await rig.become_owner()
    await rig.start("worker")
    callers = Callers(rig, rng, most=_ACTS_A_KILL)
    await callers.make_key()
    await asyncio.gather(_kill(rig, rng, callers, rounds), callers.act())
    if callers.refused:
        answer = callers.refused[0]
        raise DrillError(f"{len(callers.refused)} refused: {answer.status_code} {answer.text}")
    await rig.until_settled()
    signed = await until_signed(rig)
    # Before the verification is asked for, which is on record as well.
    records = len(await rig.list_all("/api/v1/audit", {}))
    await callers.compare()
    verified, struck_at = await _verify_and_kill(rig)
    return TrailReport(
        kills=rounds,
        acts=callers.total(),
        signed=signed,
        records=records,
        verified=verified,
        struck_at=struck_at,
        valid=await rig.audit_holds(),
    )


async def _verify_and_kill(rig: Rig) -> tuple[int, int | None]:
    """Have the whole trail verified, and kill the worker that does so when it has begun."""
    path = "/api/v1/audit/verifications"
    answer = await rig.http.post(path, json={"full": True})
    shown = answer.raise_for_status().json()

    async def look() -> bool:
        found = await rig.http.get(f"{path}/{shown['id']}")
        shown.update(found.raise_for_status().json())
        return shown["size"] > 0 or bool(shown["finished_at"])

    async def ended() -> bool:
        return await look() and bool(shown["finished_at"])

    await rig.until(look, 120, "the verification to begin", pause=0.01)
    struck_at = None
    if not shown["finished_at"]:
        await rig.kill("worker")
        await look()
        struck_at = None if shown["finished_at"] else int(shown["size"])
        await rig.start("worker")
        await rig.until(ended, 300, "the verification to end", pause=0.2)
    return (int(shown["size"]) if shown["state"] == "held" else 0), struck_at
