"""The last answer to a question, kept while the platform fails.

Not in a page: each run makes its classes anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import streamlit as st

from dashboard import client
from dashboard.widgets import markup, problems

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[_T]):
    """An answer: to what, and when."""

    asked: object
    found: _T
    at: datetime


def ask(key: str, asked: object, fetch: Callable[[], _T], seconds: float) -> Kept[_T] | None:
    """Return the answer, asked anew when it is so old.

    When that fails the problem is drawn and the last answer to the same question stays.
    """
    found = st.session_state.get(key)
    kept: Kept[_T] | None = found if isinstance(found, Kept) and found.asked == asked else None
    if kept and (markup.now() - kept.at).total_seconds() < seconds:
        return kept
    try:
        kept = Kept(asked, fetch(), markup.now())
    except client.ApiProblem as problem:
        problems.show(problem)
        if kept:
            markup.note(f"Below are the last figures, of {markup.moment(kept.at)}.")
        return kept
    st.session_state[key] = kept
    return kept
