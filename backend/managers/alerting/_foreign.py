"""Alerts as other tools tell them, in the words of Prometheus: labels, annotations, two times.

What has no room here is refused by itself, and the rest of what came with it counts, as with
Alertmanager: whoever sends a hundred alerts, one of them too long, hears of that one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from backend.core.database import Tx
from backend.managers.alerting._matching import MAX_LABEL, is_label
from backend.managers.alerting._raised import Raised, end_raised, raise_alert
from backend.managers.alerting.errors import TooManyAlertsError

RESOLVE_TIMEOUT: Final = timedelta(minutes=5)
"""How long an alert without an end fires unless it is told again: Alertmanager's own default."""
MAX_LABELS: Final = 64
MAX_VALUE: Final = 2000
UNNAMED: Final = "unnamed"
SEVERITIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("critical", "page", "emergency", "fatal", "disaster"), "critical"),
    **dict.fromkeys(("warning", "warn", "error", "major", "high", "average", "ticket"), "warning"),
}
"""What others call severities; all else is ``info``."""
RUNBOOK: Final = re.compile(r"https?://\S{1,480}")
"""What is kept of where to read about an alert."""
_SAYS: Final = ("summary", "message", "title")
_MAX_SUMMARY: Final = 2000
_MAX_NAME: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """An alert as another tool tells it.

    Attributes:
        labels: Which it is; empty ones are none.
        annotations: What people are told.
        starts_at: When it began; None: now.
        ends_at: When it is over unless it is told again; in the past: it is over.
        lasts: How long it fires where no end is told; None: until it is told to be over.
        value: What was measured.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    lasts: timedelta | None = None
    value: float | None = None


async def take(tx: Tx, told: Sequence[Foreign], *, source: str) -> Sequence[str]:
    """Have alerts fire, go on and end as they are told; of one that is told twice the last counts.

    Args:
        tx: The tenant's.
        told: What came at once.
        source: Who tells it.

    Returns:
        Why some were refused, a line each.
    """
    refused: list[str] = []
    wanted: dict[str, tuple[Raised, bool]] = {}
    for one in told:
        why = _refusal(one)
        if why:
            refused.append(why)
            continue
        said = read(one, tx.now(), source=source)
        wanted[said.identity] = said, one.ends_at is not None and one.ends_at <= tx.now()
    # In one order whoever sends them: two that send the same at once wait for each other, no more.
    for _, (said, is_over) in sorted(wanted.items()):
        try:
            await (end_raised(tx, said) if is_over else raise_alert(tx, said))
        except TooManyAlertsError as exc:
            refused.append(f"{said.name}: {exc.detail}")
    return refused


def read(told: Foreign, now: datetime, *, source: str) -> Raised:
    """What somebody says that is wrong, in our words."""
    labels = {name: value for name, value in told.labels.items() if value}
    name = labels.pop("alertname", UNNAMED)
    severity = labels.get("severity", "")
    lasts = told.lasts if told.ends_at is None else told.ends_at - now
    runbook = told.annotations.get("runbook_url", "")
    return Raised(
        name=name,
        severity=SEVERITIES.get(severity.lower(), "info"),
        told_severity=severity,
        labels=labels,
        summary=summary_of(told.annotations),
        runbook_url=runbook if RUNBOOK.fullmatch(runbook) else "",
        value=told.value,
        lasts=lasts,
        since=told.starts_at,
        source=source,
    )


def summary_of(annotations: Mapping[str, str]) -> str:
    """What the annotations say: in short, and then at length."""
    short = next((annotations[name] for name in _SAYS if annotations.get(name)), "")
    long = annotations.get("description", "")
    said = short if long in short else f"{short}\n{long}".lstrip("\n")
    return said[:_MAX_SUMMARY]


def _refusal(told: Foreign) -> str:
    """Why an alert cannot be taken; empty: it can."""
    labels = {name: value for name, value in told.labels.items() if value}
    called = labels.get("alertname", UNNAMED)[:_MAX_NAME]
    if not labels:
        return "at least one label pair required"
    if told.starts_at and told.ends_at and told.ends_at < told.starts_at:
        return f"{called}: start time must be before end time"
    if len(labels) > MAX_LABELS:
        return f"{called}: {len(labels)} labels, where {MAX_LABELS} are the most"
    for name, value in labels.items():
        if not is_label(name):
            return f"{called}: invalid label name {name[:MAX_LABEL]!r}"
        if len(value) > (_MAX_NAME if name == "alertname" else MAX_VALUE):
            return f"{called}: the label {name} is too long"
    return ""
