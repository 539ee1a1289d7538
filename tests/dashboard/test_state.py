"""The session: one exchange per token, renewal before the end, the login's own end."""

from __future__ import annotations

import httpx
import pytest

from dashboard import client, settings, state
from tests.dashboard.conftest import ADA, Running, claims_of

# Every one asks the seeded platform.
pytestmark = pytest.mark.page


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(platform: Running) -> Clock:
    return Clock(claims_of(platform.seeds.people[ADA].id_token)["iat"])


@pytest.fixture
def session(platform: Running, clock: Clock, configured: settings.Settings) -> state.Session:
    gate = client.Gate(configured, httpx.Client(transport=platform.wire, timeout=5))
    login = platform.seeds.people[ADA].id_token
    claims = claims_of(login)
    return state.Session(
        gate, login, issued_at=claims["iat"], expires_at=claims["exp"], clock=clock
    )


def exchanges(platform: Running) -> int:
    return len(platform.wire.called("POST", "/oauth/token"))


class TestBearer:
    def test_keeps_a_token_while_it_is_good(self, session, platform, clock):
        first = session.bearer()
        clock.now += 200
        assert session.bearer() == first
        assert exchanges(platform) == 1

    def test_renews_before_the_token_ends(self, session, platform, clock):
        first = session.bearer()
        clock.now += claims_of(first)["exp"] - claims_of(first)["iat"] - 40
        assert session.bearer() != first

    def test_uses_a_very_short_token_for_half_its_life(self, session, platform, clock):
        platform.wire.alter("POST", "/oauth/token", lambda found: {**found, "expires_in": 20})
        first = session.bearer()
        clock.now += 9
        assert session.bearer() == first
        clock.now += 2
        assert session.bearer() != first

    def test_ends_with_the_login(self, session, platform, clock):
        session.bearer()
        clock.now = claims_of(session.id_token)["exp"]
        with pytest.raises(state.SignedOut) as caught:
            session.bearer()
        assert caught.value.renewable
        assert exchanges(platform) == 1

    def test_does_not_send_a_fresh_login_in_circles(self, platform, clock, configured):
        gate = client.Gate(configured, httpx.Client(transport=platform.wire))
        stale = state.Session(
            gate, "login", issued_at=clock.now - 1, expires_at=clock.now - 1, clock=clock
        )
        with pytest.raises(state.SignedOut) as caught:
            stale.bearer()
        assert not caught.value.renewable

    def test_ends_when_the_platform_refuses_the_login(self, session, platform):
        platform.log_out(ADA)
        with pytest.raises(state.SignedOut) as caught:
            session.bearer()
        assert not caught.value.renewable


class TestSwitchTenant:
    def test_binds_a_new_token_to_the_tenant(self, session, platform):
        assert session.me.tenant.slug == "demo"
        session.switch_tenant(platform.seeds.globex_id)
        assert (session.me.tenant.slug, session.me.role) == ("globex", "operator")
        asked = platform.wire.called("POST", "/oauth/token")[-1].body
        assert asked["tenant"] == platform.seeds.globex_id

    def test_keeps_the_old_tenant_when_refused(self, session):
        assert session.me.tenant.slug == "demo"
        with pytest.raises(client.ApiProblem) as caught:
            session.switch_tenant("0198c1de-0000-7000-8000-000000000009")
        assert caught.value.code == "invalid_target"
        session.bearer(renew=True)
        assert session.me.tenant.slug == "demo"


class TestEnter:
    def test_acts_for_the_tenant_of_that_slug(self, session, platform):
        assert session.enter("globex")
        assert session.me.tenant.id == platform.seeds.globex_id

    def test_costs_nothing_where_one_is(self, session, platform):
        assert session.me.tenant.slug == "demo"
        calls = len(platform.wire.calls)
        assert not session.enter("demo")
        assert len(platform.wire.calls) == calls

    def test_refuses_another_and_stays_where_it_was(self, session):
        with pytest.raises(state.NoMembership) as caught:
            session.enter("initech")
        assert caught.value.slug == "initech"
        assert {tenant.slug for tenant in caught.value.tenants} == {"demo", "globex"}
        assert session.me.tenant.slug == "demo"

    def test_says_of_somebody_without_any_tenant_what_is_the_matter(self, session, platform):
        platform.wire.fail("POST", "/oauth/token", 400, "invalid_target", "No tenant.")
        with pytest.raises(client.ApiProblem, match="not a member of any tenant"):
            session.enter("demo")


class TestCan:
    def test_follows_the_permissions_of_the_role(self, session, platform):
        assert session.can("client:write")
        session.switch_tenant(platform.seeds.globex_id)
        assert not session.can("client:write")
