"""One session with a mail server: opening it, one transaction on it, and what was said.

Nothing here decides what to do about an answer; it reports who said what at which step. Every step
has its own time-out (RFC 5321, section 4.5.3.2), and no conversation has one.
"""

import asyncio
import functools
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol, normalize_message_line_endings

from backend.kit.outbound import NotAllowedError, Outbound, UnreachableError
from backend.kit.outbound import tls_context as default_tls_context
from backend.kit.smtp._answers import CLOSING, Reply, Stage, Verdict, judge, tidy
from backend.kit.smtp._relay import SmtpRelay, SmtpTimeouts
from backend.kit.smtp.errors import RelayUnavailableError

_LEADING_DOT: Final = re.compile(rb"(?m)^\.")
_START_INPUT: Final = 354
_BLOCK_BYTES: Final = 65_536
_NOT_OFFERED: Final = Reply(
    None,
    "5.6.7 The mail server does not offer SMTPUTF8 (RFC 6531), without which no address with "
    "letters beyond ASCII before its @ can be mailed, or stand in a message",
)
_QUIT_SECONDS: Final = 1.0
_NAME_SECONDS: Final = 3.0
_VERIFY_SECONDS: Final = 10.0


class NoSessionError(Exception):
    """There is no session to be had: ``refused`` when the server has no wish to serve *us*."""

    def __init__(self, reply: Reply, *, refused: bool) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.refused = refused


class GoneError(Exception):
    """The session ended, or is out of step, before any octet of the message was sent."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Said(NamedTuple):
    """An answer, of whom it speaks, and whether the server may hold the message unanswered."""

    reply: Reply
    verdict: Verdict
    uncertain: bool = False
    # Said to RCPT; and of this recipient only, which an answer to DATA is for one alone.
    at_rcpt: bool = False
    of_one: bool = False


@dataclass(slots=True)
class Transaction:
    """What came of one: an answer for each recipient who got one, by its index.

    ``said`` are final for this transaction. ``crowded`` are those that did not fit into it.
    ``refused`` is the answer, and its stage, that ended the transaction for all of the rest.
    """

    said: dict[int, Said] = field(default_factory=dict)
    crowded: list[int] = field(default_factory=list)
    refused: tuple[Stage, Said] | None = None
    taken: int = 0


class Session:
    """An open session; ``moved`` is called whenever the server shows that it lives."""

    __slots__ = ("_client", "_moved", "_timeouts", "idle_since", "messages")

    def __init__(
        self, client: aiosmtplib.SMTP, timeouts: SmtpTimeouts, moved: Callable[[], None]
    ) -> None:
        self._client = client
        self._timeouts = timeouts
        self._moved = moved
        self.idle_since = 0.0
        self.messages = 0

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands, as far as one can tell without asking."""
        return self._client.is_connected

    def supports(self, extension: str) -> bool:
        """Whether the server offered this extension."""
        return self._client.supports_extension(extension)

    def close(self) -> None:
        """Cut the connection."""
        self._client.close()

    async def quit(self) -> None:
        """Say goodbye, briefly, and close."""
        try:
            await self._client.quit(timeout=_QUIT_SECONDS)
        except (aiosmtplib.SMTPException, OSError):
            pass
        finally:
            self._client.close()

    async def command(self, *words: bytes, seconds: float | None = None) -> Reply:
        """One command and its answer.

        Raises:
            GoneError: There is none, or more than one, or the connection is lost.
        """
        wait = self._timeouts.command_seconds if seconds is None else seconds
        try:
            code, text = await self._client.execute_command(*words, timeout=wait)
        except aiosmtplib.SMTPResponseException as error:
            # No answer of SMTP at all: whatever follows cannot be read either.
            self.close()
            raise GoneError(Reply(None, tidy(error.message))) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            raise GoneError(
                Reply(None, tidy(f"The connection was lost: {explain(error)}"))
            ) from None
        self._moved()
        self._stay_in_step()
        return Reply(code, tidy(text))

    async def transact(
        self,
        sender: str,
        recipients: Sequence[tuple[int, str]],
        payload: bytes,
        *,
        delivering: bool,
        most: int | None,
    ) -> Transaction:
        """MAIL, RCPT and DATA with at most so many recipients.

        What needs SMTPUTF8 is refused, in the server's place, if it does not offer that: some
        recipients, or all where the sender or the header has such an address.

        Raises:
            GoneError: While nothing of the message was sent.
        """
        found = Transaction()
        parameters = [b"SIZE=%d" % len(payload)] if self.supports("size") else []
        needing = _needing_utf8(sender, recipients, payload)
        if needing and self.supports("smtputf8"):
            parameters += [b"BODY=8BITMIME", b"SMTPUTF8"]
        elif needing:
            found.said = dict.fromkeys(needing, Said(_NOT_OFFERED, "refused"))
            recipients = [one for one in recipients if one[0] not in needing]
            if not recipients:
                return found
        reply = await self.command(b"MAIL", b"FROM:<%b>" % sender.encode(), *parameters)
        verdict = self._judge("mail", reply, delivering=delivering)
        if verdict != "yes":
            found.refused = ("mail", Said(reply, verdict))
            await self.reset()
            return found
        open_for = await self._name(recipients, found, delivering=delivering, most=most)
        if not open_for:
            await self.reset()
            return found
        reply = await self.command(b"DATA", seconds=self._timeouts.data_seconds)
        if reply.code != _START_INPUT:
            # Agreement before the message was sent is no agreement to it.
            verdict = self._judge("data", reply, delivering=delivering)
            if verdict == "yes":
                raise GoneError(Reply(None, tidy(f"{reply.code} in answer to DATA")))
            found.refused = ("data", Said(reply, verdict))
            await self.reset()
            return found
        said = await self._transmit(payload, delivering=delivering)
        if said.verdict == "yes":
            found.taken = len(open_for)
        if said.verdict in {"yes", "refused"} or said.uncertain:
            found.said |= dict.fromkeys(open_for, said._replace(of_one=len(open_for) == 1))
        else:
            found.refused = ("data", said)
        return found

    async def _name(
        self,
        recipients: Sequence[tuple[int, str]],
        found: Transaction,
        *,
        delivering: bool,
        most: int | None,
    ) -> list[int]:
        """RCPT for each; those who may go on to DATA."""
        open_for: list[int] = []
        for place, (index, address) in enumerate(recipients):
            if most is not None and len(open_for) >= most:
                found.crowded += [later for later, _ in recipients[place:]]
                break
            reply = await self.command(b"RCPT", b"TO:<%b>" % address.encode())
            # A server that took somebody else of this very message does not refuse us.
            verdict = self._judge("rcpt", reply, delivering=delivering or bool(open_for))
            if verdict == "yes":
                open_for.append(index)
            elif verdict == "crowded" and open_for:
                found.crowded += [later for later, _ in recipients[place:]]
                break
            elif verdict in {"refused", "later"}:
                found.said[index] = Said(reply, verdict, at_rcpt=True, of_one=True)
            else:
                found.refused = ("rcpt", Said(reply, verdict))
                found.crowded = []
                break
        return open_for

    async def reset(self) -> None:
        """Clear the envelope; a session that cannot even do that is closed, not reported."""
        if not self.is_open:
            return
        try:
            if (await self.command(b"RSET")).code != 250:
                self.close()
        except GoneError:
            self.close()

    def _judge(self, stage: Stage, reply: Reply, *, delivering: bool) -> Verdict:
        verdict = judge(stage, reply, delivering=delivering)
        if verdict == "gone":
            self.close()
            raise GoneError(reply)
        return verdict

    async def _transmit(self, payload: bytes, *, delivering: bool) -> Said:
        """Send the message itself and hear what is said of it, and of nothing before its end."""
        protocol = cast("SMTPProtocol", self._client.protocol)
        early = False
        try:
            # The library drops what comes while it expects nothing.
            protocol._response_pending = True  # noqa: SLF001
            answer = protocol._response_waiter  # noqa: SLF001
            for start in range(0, len(payload), _BLOCK_BYTES):
                # Refused in the middle: the rest need not be sent.
                if early := answer is not None and answer.done():
                    break
                protocol.write(payload[start : start + _BLOCK_BYTES])
                async with asyncio.timeout(self._timeouts.block_seconds):
                    # A StreamWriter of our own would close the connection with itself.
                    await protocol._drain_helper()  # noqa: SLF001 - it is what drain() calls
                self._moved()
            async with asyncio.timeout(self._timeouts.end_of_data_seconds):
                code, text = await protocol.read_response()
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            return Said(
                Reply(None, tidy(f"No answer after the message was sent: {explain(error)}")),
                "later",
                uncertain=True,
            )
        self._moved()
        reply = Reply(code, tidy(text))
        verdict = judge("data", reply, delivering=delivering)
        if early or verdict == "gone" or code == CLOSING:
            self.close()
        if verdict == "gone" and code == CLOSING:
            return Said(reply, "later")
        if verdict == "gone" or (early and verdict == "yes"):
            # It speaks of something else than the message, which it has not even seen to its end.
            return Said(Reply(None, tidy(f"Out of step: {reply.text}")), "later", uncertain=True)
        return Said(reply, verdict)

    def _stay_in_step(self) -> None:
        """One command, one answer: a surplus one would be taken for that to the next command."""
        protocol = self._client.protocol
        if protocol is not None and protocol._buffer:  # noqa: SLF001 - it has no public name
            self.close()
            raise GoneError(Reply(None, "The server answered what was not asked."))


async def open_session(
    relay: SmtpRelay,
    outbound: Outbound,
    tls_context: ssl.SSLContext | None,
    moved: Callable[[], None] = lambda: None,
) -> Session:
    """Connect, secure, greet and log in.

    Raises:
        NoSessionError: Not possible, with a reason that an operator can act on.
    """
    client = await open_client(relay, partial(dial, relay, outbound), tls_context, moved)
    return Session(client, relay.timeouts, moved)


async def dial(relay: SmtpRelay, outbound: Outbound) -> socket.socket:
    """A connection to the server, at the very address that was judged.

    A second look-up, which the library would make, may answer otherwise: whoever runs the name's
    server decides when.

    Raises:
        NotAllowedError, UnreachableError: As :meth:`Outbound.connect`.
    """
    return await outbound.connect(
        relay.host,
        relay.port,
        tenant_id=relay.tenant_id,
        public_only=relay.public_only,
        timeout_seconds=relay.timeouts.connect_seconds,
    )


async def open_client(
    relay: SmtpRelay,
    connect: Callable[[], Awaitable[socket.socket]],
    tls_context: ssl.SSLContext | None,
    moved: Callable[[], None] = lambda: None,
    *,
    make: Callable[..., aiosmtplib.SMTP] = aiosmtplib.SMTP,
) -> aiosmtplib.SMTP:
    """What a session speaks through, logged in; ``make`` builds it over what ``connect`` gives.

    Raises:
        NoSessionError: As :func:`open_session`.
    """
    try:
        client = await _connect(relay, connect, tls_context, make)
    except (NotAllowedError, UnreachableError) as error:
        raise _no_session(relay, None, error.detail) from None
    moved()
    try:
        await _greet(client, relay)
    except BaseException as error:
        client.close()
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            words = f"{relay.where} refused the log-in: {error.code} {error.message}"
            refused = not 400 <= error.code < 500
            raise NoSessionError(Reply(error.code, tidy(words)), refused=refused) from None
        if isinstance(error, aiosmtplib.SMTPResponseException):
            code = error.code if error.code > 0 else None
            words = f"{relay.where} refused the session: {error.code} {error.message}"
            refused = code is not None and code >= 500
            raise NoSessionError(Reply(code, tidy(words)), refused=refused) from None
        if isinstance(error, ssl.SSLError):
            raise _no_session(relay, None, explain(error), refused=True) from None
        if isinstance(error, (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError)):
            raise _no_session(relay, None, explain(error)) from None
        if isinstance(error, (aiosmtplib.SMTPConnectError, OSError)):
            cause = error.__cause__
            refused = isinstance(cause, ssl.SSLError)
            words = explain(cause if refused and cause is not None else error)
            raise _no_session(relay, None, words, refused=refused) from None
        # What the libraries refuse to even try: no STARTTLS or log-in on offer, a bad host name.
        if isinstance(error, (aiosmtplib.SMTPException, ValueError)):
            raise _no_session(relay, None, explain(error), refused=True) from None
        raise
    moved()
    return client


async def verify(
    relay: SmtpRelay, outbound: Outbound, *, tls_context: ssl.SSLContext | None = None
) -> float:
    """Connect as a message would (TLS and log-in included), greet, leave; the milliseconds it took.

    No step may take longer than ten seconds: somebody waits for the answer.

    Raises:
        RelayUnavailableError: The relay cannot be reached, trusted or logged in to; the detail says
            which, in a form for operators.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    hurried = SmtpRelay(
        **{name: getattr(relay, name) for name in relay.__slots__ if name != "timeouts"},
        timeouts=relay.timeouts.at_most(_VERIFY_SECONDS),
    )
    try:
        session = await open_session(hurried, outbound, tls_context)
    except NoSessionError as error:
        raise RelayUnavailableError(error.reply.text) from None
    try:
        await session.command(b"NOOP")
    except GoneError as error:
        raise RelayUnavailableError(f"The relay did not answer: {error.reply.text}") from None
    else:
        elapsed = (loop.time() - started) * 1_000
        await session.quit()
        return elapsed
    finally:
        session.close()


def _needing_utf8(sender: str, recipients: Sequence[tuple[int, str]], payload: bytes) -> set[int]:
    """Who can be mailed by RFC 6531 alone."""
    # Not by partition(): it would copy the rest, which may be megabytes.
    head = payload[: payload.find(b"\r\n\r\n")]
    whole = not (sender.isascii() and head.isascii())
    return {index for index, address in recipients if whole or not address.isascii()}


def prepare(message: bytes) -> bytes:
    """Return the message as DATA carries it: CRLF only, dots doubled, terminator appended.

    A lone CR or LF is mended and not passed on: relays disagree on where such a line ends, which
    lets one message be read as two (SMTP smuggling).
    """
    breaks = message.count(b"\r\n")
    mended = breaks == message.count(b"\n") == message.count(b"\r") and message.endswith(b"\r\n")
    if not mended:
        message = normalize_message_line_endings(message)
    if message.startswith(b".") or b"\n." in message:
        message = _LEADING_DOT.sub(b"..", message)
    return message + b".\r\n"


def explain(error: BaseException) -> str:
    """An error of the network as operators read it."""
    if isinstance(error, aiosmtplib.SMTPException):
        return str(error.message)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__


async def _connect(
    relay: SmtpRelay,
    connect: Callable[[], Awaitable[socket.socket]],
    tls_context: ssl.SSLContext | None,
    make: Callable[..., aiosmtplib.SMTP],
) -> aiosmtplib.SMTP:
    if tls_context is None and relay.tls != "none":
        tls_context = _trust(relay.ca_certificate)
    sock = await connect()
    try:
        return make(
            hostname=relay.host,
            port=None,
            sock=sock,
            local_hostname=relay.local_hostname or await _own_name(sock),
            timeout=relay.timeouts.greeting_seconds,
            use_tls=relay.tls == "implicit",
            # Asked for below: the library's default would fall back to plain text without a word.
            start_tls=False,
            tls_context=tls_context,
        )
    except BaseException:
        sock.close()
        raise


async def _greet(client: aiosmtplib.SMTP, relay: SmtpRelay) -> None:
    await client.connect()
    client.timeout = relay.timeouts.command_seconds
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()
    if relay.tls == "starttls":
        await client.starttls()
        await client.ehlo()
    if relay.username is None:
        return
    if relay.login == "xoauth2":
        await client.auth_xoauth2(relay.username, relay.password or "")
    else:
        await client.login(relay.username, relay.password or "")


def _no_session(
    relay: SmtpRelay, code: int | None, words: str, *, refused: bool = False
) -> NoSessionError:
    text = tidy(f"No session with {relay.where}: {words}")
    return NoSessionError(Reply(code, text), refused=refused)


@functools.lru_cache(maxsize=64)
def _authority(pem: str) -> ssl.SSLContext:
    return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=pem)


def _trust(pem: str | None) -> ssl.SSLContext:
    return default_tls_context() if pem is None else _authority(pem)


_names: list[str] = []


async def _own_name(sock: socket.socket) -> str:
    """This host's full name; where it has none, the address it speaks from, in brackets.

    ``localhost`` or a bare name is what servers refuse, and RFC 5321 (4.1.3) wants the address.
    """
    if not _names:
        name = ""
        with suppress(TimeoutError):
            async with asyncio.timeout(_NAME_SECONDS):
                name = await asyncio.to_thread(socket.getfqdn)
        _names.append(name if _is_full(name) else "")
    if _names[0]:
        return _names[0]
    address = str(sock.getsockname()[0])
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _is_full(name: str) -> bool:
    labels = name.split(".")
    return (
        len(labels) > 1
        and labels[0] != "localhost"
        and labels[-1] not in {"localdomain", "localhost", "local", "internal", "arpa"}
        and not labels[-1].isdigit()
        and re.fullmatch(r"[A-Za-z0-9.-]{3,255}", name) is not None
    )
