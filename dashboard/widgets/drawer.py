"""Folds the sidebar away on a narrow screen, where it lies over the page.

Streamlit folds it when one of its own links was pressed on what calls itself a phone. Ours are
others, and a narrow window has the same need.
"""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import theme

_mount: Final = st.components.v2.component(
    "email_sender_drawer", js=(theme.ASSETS / "drawer.js").read_text(encoding="utf-8")
)


def close_after(place: str) -> None:
    """Draw nothing, and fold the sidebar away whenever ``place`` is another than before.

    Args:
        place: Names what is on show: the page and the tenant.
    """
    _mount(key="drawer", data={"place": place}, height=0)
