"""The limiter: exactly the burst at once, exactly the rate after it, all levels or none."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kit.limiter import GcraLimiter, Level, policy_of

SECOND = 1_000_000_000


class Watch:
    """A monotonic clock in nanoseconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 5_000 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def limiter(watch: Watch) -> GcraLimiter:
    return GcraLimiter(watch)


def ask(limiter: GcraLimiter, *charges: tuple[Level, str], charge: bool = True) -> Any:
    return limiter.decide(charges, policy_of(*(level for level, _ in charges)), charge=charge)


class TestDecide:
    def test_admits_the_burst_and_not_one_more(self, limiter):
        level = Level("client", 10, 5)
        assert [ask(limiter, (level, "a")).allowed for _ in range(7)] == [True] * 5 + [False] * 2

    def test_counts_down_and_says_when_it_is_whole_again(self, limiter):
        level = Level("client", 2, 4)
        first, second = ask(limiter, (level, "a")), ask(limiter, (level, "a"))
        assert (first.remaining, first.reset_seconds) == (3, 1)
        assert (second.remaining, second.reset_seconds) == (2, 1)
        assert ask(limiter, (level, "a")).reset_seconds == 2

    def test_admits_at_the_told_moment_and_not_a_nanosecond_before(self, limiter, watch):
        level = Level("client", 3, 2)
        for _ in range(2):
            ask(limiter, (level, "a"))
        refused = ask(limiter, (level, "a"))
        assert not refused.allowed
        wait = round(refused.retry_after * SECOND)
        watch.now += wait - 1
        assert not ask(limiter, (level, "a")).allowed
        watch.now += 1
        assert ask(limiter, (level, "a")).allowed

    def test_keeps_keys_apart(self, limiter):
        level = Level("client", 1, 1)
        assert ask(limiter, (level, "a")).allowed
        assert ask(limiter, (level, "b")).allowed
        assert not ask(limiter, (level, "a")).allowed

    def test_charges_no_level_when_one_refuses(self, limiter):
        tenant, client = Level("tenant", 1, 3), Level("client", 1, 1)
        assert ask(limiter, (tenant, "t"), (client, "a")).allowed
        for _ in range(10):
            refused = ask(limiter, (tenant, "t"), (client, "a"))
            assert (refused.allowed, refused.name) == (False, "client")
        # The ten refusals cost the tenant nothing: its other clients still have two requests.
        assert ask(limiter, (tenant, "t"), (client, "b")).allowed
        assert ask(limiter, (tenant, "t"), (client, "c")).allowed
        assert ask(limiter, (tenant, "t"), (client, "d")).name == "tenant"

    def test_names_the_tightest_level(self, limiter):
        tenant, client = Level("tenant", 100, 2), Level("client", 100, 50)
        verdict = ask(limiter, (tenant, "t"), (client, "a"))
        assert (verdict.name, verdict.remaining) == ("tenant", 1)

    def test_refuses_for_the_level_with_the_longest_wait(self, limiter):
        slow, fast = Level("slow", 1, 1), Level("fast", 1000, 1)
        ask(limiter, (fast, "a"), (slow, "a"))
        refused = ask(limiter, (fast, "a"), (slow, "a"))
        assert (refused.name, refused.retry_after) == ("slow", 1.0)

    def test_looks_without_charging(self, limiter):
        level = Level("client", 1, 1)
        for _ in range(5):
            assert ask(limiter, (level, "a"), charge=False).allowed
        ask(limiter, (level, "a"))
        assert not ask(limiter, (level, "a"), charge=False).allowed

    def test_lists_every_policy(self, limiter):
        verdict = ask(
            limiter, (Level("tenant", 2000, 4000), "t"), (Level("client", 500, 1000), "c")
        )
        assert verdict.policy == b'"tenant";q=4000;w=2, "client";q=1000;w=2'

    @settings(max_examples=60, deadline=None)
    @given(
        rate=st.sampled_from([0.5, 1, 3, 7, 50, 333, 2000]),
        burst=st.integers(1, 40),
        pauses=st.lists(st.integers(0, 2 * SECOND), max_size=120),
    )
    def test_is_exact_in_every_window(self, rate, burst, pauses):
        """In any span of time: the burst and what the rate adds, whatever the generations do."""
        watch = Watch()
        limiter, level = GcraLimiter(watch), Level("client", rate, burst)
        admitted = []
        for pause in pauses:
            watch.now += pause
            if ask(limiter, (level, "a")).allowed:
                admitted.append(watch.now)
        for first, start in enumerate(admitted):
            for last, end in enumerate(admitted[first:], first):
                assert last - first + 1 <= burst + (end - start) // level.interval

    @settings(max_examples=40, deadline=None)
    @given(pauses=st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=80))
    def test_decides_as_one_number_a_key_would(self, pauses):
        """Against the textbook: one arrival time kept for ever, no generations."""
        watch = Watch()
        limiter, level = GcraLimiter(watch), Level("client", 4, 3)
        arrival = 0
        for pause in pauses:
            watch.now += pause
            wanted = max(arrival, watch.now) + level.interval
            expected = wanted - watch.now <= level.tolerance
            assert ask(limiter, (level, "a")).allowed is expected
            if expected:
                arrival = wanted


class TestRefund:
    def test_gives_one_back(self, limiter):
        level = Level("login", 0.1, 2)
        charges = ((level, "ada"),)
        for _ in range(20):
            assert ask(limiter, *charges).allowed
            limiter.refund(charges)

    def test_ignores_a_key_that_was_never_charged(self, limiter):
        level = Level("login", 1, 1)
        limiter.refund(((level, "ada"),))
        assert [ask(limiter, (level, "ada")).allowed for _ in range(2)] == [True, False]


class TestLevel:
    def test_forgets_keys_that_are_idle(self, limiter, watch):
        level = Level("address", 1000, 2)
        for number in range(5000):
            ask(limiter, (level, f"10.0.{number}"))
            watch.now += SECOND // 1000
        assert len(level) < 10

    def test_keeps_a_busy_key_over_generations(self, limiter, watch):
        level = Level("client", 1, 5)
        admitted = 0
        for _ in range(200):
            admitted += ask(limiter, (level, "a")).allowed
            watch.now += SECOND // 4
        assert admitted == 5 + 200 // 4 - 1

    def test_stays_within_its_capacity(self, limiter):
        level = Level("address", 0.001, 1, capacity=100)
        for number in range(10_000):
            ask(limiter, (level, str(number)))
        assert len(level) <= 200
