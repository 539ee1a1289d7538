"""Plans: made, changed for all their tenants, and deleted; and what went of deleted tenants."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from backend.app import compose
from backend.core.audit import sequence
from backend.managers.tenant import TenantManager

pytestmark = pytest.mark.page


def plan(platform, name):
    return platform.get(f"platform/plans/{name}")["quotas"]


class TestPlans:
    def test_are_made_changed_and_deleted(self, visit, platform):
        screen = visit("plans").click("plans-new")
        screen.app.text_input(key="plans-new-name").set_value("starter")
        screen.app.number_input(key="plans-new-emails-a-day").set_value(500)
        screen.app.number_input(key="plans-new-members").set_value(5)
        screen.press("Save plan")
        assert plan(platform, "starter") == {"emails_a_day": 500, "members": 5}
        rows = {row["name"]: row["quotas"] for row in screen.rows("plans")}
        assert rows == {"starter": "E-mails a day: 500; Members: 5", "unlimited": "no limit"}
        screen.app.session_state["plans-open"] = "starter"
        screen.app.run()
        screen.app.text_input(key="plans-members-starter").set_value("few")
        screen.press("Change plan")
        assert screen.app.warning[0].value.startswith("Members: give a number")
        screen.app.text_input(key="plans-members-starter").set_value("0")
        screen.app.text_input(key="plans-emails_a_day-starter").set_value("")
        screen.press("Change plan")
        assert plan(platform, "starter") == {"members": 0}
        screen.app.session_state["plans-open"] = "starter"
        screen.app.run()
        screen.click("plans-delete-start").click("plans-delete-yes")
        assert screen.said == "starter is deleted."
        assert [one["name"] for one in platform.items("platform/plans")] == ["unlimited"]

    def test_the_one_without_limits_stays_as_it_is(self, visit):
        screen = visit("plans")
        screen.app.session_state["plans-open"] = "unlimited"
        screen.app.run()
        assert not screen.has_button("plans-delete-start")
        assert "Change plan" not in screen.text


class TestCertificates:
    def test_none_is_said_to_be_none(self, visit):
        assert "once its grace period is over" in visit("tenant_certificates").text

    def test_says_what_went_and_what_stays_of_the_trail(self, visit, platform, loop, backend):
        http = platform.api()
        tenant = {"slug": "gone", "name": "Gone Ltd", "owner_email": "g@example.test"}
        made = http.post("/api/v1/platform/tenants", json=tenant).raise_for_status().json()
        path = f"/api/v1/platform/tenants/{made['id']}"
        http.delete(path, params={"slug": "gone"}).raise_for_status()
        with contextlib.closing(sqlite3.connect(platform.database)) as database, database:
            database.execute("UPDATE tenants SET purge_at = 0 WHERE slug = 'gone'")

        async def purge():
            other = compose(backend)
            async with other.running():
                while await sequence(other.database):
                    pass
                await other.of(TenantManager).purge_due(other.database)

        loop.run(purge())
        assert http.get(path).status_code == 404
        (kept,) = platform.items("platform/tenant-certificates")
        screen = visit("tenant_certificates")
        (row,) = screen.rows("tenant-certificates")
        assert (row["name"], row["slug"]) == ("Gone Ltd", "gone")
        screen.app.session_state["tenant-certificates-open"] = kept["id"]
        screen.app.run()
        assert "Deleted by First admin" in screen.text
        assert kept["audit_root"] in screen.text
        assert "1 invitations" in screen.text
