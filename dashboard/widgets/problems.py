"""How failure looks: a title, a reason, and the request id to give to whoever can help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Final

import streamlit as st

from dashboard import client, state

_TOO_OLD: Final = "log_in_too_old"
_FORBIDDEN: Final = "forbidden"
_LONG_SECONDS: Final = 120


def show(problem: client.ApiProblem) -> None:
    """Draw a problem in place."""
    lines = [f'<p class="es-problem-title">{escape(problem.title)}</p>']
    if problem.detail:
        lines.append(f"<p>{escape(problem.detail)}</p>")
    if problem.code == state.SUSPENDED:
        lines.append(
            "<p>Nobody can act in it until an administrator of the platform resumes it. Nothing is "
            "lost.</p>"
        )
    if problem.retry_seconds is not None and problem.retry_seconds >= _LONG_SECONDS:
        lines.append(f"<p>That is in about {problem.retry_seconds / 60:.0f} minutes.</p>")
    if problem.errors:
        items = "".join(
            f"<li><code>{escape(error.pointer or 'request')}</code> {escape(error.detail)}</li>"
            for error in problem.errors
        )
        lines.append(f"<ul>{items}</ul>")
    reference = f"Code {problem.code}"
    if problem.request_id:
        reference += f", request {problem.request_id}"
    lines.append(f'<p class="es-problem-id">{escape(reference)}</p>')
    st.html(f'<div class="es-problem" role="alert">{"".join(lines)}</div>')
    if problem.code == _FORBIDDEN:
        # What was offered here is not allowed any more: the next run is drawn by what is.
        state.current().look_again()
    if problem.code == _TOO_OLD:
        # The provider always asks whom the console sends, and brings them back to this page.
        key = f"log-in-again-{problem.request_id}"
        st.button("Log in again", key=key, type="primary", on_click=st.login)


@contextmanager
def guard() -> Iterator[None]:
    """Draw whatever problem the block ends with, and go on after it.

    A login that ended is not drawn here: the whole page starts over and asks for a new one. This
    holds in a fragment too, which alone could only redraw itself.
    """
    try:
        yield
    except client.ApiProblem as problem:
        show(problem)
    except state.SignedOut as ended:
        st.session_state["signed_out"] = ended
        st.rerun(scope="app")
