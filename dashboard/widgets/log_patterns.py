"""What log lines have in common, and what is new of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import state
from dashboard.client import models
from dashboard.widgets import markup, table

_MOST_TALKERS = 8
_COLUMNS = (
    table.Column("pattern", "Pattern", "strong", title="example"),
    table.Column("count", "Lines", "number"),
    table.Column("level", "Worst", "badge"),
    table.Column("new", "Said before"),
    table.Column("sources", "Source"),
    table.Column("last", "Last", "time"),
)

_TALKERS = (
    table.Column("source", "Source", "strong"),
    table.Column("count", "Lines", "number"),
    table.Column("share", "Of them", "number"),
    table.Column("size", "Text", "number"),
)


def draw(query: Mapping[str, Any]) -> str | None:
    """Draw the patterns of what is looked for; return the id of a line that is to be opened."""
    only_new = st.toggle(
        "New only",
        key="logs-patterns-new",
        help="Leaves out what the lines before this time were like: what began in it is left.",
    )
    with st.spinner("Lines are compared …"):
        found = state.current().api.find_log_patterns(**query, new=only_new)
    if not found.items:
        if only_new and found.looked_at:
            markup.empty("Nothing new", "Every line is like one that came before this time.")
        else:
            markup.empty("No line matches", "Take a filter away, or look at a longer time.")
        return None
    opened = table.draw(
        "logs-patterns",
        "Patterns of log lines",
        _COLUMNS,
        [_row(one) for one in found.items],
        opens=True,
    )
    markup.note(_reach(found))
    if len(found.talkers) > 1:
        markup.section("Who says most")
        rows = [
            {
                "source": talker.source or markup.NONE,
                "count": f"{talker.count:,}",
                "share": markup.percent(talker.count / found.looked_at),
                "size": markup.size(talker.size_bytes),
            }
            for talker in found.talkers[:_MOST_TALKERS]
        ]
        table.draw("logs-talkers", "Sources by lines", _TALKERS, rows)
    return opened


def _row(one: models.LogPatternOut) -> dict[str, str]:
    sources = ", ".join(each.value or markup.NONE for each in one.sources)
    return {
        "id": one.last_id,
        "pattern": one.pattern or "(empty)",
        "example": one.example,
        "count": f"{one.count:,}",
        "level": one.levels[0].value,
        "new": {True: "New", False: "Yes", None: markup.NONE}[one.is_new],
        "sources": sources,
        "last": markup.when(one.last_at),
    }


def _reach(found: models.LogPatternsOut) -> str:
    """Say what the answer is made of, and what "new" is measured against."""
    made = f"{_many(found.patterns, 'pattern')} of {_many(found.looked_at, 'line')}"
    said = f"{made}." if found.complete else f"{made}, the newest of more."
    if found.compared_since is None:
        return f"{said} There is no line before this time to compare with."
    since = markup.moment(found.compared_since)
    return f"{said} Compared with {_many(found.compared, 'line')} before this time, since {since}."


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
