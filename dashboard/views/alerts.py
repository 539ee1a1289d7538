"""Alerts: what is wrong now and was before, who sees to it, and what happened in order."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Choice, Column, Form, Input, ListPage, Words
from dashboard.widgets import confirm, markup, problems

_WRITE: Final = "alert:write"
_SEVERITIES: Final = ("critical", "warning", "info")
_HOUR: Final = 3600
_SAID: Final = {
    "fired": "It fires",
    "acknowledged": "Somebody sees to it",
    "snoozed": "Nobody is told of it for a while",
    "woken": "It is told again",
    "assigned": "Assigned",
    "commented": "Comment",
    "resolved": "It is over",
}


def detail(alert_id: str) -> None:
    """Draw one alert: what is wrong, who sees to it, what happened, and what can be done."""
    session = state.current()
    st.button("All alerts", key="alerts-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        found = session.api.get_alert(alert_id)
        markup.object_heading(found.name, _state(found), found.summary or "Nothing more was said.")
        if session.can(_WRITE) and found.state != "over":
            _acts(session, found)
        with st.container(key="card-facts"):
            markup.section("Details")
            markup.facts(_facts(session, found))
        if found.labels:
            with st.container(key="card-labels"):
                markup.section("Labels")
                markup.facts(sorted((name, str(said)) for name, said in found.labels.items()))
        with st.container(key="card-notes"):
            markup.section("What happened")
            markup.timeline([_entry(session, note) for note in found.notes])
            if session.can(_WRITE):
                _comment(session, found)


def _state(one: models.AlertDetailOut) -> str:
    if one.state == "firing" and one.acknowledged_at is not None:
        return "acknowledged"
    return one.state


def _acts(session: state.Session, found: models.AlertDetailOut) -> None:
    def done(said: str) -> None:
        confirm.say_after_rerun(f"{found.name} {said}.")
        st.rerun()

    # Neither loses anything, and who is woken by it at night has little patience for questions.
    with st.container(horizontal=True):
        if found.acknowledged_at is None and st.button(
            "Acknowledge", key="alerts-acknowledge", icon=":material/done:", type="primary"
        ):
            session.api.acknowledge_alert(found.id, models.AlertAct())
            done("is acknowledged")
        if found.snoozed_until is None:
            if st.button("Snooze for an hour", key="alerts-snooze", icon=":material/snooze:"):
                session.api.snooze_alert(found.id, models.AlertSnooze(seconds=_HOUR))
                done("is snoozed for an hour")
        elif st.button("Wake", key="alerts-wake", icon=":material/alarm:"):
            session.api.snooze_alert(found.id, models.AlertSnooze(seconds=0))
            done("is told again")
    if confirm.ask(
        "alerts-resolve",
        "Resolve",
        will="It is over. If the next look finds it again, another one begins.",
        yes="Resolve this alert",
        icon=":material/done_all:",
    ):
        session.api.resolve_alert(found.id, models.AlertAct())
        done("is over")


def _facts(session: state.Session, one: models.AlertDetailOut) -> list[tuple[str, str]]:
    seen_to = markup.when(one.acknowledged_at)
    if one.acknowledged_by:
        seen_to = f"{seen_to} by {session.names.of(one.acknowledged_by)}"
    over = markup.when(one.ended_at)
    if one.ended_by:
        over = f"{over} by {session.names.of(one.ended_by)}"
    facts = [
        ("Severity", one.severity),
        ("Value", markup.NONE if one.value is None else f"{one.value:,.6g}"),
        ("First seen", markup.when(one.since)),
        ("Fired", markup.when(one.fired_at)),
        ("Acknowledged", seen_to),
        ("Assigned to", one.assignee or markup.NONE),
        ("Snoozed until", markup.when(one.snoozed_until)),
        ("Over", over),
        ("Runbook", one.runbook_url or markup.NONE),
        (
            "Found by",
            "an alert rule" if one.source == "rule" else f"somebody who raised it ({one.source})",
        ),
        ("Id", one.id),
    ]
    if one.expires_at is not None:
        facts.insert(8, ("Over at the latest", markup.when(one.expires_at)))
    return facts


def _entry(session: state.Session, note: models.AlertNoteOut) -> tuple[datetime, str, str]:
    who = session.names.of(note.actor)
    said = f"{who}: {note.text}" if note.text else who
    return note.at, _SAID.get(note.kind, note.kind), said


def _comment(session: state.Session, found: models.AlertDetailOut) -> None:
    with st.form("alerts-comment", clear_on_submit=True, border=False):
        text = st.text_input("Comment", placeholder="A disk was full", max_chars=2000)
        if st.form_submit_button("Write it down") and text.strip():
            session.api.comment_alert(found.id, models.AlertCommentCreate(text=text.strip()))
            confirm.say_after_rerun("Written down.")
            st.rerun()


def _back() -> None:
    st.query_params.from_dict(state.address())


PAGE: Final = ListPage(
    key="alerts",
    of=models.AlertOut,
    title="Alerts",
    lead="What is wrong now and what was, the newest first.",
    noun="alert",
    nothing="Alerts come of rules, or are raised by workflows and people.",
    fetch=Api.list_alerts,
    write=_WRITE,
    columns=(
        Column("name", "Alert", "strong"),
        Column("severity", "Severity", "badge"),
        Column("state", "State", "badge"),
        Column("summary", "Summary"),
        Column("acknowledged_by", "Seen to by", "who", none="nobody"),
        Column("since", "Since", "time"),
        Column("ended_at", "Over", "time", none="no"),
    ),
    filters=(
        Choice("state", "State", ("firing", "waiting", "over")),
        Choice("severity", "Severity", _SEVERITIES),
        Words("matchers", "Labels", 'team="db"', width=320),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="Import stands still"),
            Input(
                "severity", "Severity", "choice", usual="warning",
                options=lambda _: [(one, one) for one in _SEVERITIES],
            ),
            Input("summary", "Says", required=False, example="Nothing came since nine"),
            Input("runbook_url", "Runbook", required=False, example="https://wiki.example/import"),
        ),
        body=lambda name, severity, summary=None, runbook_url=None: models.AlertRaise(
            name=name, severity=severity, summary=summary or "", runbook_url=runbook_url or ""
        ),
        call=Api.raise_alert,
        missing="It needs a name and a severity.",
        said="{0} fires.",
        verb="Raise",
        button="Raise alert",
        icon=":material/campaign:",
    ),
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
