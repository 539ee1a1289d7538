"""What other tools tell is read in our words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.managers.alerting._foreign import RESOLVE_TIMEOUT, UNNAMED, Foreign, read

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def said(**told: Any) -> Any:
    return read(Foreign(**{"labels": {"alertname": "A"}, **told}), NOW, source="prometheus")


@pytest.mark.parametrize(
    ("annotations", "summary"),
    [
        ({}, ""),
        ({"summary": "Short", "description": "At length"}, "Short\nAt length"),
        ({"description": "At length"}, "At length"),
        ({"message": "Short", "description": "Short"}, "Short"),
        ({"title": "T", "summary": ""}, "T"),
        ({"summary": "x" * 3000}, "x" * 2000),
    ],
)
def test_what_people_are_told(annotations: dict[str, str], summary: str) -> None:
    assert said(annotations=annotations).summary == summary


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a b", "x", "https://" + "x" * 600])
def test_a_runbook_that_is_no_address_is_none(url: str) -> None:
    assert not said(annotations={"runbook_url": url}).runbook_url


def test_how_long_it_lasts() -> None:
    assert said(ends_at=NOW + timedelta(minutes=3), lasts=RESOLVE_TIMEOUT).lasts == timedelta(
        minutes=3
    )
    assert said(lasts=RESOLVE_TIMEOUT).lasts == RESOLVE_TIMEOUT
    assert said().lasts is None


def test_one_is_the_same_by_its_labels() -> None:
    one = said(labels={"alertname": "A", "team": "db", "empty": ""})
    same = said(labels={"team": "db", "alertname": "A"}, annotations={"summary": "Another"})
    assert one.identity == same.identity
    assert one.identity != said(labels={"alertname": "A", "team": "web"}).identity
    assert said(labels={"team": "db"}).name == UNNAMED
