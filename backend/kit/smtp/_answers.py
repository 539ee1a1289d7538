"""What a mail server's answer means, and above all: of whom it speaks.

An answer can be about the recipient, the message, our sender's address, us, or the moment. Only the
first two may bounce a message. A refusal of *us* (log-in, greeting, name, daily limit) would bounce
the whole queue because of one mistyped password; it pauses the relay instead, until somebody has
mended it.

The enhanced code (RFC 3463) decides where it says anything; the reply code where that does; words
last, and only while the relay takes nothing else of ours: people write them, and they differ.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["accepted", "deferred", "bounced"]
Stage = Literal["session", "mail", "rcpt", "data"]
Verdict = Literal[
    "yes",  # 2xx
    "refused",  # for good, the recipient or the message
    "later",  # for now
    "throttled",  # for now, because we are too fast
    "crowded",  # for now, because this transaction has recipients enough
    "gone",  # the session is over or was forgotten; nothing was said about anybody
    "sender",  # not from this address
    "us",  # not from us
]

MAX_RESPONSE_CHARACTERS: Final = 500
CLOSING: Final = 421
_FORGOTTEN: Final = 503  # what a restarted relay says to a session that it does not know any more
_THROTTLED: Final = 454
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)", re.ASCII)
# What tells that a mailbox does not exist: see is_unknown.
_NO_MAILBOX: Final = re.compile(r"5\.1\.(?!0*[78]\Z)\d+|5\.2\.0*1")
_MAILBOX_CODES: Final = frozenset({550, 551, 553})

# Reply codes that speak of our command, our name or our log-in, wherever they come.
_CODES_OF_US: Final = frozenset({500, 502, 504, 521, 530, 534, 535, 538})
# Of enhanced codes by their last two numbers: IANA's registry and what the large providers add.
_OF_SENDER: Final = re.compile(r"1\.[78]|7\.(60|62)|2\.252")
_OF_US: Final = re.compile(
    r"1\.90"  # recipients of a day used up
    r"|3\.[25]"  # the system takes no mail, or is wrongly configured
    r"|4\.5"  # the day's sending is used up
    r"|5\.1"  # commands out of order
    r"|7\.([89]|1[0-4]|2[0-7]|57|[5-7]\d\d)"  # log-in, encryption, account, SPF, DKIM, DMARC, PTR
)
_OF_MESSAGE: Final = re.compile(r"3\.4|2\.3|6\.\d+")
_TOO_BIG: Final = 552
# Classes of enhanced codes that leave the question open, so that words may answer it.
_OPEN_SUBJECT: Final = re.compile(r"0\.0|5\.\d+|7\.[01]|3\.0")
_WORDS_OF_SENDER: Final = re.compile(
    r"sender (address )?(rejected|denied|refused|not|verif)|not owned by|send as\b"
    r"|not (authori[sz]ed|allowed|permitted) to send (as|from)",
    re.IGNORECASE,
)
_WORDS_OF_US: Final = re.compile(
    r"\b[he][eh]lo\b|client host|blocked using|(black|block)list|\b(dns|r)bl\b|spamhaus"
    r"|your (ip|host|server|account)|reverse dns|\bptr\b|relay(ing)?\b.{0,20}(denied|not|prohibit)"
    r"|authenticat|log ?-?in\b|(daily|hourly|sending|user) .{0,30}(limit|quota)",
    re.IGNORECASE,
)
_OF_WHOM: Final[dict[re.Pattern[str], Verdict]] = {
    _OF_SENDER: "sender",
    _OF_US: "us",
    _OF_MESSAGE: "refused",
}
_WORDS_OF_WHOM: Final[dict[re.Pattern[str], Verdict]] = {
    _WORDS_OF_SENDER: "sender",
    _WORDS_OF_US: "us",
}
_WORDS_OF_HASTE: Final = re.compile(
    r"\brates?\b|throttl|too (many (messages|mails|e-?mails|requests|commands)|fast|quick|frequent)"
    r"|slow down|(messages?|mails?) per (second|minute|hour)",
    re.IGNORECASE,
)
_WORDS_OF_A_CROWD: Final = re.compile(r"too many (recipients|rcpt)", re.IGNORECASE)
_INSUFFICIENT: Final = 452


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the server, as one printable line; code None when there was none."""

    code: int | None
    text: str

    @property
    def enhanced(self) -> str | None:
        """Subject and detail of the enhanced code, such as ``1.1`` for 5.1.1."""
        found = _ENHANCED.match(self.text)
        if found is None or self.code is None or found[0][0] != str(self.code)[0]:
            return None
        _, subject, detail = found[0].split(".")
        return f"{int(subject)}.{int(detail)}"


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """What the relay said about one recipient.

    ``code`` is None when there was no answer to quote; ``response`` is one printable line of at
    most 500 characters. ``uncertain`` marks a deferral after which the relay may hold the message
    all the same. ``unknown`` marks a refusal of this very recipient: the relay says that there is
    no such mailbox, or none that takes mail any more. ``retry_seconds`` marks one whose turn has
    not come: nothing was decided about it, and it may be tried again after that time.
    ``refused_us`` marks one that waits because the relay refuses us or our sender.
    """

    address: str
    state: State
    code: int | None
    response: str
    uncertain: bool = False
    unknown: bool = False
    retry_seconds: float | None = None
    refused_us: bool = False


def judge(stage: Stage, reply: Reply, *, delivering: bool = False) -> Verdict:
    """Of whom the answer speaks; ``delivering``: the relay takes other mail of ours just now."""
    code = reply.code
    if code is None or code in {CLOSING, _FORGOTTEN} or not 200 <= code < 600 or 300 <= code < 400:
        # What is no answer to such a command means that we and the server are out of step.
        return "gone"
    if code < 300:
        return "yes"
    if code < 500:
        return _judge_for_now(stage, reply)
    return _judge_for_good(stage, reply, delivering=delivering)


def _judge_for_now(stage: Stage, reply: Reply) -> Verdict:
    enhanced = reply.enhanced or ""
    of_mailbox = enhanced.startswith(("1.", "2."))
    if stage == "rcpt" and (
        enhanced == "5.3"
        or _WORDS_OF_A_CROWD.search(reply.text)
        or (reply.code == _INSUFFICIENT and enhanced in {"", "4.5"})
    ):
        return "crowded"
    if of_mailbox and stage == "rcpt":
        return "later"
    if reply.code == _THROTTLED or _WORDS_OF_HASTE.search(reply.text):
        return "throttled"
    return "later"


def _judge_for_good(stage: Stage, reply: Reply, *, delivering: bool) -> Verdict:
    enhanced = reply.enhanced
    if stage == "session":
        return "us"
    if stage == "rcpt" and (enhanced == "5.3" or _WORDS_OF_A_CROWD.search(reply.text)):
        return "crowded"  # what servers said before RFC 5321 asked for 452
    for pattern, verdict in _OF_WHOM.items():
        if enhanced is not None and pattern.fullmatch(enhanced):
            return verdict
    if reply.code in _CODES_OF_US:
        return "us"
    if not delivering and (enhanced is None or _OPEN_SUBJECT.fullmatch(enhanced)):
        for pattern, verdict in _WORDS_OF_WHOM.items():
            if pattern.search(reply.text):
                return verdict
    # MAIL names nobody but our sender, and the size of the message.
    return "sender" if stage == "mail" and reply.code != _TOO_BIG else "refused"


def is_unknown(reply: Reply, *, at_rcpt: bool) -> bool:
    """Whether a refusal for good says that the mailbox does not exist.

    The enhanced code decides where there is one: 5.1.x is about the address, except for the two
    that are about the sender's, and 5.2.1 a mailbox that was closed. A full mailbox, a policy
    (5.7.x) or a message that is not liked is none of that. Without one, the answer to RCPT counts
    if its code means the mailbox (RFC 5321, section 4.2.3).
    """
    found = _ENHANCED.match(reply.text)
    if found is not None:
        return _NO_MAILBOX.fullmatch(found[0]) is not None
    return at_rcpt and reply.code in _MAILBOX_CODES


def tidy(text: str) -> str:
    """Make one printable line of what a foreign server said."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line[:MAX_RESPONSE_CHARACTERS]
