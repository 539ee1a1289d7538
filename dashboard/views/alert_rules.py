"""Alert rules: what is looked at, how often, and whether it can be measured."""

from __future__ import annotations

from typing import Any, Final

from dashboard import client, pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage
from dashboard.widgets import markup

_KINDS: Final = (
    ("metric", "Metric: a value over a window"),
    ("log", "Log: how many lines there are"),
    ("slo", "Objective: its budget burns"),
    ("heartbeat", "Heartbeat: a signal has not come"),
)
_SEVERITIES: Final = tuple((name, name) for name in ("critical", "warning", "info"))
_COMPARES: Final = tuple((sign, sign) for sign in (">", ">=", "<", "<=", "==", "!="))
_AGGREGATES: Final = tuple(
    (name, name) for name in ("rate", "sum", "count", "avg", "min", "max", "last", "quantile")
)
_NO_DATA: Final = (
    ("keep", "Alerts stay as they are"),
    ("fire", "It fires"),
    ("resolve", "Alerts are over"),
)


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"


def asks(one: models.AlertRuleOut) -> str:
    """Return what a rule looks at, in words."""
    said: dict[str, Any] = one.condition
    if said["kind"] == "slo":
        return f"a budget burns, worth a {said['severity']}"
    if said["kind"] == "heartbeat":
        return f"{said['name']} has not come for {_span(said['within_seconds'])}"
    over = f"over {_span(said['window_seconds'])}"
    compared = f"{said['compare']} {said['threshold']:g}"
    if said["kind"] == "metric":
        return f"{said['aggregate']} of {said['metric']} {over} {compared}"
    about = " ".join(str(said[name]) for name in ("level", "source", "words") if said[name])
    return f"log lines {about} {over} {compared}".replace("  ", " ")


def _objectives(session: state.Session) -> list[tuple[str, str]]:
    return [(one.id, one.name) for one in session.api.list_slos().items]


_NEEDED: Final = {
    "metric": ("metric", "aggregate", "compare", "threshold"),
    "log": ("compare", "threshold"),
    "slo": ("slo_id",),
    "heartbeat": ("name", "within_seconds"),
}


def _condition(kind: str | None, given: dict[str, Any]) -> Any:
    wanted = {
        "metric": ("metric", "aggregate", "compare", "threshold", "window_seconds"),
        "log": ("compare", "threshold", "window_seconds", "words", "level", "source"),
        "slo": ("slo_id",),
        "heartbeat": ("name", "within_seconds"),
    }[kind or ""]
    said = {name: given[name] for name in wanted if given.get(name) is not None}
    if kind == "heartbeat":
        said["name"] = given["signal"]
    if kind == "log" and "threshold" in said:
        said["threshold"] = int(said["threshold"])
    missing = [each for each in _NEEDED[kind or ""] if each not in said]
    if missing:
        raise client.ApiProblem(
            "Something is missing", detail=f"A rule of this kind needs {', '.join(missing)}.",
            code="incomplete",
        )  # fmt: skip
    return {"kind": kind, **said}


def body(
    *,
    name: str | None,
    severity: str | None,
    kind: str | None,
    hold_seconds: int | None = None,
    clear_seconds: int | None = None,
    no_data: str | None = None,
    summary: str | None = None,
    runbook_url: str | None = None,
    **given: Any,
) -> models.AlertRulePut:
    """Return the request; of the condition's fields its kind needs some."""
    return models.AlertRulePut(
        name=name or "",
        severity=severity or "",
        condition=_condition(kind, given),
        hold_seconds=hold_seconds or 0,
        clear_seconds=clear_seconds or 0,
        no_data=no_data or "keep",
        summary=summary or "{text}",
        runbook_url=runbook_url or "",
    )


def _number(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return float(text.replace(",", "."))
    except ValueError as exc:
        raise client.ApiProblem(
            "The threshold is no number", detail="Write it as 0.5.", code="not_a_number"
        ) from exc


PAGE: Final = ListPage(
    key="alert-rules",
    of=models.AlertRuleOut,
    title="Alert rules",
    lead="What is looked at, again and again, and becomes an alert.",
    noun="alert rule",
    nothing="Say what somebody is to be told of.",
    fetch=Api.list_alert_rules,
    write="alert_rule:write",
    columns=(
        Column("name", "Name", "strong"),
        Column("severity", "Severity", "badge"),
        Column("condition", "Looks whether", value=asks),
        Column("hold_seconds", "Held for", value=lambda one: _span(one.hold_seconds)),
        Column("looked_at", "Looked at", "time", none="not yet"),
        Column("problem", "Not measured", none=markup.NONE),
    ),
    facts=(
        Column("enabled", "Is looked at", value=lambda one: "yes" if one.enabled else "no"),
        Column("every_seconds", "Every", value=lambda one: _span(one.every_seconds)),
        Column("clear_seconds", "Over after", value=lambda one: _span(one.clear_seconds)),
        Column("no_data", "Without data", value=lambda one: dict(_NO_DATA)[one.no_data]),
        Column("summary", "Says"),
        Column("runbook_url", "Runbook"),
        Column("created_by", "Created by", "who"),
        Column("updated_at", "Changed", "time"),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="Orders have stopped"),
            Input(
                "severity", "Severity", "choice", usual="warning", options=lambda _: _SEVERITIES
            ),
            Input("kind", "Looks at", "choice", usual="metric", options=lambda _: _KINDS),
            Input("metric", "Metric", example="orders_total", of=["metric"]),
            Input(
                "aggregate", "Value", "choice", usual="rate", options=lambda _: _AGGREGATES,
                of=["metric"],
            ),
            Input(
                "compare", "Is", "choice", usual=">", options=lambda _: _COMPARES,
                of=["metric", "log"],
            ),
            Input("threshold", "Threshold", example="0.5", of=["metric", "log"]),
            Input("window_seconds", "Over, s", "number", usual="300", of=["metric", "log"]),
            Input("words", "Words", required=False, example="payment failed", of=["log"]),
            Input("level", "Level", required=False, example="error", of=["log"]),
            Input("source", "Source", required=False, example="shop", of=["log"]),
            Input("slo_id", "Objective", "choice", options=_objectives, of=["slo"]),
            Input("signal", "Signal", example="nightly-backup", of=["heartbeat"]),
            Input("within_seconds", "Comes within, s", "number", usual="3600", of=["heartbeat"]),
            Input("hold_seconds", "Holds for, s", "number", required=False, usual="0"),
            Input("clear_seconds", "Over after, s", "number", required=False, usual="0"),
            Input(
                "no_data", "Without data", "choice", required=False, usual="keep",
                options=lambda _: _NO_DATA,
            ),
            Input("summary", "Says", required=False, example="{text}"),
            Input("runbook_url", "Runbook", required=False, example="https://wiki.example/orders"),
        ),
        body=lambda threshold=None, **given: body(threshold=_number(threshold), **given),
        call=Api.create_alert_rule,
        by="kind",
        missing="It needs a name, a severity and something to look at.",
        said="{0} is looked at from now on.",
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
