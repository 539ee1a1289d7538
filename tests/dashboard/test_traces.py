"""Traces: the list and its filters, one as a waterfall, two beside each other, ways to them."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC
from tests.support.factories import make_trace

pytestmark = pytest.mark.page

MAIL = {"to": ["ada@example.test"], "subject": "Traced", "text": "Hi"}


@pytest.fixture
def traces(platform):
    """The ids of a trace that succeeded and of one that failed."""
    api = platform.api()
    made = [make_trace(api, service="shop"), make_trace(api, failed=True)]
    platform.keep_spans()
    return made


class TestList:
    def test_shows_what_was_kept_and_why(self, visit, traces):
        screen = visit("traces", person=VIC)
        rows = {row["id"]: row for row in screen.rows("traces")}
        good, bad = (rows[one] for one in traces)
        assert (good["service"], good["errors"], good["spans"]) == ("shop", "0", "3")
        assert (bad["service"], bad["errors"], bad["kept_for"]) == ("n8n", "1", "error")
        assert "Operations of the last hour" in screen.text

    def test_finds_by_service_and_failure(self, visit, platform, traces):
        screen = visit("traces")
        screen.app.text_input(key="traces-service").set_value("n8n").run()
        screen.app.selectbox(key="traces-failed").select("true").run()
        assert traces[1] in {row["id"] for row in screen.rows("traces")}
        query = platform.called("GET", "traces")[-1].query
        assert query == {"service": "n8n", "failed": "true", "limit": "50"}


class TestDetail:
    def test_is_a_waterfall_and_says_what_failed(self, visit, traces):
        screen = visit("traces", id=traces[1], person=VIC)
        assert "n8n: workflow.execute" in screen.text
        assert "3 spans, 1 failed, 100.0 ms" in screen.text
        assert "timed out" in screen.text
        (chart,) = screen.app.get("plotly_chart")
        assert "3 spans of n8n over 100.0 ms, 1 of them failed." in str(chart.proto)

    def test_two_stand_beside_each_other(self, visit, traces):
        screen = visit("traces", id=traces[0])
        screen.app.text_input(key="traces-other").set_value(traces[1]).run()
        found = screen.component("traces-differences")
        assert {row["service"] for row in found["rows"]} == {"shop", "n8n"}

    def test_says_so_when_there_is_none(self, visit):
        assert "No such trace" in visit("traces", id="0" * 31 + "1").text


class TestWays:
    def send(self, platform, trace_id):
        """A mail that a workflow's node sent in this trace."""
        head = {"traceparent": f"00-{trace_id}-{'ab' * 8}-01"}
        sent = platform.api().post("/api/v1/emails", json=MAIL, headers=head)
        return sent.raise_for_status().json()

    @pytest.fixture
    def sent(self, platform, traces):
        return self.send(platform, traces[0])

    def test_a_mails_trace_is_one_click_away(self, visit, traces, sent):
        screen = visit("emails", id=sent["id"], person=VIC).click("emails-trace")
        assert screen.address["id"] == traces[0]
        assert "Waterfall" in screen.text

    def test_a_jobs_trace_is_one_click_away(self, visit, traces, sent):
        screen = visit("jobs", id=sent["job_id"], person=VIC).click("jobs-trace")
        assert screen.address["id"] == traces[0]
        assert "Waterfall" in screen.text

    def test_is_found_by_its_spans_where_the_job_is_forgotten(self, visit, platform, sent):
        path = f"/api/v1/jobs/{sent['job_id']}"
        platform.wire.fail("GET", path, 404, "orchestrator.job_not_found", "No such job.")
        screen = visit("emails", id=sent["id"]).click("emails-trace")
        asked = platform.called("GET", "traces")[-1].query
        assert asked["attribute"] == f"email_sender.job={sent['job_id']}"
        assert "No trace of it was kept" in screen.text

    def test_of_what_was_not_kept_is_said_so(self, visit, platform):
        trace_id = "f" * 32
        sent = self.send(platform, trace_id)
        path = f"/api/v1/traces/{trace_id}"
        platform.wire.fail("GET", path, 404, "tracing.trace_not_found", "No such trace")
        screen = visit("jobs", id=sent["job_id"]).click("jobs-trace")
        assert "No trace of it was kept" in screen.text
