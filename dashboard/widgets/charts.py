"""Plotly figures in the console's colours, thinned on this side so a long window stays light."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from html import escape
from itertools import groupby, pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import streamlit as st

from dashboard import theme
from dashboard.widgets import markup

MAX_POINTS: Final = 2000
_MIN_MAX_RATIO: Final = 4
_HEIGHT: Final = 220
_MONTH: Final = 30
_LABEL: Final = 60
_INDENTS: Final = 12
_OWNERS: Final = ("#5B8DEF", "#1FA97A", "#8B7CF0", "#D08A1D", "#1B8A8F", "#9A8FB0")
_DAY_MILLISECONDS: Final = 86_400_000
_CONFIG: Final = {
    "displayModeBar": False,
    "displaylogo": False,
    "showSendToCloud": False,
    "scrollZoom": False,
    "doubleClick": "reset",
}
_SAVED: Final = {
    **_CONFIG,
    "displayModeBar": True,
    "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": {"format": "png", "scale": 2},
}
"""With the button that saves the picture, drawn in the browser."""


def thin(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], points: int = MAX_POINTS
) -> npt.NDArray[np.intp]:
    """Choose which samples to draw, keeping the curve's look: MinMaxLTTB.

    First the extremes of many small buckets are kept (so no spike is lost), then largest-triangle-
    three-buckets picks among them. After J. Van Der Donckt et al., "MinMaxLTTB: Leveraging
    MinMax-Preselection to Scale LTTB" (2023) and S. Steinarsson's thesis (2013).

    Args:
        x: Ascending.
        y: As long as ``x``, finite.
        points: At least 3; how many to keep.

    Returns:
        Ascending indices, ``points`` of them at most, the first and the last among them.
    """
    if len(x) <= points:
        return np.arange(len(x))
    chosen = np.arange(len(x))
    if len(x) > points * _MIN_MAX_RATIO * 2:
        chosen = _extremes(y, points * _MIN_MAX_RATIO // 2)
    return chosen[_largest_triangles(x[chosen], y[chosen], points)]


def _extremes(y: npt.NDArray[np.float64], buckets: int) -> npt.NDArray[np.intp]:
    edges = np.linspace(1, len(y) - 1, buckets + 1).astype(np.intp)
    kept = {0, len(y) - 1}
    for start, stop in pairwise(edges):
        if stop > start:
            part = y[start:stop]
            kept.add(int(start + part.argmin()))
            kept.add(int(start + part.argmax()))
    return np.array(sorted(kept), dtype=np.intp)


def _largest_triangles(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], points: int
) -> npt.NDArray[np.intp]:
    edges = np.linspace(1, len(x) - 1, points - 1).astype(np.intp)
    kept = np.zeros(points, dtype=np.intp)
    kept[-1] = len(x) - 1
    at = 0
    for bucket in range(points - 2):
        start, stop = edges[bucket], edges[bucket + 1]
        after = slice(stop, edges[bucket + 2]) if bucket < points - 3 else slice(-1, None)
        mean_x, mean_y = x[after].mean(), y[after].mean()
        area = np.abs(
            (x[at] - mean_x) * (y[start:stop] - y[at]) - (x[at] - x[start:stop]) * (mean_y - y[at])
        )
        at = int(start + area.argmax())
        kept[bucket + 1] = at
    return kept


def series(
    key: str,
    title: str,
    times: Sequence[datetime],
    values: Sequence[float | None],
    *,
    unit: str,
    of: str = "",
    color: str,
) -> None:
    """Draw one quantity over time in a card. Gaps stay gaps.

    Args:
        key: Unique on the page.
        title: The card's heading.
        times: Ascending.
        values: As long as ``times``; None where nothing was measured.
        unit: Stands beside the heading.
        of: The unit of one value, where the heading says more than that.
        color: Of the curve.
    """
    of = of or unit
    pairs = [(at, value) for at, value in zip(times, values, strict=True) if value is not None]
    shown_times, shown_values = _drawn(times, values)
    of_days = len(times) > 1 and times[-1] - times[0] > timedelta(days=1)
    figure = go.Figure(
        go.Scatter(
            x=_on_the_clock(shown_times),
            y=shown_values,
            mode="lines+markers",
            name=title,
            line={"color": color, "width": 2},
            # A measurement between two gaps has no line to be part of: it gets a dot.
            marker={"size": [6 if lone else 0 for lone in _alone(shown_values)], "opacity": 1},
            # Plotly fills straight across a gap, which would draw what nobody measured.
            fill=None if None in shown_values else "tozeroy",
            fillcolor=_faint(color),
            connectgaps=False,
            cliponaxis=False,  # a dot at zero stands on the axis, half of it below
            hovertemplate=f"%{{x|{'%d %b %H:%M' if of_days else '%H:%M:%S'}}}<br>"
            "<b>%{y:,.4~g}</b> " + of + "<extra></extra>",
        )
    )
    figure.update_layout(_layout())
    figure.update_xaxes(
        showgrid=False, nticks=5, tickformat="%d %b" if of_days else "%H:%M", fixedrange=True
    )
    figure.update_yaxes(rangemode="tozero", nticks=4, fixedrange=True, zeroline=False)
    if times:
        # Not from the measurements: charts side by side show the same time at the same place.
        figure.update_xaxes(range=_on_the_clock([times[0], times[-1]]))
    if not any(value for _, value in pairs):
        figure.update_yaxes(range=[0, 1])
    with st.container(key=f"card-{key}", height="stretch", gap="xsmall"):
        _heading(title, unit)
        if pairs:
            last, top = pairs[-1][1], max(value for _, value in pairs)
            alt = f"{title} over time: last {last:,.4g} {of}, highest {top:,.4g} {of}."
        else:
            alt = f"{title} over time: no measurement in this window."
        st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)


class Line(NamedTuple):
    """One of several curves: its name, its values, and those of the week before if asked for."""

    name: str
    values: Sequence[float | None]
    before: Sequence[float | None] | None = None


PALETTE: Final = (
    "#1FA97A", "#5B8DEF", "#D08A1D", "#8B7CF0", "#E0555F",
    "#1B8A8F", "#C06BB5", "#7C8AA0", "#9AA51E", "#D9703A",
)  # fmt: skip
_BAND: Final = "rgba(91,141,239,0.16)"
_FORESEEN: Final = "#8B7CF0"
_ODD: Final = "#E0555F"
_TALL: Final = 300


def lines(
    key: str,
    title: str,
    times: Sequence[datetime],
    drawn: Sequence[Line],
    unit: str,
    *,
    height: int = _TALL,
    saves: bool = False,
    choose: Callable[[datetime, datetime], None] | None = None,
) -> None:
    """Draw several quantities over the same time in a card; those of the week before are dotted.

    Args:
        key: Unique on the page; where a stretch can be chosen, another one for another span.
        title: The card's heading.
        times: Ascending.
        drawn: The curves, as long as ``times``; None where nothing was measured.
        unit: Stands beside the heading.
        height: Of the drawing, in pixels.
        saves: Whether it can be saved as a picture.
        choose: Called with the first moment and the last of what was drawn over.
    """
    figure = go.Figure()
    for at, line in enumerate(drawn):
        color = PALETTE[at % len(PALETTE)]
        if line.before is not None:
            figure.add_trace(
                _curve(f"{line.name}, a week before", times, line.before, color, "dot")
            )
        figure.add_trace(_curve(line.name, times, line.values, color))
    figure.update_layout(_layout())
    several = len(figure.data) > 1
    figure.update_layout(height=height, showlegend=several, legend=_LEGEND, hovermode="x unified")
    if choose is not None:
        figure.update_layout(dragmode="select", selectdirection="h")
    _axes(figure, times)
    if not any(value for line in drawn for value in (*line.values, *(line.before or ()))):
        figure.update_yaxes(range=[0, 1])
    known = [one for line in drawn for one in line.values if one is not None]
    said = f"least {min(known):,.4g}, greatest {max(known):,.4g}" if known else "no measurement"

    def chosen() -> None:
        stretch = stretch_of(st.session_state[key].selection, timedelta())
        if choose is not None and stretch is not None:
            choose(*stretch)

    with st.container(key=f"card-{key}", gap="xsmall"):
        _heading(title, unit)
        alt = f"{title} over time, {len(drawn)} curves: {said}."
        config = _SAVED if saves else _CONFIG
        if choose is None:
            st.plotly_chart(figure, key=key, config=config, alt=alt)
        else:
            st.plotly_chart(
                figure, key=key, config=config, alt=alt, on_select=chosen, selection_mode="box"
            )


class Expected(NamedTuple):
    """Hours: what they came to or will, and between what they are expected; as long as each other.

    ``middle`` is what is usual, and None of hours to come, which are expected as they are.
    """

    times: Sequence[datetime]
    values: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    middle: Sequence[float | None] | None = None


def expected(
    key: str,
    title: str,
    past: Expected,
    *,
    coming: Expected | None,
    odd: Sequence[datetime],
    unit: str,
) -> None:
    """Draw hours over what is usual of them, those that are not marked, and the hours to come.

    Args:
        key: Unique on the page.
        title: The card's heading.
        past: The hours that were measured.
        coming: Those that are foreseen.
        odd: Which of the past are unusual.
        unit: Stands beside the heading.
    """
    figure = go.Figure()
    _add_band(figure, "Usual", past, _BAND)
    if past.middle is not None:
        figure.add_trace(_curve("Middle of the usual", past.times, past.middle, "#7C8AA0", "dot"))
    figure.add_trace(_curve("Measured", past.times, past.values, "#1FA97A"))
    if coming is not None:
        _add_band(figure, "95 of 100 forecasts", coming, _faint(_FORESEEN))
        figure.add_trace(_curve("Forecast", coming.times, coming.values, _FORESEEN, "dash"))
    marked = dict(zip(past.times, past.values, strict=True))
    if odd:
        figure.add_trace(
            go.Scatter(
                x=_on_the_clock(odd),
                y=[marked.get(at) for at in odd],
                mode="markers",
                name="Unusual",
                marker={"color": _ODD, "size": 9, "symbol": "diamond"},
                hovertemplate="<b>%{y:,.4~g}</b>",
            )
        )
    figure.update_layout(_layout())
    figure.update_layout(height=_TALL, showlegend=True, legend=_LEGEND, hovermode="x unified")
    _axes(figure, [*past.times, *(coming.times if coming else ())])
    with st.container(key=f"card-{key}", gap="xsmall"):
        _heading(title, unit)
        known = [value for value in past.values if value is not None]
        last = f"last {known[-1]:,.4g}, " if known else ""
        alt = f"{title}: {last}{len(odd)} of {len(past.times)} hours are unusual."
        st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)


_LEGEND: Final = {"orientation": "h", "yanchor": "top", "y": -0.12, "x": 0, "font": {"size": 12}}


def _curve(
    name: str, times: Sequence[datetime], values: Sequence[float | None], color: str, dash: str = ""
) -> go.Scatter:
    shown_times, shown_values = _drawn(times, values)
    return go.Scatter(
        x=_on_the_clock(shown_times),
        y=shown_values,
        mode="lines+markers",
        # Strangers choose it, and Plotly reads tags in texts; of quotes it knows no entity.
        name=escape(name, quote=False),
        line={"color": color, "width": 1.5 if dash else 2, "dash": dash or "solid"},
        marker={"size": [6 if lone else 0 for lone in _alone(shown_values)], "opacity": 1},
        opacity=0.7 if dash == "dot" else 1,
        connectgaps=False,
        cliponaxis=False,
        hovertemplate="<b>%{y:,.4~g}</b>",
    )


def _add_band(figure: go.Figure, name: str, hours: Expected, color: str) -> None:
    """Fill between the bounds, a piece for each stretch without a gap: Plotly fills across gaps."""
    known = [None not in pair for pair in zip(hours.low, hours.high, strict=True)]
    is_first = True
    for is_known, part in groupby(range(len(known)), known.__getitem__):
        places = list(part)
        if not is_known:
            continue
        times = _on_the_clock([hours.times[at] for at in places])
        figure.add_trace(
            go.Scatter(
                x=[*times, *reversed(times)],
                y=[hours.high[at] for at in places] + [hours.low[at] for at in reversed(places)],
                fill="toself",
                fillcolor=color,
                line={"width": 0},
                mode="lines",
                name=name,
                legendgroup=name,
                showlegend=is_first,
                hoverinfo="skip",
            )
        )
        is_first = False


def _axes(figure: go.Figure, times: Sequence[datetime]) -> None:
    """Show the time that was asked for, in a form that suits how long it is."""
    figure.update_yaxes(rangemode="tozero", nticks=5, fixedrange=True, zeroline=False)
    if not times:
        return
    days = (times[-1] - times[0]) / timedelta(days=1)
    form = "%H:%M" if days <= 1 else "%a %d %b" if days <= _MONTH / 2 else "%d %b"
    figure.update_xaxes(
        showgrid=False,
        nticks=6,
        tickformat=form,
        hoverformat="%a %Y-%m-%d %H:%M:%S" if days <= 1 else "%a %Y-%m-%d %H:%M",
        fixedrange=True,
        range=_on_the_clock([times[0], times[-1]]),
    )


def by_day(
    key: str,
    title: str,
    days: Sequence[date],
    values: Sequence[int],
    *,
    color: str,
    saves: bool = False,
) -> None:
    """Draw a bar for each day in a card; at least a month, so that one day is no wall.

    Args:
        key: Unique on the page.
        title: The card's heading.
        days: Ascending.
        values: As long as ``days``.
        color: Of the bars.
        saves: Whether it can be saved as a picture.
    """
    figure = go.Figure(
        go.Bar(
            x=list(days),
            y=list(values),
            # Of one bar alone nothing says how wide it is: a millisecond.
            width=_DAY_MILLISECONDS * 0.75,
            marker={"color": color, "cornerradius": 2},
            hovertemplate="%{x|%Y-%m-%d}<br><b>%{y:,}</b><extra></extra>",
        )
    )
    figure.update_layout(_layout())
    half = timedelta(hours=12)
    last = datetime.combine(days[-1], time())
    first = min(datetime.combine(days[0], time()), last - timedelta(days=_MONTH - 1))
    figure.update_xaxes(
        showgrid=False,
        nticks=6,
        tickformat="%d %b",
        fixedrange=True,
        range=[first - half, last + half],
    )
    figure.update_yaxes(rangemode="tozero", nticks=4, fixedrange=True, zeroline=False)
    if not any(values):
        figure.update_yaxes(range=[0, 1])
    with st.container(key=f"card-{key}", height="stretch", gap="xsmall"):
        _heading(title, f"{sum(values):,} in all")
        alt = f"{title} by day: {sum(values):,} in all, {values[-1]:,} on the last day."
        st.plotly_chart(figure, key=key, config=_SAVED if saves else _CONFIG, alt=alt)


def by_time(
    key: str,
    title: str,
    counts: Mapping[datetime, int],
    span: tuple[datetime, datetime],
    step: timedelta,
    *,
    color: str,
    saves: bool = False,
) -> None:
    """Draw a bar for each stretch of a span in a card; stretches without any have none.

    Args:
        key: Unique on the page.
        title: The card's heading.
        counts: By the moment with which a stretch begins.
        span: The first moment and the last.
        step: How long a stretch is.
        color: Of the bars.
        saves: Whether it can be saved as a picture.
    """
    milliseconds = step.total_seconds() * 1000
    whole_days = step >= timedelta(days=1)
    figure = go.Figure(
        go.Bar(
            x=_on_the_clock([at + step / 2 for at in counts]),
            y=list(counts.values()),
            width=milliseconds * 0.8,
            marker={"color": color, "cornerradius": 2},
            hovertemplate="%{x|%Y-%m-%d %H:%M}<br><b>%{y:,}</b><extra></extra>",
        )
    )
    figure.update_layout(_layout())
    figure.update_layout(height=_HEIGHT - 60)
    figure.update_xaxes(
        showgrid=False,
        nticks=6,
        tickformat="%d %b" if whole_days else "%d %b %H:%M",
        fixedrange=True,
        # The first and the last stretch reach beyond the span.
        range=_on_the_clock([span[0] - step, span[1] + step]),
    )
    figure.update_yaxes(rangemode="tozero", nticks=3, fixedrange=True, zeroline=False)
    if not counts:
        figure.update_yaxes(range=[0, 1])
    with st.container(key=f"card-{key}", height="stretch", gap="xsmall"):
        _heading(title, f"{sum(counts.values()):,} in all")
        most = f", {max(counts.values()):,} in the fullest stretch" if counts else ""
        alt = f"{title} over time: {sum(counts.values()):,} in all{most}."
        st.plotly_chart(figure, key=key, config=_SAVED if saves else _CONFIG, alt=alt)


def by_level(
    key: str,
    title: str,
    steps: Mapping[datetime, Mapping[str, int]],
    *,
    span: tuple[datetime, datetime],
    step: timedelta,
    order: Sequence[str],
    choose: Callable[[datetime, datetime], None],
    saves: bool = False,
) -> None:
    """Draw in a card how many of each level a stretch of time has; one can be chosen to look at.

    Args:
        key: Unique on the page, and another one for another span: what was chosen belongs to it.
        title: The card's heading.
        steps: Counts by level, by the moment with which a stretch begins.
        span: The first moment and the last.
        step: How long a stretch is.
        order: All levels, bottom to top.
        choose: Called with the first moment and the last of what was drawn over or pressed.
        saves: Whether it can be saved as a picture.
    """
    shown = [level for level in order if any(counts.get(level) for counts in steps.values())]
    width = step.total_seconds() * 1000
    middles = [at + step / 2 for at in steps]
    figure = go.Figure(
        [
            go.Bar(
                x=_on_the_clock(middles),
                y=[counts.get(level, 0) for counts in steps.values()],
                name=level,
                width=width * 0.86,
                marker={"color": theme.look(level).color, "line": {"width": 0}},
                hovertemplate="%{y:,} " + level + "<extra></extra>",
            )
            for level in shown
        ]
    )
    figure.update_layout(
        _layout(),
        barmode="stack",
        hovermode="x unified",
        height=_HEIGHT,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        dragmode="select",
        selectdirection="h",
        clickmode="event+select",
    )
    days = step >= timedelta(hours=6)
    figure.update_xaxes(
        showgrid=False,
        nticks=6,
        tickformat="%d %b"
        if days
        else "%d %b %H:%M"
        if step >= timedelta(minutes=6)
        else "%H:%M:%S",
        hoverformat="%Y-%m-%d %H:%M:%S",
        fixedrange=True,
        range=_on_the_clock([span[0], span[1]]),
    )
    figure.update_yaxes(rangemode="tozero", nticks=4, fixedrange=True, zeroline=False)
    if not shown:
        figure.update_yaxes(range=[0, 1])

    def chosen() -> None:
        stretch = stretch_of(st.session_state[key].selection, step)
        if stretch is not None:
            choose(*stretch)

    counted = {level: sum(counts.get(level, 0) for counts in steps.values()) for level in shown}
    with st.container(key=f"card-{key}", height="stretch", gap="xsmall"):
        _heading(title, f"{sum(counted.values()):,} in all; draw over a stretch to look closer")
        words = ", ".join(f"{count:,} {level}" for level, count in counted.items()) or "none"
        st.plotly_chart(
            figure,
            key=key,
            config=_SAVED if saves else _CONFIG,
            alt=f"{title} over time, by level: {words}.",
            on_select=chosen,
            selection_mode=("box", "points"),
        )


def stretch_of(selection: Any, step: timedelta) -> tuple[datetime, datetime] | None:
    """Return what was drawn over, or the stretch of the bar that was pressed, in whole seconds."""
    if selection.box:
        first, last = sorted(_from_the_clock(str(x)) for x in selection.box[0]["x"])
    elif selection.points:
        middle = _from_the_clock(str(selection.points[0]["x"]))
        first, last = middle - step / 2, middle + step / 2
    else:
        return None
    first = first.replace(microsecond=0)
    # A press that moved a little is a stretch of nothing.
    return first, max(last.replace(microsecond=0), first + timedelta(seconds=1))


def _from_the_clock(written: str) -> datetime:
    """Return the moment that Plotly writes as the clock of whoever looks shows it."""
    # It writes as many digits of a second as there are, up to four.
    day, _, clock = written.replace("T", " ").partition(" ")
    hour, minute, second = (*(clock or "0").split(":"), "0", "0")[:3]
    at = datetime.combine(date.fromisoformat(day), time(), markup.zone())
    return at + timedelta(hours=int(hour), minutes=int(minute), seconds=float(second))


def _on_the_clock(times: Sequence[datetime]) -> list[datetime]:
    """Return the times as the clock of whoever looks shows them: Plotly draws what is written."""
    zone = markup.zone()
    return [at.astimezone(zone).replace(tzinfo=None) for at in times]


def by_state(
    key: str,
    title: str,
    counts: Mapping[str, int],
    order: Sequence[str],
    *,
    unit: str,
    nothing: str,
    saves: bool = False,
) -> None:
    """Draw how many things are in each state, in a card, with the numbers written out.

    Every state of ``order`` has its bar, zeros included, so a bar keeps its place as work flows.
    """
    names = [*order, *sorted(set(counts) - set(order))]
    with st.container(key=f"card-{key}", height="stretch", gap="xsmall"):
        _heading(title, unit)
        if not sum(counts.values()):
            st.html(f'<div class="es-empty"><p>{escape(nothing)}</p></div>')
            return
        values = [counts.get(name, 0) for name in names]
        figure = go.Figure(
            go.Bar(
                x=values,
                y=names,
                orientation="h",
                marker={"color": [theme.look(name).color for name in names], "cornerradius": 4},
                text=[f"{value:,}" for value in values],
                textposition="outside",
                cliponaxis=False,
                hovertemplate="%{y}: <b>%{x:,}</b><extra></extra>",
            )
        )
        figure.update_layout(_layout(), bargap=0.35)
        figure.update_layout(height=max(60 + 30 * len(names), 140))
        figure.update_xaxes(visible=False, fixedrange=True, range=[0, max(values) * 1.15])
        figure.update_yaxes(autorange="reversed", fixedrange=True, ticklabelstandoff=6)
        words = ", ".join(
            f"{value:,} {name}" for name, value in zip(names, values, strict=True) if value
        )
        st.plotly_chart(
            figure, key=key, config=_SAVED if saves else _CONFIG, alt=f"{title}: {words}."
        )


class Bar(NamedTuple):
    """A bar of a waterfall: when it began, after the first one, and how long it took, in ms.

    ``depth`` is how far below the first ones it stands.
    """

    label: str
    of: str
    begin_ms: float
    took_ms: float
    failed: bool = False
    depth: int = 0

    @property
    def name(self) -> str:
        """The label as a chart takes it: strangers choose it, and Plotly reads tags in texts."""
        short = self.label if len(self.label) <= _LABEL else f"{self.label[: _LABEL - 1]}…"
        return escape(short)

    @property
    def tick(self) -> str:
        """The same, indented as far as there is room."""
        return f"{'· ' * min(self.depth, _INDENTS)}{self.name}"


def waterfall(key: str, bars: Sequence[Bar]) -> None:
    """Draw what happened when, a bar below the other in their order.

    Args:
        key: Unique on the page.
        bars: In the order of reading; each ``of`` something that has a colour of its own.
    """
    owners = list(dict.fromkeys(bar.of for bar in bars))
    end = max((bar.begin_ms + bar.took_ms for bar in bars), default=0.0)
    figure = go.Figure()
    for at, owner in enumerate(owners):
        own = [(row, bar) for row, bar in enumerate(bars) if bar.of == owner]
        figure.add_bar(
            name=escape(owner),
            orientation="h",
            base=[bar.begin_ms for _, bar in own],
            # What took no time at all is seen as well.
            x=[max(bar.took_ms, end / 500) for _, bar in own],
            y=[row for row, _ in own],
            marker={
                "color": [
                    theme.look("failed").color if bar.failed else _OWNERS[at % len(_OWNERS)]
                    for _, bar in own
                ],
                "cornerradius": 2,
            },
            customdata=[[bar.name, escape(owner), bar.took_ms] for _, bar in own],
            hovertemplate="%{customdata[0]}<br>%{customdata[1]}: "
            "<b>%{customdata[2]:,.2f}</b> ms<extra></extra>",
        )
    figure.update_layout(_layout(), bargap=0.25, barmode="overlay")
    figure.update_layout(
        height=max(120, 50 + 24 * len(bars)), showlegend=len(owners) > 1, hovermode="closest"
    )
    figure.update_xaxes(ticksuffix=" ms", fixedrange=True, range=[0, end * 1.02 or 1])
    figure.update_yaxes(
        autorange="reversed",
        fixedrange=True,
        showgrid=False,
        tickmode="array",
        tickvals=list(range(len(bars))),
        ticktext=[bar.tick for bar in bars],
    )
    failed = sum(bar.failed for bar in bars)
    alt = f"{len(bars)} spans of {', '.join(owners)} over {end:,.1f} ms, {failed} of them failed."
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)


def _heading(title: str, unit: str) -> None:
    st.html(
        f'<h2 class="es-section">{escape(title)} <span class="es-unit">{escape(unit)}</span></h2>'
    )


def _alone(values: Sequence[float | None]) -> list[bool]:
    """Say of each value whether it is measured while both its neighbours are not."""
    around = [None, *values, None]
    return [
        value is not None and before is None and after is None
        for before, value, after in zip(around, values, around[2:], strict=False)
    ]


def _drawn(
    times: Sequence[datetime], values: Sequence[float | None]
) -> tuple[list[datetime], list[float | None]]:
    """Thin a series to what is worth sending, one missing value for each gap kept."""
    known = [index for index, value in enumerate(values) if value is not None]
    if len(known) <= MAX_POINTS:
        return list(times), list(values)
    keep = thin(
        np.array([times[index].timestamp() for index in known]),
        np.array([values[index] for index in known], dtype=np.float64),
    )
    missing = np.cumsum([value is None for value in values])
    shown_times: list[datetime] = []
    shown_values: list[float | None] = []
    before = known[keep[0]]
    for index in (known[position] for position in keep):
        if missing[index] != missing[before]:
            shown_times.append(times[before + 1])
            shown_values.append(None)
        shown_times.append(times[index])
        shown_values.append(values[index])
        before = index
    return shown_times, shown_values


def _layout() -> dict[str, object]:
    return {
        "height": _HEIGHT,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "x",
        "dragmode": False,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#7C8AA0", "activecolor": "#1FA97A"},
    }


def _faint(color: str) -> str:
    red, green, blue = (int(color[index : index + 2], 16) for index in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.12)"
