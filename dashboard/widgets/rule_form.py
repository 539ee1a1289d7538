"""What an alert rule asks: the form's fields by kind, the request they make, and it in words."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dashboard import client, state
from dashboard.client import models
from dashboard.pages import Input
from dashboard.widgets import markup

_KINDS: Final = (
    ("metric", "Metric: a value over a window"),
    ("log", "Log: how many lines there are"),
    ("slo", "Objective: its budget burns"),
    ("heartbeat", "Heartbeat: a signal has not come"),
    ("event", "Events: how many there are"),
    ("audit", "Audit: how many acts there are"),
    ("forecast", "Forecast: a metric will come to a value"),
    ("anomaly", "Anomaly: a metric's last hour is unusual"),
    ("prometheus", "Prometheus: a query comes to something"),
    ("trace", "Traces: rate, failures or latency of a service"),
    ("health", "Health: a part of the platform does not work"),
    ("log_pattern", "New log lines: none before was like them"),
    ("report", "Report: what the day before was like"),
    ("digest", "Digest: what alerts of the month before were like"),
)
_SEVERITIES: Final = tuple((name, name) for name in ("critical", "warning", "info"))
_COMPARES: Final = tuple((sign, sign) for sign in (">", ">=", "<", "<=", "==", "!="))
_AGGREGATES: Final = tuple(
    (name, name) for name in ("rate", "sum", "count", "avg", "min", "max", "last", "quantile")
)
_MEASURES: Final = (
    ("latency", "Latency, ms"),
    ("error_share", "Share that failed, 0 to 1"),
    ("rate", "Spans a minute"),
)
_DIRECTIONS: Final = (("any", "Above or below"), ("above", "Above"), ("below", "Below"))
_BURNS: Final = (
    ("page", "In hours: worth waking somebody"),
    ("ticket", "In days: worth a ticket"),
)
_LEVELS: Final = (
    ("", "Any"),
    *((name, name) for name in ("trace", "debug", "info", "warn", "error", "fatal")),
)
_USUAL_QUANTILE: Final = 0.95
_TOGETHER: Final = ("", "All together")
NO_DATA: Final = (
    ("keep", "Alerts stay as they are"),
    ("fire", "It fires"),
    ("resolve", "Alerts are over"),
)

_METRICS: Final = ("metric", "forecast", "anomaly")
_COMPARING: Final = ("metric", "log", "event", "audit", "forecast", "trace")
_COUNTED: Final = ("log", "event", "audit")
_QUANTILES: Final = (*_METRICS, "trace")
_COMPARED: Final = ("compare", "threshold")
_OF_METRIC: Final = ("labels", "by", "quantile")
_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    "metric": ("metric", "aggregate", *_COMPARED),
    "log": _COMPARED,
    "slo": ("slo_id",),
    "heartbeat": ("name", "within_seconds"),
    "event": ("kinds", *_COMPARED),
    "audit": ("actions", *_COMPARED),
    "forecast": ("metric", "aggregate", *_COMPARED),
    "anomaly": ("metric", "aggregate"),
    "prometheus": ("query",),
    "trace": ("service", "measure", *_COMPARED),
    "health": (),
    "log_pattern": (),
    "report": (),
    "digest": (),
}
_BESIDES: Final[Mapping[str, Sequence[str]]] = {
    "metric": ("window_seconds", *_OF_METRIC),
    "log": ("window_seconds", "words", "level", "source"),
    "slo": ("severity",),
    "event": ("window_seconds", "subject", "by", "where"),
    "audit": ("window_seconds", "actor", "target", "by", "where"),
    "forecast": ("within_hours", *_OF_METRIC),
    "anomaly": ("direction", *_OF_METRIC),
    "trace": ("operation", "minutes", "quantile", "by_operation"),
    "health": ("component", "needs"),
    "log_pattern": ("window_seconds", "level", "source"),
    "report": ("at_hour", "zone"),
    "digest": ("at_hour", "zone"),
}
FIELDS: Final = {kind: (*needed, *_BESIDES.get(kind, ())) for kind, needed in _NEEDED.items()}
"""What the form asks of a condition, by its kind."""
_ASKED_AS: Final[Mapping[str, Mapping[str, str]]] = {
    "metric": {"by": "by_labels"},
    "forecast": {"by": "by_labels"},
    "anomaly": {"by": "by_labels"},
    "heartbeat": {"name": "signal"},
    "slo": {"severity": "burns"},
    "event": {"by": "by_event"},
    "audit": {"actions": "kinds", "by": "by_audit"},
    "log_pattern": {"window_seconds": "pattern_seconds", "level": "pattern_level"},
}
"""Where the form has another name than the condition, since of that name there is another field."""


def _objectives(session: state.Session) -> list[tuple[str, str]]:
    return [(one.id, one.name) for one in session.api.list_slos().items]


INPUTS: Final = (
    Input("name", "Name", example="Orders have stopped"),
    Input("severity", "Severity", "choice", usual="warning", options=lambda _: _SEVERITIES),
    Input("kind", "Looks at", "choice", usual="metric", options=lambda _: _KINDS),
    Input("metric", "Metric", example="orders_total", of=_METRICS),
    Input(
        "aggregate", "Value", "choice", usual="rate", options=lambda _: _AGGREGATES, of=_METRICS
    ),
    Input("kinds", "Of", "words", example="access.denied", of=["event", "audit"],
        help="As events, or the trail, call them; several stand between spaces."),
    Input("subject", "About", required=False, example="job:nightly", of=["event"],
        help="The one thing that the events are about. Nothing: any."),
    Input("actor", "By", required=False, example="user:…", of=["audit"],
        help="The one who acted, as the trail names them. Nothing: anybody."),
    Input("target", "On", required=False, example="secret:payments", of=["audit"],
        help="The one thing that was acted on, as the trail names it. Nothing: anything."),
    Input("where", "Where", required=False, example="role=owner|admin", of=["event", "audit"],
        help="What members of their data are one of: name=value, or name=one|another. Several "
        "stand between spaces, a value with spaces in quotes."),
    Input("by_event", "For each", "choice", required=False,
        options=lambda _: (_TOGETHER, ("subject", "Thing they are about"), ("actor", "Actor")),
        of=["event"], help="Each that had any is compared, and is an alert, by itself."),
    Input("by_audit", "For each", "choice", required=False,
        options=lambda _: (_TOGETHER, ("actor", "Actor"), ("target", "Thing acted on")),
        of=["audit"], help="Each that had any is compared, and is an alert, by itself."),
    Input("query", "PromQL", example='up{job="shop"} == 0', of=["prometheus"],
        help="Each series that it comes to is an alert."),
    Input("service", "Service", example="email-sender", of=["trace"]),
    Input("operation", "Operation", required=False, example="POST /api/v1/emails", of=["trace"],
        help="Nothing: all of the service."),
    Input("by_operation", "For each", "choice", required=False,
        options=lambda _: (_TOGETHER, ("yes", "Operation")), of=["trace"],
        help="Each operation is compared, and is an alert, by itself."),
    Input("measure", "Value", "choice", usual="latency", options=lambda _: _MEASURES, of=["trace"]),
    Input("quantile", "Quantile", required=False, example="0.95", of=_QUANTILES,
        help="Between 0 and 1; of a value that is a quantile, and of latency."),
    Input("direction", "Is unusually", "choice", usual="any", options=lambda _: _DIRECTIONS,
        of=["anomaly"]),
    Input("component", "Part", required=False, example="disk", of=["health"],
        help="Nothing: the platform is not ready. *: each part."),
    Input("needs", "Or does not work", "words", required=False, example="workers", of=["health"],
        help="Where no part is named: these count though the platform is ready without them."),
    Input("compare", "Is", "choice", usual=">", options=lambda _: _COMPARES, of=_COMPARING),
    Input("threshold", "Threshold", example="0.5", of=_COMPARING),
    Input("labels", "Only with labels", required=False, example="shop=berlin", of=_METRICS,
        help="name=value; several stand between spaces, a value with spaces in quotes."),
    Input("by_labels", "For each", "words", required=False, example="shop host", of=_METRICS,
        help="Names of labels: each set of their values is compared, and is an alert, by itself. "
        "Nothing: all together."),
    Input("window_seconds", "Over, s", "number", usual="300", of=["metric", *_COUNTED],
        help="How far each look looks back."),
    Input("pattern_seconds", "Over, s", "number", usual="900", of=["log_pattern"],
        help="How far each look looks back: 5 minutes to a day."),
    Input("minutes", "Over, min", "number", usual="5", of=["trace"],
        help="How far each look looks back: 2 to 60 minutes."),
    Input("within_hours", "Within, h", "number", usual="24", of=["forecast"]),
    Input("words", "Words", required=False, example="payment failed", of=["log"]),
    Input("level", "Level", "choice", required=False, options=lambda _: _LEVELS, of=["log"]),
    Input("pattern_level", "Level", "choice", required=False, usual="error",
        options=lambda _: _LEVELS, of=["log_pattern"]),
    Input("source", "Source", required=False, example="shop", of=["log", "log_pattern"]),
    Input("slo_id", "Objective", "choice", options=_objectives, of=["slo"]),
    Input("burns", "Burns", "choice", usual="page", options=lambda _: _BURNS, of=["slo"],
        help="How fast its budget has to burn: so that it would be gone in hours, or in days."),
    Input("at_hour", "At the hour", "number", usual="8", of=["report", "digest"]),
    Input("zone", "By the clocks of", usual="UTC", example="Europe/Paris", of=["report", "digest"]),
    Input("signal", "Signal", example="nightly-backup", of=["heartbeat"]),
    Input("within_seconds", "Comes within, s", "number", usual="3600", of=["heartbeat"]),
    Input("hold_seconds", "Holds for, s", "number", required=False, usual="0",
        help="It fires when it was so at every look for so long. 0: at once."),
    Input("clear_seconds", "Over after, s", "number", required=False, usual="0",
        help="It is over when it was gone at every look for so long. 0: at once."),
    Input("every_seconds", "Looked at every, s", "number", usual="60",
        help="10 seconds to an hour."),
    Input("no_data", "Without data", "choice", required=False, usual="keep",
        options=lambda _: NO_DATA, help="What becomes of its alerts while nothing is measured."),
    Input("alert_labels", "Its alerts have labels", required=False, example="team=shop",
        help="By which they are routed and silenced: name=value, several between spaces."),
    Input("summary", "Says", required=False, example="{text}",
        help="{value}, {text} and {<label>} are filled in."),
    Input("runbook_url", "Runbook", required=False, example="https://wiki.example/orders"),
)  # fmt: skip


def body(
    *,
    name: str | None,
    severity: str | None,
    kind: str | None,
    hold_seconds: int | None = None,
    clear_seconds: int | None = None,
    every_seconds: int | None = None,
    no_data: str | None = None,
    alert_labels: str | None = None,
    summary: str | None = None,
    runbook_url: str | None = None,
    **given: Any,
) -> models.AlertRulePut:
    """Return the request; of the condition's fields its kind needs some.

    Raises:
        ApiProblem: Something is missing, or is not written as it has to be.
    """
    return models.AlertRulePut(
        name=name or "",
        severity=severity or "",
        condition=_condition(kind or "", given),
        hold_seconds=hold_seconds or 0,
        clear_seconds=clear_seconds or 0,
        every_seconds=every_seconds or 60,
        no_data=no_data or "keep",
        labels=_pairs("labels", alert_labels),
        summary=summary or "{text}",
        runbook_url=runbook_url or "",
    )


def _condition(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    asked_as = _ASKED_AS.get(kind, {})
    found = {name: _read(kind, name, given.get(asked_as.get(name, name))) for name in FIELDS[kind]}
    said = {name: value for name, value in found.items() if value not in (None, {})}
    missing = [asked_as.get(name, name) for name in _NEEDED[kind] if name not in said]
    if missing:
        raise client.ApiProblem(
            "Something is missing", detail=f"A rule of this kind needs {', '.join(missing)}.",
            code="incomplete",
        )  # fmt: skip
    if kind == "log_pattern":
        # Any level is said; without a word it would be "error".
        said.setdefault("level", None)
    return {"kind": kind, **said}


def _read(kind: str, name: str, given: Any) -> Any:
    if given in (None, ""):
        return None
    if name == "threshold":
        return int(_number(name, given)) if kind in _COUNTED else _number(name, given)
    if name == "quantile":
        return _number(name, given)
    if name == "labels":
        return _pairs(name, given)
    if name == "where":
        return {one: value.split("|") for one, value in _pairs(name, given).items()}
    return given == "yes" if name == "by_operation" else given


def _number(name: str, text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError as exc:
        raise client.ApiProblem(
            f"The {name} is no number", detail="Write it as 0.5.", code="not_a_number"
        ) from exc


def _pairs(name: str, text: str | None) -> dict[str, str]:
    try:
        parts = [one.partition("=") for one in shlex.split(text or "")]
    except ValueError:
        parts = [("", "", "")]
    if not all(key and sign for key, sign, _ in parts):
        raise client.ApiProblem(
            f"The {name} cannot be read",
            detail='Write them as name=value, with spaces between them: shop=berlin owner="Ada L".',
            code="not_pairs",
        )
    return {key: value for key, _, value in parts}


def asks(one: models.AlertRuleOut) -> str:
    """Return what a rule looks at, in words."""
    return in_words(one.condition)


def in_words(said: dict[str, Any]) -> str:
    """Return a condition, in words."""
    return " ".join(_WORDS[said["kind"]](said).split())


def _compared(said: dict[str, Any]) -> str:
    return f"{said['compare']} {said['threshold']:g}"


def _over(said: dict[str, Any]) -> str:
    return f"over {markup.span(said['window_seconds'])}"


def _measured(said: dict[str, Any]) -> str:
    value = said["aggregate"]
    if value == "quantile":
        value = f"quantile {said['quantile']:g}"
    labels = ", ".join(f"{name}={text}" for name, text in (said.get("labels") or {}).items())
    by = f" by {', '.join(said['by'])}" if said.get("by") else ""
    return f"{value} of {said['metric']}{f' with {labels}' if labels else ''}{by}"


def _lines(said: dict[str, Any]) -> str:
    about = " ".join(str(said[name]) for name in ("level", "source", "words") if said[name])
    return f"log lines {about} {_over(said)} {_compared(said)}"


def _happened(said: dict[str, Any]) -> str:
    what = ", ".join(said.get("kinds") or said["actions"])
    about = said.get("subject") or said.get("target")
    about = f" on {about}" if about else ""
    whose = f" by {said['actor']}" if said.get("actor") else ""
    where = " and ".join(
        f"{name} is {' or '.join(values)}" for name, values in (said.get("where") or {}).items()
    )
    by = f" for each {said['by']}" if said.get("by") else ""
    return (
        f"{what}{about}{whose}{f' where {where}' if where else ''}{by} "
        f"{_over(said)} {_compared(said)}"
    )


def _spans(said: dict[str, Any]) -> str:
    of = f"{said['service']} {said['operation'] or ''}".strip()
    measure = said["measure"].replace("_", " ")
    if said["measure"] == "latency" and said["quantile"] != _USUAL_QUANTILE:
        measure = f"quantile {said['quantile']:g} of {measure}"
    each = " for each operation" if said["by_operation"] else ""
    return f"{measure} of {of}{each} over {said['minutes']} min {_compared(said)}"


_WORDS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "metric": lambda said: f"{_measured(said)} {_over(said)} {_compared(said)}",
    "log": _lines,
    "slo": lambda said: f"a budget burns, worth a {said['severity']}",
    "heartbeat": lambda said: (
        f"{said['name']} has not come for {markup.span(said['within_seconds'])}"
    ),
    "event": _happened,
    "audit": _happened,
    "forecast": lambda said: (
        f"{_measured(said)} will be {_compared(said)} within {said['within_hours']} h"
    ),
    "anomaly": lambda said: f"the last hour of {said['metric']} is unusual",
    "prometheus": lambda said: str(said["query"]),
    "trace": _spans,
    "health": lambda said: (
        " or ".join(
            ["the platform is not ready", *(f"{one} do not work" for one in said.get("needs", ()))]
        )
        if said["component"] is None
        else f"{'a part' if said['component'] == '*' else said['component']} does not work"
    ),
    "log_pattern": lambda said: f"log lines {said['level'] or ''} like none before",
    "report": lambda said: f"the day before, at {said['at_hour']}:00 of {said['zone']}",
    "digest": lambda said: (
        f"the month before, on the first at {said['at_hour']}:00 of {said['zone']}"
    ),
}
