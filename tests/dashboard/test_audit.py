"""Audit: the trail, its filters, one record, and a verdict nobody can misread."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from dashboard import client
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def platform_trail(screen):
    screen.app.segmented_control(key="audit-trail").set_value("Platform").run()
    assert not screen.app.exception
    return screen


def each_alone(screen, key):
    """Show every record, also those that are alike."""
    screen.app.toggle(key=f"{key}-alike").set_value(False).run()
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
        assert content.startswith(
            b"seq,id,at,actor,action,target,data,request_id,workflow,execution,hash\r\n"
        )


class TestTimeline:
    def test_neighbours_that_are_alike_are_one_row(self, visit, platform):
        records = platform.items("audit", action="email.submitted")[:50]
        screen = visit("audit")
        screen.app.text_input(key="audit-action").set_value("email.submitted").run()
        rows = screen.rows("audit")
        times = [int(row["action"].partition("\u2009")[2] or 1) for row in rows]
        assert len(rows) < len(records)
        assert sum(times) == len(records)
        assert rows[0]["id"] == records[0]["id"]
        assert len(each_alone(screen, "audit").rows("audit")) == len(records)

    def test_rows_stand_under_their_day(self, visit, platform):
        at = datetime.fromisoformat(platform.items("audit")[0]["at"])
        (first, *_) = visit("audit").rows("audit")
        assert first["~group"] == at.astimezone(UTC).strftime("%A, %Y-%m-%d")

    def test_days_are_a_range_for_the_api(self, visit, platform):
        screen = visit("audit")
        screen.app.selectbox(key="audit-days").set_value("Last 7 days").run()
        after = platform.called("GET", "audit")[-1].query["created_after"]
        days = datetime.now(UTC) - datetime.fromisoformat(after)
        assert timedelta(days=6) <= days < timedelta(days=7)
        screen.app.selectbox(key="audit-days").set_value("Choose days").run()
        (first, last) = screen.app.date_input(key="audit-days-chosen").value
        query = platform.called("GET", "audit")[-1].query
        assert query["created_after"].startswith(first.isoformat())
        assert query["created_before"].startswith((last + timedelta(days=1)).isoformat())

    def test_words_are_looked_for_in_thirty_days(self, visit, platform):
        screen = visit("audit")
        screen.app.text_input(key="audit-q").set_value("nothing of this kind").run()
        assert not screen.app.exception
        assert "No record matches" in screen.text
        query = platform.called("GET", "audit")[-1].query
        days = datetime.now(UTC) - datetime.fromisoformat(query["created_after"])
        assert timedelta(days=30) <= days < timedelta(days=31)


class TestCounts:
    def test_a_value_that_is_chosen_is_the_filter(self, visit, platform):
        screen = visit("audit")
        (action, *_) = screen.app.pills(key="audit-action-pills").options
        value = action.partition(" ")[0]
        screen.app.pills(key="audit-action-pills").set_value(value).run()
        assert not screen.app.exception
        assert screen.app.text_input(key="audit-action").value == value
        assert platform.called("GET", "audit")[-1].query["action"] == value
        assert platform.called("GET", "audit/facets")[-1].query == {"action": value}

    def test_counts_are_of_the_range_or_as_much_of_it_as_may_be(self, visit, platform):
        screen = visit("audit")
        assert "Acts of the last 24 hours" in screen.text
        screen.app.selectbox(key="audit-days").set_value("Choose days").run()
        today = datetime.now(UTC).date()
        chosen = (today - timedelta(days=400), today)
        screen.app.date_input(key="audit-days-chosen").set_value(chosen).run()
        assert not screen.app.exception
        query = platform.called("GET", "audit/facets")[-1].query
        after, before = (
            datetime.fromisoformat(query[name]) for name in ("created_after", "created_before")
        )
        assert before - after == timedelta(days=91)

    def test_an_actor_is_called_by_name(self, visit):
        options = visit("audit").app.pills(key="audit-actor-pills").options
        assert any("·" in one and not one.startswith("user:") for one in options)


class TestFiles:
    def test_a_file_of_what_is_filtered_is_made_fetched_and_deleted(self, visit, platform):
        screen = visit("audit")
        screen.app.text_input(key="audit-action").set_value("client.created").run()
        screen.app.selectbox(key="audit-file-format").set_value("csv").run()
        screen.click("audit-file-make")
        (one,) = platform.items("audit-exports")
        assert (one["format"], one["wanted"]["action"]) == ("csv", "client.created")
        screen.app.run()
        assert f"CSV, {one['created_at'][:10]}" in screen.text
        screen.click(f"audit-file-fetch-{one['id']}")
        ready = screen.app.session_state[f"audit-file-{one['id']}"]
        assert ready.filename.endswith(".csv")
        assert ready.content.count(b"client.created") == one["records"] > 0
        screen.click(f"audit-file-delete-{one['id']}")
        assert platform.items("audit-exports") == []
        screen.app.run()
        assert "No file yet." in screen.text

    def test_is_not_for_who_may_only_read(self, visit, platform):
        assert not visit("audit", person=VIC).has_button("audit-file-make")
        assert not platform.called("GET", "audit-exports")


class TestTarget:
    def test_leads_to_what_was_acted_on(self, visit, platform):
        record = platform.items("audit", action="email.submitted")[0]
        screen = visit("audit")
        screen.app.session_state["audit-open"] = record["id"]
        screen.app.run()
        assert "Open the email" in [one.label for one in screen.app.button]
        screen.click("audit-go")
        path = f"emails/{record['target'].partition(':')[2]}"
        assert platform.called("GET", path)

    def test_is_no_way_for_who_may_not_look_at_it(self, visit, platform):
        platform.wire.alter("GET", "/api/v1/me", lambda me: {**me, "permissions": ["audit:read"]})
        record = platform.items("audit", action="email.submitted")[0]
        screen = visit("audit")
        screen.app.session_state["audit-open"] = record["id"]
        screen.app.run()
        assert record["request_id"] in screen.text
        assert not screen.has_button("audit-go")


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
        screen = each_alone(platform_trail(visit("audit")), "platform-audit")
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
        each_alone(platform_trail(screen), "platform-audit")
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

    def test_files_of_it_are_its_own(self, visit, platform):
        screen = platform_trail(visit("audit"))
        screen.app.text_input(key="platform-audit-action").set_value("tenant.created").run()
        screen.app.selectbox(key="platform-audit-file-format").set_value("ocsf").run()
        screen.click("platform-audit-file-make")
        (one,) = platform.items("platform/audit-exports")
        assert (one["format"], one["wanted"]["action"]) == ("ocsf", "tenant.created")
        assert platform.items("audit-exports") == []
        screen.app.run()
        screen.click(f"platform-audit-file-fetch-{one['id']}")
        ready = screen.app.session_state[f"platform-audit-file-{one['id']}"]
        assert ready.filename.startswith("platform-audit-")
        assert ready.content.count(b"\n") == one["records"] > 0
        screen.click(f"platform-audit-file-delete-{one['id']}")
        assert platform.items("platform/audit-exports") == []

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


class TestRetention:
    @pytest.mark.parametrize("trail", ["audit", "platform-audit"])
    def test_is_changed_after_a_question(self, visit, platform, trail):
        screen = visit("audit")
        if trail != "audit":
            platform_trail(screen)
        assert "for ever" in screen.text
        screen.app.number_input(key=f"{trail}-retention-days").set_value(400).run()
        asked = screen.click(f"{trail}-retention-save-start").text
        assert "Records older than 400 days go for good" in asked
        assert "400 days" in screen.click(f"{trail}-retention-save-yes").text
        path = "audit-retention" if trail == "audit" else "platform/audit-retention"
        assert platform.called("PUT", path)[-1].body == {"keep_days": 400}

    def test_too_few_days_are_refused_in_words(self, visit):
        screen = visit("audit")
        screen.app.number_input(key="audit-retention-days").set_value(10).run()
        screen.click("audit-retention-save-start")
        assert "Audit records are kept longer" in screen.click("audit-retention-save-yes").text

    def test_who_may_only_read_changes_nothing(self, visit):
        screen = visit("audit", person=VIC)
        assert "for ever" in screen.text
        assert not [one for one in screen.app.number_input if "retention" in (one.key or "")]
