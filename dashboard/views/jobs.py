"""Jobs: the durable work behind everything that is not done at once."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

import streamlit as st

from dashboard import api, state, theme
from dashboard.widgets import confirm, export, markup, paging, problems, table

ANY: Final = "Any state"
CANCELLABLE: Final = frozenset({"blocked", "ready", "running"})
RETRYABLE: Final = frozenset({"dead", "cancelled"})
_COLUMNS: Final = (
    table.Column("kind", "Kind", "strong"),
    table.Column("state", "State", "badge"),
    table.Column("attempt", "Attempt", "number"),
    table.Column("took", "Took", "number"),
    table.Column("worker", "Worker", "code"),
    table.Column("error", "Last error"),
    table.Column("created_at", "Created (UTC)", "time"),
)
_EXPORT: Final = (
    "id", "kind", "state", "attempt", "max_attempts", "priority", "due_at", "created_at",
    "started_at", "finished_at", "worker", "error", "subject",
)  # fmt: skip


def page() -> None:
    """Draw one job when the address names it, else the list."""
    job_id = st.query_params.get("id")
    if job_id:
        detail(job_id)
    else:
        listing()


def listing() -> None:
    """Draw the filtered list."""
    session = state.current()
    markup.page_heading("Jobs", "Work that survives a restart: waiting, running, done or given up.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("State", [ANY, *theme.JOB_STATES], key="jobs-state", width=200)
        kind = st.text_input(
            "Kind", key="jobs-kind", placeholder="email.send", icon=":material/search:", width=260
        ).strip()
        wanted = None if chosen == ANY else chosen
        fetch = partial(session.api.list_jobs, state=wanted, kind=kind or None)
        export.button(
            "jobs-export",
            "jobs.csv",
            lambda cursor: fetch(cursor=cursor, limit=api.EXPORT_LIMIT),
            _EXPORT,
            _export_row,
            filters=(wanted, kind),
        )
    here = paging.place("jobs-place", wanted, kind)
    with problems.guard():
        found = fetch(cursor=here.cursor)
        if not found.items:
            if wanted or kind:
                markup.empty("No job matches", "Take a filter away to see more.")
            else:
                markup.empty("No job yet", "Sending an e-mail makes the first one.")
            return
        opened = table.draw(
            "jobs", "Jobs", _COLUMNS, [_row(job) for job in found.items], opens=True
        )
        if opened:
            st.query_params["id"] = opened
            st.rerun()
        paging.buttons("jobs", here, found.next_cursor, len(found.items))


def _row(job: api.Job) -> dict[str, str]:
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "attempt": f"{job.attempt} of {job.max_attempts}",
        "took": markup.duration(job.started_at, job.finished_at),
        "worker": job.worker or markup.NONE,
        "error": _text(job.error) or markup.NONE,
        "created_at": markup.when(job.created_at),
    }


def _export_row(job: api.Job) -> list[object]:
    return [
        job.id,
        job.kind,
        job.state,
        job.attempt,
        job.max_attempts,
        job.priority,
        *(
            at.isoformat() if at else None
            for at in (job.due_at, job.created_at, job.started_at, job.finished_at)
        ),
        job.worker,
        _text(job.error),
        job.subject,
    ]


def detail(job_id: str) -> None:
    """Draw one job and what may be done with it."""
    session = state.current()
    st.button("All jobs", key="jobs-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        job = session.api.get_job(job_id)
        markup.object_heading(job.kind, job.state, f"Attempt {job.attempt} of {job.max_attempts}")
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
            st.code(_text(job.error, pretty=True), language=None, wrap_lines=True)
        if job.result is not None:
            markup.section("Result")
            st.code(_text(job.result, pretty=True), language=None, wrap_lines=True)


def _acts(session: state.Session, job: api.Job) -> None:
    with problems.guard(), st.container(horizontal=True):
        if job.state in RETRYABLE and st.button(
            "Run again", key="jobs-retry", type="primary", icon=":material/replay:"
        ):
            session.api.retry_job(job.id)
            confirm.say_after_rerun("The job is ready to run again.")
            st.rerun()
        if job.state in CANCELLABLE and confirm.ask(
            "jobs-cancel",
            "Cancel job",
            will=_what_cancelling_does(job),
            yes="Cancel this job",
            icon=":material/cancel:",
        ):
            session.api.cancel_job(job.id)
            confirm.say_after_rerun("The job is cancelled.")
            st.rerun()


def _what_cancelling_does(job: api.Job) -> str:
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


def _facts(job: api.Job) -> list[tuple[str, str]]:
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


def _text(value: object, *, pretty: bool = False) -> str:
    """Return an error or a result, which the API gives as text or as JSON, as text."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, dict) and not pretty and isinstance(value.get("message"), str):
        return str(value["message"])
    return json.dumps(value, ensure_ascii=False, indent=2 if pretty else None)


if __name__ == "__main__":
    page()
