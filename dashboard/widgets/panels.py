"""Panels of a dashboard: each asks the platform what it says, draws it, and hands it over as CSV.

A panel is a fragment of its own, and all of them ask at once: one that is slow, or fails, leaves
the others as they are. What is asked is asked as whoever looks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

import streamlit as st

from dashboard import client, state, theme
from dashboard.widgets import charts, export, latest, markup, problems, table, usage

_T = TypeVar("_T")

TICK_SECONDS: Final = 30
STEP_PIXELS: Final = 70
"""How high a panel of the height 1 is."""
ZOOM: Final = "dashboards-zoom"
"""Where the stretch of time stands that was drawn over, until the page takes it."""
_POINTS: Final = 1000
_LEAST_REFRESH: Final = 15
_MOST_REFRESH: Final = 300
_NEVER: Final = 86_400
_ROWS: Final = 2
"""Of a table, in a panel of the height 1."""
_DAY_MINUTES: Final = 1440
_OPERATIONS_MINUTES: Final = 360
_REFERENCE: Final = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")
_COLORS: Final = {"latency": "#5B8DEF", "errors": "#E0555F"}
_SLO: Final = {"met": "green", "at_risk": "amber", "missed": "red"}


@dataclass(frozen=True, slots=True)
class Look:
    """At what one looks: the last ``minutes``, or from ``since`` to ``until``.

    Attributes:
        minutes: Used where there is no ``since``.
        since: The first moment.
        until: The last one.
        values: Of the variables, by name.
        platform: Whether the dashboard is the platform's, and asks about all of it.
    """

    minutes: int
    since: datetime | None = None
    until: datetime | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    platform: bool = False

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The first moment and the last, as of now."""
        if self.since is not None and self.until is not None:
            return self.since, self.until
        now = markup.now()
        return now - timedelta(minutes=self.minutes), now

    @property
    def refresh_seconds(self) -> float:
        """How old an answer may be: what is over is asked once."""
        if self.since is not None:
            return _NEVER
        return min(max(self.minutes * 60 / _POINTS, _LEAST_REFRESH), _MOST_REFRESH)

    def fill(self, text: str, escape: Callable[[str], str] = str) -> str:
        """Return the text with the variables' values in their places."""
        return _REFERENCE.sub(lambda found: escape(self.values.get(found[1], "")), text)


class Csv(NamedTuple):
    """What a panel shows, as rows."""

    names: Sequence[str]
    rows: Sequence[Sequence[object]]


class Panel(NamedTuple):
    """A panel as it is drawn: under which key, and what it asks."""

    key: str
    title: str
    height: int
    query: Mapping[str, Any]
    look: Look

    def ask(self, what: str, fetch: Callable[[], _T]) -> _T | None:
        """Ask, unless the last answer is new enough; a problem is drawn in its place."""
        asked = (what, dict(self.query), self.look)
        kept = latest.ask(f"{self.key}-{what}", asked, fetch, self.look.refresh_seconds)
        return kept.found if kept else None

    def text(self, name: str) -> str | None:
        """Return what the query says there, its variables filled in; None where that is nothing."""
        found = self.query.get(name)
        return self.look.fill(str(found)) or None if found is not None else None

    @property
    def chart(self) -> str:
        """The key of what a stretch can be chosen in: another one for another span."""
        since, until = self.look.since, self.look.until
        if since is None or until is None:
            return f"{self.key}-chart-{self.look.minutes}"
        return f"{self.key}-chart-{since:%Y%m%d%H%M%S}-{until:%Y%m%d%H%M%S}"

    @property
    def rows(self) -> int:
        """How many rows of a table are shown."""
        return max(self.height * _ROWS, 3)

    @property
    def pixels(self) -> int:
        """How high a drawing is."""
        return max(self.height * STEP_PIXELS, 140)


def zoom(first: datetime, last: datetime) -> None:
    """Have the page look at this stretch of time."""
    st.session_state[ZOOM] = (first, last)


@st.fragment(run_every=TICK_SECONDS, parallel=True)
def draw(key: str, panel: Mapping[str, Any], look: Look) -> None:
    """Draw a panel; Streamlit runs each of them alone, again and again, and at first all at once.

    Args:
        key: Unique on the page.
        panel: As it comes over the wire.
        look: At what one looks.
    """
    if ZOOM in st.session_state:
        st.rerun(scope="app")
    title = look.fill(str(panel["title"]))
    source = next((name for name in DRAWN if panel.get(name) is not None), None)
    with problems.guard():
        if source is None:
            with _card(key, title):
                markup.note("This console does not know what this panel asks. Reload the page.")
            return
        one = Panel(key, title, int(panel["height"]), panel[source], look)
        found = DRAWN[source](one)
        if found is not None and found.rows:
            name = re.sub("[^a-z0-9]+", "-", title.lower()).strip("-") or "panel"
            st.download_button(
                "CSV",
                export.to_csv(found.names, found.rows),
                file_name=f"{name}.csv",
                mime="text/csv",
                key=f"{key}-csv",
                icon=":material/download:",
                type="tertiary",
                help=f"What {title} shows, as a file.",
                on_click="ignore",
            )


def _card(key: str, title: str) -> Any:
    card = st.container(key=f"card-{key}", gap="xsmall")
    with card:
        markup.section(title)
    return card


# --- series ---------------------------------------------------------------------------------


def _metric(panel: Panel) -> Csv | None:
    query, api = panel.query, state.current().api

    def ask() -> client.models.MetricLinesOut:
        since, until = panel.look.span
        labels = [panel.look.fill(one) for one in query.get("label") or ()]
        return api.query_metric(
            name=panel.text("name") or "",
            aggregate=query["aggregate"],
            quantile=query.get("quantile"),
            label=[one for one in labels if not one.endswith("=")],
            by=[panel.look.fill(one) for one in query.get("by") or ()],
            since=since,
            until=until,
            top=query.get("top"),
            points=_POINTS,
            with_week_before=query.get("with_week_before"),
        )

    found = panel.ask("metric", ask)
    if found is None or not found.lines:
        return _nothing(panel, found, "Nothing was recorded so in this time.")
    step = timedelta(seconds=found.step_seconds)
    times = [found.start_at + step * at for at in range(len(found.lines[0].points))]
    lines = [
        charts.Line(_labels(one.labels) or found.name, one.points, one.points_week_before)
        for one in found.lines
    ]
    return _draw_lines(panel, times, lines, f"{query['aggregate']}, each {_step(step)}")


def _prometheus(panel: Panel) -> Csv | None:
    api = state.current().api
    text = panel.look.fill(str(panel.query["query"]), _quoted)

    def ask() -> client.models.SampleRangeOut:
        since, until = panel.look.span
        if panel.look.platform:
            return api.query_platform_prometheus_range(query=text, since=since, until=until)
        return api.query_prometheus_range(query=text, since=since, until=until)

    found = panel.ask("prometheus", ask)
    if found is None or not found.lines:
        return _nothing(panel, found, "Prometheus has no such series in this time.")
    grid = sorted({at for line in found.lines for at in line.times})
    # Steps without a value are left out: without them a curve would be drawn across a gap.
    whole = _whole(grid, found.step_seconds)
    lines = []
    for at, line in enumerate(found.lines):
        values = dict(zip(line.times, line.values, strict=True))
        lines.append(
            charts.Line(
                _labels(line.labels) or f"Line {at + 1}",
                [_finite(values.get(one)) for one in whole],
            )
        )
    for warning in found.warnings:
        markup.note(warning)
    times = [datetime.fromtimestamp(at, UTC) for at in whole]
    step = timedelta(seconds=found.step_seconds)
    return _draw_lines(panel, times, lines, f"each {_step(step)}")


def _whole(grid: Sequence[float], step: float) -> list[float]:
    """Return the steps with what lies between them where some are missing, one a gap."""
    whole: list[float] = []
    for at in grid:
        if whole and step and at - whole[-1] > 1.5 * step:
            whole.append(whole[-1] + step)
        whole.append(at)
    return whole


def _quoted(value: str) -> str:
    """Return a value as it stands between quotes in PromQL."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _finite(text: str | None) -> float | None:
    number = float(text) if text is not None else math.nan
    return number if math.isfinite(number) else None


def _overview(panel: Panel) -> Csv | None:
    show, api = str(panel.query.get("show") or "requests"), state.current().api
    since, until = panel.look.span
    minutes = min(max(math.ceil((markup.now() - since).total_seconds() / 60), 1), _DAY_MINUTES)
    found = panel.ask("overview", lambda: api.read_overview(minutes=minutes))
    if found is None:
        return _nothing(panel, found, "")
    if markup.now() - since > timedelta(minutes=_DAY_MINUTES + 1):
        markup.note(f"{panel.title}: the overview knows the last day and no more.")
    if show in {"email_states", "job_states"}:
        of_mail = show == "email_states"
        counts = found.emails if of_mail else found.jobs
        charts.by_state(
            panel.key,
            panel.title,
            counts,
            list(counts),
            unit="now",
            nothing=f"No {'e-mails' if of_mail else 'jobs'} in this time.",
            saves=True,
        )
        return Csv(("state", "count"), list(counts.items()))
    if show == "delivery":
        return _delivery(panel, found.delivery)
    points = [one for one in found.series if since <= one.at <= until]
    values: list[float | None] = [
        one.p95_ms
        if show == "latency"
        else one.requests_per_second
        if show == "requests"
        else None
        if one.error_rate is None
        else 100 * one.error_rate
        for one in points
    ]
    unit = {"latency": "ms, p95", "errors": "% of requests"}.get(show, "a second")
    line = charts.Line(panel.title, values)
    return _draw_lines(panel, [one.at for one in points], [line], unit)


def _delivery(panel: Panel, found: client.models.DeliveryOut) -> Csv:
    share = found.accepted_share
    with _card(panel.key, panel.title):
        rows = [
            (
                "Accepted, of what is settled",
                markup.NONE if share is None else markup.percent(share),
            ),
            *(
                (name.capitalize(), f"{getattr(found, name):,}")
                for name in ("settled", "accepted", "partial", "bounced", "suppressed")
            ),
        ]
        markup.facts(rows)
    return Csv(("what", "value"), rows)


def _draw_lines(
    panel: Panel, times: Sequence[datetime], lines: Sequence[charts.Line], unit: str
) -> Csv:
    charts.lines(
        panel.chart,
        panel.title,
        times,
        lines,
        unit,
        height=panel.pixels,
        saves=True,
        choose=zoom,
    )
    columns: list[tuple[str, Sequence[float | None]]] = []
    for line in lines:
        columns.append((line.name, line.values))
        if line.before is not None:
            columns.append((f"{line.name}, a week before", line.before))
    return Csv(
        ["at", *(name for name, _ in columns)],
        [[at.isoformat(), *(values[place] for _, values in columns)]
         for place, at in enumerate(times)],
    )  # fmt: skip


def _usage(panel: Panel) -> Csv | None:
    show, api = str(panel.query.get("show") or "requests"), state.current().api
    since, until = (at.astimezone(UTC).date() for at in panel.look.span)
    found = panel.ask("usage", lambda: api.get_usage(from_=since.isoformat(), to=until.isoformat()))
    if found is None or not found.days:
        return _nothing(panel, found, "Nothing was counted on these days, which are in UTC.")
    label, color = usage.DAYS.get(show, (show, charts.PALETTE[0]))
    days = [date.fromisoformat(one.day) for one in found.days]
    values = [int(getattr(one, show, 0)) for one in found.days]
    charts.by_day(panel.key, panel.title or label, days, values, color=color, saves=True)
    return Csv(("day", show), list(zip(days, values, strict=True)))


# --- logs, traces, the trail ----------------------------------------------------------------


def _logs(panel: Panel) -> Csv | None:
    show, api = str(panel.query.get("show") or "levels"), state.current().api

    def asked() -> dict[str, Any]:
        since, until = panel.look.span
        named = {name: panel.text(name) for name in ("level", "source", "words")}
        return {**named, "after": since, "before": until}

    if show == "lines":
        page = panel.ask("lines", lambda: api.list_logs(**asked(), limit=panel.rows))
        if page is None or not page.items:
            return _nothing(panel, page, "No line in this time.")
        names = ("message", "level", "source", "at")
        cells = [(one.message, one.level, one.source, markup.when(one.at)) for one in page.items]
        looks: dict[str, table.Kind] = {"message": "strong", "level": "badge", "at": "time"}
        return _draw_table(panel, names, cells, looks)
    found = panel.ask("summary", lambda: api.sum_up_logs(**asked()))
    if found is None or not found.count:
        return _nothing(panel, found, "No line in this time.")
    if not found.complete:
        markup.note(f"The newest {found.count:,} of more are counted.")
    if show == "sources":
        counts = [(one.value or "no source", one.count) for one in found.sources]
        return _draw_counts(panel, "source", counts)
    charts.by_level(
        panel.chart,
        panel.title,
        {one.at: one.levels for one in found.steps},
        span=panel.look.span,
        step=timedelta(seconds=found.step_seconds),
        order=theme.LOG_LEVELS,
        choose=zoom,
        saves=True,
    )
    levels = [one.value for one in found.levels]
    return Csv(
        ["at", *levels],
        [[one.at.isoformat(), *(one.levels.get(level, 0) for level in levels)]
         for one in found.steps],
    )  # fmt: skip


def _traces(panel: Panel) -> Csv | None:
    api = state.current().api
    if panel.query.get("show") == "newest":

        def ask() -> client.models.TracePage:
            since, until = panel.look.span
            return api.list_traces(
                service=panel.text("service"),
                operation=panel.text("operation"),
                workflow_id=panel.text("workflow_id"),
                failed=panel.query.get("failed"),
                min_ms=panel.query.get("min_ms"),
                created_after=since,
                created_before=until,
                limit=panel.rows,
            )

        page = panel.ask("traces", ask)
        if page is None or not page.items:
            return _nothing(panel, page, "No such trace is kept of this time.")
        return _draw_table(
            panel,
            ("trace", "took_ms", "failed", "kept"),
            [
                (f"{one.service}: {one.name}", f"{one.duration_ms:,.1f}", one.errors,
                 markup.when(one.created_at))
                for one in page.items
            ],
            {"trace": "strong", "took_ms": "number", "failed": "number", "kept": "time"},
        )  # fmt: skip
    since, _ = panel.look.span
    ago = math.ceil((markup.now() - since).total_seconds() / 60)
    minutes = min(max(ago, 1), _OPERATIONS_MINUTES)
    found = panel.ask(
        "operations",
        lambda: api.list_trace_operations(minutes=minutes, service=panel.text("service")),
    )
    if found is None or not found.items:
        return _nothing(panel, found, f"No span in the last {minutes} minutes.")
    drawn = _draw_table(
        panel,
        ("operation", "service", "per_minute", "errors", "p50_ms", "p95_ms"),
        [
            (one.name, one.service, f"{one.per_minute:,.2f}", markup.percent(one.error_rate),
             _number(one.p50_ms), _number(one.p95_ms))
            for one in found.items
        ],
        {"operation": "strong", "per_minute": "number", "errors": "number", "p50_ms": "number",
         "p95_ms": "number"},
    )  # fmt: skip
    if ago > _OPERATIONS_MINUTES + 1 or panel.look.since is not None:
        markup.note(f"{panel.title}: of the last {minutes} minutes; no more is kept of operations.")
    return drawn


def _audit(panel: Panel) -> Csv | None:
    show, api = str(panel.query.get("show") or "time"), state.current().api

    def ask() -> client.models.FacetsOut:
        since, until = panel.look.span
        count = api.count_platform_audit if panel.look.platform else api.count_audit
        return count(
            action=panel.text("action"),
            actor=panel.text("actor"),
            created_after=since,
            created_before=until,
        )

    found = panel.ask("audit", ask)
    if found is None or not found.counted:
        return _nothing(panel, found, "Nothing is on record of this time.")
    if show == "actions":
        return _draw_counts(panel, "act", [(one.value, one.count) for one in found.actions])
    if show == "actors":
        named = state.current().names.of
        return _draw_counts(panel, "who", [(named(one.value), one.count) for one in found.actors])
    charts.by_time(
        panel.key,
        panel.title,
        {one.at: one.count for one in found.stretches if one.count},
        (found.after, found.before),
        timedelta(seconds=found.step_seconds),
        color=charts.PALETTE[1],
        saves=True,
    )
    return Csv(("at", "count"), [(one.at.isoformat(), one.count) for one in found.stretches])


# --- objectives and words -------------------------------------------------------------------


def _slo(panel: Panel) -> Csv | None:
    api, wanted = state.current().api, panel.text("name")

    def ask() -> list[client.models.SloOut | client.models.PlatformSloOut]:
        if panel.look.platform:
            return list(api.list_platform_slos().items)
        return list(api.list_slos(limit=client.EXPORT_LIMIT).items)

    found = panel.ask("slos", ask)
    if found is not None and wanted:
        found = [one for one in found if one.name == wanted]
    if not found:
        return _nothing(panel, found, "No such objective.")
    rows = []
    for one in found:
        if isinstance(one, client.models.PlatformSloOut):
            value, target = _number(one.value), one.target
            if one.unit == "share" and one.value is not None:
                value = markup.percent(one.value)
        else:
            value = markup.NONE if one.value is None else markup.percent(one.value)
            target = f"{100 * one.objective:g} %"
        left = markup.NONE if one.budget_left is None else markup.percent(one.budget_left)
        rows.append((one.name, one.state.replace("_", " "), value, target, left, one.reason))
    with _card(panel.key, panel.title):
        worst = next((one for one in ("missed", "at_risk", "not_measured")
                      if any(slo.state == one for slo in found)), "met")  # fmt: skip
        count = sum(one.state == worst for one in found)
        markup.status(_SLO.get(worst, "gray"), worst.replace("_", " ").capitalize(),
                      f"{count} of {len(found)}.")  # fmt: skip
        names = ("objective", "state", "value", "target", "budget_left", "reason")
        _table(panel, names, rows, {"objective": "strong", "value": "number", "target": "number",
                                    "budget_left": "number"})  # fmt: skip
    return Csv(names, rows)


def _text(panel: Panel) -> None:
    with _card(panel.key, panel.title):
        st.markdown(panel.look.fill(str(panel.query["markdown"])))


# --- tables ---------------------------------------------------------------------------------


def _draw_counts(panel: Panel, what: str, counts: Sequence[tuple[str, int]]) -> Csv:
    ordered = sorted(counts, key=lambda one: -one[1])
    shown = [(name, f"{count:,}") for name, count in ordered]
    _draw_table(panel, (what, "count"), shown, {what: "strong", "count": "number"})
    return Csv((what, "count"), ordered)


def _draw_table(
    panel: Panel,
    names: Sequence[str],
    rows: Sequence[Sequence[object]],
    looks: Mapping[str, table.Kind],
) -> Csv:
    with _card(panel.key, panel.title):
        _table(panel, names, rows, looks)
    return Csv(names, rows)


def _table(
    panel: Panel,
    names: Sequence[str],
    rows: Sequence[Sequence[object]],
    looks: Mapping[str, table.Kind],
) -> None:
    table.draw(
        f"{panel.key}-table",
        panel.title,
        [
            table.Column(name, name.replace("_", " ").capitalize(), looks.get(name, "text"))
            for name in names
        ],
        [
            {name: str(cell) for name, cell in zip(names, row, strict=True)}
            for row in rows[: panel.rows]
        ],
    )
    if len(rows) > panel.rows:
        markup.note(f"The first {panel.rows} of {len(rows):,}; the file has all.")


def _nothing(panel: Panel, found: object, text: str) -> Csv:
    """Draw the panel without anything; where it could not be asked, the problem stands above."""
    with _card(panel.key, panel.title):
        if found is not None:
            markup.note(text)
    return Csv((), ())


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _number(value: float | None) -> str:
    return markup.NONE if value is None else f"{value:,.4g}"


def _step(step: timedelta) -> str:
    seconds = step.total_seconds()
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"


DRAWN: Final[Mapping[str, Callable[[Panel], Csv | None]]] = {
    "metric": _metric,
    "prometheus": _prometheus,
    "logs": _logs,
    "traces": _traces,
    "slo": _slo,
    "overview": _overview,
    "usage": _usage,
    "audit": _audit,
    "text": _text,
}
"""What a panel may ask, by the name of the field with its question."""
