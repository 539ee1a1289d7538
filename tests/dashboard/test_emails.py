"""E-mails: the list and its filters, one message, what a viewer may not read."""

from __future__ import annotations

import csv
import io

import pytest

from tests.dashboard.conftest import VIC
from tests.support.factories import HOSTILE_HTML, HOSTILE_SUBJECT

pytestmark = pytest.mark.page


def one(platform, state="accepted"):
    return platform.items("emails", state=state)[0]


def with_html(platform):
    found = platform.items("emails", state="accepted")
    return next(email for email in found if email["subject"] == HOSTILE_SUBJECT)


def readings(platform, email):
    """What the trail says was read of the message: its own content, or the sink's copy."""
    read = platform.items("audit", action="email.content_read")
    here = [record for record in read if record["target"] == f"email:{email['id']}"]
    return sorted(record["data"].get("source", "own") for record in here)


class TestList:
    def test_shows_a_page_newest_first(self, visit, platform):
        rows = visit("emails").rows("emails")
        assert [row["id"] for row in rows] == [one["id"] for one in platform.items("emails")[:50]]
        assert platform.called("GET", "emails")[-1].query == {"limit": "50"}

    @pytest.mark.parametrize(
        ("typed", "asked"),
        [
            ("GRACE", "GRACE*"),
            ("grace@*", "grace@*"),
            ("grace*", "grace*"),
            ("grace@example.test", "grace@example.test"),
        ],
    )
    def test_finds_by_a_part_of_an_address(self, visit, platform, typed, asked):
        screen = visit("emails")
        screen.app.text_input(key="emails-recipient").set_value(typed).run()
        assert {row["to"] for row in screen.rows("emails")} == {"grace@example.test"}
        assert platform.called("GET", "emails")[-1].query["recipient"] == asked

    def test_filters_by_state_and_recipient(self, visit, platform):
        screen = visit("emails")
        screen.app.selectbox(key="emails-state").select("accepted").run()
        screen.app.text_input(key="emails-recipient").set_value(" ada@example.test ").run()
        rows = screen.rows("emails")
        assert {row["state"] for row in rows} == {"accepted"}
        assert {row["to"] for row in rows} == {"ada@example.test"}
        query = platform.called("GET", "emails")[-1].query
        assert query == {"state": "accepted", "recipient": "ada@example.test", "limit": "50"}

    def test_pages_forward_and_back(self, visit, platform):
        screen = visit("emails")
        first = [row["id"] for row in screen.rows("emails")]
        assert screen.app.button(key="emails-newer").disabled
        second = [row["id"] for row in screen.click("emails-older").rows("emails")]
        assert first + second == [email["id"] for email in platform.items("emails")]
        assert screen.app.button(key="emails-older").disabled
        screen.click("emails-newer")
        assert [row["id"] for row in screen.rows("emails")] == first

    def test_starts_over_when_the_filter_changes(self, visit, platform):
        screen = visit("emails").click("emails-older")
        screen.app.selectbox(key="emails-state").select("accepted").run()
        assert "cursor" not in platform.called("GET", "emails")[-1].query

    def test_tells_an_empty_filter_from_an_empty_tenant(self, visit):
        screen = visit("emails")
        screen.app.text_input(key="emails-recipient").set_value("nobody@example.test").run()
        assert "No e-mail matches" in screen.text

    def test_exports_every_page_of_the_filter(self, visit, platform, monkeypatch):
        monkeypatch.setattr("dashboard.client.EXPORT_LIMIT", 25)
        screen = visit("emails").click("emails-export-prepare")
        _, content, count, cut = screen.app.session_state["emails-export-file"]
        read = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        everything = platform.items("emails")
        assert (len(read), count, cut) == (len(everything), len(everything), False)
        first = everything[0]
        assert (read[0]["from"], read[0]["to"]) == (first["from"], first["to"][0])
        assert read[0]["created_at"] == first["created_at"]
        label = screen.app.get("download_button")[0].proto.label
        assert label == f"Download {count} rows"

    def test_withdraws_a_file_made_under_another_filter(self, visit):
        screen = visit("emails").click("emails-export-prepare")
        screen.app.selectbox(key="emails-state").select("bounced").run()
        assert not screen.app.get("download_button")


class TestDetail:
    def test_reads_what_the_message_says_when_asked_and_once(self, visit, platform):
        email = with_html(platform)
        screen = visit("emails", id=email["id"])
        assert f"{email['subject']} accepted" in screen.text
        assert "Timeline" in screen.text
        assert screen.component("content-html") is None
        assert "In the mail sink" not in screen.text
        assert readings(platform, email) == []
        screen.click("emails-content")
        assert screen.component("content-html") is not None
        screen.app.run()
        assert screen.component("content-html") is not None
        assert readings(platform, email) == ["own", "sink"]
        screen.click("emails-content-hide")
        assert screen.component("content-html") is None
        assert readings(platform, email) == ["own", "sink"]

    def test_shows_no_content_of_one_that_was_asked_for_another(self, visit, platform):
        first, second = platform.items("emails", state="accepted")[:2]
        screen = visit("emails", id=first["id"]).click("emails-content")
        screen.app.query_params["id"] = second["id"]
        screen.app.run()
        assert screen.has_button("emails-content")
        screen.click("emails-back")
        screen.app.query_params["id"] = first["id"]
        screen.app.run()
        assert screen.has_button("emails-content")
        assert readings(platform, first) == ["own", "sink"]
        assert readings(platform, second) == []

    def test_shows_why_the_content_cannot_be_read(self, visit, platform):
        email = one(platform)
        path = f"/api/v1/emails/{email['id']}/content"
        platform.wire.fail("GET", path, 503, "unavailable", "The key is away.")
        screen = visit("emails", id=email["id"]).click("emails-content")
        assert "The key is away." in screen.text
        assert screen.has_button("emails-content")

    def test_shows_recipients_timeline_content_and_the_sinks_copy(self, visit, platform):
        email = with_html(platform)
        screen = visit("emails", id=email["id"]).click("emails-content")
        assert f"{email['subject']} accepted" in screen.text
        assert screen.rows("recipients")[0]["address"] == email["to"][0]
        assert "queued" in screen.text
        assert "Attempt 1: 1 recipient(s): 2.0.0 stored as" in screen.text
        assert screen.rows("attachments")[0]["filename"] == "invoice-2026-118.pdf"
        assert "In the mail sink" in screen.text
        assert "Envelope to ada@example.test" in screen.text

    def test_gives_the_html_to_the_frame_behind_its_policy(self, visit, platform):
        screen = visit("emails", id=with_html(platform)["id"]).click("emails-content")
        document = screen.component("content-html")["document"]
        assert document.endswith(HOSTILE_HTML)
        assert document.index("default-src 'none'") < document.index("<script>")
        assert HOSTILE_HTML not in "".join(block.proto.body for block in screen.app.get("html"))

    def test_says_when_the_sink_has_nothing(self, visit, platform):
        screen = visit("emails", id=one(platform, "bounced")["id"]).click("emails-content")
        assert "The sink has no copy of this message yet." in screen.text

    def test_shows_each_recipients_own_answer(self, visit, platform):
        rows = visit("emails", id=one(platform, "partial")["id"]).rows("recipients")
        found = {row["address"]: (row["state"], row["code"]) for row in rows}
        assert found == {
            "ada@example.test": ("accepted", "250"),
            "bounce@example.test": ("bounced", "550"),
        }

    def test_keeps_what_a_message_says_from_a_viewer(self, visit, platform):
        email = one(platform)
        screen = visit("emails", person=VIC, id=email["id"])
        assert "Your role sees that a message was sent, not what it says." in screen.text
        assert not screen.has_button("emails-content")
        assert screen.component("content-html") is None
        assert "In the mail sink" not in screen.text
        assert not platform.called("GET", f"emails/{email['id']}/content")

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
        screen = visit("emails", id=email["id"]).follow("Open its job")
        assert platform.called("GET", f"jobs/{email['job_id']}")
        assert "email.send" in screen.text

    @pytest.mark.parametrize("wanted", ["0198c1de-0000-7000-8000-000000000009", "../me"])
    def test_says_when_there_is_no_such_message(self, visit, wanted):
        assert "not_found" in visit("emails", id=wanted).text


class TestWithoutSink:
    @pytest.fixture
    def backend(self, backend):
        return backend.model_copy(
            update={"email": backend.email.model_copy(update={"sink_directory": None})}
        )

    def test_leaves_it_out(self, visit, platform):
        screen = visit("emails", id=one(platform)["id"]).click("emails-content")
        assert "Content" in screen.text
        assert "In the mail sink" not in screen.text
        assert "es-problem" not in screen.markup
