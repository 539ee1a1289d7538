"""Audit: the trail, its filters, one record, and a verdict nobody can misread."""

from __future__ import annotations

import pytest

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
