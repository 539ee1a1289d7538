"""The way from a thing to the trace of what made it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import streamlit as st

from dashboard import state
from dashboard.client import Api, ApiProblem
from dashboard.widgets import markup, problems

_AROUND: Final = timedelta(hours=1)
_NOT_FOUND: Final = 404
_T = TypeVar("_T")


def way(
    key: str,
    *,
    trace_id: str | None = None,
    request_id: str | None = None,
    job_id: str | None = None,
    since: datetime | None = None,
) -> None:
    """Draw the button that opens a thing's trace; a trace that was not kept is said to be none.

    Args:
        key: Of the button, unique on the page.
        trace_id: Of the trace, where it is known.
        request_id: Of the request that made the thing.
        job_id: Of the job that did the thing, which knows its trace.
        since: About when the job was made: it is forgotten before its trace may be.
    """
    session = state.current()
    if not session.can("trace:read"):
        return
    if st.button("Open its trace", key=key, icon=":material/account_tree:"):
        with problems.guard():
            if job_id is not None:
                kept = _of_job(session, job_id, since)
            elif trace_id is not None:
                kept = _kept(session.api, trace_id)
            else:
                kept = _first(session.api, request_id=request_id)
            if kept is not None:
                st.switch_page("views/traces.py", query_params=state.address(id=kept))
            markup.note("No trace of it was kept: of what is unremarkable, only a share is.")


def _of_job(session: state.Session, job_id: str, since: datetime | None) -> str | None:
    if session.can("job:read"):
        job = _unless_missing(lambda: session.api.get_job(job_id))
        if job is not None:
            return None if job.trace_id is None else _kept(session.api, job.trace_id)
    # The spans of its attempts name it; they are looked through, which is slower and has bounds.
    return _first(
        session.api,
        attribute=f"email_sender.job={job_id}",
        created_after=None if since is None else since - _AROUND,
    )


def _first(api: Api, **wanted: Any) -> str | None:
    found = api.list_traces(**wanted, limit=1).items
    return found[0].trace_id if found else None


def _kept(api: Api, trace_id: str) -> str | None:
    found = _unless_missing(lambda: api.get_trace(trace_id))
    return None if found is None else found.trace.trace_id


def _unless_missing(ask: Callable[[], _T]) -> _T | None:
    """What was asked for; None when it is not there, or not any more."""
    try:
        return ask()
    except ApiProblem as problem:
        if problem.status != _NOT_FOUND:
            raise
    return None
