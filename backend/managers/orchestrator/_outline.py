"""A graph in so few boxes that somebody can look at it: what is alike stands together."""

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.managers.orchestrator._advance import BY_GRAPH, parents_of
from backend.managers.orchestrator.models import JobRow

MOST: Final = 120
"""Boxes: in a picture of more nobody finds anything."""
_SHORTEST: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """A job of a graph, as far as a picture needs it; ``before`` are ids of whom it waits for."""

    id: str
    name: str
    kind: str
    state: str
    before: Sequence[str]


@dataclass(frozen=True, slots=True)
class Box:
    """Jobs of a graph that stand together.

    Attributes:
        name: Of the one, or what theirs begin with and an ellipsis.
        kind: Of all of them; None: they are of several.
        size: How many they are.
        by_state: How many by their present state.
        after: Places, in the outline, of boxes with whom some of them wait for.
    """

    name: str
    kind: str | None
    size: int
    by_state: Mapping[str, int]
    after: Sequence[int]


def outline(parts: Sequence[Part], most: int = MOST) -> list[Box]:
    """At most ``most`` boxes, each after all that it waits for.

    Each job has its own if there is room. Else those share one that are of a kind and wait for the
    same boxes; else those that are equally far from the beginning; else those of several such
    steps in a row.
    """
    ordered, step = _in_order(parts)
    steps = max(step.values(), default=0) + 1
    shares: tuple[Callable[[Part, frozenset[int]], Hashable], ...] = (
        lambda one, _: one.id,
        lambda one, before: (one.kind, step[one.id], before),
        lambda one, _: step[one.id],
        lambda one, _: step[one.id] * most // steps,
    )
    boxes: list[Box] = []
    for share in shares[len(parts) > most :]:
        boxes = _group(ordered, share)
        if len(boxes) <= most:
            break
    return boxes


def _in_order(parts: Sequence[Part]) -> tuple[list[Part], dict[str, int]]:
    """All of them after whom they wait for, and how many stand at most before each in a row."""
    known = {one.id: one for one in parts}
    waits = {one.id: sum(each in known for each in one.before) for one in parts}
    after: dict[str, list[Part]] = {}
    for one in parts:
        for each in one.before:
            after.setdefault(each, []).append(one)
    step = {one.id: 0 for one in parts if not waits[one.id]}
    ordered = [known[each] for each in step]
    for one in ordered:
        for later in after.get(one.id, ()):
            step[later.id] = max(step.get(later.id, 0), step[one.id] + 1)
            waits[later.id] -= 1
            if not waits[later.id]:
                ordered.append(later)
    # Not as found: those of a later box could come before one of an earlier one.
    return sorted(ordered, key=lambda one: step[one.id]), step


def _group(ordered: Sequence[Part], share: Callable[[Part, frozenset[int]], Hashable]) -> list[Box]:
    """A box for each value of ``share``, which is told the boxes that a job waits for."""
    place: dict[Hashable, int] = {}
    of: dict[str, int] = {}
    members: list[list[Part]] = []
    after: list[set[int]] = []
    for one in ordered:
        before = frozenset(of[each] for each in one.before if each in of)
        mine = place.setdefault(share(one, before), len(members))
        if mine == len(members):
            members.append([])
            after.append(set())
        members[mine].append(one)
        of[one.id] = mine
        after[mine] |= before - {mine}
    return [
        Box(
            name=_name([one.name for one in some]),
            kind=some[0].kind if len({one.kind for one in some}) == 1 else None,
            size=len(some),
            by_state=Counter(one.state for one in some),
            after=sorted(waits),
        )
        for some, waits in zip(members, after, strict=True)
    ]


def _name(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    first, last = min(names), max(names)
    same = itertools.takewhile(lambda both: both[0] == both[1], zip(first, last, strict=False))
    alike = "".join(letter for letter, _ in same)
    return f"{alike if len(alike) >= _SHORTEST else names[0]}\N{HORIZONTAL ELLIPSIS}"


async def read_outline(tx: ReadTx, graph_id: str) -> Callable[[], list[Box]]:
    """What finds the outline of one of the tenant's graphs, from what was read of it."""
    rows = (
        await tx.execute(
            sa.select(JobRow.id, JobRow.key, JobRow.kind, JobRow.state, JobRow.part_of)
            .with_hint(JobRow, BY_GRAPH, "sqlite")
            .where(JobRow.tenant_id == tx.tenant_id, JobRow.graph_id == graph_id)
            .order_by(JobRow.id)
        )
    ).all()
    before = await parents_of(tx, [row.id for row in rows])
    return lambda: outline(list(_parts(rows, before)))


def _parts(rows: Sequence[Any], before: Mapping[str, Sequence[str]]) -> Iterator[Part]:
    """Who stands for others comes after these, and they after whom it waits for."""
    whole_of = {row.id: row.part_of for row in rows}
    for row in rows:
        waits = list(before.get(row.id, ()))
        whole = row.part_of
        if any(whole_of.get(one) == row.id for one in waits):
            waits = [one for one in waits if whole_of.get(one) == row.id]
        elif whole is not None and row.id in before.get(whole, ()):
            waits += [one for one in before[whole] if whole_of.get(one) != whole]
        elif whole is not None:
            waits.append(whole)
        yield Part(row.id, row.key or "", row.kind, row.state, waits)
