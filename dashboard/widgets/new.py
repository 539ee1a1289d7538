"""The way to a new thing: a button in the page's heading, and the card with its form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import client
from dashboard.widgets import confirm, markup


@dataclass(slots=True)
class Form:
    """A form that was drawn: its card, for what is to be said about it, and whether it was sent."""

    card: DeltaGenerator
    sent: bool = False


def button(key: str, label: str, icon: str = ":material/add:") -> None:
    """Draw the button that opens the form."""
    st.button(label, key=f"{key}-new", type="primary", icon=icon, on_click=_open, args=(key,))


def asked(key: str) -> bool:
    """Whether the form is open."""
    return bool(st.session_state.get(f"{key}-making"))


@contextmanager
def form(key: str, title: str, submit: str) -> Iterator[Form]:
    """Draw the form around the block's fields; ``sent`` is known after the block."""
    drawn = Form(st.container(key=f"card-{key}-new"))
    with drawn.card:
        markup.section(title)
        with st.form(f"{key}-form", border=False):
            yield drawn
            with st.container(horizontal=True):
                drawn.sent = st.form_submit_button(submit, type="primary")
                st.form_submit_button("Close", on_click=_close, args=(key,))


def role(key: str, roles: Sequence[client.models.RoleOut], usual: str) -> str | None:
    """Draw the choice of a role in a form, at first ``usual``: the mightiest is no default."""
    names = [role.name for role in roles]
    return st.selectbox(
        "Role", names, index=names.index(usual) if usual in names else 0, key=f"{key}-role"
    )


def done(key: str, said: str = "") -> None:
    """Close the form, draw the page anew and say what was done on it."""
    _close(key)
    if said:
        confirm.say_after_rerun(said)
    st.rerun()


def _open(key: str) -> None:
    st.session_state[f"{key}-making"] = True


def _close(key: str) -> None:
    st.session_state[f"{key}-making"] = False
