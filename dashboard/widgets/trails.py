"""Which trail is on show: the tenant's, or the platform's own for those who may."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import pages

TENANT: Final = "This tenant"
PLATFORM: Final = "Platform"
_KEY: Final = "audit-trail"


def choose(names: list[str]) -> str:
    """Return the name of the trail on show, which is the same on every page that has several.

    Who may see one alone has nothing to choose.
    """
    if len(names) == 1:
        return names[0]
    pages.remember(_KEY)
    st.session_state.setdefault(_KEY, names[0])
    st.segmented_control("Trail", names, required=True, key=_KEY, label_visibility="collapsed")
    return str(st.session_state[_KEY])


def show(name: str) -> None:
    """Have this trail be on show when a page that has several is opened."""
    st.session_state[_KEY] = name
