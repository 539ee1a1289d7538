"""Hands messages to an SMTP relay over connections that stay open between messages.

What can arrive twice, and why. SMTP has no exactly-once: the relay takes responsibility with its
answer to the end of DATA, and that answer can be lost. So

- before the first octet of the message has left, a connection that turns out to be dead is replaced
  once and the attempt repeated: nothing was handed over, nothing can double;
- from that octet on the pool never repeats anything by itself. A 4xx or 5xx answer says that the
  relay did not take the message; no answer at all says nothing, and its outcomes are ``uncertain``:
  deferred, because losing mail is worse than doubling it. Whoever sends it again does so with the
  same bytes and Message-ID, by which relays and readers can tell a copy.

A refusal of *us* (greeting, TLS, log-in, the sender's authorisation) says nothing about the
recipients. It defers, also where its code is 5xx: the mail waits for an operator instead of
bouncing a whole queue because of one mistyped password.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib
from aiosmtplib.protocol import normalize_message_line_endings

from backend.kit.outbound import NotAllowedError, Outbound, UnreachableError
from backend.kit.outbound import tls_context as default_tls_context
from backend.kit.smtp.errors import RelayUnavailableError

Tls = Literal["none", "starttls", "implicit"]
State = Literal["accepted", "deferred", "bounced"]

_DEFAULT_PORTS: Final[dict[str, int]] = {"none": 25, "starttls": 587, "implicit": 465}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_RESPONSE_CHARACTERS: Final = 500
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,255}", re.ASCII)
_EHLO_NAME: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
_LEADING_DOT: Final = re.compile(rb"(?m)^\.")
# Codes that speak about our credentials or the state of the session, never about a recipient:
# 503 is what a restarted relay says to a session it has forgotten.
_ABOUT_US: Final = frozenset({503, 530, 534, 535, 538})
# What tells that a mailbox does not exist: see _is_unknown.
_ENHANCED: Final = re.compile(r"\d\.\d{1,3}\.\d{1,3}", re.ASCII)
_NO_MAILBOX: Final = re.compile(r"5\.1\.(?!0*[78]\Z)\d+|5\.2\.0*1")
_MAILBOX_CODES: Final = frozenset({550, 551, 553})
_CLOSING: Final = 421
_START_INPUT: Final = 354
# A large message gets this long on top of the timeout, as if the line carried 64 KiB a second.
_UPLOAD_BYTES_PER_SECOND: Final = 65_536
_QUIT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class SmtpRelay:
    """Where messages are handed over, and how; the password never shows in ``repr``."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls = "starttls"
    timeout_seconds: float = 30.0
    local_hostname: str | None = None
    # Whose server this is, None for the platform's own: a tenant's failures are its own.
    tenant_id: str | None = None
    # For what tenants choose: no address of the platform's own network, whatever the name says.
    public_only: bool = False

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ValueError("The relay's host is not a host name or address.")
        if not 1 <= self.port <= 65_535:
            raise ValueError("The relay's port must be from 1 to 65535.")
        if self.tls not in _DEFAULT_PORTS:
            raise ValueError("The relay's tls must be none, starttls or implicit.")
        if not 0 < self.timeout_seconds <= 600:
            raise ValueError("The relay's timeout must be above 0 and at most 600 seconds.")
        if self.local_hostname is not None and not _EHLO_NAME.fullmatch(self.local_hostname):
            raise ValueError("The local host name may hold visible ASCII only.")
        if self.password is not None and self.username is None:
            raise ValueError("A password for the relay needs a user name.")

    @classmethod
    def from_url(cls, url: str, *, timeout_seconds: float = 30.0) -> Self:
        """Read ``smtp://[user:password@]host[:port][?tls=...&timeout=...&local_hostname=...]``.

        ``smtps://`` means implicit TLS. ``smtp://`` means STARTTLS and refuses a relay that does
        not offer it, except on loopback, where it means no TLS; ``?tls=`` says otherwise. Ports
        default to 465, 587 and 25. User and password are percent-decoded.

        Raises:
            ValueError: The URL is malformed; the message never quotes it.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("The relay's URL is malformed.") from None
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise ValueError("The relay's URL must be smtp://host or smtps://host.")
        if parts.path not in {"", "/"} or parts.fragment:
            raise ValueError("The relay's URL may not have a path or fragment.")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        tls = options.pop("tls", None)
        timeout = options.pop("timeout", None)
        local_hostname = options.pop("local_hostname", None)
        if options:
            raise ValueError("The relay's URL knows tls, timeout and local_hostname only.")
        if parts.scheme == "smtps":
            if tls not in {None, "implicit"}:
                raise ValueError("smtps:// is implicit TLS; use smtp:// for another kind.")
            tls = "implicit"
        elif tls is None:
            tls = "none" if parts.hostname in _LOOPBACK else "starttls"
        if tls not in _DEFAULT_PORTS:
            raise ValueError("The relay's tls must be none, starttls or implicit.")
        try:
            seconds = timeout_seconds if timeout is None else float(timeout)
        except ValueError:
            raise ValueError("The relay's timeout must be a number of seconds.") from None
        return cls(
            host=parts.hostname,
            port=_DEFAULT_PORTS[tls] if port is None else port,
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            tls=tls,  # type: ignore[arg-type]  # checked above against the table's keys
            timeout_seconds=seconds,
            local_hostname=local_hostname,
        )


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """What the relay said about one recipient.

    ``code`` is None when there was no answer to quote; ``response`` is one printable line of at
    most 500 characters. ``uncertain`` marks a deferral after which the relay may hold the message
    all the same. ``unknown`` marks a refusal of this very recipient: the relay says that there is
    no such mailbox, or none that takes mail any more.
    """

    address: str
    state: State
    code: int | None
    response: str
    uncertain: bool = False
    unknown: bool = False


class _GoneError(Exception):
    """The connection ended before any octet of the message was sent."""

    def __init__(self, code: int | None, response: str) -> None:
        super().__init__(response)
        self.code = code
        self.response = response


class _Connection:
    """One open session and how much it was used."""

    __slots__ = ("client", "idle_since", "messages")

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self.idle_since = 0.0
        self.messages = 0


class SmtpPool:
    """Up to ``size`` sessions with one relay, opened on demand and reused last in, first out.

    A session is closed after ``messages_per_connection`` messages (relays limit them) and after
    ``idle_seconds`` without one (relays close them, and finding out costs a round trip). Belongs
    to one event loop.
    """

    def __init__(
        self,
        relay: SmtpRelay,
        outbound: Outbound,
        *,
        size: int = 4,
        idle_seconds: float = 30.0,
        messages_per_connection: int = 100,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """Open nothing yet; ``tls_context`` replaces the system's trust, for a private CA."""
        if size < 1 or messages_per_connection < 1:
            raise ValueError("A pool needs at least one connection and one message on it.")
        self.relay = relay
        self._outbound = outbound
        self._size = size
        self._idle_seconds = idle_seconds
        self._messages_per_connection = messages_per_connection
        self._tls_context = tls_context
        self._slots = asyncio.Semaphore(size)
        self._idle: list[_Connection] = []
        self._reaper: asyncio.TimerHandle | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(
        self,
        sender: str,
        recipients: Sequence[str],
        message: bytes,
        *,
        still_wanted: Callable[[], bool] = lambda: True,
    ) -> list[RecipientOutcome]:
        """Hand one message over; one outcome per recipient, in their order.

        Waits for a free connection; then ``still_wanted`` is asked a last time, and after a no
        nothing is sent and no outcome returned. ``sender`` and ``recipients`` are ASCII addresses;
        ``message`` needs no dot-stuffing. Never raises for what the relay or the network does.

        Raises:
            RuntimeError: The pool is closed.
        """
        if self._closed:
            raise RuntimeError("The SMTP pool is closed.")
        if not recipients:
            return []
        async with self._slots:
            if not still_wanted():
                return []
            reused = self._take_idle()
            if reused is not None:
                try:
                    return await self._deliver(reused, sender, recipients, message)
                except _GoneError:
                    # Closed while idle. Its neighbours probably are as well, so not one of them.
                    pass
            try:
                client = await _open(self.relay, self._outbound, self._tls_context)
                return await self._deliver(_Connection(client), sender, recipients, message)
            except _GoneError as error:
                return [
                    RecipientOutcome(address, "deferred", error.code, error.response)
                    for address in recipients
                ]

    async def aclose(self) -> None:
        """Let running sends finish, say goodbye on every connection, accept no more. Idempotent."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        for _ in range(self._size):
            await self._slots.acquire()
        try:
            while self._idle:
                self._dismiss(self._idle.pop())
            while self._farewells:
                await asyncio.wait(self._farewells)
        finally:
            for _ in range(self._size):
                self._slots.release()

    async def _deliver(
        self, connection: _Connection, sender: str, recipients: Sequence[str], message: bytes
    ) -> list[RecipientOutcome]:
        client = connection.client
        connection.messages += 1
        try:
            outcomes = await _transact(client, sender, recipients, message)
        except BaseException:
            # Also when cancelled: the session is in the middle of a dialogue nobody will finish.
            client.close()
            raise
        if not client.is_connected:
            return outcomes
        if self._closed or connection.messages >= self._messages_per_connection:
            self._dismiss(connection)
        else:
            self._put_idle(connection)
        return outcomes

    def _take_idle(self) -> _Connection | None:
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        while self._idle:
            connection = self._idle.pop()
            if connection.client.is_connected and connection.idle_since >= oldest:
                return connection
            self._dismiss(connection)
        return None

    def _put_idle(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._reaper is None:
            self._reaper = loop.call_later(self._idle_seconds, self._reap)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_seconds
        # Last in, first out keeps the list sorted by idle_since.
        while self._idle and self._idle[0].idle_since <= oldest:
            self._dismiss(self._idle.pop(0))
        self._reaper = (
            loop.call_at(self._idle[0].idle_since + self._idle_seconds, self._reap)
            if self._idle
            else None
        )

    def _dismiss(self, connection: _Connection) -> None:
        """Say goodbye in the background: politeness must not delay the next message."""
        if connection.client.is_connected:
            task = asyncio.get_running_loop().create_task(_quit(connection.client))
            self._farewells.add(task)
            task.add_done_callback(self._farewells.discard)


async def verify(
    relay: SmtpRelay, outbound: Outbound, *, tls_context: ssl.SSLContext | None = None
) -> float:
    """Connect as a message would (TLS and log-in included), greet, leave; the milliseconds it took.

    Raises:
        RelayUnavailableError: The relay cannot be reached, trusted or logged in to; the detail says
            which, in a form for operators.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        client = await _open(relay, outbound, tls_context)
    except _GoneError as error:
        raise RelayUnavailableError(error.response) from None
    try:
        await client.noop()
    except (aiosmtplib.SMTPException, OSError) as error:
        raise RelayUnavailableError(f"The relay did not answer: {_explain(error)}") from None
    else:
        elapsed = (loop.time() - started) * 1_000
        await _quit(client)
        return elapsed
    finally:
        client.close()


# --- One session ----------------------------------------------------------------------------------


async def _open(
    relay: SmtpRelay, outbound: Outbound, tls_context: ssl.SSLContext | None
) -> aiosmtplib.SMTP:
    """Connect, secure and log in, or raise _GoneError with a reason an operator can act on."""
    where = f"{relay.host}:{relay.port}"
    try:
        with outbound.guard(relay.host, relay.port, tenant_id=relay.tenant_id):
            return await _greet(relay, outbound, tls_context)
    except (NotAllowedError, UnreachableError) as error:
        raise _GoneError(None, _tidy(f"No session with {where}: {error.detail}")) from None
    except aiosmtplib.SMTPAuthenticationError as error:
        raise _GoneError(
            error.code, _tidy(f"{where} refused the log-in: {error.code} {error.message}")
        ) from None
    except aiosmtplib.SMTPResponseException as error:
        raise _GoneError(
            error.code if error.code > 0 else None,
            _tidy(f"{where} refused the session: {error.code} {error.message}"),
        ) from None


async def _greet(
    relay: SmtpRelay, outbound: Outbound, tls_context: ssl.SSLContext | None
) -> aiosmtplib.SMTP:
    """A session that is ready for messages.

    Raises:
        NotAllowedError, UnreachableError: There is nobody to speak with, or not in time.
        aiosmtplib.SMTPResponseException: The relay says no.
    """
    if tls_context is None and relay.tls != "none":
        tls_context = default_tls_context()
    client = aiosmtplib.SMTP(
        hostname=relay.host,
        port=None,
        # Connected to the very address that was judged. A second look-up, which the library would
        # make, may answer otherwise: whoever runs the name's server decides when.
        sock=await outbound.connect(
            relay.host,
            relay.port,
            tenant_id=relay.tenant_id,
            public_only=relay.public_only,
            timeout_seconds=relay.timeout_seconds,
        ),
        username=relay.username,
        password=relay.password,
        local_hostname=relay.local_hostname,
        timeout=relay.timeout_seconds,
        use_tls=relay.tls == "implicit",
        # True insists; the library's default would fall back to plain text without a word.
        start_tls=relay.tls == "starttls",
        tls_context=tls_context,
    )
    try:
        await client.connect()
        # Greeted here, so that a refusal counts as one of us and not of the sender.
        if client.is_ehlo_or_helo_needed:
            try:
                await client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await client.helo()
    except aiosmtplib.SMTPResponseException:
        client.close()
        raise
    # ValueError covers what the TLS library refuses to even try (a bad host name).
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        client.close()
        raise UnreachableError(_explain(error)) from error
    except BaseException:
        client.close()
        raise
    return client


async def _transact(
    client: aiosmtplib.SMTP, sender: str, recipients: Sequence[str], message: bytes
) -> list[RecipientOutcome]:
    """Run MAIL, RCPT and DATA; raise _GoneError only while nothing of the message was sent."""
    payload = _prepare(message)
    outcomes: dict[int, RecipientOutcome] = {}
    try:
        options = [f"SIZE={len(payload)}"] if client.supports_extension("size") else []
        try:
            await client.mail(sender, options=options)
        except aiosmtplib.SMTPSenderRefused as error:
            _raise_if_gone(error)
            await _reset(client)
            return [_judge(address, error.code, error.message) for address in recipients]
        open_for: list[int] = []
        for index, address in enumerate(recipients):
            try:
                await client.rcpt(address)
            except aiosmtplib.SMTPRecipientRefused as error:
                _raise_if_gone(error)
                said = _judge(address, error.code, error.message)
                outcomes[index] = replace(said, unknown=_is_unknown(said, at_rcpt=True))
            else:
                open_for.append(index)
        if not open_for:
            await _reset(client)
            return [outcomes[index] for index in range(len(recipients))]
        code, text = await client.execute_command(b"DATA")
        if code == _CLOSING:
            raise _GoneError(code, _tidy(text))
        if code != _START_INPUT:
            await _reset(client)
    except (aiosmtplib.SMTPException, OSError) as error:
        code_or_none = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else None
        raise _GoneError(
            code_or_none, _tidy(f"The connection was lost: {_explain(error)}")
        ) from None
    uncertain = False
    # Agreement before the message was sent is no agreement to it.
    answer: int | None = code if code >= 400 else None
    if code == _START_INPUT:
        answer, text, uncertain = await _transmit(client, payload)
    for index in open_for:
        said = _judge(recipients[index], answer, text, uncertain=uncertain)
        # One answer for all of them tells nothing about each.
        alone = len(open_for) == 1 and _is_unknown(said, at_rcpt=False)
        outcomes[index] = replace(said, unknown=alone)
    return [outcomes[index] for index in range(len(recipients))]


def _is_unknown(said: RecipientOutcome, *, at_rcpt: bool) -> bool:
    """Whether a refusal says that the mailbox does not exist.

    The enhanced code (RFC 3463) decides where there is one: 5.1.x is about the address, except for
    the two that are about the sender's, and 5.2.1 a mailbox that was closed. A full mailbox, a
    policy (5.7.x) or a message that is not liked is none of that. Without one, the answer to RCPT
    counts if its code means the mailbox (RFC 5321, section 4.2.3).
    """
    if said.state != "bounced":
        return False
    enhanced = _ENHANCED.match(said.response)
    if enhanced is not None:
        return _NO_MAILBOX.fullmatch(enhanced[0]) is not None
    return at_rcpt and said.code in _MAILBOX_CODES


async def _transmit(client: aiosmtplib.SMTP, payload: bytes) -> tuple[int | None, str, bool]:
    """Send the message itself; returns code, text and whether the relay may hold it unanswered."""
    timeout = (client.timeout or 0) + len(payload) / _UPLOAD_BYTES_PER_SECOND
    try:
        protocol = client.protocol
        if protocol is None:
            return None, "The connection was lost before the message was sent.", False
        protocol.write(payload)
        code, text = await protocol.read_response(timeout=timeout)
    except (aiosmtplib.SMTPException, OSError) as error:
        client.close()
        return None, f"No answer after the message was sent: {_explain(error)}", True
    if code == _CLOSING:
        client.close()
    return code, text, False


async def _reset(client: aiosmtplib.SMTP) -> None:
    """Clear the envelope; a session that cannot even do that is closed, not reported."""
    try:
        await client.rset()
    except (aiosmtplib.SMTPException, OSError):
        client.close()


async def _quit(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit(timeout=_QUIT_SECONDS)
    except (aiosmtplib.SMTPException, OSError):
        pass
    finally:
        client.close()


def _raise_if_gone(error: aiosmtplib.SMTPResponseException) -> None:
    # 503 to MAIL or RCPT: the relay has forgotten this session; a fresh one will be understood.
    if error.code in {_CLOSING, 503}:
        raise _GoneError(error.code, _tidy(error.message))


def _prepare(message: bytes) -> bytes:
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


def _judge(
    address: str, code: int | None, text: str, *, uncertain: bool = False
) -> RecipientOutcome:
    state: State = "deferred"
    if code is not None:
        if 200 <= code < 300:
            state = "accepted"
        elif 500 <= code < 600 and code not in _ABOUT_US:
            state = "bounced"
    return RecipientOutcome(address, state, code, _tidy(text), uncertain=uncertain)


def _explain(error: BaseException) -> str:
    if isinstance(error, aiosmtplib.SMTPException):
        return str(error.message)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__


def _tidy(text: str) -> str:
    """Make one printable line of what a foreign server said."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line[:_MAX_RESPONSE_CHARACTERS]
