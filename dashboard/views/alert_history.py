"""History: how soon people saw to alerts, how long they lasted, and which are noise."""

from __future__ import annotations

from datetime import date
from typing import Final

import streamlit as st

from dashboard import state
from dashboard.client import models
from dashboard.widgets import charts, markup, problems, table

_DAYS: Final = {7: "7 days", 30: "30 days", 90: "90 days"}
_NOISE: Final = (
    table.Column("name", "Alert", "strong"),
    table.Column("fired", "Fired", "number"),
    table.Column("unseen", "Nobody saw to", "number"),
    table.Column("silenced", "Silenced", "number"),
    table.Column("lasts", "Lasts, median"),
    table.Column("flaps", "Comes and goes"),
    table.Column("last", "Last", "time"),
)
_COLOR: Final = "#E0555F"


def page() -> None:
    """Draw the page."""
    session = state.current()
    markup.page_heading(
        "History", "How soon people saw to alerts, how long they lasted, what is noise."
    )
    days = st.segmented_control(
        "Of the last", list(_DAYS), format_func=_DAYS.__getitem__, default=30, key="history-days"
    )
    with problems.guard():
        found = session.api.get_alert_history(days=days or 30)
        if not found.fired:
            markup.empty("No alert fired", "What fires from now on is counted here.")
            return
        if not found.complete:
            markup.note("There were more: these are the newest twenty thousand.")
        _numbers(found)
        charts.by_day(
            "history-days-chart",
            "Fired",
            [date.fromisoformat(one.day) for one in found.days],
            [one.fired for one in found.days],
            color=_COLOR,
        )
        with st.container(key="card-noise"):
            markup.section("What fires most")
            rows = [_row(one) for one in found.noise]
            table.draw("history-noise", "What alerts of each name came to", _NOISE, rows)


def _numbers(found: models.AlertHistoryOut) -> None:
    with st.container(key="card-facts"):
        markup.section("In all")
        seen, over = found.acknowledged, found.resolved
        markup.facts(
            [
                ("Fired", f"{found.fired:,}"),
                ("Critical", f"{found.by_severity.get('critical', 0):,}"),
                ("Seen to within, median", markup.span(seen.median)),
                ("Seen to within, 9 of 10", markup.span(seen.p90)),
                ("Over within, median", markup.span(over.median)),
                ("Over within, 9 of 10", markup.span(over.p90)),
                ("Over, and nobody saw to", f"{found.unseen:,}"),
                ("Nobody told for a silence", f"{found.silenced:,}"),
            ]
        )


def _row(one: models.AlertNoiseOut) -> dict[str, str]:
    return {
        "name": one.name,
        "fired": f"{one.fired:,}",
        "unseen": f"{one.unseen:,}",
        "silenced": f"{one.silenced:,}",
        "lasts": markup.span(one.lasts.median),
        "flaps": "yes" if one.flapping else "no",
        "last": markup.when(one.last_at),
    }


if __name__ == "__main__":
    page()
