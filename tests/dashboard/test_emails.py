"""E-mails: the list and its filters, one message, what a viewer may not read."""

from __future__ import annotations

import csv
import io

import pytest

from tests.dashboard.fake_api import HOSTILE_HTML, Platform

pytestmark = pytest.mark.page


def one(platform: Platform, state: str = "accepted"):
    return next(email for email in platform.room("acme").emails if email["state"] == state)


class TestList:
    def test_shows_a_page_newest_first(self, visit, platform):
        rows = visit("emails").rows("emails")
        assert len(rows) == 50
        assert [row["created_at"] for row in rows] == sorted(
            (row["created_at"] for row in rows), reverse=True
        )
        assert platform.called("GET", "/api/v1/emails")[-1].query == {"limit": "50"}

    def test_filters_by_state_and_recipient(self, visit, platform):
        screen = visit("emails")
        screen.app.selectbox(key="emails-state").select("accepted").run()
        screen.app.text_input(key="emails-recipient").set_value(" ada@example.test ").run()
        rows = screen.rows("emails")
        assert {row["state"] for row in rows} == {"accepted"}
        assert {row["to"] for row in rows} == {"ada@example.test"}
        query = platform.called("GET", "/api/v1/emails")[-1].query
        assert query == {"state": "accepted", "recipient": "ada@example.test", "limit": "50"}

    def test_pages_forward_and_back(self, visit):
        screen = visit("emails")
        first = [row["id"] for row in screen.rows("emails")]
        assert screen.app.button(key="emails-newer").disabled
        second = [row["id"] for row in screen.click("emails-older").rows("emails")]
        assert not set(first) & set(second)
        third = screen.click("emails-older").rows("emails")
        assert len(third) == 37
        assert screen.app.button(key="emails-older").disabled
        screen.click("emails-newer").click("emails-newer")
        assert [row["id"] for row in screen.rows("emails")] == first

    def test_starts_over_when_the_filter_changes(self, visit, platform):
        screen = visit("emails").click("emails-older")
        screen.app.selectbox(key="emails-state").select("accepted").run()
        assert "cursor" not in platform.called("GET", "/api/v1/emails")[-1].query

    def test_tells_an_empty_filter_from_an_empty_tenant(self, visit):
        screen = visit("emails")
        screen.app.text_input(key="emails-recipient").set_value("nobody@example.test").run()
        assert "No e-mail matches" in screen.text

    def test_exports_every_page_of_the_filter(self, visit, platform):
        screen = visit("emails").click("emails-export-prepare")
        _, content, count, cut = screen.app.session_state["emails-export-file"]
        read = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        assert (len(read), count, cut) == (137, 137, False)
        first = platform.room("acme").emails[0]
        assert (read[0]["from"], read[0]["to"]) == (first["from"], first["to"][0])
        assert read[0]["created_at"] == first["created_at"]
        assert screen.app.get("download_button")[0].proto.label == "Download 137 rows"

    def test_withdraws_a_file_made_under_another_filter(self, visit):
        screen = visit("emails").click("emails-export-prepare")
        screen.app.selectbox(key="emails-state").select("bounced").run()
        assert not screen.app.get("download_button")

    def test_shows_a_problem_with_its_request_id(self, visit, platform):
        platform.fail("GET", "/api/v1/emails", 500, "internal", "Something broke.")
        screen = visit("emails")
        assert "Something broke. Code internal, request req-from-the-fake" in screen.text


class TestDetail:
    def test_shows_recipients_timeline_content_and_the_sinks_copy(self, visit, platform):
        email = one(platform)
        screen = visit("emails", id=email["id"])
        assert f"{email['subject']} accepted" in screen.text
        assert screen.rows("recipients")[0]["address"] == email["to"][0]
        assert "queued" in screen.text
        assert "Attempt 1: 250 2.0.0 Ok: queued" in screen.text
        assert screen.rows("attachments")[0]["filename"] == "invoice-2026-118.pdf"
        assert "In the mail sink" in screen.text
        assert platform.called("GET", f"/sink/emails/{email['id']}")

    def test_gives_the_html_to_the_frame_behind_its_policy(self, visit, platform):
        screen = visit("emails", id=one(platform)["id"])
        document = screen.component("content-html")["document"]
        assert document.endswith(HOSTILE_HTML)
        assert document.index("default-src 'none'") < document.index("<script>")
        assert HOSTILE_HTML not in "".join(block.proto.body for block in screen.app.get("html"))

    def test_leaves_the_sink_out_when_there_is_none(self, visit, platform):
        email = one(platform)
        path = f"/sink/emails/{email['id']}"
        platform.fail("GET", path, 404, "not_found", "There is no sink.")
        screen = visit("emails", id=email["id"])
        assert "In the mail sink" not in screen.text
        assert "There is no sink." not in screen.text

    def test_keeps_what_a_message_says_from_a_viewer(self, visit, platform):
        email = one(platform)
        screen = visit("emails", person="vic@example.test", id=email["id"])
        assert "Your role sees that a message was sent, not what it says." in screen.text
        assert screen.component("content-html") is None
        assert not platform.called("GET", f"/api/v1/emails/{email['id']}/content")
        assert not platform.called("GET", f"/sink/emails/{email['id']}")

    def test_goes_back_to_the_list_as_it_was_left(self, visit, platform):
        screen = visit("emails")
        screen.app.selectbox(key="emails-state").select("accepted").run()
        before = screen.click("emails-older").rows("emails")
        screen.app.query_params["id"] = before[0]["id"]
        screen.app.run()
        assert screen.component("emails") is None
        assert screen.click("emails-back").rows("emails") == before
        assert screen.app.selectbox(key="emails-state").value == "accepted"

    def test_opens_its_job(self, visit, platform):
        email = one(platform)
        screen = visit("emails", id=email["id"]).click("emails-job")
        assert platform.called("GET", f"/api/v1/jobs/{email['job_id']}")
        assert "email.send" in screen.text

    @pytest.mark.parametrize("wanted", ["0198c1de-0000-7000-8000-000000000009", "../me"])
    def test_says_when_there_is_no_such_message(self, visit, wanted):
        screen = visit("emails", id=wanted)
        assert (
            "No such e-mail." in screen.text or "There is nothing at this address." in screen.text
        )
