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
_MEMORY_BYTES: Final = 256 * 1024
_MAX_DEPTH: Final = 32

_SECRETS: Final = "password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|client[_-]?secret"

KINDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "credential": (
            rf"(?i)\b({_SECRETS})(\"?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&}}\"']+)",
            r"\1\2[credential]",
        ),
        "bearer_token": (r"(?i)\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{8,}", r"\1\2[bearer_token]"),
        "jwt": (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "[jwt]"),
        "private_key": (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(-----END [A-Z ]*PRIVATE KEY-----)?",
            "[private_key]",
        ),
        "email_address": (
            r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}@[a-z0-9.-]{1,190}\.[a-z]{2,24}\b",
            "[email_address]",
        ),
        "ip_address": (r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b", "[ip_address]"),
        "card_number": (r"\b[3-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{2,4}\b", "[card_number]"),
    }
)
"""Kinds that a tenant names: what they look like, and what stands there instead."""

USUAL: Final = ("credential", "bearer_token", "jwt", "private_key")
"""Those of a tenant that has said nothing: what lets somebody in is nobody's to read in logs."""

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
        LogSettingsInvalidError: One is no expression, too large, or finds something in nothing.
    """
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


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    options = re2.Options()
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    return re2.compile(expression, options)


class Redaction:
    """A tenant's rules, ready for use; the same text gives the same every time."""

    def __init__(self, kinds: Sequence[str], patterns: Sequence[Pattern]) -> None:
        """Compile them.

        Args:
            kinds: Of :data:`KINDS`; others are passed over, as an older release's may be.
            patterns: Checked before.
        """
        found = [KINDS[name] for name in KINDS if name in kinds]
        found += [(one.expression, f"[{one.name}]") for one in patterns]
        self._rules = [(_compiled(expression), instead) for expression, instead in found]
        self._by_name = "credential" in kinds

    def text(self, text: str) -> str:
        """The text without what the rules find."""
        for pattern, replacement in self._rules:
            # Its own way of replacing is written in Python; most lines have nothing to replace.
            if pattern.search(text) is not None:
                text = pattern.sub(replacement, text)
        return text

    def value(self, value: Any, depth: int = 0) -> Any:
        """The same of parsed JSON, texts and names within it."""
        if isinstance(value, str):
            return self.text(value)
        if depth < _MAX_DEPTH:
            if isinstance(value, dict):
                return {
                    name: "[credential]"
                    if self._by_name and one is not None and _SECRET_NAME.search(name) is not None
                    else self.value(one, depth + 1)
                    for name, one in value.items()
                }
            if isinstance(value, list):
                return [self.value(one, depth + 1) for one in value]
        return value
