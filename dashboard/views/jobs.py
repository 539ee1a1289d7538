"""Jobs: the durable work behind everything that is not done at once."""

from __future__ import annotations

import json
from typing import Final

import streamlit as st

from dashboard import pages, state, theme
from dashboard.client import Api, models
from dashboard.pages import Choice, Column, ListPage, Words
from dashboard.widgets import confirm, markup, problems

CANCELLABLE: Final = frozenset({"blocked", "ready", "running"})
RETRYABLE: Final = frozenset({"dead", "cancelled"})
# E-mail is tried for a time and not so many times; its jobs have a limit that none will meet.
UNCOUNTED: Final = 1_000_000


def _attempt(job: models.JobOut) -> str:
    counted = job.max_attempts < UNCOUNTED
    return f"{job.attempt} of {job.max_attempts}" if counted else str(job.attempt)


def detail(job_id: str) -> None:
    """Draw one job and what may be done with it."""
    session = state.current()
    st.button("All jobs", key="jobs-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        job = session.api.get_job(job_id)
        lead = f"Attempt {_attempt(job)}"
        if job.state == "running" and job.cancel_requested:
            lead += ", asked to stop"
        markup.object_heading(job.kind, job.state, lead)
        if session.can("job:write"):
            _acts(session, job)
        with st.container(key="card-facts"):
            markup.section("Details")
            markup.facts(_facts(job))
            kind, _, subject = (job.subject or "").partition(":")
            if (
                kind == "email"
                and session.can("email:read")
                and st.button("Open its e-mail", key="jobs-email", icon=":material/mail:")
            ):
                st.switch_page("views/emails.py", query_params={"id": subject})
        if job.error:
            markup.section("Last error")
            st.code(job.error, language=None, wrap_lines=True)
        if job.result is not None:
            markup.section("Result")
            st.code(
                json.dumps(job.result, ensure_ascii=False, indent=2), language=None, wrap_lines=True
            )


def _acts(session: state.Session, job: models.JobOut) -> None:
    with problems.guard(), st.container(horizontal=True):
        if job.state in RETRYABLE and st.button(
            "Run again", key="jobs-retry", type="primary", icon=":material/replay:"
        ):
            session.api.retry_job(job.id)
            confirm.say_after_rerun("The job is ready to run again.")
            st.rerun()
        if (
            job.state in CANCELLABLE
            and not job.cancel_requested
            and confirm.ask(
                "jobs-cancel",
                "Cancel job",
                will=_what_cancelling_does(job),
                yes="Cancel this job",
                icon=":material/cancel:",
            )
        ):
            # It may have started or ended since the page was drawn: only the answer knows.
            cancelled = session.api.cancel_job(job.id).state == "cancelled"
            confirm.say_after_rerun(
                "The job is cancelled." if cancelled else "The worker has been asked to stop."
            )
            st.rerun()


def _what_cancelling_does(job: models.JobOut) -> str:
    if job.state == "running":
        return (
            "This job is running. Cancelling asks its worker to stop; what it has already done, "
            "such as an e-mail handed to a mail server, stays done. It will not be tried again."
        )
    return (
        "This job has not started. Cancelling takes it out of the queue for good, and jobs that "
        "wait for it are skipped. Nothing it would have done happens."
    )


def _back() -> None:
    st.query_params.clear()


def _facts(job: models.JobOut) -> list[tuple[str, str]]:
    return [
        ("Created (UTC)", markup.when(job.created_at)),
        ("Due (UTC)", markup.when(job.due_at)),
        ("Started (UTC)", markup.when(job.started_at)),
        ("Finished (UTC)", markup.when(job.finished_at)),
        ("Took", markup.duration(job.started_at, job.finished_at)),
        ("Priority", str(job.priority)),
        ("Worker", job.worker or markup.NONE),
        ("Subject", job.subject or markup.NONE),
        ("Id", job.id),
    ]


PAGE: Final = ListPage(
    key="jobs",
    of=models.JobOut,
    title="Jobs",
    lead="Work that survives a restart: waiting, running, done or given up.",
    noun="job",
    nothing="Sending an e-mail makes the first one.",
    fetch=Api.list_jobs,
    columns=(
        Column("kind", "Kind", "strong"),
        Column("state", "State", "badge"),
        Column("attempt", "Attempt", "number", _attempt),
        Column(
            "took", "Took", "number", lambda job: markup.duration(job.started_at, job.finished_at)
        ),
        Column("worker", "Worker", "code"),
        Column("error", "Last error"),
        Column("created_at", "Created (UTC)", "time"),
    ),
    export=(
        "id", "kind", "state", "attempt", "max_attempts", "priority", "due_at", "created_at",
        "started_at", "finished_at", "worker", "error", "subject", "cancel_requested",
    ),
    filters=(
        Choice("state", "State", theme.JOB_STATES),
        Words("kind", "Kind", "email.send", width=260),
    ),
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
