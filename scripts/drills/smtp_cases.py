"""The parts that mail servers play in ``scripts/drill smtp``, a hundred times as fast as in life.

Each is what some server really does; most are harmless to whoever is as patient as RFC 5321 asks.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.support.mail_server import Hangup, Rules, Talk

SCALE: Final = 100
"""Seconds of life in one of the drill."""


@dataclass(frozen=True, slots=True)
class Case:
    """One server, what is sent to it, and what has to come of that."""

    name: str
    rules: Callable[[], Rules]
    messages: int = 20
    recipients: int = 1
    accepted: int | None = None
    """Recipients; None: all of them."""
    bounced: int = 0
    most_copies: int = 1
    """Of one message for one recipient: more than one only where nobody can know."""
    mended_seconds: float | None = None
    """So long after the first session the server behaves, as when somebody has seen to it."""
    learned: tuple[str, float] | None = None
    """A limit that is known in the end, and the most that it may be."""
    pauses: bool = False
    password: bool = False
    bytes_each: int = 0
    line_bytes: int = 2**26
    """What the server takes from the line before it has read it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    shows: bytes = b""
    """What every message has in it as the server sees it."""

    def is_learned(self, limit: float | None) -> bool:
        """Whether this is what the server taught: a step of recovery may have come since."""
        most = self.learned[1] if self.learned is not None else 0.0
        return limit is not None and 0 < limit <= most + max(1, most // 4)


def _says(hook: str, said: str, *, extensions: tuple[str, ...] = ()) -> Callable[[], Rules]:
    """A server that says this at one step, always."""

    def make() -> Rules:
        rules = Rules()
        rules.extensions += extensions

        async def answer(*_: object) -> str:
            return said

        rules.play(**{hook: answer})
        return rules

    return make


class Greylisting(Rules):
    """Refuses whom it has not seen for a quarter of an hour."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, float] = {}

    async def rcpt(self, talk: Talk, address: str) -> str:
        since = self.seen.setdefault(address, self.now)
        waited = self.now - since >= 900 / SCALE
        return "250 2.1.5 OK" if waited else "450 4.2.0 Greylisted, come back later"


class OneASecond(Rules):
    """Takes a message a tenth of a second after the last one."""

    last = 0.0

    async def mail(self, talk: Talk) -> str:
        if self.now - self.last < 0.1:
            return "454 4.7.0 Too fast"
        self.last = self.now
        return "250 2.1.0 OK"


class TwoSessions(Rules):
    """Greets two at a time."""

    async def greet(self, talk: Talk) -> str:
        if len(self.open) > 2:
            raise Hangup("421 4.7.0 Too many connections")
        return await super().greet(talk)

    async def mail(self, talk: Talk) -> str:
        await asyncio.sleep(0.01)
        return await super().mail(talk)


class TwoSessionsWithoutAWord(TwoSessions):
    """The same, and cuts the third without saying why."""

    async def greet(self, talk: Talk) -> str:
        if len(self.open) > 2:
            raise Hangup
        return "220 part.test"


class TenASession(Rules):
    """Refuses the eleventh message of a session."""

    async def mail(self, talk: Talk) -> str:
        return "452 4.3.2 Enough of this session" if talk.messages >= 10 else "250 2.1.0 OK"


class ThreeAndOut(Rules):
    """Closes the connection after three messages, before it answers the fourth's MAIL."""

    async def mail(self, talk: Talk) -> str:
        if talk.messages >= 3:
            raise Hangup
        return "250 2.1.0 OK"


class TenRecipients(Rules):
    """Takes ten recipients a transaction."""

    said = "452 4.5.3 Too many recipients"

    async def rcpt(self, talk: Talk, address: str) -> str:
        return self.said if len(talk.to) >= 10 else "250 2.1.5 OK"


class TenRecipientsOfOld(TenRecipients):
    """The same with the code of RFC 821."""

    said = "552 Too many recipients"


class LimitInTheMiddle(Rules):
    """Runs out of the day's mail between two recipients of a message."""

    named = 0

    async def rcpt(self, talk: Talk, address: str) -> str:
        self.named += 1
        return "550 5.4.5 Daily limit exceeded" if self.named > 5 else "250 2.1.5 OK"


class SlowDot(Rules):
    """Thinks about each message for seven and a half minutes, and then takes it."""

    async def end(self, talk: Talk, content: bytes) -> str:
        await asyncio.sleep(450 / SCALE)
        return "250 2.0.0 taken"


class SlowRecipients(Rules):
    """Thinks about each recipient for five seconds."""

    async def rcpt(self, talk: Talk, address: str) -> str:
        await asyncio.sleep(5 / SCALE)
        return "250 2.1.5 OK"


class SlowLine(Rules):
    """Reads the message after two minutes only: a line that is full."""

    async def block(self, talk: Talk) -> None:
        await asyncio.sleep(120 / SCALE)


class NarrowLine(Rules):
    """Reads 90 kB a second."""

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        content = bytearray()
        while not content.endswith(b"\r\n.\r\n"):
            piece = await reader.read(90_000)
            if not piece:
                raise Hangup
            content += piece
            await asyncio.sleep(len(piece) / (90_000 * SCALE))
        return bytes(content)


class Silent(Rules):
    """Takes connections and says nothing."""

    async def greet(self, talk: Talk) -> str:
        await asyncio.sleep(3_600)
        return ""


class OneBadSession(Rules):
    """One of the machines behind this name is out of order."""

    async def rcpt(self, talk: Talk, address: str) -> str:
        return "451 4.3.0 Out of order" if talk.number % 4 == 0 else "250 2.1.5 OK"


class CutAfterTheDot(Rules):
    """Takes each message the first time without saying so."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[bytes] = set()

    async def end(self, talk: Talk, content: bytes) -> str:
        key = content.partition(b"Message-ID: ")[2][:80]
        if key not in self.seen:
            self.seen.add(key)
            raise Hangup
        return "250 2.0.0 taken"


CASES: Final = (
    Case("252 to RCPT", _says("rcpt", "252 2.1.5 Cannot verify, will try")),
    Case("greylisting for 15 min", Greylisting),
    Case("454 above a rate", OneASecond, messages=537, learned=("rate_per_second", 15)),
    Case("two connections", TwoSessions, messages=1000, learned=("connections", 2)),
    Case("ten messages a session", TenASession, messages=200, learned=("messages_per_session", 10)),
    Case(
        "ten recipients (452 4.5.3)",
        TenRecipients,
        messages=3,
        recipients=100,
        learned=("recipients_per_transaction", 10),
    ),
    Case(
        "504 for our name",
        _says("hello", "504 5.5.2 need a full name"),
        mended_seconds=2,
        pauses=True,
    ),
    Case(
        "553 sender not owned",
        _says("rcpt", "553 5.7.1 Sender address rejected: not owned by user"),
        mended_seconds=2,
        pauses=True,
    ),
    Case(
        "550 5.4.5 daily limit",
        _says("mail", "550 5.4.5 Daily limit"),
        mended_seconds=2,
        pauses=True,
    ),
    Case(
        "535 for hours",
        _says("auth", "535 5.7.8 Bad credentials", extensions=("AUTH PLAIN LOGIN",)),
        mended_seconds=4,
        pauses=True,
        password=True,
    ),
    Case("the dot takes 7.5 min", SlowDot, messages=4),
    Case("80 recipients, 5 s each", SlowRecipients, messages=2, recipients=80),
    Case("10 MiB at 90 kB/s", NarrowLine, messages=2, bytes_each=10 * 2**20, line_bytes=2**16),
    Case("a machine out of order", OneBadSession, messages=40),
    # --- siblings -----------------------------------------------------------------------------
    Case("251 to RCPT", _says("rcpt", "251 2.1.5 Will forward")),
    Case("354 and 250 at once", _says("data", "354 go\r\n250 2.0.0 taken"), mended_seconds=1),
    Case("a third connection is cut", TwoSessionsWithoutAWord, messages=100),
    Case("cut after three messages", ThreeAndOut, messages=40),
    Case("ten recipients (552)", TenRecipientsOfOld, messages=3, recipients=35),
    Case(
        "the limit between recipients",
        LimitInTheMiddle,
        messages=2,
        recipients=20,
        mended_seconds=2,
        pauses=True,
    ),
    Case(
        "our address on a list",
        _says("rcpt", "554 5.7.1 Client host blocked using dnsbl.test"),
        mended_seconds=2,
        pauses=True,
    ),
    Case(
        "550 5.7.26 after the dot",
        _says("end", "550 5.7.26 Not authenticated (DMARC)"),
        mended_seconds=2,
        pauses=True,
    ),
    Case("a full line for 2 min", SlowLine, messages=2, bytes_each=6 * 2**20),
    Case(
        "a List-Id in German",
        Rules,
        messages=2,
        headers={"List-Id": "Nachrichten für Übersetzer <news.example.test>"},
        shows=b" <news.example.test>\r\n",
    ),
    Case(
        "40 references",
        Rules,
        messages=2,
        headers={"References": " ".join(f"<{n}.{'x' * 30}@ids.example.test>" for n in range(40))},
        shows=f"<39.{'x' * 30}@ids.example.test>\r\n".encode(),
    ),
    Case("451 to every MAIL", _says("mail", "451 4.3.0 Overloaded"), mended_seconds=3),
    Case("a silent server", Silent, messages=100, mended_seconds=4),
    Case("cut after the dot", CutAfterTheDot, messages=8, most_copies=2),
    Case("nobody of that name", _says("rcpt", "550 5.1.1 No such mailbox"), accepted=0, bounced=20),
    Case("too big", _says("mail", "552 5.3.4 Too big"), accepted=0, bounced=20),
    Case("spam", _says("end", "554 5.7.1 Spam"), accepted=0, bounced=20),
)
