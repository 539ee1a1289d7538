"""Files of a trail: asked for, made by a job, fetched, saved and deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from dashboard import client, state
from dashboard.client import Api, models
from dashboard.client.transport import Download
from dashboard.widgets import markup, problems

FORMATS: Final = {
    "ndjson": "NDJSON, as it was hashed",
    "csv": "CSV",
    "ecs": "Elastic Common Schema",
    "ocsf": "OCSF",
    "cef": "CEF (ArcSight)",
}
_HANDED_OVER: Final = 50 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Whose trail the files are of, and what of the API makes them.

    Attributes:
        key: Of the trail; unique on the page.
        permission: Who may have files made.
    """

    key: str
    permission: str
    start: Callable[[Api, models.ExportCreate], models.ExportOut]
    list: Callable[..., client.Page[models.ExportOut]]
    download: Callable[[Api, str], Download]
    delete: Callable[[Api, str], None]


def draw(of: Files, wanted: Mapping[str, Any]) -> None:
    """Draw the files, closed until somebody asks, for those who may have them.

    Args:
        of: Whose they are.
        wanted: What the page's filters leave.
    """
    if state.current().can(of.permission):
        with st.expander("Files", icon=":material/folder_open:", key=f"{of.key}-files"):
            _new(of, wanted)
            _there(of)


def _new(of: Files, wanted: Mapping[str, Any]) -> None:
    session = state.current()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = str(
            st.selectbox(
                "Format",
                list(FORMATS),
                key=f"{of.key}-file-format",
                width=320,
                format_func=lambda name: FORMATS[name],
            )
        )
        make = st.button("Make a file", key=f"{of.key}-file-make", icon=":material/note_add:")
    markup.note("Of all that the filters leave, oldest first; words are no filter. Kept for a day.")
    if make:
        with problems.guard():
            asked = {name: value for name, value in wanted.items() if name != "q" and value}
            of.start(session.api, models.ExportCreate(format=chosen, **asked))


@st.fragment(run_every=3)
def _there(of: Files) -> None:
    """Draw the files that there are or will be: how far each is, and the way to have it."""
    session = state.current()
    with problems.guard():
        found = of.list(session.api, limit=10).items
        if not found:
            markup.note("No file yet.")
        for one in found:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.html(markup.badge_html(one.state))
                markup.note(
                    f"{FORMATS[one.format]}, {markup.when(one.created_at)}: {one.records:,} of "
                    f"{one.looked_at:,} records, {markup.size(one.size_bytes)}"
                    f"{f' – {one.error}' if one.error else ''}"
                )
                if one.state == "ready":
                    _download(session, of, one)
                delete = f"{of.key}-file-delete-{one.id}"
                if st.button("Delete", key=delete, icon=":material/delete:"):
                    of.delete(session.api, one.id)
                    st.session_state.pop(f"{of.key}-file-{one.id}", None)
                    st.rerun()


def _download(session: state.Session, of: Files, one: models.ExportOut) -> None:
    """Draw the two steps to a file; the first one fetches it, and is on record."""
    kept = f"{of.key}-file-{one.id}"
    if one.size_bytes > _HANDED_OVER:
        markup.note("Too large for a browser: email-sender audit-export, or the API.")
        return
    ready = st.session_state.get(kept)
    if isinstance(ready, Download):
        st.download_button(
            "Save",
            ready.content,
            file_name=ready.filename,
            mime=ready.media_type,
            key=f"{of.key}-file-save-{one.id}",
            on_click="ignore",
            type="primary",
        )
    elif st.button("Fetch", key=f"{of.key}-file-fetch-{one.id}", icon=":material/download:"):
        st.session_state[kept] = of.download(session.api, one.id)
        st.rerun()
