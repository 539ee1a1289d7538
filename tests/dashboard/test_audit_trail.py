"""Checkpoints, verifications and the stream of the trail: what each shows, offers and proves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from backend.managers.audit import offline
from dashboard.client import models
from dashboard.views import audit_stream, audit_verifications
from dashboard.views.audit_checkpoints import proof_file
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def sign(platform):
    answer = platform.api().post("/api/v1/audit/checkpoints")
    assert answer.status_code == 201, answer.text
    return answer.json()


def opened(screen, key, thing):
    screen.app.session_state[f"{key}-open"] = thing["id"]
    screen.app.run()
    assert not screen.app.exception
    return screen


class TestCheckpoints:
    def test_signs_now_and_shows_what_was_signed(self, visit, platform):
        screen = visit("audit_checkpoints")
        assert "No checkpoint yet" in screen.text
        assert platform.get("audit/key")["vkey"] in [one.value for one in screen.app.code]
        screen.click("audit-checkpoints-sign")
        (one,) = platform.items("audit/checkpoints")
        assert screen.said == f"{one['size']:,} records are signed."
        (row,) = screen.rows("audit-checkpoints")
        assert (row["size"], row["state"]) == (f"{one['size']:,}", "signed")
        assert one["note"].strip() in [code.value for code in screen.app.code]
        assert "There is no older checkpoint" in screen.text

    def test_proves_that_the_trail_only_grew(self, visit, platform):
        first, last = sign(platform), sign(platform)
        screen = opened(visit("audit_checkpoints"), "audit-checkpoints", last)
        screen.app.selectbox(key=f"audit-checkpoints-since-{last['size']}").set_value(
            first["size"]
        ).run()
        assert not screen.app.exception
        assert f"begin with the same {first['size']:,}" in screen.text
        query = platform.called("GET", "audit/consistency")[-1].query
        assert query == {"old_size": str(first["size"]), "size": str(last["size"])}

    def test_proves_a_record_and_refuses_what_is_none(self, visit, platform):
        made = sign(platform)
        record = platform.items("audit", action="email.submitted")[0]
        screen = opened(visit("audit_checkpoints"), "audit-checkpoints", made)
        field = f"audit-checkpoints-record-{made['size']}"
        screen.app.text_input(key=field).set_value(record["id"]).run()
        assert f"Record {record['seq']:,} of {made['size']:,}" in screen.text
        screen.app.text_input(key=field).set_value("nothing of ours").run()
        assert not screen.app.exception
        assert "hashes to the root" not in screen.text

    def test_a_proofs_file_is_what_the_offline_verifier_takes(self, visit, platform):
        made = sign(platform)
        record = platform.items("audit", action="email.submitted")[0]
        key = offline.Key(platform.get("audit/key")["vkey"])
        found = platform.get(f"audit/records/{record['id']}/proof")
        proof = models.InclusionProofOut(**found)
        report = offline.verify_proof(proof_file(proof).decode(), key)
        assert not report.findings
        assert f"record {record['seq']} (email.submitted" in report.proved
        assert json.loads(proof_file(proof)) == found
        assert found["size"] == made["size"]

    def test_who_may_only_read_signs_nothing(self, visit, platform):
        sign(platform)
        screen = visit("audit_checkpoints", person=VIC)
        assert screen.rows("audit-checkpoints")
        assert not screen.has_button("audit-checkpoints-sign")


class TestProof:
    def test_a_record_on_the_timeline_leads_to_its_proof(self, visit, platform):
        made = sign(platform)
        record = platform.items("audit", action="email.submitted")[0]
        screen = opened(visit("audit"), "audit", record)
        assert not platform.called("GET", f"audit/records/{record['id']}/proof")
        screen.click("audit-prove")
        assert f"It is record {record['seq']:,} of the {made['size']:,}" in screen.text
        assert "Proved" in screen.text

    def test_what_nothing_signs_is_not_said_to_be_proved(self, visit, platform):
        record = platform.items("audit", action="email.submitted")[0]
        path = f"audit/records/{record['id']}/proof"
        sign(platform)
        unsigned = {**platform.get(path), "checkpoint": None}
        platform.wire.alter("GET", f"/api/v1/{path}", lambda _: unsigned)
        screen = opened(visit("audit"), "audit", record).click("audit-prove")
        assert "Not signed yet" in screen.text
        assert "Proved" not in screen.text

    def test_what_has_no_place_yet_has_no_proof(self, visit, platform):
        record = next(one for one in platform.items("audit") if one["seq"] is None)
        screen = opened(visit("audit"), "audit", record)
        assert not screen.has_button("audit-prove")
        assert "no place in the trail yet" in screen.text

    def test_the_platforms_trail_offers_none(self, visit, platform):
        record = next(one for one in platform.items("platform/audit") if one["seq"])
        screen = visit("audit")
        screen.app.segmented_control(key="audit-trail").set_value("Platform").run()
        opened(screen, "platform-audit", record)
        assert record["id"] in screen.text
        assert not screen.has_button("audit-prove")


class TestRuns:
    def test_execution_and_workflow_are_filters(self, visit, platform):
        headers = {"X-Workflow-Id": "orders", "X-Execution-Id": "4711"}
        body = {"address": "gone-by-run@example.test"}
        made = platform.api().post("/api/v1/suppressions", json=body, headers=headers)
        assert made.status_code < 300, made.text
        screen = visit("audit")
        screen.app.text_input(key="audit-execution").set_value("4711").run()
        (row,) = screen.rows("audit")
        assert row["action"] == "suppression.added"
        assert platform.called("GET", "audit/facets")[-1].query["execution"] == "4711"
        opened(screen, "audit", row)
        assert "orders" in screen.text
        screen.app.text_input(key="audit-workflow").set_value("bills").run()
        assert "No record matches" in screen.text


class TestVerifications:
    def test_what_was_never_looked_at_is_not_green(self, visit):
        screen = visit("audit_verifications")
        assert "Not verified yet Nobody has looked" in screen.text
        assert "es-status es-green" not in screen.markup

    def test_starts_both_looks_and_shows_them_waiting(self, visit, platform):
        screen = visit("audit_verifications").click("audit-verifications-all")
        assert screen.said == "A worker looks at the trail, from the first record on."
        assert "Not verified yet The first look at this trail is under way." in screen.text
        assert "es-status es-green" not in screen.markup
        (row,) = screen.rows("audit-verifications")
        assert (row["state"], row["records"]) == ("waiting", "none yet")
        screen.click("audit-verifications-new")
        bodies = [one.body for one in platform.called("POST", "audit/verifications")]
        assert bodies == [{"full": True}, {"full": False}]

    def test_shows_progress_and_is_drawn_anew_at_the_end(self, visit, platform):
        """What a worker would have done by now, told by answers of ours."""
        platform.api().post("/api/v1/audit/verifications", json={"full": True})
        (look,) = platform.items("audit/verifications")
        path = "/api/v1/audit/verifications"

        def tell(**changed):
            answer = {"items": [{**look, **changed}], "next_cursor": None}
            platform.wire.alter("GET", path, lambda _: answer)

        tell(state="running", size=10, target_size=40)
        screen = visit("audit_verifications")
        bars = [one.proto for one in screen.app.get("progress")]
        assert [bar.value for bar in bars] == [25]
        assert "10 of 40 records." in bars[0].text
        tell(state="held", size=40, target_size=40, finished_at=look["created_at"])
        screen.app.run()
        assert not screen.app.exception
        assert "Holds All 40 records until" in screen.text
        assert "records are not verified yet." in screen.text
        assert not screen.app.get("progress")

    def test_names_what_was_found(self, visit, platform):
        platform.api().post("/api/v1/audit/verifications", json={})
        (look,) = platform.items("audit/verifications")
        found: list[dict[str, Any]] = [
            {"by": "mac", "seq": 1007, "detail": "record 1007 is none of ours"},
            {"by": "checkpoint", "seq": None, "detail": "a checkpoint: nobody has signed it"},
        ]
        ended = {"state": "failed", "findings": found, "finished_at": look["created_at"]}
        answer = {"items": [{**look, **ended}], "next_cursor": None}
        platform.wire.alter("GET", "/api/v1/audit/verifications", lambda _: answer)
        screen = visit("audit_verifications")
        assert "Does not hold Record 1,007 is the first that does not hold" in screen.text
        assert [(row["by"], row["seq"]) for row in screen.rows("audit-findings")] == [
            ("MAC", "1,007"),
            ("Checkpoint", "–"),
        ]
        opened(screen, "audit-verifications", look)
        assert screen.rows(f"audit-verification-{look['id']}")[0]["detail"] == found[0]["detail"]

    def test_a_verdict_is_that_of_the_newest_look_that_has_one(self):
        looks = [look(state) for state in ("running", "stopped", "failed", "held")]
        assert audit_verifications.verdict(looks)[0] == "red"
        assert audit_verifications.verdict(looks[3:])[0] == "green"
        assert audit_verifications.verdict(looks[:2])[:2] == ("gray", "Not verified yet")
        assert audit_verifications.verdict(looks[1:2])[0] == "gray"

    def test_who_may_only_read_starts_none(self, visit):
        screen = visit("audit_verifications", person=VIC)
        assert "Not verified yet" in screen.text
        assert not screen.has_button("audit-verifications-all")


def look(state):
    return models.AuditVerificationOut(
        id=state,
        state=state,
        from_size=0,
        size=5,
        target_size=9,
        findings=[],
        created_by="user:1",
        created_at=datetime(2026, 11, 27, tzinfo=UTC),
        finished_at=None,
    )


class TestStream:
    TARGET: Final = "https://siem.example.com/audit"

    def test_is_set_up_paused_let_go_on_and_deleted(self, visit, platform):
        screen = visit("audit_stream")
        assert "Not set up This tenant's trail is pushed nowhere." in screen.text
        screen.app.text_input(key="audit-stream-target-webhook").set_value(self.TARGET).run()
        screen.app.selectbox(key="audit-stream-format").set_value("ocsf").run()
        screen.click("audit-stream-save")
        assert screen.said == f"The trail is pushed to {self.TARGET}."
        stream = platform.get("audit-stream")
        assert (stream["kind"], stream["format"], stream["paused"]) == ("webhook", "ocsf", False)
        assert "The secret of this stream" in screen.text
        assert any(one.value.startswith("whsec_") for one in screen.app.code)
        screen.click("audit-stream-copied")
        assert not any(one.value.startswith("whsec_") for one in screen.app.code)
        assert "Nothing taken yet" in screen.text
        screen.click("audit-stream-pause")
        assert platform.get("audit-stream")["paused"]
        assert f"Paused It stands after record {stream['seq']:,};" in screen.text
        screen.click("audit-stream-resume")
        again = platform.get("audit-stream")
        assert (again["paused"], again["format"], again["target"]) == (False, "ocsf", self.TARGET)
        screen.click("audit-stream-delete-start")
        assert "where it stood is forgotten" in screen.text
        screen.click("audit-stream-delete-yes")
        assert screen.said == "The trail is pushed nowhere any more."
        assert platform.api().get("/api/v1/audit-stream").status_code == 404

    def test_is_changed_to_syslog_and_keeps_its_place(self, visit, platform):
        body = {"kind": "webhook", "target": self.TARGET, "from_beginning": True}
        platform.api().put("/api/v1/audit-stream", json=body)
        screen = visit("audit_stream").click("audit-stream-change")
        field = screen.app.text_input(key="audit-stream-target-webhook")
        assert field.value == self.TARGET
        screen.app.segmented_control(key="audit-stream-kind").set_value("syslog").run()
        assert screen.app.text_area(key="audit-stream-authority").value == ""
        screen.app.text_input(key="audit-stream-target-syslog").set_value("siem.example:6514").run()
        screen.click("audit-stream-save")
        stream = platform.get("audit-stream")
        assert (stream["kind"], stream["target"]) == ("syslog", "siem.example:6514")
        assert stream["seq"] == 0
        assert not screen.has_button("audit-stream-save")

    def test_an_address_that_is_refused_is_kept_and_said(self, visit, platform):
        screen = visit("audit_stream")
        screen.app.text_input(key="audit-stream-target-webhook").set_value("http://x").run()
        screen.click("audit-stream-save")
        assert "audit.stream_invalid" in screen.text
        assert screen.app.text_input(key="audit-stream-target-webhook").value == "http://x"
        assert platform.api().get("/api/v1/audit-stream").status_code == 404

    def test_shows_what_keeps_it(self, visit, platform):
        body = {"kind": "webhook", "target": self.TARGET, "from_beginning": True}
        platform.api().put("/api/v1/audit-stream", json=body)
        stream = platform.get("audit-stream")
        failing = {"failures": 4, "last_error": "answered 503", "behind": 12}
        failing["next_try_at"] = stream["updated_at"]
        platform.wire.alter("GET", "/api/v1/audit-stream", lambda _: {**stream, **failing})
        screen = visit("audit_stream")
        assert "Failing The receiver did not take it, 4 times in a row; 12 records wait" in (
            screen.text
        )
        assert "answered 503" in [one.value for one in screen.app.code]

    def test_who_may_only_look_changes_nothing(self, visit, platform):
        body = {"kind": "webhook", "target": self.TARGET}
        platform.api().put("/api/v1/audit-stream", json=body)
        platform.wire.alter(
            "GET", "/api/v1/me", lambda me: {**me, "permissions": ["audit_stream:read"]}
        )
        screen = visit("audit_stream")
        assert self.TARGET in screen.text
        for key in ("pause", "change", "delete-start", "save"):
            assert not screen.has_button(f"audit-stream-{key}")

    def test_the_platforms_is_another_one(self, visit, platform):
        screen = visit("audit_stream")
        screen.app.segmented_control(key="audit-trail").set_value("Platform").run()
        assert "Not set up The platform's own trail is pushed nowhere." in screen.text
        screen.app.text_input(key="platform-audit-stream-target-webhook").set_value(
            self.TARGET
        ).run()
        screen.click("platform-audit-stream-save")
        assert screen.said == f"The trail is pushed to {self.TARGET}."
        assert any(one.value.startswith("whsec_") for one in screen.app.code)
        screen.click("platform-audit-stream-copied").click("platform-audit-stream-pause")
        assert platform.get("platform/audit-stream")["paused"]
        assert platform.api().get("/api/v1/audit-stream").status_code == 404
        screen.app.segmented_control(key="audit-trail").set_value("This tenant").run()
        assert "Not set up This tenant's trail is pushed nowhere." in screen.text
        screen.app.segmented_control(key="audit-trail").set_value("Platform").run()
        screen.click("platform-audit-stream-delete-start")
        screen.click("platform-audit-stream-delete-yes")
        assert platform.api().get("/api/v1/platform/audit-stream").status_code == 404

    def test_the_platforms_is_all_there_is_for_who_may_see_no_other(self, visit, platform):
        body = {"kind": "webhook", "target": self.TARGET}
        platform.api().put("/api/v1/platform/audit-stream", json=body)
        only = ["platform_audit_stream:read"]
        platform.wire.alter("GET", "/api/v1/me", lambda me: {**me, "permissions": only})
        screen = visit("audit_stream")
        assert not screen.app.segmented_control
        assert self.TARGET in screen.text
        for key in ("pause", "change", "delete-start", "save"):
            assert not screen.has_button(f"platform-audit-stream-{key}")
        assert not platform.called("GET", "audit-stream")

    def test_is_no_page_of_who_only_looks_on(self, visit):
        screen = visit(person=VIC)
        titles = [link.proto.label for link in screen.app.sidebar.get("page_link")]
        assert {"Audit", "Checkpoints", "Verifications"} <= set(titles)
        assert "Audit stream" not in titles

    def test_what_was_never_taken_is_not_green(self):
        assert audit_stream.verdict(None, "It")[0] == "gray"
