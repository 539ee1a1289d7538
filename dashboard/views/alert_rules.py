"""Alert rules: what is looked at, how often, and whether it can be measured."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec
import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models, shapes
from dashboard.pages import Act, Column, Form, ListPage, Upload
from dashboard.widgets import charts, confirm, markup, problems, rule_form, table

_WRITE: Final = "alert_rule:write"
_SAID: Final = 3


def catalogue() -> None:
    """Draw, for who asks for it, the rules that ship: what each asks, and a way to have it."""
    session = state.current()
    if not session.can(_WRITE) or not st.toggle("Add from the catalogue", key="alert-catalogue"):
        return
    with problems.guard():
        for one in session.api.list_alert_catalogue().items:
            _offer(session, one)


def _offer(session: state.Session, one: models.ShippedRuleOut) -> None:
    with st.container(key=f"card-alert-catalogue-{one.name}"):
        markup.section(one.title)
        markup.note(one.about)
        held = f" for {markup.span(one.hold_seconds)}" if one.hold_seconds else ""
        markup.facts(
            [
                ("Severity", one.severity),
                ("Looks whether", f"{rule_form.in_words(one.condition)}{held}"),
                ("Not measured now", one.problem or markup.NONE),
                ("Runbook", one.runbook_url),
            ]
        )
        if one.rule_id is not None:
            markup.note("You have it.")
        elif st.button("Add", key=f"alert-catalogue-add-{one.name}"):
            session.api.adopt_alert_rule(one.name)
            confirm.say_after_rerun(f"{one.title} is looked at from now on.")
            st.rerun()


_TRIED_DAYS: Final = 7
_TRIED: Final = (
    table.Column("labels", "Of", "strong"),
    table.Column("fired_at", "Would have fired"),
    table.Column("lasted", "For"),
    table.Column("value", "Value"),
)
_KNOWN_BEFORE: Final = ("metric", "log")


def try_out(one: models.AlertRuleOut) -> None:
    """Draw, on request, what a rule would have done in the last week."""
    if one.condition["kind"] not in _KNOWN_BEFORE or not st.button("Try it", key="alert-rule-try"):
        return
    session = state.current()
    told = msgspec.to_builtins(one)
    fields = [field.name for field in msgspec.structs.fields(models.AlertRuleTry)]
    body = {name: told[name] for name in fields if name in told}
    found = session.api.try_alert_rule(
        shapes.convert({**body, "days": _TRIED_DAYS}, models.AlertRuleTry)
    )
    markup.section(f"What it would have done in {_TRIED_DAYS} days")
    markup.note(f"With a look each {markup.span(found.step_seconds)}, at the time before it.")
    if not found.lines:
        markup.note("Nothing was measured.")
        return
    rows = []
    for line in found.lines:
        rows += [
            {
                "labels": _named(line.labels),
                "fired_at": markup.when(each.fired_at),
                "lasted": markup.span((each.ended_at - each.fired_at).total_seconds())
                if each.ended_at
                else "until now",
                "value": markup.NONE if each.value is None else f"{each.value:.6g}",
            }
            for each in line.firings
        ]
    if rows:
        table.draw("alert-rule-tried", "When it would have fired", _TRIED, rows)
    else:
        markup.note("It would not have fired.")
    step = timedelta(seconds=found.step_seconds)
    times = [found.start_at + step * at for at in range(len(found.lines[0].points))]
    drawn = [charts.Line(_named(line.labels), line.points) for line in found.lines]
    charts.lines("alert-rule-tried-lines", "What looks would have measured", times, drawn, "")


def _named(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={said}" for name, said in labels.items()) or "all"


def imported(found: models.AlertRulesImportedOut) -> str:
    """Return what became of a rule file, in words."""
    said = f"{found.created:,} made, {found.changed:,} changed, {found.unchanged:,} as they were."
    refused = [f"{one.name}: {one.reason}" for one in found.rules if one.outcome == "refused"]
    if refused:
        more = f" and {len(refused) - _SAID:,} more" if len(refused) > _SAID else ""
        said += f" {found.refused:,} refused: {'; '.join(refused[:_SAID])}{more}."
    return said


_OUTCOMES: Final = {
    "created": "made",
    "changed": "changed",
    "refused": "refused",
    "unchanged": "as it is",
}
_FORESEEN: Final = (
    table.Column("name", "Rule", "strong"),
    table.Column("outcome", "Would be"),
    table.Column("why", "Because", "prose"),
)


def foreseen(found: models.AlertRulesImportedOut) -> bool:
    """Draw what would become of each rule of a file; whether there is anything to do."""
    order = list(_OUTCOMES)
    rows = [
        {
            "name": one.name,
            "outcome": _OUTCOMES[one.outcome],
            "why": one.reason or "; ".join(one.notes) or markup.NONE,
        }
        for one in sorted(found.rules, key=lambda one: order.index(one.outcome))
    ]
    markup.note(
        f"It would make {found.created:,} and change {found.changed:,}; {found.refused:,} would be "
        f"refused, and {found.unchanged:,} are as they are."
    )
    if rows:
        table.draw("alert-rules-foreseen", "What would become of the file", _FORESEEN, rows)
    return found.created + found.changed > 0


PAGE: Final = ListPage(
    key="alert-rules",
    of=models.AlertRuleOut,
    title="Alert rules",
    lead="What is looked at, again and again, and becomes an alert.",
    noun="alert rule",
    nothing="Say what somebody is to be told of.",
    fetch=Api.list_alert_rules,
    write=_WRITE,
    notice=catalogue,
    columns=(
        Column("name", "Name", "strong"),
        Column("severity", "Severity", "badge"),
        Column("condition", "Looks whether", value=rule_form.asks),
        Column("hold_seconds", "Held for", value=lambda one: markup.span(one.hold_seconds)),
        Column("looked_at", "Looked at", "time", none="not yet"),
        Column("problem", "Not measured", none=markup.NONE),
    ),
    facts=(
        Column("enabled", "Is looked at", value=lambda one: "yes" if one.enabled else "no"),
        Column("every_seconds", "Every", value=lambda one: markup.span(one.every_seconds)),
        Column("clear_seconds", "Over after", value=lambda one: markup.span(one.clear_seconds)),
        Column("no_data", "Without data", value=lambda one: dict(rule_form.NO_DATA)[one.no_data]),
        Column("summary", "Says"),
        Column("runbook_url", "Runbook"),
        Column("created_by", "Created by", "who"),
        Column("updated_at", "Changed", "time"),
    ),
    form=Form(
        inputs=rule_form.INPUTS,
        body=rule_form.body,
        call=Api.create_alert_rule,
        by=("kind",),
        missing="It needs a name, a severity and something to look at.",
        said="{0} is looked at from now on.",
    ),
    below=try_out,
    upload=Upload(
        note="A rule file of Prometheus. Rules that were made of it before are changed. What "
        "cannot be a rule here is passed over; all others are kept, or none is.",
        call=Api.import_alert_rules,
        said=imported,
        kinds=("yaml", "yml", "json"),
        look=lambda api, file: api.import_alert_rules(file, dry_run=True),
        shows=foreseen,
    ),
    acts=(
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=Api.delete_alert_rule, yes="Delete this rule",
            said="{0} is deleted.",
            will="{0} is looked at no more, and its alerts end. This cannot be undone.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
