"""How the console looks: one palette, light and dark, and Streamlit's theme made of it.

Deep ink for the frame, teal for what can be pressed, and one colour per state. Every pair of text
and ground below reaches a contrast of 4.5; the bars, which carry their name and number, 2.5.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final, NamedTuple

import streamlit as st

from dashboard.client import VALUES

ASSETS: Final = Path(__file__).parent / "assets"
MARK: Final = ASSETS / "mark.svg"
PRODUCT: Final = "Email Sender"


class Look(NamedTuple):
    """What a state looks like: a tone for its badge and a colour for its bar in a chart."""

    tone: str
    color: str


_NEUTRAL: Final = Look("gray", "#7C8AA0")

STATES: Final[dict[str, Look]] = {
    # e-mails
    "queued": Look("blue", "#5B8DEF"),
    "sending": Look("violet", "#8B7CF0"),
    "accepted": Look("green", "#1FA97A"),
    "deferred": Look("amber", "#D08A1D"),
    "bounced": Look("red", "#E0555F"),
    "partial": Look("amber", "#D9703A"),
    "cancelled": _NEUTRAL,
    "suppressed": Look("gray", "#9A8FB0"),
    # what the platform needs
    "works": Look("green", "#1FA97A"),
    "fails": Look("red", "#E0555F"),
    # objectives
    "met": Look("green", "#1FA97A"),
    "at risk": Look("amber", "#D08A1D"),
    "missed": Look("red", "#E0555F"),
    "not measured": _NEUTRAL,
    "holds": Look("green", "#1FA97A"),
    "burns": Look("red", "#E0555F"),
    # mail servers
    "ok": Look("green", "#1FA97A"),
    "slowed": Look("amber", "#D08A1D"),
    "paused": Look("amber", "#D08A1D"),
    # jobs
    "blocked": Look("gray", "#9A8FB0"),
    "ready": Look("blue", "#5B8DEF"),
    "running": Look("violet", "#8B7CF0"),
    "awaiting": Look("amber", "#D08A1D"),
    "succeeded": Look("green", "#1FA97A"),
    "dead": Look("red", "#E0555F"),
    "skipped": _NEUTRAL,
    "crashed": Look("red", "#E0555F"),
    # workers
    "working": Look("green", "#1FA97A"),
    "draining": Look("amber", "#D08A1D"),
    "drained": Look("blue", "#5B8DEF"),
    "silent": Look("red", "#E0555F"),
    # schedules of jobs
    "on": Look("green", "#1FA97A"),
    "ran": Look("green", "#1FA97A"),
    "late": Look("amber", "#D08A1D"),
    # keys
    "due soon": Look("amber", "#D08A1D"),
    # data keys
    "pending": Look("blue", "#5B8DEF"),
    "current": Look("green", "#1FA97A"),
    "old": _NEUTRAL,
    # versions of secrets, and what became of their keys
    "live": Look("green", "#1FA97A"),
    "ends soon": Look("amber", "#D08A1D"),
    "deleted": Look("amber", "#D08A1D"),
    "destroyed": Look("gray", "#9A8FB0"),
    "added": Look("green", "#1FA97A"),
    "removed": Look("red", "#E0555F"),
    "changed": Look("amber", "#D08A1D"),
    "same": _NEUTRAL,
    # the audit trail
    "published": Look("green", "#1FA97A"),
    "signed": Look("blue", "#5B8DEF"),
    "held": Look("green", "#1FA97A"),
    "waiting": Look("blue", "#5B8DEF"),
    "failed": Look("red", "#E0555F"),
    "stopped": _NEUTRAL,
    # people who are erased
    "complete": Look("green", "#1FA97A"),
    # levels of log lines
    "trace": Look("gray", "#9A8FB0"),
    "debug": _NEUTRAL,
    "info": Look("blue", "#5B8DEF"),
    "warn": Look("amber", "#D08A1D"),
    "error": Look("red", "#E0555F"),
    "fatal": Look("violet", "#B5179E"),
    # webhooks, and what came of their deliveries
    "delivering": Look("green", "#1FA97A"),
    "failing": Look("amber", "#D08A1D"),
    "given up": Look("red", "#E0555F"),
    "delivered": Look("green", "#1FA97A"),
    "refused": Look("red", "#E0555F"),
    # alerts, a Prometheus's as well
    "firing": Look("red", "#E0555F"),
    "critical": Look("red", "#E0555F"),
    "warning": Look("amber", "#D08A1D"),
    "acknowledged": Look("blue", "#5B8DEF"),
    "over": _NEUTRAL,
    # tenants
    "active": Look("green", "#1FA97A"),
    "suspended": Look("amber", "#D08A1D"),
    "deleting": Look("red", "#E0555F"),
    # invitations
    "open": Look("blue", "#5B8DEF"),
    "revoked": _NEUTRAL,
    "expired": Look("amber", "#D08A1D"),
    # API clients, people
    "disabled": _NEUTRAL,
}

EMAIL_STATES: Final = (
    "queued",
    "sending",
    "accepted",
    "deferred",
    "partial",
    "bounced",
    "suppressed",
    "cancelled",
)
LOG_LEVELS: Final = ("trace", "debug", "info", "warn", "error", "fatal")
JOB_STATES: Final = VALUES["list_jobs.state"]


def look(state: str) -> Look:
    """Return a state's look; a state this console does not know is shown in gray, not hidden."""
    return STATES.get(state, _NEUTRAL)


def mark() -> str:
    """Return the product's mark as the address of an image, for HTML."""
    return "data:image/svg+xml;base64," + base64.b64encode(MARK.read_bytes()).decode()


def apply() -> None:
    """Put the console's style sheet into the page."""
    st.html(ASSETS / "console.css")


_SIDEBAR: Final[dict[str, object]] = {
    "backgroundColor": "#101B2E",
    "secondaryBackgroundColor": "#1B2942",
    "textColor": "#DCE4F0",
    "primaryColor": "#2DD4BF",
    "linkColor": "#5EEAD4",
    "borderColor": "#2B3B58",
}

_THEME: Final[dict[str, dict[str, object]]] = {
    "theme": {
        "baseRadius": "0.5rem",
        "buttonRadius": "0.5rem",
        "showWidgetBorder": True,
        "showSidebarBorder": False,
        "linkUnderline": True,
        "headingFontWeights": [650, 600, 600, 600, 600, 600],
        "headingFontSizes": ["1.75rem", "1.25rem", "1.05rem", "1rem", "0.95rem", "0.9rem"],
        "metricValueFontSize": "1.75rem",
        "metricValueFontWeight": 600,
        "codeFontSize": "0.8125rem",
        "chartCategoricalColors": ["#1FA97A", "#5B8DEF", "#D08A1D", "#8B7CF0", "#E0555F"],
    },
    "theme.light": {
        "primaryColor": "#0C6A62",
        "backgroundColor": "#F5F7FA",
        "secondaryBackgroundColor": "#FFFFFF",
        "textColor": "#16202E",
        "linkColor": "#0B5F59",
        "borderColor": "#DCE2EA",
        "dataframeBorderColor": "#DCE2EA",
        "codeBackgroundColor": "#EDF1F6",
        "codeTextColor": "#1D3B57",
    },
    "theme.dark": {
        "primaryColor": "#0F766E",
        "backgroundColor": "#0C1320",
        "secondaryBackgroundColor": "#141E2F",
        "textColor": "#E3E9F2",
        "linkColor": "#5EEAD4",
        "borderColor": "#26334A",
        "dataframeBorderColor": "#26334A",
        "codeBackgroundColor": "#1A2639",
        "codeTextColor": "#BFD3EA",
    },
    "theme.light.sidebar": _SIDEBAR,
    "theme.dark.sidebar": {**_SIDEBAR, "backgroundColor": "#080E1A"},
}


def streamlit_theme() -> dict[str, dict[str, object]]:
    """Return the theme's sections as Streamlit's ``config.toml`` names them."""
    return {section: dict(values) for section, values in _THEME.items()}
