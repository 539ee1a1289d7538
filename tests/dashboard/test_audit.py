"""Audit: the trail, its filters, one record, and a verdict nobody can misread."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from dashboard import client
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def platform_trail(screen):
    screen.app.segmented_control(key="audit-trail").set_value("Platform").run()
    assert not screen.app.exception
    return screen


def chained(platform, path="audit"):
    return [record for record in platform.items(path) if record["seq"]]


def forge(platform, record):
    """Do what the trail is there to show: change a record behind the platform's back."""
    with closing(sqlite3.connect(platform.database)) as database, database:
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
        for (name,) in database.execute(triggers, ["audit_records"]).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        changed = database.execute(
            "UPDATE audit_records SET actor = 'user:nobody' WHERE seq = ? AND request_id = ?",
            [record["seq"], record["request_id"]],
        )
        assert changed.rowcount == 1


class TestList:
    def test_filters_by_action_actor_and_target(self, visit, platform):
        record = platform.items("audit", action="email.submitted")[3]
        screen = visit("audit")
        for name in ("action", "actor", "target"):
            screen.app.text_input(key=f"audit-{name}").set_value(record[name]).run()
        assert [row["id"] for row in screen.rows("audit")] == [record["id"]]
        query = platform.called("GET", "audit")[-1].query
        assert query == {name: record[name] for name in ("action", "actor", "target")} | {
            "limit": "50"
        }

    def test_marks_a_record_that_is_not_yet_chained(self, visit):
        shown = [row["seq"] for row in visit("audit").rows("audit")]
        waiting = shown.count("–")
        assert waiting
        assert shown[:waiting] == ["–"] * waiting
        assert all(seq.isdigit() for seq in shown[waiting:])

    def test_opens_one_record_and_closes_it(self, visit, platform):
        record = chained(platform)[0]
        screen = visit("audit")
        screen.app.session_state["audit-open"] = record["id"]
        screen.app.run()
        assert record["hash"] in screen.text
        assert record["request_id"] in screen.text
        assert record["hash"] not in screen.click("audit-close").text

    def test_exports_the_whole_trail(self, visit, platform):
        screen = visit("audit").click("audit-export-prepare")
        _, content, count, _ = screen.app.session_state["audit-export-file"]
        assert count == len(platform.items("audit"))
        assert content.startswith(b"seq,id,at,actor,action,target,data,request_id,hash\r\n")


class TestVerify:
    def test_says_that_the_chain_holds(self, visit, platform):
        head = chained(platform)[0]
        screen = visit("audit").click("audit-verify")
        assert f"Passed All {head['seq']} records are as they were written." in screen.text
        assert head["hash"] in screen.text
        assert "Newer records not yet chained: " in screen.text

    def test_names_the_first_record_that_does_not_hold(self, visit, platform):
        record = chained(platform)[20]
        forge(platform, record)
        screen = visit("audit").click("audit-verify")
        assert f"Failed Record {record['seq']} was changed, removed or put in later." in screen.text

    def test_is_absent_without_the_permission(self, visit):
        assert not visit("audit", person=VIC).has_button("audit-verify")


class TestPlatformTrail:
    def test_is_a_choice_for_those_alone_who_run_the_platform(self, visit, platform):
        assert visit("audit").app.segmented_control(key="audit-trail").value == "This tenant"
        assert not visit("audit", person=VIC).app.segmented_control
        assert not platform.called("GET", "platform/audit")

    def test_is_listed_page_by_page(self, visit, platform, monkeypatch):
        monkeypatch.setattr(client, "PAGE_LIMIT", 12)
        screen = platform_trail(visit("audit"))
        assert "What belongs to no tenant: log-ins, tenants made, signing keys." in screen.text
        shown = screen.rows("platform-audit")
        assert {"login.succeeded", "tenant.created"} <= {row["action"] for row in shown}
        while not screen.app.button(key="platform-audit-older").disabled:
            shown += screen.click("platform-audit-older").rows("platform-audit")
        everything = platform.items("platform/audit")
        assert [row["id"] for row in shown] == [record["id"] for record in everything]

    def test_filters_apart_from_the_tenants(self, visit, platform):
        screen = visit("audit")
        screen.app.text_input(key="audit-action").set_value("email.submitted").run()
        platform_trail(screen)
        screen.app.text_input(key="platform-audit-action").set_value("login.*").run()
        assert {row["action"] for row in screen.rows("platform-audit")} == {"login.succeeded"}
        query = platform.called("GET", "platform/audit")[-1].query
        assert query == {"action": "login.*", "limit": "50"}
        screen.app.segmented_control(key="audit-trail").set_value("This tenant").run()
        assert screen.app.text_input(key="audit-action").value == "email.submitted"

    def test_opens_one_record(self, visit, platform):
        record = platform.items("platform/audit", action="login.succeeded")[0]
        screen = platform_trail(visit("audit"))
        screen.app.session_state["platform-audit-open"] = record["id"]
        screen.app.run()
        assert record["id"] in screen.text
        assert record["data"]["address"] in screen.app.code[0].value
        assert record["id"] not in screen.click("platform-audit-close").text

    def test_is_exported_whole_under_a_name_of_its_own(self, visit, platform):
        screen = platform_trail(visit("audit")).click("platform-audit-export-prepare")
        _, content, count, _ = screen.app.session_state["platform-audit-export-file"]
        assert count == len(platform.items("platform/audit"))
        assert b"tenant.created" in content
        assert "audit-export-file" not in screen.app.session_state

    def test_is_verified_by_its_own_chain(self, visit, platform):
        screen = platform_trail(visit("audit")).click("platform-audit-verify")
        assert len(platform.called("POST", "platform/audit/verify")) == 1
        assert not platform.called("POST", "audit/verify")
        assert "records are as they were written." in screen.text
        screen.app.segmented_control(key="audit-trail").set_value("This tenant").run()
        assert "Passed" not in screen.text

    def test_names_its_first_record_that_does_not_hold(self, visit, platform):
        record = chained(platform, "platform/audit")[7]
        forge(platform, record)
        screen = platform_trail(visit("audit")).click("platform-audit-verify")
        assert f"Failed Record {record['seq']} was changed" in screen.text

    def test_stays_chosen_while_another_page_is_looked_at(self, visit):
        screen = platform_trail(visit("audit"))
        screen.app.switch_page("views/jobs.py").run()
        screen.app.switch_page("views/audit.py").run()
        assert screen.app.segmented_control(key="audit-trail").value == "Platform"
        assert screen.rows("platform-audit")

    def test_is_all_there_is_for_who_may_not_read_the_tenants(self, visit, platform):
        platform.wire.alter(
            "GET", "/api/v1/me", lambda me: {**me, "permissions": ["platform_audit:read"]}
        )
        screen = visit("audit")
        assert not screen.app.segmented_control
        assert screen.rows("platform-audit")
        assert not platform.called("GET", "audit")
