"""Usage: what the plan allows, how much of it is used, and a warning before it is reached."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC
from tests.support.factories import limit_tenant

pytestmark = pytest.mark.page


class TestUsage:
    def test_shows_what_there_is_without_a_quota(self, visit):
        screen = visit("usage", person=VIC)
        assert "The plan of this tenant sets no limit." in screen.text
        assert "Usage by day, in UTC" in screen.text

    def test_warns_before_a_quota_is_reached(self, visit, platform):
        members = len(platform.items("members"))
        limit_tenant(platform.api(), platform.seeds.demo_id, members=members + 1)
        share = members / (members + 1)
        screen = visit("usage", person=VIC)
        assert f"{members} of {members + 1}" in screen.text
        assert ("Quota nearly reached" in screen.text) == (share >= 0.8)
        limit_tenant(platform.api(), platform.seeds.demo_id, members=members)
        assert f"Quota reached Members: {members} of {members}." in visit("usage").text

    def test_warns_on_the_overview_too(self, visit, platform):
        members = len(platform.items("members"))
        assert "Quota" not in visit().text
        limit_tenant(platform.api(), platform.seeds.demo_id, members=members)
        assert "Quota reached Members" in visit().text
