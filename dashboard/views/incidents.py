"""Incidents: alerts that belong together, what was done, and what is learned of it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Choice, Column, Form, Input, ListPage
from dashboard.views.alerts import SAID, SEVERITIES
from dashboard.widgets import confirm, markup, problems, table

_WRITE: Final = "incident:write"
_ALERTS: Final = (
    table.Column("name", "Alert", "strong"),
    table.Column("severity", "Severity", "badge"),
    table.Column("state", "State", "badge"),
    table.Column("summary", "Summary"),
    table.Column("fired", "Fired", "time"),
    table.Column("ended", "Over", "time"),
)
_HAPPENED: Final = {
    **SAID,
    "opened": "The incident begins",
    "joined": "An alert is part of it",
    "changed": "What is said of it was changed",
    "reopened": "It goes on",
}


def detail(incident_id: str) -> None:
    """Draw one incident: its alerts, what happened in order, and what is learned of it."""
    session = state.current()
    st.button("All incidents", key="incidents-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        found = session.api.get_incident(incident_id).value
        said = found.summary or "Nobody has said yet what happened."
        markup.object_heading(found.title, found.state, said)
        if session.can(_WRITE) and found.state == "open":
            _acts(session, found)
        with st.container(key="card-facts"):
            markup.section("Details")
            markup.facts(_facts(session, found))
        with st.container(key="card-alerts"):
            markup.section("Alerts")
            if found.items:
                opened = table.draw(
                    "incident-alerts", "Alerts of this incident", _ALERTS, _rows(found), opens=True
                )
                if opened:
                    st.switch_page("views/alerts.py", query_params=state.address(id=opened))
            else:
                markup.note("No alert is part of it.")
        _learned(session, found)
        with st.container(key="card-notes"):
            markup.section("What happened")
            markup.timeline([_entry(session, one) for one in found.timeline])
            if session.can(_WRITE):
                _comment(session, found)


def _rows(found: models.IncidentDetailOut) -> list[dict[str, str]]:
    return [
        {
            "id": one.id,
            "name": one.name,
            "severity": one.severity,
            "state": one.state,
            "summary": one.summary or markup.NONE,
            "fired": markup.when(one.fired_at),
            "ended": markup.when(one.ended_at),
        }
        for one in found.items
    ]


def _acts(session: state.Session, found: models.IncidentDetailOut) -> None:
    unseen = [one for one in found.items if one.state != "over" and one.acknowledged_at is None]
    with st.container(horizontal=True):
        if unseen and st.button(
            "Acknowledge all", key="incidents-acknowledge", icon=":material/done:", type="primary"
        ):
            session.api.acknowledge_incident(found.id)
            confirm.say_after_rerun("Somebody sees to all of its alerts.")
            st.rerun()
    if confirm.ask(
        "incidents-resolve",
        "Resolve",
        will="It is over. Its alerts go on until they are over themselves.",
        yes="Resolve this incident",
        icon=":material/done_all:",
    ):
        session.api.resolve_incident(found.id, models.AlertAct())
        confirm.say_after_rerun(f"{found.title} is over.")
        st.rerun()


def _facts(session: state.Session, one: models.IncidentDetailOut) -> list[tuple[str, str]]:
    over = markup.when(one.ended_at)
    if one.ended_by:
        over = f"{over} by {session.names.of(one.ended_by)}"
    return [
        ("Severity", one.severity),
        ("Began", markup.when(one.started_at)),
        ("Over", over),
        ("Lasted", markup.duration(one.started_at, one.ended_at)),
        ("Alerts", f"{one.alerts}, of which {one.firing} are not over"),
        ("Leads", session.names.of(one.lead) if one.lead else "nobody yet"),
        ("Ends", "when its alerts are over" if one.gathered else "when somebody says so"),
        ("Id", one.id),
    ]


def _learned(session: state.Session, found: models.IncidentDetailOut) -> None:
    with st.container(key="card-learned"):
        markup.section("After action")
        told = [("What happened", found.summary), ("Why", found.cause)]
        told.append(("What is done about it", found.follow_up))
        markup.facts([(name, said or markup.NONE) for name, said in told])
        if not session.can(_WRITE):
            return
        with st.expander("Write what was learned"), st.form("incident-learned", border=False):
            title = st.text_input("Title", found.title, max_chars=200)
            severity = st.selectbox("Severity", SEVERITIES, SEVERITIES.index(found.severity))
            leads = st.checkbox("I lead it", value=found.lead == session.me.subject)
            summary = st.text_area("What happened", found.summary, max_chars=10_000)
            cause = st.text_area("Why", found.cause, max_chars=10_000)
            follow_up = st.text_area("What is done about it", found.follow_up, max_chars=10_000)
            sent = st.form_submit_button("Save", type="primary")
        if sent:
            mine = session.me.subject
            lead = mine if leads else (None if found.lead == mine else found.lead)
            body = models.IncidentPut(
                title=title.strip(),
                severity=severity,
                lead=lead,
                summary=summary,
                cause=cause,
                follow_up=follow_up,
            )
            session.api.put_incident(found.id, body, if_match=f'"{found.version}"')
            confirm.say_after_rerun("Written down.")
            st.rerun()


def _entry(session: state.Session, one: models.IncidentEventOut) -> tuple[datetime, str, str]:
    what = _HAPPENED.get(one.kind, one.kind)
    said = ": ".join(part for part in (session.names.of(one.actor), one.text) if part)
    return one.at, f"{one.alert}: {what}" if one.alert else what, said


def _comment(session: state.Session, found: models.IncidentDetailOut) -> None:
    with st.form("incidents-comment", clear_on_submit=True, border=False):
        text = st.text_input("Comment", placeholder="We look at the disk", max_chars=2000)
        if st.form_submit_button("Write it down") and text.strip():
            session.api.comment_incident(found.id, models.AlertCommentCreate(text=text.strip()))
            confirm.say_after_rerun("Written down.")
            st.rerun()


def _back() -> None:
    st.query_params.from_dict(state.address())


PAGE: Final = ListPage(
    key="incidents",
    of=models.AlertIncidentOut,
    title="Incidents",
    lead="Alerts that belong together, what was done about them, and what is learned.",
    noun="incident",
    nothing="Alerts are gathered as the routes say, or somebody opens one.",
    fetch=Api.list_incidents,
    write=_WRITE,
    columns=(
        Column("title", "Incident", "strong"),
        Column("severity", "Severity", "badge"),
        Column("state", "State", "badge"),
        Column("firing", "Alerts not over", "number"),
        Column("alerts", "Alerts", "number"),
        Column("started_at", "Began", "time"),
        Column("ended_at", "Over", "time", none="no"),
    ),
    filters=(Choice("state", "State", ("open", "over")),),
    name=lambda one: str(one.title),
    form=Form(
        inputs=(
            Input("title", "Title", example="The import stands still"),
            Input(
                "severity", "Severity", "choice", usual="warning",
                options=lambda _: [(one, one) for one in SEVERITIES],
            ),
            Input("summary", "What happened", required=False),
        ),
        body=lambda title, severity, summary=None: models.IncidentPost(
            title=title or "", severity=severity, summary=summary or ""
        ),
        call=Api.create_incident,
        missing="It needs a title and a severity.",
        said="{0} is open.",
        verb="Open",
        button="Open incident",
        icon=":material/emergency:",
    ),
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
