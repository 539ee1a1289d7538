"""Metrics: what the tenant's workflows record, over time, what is usual of it and what comes next.

The list of names, and the explorer of one. What is explored stands whole in the page's address: a
link shows somebody else the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple

import streamlit as st

from dashboard import pages, settings, state
from dashboard.client import models
from dashboard.widgets import charts, confirm, export, latest, markup, problems, table

TICK_SECONDS: Final = 5
_LEAST_REFRESH: Final = 15
_MOST_REFRESH: Final = 60
_ANALYSIS_SECONDS: Final = 300
_POINTS: Final = 1000
_TOP: Final = 10
_MAX_NAMES: Final = 200
_MAX_SERIES: Final = 1000
_AHEAD_HOURS: Final = 48
_FUNCTIONS: Final = {
    "rate": "Rate",
    "sum": "Sum",
    "count": "Observations",
    "avg": "Mean",
    "min": "Least",
    "max": "Greatest",
    "last": "Last value",
    "quantile": "Quantile",
}
# The first is what one asks for most.
_CAN: Final = {
    "counter": ("rate", "sum", "count"),
    "gauge": ("avg", "last", "sum", "min", "max"),
    "histogram": ("quantile", "avg", "rate", "count", "sum", "min", "max"),
}
_QUANTILES: Final = ("0.5", "0.9", "0.95", "0.99")
_WINDOWS: Final = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
_SPANS: Final = {"1h": "hour", "6h": "6 hours", "24h": "24 hours", "7d": "7 days",
                 "30d": "30 days", "90d": "90 days"}  # fmt: skip
_USUAL_WINDOW: Final = "24h"
_METRIC: Final = "metric"
_TONES: Final = {
    "usual": ("green", "Usual"),
    "unusual": ("amber", "Unusual"),
    "not_measured": ("gray", "Not measured"),
    "unknown": ("gray", "Too new"),
}
_NAMES: Final = (
    table.Column("name", "Name", "strong"),
    table.Column("kind", "Type"),
    table.Column("series", "Series", "number"),
    table.Column("value", "Last value", "number"),
    table.Column("labels", "Of", "code"),
    table.Column("age", "Age", title="at"),
)
_SERIES: Final = (
    table.Column("labels", "Labels", "code"),
    table.Column("value", "Last value", "number"),
    table.Column("total", "Sum since it is there", "number"),
    table.Column("observations", "Observations", "number"),
    table.Column("age", "Age", title="at"),
)
_LINES: Final = (
    table.Column("line", "Line", "strong"),
    table.Column("value", "Whole window", "number"),
    table.Column("before", "A week before", "number"),
    table.Column("change", "Change", "number"),
)
_ODD: Final = (
    table.Column("at", "Hour", "time"),
    table.Column("score", "Score", "number"),
    table.Column("sentence", "Why"),
)
_KEPT: Final = (
    ("seconds_10", "10 s", 30),
    ("minute", "1 min", 180),
    ("minutes_10", "10 min", 800),
    ("hour", "1 h", 4000),
)


class Asked(NamedTuple):
    """What is explored: all that the address says of it."""

    metric: str
    function: str
    quantile: str
    labels: tuple[str, ...]
    by: tuple[str, ...]
    window: str
    week: bool

    def address(self) -> dict[str, str | list[str]]:
        """Return the parameters of its address; what is empty is left out."""
        said: dict[str, str | list[str]] = {_METRIC: self.metric, "window": self.window}
        said["function"] = self.function
        if self.function == "quantile":
            said["quantile"] = self.quantile
        for name, many in (("label", self.labels), ("by", self.by)):
            if many:
                said[name] = list(many)
        if self.week:
            said["compare"] = "week"
        return said


def _updated(kept: latest.Kept[Any]) -> None:
    seconds = int((markup.now() - kept.at).total_seconds())
    ago = f"{seconds} s" if seconds < 60 else markup.age(kept.at, markup.now())
    markup.note(f"Updated {ago} ago.")


def _number(value: float | None) -> str:
    """Return a number with the digits that tell something."""
    if value is None:
        return markup.NONE
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _age(at: datetime) -> str:
    return f"{markup.age(at, markup.now())} ago"


# --- the list -------------------------------------------------------------------------------


def listing() -> None:
    """Draw the metrics by name, and what holds for all of them."""
    markup.page_heading(
        "Metrics", "What this tenant's workflows and programs record of their business."
    )
    pages.remember("metrics-prefix")
    with st.container(horizontal=True, key="filters-metrics"):
        prefix = st.text_input(
            "Name begins with", key="metrics-prefix", placeholder="orders_", width=260
        ).strip()
    names(prefix)
    limits()


@st.fragment(run_every=TICK_SECONDS)
def names(prefix: str) -> None:
    """Draw the metrics; Streamlit runs this alone, again and again."""
    api = state.current().api
    with problems.guard():
        kept = latest.ask(
            "metrics-names",
            prefix,
            lambda: api.list_tenant_metrics(limit=_MAX_NAMES, prefix=prefix),
            _LEAST_REFRESH,
        )
        if kept is None:
            return
        items = kept.found.items
        if not items:
            _nothing(prefix)
            return
        opened = table.draw(
            "metrics",
            "Metrics",
            _NAMES,
            [
                {
                    "id": one.name,
                    "name": one.name,
                    "kind": one.kind,
                    "series": f"{one.series:,}",
                    "value": _number(one.last_value),
                    "labels": _labels(one.last_labels) or markup.NONE,
                    "age": _age(one.last_at),
                    "at": markup.moment(one.last_at),
                }
                for one in items
            ],
            opens=True,
        )
        if kept.found.next_cursor:
            markup.note(f"The first {_MAX_NAMES}. Say what the name begins with to see others.")
        _updated(kept)
        if opened:
            st.query_params.from_dict(state.address(metric=opened))
            st.rerun(scope="app")


def _nothing(prefix: str) -> None:
    if prefix:
        markup.empty("No metric begins so", "Take some of it away to see more.")
        return
    markup.empty(
        "No metric yet",
        "The first sample that a workflow or a program sends appears here some seconds later. "
        "An API key of the role workflow may send it, and so may the node's resource Metric.",
    )
    st.code(first_sample(settings.load().issuer_url), language=None, wrap_lines=True)
    if state.current().can("api_key:read"):
        st.page_link(
            "views/api_keys.py",
            label="API keys",
            icon=":material/key:",
            query_params=state.address(),
        )


def first_sample(api_url: str) -> str:
    """Return the command that records a first sample."""
    return (
        f"curl -X POST {api_url}/api/v1/metrics \\\n"
        '  -H "Authorization: Bearer $API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        '  -d \'{"items": [{"name": "orders_total", "kind": "counter", "value": 1, '
        '"labels": {"shop": "berlin"}}]}\''
    )


def limits() -> None:
    """Draw how many series there are of how many, and how long windows stay."""
    session = state.current()
    with problems.guard():
        found = session.api.get_metric_settings()
        share = found.series / found.max_series
        with st.container(key="card-metric-series"):
            markup.section("Cardinality")
            words = f"{found.series:,} of {found.max_series:,}"
            warning = "reached" if share >= 1 else f"{share:.0%}"
            markup.meters(
                [("Series", words, share, warning if share >= markup.WARNED_SHARE else "")]
            )
            markup.note(
                "A name with one set of labels is a series. New ones are refused once all are "
                "there; known ones go on. How many there may be is set by whoever runs the "
                "platform."
            )
        with st.expander(
            "How long windows are kept", icon=":material/auto_delete:", key="metric-retention"
        ):
            days = found.keep_days
            markup.facts(
                [
                    *((f"Windows of {name}", f"{getattr(days, field)} days")
                      for field, name, _ in _KEPT),
                    ("Changed", markup.when(found.updated_at)),
                    ("Changed by", session.names.of(found.updated_by)
                     if found.updated_by else markup.NONE),
                ]
            )  # fmt: skip
            if session.can("metric_settings:write"):
                _retention(days)


def _retention(days: models.KeepDays) -> None:
    wanted: dict[str, int] = {}
    for column, (field, name, most) in zip(st.columns(len(_KEPT)), _KEPT, strict=True):
        wanted[field] = int(
            column.number_input(
                f"{name}, days", 2, most, getattr(days, field), 1, key=f"metric-keep-{field}"
            )
        )
    if wanted == {field: getattr(days, field) for field, _, _ in _KEPT}:
        return
    falling = any(
        wanted[longer] < wanted[shorter] for (shorter, _, _), (longer, _, _) in pairwise(_KEPT)
    )
    if falling:
        markup.field_error("Longer windows are made of shorter ones, and stay at least as long.")
        return
    less = any(wanted[field] < getattr(days, field) for field, _, _ in _KEPT)
    if confirm.ask(
        "metric-retention-save",
        "Save",
        will="Windows that are older go for good within the hour."
        if less
        else "Windows stay longer from now on. What is gone stays gone.",
        yes="Keep them so",
        danger=less,
    ):
        state.current().api.put_metric_settings(models.MetricSettingsPut(**wanted))
        confirm.say_after_rerun("How long windows are kept is changed, and on record.")
        st.rerun()


# --- the explorer ---------------------------------------------------------------------------


def explorer(metric: str) -> None:
    """Draw one metric: its controls, and what they ask for."""
    with markup.heading_row():
        markup.page_heading(metric, "Over time, what is usual of it, and what comes next.")
        if st.button("All metrics", key="metrics-back", icon=":material/arrow_back:"):
            st.query_params.from_dict(state.address())
            st.rerun()
    with problems.guard():
        kept = latest.ask(
            "metrics-series",
            metric,
            lambda: state.current().api.list_metric_series(name=metric, limit=_MAX_SERIES),
            _MOST_REFRESH,
        )
        if kept is None:
            return
        series = kept.found.items
        if not series:
            markup.empty("Not recorded", f"Nothing was recorded as {metric}, or it is gone again.")
            return
        asked = _controls(metric, series)
        lines(asked, series[0].kind)
        usual(asked)
        _draw_series(series)


def _controls(metric: str, series: Sequence[models.MetricSeriesOut]) -> Asked:
    """Draw what can be chosen, as the address has it, and say in the address what was chosen."""
    can = _CAN.get(series[0].kind, tuple(_FUNCTIONS))
    pairs = sorted({f"{name}={value}" for one in series for name, value in one.labels.items()})
    names = sorted({name for one in series for name in one.labels})
    _take_address(can, pairs, names)
    with st.container(horizontal=True, key="filters-metric", vertical_alignment="bottom"):
        function = st.selectbox(
            "Function",
            can,
            format_func=lambda one: _FUNCTIONS[one],
            key="metric-function",
            width=150,
        )
        quantile = "0.95"
        if function == "quantile":
            st.session_state.setdefault("metric-quantile", quantile)
            quantile = st.selectbox("Quantile", _QUANTILES, key="metric-quantile", width=110)
        labels = st.multiselect(
            "Only with", pairs, key="metric-labels", placeholder="Any label", width=260
        )
        by = st.multiselect(
            "Group by", names, key="metric-by", placeholder="One line for all", width=220
        )
        window = st.segmented_control("Window", list(_WINDOWS), required=True, key="metric-window")
        week = st.toggle("Compare with a week ago", key="metric-week")
    asked = Asked(
        metric, str(function), str(quantile), tuple(labels), tuple(by), str(window), bool(week)
    )
    st.query_params.from_dict({**state.address(), **asked.address()})
    st.session_state["metric-told"] = asked
    return asked


def _take_address(can: Sequence[str], pairs: Sequence[str], names: Sequence[str]) -> None:
    """Set the controls to what the address says, when it is not what they themselves last said."""
    said = st.query_params
    function = said.get("function", "")
    quantile = said.get("quantile", "")
    given = Asked(
        metric=said.get(_METRIC, ""),
        function=function if function in can else can[0],
        quantile=quantile if quantile in _QUANTILES else "0.95",
        labels=tuple(one for one in said.get_all("label") if one in pairs),
        by=tuple(one for one in said.get_all("by") if one in names),
        window=one if (one := said.get("window", "")) in _WINDOWS else _USUAL_WINDOW,
        week=said.get("compare") == "week",
    )
    told = st.session_state.get("metric-told")
    if given == told and "metric-function" in st.session_state:
        return
    st.session_state["metric-function"] = given.function
    st.session_state["metric-quantile"] = given.quantile
    st.session_state["metric-labels"] = list(given.labels)
    st.session_state["metric-by"] = list(given.by)
    st.session_state["metric-window"] = given.window
    st.session_state["metric-week"] = given.week


def _common(asked: Asked) -> dict[str, Any]:
    """Return what every question about it has."""
    return {
        "name": asked.metric,
        "aggregate": asked.function,
        "quantile": float(asked.quantile),
        "label": list(asked.labels),
        "by": list(asked.by),
    }


@st.fragment(run_every=TICK_SECONDS)
def lines(asked: Asked, kind: str) -> None:
    """Draw the curves and their table; Streamlit runs this alone, again and again."""
    api = state.current().api
    refresh = min(
        max(_WINDOWS[asked.window].total_seconds() / _POINTS, _LEAST_REFRESH), _MOST_REFRESH
    )

    def ask() -> models.MetricLinesOut:
        until = markup.now()
        return api.query_metric(
            **_common(asked),
            since=until - _WINDOWS[asked.window],
            until=until,
            top=_TOP,
            points=_POINTS,
            with_week_before=asked.week,
        )

    with problems.guard():
        kept = latest.ask("metrics-lines", asked, ask, refresh)
        if kept is None:
            return
        found = kept.found
        if not found.lines:
            markup.empty("No series matches", "Take a label away to see more.")
            return
        step = timedelta(seconds=found.step_seconds)
        times = [found.start_at + step * at for at in range(len(found.lines[0].points))]
        charts.lines(
            "metric-lines",
            f"{_FUNCTIONS[asked.function]} of {asked.metric}",
            times,
            [
                charts.Line(_labels(one.labels) or "All series", one.points, one.points_week_before)
                for one in found.lines
            ],
            _unit(asked, kind, found.step_seconds),
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            _updated(kept)
            st.download_button(
                "Download CSV",
                to_csv(found, times),
                file_name=f"{asked.metric}.csv",
                mime="text/csv",
                key="metric-csv",
                icon=":material/download:",
                on_click="ignore",
            )
        if found.lines_left_out:
            markup.note(f"The {len(found.lines)} greatest lines; {found.lines_left_out:,} more.")
        columns = _LINES if asked.week else _LINES[:2]
        table.draw("metric-table", "Lines", columns, [_row(one) for one in found.lines])


def _unit(asked: Asked, kind: str, step_seconds: int) -> str:
    every = next(
        f"{step_seconds // size} {unit}"
        for size, unit in ((3600, "h"), (60, "min"), (1, "s"))
        if step_seconds % size == 0
    )
    if asked.function == "rate":
        return f"a second, a point every {every}"
    if asked.function == "quantile":
        return f"{asked.quantile}, of each {every}"
    if kind != "gauge" and asked.function in {"sum", "count"}:
        return f"in each {every}"
    return f"of each {every}"


def _row(line: models.MetricLineOut) -> dict[str, str]:
    change = markup.NONE
    if line.value is not None and line.value_week_before:
        change = f"{line.value / line.value_week_before - 1:+.1%}"
    return {
        "line": _labels(line.labels) or "All series",
        "value": _number(line.value),
        "before": _number(line.value_week_before),
        "change": change,
    }


def to_csv(found: models.MetricLinesOut, times: Sequence[datetime]) -> bytes:
    """Return the points as CSV: a row a point, a column a line; empty: nothing was measured."""
    columns: list[tuple[str, Sequence[float | None]]] = []
    for line in found.lines:
        name = _labels(line.labels) or found.name
        columns.append((name, line.points))
        if line.points_week_before is not None:
            columns.append((f"{name}, a week before", line.points_week_before))
    rows = (
        [at.isoformat(), *(values[place] for _, values in columns)]
        for place, at in enumerate(times)
    )
    return export.to_csv(["at", *(name for name, _ in columns)], rows)


# --- what is usual --------------------------------------------------------------------------


@st.fragment(run_every=_ANALYSIS_SECONDS)
def usual(asked: Asked) -> None:
    """Draw what is usual of the hours, where they go and what comes; redrawn every five minutes."""
    api = state.current().api
    zone = markup.zone_name()
    of = asked._replace(window=_USUAL_WINDOW, week=False)
    markup.section("What is usual")
    with problems.guard():
        scored = latest.ask(
            "metrics-scores",
            (of, zone),
            lambda: api.score_metric(**_common(of), top=_TOP, time_zone=zone),
            _LEAST_REFRESH,
        )
        if scored is None or not scored.found.lines:
            return
        chosen = _choose([_labels(one.labels) for one in scored.found.lines])
        line = scored.found.lines[chosen]
        tone = _TONES.get(line.latest.state, ("gray", line.latest.state))
        markup.status(*tone, line.latest.sentence)
        # Of the chosen line alone: its labels' values are filters as well.
        narrow = of._replace(
            labels=(*of.labels, *(f"{name}={value}" for name, value in line.labels.items())), by=()
        )
        ahead = latest.ask(
            "metrics-forecast",
            (narrow, zone),
            lambda: api.forecast_metric(**_common(narrow), hours=_AHEAD_HOURS, time_zone=zone),
            _LEAST_REFRESH,
        )
        trend = latest.ask(
            "metrics-trend",
            (narrow, zone),
            lambda: api.get_metric_trend(**_common(narrow), time_zone=zone),
            _LEAST_REFRESH,
        )
        _draw_usual(scored.found.start_at, line, ahead.found if ahead else None)
        with st.container(key="card-metric-outlook"):
            markup.section("Trend and forecast")
            facts = [
                ("Trend, 28 days", one.sentence) for one in (trend.found.lines if trend else ())
            ]
            for one in ahead.found.lines if ahead else ():
                facts += [
                    (f"Forecast, {_AHEAD_HOURS} hours", one.sentence),
                    ("Method", one.method.replace("_", " ")),
                ]
            markup.facts(facts)
        _updated(scored)


def _choose(names: Sequence[str]) -> int:
    if len(names) == 1:
        return 0
    if st.session_state.get("metric-line") not in names:
        st.session_state["metric-line"] = names[0]
    return names.index(str(st.selectbox("Line", names, key="metric-line", width=320)))


def _hours(start: datetime, count: int) -> list[datetime]:
    return [start + timedelta(hours=at) for at in range(count)]


def _draw_usual(
    start: datetime, line: models.MetricScoredLineOut, ahead: models.MetricForecastsOut | None
) -> None:
    past = charts.Expected(
        _hours(start, len(line.points)), line.points, line.low, line.high, line.usual
    )
    coming = None
    if ahead and ahead.lines:
        told = ahead.lines[0]
        times = _hours(ahead.start_at, len(told.points))
        coming = charts.Expected(times, told.points, told.low, told.high)
    odd = [one.at for one in line.unusual]
    charts.expected(
        "metric-usual",
        "Hours, what is usual of them, and those to come",
        past,
        coming=coming,
        odd=odd,
        unit=f"7 days by the hour, {markup.zone_name()}",
    )
    if line.unusual:
        more = f" and {line.unusual_left_out:,} more" if line.unusual_left_out else ""
        with st.expander(f"{len(line.unusual)} unusual hours{more}", key="metric-odd"):
            table.draw(
                "metric-odd-hours",
                "Unusual hours",
                _ODD,
                [
                    {
                        "at": markup.when(one.at),
                        "score": f"{one.score:.1f}" if one.score is not None else markup.NONE,
                        "sentence": one.sentence,
                    }
                    for one in line.unusual
                ],
            )


def _draw_series(series: Iterable[models.MetricSeriesOut]) -> None:
    found = list(series)
    markup.section(f"Series ({len(found):,})")
    table.draw(
        "metric-series",
        "Series",
        _SERIES,
        [
            {
                "labels": _labels(one.labels) or "no labels",
                "value": _number(one.last_value),
                "total": _number(one.total) if one.kind != "gauge" else markup.NONE,
                "observations": f"{one.observations:,}",
                "age": _age(one.last_at),
                "at": markup.moment(one.last_at),
            }
            for one in found[:_MAX_NAMES]
        ],
    )
    if len(found) > _MAX_NAMES:
        markup.note(f"The {_MAX_NAMES} that were heard of last.")


def page() -> None:
    """Draw the list, or the metric that the address names."""
    metric = st.query_params.get(_METRIC)
    if metric:
        explorer(metric)
    else:
        listing()


if __name__ == "__main__":
    page()
