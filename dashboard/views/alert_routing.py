"""Routing: which alerts go to whom, who comes next, and where one would go."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import streamlit as st

from dashboard import client, pages, state
from dashboard.client import Api, models, shapes
from dashboard.pages import Act, Column, Form, Input, ListPage
from dashboard.views.alert_channels import channels
from dashboard.widgets import confirm, markup, problems, table

_WRITE: Final = "alert_routing:write"
_ROUTES: Final = (
    table.Column("route", "Route", "code"),
    table.Column("matchers", "Alerts", "strong"),
    table.Column("policy", "Go to"),
    table.Column("grouped", "In one message by"),
    table.Column("goes_on", "Goes on"),
)
_WAYS: Final = (
    table.Column("routes", "Routes", "code"),
    table.Column("policy", "Goes to", "strong"),
    table.Column("group", "With others of"),
)
_MINUTE: Final = 60


def tree() -> None:
    """Draw the tree of routes, its tester, and for who may write its text."""
    session = state.current()
    with problems.guard():
        found = session.api.get_alert_routing().value
        policies = {one.id: one.name for one in session.api.list_alert_policies(limit=100).items}
        markup.section("Routes")
        if found.version == "0":
            markup.note("Nothing was said yet: nobody is told of any alert.")
        else:
            rows = _rows(found.tree, "0", policies)
            table.draw("alert-routes", "Where alerts go", _ROUTES, rows)
        _tester(session, policies)
        if session.can(_WRITE):
            _editor(session, found, policies)
        markup.section("Escalation policies")


def _rows(
    said: dict[str, Any], route: str, policies: dict[str, str], above: str = "nobody"
) -> list[dict[str, str]]:
    policy = policies.get(said.get("policy") or "", above)
    group = said.get("group_by")
    row = {
        "route": route,
        "matchers": said.get("matchers") or "all",
        "policy": policy,
        "grouped": markup.NONE if group is None else ", ".join(group) or "nothing: all together",
        "goes_on": "yes" if said.get("goes_on") else "no",
    }
    children = said.get("children") or []
    below = [
        each
        for place, child in enumerate(children)
        for each in _rows(child, f"{route}.{place}", policies, policy)
    ]
    return [row, *below]


def _tester(session: state.Session, policies: dict[str, str]) -> None:
    with st.container(key="card-routing-test"):
        markup.section("Where would an alert go?")
        with st.form("alert-routing-test", border=False):
            text = st.text_input("Labels", placeholder="team=db severity=critical")
            sent = st.form_submit_button("Try it")
        if not sent:
            return
        labels = dict(part.partition("=")[::2] for part in text.replace(",", " ").split())
        found = session.api.test_alert_routing(models.AlertRoutingTry(labels=labels)).items
        rows = [
            {
                "routes": " > ".join(one.routes),
                "policy": policies.get(one.policy_id or "", "nobody"),
                "group": ", ".join(f"{name}={said}" for name, said in one.group.items())
                or markup.NONE,
            }
            for one in found
        ]
        if rows:
            table.draw("alert-routing-ways", "Where it would go", _WAYS, rows)
        else:
            markup.note("It is not what the topmost route asks for: nobody is told of it.")


def _editor(
    session: state.Session, found: models.AlertRoutingOut, policies: dict[str, str]
) -> None:
    with st.expander("Change the routes"):
        begin = {
            "tree": found.tree,
            "inhibitions": msgspec.to_builtins(found.inhibitions),
            "incidents": msgspec.to_builtins(found.incidents),
        }
        if found.version == "0" and policies:
            begin["tree"] = {"policy": next(iter(policies)), "group_by": ["alertname"]}
            begin["incidents"] = [
                {"matchers": 'severity="critical"', "by": [], "within_seconds": 3600}
            ]
        if policies:
            markup.facts(sorted((name, policy_id) for policy_id, name in policies.items()))
        with st.form("alert-routing-edit", border=False):
            text = st.text_area(
                "Routes, inhibitions and what makes an incident, as the API has them",
                msgspec.json.format(msgspec.json.encode(begin)).decode(),
                height=320,
            )
            sent = st.form_submit_button("Save the routes", type="primary")
        if sent:
            try:
                body = shapes.decode(text.encode(), models.AlertRoutingPut)
            except msgspec.DecodeError as exc:
                raise client.ApiProblem(
                    "The routes cannot be read", detail=str(exc), code="not_json"
                ) from exc
            session.api.put_alert_routing(body, if_match=f'"{found.version}"')
            confirm.say_after_rerun("Alerts go by these routes from now on.")
            st.rerun()


def _steps(one: models.AlertPolicyOut) -> str:
    known = dict(channels(state.current()))
    said = []
    for step in one.steps:
        who = ", ".join(known.get(channel, channel) for channel in step.channels) or "nobody"
        after = f" after {step.after_seconds // _MINUTE} min" if step.after_seconds else ""
        said.append(f"{who}{after}")
    return ", then ".join(said)


def body(
    *,
    name: str | None,
    first: str | None,
    second: str | None = None,
    after_minutes: int | None = None,
    repeats: int | None = None,
) -> models.AlertPolicyPut:
    """Return the request of a policy with one or two steps; more are made by the API."""
    steps = [models.AlertPolicyStep(channels=[first or ""])]
    if second:
        after = (after_minutes or 5) * _MINUTE
        steps.append(models.AlertPolicyStep(channels=[second], after_seconds=after))
    return models.AlertPolicyPut(name=name or "", steps=steps, repeats=repeats or 0)


def _none_or(session: state.Session) -> list[tuple[str, str]]:
    return [("", "nobody"), *channels(session)]


PAGE: Final = ListPage(
    key="alert-policies",
    of=models.AlertPolicyOut,
    title="Routing",
    lead="Which alerts go to whom, and who is told next while nobody sees to them.",
    noun="policy",
    nothing="Say who is told first, and who next.",
    fetch=Api.list_alert_policies,
    write=_WRITE,
    columns=(
        Column("name", "Policy", "strong"),
        Column("steps", "Tells", value=_steps),
        Column("repeats", "Comes again", "number"),
        Column("updated_at", "Changed", "time"),
    ),
    facts=(
        Column("created_by", "Created by", "who"),
        Column("updated_by", "Changed by", "who"),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="Database"),
            Input("first", "First tells", "choice", options=channels),
            Input("second", "Then tells", "choice", required=False, options=_none_or),
            Input("after_minutes", "After, min", "number", required=False, usual="5"),
            Input("repeats", "Comes again, times", "number", required=False),
        ),
        body=body,
        call=Api.create_alert_policy,
        missing="It needs a name and whom it tells first.",
        said="{0} can be routed to.",
    ),
    notice=tree,
    acts=(
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=Api.delete_alert_policy, yes="Delete this policy",
            said="{0} is deleted.",
            will="Nobody is told by {0} any more. This cannot be undone.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
