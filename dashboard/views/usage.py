"""Usage: what this tenant may by its plan, how much of that is used, and what it did by day."""

from __future__ import annotations

import streamlit as st

from dashboard import state
from dashboard.widgets import markup, problems, usage


def page() -> None:
    """Draw the page."""
    markup.page_heading("Usage", "What this tenant may by its plan, and what it uses of it.")
    api = state.current().api
    with problems.guard():
        quotas = api.list_quotas().items
        found = api.get_usage()
        usage.warn(quotas)
        limited = usage.limited(quotas)
        with st.container(key="card-quotas"):
            markup.section("Quotas")
            if limited:
                usage.meters(limited)
            else:
                markup.note("The plan of this tenant sets no limit.")
        with st.container(key="card-usage-now"):
            markup.section("Now")
            markup.facts(usage.counts(found))
        usage.days(found)


if __name__ == "__main__":
    page()
