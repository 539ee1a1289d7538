"""Overview: does mail arrive, does a worker live, is the API well. Redrawn every ten seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import client, pages, state, theme
from dashboard.widgets import charts, markup, problems, table, usage, workers

REFRESH_SECONDS: Final = 10
WINDOWS: Final = {15: "15 minutes", 60: "1 hour", 360: "6 hours"}
_USUAL_WINDOW: Final = 15
_WAITING: Final = ("blocked", "ready")
_FAILURES: Final = (
    table.Column("title", "What", "strong"),
    table.Column("kind", "Kind"),
    table.Column("detail", "Why"),
    table.Column("at", "When", "time"),
)
_PAGES: Final = {"email": "views/emails.py", "job": "views/jobs.py"}


def page() -> None:
    """Draw the page."""
    with markup.heading_row():
        markup.page_heading("Overview", "Mail, jobs and API requests of this tenant, live.")
        pages.remember("overview-window")
        st.session_state.setdefault("overview-window", _USUAL_WINDOW)
        minutes = st.segmented_control(
            "Window",
            list(WINDOWS),
            required=True,
            format_func=WINDOWS.__getitem__,
            key="overview-window",
        )
    session = state.current()
    quotas: Sequence[client.models.QuotaOut] = ()
    with problems.guard():
        # Once a visit: they fill by the day and not by the second.
        if session.can("usage:read"):
            quotas = session.api.list_quotas().items
    live(int(minutes or _USUAL_WINDOW), quotas)


@st.fragment(run_every=REFRESH_SECONDS)
def live(minutes: int, quotas: Sequence[client.models.QuotaOut]) -> None:
    """Draw the figures; Streamlit runs this alone, again and again."""
    with problems.guard():
        figures(state.current().api.read_overview(minutes=minutes), minutes, quotas)


def figures(
    overview: client.models.OverviewOut, minutes: int, quotas: Sequence[client.models.QuotaOut]
) -> None:
    """Draw everything below the heading."""
    window = f"the last {WINDOWS.get(minutes, f'{minutes} minutes').removeprefix('1 ')}"
    markup.status(*verdict(overview, window))
    usage.warn(quotas)
    mail(overview, window)
    emails, jobs = st.columns(2)
    with emails:
        charts.by_state(
            "emails-by-state",
            "E-mails by state",
            overview.emails,
            theme.EMAIL_STATES,
            unit=f"made in {window}, and all that wait",
            nothing=f"No e-mail in {window}, and none waits.",
        )
    with jobs:
        charts.by_state(
            "jobs-by-state",
            "Jobs by state",
            overview.jobs,
            theme.JOB_STATES,
            unit=f"made in {window}, and all that wait",
            nothing=f"No job in {window}, and none waits.",
        )
    requests(overview, window)
    failures(overview.failures)


def verdict(overview: client.models.OverviewOut, window: str) -> tuple[str, str, str]:
    """Return how it stands, as a tone, a word and a sentence: the worst that is known first."""
    waiting = sum(overview.jobs.get(name, 0) for name in _WAITING)
    if not overview.workers.alive:
        waits = f" Jobs of this tenant that wait: {waiting:,}." if waiting else ""
        return "red", "Stopped", f"Nothing is sent: {workers.last_seen(overview.workers)}.{waits}"
    mail, dead = overview.delivery, overview.jobs.get("dead", 0)
    troubles = [
        f"{count:,} {what}"
        for count, what in (
            (mail.bounced, "bounced"),
            (mail.partial, "accepted for some recipients only"),
            (mail.suppressed, "suppressed"),
        )
        if count
    ]
    if mail.settled:
        came = ", ".join([f"{mail.accepted:,} accepted", *troubles])
        said = f"Settled mail of {window}: {came}."
    else:
        said = f"No mail settled: none of {window} has an outcome."
    deferred = overview.emails.get("deferred", 0)
    if deferred:
        said += (
            f" {_count(deferred, 'e-mail')} could not be handed over yet, and will be tried again."
        )
    if dead:
        said += f" {_count(dead, 'job')} gave up."
    if overview.requests.error_rate:
        said += (
            f" The API failed to serve {markup.percent(overview.requests.error_rate)} of requests."
        )
    stuck = deferred and not mail.accepted
    if mail.bounced or mail.partial or dead or stuck or overview.requests.error_rate:
        return "amber", "Look here", said
    return ("green", "Well", said) if mail.settled else ("gray", "Quiet", said)


def mail(overview: client.models.OverviewOut, window: str) -> None:
    """Draw what became of the mail, and what waits."""
    found = overview.delivery
    waiting = sum(overview.jobs.get(name, 0) for name in _WAITING)
    running = overview.jobs.get("running", 0)
    with st.container(key="figures"):
        cells = st.columns(4)
    _figure(
        cells[0],
        "Mail accepted",
        markup.NONE if found.accepted_share is None else markup.percent(found.accepted_share),
        f"{found.accepted:,} of {found.settled:,} settled" if found.settled else "no mail settled",
        "Of the e-mails made in "
        f"{window} whose outcome is known: those that the mail server of every recipient took "
        "over. What happens behind that server is not seen.",
    )
    _figure(
        cells[1],
        "Bounced",
        f"{found.bounced:,}" if found.settled else markup.NONE,
        f"{found.partial:,} accepted in part" if found.settled else "no mail settled",
        "E-mails that no recipient's mail server took over. Beside them those that some took.",
    )
    _figure(
        cells[2],
        "Suppressed",
        f"{found.suppressed:,}" if found.settled else markup.NONE,
        "not sent on purpose" if found.settled else "no mail settled",
        "E-mails of which every recipient is on the suppression list.",
    )
    _figure(
        cells[3],
        "Jobs waiting",
        f"{waiting:,}",
        f"{running:,} running, {_count(overview.workers.alive, 'worker')}"
        if overview.workers.alive
        else "no worker",
        "Ready to run, due later, or blocked by another job; however old. The workers are the "
        "platform's and serve all tenants.",
    )


def requests(overview: client.models.OverviewOut, window: str) -> None:
    """Draw how the API served this tenant."""
    markup.section("API requests")
    markup.note(
        f"By this tenant's clients, keys and people in {window}. What the console reads to show it "
        "does not count."
    )
    found = overview.requests
    times = [point.at for point in overview.series]
    traffic, latency, errors = st.columns(3)
    rate = _rate(found.per_second)
    with traffic:
        charts.series(
            "requests",
            "Requests",
            times,
            [point.requests_per_second for point in overview.series],
            unit=f"per second, mean {rate}",
            of="per second",
            color="#1FA97A",
        )
    with latency:
        charts.series(
            "latency",
            "Latency, p95",
            times,
            [point.p95_ms for point in overview.series],
            unit="ms" if found.p95_ms is None else f"ms, over all {found.p95_ms:,.0f}",
            of="ms",
            color="#5B8DEF",
        )
    with errors:
        charts.series(
            "errors",
            "Request errors (5xx)",
            times,
            [
                None if point.error_rate is None else point.error_rate * 100
                for point in overview.series
            ],
            unit="%"
            if found.error_rate is None
            else f"% of requests, over all {markup.percent(found.error_rate)}",
            of="% of requests",
            color="#E0555F",
        )


def _figure(cell: DeltaGenerator, label: str, value: str, beside: str, about: str) -> None:
    cell.metric(
        label,
        value,
        beside,
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=about,
    )


def _rate(per_second: float) -> str:
    """Return so many a second, rounded away from none."""
    if 0 < per_second < 0.01:
        return "< 0.01"
    return f"{per_second:,.1f}" if per_second >= 10 else f"{per_second:.2f}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def failures(found: list[client.models.FailureOut]) -> None:
    """Draw what failed last; a row opens the e-mail or the job."""
    markup.section("Last failures")
    if not found:
        markup.empty(
            "Nothing failed", "Bounced e-mails and jobs that gave up would be listed here."
        )
        return
    opened = table.draw(
        "failures",
        "Last failures",
        _FAILURES,
        [
            {
                "id": f"{failure.kind}:{failure.id}",
                "title": failure.title,
                "kind": failure.kind,
                "detail": failure.detail or markup.NONE,
                "at": markup.when(failure.at),
            }
            for failure in found
        ],
        opens=True,
    )
    if opened:
        kind, _, subject = opened.partition(":")
        if kind in _PAGES:
            st.switch_page(_PAGES[kind], query_params=state.address(id=subject))


if __name__ == "__main__":
    page()
