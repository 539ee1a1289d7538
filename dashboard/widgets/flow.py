"""Draws jobs that wait for each other: each below those it waits for, coloured by its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import streamlit as st

from dashboard import theme
from dashboard.widgets import markup

MOST: Final = 120
"""More are told by a table alone: nobody finds anything in such a picture."""
_WIDTH, _HEIGHT, _ACROSS, _DOWN = 150, 34, 24, 42
_GREY: Final = "#8a94a3"
"""To be seen on light and on dark."""


@dataclass(frozen=True, slots=True)
class Node:
    """A job, the names of those it waits for, and how it is."""

    name: str
    state: str
    parents: Sequence[str]


def draw(title: str, nodes: Sequence[Node]) -> None:
    """Draw them; ``title`` says to who cannot see it what it is."""
    rows = _rows(nodes)
    wide = max(len(row) for row in rows)
    width = wide * (_WIDTH + _ACROSS) - _ACROSS + 4
    height = len(rows) * (_HEIGHT + _DOWN) - _DOWN + 4
    place: dict[str, tuple[float, float]] = {}
    for down, row in enumerate(rows):
        left = (width - (len(row) * (_WIDTH + _ACROSS) - _ACROSS)) / 2
        for across, node in enumerate(row):
            place[node.name] = (left + across * (_WIDTH + _ACROSS), 2 + down * (_HEIGHT + _DOWN))
    lines = "".join(_line(place, parent, node.name) for node in nodes for parent in node.parents)
    boxes = "".join(_box(place[node.name], node) for node in nodes)
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
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.state] = counts.get(node.state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _rows(nodes: Sequence[Node]) -> list[list[Node]]:
    """Each in the row after the last of its parents; what the page does not have waits for none."""
    known = {node.name: node for node in nodes}
    depth: dict[str, int] = {}

    def of(name: str) -> int:
        waiting = [name]
        while waiting:
            one = waiting[-1]
            parents = [parent for parent in known[one].parents if parent in known]
            missing = [parent for parent in parents if parent not in depth]
            if missing:
                waiting += missing
                continue
            depth[one] = max((depth[parent] + 1 for parent in parents), default=0)
            waiting.pop()
        return depth[name]

    rows: dict[int, list[Node]] = {}
    for node in nodes:
        rows.setdefault(of(node.name), []).append(node)
    return [rows[number] for number in sorted(rows)]


def _line(place: Mapping[str, tuple[float, float]], parent: str, child: str) -> str:
    if parent not in place:
        return ""
    (x1, y1), (x2, y2) = place[parent], place[child]
    x1, x2, y1 = x1 + _WIDTH / 2, x2 + _WIDTH / 2, y1 + _HEIGHT
    half = (y1 + y2) / 2
    return (
        f'<path d="M{x1:.0f},{y1:.0f} C{x1:.0f},{half:.0f} {x2:.0f},{half:.0f} {x2:.0f},{y2:.0f}"/>'
    )


def _box(at: tuple[float, float], node: Node) -> str:
    x, y = at
    colour = theme.look(node.state).color
    told = f"{escape(node.name)}: {escape(node.state)}"
    return (
        f'<span class="es-flow-box" title="{told}" style="left:{x:.0f}px;top:{y:.0f}px;'
        f'width:{_WIDTH}px;height:{_HEIGHT}px"><i style="background:{colour}"></i>'
        f"<b>{escape(node.name)}</b></span>"
    )
