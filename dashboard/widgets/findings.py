"""The verdict: how it is in one sentence, and each reason with the way to its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlsplit

import streamlit as st

from dashboard import state
from dashboard.client import models
from dashboard.widgets import markup

_LOOKS: Final = {
    "ok": ("green", "Well"),
    "idle": ("gray", "Quiet"),
    "warning": ("amber", "Look here"),
    "unknown": ("violet", "Not known"),
    "critical": ("red", "Act now"),
}
_PAGES: Final = {
    "status": ("Status", "status:read"),
    "jobs": ("Jobs", "job:read"),
    "job_graphs": ("Job graphs", "job:read"),
    "emails": ("E-mails", "email:read"),
    "traces": ("Traces", "trace:read"),
    "logs": ("Logs", "log:read"),
    "slos": ("Objectives", "slo:read"),
    "incidents": ("Incidents", "incident:read"),
    "api_keys": ("API keys", "api_key:read"),
    "clients": ("API clients", "client:read"),
    "tenants": ("Tenants", "platform:read"),
}
"""Where addresses lead: what the page is called, and who has it."""


class Cause(Protocol):
    """What the verdict and each of its further causes have in common."""

    @property
    def severity(self) -> str:
        """How bad."""

    @property
    def sentence(self) -> str:
        """For people."""

    @property
    def address(self) -> str:
        """Of the page that shows the rows."""


def draw(key: str, verdict: models.VerdictOut) -> None:
    """Draw the sentence, the way to its rows, and below what else is wrong."""
    _line(f"{key}-0", verdict)
    for at, other in enumerate(verdict.others, start=1):
        _line(f"{key}-{at}", other)


def way(address: str, label: str = "") -> None:
    """Draw the link to an address of the console, for who has that page.

    No button that goes there: what it leads to can also be opened beside this page.
    """
    parts = urlsplit(address)
    title, permission = _PAGES.get(parts.path.strip("/"), ("", ""))
    if not title or not state.current().can(permission):
        return
    st.page_link(
        f"views/{parts.path.strip('/')}.py",
        label=label or f"Open {title}",
        icon=":material/arrow_forward:",
        query_params=state.address(**dict(parse_qsl(parts.query))),
        width="content",
    )


def ways(key: str, addresses: Sequence[tuple[str, str]]) -> None:
    """Draw several links in a row: addresses with what they say."""
    with st.container(horizontal=True, key=f"ways-{key}"):
        for address, label in addresses:
            way(address, label)


def _line(key: str, cause: Cause) -> None:
    tone, word = _LOOKS.get(cause.severity, ("gray", cause.severity))
    with st.container(key=f"finding-{key}", horizontal=True, vertical_alignment="center"):
        markup.status(tone, word, cause.sentence)
        if cause.severity != "ok":
            way(cause.address)
