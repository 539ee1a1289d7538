"""Finds axe-core, the accessibility checker, which is not vendored here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
HOW = (
    "axe-core is missing; get the pinned version with `npm ci --ignore-scripts` in "
    "tests/dashboard/axe, or in a copy of that folder named by EMAIL_SENDER_AXE"
)


def script() -> str:
    """Return axe-core's source, or skip the test and say how to get it."""
    for folder in (os.environ.get("EMAIL_SENDER_AXE"), HERE):
        if folder:
            path = Path(folder) / "node_modules" / "axe-core" / "axe.min.js"
            if path.is_file():
                return path.read_text(encoding="utf-8")
    pytest.skip(HOW)
