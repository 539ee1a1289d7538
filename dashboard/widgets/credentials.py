"""Credentials of programs, API clients and API keys alike: made for a role, shown once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Final

import streamlit as st

from dashboard import state
from dashboard.widgets import markup, new, problems

_END_OF_DAY: Final = time(23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the form asks for; ``expires_at`` is None for a credential that does not expire."""

    name: str
    role: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential's name and its parts, each with the name it has where it is pasted."""

    name: str
    parts: tuple[tuple[str, str], ...] = field(repr=False)


def form(
    key: str,
    noun: str,
    make: Callable[[Wanted], Secret],
    *,
    example: str,
    role: str,
    expires: bool = False,
) -> None:
    """Draw the form of a new credential when it is open, and make what it asks for.

    Args:
        key: The page's, as everywhere.
        noun: What is made, as in "Create client".
        make: Makes it.
        example: A name, to show what names are like.
        role: The one chosen at first.
        expires: Whether a last day may be set.
    """
    if not new.asked(key):
        return
    with problems.guard():
        roles = state.current().api.list_roles().items
        with new.form(key, f"New {noun}", f"Create {noun}") as asked:
            name = st.text_input("Name", key=f"{key}-name", placeholder=example)
            chosen = new.role(key, roles, role)
            last = _last_day(key) if expires else None
        if not asked.sent:
            return
        with asked.card, problems.guard():
            if not name.strip() or not chosen:
                st.warning("It needs a name and a role.")
                return
            show(
                key,
                make(
                    Wanted(
                        name=name.strip(),
                        role=chosen,
                        expires_at=datetime.combine(last, _END_OF_DAY) if last else None,
                    )
                ),
            )
            new.done(key)


def show(key: str, secret: Secret) -> None:
    """Have ``draw`` show this secret from the next run on."""
    st.session_state[f"{key}-secret"] = secret


def draw(key: str) -> None:
    """Draw the secret that was just made, until the person says they have it."""
    secret = st.session_state.get(f"{key}-secret")
    if not isinstance(secret, Secret):
        return
    with st.container(key=f"card-{key}-secret"):
        markup.section(f"Credentials of {secret.name}")
        markup.note("Shown this once. Copy what you need now, to where it will be used.")
        for label, value in secret.parts:
            with st.container(gap="xxsmall"):
                markup.label(label)
                st.code(value, language=None, wrap_lines=True)
        st.button(
            "I have copied it", key=f"{key}-copied", type="primary", on_click=_forget, args=(key,)
        )


def _last_day(key: str) -> date | None:
    return st.date_input(
        "Last day (optional)",
        value=None,
        key=f"{key}-last-day",
        format="YYYY-MM-DD",
        help="It works until the end of this day, UTC. Without one it works until it is revoked.",
    )


def _forget(key: str) -> None:
    st.session_state.pop(f"{key}-secret", None)
