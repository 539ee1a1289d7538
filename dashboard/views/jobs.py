"""Jobs: the durable work behind everything that is not done at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import streamlit as st

from dashboard import client, pages, state, theme
from dashboard.client import Api, ApiProblem, models
from dashboard.pages import Bulk, Choice, Column, Days, ListPage, Words
from dashboard.widgets import confirm, findings, log_lines, markup, problems, table, traced, workers

CANCELLABLE: Final = frozenset({"blocked", "ready", "running", "awaiting"})
RETRYABLE: Final = frozenset({"dead", "cancelled"})
WATCH_SECONDS: Final = 3
_ACTED: Final = "jobs-acted"
_DRAWN: Final = "jobs-drawn"
_MAIL: Final = "jobs-mail"
_GRAPHS: Final = "jobs-graphs"
_MOST_KNOWN: Final = 5000
_MOST_SHOWN: Final = 100_000
_ATTEMPTS: Final = (
    table.Column("attempt", "Attempt", "strong"),
    table.Column("outcome", "What became of it", "badge"),
    table.Column("began", "Began", "time"),
    table.Column("took", "Took", "number"),
    table.Column("worker", "Worker", "code"),
    table.Column("error", "Why it did not succeed", "prose"),
)
_TALL: Final = 480
_TALL_LINES: Final = 24
_LOG_LINES: Final = 20
_BESIDE: Final = timedelta(seconds=1)
_ENDS: Final = {"dead": "gave up", "cancelled": "was cancelled", "skipped": "was skipped"}
# E-mail is tried for a time and not so many times; its jobs have a limit that none will meet.
UNCOUNTED: Final = 1_000_000


def detail(job_id: str) -> None:
    """Draw one job and what may be done with it."""
    session = state.current()
    st.button("All jobs", key="jobs-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        job = session.api.get_job(job_id)
        _learn_graphs(session, [job])
        _say_what_became_of(job)
        if job.state in CANCELLABLE:
            st.session_state[_DRAWN] = True
            _watch(job.id, job.state, job.attempt)
        name = about(job) if job.task else job.kind
        markup.object_heading(name, job.state, _attempts(job))
        if session.can("job:write"):
            _acts(session, job)
        with st.container(key="card-facts"):
            markup.section("Details")
            markup.facts(_facts(job))
            if email_id := _email_of(job):
                findings.way(f"/emails?id={email_id}", "Open its e-mail")
            if job.graph_id is not None:
                findings.way(f"/job_graphs?id={job.graph_id}", "Open its graph")
            if job.trace_id is not None:
                traced.way("jobs-trace", trace_id=job.trace_id)
        error = _error(job)
        if error != markup.NONE:
            markup.section("Last error")
            st.code(error, language=None, wrap_lines=True)
        _made(session, job)
        if job.result is not None:
            markup.section("Result")
            _json(job.result)
        _given(session, job)
        _log(session, job)


def _made(session: state.Session, job: models.JobOut) -> None:
    """Draw what became of each attempt; of a single one that goes on or ended the job tells all."""
    if not job.attempt or (job.attempt == 1 and not _waits(job)):
        return
    found = session.api.list_job_attempts(job.id).items
    if not found:
        return
    markup.section("Attempts")
    rows = [
        {
            "attempt": str(one.attempt),
            "outcome": one.outcome,
            "began": markup.when(one.started_at),
            "took": markup.duration(one.started_at, one.ended_at),
            "worker": one.worker or markup.NONE,
            "error": one.error or markup.NONE,
        }
        for one in found
    ]
    table.draw("jobs-attempts", "Attempts", _ATTEMPTS, rows)
    if len(found) < job.attempt:
        markup.note("Of others nothing is kept: they are older, or nothing was tried in them.")


def _json(value: object) -> None:
    said = json.dumps(value, ensure_ascii=False, indent=2)
    if len(said) > _MOST_SHOWN:
        markup.note(f"The first {_MOST_SHOWN:,} of {len(said):,} characters are shown.")
    st.code(
        said[:_MOST_SHOWN],
        language=None,
        wrap_lines=True,
        height=_TALL if said.count("\n") > _TALL_LINES else "content",
    )


def _given(session: state.Session, job: models.JobOut) -> None:
    """Draw what it was given, on demand: it may be large, and is seldom what one comes for."""
    opened = f"jobs-given-{job.id}"
    if not st.session_state.get(opened):
        st.button(
            "What it is given",
            key="jobs-given",
            icon=":material/data_object:",
            on_click=_open,
            args=(opened, True),
        )
        return
    markup.section("What it is given")
    with problems.guard():
        args = session.api.get_job_payload(job.id).args
        if args is None:
            markup.note("That is the product's own, or told of a person who was forgotten.")
        else:
            _json(args)
            markup.note("Without what the settings of Logs hide.")


def _log(session: state.Session, job: models.JobOut) -> None:
    """Draw what programs said in the trace of the job: whoever it called, and who submitted it."""
    if job.trace_id is None or not session.can("log:read"):
        return
    with problems.guard():
        found = session.api.list_logs(trace_id=job.trace_id, limit=_LOG_LINES)
        if not found.items:
            return
        markup.section("Log")
        opened_line = log_lines.draw("jobs-log", "Lines in its trace", found.items)
        if opened_line:
            st.switch_page("views/logs.py", query_params=state.address(id=opened_line))
        findings.way(f"/logs?trace_id={job.trace_id}&range=any", "Open them in Logs")


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
    if job.state == "awaiting":
        until = markup.moment(job.due_at)
        return f"Attempt {_tried(job)} waits for an answer from elsewhere, until {until}"
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
    if job.state in RETRYABLE:
        with problems.guard():
            _change(session, job)


def _change(session: state.Session, job: models.JobOut) -> None:
    """Draw the way to start it again with something else, for kinds that may be handed in."""
    opened = f"jobs-changing-{job.id}"
    if not st.session_state.get(opened):
        if job.kind in {one.kind for one in session.api.list_job_kinds().items}:
            st.button(
                "Change and run again",
                key="jobs-change",
                icon=":material/edit:",
                on_click=_open,
                args=(opened, True),
            )
        return
    args = session.api.read_job_args(job.id).args
    with st.form("jobs-args", border=False):
        given = st.text_area(
            "What it is given",
            json.dumps(args, ensure_ascii=False, indent=2),
            key=f"jobs-args-{job.id}",
            height=240,
            help="JSON. From now on it is given this, and nothing of what it was given before.",
        )
        with st.container(horizontal=True):
            is_sent = st.form_submit_button("Run again with this", type="primary")
            is_left = st.form_submit_button("Leave it")
    if is_left:
        _open(opened, False)
        st.rerun()
    if is_sent:
        try:
            said = json.loads(given)
        except ValueError as exc:
            st.warning(f"This is not JSON: {exc}.")
            return
        if not isinstance(said, dict):
            st.warning("Give an object: names and their values in braces.")
            return
        session.api.retry_job(job.id, models.JobRetry(args=said))
        _open(opened, False)
        st.session_state[_ACTED] = "retry", job.id, job.attempt
        st.rerun()


def _open(key: str, value: object) -> None:
    st.session_state[key] = value


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
    elif job.state == "awaiting":
        said = "The job waits for an answer from elsewhere."
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
    if job.state == "awaiting":
        return (
            f"Attempt {job.attempt} of this job waits for an answer from elsewhere. Cancelling "
            "does not stop who was asked, and what they answer then is refused."
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
        ("About", about(job)),
        ("Kind", job.kind),
        ("Subject", job.subject or markup.NONE),
        ("Id", job.id),
    ]


def about(job: models.JobOut) -> str:
    """Return what a job is about, by its name where that is known.

    Of a task of a graph which one it is; of nothing said, its kind.
    """
    if not job.subject:
        if not job.task or job.graph_id is None:
            return job.kind
        graph = st.session_state.get(_GRAPHS, {}).get(job.graph_id)
        return f"{job.task} \u00b7 {graph}" if graph else job.task
    if email_id := _email_of(job):
        known: Mapping[str, str] = st.session_state.get(_MAIL, {})
        return known.get(email_id, job.subject)
    return state.current().names.of(job.subject)


def _learn_mail(session: state.Session, jobs: Sequence[models.JobOut]) -> None:
    """Ask what the e-mails say that jobs are about: those of the same time, in one go.

    A job is made with its e-mail. Of a list that leaves out many jobs not all may be among them.
    """
    known: dict[str, str] = st.session_state.setdefault(_MAIL, {})
    times = [job.created_at for job in jobs if (mail := _email_of(job)) and mail not in known]
    if not times or not session.can("email:read"):
        return
    found = session.api.list_emails(
        created_after=min(times) - _BESIDE,
        created_before=max(times) + _BESIDE,
        limit=client.EXPORT_LIMIT,
    )
    if len(known) > _MOST_KNOWN:
        known.clear()
    known |= {one.id: one.subject or "(no subject)" for one in found.items}


def _learn_graphs(session: state.Session, jobs: Sequence[models.JobOut]) -> None:
    """Ask what the newest graphs are called, if jobs are of one that is not known."""
    known: dict[str, str] = st.session_state.setdefault(_GRAPHS, {})
    asked = {job.graph_id for job in jobs if job.graph_id is not None} - known.keys()
    if not asked:
        return
    if len(known) > _MOST_KNOWN:
        known.clear()
    found = session.api.list_job_graphs(limit=client.EXPORT_LIMIT)
    # An older one stays without a name, and is not asked for again and again.
    known |= dict.fromkeys(asked, "") | {one.id: one.name for one in found.items}


def _fetch(api: Api, **query: Any) -> models.JobPage:
    found = api.list_jobs(**query)
    with problems.guard():
        _learn_mail(state.current(), found.items)
        _learn_graphs(state.current(), found.items)
    return found


def _totals(_: Mapping[str, Any]) -> None:
    """Draw how many jobs there are, by kind and state."""
    found = state.current().api.count_jobs()
    if not found.items:
        return
    rows: dict[str, dict[str, str]] = {}
    for one in found.items:
        row = rows.setdefault(one.kind, {"kind": one.kind, **dict.fromkeys(theme.JOB_STATES, "0")})
        row[one.state] = f"{one.count:,}{' or more' if one.at_least else ''}"
    shown = [name for name in theme.JOB_STATES if any(row[name] != "0" for row in rows.values())]
    with st.container(key="card-totals"):
        markup.section("How many")
        table.draw(
            "jobs-totals",
            "Jobs by kind and state",
            [
                table.Column("kind", "Kind", "strong"),
                *(table.Column(name, name.capitalize(), "number") for name in shown),
            ],
            list(rows.values()),
        )
        if not found.complete:
            markup.note("There are more kinds and states than are counted.")


def retry_part(api: Api, **asked: Any) -> models.JobsRetriedOut:
    """Start a part of what is asked for again."""
    return api.retry_jobs(models.JobsRetry(**asked))


def _which(wanted: Mapping[str, str | None]) -> str:
    """Return which jobs of a state the filters leave; empty for all of them."""
    named = (("kind", "of the kind {}"), ("subject", "about {}"), ("graph_id", "of graph {}"))
    said = [words.format(wanted[name]) for name, words in named if wanted.get(name)]
    said += ["of that time"] * bool(wanted.get("created_after"))
    return "".join(f" {one}" for one in said)


def _what_retrying_does(wanted: Mapping[str, str | None]) -> str:
    which = _which(wanted)
    mail = "A message is sent again to everybody whose server has not accepted it. "
    return (
        f"Every {wanted['state']} job{which} is started again with all its attempts, on all pages. "
        f"{mail if not wanted['kind'] or wanted['kind'] == 'email.send' else ''}"
        "Nothing else is touched."
    )


def said_of_retried(retried: int, refused: int) -> str:
    """Return what is said of all parts."""
    said = f"{retried:,} {'job waits' if retried == 1 else 'jobs wait'} for a worker"
    return f"{said}; {refused:,} cannot be started again." if refused else f"{said}."


def _cancel_part(api: Api, **asked: Any) -> models.JobsCancelledOut:
    return api.cancel_jobs(models.JobsCancel(**asked))


def _what_cancelling_all_does(wanted: Mapping[str, str | None]) -> str:
    if wanted["state"] == "running":
        return (
            f"The workers of every running job{_which(wanted)} are asked to stop, on all pages. "
            "What was done stays done."
        )
    return (
        f"Every {wanted['state']} job{_which(wanted)} is taken out of the queue until somebody "
        "runs it again, on all pages, and jobs that wait for it are skipped. What attempts did "
        "stays done."
    )


def _said_of_cancelled(cancelled: int, asked: int) -> str:
    if asked:
        return f"{asked:,} {'job is' if asked == 1 else 'jobs are'} asked to stop."
    return f"{cancelled:,} {'job is' if cancelled == 1 else 'jobs are'} cancelled."


PAGE: Final = ListPage(
    key="jobs",
    of=models.JobOut,
    title="Jobs",
    lead="Work that survives a restart: waiting, running, done or given up.",
    noun="job",
    nothing="Sending an e-mail makes the first one.",
    fetch=_fetch,
    write="job:write",
    bulks=(
        Bulk(
            key="retry-all",
            label="Run all again",
            icon=":material/replay:",
            offered=lambda wanted: wanted["state"] in RETRYABLE,
            call=retry_part,
            will=_what_retrying_does,
            yes="Run all of them again",
            sums=("retried", "refused"),
            said=said_of_retried,
        ),
        Bulk(
            key="cancel-all",
            label="Cancel all",
            icon=":material/cancel:",
            offered=lambda wanted: wanted["state"] in CANCELLABLE,
            call=_cancel_part,
            will=_what_cancelling_all_does,
            yes="Cancel all of them",
            sums=("cancelled", "asked"),
            said=_said_of_cancelled,
        ),
    ),
    between=_totals,
    columns=(
        Column("about", "About", "strong", about),
        Column("kind", "Kind"),
        Column("state", "State", "badge"),
        Column("attempt", "Attempts", "number", _tried),
        Column("took", "Took", "number", _took),
        Column("error", "Last error", value=_error),
        Column("created_at", "Created", "time"),
    ),
    export=(
        "id", "kind", "state", "attempt", "max_attempts", "priority", "due_at", "created_at",
        "started_at", "finished_at", "worker", "error", "subject", "graph_id", "cancel_requested",
    ),
    filters=(
        Choice("state", "State", theme.JOB_STATES),
        Words("kind", "Kind", "email.send", width=180),
        Words("subject", "Subject", "email:0192…", width=180),
        Words("graph_id", "Graph", "Its id", width=150),
        Days("Created"),
    ),
    notice=workers.warn,
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
