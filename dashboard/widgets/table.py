"""A list of things as a real HTML table whose rows can be opened.

Streamlit's own table is drawn on a canvas: fast, but its state badges, focus order and text are
out of reach of a screen reader and of the console's style. A page of fifty rows needs no canvas.
Cells are put in as text by the script, never as markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple

import streamlit as st

from dashboard import theme

Kind = Literal["text", "strong", "code", "badge", "number", "time", "prose"]


class Column(NamedTuple):
    """A column: the row's key, what is written above it, and how its cells look.

    ``title`` is the row's key of what a resting pointer is told.
    """

    key: str
    label: str
    kind: Kind = "text"
    title: str = ""


_mount: Final = st.components.v2.component(
    "email_sender_table",
    css=(theme.ASSETS / "table.css").read_text(encoding="utf-8"),
    js=(theme.ASSETS / "table.js").read_text(encoding="utf-8"),
)


def draw(
    key: str,
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, str]],
    *,
    opens: bool = False,
    group: str = "",
) -> str | None:
    """Draw the table and return the id of the row that was just opened.

    Args:
        key: Unique on the page.
        caption: Names the table to a screen reader.
        columns: Left to right; the first one is the row's heading and holds the opening button.
        rows: Text by column key; ``id`` names the row when ``opens``.
        opens: Whether rows can be opened. The id is returned once.
        group: The row's key of what rows in a row have in common. Each group has a heading that
            folds it; on a phone all begin folded.
    """
    tones = {
        row[column.key]: theme.look(row[column.key]).tone
        for column in columns
        if column.kind == "badge"
        for row in rows
    }
    _mount(
        key=key,
        data={
            "caption": caption,
            "opens": opens,
            "group": group,
            "columns": [column._asdict() for column in columns],
            "rows": [dict(row) for row in rows],
            "tones": tones,
        },
        on_opened_change=partial(_note, key),
    )
    opened = st.session_state.pop(f"{key}-opened", None)
    return opened if opens and isinstance(opened, str) else None


def _note(key: str) -> None:
    """Keep what a click opened until a run gets to the table.

    Streamlit hands a click to one run alone, and another click ends that run wherever it is.
    """
    st.session_state[f"{key}-opened"] = st.session_state[key]["opened"]
