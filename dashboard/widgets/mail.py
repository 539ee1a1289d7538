"""Shows the HTML of a message without trusting it.

Three walls, each enough by itself: the frame is sandboxed with no permission at all (no script, no
form, no navigation, an origin of its own); the frame's document starts with a policy that loads
nothing from anywhere; and the page around it has a policy that its frames inherit.
"""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import theme

_POLICY: Final = (
    '<!doctype html><html lang=""><head><meta charset="utf-8">'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "img-src data:; style-src 'unsafe-inline'; font-src data:; form-action 'none'\">"
    '<meta name="referrer" content="no-referrer"><title>Message</title>'
    "<style>html{color-scheme:light}"
    "body{margin:16px;background:#fff;color:#16202e;font:15px/1.5 sans-serif}</style></head>"
)

_mount: Final = st.components.v2.component(
    "email_sender_message",
    css=(theme.ASSETS / "message.css").read_text(encoding="utf-8"),
    js=(theme.ASSETS / "message.js").read_text(encoding="utf-8"),
)


def document(html: str) -> str:
    """Return the frame's document: the policy first, then the message as it is.

    A parser applies the policy when it meets it, so whatever the message brings, another policy
    included, can only take more away.
    """
    return _POLICY + html


def draw(key: str, title: str, html: str, *, height: int = 420) -> None:
    """Draw the message in its frame.

    Args:
        key: Unique on the page.
        title: Names the frame to a screen reader.
        html: The message's HTML, untrusted.
        height: Pixels; the frame scrolls.
    """
    _mount(key=key, data={"title": title, "document": document(html), "height": height})
