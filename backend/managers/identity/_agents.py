"""What a browser calls itself, cut down to what a person recognises it by."""

import re
from typing import Final

_MAX: Final = 60
# The order matters: each names itself beside those whose pages it claims to show like.
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Version", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def short_agent(text: str) -> str:
    """``Firefox 140 on Linux``; of what is no browser the first word, empty for nothing."""
    system = next((name for mark, name in _SYSTEMS if mark in text), "")
    for mark, name in _BROWSERS:
        if found := re.search(rf"\b{mark}/(\d{{1,4}})", text):
            return f"{name} {found[1]} on {system}" if system else f"{name} {found[1]}"
    if text.startswith("Mozilla/"):  # so every browser begins, whatever it is
        return f"A browser on {system}" if system else "A browser"
    first = text.partition(" ")[0][:_MAX]
    return first if first.isprintable() else ""
