"""What is most of a list: values with their counts, each a press away from being the filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import streamlit as st

from dashboard.widgets import markup

_OFFERED: Final = 8


def draw(
    widget: str,
    label: str,
    counts: Mapping[str, int],
    *,
    name: Callable[[str], str] = str,
    chosen: Callable[[], None] = lambda: None,
) -> None:
    """Draw the first values with their counts; choosing one sets a filter to it, again to nothing.

    Args:
        widget: The key of the filter.
        label: What stands above them.
        counts: By value, most first.
        name: What a value is called.
        chosen: Told after the filter was set.
    """
    offered = dict(list(counts.items())[:_OFFERED])
    key = f"{widget}-pills"

    def choose() -> None:
        st.session_state[widget] = str(st.session_state[key] or "")
        chosen()

    now = str(st.session_state.get(widget) or "")
    st.session_state[key] = now if now in offered else None
    if offered:
        st.pills(
            label,
            list(offered),
            key=key,
            format_func=lambda value: f"{name(value)} · {offered.get(value, 0):,}",
            on_change=choose,
        )
    else:
        markup.label(label)
        markup.note("None in this time.")
