"""Audit: the trail, its filters, one record, and a verdict nobody can misread."""

from __future__ import annotations

import pytest

from tests.dashboard import fake_api

pytestmark = pytest.mark.page


class TestList:
    def test_filters_by_action_actor_and_target(self, visit, platform):
        target = platform.room("acme").audit[3]["target"]
        screen = visit("audit")
        screen.app.text_input(key="audit-action").set_value("email.queued").run()
        screen.app.text_input(key="audit-actor").set_value("client:invoices").run()
        screen.app.text_input(key="audit-target").set_value(target).run()
        assert [row["target"] for row in screen.rows("audit")] == [target]
        assert platform.called("GET", "/api/v1/audit")[-1].query == {
            "action": "email.queued",
            "actor": "client:invoices",
            "target": target,
            "limit": "50",
        }

    def test_marks_a_record_that_is_not_yet_chained(self, visit):
        assert [row["seq"] for row in visit("audit").rows("audit")][:2] == ["–", "136"]

    def test_opens_one_record_and_closes_it(self, visit, platform):
        record = platform.room("acme").audit[1]
        screen = visit("audit")
        screen.app.session_state["audit-open"] = record["id"]
        screen.app.run()
        assert record["hash"] in screen.text
        assert record["request_id"] in screen.text
        assert record["hash"] not in screen.click("audit-close").text

    def test_exports_the_whole_trail(self, visit):
        screen = visit("audit").click("audit-export-prepare")
        _, content, count, _ = screen.app.session_state["audit-export-file"]
        assert count == 137
        assert content.startswith(b"seq,id,at,actor,action,target,data,request_id,hash\r\n")


class TestVerify:
    def test_says_that_the_chain_holds(self, visit, platform):
        screen = visit("audit").click("audit-verify")
        assert len(platform.called("POST", "/api/v1/audit/verify")) == 1
        assert "Passed All 136 records are as they were written." in screen.text
        assert platform.room("acme").audit[1]["hash"] in screen.text
        assert "Newer records not yet chained: 1" in screen.text

    def test_names_the_first_record_that_does_not_hold(self, visit, platform):
        platform.chain_broken_at = 71
        screen = visit("audit").click("audit-verify")
        assert "Failed Record 71 was changed, removed or put in later." in screen.text

    def test_is_absent_without_the_permission(self, visit):
        assert not visit("audit", person="vic@example.test").has_button("audit-verify")


def platform_trail(screen):
    screen.app.segmented_control(key="audit-trail").set_value("Platform").run()
    assert not screen.app.exception
    return screen


class TestPlatformTrail:
    def test_is_a_choice_for_those_alone_who_run_the_platform(self, visit, platform):
        assert visit("audit").app.segmented_control(key="audit-trail").value == "This tenant"
        screen = visit("audit", person="vic@example.test")
        assert not screen.app.segmented_control
        assert not platform.called("GET", "/api/v1/platform/audit")

    def test_is_listed_page_by_page(self, visit):
        screen = platform_trail(visit("audit"))
        assert "What belongs to no tenant: log-ins, tenants made, signing keys." in screen.text
        shown = [row["action"] for row in screen.rows("platform-audit")]
        assert {"login.failed", "tenant.created", "signing_key.rotated"} <= set(shown)
        assert len(shown) == 50
        assert len(screen.click("platform-audit-older").rows("platform-audit")) == 11

    def test_filters_apart_from_the_tenants(self, visit, platform):
        screen = visit("audit")
        screen.app.text_input(key="audit-action").set_value("email.queued").run()
        platform_trail(screen)
        screen.app.text_input(key="platform-audit-action").set_value("login.*").run()
        found = {row["action"] for row in screen.rows("platform-audit")}
        assert found == {"login.failed", "login.succeeded"}
        assert platform.called("GET", "/api/v1/platform/audit")[-1].query == {
            "action": "login.*",
            "limit": "50",
        }
        screen.app.segmented_control(key="audit-trail").set_value("This tenant").run()
        assert screen.app.text_input(key="audit-action").value == "email.queued"

    def test_opens_one_record(self, visit, platform):
        record = platform.audit[2]
        screen = platform_trail(visit("audit"))
        screen.app.session_state["platform-audit-open"] = record["id"]
        screen.app.run()
        assert record["hash"] in screen.text
        assert '"count": 14' in screen.app.code[0].value
        assert record["hash"] not in screen.click("platform-audit-close").text

    def test_is_exported_whole_under_a_name_of_its_own(self, visit):
        screen = platform_trail(visit("audit")).click("platform-audit-export-prepare")
        _, content, count, _ = screen.app.session_state["platform-audit-export-file"]
        assert count == 61
        assert b"signing_key.rotated" in content
        assert "audit-export-file" not in screen.app.session_state

    def test_is_verified_by_its_own_chain(self, visit, platform):
        screen = platform_trail(visit("audit")).click("platform-audit-verify")
        assert len(platform.called("POST", "/api/v1/platform/audit/verify")) == 1
        assert not platform.called("POST", "/api/v1/audit/verify")
        assert "Passed All 60 records are as they were written." in screen.text
        screen.app.segmented_control(key="audit-trail").set_value("This tenant").run()
        assert "Passed" not in screen.text

    def test_names_its_first_record_that_does_not_hold(self, visit, platform):
        platform.platform_chain_broken_at = 7
        screen = platform_trail(visit("audit")).click("platform-audit-verify")
        assert "Failed Record 7 was changed, removed or put in later." in screen.text

    def test_stays_chosen_while_another_page_is_looked_at(self, visit):
        screen = platform_trail(visit("audit"))
        screen.app.switch_page("views/jobs.py").run()
        screen.app.switch_page("views/audit.py").run()
        assert screen.app.segmented_control(key="audit-trail").value == "Platform"
        assert screen.rows("platform-audit")

    def test_is_all_there_is_for_who_may_not_read_the_tenants(self, visit, platform, monkeypatch):
        monkeypatch.setitem(fake_api.ROLES, "owner", [])
        screen = visit("audit")
        assert not screen.app.segmented_control
        assert screen.rows("platform-audit")
        assert not platform.called("GET", "/api/v1/audit")
