"""A message handed over in front of somebody: what was said, by whom, and how long it took.

The same client, session and judgement as for every other message, overheard. What must not be seen
is never written down: log-ins are replaced before they become words, and a server that repeats a
password finds it struck out.
"""

import asyncio
import base64
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import aiosmtplib
from aiosmtplib.typing import Default
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from backend.core.clock import monotonic
from backend.kit.outbound import NotAllowedError, Outbound, UnreachableError
from backend.kit.smtp._answers import Reply, Verdict, tidy
from backend.kit.smtp._relay import SmtpRelay
from backend.kit.smtp._session import (
    GoneError,
    NoSessionError,
    Said,
    Session,
    dial,
    explain,
    open_client,
    prepare,
)

StepName = Literal[
    "look_up",
    "connect",
    "greeting",
    "hello",
    "starttls",
    "login",
    "mail",
    "rcpt",
    "data",
    "message",
    "reset",
    "quit",
]
Result = Literal[
    "accepted",  # the server took responsibility
    "refused",  # it said no, for good
    "later",  # it said not now
    "not_allowed",  # we do not go there
    "unreachable",  # no such name, or nobody there
    "untrusted",  # it does not prove who it is, or cannot encrypt
    "lost",  # the connection ended in the middle
    "too_slow",  # the time was over
    "unsure",  # the message was sent and nothing was said of it
]

_MOST_CHARACTERS: Final = 2_000
_HIDDEN: Final = "(hidden)"
_VERBS: Final[dict[str, StepName]] = {
    "EHLO": "hello",
    "HELO": "hello",
    "AUTH": "login",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "DATA": "data",
    "RSET": "reset",
    "QUIT": "quit",
}
_FAILED: Final = 400
_LATER: Final = range(400, 500)
_MOST_NAMES: Final = 20
# To strike out something shorter would tell what it is.
_LEAST_SECRET: Final = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, and what the server said to it.

    ``sent`` is the line that went out, empty where none did. ``said`` has the answer's lines, or
    what went wrong where there was no answer and ``code`` is None.
    """

    name: StepName
    at_ms: float
    took_ms: float
    sent: str
    code: int | None
    said: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who the server proved to be, and how the line is encrypted."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    sha256: str
    protocol: str
    cipher: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of it.

    ``at`` is the step that decided, ``reply`` what was said at it, and ``verdict`` of whom that
    speaks, where it speaks of anybody.
    """

    result: Result
    at: StepName
    reply: Reply
    verdict: Verdict | None
    steps: tuple[Step, ...]
    certificate: Certificate | None


@dataclass(slots=True)
class _Open:
    """A step that is not over."""

    code: int | None = None
    said: str = ""
    ok: bool = True


@dataclass(slots=True)
class _Notes:
    """What is written down, in order; ``secrets`` are struck out wherever they appear."""

    secrets: tuple[str, ...]
    started: float = field(default_factory=monotonic)
    steps: list[Step] = field(default_factory=list)
    certificate: Certificate | None = None
    timed_out: bool = False
    session: Session | None = None

    def now_ms(self) -> float:
        """Milliseconds since the beginning."""
        return 1_000 * (monotonic() - self.started)

    @contextmanager
    def step(self, name: StepName, sent: str = "") -> Iterator[_Open]:
        """Note what the block does, however it ends."""
        at, now = self.now_ms(), _Open()
        try:
            yield now
        except BaseException as error:
            now.ok = False
            self.timed_out = isinstance(error, (TimeoutError, aiosmtplib.SMTPTimeoutError))
            if isinstance(error, aiosmtplib.SMTPResponseException):
                now.code = error.code if error.code > 0 else None
                now.said = str(error.message)
            elif isinstance(error, (NotAllowedError, UnreachableError)):
                now.said = error.detail
            elif isinstance(error, asyncio.CancelledError):
                now.said = "no answer when the time was over"
            else:
                cause = error.__cause__
                now.said = explain(cause if isinstance(cause, ssl.SSLError) else error)
            raise
        finally:
            ok = now.ok and (now.code is None or now.code < _FAILED)
            words = self._clean(sent), now.code, self._clean(now.said)
            self.steps.append(Step(name, at, self.now_ms() - at, *words, ok))

    def _clean(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        lines = (tidy(line) for line in text.splitlines())
        return "\n".join(line for line in lines if line)[:_MOST_CHARACTERS]

    def clean(self, reply: Reply) -> Reply:
        """The answer as it may be shown."""
        return Reply(reply.code, tidy(self._clean(reply.text)))


class _Letter(NamedTuple):
    """What is handed over, as DATA carries it."""

    sender: str
    recipient: str
    payload: bytes


class _Overheard(aiosmtplib.SMTP):
    """The library's client; every exchange is noted."""

    def __init__(self, notes: _Notes, **options: Any) -> None:
        super().__init__(**options)
        self._notes = notes

    async def connect(self, **options: Any) -> aiosmtplib.SMTPResponse:
        with self._notes.step("greeting") as step:
            reply = await super().connect(**options)
            step.code, step.said = reply
        self._look_at_certificate()
        return reply

    async def starttls(self, **options: Any) -> aiosmtplib.SMTPResponse:
        with self._notes.step("starttls", "STARTTLS") as step:
            reply = await super().starttls(**options)
            step.code, step.said = reply
        self._look_at_certificate()
        return reply

    async def execute_command(
        self,
        *args: bytes,
        timeout: float | Literal[Default.token] | None = Default.token,  # noqa: ASYNC109 - theirs
    ) -> aiosmtplib.SMTPResponse:
        verb = args[0].decode("ascii", "replace").upper()
        name = _VERBS.get(verb, "login")
        if name == "login":
            # The mechanism is no secret; what follows is, and so is a continuation's only word.
            mechanism = args[1].decode("ascii", "replace") if verb == "AUTH" else ""
            sent = " ".join(word for word in (verb * bool(mechanism), mechanism, _HIDDEN) if word)
        else:
            sent = b" ".join(args).decode("utf-8", "replace")
        with self._notes.step(name, sent) as step:
            reply = await super().execute_command(*args, timeout=timeout)
            # A challenge is half of the log-in.
            challenge = name == "login" and 300 <= reply.code < 400
            step.code, step.said = reply.code, _HIDDEN if challenge else reply.message
        return reply

    def _look_at_certificate(self) -> None:
        wire = self.get_transport_info("ssl_object") if self.is_connected else None
        shown = wire.getpeercert(binary_form=True) if wire is not None else None
        if shown:
            self._notes.certificate = _certificate(shown, wire)


class _OverheardSession(Session):
    """A session whose message is noted by its size alone."""

    __slots__ = ("_notes",)

    def __init__(self, client: aiosmtplib.SMTP, relay: SmtpRelay, notes: _Notes) -> None:
        super().__init__(client, relay.timeouts, lambda: None)
        self._notes = notes

    async def _transmit(self, payload: bytes, *, delivering: bool) -> Said:
        with self._notes.step(
            "message", f"{len(payload):,} bytes of the message, and a dot"
        ) as step:
            said = await super()._transmit(payload, delivering=delivering)
            step.code, step.said, step.ok = said.reply.code, said.reply.text, said.verdict == "yes"
        return said


async def rehearse(
    relay: SmtpRelay,
    outbound: Outbound,
    *,
    sender: str,
    recipient: str,
    message: bytes,
    seconds: float,
    tls_context: ssl.SSLContext | None = None,
) -> Rehearsal:
    """Hand one message over for real, on a session of its own, and tell of every step.

    The steps have the relay's time-outs and all of them together ``seconds``. The answer comes in
    any case: whatever goes wrong is what was wanted to be known. The user name and the password
    stand in none of it, as they are or in base64.
    """
    notes = _Notes(_secrets_of(relay))
    letter = _Letter(sender, recipient, prepare(message))
    try:
        async with asyncio.timeout(seconds):
            found = await _hand_over(notes, letter, relay, outbound, tls_context)
    except TimeoutError:
        # Whoever has the message may have taken it.
        result: Result = "unsure" if notes.steps[-1].name == "message" else "too_slow"
        return _told(notes, result, Reply(None, f"It was not over after {seconds:g} seconds"))
    finally:
        if notes.session is not None:
            # After the deadline, which must not turn an answer into none; it takes a second.
            await notes.session.quit()
    return replace(found, steps=tuple(notes.steps))


async def _hand_over(
    notes: _Notes,
    letter: _Letter,
    relay: SmtpRelay,
    outbound: Outbound,
    tls_context: ssl.SSLContext | None,
) -> Rehearsal:
    try:
        with notes.step("look_up", relay.host) as step:
            found = await outbound.look_up(
                relay.host, tenant_id=relay.tenant_id, public_only=relay.public_only
            )
            # Addresses of the platform's own network are nobody's business.
            step.said = ", ".join(found) if relay.tenant_id else _counted(len(found))
    except (NotAllowedError, UnreachableError) as error:
        refused = isinstance(error, NotAllowedError)
        said = Reply(None, error.detail)
        return _told(notes, "not_allowed" if refused else "unreachable", said)

    async def connect() -> socket.socket:
        with notes.step("connect", relay.where) as step:
            sock = await dial(relay, outbound)
            if relay.tenant_id:
                step.said = str(sock.getpeername()[0])
            return sock

    try:
        client = await open_client(relay, connect, tls_context, make=partial(_Overheard, notes))
    except NoSessionError as error:
        return _without_session(notes, error)
    session = notes.session = _OverheardSession(client, relay, notes)
    try:
        done = await session.transact(
            letter.sender, [(0, letter.recipient)], letter.payload, delivering=False, most=None
        )
    except GoneError as error:
        code = error.reply.code
        result = "later" if code is not None and code in _LATER else _broken(notes)
        return _told(notes, result, error.reply)
    at = next(step.name for step in reversed(notes.steps) if step.name != "reset")
    answer = done.said.get(0) or (done.refused[1] if done.refused else None)
    if answer is None:  # as only a crowd of recipients leaves somebody unmentioned
        return _told(notes, "lost", Reply(None, "The server said nothing of the recipient"))
    return _told(notes, _result_of(answer), answer.reply, at=at, verdict=answer.verdict)


def _counted(addresses: int) -> str:
    return "one address" if addresses == 1 else f"{addresses} addresses"


def _without_session(notes: _Notes, error: NoSessionError) -> Rehearsal:
    last, code = notes.steps[-1], error.reply.code
    if last.ok:
        # What the library does not even try: there is no log-in on offer.
        words = notes.clean(error.reply).text
        last = Step("login", notes.now_ms(), 0.0, "", None, words, ok=False)
        notes.steps.append(last)
    result: Result
    if code is not None:
        result = "later" if code in _LATER else "refused"
    elif error.refused:
        result = "untrusted" if last.name in {"greeting", "starttls"} else "refused"
    elif last.name == "connect":
        result = "unreachable"
    else:
        result = _broken(notes)
    verdict: Verdict | None = "us" if result == "refused" else None
    return _told(notes, result, error.reply, verdict=verdict)


def _broken(notes: _Notes) -> Result:
    return "too_slow" if notes.timed_out else "lost"


def _result_of(said: Said) -> Result:
    if said.verdict == "yes":
        return "accepted"
    if said.uncertain:
        return "unsure"
    return "refused" if said.verdict in {"refused", "sender", "us"} else "later"


def _told(
    notes: _Notes,
    result: Result,
    reply: Reply,
    *,
    at: StepName | None = None,
    verdict: Verdict | None = None,
) -> Rehearsal:
    steps = tuple(notes.steps)
    said = notes.clean(reply)
    return Rehearsal(result, at or steps[-1].name, said, verdict, steps, notes.certificate)


def _secrets_of(relay: SmtpRelay) -> tuple[str, ...]:
    """What stands in no line: longest first, so that none is struck out in part."""
    if not relay.password:
        return ()
    # The name that the platform logs in with is not its tenants' to know.
    plain = [relay.password, *([] if relay.tenant_id else [relay.username or ""])]
    together = f"\0{relay.username}\0{relay.password}"
    coded = [base64.b64encode(one.encode()).decode() for one in (*plain, together)]
    return tuple(sorted({x for x in (*plain, *coded) if len(x) >= _LEAST_SECRET}, key=len))[::-1]


def _certificate(shown: bytes, wire: Any) -> Certificate | None:
    try:
        found = x509.load_der_x509_certificate(shown)
        subject, issuer = (tidy(one.rfc4514_string()) for one in (found.subject, found.issuer))
        not_before, not_after = found.not_valid_before_utc, found.not_valid_after_utc
    except ValueError:  # trusted by the system, and not understood by this library
        return None
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns = names.get_values_for_type(x509.DNSName)
        addresses = [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    except (x509.ExtensionNotFound, ValueError):
        dns, addresses = [], []
    return Certificate(
        subject=subject,
        issuer=issuer,
        names=tuple(tidy(one) for one in (*dns, *addresses)[:_MOST_NAMES]),
        not_before=not_before,
        not_after=not_after,
        sha256=found.fingerprint(hashes.SHA256()).hex(),
        protocol=str(wire.version()),
        cipher=str((wire.cipher() or ("",))[0]),
    )
