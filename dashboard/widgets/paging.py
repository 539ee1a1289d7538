"""Pages of a list by cursor: forward with the API's cursor, back with the ones already seen.

Cursors belong to a filter. Changing the filter starts at the first page, because a cursor of
another filter would land anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from dashboard.widgets import markup


@dataclass(slots=True)
class Place:
    """Where in a list the session is: the filter, and the cursors on the way here."""

    filter: tuple[str | None, ...]
    trail: list[str | None] = field(default_factory=lambda: [None])

    @property
    def cursor(self) -> str | None:
        """The cursor of the page on show; None for the first."""
        return self.trail[-1]


def place(key: str, *filters: str | None) -> Place:
    """Return the list's place, at its first page when the filters are new."""
    found = st.session_state.get(key)
    if isinstance(found, Place) and found.filter == filters:
        return found
    made = Place(filter=filters)
    st.session_state[key] = made
    return made


def buttons(
    key: str,
    here: Place,
    next_cursor: str | None,
    count: int,
    words: tuple[str, str] = ("Newer", "Older"),
) -> None:
    """Draw where we are and the ways on; nothing when one page is all there is.

    ``words`` say what is on the page before and on the next one.
    """
    if len(here.trail) == 1 and next_cursor is None:
        markup.note(f"{count:,} shown. That is all.")
        return

    def newer() -> None:
        here.trail.pop()

    def older() -> None:
        here.trail.append(next_cursor)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            words[0],
            key=f"{key}-newer",
            icon=":material/chevron_left:",
            disabled=len(here.trail) == 1,
            on_click=newer,
        )
        st.button(
            words[1],
            key=f"{key}-older",
            icon=":material/chevron_right:",
            icon_position="right",
            disabled=next_cursor is None,
            on_click=older,
        )
        markup.note(f"Page {len(here.trail)}, {count:,} shown.")
