"""Draws boxes of jobs that wait for each other: each below those it waits for, in its colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import streamlit as st

from dashboard import theme
from dashboard.widgets import markup

_WIDTH, _HEIGHT, _ACROSS, _DOWN = 150, 34, 24, 42
_GREY: Final = "#8a94a3"
"""To be seen on light and on dark."""


@dataclass(frozen=True, slots=True)
class Node:
    """A box of one job or several: how many of them are how, and the places of boxes before it."""

    name: str
    states: Mapping[str, int]
    parents: Sequence[int]

    @property
    def size(self) -> int:
        """How many jobs stand in it."""
        return sum(self.states.values())


def draw(title: str, nodes: Sequence[Node]) -> None:
    """Draw them, each after its parents; ``title`` says to who cannot see it what it is."""
    rows = _rows(nodes)
    wide = max(len(row) for row in rows)
    width = wide * (_WIDTH + _ACROSS) - _ACROSS + 4
    height = len(rows) * (_HEIGHT + _DOWN) - _DOWN + 4
    place: dict[int, tuple[float, float]] = {}
    for down, row in enumerate(rows):
        left = (width - (len(row) * (_WIDTH + _ACROSS) - _ACROSS)) / 2
        for across, number in enumerate(row):
            place[number] = (left + across * (_WIDTH + _ACROSS), 2 + down * (_HEIGHT + _DOWN))
    lines = "".join(
        _line(place[parent], place[number])
        for number, node in enumerate(nodes)
        for parent in node.parents
    )
    boxes = "".join(_box(place[number], node) for number, node in enumerate(nodes))
    said = escape(f"{title}: {_in_words(nodes)}", quote=True)
    # The lines alone are a picture: st.html takes the element away, and an image has no theme.
    picture = markup.as_image(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'fill="none" stroke="{_GREY}" stroke-width="1.5">{lines}</svg>'
    )
    st.html(
        f'<div class="es-flow" role="img" aria-label="{said}" tabindex="0">'
        f'<div style="width:{width:.0f}px;height:{height:.0f}px">'
        f'<img src="{picture}" alt="">{boxes}</div></div>'
    )


def _in_words(nodes: Sequence[Node]) -> str:
    counts: Counter[str] = Counter()
    for node in nodes:
        counts.update(node.states)
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())


def _rows(nodes: Sequence[Node]) -> list[list[int]]:
    """Places of boxes, each in the row after the last of its parents."""
    depth: list[int] = []
    rows: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        depth.append(max((depth[parent] + 1 for parent in node.parents), default=0))
        rows.setdefault(depth[number], []).append(number)
    return [rows[each] for each in sorted(rows)]


def _line(above: tuple[float, float], below: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = above, below
    x1, x2, y1 = x1 + _WIDTH / 2, x2 + _WIDTH / 2, y1 + _HEIGHT
    half = (y1 + y2) / 2
    return (
        f'<path d="M{x1:.0f},{y1:.0f} C{x1:.0f},{half:.0f} {x2:.0f},{half:.0f} {x2:.0f},{y2:.0f}"/>'
    )


def _box(at: tuple[float, float], node: Node) -> str:
    x, y = at
    said = ", ".join(f"{count:,} {state}" for state, count in sorted(node.states.items()))
    told = f"{escape(node.name)}: {escape(said if node.size > 1 else next(iter(node.states)))}"
    count = f"<em>{node.size:,}</em>" if node.size > 1 else ""
    return (
        f'<span class="es-flow-box" title="{told}" style="left:{x:.0f}px;top:{y:.0f}px;'
        f'width:{_WIDTH}px;height:{_HEIGHT}px"><i style="background:{_colours(node)}"></i>'
        f"<b>{escape(node.name)}</b>{count}</span>"
    )


def _colours(node: Node) -> str:
    """Of its jobs' states, each as much of the disc as there are of it."""
    parts, until = [], 0.0
    for state, count in sorted(node.states.items()):
        since, until = until, until + 100 * count / node.size
        parts.append(f"{theme.look(state).color} {since:.1f}% {until:.1f}%")
    return f"conic-gradient({','.join(parts)})"
