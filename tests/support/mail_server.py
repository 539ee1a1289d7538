"""A mail server that plays a part: real sockets, and rules that say what it answers.

Rules are written as a subclass of :class:`Rules`; every hook may take its time, answer anything,
answer nothing (``""``) or cut the session by raising :class:`Hangup`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


class Hangup(Exception):  # noqa: N818 - it is no error, it is what the server does
    """The server cuts the connection, after ``last`` words."""

    def __init__(self, last: str = "") -> None:
        super().__init__(last)
        self.last = last


@dataclass(eq=False)
class Talk:
    """One session as the server sees it."""

    number: int
    greeted_as: str = ""
    messages: int = 0
    sender: str = ""
    to: list[str] = field(default_factory=list)
    asked: int = 0


@dataclass(frozen=True)
class Letter:
    """A message that the server took responsibility for."""

    at: float
    session: int
    sender: str
    to: tuple[str, ...]
    content: bytes


class Rules:
    """Takes everything; a part overrides what is different."""

    extensions: tuple[str, ...] = ("SIZE 100000000", "ENHANCEDSTATUSCODES")
    starts_tls = False

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.open: set[int] = set()
        self.sessions = 0
        self.most_open = 0
        self.heard: list[str] = []

    def play(self, **hooks: Callable[..., Any]) -> None:
        """Let these be the hooks of their names."""
        vars(self).update(hooks)

    @property
    def now(self) -> float:
        """Seconds of this loop."""
        return asyncio.get_running_loop().time()

    async def greet(self, talk: Talk) -> str:
        return "220 part.test ESMTP"

    async def hello(self, talk: Talk) -> str:
        lines = ["part.test", *self.extensions]
        last = len(lines) - 1
        return "\r\n".join(f"250{' ' if n == last else '-'}{x}" for n, x in enumerate(lines))

    async def auth(self, talk: Talk) -> str:
        return "235 2.7.0 welcome"

    async def mail(self, talk: Talk) -> str:
        return "250 2.1.0 OK"

    async def rcpt(self, talk: Talk, address: str) -> str:
        return "250 2.1.5 OK"

    async def data(self, talk: Talk) -> str:
        return "354 go on"

    async def end(self, talk: Talk, content: bytes) -> str:
        return "250 2.0.0 taken"

    async def block(self, talk: Talk) -> str | None:
        """Before the message is read: what is said before its time, if anything."""
        return None

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """Read the message to its end."""
        return await reader.readuntil(b"\r\n.\r\n")


async def _serve(rules: Rules, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    talk = Talk(rules.sessions)
    rules.sessions += 1
    rules.open.add(talk.number)
    rules.most_open = max(rules.most_open, len(rules.open))

    async def say(words: str) -> None:
        if words:
            writer.write(f"{words}\r\n".encode())
            await writer.drain()

    try:
        await say(await rules.greet(talk))
        while line := await reader.readline():
            words = line.decode().strip()
            rules.heard.append(words)
            verb = words[:4].upper()
            if verb in {"EHLO", "HELO"}:
                talk.greeted_as = words[5:]
                await say(await rules.hello(talk))
            elif verb == "AUTH":
                await say(await rules.auth(talk))
            elif verb == "MAIL":
                talk.sender, talk.to, talk.asked = words[11:].partition(">")[0], [], 0
                await say(await rules.mail(talk))
            elif verb == "RCPT":
                talk.asked += 1
                address = words[9:].partition(">")[0]
                answer = await rules.rcpt(talk, address)
                if answer.startswith("25"):
                    talk.to.append(address)
                await say(answer)
            elif verb == "DATA":
                answer = await rules.data(talk)
                await say(answer)
                if answer.startswith("354"):
                    await say(await rules.block(talk) or "")
                    content = await rules.read(reader)
                    answer = await rules.end(talk, content)
                    if answer.startswith("2"):
                        talk.messages += 1
                        rules.letters.append(
                            Letter(rules.now, talk.number, talk.sender, tuple(talk.to), content)
                        )
                    await say(answer)
            elif verb == "QUIT":
                # Gone before it is said, so that whoever hears it may come again at once.
                rules.open.discard(talk.number)
                await say("221 2.0.0 bye")
                break
            else:
                await say("250 2.0.0 OK")
    except Hangup as end:
        await say(end.last)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        rules.open.discard(talk.number)
        writer.close()


@asynccontextmanager
async def mail_server(
    rules: Rules, *, port: int = 0, most_bytes: int = 2**26
) -> AsyncIterator[int]:
    """Serve by these rules on loopback; the port. A longer message is left in the line."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_serve(rules, reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port, limit=most_bytes)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        for task in list(tasks):
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


def answers(hook: str, *said: str) -> Callable[[], Rules]:
    """Rules of which one hook gives these answers in turn, the last one for ever."""

    def make() -> Rules:
        rules = Rules()
        left = list(said)

        async def answer(*_: object) -> str:
            return left.pop(0) if len(left) > 1 else left[0]

        rules.play(**{hook: answer})
        return rules

    return make
