"""Alerts: what is wrong now and was before, who sees to it, and what happened in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, ApiProblem, models
from dashboard.pages import Bulk, Choice, Column, Form, Input, ListPage, Words
from dashboard.views import audit as trails_of
from dashboard.widgets import confirm, findings, markup, panels, problems, table

_WRITE: Final = "alert:write"
SEVERITIES: Final = ("critical", "warning", "info")
_HOUR: Final = 3600
_GONE: Final = 404
_BEFORE: Final = timedelta(minutes=30)
_AFTER: Final = timedelta(minutes=5)
_LONGEST: Final = timedelta(days=1)
_SILENCED: Final = timedelta(hours=2)
_SHOWN: Final = 5
_TOLD: Final = (
    table.Column("step", "Step", "number"),
    table.Column("channel", "Channel", "strong"),
    table.Column("kind", "That"),
    table.Column("state", "State", "badge"),
    table.Column("at", "When", "time"),
    table.Column("why", "Held or failed by"),
)
SAID: Final = {
    "fired": "It fires",
    "acknowledged": "Somebody sees to it",
    "snoozed": "Nobody is told of it for a while",
    "woken": "It is told again",
    "assigned": "Assigned",
    "commented": "Comment",
    "resolved": "It is over",
    "told": "Somebody was told",
    "silenced": "Nobody is told: a silence",
    "not_told": "Nobody could be told",
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
        _cause(session, found)
        if found.labels:
            with st.container(key="card-labels"):
                markup.section("Labels")
                markup.facts(sorted((name, str(said)) for name, said in found.labels.items()))
        _incident(session, found)
        _told(session, found)
        with st.container(key="card-notes"):
            markup.section("What happened")
            markup.timeline([_entry(session, note) for note in found.notes])
            if session.can(_WRITE):
                _comment(session, found)


def _told(session: state.Session, found: models.AlertDetailOut) -> None:
    items = session.api.list_alert_notifications(found.id).items
    if not items:
        return
    with st.container(key="card-told"):
        markup.section("Who is told")
        rows = [
            {
                "step": f"{one.step + 1}",
                "channel": one.channel or "a channel that is gone",
                "kind": "it fires" if one.kind == "fired" else "it is over",
                "state": one.state,
                "at": markup.when(one.sent_at or one.due_at),
                "why": one.error or one.held_by or markup.NONE,
            }
            for one in items
        ]
        table.draw("alerts-told", "Who is told of this alert", _TOLD, rows)


def _cause(session: state.Session, found: models.AlertDetailOut) -> None:
    """Draw what the rule asks, around the time, and the ways to what else was said then."""
    # Of a dashboard's panels a stretch can be chosen; here there is nothing that would take it.
    st.session_state.pop(panels.ZOOM, None)
    since = (found.fired_at or found.since) - _BEFORE
    until = min(found.ended_at or markup.now(), since + _LONGEST) + _AFTER
    if found.rule_id is not None and session.can("alert_rule:read"):
        asked = _asked(session, found.rule_id, found)
        if asked is not None:
            panels.draw("alerts-graph", asked, panels.Look(0, since, min(until, markup.now())))
    with st.container(horizontal=True):
        around = urlencode({"after": since.isoformat(), "before": until.isoformat()})
        findings.way(f"/logs?{around}", "Log lines of then")
        findings.way("/traces", "Traces")
        if session.can("audit:read") and st.button(
            "What people did to it", key="alerts-audit", icon=":material/fact_check:"
        ):
            trails_of.show_records(target=f"alert:{found.id}")


def _asked(
    session: state.Session, rule_id: str, found: models.AlertDetailOut
) -> dict[str, Any] | None:
    """Return the panel that asks what the rule asks; None: its kind has no graph, or it is gone."""
    try:
        rule = session.api.get_alert_rule(rule_id).value
    except ApiProblem as problem:
        if problem.status == _GONE:
            return None
        raise
    said = rule.condition
    panel: dict[str, Any] = {"title": f"What {rule.name} looks at", "height": 3}
    if said["kind"] == "metric":
        own = {name: found.labels.get(name, "") for name in said.get("by") or ()}
        labels = {**(said.get("labels") or {}), **own}
        return panel | {
            "metric": {
                "name": said["metric"],
                "aggregate": said["aggregate"],
                "quantile": said.get("quantile"),
                "label": [f"{name}={value}" for name, value in labels.items()],
            }
        }
    if said["kind"] == "log":
        return panel | {"logs": {name: said.get(name) for name in ("level", "source", "words")}}
    return None


def _silence(session: state.Session, found: models.AlertDetailOut) -> None:
    if found.silenced_by or not session.can("silence:write"):
        return
    if st.button("Silence for 2 hours", key="alerts-silence", icon=":material/notifications_off:"):
        # As Alertmanager writes them: quotes and backslashes within are escaped, as in JSON.
        matchers = ", ".join(
            f"{name}={json.dumps(str(said), ensure_ascii=False)}"
            for name, said in sorted(found.labels.items())
            if name != "severity"
        )
        session.api.create_silence(
            models.SilencePut(
                matchers=matchers,
                ends_at=markup.now() + _SILENCED,
                reason=f"Silenced on the page of {found.name}",
            )
        )
        confirm.say_after_rerun(f"Nobody is told of {found.name} for two hours.")
        st.rerun()


def _incident(session: state.Session, found: models.AlertDetailOut) -> None:
    if found.incident_id is not None:
        findings.way(f"/incidents?id={found.incident_id}", "Open its incident")
        return
    if found.state == "over" or not session.can("incident:write"):
        return
    if st.button("Make an incident of it", key="alerts-incident", icon=":material/emergency:"):
        body = models.IncidentPost(
            title=found.name, severity=found.severity, summary=found.summary, alert_ids=[found.id]
        )
        made = session.api.create_incident(body)
        st.switch_page("views/incidents.py", query_params=state.address(id=made.id))


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
        _silence(session, found)
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
    silenced = markup.NONE
    if one.silenced_by:
        silenced = "yes"
        if session.can("silence:read"):
            silences = [session.api.get_silence(each).value for each in one.silenced_by[:_SHOWN]]
            last = max(silences, key=lambda silence: silence.ends_at)
            who = session.names.of(last.created_by)
            silenced = f"until {markup.when(last.ends_at)} by {who}: {last.reason}"
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
        ("Silenced", silenced),
        ("Over", over),
        ("Runbook", one.runbook_url or markup.NONE),
        (
            "Found by",
            "an alert rule" if one.source == "rule" else f"somebody who raised it ({one.source})",
        ),
        ("Id", one.id),
    ]
    if one.expires_at is not None:
        facts.insert(9, ("Over at the latest", markup.when(one.expires_at)))
    return facts


def _entry(session: state.Session, note: models.AlertNoteOut) -> tuple[datetime, str, str]:
    who = session.names.of(note.actor)
    said = f"{who}: {note.text}" if note.text else who
    return note.at, SAID.get(note.kind, note.kind), said


def _comment(session: state.Session, found: models.AlertDetailOut) -> None:
    with st.form("alerts-comment", clear_on_submit=True, border=False):
        text = st.text_input("Comment", placeholder="A disk was full", max_chars=2000)
        if st.form_submit_button("Write it down") and text.strip():
            session.api.comment_alert(found.id, models.AlertCommentCreate(text=text.strip()))
            confirm.say_after_rerun("Written down.")
            st.rerun()


def _back() -> None:
    st.query_params.from_dict(state.address())


def _acknowledge_part(api: Api, **asked: Any) -> models.AlertsAcknowledgedOut:
    # What fires is acknowledged whatever the filter of states says: it is offered for that alone.
    del asked["state"]
    asked["matchers"] = asked.get("matchers") or ""
    return api.acknowledge_alerts(models.AlertsAcknowledge(**asked))


def _what_acknowledging_does(wanted: Mapping[str, str | None]) -> str:
    which = f" of the severity {wanted['severity']}" if wanted["severity"] else ""
    labels = f" with {wanted['matchers']}" if wanted["matchers"] else ""
    return (
        f"Nobody else is told of any alert that fires{which}{labels}, on all pages. They go on "
        "until they are over."
    )


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
        Choice("severity", "Severity", SEVERITIES),
        Words("matchers", "Labels", 'team="db"', width=320),
    ),
    bulks=(
        Bulk(
            key="acknowledge-all",
            label="Acknowledge all",
            icon=":material/done_all:",
            offered=lambda wanted: wanted["state"] == "firing",
            call=_acknowledge_part,
            will=_what_acknowledging_does,
            yes="Acknowledge all of them",
            sums=("acknowledged",),
            said=lambda acknowledged: f"Somebody sees to {acknowledged:,} more.",
        ),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="Import stands still"),
            Input(
                "severity", "Severity", "choice", usual="warning",
                options=lambda _: [(one, one) for one in SEVERITIES],
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
