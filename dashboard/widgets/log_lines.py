"""Log lines as rows: on their own page, and on the page of what they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dashboard.client import models
from dashboard.widgets import markup, table

_LONGEST_SHOWN: Final = 500
_COLUMNS: Final = (
    table.Column("message", "Message", "strong"),
    table.Column("level", "Level", "badge"),
    table.Column("source", "Source"),
    table.Column("at", "When", "time"),
)


def draw(
    key: str, caption: str, lines: Sequence[models.LogRecordOut], *, marked: str = ""
) -> str | None:
    """Draw the lines, one of them ``marked``; returns the id of the one that was just opened."""
    rows = [_row(one, "▸ " if one.id == marked else "") for one in lines]
    return table.draw(key, caption, _COLUMNS, rows, opens=True)


def when(at: datetime) -> str:
    """Return a time to the millisecond: lines of one second are told apart."""
    return f"{markup.when(at)}.{at.microsecond // 1000:03}"


def _row(line: models.LogRecordOut, mark: str) -> dict[str, str]:
    text = " ".join(line.message.split())
    return {
        "id": line.id,
        "message": mark + (text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"),
        "level": line.level,
        "source": line.source or markup.NONE,
        "at": when(line.at),
    }
