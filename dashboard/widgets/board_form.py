"""Editing a dashboard: its name and range, its variables, its panels by forms.

What is edited is a draft in the session, as plain values; the platform judges it when it is saved.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import streamlit as st

from dashboard.widgets import markup

DRAFT: Final = "dashboards-draft"
"""Where the draft stands: ``of``, ``version``, ``turn`` and ``content``."""
RANGES: Final = {
    15: "15 minutes",
    60: "1 hour",
    360: "6 hours",
    1440: "24 hours",
    10_080: "7 days",
    43_200: "30 days",
    129_600: "90 days",
}
_VARIABLE: Final = re.compile(r"([a-z][a-z0-9_]{0,31})\s*(?:=\s*(.*))?")


class Field(NamedTuple):
    """A field of a question: its name, what it is called, and how it is filled in."""

    name: str
    label: str
    kind: Literal["text", "long", "list", "choice", "number", "switch", "either"] = "text"
    choices: Sequence[str] = ()
    usual: Any = None
    help: str | None = None


class Source(NamedTuple):
    """What a panel may ask."""

    label: str
    fields: Sequence[Field]


_FUNCTIONS: Final = ("sum", "rate", "count", "avg", "min", "max", "last", "quantile")
SOURCES: Final[Mapping[str, Source]] = {
    "metric": Source(
        "Metric",
        (
            Field("name", "Metric", usual="orders_total"),
            Field("aggregate", "Function", "choice", _FUNCTIONS, "sum"),
            Field("quantile", "Quantile", "number", usual=0.95),
            Field("label", "Only with", "list", help="name=value, one a line"),
            Field("by", "Group by", "list", help="Names of labels, one a line"),
            Field("with_week_before", "Compare with a week ago", "switch", usual=False),
        ),
    ),
    "prometheus": Source("Prometheus", (Field("query", "PromQL", "long", usual="up"),)),
    "logs": Source(
        "Logs",
        (
            Field("show", "Show", "choice", ("levels", "sources", "lines"), "levels"),
            Field("level", "Level, and higher"),
            Field("source", "Source"),
            Field("words", "Words"),
        ),
    ),
    "traces": Source(
        "Traces",
        (
            Field("show", "Show", "choice", ("operations", "newest"), "operations"),
            Field("service", "Service"),
            Field("operation", "Operation", help="Of traces"),
            Field("workflow_id", "Workflow", help="Of traces"),
            Field("failed", "Failed", "either", help="Of traces"),
        ),
    ),
    "slo": Source("Objectives", (Field("name", "Objective", help="None: all of them"),)),
    "overview": Source(
        "Overview",
        (
            Field(
                "show",
                "Show",
                "choice",
                ("requests", "latency", "errors", "delivery", "email_states", "job_states"),
                "requests",
            ),
        ),
    ),
    "usage": Source(
        "Usage by day",
        (
            Field(
                "show",
                "Show",
                "choice",
                ("requests", "emails_accepted", "emails_bounced", "jobs_ended"),
                "requests",
            ),
        ),
    ),
    "audit": Source(
        "Audit trail",
        (
            Field("show", "Show", "choice", ("time", "actions", "actors"), "time"),
            Field("action", "Act"),
            Field("actor", "Actor"),
        ),
    ),
    "text": Source("Text", (Field("markdown", "Markdown", "long", usual="What this is about."),)),
}


def begin(content: Mapping[str, Any], *, of: str = "", version: int = 0) -> None:
    """Edit this from now on; ``of`` is the dashboard's id, empty for a new one."""
    turn = int(st.session_state.get(DRAFT, {}).get("turn", 0)) + 1
    kept = {name: content[name] for name in ("name", "description", "variables", "range_minutes")}
    kept["panels"] = [_slim(one) for one in content["panels"]]
    st.session_state[DRAFT] = {
        "of": of,
        "version": version,
        "turn": turn,
        "content": copy.deepcopy(kept),
    }


def _slim(panel: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in panel.items() if value is not None}


def form() -> dict[str, Any] | None:
    """Draw the form; return what it says, or None while that cannot be sent."""
    draft = st.session_state[DRAFT]
    content, turn = draft["content"], draft["turn"]
    with st.container(key="card-board-head"):
        markup.section("About it")
        content["name"] = st.text_input(
            "Name", content["name"], max_chars=100, key=f"board-{turn}-name"
        ).strip()
        content["description"] = st.text_input(
            "Description", content["description"], max_chars=500, key=f"board-{turn}-about"
        ).strip()
        ranges = list(RANGES) if content["range_minutes"] in RANGES else [
            content["range_minutes"], *RANGES
        ]  # fmt: skip
        content["range_minutes"] = st.selectbox(
            "Time shown at first",
            ranges,
            index=ranges.index(content["range_minutes"]),
            format_func=lambda one: f"Last {RANGES.get(one, f'{one} minutes')}",
            key=f"board-{turn}-range",
        )
        written = st.text_area(
            "Variables",
            "\n".join(_written(one) for one in content["variables"]),
            key=f"board-{turn}-variables",
            help="One a line: shop = berlin, rome offers these two, the first one at first; "
            "workflow alone takes any text. ${shop} in a question stands for what is chosen.",
        )
        variables = _read(written)
        if variables is None:
            markup.field_error("A variable is a line like: shop = berlin, rome")
        else:
            content["variables"] = variables
    for at, panel in enumerate(content["panels"]):
        _panel(turn, at, panel)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox(
            "What another panel asks",
            list(SOURCES),
            format_func=lambda one: SOURCES[one].label,
            key=f"board-{turn}-source",
            width=260,
        )
        st.button(
            "Add panel",
            key=f"board-{turn}-add",
            icon=":material/add:",
            on_click=_add,
            args=(source,),
        )
    return None if variables is None else content


def _written(variable: Mapping[str, Any]) -> str:
    values = list(variable.get("values") or ())
    default = variable.get("default") or ""
    if values:
        ordered = [default, *(one for one in values if one != default)] if default else values
        return f"{variable['name']} = {', '.join(ordered)}"
    return f"{variable['name']} = {default}" if default else str(variable["name"])


def _read(written: str) -> list[dict[str, Any]] | None:
    """Return the variables that the lines say; None where a line is none.

    A single value is offered as any text would be, and stands there at first.
    """
    found = []
    for line in filter(None, map(str.strip, written.splitlines())):
        match = _VARIABLE.fullmatch(line)
        if match is None:
            return None
        values = [one.strip() for one in (match[2] or "").split(",") if one.strip()]
        found.append(
            {
                "name": match[1],
                "values": values if len(values) > 1 else [],
                "default": values[0] if values else "",
            }
        )
    return found


def _source_of(panel: Mapping[str, Any]) -> str | None:
    return next((one for one in SOURCES if one in panel), None)


def _panel(turn: int, at: int, panel: dict[str, Any]) -> None:
    source = _source_of(panel)
    label = SOURCES[source].label if source else "Unknown to this console"
    key = f"board-{turn}-{at}"
    with st.expander(f"{at + 1}. {panel['title']} ({label})", key=f"{key}-panel"):
        panel["title"] = st.text_input("Title", panel["title"], max_chars=100, key=f"{key}-title")
        if source:
            query = panel[source]
            for one in SOURCES[source].fields:
                value = _field(f"{key}-{one.name}", one, query.get(one.name, one.usual))
                if value is None or value == "":
                    query.pop(one.name, None)
                else:
                    query[one.name] = value
        for column, (name, words, least, most) in zip(
            st.columns(4),
            (("row", "Row", 1, 100), ("column", "Column", 1, 12),
             ("width", "Columns wide", 1, 12), ("height", "Height", 1, 10)),
            strict=True,
        ):  # fmt: skip
            shift = 1 if name in {"row", "column"} else 0
            panel[name] = (
                int(
                    column.number_input(
                        words, least, most, int(panel[name]) + shift, 1, key=f"{key}-{name}"
                    )
                )
                - shift
            )
        with st.container(horizontal=True):
            for word, icon, step in (("Up", "arrow_upward", -1), ("Down", "arrow_downward", 1)):
                st.button(
                    word,
                    key=f"{key}-{word.lower()}",
                    icon=f":material/{icon}:",
                    on_click=_move,
                    args=(at, step),
                )
            st.button(
                "Remove",
                key=f"{key}-remove",
                icon=":material/delete:",
                on_click=_remove,
                args=(at,),
            )


def _field(key: str, one: Field, now: Any) -> Any:
    if one.kind == "choice":
        choices = list(one.choices) if now in one.choices else [now, *one.choices]
        return st.selectbox(one.label, choices, index=choices.index(now), key=key, help=one.help)
    if one.kind == "number":
        return st.number_input(one.label, 0.0, 1.0, float(now), 0.01, key=key, help=one.help)
    if one.kind == "switch":
        return st.toggle(one.label, bool(now), key=key, help=one.help)
    if one.kind == "either":
        words = {None: "Either", True: "Yes", False: "No"}
        choices = list(words)
        return st.selectbox(
            one.label,
            choices,
            index=choices.index(now),
            format_func=words.__getitem__,
            key=key,
            help=one.help,
        )
    if one.kind == "list":
        text = st.text_area(one.label, "\n".join(now or ()), key=key, help=one.help, height=80)
        return [line.strip() for line in text.splitlines() if line.strip()] or None
    if one.kind == "long":
        return st.text_area(one.label, now or "", key=key, help=one.help).strip()
    return st.text_input(one.label, now or "", key=key, help=one.help).strip()


# --- what changes the order; each begins the widgets anew, whose keys count panels ---------------


def _turn() -> list[dict[str, Any]]:
    draft = st.session_state[DRAFT]
    draft["turn"] += 1
    panels: list[dict[str, Any]] = draft["content"]["panels"]
    return panels


def _add(source: str) -> None:
    panels = _turn()
    row = max((int(one["row"]) for one in panels), default=-1) + 1
    query = {one.name: one.usual for one in SOURCES[source].fields if one.usual is not None}
    place = {"row": row, "column": 0, "width": 12, "height": 4}
    panels.append({"title": SOURCES[source].label, **place, source: query})


def _remove(at: int) -> None:
    del _turn()[at]


def _move(at: int, step: int) -> None:
    """Change places with the panel before or after, in the list and on the grid."""
    panels = _turn()
    other = at + step
    if not 0 <= other < len(panels):
        return
    for name in ("row", "column", "width", "height"):
        panels[at][name], panels[other][name] = panels[other][name], panels[at][name]
    panels[at], panels[other] = panels[other], panels[at]
