"""The way from a thing to the trace of what made it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import streamlit as st

from dashboard import state
from dashboard.client import Api, ApiProblem
from dashboard.widgets import markup, problems

_AROUND: Final = timedelta(hours=1)
_NOT_FOUND: Final = 404


def way(
    key: str,
    *,
    trace_id: str | None = None,
    request_id: str | None = None,
    attribute: str | None = None,
    since: datetime | None = None,
) -> None:
    """Draw the button that opens a thing's trace; a trace that was not kept is said to be none.

    Args:
        key: Of the button, unique on the page.
        trace_id: Of the trace, where it is known.
        request_id: Of the request that made the thing.
        attribute: ``name=value`` of a span about it, where no request is known.
        since: About when the thing was made, for an attribute.
    """
    session = state.current()
    if not session.can("trace:read"):
        return
    if st.button("Open its trace", key=key, icon=":material/account_tree:"):
        with problems.guard():
            if trace_id is not None:
                kept = _kept(session.api, trace_id)
            else:
                found = session.api.list_traces(
                    request_id=request_id,
                    attribute=attribute,
                    created_after=None if since is None else since - _AROUND,
                    limit=1,
                ).items
                kept = found[0].trace_id if found else None
            if kept is not None:
                st.switch_page("views/traces.py", query_params=state.address(id=kept))
            markup.note("No trace of it was kept: of what is unremarkable, only a share is.")


def _kept(api: Api, trace_id: str) -> str | None:
    try:
        return api.get_trace(trace_id).trace.trace_id
    except ApiProblem as problem:
        if problem.status == _NOT_FOUND:
            return None
        raise
