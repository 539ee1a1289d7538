"""Conditions are kept as JSON, and what could find nothing is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.managers.alerting import ConditionInvalidError, read_condition
from backend.managers.alerting._catalogue import CATALOGUE, RUNBOOK
from backend.managers.alerting._conditions import write_condition
from backend.managers.alerting.schemas import AlertRulePut

ROOT = Path(__file__).parents[3]
COUNTED: dict[str, Any] = {"kind": "audit", "actions": ["a.b"], "compare": ">", "threshold": 0}


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_ships_is_what_the_api_takes(name: str) -> None:
    draft = CATALOGUE[name].draft
    said = write_condition(draft.condition)
    assert read_condition(said) == draft.condition
    body = {
        "name": draft.name,
        "severity": draft.severity,
        "condition": said,
        "hold_seconds": draft.hold_seconds,
        "runbook_url": draft.runbook_url,
        "summary": draft.summary,
    }
    assert AlertRulePut.model_validate_json(json.dumps(body)).draft().condition == draft.condition


def test_each_that_ships_has_a_title_of_its_own_and_a_section_in_the_runbook() -> None:
    text = (ROOT / RUNBOOK).read_text()
    for name, one in CATALOGUE.items():
        assert f"\n## {name}\n" in text
        assert one.draft.runbook_url == f"{RUNBOOK}#{name}"
    assert len({one.draft.name for one in CATALOGUE.values()}) == len(CATALOGUE)


@pytest.mark.parametrize("compare", ["<", "<=", "==", "!="])
def test_whoever_did_nothing_cannot_be_listed(compare: str) -> None:
    with pytest.raises(ConditionInvalidError, match="By actor it has to be > or >="):
        read_condition({**COUNTED, "by": "actor", "compare": compare})


@pytest.mark.parametrize(
    "said",
    [
        {**COUNTED, "actions": []},
        {**COUNTED, "threshold": 10_001},
        {**COUNTED, "by": "subject"},
        {"kind": "forecast", "metric": "m", "aggregate": "avg", "compare": ">", "threshold": 1,
         "within_hours": 337},
        {"kind": "trace", "service": "s", "measure": "p95", "compare": ">", "threshold": 1},
        {"kind": "trace", "service": "s", "measure": "rate", "compare": ">", "threshold": 1,
         "minutes": 61},
        {"kind": "health", "component": ""},
        {"kind": "health", "component": "disk", "needs": ["workers"]},
        {"kind": "log_pattern", "window_seconds": 60},
        {"kind": "prometheus", "query": ""},
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ConditionInvalidError):
        read_condition(said)
