"""Prometheus: its series asked in PromQL, what it scrapes and how that goes, its rules and alerts.

What is looked at stands whole in the page's address: a link shows somebody else the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

import streamlit as st

from dashboard import client, state
from dashboard.client import ApiProblem, models
from dashboard.widgets import charts, confirm, export, latest, markup, problems, promql, table

NAMES_SECONDS: Final = 60
_Samples = models.SamplesOut | models.SampleRangeOut
_ABSENT: Final = "monitoring.prometheus_absent"
_UNREAD: Final = "monitoring.bad_query"
_CHANGED: Final = "monitoring.query_changed"
_EDITOR: Final = "prometheus-editor"
_TOLD: Final = "prometheus-told"
_OPENED: Final = "prometheus-opened"
_DRAWN: Final = 20
_SHOWN: Final = 200
_KEPT: Final = 200
_LONGEST: Final = 80
_NAMES_WINDOW: Final = timedelta(hours=6)
_CLOCK: Final = "%Y-%m-%d %H:%M:%S"
_OWN: Final = "own"
_USUAL: Final = "1h"
_SPANS: Final[dict[str, tuple[str, timedelta]]] = {
    "15m": ("Last 15 minutes", timedelta(minutes=15)),
    "1h": ("Last hour", timedelta(hours=1)),
    "6h": ("Last 6 hours", timedelta(hours=6)),
    "24h": ("Last 24 hours", timedelta(days=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
    _OWN: ("From and to", timedelta()),
}
_PARTS: Final = {"query": "Query", "targets": "Targets", "rules": "Rules and alerts"}
_KINDS: Final = {"range": "Over time", "instant": "At one moment"}
_WHOSE: Final = {"tenant": "This tenant", "platform": "The platform"}
_HEALTH: Final = {"up": "works", "down": "fails", "unknown": "not looked at"}
_TARGETS: Final = (
    table.Column("job", "Job", "strong"),
    table.Column("health", "Now", "badge"),
    table.Column("labels", "Labels", "code"),
    table.Column("scraped", "Scraped", "time"),
    table.Column("took", "Took, ms", "number"),
)
# Why one fails stands before how long it took: a desk has room for six.
_TOLD_TARGETS: Final = (
    *_TARGETS[:2],
    table.Column("error", "Says", title="error"),
    *_TARGETS[2:4],
    table.Column("url", "Address", "code", title="url"),
)
_RULES: Final = (
    table.Column("name", "Rule", "strong"),
    table.Column("state", "Now", "badge"),
    table.Column("kind", "Kind"),
    table.Column("alerts", "Alerts", "number"),
    table.Column("query", "Query", "code", title="query"),
)
_ALERTS: Final = (
    table.Column("name", "Alert", "strong"),
    table.Column("state", "Now", "badge"),
    table.Column("labels", "Labels", "code", title="labels"),
    table.Column("since", "Since", "time"),
    table.Column("summary", "Says", title="summary"),
)
_MOMENT: Final = (
    table.Column("series", "Series", "code", title="series"),
    table.Column("value", "Value", "number"),
)
_RANGE: Final = (
    table.Column("series", "Series", "code", title="series"),
    table.Column("last", "Last", "number"),
    table.Column("least", "Least", "number"),
    table.Column("greatest", "Greatest", "number"),
    table.Column("points", "Points", "number"),
)
_SAVED: Final = (
    table.Column("name", "Name", "strong"),
    table.Column("query", "Query", "code", title="query"),
    table.Column("by", "Changed by"),
    table.Column("at", "Changed", "time"),
)


class Asked(NamedTuple):
    """What is looked at: all that the address says of it. ``span`` is a key of the time ranges."""

    part: str
    whose: str
    query: str
    kind: str
    span: str
    since: str
    until: str
    saved: str

    def address(self) -> dict[str, str]:
        """Return the parameters of its address; what is usual or empty is left out."""
        said = {"part": self.part, "whose": self.whose}
        if self.part == "query":
            said |= {"query": self.query, "kind": self.kind, "saved": self.saved}
            if self.span == _OWN:
                said |= {"since": self.since, "until": self.until}
            else:
                said["range"] = self.span
        usual = {"part": "query", "whose": "tenant", "kind": "range", "range": _USUAL}
        return {name: one for name, one in said.items() if one and one != usual.get(name)}


class Door(NamedTuple):
    """The questions as the tenant may ask them, or as the platform's staff."""

    query: Callable[..., models.SamplesOut]
    query_range: Callable[..., models.SampleRangeOut]
    labels: Callable[..., models.LabelNamesOut]
    values: Callable[..., models.LabelNamesOut]
    targets: Callable[[], models.ScrapeTargetPage]
    rules: Callable[[], models.PrometheusRulePage]


def _door(whose: str) -> Door:
    api = state.current().api
    if whose == "platform":
        return Door(
            api.query_platform_prometheus,
            api.query_platform_prometheus_range,
            api.list_platform_prometheus_labels,
            api.list_platform_prometheus_label_values,
            api.list_platform_prometheus_targets,
            api.list_platform_prometheus_rules,
        )
    return Door(
        api.query_prometheus,
        api.query_prometheus_range,
        api.list_prometheus_labels,
        api.list_prometheus_label_values,
        api.list_prometheus_targets,
        api.list_prometheus_rules,
    )


def page() -> None:
    """Draw the page."""
    asked = _controls()
    door = _door(asked.whose)
    try:
        if asked.part == "targets":
            targets(door.targets().items)
        elif asked.part == "rules":
            rules(door.rules().items)
        else:
            _query(asked, door)
    except ApiProblem as problem:
        if problem.code != _ABSENT:
            raise
        markup.empty(
            "No Prometheus is connected",
            "Whoever runs the platform connects one: EMAIL_SENDER__MONITORING__PROMETHEUS_URL is "
            "its address. For a try, scripts/run --with-prometheus starts one.",
        )


# --- what is looked at, and the address -----------------------------------------------------


def _whose() -> list[str]:
    """Return whose series this person may see."""
    session = state.current()
    needed = {"tenant": "prometheus:read", "platform": "platform:read"}
    return [whose for whose, permission in needed.items() if session.can(permission)]


def _controls() -> Asked:
    """Draw what can be chosen, as the address has it, and say in the address what was chosen."""
    may = _whose()
    _take_address(may)
    asked_now = promql.taken(_EDITOR)
    if asked_now is not None:
        st.session_state["prometheus-query"] = asked_now
    with markup.heading_row():
        markup.page_heading(
            "Prometheus", "Series in PromQL, what is scraped and how that goes, rules and alerts."
        )
        if len(may) > 1:
            st.segmented_control(
                "Series of",
                may,
                format_func=_WHOSE.__getitem__,
                required=True,
                key="prometheus-whose",
            )
    st.segmented_control(
        "Look at",
        list(_PARTS),
        format_func=_PARTS.__getitem__,
        required=True,
        key="prometheus-part",
        label_visibility="collapsed",
    )
    kept = st.session_state
    if kept["prometheus-part"] == "query":
        _times()
    asked = Asked(
        part=str(kept["prometheus-part"]),
        whose=str(kept["prometheus-whose"]) if len(may) > 1 else may[0],
        query=str(kept["prometheus-query"]),
        kind=str(kept.get("prometheus-kind", "range")),
        span=str(kept.get("prometheus-span", _USUAL)),
        since=str(kept.get("prometheus-since", "")).strip(),
        until=str(kept.get("prometheus-until", "")).strip(),
        saved=str(kept["prometheus-saved"]),
    )
    st.query_params.from_dict(state.address(**asked.address()))
    kept[_TOLD] = asked
    return asked


def _times() -> None:
    # A line of its own: beside the time a phone cuts it.
    st.segmented_control(
        "Ask for",
        list(_KINDS),
        format_func=_KINDS.__getitem__,
        required=True,
        key="prometheus-kind",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters-prometheus"):
        st.selectbox(
            "Time",
            list(_SPANS),
            format_func=lambda name: _SPANS[name][0],
            key="prometheus-span",
            width=190,
        )
        if st.session_state["prometheus-span"] == _OWN:
            for name, words in (("since", "From"), ("until", "To")):
                st.text_input(
                    words,
                    key=f"prometheus-{name}",
                    placeholder="2026-01-31 08:00:00",
                    width=190,
                    help=f"In {markup.zone_name()}, unless it names a zone. `To` empty: now.",
                )


def _take_address(may: Sequence[str]) -> None:
    """Set the controls to what the address says, when it is not what they themselves last said."""
    said = st.query_params

    def one(name: str, known: Mapping[str, Any] | Sequence[str], usual: str) -> str:
        given = str(said.get(name, ""))
        return given if given in known else usual

    own = "since" in said or "until" in said
    given = Asked(
        part=one("part", _PARTS, "query"),
        whose=one("whose", may, may[0]),
        query=said.get("query", ""),
        kind=one("kind", _KINDS, "range"),
        span=_OWN if own else one("range", _SPANS, _USUAL),
        since=said.get("since", ""),
        until=said.get("until", ""),
        saved=said.get("saved", ""),
    )
    # Of the run before, whose classes were others: not to be told by its type.
    told: Any = st.session_state.get(_TOLD)
    same = told is not None and told.address() == given.address()
    if same and told is not None and "prometheus-query" in st.session_state:
        # Streamlit forgets what a widget was set to that a run did not draw.
        given = told
    for name, value in given._asdict().items():
        key = f"prometheus-{name}"
        if not same or key not in st.session_state:
            st.session_state[key] = value


def _moment(text: str) -> datetime | None:
    """Return the time that a text says, by the clock of whoever looks where it names no zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=markup.zone())


def window_of(asked: Asked, now: datetime) -> tuple[datetime, datetime] | str:
    """Return the first moment and the last that are asked about, or what is wrong with them."""
    if asked.span != _OWN:
        return now - _SPANS[asked.span][1], now
    since = _moment(asked.since)
    until = _moment(asked.until) if asked.until else now
    if until is None or (since is None and asked.since):
        return "Times are written as 2026-01-31 08:00:00."
    since = since or until - _SPANS[_USUAL][1]
    if since > until:
        return "The time range ends before it begins."
    return since, until


# --- queries --------------------------------------------------------------------------------


def _query(asked: Asked, door: Door) -> None:
    """Draw the editor over what its query comes to: an error is marked in it."""
    above = st.container()
    metrics, labels = _names(asked, door)
    mark = None
    refused: ApiProblem | None = None
    window = window_of(asked, markup.now())
    found: _Samples | None = None
    if asked.query.strip() and not isinstance(window, str):
        try:
            found = (
                door.query_range(query=asked.query, since=window[0], until=window[1])
                if asked.kind == "range"
                else door.query(query=asked.query, at=window[1])
            )
        except ApiProblem as problem:
            if problem.code == _ABSENT:
                raise
            refused = problem
            mark = promql.place_of(problem.detail) if problem.code == _UNREAD else None
    with above:
        promql.draw(_EDITOR, asked.query, metrics=metrics, labels=labels, mark=mark)
    if isinstance(window, str):
        markup.field_error(window)
    elif refused is not None:
        if mark is not None:
            markup.field_error(f"Line {mark.line}, column {mark.column}:")
            st.code(pointed(asked.query, mark), language=None)
        problems.show(refused)
    elif isinstance(found, models.SampleRangeOut):
        _draw_range(found, window)
    elif found is not None:
        _draw_moment(found, window[1])
    else:
        markup.empty("Nothing is asked", "Write a query, for example up, or open a saved one.")
    _saved(asked)


def pointed(query: str, mark: promql.Mark) -> str:
    """Return the line of a query with a caret below the place."""
    lines = query.split("\n")
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    # Tabs as they are, so that the caret stands below its sign.
    before = "".join("\t" if sign == "\t" else " " for sign in line[: mark.column - 1])
    return f"{line}\n{before}^"


def _names(asked: Asked, door: Door) -> tuple[Sequence[str], Sequence[str]]:
    """Return the names of metrics and labels; none when they are not to be had."""

    def ask() -> tuple[Sequence[str], Sequence[str]]:
        until = markup.now()
        since = until - _NAMES_WINDOW
        metrics = door.values(name="__name__", since=since, until=until).items
        return metrics, door.labels(since=since, until=until).items

    names = st.session_state.get("prometheus-names")
    kept: latest.Kept[tuple[Sequence[str], Sequence[str]]] | None = (
        names if isinstance(names, latest.Kept) and names.asked == asked.whose else None
    )
    if kept and (markup.now() - kept.at).total_seconds() < NAMES_SECONDS:
        return kept.found
    try:
        found = ask()
    except ApiProblem as problem:
        if problem.code == _ABSENT:
            raise
        # Said by what is asked for itself; an editor without names is one still.
        return (), ()
    st.session_state["prometheus-names"] = latest.Kept(asked.whose, found, markup.now())
    return found


def _draw_range(found: models.SampleRangeOut, window: tuple[datetime, datetime]) -> None:
    if not any(line.times for line in found.lines):
        markup.empty("No series", "Nothing has a value in this time range.")
        _warn(found)
        return
    times, values = on_a_grid(found, window)
    drawn = [
        charts.Line(_short(written(line.labels)), of_line)
        for line, of_line in zip(found.lines[:_DRAWN], values, strict=False)
    ]
    charts.lines("prometheus-lines", "Over time", times, drawn, _step(found.step_seconds))
    if len(found.lines) > _DRAWN:
        markup.note(f"The first {_DRAWN} of {len(found.lines):,} series are drawn.")
    rows = []
    for line, of_line in zip(found.lines[:_SHOWN], values, strict=False):
        known = [one for one in of_line if one is not None]
        rows.append(
            {
                "series": written(line.labels),
                "last": _number(line.values[-1]) if line.values else markup.NONE,
                "least": _number(min(known)) if known else markup.NONE,
                "greatest": _number(max(known)) if known else markup.NONE,
                "points": f"{len(line.values):,}",
            }
        )
    table.draw("prometheus-range", "Series", _RANGE, rows)
    _below(found)


def _draw_moment(found: models.SamplesOut, at: datetime) -> None:
    if not found.lines:
        markup.empty("No series", f"Nothing has a value at {markup.moment(at)}.")
        _warn(found)
        return
    markup.note(f"At {markup.moment(at)}.")
    table.draw(
        "prometheus-moment",
        "Series",
        _MOMENT,
        [
            {"series": written(one.labels), "value": ", ".join(_number(v) for v in one.values)}
            for one in found.lines[:_SHOWN]
        ],
    )
    _below(found)


def _below(found: _Samples) -> None:
    if len(found.lines) > _SHOWN:
        markup.note(f"The first {_SHOWN} of {len(found.lines):,} series; the file has all.")
    _warn(found)
    st.download_button(
        "Download CSV",
        partial(to_csv, found),
        file_name="prometheus.csv",
        mime="text/csv",
        key="prometheus-csv",
        icon=":material/download:",
        on_click="ignore",
    )


def to_csv(found: _Samples) -> bytes:
    """Return all samples as CSV: a row each, values as Prometheus writes them."""
    rows = (
        (written(line.labels), _iso(at), value)
        for line in found.lines
        for at, value in zip(line.times, line.values, strict=True)
    )
    return export.to_csv(["series", "at", "value"], rows)


def _warn(found: _Samples) -> None:
    histograms = sum(line.histograms for line in found.lines)
    if histograms:
        markup.note(f"{histograms:,} native histograms are left out: ask histogram_quantile.")
    for warning in found.warnings:
        markup.note(f"Prometheus warns: {warning}")


def on_a_grid(
    found: models.SampleRangeOut, window: tuple[datetime, datetime]
) -> tuple[list[datetime], list[list[float | None]]]:
    """Return the steps of a window, and of each series a value or None at each of them.

    A step without a sample is no zero, and neither are NaN and the infinities drawn.
    """
    step = found.step_seconds
    first = min(line.times[0] for line in found.lines if line.times)
    # From the window's first step on, though no series may begin so early.
    begin = first - step * max(math.floor((first - window[0].timestamp()) / step), 0)
    last = max(line.times[-1] for line in found.lines if line.times)
    end = last + step * max(math.floor((window[1].timestamp() - last) / step), 0)
    count = round((end - begin) / step) + 1
    times = [datetime.fromtimestamp(begin + step * at, tz=window[0].tzinfo) for at in range(count)]
    values: list[list[float | None]] = []
    for line in found.lines:
        row: list[float | None] = [None] * count
        for at, text in zip(line.times, line.values, strict=True):
            value = float(text)
            if math.isfinite(value):
                row[round((at - begin) / step)] = value
        values.append(row)
    return times, values


def written(labels: Mapping[str, str]) -> str:
    """Return a series as PromQL writes it."""
    name = labels.get("__name__", "")
    rest = ", ".join(f'{one}="{value}"' for one, value in labels.items() if one != "__name__")
    return f"{name}{{{rest}}}" if rest else name or "{}"


def _short(name: str) -> str:
    """Return a name that a legend has room for."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _number(value: float | str) -> str:
    """Return a number with the digits that tell something; what is none stays as it is."""
    try:
        number = float(value)
    except ValueError:
        return str(value)
    if not math.isfinite(number):
        return str(value)
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e15 else f"{number:.6g}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=markup.zone()).isoformat()


def _step(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"a point every {seconds / size:g} {unit}"
    return f"a point every {seconds:g} s"


# --- saved queries --------------------------------------------------------------------------


def _saved(asked: Asked) -> None:
    """Draw the queries that the tenant keeps, and what can be done with the one on show."""
    session = state.current()
    if not session.can("prometheus_query:read"):
        return
    with st.container(key="card-prometheus-saved"), problems.guard():
        markup.section("Saved queries")
        found = session.api.list_prometheus_queries(limit=_KEPT).items
        if session.can("prometheus_query:write"):
            _keep(asked)
        if not found:
            markup.note("None is saved yet.")
            return
        opened = table.draw(
            "prometheus-kept",
            "Saved queries",
            _SAVED,
            [
                {
                    "id": one.id,
                    "name": one.name,
                    "query": one.query,
                    "by": session.names.of(one.updated_by),
                    "at": markup.when(one.updated_at),
                }
                for one in sorted(found, key=lambda one: one.name.casefold())
            ],
            opens=True,
        )
        if opened:
            chosen = next(one for one in found if one.id == opened)
            _go(asked._replace(query=chosen.query, saved=chosen.id))


def _go(asked: Asked) -> None:
    """Show this instead: the address says it, and the page follows."""
    st.session_state.pop(_OPENED, None)
    st.query_params.from_dict(state.address(**asked.address()))
    st.rerun()


def _keep(asked: Asked) -> None:
    """Draw the ways to save what is on show: over the opened one, or under a new name."""
    api = state.current().api
    if asked.saved:
        _opened(asked)
    if not asked.query.strip():
        markup.note("Run a query to save it.")
        return
    with (
        st.form("prometheus-save-as", border=False, enter_to_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        name = st.text_input(
            "Save under a new name",
            key="prometheus-save-name",
            placeholder="Orders by shop",
            max_chars=100,
            width=320,
        )
        pressed = st.form_submit_button("Save as new", icon=":material/bookmark_add:")
    if not pressed:
        return
    if not name.strip():
        markup.field_error("A saved query has a name.")
        return
    made = api.create_prometheus_query(
        models.PrometheusQueryPut(name=name.strip(), query=asked.query)
    )
    confirm.say_after_rerun(f"{made.name} is saved for everybody in this tenant.")
    _go(asked._replace(saved=made.id))


def _opened(asked: Asked) -> None:
    """Draw the saved query that is open: its name, whether it was changed, saving, deleting."""
    api = state.current().api
    kept = st.session_state.get(_OPENED)
    if not isinstance(kept, client.Tagged) or kept.value.id != asked.saved:
        try:
            kept = api.get_prometheus_query(asked.saved)
        except ApiProblem as problem:
            if problem.status != 404:
                raise
            markup.note("The saved query that this address names is not there any more.")
            return
        st.session_state[_OPENED] = kept
    one: models.PrometheusQueryOut = kept.value
    changed = one.query != asked.query
    markup.note(f"{one.name} is open{', and what is on show differs from it' if changed else ''}.")
    with st.container(horizontal=True):
        if changed and st.button(
            f"Save over {one.name}", key="prometheus-save", icon=":material/save:"
        ):
            body = models.PrometheusQueryPut(name=one.name, query=asked.query)
            with _newest():
                api.put_prometheus_query(one.id, body, if_match=kept.etag)
                confirm.say_after_rerun(f"{one.name} is changed, and on record.")
                _go(asked)
        if confirm.ask(
            "prometheus-delete",
            "Delete",
            icon=":material/delete:",
            will=f"{one.name} is deleted for everybody in this tenant. Series are not touched.",
            yes="Delete this query",
            danger=True,
        ):
            with _newest():
                api.delete_prometheus_query(one.id, if_match=kept.etag)
                confirm.say_after_rerun(f"{one.name} is deleted.")
                _go(asked._replace(saved=""))


@contextmanager
def _newest() -> Iterator[None]:
    """Have what somebody else changed meanwhile be read again, once the refusal is said."""
    try:
        yield
    except ApiProblem as problem:
        if problem.code == _CHANGED:
            st.session_state.pop(_OPENED, None)
        raise


# --- targets, rules, alerts -----------------------------------------------------------------


def targets(found: Sequence[models.ScrapeTargetOut]) -> None:
    """Draw what is scraped: what fails first."""
    if not found:
        markup.empty("No target", "Nothing is scraped whose series you may see.")
        return
    failing = [one for one in found if one.health == "down"]
    unknown = [one for one in found if one.health == "unknown"]
    if failing:
        said = f"{len(failing)} of {len(found)} are not scraped."
        markup.status("red", "Fails", said)
    elif unknown:
        markup.status(
            "gray", "Not measured", f"{len(unknown)} of {len(found)} were not scraped yet."
        )
    else:
        markup.status("green", "Works", f"All {len(found)} are scraped.")
    told = any(one.url for one in found)
    order = ("down", "unknown", "up")
    table.draw(
        "prometheus-targets",
        "Targets",
        _TOLD_TARGETS if told else _TARGETS,
        [
            {
                "job": one.job,
                "health": _HEALTH[one.health],
                "labels": _labels(one.labels, without=("job",)),
                "scraped": _when(one.scraped_at),
                "took": f"{1000 * one.seconds:,.1f}",
                "url": one.url or markup.NONE,
                "error": one.error or markup.NONE,
            }
            for one in sorted(found, key=lambda one: (order.index(one.health), one.job))
        ],
    )


def rules(found: Sequence[models.PrometheusRuleOut]) -> None:
    """Draw the alerts that there are, then the rules."""
    if not found:
        markup.empty("No rule", "No rule is about series that you may see.")
        return
    alerts = [(rule, alert) for rule in found for alert in rule.alerts]
    firing = sum(alert.state == "firing" for _, alert in alerts)
    broken = [rule for rule in found if rule.health == "err"]
    if firing:
        markup.status(
            "red", "Firing", f"{firing} alerts fire." if firing > 1 else "An alert fires."
        )
    elif broken:
        markup.status("red", "Fails", f"{len(broken)} rules cannot be evaluated.")
    elif any(rule.health == "unknown" for rule in found):
        markup.status("gray", "Not measured", "Some rules were not evaluated yet.")
    else:
        markup.status("green", "Quiet", f"Of {len(found)} rules none fires.")
    if alerts:
        markup.section("Alerts")
        table.draw(
            "prometheus-alerts",
            "Alerts",
            _ALERTS,
            [
                {
                    "name": rule.name,
                    "state": alert.state,
                    "labels": _labels(alert.labels, without=("alertname",)),
                    "since": _when(alert.since),
                    "summary": alert.annotations.get("summary", markup.NONE),
                }
                for rule, alert in sorted(alerts, key=lambda pair: pair[1].state)
            ],
        )
    markup.section("Rules")
    table.draw(
        "prometheus-rules",
        "Rules",
        _RULES,
        [
            {
                "group": rule.group,
                "name": rule.name,
                "state": _state(rule),
                "kind": rule.kind,
                "alerts": f"{len(rule.alerts):,}" if rule.kind == "alerting" else markup.NONE,
                "query": rule.query or markup.NONE,
            }
            for rule in found
        ],
        group="group",
    )


def _state(rule: models.PrometheusRuleOut) -> str:
    if rule.health != "ok":
        return "fails" if rule.health == "err" else "not looked at"
    return rule.state or "works"


def _labels(labels: Mapping[str, str], *, without: Sequence[str]) -> str:
    kept = [f"{name}={value}" for name, value in labels.items() if name not in without]
    return ", ".join(kept) or markup.NONE


def _when(text: str | None) -> str:
    return markup.when(datetime.fromisoformat(text)) if text else markup.NONE


if __name__ == "__main__":
    page()
