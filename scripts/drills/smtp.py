"""A drill on mail servers: each plays its part, all at once, each for a tenant of its own.

One installation in this process, its worker included; real sockets, time a hundred times as fast.
"""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any, Final

import sqlalchemy as sa

from backend.kit.smtp import Pacing, SmtpTimeouts
from backend.migrations import runner
from scripts.drills.rig import DrillError, Where
from scripts.drills.smtp_cases import CASES, SCALE, Case
from tests.support.mail_server import Rules, mail_server
from tests.support.mailing import Mailing, open_mailing
from tests.support.platform import TenantClient

_OPEN: Final = ("queued", "sending", "deferred")
_CASE_SECONDS: Final = 150.0
_BATCH: Final = 500
_LOOKS: Final = 20
_LIFE: Final = SmtpTimeouts()
SETTINGS: Final[dict[str, Any]] = {
    "allow_private_relays": True,
    "backoff_seconds": 0.05,
    "give_up_after_seconds": 5 * 86_400 / SCALE / 24,
    "smtp_timeouts": SmtpTimeouts(
        **{name: getattr(_LIFE, name) / SCALE for name in SmtpTimeouts.__slots__}
    ),
    "pacing": Pacing(
        recover_seconds=5, pause_seconds=0.6, rest_seconds=0.1, most_pause_seconds=2, hold_seconds=1
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case; ``wrong`` is empty when it is what was expected."""

    case: Case
    accepted: int
    bounced: int
    copies: int
    """The most of one message that one recipient got."""
    lost: int
    """Recipients that were told as accepted, of whom the server knows nothing."""
    garbled: int
    """Copies without what every message has in it."""
    paused: bool
    learned: float | None
    seconds: float

    @property
    def wrong(self) -> list[str]:
        """What is not as expected."""
        case = self.case
        whole = case.messages * case.recipients
        wanted = whole if case.accepted is None else case.accepted
        found = []
        if (self.accepted, self.bounced) != (wanted, case.bounced):
            found.append(f"{self.accepted} accepted and {self.bounced} bounced of {whole}")
        if self.lost:
            found.append(f"{self.lost} told as accepted and never sent")
        if self.garbled:
            found.append(f"{self.garbled} copies without {case.shows!r}")
        if self.copies > case.most_copies:
            found.append(f"{self.copies} copies of a message")
        if self.paused != case.pauses:
            found.append("the relay was paused" if self.paused else "the relay was not paused")
        if case.learned is not None and not case.is_learned(self.learned):
            found.append(f"learned {case.learned[0]} {self.learned}")
        return found


@dataclass(frozen=True, slots=True)
class SmtpReport:
    """All cases."""

    results: Sequence[Result]

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        return [f"{one.case.name}: {what}" for one in self.results for what in one.wrong]

    def __str__(self) -> str:
        """One line, and the table of what was expected and what came."""
        good = sum(not one.wrong for one in self.results)
        rows = [
            f"     {'case':<30} {'expected':<28} {'got':<28} {'copies':>6} {'s':>6}",
            *(_row(one) for one in self.results),
        ]
        return "\n".join([f"{good} of {len(self.results)} servers as expected", *rows])


def _row(one: Result) -> str:
    case = one.case
    whole = case.messages * case.recipients
    wanted = whole if case.accepted is None else case.accepted

    def said(accepted: int, bounced: int, *, paused: bool) -> str:
        return f"{accepted} accepted, {bounced} bounced{', pause' if paused else ''}"

    expected = said(wanted, case.bounced, paused=case.pauses)
    got = said(one.accepted, one.bounced, paused=one.paused)
    return f"     {case.name:<30} {expected:<28} {got:<28} {one.copies:>6} {one.seconds:>6.1f}"


async def play_servers(
    where: Where, rng: random.Random, folder: Path, cases: Sequence[Case] = CASES
) -> SmtpReport:
    """Hold all cases at once, in an order that is drawn."""
    url = await asyncio.to_thread(_database, where, folder)
    async with (
        mail_server(Rules()) as port,
        open_mailing(url, folder, f"smtp://127.0.0.1:{port}", **SETTINGS) as mailing,
    ):
        drawn = rng.sample(list(cases), len(cases))
        # A few at a time: the machine's own slowness must not look like a server's.
        gate = asyncio.Semaphore(6)

        async def hold(case: Case) -> Result:
            async with gate:
                return await _hold(mailing, case)

        found = await asyncio.gather(*(hold(case) for case in drawn))
    by_name = {one.case.name: one for one in found}
    return SmtpReport([by_name[case.name] for case in cases])


def _database(where: Where, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    if where.server is None:
        url = f"sqlite:///{folder / 'drill.db'}"
        runner.upgrade(url)
        return url
    made = where.server.create_database(f"drill_{secrets.token_hex(6)}")
    runner.upgrade(made.owner_url, role=str(sa.make_url(made.url).username))
    return made.url


async def _hold(mailing: Mailing, case: Case) -> Result:
    rules = case.rules()
    began = rules.now
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(mail_server(rules, most_bytes=case.line_bytes))
        caller = await mailing.caller("owner")
        await _choose(caller, port, case)
        await _submit(caller, case)
        seen_paused = asyncio.Event()
        mending = None
        learned: float | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(_CASE_SECONDS):
                while not await _is_settled(caller):
                    if mending is None and case.mended_seconds is not None and rules.sessions:
                        mending = asyncio.create_task(_mend(rules, case, seen_paused))
                    relay = await _relay(caller)
                    if any(one["kind"] == "refused" for one in relay["pauses"]):
                        seen_paused.set()
                    if case.learned is not None:
                        learned = _least(learned, relay["limits"][case.learned[0]])
                    await asyncio.sleep(0.2)
        if mending is not None:
            mending.cancel()
        for _ in range(_LOOKS):
            if case.learned is None or case.is_learned(learned):
                break
            # It is written down after the messages are settled; until then the usual limit is read.
            learned = _least(learned, (await _relay(caller))["limits"][case.learned[0]])
            await asyncio.sleep(0.1)
        told = await _recipients(caller)
    got = Counter((_number(letter.content), one) for letter in rules.letters for one in letter.to)
    if "cut after the dot" in case.name:
        # What it took without a word is in its hands all the same.
        got = Counter({key: count + 1 for key, count in got.items()})
    return Result(
        case,
        accepted=sum(state == "accepted" for state in told.values()),
        bounced=sum(state == "bounced" for state in told.values()),
        copies=max(got.values(), default=0),
        garbled=sum(case.shows not in letter.content for letter in rules.letters),
        lost=sum(state == "accepted" and key not in got for key, state in told.items()),
        paused=seen_paused.is_set(),
        learned=learned,
        seconds=rules.now - began,
    )


async def _choose(caller: TenantClient, port: int, case: Case) -> None:
    smtp: dict[str, Any] = {"host": "127.0.0.1", "port": port, "tls": "none"}
    if case.password:
        smtp |= {"username": "ada", "password": "secret"}
    body = {"from_address": "us@drill.example", "smtp": smtp}
    answer = await caller.http.put("/api/v1/email-settings", json=body)
    if answer.status_code != 200:
        raise DrillError(f"{case.name}: {answer.status_code} {answer.text[:200]}")


def _least(*limits: float | None) -> float | None:
    return min((one for one in limits if one is not None), default=None)


async def _submit(caller: TenantClient, case: Case) -> None:
    for start in range(0, case.messages, _BATCH):
        numbers = range(start, min(start + _BATCH, case.messages))
        batch = {"messages": [_message(case, index) for index in numbers]}
        answer = await caller.http.post("/api/v1/emails/batch", json=batch)
        if answer.status_code != 202:
            raise DrillError(f"{case.name}: {answer.status_code} {answer.text[:200]}")


def _message(case: Case, index: int) -> dict[str, Any]:
    return {
        "to": [f"{index}-{one}@drill.example" for one in range(case.recipients)],
        "subject": f"number {index}.",
        "text": "x" * max(case.bytes_each, 20),
        "headers": dict(case.headers),
    }


async def _mend(rules: Rules, case: Case, seen_paused: asyncio.Event) -> None:
    """See to the server after its time, but not before we have seen what came of it."""
    await asyncio.sleep(case.mended_seconds or 0.0)
    if case.pauses:
        await seen_paused.wait()
    hooks = ("greet", "hello", "auth", "mail", "rcpt", "data", "end", "block")
    rules.play(**{hook: MethodType(getattr(Rules, hook), rules) for hook in hooks})


async def _is_settled(caller: TenantClient) -> bool:
    for state in _OPEN:
        page = await caller.http.get("/api/v1/emails", params={"state": state, "limit": 1})
        if page.json()["items"]:
            return False
    # One that went from a state not yet asked for to one that was would have been missed.
    return not any([email async for email in _emails(caller) if email["state"] in _OPEN])


async def _relay(caller: TenantClient) -> dict[str, Any]:
    answer = await caller.http.get("/api/v1/email-settings")
    found: dict[str, Any] = answer.json()["relay"]
    return found


async def _recipients(caller: TenantClient) -> dict[tuple[str, str], str]:
    """The state of each recipient of each message, by the message's number and the address."""
    found: dict[tuple[str, str], str] = {}
    async for email in _emails(caller):
        if email["state"] in {"accepted", "bounced"}:
            told = dict.fromkeys(email["to"], email["state"])
        else:
            detail = (await caller.http.get(f"/api/v1/emails/{email['id']}")).json()
            told = {one["address"]: one["state"] for one in detail["recipients"]}
        number = email["subject"].removeprefix("number ").removesuffix(".")
        found |= {(number, address): one for address, one in told.items()}
    return found


async def _emails(caller: TenantClient) -> AsyncIterator[dict[str, Any]]:
    query: dict[str, Any] = {"limit": 200}
    while True:
        page = (await caller.http.get("/api/v1/emails", params=query)).json()
        for email in page["items"]:
            yield email
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def _number(content: bytes) -> str:
    return content.partition(b"Subject: number ")[2].partition(b".")[0].decode()
