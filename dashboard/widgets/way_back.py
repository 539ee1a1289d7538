"""Has the browser's Back lead to what was on show before, and to nothing in between."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import theme

_mount: Final = st.components.v2.component(
    "email_sender_way_back", js=(theme.ASSETS / "way_back.js").read_text(encoding="utf-8")
)


def keep() -> None:
    """Draw nothing, and leave out of the browser's history what Streamlit puts between pages."""
    _mount(key="way-back", data={}, height=0)
