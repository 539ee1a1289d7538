"""An editor of queries: completes names, marks the place of an error, hands the text over.

Streamlit's own field knows neither. What is typed stays in the browser until it is run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import streamlit as st

from dashboard import theme

MAX_NAMES: Final = 3000
"""Of each kind: they go to the browser with the page."""
_MODIFIERS: Final = ("by", "without", "on", "ignoring", "group_left", "group_right", "offset")
_FUNCTIONS: Final = (
    *("abs", "absent", "absent_over_time", "avg", "avg_over_time", "bottomk", "ceil"),
    *("changes", "clamp", "clamp_max", "clamp_min", "count", "count_over_time"),
    *("count_values", "delta", "deriv", "exp", "floor", "group", "histogram_quantile"),
    *("idelta", "increase", "irate", "label_join", "label_replace", "last_over_time", "ln"),
    *("log10", "log2", "max", "max_over_time", "min", "min_over_time", "predict_linear"),
    *("present_over_time", "quantile", "quantile_over_time", "rate", "resets", "round"),
    *("scalar", "sort", "sort_desc", "stddev", "stddev_over_time", "stdvar", "sum"),
    *("sum_over_time", "time", "timestamp", "topk", "vector"),
)
_PLACE: Final = re.compile(r"(\d+):(\d+): ")


class Mark(NamedTuple):
    """A place in a query: line and column, both from 1."""

    line: int
    column: int


_mount: Final = st.components.v2.component(
    "email_sender_promql",
    css=(theme.ASSETS / "promql.css").read_text(encoding="utf-8"),
    js=(theme.ASSETS / "promql.js").read_text(encoding="utf-8"),
)


def place_of(detail: str) -> Mark | None:
    """Return the place that a refusal begins with; None: it names none."""
    found = _PLACE.match(detail)
    return Mark(int(found[1]), int(found[2])) if found else None


def draw(
    key: str, text: str, *, metrics: Sequence[str], labels: Sequence[str], mark: Mark | None
) -> None:
    """Draw the editor.

    Args:
        key: Unique on the page.
        text: What stands in it, until somebody types.
        metrics: Names that are offered where a metric may stand, beside those of functions.
        labels: Names that are offered where a label may stand.
        mark: The place of an error in ``text``.
    """
    _mount(
        key=key,
        data={
            "text": text,
            "metrics": [*metrics[:MAX_NAMES], *_FUNCTIONS, *_MODIFIERS],
            "labels": list(labels[:MAX_NAMES]),
            "mark": mark._asdict() if mark else None,
        },
        on_asked_change=partial(_note, key),
    )


def taken(key: str) -> str | None:
    """Return the text that was just run, once; to be called before the page asks anything."""
    asked = st.session_state.pop(f"{key}-asked", None)
    return asked if isinstance(asked, str) else None


def _note(key: str) -> None:
    """Keep what was run until a run gets to it: Streamlit tells one run alone."""
    st.session_state[f"{key}-asked"] = st.session_state[key]["asked"]
