"""Jobs: the durable work behind everything that is not done at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import streamlit as st

from dashboard import pages, state, theme
from dashboard.client import Api, ApiProblem, models
from dashboard.pages import Bulk, Choice, Column, ListPage, Words
from dashboard.widgets import confirm, findings, markup, problems, traced, workers

CANCELLABLE: Final = frozenset({"blocked", "ready", "running"})
RETRYABLE: Final = frozenset({"dead", "cancelled"})
WATCH_SECONDS: Final = 3
_ACTED: Final = "jobs-acted"
_DRAWN: Final = "jobs-drawn"
_ENDS: Final = {"dead": "gave up", "cancelled": "was cancelled", "skipped": "was skipped"}
# E-mail is tried for a time and not so many times; its jobs have a limit that none will meet.
UNCOUNTED: Final = 1_000_000


def detail(job_id: str) -> None:
    """Draw one job and what may be done with it."""
    session = state.current()
    st.button("All jobs", key="jobs-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        job = session.api.get_job(job_id)
        _say_what_became_of(job)
        if job.state in CANCELLABLE:
            st.session_state[_DRAWN] = True
            _watch(job.id, job.state, job.attempt)
        markup.object_heading(job.kind, job.state, _attempts(job))
        if session.can("job:write"):
            _acts(session, job)
        with st.container(key="card-facts"):
            markup.section("Details")
            markup.facts(_facts(job))
            if email_id := _email_of(job):
                findings.way(f"/emails?id={email_id}", "Open its e-mail")
            if job.trace_id is not None:
                traced.way("jobs-trace", trace_id=job.trace_id)
        error = _error(job)
        if error != markup.NONE:
            markup.section("Last error")
            st.code(error, language=None, wrap_lines=True)
        if job.result is not None:
            markup.section("Result")
            st.code(
                json.dumps(job.result, ensure_ascii=False, indent=2), language=None, wrap_lines=True
            )


@st.fragment(run_every=WATCH_SECONDS)
def _watch(job_id: str, state_shown: str, attempt_shown: int) -> None:
    """Have the page drawn anew when the job is not any more what it shows.

    Streamlit runs this alone, again and again; the first time with the page, which has just asked.
    """
    if st.session_state.pop(_DRAWN, False):
        return
    with problems.guard():
        job = state.current().api.get_job(job_id)
        if (job.state, job.attempt) != (state_shown, attempt_shown):
            st.session_state[_ACTED] = "watch", job_id, attempt_shown
            st.rerun(scope="app")


def _email_of(job: models.JobOut) -> str | None:
    kind, _, subject = (job.subject or "").partition(":")
    return subject if kind == "email" else None


def _counted(job: models.JobOut) -> bool:
    return job.max_attempts < UNCOUNTED


def _tried(job: models.JobOut) -> str:
    return f"{job.attempt} of {job.max_attempts}" if _counted(job) else str(job.attempt)


def _attempts(job: models.JobOut) -> str:
    """Return how far the job came, as it is and not as it will be."""
    if job.state == "running":
        asked = ", asked to stop" if job.cancel_requested else ""
        return f"Attempt {_tried(job)} is running{asked}"
    if not job.attempt:
        most = f"; {job.max_attempts} attempts at most" if _counted(job) else ""
        return f"Not started{most}"
    one = job.attempt == 1 and not _counted(job)
    made = f"{_tried(job)} {'attempt' if one else 'attempts'} made"
    return f"{made}, the next is due {markup.moment(job.due_at)}" if _waits(job) else made


def _waits(job: models.JobOut) -> bool:
    return job.state in {"ready", "blocked"}


def _took(job: models.JobOut) -> str:
    """Return how long the last attempt took, where that is known.

    A job that was cancelled while it waited has an end that is none of an attempt.
    """
    if job.state == "cancelled" and not job.cancel_requested:
        return markup.NONE
    return markup.duration(job.started_at, job.finished_at)


def _error(job: models.JobOut) -> str:
    """Return why the latest attempt failed; that a job was cancelled is no error of it."""
    return job.error if job.error and job.error != job.state else markup.NONE


def _acts(session: state.Session, job: models.JobOut) -> None:
    with problems.guard(), st.container(horizontal=True):
        if job.state in RETRYABLE and st.button(
            "Run again", key="jobs-retry", type="primary", icon=":material/replay:"
        ):
            session.api.retry_job(job.id)
            st.session_state[_ACTED] = "retry", job.id, job.attempt
            st.rerun()
        if (
            job.state in CANCELLABLE
            and not job.cancel_requested
            and confirm.ask(
                "jobs-cancel",
                "Cancel job",
                will=partial(_what_cancelling_does, session, job),
                yes="Cancel this job",
                icon=":material/cancel:",
            )
        ):
            session.api.cancel_job(job.id)
            st.session_state[_ACTED] = "cancel", job.id, job.attempt
            st.rerun()


def _say_what_became_of(job: models.JobOut) -> None:
    """Say what an act came to: a worker may have been quicker than this page."""
    act, job_id, before = st.session_state.pop(_ACTED, ("", "", 0))
    if job_id != job.id:
        return
    if act == "cancel" and job.state == "running":
        said = "The worker has been asked to stop."
    elif act == "cancel":
        said = f"The job is {job.state}."
    elif job.state == "ready" and (not job.attempt or (act, job.attempt) == ("retry", before)):
        said = f"The job waits for a worker{', with all its attempts' if _counted(job) else ''}."
    elif job.state == "ready":
        again = "ran again and failed" if act == "retry" else "failed"
        said = f"The job {again}; the next attempt is due {markup.moment(job.due_at)}."
    elif job.state == "running":
        said = "The job runs again." if act == "retry" else "The job runs."
    else:
        again = "ran again and " if act == "retry" else ""
        said = f"The job {again}{_ENDS.get(job.state, job.state)}."
    confirm.say(said)


def _what_cancelling_does(session: state.Session, job: models.JobOut) -> str:
    if job.state == "running":
        return (
            f"Attempt {job.attempt} of this job is running. Cancelling asks its worker to stop; "
            f"what was done stays done. {_delivered(session, job)}It is not tried again by itself."
        )
    ends = (
        "takes it out of the queue until somebody runs it again, and jobs that wait for it are "
        "skipped."
    )
    if not job.attempt:
        return f"This job has not started. Cancelling {ends} Nothing it would have done happens."
    made = "1 attempt was" if job.attempt == 1 else f"{job.attempt} attempts were"
    return (
        f"{made} made, and the next is due {markup.moment(job.due_at)}. Cancelling {ends} What "
        f"those attempts did stays done. {_delivered(session, job)}"
    )


def _delivered(session: state.Session, job: models.JobOut) -> str:
    """Return a sentence on who may have the message of the job already; empty for other jobs."""
    email_id = _email_of(job)
    if not email_id:
        return ""
    if not session.can("email:read"):
        return "Some recipients may have the message already. "
    try:
        recipients = session.api.get_email(email_id).recipients
    except ApiProblem:  # what is not known does not keep anybody from cancelling
        return "Some recipients may have the message already. "
    accepted = sum(recipient.state == "accepted" for recipient in recipients)
    if accepted:
        return f"The message was accepted for {accepted} of {len(recipients)} recipients already. "
    return (
        "No recipient's mail server has confirmed the message; one that broke off at the end may "
        "have it nevertheless. "
    )


def _back() -> None:
    st.query_params.from_dict(state.address())


def _facts(job: models.JobOut) -> list[tuple[str, str]]:
    return [
        ("Created", markup.when(job.created_at)),
        ("Due", markup.when(job.due_at)),
        ("Last attempt began", markup.when(job.started_at)),
        ("Finished", markup.when(job.finished_at)),
        ("Last attempt took", _took(job)),
        ("Priority", str(job.priority)),
        ("Worker", job.worker or markup.NONE),
        ("Subject", job.subject or markup.NONE),
        ("Id", job.id),
    ]


def _retry_part(api: Api, **asked: Any) -> models.JobsRetriedOut:
    return api.retry_jobs(models.JobsRetry(**asked))


def _what_retrying_does(wanted: Mapping[str, str | None]) -> str:
    which = f" of the kind {wanted['kind']}" if wanted["kind"] else ""
    mail = "A message is sent again to everybody whose server has not accepted it. "
    return (
        f"Every {wanted['state']} job{which} is started again with all its attempts, on all pages. "
        f"{mail if not wanted['kind'] or wanted['kind'] == 'email.send' else ''}"
        "Nothing else is touched."
    )


def _said_of_retried(retried: int, refused: int) -> str:
    said = f"{retried:,} {'job waits' if retried == 1 else 'jobs wait'} for a worker"
    return f"{said}; {refused:,} cannot be started again." if refused else f"{said}."


PAGE: Final = ListPage(
    key="jobs",
    of=models.JobOut,
    title="Jobs",
    lead="Work that survives a restart: waiting, running, done or given up.",
    noun="job",
    nothing="Sending an e-mail makes the first one.",
    fetch=Api.list_jobs,
    write="job:write",
    bulk=Bulk(
        key="retry-all",
        label="Run all again",
        icon=":material/replay:",
        offered=lambda wanted: wanted["state"] in RETRYABLE,
        call=_retry_part,
        will=_what_retrying_does,
        yes="Run all of them again",
        sums=("retried", "refused"),
        said=_said_of_retried,
    ),
    columns=(
        Column("kind", "Kind", "strong"),
        Column("state", "State", "badge"),
        Column("attempt", "Attempts", "number", _tried),
        Column("took", "Took", "number", _took),
        Column("worker", "Worker", "code"),
        Column("error", "Last error", value=_error),
        Column("created_at", "Created", "time"),
    ),
    export=(
        "id", "kind", "state", "attempt", "max_attempts", "priority", "due_at", "created_at",
        "started_at", "finished_at", "worker", "error", "subject", "cancel_requested",
    ),
    filters=(
        Choice("state", "State", theme.JOB_STATES),
        Words("kind", "Kind", "email.send", width=260),
    ),
    notice=workers.warn,
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
