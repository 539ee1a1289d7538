"""Jobs: the list, one job, running it again, cancelling it after one question."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.page


def one(platform, state):
    return next(job for job in platform.room("acme").jobs if job["state"] == state)


class TestList:
    def test_filters_by_state_and_kind(self, visit, platform):
        screen = visit("jobs")
        screen.app.selectbox(key="jobs-state").select("dead").run()
        screen.app.text_input(key="jobs-kind").set_value("email.send").run()
        assert {row["state"] for row in screen.rows("jobs")} == {"dead"}
        query = platform.called("GET", "/api/v1/jobs")[-1].query
        assert query == {"state": "dead", "kind": "email.send", "limit": "50"}

    def test_shows_attempts_and_the_last_error(self, visit, platform):
        screen = visit("jobs")
        screen.app.selectbox(key="jobs-state").select("dead").run()
        row = screen.rows("jobs")[0]
        assert row["attempt"] == "3 of 5"
        assert row["error"] == "550 5.1.1 No such mailbox"

    def test_exports_the_whole_list(self, visit):
        screen = visit("jobs").click("jobs-export-prepare")
        assert screen.app.session_state["jobs-export-file"][2] == 137


class TestDetail:
    def test_runs_a_dead_job_again(self, visit, platform):
        job = one(platform, "dead")
        screen = visit("jobs", id=job["id"])
        assert not screen.has_button("jobs-cancel-start")
        screen.click("jobs-retry")
        assert len(platform.called("POST", f"/api/v1/jobs/{job['id']}/retry")) == 1
        assert job["state"] == "ready"
        assert screen.app.toast[0].value == "The job is ready to run again."
        assert not screen.has_button("jobs-retry")

    def test_asks_before_it_cancels_and_says_what_that_does(self, visit, platform):
        job = one(platform, "ready")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        assert "takes it out of the queue for good" in screen.text
        assert not platform.called("POST", f"/api/v1/jobs/{job['id']}/cancel")
        screen.click("jobs-cancel-yes")
        assert len(platform.called("POST", f"/api/v1/jobs/{job['id']}/cancel")) == 1
        assert job["state"] == "cancelled"
        assert screen.app.toast[0].value == "The job is cancelled."

    def test_does_not_call_a_running_job_cancelled(self, visit, platform):
        job = one(platform, "running")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start").click("jobs-cancel-yes")
        assert screen.app.toast[0].value == "The worker has been asked to stop."
        assert job["state"] == "running"

    def test_says_what_became_of_a_job_that_started_meanwhile(self, visit, platform):
        job = one(platform, "ready")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        job["state"] = "running"
        screen.click("jobs-cancel-yes")
        assert screen.app.toast[0].value == "The worker has been asked to stop."

    def test_can_be_left_as_it_is(self, visit, platform):
        job = one(platform, "running")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        assert "asks its worker to stop" in screen.text
        screen.click("jobs-cancel-no")
        assert screen.has_button("jobs-cancel-start")
        assert job["state"] == "running"

    def test_shows_the_refusal_of_a_job_that_ended_meanwhile(self, visit, platform):
        job = one(platform, "running")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        path = f"/api/v1/jobs/{job['id']}/cancel"
        platform.fail(
            "POST", path, 409, "orchestrator.job_not_cancellable", "The job has already ended."
        )
        screen.click("jobs-cancel-yes")
        assert "The job has already ended." in screen.text

    def test_offers_no_act_to_a_viewer(self, visit, platform):
        screen = visit("jobs", person="vic@example.test", id=one(platform, "ready")["id"])
        assert not screen.has_button("jobs-cancel-start")
        assert not screen.has_button("jobs-retry")

    def test_opens_its_email(self, visit, platform):
        job = one(platform, "dead")
        visit("jobs", id=job["id"]).click("jobs-email")
        assert platform.called("GET", f"/api/v1/emails/{job['subject'].removeprefix('email:')}")
