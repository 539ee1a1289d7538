"""Asks once before an act that cannot be undone by the next click.

The question takes the place of the button, so nothing else can be pressed by the same habit, and
it says what will happen instead of asking whether one is sure.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st


def ask(
    key: str,
    label: str,
    *,
    will: str | Callable[[], str],
    yes: str,
    icon: str | None = None,
    danger: bool = False,
) -> bool:
    """Draw the button, or its question; return True on the run after "yes".

    Args:
        key: Unique on the page.
        label: What the button says.
        will: One or two sentences on what the act does and what it leaves alone; called when the
            question is asked, if they must be looked up.
        yes: What the confirming button says: the act itself, not "OK".
        icon: The button's icon.
        danger: Whether something or somebody is lost or kept out by it: both buttons look so.
    """
    look = f"danger-{key}" if danger else None
    place = f"{key}-asked"

    def answer(now: str) -> None:
        st.session_state[place] = now

    # The answer is taken by a callback and acted upon here: the run that acts shows the button
    # again, and not a question that was already answered. It is forgotten after the button is
    # drawn, where another click may end this run: the next one acts then.
    now = st.session_state.get(place)
    if now != "asking":
        with st.container(key=look, width="content"):
            st.button(label, key=f"{key}-start", icon=icon, on_click=answer, args=("asking",))
        if now == "yes":
            answer("")
        return now == "yes"
    with st.container(key=f"card-{key}-question"):
        said = will if isinstance(will, str) else will()
        st.html(f'<p class="es-question" role="alert">{escape(said)}</p>')
        with st.container(horizontal=True, key=look):
            st.button(yes, key=f"{key}-yes", type="primary", on_click=answer, args=("yes",))
            st.button("Keep as it is", key=f"{key}-no", on_click=answer, args=("",))
    return False


def say_after_rerun(text: str) -> None:
    """Say that something was done, on the page as it looks afterwards."""
    st.session_state["notice"] = text


def say_pending() -> None:
    """Say what ``say_after_rerun`` left; the router calls this before each page."""
    text = st.session_state.pop("notice", None)
    if isinstance(text, str):
        say(text)


def say(text: str) -> None:
    """Say what came of an act, over the page's lower edge, until the next run or some seconds.

    Streamlit's own toast is a dialog without a name to a screen reader, and lies over the buttons
    of a page's heading.
    """
    st.html(f'<p class="es-notice" role="alert">{escape(text)}</p>')
