"""Objectives: what is promised, whether it is kept, and how fast the budget for failures burns.

What is not measured is never green: it is gray, and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from typing import Final

import streamlit as st

from dashboard import client, pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, Form, Input, ListPage
from dashboard.widgets import charts, confirm, markup, problems, table

_WRITE: Final = "slo:write"
_PLATFORM: Final = "platform"
_KINDS: Final = (
    ("availability", "Availability: requests that are served"),
    ("latency", "Latency: requests that are fast enough"),
    ("success", "Success: what ends well"),
    ("freshness", "Freshness: a metric that keeps coming"),
)
_OF: Final = (
    ("", "Nothing: not of this kind"),
    ("emails", "E-mails"),
    ("jobs", "Jobs"),
    ("metric", "A metric"),
)
_WINDOWS: Final = (("7", "7 days"), ("28", "28 days"), ("30", "30 days"), ("90", "90 days"))
_SHARES: Final = (
    ("0.9", "90 %"),
    ("0.95", "95 %"),
    ("0.99", "99 %"),
    ("0.995", "99.5 %"),
    ("0.999", "99.9 %"),
    ("0.9999", "99.99 %"),
)
_EVIDENCE: Final = (
    ("throughput", "Throughput, requests/s"),
    ("failover", "Failover, seconds"),
    ("recovery", "Recovery, seconds"),
    ("security_incidents", "Security incidents"),
)
_STATES: Final = {"not_measured": "not measured", "at_risk": "at risk"}
_WHOLE: Final = 100.0
_MISSING: Final = "It needs a name, a kind, an objective and a window."


def _state(found: str) -> str:
    return _STATES.get(found, found)


def _share(value: float | None) -> str:
    return markup.NONE if value is None else markup.percent(value)


def _trend(now: float | None, before: float | None) -> str:
    """Return how much better it is than in the window before, in points of a hundred."""
    if now is None or before is None:
        return markup.NONE
    points = _WHOLE * (now - before)
    return "as before" if abs(points) < 0.005 else f"{points:+.2f} points"


def _budget(left: float | None) -> str:
    if left is None:
        return markup.NONE
    share = f"{abs(_WHOLE * left):,.0f} %"
    return f"{share} left" if left >= 0 else f"overspent {share}"


def _promise(one: models.SloOut) -> str:
    """Return what is promised, in words."""
    share = markup.percent(one.objective)
    if one.kind == "latency":
        return f"{share} of requests within {one.within_ms:,.0f} ms"
    if one.kind == "availability":
        return f"{share} of requests served"
    if one.kind == "freshness":
        return f"{one.metric} no older than {one.within_seconds:,.0f} s, {share} of looks"
    what = f"{one.metric} by {one.good_metric}" if one.of == "metric" else str(one.of)
    return f"{share} of {what} end well"


def _window(days: int | None) -> str:
    return markup.NONE if days is None else f"{days} days"


# --- a form ---------------------------------------------------------------------------------


def body(
    *,
    name: str | None,
    kind: str | None,
    objective: str | None,
    window_days: str | None,
    of: str | None = None,
    metric: str | None = None,
    good_metric: str | None = None,
    within_ms: int | None = None,
    within_seconds: int | None = None,
) -> models.SloPut:
    """Return the request; an objective may be written as ``0.999`` or as ``99.9 %``."""
    return models.SloPut(
        name=name or "",
        kind=kind or "",
        objective=as_share(objective or ""),
        window_days=int(window_days or 30),
        of=of,
        metric=metric,
        good_metric=good_metric,
        within_ms=within_ms,
        within_seconds=within_seconds,
    )


def as_share(text: str) -> float:
    """Return the share that a text means.

    Raises:
        ApiProblem: It is no number.
    """
    said = text.strip()
    try:
        number = float(said.rstrip("% ").replace(",", "."))
    except ValueError as exc:
        raise client.ApiProblem(
            "The objective is no share", detail="Write it as 99.9 % or 0.999.", code="not_a_share"
        ) from exc
    return round(number / _WHOLE, 10) if said.endswith("%") or number > 1 else number


def _inputs(of: models.SloOut | None = None) -> tuple[Input, ...]:
    return (
        Input("name", "Name", example="Requests are served"),
        Input(
            "kind", "Kind", "choice", usual="availability", options=lambda _: _KINDS
        ),
        Input(
            "objective", "Objective", "choice", usual=f"{of.objective:g}" if of else "0.999",
            example="99.9 %", options=lambda _: _SHARES,
            help="The share that has to be good. Choose one, or write another.",
        ),
        Input("window_days", "Window", "choice", usual="30", options=lambda _: _WINDOWS),
        Input(
            "of", "Success of", "choice", required=False, options=lambda _: _OF,
            help="Only where the kind is success.",
        ),
        Input(
            "metric", "Metric", required=False, example="orders_total",
            help="For freshness, and for success of a metric: the counter of all.",
        ),
        Input(
            "good_metric", "Metric of what is good", required=False, example="orders_paid_total",
            help="For success of a metric: the counter that is a part of it.",
        ),
        Input(
            "within_ms", "Within, ms", "number", required=False,
            help="For latency: how long a request may last.",
        ),
        Input(
            "within_seconds", "Within, s", "number", required=False,
            help="For freshness: how old the newest value may be, 60 at least.",
        ),
    )  # fmt: skip


# --- one objective --------------------------------------------------------------------------


def detail(slo_id: str) -> None:
    """Draw one of the tenant's objectives."""
    session = state.current()
    st.button("All objectives", key="slos-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        found = session.api.get_slo(slo_id).value
        markup.object_heading(found.name, _state(found.state), _promise_of(found))
        _standing(found.reason, found.since)
        _figures(
            _share(found.value),
            _trend(found.value, found.value_before),
            f"{found.good:,} of {found.total:,} were good" if found.total else "nothing happened",
            _budget(found.budget_left),
            f"{found.budget.spent:,} failed, {found.budget.allowed:,.1f} may",
        )
        _days(found.days)
        _burns(found.burns)
        with st.container(key="card-facts"):
            markup.section("Details")
            markup.facts(
                [
                    ("Window", _window(found.window_days)),
                    ("Measured until", markup.moment(found.measured_until)),
                    ("Created", markup.when(found.created_at)),
                    ("Created by", session.names.of(found.created_by)),
                    ("Changed", markup.when(found.updated_at)),
                    ("Id", found.id),
                ]
            )
        if session.can(_WRITE):
            _change(session, found)
            if confirm.ask(
                "slos-delete",
                "Delete",
                will=f"{found.name} is promised no more, and what was counted for it alone is "
                "forgotten. This cannot be undone.",
                yes="Delete this objective",
                icon=":material/delete:",
                danger=True,
            ):
                session.api.delete_slo(found.id)
                confirm.say_after_rerun(f"{found.name} is deleted.")
                _back()
                st.rerun()


def _promise_of(found: models.SloDetailOut) -> str:
    fields = {name: getattr(found, name) for name in models.SloOut.__struct_fields__}
    return f"{_promise(models.SloOut(**fields))}, over {found.window_days} days"


def _change(session: state.Session, found: models.SloDetailOut) -> None:
    """Draw the form that begins with what is.

    It is sent with the version that the form was opened with: what somebody else has changed since
    is refused, not overwritten.
    """
    seen = f"slos-seen-{found.id}"
    version = str(st.session_state.setdefault(seen, found.version))
    fields = {name: getattr(found, name) for name in models.SloOut.__struct_fields__}
    with st.expander("Change", icon=":material/edit:"):
        with st.form(f"slos-change-{found.id}-{version}", border=False):
            given = {
                one.name: pages.draw_input(
                    session,
                    f"slos-change-{version}-{one.name.replace('_', '-')}",
                    one,
                    fields[one.name],
                )
                for one in _inputs(models.SloOut(**fields))
            }
            sent = st.form_submit_button("Save changes", key="slos-change-save", type="primary")
        if not sent:
            return
        with problems.guard():
            if not all(given[name] for name in ("name", "kind", "objective", "window_days")):
                st.warning(_MISSING)
                return
            try:
                session.api.put_slo(found.id, body(**given), if_match=f'"{version}"')
            except client.ApiProblem as problem:
                if problem.code == "monitoring.slo_changed":
                    # The next form begins with what is there now.
                    del st.session_state[seen]
                raise
            del st.session_state[seen]
            confirm.say_after_rerun(f"{found.name} is changed.")
            st.rerun()


def _back() -> None:
    st.query_params.from_dict(state.address())


def _standing(reason: str, since: datetime | None) -> None:
    if reason:
        markup.note(f"{reason} Not measured since {markup.moment(since)}." if since else reason)


def _figures(value: str, trend: str, of: str, left: str, spent: str) -> None:
    with st.container(key="figures"):
        cells = st.columns(3)
    for cell, (label, figure, beside) in zip(
        cells, (("Value", value, of), ("Budget", left, spent), ("Trend", trend, "")), strict=True
    ):
        cell.metric(
            label, figure, beside or "against the window before",
            delta_color="off", delta_arrow="off", border=True, height="stretch",
        )  # fmt: skip


def _days(days: Sequence[models.SloDayOut]) -> None:
    charts.series(
        "slos-days",
        "By the day",
        [one.at for one in days],
        [None if one.value is None else _WHOLE * one.value for one in days],
        unit="% good; a gap is a day on which nothing happened",
        of="% good",
        color="#1FA97A",
    )


def _burns(burns: Sequence[models.BurnOut]) -> None:
    with st.container(key="card-burns"):
        markup.section("How fast the budget burns")
        markup.note(
            "A rate of 1 spends it exactly by the end of the window. Both windows of a pair must "
            "burn: the long one says that it matters, the short one that it still goes on."
        )
        table.draw(
            "slos-burns",
            "Burn rates",
            (
                table.Column("pair", "Windows", "strong"),
                table.Column("state", "State", "badge"),
                table.Column("short", "Short", "number"),
                table.Column("long", "Long", "number"),
                table.Column("threshold", "Burns at", "number"),
                table.Column("worth", "Worth"),
            ),
            [
                {
                    "pair": f"{_long(one.short_seconds)} and {_long(one.long_seconds)}",
                    "state": _burning(one),
                    "short": _rate(one.short_rate),
                    "long": _rate(one.long_rate),
                    "threshold": f"{one.threshold:,.2f}",
                    "worth": f"a {one.severity}",
                }
                for one in burns
            ],
        )


def _burning(one: models.BurnOut) -> str:
    if one.burning:
        return "burns"
    known = one.short_rate is not None or one.long_rate is not None
    return "holds" if known else "not measured"


def _rate(rate: float | None) -> str:
    return markup.NONE if rate is None else f"{rate:,.2f}"


def _long(seconds: int) -> str:
    for size, noun in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {noun}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"


# --- the platform's own ---------------------------------------------------------------------


def platform() -> None:
    """Draw the platform's own objectives, for who administers it."""
    session = state.current()
    with problems.guard():
        found = session.api.list_platform_slos().items
        with markup.heading_row():
            markup.section("The platform's own")
            if session.can("platform:write"):
                st.button(
                    "Record evidence",
                    key="slos-record",
                    icon=":material/fact_check:",
                    on_click=_open_record,
                    args=(True,),
                )
        if session.can("platform:write"):
            _record(session)
        opened = table.draw(
            "slos-platform",
            "The platform's own objectives",
            (
                table.Column("name", "Objective", "strong"),
                table.Column("state", "State", "badge"),
                table.Column("target", "Target"),
                table.Column("value", "Value", "number"),
                table.Column("trend", "Trend", "number"),
                table.Column("budget", "Budget", "number"),
                table.Column("evidence", "Evidence"),
            ),
            [_row(one) for one in found],
            opens=True,
        )
    if opened:
        st.query_params.from_dict(state.address(**{_PLATFORM: opened}))
        st.rerun()


def _row(one: models.PlatformSloOut) -> dict[str, str]:
    return {
        "id": one.id,
        "name": one.name,
        "state": _state(one.state),
        "target": one.target,
        "value": _value(one),
        "trend": _change_of(one),
        "budget": _budget(one.budget_left),
        "evidence": _evidence(one) or one.reason or "counted",
    }


def _value(one: models.PlatformSloOut) -> str:
    if one.value is None:
        return markup.NONE
    return markup.percent(one.value) if one.unit == "share" else f"{one.value:,.4g} {one.unit}"


def _change_of(one: models.PlatformSloOut) -> str:
    if one.unit == "share":
        return _trend(one.value, one.value_before)
    if one.value is None or one.value_before is None:
        return markup.NONE
    return f"{one.value - one.value_before:+,.4g} {one.unit}"


def _evidence(one: models.PlatformSloOut) -> str:
    """Return who found it and when; what is too old says so in its reason."""
    if one.evidence is None:
        return ""
    said = f"{one.evidence.source}, {markup.when(one.evidence.at)[:10]}"
    return f"{said}. {one.reason}" if one.state == "not_measured" else said


def platform_detail(word: str) -> None:
    """Draw one of the platform's objectives."""
    session = state.current()
    st.button("All objectives", key="slos-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        found = session.api.get_platform_slo(word)
        over = f", over {found.window_days} days" if found.window_days else ""
        markup.object_heading(found.name, _state(found.state), f"{found.target}{over}")
        _standing(found.reason, found.since)
        fields = {name: getattr(found, name) for name in models.PlatformSloOut.__struct_fields__}
        short = models.PlatformSloOut(**fields)
        if found.total is not None:
            good = found.good or 0
            _figures(
                _value(short),
                _change_of(short),
                f"{good:,} of {found.total:,} were good" if found.total else "nothing happened",
                _budget(found.budget_left),
                f"{found.total - good:,} failed",
            )
            _days(found.days)
            _burns(found.burns)
            return
        markup.facts([("Value", _value(short)), ("Before", _change_of(short))])
        _draw_evidence(session.api, word)


def _draw_evidence(api: Api, kind: str) -> None:
    markup.section("Evidence")
    found = api.list_evidence(kind=kind, limit=client.PAGE_LIMIT).items
    if not found:
        markup.empty("Nothing was recorded", "Record what a drill, a benchmark or a review found.")
        return
    names = state.current().names
    table.draw(
        "slos-evidence",
        "Evidence, what was recorded last first",
        (
            table.Column("at", "Found", "time"),
            table.Column("value", "Value", "number"),
            table.Column("source", "Source", "strong"),
            table.Column("note", "Note"),
            table.Column("by", "Recorded by"),
        ),
        [
            {
                "at": markup.when(one.at),
                "value": f"{one.value:,.4g}",
                "source": one.source,
                "note": one.note or markup.NONE,
                "by": names.of(one.created_by),
            }
            for one in found
        ],
    )


def _open_record(now: bool) -> None:  # noqa: FBT001 - a callback has positions alone
    st.session_state["slos-recording"] = now


def _record(session: state.Session) -> None:
    if not st.session_state.get("slos-recording"):
        return
    with st.container(key="card-slos-record"):
        markup.section("New evidence")
        with st.form("slos-record-form", border=False):
            called = dict(_EVIDENCE)
            kind = st.selectbox(
                "Of what", list(called), format_func=called.__getitem__, key="slos-record-kind"
            )
            value = st.number_input("Value", 0.0, 1e9, None, key="slos-record-value", format="%g")
            day = st.date_input(
                "Found on", "today", key="slos-record-day", format="YYYY-MM-DD", max_value="today"
            )
            source = st.text_input(
                "Source", key="slos-record-source", placeholder="scripts/drill failover"
            )
            note = st.text_input("Note", key="slos-record-note", placeholder="two API processes")
            with st.container(horizontal=True):
                sent = st.form_submit_button("Record evidence", type="primary")
                st.form_submit_button("Close", on_click=_open_record, args=(False,))
        if not sent:
            return
        with problems.guard():
            if value is None or not source.strip():
                st.warning("It needs a value and a source.")
                return
            # Of a day alone nobody knows the hour: its beginning, which is never in the future.
            at = datetime.combine(day, time(), markup.zone())
            session.api.record_evidence(
                models.EvidenceCreate(
                    kind=kind, value=value, at=at, source=source.strip(), note=note.strip()
                )
            )
            _open_record(False)
            confirm.say_after_rerun("The evidence is recorded, and decides for ninety days.")
            st.rerun()


# --- the page -------------------------------------------------------------------------------

PAGE: Final = ListPage(
    key="slos",
    of=models.SloOut,
    title="Objectives",
    lead="What is promised, whether it is kept, and how much may still fail.",
    noun="objective",
    nothing="Say what share of requests, e-mails or jobs has to be good.",
    fetch=Api.list_slos,
    write=_WRITE,
    columns=(
        Column("name", "Name", "strong"),
        Column("state", "State", "badge", lambda one: _state(one.state)),
        Column("objective", "Target", value=_promise),
        Column("value", "Value", "number", lambda one: _share(one.value)),
        Column("trend", "Trend", "number", lambda one: _trend(one.value, one.value_before)),
        Column("budget_left", "Budget", "number", lambda one: _budget(one.budget_left)),
        Column("window_days", "Window", value=lambda one: _window(one.window_days)),
        Column("reason", "Why", none="–"),
    ),
    export=(
        "id", "name", "kind", "objective", "window_days", "of", "metric", "good_metric",
        "within_ms", "within_seconds", "state", "reason", "value", "value_before", "good", "total",
        "budget_left", "measured_until", "created_at", "created_by", "updated_at",
    ),
    form=Form(
        inputs=_inputs(),
        body=body,
        call=Api.create_slo,
        missing=_MISSING,
        said="{0} is promised, and measured from now on.",
    ),
    detail=detail,
)  # fmt: skip


def page() -> None:
    """Draw the page: one objective when the address names it."""
    session = state.current()
    word = st.query_params.get(_PLATFORM)
    told = session.can("platform:read")
    if told and word:
        platform_detail(word)
        return
    if session.can("slo:read"):
        if st.query_params.get("id"):
            pages.draw(PAGE)
            return
        pages.heading(PAGE)
        pages.draw_new(PAGE)
        if told:
            markup.section("Of this tenant")
        pages.draw_list(PAGE)
    else:
        markup.page_heading(PAGE.title, PAGE.lead)
    if told:
        platform()


if __name__ == "__main__":
    page()
