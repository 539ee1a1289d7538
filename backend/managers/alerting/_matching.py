"""Labels, and what is asked of them: matchers as Alertmanager writes them.

Regular expressions are RE2's (https://github.com/google/re2), which takes time linear in a value,
and have to match all of it. A label that is not there is an empty one.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, get_args

import re2

from backend.managers.alerting.errors import MatcherInvalidError

Operator = Literal["=", "!=", "=~", "!~"]
OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)
MAX_LABEL: Final = 100
MAX_VALUE: Final = 500
_MEMORY_BYTES: Final = 256 * 1024
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*", re.ASCII)
_WRITTEN: Final = re.compile(
    r"""\s*(?P<name>[a-zA-Z_][a-zA-Z0-9_.]*)\s*(?P<operator>=~|!~|!=|=)\s*
    (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>(?:[^\s,"{}=~!][^\s,"{}]*)?))\s*(?:,|$)""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """What one label has to be, or not to be."""

    name: str
    operator: Operator
    value: str

    def __post_init__(self) -> None:
        if not is_label(self.name):
            raise MatcherInvalidError(
                "A label begins with a letter or _, goes on with these, digits and dots, and has "
                f"at most {MAX_LABEL} characters"
            )
        if len(self.value) > MAX_VALUE:
            raise MatcherInvalidError(f"A value has at most {MAX_VALUE} characters")
        if self.operator.endswith("~"):
            _compiled(self.value)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels are what is asked for."""
        value = labels.get(self.name, "")
        if self.operator.endswith("~"):
            found = _compiled(self.value).fullmatch(value) is not None
        else:
            found = value == self.value
        return found is not self.operator.startswith("!")

    def __str__(self) -> str:
        """As it is written."""
        value = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.operator}"{value}"'


def is_label(name: str) -> bool:
    """Whether a label may be called so."""
    return len(name) <= MAX_LABEL and _NAME.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> Any:
    options = re2.Options()
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as exc:
        said = exc.args[0].decode(errors="replace") if exc.args else ""
        raise MatcherInvalidError(f"Not a regular expression of RE2: {said}") from None


def read_matchers(text: str) -> Sequence[Matcher]:
    """Matchers as they are written: ``{severity="critical", team=~"db|web"}``, braces or none.

    Raises:
        MatcherInvalidError: It is something else.
    """
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    found: list[Matcher] = []
    place = 0
    while place < len(inner):
        match = _WRITTEN.match(inner, place)
        if match is None:
            raise MatcherInvalidError(f'Write name="value": {inner[place : place + 40]!r} is none')
        value = match["bare"]
        if value is None:
            value = re.sub(
                r"\\(.)", lambda one: _ESCAPES.get(one[1], one[0]), match["quoted"], flags=re.DOTALL
            )
        found.append(Matcher(match["name"], match["operator"], value))  # type: ignore[arg-type]  # the expression has no others
        place = match.end()
    return found


def match_all(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether labels are what every matcher asks for."""
    return all(matcher.matches(labels) for matcher in matchers)


def fingerprint(rule: str, labels: Mapping[str, str]) -> str:
    """One identity for an alert, whatever raises it: 32 hexadecimal digits."""
    said = json.dumps([rule, sorted(labels.items())], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:32]
