"""Logs: what this tenant's programs said: found, counted, followed, and read among its neighbours.

The address is the page: whatever is looked for stands in it, so that a link shows the same to
somebody else. Widgets follow the address when it was changed elsewhere (a link, the way back), and
the address follows the widgets when they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import streamlit as st

from dashboard import client, settings, state, theme
from dashboard.client import ApiProblem, models
from dashboard.views import audit
from dashboard.widgets import (
    charts,
    export,
    facets,
    log_lines,
    log_patterns,
    log_settings,
    markup,
    paging,
    problems,
    traced,
)

POLL_SECONDS: Final = 2
_FOLLOWED: Final = 200
_ASKED_AT_ONCE: Final = 200
_POLLS: Final = 5
_AROUND: Final = 5
_MORE_AROUND: Final = 50
_USUAL: Final = "1h"
_OWN: Final = "own"
_SPANS: Final[dict[str, tuple[str, timedelta | None]]] = {
    "15m": ("Last 15 minutes", timedelta(minutes=15)),
    "1h": ("Last hour", timedelta(hours=1)),
    "6h": ("Last 6 hours", timedelta(hours=6)),
    "24h": ("Last 24 hours", timedelta(days=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
    "any": ("Any time", None),
    _OWN: ("From and to", None),
}
_IDS: Final = ("trace_id", "request_id", "execution_id")
_ASKED: Final = ("words", "level", "source", *_IDS)
_TIMES: Final = ("after", "before")
_LIVE: Final = "live"
# All that the address may say of what is looked for, each under the key of its widget.
_NAMES: Final = (*_ASKED, "range", *_TIMES, _LIVE)
_SAID: Final = "logs-said"
_TOUCHED: Final = "logs-touched"
_LAST: Final = "logs-last"
_TAIL: Final = "logs-tail"
_PAUSED: Final = "logs-paused"
_SETTINGS: Final = "logs-settings"
_SHOWN: Final = "logs-shown"
_LINES: Final = "Lines"
_PATTERNS: Final = "Patterns"
_CLOCK: Final = "%Y-%m-%d %H:%M:%S"
_EXPORTED: Final = (
    "id", "seq", "at", "received_at", "level", "severity", "source", "message", "fields",
    "trace_id", "span_id", "request_id", "workflow_id", "execution_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found of what, when, and in which stretch of time it was counted."""

    told: Mapping[str, str]
    at: datetime
    page: models.LogRecordPage
    summary: models.LogSummaryOut
    span: tuple[datetime, datetime]
    never: bool


@dataclass(frozen=True, slots=True)
class _Tail:
    """What has come while it was followed, the newest first.

    Attributes:
        told: What was looked for.
        seq: What to ask with the next time; None: nothing was asked yet.
        lines: As many as are shown.
        began: When the following did.
        looked_at: When the platform answered last.
        came: How many lines have come since the beginning.
        behind: Whether more came than was asked for.
    """

    told: Mapping[str, str]
    began: datetime
    seq: int | None = None
    lines: tuple[models.LogRecordOut, ...] = field(default=(), repr=False)
    looked_at: datetime | None = None
    came: int = 0
    behind: bool = False


def page() -> None:
    """Draw the page."""
    _follow_address()
    with markup.heading_row():
        markup.page_heading("Logs", "What this tenant's programs said, newest first.")
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.toggle(
                "Live",
                key=_key(_LIVE),
                on_change=_touch,
                help=f"Shows lines as they come, looked for every {POLL_SECONDS} seconds.",
            )
            st.button(
                "Settings",
                key="logs-settings-open",
                icon=":material/tune:",
                on_click=_toggle,
                args=(_SETTINGS,),
            )
    if st.session_state.get(_SETTINGS):
        log_settings.draw()
    told, wrong = _filters()
    _say_address(told)
    opened = st.query_params.get("id")
    if opened:
        with problems.guard():
            _line(opened)
    if _LIVE in told:
        follow({name: value for name, value in told.items() if name in _ASKED})
    else:
        with problems.guard():
            _results(told, wrong)


# --- the address ----------------------------------------------------------------------------


def _key(name: str) -> str:
    return f"logs-{name}"


def _touch() -> None:
    """Note that a widget was set in this run: the address is then the older of the two."""
    st.session_state[_TOUCHED] = True


def _toggle(key: str) -> None:
    st.session_state[key] = not st.session_state.get(key)


def _follow_address() -> None:
    """Set the widgets to what the address says, unless this page or one of them said it last.

    Who comes back without a word of what is wanted gets what they left: Streamlit forgets what a
    widget was set to that one run did not draw.
    """
    named = {name: st.query_params[name] for name in _NAMES if st.query_params.get(name)}
    said: dict[str, str] | None = st.session_state.get(_SAID)
    arrives = _key("words") not in st.session_state
    touched = st.session_state.pop(_TOUCHED, False)
    if not arrives and (touched or named == said):
        return
    _set_widgets(said if arrives and said and not named else named)


def _set_widgets(named: Mapping[str, str]) -> None:
    for name in ("words", "source", *_IDS):
        st.session_state[_key(name)] = named.get(name, "")
    level = named.get("level", "")
    st.session_state[_key("level")] = level if level in theme.LOG_LEVELS else ""
    span = named.get("range", _USUAL)
    if any(name in named for name in _TIMES):
        span = _OWN
    st.session_state[_key("range")] = span if span in _SPANS else _USUAL
    for name in _TIMES:
        at = _moment(named.get(name, ""))
        text = at.astimezone(markup.zone()).strftime(_CLOCK) if at else named.get(name, "")
        st.session_state[_key(name)] = text
    st.session_state[_key(_LIVE)] = _LIVE in named


def _only(**named: str) -> None:
    """Look for this alone, whenever it was."""
    _set_widgets({"range": "any", **named})
    _touch()


def _narrow(first: datetime, last: datetime) -> None:
    """Look at this stretch of time, for the same."""
    st.session_state[_key("range")] = _OWN
    for name, at in zip(_TIMES, (first, last), strict=True):
        st.session_state[_key(name)] = at.astimezone(markup.zone()).strftime(_CLOCK)
    _touch()


def _say_address(told: Mapping[str, str]) -> None:
    named = {name: st.query_params[name] for name in _NAMES if st.query_params.get(name)}
    if _meant(named) == _meant(told):
        # Said in other words, it would be one more address to go back over.
        st.session_state[_SAID] = named
        return
    opened = st.query_params.get("id")
    st.query_params.from_dict(state.address(**told, **({"id": opened} if opened else {})))
    st.session_state[_SAID] = dict(told)


def _meant(named: Mapping[str, str]) -> dict[str, str | datetime | None]:
    """Return what an address asks for, its times to the second, as the widgets have them."""
    times: dict[str, datetime | None] = {}
    for name in _TIMES:
        if name in named:
            at = _moment(named[name])
            times[name] = at.replace(microsecond=0) if at else None
    return {**named, **times}


def _moment(text: str) -> datetime | None:
    """Return the time that a text says, by the clock of whoever looks where it names no zone."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=markup.zone())


# --- what is looked for ---------------------------------------------------------------------


def _filters() -> tuple[dict[str, str], str]:
    """Draw the filters; return what they say as the address has it, and what is wrong with it."""
    st.text_input(
        "Words",
        key=_key("words"),
        placeholder="payment failed",
        icon=":material/search:",
        on_change=_touch,
        max_chars=500,
    )
    markup.note(
        'In the message: payment failed finds both words anywhere, "payment failed" one after the '
        "other, pay* what begins so, and -retry leaves out what has it. Case does not count."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters-logs"):
        _choices()
        told, wrong = _told()
        with st.container(horizontal=True, width="content"):
            query = _query(told, markup.now())
            export.button(
                "logs",
                lambda cursor: state.current().api.list_logs(
                    **query, cursor=cursor, limit=client.EXPORT_LIMIT
                ),
                _EXPORTED,
                filters=tuple(told.get(name) for name in _NAMES),
            )
    if wrong:
        markup.field_error(wrong)
    return told, wrong


def _choices() -> None:
    """Draw what is chosen beside the words: a level, a time, a source, ids."""
    st.selectbox(
        "Level",
        ["", *theme.LOG_LEVELS],
        key=_key("level"),
        format_func=_level_name,
        on_change=_touch,
        width=170,
    )
    st.selectbox(
        "Time",
        list(_SPANS),
        key=_key("range"),
        format_func=lambda name: _SPANS[name][0],
        on_change=_touch,
        width=170,
    )
    if st.session_state[_key("range")] == _OWN:
        for name, label in zip(_TIMES, ("From", "To"), strict=True):
            st.text_input(
                label,
                key=_key(name),
                placeholder="2026-01-31 08:00:00",
                on_change=_touch,
                width=180,
                help=f"In {markup.zone_name()}, unless it names a zone. Empty: no bound.",
            )
    for name, label, example, width in (
        ("source", "Source", "shop", 150),
        ("trace_id", "Trace", "4bf92f3577b3…", 180),
        ("request_id", "Request", "0199c0de-…", 180),
        ("execution_id", "Execution", "4711", 130),
    ):
        st.text_input(
            label,
            key=_key(name),
            placeholder=example,
            on_change=_touch,
            max_chars=200,
            width=width,
        )


def _told() -> tuple[dict[str, str], str]:
    """Return what the widgets say as the address has it, and what is wrong with it."""
    now = {name: str(st.session_state.get(_key(name)) or "").strip() for name in _NAMES}
    told = {name: now[name] for name in _ASKED if now[name]}
    wrong = ""
    if now["range"] == _OWN:
        for name in _TIMES:
            at = _moment(now[name])
            if at:
                told[name] = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
            elif now[name]:
                wrong = f"{now[name]!r} is no time: write it like 2026-01-31 08:00:00"
        if not any(name in told for name in _TIMES):
            told["range"] = _OWN
    elif now["range"] != _USUAL:
        told["range"] = now["range"]
    if st.session_state[_key(_LIVE)]:
        told[_LIVE] = "1"
    return told, wrong


def _level_name(level: str) -> str:
    if not level:
        return "Any level"
    return level.capitalize() + ("" if level == theme.LOG_LEVELS[-1] else " or higher")


def _query(told: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Return what the API is asked, as of a moment."""
    query: dict[str, Any] = {name: told.get(name) for name in _ASKED}
    query |= {name: _moment(told[name]) if name in told else None for name in _TIMES}
    _, back = _SPANS[told.get("range", _USUAL)]
    if back is not None and not any(name in told for name in _TIMES):
        query["after"] = now - back
    return query


# --- what is found --------------------------------------------------------------------------


def _results(told: Mapping[str, str], wrong: str) -> None:
    """Draw what is found; where that fails, what was found last stays below the reason."""
    here = paging.place("logs-place", *(told.get(name) for name in _NAMES))
    found: _Found | None = st.session_state.get(_LAST)
    if not wrong:
        try:
            found = st.session_state[_LAST] = _find(told, here.cursor)
        except ApiProblem as problem:
            problems.show(problem)
            wrong = problem.title
    if found is None:
        return
    if wrong:
        markup.note(f"Below is what was found before, at {markup.moment(found.at)}.")
    if found.never:
        _first_line()
        return
    _counts(found)
    shown = st.segmented_control(
        "Shown",
        [_LINES, _PATTERNS],
        key=_SHOWN,
        default=_LINES,
        required=True,
        label_visibility="collapsed",
    )
    if shown == _PATTERNS:
        query = {**_query(found.told, found.at), "after": found.span[0]}
        _open(log_patterns.draw(query))
        return
    _store(found.page.store)
    _list(found, here)


def _find(told: Mapping[str, str], cursor: str | None) -> _Found:
    api, now = state.current().api, markup.now()
    query = _query(told, now)
    lines = api.list_logs(**query, cursor=cursor, limit=client.PAGE_LIMIT)
    until = query["before"] or now
    since = query["after"]
    if since is None:
        kept = api.get_log_settings().value
        days = max(kept.keep_days, *(rule.days for rule in kept.retention), 1)
        since = until - timedelta(days=days)
    summary = api.sum_up_logs(**{**query, "after": since})
    never = not lines.items and cursor is None and api.tail_logs(limit=1).seq == 0
    return _Found(told, now, lines, summary, (since, until), never)


def _first_line() -> None:
    """Draw what stands where no line ever came: how to send the first."""
    session = state.current()
    markup.empty(
        "No line yet",
        "Put an API key of the role workflow or operator into KEY, and send the first from a "
        "shell. In n8n it is the node's resource Log.",
    )
    st.code(first_curl(settings.load().issuer_url), language=None, wrap_lines=True)
    if session.can("api_key:read"):
        st.page_link(
            "views/api_keys.py",
            label="API keys",
            icon=":material/key:",
            query_params=state.address(),
        )


def first_curl(base_url: str) -> str:
    """Return the command that sends a line to the API at ``base_url``."""
    line = '{"message": "It works", "log.level": "info", "service.name": "shell"}'
    return (
        f"curl -X POST {base_url}/api/v1/logs \\\n"
        '  -H "Authorization: Bearer $KEY" \\\n'
        '  -H "Content-Type: application/x-ndjson" \\\n'
        f"  -d '{line}'"
    )


def _counts(found: _Found) -> None:
    summary = found.summary
    left, right = st.columns([3, 2])
    with left:
        first, last = found.span
        charts.by_level(
            # What was drawn over is of one chart: where another stretch is shown it is a new one.
            f"logs-histogram-{hash(tuple(sorted(found.told.items()))) & 0xFFFFFF:x}",
            "Lines",
            {step.at: step.levels for step in summary.steps},
            span=(first, last),
            step=timedelta(seconds=summary.step_seconds),
            order=theme.LOG_LEVELS,
            choose=_narrow,
        )
        if not summary.complete:
            markup.note(f"The newest {summary.count:,} of more. A shorter time counts all.")
    with right, st.container(key="card-logs-facets", height="stretch", gap="xsmall"):
        facets.draw(
            _key("level"),
            "By level; shows it and higher",
            {one.value: one.count for one in summary.levels},
            chosen=_touch,
        )
        named = {one.value: one.count for one in summary.sources if one.value}
        facets.draw(_key("source"), "By source", named, chosen=_touch)
        nameless = sum(one.count for one in summary.sources if not one.value)
        if nameless:
            markup.note(f"{nameless:,} name no source.")


def _store(store: models.LogStoreOut) -> None:
    """Draw where the lines come from, where that may be one of two stores."""
    if store.reason is not None:
        markup.note(f"From the database: {store.reason}.")
    elif store.name == "elasticsearch":
        told = "From Elasticsearch."
        if store.behind_records:
            told += f" {store.behind_records:,} that are not exported yet are among them."
        if store.given_up_records:
            told += f" {store.given_up_records:,} that were given up are not."
        markup.note(told)


def _list(found: _Found, here: paging.Place) -> None:
    items, more = found.page.items, found.page.next_cursor
    if items:
        _open(log_lines.draw("logs", "Log lines", items))
    elif more:
        markup.empty("None so far", "There are older lines that were not looked through yet.")
    else:
        markup.empty("No line matches", "Take a filter away, or look at a longer time.")
    if items or here.cursor or more:
        paging.buttons("logs", here, more, len(items))
    if more and len(items) < client.PAGE_LIMIT:
        markup.note("This page is short: as many lines were looked through as one look may. It "
                    "goes on with Older.")  # fmt: skip


def _open(line_id: str | None) -> None:
    if line_id:
        st.query_params["id"] = line_id
        st.rerun()


# --- one line -------------------------------------------------------------------------------


def _line(line_id: str) -> None:
    """Draw one line: all that it says, what leads on from it, and what stood around it."""
    api = state.current().api
    around = _MORE_AROUND if st.session_state.get("logs-around") == line_id else _AROUND
    with st.container(key="card-logs-open"):
        with markup.heading_row():
            markup.section("One line")
            st.button("Close", key="logs-close", icon=":material/close:", on_click=_close)
        try:
            lines = api.get_log_context(line_id, lines=around).items
        except ApiProblem as problem:
            problems.show(problem)
            return
        line = next(one for one in lines if one.id == line_id)
        st.html(f"<p>{markup.badge_html(line.level)}</p>")
        st.code(line.message, language=None, wrap_lines=True)
        markup.facts((name, value) for name, value in _facts(line) if value)
        if line.fields:
            markup.label("Fields")
            st.code(
                json.dumps(line.fields, ensure_ascii=False, indent=2), language=None,
                wrap_lines=True,
            )  # fmt: skip
        _ways(line)
        markup.section(f"Around it, of {line.source}" if line.source else "Around it")
        _open(log_lines.draw("logs-context", "Lines around it", lines, marked=line_id))
        if around == _AROUND:
            st.button(
                "More around it",
                key="logs-more",
                icon=":material/unfold_more:",
                on_click=_set,
                args=("logs-around", line_id),
            )


def _facts(line: models.LogRecordOut) -> list[tuple[str, str | None]]:
    return [
        ("When", log_lines.when(line.at)),
        ("Came", log_lines.when(line.received_at)),
        ("Source", line.source),
        ("Severity", f"{line.severity}, {line.level}"),
        ("Number", f"{line.seq:,}"),
        ("Trace", line.trace_id),
        ("Span", line.span_id),
        ("Request", line.request_id),
        ("Workflow", line.workflow_id),
        ("Execution", line.execution_id),
        ("Id", line.id),
    ]


def _ways(line: models.LogRecordOut) -> None:
    """Draw what leads on: all lines of the same trace, request or execution, and what they did."""
    audits = state.current().can("audit:read")
    with st.container(horizontal=True):
        if line.trace_id:
            traced.way("logs-trace", trace_id=line.trace_id)
        for name, noun in zip(_IDS, ("trace", "request", "execution"), strict=True):
            value = getattr(line, name)
            if not value:
                continue
            st.button(
                f"Lines of its {noun}",
                key=f"logs-all-{noun}",
                icon=":material/subject:",
                on_click=_only,
                kwargs={name: value},
            )
            filters = {"request_id": "request_id", "execution_id": "execution"}
            if audits and name in filters and st.button(
                f"Its {noun} in the audit trail",
                key=f"logs-audit-{noun}",
                icon=":material/fact_check:",
            ):  # fmt: skip
                audit.show_records(**{filters[name]: value})


def _close() -> None:
    st.query_params.from_dict(state.address(**st.session_state.get(_SAID, {})))


def _set(key: str, value: object) -> None:
    st.session_state[key] = value


# --- as they come ---------------------------------------------------------------------------


@st.fragment(run_every=POLL_SECONDS)
def follow(told: Mapping[str, str]) -> None:
    """Draw lines as they come; Streamlit runs this alone, again and again.

    Args:
        told: What is looked for; times are not, for what comes is now.
    """
    with problems.guard():
        now = markup.now()
        tail: _Tail | None = st.session_state.get(_TAIL)
        if tail is None or tail.told != told:
            tail = _Tail(told, now)
            st.session_state[_PAUSED] = False
        refused: ApiProblem | None = None
        paused = bool(st.session_state.get(_PAUSED))
        if not paused:
            try:
                tail = _look(tail, now)
            except ApiProblem as problem:
                refused = problem
            st.session_state[_TAIL] = tail
        with markup.heading_row():
            markup.status(*_how(tail, now, paused=paused, failed=refused is not None))
            st.button(
                "Go on" if paused else "Pause",
                key="logs-pause",
                icon=":material/play_arrow:" if paused else ":material/pause:",
                on_click=_toggle,
                args=(_PAUSED,),
            )
        if refused is not None:
            problems.show(refused)
        if not tail.lines:
            markup.empty("Nothing yet", "The next line that matches is shown here.")
            return
        opened = log_lines.draw("logs-following", "Lines as they come", tail.lines)
        if opened:
            # What is read should not move.
            st.session_state[_PAUSED] = True
            _open(opened)


def _look(tail: _Tail, now: datetime) -> _Tail:
    """Return what has come too, after a few requests at most."""
    api = state.current().api
    asked: dict[str, Any] = dict(tail.told)
    if tail.seq is None:
        found = api.tail_logs(**asked, limit=client.PAGE_LIMIT)
        lines = tuple(reversed(found.items))
        return replace(tail, seq=found.seq, lines=lines, looked_at=now)
    for _ in range(_POLLS):
        found = api.tail_logs(**asked, after_seq=tail.seq, limit=_ASKED_AT_ONCE)
        tail = replace(
            tail,
            seq=found.seq,
            lines=(*reversed(found.items), *tail.lines)[:_FOLLOWED],
            looked_at=now,
            came=tail.came + len(found.items),
            behind=len(found.items) == _ASKED_AT_ONCE,
        )
        if not tail.behind:
            break
    return tail


def _how(tail: _Tail, now: datetime, *, paused: bool, failed: bool) -> tuple[str, str, str]:
    """Return how the following stands, as a tone, a word and a sentence that says how old it is."""
    age = 0 if tail.looked_at is None else max(int((now - tail.looked_at).total_seconds()), 0)
    lines = f"{tail.came:,} {'line' if tail.came == 1 else 'lines'} came"
    came = f"{lines} since {markup.when(tail.began)[11:]}"
    shown = f"; the newest {_FOLLOWED} are shown." if tail.came > _FOLLOWED else "."
    if paused:
        return "gray", "Paused", f"As of {age} s ago; {came}{shown} Going on shows what came since."
    if failed:
        old = "Nothing was answered yet" if tail.looked_at is None else f"As of {age} s ago"
        return "red", "Not answered", f"{old}; {came}{shown} It is tried again by itself."
    if tail.behind:
        return "amber", "Behind", f"Lines come faster than they are fetched; {came}{shown}"
    return "green", "Live", f"As of {markup.when(tail.looked_at)[11:]}; {came}{shown}"


if __name__ == "__main__":
    page()
