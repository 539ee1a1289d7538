"""The way from a thing to the trace of what made it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import streamlit as st

from dashboard import state
from dashboard.widgets import markup, problems

_AROUND: Final = timedelta(hours=1)


def way(
    key: str,
    *,
    request_id: str | None = None,
    attribute: str | None = None,
    since: datetime | None = None,
) -> None:
    """Draw the button that opens a thing's trace; a trace that was not kept is said to be none.

    Args:
        key: Of the button, unique on the page.
        request_id: Of the request that made the thing.
        attribute: ``name=value`` of a span about it, where no request is known.
        since: About when the thing was made, for an attribute.
    """
    session = state.current()
    if not session.can("trace:read"):
        return
    if st.button("Open its trace", key=key, icon=":material/account_tree:"):
        with problems.guard():
            found = session.api.list_traces(
                request_id=request_id,
                attribute=attribute,
                created_after=None if since is None else since - _AROUND,
                limit=1,
            ).items
            if found:
                place = state.address(id=found[0].trace_id)
                st.switch_page("views/traces.py", query_params=place)
            markup.note("No trace of it was kept: of what is unremarkable, only a share is.")
