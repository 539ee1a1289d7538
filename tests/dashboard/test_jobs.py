"""Jobs: the list, one job, running it again, cancelling it after one question."""

from __future__ import annotations

import json
import secrets

import pytest

from tests.dashboard.conftest import VIC
from tests.support.factories import make_logs

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

    def test_filters_by_what_they_are_about(self, visit, platform):
        job = one(platform, "dead")
        screen = visit("jobs", subject=job["subject"])
        assert [row["id"] for row in screen.rows("jobs")] == [job["id"]]
        screen.app.text_input(key="jobs-subject").set_value("email:none").run()
        assert "No job matches" in screen.text

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


class TestTotals:
    def test_counts_each_kind_by_its_states(self, visit, platform):
        counted = {}
        for job in platform.items("jobs"):
            key = job["kind"], job["state"]
            counted[key] = counted.get(key, 0) + 1
        rows = {row["kind"]: row for row in visit("jobs").rows("jobs-totals")}
        assert {
            (kind, state): int(count)
            for kind, row in rows.items()
            for state, count in row.items()
            if state != "kind" and count != "0"
        } == counted

    def test_says_where_it_stopped(self, visit, platform):
        many = {"kind": "email.send", "state": "dead", "count": 10_000, "at_least": True}
        facts = {"items": [many], "complete": False}
        platform.wire.alter("GET", "/api/v1/jobs/totals", lambda found: {**found, **facts})
        screen = visit("jobs")
        (row,) = screen.rows("jobs-totals")
        assert row["dead"] == "10,000 or more"
        assert "There are more kinds and states than are counted." in screen.text


class TestAbout:
    def test_names_the_mail_that_a_job_is_about(self, visit, platform):
        mail = {one["job_id"]: one["subject"] for one in platform.items("emails")}
        rows = [row for row in visit("jobs").rows("jobs") if row["kind"] == "email.send"]
        assert rows
        assert {row["about"] for row in rows} <= set(mail.values())
        # One request, however many jobs are shown.
        assert len(platform.called("GET", "emails")) == 1

    def test_whoever_may_not_read_mail_sees_the_reference(self, visit, platform):
        role = {"description": "", "permissions": ["job:read"]}
        platform.api().put("/api/v1/roles/watcher", json=role).raise_for_status()
        platform.give_role(VIC, "watcher")
        rows = visit("jobs", VIC).rows("jobs")
        assert not platform.called("GET", "emails")
        assert any(row["about"].startswith("email:") for row in rows)


class TestCancelAll:
    def test_asks_once_and_cancels_all_that_the_filters_leave(self, visit, platform):
        ready, dead = platform.items("jobs", state="ready"), one(platform, "dead")
        screen = visit("jobs")
        assert not screen.has_button("jobs-cancel-all-start")
        screen.app.selectbox(key="jobs-state").select("ready").run()
        assert not screen.has_button("jobs-retry-all-start")
        screen.click("jobs-cancel-all-start")
        assert "Every ready job is taken out of the queue" in screen.text
        assert platform.items("jobs", state="ready") == ready
        screen.click("jobs-cancel-all-yes")
        assert {now(platform, job)["state"] for job in ready} == {"cancelled"}
        assert now(platform, dead) == dead
        assert screen.said.startswith(f"{len(ready)} job")

    def test_says_that_what_runs_is_asked(self, visit, platform):
        job = one(platform, "running")
        screen = visit("jobs")
        screen.app.selectbox(key="jobs-state").select("running").run()
        screen.click("jobs-cancel-all-start")
        assert "are asked to stop" in screen.text
        screen.click("jobs-cancel-all-yes")
        assert now(platform, job)["cancel_requested"]
        assert screen.said == "1 job is asked to stop."

    def test_is_not_offered_to_who_may_not(self, visit):
        screen = visit("jobs", VIC)
        screen.app.selectbox(key="jobs-state").select("ready").run()
        assert not screen.has_button("jobs-cancel-all-start")


@pytest.fixture
def given_up(platform):
    """A job of a kind that may be handed in; it was cancelled, as dead ones need a worker."""
    asked = {"kind": "http.request", "args": {"url": "https://wrong.example.com/"}}
    made = platform.api().post("/api/v1/jobs", json=asked).raise_for_status().json()
    cancel = f"/api/v1/jobs/{made['id']}/cancel"
    return platform.api().post(cancel).raise_for_status().json()


class TestWhatItIsGiven:
    def test_is_shown_on_demand_without_secrets(self, visit, platform):
        args = {"url": "https://books.example.com/", "headers": {"X-Token": "abc-123-def"}}
        body = {"kind": "http.request", "args": args, "delay_seconds": 600}
        job = platform.api().post("/api/v1/jobs", json=body).raise_for_status().json()
        screen = visit("jobs", id=job["id"])
        assert "books.example.com" not in screen.text
        assert not platform.called("GET", f"jobs/{job['id']}/payload")
        screen.click("jobs-given")
        shown = json.loads(next(one.value for one in screen.app.code if "books" in one.value))
        assert shown == {"url": args["url"], "headers": {"X-Token": "[credential]"}}

    def test_of_mail_it_is_said_to_be_the_products_own(self, visit, platform):
        screen = visit("jobs", id=one(platform, "dead")["id"]).click("jobs-given")
        assert "the product's own" in screen.text


class TestAttempts:
    def test_are_told_once_there_are_several(self, visit, platform):
        job = one(platform, "dead")
        path = f"/api/v1/jobs/{job['id']}"
        screen = visit("jobs", id=job["id"])
        assert not platform.called("GET", f"jobs/{job['id']}/attempts")
        (made,) = platform.get(f"jobs/{job['id']}/attempts")["items"]
        assert (made["attempt"], made["outcome"], made["error"]) == (1, "failed", job["error"])
        crashed = {**made, "outcome": "crashed", "worker": None, "error": "Its worker died"}
        platform.wire.alter("GET", path, lambda found: {**found, "attempt": 9})
        platform.wire.alter(
            "GET",
            f"{path}/attempts",
            lambda _: {"items": [{**made, "attempt": 9}, {**crashed, "attempt": 8}]},
        )
        screen = visit("jobs", id=job["id"])
        newest, oldest = screen.rows("jobs-attempts")
        assert (newest["attempt"], newest["outcome"], newest["error"]) == (
            "9",
            "failed",
            job["error"],
        )
        assert newest["worker"] == made["worker"]
        assert (oldest["attempt"], oldest["outcome"], oldest["worker"]) == ("8", "crashed", "–")
        assert "Of others nothing is kept" in screen.text

    def test_a_first_one_that_failed_is_told_while_the_job_waits(self, visit, platform):
        job = deferred(platform)
        assert (job["state"], job["attempt"]) == ("ready", 1)
        (row,) = visit("jobs", id=job["id"]).rows("jobs-attempts")
        assert (row["attempt"], row["outcome"], row["error"]) == ("1", "failed", job["error"])


class TestLog:
    def test_shows_what_was_said_in_its_trace(self, visit, platform):
        trace = secrets.token_hex(16)
        sent = platform.api().post(
            "/api/v1/jobs",
            json={
                "kind": "http.request",
                "args": {"url": "https://books.example.com/"},
                "delay_seconds": 600,
            },
            headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
        )
        job = sent.raise_for_status().json()
        assert job["trace_id"] == trace
        assert "Lines in its trace" not in visit("jobs", id=job["id"]).markup
        line = {"message": "Booked in 3 s", "trace.id": trace, "service.name": "books"}
        make_logs(platform.api(), [line])
        screen = visit("jobs", id=job["id"])
        (row,) = screen.rows("jobs-log")
        assert (row["message"], row["source"]) == ("Booked in 3 s", "books")


class TestChangeAndRunAgain:
    def change(self, visit, job, text):
        screen = visit("jobs", id=job["id"]).click("jobs-change")
        screen.app.text_area(key=f"jobs-args-{job['id']}").set_value(text)
        return screen.press("Run again with this")

    def test_runs_it_with_what_it_is_given_now(self, visit, platform, given_up):
        screen = visit("jobs", id=given_up["id"]).click("jobs-change")
        field = screen.app.text_area(key=f"jobs-args-{given_up['id']}")
        assert json.loads(field.value) == {"url": "https://wrong.example.com/"}
        screen = self.change(visit, given_up, '{"url": "https://right.example.com/"}')
        assert now(platform, given_up)["state"] == "ready"
        assert platform.get(f"jobs/{given_up['id']}/args") == {
            "args": {"url": "https://right.example.com/"}
        }
        assert screen.said == "The job waits for a worker, with all its attempts."

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", "This is not JSON"),
            ("[]", "Give an object"),
            ('{"wrong": 1}', "Not a job that may be submitted"),
        ],
    )
    def test_says_what_is_wrong_and_leaves_the_job(self, visit, platform, given_up, text, said):
        screen = self.change(visit, given_up, text)
        warned = " ".join(one.value for one in screen.app.warning)
        assert said in f"{screen.text} {warned}"
        assert now(platform, given_up)["state"] == "cancelled"

    def test_is_left_by_a_click(self, visit, given_up):
        screen = visit("jobs", id=given_up["id"]).click("jobs-change")
        screen.press("Leave it")
        assert screen.has_button("jobs-change")

    def test_is_not_offered_for_what_the_product_makes(self, visit, platform):
        screen = visit("jobs", id=one(platform, "dead")["id"])
        assert not screen.has_button("jobs-change")


class TestDeadLetters:
    def opened(self, visit, platform, who=None):
        group = platform.get("jobs/totals")["failures"][0]
        screen = visit("dead_letters", who) if who else visit("dead_letters")
        screen.app.session_state["dead_letters-open"] = group["job_id"]
        screen.app.run()
        return screen, group

    def test_are_together_with_what_failed_alike(self, visit, platform):
        groups = platform.get("jobs/totals")["failures"]
        rows = visit("dead_letters").rows("dead_letters")
        assert [(row["kind"], row["error"], row["count"]) for row in rows] == [
            (one["kind"], one["error"], str(one["count"])) for one in groups
        ]
        assert sum(one["count"] for one in groups) == len(platform.items("jobs", state="dead"))

    def test_run_again_those_that_failed_alike_and_no_other(self, visit, platform):
        screen, group = self.opened(visit, platform)
        alike = [
            job
            for job in platform.items("jobs", state="dead", kind=group["kind"])
            if job["error"].splitlines()[0] == group["error"]
        ]
        others = [job for job in platform.items("jobs", state="dead") if job not in alike]
        screen.click("dead_letters-retry-all-start")
        assert "Every dead job of the kind email.send that failed so" in screen.text
        screen.click("dead_letters-retry-all-yes")
        assert {now(platform, job)["state"] for job in alike} == {"ready"}
        assert len(alike) == group["count"]
        assert [now(platform, job) for job in others] == others
        assert screen.said.startswith(f"{len(alike)} job")

    def test_are_only_shown_to_who_may_not(self, visit, platform):
        screen, group = self.opened(visit, platform, VIC)
        assert group["error"] in screen.text
        assert not screen.has_button("dead_letters-retry-all-start")


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
            ({"state": "awaiting"}, "The job waits for an answer from elsewhere."),
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
