"""The arithmetic of claiming: shares and rates."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.orchestrator._claim import Places, _Candidate, _share

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def candidate(name="t", running=0, **fields):
    plain = {
        "max_running": None,
        "weight": 1.0,
        "rate": None,
        "burst": None,
        "open_at": None,
        "now": NOW,
    }
    return _Candidate(tenant_id=name, running=running, **{**plain, **fields})


candidates = st.lists(
    st.builds(
        candidate,
        running=st.integers(0, 50),
        max_running=st.none() | st.integers(1, 60),
        weight=st.floats(0.1, 10),
    ),
    min_size=1,
    max_size=10,
)


class TestShare:
    @given(candidates, st.integers(1, 200))
    def test_stays_within_every_bound(self, tenants, most):
        shares = _share(tenants, most, Places(most))
        assert sum(share for _, share in shares) <= most
        assert all(0 < share <= tenant.room(most) for tenant, share in shares)

    @given(candidates, st.integers(1, 200))
    def test_wastes_nothing(self, tenants, most):
        dealt = sum(share for _, share in _share(tenants, most, Places(most)))
        assert dealt == min(most, sum(tenant.room(most) for tenant in tenants))

    @given(st.lists(st.integers(0, 50), min_size=2, max_size=10), st.integers(1, 200))
    def test_evens_the_load_out(self, loads, most):
        tenants = [candidate(str(n), running=load) for n, load in enumerate(loads)]
        shares = {tenant.tenant_id: share for tenant, share in _share(tenants, most, Places(most))}
        after = {one.tenant_id: one.running + shares.get(one.tenant_id, 0) for one in tenants}
        # Nobody who was given something ends above another by more than the last start.
        highest = max(after[name] for name in shares)
        assert highest <= min(after.values()) + 1

    @given(candidates, st.integers(1, 200), st.floats(0.1, 0.95))
    def test_leaves_something_for_who_comes_next(self, tenants, total, share):
        counts = [count for _, count in _share(tenants, total, Places(total, share=share))]
        # Those that have none may take what there is, one each, and be those who came next.
        assert sum(count for count in counts if count > 1) < total

    def test_one_tenant_alone_gets_its_share(self):
        for total in (1, 5, 7, 100, 125, 5000):
            ((_, count),) = _share([candidate()], total, Places(total, share=0.8))
            assert max(1, 0.8 * total - 2) <= count <= max(1, 0.8 * total)


class TestRate:
    def test_gives_the_whole_burst_at_first(self):
        assert candidate(rate=5.0, burst=8).room(100) == 8

    def test_takes_one_seconds_worth_as_the_burst_by_default(self):
        assert candidate(rate=5.0).room(100) == 5
        assert candidate(rate=0.2).room(100) == 1

    @pytest.mark.parametrize(
        ("open_for", "room"),
        [(-0.001, 0), (0.0, 1), (0.19, 1), (0.2, 2), (0.79, 4), (0.81, 5), (3600, 5)],
    )
    def test_refills_with_time(self, open_for, room):
        opened = NOW - timedelta(seconds=open_for)
        assert candidate(rate=5.0, burst=5, open_at=opened).room(100) == room

    @given(st.floats(0.1, 50), st.integers(1, 20), st.lists(st.integers(0, 400), max_size=40))
    def test_never_starts_more_than_rate_and_burst_allow(self, rate, burst, pauses):
        clock, open_at, started = NOW, None, 0
        for pause in [0, *pauses]:
            clock += timedelta(milliseconds=pause)
            tenant = candidate(rate=rate, burst=burst, open_at=open_at, now=clock)
            room = tenant.room(1000)
            if room:
                started += room
                open_at = tenant.open_after(room)
        elapsed = (clock - NOW).total_seconds()
        # One more than the real-valued bound: instants are rounded to microseconds.
        assert started <= burst + elapsed * rate + 1

    def test_without_a_rate_there_is_no_instant(self):
        assert candidate().open_after(5) is None


class TestRoom:
    def test_is_what_the_limit_leaves(self):
        assert candidate(running=3, max_running=5).room(100) == 2
        assert candidate(running=9, max_running=5).room(100) == 0
        assert candidate(running=9).room(7) == 7
