"""What is taken out of lines before they are kept: named kinds of secrets, and a tenant's patterns.

All patterns are RE2's (https://github.com/google/re2): it takes time linear in the line, whatever
the pattern is, where a backtracking engine could be made to take minutes by one line. What it would
need memory for without bound it does not compile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import re2

from backend.core.errors import placed
from backend.managers.logging.errors import LogSettingsInvalidError

MAX_PATTERNS: Final = 20
MAX_PATTERN: Final = 500
MAX_STEPS: Final = 1000
"""Instructions of a tenant's patterns, compiled, together: a character may cost each of them."""
_MEMORY_BYTES: Final = 256 * 1024
_MAX_DEPTH: Final = 128
_COSTLY_STEPS: Final = 500
_GROWTH: Final = 4
_LEAST_GROWTH: Final = 256

_SECRETS: Final = "password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|client[_-]?secret"

KINDS: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "credential": (
            rf"(?i)\b({_SECRETS})(\"?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&}}\"']+)",
            2,
        ),
        "bearer_token": (r"(?i)\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{8,}", 2),
        "jwt": (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", 0),
        "private_key": (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(-----END [A-Z ]*PRIVATE KEY-----)?",
            0,
        ),
        "email_address": (
            r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}@[a-z0-9.-]{1,190}\.[a-z]{2,24}\b",
            0,
        ),
        "ip_address": (r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b", 0),
        "card_number": (r"\b[3-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{2,4}\b", 0),
    }
)
"""Kinds that a tenant names: what they look like, and how many of the first groups stay."""

USUAL: Final = ("credential", "bearer_token", "jwt", "private_key")
"""Those of a tenant that has said nothing: what lets somebody in is nobody's to read in logs."""

_TOO_LONG: Final = "[too long without what is hidden]"
_TOO_DEEP: Final = "[nested too deep]"

_SECRET_NAME: Final = re2.compile(rf"(?i)(^|[._-])({_SECRETS}|authorization|cookie|set-cookie)$")


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a tenant has looked for, and what stands there instead.

    Attributes:
        name: What people call it; what is found reads ``[name]``.
        expression: In RE2's syntax.
    """

    name: str
    expression: str


def check_patterns(patterns: Sequence[Pattern]) -> None:
    """Refuse what cannot be looked for.

    Raises:
        LogSettingsInvalidError: One is no expression or finds something in nothing, or they are too
            large.
    """
    steps = 0
    if len(patterns) > MAX_PATTERNS:
        raise LogSettingsInvalidError(f"At most {MAX_PATTERNS} patterns").at("patterns")
    for at, one in enumerate(patterns):
        with placed("patterns", at, "expression"):
            if len(one.expression) > MAX_PATTERN:
                raise LogSettingsInvalidError(f"At most {MAX_PATTERN} characters")
            try:
                compiled = _compiled(one.expression)
            except re2.error as exc:
                said = exc.args[0] if exc.args else ""
                words = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
                raise LogSettingsInvalidError(f"It is no expression of RE2: {words}") from None
            if compiled.search("") is not None:
                raise LogSettingsInvalidError("It finds something in an empty text")
            steps += compiled.programsize
            if steps > MAX_STEPS:
                raise LogSettingsInvalidError(
                    f"With those before it, it takes {steps} steps of at most {MAX_STEPS}: "
                    "repeat less, as in {0,100}"
                )


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    options = re2.Options()
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    return re2.compile(expression, options)


def _any_of(expressions: Sequence[str]) -> Any:
    """What is found where any of them is; None: nothing so large is compiled, or there is none."""
    options = re2.Options()
    options.max_mem = _MEMORY_BYTES * max(1, len(expressions))
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile("|".join(f"(?:{one})" for one in expressions), options)
    except re2.error:
        return None


class GrownError(ValueError):
    """What stands instead of what was found is far longer than it."""


class Room:
    """How many characters more a line may get: what replaces one may be found and replaced again.

    Twenty patterns could make gigabytes of a line otherwise.
    """

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        """``size``: of the line."""
        self.left = _GROWTH * size + _LEAST_GROWTH

    def take(self, more: int) -> None:
        """Use some.

        Raises:
            GrownError: There is not so much.
        """
        self.left -= max(0, more)
        if self.left < 0:
            raise GrownError


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is looked for, how many of its first groups stay, and what stands for the rest."""

    compiled: Any
    stay: int
    instead: bytes

    def apply(self, text: bytes) -> bytes:
        """The text without it; the very same when it is not there.

        RE2's own way of replacing takes five times as long: it counts characters, all over again
        for each that it finds.
        """
        pieces: list[bytes] = []
        at = 0
        for match in self.compiled.finditer(text):
            begin, end = match.span()
            # Nothing, found between two characters or in the midst of one, is no secret.
            if begin < end:
                stays = (match.group(1 + number) for number in range(self.stay))
                pieces += (text[at:begin], *stays, self.instead)
                at = end
        return b"".join((*pieces, text[at:])) if pieces else text


class Redaction:
    """A tenant's rules, ready for use; the same text gives the same every time.

    Attributes:
        is_costly: Whether texts can be made on which they take microseconds a character.
    """

    def __init__(self, kinds: Sequence[str], patterns: Sequence[Pattern]) -> None:
        """Compile them.

        Args:
            kinds: Of :data:`KINDS`; others are passed over, as an older release's may be.
            patterns: Checked before.
        """
        found = [(name, *KINDS[name]) for name in KINDS if name in kinds]
        found += [(one.name, one.expression, 0) for one in patterns]
        self._rules = [
            _Rule(_compiled(expression), stay, f"[{name}]".encode())
            for name, expression, stay in found
        ]
        self._any = _any_of([expression for _, expression, _ in found])
        self._by_name = "credential" in kinds
        self.is_costly = sum(one.compiled.programsize for one in self._rules) > _COSTLY_STEPS

    def hide(self, value: Any) -> Any:
        """Parsed JSON without what the rules find; what would grow far too long is left out."""
        try:
            return self.value(value, Room(len(repr(value))))
        except GrownError:
            return _TOO_LONG

    def text(self, text: str, room: Room) -> str:
        """The text without what the rules find.

        Raises:
            GrownError: It would take more than the room.
        """
        given = held = text.encode()
        # Nothing is in most texts, and one pass says so of all rules.
        if self._any is not None and self._any.search(held) is None:
            return text
        for rule in self._rules:
            replaced = rule.apply(held)
            if replaced is not held:
                room.take(len(replaced) - len(held))
                held = replaced
        return text if held is given else held.decode()

    def value(self, value: Any, room: Room, depth: int = 0) -> Any:
        """The same of parsed JSON, texts and names within it.

        Raises:
            GrownError: As for :meth:`text`.
        """
        if isinstance(value, str):
            return self.text(value, room)
        if not isinstance(value, dict | list):
            return value
        if depth == _MAX_DEPTH:
            return _TOO_DEEP
        if isinstance(value, list):
            return [self.value(one, room, depth + 1) for one in value]
        return {
            name: "[credential]"
            if self._by_name and one is not None and _SECRET_NAME.search(name) is not None
            else self.value(one, room, depth + 1)
            for name, one in value.items()
        }
