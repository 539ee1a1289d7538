"""Jobs: the list, one job, running it again, cancelling it after one question."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def one(platform, state):
    return platform.items("jobs", state=state)[0]


def now(platform, job):
    return platform.get(f"jobs/{job['id']}")


class TestList:
    def test_filters_by_state_and_kind(self, visit, platform):
        screen = visit("jobs")
        screen.app.selectbox(key="jobs-state").select("dead").run()
        screen.app.text_input(key="jobs-kind").set_value("email.send").run()
        assert {row["state"] for row in screen.rows("jobs")} == {"dead"}
        query = platform.called("GET", "jobs")[-1].query
        assert query == {"state": "dead", "kind": "email.send", "limit": "50"}

    def test_shows_attempts_and_the_last_error(self, visit, platform):
        screen = visit("jobs")
        screen.app.selectbox(key="jobs-state").select("dead").run()
        row, job = screen.rows("jobs")[0], one(platform, "dead")
        # E-mail is tried for a time: a number of tries would be one that nobody meets.
        assert job["kind"] == "email.send"
        assert row["attempt"] == "1"
        assert "No such mailbox" in row["error"]

    def test_exports_the_whole_list(self, visit, platform):
        screen = visit("jobs").click("jobs-export-prepare")
        assert screen.app.session_state["jobs-export-file"][2] == len(platform.items("jobs"))


class TestDetail:
    def test_runs_a_dead_job_again(self, visit, platform):
        job = one(platform, "dead")
        screen = visit("jobs", id=job["id"])
        assert not screen.has_button("jobs-cancel-start")
        screen.click("jobs-retry")
        assert now(platform, job)["state"] == "ready"
        assert screen.app.toast[0].value == "The job is ready to run again."
        assert not screen.has_button("jobs-retry")

    def test_asks_before_it_cancels_and_says_what_that_does(self, visit, platform):
        job = one(platform, "ready")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        assert "takes it out of the queue for good" in screen.text
        assert now(platform, job)["state"] == "ready"
        screen.click("jobs-cancel-yes")
        assert now(platform, job)["state"] == "cancelled"
        assert screen.app.toast[0].value == "The job is cancelled."

    def test_does_not_call_a_running_job_cancelled(self, visit, platform):
        job = one(platform, "running")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start").click("jobs-cancel-yes")
        assert screen.app.toast[0].value == "The worker has been asked to stop."
        assert now(platform, job)["state"] == "running"
        assert now(platform, job)["cancel_requested"]

    def test_says_what_became_of_a_job_that_started_meanwhile(self, visit, platform):
        job = one(platform, "ready")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        platform.wire.alter(
            "POST", f"/api/v1/jobs/{job['id']}/cancel", lambda found: {**found, "state": "running"}
        )
        screen.click("jobs-cancel-yes")
        assert screen.app.toast[0].value == "The worker has been asked to stop."

    def test_can_be_left_as_it_is(self, visit, platform):
        job = one(platform, "running")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        assert "asks its worker to stop" in screen.text
        screen.click("jobs-cancel-no")
        assert screen.has_button("jobs-cancel-start")
        assert not now(platform, job)["cancel_requested"]

    def test_shows_the_refusal_of_a_job_that_ended_meanwhile(self, visit, platform):
        job = one(platform, "dead")
        path = f"/api/v1/jobs/{job['id']}"
        platform.wire.alter("GET", path, lambda found: {**found, "state": "running"})
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        screen.click("jobs-cancel-yes")
        assert "Code orchestrator.job_not_cancellable" in screen.text

    def test_offers_no_act_to_a_viewer(self, visit, platform):
        screen = visit("jobs", person=VIC, id=one(platform, "ready")["id"])
        assert not screen.has_button("jobs-cancel-start")
        assert not screen.has_button("jobs-retry")

    def test_opens_its_email(self, visit, platform):
        job = one(platform, "dead")
        visit("jobs", id=job["id"]).click("jobs-email")
        assert platform.called("GET", f"emails/{job['subject'].removeprefix('email:')}")
