"""Jobs: the list, one job, running it again, cancelling it after one question."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def one(platform, state):
    return platform.items("jobs", state=state)[0]


def now(platform, job):
    return platform.get(f"jobs/{job['id']}")


def deferred(platform, **facts):
    """The job that waits after a deferral; ``facts`` are what the page is told instead."""
    email = platform.items("emails", state="deferred")[0]
    path = f"/api/v1/jobs/{email['job_id']}"
    if facts:
        platform.wire.alter("GET", path, lambda found: {**found, **facts})
    return platform.get(f"jobs/{email['job_id']}")


def after(platform, act, job, facts):
    """Have the platform tell other facts of a job once the act was asked for."""
    path = f"jobs/{job['id']}"

    def told(found):
        return {**found, **facts} if platform.called("POST", f"{path}/{act}") else found

    platform.wire.alter("GET", f"/api/v1/{path}", told)


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


class TestRunAllAgain:
    def test_asks_once_and_runs_all_that_the_filters_leave(self, visit, platform):
        dead, waiting = platform.items("jobs", state="dead"), one(platform, "ready")
        screen = visit("jobs")
        assert not screen.has_button("jobs-retry-all-start")
        screen.app.selectbox(key="jobs-state").select("dead").run()
        screen.click("jobs-retry-all-start")
        assert "Every dead job is started again" in screen.text
        assert platform.items("jobs", state="dead") == dead
        screen.click("jobs-retry-all-yes")
        assert not platform.items("jobs", state="dead")
        assert {now(platform, job)["state"] for job in dead} == {"ready"}
        assert now(platform, waiting) == waiting
        assert screen.said.startswith(f"{len(dead)} job")

    def test_keeps_to_the_kind_that_is_chosen(self, visit, platform):
        dead = platform.items("jobs", state="dead")
        screen = visit("jobs")
        screen.app.selectbox(key="jobs-state").select("dead").run()
        screen.app.text_input(key="jobs-kind").set_value("nothing.such").run()
        screen.click("jobs-retry-all-start").click("jobs-retry-all-yes")
        assert platform.items("jobs", state="dead") == dead
        assert screen.said == "0 jobs wait for a worker."

    def test_is_not_offered_to_who_may_not(self, visit):
        screen = visit("jobs", VIC)
        screen.app.selectbox(key="jobs-state").select("dead").run()
        assert not screen.has_button("jobs-retry-all-start")


class TestDetail:
    def test_runs_a_dead_job_again(self, visit, platform):
        job = one(platform, "dead")
        screen = visit("jobs", id=job["id"])
        assert not screen.has_button("jobs-cancel-start")
        screen.click("jobs-retry")
        assert now(platform, job)["state"] == "ready"
        assert screen.said == "The job waits for a worker."
        assert not screen.has_button("jobs-retry")

    @pytest.mark.parametrize(
        ("facts", "said"),
        [
            ({"state": "dead", "attempt": 2}, "The job ran again and gave up."),
            ({"state": "succeeded", "attempt": 2}, "The job ran again and succeeded."),
            ({"state": "running", "attempt": 2}, "The job runs again."),
            ({"state": "ready", "attempt": 2}, "The job ran again and failed; the next attempt"),
            (
                {"state": "ready", "attempt": 1, "max_attempts": 9},
                "The job waits for a worker, with all its attempts.",
            ),
        ],
    )
    def test_says_after_another_run_how_it_stands(self, visit, platform, facts, said):
        job = one(platform, "dead")
        screen = visit("jobs", id=job["id"])
        after(platform, "retry", job, facts)
        screen.click("jobs-retry")
        assert screen.said.startswith(said)

    @pytest.mark.parametrize(
        ("facts", "said"),
        [
            ({"state": "dead"}, "The job gave up."),
            ({"state": "succeeded"}, "The job succeeded."),
            ({"state": "cancelled"}, "The job was cancelled."),
            ({"state": "skipped", "attempt": 0}, "The job was skipped."),
            ({"state": "ready"}, "The job failed; the next attempt is due 20"),
            ({"state": "ready", "attempt": 0}, "The job waits for a worker."),
            ({"state": "running", "attempt": 2}, "The job runs."),
        ],
    )
    def test_says_what_became_of_a_job_that_was_watched(self, visit, platform, facts, said):
        job = one(platform, "running")
        screen = visit("jobs", id=job["id"])
        platform.wire.alter("GET", f"/api/v1/jobs/{job['id']}", lambda found: {**found, **facts})
        # What the watch leaves when it sees another state; a browser's test has it see one.
        screen.app.session_state["jobs-acted"] = "watch", job["id"], job["attempt"]
        screen.app.run()
        assert screen.said.startswith(said)

    def test_asks_before_it_cancels_and_says_what_that_does(self, visit, platform):
        job = one(platform, "ready")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        assert "takes it out of the queue until somebody runs it again" in screen.text
        assert now(platform, job)["state"] == "ready"
        screen.click("jobs-cancel-yes")
        assert now(platform, job)["state"] == "cancelled"
        assert screen.said == "The job is cancelled."
        assert "Last error" not in screen.text

    def test_does_not_call_a_running_job_cancelled(self, visit, platform):
        job = one(platform, "running")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start").click("jobs-cancel-yes")
        assert screen.said == "The worker has been asked to stop."
        assert now(platform, job)["state"] == "running"
        assert now(platform, job)["cancel_requested"]

    def test_says_what_became_of_a_job_that_started_meanwhile(self, visit, platform):
        job = one(platform, "ready")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        running = {"state": "running", "cancel_requested": True}
        after(platform, "cancel", job, running)
        screen.click("jobs-cancel-yes")
        assert screen.said == "The worker has been asked to stop."

    def test_of_a_deferred_job_says_what_was_tried_and_who_may_have_the_message(
        self, visit, platform
    ):
        job = deferred(platform, attempt=7, max_attempts=8)
        screen = visit("jobs", id=job["id"])
        assert "7 of 8 attempts made, the next is due 20" in screen.text
        screen.click("jobs-cancel-start")
        assert "7 attempts were made, and the next is due 20" in screen.text
        assert "takes it out of the queue until somebody runs it again" in screen.text
        assert "What those attempts did stays done." in screen.text
        assert "No recipient's mail server has confirmed the message" in screen.text
        assert "has not started" not in screen.text
        assert "happens" not in screen.text

    def test_of_a_job_whose_message_some_have_counts_them(self, visit, platform):
        job = deferred(platform, attempt=2)
        email = f"/api/v1/emails/{job['subject'].removeprefix('email:')}"

        def partly(found):
            (first,) = found["recipients"]
            return {**found, "recipients": [{**first, "state": "accepted"}, first]}

        platform.wire.alter("GET", email, partly)
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        assert "The message was accepted for 1 of 2 recipients already." in screen.text

    def test_of_a_job_whose_message_cannot_be_read_is_possible_all_the_same(self, visit, platform):
        job = deferred(platform)
        email = f"/api/v1/emails/{job['subject'].removeprefix('email:')}"
        platform.wire.fail("GET", email, 404, "email.not_found", "No such e-mail")
        screen = visit("jobs", id=job["id"]).click("jobs-cancel-start")
        assert "Some recipients may have the message already." in screen.text
        screen.click("jobs-cancel-yes")
        assert now(platform, job)["state"] == "cancelled"

    def test_counts_no_waiting_as_work(self, visit, platform):
        job = deferred(platform)
        screen = visit("jobs", id=job["id"])
        screen.click("jobs-cancel-start").click("jobs-cancel-yes")
        ended = now(platform, job)
        assert ended["started_at"]
        assert ended["finished_at"]
        assert "Last attempt took –" in screen.text
        assert "1 attempt made" in screen.text
        assert ended["error"] == job["error"]
        assert screen.app.code[0].value == job["error"]
        screen.click("jobs-back")
        row = next(row for row in screen.rows("jobs") if row["id"] == job["id"])
        assert row["took"] == "–"

    def test_tells_how_long_an_attempt_took_that_was_stopped(self, visit, platform):
        job = one(platform, "dead")
        path = f"/api/v1/jobs/{job['id']}"
        stopped = {"state": "cancelled", "cancel_requested": True}
        platform.wire.alter("GET", path, lambda found: {**found, **stopped})
        assert "Last attempt took –" not in visit("jobs", id=job["id"]).text

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
        visit("jobs", id=job["id"]).follow("Open its e-mail")
        assert platform.called("GET", f"emails/{job['subject'].removeprefix('email:')}")
