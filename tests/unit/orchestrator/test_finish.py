"""The rules of retrying."""

import pytest

from backend.managers.orchestrator import Claim, Outcome
from backend.managers.orchestrator._finish import MAX_BACKOFF_SECONDS, backoff, judge


def claim(attempt=1, crashes=0, max_attempts=5, backoff_seconds=1.0):
    return Claim(
        id="1",
        tenant_id="t",
        kind="k",
        args={},
        subject=None,
        attempt=attempt,
        crashes=crashes,
        max_attempts=max_attempts,
        backoff_seconds=backoff_seconds,
        timeout_seconds=1,
        traceparent="",
        actor="",
    )


class TestBackoff:
    @pytest.mark.parametrize(("attempt", "middle"), [(1, 1), (2, 2), (3, 4), (8, 128)])
    def test_doubles_within_its_jitter(self, attempt, middle):
        delays = [backoff(claim(attempt)) for _ in range(200)]
        assert 0.8 * middle <= min(delays) < max(delays) <= 1.2 * middle

    def test_ends_at_an_hour_whatever_the_attempt(self):
        for attempt in (13, 1000, 10**9):
            assert backoff(claim(attempt)) <= 1.2 * MAX_BACKOFF_SECONDS

    def test_does_not_count_crashes(self):
        assert backoff(claim(attempt=6, crashes=5)) <= 1.2

    def test_may_be_none(self):
        assert backoff(claim(backoff_seconds=0.0)) == 0


class TestJudge:
    def test_success(self):
        assert judge(claim(), Outcome.done()) == ("succeeded", None)

    def test_failure_for_good(self):
        assert judge(claim(), Outcome.fail("no")) == ("dead", None)

    def test_cancellation(self):
        assert judge(claim(), Outcome.cancelled()) == ("cancelled", None)

    @pytest.mark.parametrize(
        ("attempt", "crashes", "state"), [(1, 0, "ready"), (2, 0, "ready"), (3, 0, "dead")]
    )
    def test_retry_while_attempts_are_left(self, attempt, crashes, state):
        assert judge(claim(attempt, crashes, max_attempts=3), Outcome.retry("x"))[0] == state

    def test_retry_after_the_delay_the_handler_asked_for(self):
        assert judge(claim(), Outcome.retry("busy", delay_seconds=90)) == ("ready", 90)
        assert judge(claim(), Outcome.retry("busy", delay_seconds=-5)) == ("ready", 0)

    def test_leaves_alone_whoever_asks_for_it_but_not_for_ever_and_never_sooner(self) -> None:
        asked = Outcome.retry("busy", delay_seconds=90, asked_seconds=300)
        assert judge(claim(), asked) == ("ready", 300)
        impatient = Outcome.retry("busy", delay_seconds=90, asked_seconds=1)
        assert judge(claim(), impatient) == ("ready", 90)
        for_ever = Outcome.retry("busy", asked_seconds=10**9)
        assert judge(claim(), for_ever) == ("ready", MAX_BACKOFF_SECONDS)
