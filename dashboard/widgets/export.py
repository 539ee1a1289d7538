"""A filtered list as a CSV file, whole and not only the page on show.

Two steps, because reading a long list takes time: the first click reads it with its progress in
sight, the second hands it over.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import streamlit as st

from dashboard import client
from dashboard.widgets import markup, problems

_T = TypeVar("_T")

MAX_ROWS: Final = 20_000
# A spreadsheet runs a cell that begins with one of these as a formula.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def to_csv(names: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Write RFC 4180 CSV, UTF-8, with a header line; cells cannot become formulas."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return out.getvalue().encode()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, list):
        value = "; ".join(str(one) for one in value)
    elif isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def button(
    key: str,
    fetch: Callable[[str | None], client.Page[_T]],
    fields: Sequence[str],
    *,
    filters: tuple[str | None, ...],
) -> None:
    """Draw the export of the list ``key`` that ``fetch`` pages through.

    The file has the named fields as they come over the wire: one name, and one way to write a
    time, for whoever reads the file and the API. A file prepared under other ``filters`` is not
    offered any more. At most ``MAX_ROWS`` rows are taken, and the person is told when there were
    more.
    """
    with st.popover("Export", icon=":material/download:", key=f"{key}-export-popover"):
        markup.note(f"The list as filtered now, as CSV, up to {MAX_ROWS:,} rows.")
        if st.button("Prepare file", key=f"{key}-export-prepare", width="stretch"):
            with problems.guard():
                st.session_state[f"{key}-export-file"] = (filters, *_collect(fetch, fields))
        ready: tuple[tuple[str | None, ...], bytes, int, bool] | None = st.session_state.get(
            f"{key}-export-file"
        )
        if ready is None or ready[0] != filters:
            return
        _, content, count, cut = ready
        st.download_button(
            f"Download {count:,} rows",
            content,
            file_name=f"{key}.csv",
            mime="text/csv",
            key=f"{key}-export-download",
            on_click="ignore",
            type="primary",
            width="stretch",
        )
        if cut:
            markup.note("There are more rows than that; narrow the filter to get the rest.")


def _collect(
    fetch: Callable[[str | None], client.Page[_T]], fields: Sequence[str]
) -> tuple[bytes, int, bool]:
    rows: list[Sequence[object]] = []
    progress = st.progress(0.0, text="Reading…")
    cut = False
    try:
        for page in client.walk(fetch):
            for item in page.items:
                written: dict[str, Any] = msgspec.to_builtins(item)
                rows.append([written[name] for name in fields])
            progress.progress(min(len(rows) / MAX_ROWS, 1.0), text=f"Read {len(rows):,} rows…")
            if len(rows) >= MAX_ROWS:
                cut = len(rows) > MAX_ROWS or page.next_cursor is not None
                break
    finally:
        progress.empty()  # beside a refusal it would say that the reading goes on
    kept = rows[:MAX_ROWS]
    return to_csv(fields, kept), len(kept), cut
