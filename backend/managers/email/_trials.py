"""Test messages: handed to the tenant's mail server at once, and told of step by step.

For whoever sets a mail server up: they see what it says to us, and what that means, instead of a
message that waits. Nothing is queued and nothing is kept of it but the record that it was done,
which is written before anything goes out. A relay by name is tried without a message; a tenant
has one turn for both.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from backend.core.audit import Personal
from backend.core.clock import monotonic
from backend.core.database import Tx
from backend.core.errors import InvalidInputError, placed
from backend.core.ids import uuid7
from backend.kit.mime import Content, Mailbox, compose, make_message_id, parse_address
from backend.kit.outbound import Outbound
from backend.kit.smtp import (
    Certificate,
    Rehearsal,
    RelayUnavailableError,
    Result,
    SmtpRelay,
    Step,
    StepName,
    rehearse,
    verify,
)
from backend.managers.email._email_settings import EmailSettingsStore
from backend.managers.email._named_relays import NamedRelays
from backend.managers.email._suppressions import SuppressionList
from backend.managers.email._values import RelayTest, SettingsChange
from backend.managers.email.errors import EmailTestRunningError
from backend.managers.security import SecurityManager

ANSWER_SECONDS: Final = 65
"""By when the answer is there, whatever the mail server does."""
_SECONDS: Final = 60.0
# Outlasts the dialogue and the farewell after it, so that a crash locks nobody out for long.
_LEASE_SECONDS: Final = 70.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A test message on its way; its holder alone may run it."""

    id: str
    message_id: str
    relay: SmtpRelay
    sender: Mailbox
    recipient: Mailbox
    message: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """A named relay that is being tried without a message."""

    id: str
    relay: SmtpRelay


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What became of a test message, for people."""

    result: Result
    step: StepName
    summary: str
    advice: str
    code: int | None
    said: str
    server: str
    sender: str
    to: str
    message_id: str
    took_ms: float
    steps: tuple[Step, ...]
    certificate: Certificate | None


class Trials:
    """Begins, runs and ends tests, one at a time for each tenant in all processes."""

    def __init__(
        self,
        security: SecurityManager,
        settings: EmailSettingsStore,
        suppressions: SuppressionList,
        named_relays: NamedRelays,
        outbound: Outbound,
    ) -> None:
        self._security = security
        self._settings = settings
        self._suppressions = suppressions
        self._named_relays = named_relays
        self._outbound = outbound

    async def begin(self, tx: Tx, to: str, change: SettingsChange | None) -> Trial:
        """Take the tenant's turn and write the message, by ``change`` or by what is saved.

        Audited as ``email_settings.tested``. The turn is free again after :meth:`end`, or after 70
        seconds.

        Raises:
            EmailTestRunningError: It is another one's turn.
            InvalidInputError: ``to`` is suppressed.
            InvalidAddressError, RetentionError: As for whoever saves.
        """
        keyring = await self._security.keyring(tx)
        with placed("to"):
            recipient = parse_address(to)
            if await self._suppressions.find(tx, [recipient.address]):
                raise InvalidInputError("This address is suppressed, and no mail goes to it.")
        if change is None:
            route = await self._settings.open_relay(tx, keyring)
        else:
            with placed("settings"):
                route = await self._settings.open_relay_if(tx, keyring, change)
        trial_id = await _take_turn(tx)
        message_id = make_message_id(trial_id, route.sender.domain)
        tx.audit(
            "email_settings.tested",
            f"tenant:{tx.tenant_id}",
            relay=route.relay.where,
            sender=Personal.address(route.sender.address),
            to=Personal.address(recipient.address),
            message_id=message_id,
            saved=change is None,
        )
        message = compose(
            Content(
                subject="Test message",
                text=_TEXT.format(relay=route.relay.where),
                headers={"Auto-Submitted": "auto-generated"},
            ),
            message_id=message_id,
            from_mailbox=route.sender,
            to=[recipient],
            cc=[],
            date=tx.now(),
        )
        return Trial(trial_id, message_id, route.relay, route.sender, recipient, message)

    async def run(self, trial: Trial) -> TrialOutcome:
        """Hand the message over, within 61 seconds. Not in a transaction."""
        began = monotonic()
        found = await rehearse(
            trial.relay,
            self._outbound,
            sender=trial.sender.address,
            recipient=trial.recipient.address,
            message=trial.message,
            seconds=_SECONDS,
        )
        summary, advice = explain(found, trial)
        return TrialOutcome(
            result=found.result,
            step=found.at,
            summary=summary,
            advice=advice,
            code=found.reply.code,
            said=found.reply.text,
            server=trial.relay.where,
            sender=str(trial.sender),
            to=str(trial.recipient),
            message_id=trial.message_id,
            took_ms=1_000 * (monotonic() - began),
            steps=found.steps,
            certificate=found.certificate,
        )

    async def begin_look(self, tx: Tx, name: str) -> Look:
        """Take the tenant's turn for a relay by name; audited as ``email_relay.tested``.

        Raises:
            RelayNotFoundError: No relay of this name in this tenant.
            EmailTestRunningError: It is another one's turn.
        """
        keyring = await self._security.keyring(tx)
        relay = await self._named_relays.open(tx, name, keyring)
        look = Look(await _take_turn(tx), relay)
        tx.audit("email_relay.tested", f"email_relay:{name}", relay=relay.where)
        return look

    async def look(self, look: Look) -> RelayTest:
        """Connect, secure, greet and log in as a message would. Not in a transaction."""
        try:
            took = await verify(look.relay, self._outbound)
        except RelayUnavailableError as exc:
            return RelayTest(False, exc.detail, None)
        return RelayTest(True, "It greets us, and takes the log-in if there is one.", round(took))

    async def end(self, tx: Tx, test: Trial | Look) -> None:
        """Give the tenant's turn to the next one."""
        await tx.take_lease(_turn(tx.tenant_id), test.id, -1.0)


async def _take_turn(tx: Tx) -> str:
    test_id = uuid7()
    if not await tx.take_lease(_turn(tx.tenant_id), test_id, _LEASE_SECONDS):
        raise EmailTestRunningError("It is over within a minute.")
    return test_id


def _turn(tenant_id: str) -> str:
    return f"email.test:{tenant_id}"


_TEXT: Final = (
    "This is a test message: somebody who sets up the sending of mail asked for it.\n"
    "\n"
    "{relay} took it, so mail of this tenant can go out. Nothing is to be done about it.\n"
)

# --- in words ---------------------------------------------------------------------------------


class _Words(NamedTuple):
    summary: str
    advice: str


_WORDS: Final = {
    "accepted": _Words(
        "{server} took the message for {to}.",
        "Look whether it arrives, and whether it lies among the unwanted mail.",
    ),
    "not_allowed": _Words(
        "This platform does not connect to {server}.",
        "Choose a mail server on the public Internet.",
    ),
    "unreachable": _Words(
        "Nobody takes the connection at {server}.",
        "Look at the port, and whether a firewall lets this platform through. "
        "Usual are 587 with STARTTLS and 465 with TLS from the start.",
    ),
    "unreachable at look_up": _Words(
        "There is no address for {host}.",
        "Look for a slip in the name; a new name takes a while until everybody knows it.",
    ),
    "untrusted": _Words(
        "{server} does not begin with TLS, or does not prove who it is.",
        "A server that begins in plain text needs STARTTLS in the settings. Otherwise its "
        "certificate must be valid for the name; a private authority is added there.",
    ),
    "untrusted at starttls": _Words(
        "{server} cannot be talked to in secret.",
        "Its certificate must be valid for the name in the settings; a private authority is added "
        "there. If it does not offer STARTTLS, another port may.",
    ),
    "too_slow": _Words(
        "{server} did not answer in time, at the step {step}.",
        "If it stops at the greeting, the port may be one that begins with TLS.",
    ),
    "lost": _Words(
        "{server} ended the connection at the step {step}.",
        "Its own log says why. Some servers close without a word on addresses they refuse.",
    ),
    "unsure": _Words(
        "{server} has the message and did not say whether it takes it.",
        "It may arrive all the same. Other mail would be sent again under the same Message-ID.",
    ),
    "later": _Words(
        "{server} does not take the message now, at the step {step}.",
        "Other mail would wait and be tried again. If it says so each time, its words say why.",
    ),
    "refused": _Words(
        "{server} refuses the message itself.",
        "The log-in and both addresses were taken; such a message would bounce.",
    ),
    "refused at rcpt": _Words(
        "{server} refuses the recipient {to}.",
        "The mail server itself works; such a message would bounce. Try another address.",
    ),
    "refused at login": _Words(
        "{server} refuses the log-in.",
        "Look at user name and password; many providers want a password made for this purpose. "
        "The sending of all mail would pause until it is mended.",
    ),
    "refused: sender": _Words(
        "{server} does not take mail from {sender}.",
        "It must know this address, or its domain, as one that this user may send from. "
        "Mail from it would pause until it is mended.",
    ),
    "refused: us": _Words(
        "{server} refuses us, and not this message alone.",
        "Usual reasons are a log-in that is missing, a limit that is used up, our name or address "
        "on a blocklist. The sending of all mail would pause until it is mended.",
    ),
}
"""By the result, and more exactly by where it was decided or of whom it speaks."""
_STEPS: Final[dict[StepName, str]] = {
    "look_up": "of looking its name up",
    "connect": "of connecting",
    "greeting": "of its greeting",
    "hello": "EHLO",
    "starttls": "STARTTLS",
    "login": "of the log-in",
    "mail": "MAIL FROM",
    "rcpt": "RCPT TO",
    "data": "DATA",
    "message": "of the message itself",
    "reset": "RSET",
    "quit": "QUIT",
}


def explain(found: Rehearsal, trial: Trial) -> tuple[str, str]:
    """What the result means, and what can be done about it: a sentence or two each."""
    exactly = (f"{found.result} at {found.at}", f"{found.result}: {found.verdict}", found.result)
    words = next(_WORDS[name] for name in exactly if name in _WORDS)
    summary = words.summary.format(
        server=trial.relay.where,
        host=trial.relay.host,
        to=trial.recipient.address,
        sender=trial.sender.address,
        step=_STEPS[found.at],
    )
    return summary, words.advice
