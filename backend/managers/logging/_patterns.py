"""Lines that are alike: what stays of their messages once numbers, ids and names are left out.

A message is reduced by one expression, from the left to the right; nothing is learnt, so the same
message has the same pattern today and tomorrow, in every process. What learns patterns from a
stream (Drain, He et al., ICWS 2017) finds more of them, and others after each restart.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from backend.managers.logging._lines import LEVELS, level_of
from backend.managers.logging._search import READ, Facet, Said

LOOKED_AT: Final = 10_000
"""Lines of a stretch, and as many of those before it."""
MAX_PATTERNS: Final = 200
_SHOWN: Final = 3
_TALKERS: Final = 20
# Whatever stands first in the text counts, and of what begins at the same place the first here. No
# part looks at a character twice: a message may be anybody's.
_LEFT_OUT: Final = re.compile(
    r"""
      (?P<id>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)
    | (?P<address>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})
    | (?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?
        (?:Z|[+-]\d\d:?\d\d)?)?\b|\b\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\b)
    | (?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d{1,5})?)
    | "(?P<text>[^"]{0,500})"
    | (?P<hash>\b(?=[a-fA-F]{0,64}\d)(?=\d{0,64}[a-fA-F])[0-9a-fA-F]{8,64}\b)
    | (?P<n>\d+(?:[.,]\d+)*)
    """,
    re.VERBOSE | re.ASCII,
)
_SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Lines that are alike.

    Attributes:
        pattern: What they have in common; ``<n>``, ``<id>`` ... stand for what differs.
        count: How many.
        levels: Of which levels, the worst first.
        sources: Which say it most.
        first_at: When the first of them was, of those that were looked at.
        last_at: When the last was.
        last_id: The last line.
        example: Its message.
        is_new: Whether no line before the stretch was alike; None: there is none to compare with.
    """

    pattern: str
    count: int
    levels: Sequence[Facet]
    sources: Sequence[Facet]
    first_at: datetime
    last_at: datetime
    last_id: str
    example: str
    is_new: bool | None


@dataclass(frozen=True, slots=True)
class Talker:
    """A source, how many of the lines are its own, and how many bytes their messages have."""

    source: str
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Patterns:
    """What lines come to.

    Attributes:
        items: Those of most lines first.
        patterns: How many there are.
        looked_at: How many lines they are made of.
        complete: Whether these are all lines of the stretch; else the newest.
        compared: How many lines before the stretch were compared with.
        compared_since: When the first of these was; None: there is none.
        talkers: Sources, those of most lines first.
    """

    items: Sequence[Pattern]
    patterns: int
    looked_at: int
    complete: bool
    compared: int
    compared_since: datetime | None
    talkers: Sequence[Talker]


@dataclass(slots=True)
class _Group:
    last: Said
    first_at: datetime
    levels: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)


def pattern_of(message: str) -> str:
    """What stays of a message: of its beginning, at most 500 characters."""
    said = _LEFT_OUT.sub(_placeholder, message[:READ])
    return _SPACES.sub(" ", said).strip()


def _placeholder(found: re.Match[str]) -> str:
    name = found.lastgroup
    if name == "text":
        return '"<text>"'
    return "<id>" if name == "hash" else f"<{name}>"


def find_patterns(
    lines: Sequence[Said], before: Sequence[Said], *, complete: bool, limit: int, only_new: bool
) -> Patterns:
    """What the lines have in common, the newest of them first as they were read.

    Args:
        lines: Of the stretch.
        before: Of the time before it.
        complete: Whether these are all lines of the stretch.
        limit: How many patterns at most.
        only_new: Those alone that no line before was like.
    """
    groups: dict[str, _Group] = {}
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for line in lines:
        pattern = pattern_of(line.message)
        group = groups.get(pattern)
        if group is None:
            group = groups[pattern] = _Group(line, line.at)
        group.first_at = line.at
        group.levels[level_of(line.severity)] += 1
        group.sources[line.source] += 1
        counts[line.source] += 1
        sizes[line.source] += line.size_bytes
    known = {pattern_of(line.message) for line in before}
    new = {pattern for pattern in groups if pattern not in known} if before else set()
    shown = [one for one in groups.items() if not only_new or one[0] in new]
    shown.sort(key=lambda one: (-one[1].levels.total(), one[0]))
    return Patterns(
        items=[
            Pattern(
                pattern=pattern,
                count=group.levels.total(),
                levels=list(_worst_first(group.levels)),
                sources=[Facet(*one) for one in group.sources.most_common(_SHOWN)],
                first_at=group.first_at,
                last_at=group.last.at,
                last_id=group.last.id,
                example=group.last.message[:READ],
                is_new=pattern in new if before else None,
            )
            for pattern, group in shown[:limit]
        ],
        patterns=len(shown),
        looked_at=len(lines),
        complete=complete,
        compared=len(before),
        compared_since=before[-1].at if before else None,
        talkers=[Talker(name, count, sizes[name]) for name, count in counts.most_common(_TALKERS)],
    )


def _worst_first(levels: Counter[str]) -> Iterable[Facet]:
    known: Sequence[Any] = list(LEVELS)
    return (Facet(name, levels[name]) for name in reversed(known) if name in levels)
