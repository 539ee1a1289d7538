"""What a rule would have done is what its looks would have done."""

from datetime import UTC, datetime, timedelta
from typing import Any

from backend.managers.alerting import MetricCondition, RuleDraft
from backend.managers.alerting._finding import History, Looks, seen_by
from backend.managers.alerting._trying import MAX_TOLD, judge

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def tried(points: list[float | None], **more: Any) -> Any:
    condition = MetricCondition(metric="m", aggregate="avg", compare=">", threshold=5)
    draft = RuleDraft(name="r", condition=condition, severity="info", **more)
    history = History(NOON, 60, [({"host": "a"}, points)], seen_by(">", 5))
    (line,) = judge(draft, history).lines
    return line


def test_fires_at_the_end_of_a_look_and_is_over_at_the_end_of_another() -> None:
    (one,) = tried([1, 9, 9, 1, 1]).firings
    assert (one.fired_at, one.ended_at, one.value) == (NOON + 2 * MINUTE, NOON + 4 * MINUTE, 9)


def test_holds_and_clears_as_looks_do() -> None:
    (one,) = tried([9, 1, 9, 9, 9, 1, 9, 1, 1, 1], hold_seconds=120, clear_seconds=120).firings
    assert one.since == NOON + 3 * MINUTE
    assert one.fired_at == NOON + 5 * MINUTE
    assert one.ended_at == NOON + 10 * MINUTE


def test_what_was_not_measured_is_as_the_rule_says() -> None:
    assert tried([9, None, None]).firings[0].ended_at is None
    assert tried([9, None, None], no_data="resolve").firings[0].ended_at == NOON + 2 * MINUTE
    assert tried([None], no_data="fire").firings[0].value is None


def test_the_newest_hundred_are_told() -> None:
    line = tried([9, 1] * (MAX_TOLD + 3))
    assert (len(line.firings), line.firings_left_out) == (MAX_TOLD, 3)


def test_looks_are_two_thousand_at_most() -> None:
    assert Looks.within(NOON, NOON + timedelta(days=7), 60).count == 2000
    looks = Looks.within(NOON + MINUTE, NOON + timedelta(days=1) + MINUTE, 300)
    assert looks == Looks(NOON, NOON + timedelta(days=1), 288)
    assert Looks.within(NOON, NOON + timedelta(days=1), 7 * 86_400).count == 1
